-- +goose Up

-- What a person asked for under a key of their own: a retry gets the same answer,
-- and the effect happens once.
create table idempotency_keys (
    tenant_id    uuid not null,
    id           uuid not null,
    user_id      uuid not null,
    key          text collate "C" not null,
    -- SHA-256 of what was asked: anything else under the same key is refused.
    request_hash bytea not null,
    -- What the effect came to, written in its transaction. Null where there was no
    -- effect: then the answer says why.
    result       jsonb,
    -- The answer as it was sent; null where a crash came between, or where it is too
    -- long to be kept. It is then made again from the result.
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
grant select, insert, update, delete on idempotency_keys to commonhold_app;

-- +goose Down
drop table idempotency_keys;
