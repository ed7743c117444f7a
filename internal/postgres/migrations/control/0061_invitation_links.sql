-- +goose Up

-- A link by which several people may ask for an invitation, if their address is at one of
-- these domains. Its token is a code made of the id and of a key that is not in this
-- database.
create table invitation_links (
    tenant_id       uuid not null,
    id              uuid not null,
    role            text not null,
    -- In ASCII (IDNA) and lower case. A name below one of them is another.
    allowed_domains text[] not null,
    max_uses        integer not null,
    -- How many have joined by it.
    uses            integer not null default 0,
    -- Who vouches for it.
    created_by      uuid not null,
    created_at      timestamptz not null default now(),
    expires_at      timestamptz not null,
    revoked_at      timestamptz,
    constraint invitation_links_pkey primary key (tenant_id, id),
    constraint invitation_links_tenant_id_fkey foreign key (tenant_id) references tenants (id),
    -- An owner is made of one person, whom somebody names.
    constraint invitation_links_role_check check (role in ('ADMIN', 'MEMBER', 'VIEWER')),
    constraint invitation_links_allowed_domains_check check (cardinality(allowed_domains) between 1 and 20),
    constraint invitation_links_max_uses_check check (max_uses between 1 and 1000),
    constraint invitation_links_uses_check check (uses between 0 and max_uses),
    constraint invitation_links_expires_at_check check (expires_at <= created_at + interval '31 days')
);
create index invitation_links_created_at_idx on invitation_links (tenant_id, created_at, id);
-- For who shows a token alone, which knows the link before the tenant.
create index invitation_links_id_idx on invitation_links (id, tenant_id);

alter table invitation_links enable row level security;
alter table invitation_links force row level security;
create policy tenant_isolation on invitation_links to public
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
create policy control_plane on invitation_links to commonhold_control using (true) with check (true);
grant select on invitation_links to commonhold_app;
grant select, insert, update on invitation_links to commonhold_control;

-- Null: it was sent by somebody, and not asked for by a link.
alter table invitations
    add column link_id uuid,
    add constraint invitations_link_id_fkey foreign key (tenant_id, link_id) references invitation_links (tenant_id, id);
create index invitations_link_id_idx on invitations (tenant_id, link_id) where link_id is not null;

-- +goose Down
alter table invitations drop column link_id;
drop table invitation_links;
