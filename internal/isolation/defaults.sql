-- What objects that are still to be made will be granted, and what was granted on
-- PostgreSQL's own.
with
defaults as (
    select d.oid, d.defaclrole, d.defaclobjtype, d.defaclnamespace, x.grantee, x.privilege_type,
           case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types' when 'n' then 'schemas' else 'large objects' end as kind,
           format('alter default privileges for role %I%s', pg_get_userbyid(d.defaclrole), ' in schema ' || (select quote_ident(n.nspname) from pg_namespace as n where n.oid = d.defaclnamespace)) as within,
           format('alter default privileges for role %I', pg_get_userbyid(d.defaclrole)) as anywhere
    from pg_default_acl as d, aclexplode(d.defaclacl) as x
),
system as (
    select 'function ' || f.oid::regprocedure as object, x.grantee, x.privilege_type, 'pg_proc'::regclass as classid, f.oid as objid,
           format('%s on function %s', lower(x.privilege_type), f.oid::regprocedure) as right_on
    from pg_proc as f, aclexplode(f.proacl) as x
    where f.pronamespace = 'pg_catalog'::regnamespace and f.oid < 16384
    union all
    select 'table ' || c.oid::regclass, x.grantee, x.privilege_type, 'pg_class'::regclass, c.oid,
           format('%s on table %s', lower(x.privilege_type), c.oid::regclass)
    from pg_class as c, aclexplode(c.relacl) as x
    where c.relnamespace = 'pg_catalog'::regnamespace and c.oid < 16384
    union all
    select format('column %s.%I', a.attrelid::regclass, a.attname), x.grantee, x.privilege_type, 'pg_class'::regclass, a.attrelid,
           format('%s (%I) on table %s', lower(x.privilege_type), a.attname, a.attrelid::regclass)
    from pg_attribute as a
    join pg_class as c on c.oid = a.attrelid and c.relnamespace = 'pg_catalog'::regnamespace and c.oid < 16384
    cross join lateral aclexplode(a.attacl) as x
)
select 'default.grant' as "check", 'error' as severity, 'defaults of ' || pg_get_userbyid(d.defaclrole) as object,
       format('%s will have %s on %s that %s makes.', case d.grantee when 0 then 'Everybody' else 'The role ' || pg_get_userbyid(d.grantee) end,
              d.privilege_type, d.kind, pg_get_userbyid(d.defaclrole)) as message,
       format('%s revoke %s on %s from %s', coalesce(d.within, d.anywhere), lower(d.privilege_type), d.kind,
              case d.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(d.grantee)) end) as advice
from defaults as d, parties as p
-- That everybody may use types, and execute functions of others than the owner,
-- is how PostgreSQL begins.
where d.grantee = p.app
   or (d.grantee = 0 and d.defaclobjtype <> 'T' and not (d.defaclobjtype = 'f' and d.defaclnamespace = 0))
union all
select 'default.functions', 'error', 'defaults of commonhold_owner',
       'Everybody will have EXECUTE on functions that commonhold_owner makes.',
       'alter default privileges for role commonhold_owner revoke execute on functions from public'
from parties as p
where not exists (select from pg_default_acl as d where d.defaclrole = p.owner and d.defaclobjtype = 'f' and d.defaclnamespace = 0)
   or exists (select from defaults as d where d.defaclrole = p.owner and d.defaclobjtype = 'f' and d.defaclnamespace = 0 and d.grantee = 0)
union all
select 'grant.system', 'error', s.object,
       format('%s has %s on an object of PostgreSQL itself.', case s.grantee when 0 then 'Everybody' else 'The role ' || pg_get_userbyid(s.grantee) end, s.privilege_type),
       format('revoke %s from %s', s.right_on, case s.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(s.grantee)) end)
from system as s, parties as p
where s.grantee = p.app
   -- Who moves a tenant holds its writers off, by the lock that hardening took away;
   -- who leaves work for later, or changes what servers remember, tells them.
   or (s.grantee = p.control
       and s.object not in ('function pg_advisory_xact_lock(bigint)', 'function pg_try_advisory_xact_lock(bigint)',
                            'function pg_notify(text,text)'))
   or (s.grantee = 0
       -- What initdb gave everybody is recorded; a function without a record began open.
       and not exists (select from pg_init_privs as i, aclexplode(i.initprivs) as x
                       where i.classoid = s.classid and i.objoid = s.objid and x.grantee = 0 and x.privilege_type = s.privilege_type)
       and (s.classid = 'pg_class'::regclass
            or exists (select from pg_init_privs as i where i.classoid = s.classid and i.objoid = s.objid)))
