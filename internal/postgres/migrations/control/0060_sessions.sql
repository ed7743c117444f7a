-- +goose Up

-- A session ends where nobody refreshes it until expires_at, and at ends_at however
-- often somebody does. A server of before makes sessions that last as long as they did.
alter table sessions
    add column ends_at timestamptz not null default now() + interval '30 days',
    -- When the password was given in it last. Null: by nobody that is known of.
    add column confirmed_at timestamptz,
    -- What the client called itself, which it may do as it likes.
    add column user_agent text,
    add constraint sessions_user_agent_check check (char_length(user_agent) between 1 and 200);
update sessions set ends_at = expires_at, expires_at = least(expires_at, now() + interval '14 days');

-- Grows when the password becomes another one: who has checked the one of before
-- begins no session with it.
alter table user_credentials add column version bigint not null default 1;

-- What the links in mails are for. The token of one is made from its id when its mail
-- is sent, and is stored nowhere.
create table mail_links (
    id         uuid not null,
    purpose    text not null,
    user_id    uuid not null,
    -- Where it was sent: the person's address, or the one that is to take its place.
    email      text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at    timestamptz,
    constraint mail_links_pkey primary key (id),
    constraint mail_links_user_id_fkey foreign key (user_id) references users (id) on delete cascade,
    constraint mail_links_purpose_check check (purpose in ('password reset', 'email change')),
    constraint mail_links_email_check check (email = lower(email) and char_length(email) between 3 and 254)
);
create index mail_links_user_id_idx on mail_links (user_id);
create index mail_links_expires_at_idx on mail_links (expires_at);
grant select, insert, update, delete on mail_links to commonhold_control;

-- How often something was tried, by whom or against whom: known by a MAC alone, so that
-- the table names no address and no network.
create table attempts (
    key         bytea not null,
    failures    integer not null,
    last_at     timestamptz not null default now(),
    -- Not before then is the next one looked at.
    next_at     timestamptz not null default now(),
    -- Until then it is somebody who has succeeded before.
    known_until timestamptz,
    -- Then it is forgotten.
    expires_at  timestamptz not null,
    constraint attempts_pkey primary key (key),
    constraint attempts_key_check check (octet_length(key) = 32),
    constraint attempts_failures_check check (failures >= 0)
);
create index attempts_expires_at_idx on attempts (expires_at);
grant select, insert, update, delete on attempts to commonhold_control;

-- +goose Down
drop table attempts, mail_links;
alter table user_credentials drop column version;
alter table sessions drop column user_agent, drop column confirmed_at, drop column ends_at;
