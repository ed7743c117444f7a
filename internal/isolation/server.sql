-- Which server and database this is, and whether it was ever migrated.
select (regexp_match(current_setting('server_version'), '^[0-9.]+'))[1] as server,
       current_database() as database,
       current_setting('server_version_num')::int as version,
       not exists (select from unnest(array['commonhold_owner', 'commonhold_control', 'commonhold_app']) as name
                   where to_regrole(name) is null)
       and not exists (select from unnest(array['control.goose_db_version', 'gate.goose_db_version', 'shared.goose_db_version']) as name
                       where to_regclass(name) is null) as migrated
