-- +goose Up

-- Tenants that somebody asked for and whose address nobody has confirmed yet. A row
-- reserves nothing and opens nothing; it is forgotten after a day. The token of its mail is
-- a code made of the id and of a key that is not in this database.
create table registrations (
    id            uuid not null,
    email         text not null,
    display_name  text not null,
    -- For an account to be made. Where there is one when the link is used, it is dropped.
    password_hash text,
    tenant_name   text not null,
    slug          text not null,
    currency_code text not null,
    created_at    timestamptz not null default now(),
    expires_at    timestamptz not null,
    -- The tenant that was made of it, shown to who uses the link again.
    became_id     uuid,
    constraint registrations_pkey primary key (id),
    constraint registrations_became_id_fkey foreign key (became_id) references tenants (id) on delete cascade,
    constraint registrations_email_check check (email = lower(email) and char_length(email) between 3 and 254),
    constraint registrations_password_hash_check check ((password_hash is null) = (became_id is not null))
);
create index registrations_expires_at_idx on registrations (expires_at);
create index registrations_became_id_idx on registrations (became_id);
grant select, insert, update, delete on registrations to commonhold_control;

-- +goose Down
drop table registrations;
