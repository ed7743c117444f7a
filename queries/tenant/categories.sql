-- name: CreateCategory :one
-- CreateCategory stores a category under the id it is given.
-- Errors: categories_parent_id_name_key, categories_parent_id_fkey.
insert into categories (tenant_id, id, parent_id, name, created_by)
values (@tenant_id, @id, @parent_id, @name, @created_by)
returning *;

-- name: ImportCategories :execrows
-- ImportCategories stores many top-level categories in one statement; those whose
-- name exists already are left as they are.
insert into categories (tenant_id, id, name, created_by)
select @tenant_id, unnest(@ids::uuid[]), unnest(@names::text[]), @created_by
on conflict (tenant_id, parent_id, name_key) do nothing;

-- name: UpdateCategory :one
-- UpdateCategory changes what its set_ flags name, if the category still has the
-- version the caller read. No row: unknown, or changed since. Before a change of
-- parent, call LockCategories and ListCategoryAncestors.
-- Errors: categories_parent_id_name_key, categories_parent_id_fkey, categories_parent_id_check.
update categories set
    name = case when @set_name::boolean then @name::text else name end,
    parent_id = case when @set_parent_id::boolean then sqlc.narg(parent_id) else parent_id end,
    version = version + 1,
    updated_at = now()
where tenant_id = @tenant_id and id = @id and version = @version
returning *;

-- name: DeleteCategory :one
-- DeleteCategory removes the category if it still has the version the caller read.
-- Errors: products_category_id_fkey, categories_parent_id_fkey while it is in use.
delete from categories
where tenant_id = @tenant_id and id = @id and version = @version
returning *;

-- name: GetCategory :one
-- GetCategory reads one category.
select * from categories
where tenant_id = @tenant_id and id = @id;

-- name: ListCategoriesByIDs :many
-- ListCategoriesByIDs reads the categories that exist among ids, in any order.
select * from categories
where tenant_id = @tenant_id and id = any(@ids::uuid[]);

-- name: LockCategories :exec
-- LockCategories keeps everybody else from moving a category until this
-- transaction ends. Rows are locked in one order, so two movers cannot deadlock.
select 1 from categories
where tenant_id = @tenant_id
order by id
for update;

-- name: HoldCategories :many
-- HoldCategories reads the ids of the categories that exist among ids, and keeps
-- everybody else from removing them until this transaction ends.
select id from categories
where tenant_id = @tenant_id and id = any(@ids::uuid[])
order by id
for key share;

-- name: ListCategoryAncestors :many
-- ListCategoryAncestors reads the ids of a category and all that stand above it.
with recursive line as (
    select c.tenant_id, c.id, c.parent_id from categories as c
    where c.tenant_id = @tenant_id and c.id = @id
    union
    select c.tenant_id, c.id, c.parent_id from categories as c
    join line on c.tenant_id = line.tenant_id and c.id = line.parent_id
    where c.tenant_id = @tenant_id
)
select line.id from line
order by line.id;

-- name: ListCategoriesByNameAsc :many
-- ListCategoriesByNameAsc lists what lies between two bounds, both excluded, lowest first.
select * from categories
where tenant_id = @tenant_id
  and (name_key, id) > (@low_name_key::text, @low_id::uuid)
  and (name_key, id) < (@high_name_key::text, @high_id::uuid)
order by name_key, id
limit @row_limit::integer;

-- name: ListCategoriesByNameDesc :many
-- ListCategoriesByNameDesc lists what lies between two bounds, both excluded, highest first.
select * from categories
where tenant_id = @tenant_id
  and (name_key, id) > (@low_name_key::text, @low_id::uuid)
  and (name_key, id) < (@high_name_key::text, @high_id::uuid)
order by name_key desc, id desc
limit @row_limit::integer;

-- name: CountCategories :one
-- CountCategories counts the tenant's categories.
select count(*) from categories
where tenant_id = @tenant_id;
