-- Customers and what they order.

-- +goose Up

create table customers (
    tenant_id  uuid not null,
    id         uuid not null,
    email      text not null,
    -- What addresses are compared by: nobody means two people by two cases.
    email_key  text collate "C" not null generated always as (lower(email collate "und-x-icu") collate "C") stored,
    name       text not null,
    version    integer not null default 1,
    created_by uuid not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint customers_pkey primary key (tenant_id, id),
    constraint customers_email_key unique (tenant_id, email_key),
    constraint customers_email_check check (char_length(email) between 3 and 254),
    constraint customers_name_check check (char_length(name) between 1 and 200),
    constraint customers_version_check check (version > 0)
);
create index customers_created_at_idx on customers (tenant_id, created_at, id);

create table orders (
    tenant_id   uuid not null,
    id          uuid not null,
    -- Given when the order is placed, so that drafts leave no gaps. 32 bits, as
    -- GraphQL counts: two billion orders of one tenant.
    number      integer,
    customer_id uuid not null,
    status      text collate "C" not null default 'DRAFT',
    -- Minor units of the tenant's currency: the sum of the lines.
    total_minor bigint not null,
    placed_by   uuid,
    placed_at   timestamptz,
    version     integer not null default 1,
    created_by  uuid not null,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint orders_pkey primary key (tenant_id, id),
    constraint orders_number_key unique (tenant_id, number),
    constraint orders_customer_id_fkey foreign key (tenant_id, customer_id) references customers (tenant_id, id),
    constraint orders_number_check check (number > 0),
    constraint orders_status_check check (status in ('DRAFT', 'PLACED', 'PAID', 'SHIPPED', 'DELIVERED', 'CANCELLED')),
    constraint orders_total_minor_check check (total_minor between 0 and 1000000000000000),
    -- Placed is placed: number, person and time come together and stay. A draft
    -- has none of them, and neither has one that was cancelled as a draft.
    constraint orders_placed_check check (
        (number is null) = (placed_at is null) and (number is null) = (placed_by is null)
        and case status when 'DRAFT' then number is null when 'CANCELLED' then true else number is not null end
    ),
    constraint orders_version_check check (version > 0)
);
create index orders_created_at_idx on orders (tenant_id, created_at, id);
create index orders_customer_id_idx on orders (tenant_id, customer_id, created_at, id);

create table order_items (
    tenant_id        uuid not null,
    id               uuid not null,
    order_id         uuid not null,
    product_id       uuid not null,
    -- The lines of an order in the order they were given, from 1.
    position         integer not null,
    quantity         integer not null,
    -- What one cost when the order was placed; in a draft, when it was written.
    unit_price_minor bigint not null,
    constraint order_items_pkey primary key (tenant_id, id),
    constraint order_items_order_id_product_id_key unique (tenant_id, order_id, product_id),
    constraint order_items_order_id_position_key unique (tenant_id, order_id, position),
    constraint order_items_order_id_fkey foreign key (tenant_id, order_id) references orders (tenant_id, id),
    constraint order_items_product_id_fkey foreign key (tenant_id, product_id) references products (tenant_id, id),
    constraint order_items_position_check check (position between 1 and 100),
    constraint order_items_quantity_check check (quantity between 1 and 1000000),
    constraint order_items_unit_price_minor_check check (unit_price_minor between 0 and 1000000000000000)
);
create index order_items_product_id_idx on order_items (tenant_id, product_id, id);

-- The number that the tenant's last placed order got. A row of the tenant's own
-- and no sequence: what one tenant orders shows in no number of another's, and a
-- transaction that fails gives its number back.
create table order_numbers (
    tenant_id   uuid not null,
    last_number integer not null,
    constraint order_numbers_pkey primary key (tenant_id),
    constraint order_numbers_last_number_check check (last_number > 0)
);

alter table customers enable row level security;
alter table customers force row level security;
create policy tenant_isolation on customers to public
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

alter table orders enable row level security;
alter table orders force row level security;
create policy tenant_isolation on orders to public
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

alter table order_items enable row level security;
alter table order_items force row level security;
create policy tenant_isolation on order_items to public
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

alter table order_numbers enable row level security;
alter table order_numbers force row level security;
create policy tenant_isolation on order_numbers to public
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

-- An order is never deleted, and of a line only the price changes, once.
grant select, insert, update, delete on customers to commonhold_app;
grant select, insert, update on orders, order_numbers to commonhold_app;
grant select, insert, update (unit_price_minor) on order_items to commonhold_app;

-- +goose Down
drop table order_numbers, order_items, orders, customers;
