-- +goose Up

-- Whoever gave the right password and is a member of several tenants holds a ticket for
-- two minutes, to choose one. The ticket itself is a code made of the id and of a key
-- that is not in this database.
create table sign_in_tickets (
    id         uuid not null,
    user_id    uuid not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at    timestamptz,
    constraint sign_in_tickets_pkey primary key (id),
    constraint sign_in_tickets_user_id_fkey foreign key (user_id) references users (id) on delete cascade
);
create index sign_in_tickets_user_id_idx on sign_in_tickets (user_id);
grant select, insert, update, delete on sign_in_tickets to commonhold_control;

-- Who was asked to join a tenant. The token of the mail is a code made of the id and of a
-- key that is not in this database.
create table invitations (
    tenant_id   uuid not null,
    id          uuid not null,
    email       text not null,
    role        text not null,
    -- Who vouches for it: the first to send it, or the last.
    invited_by  uuid not null,
    created_at  timestamptz not null default now(),
    sent_at     timestamptz not null default now(),
    expires_at  timestamptz not null,
    accepted_at timestamptz,
    accepted_by uuid,
    revoked_at  timestamptz,
    constraint invitations_pkey primary key (tenant_id, id),
    constraint invitations_tenant_id_fkey foreign key (tenant_id) references tenants (id),
    constraint invitations_email_check check (email = lower(email) and char_length(email) between 3 and 254),
    constraint invitations_role_check check (role in ('OWNER', 'ADMIN', 'MEMBER', 'VIEWER')),
    constraint invitations_accepted_by_check check ((accepted_at is null) = (accepted_by is null)),
    constraint invitations_revoked_at_check check (accepted_at is null or revoked_at is null)
);
-- One at a time for each address.
create unique index invitations_email_key on invitations (tenant_id, email) where accepted_at is null and revoked_at is null;
create index invitations_created_at_idx on invitations (tenant_id, created_at, id);
-- For who shows a token alone, which knows the invitation before the tenant.
create index invitations_id_idx on invitations (id, tenant_id);

alter table invitations enable row level security;
alter table invitations force row level security;
create policy tenant_isolation on invitations to public
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
create policy control_plane on invitations to commonhold_control using (true) with check (true);
grant select on invitations to commonhold_app;
grant select, insert, update on invitations to commonhold_control;

-- +goose Down
drop table invitations;
drop table sign_in_tickets;
