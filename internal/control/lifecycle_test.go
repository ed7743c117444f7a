package control_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/controlsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func count(t testing.TB, conn *pgx.Conn, sql string, args ...any) (n int) {
	t.Helper()
	if err := conn.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// What Validate lets through the table takes, and nothing else.
func TestSlugsAreThoseTheTableTakes(t *testing.T) {
	t.Parallel()
	conn := pgtest.Superuser(t)
	good := 0
	for _, slug := range []string{
		"abc", "a-b", "a1b", "123", "a-b-c", "acme-2", strings.Repeat("a", 40), "a" + strings.Repeat("-a", 19) + "b",
		"", "a", "ab", "a-", "-ab", "ab-", "a--b", "a---b", "Abc", "a b", "a_b", "ä12", "abc\n", "abc ", "a.b.c", strings.Repeat("a", 41), "a" + strings.Repeat("-a", 20), "abc\x00",
	} {
		r := control.Registration{Name: "Name", Slug: slug, Currency: "EUR"}
		errs := r.Validate()
		_, err := conn.Exec(context.Background(), `insert into control.tenants (id, slug, name, status, currency_code) values ($1, $2, 'Name', 'ERASED', 'EUR')`, tenant.NewID(), slug)
		if (err == nil) != (len(errs) == 0) {
			t.Errorf("%q: Validate says %v, the table says %v", slug, errs, err)
		}
		if err == nil {
			good++
			continue
		}
		if len(errs) != 1 || !fault.Is(errs[0], fault.Invalid) || errs[0].(*fault.Error).Field[0] != "slug" { //nolint:errorlint // coded
			t.Errorf("%q: %v", slug, errs)
		}
	}
	if good != 8 {
		t.Errorf("%d slugs were taken, want 8", good)
	}
}

func TestRegisterIsPartOfItsTransaction(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	ctx := context.Background()
	r := control.Registration{Name: "Company", Slug: "t" + strings.ReplaceAll(id.New().String(), "-", "")[:31], Currency: "EUR"}
	failed := errors.New("later in the transaction")
	register := func(fail error) (made *tenant.Tenant, err error) {
		err = w.DB.InControlTx(ctx, func(q *controlsql.Queries) error {
			if made, err = control.Register(ctx, q, r, w.Owner); err != nil {
				return err
			}
			return fail
		})
		return made, err
	}
	made, err := register(failed)
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	conn := pgtest.Superuser(t)
	for _, table := range []string{"control.placements", "control.memberships", "gate.tenant_doors"} {
		if n := count(t, conn, `select count(*) from `+table+` where tenant_id = $1`, made.ID); n != 0 {
			t.Errorf("%d rows of %s stay", n, table)
		}
	}
	if _, err := w.Registry.BySlug(ctx, r.Slug); !fault.Is(err, fault.NotFound) {
		t.Errorf("the tenant stays: %v", err)
	}
	if made, err = register(nil); err != nil || made.Slug != r.Slug || made.Status != tenant.Active || made.Currency != "EUR" || made.Plan != "standard" {
		t.Fatalf("%+v, %v", made, err)
	}
	if _, err := register(nil); !fault.Is(err, fault.Taken) {
		t.Errorf("twice: %v", err)
	}
	// Its home can be entered at once.
	if n, err := w.DB.Home(made.ID).Read().CountProducts(ctx, tenantsql.CountProductsParams{TenantID: made.ID}); err != nil || n != 0 {
		t.Errorf("%d products, %v", n, err)
	}
	if found, err := w.Registry.Open(ctx, made.ID); err != nil || *found != *made {
		t.Errorf("%+v, %v, want %+v", found, err, made)
	}
}

func TestEnsureDefaultsTwiceIsOnce(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	ctx := context.Background()
	conn := pgtest.Superuser(t)
	for range 3 {
		if err := w.Registry.EnsureDefaults(ctx, w.Tenant.ID, w.Owner); err != nil {
			t.Fatal(err)
		}
		if n := count(t, conn, `select count(*) from shared.categories where tenant_id = $1 and name = 'General' and parent_id is null and created_by = $2`, w.Tenant.ID, w.Owner); n != 1 {
			t.Fatalf("%d categories", n)
		}
	}
	if n := count(t, conn, `select count(*) from control.tenants where id = $1 and defaults_at is not null`, w.Tenant.ID); n != 1 {
		t.Error("the tenant does not know that it has its defaults")
	}
}

func TestSuspendAndResume(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	ctx := context.Background()
	// A second server, whose memory says that the tenant is open.
	other := pgtest.Open(t, 2)
	serve := func(w *pgtest.World) map[string]error {
		home := w.DB.Home(w.Tenant.ID)
		_, read := home.Read().CountProducts(ctx, tenantsql.CountProductsParams{TenantID: w.Tenant.ID})
		write := home.InTx(ctx, func(q *tenantsql.Queries) error {
			_, err := q.CreateCategory(ctx, tenantsql.CreateCategoryParams{TenantID: w.Tenant.ID, ID: id.NewCategory(), Name: id.New().String(), CreatedBy: w.Owner})
			return err
		})
		_, people := w.DB.Account(w.Tenant.ID).Read().CountMembers(ctx, accountsql.CountMembersParams{TenantID: w.Tenant.ID})
		return map[string]error{"reading": read, "writing": write, "the people": people}
	}
	other.Tenant, other.Owner = w.Tenant, w.Owner
	conn := pgtest.Superuser(t)
	written := func() int {
		return count(t, conn, `select count(*) from shared.categories where tenant_id = $1`, w.Tenant.ID)
	}
	for _, server := range []*pgtest.World{w, other} {
		for what, err := range serve(server) {
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	before := written()
	for range 2 { // the second time changes nothing
		if moved, _, err := w.Registry.Change(ctx, control.Named{Slug: w.Tenant.Slug}, tenant.Suspended, ""); err != nil || moved.Status != tenant.Suspended {
			t.Fatalf("%+v, %v", moved, err)
		}
	}
	for name, server := range map[string]*pgtest.World{"here": w, "on the other server": other} {
		for what, err := range serve(server) {
			if !fault.Is(err, fault.TenantSuspended) {
				t.Errorf("%s %s: %v, want %s", what, name, err, fault.TenantSuspended)
			}
		}
	}
	if n := written(); n != before {
		t.Errorf("%d categories were written into a suspended tenant", n-before)
	}
	for range 2 {
		if moved, _, err := w.Registry.Change(ctx, control.Named{Slug: w.Tenant.Slug}, tenant.Active, ""); err != nil || moved.Status != tenant.Active {
			t.Fatalf("%+v, %v", moved, err)
		}
	}
	for what, err := range serve(w) {
		if err != nil {
			t.Errorf("%s after resuming: %v", what, err)
		}
	}

	if _, _, err := w.Registry.Change(ctx, control.Named{Slug: "never-was"}, tenant.Suspended, ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("a tenant that never was: %v", err)
	}
	if _, err := conn.Exec(ctx, `update control.tenants set status = 'OFFBOARDING' where id = $1`, w.Tenant.ID); err != nil {
		t.Fatal(err)
	}
	for _, to := range []tenant.Status{tenant.Suspended, tenant.ReadOnly, tenant.Active} {
		if _, _, err := w.Registry.Change(ctx, control.Named{Slug: w.Tenant.Slug}, to, ""); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s of a tenant that is ending: %v", to, err)
		}
	}
}

// A read-only tenant is read and not written, whatever a server remembers of it; and each
// change is recorded, with its reason, once.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	ctx := context.Background()
	other := pgtest.Open(t, 2)
	named := control.Named{Of: w.Tenant.ID.UUID()}
	try := func(w2 *pgtest.World) (read, write, people error) {
		home := w2.DB.Home(w.Tenant.ID)
		_, read = home.Read().CountProducts(ctx, tenantsql.CountProductsParams{TenantID: w.Tenant.ID})
		write = home.InTx(ctx, func(q *tenantsql.Queries) error {
			_, err := q.CreateCategory(ctx, tenantsql.CreateCategoryParams{TenantID: w.Tenant.ID, ID: id.NewCategory(), Name: id.New().String(), CreatedBy: w.Owner})
			return err
		})
		_, people = w2.DB.Account(w.Tenant.ID).Read().CountMembers(ctx, accountsql.CountMembersParams{TenantID: w.Tenant.ID})
		return read, write, people
	}
	for _, server := range []*pgtest.World{w, other} {
		if read, write, people := try(server); read != nil || write != nil || people != nil {
			t.Fatal(read, write, people)
		}
	}
	conn := pgtest.Superuser(t)
	written := func() int {
		return count(t, conn, `select count(*) from shared.categories where tenant_id = $1`, w.Tenant.ID)
	}
	before := written()
	for _, step := range []struct {
		to              tenant.Status
		reason          string
		read, write     fault.Code
		changed, record bool
	}{
		{tenant.ReadOnly, "an unpaid bill", "", fault.TenantReadOnly, true, true},
		{tenant.ReadOnly, "an unpaid bill", "", fault.TenantReadOnly, false, false},
		{tenant.Suspended, "two of them", fault.TenantSuspended, fault.TenantSuspended, true, true},
		{tenant.ReadOnly, "", "", fault.TenantReadOnly, true, true},
		{tenant.Active, "paid", "", "", true, true},
		{tenant.Active, "", "", "", false, false},
	} {
		records := func() int {
			return count(t, conn, `select count(*) from control.access_events where tenant_id = $1 and actor_id is null and entity_id = $1 and starts_with(action, 'tenant.')`, w.Tenant.ID)
		}
		told := records()
		made, changed, err := w.Registry.Change(ctx, named, step.to, step.reason)
		if err != nil || made.Status != step.to || changed != step.changed {
			t.Fatalf("%+v: %+v, %t, %v", step, made, changed, err)
		}
		if now := records(); now-told > 1 || now-told == 1 != step.record {
			t.Errorf("%+v: %d records, then %d", step, told, now)
		}
		for name, server := range map[string]*pgtest.World{"here": w, "elsewhere": other} {
			read, write, people := try(server)
			if fault.CodeOf(read) != step.read || fault.CodeOf(write) != step.write || fault.CodeOf(people) != step.read {
				t.Errorf("%s, %s: reading %v, writing %v, the people %v", step.to, name, read, write, people)
			}
		}
		if step.to != tenant.Active && written() != before {
			t.Errorf("%s: something was written", step.to)
		}
	}
	if n := count(t, conn, `select count(*) from control.access_events where tenant_id = $1 and action = 'tenant.made_read_only' and data = '{"from": "ACTIVE", "reason": "an unpaid bill"}'`, w.Tenant.ID); n != 1 {
		t.Errorf("%d records of the reason", n)
	}
	for what, refused := range map[string]func() error{
		"a status that is not the operator's": func() error { _, _, err := w.Registry.Change(ctx, named, tenant.Erased, ""); return err },
		"a reason of two lines":               func() error { _, _, err := w.Registry.Change(ctx, named, tenant.Suspended, "a\nb"); return err },
		"a reason without an end": func() error {
			_, _, err := w.Registry.Change(ctx, named, tenant.Suspended, strings.Repeat("x", 501))
			return err
		},
	} {
		if err := refused(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A write that passed the door before it was closed is waited for: when Suspend returns, all
// that was ever acknowledged is there, and nothing more comes.
func TestSuspendWaitsForWriters(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	ctx := context.Background()
	conn, own := pgtest.Superuser(t), pgtest.Superuser(t)
	written := func() int {
		return count(t, own, `select count(*) from shared.categories where tenant_id = $1`, w.Tenant.ID)
	}
	inside, may, wrote := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		wrote <- w.DB.Home(w.Tenant.ID).InTx(ctx, func(q *tenantsql.Queries) error {
			close(inside)
			<-may
			_, err := q.CreateCategory(ctx, tenantsql.CreateCategoryParams{TenantID: w.Tenant.ID, ID: id.NewCategory(), Name: "Late", CreatedBy: w.Owner})
			return err
		})
	}()
	<-inside
	suspended := make(chan error, 1)
	atReturn := make(chan int, 1)
	go func() {
		_, _, err := w.Registry.Change(ctx, control.Named{Slug: w.Tenant.Slug}, tenant.Suspended, "")
		atReturn <- written()
		suspended <- err
	}()
	// It waits, and meanwhile the door is closed to others already.
	for waits := false; !waits; {
		waits = count(t, conn, `select count(*) from pg_locks where locktype = 'advisory' and not granted and (classid::bigint << 32 | objid::bigint) = $1`, postgres.LockKey(w.Tenant.ID)) > 0
		select {
		case n := <-atReturn:
			close(may)
			t.Fatalf("it returned while a write was under way, with %d written", n)
		default:
		}
	}
	if _, err := pgtest.Open(t, 2).DB.Home(w.Tenant.ID).Read().CountProducts(ctx, tenantsql.CountProductsParams{TenantID: w.Tenant.ID}); !fault.Is(err, fault.TenantSuspended) && !fault.Is(err, fault.TenantMoved) {
		t.Errorf("while it waits: %v", err)
	}
	close(may)
	if err := <-wrote; err != nil {
		t.Errorf("the write that was there first: %v", err)
	}
	if n := <-atReturn; n != 1 {
		t.Errorf("%d written when it returned, want 1", n)
	}
	if err := <-suspended; err != nil {
		t.Error(err)
	}
}

// What the registry tells ages; where a tenant lives does not, because the door knows
// better. That a tenant is not served is told, so it ages too.
func TestAddressesDoNotAge(t *testing.T) {
	t.Parallel()
	w := pgtest.Open(t, 2) // whose registry is nobody else's
	w.Tenant, w.Owner = w.NewTenant(t)
	read := func() (trips int64, err error) {
		ctx, counter := postgres.WithCounter(context.Background())
		_, err = w.DB.Home(w.Tenant.ID).Read().CountProducts(ctx, tenantsql.CountProductsParams{TenantID: w.Tenant.ID})
		return counter.RoundTrips(), err
	}
	if _, err := read(); err != nil {
		t.Fatal(err)
	}
	w.Registry.SetAge(0)
	if trips, err := read(); err != nil || trips != 1 {
		t.Errorf("an old address: %v, %d round trips, want 1", err, trips)
	}
	ctx, counter := postgres.WithCounter(context.Background())
	if _, err := w.Registry.Open(ctx, w.Tenant.ID); err != nil || counter.Statements() != 1 {
		t.Errorf("an old tenant: %v, %d statements, want 1", err, counter.Statements())
	}
	elsewhere := pgtest.Open(t, 2)
	pgtest.Change(t, elsewhere.Registry, w.Tenant.Slug, tenant.Suspended)
	if _, err := read(); !fault.Is(err, fault.TenantSuspended) {
		t.Errorf("suspended elsewhere: %v, want %s", err, fault.TenantSuspended)
	}
	pgtest.Change(t, elsewhere.Registry, w.Tenant.Slug, tenant.Active)
	if trips, err := read(); err != nil || trips != 2 {
		t.Errorf("resumed elsewhere: %v, %d round trips, want 2", err, trips)
	}
}

func TestUnknownTenants(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	ctx := context.Background()
	never := tenant.NewID()
	if _, err := w.Registry.Tenant(ctx, never); !fault.Is(err, fault.NotFound) {
		t.Errorf("Tenant: %v", err)
	}
	if _, err := w.Registry.Open(ctx, never); !fault.Is(err, fault.NotFound) {
		t.Errorf("Open: %v", err)
	}
	if _, err := w.DB.Home(never).Read().CountProducts(ctx, tenantsql.CountProductsParams{TenantID: never}); !fault.Is(err, fault.NotFound) {
		t.Errorf("its home: %v", err)
	}
	if _, err := w.DB.Account(never).Read().CountMembers(ctx, accountsql.CountMembersParams{TenantID: never}); !fault.Is(err, fault.NotFound) {
		t.Errorf("its people: %v", err)
	}
}
