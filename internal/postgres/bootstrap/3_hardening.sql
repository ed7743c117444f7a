-- Takes away what an injected expression would need to leave its tenant. The
-- rights belong to objects of pg_catalog, so only a superuser can take them;
-- for anybody else PostgreSQL prints a warning and changes nothing. What holds
-- afterwards is therefore read back by the caller, never assumed.
--
-- They come back to who needs them: pg_dump, vacuumdb and replication call
-- set_config; the owner's migrations create plpgsql functions.
do $$
declare
    f regprocedure;
begin
    for f in
        select p.oid from pg_proc as p
        where p.pronamespace = 'pg_catalog'::regnamespace
          and (p.proname = 'set_config'
               or p.proname like 'query\_to\_xml%' or p.proname like 'cursor\_to\_xml%'
               or p.proname like 'table\_to\_xml%' or p.proname like 'schema\_to\_xml%'
               or p.proname like 'database\_to\_xml%')
    loop
        execute format('revoke execute on function %s from public', f);
    end loop;
    grant execute on function pg_catalog.set_config(text, text, boolean) to commonhold_owner, commonhold_backup;
    revoke update on pg_catalog.pg_settings from public;
    revoke usage on language plpgsql, sql from public;
    grant usage on language plpgsql, sql to commonhold_owner;
end $$
