-- +goose Up

-- Who came in, and who may: what happened to the platform's own tables for one
-- tenant, written in the transaction that did it; never changed after.
create table access_events (
    tenant_id   uuid not null,
    id          uuid not null,
    -- Which transaction: a reader takes only what lies before the oldest one still
    -- running.
    xid         xid8 not null default pg_current_xact_id(),
    occurred_at timestamptz not null default now(),
    actor_id    uuid,
    action      text not null,
    entity_id   uuid not null,
    request_id  text not null,
    data        jsonb not null,
    constraint access_events_pkey primary key (tenant_id, id),
    constraint access_events_tenant_id_fkey foreign key (tenant_id) references tenants (id),
    constraint access_events_action_check check (action ~ '^[a-z_]+\.[a-z_]+$')
);
create index access_events_occurred_at_idx on access_events (tenant_id, occurred_at, id);

alter table access_events enable row level security;
alter table access_events force row level security;
create policy tenant_isolation on access_events to public
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
create policy control_plane on access_events to commonhold_control using (true) with check (true);
grant select on access_events to commonhold_app;
grant insert on access_events to commonhold_control;

-- +goose Down
drop table access_events;
