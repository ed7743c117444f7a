-- The roles, which belong to the whole server. Run by a role that may create
-- roles; BYPASSRLS can only be given by a superuser (or, from PostgreSQL 16, by
-- one who holds it with ADMIN), so the backup role comes last and may fail.
do $$
declare
    wanted record;
begin
    for wanted in select * from (values
        ('commonhold_owner',    'nologin noinherit nosuperuser nocreatedb nocreaterole'),
        ('commonhold_migrator', 'login noinherit nosuperuser nocreatedb nocreaterole'),
        ('commonhold_control',  'login noinherit nosuperuser nocreatedb nocreaterole'),
        ('commonhold_app',      'login noinherit nosuperuser nocreatedb nocreaterole'),
        ('commonhold_backup',   'login noinherit nosuperuser nocreatedb nocreaterole')
    ) as w (name, attributes)
    loop
        if not exists (select from pg_roles where rolname = wanted.name) then
            begin
                execute format('create role %I %s', wanted.name, wanted.attributes);
            exception when duplicate_object or unique_violation then
                null; -- another migrator, on another database of this server, was first
            end;
        end if;
    end loop;

    if not pg_has_role('commonhold_migrator', 'commonhold_owner', 'member') then
        grant commonhold_owner to commonhold_migrator;
    end if;
    if not pg_has_role(current_user, 'commonhold_owner', 'member') then
        execute format('grant commonhold_owner to %I', current_user);
    end if;

    if not exists (select from pg_roles where rolname = 'commonhold_backup' and rolbypassrls) then
        begin
            alter role commonhold_backup bypassrls;
        exception when insufficient_privilege then
            raise warning 'commonhold_backup has no BYPASSRLS: a superuser must grant it before pg_dump of the whole works';
        end;
    end if;
end $$
