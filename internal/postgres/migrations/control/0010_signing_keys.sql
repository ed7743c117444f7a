-- +goose Up

-- The keys that sign access tokens: of the platform, not of a tenant. One is published
-- some time before it signs, signs until its successor does, is accepted until the
-- last token that it signed has expired, and is deleted then.
create table signing_keys (
    -- RFC 7638 thumbprint of the public half: the kid of its tokens.
    id                 text not null,
    public_key         bytea not null,
    -- Sealed with the key-encryption key, which no database sees. Erased as soon as
    -- the key signs no more.
    private_key_sealed bytea,
    created_at         timestamptz not null default now(),
    activates_at       timestamptz not null,
    -- When its successor takes over, and when its last token has expired. Null for the
    -- newest key.
    retires_at         timestamptz,
    expires_at         timestamptz,
    constraint signing_keys_pkey primary key (id),
    constraint signing_keys_activates_at_key unique (activates_at),
    constraint signing_keys_id_check check (id ~ '^[A-Za-z0-9_-]{43}$'),
    constraint signing_keys_public_key_check check (octet_length(public_key) = 32),
    constraint signing_keys_private_key_sealed_check check (private_key_sealed is not null or retires_at is not null),
    constraint signing_keys_retires_at_check check (retires_at > activates_at),
    constraint signing_keys_expires_at_check check ((retires_at is null) = (expires_at is null) and expires_at > retires_at)
);
grant select, insert, update, delete on signing_keys to commonhold_control;

-- +goose Down
drop table signing_keys;
