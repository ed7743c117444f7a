-- Views read with the rights of their owner unless they are security_invoker;
-- materialized views keep a copy that no policy guards.
with recursive
reads (view, relation) as (
    select r.ev_class, d.refobjid
    from pg_rewrite as r
    join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
     and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class
    union
    select s.view, d.refobjid
    from reads as s
    join pg_rewrite as r on r.ev_class = s.relation
    join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
     and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class
),
guarded (oid, object) as (
    select oid, object from tenant_tables
    union
    select oid, object from users
)
select 'view.definer' as "check", 'error' as severity, v.object,
       'The view reads ' || coalesce((select string_agg(distinct g.object, ', ') from reads as r join guarded as g on g.oid = r.relation where r.view = v.oid), 'tables')
       || format(' with the rights of %s.', pg_get_userbyid(v.relowner)) as message,
       format('alter view %s set (security_invoker = true)', v.object) as advice
from relations as v, parties as p
where v.relkind = 'v' and not exists (select from unnest(v.reloptions) as o where o ~* '^security_invoker=(true|on|yes|1)$')
  and (exists (select from reads as r join guarded as g on g.oid = r.relation where r.view = v.oid)
       or exists (select from aclexplode(v.relacl) as x where x.grantee in (0, p.app)
                  and not (x.grantee = 0 and v.oid in (select oid from brought))))
union all
select 'view.materialized', 'error', v.object,
       'The materialized view keeps a copy of tenants'' rows that no policy guards.',
       format('drop materialized view %s', v.object)
from relations as v, parties as p
where v.relkind = 'm'
  and (exists (select from reads as r join guarded as g on g.oid = r.relation where r.view = v.oid)
       or exists (select from aclexplode(v.relacl) as x where x.grantee in (0, p.app)))
