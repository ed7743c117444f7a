-- +goose Up

-- Grows with each change of role or status. A token says for which epoch it was
-- issued, so that a member who was demoted or removed is known by an old one.
alter table memberships
    add column epoch bigint not null default 1,
    add constraint memberships_epoch_check check (epoch > 0);

-- Host names of a tenant's own, beside the one under the base domain. An operator
-- adds them once the name points here; unique among all tenants, as a name in the
-- DNS is.
create table tenant_domains (
    tenant_id  uuid not null,
    host       text not null,
    created_at timestamptz not null default now(),
    constraint tenant_domains_pkey primary key (tenant_id, host),
    constraint tenant_domains_host_key unique (host),
    constraint tenant_domains_tenant_id_fkey foreign key (tenant_id) references tenants (id),
    constraint tenant_domains_host_check check (
        host ~ '^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?$' and char_length(host) <= 253)
);
grant select, insert, update, delete on tenant_domains to commonhold_control;

-- +goose Down
drop table tenant_domains;
alter table memberships drop column epoch;
