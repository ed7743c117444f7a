-- +goose Up

-- The door of 0001, for a role whose transactions are read-only unless they say
-- otherwise: then a read sets one thing less. Where the role's setting is missing,
-- or a pooler's session lost it, the door makes the transaction read-only itself, as
-- before. Once the door has been passed nobody can take that back: PostgreSQL
-- refuses it after the first snapshot of a transaction.
--
-- It stays VOLATILE. STABLE would tell the planner that a call may be left out or made
-- once for two.
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

-- +goose Down
-- +goose StatementBegin
create or replace function enter_tenant(entered uuid, at_epoch bigint, read_only boolean) returns void
    language plpgsql security definer parallel unsafe
as $$
begin
    -- The usual case by itself: a read of shared tables evaluates nothing else.
    if read_only then
        perform pg_catalog.set_config('app.tenant_id', d.tenant_id::pg_catalog.text, true),
                pg_catalog.set_config('transaction_read_only', 'on', true)
        from gate.tenant_doors as d
        where d.tenant_id operator(pg_catalog.=) entered
          and d.epoch operator(pg_catalog.=) at_epoch
          and d.status operator(pg_catalog.=) 'OPEN'
          and d.schema_name is null
          and coalesce(pg_catalog.current_setting('app.tenant_id', true), '')
              operator(pg_catalog.=) any (array['', entered::pg_catalog.text]);
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
