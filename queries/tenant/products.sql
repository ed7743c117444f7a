-- name: CreateProduct :one
-- CreateProduct stores a product under the id it is given.
-- Errors: products_sku_key, products_category_id_fkey.
insert into products (tenant_id, id, sku, name, description, price_minor, stock, category_id, created_by)
values (@tenant_id, @id, @sku, @name, @description, @price_minor, @stock, @category_id, @created_by)
returning *;

-- name: UpdateProduct :one
-- UpdateProduct changes what its set_ flags name, if the product still has the
-- version the caller read. No row: unknown, or changed since.
-- Errors: products_sku_key, products_category_id_fkey.
update products set
    sku = case when @set_sku::boolean then @sku::text else sku end,
    name = case when @set_name::boolean then @name::text else name end,
    description = case when @set_description::boolean then sqlc.narg(description) else description end,
    price_minor = case when @set_price_minor::boolean then @price_minor::bigint else price_minor end,
    stock = case when @set_stock::boolean then @stock::integer else stock end,
    category_id = case when @set_category_id::boolean then sqlc.narg(category_id) else category_id end,
    version = version + 1,
    updated_at = now()
where tenant_id = @tenant_id and id = @id and version = @version
returning *;

-- name: DeleteProduct :one
-- DeleteProduct removes the product if it still has the version the caller read.
delete from products
where tenant_id = @tenant_id and id = @id and version = @version
returning *;

-- name: GetProduct :one
-- GetProduct reads one product.
select * from products
where tenant_id = @tenant_id and id = @id;

-- name: ListProductsByIDs :many
-- ListProductsByIDs reads the products that exist among ids, in any order.
select * from products
where tenant_id = @tenant_id and id = any(@ids::uuid[]);

-- name: ListNewestProducts :many
-- ListNewestProducts is the unfiltered list, newest first: the hottest statement
-- of all, so it is free of optional conditions. Start from the year
-- 9999 and the highest UUID.
select * from products
where tenant_id = @tenant_id
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
order by created_at desc, id desc
limit @row_limit::integer;

-- name: ListProductsByCreatedAtAsc :many
-- ListProductsByCreatedAtAsc lists what lies between two bounds, both excluded, lowest first.
-- A null filter lets everything pass.
select * from products
where tenant_id = @tenant_id
  and (created_at, id) > (@low_created_at::timestamptz, @low_id::uuid)
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
  and (sqlc.narg(category_id)::uuid is null or category_id = sqlc.narg(category_id)::uuid)
  and (sqlc.narg(min_price)::bigint is null or price_minor >= sqlc.narg(min_price)::bigint)
  and (sqlc.narg(max_price)::bigint is null or price_minor <= sqlc.narg(max_price)::bigint)
  and (sqlc.narg(contains)::text is null or strpos(name_key, lower(sqlc.narg(contains)::text collate "und-x-icu") collate "C") > 0)
  and (sqlc.narg(in_stock)::boolean is null or (stock > 0) = sqlc.narg(in_stock)::boolean)
order by created_at, id
limit @row_limit::integer;

-- name: ListProductsByCreatedAtDesc :many
-- ListProductsByCreatedAtDesc lists what lies between two bounds, both excluded, highest first.
-- A null filter lets everything pass.
select * from products
where tenant_id = @tenant_id
  and (created_at, id) > (@low_created_at::timestamptz, @low_id::uuid)
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
  and (sqlc.narg(category_id)::uuid is null or category_id = sqlc.narg(category_id)::uuid)
  and (sqlc.narg(min_price)::bigint is null or price_minor >= sqlc.narg(min_price)::bigint)
  and (sqlc.narg(max_price)::bigint is null or price_minor <= sqlc.narg(max_price)::bigint)
  and (sqlc.narg(contains)::text is null or strpos(name_key, lower(sqlc.narg(contains)::text collate "und-x-icu") collate "C") > 0)
  and (sqlc.narg(in_stock)::boolean is null or (stock > 0) = sqlc.narg(in_stock)::boolean)
order by created_at desc, id desc
limit @row_limit::integer;

-- name: ListProductsByNameAsc :many
-- ListProductsByNameAsc lists what lies between two bounds, both excluded, lowest first.
-- A null filter lets everything pass.
select * from products
where tenant_id = @tenant_id
  and (name_key, id) > (@low_name_key::text, @low_id::uuid)
  and (name_key, id) < (@high_name_key::text, @high_id::uuid)
  and (sqlc.narg(category_id)::uuid is null or category_id = sqlc.narg(category_id)::uuid)
  and (sqlc.narg(min_price)::bigint is null or price_minor >= sqlc.narg(min_price)::bigint)
  and (sqlc.narg(max_price)::bigint is null or price_minor <= sqlc.narg(max_price)::bigint)
  and (sqlc.narg(contains)::text is null or strpos(name_key, lower(sqlc.narg(contains)::text collate "und-x-icu") collate "C") > 0)
  and (sqlc.narg(in_stock)::boolean is null or (stock > 0) = sqlc.narg(in_stock)::boolean)
order by name_key, id
limit @row_limit::integer;

-- name: ListProductsByNameDesc :many
-- ListProductsByNameDesc lists what lies between two bounds, both excluded, highest first.
-- A null filter lets everything pass.
select * from products
where tenant_id = @tenant_id
  and (name_key, id) > (@low_name_key::text, @low_id::uuid)
  and (name_key, id) < (@high_name_key::text, @high_id::uuid)
  and (sqlc.narg(category_id)::uuid is null or category_id = sqlc.narg(category_id)::uuid)
  and (sqlc.narg(min_price)::bigint is null or price_minor >= sqlc.narg(min_price)::bigint)
  and (sqlc.narg(max_price)::bigint is null or price_minor <= sqlc.narg(max_price)::bigint)
  and (sqlc.narg(contains)::text is null or strpos(name_key, lower(sqlc.narg(contains)::text collate "und-x-icu") collate "C") > 0)
  and (sqlc.narg(in_stock)::boolean is null or (stock > 0) = sqlc.narg(in_stock)::boolean)
order by name_key desc, id desc
limit @row_limit::integer;

-- name: ListProductsByPriceAsc :many
-- ListProductsByPriceAsc lists what lies between two bounds, both excluded, lowest first.
-- A null filter lets everything pass.
select * from products
where tenant_id = @tenant_id
  and (price_minor, id) > (@low_price_minor::bigint, @low_id::uuid)
  and (price_minor, id) < (@high_price_minor::bigint, @high_id::uuid)
  and (sqlc.narg(category_id)::uuid is null or category_id = sqlc.narg(category_id)::uuid)
  and (sqlc.narg(min_price)::bigint is null or price_minor >= sqlc.narg(min_price)::bigint)
  and (sqlc.narg(max_price)::bigint is null or price_minor <= sqlc.narg(max_price)::bigint)
  and (sqlc.narg(contains)::text is null or strpos(name_key, lower(sqlc.narg(contains)::text collate "und-x-icu") collate "C") > 0)
  and (sqlc.narg(in_stock)::boolean is null or (stock > 0) = sqlc.narg(in_stock)::boolean)
order by price_minor, id
limit @row_limit::integer;

-- name: ListProductsByPriceDesc :many
-- ListProductsByPriceDesc lists what lies between two bounds, both excluded, highest first.
-- A null filter lets everything pass.
select * from products
where tenant_id = @tenant_id
  and (price_minor, id) > (@low_price_minor::bigint, @low_id::uuid)
  and (price_minor, id) < (@high_price_minor::bigint, @high_id::uuid)
  and (sqlc.narg(category_id)::uuid is null or category_id = sqlc.narg(category_id)::uuid)
  and (sqlc.narg(min_price)::bigint is null or price_minor >= sqlc.narg(min_price)::bigint)
  and (sqlc.narg(max_price)::bigint is null or price_minor <= sqlc.narg(max_price)::bigint)
  and (sqlc.narg(contains)::text is null or strpos(name_key, lower(sqlc.narg(contains)::text collate "und-x-icu") collate "C") > 0)
  and (sqlc.narg(in_stock)::boolean is null or (stock > 0) = sqlc.narg(in_stock)::boolean)
order by price_minor desc, id desc
limit @row_limit::integer;

-- name: CountProducts :one
-- CountProducts counts what the filter lets pass: a scan bounded by the tenant.
select count(*) from products
where tenant_id = @tenant_id
  and (sqlc.narg(category_id)::uuid is null or category_id = sqlc.narg(category_id)::uuid)
  and (sqlc.narg(min_price)::bigint is null or price_minor >= sqlc.narg(min_price)::bigint)
  and (sqlc.narg(max_price)::bigint is null or price_minor <= sqlc.narg(max_price)::bigint)
  and (sqlc.narg(contains)::text is null or strpos(name_key, lower(sqlc.narg(contains)::text collate "und-x-icu") collate "C") > 0)
  and (sqlc.narg(in_stock)::boolean is null or (stock > 0) = sqlc.narg(in_stock)::boolean);

-- name: ListCategoryProductsAsc :many
-- ListCategoryProductsAsc lists a page of products for each of many categories at once,
-- oldest first, between two bounds that all of them share.
select p.*
from unnest(@category_ids::uuid[]) as wanted (id)
cross join lateral (
    select * from products as c
    where c.tenant_id = @tenant_id and c.category_id = wanted.id
      and (c.created_at, c.id) > (@low_created_at::timestamptz, @low_id::uuid)
      and (c.created_at, c.id) < (@high_created_at::timestamptz, @high_id::uuid)
    order by c.created_at, c.id
    limit @row_limit::integer
) as p
order by p.category_id, p.created_at, p.id;

-- name: ListCategoryProductsDesc :many
-- ListCategoryProductsDesc lists a page of products for each of many categories at once,
-- newest first, between two bounds that all of them share.
select p.*
from unnest(@category_ids::uuid[]) as wanted (id)
cross join lateral (
    select * from products as c
    where c.tenant_id = @tenant_id and c.category_id = wanted.id
      and (c.created_at, c.id) > (@low_created_at::timestamptz, @low_id::uuid)
      and (c.created_at, c.id) < (@high_created_at::timestamptz, @high_id::uuid)
    order by c.created_at desc, c.id desc
    limit @row_limit::integer
) as p
order by p.category_id, p.created_at desc, p.id desc;

-- name: CountCategoryProducts :many
-- CountCategoryProducts counts the products of each of many categories; one
-- without products has no row.
select category_id, count(*) as products
from products
where tenant_id = @tenant_id and category_id = any(@category_ids::uuid[])
group by category_id
order by category_id;

-- name: ImportProducts :execrows
-- ImportProducts stores many products in one statement, all arrays of one length;
-- those whose SKU exists already are left as they are.
insert into products (tenant_id, id, sku, name, description, price_minor, stock, category_id, created_by, created_at)
select @tenant_id, unnest(@ids::uuid[]), unnest(@skus::text[]), unnest(@names::text[]), unnest(@descriptions::text[]),
       unnest(@prices_minor::bigint[]), unnest(@stocks::integer[]), unnest(@category_ids::uuid[]), @created_by,
       unnest(@created_ats::timestamptz[])
on conflict (tenant_id, sku) do nothing;

-- name: LockProductsBySKU :many
-- LockProductsBySKU reads the products that exist among skus, in the order of their ids,
-- and keeps everybody else from changing them until this transaction ends, as LockProducts.
select * from products
where tenant_id = @tenant_id and sku = any(@skus::text[])
order by id
for no key update;

-- name: CreateProducts :many
-- CreateProducts stores many products in one statement, all arrays of one length, but
-- those whose SKU exists by now. Give them in the order of their SKUs: then two callers
-- who store the same ones wait for each other and never in a circle.
-- Errors: products_category_id_fkey.
insert into products (tenant_id, id, sku, name, description, price_minor, stock, category_id, created_by)
select @tenant_id, given.id, given.sku, given.name, case when given.described then given.description end,
       given.price_minor, given.stock, case when given.categorised then given.category_id end, @created_by
from (select unnest(@ids::uuid[]) as id, unnest(@skus::text[]) as sku, unnest(@names::text[]) as name,
             unnest(@described::boolean[]) as described, unnest(@descriptions::text[]) as description,
             unnest(@prices_minor::bigint[]) as price_minor, unnest(@stocks::integer[]) as stock,
             unnest(@categorised::boolean[]) as categorised, unnest(@category_ids::uuid[]) as category_id) as given
on conflict (tenant_id, sku) do nothing
returning *;

-- name: UpdateProducts :many
-- UpdateProducts gives many products all their values in one statement, but the SKU; all
-- arrays are of one length and no product is named twice. Call LockProductsBySKU before.
-- Errors: products_category_id_fkey.
update products as p set
    name = given.name,
    description = case when given.described then given.description end,
    price_minor = given.price_minor,
    stock = given.stock,
    category_id = case when given.categorised then given.category_id end,
    version = p.version + 1,
    updated_at = now()
from (select unnest(@ids::uuid[]) as id, unnest(@names::text[]) as name,
             unnest(@described::boolean[]) as described, unnest(@descriptions::text[]) as description,
             unnest(@prices_minor::bigint[]) as price_minor, unnest(@stocks::integer[]) as stock,
             unnest(@categorised::boolean[]) as categorised, unnest(@category_ids::uuid[]) as category_id) as given
where p.tenant_id = @tenant_id and p.id = given.id
returning p.*;
