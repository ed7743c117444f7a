-- +goose Up

-- What a person asked for under a key of their own, where the effect is one of the
-- control database: the columns are those of the tenant tables' idempotency_keys, since
-- the same statements read both.
create table idempotency_keys (
    tenant_id    uuid not null,
    id           uuid not null,
    user_id      uuid not null,
    key          text collate "C" not null,
    request_hash bytea not null,
    result       jsonb,
    answer       bytea,
    expires_at   timestamptz not null,
    constraint idempotency_keys_pkey primary key (tenant_id, id),
    constraint idempotency_keys_user_id_key_key unique (tenant_id, user_id, key),
    constraint idempotency_keys_key_check check (char_length(key) between 1 and 255),
    constraint idempotency_keys_request_hash_check check (octet_length(request_hash) = 32),
    constraint idempotency_keys_answer_check check (octet_length(answer) <= 65536)
);
create index idempotency_keys_expires_at_idx on idempotency_keys (tenant_id, expires_at, id);

alter table idempotency_keys enable row level security;
alter table idempotency_keys force row level security;
create policy tenant_isolation on idempotency_keys to public
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
create policy control_plane on idempotency_keys to commonhold_control using (true) with check (true);
grant select, insert, update, delete on idempotency_keys to commonhold_control;

-- +goose Down
drop table idempotency_keys;
