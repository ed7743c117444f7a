-- The settings that a session of the roles begins with, and those of this session,
-- which are the server's where nobody changed them.
with
stored as (
    select s.setrole, s.setdatabase, split_part(c, '=', 1) as name, substr(c, strpos(c, '=') + 1) as value,
           -- The most particular wins.
           (s.setrole <> 0)::int * 2 + (s.setdatabase <> 0)::int as rank,
           case when s.setrole = 0 and s.setdatabase = 0 then 'alter role all'
                when s.setrole = 0 then format('alter database %I', current_database())
                else format('alter role %I', pg_get_userbyid(s.setrole)) || case when s.setdatabase = 0 then '' else format(' in database %I', current_database()) end
           end as alter_what,
           case when s.setrole = 0 and s.setdatabase = 0 then 'all roles'
                when s.setrole = 0 then 'database ' || current_database()
                else pg_get_userbyid(s.setrole)::text end as object
    from pg_db_role_setting as s
    cross join lateral unnest(s.setconfig) as c
    where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
),
begins_with as (
    select distinct on (r.role, s.name) r.role, s.name, s.value
    from (select unnest(array[app, control]) as role from parties) as r
    join stored as s on s.setrole in (0, r.role)
    order by r.role, s.name, s.rank desc
),
required (role, name, value, severity, why) as (
    select p.app, v.name, v.value, v.severity, v.why from parties as p, (values
        ('search_path', 'shared, control', 'error', 'Unqualified names of its statements may mean other tables'),
        ('plan_cache_mode', 'force_generic_plan', 'warning', 'Statements are planned again and again'),
        ('default_transaction_read_only', 'on', 'warning', 'Every read has to be made read-only by its door'),
        ('statement_timeout', '10s', 'warning', 'A statement may run for ever'),
        ('lock_timeout', '3s', 'warning', 'A statement may wait for ever'),
        ('idle_in_transaction_session_timeout', '15s', 'warning', 'A transaction may stay open for ever')) as v (name, value, severity, why)
    union all
    select p.control, v.name, v.value, v.severity, v.why from parties as p, (values
        ('search_path', 'control, gate', 'error', 'Unqualified names of its statements may mean other tables'),
        ('statement_timeout', '10s', 'warning', 'A statement may run for ever'),
        ('lock_timeout', '3s', 'warning', 'A statement may wait for ever'),
        ('idle_in_transaction_session_timeout', '15s', 'warning', 'A transaction may stay open for ever')) as v (name, value, severity, why)
)
select 'setting.tenant' as "check", 'error' as severity, s.object,
       format('%s is preset to %L: a session is inside a tenant without having passed a door.', s.name, s.value) as message,
       format('%s reset %s', s.alter_what, s.name) as advice
from stored as s, parties as p
where s.setrole in (0, p.app, p.control) and s.name ~* '^app\.'
union all
select 'setting.tenant', 'error', 'server',
       'app.tenant_id is set where a session begins: in postgresql.conf, by ALTER SYSTEM or in the connection string.',
       'Remove app.tenant_id from postgresql.conf or `alter system reset "app.tenant_id"`, then reload the server.'
where current_setting('app.tenant_id', true) <> ''
  and not exists (select from stored as s where s.name = 'app.tenant_id')
union all
select 'setting.dangerous', case when s.name = 'row_security' then 'warning' else 'error' end, s.object,
       format('%s is preset to %L: %s.', s.name, s.value, v.why),
       format('%s reset %s', s.alter_what, s.name)
from stored as s
cross join parties as p
join (values
    ('session_replication_role', array['origin'], 'foreign keys are not checked'),
    ('row_security', array['on', 'true', 'yes', '1'], 'statements under a policy fail'),
    ('role', array['none'], 'sessions act as another role'),
    ('session_authorization', array['default'], 'sessions act as another role'),
    ('local_preload_libraries', array[''], 'code is loaded into every session'),
    ('session_preload_libraries', array[''], 'code is loaded into every session'),
    ('synchronous_commit', array['on', 'true', 'yes', '1', 'local', 'remote_write', 'remote_apply'], 'a write that was acknowledged is lost in a crash'),
    ('standard_conforming_strings', array['on', 'true', 'yes', '1'], 'a backslash in a string means something else than what was proven'),
    ('allow_system_table_mods', array['off', 'false', 'no', '0'], 'the catalogs can be changed'),
    ('lo_compat_privileges', array['off', 'false', 'no', '0'], 'large objects are everybody''s')) as v (name, harmless, why) on v.name = s.name
where s.setrole in (0, p.app, p.control) and lower(s.value) <> all (v.harmless)
union all
select 'setting.dangerous', v.severity, 'server',
       format('%s is %s: %s.', g.name, g.setting, v.why),
       format('Remove %s from postgresql.conf or `alter system reset %s`, then reload the server.', g.name, g.name)
from pg_settings as g
join (values
    ('session_replication_role', 'origin', 'error', 'foreign keys are not checked'),
    ('row_security', 'on', 'warning', 'statements under a policy fail'),
    ('standard_conforming_strings', 'on', 'error', 'a backslash in a string means something else than what was proven'),
    ('allow_system_table_mods', 'off', 'error', 'the catalogs can be changed'),
    ('lo_compat_privileges', 'off', 'error', 'large objects are everybody''s')) as v (name, harmless, severity, why) on v.name = g.name
where g.setting <> v.harmless
  and g.source not in ('database', 'user', 'database user') -- named above
union all
-- No wall between tenants: a development server may well run so.
select 'setting.durability', 'warning', 'server',
       format('%s is off: %s.', g.name, v.why),
       format('Remove %s from postgresql.conf and the command line, `alter system reset %s`, then restart the server.', g.name, g.name)
from pg_settings as g
join (values
    ('synchronous_commit', 'a write that was acknowledged is lost in a crash'),
    ('fsync', 'a crash of the machine may leave tables and indexes torn, and the walls with them'),
    ('full_page_writes', 'a crash of the machine may leave torn pages, unless the file system never does')) as v (name, why) on v.name = g.name
where g.setting = 'off'
  and g.source not in ('database', 'user', 'database user') -- named above
  -- A server that Commonhold starts for a test is told so where it is started, and
  -- thrown away afterwards.
  and not (g.source = 'command line'
           and exists (select from pg_settings as c where c.name = 'cluster_name' and c.setting = 'commonhold' and c.source = 'command line'))
union all
select 'setting.missing', r.severity, pg_get_userbyid(r.role)::text,
       format('%s. The setting %s is %s.', r.why, r.name, coalesce(quote_literal(b.value), 'missing')),
       format('alter role %I in database %I set %s = %s', pg_get_userbyid(r.role), current_database(), r.name,
              case r.name when 'search_path' then r.value else quote_literal(r.value) end)
from required as r
left join begins_with as b on b.role = r.role and b.name = r.name
where case when r.name in ('search_path', 'plan_cache_mode', 'default_transaction_read_only') then b.value is distinct from r.value
           else coalesce(b.value, '0') ~ '^0+\D*$' end
