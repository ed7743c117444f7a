-- What the roles may do, beyond what they are granted on objects.
with recursive
attributes (role, attribute, held, severity) as (
    select r.oid, v.attribute, v.held,
           case when r.oid in (p.app, p.control) or v.attribute in ('superuser', 'bypassrls') then 'error' else 'warning' end
    from pg_roles as r
    cross join parties as p
    cross join lateral (values
        ('superuser', r.rolsuper),
        ('bypassrls', r.rolbypassrls and r.oid is distinct from p.backup),
        ('createrole', r.rolcreaterole),
        ('createdb', r.rolcreatedb),
        ('replication', r.rolreplication),
        ('login', r.rolcanlogin and r.oid = p.owner)) as v (attribute, held)
    where r.oid in (p.app, p.control, p.owner, p.migrator, p.backup)
),
-- Every way up: through INHERIT, SET or ADMIN alike, any of them is a way.
reach (role, first, reached) as (
    select m.member, m.roleid, m.roleid
    from pg_auth_members as m, parties as p
    where m.member in (p.app, p.control, p.owner, p.migrator, p.backup)
      and not (m.member is not distinct from p.migrator and m.roleid = p.owner)
    union
    select r.role, r.first, m.roleid
    from reach as r
    join pg_auth_members as m on m.member = r.reached
)
select 'role.attribute' as "check", a.severity, pg_get_userbyid(a.role)::text as object,
       format('The role has %s.', upper(a.attribute)) as message,
       format('alter role %I no%s', pg_get_userbyid(a.role), a.attribute) as advice
from attributes as a
where a.held
union all
select 'role.membership', case when r.role in (p.app, p.control) then 'error' else 'warning' end,
       pg_get_userbyid(r.role)::text,
       format('The role is a member of %s, and so may act as %s.', pg_get_userbyid(r.first),
              string_agg(g.rolname || case when g.rolsuper then ' (SUPERUSER)' when g.rolbypassrls then ' (BYPASSRLS)' else '' end, ', ' order by g.rolname)),
       format('revoke %I from %I', pg_get_userbyid(r.first), pg_get_userbyid(r.role))
from reach as r
join pg_roles as g on g.oid = r.reached
cross join parties as p
group by r.role, r.first, p.app, p.control
union all
select 'role.owns', 'error', format('%s %s', i.type, i.identity),
       format('It belongs to %s, which may therefore change it, and is exempt from its rights.', pg_get_userbyid(d.refobjid)),
       format('reassign owned by %I to commonhold_owner', pg_get_userbyid(d.refobjid))
from pg_shdepend as d
cross join parties as p
cross join lateral pg_identify_object(d.classid, d.objid, d.objsubid) as i
where d.refclassid = 'pg_authid'::regclass and d.refobjid in (p.app, p.control) and d.deptype = 'o'
  and d.classid <> 'pg_user_mapping'::regclass -- foreign.mapping
  and d.dbid in (0, (select oid from pg_database where datname = current_database()))
union all
-- Whoever may act as the owner may lift every wall, and the backup role has none.
-- One who may create roles could give itself the membership.
select 'role.members', 'warning', m.rolname::text,
       format('The role is a member of %s.', pg_get_userbyid(a.roleid)),
       format('revoke %I from %I', pg_get_userbyid(a.roleid), m.rolname)
from pg_auth_members as a
join pg_roles as m on m.oid = a.member
cross join parties as p
where a.roleid in (p.owner, p.migrator, p.backup) and not m.rolsuper and not m.rolcreaterole
  and m.oid not in (p.app, p.control, p.owner) and m.oid is distinct from p.migrator and m.oid is distinct from p.backup
union all
select 'role.bypass', 'warning', r.rolname::text,
       'Row-level security does not bind the role.',
       format('alter role %I nobypassrls', r.rolname)
from pg_roles as r
cross join parties as p
where r.rolbypassrls and not r.rolsuper and r.rolname !~ '^pg_'
  and r.oid not in (p.app, p.control, p.owner) and r.oid is distinct from p.migrator and r.oid is distinct from p.backup
