-- +goose Up

-- What machines show instead of a person's token. A key acts for the member who made it,
-- in this tenant, within its scopes and within what that member may do at the time.
create table api_keys (
    tenant_id    uuid not null,
    id           uuid not null,
    name         text not null,
    -- The last characters of the key, to recognise it by in a list.
    ending       text not null,
    scopes       text[] not null,
    created_by   uuid not null,
    created_at   timestamptz not null default now(),
    -- Brought forward when the key is rotated: to the end of the overlap.
    expires_at   timestamptz not null,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    replaced_by  uuid,
    constraint api_keys_pkey primary key (tenant_id, id),
    constraint api_keys_created_by_fkey foreign key (tenant_id, created_by) references memberships (tenant_id, user_id),
    constraint api_keys_replaced_by_fkey foreign key (tenant_id, replaced_by) references api_keys (tenant_id, id),
    constraint api_keys_name_check check (char_length(name) between 1 and 100),
    constraint api_keys_ending_check check (char_length(ending) = 4),
    -- Who may enter, and with which keys, is decided by people.
    constraint api_keys_scopes_check check (cardinality(scopes) > 0 and scopes <@ array[
        'PRODUCTS_READ', 'PRODUCTS_WRITE', 'CATEGORIES_READ', 'CATEGORIES_WRITE', 'CUSTOMERS_READ', 'CUSTOMERS_WRITE',
        'ORDERS_READ', 'ORDERS_WRITE', 'MEMBERS_READ', 'TENANT_READ', 'TENANT_WRITE', 'AUDIT_READ']),
    -- A year, and a day for clocks that differ.
    constraint api_keys_expires_at_check check (expires_at <= created_at + interval '367 days')
);
create index api_keys_created_at_idx on api_keys (tenant_id, created_at, id);

-- SHA-256 of the key's 32 random bytes, which nobody guesses: no slow hash is needed.
-- Apart from the key, so that the request role reads keys and no secrets.
create table api_key_secrets (
    tenant_id   uuid not null,
    id          uuid not null,
    secret_hash bytea not null,
    constraint api_key_secrets_pkey primary key (tenant_id, id),
    constraint api_key_secrets_id_fkey foreign key (tenant_id, id) references api_keys (tenant_id, id) on delete cascade,
    constraint api_key_secrets_secret_hash_check check (octet_length(secret_hash) = 32)
);

alter table api_keys enable row level security;
alter table api_keys force row level security;
create policy tenant_isolation on api_keys to public
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
create policy control_plane on api_keys to commonhold_control using (true) with check (true);

alter table api_key_secrets enable row level security;
alter table api_key_secrets force row level security;
create policy tenant_isolation on api_key_secrets to public
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
create policy control_plane on api_key_secrets to commonhold_control using (true) with check (true);

grant select on api_keys to commonhold_app;
grant select, insert, update, delete on api_keys to commonhold_control;
grant select, insert, delete on api_key_secrets to commonhold_control;

-- +goose Down
drop table api_key_secrets, api_keys;
