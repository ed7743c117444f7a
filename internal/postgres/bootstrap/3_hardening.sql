-- Takes away what an injected expression would need to leave its tenant. The
-- rights belong to objects of pg_catalog, so only a superuser can take them;
-- for anybody else PostgreSQL prints a warning and changes nothing. What holds
-- afterwards is therefore read back by the caller, never assumed.
--
-- ts_stat and ts_rewrite run a query given as text like the XML functions. A lock
-- of a session outlives its transaction, and with the number of another tenant's
-- lock keeps that tenant from writing; currtid2 looks past policies; the others
-- reach other sessions. The tenant's own shared lock stays.
--
-- A large object belongs to the role and to no tenant, and PostgreSQL 15 lets a
-- read-only transaction make one: no policy stands between two tenants there.
--
-- They come back to who needs them: pg_dump, vacuumdb and replication call
-- set_config; the owner's migrations create plpgsql functions.
do $$
declare
    f regprocedure;
begin
    if not (select rolsuper from pg_roles where rolname = current_user) then
        raise warning 'only a superuser can harden a database: it stays as it is';
        return;
    end if;
    for f in
        select p.oid from pg_proc as p
        where p.pronamespace = 'pg_catalog'::regnamespace
          and (p.proname in ('set_config', 'lo_creat', 'lo_create', 'lo_from_bytea', 'lo_open',
                            'lo_get', 'lo_put', 'lo_unlink', 'loread', 'lowrite', 'ts_stat',
                            'pg_advisory_lock', 'pg_advisory_lock_shared', 'pg_try_advisory_lock',
                            'pg_try_advisory_lock_shared', 'pg_advisory_xact_lock',
                            'pg_try_advisory_xact_lock', 'pg_try_advisory_xact_lock_shared',
                            'pg_terminate_backend', 'pg_cancel_backend', 'pg_notify',
                            'pg_logical_emit_message', 'pg_export_snapshot', 'currtid2')
               or p.proname = 'ts_rewrite' and p.pronargs = 2
               or p.proname like 'query\_to\_xml%' or p.proname like 'cursor\_to\_xml%'
               or p.proname like 'table\_to\_xml%' or p.proname like 'schema\_to\_xml%'
               or p.proname like 'database\_to\_xml%')
    loop
        execute format('revoke execute on function %s from public', f);
    end loop;
    grant execute on function pg_catalog.set_config(text, text, boolean) to commonhold_owner, commonhold_backup;
    grant execute on function pg_catalog.pg_advisory_lock(bigint) to commonhold_owner, commonhold_migrator;
    grant execute on function pg_catalog.pg_export_snapshot() to commonhold_backup;
    -- Who moves a tenant holds its writers off.
    grant execute on function pg_catalog.pg_advisory_xact_lock(bigint), pg_catalog.pg_try_advisory_xact_lock(bigint)
        to commonhold_control;
    -- Who leaves work for later wakes the workers; who changes what servers remember
    -- tells them.
    grant execute on function pg_catalog.pg_notify(text, text) to commonhold_control;
    revoke update on pg_catalog.pg_settings from public;
    revoke usage on language plpgsql, sql from public;
    grant usage on language plpgsql, sql to commonhold_owner;
end $$
