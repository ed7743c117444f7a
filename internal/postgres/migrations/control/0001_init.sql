-- The platform: which tenants there are, where they live, who may enter them.
-- Names are unqualified: the search path of the migration says the schema.

-- +goose Up

create table plans (
    code text not null,
    name text not null,
    constraint plans_pkey primary key (code),
    constraint plans_code_check check (code ~ '^[a-z][a-z0-9-]{0,39}$')
);
insert into plans (code, name) values ('standard', 'Standard');

create table tenants (
    id            uuid not null,
    slug          text not null,
    name          text not null,
    status        text not null,
    plan_code     text not null default 'standard',
    currency_code text not null,
    -- Set when the tenant's home was given what every tenant starts with.
    defaults_at   timestamptz,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint tenants_pkey primary key (id),
    constraint tenants_slug_key unique (slug),
    constraint tenants_slug_check check (slug ~ '^[a-z0-9](-?[a-z0-9])+$' and char_length(slug) between 3 and 40),
    constraint tenants_name_check check (char_length(name) between 1 and 200),
    constraint tenants_status_check check (status in ('PROVISIONING', 'ACTIVE', 'SUSPENDED', 'OFFBOARDING', 'ERASED')),
    constraint tenants_currency_code_check check (currency_code ~ '^[A-Z]{3}$'),
    constraint tenants_plan_code_fkey foreign key (plan_code) references plans (code)
);

create table placements (
    tenant_id    uuid not null,
    isolation    text not null,
    -- Names from the configuration; no address and no secret is stored here.
    cluster_name text not null,
    schema_name  text,
    -- Grows with every move. The door opens only to the epoch it knows.
    epoch        bigint not null default 1,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    constraint placements_pkey primary key (tenant_id),
    constraint placements_tenant_id_fkey foreign key (tenant_id) references tenants (id),
    constraint placements_isolation_check check (isolation in ('SHARED', 'SCHEMA', 'DATABASE')),
    constraint placements_schema_name_check check ((isolation = 'SCHEMA') = (schema_name is not null)),
    constraint placements_epoch_check check (epoch > 0)
);

-- A person, the same in every tenant. Holds only what fellow members may see:
-- secrets live in user_credentials, which the request role cannot read.
create table users (
    id           uuid not null,
    email        text not null,
    display_name text not null,
    created_at   timestamptz not null default now(),
    constraint users_pkey primary key (id),
    constraint users_email_key unique (email),
    constraint users_email_check check (email = lower(email) and char_length(email) between 3 and 254),
    constraint users_display_name_check check (char_length(display_name) between 1 and 100)
);

create table user_credentials (
    user_id       uuid not null,
    password_hash text not null,
    updated_at    timestamptz not null default now(),
    constraint user_credentials_pkey primary key (user_id),
    constraint user_credentials_user_id_fkey foreign key (user_id) references users (id) on delete cascade
);

create table memberships (
    tenant_id  uuid not null,
    id         uuid not null,
    user_id    uuid not null,
    role       text not null,
    -- A removed member keeps the row, so that old work still has a name.
    status     text not null default 'ACTIVE',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint memberships_pkey primary key (tenant_id, id),
    constraint memberships_user_id_key unique (tenant_id, user_id),
    constraint memberships_tenant_id_fkey foreign key (tenant_id) references tenants (id),
    constraint memberships_user_id_fkey foreign key (user_id) references users (id),
    constraint memberships_role_check check (role in ('OWNER', 'ADMIN', 'MEMBER', 'VIEWER')),
    constraint memberships_status_check check (status in ('ACTIVE', 'REMOVED'))
);
create index memberships_created_at_idx on memberships (tenant_id, created_at, id);
-- For sign-in alone, which knows the person before the tenant.
create index memberships_user_id_idx on memberships (user_id, tenant_id);

-- One sign-in of one person to one tenant: a family of refresh tokens.
create table sessions (
    id           uuid not null,
    user_id      uuid not null,
    tenant_id    uuid not null,
    created_at   timestamptz not null default now(),
    last_used_at timestamptz not null default now(),
    expires_at   timestamptz not null,
    revoked_at   timestamptz,
    revoked_why  text,
    constraint sessions_pkey primary key (id),
    constraint sessions_user_id_fkey foreign key (user_id) references users (id) on delete cascade,
    constraint sessions_tenant_id_fkey foreign key (tenant_id) references tenants (id),
    constraint sessions_revoked_why_check check ((revoked_at is null) = (revoked_why is null))
);
create index sessions_user_id_idx on sessions (user_id);
create index sessions_tenant_id_idx on sessions (tenant_id);
create index sessions_expires_at_idx on sessions (expires_at);

-- Refresh tokens are kept as SHA-256 of the token. A used one is kept to notice
-- its reuse; its salt gives the same successor to a request that is retried.
create table refresh_tokens (
    token_hash     bytea not null,
    session_id     uuid not null,
    created_at     timestamptz not null default now(),
    used_at        timestamptz,
    successor_salt bytea,
    constraint refresh_tokens_pkey primary key (token_hash),
    constraint refresh_tokens_session_id_fkey foreign key (session_id) references sessions (id) on delete cascade,
    constraint refresh_tokens_token_hash_check check (octet_length(token_hash) = 32),
    constraint refresh_tokens_successor_salt_check check ((used_at is null) = (successor_salt is null))
);
create index refresh_tokens_session_id_idx on refresh_tokens (session_id);

-- The walls of the tenant-scoped table, and the second policy that lets sign-in
-- and registration work without BYPASSRLS.
alter table memberships enable row level security;
alter table memberships force row level security;
create policy tenant_isolation on memberships to public
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
create policy control_plane on memberships to commonhold_control using (true) with check (true);

-- A person is visible while a membership of the entered tenant names them.
alter table users enable row level security;
alter table users force row level security;
create policy members_visible on users for select to public
    using (exists (
        select from memberships as m
        where m.tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
          and m.user_id = users.id));
create policy control_plane on users to commonhold_control using (true) with check (true);

grant select, insert, update, delete on
    plans, tenants, placements, users, user_credentials, memberships, sessions, refresh_tokens
    to commonhold_control;
grant select on memberships to commonhold_app;
grant select (id, email, display_name, created_at) on users to commonhold_app;

-- The door of the control database. It reads the status in tenants itself, so
-- that members of a tenant that lives elsewhere are reached too. No SET clause:
-- that would undo the setting on exit. One statement keeps it cheap. SQLSTATEs as
-- at gate.enter_tenant.
-- +goose StatementBegin
create function enter_tenant(entered uuid, read_only boolean) returns void
    language plpgsql security definer parallel unsafe
as $$
begin
    perform pg_catalog.set_config('app.tenant_id', t.id::pg_catalog.text, true),
            case when read_only then pg_catalog.set_config('transaction_read_only', 'on', true) end
    from control.tenants as t
    where t.id operator(pg_catalog.=) entered
      and t.status operator(pg_catalog.=) 'ACTIVE'
      and coalesce(pg_catalog.current_setting('app.tenant_id', true), '')
          operator(pg_catalog.=) any (array['', entered::pg_catalog.text]);
    if not found then
        raise exception using errcode = 'TD001', message = 'the door did not open',
            hint = 'The tenant is unknown here, closed, or another tenant was entered in this transaction.';
    end if;
end $$;
-- +goose StatementEnd
revoke execute on function enter_tenant(uuid, boolean) from public;
grant execute on function enter_tenant(uuid, boolean) to commonhold_app;

-- A server asks the ledger whether it serves this version.
grant select on goose_db_version to commonhold_control;

-- +goose Down
drop function enter_tenant(uuid, boolean);
drop table refresh_tokens, sessions, memberships, user_credentials, users, placements, tenants, plans;
