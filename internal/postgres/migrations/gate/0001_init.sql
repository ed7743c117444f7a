-- The gate: which tenants live in this database, and the one way in.
-- tenant_doors has no row-level security on purpose: the door function runs as
-- the owner, whom a forced policy would refuse. The request role has no grant on
-- it, only on the function.

-- +goose Up

create table tenant_doors (
    tenant_id   uuid not null,
    epoch       bigint not null,
    -- Where the home is, for a schema home; null for the shared tables.
    schema_name text,
    status      text not null default 'OPEN',
    updated_at  timestamptz not null default now(),
    constraint tenant_doors_pkey primary key (tenant_id),
    constraint tenant_doors_epoch_check check (epoch > 0),
    constraint tenant_doors_status_check check (status in ('OPEN', 'CLOSED'))
);
grant select, insert, update, delete on tenant_doors to commonhold_control;

-- enter_tenant enters a tenant for the rest of this transaction, if this
-- database is its home at that epoch and its door is open. read_only makes the
-- transaction read-only too. A second call for the same tenant is allowed, for
-- another it is refused.
--
-- SQLSTATE TD001: the door did not open. Raising, rather than answering false,
-- stops the rest of a pipeline.
--
-- Security definer without a SET clause (it would undo the settings on exit), so
-- every name in it is qualified. One statement for a read keeps it cheap.
-- +goose StatementBegin
create function enter_tenant(entered uuid, at_epoch bigint, read_only boolean) returns void
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
revoke execute on function enter_tenant(uuid, bigint, boolean) from public;
grant execute on function enter_tenant(uuid, bigint, boolean) to commonhold_app;

-- A server asks the ledger whether it serves this version.
grant select on goose_db_version to commonhold_control;

-- +goose Down
drop function enter_tenant(uuid, bigint, boolean);
drop table tenant_doors;
