package isolation_test

import (
	"regexp"
	"strings"
)

// vector is one try of an attacker who is inside a tenant.
type vector struct {
	name string
	// Either an expression, put where a column of a statement stands, or statements,
	// each in a message of its own. Only what no expression can do is a statement.
	expr string
	try  []string

	state string // the SQLSTATE of the last statement; "" where it is let through
	saw   string // what came back then: rows, or a command tag; behind ~ a regular expression
	// What refuses it; or, where nothing refuses it, what holds instead.
	stops, instead string

	twin    string // the same with an id that never was, which must be answered alike
	outside bool   // without having entered a tenant
	each    bool   // for every relation that the role may read
	breach  bool   // foreign rows are seen: the known limit
}

func (v vector) statements() []string {
	if v.expr != "" {
		return []string{around(v.expr)}
	}
	return v.try
}

// saws tells whether an answer is what the table says.
func (v vector) saws(answer string) bool {
	if pattern, ok := strings.CutPrefix(v.saw, "~"); ok {
		return regexp.MustCompile(pattern).MatchString(answer)
	}
	return answer == known.Replace(v.saw)
}

// around is a statement of ours with an injected expression.
func around(expr string) string {
	return "select (" + expr + ") from products as p where p.tenant_id = $1 order by p.sku limit 1"
}

// The reasons that come again and again.
const (
	hardened   = "hardening: the function is revoked from `PUBLIC`"
	byDefault  = "PostgreSQL itself: only for superusers and its monitoring roles"
	notOwner   = "the role owns nothing"
	noCreate   = "the role may create nothing"
	noGrant    = "the role has no grant on it"
	policy     = "row-level security"
	language   = "hardening: no use of the languages `sql` and `plpgsql`"
	switched   = "the door: no second tenant in one transaction"
	wholeOnly  = "whole statements only: none is put together from input, and a message carries one"
	ownOnly    = "row-level security holds inside: own rows alone"
	leakproof  = "row-level security comes before every function that is not leakproof"
	statistics = "nothing: statistics count all tenants together, and name none"
)

const insertProduct = "insert into products (tenant_id, id, sku, name, price_minor, created_by, category_id) values "

var vectors = []vector{
	// Changing the tenant.
	{name: "`set_config` of the tenant, local", expr: "set_config('app.tenant_id', '{foreign}', true)", state: "42501", stops: hardened},
	{name: "`set_config` of the tenant, for the session", expr: "pg_catalog.set_config('app.tenant_id', '{foreign}', false)", state: "42501", stops: hardened},
	{name: "`set_config` in a condition", expr: "exists (select from products where set_config('app.tenant_id', '{foreign}', true) <> '')", state: "42501", stops: hardened},
	{name: "`set_config` of the search path", expr: "set_config('search_path', 'control', true)", state: "42501", stops: hardened},
	{name: "`set_config` of row_security", expr: "set_config('row_security', 'off', true)", state: "42501", stops: hardened},
	{name: "`set_config` of the role", expr: "set_config('role', 'commonhold_owner', true)", state: "42501", stops: hardened},
	{name: "`set_config` of the session's user", expr: "set_config('session_authorization', 'postgres', true)", state: "42501", stops: hardened},
	{name: "`set_config` of transaction_read_only", expr: "set_config('transaction_read_only', 'off', true)", state: "42501", stops: hardened},
	{name: "writing `pg_settings`", try: []string{"update pg_settings set setting = '{foreign}' where name = 'app.tenant_id'"}, state: "42501", stops: "hardening: no update of `pg_settings`"},
	{name: "writing `pg_settings` in a CTE", try: []string{"with w as (update pg_settings set setting = '{foreign}' where name = 'search_path' returning name) select * from w"}, state: "0A000", stops: "PostgreSQL itself: no `returning` from a view with rules"},
	{name: "reading the settings of other tenants", expr: "(select count(*) from pg_settings where name like 'app.%')", saw: "0", instead: "a session's settings are its own"},
	{name: "reading the own tenant's id", expr: "current_setting('app.tenant_id')", saw: "{own}", instead: "the own id is no secret from its tenant, and no id is a key"},
	{name: "reading the paths of the server", expr: "current_setting('data_directory')", state: "42501", stops: byDefault},
	{name: "`SET` where an expression stands", expr: "set local app.tenant_id = '{foreign}'", state: "42601", stops: "the grammar"},
	{name: "a second statement behind a semicolon", try: []string{"select 1; set local app.tenant_id = '{foreign}'"}, state: "42601", stops: "the extended protocol: a message carries one statement"},
	{name: "`SET LOCAL` of the tenant", try: []string{"set local app.tenant_id = '{foreign}'", "select name from products limit 1"}, saw: "Only-Theirs", breach: true, instead: wholeOnly},
	{name: "`SET` of the tenant", try: []string{"set app.tenant_id = '{foreign}'", "select name from products limit 1"}, saw: "Only-Theirs", breach: true, instead: wholeOnly},
	{name: "`RESET` of the tenant, then the door", try: []string{"reset app.tenant_id", "select gate.enter_tenant('{foreign}', 1, false)", "select name from products limit 1"}, saw: "Only-Theirs", breach: true, instead: wholeOnly},
	{name: "`RESET ALL`, then the door", try: []string{"reset all", "select gate.enter_tenant('{foreign}', 1, false)", "select name from products limit 1"}, saw: "Only-Theirs", breach: true, instead: wholeOnly},
	{name: "`DISCARD ALL`", try: []string{"discard all"}, state: "25001", stops: "the handle's transaction"},
	{name: "`COMMIT`, then on without a tenant", try: []string{"commit", "select count(*) from products"}, saw: "0", instead: "the setting ends with the transaction, and no tenant means no rows"},
	{name: "`COMMIT`, then a write without a tenant", try: []string{"commit", "set session characteristics as transaction read write", "update products set stock = 2"}, saw: "UPDATE 0", instead: "the setting ends with the transaction, and no tenant means no rows"},
	{name: "`COMMIT AND CHAIN`, then on without a tenant", try: []string{"commit and chain", "select count(*) from products"}, saw: "0", instead: "the setting ends with the transaction, and no tenant means no rows"},
	{name: "`COMMIT`, then another door", try: []string{"commit", "begin", "select gate.enter_tenant('{foreign}', 1, false)", "select name from products limit 1"}, saw: "Only-Theirs", breach: true, instead: wholeOnly},
	{name: "a savepoint before the door, then another door", outside: true, try: []string{"savepoint s", "select gate.enter_tenant('{own}', 1, false)", "rollback to savepoint s", "select gate.enter_tenant('{foreign}', 1, false)", "select name from products limit 1"}, saw: "Only-Theirs", breach: true, instead: "the handle sets none before the door; " + wholeOnly},
	{name: "a savepoint after the door, then another door", try: []string{"savepoint s", "rollback to savepoint s", "select gate.enter_tenant('{foreign}', 1, false)"}, state: "TD001", stops: switched},
	{name: "the tenant as a setting of the role", try: []string{"alter role commonhold_app in database {database} set app.tenant_id = '{foreign}'"}, state: "42501", stops: "only a superuser may preset a setting that the server does not know"},
	{name: "the search path as a setting of the role", try: []string{"alter role commonhold_app in database {database} set search_path = public"}, saw: "ALTER ROLE", instead: "breaks the service and shows nothing; `commonhold doctor` finds it; " + wholeOnly},
	{name: "the role's own password", try: []string{"alter role commonhold_app password 'x'"}, saw: "ALTER ROLE", instead: "breaks the service and shows nothing; " + wholeOnly},

	// The doors.
	{name: "the door of another tenant", expr: "gate.enter_tenant('{foreign}', 1, false)", twin: around("gate.enter_tenant('{unknown}', 1, false)"), state: "TD001", stops: switched},
	{name: "the account door of another tenant", expr: "control.enter_tenant('{foreign}', false)", twin: around("control.enter_tenant('{unknown}', false)"), state: "TD001", stops: switched},
	{name: "the door in a condition on every row", expr: "(select count(*) from products where gate.enter_tenant('{foreign}', 1, true) is null)", state: "TD001", stops: switched},
	{name: "the door with no tenant", expr: "gate.enter_tenant(null, 1, false)", state: "TD001", stops: "the door: null is nobody"},
	{name: "the door with no epoch", expr: "gate.enter_tenant('{own}', null, false)", state: "TD001", stops: "the door: null is no epoch"},
	{name: "the door at another epoch", expr: "gate.enter_tenant('{own}', 2, false)", state: "TD001", stops: "the door: it opens at its own epoch"},
	{name: "the door that is neither for reading nor for writing", expr: "gate.enter_tenant('{own}', 1, null)", saw: "", instead: "the own tenant, entered already"},
	{name: "the own door a second time", expr: "gate.enter_tenant('{own}', 1, false)", saw: "", instead: "the own tenant, entered already"},
	{name: "the own door, to write after a read", outside: true, try: []string{"select gate.enter_tenant('{own}', 1, true)", "select gate.enter_tenant('{own}', 1, false)", "update products set stock = 2"}, state: "25006", stops: "PostgreSQL: a read-only transaction stays one"},
	{name: "`SET TRANSACTION READ WRITE` after a read", outside: true, try: []string{"select gate.enter_tenant('{own}', 1, true)", "set transaction read write"}, state: "25001", stops: "PostgreSQL: a read-only transaction stays one"},
	{name: "the list of doors", expr: "(select count(*) from gate.tenant_doors)", state: "42501", stops: noGrant},
	{name: "opening a door", try: []string{"update gate.tenant_doors set status = 'OPEN'"}, state: "42501", stops: noGrant},
	{name: "the list of tenants", expr: "(select count(*) from control.tenants)", state: "42501", stops: noGrant},
	{name: "passwords", expr: "(select min(password_hash) from control.user_credentials)", state: "42501", stops: noGrant},
	{name: "refresh tokens", expr: "(select count(*) from control.refresh_tokens)", state: "42501", stops: noGrant},
	{name: "definer functions of ours", expr: `(select string_agg(f.oid::regprocedure::text, ' ' order by f.oid::regprocedure::text) from pg_proc as f join pg_namespace as n on n.oid = f.pronamespace
		where f.oid >= 16384 and n.nspname <> 'watch' and has_function_privilege(f.oid, 'execute'))`,
		saw: "enter_tenant(uuid,boolean) gate.enter_tenant(uuid,bigint,boolean)", instead: "the two doors are all there is"},
	{name: "a function that runs text, in a schema of somebody's", expr: "case when aid.run('set local app.tenant_id = ''{foreign}''') is not null then (select min(name) from products) end", state: "3F000", stops: "there is none; `commonhold doctor` finds one that the role may call"},
	{name: "`set_config` by another name", expr: "case when aid.conf('app.tenant_id', '{foreign}', true) is not null then (select min(name) from products) end", state: "3F000", stops: "there is none; `commonhold doctor` finds one that the role may call"},
	{name: "the source of the doors", expr: "pg_get_functiondef('gate.enter_tenant'::regproc) like '%TD001%'", saw: "t", instead: "it is public anyway"},

	// Code.
	{name: "`DO` in plpgsql", try: []string{"do $$ begin execute 'set local app.tenant_id = ''{foreign}'''; end $$", "select name from products limit 1"}, state: "42501", stops: language},
	{name: "`DO` in sql", try: []string{"do language sql 'set local app.tenant_id = ''{foreign}'''"}, state: "42501", stops: language},
	{name: "a temporary function", try: []string{"create function pg_temp.f() returns integer language sql return 1"}, state: "42501", stops: language},
	{name: "a function with a `SET` clause", try: []string{"create function shared.f() returns bigint language plpgsql set app.tenant_id = '{foreign}' as 'begin return 1; end'"}, state: "42501", stops: language},
	{name: "a function in C", try: []string{"create function shared.f() returns integer language c as 'libc', 'getpid'"}, state: "42501", stops: "PostgreSQL itself: only superusers"},
	{name: "an alias of `set_config`", try: []string{"create function shared.f(text, text, boolean) returns text language internal as 'set_config_by_name'"}, state: "42501", stops: "PostgreSQL itself: only superusers"},
	{name: "a procedure", try: []string{"create procedure shared.f() language sql as 'select 1'"}, state: "42501", stops: language},
	{name: "the handler of a language, called", expr: "plpgsql_call_handler() is null", state: "42P13 or 0A000", stops: "the handler itself"},
	{name: "an operator", try: []string{"create operator shared.=== (function = pg_catalog.texteq, leftarg = text, rightarg = text)"}, state: "42501", stops: noCreate},
	{name: "an aggregate", try: []string{"create aggregate shared.f (text) (sfunc = pg_catalog.textcat, stype = text)"}, state: "42501", stops: noCreate},
	{name: "a cast", try: []string{"create cast (text as integer) with inout"}, state: "42501", stops: notOwner},
	{name: "a type", try: []string{"create type shared.f as (name text)"}, state: "42501", stops: noCreate},
	{name: "a library", try: []string{"load 'auto_explain'"}, state: "42501", stops: "PostgreSQL itself: only superusers"},

	// Statements given as text.
	{name: "`query_to_xml`", expr: "query_to_xml('set local app.tenant_id = ''{foreign}''', true, false, '')", state: "42501", stops: hardened},
	{name: "`query_to_xml_and_xmlschema`", expr: "query_to_xml_and_xmlschema('select 1', true, false, '')", state: "42501", stops: hardened},
	{name: "`table_to_xml`", expr: "table_to_xml('shared.products', true, false, '')", state: "42501", stops: hardened},
	{name: "`cursor_to_xml`", expr: "cursor_to_xml('c', 1, true, false, '')", state: "42501", stops: hardened},
	{name: "`schema_to_xml`", expr: "schema_to_xml('shared', true, false, '')", state: "42501", stops: hardened},
	{name: "`database_to_xml`", expr: "database_to_xml(true, false, '')", state: "42501", stops: hardened},
	{name: "`ts_stat`", expr: "(select count(*) from ts_stat('set local app.tenant_id = ''{foreign}'''))", state: "42501", stops: hardened},
	{name: "`ts_rewrite`", expr: "ts_rewrite('a'::tsquery, 'select ''a''::tsquery, ''b''::tsquery')", state: "42501", stops: hardened},
	{name: "a prepared statement that outlives its tenant", try: []string{"prepare q as select count(*) from products", "commit", "begin", "select gate.enter_tenant('{foreign}', 1, true)", "execute q"}, saw: "40", instead: "it runs inside the tenant of whom it is run for; " + wholeOnly},
	{name: "`PREPARE` and `EXECUTE`", try: []string{"prepare q as select count(*) from products", "execute q"}, saw: "3", instead: ownOnly + "; " + wholeOnly},

	// Files, programs, other servers.
	{name: "`COPY` to a program", try: []string{"copy products to program 'id'"}, state: "42501", stops: byDefault},
	{name: "`COPY` from a program", try: []string{"copy products from program 'id'"}, state: "42501", stops: byDefault},
	{name: "`COPY` to a file", try: []string{"copy (select 1) to '/tmp/commonhold'"}, state: "42501", stops: byDefault},
	{name: "`COPY` from a file", try: []string{"copy products from '/etc/passwd'"}, state: "42501", stops: byDefault},
	{name: "`COPY` from the client", try: []string{"copy categories from stdin"}, state: "0A000", stops: policy},
	{name: "`COPY` to the client", try: []string{"copy products to stdout"}, saw: "COPY 3", instead: ownOnly},
	{name: "`pg_read_file`", expr: "pg_read_file('PG_VERSION')", state: "42501", stops: byDefault},
	{name: "`pg_read_binary_file`", expr: "pg_read_binary_file('PG_VERSION')", state: "42501", stops: byDefault},
	{name: "`pg_ls_dir`", expr: "(select count(*) from pg_ls_dir('.'))", state: "42501", stops: byDefault},
	{name: "`pg_stat_file`", expr: "pg_stat_file('PG_VERSION')", state: "42501", stops: byDefault},
	{name: "`lo_import`", expr: "lo_import('/etc/passwd')", state: "42501", stops: byDefault},
	{name: "`lo_export`", expr: "lo_export(1, '/tmp/commonhold')", state: "42501", stops: byDefault},
	{name: "making a large object", expr: "lo_create(0)", state: "42501", stops: hardened},
	{name: "making a large object, the old way", expr: "lo_creat(-1)", state: "42501", stops: hardened},
	{name: "filling a large object", expr: "lo_from_bytea(0, 'x')", state: "42501", stops: hardened},
	{name: "reading a large object", expr: "lo_get(1)", state: "42501", stops: hardened},
	{name: "writing a large object", expr: "lo_put(1, 0, 'x')", state: "42501", stops: hardened},
	{name: "opening a large object", expr: "lo_open(1, 262144)", state: "42501", stops: hardened},
	{name: "an open large object, read", expr: "loread(0, 1)", state: "42501", stops: hardened},
	{name: "an open large object, written", expr: "lowrite(0, 'x')", state: "42501", stops: hardened},
	{name: "a large object that is not open, cut short", expr: "lo_truncate(0, 1)", state: "42704", stops: "hardening: none can be opened"},
	{name: "a large object that is not open, cut far out", expr: "lo_truncate64(0, 1)", state: "42704", stops: "hardening: none can be opened"},
	{name: "a large object that is not open, moved in", expr: "lo_lseek(0, 1, 0)", state: "42704", stops: "hardening: none can be opened"},
	{name: "a large object that is not open, told", expr: "lo_tell(0)", state: "42704", stops: "hardening: none can be opened"},
	{name: "a large object that is not open, closed", expr: "lo_close(0)", state: "42704", stops: "hardening: none can be opened"},
	{name: "removing a large object", expr: "lo_unlink(1)", state: "42501", stops: hardened},
	{name: "the pages of large objects", expr: "(select count(*) from pg_largeobject)", state: "42501", stops: byDefault},
	{name: "`dblink`", expr: "dblink('dbname=postgres', 'select 1') is null", state: "42883", stops: "it is not installed"},
	{name: "installing `dblink`", try: []string{"create extension dblink"}, state: "42501 or 0A000", stops: noCreate},
	{name: "installing a trusted extension", try: []string{"create extension if not exists pgcrypto"}, state: "42501 or 0A000", stops: noCreate},
	{name: "a foreign server", try: []string{"create foreign data wrapper w"}, state: "42501", stops: "PostgreSQL itself: only superusers"},

	// Catalogs and what all tenants share.
	{name: "`pg_authid`", expr: "(select count(*) from pg_authid)", state: "42501", stops: byDefault},
	{name: "`pg_statistic`", expr: "(select count(*) from pg_statistic)", state: "42501", stops: byDefault},
	{name: "`pg_statistic_ext_data`", expr: "(select count(*) from pg_statistic_ext_data)", state: "42501", stops: byDefault},
	{name: "`pg_stats`: values in columns", expr: "(select count(*) from pg_stats where schemaname in ('shared', 'control', 'gate'))", saw: "0", instead: "PostgreSQL itself: the view leaves out tables under row-level security"},
	{name: "`pg_stats_ext_exprs`: values of expressions", expr: "(select count(*) from pg_stats_ext_exprs)", saw: "0", instead: "PostgreSQL itself: the view leaves out tables under row-level security"},
	{name: "`pg_stats_ext`: values in columns", expr: "(select count(*) from pg_stats_ext)", saw: "0", instead: "PostgreSQL itself: the view leaves out tables under row-level security"},
	{name: "`pg_class`: rows of all tenants", expr: "(select reltuples from pg_class where oid = 'shared.products'::regclass)", saw: "43", instead: statistics},
	{name: "`pg_relation_size`: pages of all tenants", expr: "pg_relation_size('shared.products') > 0", saw: "t", instead: statistics},
	{name: "`pg_stat_get_live_tuples`", expr: "pg_stat_get_live_tuples('shared.products'::regclass) >= 0", saw: "t", instead: statistics},
	{name: "`pg_stat_activity`: statements of others", expr: "(select string_agg(query, ' ') from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and usename = current_user)", saw: neighbourly, instead: "all requests are one role, which sees its own statements; values never stand in them: the extended protocol sends them apart"},
	{name: "`pg_locks`: tenants at work", expr: "(select string_agg(to_hex(classid::bigint) || to_hex(objid::bigint), ' ') from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid() and database = (select oid from pg_database where datname = current_database()))", saw: "{foreign lock}", instead: "nothing: half of the id of a tenant that writes just now; no id is a key"},
	{name: "a transaction's number", expr: "pg_current_xact_id() is not null", saw: "t", instead: "nothing: how fast it grows tells how much all tenants write"},
	{name: "names of tables that one may not read", expr: "to_regclass('control.user_credentials')", saw: "user_credentials", instead: "the source is public; the name of a schema home must not tell whose it is"},
	{name: "a sequence, moved on", expr: "nextval('shared.goose_db_version_id_seq')", state: "42501", stops: noGrant},
	{name: "a sequence, read", expr: "currval('shared.goose_db_version_id_seq')", state: "42501", stops: noGrant},
	{name: "a sequence, set back", expr: "setval('shared.goose_db_version_id_seq', 1)", state: "42501", stops: noGrant},
	{name: "`lastval`", expr: "lastval()", state: "55000", stops: "no sequence was ever used"},

	// Other sessions.
	{name: "another's lock, for the transaction", expr: "pg_advisory_xact_lock(1)", state: "42501", stops: hardened},
	{name: "another's lock, tried", expr: "pg_try_advisory_xact_lock(1)", state: "42501", stops: hardened},
	{name: "another's shared lock, tried", expr: "pg_try_advisory_xact_lock_shared(1)", state: "42501", stops: hardened},
	{name: "a lock for the session", expr: "pg_advisory_lock(1)", state: "42501", stops: hardened},
	{name: "a lock for the session, of two numbers", expr: "pg_advisory_lock(1, 1)", state: "42501", stops: hardened},
	{name: "a shared lock for the session", expr: "pg_advisory_lock_shared(1)", state: "42501", stops: hardened},
	{name: "a lock for the session, tried", expr: "pg_try_advisory_lock(1)", state: "42501", stops: hardened},
	{name: "a shared lock for the session, tried", expr: "pg_try_advisory_lock_shared(1)", state: "42501", stops: hardened},
	{name: "another's shared lock", expr: "pg_advisory_xact_lock_shared(x'{foreign lock}'::bit(64)::bigint)", saw: "", instead: "its writers go on, since they share it; a mover waits until the transaction's time is over"},
	{name: "another's lock, given back", expr: "pg_advisory_unlock_shared(x'{foreign lock}'::bit(64)::bigint)", saw: "f", instead: "a lock of a transaction belongs to it"},
	{name: "all locks of the session, given back", expr: "pg_advisory_unlock_all() is null", saw: "f", instead: "a lock of a transaction belongs to it, and the session has no others"},
	{name: "ending another session", expr: "(select bool_or(pg_terminate_backend(pid)) from pg_stat_activity where usename = current_user and datname = current_database() and pid <> pg_backend_pid())", state: "42501", stops: hardened},
	{name: "canceling another's statement", expr: "(select bool_or(pg_cancel_backend(pid)) from pg_stat_activity where usename = current_user and datname = current_database() and pid <> pg_backend_pid())", state: "42501", stops: hardened},
	{name: "`pg_notify`", expr: "pg_notify('tenants', '{foreign}')", state: "42501", stops: hardened},
	{name: "`NOTIFY`", try: []string{"notify tenants, '{foreign}'"}, saw: "NOTIFY", instead: wholeOnly},
	{name: "`LISTEN`", try: []string{"listen tenants"}, saw: "LISTEN", instead: "a channel carries ids, never rows; " + wholeOnly},
	{name: "`pg_export_snapshot`", expr: "pg_export_snapshot()", state: "42501", stops: hardened},
	{name: "`pg_logical_emit_message`", expr: "pg_logical_emit_message(true, 'p', 'x')", state: "42501", stops: hardened},
	{name: "a replication slot", expr: "pg_create_logical_replication_slot('s', 'test_decoding')", state: "42501", stops: byDefault},
	{name: "the settings, loaded again", expr: "pg_reload_conf()", state: "42501", stops: byDefault},
	{name: "a cursor that outlives its tenant", try: []string{"declare c cursor with hold for select sku from products order by sku", "commit", "begin", "select gate.enter_tenant('{foreign}', 1, true)", "fetch all from c"}, saw: "OWN-1, OWN-2, OWN-3", instead: "own rows are shown to whom comes next on the connection, never another's to oneself; " + wholeOnly},
	{name: "chance, foretold for whom comes next", try: []string{"select setseed(0.5)", "commit", "begin", "select gate.enter_tenant('{foreign}', 1, true)", "select (random() * 1000000)::integer"}, saw: "985168", instead: "an expression can set the seed too, and it outlives the tenant; nothing of ours draws from it: ids and secrets come from the system's source of chance"},
	{name: "a time limit, lifted", expr: "set_config('statement_timeout', '0', true)", state: "42501", stops: hardened},
	{name: "a connection, held", expr: "current_setting('statement_timeout') || ' ' || current_setting('idle_in_transaction_session_timeout')", saw: "10s 15s", instead: "time limits on the role, which an expression cannot lift"},

	// Objects, and the walls themselves.
	{name: "a temporary table", try: []string{"create temporary table products (id uuid)"}, state: "42501", stops: noCreate},
	{name: "a table in the temporary schema", try: []string{"create table pg_temp.products (id uuid)"}, state: "42501", stops: noCreate},
	{name: "a schema", try: []string{"create schema mine"}, state: "42501", stops: noCreate},
	{name: "a table", try: []string{"create table shared.mine (id uuid)"}, state: "42501", stops: noCreate},
	{name: "a view", try: []string{"create view shared.mine as select * from products"}, state: "42501", stops: noCreate},
	{name: "a materialized view", try: []string{"create materialized view shared.mine as select * from products"}, state: "42501", stops: noCreate},
	{name: "a rule", try: []string{"create rule mine as on insert to events do also select 1"}, state: "42501", stops: notOwner},
	{name: "a trigger", try: []string{"create trigger mine before insert on products for each row execute function suppress_redundant_updates_trigger()"}, state: "42501", stops: notOwner},
	{name: "a policy", try: []string{"create policy mine on products using (true)"}, state: "42501", stops: notOwner},
	{name: "a policy, dropped", try: []string{"drop policy tenant_isolation on products"}, state: "42501", stops: notOwner},
	{name: "row-level security, disabled", try: []string{"alter table products disable row level security"}, state: "42501", stops: notOwner},
	{name: "row-level security, not forced", try: []string{"alter table products no force row level security"}, state: "42501", stops: notOwner},
	{name: "row-level security, off for the session", try: []string{"set local row_security = off", "select count(*) from products"}, state: "42501", stops: "PostgreSQL itself: off is an error for whom a policy binds"},
	{name: "`TRUNCATE`", try: []string{"truncate products"}, state: "42501", stops: noGrant},
	{name: "`LOCK TABLE`", try: []string{"lock table products in share row exclusive mode nowait"}, saw: "LOCK TABLE", instead: "time limits on the role; " + wholeOnly},
	{name: "`DROP OWNED BY`", try: []string{"drop owned by commonhold_app"}, state: "42501", stops: "its grants are the owner's to take, and policies are written `to public`"},
	{name: "`REASSIGN OWNED BY`", try: []string{"reassign owned by commonhold_owner to commonhold_app"}, state: "42501", stops: notOwner},
	{name: "`GRANT` of what one has", try: []string{"grant all on products to commonhold_backup", "select has_table_privilege('commonhold_backup', 'products', 'update')"}, saw: "f", instead: "no grant option: PostgreSQL warns and grants nothing"},
	{name: "`GRANT` of what one has not", try: []string{"grant select on control.tenants to commonhold_app"}, state: "42501", stops: noGrant},
	{name: "`GRANT` of a role", try: []string{"grant commonhold_owner to commonhold_app"}, state: "42501", stops: "the role is no administrator of any"},
	{name: "`ALTER ROLE`", try: []string{"alter role commonhold_app bypassrls"}, state: "42501", stops: "PostgreSQL itself: only superusers"},
	{name: "`SET ROLE`", try: []string{"set local role commonhold_owner"}, state: "42501", stops: "the role is a member of none"},
	{name: "`SET ROLE` to whom row-level security does not bind", try: []string{"set local role commonhold_backup"}, state: "42501", stops: "the role is a member of none"},
	{name: "`SET SESSION AUTHORIZATION`", try: []string{"set session authorization commonhold_owner"}, state: "42501", stops: "PostgreSQL itself: only superusers"},
	{name: "foreign keys, unchecked", try: []string{"set local session_replication_role = replica"}, state: "42501", stops: "PostgreSQL itself: only superusers"},
	{name: "the search path, then the control tables", try: []string{"set local search_path = control", "select count(*) from tenants"}, state: "42501", stops: noGrant},
	{name: "`COMMENT`", try: []string{"comment on table products is 'x'"}, state: "42501", stops: notOwner},
	{name: "`ANALYZE`", try: []string{"analyze products"}, saw: "ANALYZE", instead: "PostgreSQL warns and skips tables of others"},

	// Reading foreign rows.
	{name: "every table and view, read", each: true, try: []string{"select x from {relation} as x"}, saw: "7 rows", instead: ownOnly},
	{name: "every table and view, read without a tenant", outside: true, each: true, try: []string{"select x from {relation} as x"}, saw: "0 rows", instead: "no tenant means no rows"},
	{name: "a condition on the other tenant", expr: "(select count(*) from products as x where x.tenant_id = '{foreign}')", saw: "0", instead: policy},
	{name: "`OR` beside the predicate", try: []string{"select count(*) from products as p where p.tenant_id = '{own}' or true"}, saw: "3", instead: policy},
	{name: "`UNION` behind the predicate", try: []string{"select sku from products where tenant_id = '{own}' union all select name from products where tenant_id <> '{own}' order by sku"}, saw: "OWN-1, OWN-2, OWN-3", instead: policy},
	{name: "foreign members", expr: "(select count(*) from memberships where tenant_id <> '{own}')", saw: "0", instead: policy},
	{name: "foreign people", expr: "(select string_agg(email, ' ') from users)", saw: "owner@own.example", instead: policy},
	{name: "whole rows and system columns", expr: "(select count(x) filter (where x.xmin is not null and x.tableoid is not null and x.tenant_id <> '{own}') from products as x)", saw: "0", instead: policy},
	{name: "rows by their place", expr: "(select count(*) from products as x, generate_series(0, 9) as page, generate_series(1, 60) as line where x.tenant_id <> '{own}' and x.ctid = format('(%s,%s)', page, line)::tid)", saw: "0", instead: policy},
	{name: "`currtid2`", expr: "currtid2('shared.products', '(0,5)')", state: "42501", stops: hardened},
	{name: "a sample of the table", expr: "(select count(*) from products tablesample system (100))", saw: "3", instead: policy},
	{name: "a sample of rows", expr: "(select count(*) from products tablesample bernoulli (100))", saw: "3", instead: policy},
	{name: "`SELECT FOR UPDATE`", try: []string{"select count(*) from (select from products for update) as x"}, saw: "3", instead: policy},
	{name: "`EXPLAIN ANALYZE`", try: []string{"explain (analyze, costs off, timing off, summary off) select from products"}, saw: `~^[^,]*\(actual rows=3(\.00)? loops=1\)`, instead: policy + "; a number of rows removed may be shown, never a row; " + wholeOnly},
	{name: "a common value in the estimates of `EXPLAIN`", try: []string{"explain select from products where stock = 5"}, saw: `~^[^,]* rows=([2-9]|\d\d) `, instead: "nothing: statistics tell that a value is common, never whose; " + wholeOnly},
	{name: "a value that nobody has in the estimates of `EXPLAIN`", try: []string{"explain select from products where stock = 6"}, saw: `~^[^,]* rows=1 `, instead: "as before"},

	// Errors as oracles.
	{name: "a division by zero in foreign rows", expr: "(select count(*) from products as x where x.tenant_id <> '{own}' and 1 / (x.price_minor - x.price_minor) = 1)", saw: "0", instead: leakproof},
	{name: "a division by zero for some foreign rows", expr: "(select sum(case when x.tenant_id <> '{own}' then 1 / (x.stock - x.stock) else 0 end) from products as x)", saw: "0", instead: leakproof},
	{name: "a cast that shows what it fails on", expr: "(select count(*) from products as x where x.tenant_id <> '{own}' and x.name::integer > 0)", saw: "0", instead: leakproof},
	{name: "a cast that fails without the predicate", expr: "(select count(*) from products as x where substr(x.name, 6)::integer > 0)", saw: "3", instead: leakproof},
	{name: "a cast in a sample, which shows what it fails on", expr: "(select count(*) from products as x tablesample system (100) where case x.category_id when '{foreign category}' then x.name::integer else 1 end = 1)", saw: "3", instead: leakproof},
	{name: "a division by zero in a sample", expr: "(select count(*) from products as x tablesample system (100) where 1 / case x.category_id when '{foreign category}' then 0 else 1 end = 1)", saw: "3", instead: leakproof},
	{name: "a unique key of another", try: []string{insertProduct + "('{own}', gen_random_uuid(), 'FOREIGN-1', 'x', 1, '{owner}', null)"}, saw: "INSERT 0 1", instead: "every unique key begins with the tenant"},
	{name: "a primary key of another", try: []string{insertProduct + "('{own}', '{foreign product}', 'x', 'x', 1, '{owner}', null)"}, saw: "INSERT 0 1", instead: "every primary key begins with the tenant"},
	{name: "a reference to another's row", try: []string{insertProduct + "('{own}', gen_random_uuid(), 'x', 'x', 1, '{owner}', '{foreign category}')"},
		twin: insertProduct + "('{own}', gen_random_uuid(), 'x', 'x', 1, '{owner}', '{unknown category}')", state: "23503", stops: "foreign keys carry the tenant; an id that never was is answered alike"},
	{name: "another's row by its id", try: []string{"select name from products where id = '{foreign product}'"}, twin: "select name from products where id = '{unknown product}'", saw: "SELECT 0", instead: policy},

	// Writing foreign rows.
	{name: "an `INSERT` for another", try: []string{insertProduct + "('{foreign}', gen_random_uuid(), 'x', 'x', 1, '{owner}', null)"}, twin: insertProduct + "('{unknown}', gen_random_uuid(), 'x', 'x', 1, '{owner}', null)", state: "42501", stops: policy},
	{name: "an `INSERT` that would collide in another", try: []string{insertProduct + "('{foreign}', '{foreign product}', 'FOREIGN-1', 'x', 1, '{owner}', null) on conflict do nothing"}, twin: insertProduct + "('{unknown}', '{foreign product}', 'FOREIGN-1', 'x', 1, '{owner}', null) on conflict do nothing", state: "42501", stops: policy},
	{name: "`ON CONFLICT DO UPDATE` of another's row", try: []string{insertProduct + "('{foreign}', '{foreign product}', 'x', 'x', 1, '{owner}', null) on conflict (tenant_id, id) do update set stock = 0 where products.name::integer > 0"}, state: "42501", stops: policy},
	{name: "`ON CONFLICT DO UPDATE` into another tenant", try: []string{insertProduct + "('{own}', '{own product}', 'x', 'x', 1, '{owner}', null) on conflict (tenant_id, id) do update set tenant_id = '{foreign}'"}, state: "42501", stops: policy},
	{name: "`MERGE` over another's rows", try: []string{"merge into products as p using (values ('{foreign}'::uuid)) as w (tenant_id) on p.tenant_id = w.tenant_id when matched then update set stock = 0 when not matched then do nothing"}, saw: "MERGE 0", instead: policy},
	{name: "`MERGE` that inserts for another", try: []string{"merge into categories as c using (values ('{foreign}'::uuid)) as w (tenant_id) on c.tenant_id = w.tenant_id when not matched then insert (tenant_id, id, name, created_by) values (w.tenant_id, gen_random_uuid(), 'x', '{owner}')"}, state: "42501", stops: policy},
	{name: "an `UPDATE` of everything", try: []string{"update products set stock = 2"}, saw: "UPDATE 3", instead: ownOnly},
	{name: "an `UPDATE` of another's row", try: []string{"update products set stock = 2 where id = '{foreign product}'"}, twin: "update products set stock = 2 where id = '{unknown product}'", saw: "UPDATE 0", instead: policy},
	{name: "an `UPDATE` in a CTE", try: []string{"with w as (update products set stock = 2 returning tenant_id) select count(*), count(*) filter (where tenant_id <> '{own}') from w"}, saw: "3|0", instead: ownOnly},
	{name: "an `UPDATE` into another tenant", try: []string{"update products set tenant_id = '{foreign}', category_id = null"}, state: "42501", stops: policy},
	{name: "a `DELETE` of everything", try: []string{"delete from products"}, saw: "DELETE 3", instead: ownOnly},
	{name: "a `DELETE` of another's row", try: []string{"delete from categories where id = '{foreign category}'"}, twin: "delete from categories where id = '{unknown category}'", saw: "DELETE 0", instead: policy},
	{name: "a role for oneself", try: []string{"update memberships set role = 'OWNER'"}, state: "42501", stops: noGrant},
	{name: "history, rewritten", try: []string{"delete from events"}, state: "42501", stops: noGrant},
	{name: "a write without a tenant", outside: true, try: []string{insertProduct + "('{own}', gen_random_uuid(), 'x', 'x', 1, '{owner}', null)"}, state: "42501", stops: policy},
	{name: "an `UPDATE` without a tenant", outside: true, try: []string{"update products set stock = 2"}, saw: "UPDATE 0", instead: "no tenant means no rows"},
}

// weakness is a wall with a hole in it.
type weakness struct {
	name, plant, mend string
	caught            []string // vectors that must notice, at least
}

// forget changes the body of the door.
func forget(from, to string) string {
	return "do $do$ begin execute replace(pg_get_functiondef('gate.enter_tenant'::regproc), $$" + from + "$$, $$" + to + "$$); end $do$"
}

var weaknesses = []weakness{
	{"set_config for everybody", "grant execute on function set_config(text, text, boolean) to public", "revoke execute on function set_config(text, text, boolean) from public",
		[]string{"`set_config` of the tenant, local", "`set_config` in a condition", "`set_config` of row_security"}},
	{"row-level security off", "alter table shared.products disable row level security", "alter table shared.products enable row level security",
		[]string{"every table and view, read", "every table and view, read without a tenant", "a cast that shows what it fails on", "an `UPDATE` of everything", "`COPY` to the client"}},
	{"a policy for everything", "create policy all_of_them on shared.products to commonhold_app using (true)", "drop policy all_of_them on shared.products",
		[]string{"`OR` beside the predicate", "rows by their place", "a division by zero in foreign rows", "an `INSERT` for another"}},
	{"a policy that checks nothing", "alter policy tenant_isolation on shared.products with check (true)", "alter policy tenant_isolation on shared.products with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)",
		[]string{"an `INSERT` for another", "an `UPDATE` into another tenant", "a write without a tenant"}},
	{"a policy that is open while no tenant is entered", "create policy open on shared.events using (coalesce(current_setting('app.tenant_id', true), '') = '')", "drop policy open on shared.events",
		[]string{"every table and view, read without a tenant"}},
	{"plpgsql for everybody", "grant usage on language plpgsql to public", "revoke usage on language plpgsql from public",
		[]string{"`DO` in plpgsql"}},
	{"queries as text", "grant execute on function query_to_xml(text, boolean, boolean, text), ts_stat(text) to public", "revoke execute on function query_to_xml(text, boolean, boolean, text), ts_stat(text) from public",
		[]string{"`query_to_xml`", "`ts_stat`"}},
	{"a view with its owner's rights", "create view shared.every_product as select * from shared.products; grant select on shared.every_product to commonhold_app", "drop view shared.every_product",
		[]string{"every table and view, read", "every table and view, read without a tenant"}},
	{"a definer function", "create function shared.product_count() returns bigint language sql security definer as 'select count(*) from shared.products'", "drop function shared.product_count()",
		[]string{"definer functions of ours"}},
	{"files", "grant execute on function pg_read_file(text) to commonhold_app", "revoke execute on function pg_read_file(text) from commonhold_app",
		[]string{"`pg_read_file`"}},
	{"large objects", "grant execute on function lo_from_bytea(oid, bytea) to public", "revoke execute on function lo_from_bytea(oid, bytea) from public",
		[]string{"filling a large object"}},
	{"other sessions", "grant execute on function pg_terminate_backend(integer, bigint), pg_try_advisory_lock(bigint) to public", "revoke execute on function pg_terminate_backend(integer, bigint), pg_try_advisory_lock(bigint) from public",
		[]string{"ending another session", "a lock for the session, tried"}},
	{"a door that forgets who is inside", forget("array['', entered::pg_catalog.text]", "array['', entered::pg_catalog.text, pg_catalog.current_setting('app.tenant_id', true)]"),
		forget("array['', entered::pg_catalog.text, pg_catalog.current_setting('app.tenant_id', true)]", "array['', entered::pg_catalog.text]"),
		[]string{"the door of another tenant", "the door in a condition on every row", "a savepoint after the door, then another door"}},
	{"temporary tables", "grant temporary on database {database} to public", "revoke temporary on database {database} from public",
		[]string{"a temporary table", "a table in the temporary schema"}},
	{"a key without the tenant", "create unique index products_sku_alone on shared.products (sku)", "drop index shared.products_sku_alone",
		[]string{"a unique key of another"}},
	{"a reference without the tenant", `create unique index categories_alone on shared.categories (id);
		alter table shared.products drop constraint products_category_id_fkey, add constraint products_category_id_fkey foreign key (category_id) references shared.categories (id)`,
		`alter table shared.products drop constraint products_category_id_fkey, add constraint products_category_id_fkey foreign key (tenant_id, category_id) references shared.categories (tenant_id, id);
		drop index shared.categories_alone`,
		[]string{"a reference to another's row"}},
	{"a function that runs text", "create schema aid; create function aid.run(q text) returns text language plpgsql as 'begin execute q; return q; end'; grant usage on schema aid to commonhold_app", "drop schema aid cascade",
		[]string{"a function that runs text, in a schema of somebody's", "definer functions of ours"}},
	{"set_config by another name", "create schema aid; create function aid.conf(text, text, boolean) returns text language internal as 'set_config_by_name'; grant usage on schema aid to commonhold_app", "drop schema aid cascade",
		[]string{"`set_config` by another name", "definer functions of ours"}},
	{"a cast that counts as leakproof", "alter function pg_catalog.int4in(cstring) leakproof; alter function pg_catalog.textout(text) leakproof", "alter function pg_catalog.int4in(cstring) not leakproof; alter function pg_catalog.textout(text) not leakproof",
		[]string{"a cast in a sample, which shows what it fails on"}},
	{"a division that counts as leakproof", "alter function pg_catalog.int4div(integer, integer) leakproof", "alter function pg_catalog.int4div(integer, integer) not leakproof",
		[]string{"a division by zero in a sample"}},
	{"a view among PostgreSQL's", "create view information_schema.every_product as select * from shared.products; grant select on information_schema.every_product to public", "drop view information_schema.every_product",
		[]string{"every table and view, read", "every table and view, read without a tenant"}},
	{"statistics for everybody", "grant select on pg_statistic to public", "revoke select on pg_statistic from public",
		[]string{"`pg_statistic`"}},
	{"the doors, readable", "grant select on gate.tenant_doors to commonhold_app", "revoke select on gate.tenant_doors from commonhold_app",
		[]string{"the list of doors", "every table and view, read"}},
}
