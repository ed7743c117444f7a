-- Keys and indexes of tenant-scoped tables. Unique and foreign keys are checked
-- past row-level security, so one that does not hold the tenant tells a tenant
-- what others have.
with
indexes as (
    select t.oid as relation, t.object, t.nspname, t.tenant_attnum, i.indexrelid, i.indisunique or i.indisexclusion as exclusive,
           i.indisprimary, i.indisvalid, i.indkey, i.indnkeyatts, i.indclass, i.indexprs,
           i.indkey[0] = t.tenant_attnum as tenant_first,
           format('%I.%I', t.nspname, c.relname) as index,
           k.conname
    from tenant_tables as t
    join pg_index as i on i.indrelid = t.oid
    join pg_class as c on c.oid = i.indexrelid
    left join pg_constraint as k on k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x')
),
foreign_keys as (
    select k.conname, k.convalidated, t.oid as relation, t.object, t.nspname,
           o.object as target, o.oid is not null and o.tenant_attnum is not null and s.oid is not null as target_is_tenants,
           coalesce((select bool_or(k.conkey[n] = t.tenant_attnum and k.confkey[n] = o.tenant_attnum) from generate_subscripts(k.conkey, 1) as n), false) as paired,
           -- Unknown to servers before PostgreSQL 18.
           coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) as enforced
    from pg_constraint as k
    join tenant_tables as t on t.oid = k.conrelid
    left join relations as o on o.oid = k.confrelid
    left join tenant_tables as s on s.oid = k.confrelid
    where k.contype = 'f'
)
select 'key.primary' as "check", 'error' as severity, t.object,
       coalesce('The primary key is ' || pg_get_constraintdef(k.oid) || ' instead of (tenant_id, id).', 'There is no primary key.') as message,
       case when k.oid is null then format('alter table %s add primary key (tenant_id, id)', t.object)
            else format('alter table %s drop constraint %I, add primary key (tenant_id, id)', t.object, k.conname) end as advice
from tenant_tables as t
left join pg_constraint as k on k.conrelid = t.oid and k.contype = 'p'
where t.relkind <> 'f'
  -- The tenant alone is the key of what each tenant has one row of.
  and k.conkey is distinct from array[t.tenant_attnum]
  and k.conkey is distinct from array[t.tenant_attnum, (select a.attnum from pg_attribute as a where a.attrelid = t.oid and a.attname = 'id' and not a.attisdropped)]
union all
select 'key.unique', 'error', i.index,
       format('%s is unique across tenants: a tenant learns by it what others have.', i.object),
       case when i.conname is null then format('drop index %s', i.index)
            else format('alter table %s drop constraint %I', i.object, i.conname) end
from indexes as i
where i.exclusive and not i.indisprimary and not i.tenant_first
union all
select 'key.foreign', 'error', f.object,
       format('The foreign key %I does not pair tenant_id with the tenant_id of %s: a row may refer to another tenant''s.', f.conname, f.target),
       format('alter table %s drop constraint %I', f.object, f.conname)
from foreign_keys as f
where f.target_is_tenants and not f.paired
union all
select 'key.platform', 'error', f.object,
       format('The foreign key %I refers to a table of the platform, which a tenant''s home may not have beside it.', f.conname),
       format('alter table %s drop constraint %I', f.object, f.conname)
from foreign_keys as f
where not f.target_is_tenants and f.nspname <> 'control'
union all
select 'key.not_checked', 'error', f.object,
       format('The foreign key %I does not hold for the rows that were there before it.', f.conname),
       format('alter table %s validate constraint %I', f.object, f.conname)
from foreign_keys as f
where not f.convalidated and f.enforced
union all
select 'key.not_checked', 'error', f.object,
       format('The foreign key %I is not enforced.', f.conname),
       format('alter table %s alter constraint %I enforced', f.object, f.conname)
from foreign_keys as f
where not f.enforced
union all
select 'index.invalid', 'error', i.index,
       format('The index was not finished: %s may hold duplicates.', i.object),
       format('reindex index %s', i.index)
from indexes as i
where i.exclusive and not i.indisvalid
union all
select 'index.missing', 'warning', t.object,
       'No index begins with tenant_id: every statement reads all tenants'' rows and throws most away.',
       format('create index on %s (tenant_id)', t.object)
from tenant_tables as t
where t.relkind in ('r', 'p') and not exists (select from indexes as i where i.relation = t.oid and i.tenant_first and i.indisvalid)
union all
select 'index.tenant_first', 'warning', i.index,
       format('The index of %s does not begin with tenant_id: a tenant''s statement waits for the rows of all.', i.object),
       format('drop index %s', i.index)
from indexes as i
where not i.exclusive and not i.tenant_first and i.nspname <> 'control'
union all
-- Row-level security keeps a condition away from the index if its operator may
-- leak (the manual, section 41.5): then only the tenant prefix is used.
select 'index.leaky', 'warning', i.index,
       'Under row-level security the index is only used for its tenant: a comparison of ' ||
       string_agg(coalesce(quote_ident(a.attname), 'an expression'), ', ' order by n.n) || ' is not leakproof.',
       'Index a stored generated column of type text, bigint, uuid or timestamptz instead.'
from indexes as i
cross join lateral generate_series(0, i.indnkeyatts - 1) as n (n)
left join pg_attribute as a on a.attrelid = i.relation and a.attnum = i.indkey[n.n] and a.attnum > 0
join pg_opclass as o on o.oid = i.indclass[n.n]
where i.indkey[n.n] = 0
   or exists (select from pg_amop as m
              join pg_operator as r on r.oid = m.amopopr
              join pg_proc as f on f.oid = r.oprcode
              where m.amopfamily = o.opcfamily and m.amoppurpose = 's' and not f.proleakproof
                and m.amoplefttype = o.opcintype and m.amoprighttype = o.opcintype)
group by i.index
