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
update tenants set status = @to_status, updated_at = now()
where id = @id and status = @from_status
returning *;

-- name: SetTenantDoor :execrows
-- SetTenantDoor opens or closes the tenant's door in this database.
update tenant_doors set status = @status, updated_at = now()
where tenant_id = @tenant_id;

-- name: SetTenantDefaults :exec
-- SetTenantDefaults notes that the tenant's home was given its defaults.
update tenants set defaults_at = now()
where id = @id and defaults_at is null;

-- name: GetTenant :one
-- GetTenant reads a tenant with its placement.
select sqlc.embed(t), sqlc.embed(p) from tenants as t
join placements as p on p.tenant_id = t.id
where t.id = @id;

-- name: GetTenantBySlug :one
-- GetTenantBySlug reads a tenant with its placement.
select sqlc.embed(t), sqlc.embed(p) from tenants as t
join placements as p on p.tenant_id = t.id
where t.slug = @slug;

-- name: GetTenantIDBySlug :one
-- GetTenantIDBySlug finds the tenant of a slug.
select id from tenants where slug = @slug;
