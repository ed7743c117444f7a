-- +goose Up

-- The door of 0001, which sets one thing less for a role whose transactions are
-- read-only unless they say otherwise: see the gate's 0002.
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

-- +goose Down
-- +goose StatementBegin
create or replace function enter_tenant(entered uuid, read_only boolean) returns void
    language plpgsql security definer parallel unsafe
as $$
begin
    perform pg_catalog.set_config('app.tenant_id', t.id::pg_catalog.text, true),
            case when read_only then pg_catalog.set_config('transaction_read_only', 'on', true) end
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
