-- What every check speaks of. It is put before each of them, as the WITH clause
-- around it, so that they agree on what a tenant-scoped table is. Read from the
-- catalogs alone: a check runs as whoever connects.
with
parties as (
    select to_regrole('commonhold_app')::oid as app,
           to_regrole('commonhold_control')::oid as control,
           to_regrole('commonhold_owner')::oid as owner,
           to_regrole('commonhold_migrator')::oid as migrator,
           to_regrole('commonhold_backup')::oid as backup
),
-- Schemas of this database, with those of PostgreSQL, where somebody may have put
-- something too.
schemas as (
    select n.oid, n.nspname, n.nspowner, n.nspacl,
           n.nspname in ('control', 'gate', 'shared') or n.nspowner = p.owner as ours
    from pg_namespace as n, parties as p
    where n.nspname !~ '^pg_(toast|temp)'
),
relations as (
    select c.oid, c.relname, c.relkind, c.relowner, c.relacl, c.relrowsecurity, c.relforcerowsecurity,
           c.relispartition, c.relpersistence, c.reloptions, s.nspname, s.ours,
           format('%I.%I', s.nspname, c.relname) as object,
           (select a.attnum from pg_attribute as a
            where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped) as tenant_attnum
    from pg_class as c
    join schemas as s on s.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'f', 'v', 'm', 'S')
      and c.oid >= 16384 -- below is what initdb made (FirstNormalObjectId)
),
-- What an extension gave everybody, outside of our schemas, is judged with it. This is
-- about grants alone: anything can be added to an extension.
brought (oid, privilege_type) as (
    select r.oid, x.privilege_type
    from relations as r
    join pg_depend as d on d.classid = 'pg_class'::regclass and d.objid = r.oid and d.deptype = 'e'
    join pg_init_privs as i on i.classoid = 'pg_class'::regclass and i.objoid = r.oid and i.objsubid = 0
    cross join lateral aclexplode(i.initprivs) as x
    where x.grantee = 0 and not r.ours
),
-- Tables of the platform that say which tenant they speak of. The doors have no
-- row-level security because their function runs as the owner, whom it would bind.
platform (object) as (
    values ('gate.tenant_doors'), ('control.placements'), ('control.sessions')
),
-- Any other table is a tenant's where it has a tenant_id and the request role has
-- any right on it, or somebody meant it to be one. A partition is reached through
-- its parent alone.
tenant_tables as (
    select r.* from relations as r, parties as p
    where r.relkind in ('r', 'p', 'f') and r.tenant_attnum is not null and not r.relispartition
      and not exists (select from platform as f where f.object = r.object)
      and (r.relrowsecurity or r.relforcerowsecurity or r.relowner = p.app
           or exists (select from pg_policy as l where l.polrelid = r.oid)
           or exists (select from aclexplode(r.relacl) as x where x.grantee in (0, p.app))
           or exists (select from pg_attribute as a, aclexplode(a.attacl) as x
                      where a.attrelid = r.oid and not a.attisdropped and x.grantee in (0, p.app)))
),
-- The one table without a tenant_id that the request role reads.
users as (
    select r.* from relations as r where r.oid = to_regclass('control.users')
)
