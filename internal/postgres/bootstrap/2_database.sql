-- What this database looks like before its first migration: schemas of the
-- owner, no rights for PUBLIC, and the settings each role works under. Safe to
-- run again; a setting is only written where it differs.
do $$
declare
    wanted record;
    home text;
begin
    foreach home in array array['control', 'gate', 'shared'] loop
        if not exists (select from pg_namespace where nspname = home) then
            execute format('create schema %I authorization commonhold_owner', home);
        end if;
        execute format('grant usage on schema %I to commonhold_app, commonhold_control, commonhold_backup', home);
        execute format('grant usage on schema %I to commonhold_migrator', home);
    end loop;

    execute format('revoke all on database %I from public', current_database());
    execute format('grant connect on database %I to commonhold_migrator, commonhold_control, commonhold_app, commonhold_backup', current_database());
    execute format('grant create on database %I to commonhold_owner', current_database());
    revoke all on schema public from public;

    -- The backup role reads every table there is and will be.
    grant select on all tables in schema control, gate, shared to commonhold_backup;
    grant select on all sequences in schema control, gate, shared to commonhold_backup;
    alter default privileges for role commonhold_owner grant select on tables to commonhold_backup;
    alter default privileges for role commonhold_owner grant select on sequences to commonhold_backup;
    -- A function is executable by PUBLIC unless its owner's defaults say no.
    alter default privileges for role commonhold_owner revoke execute on functions from public;

    for wanted in select * from (values
        -- Statements are prepared before the door is passed, so the search path
        -- must resolve every table a role may name.
        ('commonhold_app',     'search_path', 'shared, control'),
        ('commonhold_control', 'search_path', 'control, gate'),
        -- Generic plans: the automatic choice re-plans `limit` queries for ever.
        ('commonhold_app',     'plan_cache_mode', 'force_generic_plan'),
        -- Every statement of this role is for one tenant among many: an index is the
        -- way, also where a table of few pages makes reading all of it look cheap.
        ('commonhold_app',     'random_page_cost', '1.1'),
        -- A transaction that is to write says so: see Handle.InTx. So a read need not be
        -- made read-only by its door.
        ('commonhold_app',     'default_transaction_read_only', 'on'),
        ('commonhold_app',     'statement_timeout', '10s'),
        ('commonhold_control', 'statement_timeout', '10s'),
        ('commonhold_app',     'lock_timeout', '3s'),
        ('commonhold_control', 'lock_timeout', '3s'),
        ('commonhold_app',     'idle_in_transaction_session_timeout', '15s'),
        ('commonhold_control', 'idle_in_transaction_session_timeout', '15s'),
        ('commonhold_app',     'timezone', 'UTC'),
        ('commonhold_control', 'timezone', 'UTC')
    ) as w (role, setting, value)
    where not exists (
        select from pg_db_role_setting as s
        join pg_database as d on d.oid = s.setdatabase and d.datname = current_database()
        where s.setrole = w.role::regrole and w.setting || '=' || w.value = any (s.setconfig))
    loop
        -- The value of search_path is a list, which %L would make one name.
        if wanted.setting = 'search_path' then
            execute format('alter role %I in database %I set search_path = %s', wanted.role, current_database(), wanted.value);
        else
            execute format('alter role %I in database %I set %I = %L', wanted.role, current_database(), wanted.setting, wanted.value);
        end if;
    end loop;
end $$
