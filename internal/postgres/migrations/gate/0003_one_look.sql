-- +goose Up

-- open_at is the epoch of an open door to shared tables, else null. Whether a read may
-- enter is then told by an index alone.
alter table tenant_doors add column open_at bigint
    generated always as (case when status = 'OPEN' and schema_name is null then epoch end) stored;
create index tenant_doors_open_at_idx on tenant_doors (tenant_id, open_at);

-- The door of 0002 with as little as can be in the way of a read: each expression has
-- to be set up again for every call, and costs more than its value.
-- +goose StatementBegin
create or replace function enter_tenant(entered uuid, at_epoch bigint, read_only boolean) returns void
    language plpgsql security definer parallel unsafe
as $$
begin
    -- The usual case: no tenant was entered yet and the transaction is read-only, whoever
    -- asks for what. On a connection where no tenant was entered ever it is not known to be
    -- the usual one: the setting is null.
    perform pg_catalog.set_config('app.tenant_id', entered::pg_catalog.text, true)
    from gate.tenant_doors as d
    where d.tenant_id operator(pg_catalog.=) entered
      and d.open_at operator(pg_catalog.=) at_epoch
      and pg_catalog.current_setting('app.tenant_id', true) operator(pg_catalog.||)
          pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.=) 'on';
    if not found then
        perform pg_catalog.set_config('app.tenant_id', d.tenant_id::pg_catalog.text, true),
                case when d.schema_name is not null
                     then pg_catalog.set_config('search_path', pg_catalog.quote_ident(d.schema_name), true) end,
                case when read_only
                     then pg_catalog.set_config('transaction_read_only', 'on', true)
                     else pg_catalog.set_config('app.epoch', d.epoch::pg_catalog.text, true) end
        from gate.tenant_doors as d
        where d.tenant_id operator(pg_catalog.=) entered
          and d.epoch operator(pg_catalog.=) at_epoch
          and d.status operator(pg_catalog.=) 'OPEN'
          and coalesce(pg_catalog.current_setting('app.tenant_id', true), '')
              operator(pg_catalog.=) any (array['', entered::pg_catalog.text]);
        if not found then
            raise exception using errcode = 'TD001', message = 'the door did not open',
                hint = 'The tenant does not live here at this epoch, is closed, or another tenant was entered in this transaction.';
        end if;
    end if;
end $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
create or replace function enter_tenant(entered uuid, at_epoch bigint, read_only boolean) returns void
    language plpgsql security definer parallel unsafe
as $$
begin
    -- The usual case by itself: a first read of shared tables evaluates nothing else.
    if read_only then
        perform pg_catalog.set_config('app.tenant_id', d.tenant_id::pg_catalog.text, true),
                case when pg_catalog.current_setting('transaction_read_only') operator(pg_catalog.<>) 'on'
                     then pg_catalog.set_config('transaction_read_only', 'on', true) end
        from gate.tenant_doors as d
        where d.tenant_id operator(pg_catalog.=) entered
          and d.epoch operator(pg_catalog.=) at_epoch
          and d.status operator(pg_catalog.=) 'OPEN'
          and d.schema_name is null
          and coalesce(pg_catalog.current_setting('app.tenant_id', true), '') operator(pg_catalog.=) '';
        if found then
            return;
        end if;
    end if;
    perform pg_catalog.set_config('app.tenant_id', d.tenant_id::pg_catalog.text, true),
            case when d.schema_name is not null
                 then pg_catalog.set_config('search_path', pg_catalog.quote_ident(d.schema_name), true) end,
            case when read_only
                 then pg_catalog.set_config('transaction_read_only', 'on', true)
                 else pg_catalog.set_config('app.epoch', d.epoch::pg_catalog.text, true) end
    from gate.tenant_doors as d
    where d.tenant_id operator(pg_catalog.=) entered
      and d.epoch operator(pg_catalog.=) at_epoch
      and d.status operator(pg_catalog.=) 'OPEN'
      and coalesce(pg_catalog.current_setting('app.tenant_id', true), '')
          operator(pg_catalog.=) any (array['', entered::pg_catalog.text]);
    if not found then
        raise exception using errcode = 'TD001', message = 'the door did not open',
            hint = 'The tenant does not live here at this epoch, is closed, or another tenant was entered in this transaction.';
    end if;
end $$;
-- +goose StatementEnd

alter table tenant_doors drop column open_at;
