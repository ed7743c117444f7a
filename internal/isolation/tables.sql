-- The shape of tenant-scoped tables: what would run beside a statement, or let
-- rows in and out by another way than the table itself.
select 'table.kind' as "check", 'error' as severity, t.object,
       'A foreign table has no row-level security.' as message,
       format('revoke all on %s from commonhold_app, public', t.object) as advice
from tenant_tables as t where t.relkind = 'f'
union all
select 'table.owner', 'error', t.object,
       format('It belongs to %s.', pg_get_userbyid(t.relowner)),
       format('alter table %s owner to commonhold_owner', t.object)
from tenant_tables as t, parties as p
where t.relowner not in (p.owner, p.app, p.control) -- the last two: role.owns
union all
select 'table.tenant_id', 'error', t.object,
       format('The column tenant_id is %s%s.', format_type(a.atttypid, a.atttypmod), case when a.attnotnull then '' else ' and may be null' end),
       case when a.atttypid = 'uuid'::regtype then format('alter table %s alter column tenant_id set not null', t.object)
            else format('Make the column tenant_id of %s a uuid that is not null, by a migration.', t.object) end
from tenant_tables as t
join pg_attribute as a on a.attrelid = t.oid and a.attnum = t.tenant_attnum
where a.atttypid <> 'uuid'::regtype or not a.attnotnull
union all
select 'table.trigger', 'error', t.object,
       format('The trigger %I runs with every change; what it does, no check knows.', g.tgname),
       format('drop trigger %I on %s', g.tgname, t.object)
from relations as t
join pg_trigger as g on g.tgrelid = t.oid and not g.tgisinternal
where t.ours or t.oid in (select oid from tenant_tables)
union all
select 'table.trigger_disabled', 'error', t.object,
       'Foreign keys are not checked: their triggers are disabled.',
       format('alter table %s enable trigger all', t.object)
from relations as t
where (t.ours or t.oid in (select oid from tenant_tables))
  and exists (select from pg_trigger as g where g.tgrelid = t.oid and g.tgisinternal and g.tgenabled not in ('O', 'A'))
union all
select 'table.rule', 'error', t.object,
       format('The rule %I rewrites statements.', r.rulename),
       format('drop rule %I on %s', r.rulename, t.object)
from relations as t
join pg_rewrite as r on r.ev_class = t.oid and r.rulename <> '_RETURN' -- what a view selects
where t.ours or t.oid in (select oid from tenant_tables)
union all
select 'table.inherits', 'error', t.object,
       format('The table %s inherits from it: its rows are read through the one under the policies of the other.', i.inhrelid::regclass),
       format('alter table %s no inherit %s', i.inhrelid::regclass, t.object)
from tenant_tables as t
join pg_inherits as i on i.inhparent = t.oid
join pg_class as c on c.oid = i.inhrelid and not c.relispartition
union all
select 'table.partition', 'error', t.object,
       'The partition is granted itself: asked directly, it does not heed the policies of its parent.',
       format('revoke all on %s from commonhold_app, public', t.object)
from relations as t, parties as p
where t.relispartition and exists (select from aclexplode(t.relacl) as x where x.grantee in (0, p.app))
union all
select 'table.identity', 'error', t.object,
       format('The column %I counts in a sequence that all tenants share, and so tells one about the others.', a.attname),
       case when a.attidentity <> '' then format('alter table %s alter column %I drop identity', t.object, a.attname)
            else format('alter table %s alter column %I drop default', t.object, a.attname) end
from tenant_tables as t
join pg_attribute as a on a.attrelid = t.oid and not a.attisdropped
where a.attidentity <> ''
   or exists (select from pg_attrdef as f
              join pg_depend as d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
              join pg_class as s on s.oid = d.refobjid and s.relkind = 'S'
              where f.adrelid = t.oid and f.adnum = a.attnum)
union all
select 'table.unlogged', 'error', t.object,
       'It is empty after a crash of the server, whatever was acknowledged, and is not in a replica.',
       format('alter %s %s set logged', case t.relkind when 'S' then 'sequence' else 'table' end, t.object)
from relations as t
where t.relpersistence = 'u' and (t.ours or t.oid in (select oid from tenant_tables))
  -- A sequence follows its table.
  and not exists (select from pg_depend as d where d.classid = 'pg_class'::regclass and d.objid = t.oid and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i') and t.relkind = 'S')
