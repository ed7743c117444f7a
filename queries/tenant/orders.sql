-- name: CreateOrder :one
-- CreateOrder stores a draft under the id it is given, without its lines.
-- Errors: orders_customer_id_fkey.
insert into orders (tenant_id, id, customer_id, total_minor, created_by)
values (@tenant_id, @id, @customer_id, @total_minor, @created_by)
returning *;

-- name: CreateOrderItems :execrows
-- CreateOrderItems stores the lines of a draft, all arrays of one length, in the
-- order they are given.
insert into order_items (tenant_id, order_id, id, product_id, position, quantity, unit_price_minor)
select @tenant_id, @order_id, unnest(@ids::uuid[]), unnest(@product_ids::uuid[]), unnest(@positions::integer[]),
       unnest(@quantities::integer[]), unnest(@unit_prices_minor::bigint[]);

-- name: LockOrder :one
-- LockOrder reads an order and keeps everybody else from changing it until this
-- transaction ends. Take it before LockProducts.
select * from orders
where tenant_id = @tenant_id and id = @id
for no key update;

-- name: LockProducts :many
-- LockProducts reads the products that exist among ids, in the order of their ids,
-- and keeps everybody else from changing them until this transaction ends. Rows
-- are locked in that order, so two orders of the same products cannot deadlock. A
-- key stays as it is, so drafts may refer to them meanwhile.
select * from products
where tenant_id = @tenant_id and id = any(@ids::uuid[])
order by id
for no key update;

-- name: ChangeStocks :execrows
-- ChangeStocks adds to the stocks of many products, or takes from them; both arrays
-- are of one length and no product is named twice. The version grows, so that who
-- edits a product with the stock of before does not bring that back. Call
-- LockProducts before.
-- Errors: products_stock_check.
update products as p set
    stock = p.stock + delta.stock,
    version = p.version + 1,
    updated_at = now()
from (select unnest(@ids::uuid[]) as id, unnest(@deltas::integer[]) as stock) as delta
where p.tenant_id = @tenant_id and p.id = delta.id;

-- name: PriceOrderItems :execrows
-- PriceOrderItems sets the unit prices of an order's lines, by product.
update order_items as i set
    unit_price_minor = price.minor
from (select unnest(@product_ids::uuid[]) as product_id, unnest(@unit_prices_minor::bigint[]) as minor) as price
where i.tenant_id = @tenant_id and i.order_id = @order_id and i.product_id = price.product_id;

-- name: NextOrderNumber :one
-- NextOrderNumber gives the tenant's next order number, from 1. Everybody else who
-- wants one waits until this transaction ends, and gets this one where it fails:
-- take it as the last of all locks.
insert into order_numbers (tenant_id, last_number)
values (@tenant_id, 1)
on conflict (tenant_id) do update set last_number = order_numbers.last_number + 1
returning last_number;

-- name: PlaceOrder :one
-- PlaceOrder makes a draft a placed order. Call LockOrder before.
update orders set
    status = 'PLACED',
    number = @number::integer,
    total_minor = @total_minor,
    placed_by = @placed_by::uuid,
    placed_at = now(),
    version = version + 1,
    updated_at = now()
where tenant_id = @tenant_id and id = @id and status = 'DRAFT'
returning *;

-- name: ChangeOrderStatus :one
-- ChangeOrderStatus sets the status of an order. Call LockOrder before, and see
-- that it may.
update orders set
    status = @status,
    version = version + 1,
    updated_at = now()
where tenant_id = @tenant_id and id = @id
returning *;

-- name: ListOrdersByIDs :many
-- ListOrdersByIDs reads the orders that exist among ids, in any order.
select * from orders
where tenant_id = @tenant_id and id = any(@ids::uuid[]);

-- name: ListNewestOrders :many
-- ListNewestOrders is the unfiltered list, newest first, free of optional
-- conditions. Start from the year 9999 and the highest UUID.
select * from orders
where tenant_id = @tenant_id
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
order by created_at desc, id desc
limit @row_limit::integer;

-- name: ListOrdersAsc :many
-- ListOrdersAsc lists what lies between two bounds, both excluded, oldest first.
-- A null filter lets everything pass.
select * from orders
where tenant_id = @tenant_id
  and (created_at, id) > (@low_created_at::timestamptz, @low_id::uuid)
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
  and (sqlc.narg(status)::text is null or status = sqlc.narg(status)::text)
  and (sqlc.narg(customer_id)::uuid is null or customer_id = sqlc.narg(customer_id)::uuid)
order by created_at, id
limit @row_limit::integer;

-- name: ListOrdersDesc :many
-- ListOrdersDesc lists what lies between two bounds, both excluded, newest first.
-- A null filter lets everything pass.
select * from orders
where tenant_id = @tenant_id
  and (created_at, id) > (@low_created_at::timestamptz, @low_id::uuid)
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
  and (sqlc.narg(status)::text is null or status = sqlc.narg(status)::text)
  and (sqlc.narg(customer_id)::uuid is null or customer_id = sqlc.narg(customer_id)::uuid)
order by created_at desc, id desc
limit @row_limit::integer;

-- name: CountOrders :one
-- CountOrders counts the orders that a filter lets pass.
select count(*) from orders
where tenant_id = @tenant_id
  and (sqlc.narg(status)::text is null or status = sqlc.narg(status)::text)
  and (sqlc.narg(customer_id)::uuid is null or customer_id = sqlc.narg(customer_id)::uuid);

-- name: ListCustomerOrdersAsc :many
-- ListCustomerOrdersAsc lists a page of orders for each of many customers at once,
-- oldest first, between two bounds that all of them share.
select o.*
from unnest(@customer_ids::uuid[]) as wanted (id)
cross join lateral (
    select * from orders as c
    where c.tenant_id = @tenant_id and c.customer_id = wanted.id
      and (c.created_at, c.id) > (@low_created_at::timestamptz, @low_id::uuid)
      and (c.created_at, c.id) < (@high_created_at::timestamptz, @high_id::uuid)
    order by c.created_at, c.id
    limit @row_limit::integer
) as o
order by o.customer_id, o.created_at, o.id;

-- name: ListCustomerOrdersDesc :many
-- ListCustomerOrdersDesc lists a page of orders for each of many customers at once,
-- newest first, between two bounds that all of them share.
select o.*
from unnest(@customer_ids::uuid[]) as wanted (id)
cross join lateral (
    select * from orders as c
    where c.tenant_id = @tenant_id and c.customer_id = wanted.id
      and (c.created_at, c.id) > (@low_created_at::timestamptz, @low_id::uuid)
      and (c.created_at, c.id) < (@high_created_at::timestamptz, @high_id::uuid)
    order by c.created_at desc, c.id desc
    limit @row_limit::integer
) as o
order by o.customer_id, o.created_at desc, o.id desc;

-- name: SumCustomerOrders :many
-- SumCustomerOrders counts the orders of each of many customers, and sums those
-- that were placed and not cancelled; a customer without orders has no row. A sum
-- beyond 64 bits is shown as the highest there is.
select customer_id, count(*) as orders,
       least(coalesce(sum(total_minor) filter (where status in ('PLACED', 'PAID', 'SHIPPED', 'DELIVERED')), 0), 9223372036854775807)::bigint as value_minor
from orders
where tenant_id = @tenant_id and customer_id = any(@customer_ids::uuid[])
group by customer_id
order by customer_id;

-- name: ListOrderItems :many
-- ListOrderItems reads the lines of each of many orders, in their positions.
select * from order_items
where tenant_id = @tenant_id and order_id = any(@order_ids::uuid[])
order by order_id, position;

-- name: ListOrderItemsByIDs :many
-- ListOrderItemsByIDs reads the lines that exist among ids, in any order.
select * from order_items
where tenant_id = @tenant_id and id = any(@ids::uuid[]);

-- name: GetStats :one
-- GetStats counts what a tenant has and sums its orders that were placed and not
-- cancelled. A sum beyond 64 bits is shown as the highest there is.
select
    (select count(*) from products as p where p.tenant_id = @tenant_id) as products,
    (select count(*) from customers as c where c.tenant_id = @tenant_id) as customers,
    count(*) as orders,
    least(coalesce(sum(o.total_minor) filter (where o.status in ('PLACED', 'PAID', 'SHIPPED', 'DELIVERED')), 0), 9223372036854775807)::bigint as revenue_minor
from orders as o
where o.tenant_id = @tenant_id;

-- name: ImportOrders :execrows
-- ImportOrders stores many placed orders in one statement, all arrays of one
-- length, for customers named by their addresses; those whose number exists
-- already are left as they are. Call ImportOrderItems and ImportOrderNumbers after.
insert into orders (tenant_id, id, number, customer_id, status, total_minor, placed_by, placed_at, created_by, created_at)
select @tenant_id, given.id, given.number, c.id, given.status, given.total_minor, @created_by, given.placed_at, @created_by, given.placed_at
from (select unnest(@ids::uuid[]) as id, unnest(@numbers::integer[]) as number, unnest(@email_keys::text[]) as email_key,
             unnest(@statuses::text[]) as status, unnest(@totals_minor::bigint[]) as total_minor, unnest(@placed_ats::timestamptz[]) as placed_at) as given
join customers as c on c.tenant_id = @tenant_id and c.email_key = given.email_key
on conflict (tenant_id, number) do nothing;

-- name: ImportOrderItems :execrows
-- ImportOrderItems stores the lines of many orders in one statement, all arrays of
-- one length, of products named by their SKUs; lines of an order that is not there
-- are left out.
insert into order_items (tenant_id, id, order_id, product_id, position, quantity, unit_price_minor)
select @tenant_id, given.id, o.id, p.id, given.position, given.quantity, given.unit_price_minor
from (select unnest(@ids::uuid[]) as id, unnest(@order_ids::uuid[]) as order_id, unnest(@skus::text[]) as sku, unnest(@positions::integer[]) as position,
             unnest(@quantities::integer[]) as quantity, unnest(@unit_prices_minor::bigint[]) as unit_price_minor) as given
join orders as o on o.tenant_id = @tenant_id and o.id = given.order_id
join products as p on p.tenant_id = @tenant_id and p.sku = given.sku;

-- name: ImportOrderNumbers :exec
-- ImportOrderNumbers lets the next number be above all that were imported.
insert into order_numbers (tenant_id, last_number)
values (@tenant_id, @last_number)
on conflict (tenant_id) do update set last_number = excluded.last_number
where order_numbers.last_number < excluded.last_number;
