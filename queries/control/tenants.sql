-- name: CreateTenant :one
-- CreateTenant stores a tenant. Errors: tenants_slug_key.
insert into tenants (id, slug, name, status, currency_code)
values (@id, @slug, @name, @status, @currency_code)
returning *;

-- name: CreatePlacement :exec
-- CreatePlacement says where the tenant's home is, at its first epoch.
insert into placements (tenant_id, isolation, cluster_name)
values (@tenant_id, @isolation, @cluster_name);

-- name: CreateTenantDoor :exec
-- CreateTenantDoor opens the tenant's door in this database.
insert into tenant_doors (tenant_id, epoch) values (@tenant_id, @epoch);

-- name: SetTenantStatus :one
-- SetTenantStatus moves a tenant from one status to another; no row where it was
-- not in the first.
update tenants set status = @to_status, status_since = now(), updated_at = now()
where id = @id and status = @from_status
returning *;

-- name: SetTenantDoor :execrows
-- SetTenantDoor opens or closes the tenant's door in this database, or opens it for who
-- reads alone.
update tenant_doors set status = @status, updated_at = now()
where tenant_id = @tenant_id;

-- name: WaitForWriters :exec
-- WaitForWriters waits until every transaction has ended that writes in the tenant of this
-- lock: each holds it shared.
select pg_advisory_xact_lock(@key::bigint);

-- name: SetTenantDefaults :exec
-- SetTenantDefaults notes that the tenant's home was given its defaults.
update tenants set defaults_at = now()
where id = @id and defaults_at is null;

-- name: GetTenant :one
-- GetTenant reads a tenant with its placement.
select sqlc.embed(t), sqlc.embed(p) from tenants as t
join placements as p on p.tenant_id = t.id
where t.id = @id;

-- name: GetTenantIDBySlug :one
-- GetTenantIDBySlug finds the tenant of a slug.
select id from tenants where slug = @slug;

-- name: FindTenant :one
-- FindTenant reads a tenant by its slug or its id, and keeps it as it is until this
-- transaction ends.
select * from tenants
where slug = @slug or id = @of::uuid
for no key update;

-- name: ListTenants :many
-- ListTenants lists tenants by their slugs, from behind one of them: all, or those of
-- some statuses, of some isolations, or whose slug or name begins with a text in
-- whichever case. It reads across tenants because the operator asks.
select t.id, t.slug, t.name, t.status, t.status_since, t.currency_code, t.plan_code, t.created_at,
       p.isolation, p.cluster_name, p.epoch,
       (select count(*) from memberships as m where m.tenant_id = t.id and m.status <> 'REMOVED') as members
from tenants as t
join placements as p on p.tenant_id = t.id
where t.slug > @after_slug::text
  and (cardinality(@statuses::text[]) = 0 or t.status = any(@statuses::text[]))
  and (cardinality(@isolations::text[]) = 0 or p.isolation = any(@isolations::text[]))
  and (starts_with(t.slug, @search::text) or starts_with(lower(t.name collate "und-x-icu"), @search::text))
order by t.slug
limit @row_limit::integer;

-- name: GetTenantSummary :one
-- GetTenantSummary reads what the operator is shown of one tenant: where it is, who may
-- enter it, and what its door in this database says. No data of it.
select sqlc.embed(t), sqlc.embed(p), d.status as door_status, d.epoch as door_epoch,
       (select count(*) from memberships as m where m.tenant_id = t.id and m.status = 'ACTIVE' and m.role = 'OWNER') as owners,
       (select count(*) from memberships as m where m.tenant_id = t.id and m.status <> 'REMOVED') as members,
       (select count(*) from invitations as i where i.tenant_id = t.id and i.accepted_at is null and i.revoked_at is null and i.expires_at > now()) as invitations,
       (select count(*) from api_keys as k where k.tenant_id = t.id and k.revoked_at is null and k.expires_at > now()) as api_keys,
       (select count(*) from sessions as s where s.tenant_id = t.id and s.revoked_at is null and s.expires_at > now()) as sessions
from tenants as t
join placements as p on p.tenant_id = t.id
left join tenant_doors as d on d.tenant_id = t.id
where t.slug = @slug or t.id = @of::uuid;

-- name: GetTenantStatus :one
-- GetTenantStatus reads the status of a tenant, for work that was left for later: which
-- tenant it is of stands in what was left.
select status from tenants where id = @of::uuid;

-- name: ListTenantEvents :many
-- ListTenantEvents lists the newest entries of one tenant's log of who may enter, but for
-- who came in, for the operator.
select e.occurred_at, e.action, e.data, u.email as actor_email from access_events as e
left join users as u on u.id = e.actor_id
where e.tenant_id = @tenant_id and not starts_with(e.action, 'session.')
order by e.occurred_at desc, e.id desc
limit @row_limit::integer;
