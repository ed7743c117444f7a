package demo_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/demo"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// database is a migrated database without tenants: the slugs of the demo tenants
// are free in it.
type database struct {
	*pgtest.World
	people *auth.Service
	super  *pgx.Conn
}

func newDatabase(t *testing.T, name string) *database {
	t.Helper()
	ctx := context.Background()
	if err := postgres.CreateDatabase(ctx, pgtest.ServerURL(t, "postgres", "postgres"), name); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(ctx, pgtest.ServerURL(t, "postgres", name), nil); err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(ctx, postgres.Config{AppURL: pgtest.ServerURL(t, "commonhold_app", name), ControlURL: pgtest.ServerURL(t, "commonhold_control", name), MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return open(t, &pgtest.World{DB: db, Registry: control.NewRegistry(db)}, pgtest.ServerURL(t, "postgres", name))
}

func open(t *testing.T, w *pgtest.World, superURL string) *database {
	t.Helper()
	key, err := auth.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.NewTokens("http://tests.example", "commonhold", 0, nil, key)
	if err != nil {
		t.Fatal(err)
	}
	ring, _, err := keyring.New()
	if err != nil {
		t.Fatal(err)
	}
	d := &database{World: w, people: auth.NewService(w.DB, w.Registry, tokens, auth.NewPasswords(auth.TestPasswordParams()), ring)}
	if d.super, err = pgx.Connect(context.Background(), superURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.super.Close(context.Background()) })
	return d
}

func (d *database) seed(t *testing.T, ctx context.Context) error {
	t.Helper()
	return demo.Seed(ctx, d.DB, d.Registry, d.people)
}

func (d *database) lines(t *testing.T, sql string, args ...any) []string {
	t.Helper()
	rows, err := d.super.Query(context.Background(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// everything is every row of every table.
func (d *database) everything(t *testing.T) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	for _, table := range d.lines(t, `select c.oid::regclass::text from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
		where n.nspname in ('control', 'gate', 'shared') and c.relkind in ('r', 'p')`) {
		all[table] = d.lines(t, `select r::text from `+table+` as r order by 1`)
	}
	return all
}

// content is what Seed is there for, without the ids and times that differ from
// one making to the next.
func (d *database) content(t *testing.T) []string {
	t.Helper()
	return slices.Concat(
		d.lines(t, `select concat_ws(' ', t.slug, t.name, t.status, t.currency_code, p.isolation, o.status) from control.tenants as t
			join control.placements as p on p.tenant_id = t.id join gate.tenant_doors as o on o.tenant_id = t.id order by 1`),
		d.lines(t, `select concat_ws(' ', t.slug, u.email, u.display_name, m.role, m.status) from control.memberships as m
			join control.tenants as t on t.id = m.tenant_id join control.users as u on u.id = m.user_id join control.user_credentials as c on c.user_id = u.id order by 1`),
		d.lines(t, `select concat_ws(' ', t.slug, c.name, u.email) from shared.categories as c join control.tenants as t on t.id = c.tenant_id join control.users as u on u.id = c.created_by order by 1`),
		d.lines(t, `select concat_ws(' ', t.slug, p.sku, p.name, p.description, p.price_minor, p.stock, c.name, u.email) from shared.products as p
			join control.tenants as t on t.id = p.tenant_id join shared.categories as c on c.tenant_id = p.tenant_id and c.id = p.category_id join control.users as u on u.id = p.created_by order by 1`),
		d.lines(t, `select concat_ws(' ', t.slug, o.number, o.status, o.total_minor, c.name, c.email, i.position, i.quantity, i.unit_price_minor, p.sku, n.last_number) from shared.orders as o
			join control.tenants as t on t.id = o.tenant_id join shared.customers as c on c.tenant_id = o.tenant_id and c.id = o.customer_id
			join shared.order_items as i on i.tenant_id = o.tenant_id and i.order_id = o.id join shared.products as p on p.tenant_id = i.tenant_id and p.id = i.product_id
			join shared.order_numbers as n on n.tenant_id = o.tenant_id order by 1`))
}

func (d *database) signEverybodyIn(t *testing.T) {
	t.Helper()
	for _, a := range demo.Accounts() {
		session, memberships, err := d.people.SignIn(context.Background(), a.Tenant, a.Email, demo.Password)
		if err != nil || session == nil || len(memberships) != 1 || memberships[0].Role != a.Role || memberships[0].Tenant.Name != a.TenantName {
			t.Errorf("%s cannot sign in as %s: %+v, %v", a.Email, a.Role, memberships, err)
		}
	}
}

func TestSeed(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "seeded")
	ctx := context.Background()
	if err := d.seed(t, ctx); err != nil {
		t.Fatal(err)
	}
	first := d.everything(t)
	if err := d.seed(t, ctx); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, d.everything(t)); diff != "" {
		t.Errorf("the second time changed rows: %s", diff)
	}
	d.signEverybodyIn(t)
	if n := len(demo.Accounts()); n != 8 {
		t.Errorf("%d accounts, want four in each of two tenants", n)
	}
	// The same SKUs and names in both, on purpose.
	of := func(slug string) []string {
		return d.lines(t, `select p.sku || ' ' || p.name from shared.products as p join control.tenants as t on t.id = p.tenant_id where t.slug = $1 order by 1`, slug)
	}
	if acme := of("acme"); len(acme) != 360 || !slices.Equal(acme, of("globex")) {
		t.Errorf("acme has %d products, globex %d", len(acme), len(of("globex")))
	}

	// Forty orders in each, of every status but a draft, whose lines add up.
	if got := d.lines(t, `select concat_ws(' ', count(*), max(number), count(distinct status), count(distinct customer_id), (select count(*) from shared.customers as c where c.tenant_id = o.tenant_id))
		from shared.orders as o group by tenant_id`); !slices.Equal(got, []string{"40 40 5 7 9", "40 40 5 7 9"}) {
		t.Errorf("orders, the highest number, statuses, customers who ordered, customers: %q", got)
	}
	if wrong := d.lines(t, `select o.id::text from shared.orders as o where o.total_minor <> coalesce((select sum(i.quantity * i.unit_price_minor) from shared.order_items as i where i.order_id = o.id), -1)`); len(wrong) > 0 {
		t.Errorf("%d totals are not the sum of their lines", len(wrong))
	}

	// What a visitor changes is neither undone nor in the way.
	for _, sql := range []string{
		`update shared.categories set name = lower(name)`,
		`update shared.products set name = 'Changed', stock = 1 where sku like '%-00001'`,
		`update shared.orders set status = 'CANCELLED' where number = 40`,
		`update shared.customers set email = 'changed@tests.example' where name = 'Paper Crane Books'`,
		`update control.memberships set status = 'REMOVED' where role = 'VIEWER'`,
		`update shared.categories as c set parent_id = (select g.id from shared.categories as g where g.tenant_id = c.tenant_id and g.name = 'general') where name = 'textiles'`,
	} {
		if tag, err := d.super.Exec(ctx, sql); err != nil || tag.RowsAffected() < 2 {
			t.Fatalf("%s: %v, %v", sql, tag, err)
		}
	}
	changed := d.everything(t)
	if tag, err := d.super.Exec(ctx, `delete from shared.products where sku like '%-00007'`); err != nil || tag.RowsAffected() != 2 {
		t.Fatalf("%v, %v", tag, err)
	}
	if err := d.seed(t, ctx); err != nil {
		t.Fatalf("after a visitor's changes: %v", err)
	}
	if n := d.lines(t, `select p.sku from shared.products as p join shared.categories as c on c.tenant_id = p.tenant_id and c.id = p.category_id where sku like '%-00007'`); len(n) != 2 {
		t.Errorf("what was removed is there again %d times, want in both tenants", len(n))
	}
	for table, rows := range d.everything(t) {
		for _, row := range changed[table] {
			if !slices.Contains(rows, row) && !strings.Contains(row, "-00007,") {
				t.Errorf("a row of %s was changed back: %s", table, row)
			}
		}
		if table != "shared.categories" && table != "shared.customers" && len(rows) != len(changed[table]) { // a category that was moved away is made again, and so is a customer under the old address
			t.Errorf("%d rows of %s, want %d", len(rows), table, len(changed[table]))
		}
	}
	// A suspended tenant is left alone.
	pgtest.Change(t, d.Registry, "acme", tenant.Suspended)
	if err := d.seed(t, ctx); err != nil {
		t.Errorf("with a suspended tenant: %v", err)
	}
}

// cancelAt is a context that is cancelled when the database is asked for the nth
// time: the counter of statements is looked up just before each.
type cancelAt struct {
	context.Context
	cancel func()
	left   atomic.Int64
}

func (c *cancelAt) Value(key any) any {
	value := c.Context.Value(key)
	if _, ok := value.(*postgres.Counter); ok && c.left.Add(-1) == 0 {
		c.cancel()
	}
	return value
}

// Seed is broken off at each of its steps in turn, each time beginning with what
// the last one left.
func TestSeedResumes(t *testing.T) {
	t.Parallel()
	whole, broken := newDatabase(t, "whole"), newDatabase(t, "broken")
	if err := whole.seed(t, context.Background()); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for step := int64(1); ; step++ {
		ctx, cancel := context.WithCancel(context.Background())
		counted, _ := postgres.WithCounter(ctx)
		at := &cancelAt{Context: counted, cancel: cancel}
		at.left.Store(step)
		err := broken.seed(t, at)
		cancel()
		if at.left.Load() > 0 { // it came to its end
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if err != nil {
			failed++
		}
	}
	if failed < 20 {
		t.Errorf("broken off only %d times", failed)
	}
	// A registration that was broken off before its defaults is completed when the
	// owner signs in.
	whole.signEverybodyIn(t)
	broken.signEverybodyIn(t)
	if diff := cmp.Diff(whole.content(t), broken.content(t)); diff != "" {
		t.Error(diff)
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	d := open(t, w, pgtest.URL(t, "postgres"))
	products := func(of tenant.ID) []string {
		return d.lines(t, `select p::text from shared.products as p where tenant_id = $1 order by 1`, of)
	}
	for _, n := range []int{0, 1, 37, 5000} {
		home, owner := w.NewTenant(t)
		w.Settle(t)
		for range 2 { // the second time changes nothing
			before := products(home.ID)
			ctx, counter := postgres.WithCounter(context.Background())
			if err := demo.Fill(ctx, w.DB, home.ID, owner, n); err != nil {
				t.Fatal(err)
			}
			// Categories, their ids, products and customers, and from nine products on
			// orders, their lines and their numbers; the registry may have looked for the tenant.
			want := int64(4)
			if n >= 9 {
				want = 7
			}
			if got := counter.Statements(); got != want && got != want+1 || len(before) > 0 && got != want {
				t.Errorf("%d statements for %d products, want one to write each table and one to read", got, n)
			}
			after := products(home.ID)
			if len(after) != n || len(before) > 0 && !slices.Equal(before, after) {
				t.Errorf("%d products, want %d, the same ones as before", len(after), n)
			}
		}
		if err := demo.Fill(context.Background(), w.DB, home.ID, owner, n+3); err != nil || len(products(home.ID)) != n+3 {
			t.Errorf("filled up from %d to %d, want %d: %v", n, len(products(home.ID)), n+3, err)
		}
		if names := d.lines(t, `select name from shared.products where tenant_id = $1 group by name having count(*) > 1`, home.ID); len(names) > 0 {
			t.Errorf("%d of %d products share a name: %.100q", len(names), n, names)
		}
	}
}

func TestPopulate(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "populated")
	ctx := context.Background()
	populate := func(n, m int) {
		t.Helper()
		var told []int
		if err := demo.Populate(ctx, d.DB, d.Registry, n, m, func(done int) { told = append(told, done) }); err != nil {
			t.Fatal(err)
		}
		if len(told) != n || !slices.IsSorted(told) || told[n-1] != n {
			t.Errorf("progress: %v", told)
		}
		counts := d.lines(t, `select t.slug || ' ' || (select count(*) from shared.products as p where p.tenant_id = t.id) from control.tenants as t order by 1`)
		for i, line := range counts {
			if want := fmt.Sprintf("demo-%05d %d", i+1, m); line != want {
				t.Errorf("%s, want %s", line, want)
			}
		}
		if len(counts) != n {
			t.Errorf("%d tenants, want %d", len(counts), n)
		}
	}
	populate(2, 5)
	before := d.everything(t)
	populate(2, 5)
	if diff := cmp.Diff(before, d.everything(t)); diff != "" {
		t.Errorf("the second time changed rows: %s", diff)
	}
	populate(3, 9)

	// Nobody can sign in as their owners, and nobody can tell that from a wrong password.
	for _, password := range []string{"", "!", demo.Password} {
		_, _, err := d.people.SignIn(ctx, "demo-00001", "owner@demo-00001.example", password)
		_, _, unknown := d.people.SignIn(ctx, "demo-00001", "nobody@demo-00001.example", password)
		if !fault.Is(err, fault.BadCredential) || strings.Compare(err.Error(), unknown.Error()) != 0 {
			t.Errorf("signing in with %q: %v, want %v", password, err, unknown)
		}
	}
}
