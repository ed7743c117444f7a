-- +goose Up

alter table tenant_doors
    drop constraint tenant_doors_status_check,
    add constraint tenant_doors_status_check check (status in ('OPEN', 'READ_ONLY', 'CLOSED'));

-- The door of 0003, which lets who only reads into a read-only tenant too. Of an open door
-- nothing is asked that was not asked before. SQLSTATE TD002: who would write may read alone.
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
          and (d.status operator(pg_catalog.=) 'OPEN' or read_only and d.status operator(pg_catalog.=) 'READ_ONLY')
          and coalesce(pg_catalog.current_setting('app.tenant_id', true), '')
              operator(pg_catalog.=) any (array['', entered::pg_catalog.text]);
        if not found then
            if not read_only and exists (
                select from gate.tenant_doors as d
                where d.tenant_id operator(pg_catalog.=) entered
                  and d.epoch operator(pg_catalog.=) at_epoch
                  and d.status operator(pg_catalog.=) 'READ_ONLY') then
                raise exception using errcode = 'TD002', message = 'the door opens to who reads alone';
            end if;
            raise exception using errcode = 'TD001', message = 'the door did not open',
                hint = 'The tenant does not live here at this epoch, is closed, or another tenant was entered in this transaction.';
        end if;
    end if;
end $$;
-- +goose StatementEnd

-- +goose Down
update tenant_doors set status = 'CLOSED' where status = 'READ_ONLY';
alter table tenant_doors
    drop constraint tenant_doors_status_check,
    add constraint tenant_doors_status_check check (status in ('OPEN', 'CLOSED'));
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
