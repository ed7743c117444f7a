package isolation

// A fault is planted in a migrated database by a superuser, and must be found as
// exactly what it is: "check object", sorted, and nothing besides.
type plantedFault struct {
	name  string
	plant string
	found []string
}

var faults = []plantedFault{
	// Row-level security and its policies.
	{"row-level security off", `alter table shared.products disable row level security`,
		[]string{"rls.disabled shared.products"}},
	{"row-level security not forced", `alter table shared.categories no force row level security`,
		[]string{"rls.not_forced shared.categories"}},
	{"both off, of users", `alter table control.users disable row level security; alter table control.users no force row level security`,
		[]string{"rls.disabled control.users", "rls.not_forced control.users"}},
	{"policy dropped", `drop policy tenant_isolation on shared.events`,
		[]string{"policy.missing shared.events"}},
	{"policy of users dropped", `drop policy members_visible on control.users`,
		[]string{"policy.missing control.users"}},
	{"control's policy dropped", `drop policy control_plane on control.memberships`,
		[]string{"policy.missing control.memberships"}},
	{"policy always true", `alter policy tenant_isolation on shared.products using (true)`,
		[]string{"policy.differs shared.products"}},
	{"check always true", `alter policy tenant_isolation on shared.products with check (true)`,
		[]string{"policy.differs shared.products"}},
	{"policy open while no tenant is entered", `alter policy tenant_isolation on shared.events using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid or coalesce(current_setting('app.tenant_id', true), '') = '')`,
		[]string{"policy.differs shared.events"}},
	{"policy without nullif", `alter policy tenant_isolation on shared.events using (tenant_id = current_setting('app.tenant_id', true)::uuid)`,
		[]string{"policy.differs shared.events"}},
	{"policy of another setting", `alter policy tenant_isolation on shared.events using (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)`,
		[]string{"policy.differs shared.events"}},
	{"policy for one command", `drop policy tenant_isolation on shared.products; create policy tenant_isolation on shared.products for select to public using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)`,
		[]string{"policy.differs shared.products"}},
	{"policy for one role", `alter policy tenant_isolation on shared.products to commonhold_app`,
		[]string{"policy.differs shared.products"}},
	{"restrictive policy", `drop policy tenant_isolation on shared.products; create policy tenant_isolation on shared.products as restrictive to public using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)`,
		[]string{"policy.differs shared.products"}},
	{"users visible to all", `alter policy members_visible on control.users using (true)`,
		[]string{"policy.differs control.users"}},
	{"members of every tenant visible", `alter policy members_visible on control.users using (exists (select from control.memberships as m where m.user_id = users.id))`,
		[]string{"policy.differs control.users"}},
	{"second policy", `create policy support on shared.products for select to public using (true)`,
		[]string{"policy.unexpected shared.products"}},
	{"control's policy for everybody", `alter policy control_plane on control.memberships to public`,
		[]string{"policy.differs control.memberships"}},
	{"control's policy outside of control", `create policy control_plane on shared.products to commonhold_control using (true) with check (true)`,
		[]string{"policy.unexpected shared.products"}},
	{"policy by a function that only looks the same", `
		create function public.current_setting(text, boolean) returns text language sql stable as 'select ''anybody''';
		set local search_path = public, pg_catalog;
		alter policy tenant_isolation on shared.products
			using (tenant_id = nullif(current_setting('app.tenant_id'::text, true), '')::uuid)
			with check (tenant_id = nullif(current_setting('app.tenant_id'::text, true), '')::uuid);
		reset search_path`,
		[]string{"policy.differs shared.products", "policy.shadowed shared.products"}},
	{"users by a table that only looks the same", `
		create table gate.memberships (tenant_id uuid, user_id uuid);
		set local search_path = gate;
		alter policy members_visible on control.users using (exists (
			select from memberships as m
			where m.tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid and m.user_id = users.id));
		reset search_path`,
		[]string{"policy.differs control.users", "policy.shadowed control.users"}},

	// Roles.
	{"app is a superuser", `alter role commonhold_app superuser`, []string{"role.attribute commonhold_app"}},
	{"app bypasses", `alter role commonhold_app bypassrls`, []string{"role.attribute commonhold_app"}},
	{"control bypasses", `alter role commonhold_control bypassrls`, []string{"role.attribute commonhold_control"}},
	{"app creates roles and databases", `alter role commonhold_app createrole createdb`,
		[]string{"role.attribute commonhold_app", "role.attribute commonhold_app"}},
	{"control replicates", `alter role commonhold_control replication`, []string{"role.attribute commonhold_control"}},
	{"owner is a superuser who logs in", `alter role commonhold_owner superuser login`,
		[]string{"role.attribute commonhold_owner", "role.attribute commonhold_owner"}},
	{"app acts as the owner", `grant commonhold_owner to commonhold_app`, []string{"role.membership commonhold_app"}},
	{"app reads all data", `grant pg_read_all_data to commonhold_app`, []string{"role.membership commonhold_app"}},
	{"app runs programs, by two steps", `create role middle; grant pg_execute_server_program to middle; grant middle to commonhold_app`,
		[]string{"role.membership commonhold_app"}},
	{"control is in backup", `grant commonhold_backup to commonhold_control`, []string{"role.membership commonhold_control"}},
	{"somebody is in owner", `create role reporting login; grant commonhold_owner to reporting`, []string{"role.members reporting"}},
	{"somebody bypasses", `create role reporting login bypassrls`, []string{"role.bypass reporting"}},
	{"app owns a table", `alter table shared.products owner to commonhold_app`,
		// An owner's rights turn with the table, and its former owner's go.
		[]string{"grant.app shared.products", "grant.app shared.products", "grant.app shared.products", "role.owns table shared.products"}},
	{"app owns a large object", `select lo_create(424242); alter large object 424242 owner to commonhold_app`,
		[]string{"role.owns large object 424242"}},

	// Hardening.
	{"set_config for everybody", `grant execute on function set_config(text, text, boolean) to public`,
		[]string{"hardening set_config(text,text,boolean)"}},
	{"query_to_xml for app", `grant execute on function query_to_xml(text, boolean, boolean, text) to commonhold_app`,
		[]string{"grant.system function query_to_xml(text,boolean,boolean,text)", "hardening query_to_xml(text,boolean,boolean,text)"}},
	{"pg_settings for everybody", `grant update on pg_settings to public`, []string{"hardening pg_settings"}},
	{"blocks for app", `grant usage on language plpgsql to commonhold_app`, []string{"hardening language plpgsql"}},
	{"files of the server for app", `grant execute on function pg_read_file(text) to commonhold_app`,
		[]string{"grant.system function pg_read_file(text)"}},
	{"files of the server for everybody", `grant execute on function pg_ls_dir(text) to public`,
		[]string{"grant.system function pg_ls_dir(text)"}},
	{"password verifiers for app", `grant select on pg_authid to commonhold_app`, []string{"grant.system table pg_authid"}},

	// Tables.
	{"table of another owner", `alter table shared.events owner to postgres`, []string{"table.owner shared.events"}},
	{"tenant may be null", `alter table shared.notes drop constraint notes_pkey, alter column tenant_id drop not null; create index on shared.notes (tenant_id)`,
		[]string{"key.primary shared.notes", "table.tenant_id shared.notes"}},
	{"tenant is a text", `drop policy tenant_isolation on shared.notes; alter table shared.notes alter column tenant_id type text`,
		[]string{"policy.missing shared.notes", "table.tenant_id shared.notes"}},
	{"trigger", `create trigger copy before update on shared.products for each row execute function suppress_redundant_updates_trigger()`,
		[]string{"table.trigger shared.products"}},
	{"foreign keys off", `alter table shared.products disable trigger all`, []string{"table.trigger_disabled shared.products"}},
	{"rule", `create rule aside as on insert to shared.events do also nothing`, []string{"table.rule shared.events"}},
	{"trigger on the doors", `create trigger copy before update on gate.tenant_doors for each row execute function suppress_redundant_updates_trigger()`,
		[]string{"table.trigger gate.tenant_doors"}},
	{"rule on the doors", `create rule aside as on update to gate.tenant_doors do also nothing`, []string{"table.rule gate.tenant_doors"}},
	{"foreign keys of sessions off", `alter table control.sessions disable trigger all`, []string{"table.trigger_disabled control.sessions"}},
	{"unlogged", `alter table shared.order_numbers set unlogged; alter table shared.events set unlogged`,
		[]string{"table.unlogged shared.events", "table.unlogged shared.order_numbers"}},
	{"unlogged doors", `alter table gate.tenant_doors set unlogged`, []string{"table.unlogged gate.tenant_doors"}},
	{"unlogged sequence", `create unlogged sequence shared.numbers`, []string{"table.unlogged shared.numbers"}},
	{"child", `create table shared.old_products (like shared.products including all); alter table shared.old_products inherit shared.products; alter table shared.old_products owner to commonhold_owner`,
		[]string{"table.inherits shared.products"}},
	{"partition granted", `
		create table shared.visits (tenant_id uuid not null, id uuid not null, primary key (tenant_id, id)) partition by hash (tenant_id);
		create table shared.visits_0 partition of shared.visits for values with (modulus 1, remainder 0);
		alter table shared.visits owner to commonhold_owner; alter table shared.visits_0 owner to commonhold_owner;
		alter table shared.visits enable row level security; alter table shared.visits force row level security;
		create policy tenant_isolation on shared.visits to public
			using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
			with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
		grant select on shared.visits, shared.visits_0 to commonhold_app`,
		[]string{"grant.app shared.visits_0", "table.partition shared.visits_0"}},
	{"identity", `alter table shared.notes add column number bigint generated always as identity; alter table shared.notes alter column number set not null`,
		[]string{"table.identity shared.notes"}},
	{"serial", `alter table shared.notes add column number bigserial`, []string{"table.identity shared.notes"}},
	{"table without walls", `create table shared.planted (tenant_id uuid not null, id uuid not null, primary key (tenant_id, id));
		alter table shared.planted owner to commonhold_owner; grant select on shared.planted to commonhold_app`,
		[]string{"policy.missing shared.planted", "rls.disabled shared.planted", "rls.not_forced shared.planted"}},
	{"table without a tenant", `create table shared.rates (id uuid primary key); alter table shared.rates owner to commonhold_owner; grant select on shared.rates to commonhold_app`,
		[]string{"grant.app shared.rates"}},

	// Keys and indexes.
	{"primary key without tenant", `alter table shared.events drop constraint events_pkey, add primary key (id)`,
		[]string{"key.primary shared.events"}},
	{"no primary key", `alter table shared.events drop constraint events_pkey`, []string{"key.primary shared.events"}},
	{"unique across tenants", `alter table shared.products add constraint products_name_key unique (name)`,
		[]string{"key.unique shared.products_name_key"}},
	{"unique index across tenants", `create unique index products_sku_idx on shared.products (sku, tenant_id)`,
		[]string{"key.unique shared.products_sku_idx"}},
	{"exclusion across tenants", `alter table shared.notes add constraint notes_id_excl exclude (id with =)`,
		[]string{"key.unique shared.notes_id_excl"}},
	{"foreign key without tenant", `
		alter table shared.notes add column product_id uuid; create unique index only_for_this on shared.products (id);
		alter table shared.notes add constraint notes_product_id_fkey foreign key (product_id) references shared.products (id)`,
		[]string{"key.foreign shared.notes", "key.unique shared.only_for_this"}},
	{"foreign key that crosses columns", `
		alter table shared.notes add column product_id uuid;
		alter table shared.notes add constraint notes_product_id_fkey foreign key (product_id, tenant_id) references shared.products (tenant_id, id)`,
		[]string{"key.foreign shared.notes"}},
	{"foreign key to the platform", `alter table shared.notes add constraint notes_tenant_id_fkey foreign key (tenant_id) references control.tenants (id)`,
		[]string{"key.platform shared.notes"}},
	{"foreign key of later rows", `
		alter table shared.notes add column product_id uuid;
		alter table shared.notes add constraint notes_product_id_fkey foreign key (tenant_id, product_id) references shared.products (tenant_id, id) not valid`,
		[]string{"key.not_checked shared.notes"}},
	{"unique index not finished", `update pg_index set indisvalid = false where indexrelid = 'shared.products_sku_key'::regclass`,
		[]string{"index.invalid shared.products_sku_key"}},
	{"no index of the tenant", `alter table shared.notes drop constraint notes_pkey`,
		[]string{"index.missing shared.notes", "key.primary shared.notes"}},
	{"index of all tenants", `create index products_stock_idx on shared.products (stock)`, []string{"index.tenant_first shared.products_stock_idx"}},
	{"index on an expression", `create index products_lower_idx on shared.products (tenant_id, lower(name))`, []string{"index.leaky shared.products_lower_idx"}},
	{"index on a numeric", `alter table shared.notes add column price numeric; create index notes_price_idx on shared.notes (tenant_id, price)`,
		[]string{"index.leaky shared.notes_price_idx"}},
	{"index on an enum", `create type shared.mood as enum ('fine'); alter table shared.notes add column mood shared.mood; create index notes_mood_idx on shared.notes (tenant_id, mood)`,
		[]string{"index.leaky shared.notes_mood_idx"}},
	{"index on jsonb", `create index events_data_idx on shared.events using gin (data)`,
		[]string{"index.leaky shared.events_data_idx", "index.tenant_first shared.events_data_idx"}},

	// Views and functions.
	{"view of its owner", `create view shared.cheap as select * from shared.products`, []string{"view.definer shared.cheap"}},
	{"view of a view", `create view shared.cheap with (security_invoker = true) as select * from shared.products; create view public.cheaper as select * from shared.cheap`,
		[]string{"view.definer public.cheaper"}},
	{"view of the platform for app", `create view shared.who as select * from control.sessions; grant select on shared.who to commonhold_app`,
		[]string{"view.definer shared.who"}},
	{"view among PostgreSQL's", `create view information_schema.all_products as select * from shared.products; grant select on information_schema.all_products to public`,
		[]string{"grant.public information_schema.all_products", "view.definer information_schema.all_products"}},
	{"view in an extension", `create view shared.cheap as select * from shared.products; grant select on shared.cheap to commonhold_app; alter extension plpgsql add view shared.cheap`,
		[]string{"view.definer shared.cheap"}},
	{"table in an extension", `create table shared.planted (tenant_id uuid not null, id uuid not null, primary key (tenant_id, id)); alter table shared.planted owner to commonhold_owner; grant select on shared.planted to public; alter extension plpgsql add table shared.planted`,
		[]string{"grant.public shared.planted", "policy.missing shared.planted", "rls.disabled shared.planted", "rls.not_forced shared.planted"}},
	{"materialized view", `create materialized view shared.totals as select tenant_id, count(*) from shared.products group by 1`,
		[]string{"view.materialized shared.totals"}},
	{"definer function", `create function shared.all_products() returns bigint language sql security definer as 'select count(*) from shared.products'; revoke execute on function shared.all_products() from public`,
		[]string{"function.definer shared.all_products()"}},
	{"procedure for app", `create procedure shared.tidy(days integer) language sql as 'select'; revoke execute on procedure shared.tidy(integer) from public; grant execute on procedure shared.tidy(integer) to commonhold_app`,
		[]string{"function.executable shared.tidy(IN days integer)"}},
	{"function for everybody", `create function gate.hello() returns text language sql as 'select ''hello'''; grant execute on function gate.hello() to public`,
		[]string{"function.executable gate.hello()"}},
	{"second door", `create function gate.enter_tenant(entered uuid) returns void language plpgsql security definer as 'begin perform pg_catalog.set_config(''app.tenant_id'', entered::text, true); end'; revoke execute on function gate.enter_tenant(uuid) from public; grant execute on function gate.enter_tenant(uuid) to commonhold_app`,
		[]string{"function.definer gate.enter_tenant(entered uuid)", "function.executable gate.enter_tenant(entered uuid)"}},
	{"door for everybody", `grant execute on function gate.enter_tenant(uuid, bigint, boolean) to public`,
		[]string{"function.executable gate.enter_tenant(entered uuid, at_epoch bigint, read_only boolean)"}},
	{"door of a superuser", `alter function control.enter_tenant(uuid, boolean) owner to postgres`,
		[]string{"door.owner control.enter_tenant(uuid, boolean)"}},
	{"door with a setting", `alter function gate.enter_tenant(uuid, bigint, boolean) set search_path = gate`,
		[]string{"door.setting gate.enter_tenant(uuid, bigint, boolean)"}},
	{"door of the caller", `alter function gate.enter_tenant(uuid, bigint, boolean) security invoker`,
		[]string{"door.invoker gate.enter_tenant(uuid, bigint, boolean)"}},
	{"door rebuilt", `create or replace function gate.enter_tenant(entered uuid, at_epoch bigint, read_only boolean) returns void language plpgsql security definer as 'begin perform pg_catalog.set_config(''app.tenant_id'', entered::text, true); end'`,
		[]string{"door.source gate.enter_tenant(uuid, bigint, boolean)"}},
	{"text run by a function elsewhere", `create schema aid; create function aid.run(q text) returns text language plpgsql as 'begin execute q; return q; end'; grant usage on schema aid to commonhold_app`,
		[]string{"function.executable aid.run(q text)", "grant.app schema aid"}},
	{"set_config by another name", `create schema aid; create function aid.conf(text, text, boolean) returns text language internal as 'set_config_by_name'; grant usage on schema aid to public`,
		[]string{"function.executable aid.conf(text, text, boolean)", "grant.public schema aid"}},
	{"text run by an operator", `create schema aid; create function aid.run(q text) returns text language plpgsql as 'begin execute q; return q; end'; create operator shared.## (function = aid.run, rightarg = text)`,
		[]string{"function.executable aid.run(q text)"}},
	{"text run by a cast", `create schema aid; create type aid.text as (q text); create function aid.run(aid.text) returns text language plpgsql as 'begin execute $1.q; return $1.q; end'; create cast (aid.text as text) with function aid.run(aid.text)`,
		[]string{"function.executable aid.run(aid.text)"}},
	{"definer function among PostgreSQL's", `create function information_schema.all_products() returns bigint language sql security definer as 'select count(*) from shared.products'`,
		[]string{"function.definer information_schema.all_products()", "function.executable information_schema.all_products()"}},
	{"function of PostgreSQL with its owner's rights", `alter function pg_catalog.pg_ls_dir(text) security definer`,
		[]string{"function.definer pg_catalog.pg_ls_dir(text)"}},
	{"definer function in an extension", `create function shared.all_products() returns bigint language sql security definer as 'select count(*) from shared.products'; alter extension plpgsql add function shared.all_products()`,
		[]string{"function.definer shared.all_products()", "function.executable shared.all_products()"}},
	{"function of an extension for app", `create function shared.run(q text) returns text language plpgsql as 'begin execute q; return q; end'; alter extension plpgsql add function shared.run(text); grant execute on function shared.run(text) to commonhold_app`,
		[]string{"function.executable shared.run(q text)"}},
	{"function of an extension for everybody", `create function shared.run(q text) returns text language plpgsql as 'begin execute q; return q; end'; revoke execute on function shared.run(text) from public; alter extension plpgsql add function shared.run(text); grant execute on function shared.run(text) to public`,
		[]string{"function.executable shared.run(q text)"}},
	{"leakproof by mistake", `alter function pg_catalog.int4in(cstring) leakproof; alter function pg_catalog.textout(text) leakproof`,
		[]string{"function.leakproof int4in(cstring)", "function.leakproof textout(text)"}},
	{"leakproof of one's own", `create function shared.fine(text) returns boolean language sql immutable leakproof as 'select true'; revoke execute on function shared.fine(text) from public`,
		[]string{"function.leakproof shared.fine(text)"}},
	{"door gone", `drop function control.enter_tenant(uuid, boolean)`, []string{"door.missing control.enter_tenant(uuid, boolean)"}},

	// Grants.
	{"app truncates", `grant truncate on shared.products to commonhold_app`, []string{"grant.app shared.products"}},
	{"app refers and triggers", `grant references, trigger on shared.categories to commonhold_app`,
		[]string{"grant.app shared.categories", "grant.app shared.categories"}},
	{"app rewrites history", `grant update, delete on shared.events to commonhold_app`,
		[]string{"grant.app shared.events", "grant.app shared.events"}},
	{"app rewrites a column of history", `grant update (data) on shared.events to commonhold_app`, []string{"grant.app shared.events.data"}},
	{"app writes who came in", `grant insert, update, delete on control.access_events to commonhold_app`,
		[]string{"grant.app control.access_events", "grant.app control.access_events", "grant.app control.access_events"}},
	{"platform rewrites who came in", `grant update, delete, truncate on control.access_events to commonhold_control`,
		[]string{"grant.control control.access_events", "grant.control control.access_events", "grant.control control.access_events"}},
	{"platform rewrites a column of who came in", `grant update (actor_id) on control.access_events to commonhold_control`,
		[]string{"grant.control control.access_events.actor_id"}},
	{"app cannot read who came in", `revoke select on control.access_events from commonhold_app`, []string{"grant.missing control.access_events"}},
	{"app deletes orders", `grant delete on shared.orders, shared.order_items, shared.order_numbers to commonhold_app`,
		[]string{"grant.app shared.order_items", "grant.app shared.order_numbers", "grant.app shared.orders"}},
	{"app rewrites lines of orders", `grant update (quantity) on shared.order_items to commonhold_app`, []string{"grant.app shared.order_items.quantity"}},
	{"app lacks the price of a line", `revoke update (unit_price_minor) on shared.order_items from commonhold_app`, []string{"grant.missing shared.order_items.unit_price_minor"}},
	{"app makes keys", `grant insert on control.api_keys to commonhold_app`, []string{"grant.app control.api_keys"}},
	{"app reads the secrets of keys", `grant select on control.api_key_secrets to commonhold_app`, []string{"grant.app control.api_key_secrets"}},
	{"app cannot read which keys there are", `revoke select on control.api_keys from commonhold_app`, []string{"grant.missing control.api_keys"}},
	{"app makes members", `grant insert on control.memberships to commonhold_app`, []string{"grant.app control.memberships"}},
	{"app reads credentials", `grant select (password_hash) on control.user_credentials to commonhold_app`,
		[]string{"grant.app control.user_credentials.password_hash"}},
	{"app reads all of users", `grant select on control.users to commonhold_app`, []string{"grant.app control.users"}},
	{"app opens doors", `grant update on gate.tenant_doors to commonhold_app`,
		[]string{"grant.app gate.tenant_doors"}},
	{"app reads sessions", `grant select on control.sessions to commonhold_app`, []string{"grant.app control.sessions"}},
	{"app counts in a sequence", `create sequence shared.numbers owned by none; alter sequence shared.numbers owner to commonhold_owner; grant usage on sequence shared.numbers to commonhold_app`,
		[]string{"grant.app shared.numbers"}},
	{"app lacks", `revoke select on shared.products from commonhold_app`, []string{"grant.missing shared.products"}},
	{"app lacks a column", `revoke select (email) on control.users from commonhold_app`, []string{"grant.missing control.users.email"}},
	{"everybody reads", `grant select on shared.products to public`, []string{"grant.public shared.products"}},
	{"everybody reads a column", `grant select (id) on control.tenants to public`, []string{"grant.public control.tenants.id"}},
	{"everybody counts", `create sequence shared.numbers; grant usage on sequence shared.numbers to public`, []string{"grant.public shared.numbers"}},
	{"control reads tenants' data", `grant select on shared.products to commonhold_control`, []string{"grant.control shared.products"}},
	{"backup writes", `grant update on shared.products to commonhold_backup`, []string{"grant.backup shared.products"}},
	{"somebody reads", `create role reporting login; grant select on shared.products to reporting`, []string{"grant.other shared.products"}},
	{"app gives away", `grant select on shared.products to commonhold_app with grant option`, []string{"grant.option shared.products"}},
	{"everybody connects", `grant connect on database commonhold to public`, []string{"grant.public database commonhold"}},
	{"everybody has temporary tables", `grant temporary on database commonhold to public`, []string{"grant.public database commonhold"}},
	{"app has temporary tables", `grant temporary on database commonhold to commonhold_app`, []string{"grant.app database commonhold"}},
	{"app creates schemas", `grant create on database commonhold to commonhold_app`, []string{"grant.app database commonhold"}},
	{"app creates in a schema", `grant create on schema shared to commonhold_app`, []string{"grant.app schema shared"}},
	{"everybody creates in public", `grant create on schema public to public`, []string{"grant.public schema public"}},
	{"everybody uses the gate", `grant usage on schema gate to public`, []string{"grant.public schema gate"}},
	{"schema of another owner", `alter schema gate owner to postgres`, []string{"schema.owner schema gate"}},
	{"app sets what superusers set", `grant set on parameter session_replication_role to commonhold_app`, []string{"grant.app parameter session_replication_role"}},
	{"large object for everybody", `select lo_create(424242); grant select on large object 424242 to public`, []string{"grant.public large object 424242"}},

	// Defaults.
	{"defaults for app", `alter default privileges for role commonhold_owner grant all on tables to commonhold_app`,
		[]string{
			"default.grant defaults of commonhold_owner", "default.grant defaults of commonhold_owner", "default.grant defaults of commonhold_owner", "default.grant defaults of commonhold_owner",
			"default.grant defaults of commonhold_owner", "default.grant defaults of commonhold_owner", "default.grant defaults of commonhold_owner",
		}},
	{"defaults for everybody in a schema", `alter default privileges for role postgres in schema shared grant select on tables to public`,
		[]string{"default.grant defaults of postgres"}},
	{"functions for everybody", `alter default privileges for role commonhold_owner grant execute on functions to public`,
		[]string{"default.functions defaults of commonhold_owner"}},

	// Ways around.
	{"dblink", `create extension dblink schema public`, []string{"extension extension dblink"}},
	{"crosstab", `create extension tablefunc schema public`, []string{"extension extension tablefunc"}},
	{"pages", `create extension pageinspect schema public`, []string{"extension extension pageinspect"}},
	{"pages for app", `create extension pageinspect schema shared; alter function shared.get_raw_page(text, bigint) security definer; grant execute on function shared.get_raw_page(text, bigint) to commonhold_app`,
		[]string{"extension extension pageinspect", "function.definer shared.get_raw_page(text, bigint)", "function.executable shared.get_raw_page(text, bigint)"}},
	{"foreign databases", `create extension postgres_fdw schema public`, []string{"extension extension postgres_fdw"}},
	{"foreign server", `create foreign data wrapper elsewhere; create server elsewhere foreign data wrapper elsewhere; grant usage on foreign server elsewhere to commonhold_app; create user mapping for commonhold_app server elsewhere`,
		[]string{"foreign.mapping server elsewhere", "grant.app server elsewhere"}},
	{"foreign-data wrapper for everybody", `create foreign data wrapper elsewhere; grant usage on foreign data wrapper elsewhere to public`,
		[]string{"grant.public foreign-data wrapper elsewhere"}},
	{"foreign table", `
		create foreign data wrapper elsewhere; create server elsewhere foreign data wrapper elsewhere;
		create foreign table shared.remote (tenant_id uuid not null, id uuid not null) server elsewhere;
		alter foreign table shared.remote owner to commonhold_owner; grant select on shared.remote to commonhold_app`,
		[]string{"grant.app shared.remote", "table.kind shared.remote"}},
	{"untrusted language", `create language plevil handler plpgsql_call_handler`, []string{"language.untrusted language plevil"}},
	{"everything published", `create publication everything for all tables`, []string{"publication publication everything"}},
	{"products published", `create publication several for table shared.products`, []string{"publication publication several"}},
	{"schema published", `create publication several for tables in schema shared`, []string{"publication publication several"}},

	// Settings.
	{"tenant preset for app", `alter role commonhold_app set app.tenant_id = '018f0000-0000-7000-8000-000000000000'`, []string{"setting.tenant commonhold_app"}},
	{"tenant preset in the database", `alter database commonhold set app.tenant_id = '018f0000-0000-7000-8000-000000000000'`, []string{"setting.tenant database commonhold"}},
	{"tenant preset in the server", `set local app.tenant_id = '018f0000-0000-7000-8000-000000000000'`, []string{"setting.tenant server"}},
	{"row_security off", `alter role commonhold_app set row_security = off`, []string{"setting.dangerous commonhold_app"}},
	{"replication role", `alter role commonhold_app in database commonhold set session_replication_role = replica`, []string{"setting.dangerous commonhold_app"}},
	{"another role", `alter role commonhold_control set role = commonhold_backup`, []string{"setting.dangerous commonhold_control"}},
	{"replication role in the server", `set local session_replication_role = replica`, []string{"setting.dangerous server"}},
	{"writes lost for app", `alter role commonhold_app in database commonhold set synchronous_commit = off`, []string{"setting.dangerous commonhold_app"}},
	{"writes lost for control", `alter role commonhold_control set synchronous_commit = off`, []string{"setting.dangerous commonhold_control"}},
	{"writes lost in the database", `alter database commonhold set synchronous_commit = off`, []string{"setting.dangerous database commonhold"}},
	{"writes lost for all", `alter role all set synchronous_commit = off`, []string{"setting.dangerous all roles"}},
	{"writes lost in the server", `set local synchronous_commit = off`, []string{"setting.durability server"}},
	{"backslashes", `alter role commonhold_app set standard_conforming_strings = off`, []string{"setting.dangerous commonhold_app"}},
	{"backslashes in the server", `set local standard_conforming_strings = off`, []string{"setting.dangerous server"}},
	{"another search path", `alter role commonhold_app in database commonhold set search_path = public, shared, control`, []string{"setting.missing commonhold_app"}},
	{"no timeouts", `alter role commonhold_app in database commonhold reset statement_timeout; alter role commonhold_control in database commonhold set lock_timeout = '0ms'`,
		[]string{"setting.missing commonhold_app", "setting.missing commonhold_control"}},
	{"writes by default", `alter role commonhold_app in database commonhold reset default_transaction_read_only`, []string{"setting.missing commonhold_app"}},
	{"custom plans", `alter role commonhold_app in database commonhold set plan_cache_mode = auto`, []string{"setting.missing commonhold_app"}},
}

// notes is a table that keeps every rule, for faults that one of ours cannot have.
// It is there for all faults, so that it is seen to have none itself.
const notes = `
	create table shared.notes (tenant_id uuid not null, id uuid not null);
	alter table shared.notes add primary key (tenant_id, id);
	alter table shared.notes owner to commonhold_owner;
	alter table shared.notes enable row level security;
	alter table shared.notes force row level security;
	create policy tenant_isolation on shared.notes to public
		using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
		with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
	grant select, insert, update, delete on shared.notes to commonhold_app`
