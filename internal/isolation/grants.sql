-- Who was given what. The request role has exactly what its statements need, and
-- everybody has nothing.
with
-- What the request role may have on a tenant-scoped table at most.
kinds as (
    select t.oid, case
        when t.oid in (to_regclass('control.memberships'), to_regclass('control.access_events'), to_regclass('control.invitations'), to_regclass('control.invitation_links'), to_regclass('control.api_keys')) then array['SELECT']
        when t.oid = to_regclass('control.api_key_secrets') then array[]::text[]
        when t.relname in ('events', 'order_items') then array['SELECT', 'INSERT']
        when t.relname in ('orders', 'order_numbers') then array['SELECT', 'INSERT', 'UPDATE']
        else array['SELECT', 'INSERT', 'UPDATE', 'DELETE'] end as rights
    from tenant_tables as t
    where t.relkind <> 'f'
),
given as (
    select r.oid, r.object, r.relkind, r.relowner, null::name as attname, x.grantee, x.privilege_type, x.is_grantable,
           format('%s on %s %s', lower(x.privilege_type), case r.relkind when 'S' then 'sequence' else 'table' end, r.object) as right_on
    from relations as r, aclexplode(r.relacl) as x
    union all
    select r.oid, r.object, r.relkind, r.relowner, a.attname, x.grantee, x.privilege_type, x.is_grantable,
           format('%s (%I) on table %s', lower(x.privilege_type), a.attname, r.object)
    from relations as r
    join pg_attribute as a on a.attrelid = r.oid and not a.attisdropped
    cross join lateral aclexplode(a.attacl) as x
),
needed (object, attname, right_on) as (
    select v.object, null::name, unnest(v.rights)
    from (values ('shared.categories', array['SELECT', 'INSERT', 'UPDATE', 'DELETE']),
                 ('shared.products', array['SELECT', 'INSERT', 'UPDATE', 'DELETE']),
                 ('shared.customers', array['SELECT', 'INSERT', 'UPDATE', 'DELETE']),
                 ('shared.orders', array['SELECT', 'INSERT', 'UPDATE']),
                 ('shared.order_items', array['SELECT', 'INSERT']),
                 ('shared.order_numbers', array['SELECT', 'INSERT', 'UPDATE']),
                 ('shared.events', array['SELECT', 'INSERT']),
                 ('control.access_events', array['SELECT']),
                 ('control.invitations', array['SELECT']),
                 ('control.invitation_links', array['SELECT']),
                 ('control.api_keys', array['SELECT']),
                 ('control.memberships', array['SELECT'])) as v (object, rights)
    union all
    select 'control.users', column_name::name, 'SELECT' from unnest(array['id', 'email', 'display_name', 'created_at']) as column_name
    union all
    values ('shared.order_items', 'unit_price_minor'::name, 'UPDATE')
),
-- What is not a relation: where it is named in a grant, and what may be there.
elsewhere (object, grantee, privilege_type, is_grantable, right_on, severity, why) as (
    select 'database ' || d.datname, x.grantee, x.privilege_type, x.is_grantable,
           format('%s on database %I', lower(x.privilege_type), d.datname),
           case when x.privilege_type = 'CONNECT' then 'warning' else 'error' end,
           case x.privilege_type when 'CONNECT' then 'may connect' when 'CREATE' then 'may create schemas' else 'may create temporary tables, which hide those of the tenant' end
    from pg_database as d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) as x
    where d.datname = current_database()
    union all
    select 'schema ' || s.nspname, x.grantee, x.privilege_type, x.is_grantable,
           format('%s on schema %I', lower(x.privilege_type), s.nspname),
           case when x.privilege_type = 'CREATE' or s.ours then 'error' else 'warning' end,
           case x.privilege_type when 'CREATE' then 'may create objects there' else 'may use what is there' end
    from schemas as s, aclexplode(s.nspacl) as x
    union all
    select 'foreign-data wrapper ' || f.fdwname, x.grantee, x.privilege_type, x.is_grantable,
           format('usage on foreign data wrapper %I', f.fdwname), 'error', 'may make a way to other servers'
    from pg_foreign_data_wrapper as f, aclexplode(f.fdwacl) as x
    union all
    select 'server ' || f.srvname, x.grantee, x.privilege_type, x.is_grantable,
           format('usage on foreign server %I', f.srvname), 'error', 'may go to another server, past these walls'
    from pg_foreign_server as f, aclexplode(f.srvacl) as x
    union all
    select 'large object ' || l.oid, x.grantee, x.privilege_type, x.is_grantable,
           format('%s on large object %s', lower(x.privilege_type), l.oid), 'error', 'may use it; large objects have no row-level security'
    from pg_largeobject_metadata as l, aclexplode(l.lomacl) as x
    union all
    select 'parameter ' || a.parname, x.grantee, x.privilege_type, x.is_grantable,
           format('%s on parameter %s', lower(x.privilege_type), a.parname), 'error', 'may change a setting that is a superuser''s'
    from pg_parameter_acl as a, aclexplode(a.paracl) as x
)
select 'grant.app' as "check", 'error' as severity,
       g.object || coalesce('.' || quote_ident(g.attname), '') as object,
       format('The request role has %s, which no statement of a request needs.', g.privilege_type) as message,
       format('revoke %s from commonhold_app', g.right_on) ||
       -- What is taken from a table is taken from its columns too.
       case when g.object = 'control.users' and g.attname is null and g.privilege_type = 'SELECT'
            then '; grant select (id, email, display_name, created_at) on table control.users to commonhold_app' else '' end as advice
from given as g
join parties as p on g.grantee = p.app
left join kinds as k on k.oid = g.oid
where g.relkind not in ('v', 'm') -- view.definer
  and not coalesce(g.privilege_type = any (k.rights), false)
  and not coalesce(k.oid is not null and g.object like '%.order\_items' and g.attname = 'unit_price_minor' and g.privilege_type = 'UPDATE', false)
  and not coalesce(g.object = 'control.users' and g.attname in ('id', 'email', 'display_name', 'created_at') and g.privilege_type = 'SELECT', false)
union all
select 'grant.missing', 'warning', n.object || coalesce('.' || quote_ident(n.attname), ''),
       format('The request role lacks %s: requests will fail.', n.right_on),
       format('grant %s%s on table %s to commonhold_app', lower(n.right_on), ' (' || quote_ident(n.attname) || ')', n.object)
from needed as n
where n.attname is not null and not exists (select from given as g, parties as p where g.object = n.object and g.grantee = p.app
                                            and g.privilege_type = n.right_on and (g.attname = n.attname or g.attname is null))
union all
select 'grant.missing', 'warning', n.object,
       format('The request role lacks %s: requests will fail.', n.right_on),
       format('grant %s on table %s to commonhold_app', lower(n.right_on), n.object)
from needed as n
where n.attname is null and not exists (select from given as g, parties as p where g.object = n.object and g.grantee = p.app
                                        and g.privilege_type = n.right_on and g.attname is null)
union all
select 'grant.public', 'error', g.object || coalesce('.' || quote_ident(g.attname), ''),
       format('Everybody has %s.', g.privilege_type),
       format('revoke %s from public', g.right_on)
from given as g
where g.grantee = 0
  and not exists (select from brought as b where b.oid = g.oid and b.privilege_type = g.privilege_type and g.attname is null)
union all
select 'grant.control', 'error', g.object || coalesce('.' || quote_ident(g.attname), ''),
       format('The control role has %s on a tenant''s own data.', g.privilege_type),
       format('revoke %s from commonhold_control', g.right_on)
from given as g
join parties as p on g.grantee = p.control
join tenant_tables as t on t.oid = g.oid and t.nspname <> 'control'
union all
select 'grant.control', 'error', g.object || coalesce('.' || quote_ident(g.attname), ''),
       format('The control role has %s on what may only be added to.', g.privilege_type),
       format('revoke %s from commonhold_control', g.right_on)
from given as g
join parties as p on g.grantee = p.control
where g.oid = to_regclass('control.access_events') and g.privilege_type not in ('INSERT', 'SELECT') -- the operator reads it
union all
select 'grant.backup', 'error', g.object || coalesce('.' || quote_ident(g.attname), ''),
       format('The backup role has %s, past row-level security; it may only read.', g.privilege_type),
       format('revoke %s from commonhold_backup', g.right_on)
from given as g
join parties as p on g.grantee = p.backup
where g.privilege_type <> 'SELECT'
union all
select 'grant.other', 'warning', g.object || coalesce('.' || quote_ident(g.attname), ''),
       format('The role %s has %s: it may enter any tenant, since no door stands before it.', pg_get_userbyid(g.grantee), g.privilege_type),
       format('revoke %s from %I', g.right_on, pg_get_userbyid(g.grantee))
from given as g
join tenant_tables as t on t.oid = g.oid
cross join parties as p
where g.grantee not in (0, p.app, p.control, p.owner, g.relowner) and g.grantee is distinct from p.backup
union all
select 'grant.option', 'error', g.object || coalesce('.' || quote_ident(g.attname), ''),
       format('The role %s may give %s away.', pg_get_userbyid(g.grantee), g.privilege_type),
       format('revoke grant option for %s from %I cascade', g.right_on, pg_get_userbyid(g.grantee))
from given as g
cross join parties as p
where g.is_grantable and (g.grantee in (p.app, p.control) or g.grantee is not distinct from p.backup)
union all
select 'grant.public', e.severity, e.object,
       format('Everybody %s.', e.why),
       format('revoke %s from public', e.right_on)
from elsewhere as e
where e.grantee = 0
  and not (e.object in ('schema pg_catalog', 'schema information_schema') and e.privilege_type = 'USAGE')
union all
select 'grant.app', e.severity, e.object,
       format('The role %s %s.', pg_get_userbyid(e.grantee), e.why),
       format('revoke %s from %I', e.right_on, pg_get_userbyid(e.grantee))
from elsewhere as e
join parties as p on e.grantee in (p.app, p.control)
where not (e.object ~ '^database ' and e.privilege_type = 'CONNECT')
  and not (e.object ~ '^schema ' and e.privilege_type = 'USAGE' and (e.severity = 'error' or e.grantee = p.control)) -- an error: in ours
union all
select 'grant.option', 'error', e.object,
       format('The role %s may give %s away.', pg_get_userbyid(e.grantee), e.privilege_type),
       format('revoke grant option for %s from %I cascade', e.right_on, pg_get_userbyid(e.grantee))
from elsewhere as e
join parties as p on e.grantee in (p.app, p.control)
where e.is_grantable
union all
select 'schema.owner', 'error', 'schema ' || s.nspname,
       format('It belongs to %s.', pg_get_userbyid(s.nspowner)),
       format('alter schema %I owner to commonhold_owner', s.nspname)
from schemas as s, parties as p
where s.nspname in ('control', 'gate', 'shared') and s.nspowner not in (p.owner, p.app, p.control) -- the last two: role.owns
