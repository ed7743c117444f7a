-- +goose Up

-- A read-only tenant can be entered, and its data not be changed. Since when a tenant is in
-- its status: nothing else changed updated_at until now.
alter table tenants
    add column status_since timestamptz not null default now(),
    drop constraint tenants_status_check,
    add constraint tenants_status_check check (status in ('PROVISIONING', 'ACTIVE', 'READ_ONLY', 'SUSPENDED', 'OFFBOARDING', 'ERASED'));
update tenants set status_since = updated_at;

-- The operator is shown what happened to a tenant last.
grant select on access_events to commonhold_control;

-- The door of before, which lets who only reads into a read-only tenant too. SQLSTATE
-- TD002: who would write may read alone.
-- +goose StatementBegin
create or replace function enter_tenant(entered uuid, read_only boolean) returns void
    language plpgsql security definer parallel unsafe
as $$
begin
    perform pg_catalog.set_config('app.tenant_id', t.id::pg_catalog.text, true),
            case when read_only and pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.<>) 'on'
                 then pg_catalog.set_config('transaction_read_only', 'on', true) end
    from control.tenants as t
    where t.id operator(pg_catalog.=) entered
      and (t.status operator(pg_catalog.=) 'ACTIVE' or read_only and t.status operator(pg_catalog.=) 'READ_ONLY')
      and coalesce(pg_catalog.current_setting('app.tenant_id', true), '')
          operator(pg_catalog.=) any (array['', entered::pg_catalog.text]);
    if found then
        return;
    end if;
    if not read_only and exists (
        select from control.tenants as t
        where t.id operator(pg_catalog.=) entered and t.status operator(pg_catalog.=) 'READ_ONLY') then
        raise exception using errcode = 'TD002', message = 'the door opens to who reads alone';
    end if;
    raise exception using errcode = 'TD001', message = 'the door did not open',
        hint = 'The tenant is unknown here, closed, or another tenant was entered in this transaction.';
end $$;
-- +goose StatementEnd

-- +goose Down
revoke select on access_events from commonhold_control;
update tenants set status = 'SUSPENDED' where status = 'READ_ONLY';
alter table tenants
    drop column status_since,
    drop constraint tenants_status_check,
    add constraint tenants_status_check check (status in ('PROVISIONING', 'ACTIVE', 'SUSPENDED', 'OFFBOARDING', 'ERASED'));
-- +goose StatementBegin
create or replace function enter_tenant(entered uuid, read_only boolean) returns void
    language plpgsql security definer parallel unsafe
as $$
begin
    perform pg_catalog.set_config('app.tenant_id', t.id::pg_catalog.text, true),
            case when read_only and pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.<>) 'on'
                 then pg_catalog.set_config('transaction_read_only', 'on', true) end
    from control.tenants as t
    where t.id operator(pg_catalog.=) entered
      and t.status operator(pg_catalog.=) 'ACTIVE'
      and coalesce(pg_catalog.current_setting('app.tenant_id', true), '')
          operator(pg_catalog.=) any (array['', entered::pg_catalog.text]);
    if not found then
        raise exception using errcode = 'TD001', message = 'the door did not open',
            hint = 'The tenant is unknown here, closed, or another tenant was entered in this transaction.';
    end if;
end $$;
-- +goose StatementEnd
