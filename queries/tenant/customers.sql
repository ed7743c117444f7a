-- name: CreateCustomer :one
-- CreateCustomer stores a customer under the id it is given.
-- Errors: customers_email_key.
insert into customers (tenant_id, id, email, name, created_by)
values (@tenant_id, @id, @email, @name, @created_by)
returning *;

-- name: ImportCustomers :execrows
-- ImportCustomers stores many customers in one statement, all arrays of one
-- length; those whose e-mail address exists already are left as they are.
insert into customers (tenant_id, id, email, name, created_by, created_at)
select @tenant_id, unnest(@ids::uuid[]), unnest(@emails::text[]), unnest(@names::text[]), @created_by, unnest(@created_ats::timestamptz[])
on conflict (tenant_id, email_key) do nothing;

-- name: UpdateCustomer :one
-- UpdateCustomer changes what its set_ flags name, if the customer still has the
-- version the caller read. No row: unknown, or changed since.
-- Errors: customers_email_key.
update customers set
    email = case when @set_email::boolean then @email::text else email end,
    name = case when @set_name::boolean then @name::text else name end,
    version = version + 1,
    updated_at = now()
where tenant_id = @tenant_id and id = @id and version = @version
returning *;

-- name: DeleteCustomer :one
-- DeleteCustomer removes the customer if it still has the version the caller read.
-- Errors: orders_customer_id_fkey while there are orders.
delete from customers
where tenant_id = @tenant_id and id = @id and version = @version
returning *;

-- name: GetCustomer :one
-- GetCustomer reads one customer.
select * from customers
where tenant_id = @tenant_id and id = @id;

-- name: ListCustomersByIDs :many
-- ListCustomersByIDs reads the customers that exist among ids, in any order.
select * from customers
where tenant_id = @tenant_id and id = any(@ids::uuid[]);

-- name: ListCustomersAsc :many
-- ListCustomersAsc lists what lies between two bounds, both excluded, oldest first.
select * from customers
where tenant_id = @tenant_id
  and (created_at, id) > (@low_created_at::timestamptz, @low_id::uuid)
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
order by created_at, id
limit @row_limit::integer;

-- name: ListCustomersDesc :many
-- ListCustomersDesc lists what lies between two bounds, both excluded, newest first.
select * from customers
where tenant_id = @tenant_id
  and (created_at, id) > (@low_created_at::timestamptz, @low_id::uuid)
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
order by created_at desc, id desc
limit @row_limit::integer;

-- name: CountCustomers :one
-- CountCustomers counts the tenant's customers.
select count(*) from customers
where tenant_id = @tenant_id;
