package isolation_test

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/pgtest"
)

// allowedPlans are complaints that may stand, with the reason of each. One that is
// no longer made must go.
var allowedPlans = map[string]string{
	"ListUsersByIDs: users: no index is bound to the tenant": "a person belongs to no tenant: memberships brings the ids, each is looked up by itself",
	"ListUsersByIDs: memberships: bound by the policy alone": "the policy of users reads memberships itself, where no parameter of the statement reaches",
}

// generated is a statement as sqlc wrote it.
type generated struct{ name, sql string }

// generatedStatements reads the constants of the packages that reach tenants.
func generatedStatements(t *testing.T) []generated {
	t.Helper()
	var found []generated
	for _, dir := range []string{"tenantsql", "accountsql"} {
		paths, err := filepath.Glob(filepath.Join("../../sqlc", dir, "*.sql.go"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no generated files in %s (%v)", dir, err)
		}
		for _, path := range paths {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				text, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				if rest, ok := strings.CutPrefix(text, "-- name: "); ok {
					name, _, _ := strings.Cut(rest, " ")
					found = append(found, generated{name, text})
				}
				return true
			})
		}
	}
	return found
}

// node is what EXPLAIN (FORMAT JSON) says of one step of a plan.
type node struct {
	Type      string `json:"Node Type"`
	Operation string `json:"Operation"`
	Relation  string `json:"Relation Name"`
	Index     string `json:"Index Name"`
	IndexCond string `json:"Index Cond"`
	Filter    string `json:"Filter"`
	Join      string `json:"Join Filter"`
	OneTime   string `json:"One-Time Filter"`
	Plans     []node `json:"Plans"`
}

// What a condition on an index may bind: the tenant that is the statement's
// parameter, which also shows that the plan is a generic one; or the entered one.
var (
	byParameter = regexp.MustCompile(`\btenant_id = \$\d+\b`)
	byPolicy    = regexp.MustCompile(`\btenant_id = \(NULLIF\(current_setting\('app.tenant_id'`)
)

// catalog is what the check knows of the database.
type catalog struct {
	scoped []string // tables under row-level security
	// What stands before tenant_id in an index: each must be bound as well, or the
	// part that is read holds other tenants' entries.
	before map[string][]string
}

func readCatalog(t *testing.T, conn *pgx.Conn) catalog {
	t.Helper()
	k := catalog{before: make(map[string][]string)}
	rows, err := conn.Query(t.Context(), `select i.relname, array(
			select a.attname::text from pg_attribute as a
			where a.attrelid = i.oid and a.attnum < (select t.attnum from pg_attribute as t where t.attrelid = i.oid and t.attname = 'tenant_id'))
		from pg_class as i where i.relkind = 'i' and i.oid >= 16384`)
	if err != nil {
		t.Fatal(err)
	}
	var index string
	var before []string
	if _, err := pgx.ForEachRow(rows, []any{&index, &before}, func() error { k.before[index] = before; return nil }); err != nil {
		t.Fatal(err)
	}
	err = conn.QueryRow(t.Context(), "select array_agg(c.relname::text) from pg_class as c where c.relforcerowsecurity").Scan(&k.scoped)
	if err != nil || len(k.scoped) < 5 || len(k.before["memberships_user_id_idx"]) != 1 || len(k.before["memberships_user_id_key"]) != 0 {
		t.Fatalf("%+v, %v", k, err)
	}
	return k
}

// complaints say what a plan does that no plan of a tenant's statement should.
func (k catalog) complaints(plan node) (found []string) {
	scans := 0
	var walk func(n node, gated bool)
	walk = func(n node, gated bool) {
		complain := func(what string) {
			if c := n.Relation + ": " + what; !slices.Contains(found, c) {
				found = append(found, c)
			}
		}
		gated = gated || strings.Contains(n.OneTime, "current_setting('app.tenant_id'")
		if strings.Contains(n.Filter+n.Join, "current_setting") {
			complain("the policy is asked for each row")
		}
		if slices.Contains(k.scoped, n.Relation) && n.Type != "ModifyTable" {
			scans++
			indexes := []node{n}
			if n.Type == "Bitmap Heap Scan" {
				indexes = bitmaps(n)
			}
			if !gated {
				complain("the policy is no one-time filter")
			}
			for _, i := range indexes {
				switch {
				case n.Type == "Seq Scan":
					complain("all of it is read")
				case byPolicy.MatchString(i.IndexCond):
					complain("bound by the policy alone")
				case !byParameter.MatchString(i.IndexCond):
					complain("no index is bound to the tenant")
				case slices.ContainsFunc(k.before[i.Index], func(column string) bool { return !strings.Contains(i.IndexCond, "("+column+" = ") }):
					complain(i.Index + " is read past the tenant")
				}
			}
		}
		for _, below := range n.Plans {
			walk(below, gated)
		}
	}
	walk(plan, false)
	if scans == 0 && plan.Operation != "Insert" {
		found = append(found, "no tenant-scoped table is read")
	}
	return found
}

// bitmaps are the index scans below a bitmap heap scan.
func bitmaps(n node) (found []node) {
	for _, below := range n.Plans {
		if below.Type == "Bitmap Index Scan" {
			found = append(found, below)
		}
		found = append(found, bitmaps(below)...)
	}
	return found
}

var parameter = regexp.MustCompile(`\$(\d+)`)

// explain asks for the generic plan of a statement, inside the entered tenant.
func explain(t *testing.T, conn *pgx.Conn, s generated) node {
	t.Helper()
	highest := 0
	for _, m := range parameter.FindAllStringSubmatch(s.sql, -1) {
		n, _ := strconv.Atoi(m[1])
		highest = max(highest, n)
	}
	// The plan is generic, so the values are of no account.
	nulls := strings.TrimSuffix(strings.Repeat("null, ", highest), ", ")
	several(t, conn, "prepare explained as "+s.sql)
	var text []byte
	if err := conn.QueryRow(t.Context(), "explain (format json) execute explained ("+nulls+")", pgx.QueryExecModeSimpleProtocol).Scan(&text); err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	several(t, conn, "deallocate explained")
	var plans []struct{ Plan node }
	if err := json.Unmarshal(text, &plans); err != nil || len(plans) != 1 {
		t.Fatalf("%s: %d plans, %v: %s", s.name, len(plans), err, text)
	}
	return plans[0].Plan
}

// several runs statements, as only a test may.
func several(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// A crowd of uneven tenants: the first has 20,000 products and events of
// each kind, ten have
// some hundred, the others a handful. A table that it does not fill is planned for
// as if it were of ten pages.
const crowd = `
	set session_replication_role = replica;
	create temporary table crowd as
		select n, format('01900000-0000-7000-8000-%s', lpad(n::text, 12, '0'))::uuid as id,
		       case when n = 1 then 20000 when n <= 11 then 200 else 8 end as size
		from generate_series(1, 60) as n;
	insert into control.tenants (id, slug, name, status, currency_code) select id, 'tenant' || n, 'Tenant', 'ACTIVE', 'EUR' from crowd;
	insert into gate.tenant_doors (tenant_id, epoch) select id, 1 from crowd;
	insert into control.users (id, email, display_name)
		select gen_random_uuid(), format('%s-%s@tests.example', n, m), 'Member' from crowd, generate_series(1, greatest(size / 10, 2)) as m;
	insert into control.memberships (tenant_id, id, user_id, role, created_at)
		select c.id, gen_random_uuid(), u.id, 'MEMBER', now() - random() * interval '1 year'
		from crowd as c join control.users as u on split_part(u.email, '-', 1) = c.n::text;
	insert into shared.categories (tenant_id, id, name, created_by)
		select id, gen_random_uuid(), 'Category ' || m, gen_random_uuid() from crowd, generate_series(1, greatest(size / 20, 3)) as m;
	update shared.categories as c set parent_id = top.id
		from (select tenant_id, min(id::text)::uuid as id from shared.categories group by tenant_id) as top
		where top.tenant_id = c.tenant_id and top.id <> c.id and right(c.name, 1) in ('2', '3');
	insert into shared.products (tenant_id, id, sku, name, price_minor, stock, category_id, created_by, created_at)
		select c.id, gen_random_uuid(), 'S-' || m, 'Lamp ' || m, m % 1000, m % 7, k.ids[1 + m % cardinality(k.ids)], gen_random_uuid(), now() - random() * interval '1 year'
		from crowd as c, generate_series(1, size) as m,
		     lateral (select array_agg(k.id) as ids from shared.categories as k where k.tenant_id = c.id) as k;
	insert into shared.events (tenant_id, id, epoch, action, entity_id, request_id, data, occurred_at)
		select p.tenant_id, gen_random_uuid(), 1, 'product.created', p.id, 'r', '{}', p.created_at from shared.products as p;
	insert into control.access_events (tenant_id, id, action, entity_id, request_id, data, occurred_at)
		select p.tenant_id, gen_random_uuid(), 'session.started', p.id, 'r', '{}', p.created_at from shared.products as p;
	insert into shared.customers (tenant_id, id, email, name, created_by, created_at)
		select c.id, gen_random_uuid(), m || '@tests.example', 'Customer ' || m, gen_random_uuid(), now() - random() * interval '1 year'
		from crowd as c, generate_series(1, greatest(size / 10, 3)) as m;
	insert into shared.orders (tenant_id, id, number, customer_id, status, total_minor, placed_by, placed_at, created_by, created_at)
		select c.id, gen_random_uuid(), m, k.ids[1 + m % cardinality(k.ids)], 'PLACED', m, gen_random_uuid(), now(), gen_random_uuid(), now() - random() * interval '1 year'
		from crowd as c, generate_series(1, greatest(size / 4, 5)) as m,
		     lateral (select array_agg(k.id) as ids from shared.customers as k where k.tenant_id = c.id) as k;
	insert into shared.order_items (tenant_id, id, order_id, product_id, position, quantity, unit_price_minor)
		select o.tenant_id, gen_random_uuid(), o.id, p.ids[1 + (o.number * 7 + m) % cardinality(p.ids)], m, 1, 1
		from shared.orders as o, generate_series(1, 3) as m,
		     lateral (select array_agg(p.id) as ids from shared.products as p where p.tenant_id = o.tenant_id) as p;
	insert into shared.order_numbers (tenant_id, last_number) select tenant_id, max(number) from shared.orders group by tenant_id;
	reset session_replication_role;
	-- Of a table that is known to be empty all is read, whatever its indexes are.
	do $$
	declare
		walled regclass;
		filled boolean;
	begin
		for walled in select oid from pg_class where relforcerowsecurity loop
			execute format('select exists (select from %s)', walled) into filled;
			if filled then
				execute format('analyze %s', walled);
			end if;
		end loop;
	end $$`

const (
	bigTenant   = "01900000-0000-7000-8000-000000000001"
	smallTenant = "01900000-0000-7000-8000-000000000060"
)

// plantedPlan is a mistake, and what the check must say of a statement then.
type plantedPlan struct {
	name, plant string
	statement   generated // with no text: the one of that name
	want        string
}

const ofFunction = `create function shared.entered() returns uuid language plpgsql stable as 'begin return nullif(current_setting(''app.tenant_id'', true), '''')::uuid; end'; grant execute on function shared.entered() to public; `

var plantedPlans = []plantedPlan{
	{"no index that begins with the tenant", "drop index shared.events_occurred_at_idx; alter table shared.events drop constraint events_pkey",
		generated{"ListEventsAsc", ""}, "events: all of it is read"},
	{"a log without its index", "drop index control.access_events_occurred_at_idx; alter table control.access_events drop constraint access_events_pkey",
		generated{"ListAccessEventsDesc", ""}, "access_events: all of it is read"},
	{"an index that begins with something else", `
		drop index shared.products_created_at_idx, shared.products_name_key_idx, shared.products_price_minor_idx, shared.products_category_id_idx;
		alter table shared.products drop constraint products_pkey cascade, drop constraint products_sku_key;
		create index products_created_at_idx on shared.products (created_at, tenant_id, id)`,
		generated{"ListNewestProducts", ""}, "products: products_created_at_idx is read past the tenant"},
	{"a policy with a sub-select", "alter policy tenant_isolation on shared.products using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid))",
		generated{"GetProduct", ""}, "products: the policy is no one-time filter"},
	{"a policy with a function", ofFunction + "alter policy tenant_isolation on shared.products using (tenant_id = shared.entered())",
		generated{"GetProduct", ""}, "products: the policy is no one-time filter"},
	{"a policy that somebody is let past", "alter policy tenant_isolation on shared.products using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid or current_setting('app.admin', true) = 'on')",
		generated{"CountProducts", ""}, "products: the policy is asked for each row"},
	{"a policy that casts the column", "alter policy tenant_isolation on shared.products using (tenant_id::text = current_setting('app.tenant_id', true))",
		generated{"GetProduct", ""}, "products: the policy is asked for each row"},
	{"no row-level security", "alter table shared.categories disable row level security",
		generated{"GetCategory", ""}, "categories: the policy is no one-time filter"},
	{"a statement without a predicate", "",
		generated{"planted", "select * from products order by name_key limit $1"}, "products: bound by the policy alone"},
	{"a predicate that casts the column", "",
		generated{"planted", "select * from products where tenant_id::text = $1 and sku = $2"}, "products: the policy is no one-time filter"},
	{"a predicate that may not count", "",
		generated{"planted", "select * from products where (tenant_id = $1 or $2::boolean) and sku = $3"}, "products: bound by the policy alone"},
	{"a statement of the platform", "",
		generated{"planted", "select $1::integer"}, "no tenant-scoped table is read"},
}

func TestPlans(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, "plans")
	dial := func(role string) *pgx.Conn {
		conn, err := pgx.Connect(t.Context(), pgtest.ServerURL(t, role, database))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	admin, app := dial("postgres"), dial("commonhold_app")
	several(t, admin, crowd)
	k := readCatalog(t, admin)
	statements := generatedStatements(t)
	if len(statements) < 30 {
		t.Fatalf("only %d statements were found", len(statements))
	}

	made := make(map[string]bool)
	for _, id := range []string{bigTenant, smallTenant} {
		several(t, app, "begin read write; select gate.enter_tenant('"+id+"', 1, false)")
		for _, s := range statements {
			for _, c := range k.complaints(explain(t, app, s)) {
				key := s.name + ": " + c
				made[key] = true
				if allowedPlans[key] == "" {
					t.Errorf("inside %s: %s: a tenant's statement says tenant_id = @tenant_id of every table, and finds its rows by an index that begins with tenant_id", id, key)
				}
			}
		}
		several(t, app, "rollback")
	}
	for key := range allowedPlans {
		if !made[key] {
			t.Errorf("nobody complains any more, take it from the list: %s", key)
		}
	}
	t.Logf("%d statements, %d complaints allowed", len(statements), len(allowedPlans))

	// Each mistake in a transaction of its own.
	for _, p := range plantedPlans {
		s := p.statement
		if s.sql == "" {
			i := slices.IndexFunc(statements, func(other generated) bool { return other.name == s.name })
			if i < 0 {
				t.Errorf("%s: there is no statement %s", p.name, s.name)
				continue
			}
			s = statements[i]
		}
		several(t, admin, "begin; "+p.plant)
		k := readCatalog(t, admin)
		several(t, admin, "set local role commonhold_app; set local search_path = shared, control; set local plan_cache_mode = force_generic_plan; select gate.enter_tenant('"+bigTenant+"', 1, false)")
		if found := k.complaints(explain(t, admin, s)); !slices.Contains(found, p.want) {
			t.Errorf("%s: %q, want %q among them", p.name, found, p.want)
		}
		several(t, admin, "rollback")
	}
}
