-- A tenant's home: the same tables whether they are shared, in a schema of the
-- tenant's own or in a database of its own. Every primary key, foreign key,
-- unique and list index starts with tenant_id.

-- +goose Up

create table categories (
    tenant_id  uuid not null,
    id         uuid not null,
    parent_id  uuid,
    name       text not null,
    -- What names are compared and sorted by: lower case as ICU folds it, then by
    -- code point, which no upgrade of a collation library can reorder.
    name_key   text collate "C" not null generated always as (lower(name collate "und-x-icu") collate "C") stored,
    version    integer not null default 1,
    created_by uuid not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint categories_pkey primary key (tenant_id, id),
    constraint categories_parent_id_name_key unique nulls not distinct (tenant_id, parent_id, name_key),
    constraint categories_parent_id_fkey foreign key (tenant_id, parent_id) references categories (tenant_id, id),
    constraint categories_parent_id_check check (parent_id <> id),
    constraint categories_name_check check (char_length(name) between 1 and 200),
    -- U+10FFFF is no character: it bounds a list by name from above.
    constraint categories_name_key_check check (name_key < U&'\+10FFFF'),
    constraint categories_version_check check (version > 0)
);
create index categories_name_key_idx on categories (tenant_id, name_key, id);

create table products (
    tenant_id   uuid not null,
    id          uuid not null,
    sku         text collate "C" not null,
    name        text not null,
    name_key    text collate "C" not null generated always as (lower(name collate "und-x-icu") collate "C") stored,
    description text,
    -- Minor units of the tenant's currency.
    price_minor bigint not null,
    stock       integer not null default 0,
    version     integer not null default 1,
    category_id uuid,
    created_by  uuid not null,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint products_pkey primary key (tenant_id, id),
    constraint products_sku_key unique (tenant_id, sku),
    constraint products_category_id_fkey foreign key (tenant_id, category_id) references categories (tenant_id, id),
    constraint products_sku_check check (char_length(sku) between 1 and 64),
    constraint products_name_check check (char_length(name) between 1 and 200),
    -- U+10FFFF is no character: it bounds a list by name from above.
    constraint products_name_key_check check (name_key < U&'\+10FFFF'),
    constraint products_description_check check (char_length(description) <= 10000),
    constraint products_price_minor_check check (price_minor between 0 and 1000000000000000),
    constraint products_stock_check check (stock between 0 and 1000000000),
    constraint products_version_check check (version > 0)
);
create index products_created_at_idx on products (tenant_id, created_at, id);
create index products_name_key_idx on products (tenant_id, name_key, id);
create index products_price_minor_idx on products (tenant_id, price_minor, id);
create index products_category_id_idx on products (tenant_id, category_id, created_at, id);

-- What happened, written in the transaction that did it; never changed after.
create table events (
    tenant_id   uuid not null,
    id          uuid not null,
    -- Which life of the home and which transaction: a reader takes only what lies
    -- before the oldest transaction still running.
    epoch       bigint not null default current_setting('app.epoch')::bigint,
    xid         xid8 not null default pg_current_xact_id(),
    occurred_at timestamptz not null default now(),
    actor_id    uuid,
    action      text not null,
    entity_id   uuid not null,
    request_id  text not null,
    data        jsonb not null,
    constraint events_pkey primary key (tenant_id, id),
    constraint events_action_check check (action ~ '^[a-z_]+\.[a-z_]+$')
);
create index events_occurred_at_idx on events (tenant_id, occurred_at, id);

alter table categories enable row level security;
alter table categories force row level security;
create policy tenant_isolation on categories to public
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

alter table products enable row level security;
alter table products force row level security;
create policy tenant_isolation on products to public
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

alter table events enable row level security;
alter table events force row level security;
create policy tenant_isolation on events to public
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

grant select, insert, update, delete on categories, products to commonhold_app;
grant select, insert on events to commonhold_app;

-- A server asks the ledger whether it serves this version.
grant select on goose_db_version to commonhold_control;

-- +goose Down
drop table events, products, categories;
