-- What an injected expression would need to leave its tenant, and the request
-- role still has. The rights are a superuser's to take.
select 'hardening' as "check", 'warning' as severity, t.object,
       'The request role may ' || t.verb || '. Only a superuser can take that away.' as message,
       format('revoke %s from public, commonhold_app', t.right_on) as advice
from parties as p
cross join lateral (
    select f.oid::regprocedure::text as object,
           case when f.proname = 'set_config' then 'change the tenant it entered, from within an expression'
                when f.proname ~ '_to_xml|^ts_' then 'run a query given as text, from within an expression'
                when f.proname ~ '^lo' then 'keep large objects, which belong to no tenant'
                else 'reach beyond its own session and tenant' end as verb,
           format('execute on function pg_catalog.%I(%s)', f.proname, pg_get_function_identity_arguments(f.oid)) as right_on
    from pg_proc as f
    where f.pronamespace = 'pg_catalog'::regnamespace
      and (f.proname ~ '^(set_config$|ts_stat$|(query|cursor|table|schema|database)_to_xml)'
           or f.proname = 'ts_rewrite' and f.pronargs = 2
           or f.proname ~ '^(lo_(creat|create|from_bytea|open|get|put|unlink)|loread|lowrite)$'
           or f.proname ~ '^pg_(try_)?advisory_(xact_)?lock(_shared)?$' and f.proname <> 'pg_advisory_xact_lock_shared'
           or f.proname in ('pg_terminate_backend', 'pg_cancel_backend', 'pg_notify', 'pg_logical_emit_message', 'pg_export_snapshot', 'currtid2'))
      and exists (select from aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) as x
                  where x.grantee in (0, p.app) and x.privilege_type = 'EXECUTE')
    union all
    select 'pg_settings', 'change the tenant it entered, by an update', 'update on pg_catalog.pg_settings'
    from pg_class as c
    where c.oid = 'pg_catalog.pg_settings'::regclass
      and (exists (select from aclexplode(c.relacl) as x
                   where x.grantee in (0, p.app) and x.privilege_type = 'UPDATE')
           or exists (select from pg_attribute as a, aclexplode(a.attacl) as x
                      where a.attrelid = c.oid and x.grantee in (0, p.app) and x.privilege_type = 'UPDATE'))
    union all
    select 'language ' || l.lanname, 'run blocks of code in this language', format('usage on language %I', l.lanname)
    from pg_language as l
    where l.lanpltrusted
      and exists (select from aclexplode(coalesce(l.lanacl, acldefault('l', l.lanowner))) as x
                  where x.grantee in (0, p.app))
) as t
