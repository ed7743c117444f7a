-- Row-level security is on, forced, and says exactly what the migrations said:
-- the expressions are compared as pg_get_expr prints them.
with
canon (printed, written) as (
    values ('(tenant_id = (NULLIF(current_setting(''app.tenant_id''::text, true), ''''::text))::uuid)',
            'tenant_id = nullif(current_setting(''app.tenant_id'', true), '''')::uuid')
),
members (printed, written) as (
    values ('(EXISTS ( SELECT FROM memberships m WHERE ((m.tenant_id = (NULLIF(current_setting(''app.tenant_id''::text, true), ''''::text))::uuid) AND (m.user_id = users.id))))',
            'exists (select from control.memberships as m where m.tenant_id = nullif(current_setting(''app.tenant_id'', true), '''')::uuid and m.user_id = users.id)')
),
guarded as (
    select * from tenant_tables where relkind <> 'f'
    union
    select * from users
),
expected (relation, object, policy, command, roles, role_name, printed, printed_check, written, written_check) as (
    select t.oid, t.object, 'tenant_isolation', '*', array[0]::oid[], 'public', c.printed, c.printed, c.written, c.written
    from guarded as t, canon as c where t.tenant_attnum is not null
    union all
    select u.oid, u.object, 'members_visible', 'r', array[0]::oid[], 'public', m.printed, null, m.written, null
    from users as u, members as m
    union all
    -- Sign-in and registration see across tenants, in the control database alone.
    select t.oid, t.object, 'control_plane', '*', array[p.control], 'commonhold_control', 'true', 'true', 'true', 'true'
    from guarded as t, parties as p where t.nspname = 'control'
),
actual as (
    select l.oid, l.polrelid, l.polname, l.polcmd, l.polpermissive, l.polroles, g.object,
           -- Whether a table is printed with its schema depends on who asks; which
           -- table it is, is asked of pg_depend below.
           replace(regexp_replace(pg_get_expr(l.polqual, l.polrelid), '\s+', ' ', 'g'), ' control.memberships ', ' memberships ') as printed,
           regexp_replace(pg_get_expr(l.polwithcheck, l.polrelid), '\s+', ' ', 'g') as printed_check
    from pg_policy as l
    join guarded as g on g.oid = l.polrelid
),
wanted as (
    select e.*, format('create policy %I on %s%s to %I using (%s)%s', e.policy, e.object,
                       case e.command when 'r' then ' for select' else '' end, e.role_name, e.written,
                       ' with check (' || e.written_check || ')') as statement
    from expected as e
    where e.written_check is not null
    union all
    select e.*, format('create policy %I on %s for select to %I using (%s)', e.policy, e.object, e.role_name, e.written)
    from expected as e
    where e.written_check is null
)
select 'rls.disabled' as "check", 'error' as severity, g.object,
       'Row-level security is off: a statement without a predicate reads and writes every tenant''s rows.' as message,
       format('alter table %s enable row level security', g.object) as advice
from guarded as g where not g.relrowsecurity
union all
select 'rls.not_forced', 'error', g.object,
       'Row-level security does not bind the owner of the table.',
       format('alter table %s force row level security', g.object)
from guarded as g where not g.relforcerowsecurity
union all
select 'policy.missing', 'error', w.object,
       format('The policy %I does not exist.', w.policy),
       w.statement
from wanted as w
where not exists (select from actual as a where a.polrelid = w.relation and a.polname = w.policy)
union all
select 'policy.differs', 'error', w.object,
       format('The policy %I is not the canonical one: it is %s, for %s, to %s, using %s, with check %s.', w.policy,
              case when a.polpermissive then 'permissive' else 'restrictive' end,
              case a.polcmd when '*' then 'all' when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' else 'delete' end,
              (select string_agg(case r when 0 then 'public' else pg_get_userbyid(r)::text end, ', ') from unnest(a.polroles) as r),
              coalesce(a.printed, 'nothing'), coalesce(a.printed_check, 'nothing')),
       format('drop policy %I on %s; %s', w.policy, w.object, w.statement)
from wanted as w
join actual as a on a.polrelid = w.relation and a.polname = w.policy
where (a.polpermissive, a.polcmd::text, a.polroles, a.printed, a.printed_check)
      is distinct from (true, w.command, w.roles, w.printed, w.printed_check)
union all
-- What the text does not show: a name in it may mean another object than the one
-- of pg_catalog. PostgreSQL records no dependency on its own objects.
select 'policy.shadowed', 'error', a.object,
       format('The policy %I uses %s.', a.polname, pg_describe_object(d.refclassid, d.refobjid, 0)),
       format('drop policy %I on %s; %s', w.policy, w.object, w.statement)
from actual as a
join wanted as w on w.relation = a.polrelid and w.policy = a.polname
join pg_depend as d on d.classid = 'pg_policy'::regclass and d.objid = a.oid
where not (d.refclassid = 'pg_class'::regclass
           and (d.refobjid = a.polrelid or (a.polname = 'members_visible' and d.refobjid = to_regclass('control.memberships'))))
group by a.object, a.polname, d.refclassid, d.refobjid, w.policy, w.object, w.statement
union all
select 'policy.unexpected', 'error', a.object,
       format('The policy %I is none of those that belong here; permissive policies add up.', a.polname),
       format('drop policy %I on %s', a.polname, a.object)
from actual as a
where not exists (select from wanted as w where w.relation = a.polrelid and w.policy = a.polname)
