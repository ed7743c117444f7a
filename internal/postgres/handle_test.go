package postgres_test

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/commonhold/commonhold/internal/embeddedpg"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/controlsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

func isCoded(err error) bool {
	_, ok := errors.AsType[*fault.Error](err)
	return ok
}

func TestCounterCounts(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	get := func(ctx context.Context) {
		t.Helper()
		_, err := w.DB.Home(w.Tenant.ID).Read().GetProduct(ctx, tenantsql.GetProductParams{TenantID: w.Tenant.ID, ID: id.NewProduct()})
		if !postgres.IsNoRows(err) {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name                   string
		work                   func(ctx context.Context) error
		statements, roundTrips int64
	}{
		{"read, registry cold: the tenant is located too", func(ctx context.Context) error { get(ctx); return nil }, 2, 2},
		{"read, registry warm", func(ctx context.Context) error { get(ctx); return nil }, 1, 1},
		{"read of an account", func(ctx context.Context) error {
			_, err := w.DB.Account(w.Tenant.ID).Read().CountMembers(ctx, accountsql.CountMembersParams{TenantID: w.Tenant.ID})
			return err
		}, 1, 1},
		{"empty transaction: enter, commit", func(ctx context.Context) error {
			return w.DB.Home(w.Tenant.ID).InTx(ctx, func(*tenantsql.Queries) error { return nil })
		}, 0, 2},
		{"transaction of two statements", func(ctx context.Context) error {
			return w.DB.Home(w.Tenant.ID).InTx(ctx, func(q *tenantsql.Queries) error {
				p, err := q.CreateProduct(ctx, w.product())
				if err != nil {
					return err
				}
				_, err = q.DeleteProduct(ctx, tenantsql.DeleteProductParams{TenantID: w.Tenant.ID, ID: p.ID, Version: p.Version})
				return err
			})
		}, 2, 4},
		{"statement of the control plane", func(ctx context.Context) error {
			_, err := w.DB.Control().GetTenant(ctx, controlsql.GetTenantParams{ID: w.Tenant.ID})
			return err
		}, 1, 1},
		{"transaction of the control plane: begin, one, commit", func(ctx context.Context) error {
			return w.DB.InControlTx(ctx, func(q *controlsql.Queries) error {
				_, err := q.GetTenant(ctx, controlsql.GetTenantParams{ID: w.Tenant.ID})
				return err
			})
		}, 1, 3},
	} {
		ctx, counter := postgres.WithCounter(t.Context())
		if err := c.work(ctx); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if counter.Statements() != c.statements || counter.RoundTrips() != c.roundTrips {
			t.Errorf("%s: %d statements in %d round trips, want %d in %d", c.name, counter.Statements(), counter.RoundTrips(), c.statements, c.roundTrips)
		}
		if postgres.CounterFrom(ctx) != counter || postgres.CounterFrom(t.Context()) != nil {
			t.Error("the counter belongs to its context alone")
		}
	}
}

// What the counter says is checked against what went over the socket.
func TestRoundTripsOnTheWire(t *testing.T) {
	t.Parallel()
	wire := tap(t)
	w := openURL(t, wire.url("commonhold_app"), pgtest.URL(t, "commonhold_control"), pgtest.Database, 1)
	read := func() {
		_, err := w.DB.Home(w.Tenant.ID).Read().CountProducts(t.Context(), tenantsql.CountProductsParams{TenantID: w.Tenant.ID})
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func() {
		err := w.DB.Home(w.Tenant.ID).InTx(t.Context(), func(q *tenantsql.Queries) error {
			_, err := q.CreateProduct(t.Context(), w.product())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// The syncs are the round trips: the server answers nothing before one.
	measure := func(what string, work func(), syncs, executes int64) {
		t.Helper()
		work()
		// A connection that idled for a second is pinged first, which a busy
		// machine can bring about: the best of some tries counts.
		var gotSyncs, gotExecutes int64
		for range 5 {
			wire.reset()
			work()
			gotSyncs, gotExecutes = wire.syncs.Load(), wire.executes.Load()
			if gotSyncs == syncs && gotExecutes == executes && wire.simple.Load() == 0 && wire.starts.Load() == 0 {
				return
			}
		}
		t.Errorf("%s: %d statements in %d round trips, %d by the simple protocol, %d new connections; want %d in %d",
			what, gotExecutes, gotSyncs, wire.simple.Load(), wire.starts.Load(), executes, syncs)
	}
	measure("read", read, 1, 2)         // door and statement
	measure("transaction", write, 3, 5) // begin, lock and door; the statement; commit
	measure("read after a write", read, 1, 2)
}

// One message of the extended protocol holds one statement. Nothing goes the other
// way, with arguments or without.
func TestExtendedProtocolOnly(t *testing.T) {
	t.Parallel()
	wire := tap(t)
	w := openURL(t, wire.url("commonhold_app"), wire.url("commonhold_control"), pgtest.Database, 1)
	wire.reset()
	two := "select 1; select 2"
	_, err := w.raw().Read().Exec(t.Context(), two)
	wantState(t, err, "42601")
	err = w.raw().InTx(t.Context(), func(q postgres.DBTX) error {
		if _, err := q.Exec(t.Context(), "select 1"); err != nil {
			return err
		}
		_, err := q.Exec(t.Context(), two)
		return err
	})
	wantState(t, err, "42601")
	if err := w.DB.Control().SetTenantDefaults(t.Context(), controlsql.SetTenantDefaultsParams{ID: w.Tenant.ID}); err != nil {
		t.Error(err)
	}
	if err := w.DB.InControlTx(t.Context(), func(*controlsql.Queries) error { return nil }); err != nil {
		t.Error(err)
	}
	if n := wire.simple.Load(); n != 0 {
		t.Errorf("%d messages of the simple protocol", n)
	}
}

// A connection that breaks without a word is the database being away; after a
// commit nobody knows, and is told so.
func TestConnectionIsLost(t *testing.T) {
	t.Parallel()
	wire := tap(t)
	w := openURL(t, wire.url("commonhold_app"), pgtest.URL(t, "commonhold_control"), pgtest.Database, 1)
	for _, c := range []struct {
		name, at string
		work     func() error
	}{
		{"read", "CUT HERE", func() error {
			_, err := w.raw().Read().Exec(t.Context(), "select $1::text, pg_sleep(60)", "CUT HERE")
			return err
		}},
		{"transaction", "CUT HERE", func() error {
			return w.raw().InTx(t.Context(), func(q postgres.DBTX) error {
				_, err := q.Exec(t.Context(), "select $1::text, pg_sleep(60)", "CUT HERE")
				return err
			})
		}},
		{"door, prepared on a new connection", "gate.enter_tenant", func() error {
			w.DB.AppPool().Reset()
			return w.raw().InTx(t.Context(), neverRuns(t))
		}},
		{"commit", "commit", func() error {
			err := w.DB.Home(w.Tenant.ID).InTx(t.Context(), func(q *tenantsql.Queries) error {
				_, err := q.CreateProduct(t.Context(), w.product())
				return err
			})
			if err == nil || !strings.Contains(err.Error(), "before it said whether this was stored") {
				t.Errorf("the caller must know that it may be stored: %v", err)
			}
			return err
		}},
	} {
		for _, polite := range []bool{true, false} {
			w.warm(t)
			wire.polite.Store(polite)
			wire.cut.Store(&c.at)
			err := c.work()
			if !isCoded(err) || !fault.Is(err, fault.Unavailable) {
				t.Errorf("%s, polite %t: %v (%s), want UNAVAILABLE", c.name, polite, err, fault.CodeOf(err))
			}
			wire.cut.Store(nil)
			w.idle(t)
			if _, err := w.raw().Read().Exec(t.Context(), "select 1"); err != nil {
				t.Errorf("%s, polite %t: the pool did not recover: %v", c.name, polite, err)
			}
		}
	}
}

func TestUnknownTenantIsNotFound(t *testing.T) {
	t.Parallel()
	w := open(t, 2)
	nobody := tenant.NewID()
	_, err := postgres.Raw(w.DB.Home(nobody)).Read().Exec(t.Context(), "select 1")
	wantCode(t, err, fault.NotFound)
	wantCode(t, postgres.Raw(w.DB.Home(nobody)).InTx(t.Context(), neverRuns(t)), fault.NotFound)
	_, err = postgres.Raw(w.DB.Account(nobody)).Read().Exec(t.Context(), "select 1")
	wantCode(t, err, fault.NotFound)
	wantCode(t, postgres.Raw(w.DB.Account(nobody)).InTx(t.Context(), neverRuns(t)), fault.NotFound)
	w.idle(t)
}

// neverRuns is the function of a transaction whose door must not open.
func neverRuns(t *testing.T) func(postgres.DBTX) error {
	return func(postgres.DBTX) error {
		t.Error("the door did not open, and yet the function was run")
		return nil
	}
}

// A moved tenant is found by one fresh look and one retry, however warm the cache.
func TestStaleRegistryHealsOnce(t *testing.T) {
	t.Parallel()
	w := open(t, 2)
	mover := w.as(t, "commonhold_control")
	move := func() {
		w.warm(t)
		run(t, mover, "update control.placements set epoch = epoch + 1 where tenant_id = $1", w.Tenant.ID)
		run(t, mover, "update gate.tenant_doors set epoch = epoch + 1 where tenant_id = $1", w.Tenant.ID)
	}

	move()
	ctx, counter := postgres.WithCounter(t.Context())
	if _, err := w.raw().Read().Exec(ctx, "select 1"); err != nil {
		t.Fatal(err)
	}
	if counter.RoundTrips() != 3 { // refused, looked up, entered
		t.Errorf("read at a stale epoch: %d round trips, want 3", counter.RoundTrips())
	}
	ctx, counter = postgres.WithCounter(t.Context())
	if _, err := w.raw().Read().Exec(ctx, "select 1"); err != nil || counter.RoundTrips() != 1 {
		t.Errorf("the fresh look was not remembered: %d round trips, %v", counter.RoundTrips(), err)
	}

	move()
	ctx, counter = postgres.WithCounter(t.Context())
	ran := 0
	err := w.raw().InTx(ctx, func(q postgres.DBTX) error {
		ran++
		var epoch string
		err := q.QueryRow(ctx, "select current_setting('app.epoch')").Scan(&epoch)
		if epoch != "3" {
			t.Errorf("entered at epoch %q, want 3", epoch)
		}
		return err
	})
	if err != nil || ran != 1 {
		t.Errorf("InTx at a stale epoch ran %d times: %v", ran, err)
	}
	if counter.RoundTrips() != 6 { // refused, rolled back, looked up, entered, asked, committed
		t.Errorf("InTx at a stale epoch: %d round trips, want 6", counter.RoundTrips())
	}
	w.idle(t)
}

// Between two homes the door refuses twice, and that is an error, not an answer.
func TestDoorThatRefusesTwice(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"wrong epoch": "update gate.tenant_doors set epoch = 7 where tenant_id = $1",
		"closed":      "update gate.tenant_doors set status = 'CLOSED' where tenant_id = $1",
		"not here":    "delete from gate.tenant_doors where tenant_id = $1",
	} {
		w := open(t, 1)
		w.warm(t)
		run(t, w.as(t, "commonhold_control"), sql, w.Tenant.ID)
		ctx, counter := postgres.WithCounter(t.Context())
		_, err := w.raw().Read().Exec(ctx, "select 1")
		wantCode(t, err, fault.TenantMoved)
		if counter.RoundTrips() != 3 {
			t.Errorf("%s: %d round trips, want 3: refused, looked up, refused", name, counter.RoundTrips())
		}
		wantCode(t, w.raw().Read().QueryRow(t.Context(), "select 1").Scan(new(int)), fault.TenantMoved)
		wantCode(t, w.raw().InTx(t.Context(), neverRuns(t)), fault.TenantMoved)
		w.idle(t)
	}
}

func TestSuspendedIsSeenPastTheCache(t *testing.T) {
	t.Parallel()
	w, operator := open(t, 2), open(t, 1)
	w.warm(t)
	// As a second server does, except that the first hears nothing of it.
	run(t, w.as(t, "commonhold_control"), "update gate.tenant_doors set status = 'CLOSED' where tenant_id = $1", w.Tenant.ID)
	run(t, w.as(t, "commonhold_control"), "update control.tenants set status = 'SUSPENDED' where id = $1", w.Tenant.ID)
	if _, err := w.Registry.Open(t.Context(), w.Tenant.ID); err != nil {
		t.Fatalf("the test needs a stale registry: %v", err)
	}
	_, err := w.raw().Read().Exec(t.Context(), "select 1")
	wantCode(t, err, fault.TenantSuspended)
	wantCode(t, w.raw().InTx(t.Context(), neverRuns(t)), fault.TenantSuspended)
	_, err = postgres.Raw(w.DB.Account(w.Tenant.ID)).Read().Exec(t.Context(), "select 1")
	wantCode(t, err, fault.TenantSuspended)
	wantCode(t, postgres.Raw(w.DB.Account(w.Tenant.ID)).InTx(t.Context(), neverRuns(t)), fault.TenantSuspended)

	pgtest.Change(t, operator.Registry, w.Tenant.Slug, tenant.Active)
	until(t, "the tenant is served again", func() bool {
		_, err := w.raw().Read().Exec(t.Context(), "select 1")
		if err != nil && !fault.Is(err, fault.TenantSuspended) {
			t.Fatal(err)
		}
		w.Registry.Forget(w.Tenant.ID) // or up to 15 s of patience
		return err == nil
	})
	w.idle(t)
}

// One transaction, one tenant: whoever was entered first stays.
func TestSecondTenantInOneTransaction(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	other, _ := w.NewTenant(t)
	conn := w.as(t, "commonhold_app")
	doors := map[string]string{
		"home":    "select gate.enter_tenant($1, 1, false)",
		"account": "select control.enter_tenant($1, false)",
	}
	for first, enterFirst := range doors {
		for second, enterSecond := range doors {
			run(t, conn, "begin")
			run(t, conn, enterFirst, w.Tenant.ID)
			run(t, conn, enterSecond, w.Tenant.ID) // the same again is nothing new
			_, err := conn.Exec(t.Context(), enterSecond, other.ID)
			if sqlState(err) != "TD001" {
				t.Errorf("%s, then %s of another tenant: %v", first, second, err)
			}
			run(t, conn, "rollback")
		}
	}
	// And through the handle, where the error has its code.
	err := w.raw().InTx(t.Context(), func(q postgres.DBTX) error {
		_, err := q.Exec(t.Context(), doors["home"], other.ID)
		return err
	})
	wantCode(t, err, fault.TenantMoved)
}

func TestReadCannotWrite(t *testing.T) {
	t.Parallel()
	readCannotWrite(t, open(t, 1))
	// Nor where the role's setting got lost: then the door sees to it.
	readCannotWrite(t, open(t, 1, "default_transaction_read_only=off"))
}

func readCannotWrite(t *testing.T, w *world) {
	t.Helper()
	w.stock(t, w.Tenant.ID, 1)
	for _, sql := range []string{
		"insert into products (tenant_id, id, sku, name, price_minor, created_by) select tenant_id, gen_random_uuid(), 'X', 'X', 1, created_by from products",
		"update products set stock = stock + 1",
		"delete from products",
		"with gone as (delete from products returning id) select id from gone",
		"select id from products for update",
		"create table shared.mine (n integer)",
		"truncate products",
		"set transaction read write",
	} {
		_, err := w.raw().Read().Exec(t.Context(), sql)
		// 25001: too late to ask for it, manual: SET TRANSACTION.
		if state := sqlState(err); state != "25006" && (state != "25001" || sql != "set transaction read write") {
			t.Errorf("%s: got %v, want SQLSTATE 25006", sql, err)
		}
	}
	// An extended-protocol message holds one statement, so none can follow.
	_, err := w.raw().Read().Exec(t.Context(), "select 1; delete from products")
	wantState(t, err, "42601")
	if n := w.count(t); n != 1 {
		t.Errorf("%d products, want 1", n)
	}
	// The generated queries cannot either.
	_, err = w.DB.Home(w.Tenant.ID).Read().CreateProduct(t.Context(), w.product())
	wantState(t, err, "25006")
	w.idle(t)
}

// lockOf is a tenant's advisory lock, worked out apart from the code.
func lockOf(t tenant.ID) int64 {
	u := t.UUID()
	return int64(binary.BigEndian.Uint64(u[8:]))
}

func TestMoverHoldsWritersOffAndReadersNot(t *testing.T) {
	t.Parallel()
	w := open(t, 2, "lock_timeout=150ms")
	w.warm(t)
	mover := w.as(t, "commonhold_control")
	run(t, mover, "begin")
	run(t, mover, "select pg_advisory_xact_lock($1)", lockOf(w.Tenant.ID))

	wantCode(t, w.raw().InTx(t.Context(), neverRuns(t)), fault.Conflict)
	if _, err := w.raw().Read().Exec(t.Context(), "select 1"); err != nil {
		t.Errorf("a read waits for nobody: %v", err)
	}
	other, _ := w.NewTenant(t)
	if err := postgres.Raw(w.DB.Home(other.ID)).InTx(t.Context(), func(postgres.DBTX) error { return nil }); err != nil {
		t.Errorf("another tenant is not held off: %v", err)
	}
	run(t, mover, "commit")
	if err := w.raw().InTx(t.Context(), func(postgres.DBTX) error { return nil }); err != nil {
		t.Errorf("after the move: %v", err)
	}
	w.idle(t)
}

// The lock comes before the door: a writer that waited for the mover must see what
// the mover did, and not enter at the epoch it came with.
func TestWriterSeesWhatTheMoverDid(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	w.warm(t)
	mover := w.as(t, "commonhold_control")
	run(t, mover, "begin")
	run(t, mover, "select pg_advisory_xact_lock($1)", lockOf(w.Tenant.ID))
	run(t, mover, "update control.placements set epoch = 2 where tenant_id = $1", w.Tenant.ID)
	run(t, mover, "update gate.tenant_doors set epoch = 2 where tenant_id = $1", w.Tenant.ID)

	var ran atomic.Int64
	epoch, done := "", make(chan error)
	go func() {
		done <- w.raw().InTx(t.Context(), func(q postgres.DBTX) error {
			ran.Add(1)
			return q.QueryRow(t.Context(), "select current_setting('app.epoch')").Scan(&epoch)
		})
	}()
	watcher := w.as(t, "postgres")
	until(t, "the writer waits for the mover", func() bool {
		return ask[bool](t, watcher, `select exists (select from pg_locks where locktype = 'advisory' and not granted
			and (classid::bigint << 32 | objid::bigint) = $1)`, lockOf(w.Tenant.ID))
	})
	run(t, mover, "commit")
	if err := <-done; err != nil || ran.Load() != 1 || epoch != "2" {
		t.Errorf("the writer ran %d times at epoch %q: %v; want once at epoch 2", ran.Load(), epoch, err)
	}
}

// While a writer is inside, a mover waits.
func TestWriterHoldsTheMoverOff(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	mover := w.as(t, "commonhold_control")
	free := func() bool {
		run(t, mover, "begin")
		defer run(t, mover, "rollback")
		return ask[bool](t, mover, "select pg_try_advisory_xact_lock($1)", lockOf(w.Tenant.ID))
	}
	err := w.raw().InTx(t.Context(), func(postgres.DBTX) error {
		if free() {
			t.Error("a mover can fence while a writer is inside")
		}
		return nil
	})
	if err != nil || !free() {
		t.Errorf("the lock outlives the transaction: %v", err)
	}
}

// Close of the batch is the commit. Reads are read-only, so to see a commit fail
// the role's setting is undone and the door of a private database is spoiled: it lets
// a read write.
func TestErrorOfTheCommitIsTheStatements(t *testing.T) {
	t.Parallel()
	w := openDatabase(t, newMigrated(t), 1, "default_transaction_read_only=off")
	addLate(t, w)
	admin := w.as(t, "postgres")
	spoil(t, admin, "gate.enter_tenant(uuid,bigint,boolean)", "when read_only", "when false")
	insert := "insert into late (tenant_id, n) values ($1, 1), ($1, 1) returning n"

	rows, err := w.raw().Read().Query(t.Context(), insert, w.Tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	scanned := 0
	for rows.Next() {
		scanned++
	}
	if scanned != 2 {
		t.Errorf("scanned %d rows, want 2", scanned)
	}
	// As generated code asks: Err first, Close deferred.
	if got := postgres.Constraint(rows.Err()); got != "late_n_key" {
		t.Errorf(":many: %v", rows.Err())
	}
	rows.Close()
	err = w.raw().Read().QueryRow(t.Context(), insert, w.Tenant.ID).Scan(new(int))
	if postgres.Constraint(err) != "late_n_key" {
		t.Errorf(":one: %v", err)
	}
	_, err = w.raw().Read().Exec(t.Context(), insert, w.Tenant.ID)
	if postgres.Constraint(err) != "late_n_key" {
		t.Errorf(":exec: %v", err)
	}
	if n := ask[int](t, admin, "select count(*) from shared.late"); n != 0 {
		t.Errorf("%d rows were stored", n)
	}
	w.idle(t)
}

// addLate makes a table whose constraint is only looked at by the commit.
func addLate(t *testing.T, w *world) {
	t.Helper()
	admin := w.as(t, "postgres")
	run(t, admin, "create table shared.late (tenant_id uuid, n integer, constraint late_n_key unique (tenant_id, n) deferrable initially deferred)")
	run(t, admin, "grant select, insert on shared.late to commonhold_app")
}

func TestCommitAnsweredByRollbackIsAnError(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	err := w.raw().InTx(t.Context(), func(q postgres.DBTX) error {
		if _, err := q.Exec(t.Context(), insertProducts, w.Tenant.ID, w.Owner, 1); err != nil {
			t.Error(err)
		}
		_, _ = q.Exec(t.Context(), "select 1 / 0") // swallowed
		return nil
	})
	wantCode(t, err, fault.Internal)
	if n := w.count(t); n != 0 {
		t.Errorf("%d products were stored", n)
	}
	w.idle(t)
}

func TestCommitIsWaitedForWhenTheCallerHasGone(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	err := w.DB.Home(w.Tenant.ID).InTx(ctx, func(q *tenantsql.Queries) error {
		_, err := q.CreateProduct(ctx, w.product())
		cancel()
		return err
	})
	if err != nil {
		t.Errorf("the work was done: %v", err)
	}
	if n := w.count(t); n != 1 {
		t.Errorf("%d products, want 1", n)
	}
}

// One connection for each pool is enough for any number of callers, because no
// step holds one while it asks for another.
func TestOneConnectionIsEnough(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 8 {
				w.Registry.Forget(w.Tenant.ID) // each must be located anew, over the control pool
				p := w.product()
				if err := w.DB.Home(w.Tenant.ID).InTx(ctx, func(q *tenantsql.Queries) error {
					_, err := q.CreateProduct(ctx, p)
					return err
				}); err != nil {
					t.Error(err)
				}
				if _, err := w.DB.Home(w.Tenant.ID).Read().GetProduct(ctx, tenantsql.GetProductParams{TenantID: w.Tenant.ID, ID: p.ID}); err != nil {
					t.Error(err)
				}
				if _, err := w.DB.Account(w.Tenant.ID).Read().CountMembers(ctx, accountsql.CountMembersParams{TenantID: w.Tenant.ID}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := w.count(t); n != 16*8 {
		t.Errorf("%d products, want %d", n, 16*8)
	}
	w.idle(t)
}

// A handle that waits for the control pool holds no connection of its own.
func TestLocatingHoldsNoConnection(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	w.DB.SetLocate(func(context.Context, tenant.ID, bool) (postgres.Placement, error) {
		if n := w.DB.AppPool().Stat().AcquiredConns(); n != 0 {
			t.Errorf("%d connections are held", n)
		}
		return postgres.Placement{Epoch: 1}, nil
	})
	if _, err := w.raw().Read().Exec(t.Context(), "select 1"); err != nil {
		t.Error(err)
	}
	if err := w.raw().InTx(t.Context(), func(postgres.DBTX) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestWaitingForAConnectionTooLong(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	err := w.raw().InTx(t.Context(), func(postgres.DBTX) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := w.raw().Read().Exec(ctx, "select 1")
		wantCode(t, err, fault.Unavailable)
		wantCode(t, w.raw().InTx(ctx, neverRuns(t)), fault.Unavailable)

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = w.raw().Read().Exec(gone, "select 1")
		wantCode(t, err, fault.Canceled)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	w.idle(t)

	err = w.DB.InControlTx(t.Context(), func(*controlsql.Queries) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := w.DB.Control().GetTenant(ctx, controlsql.GetTenantParams{ID: w.Tenant.ID})
		wantCode(t, err, fault.Unavailable)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// The control plane's transactions keep the same promises.
func TestControlTransaction(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	ctx := t.Context()
	create := func(q *controlsql.Queries) error {
		u := id.NewUser()
		_, err := q.CreateUser(ctx, controlsql.CreateUserParams{ID: u, Email: u.String() + "@control.example", DisplayName: "X"})
		return err
	}
	err := w.DB.InControlTx(ctx, func(q *controlsql.Queries) error { return errors.Join(create(q), errOurs) })
	if !errors.Is(err, errOurs) {
		t.Errorf("error of the function: %v", err)
	}
	if err := panics(func(*world, context.Context) error {
		return w.DB.InControlTx(ctx, func(q *controlsql.Queries) error { panic(create(q)) })
	})(w, ctx); err != errPanic {
		t.Errorf("panic: %v", err)
	}
	wantCode(t, w.DB.InControlTx(ctx, func(q *controlsql.Queries) error {
		if err := create(q); err != nil {
			return err
		}
		_, _ = q.CreateUser(ctx, controlsql.CreateUserParams{ID: w.Owner, Email: "NOT LOWER", DisplayName: "X"}) // swallowed
		return nil
	}), fault.Internal)
	_, err = w.DB.Control().CreateUser(ctx, controlsql.CreateUserParams{ID: w.Owner, Email: "x@control.example", DisplayName: "X"})
	if postgres.Constraint(err) != "users_pkey" {
		t.Errorf("a person twice: %v", err)
	}
	if n := ask[int](t, w.as(t, "postgres"), "select count(*) from control.users where email like '%@control.example'"); n != 0 {
		t.Errorf("%d people were stored", n)
	}
	if err := w.DB.Ping(ctx); err != nil { // the one connection is free again
		t.Error(err)
	}
}

// backend waits until the world's only connection runs a statement and answers
// with its process id.
func backend(t *testing.T, w *world, name string) int32 {
	t.Helper()
	watcher := w.as(t, "postgres")
	var pid int32
	until(t, "the statement runs", func() bool {
		err := watcher.QueryRow(t.Context(), "select pid from pg_stat_activity where state = 'active' and query like $1", "%"+name+" */%").Scan(&pid)
		return err == nil
	})
	return pid
}

func TestBackendIsKilled(t *testing.T) {
	t.Parallel()
	for name, work := range map[string]func(w *world, sql string) error{
		"killed read": func(w *world, sql string) error {
			_, err := w.raw().Read().Exec(context.Background(), sql)
			return err
		},
		"killed transaction": func(w *world, sql string) error {
			return w.raw().InTx(context.Background(), func(q postgres.DBTX) error {
				_, err := q.Exec(context.Background(), sql)
				return err
			})
		},
	} {
		w := open(t, 1)
		w.warm(t)
		done := make(chan error)
		go func() { done <- work(w, "select pg_sleep(60) /* "+name+" */") }()
		run(t, w.as(t, "postgres"), "select pg_terminate_backend($1)", backend(t, w, name))
		wantCode(t, <-done, fault.Unavailable)
		w.idle(t)
		if _, err := w.raw().Read().Exec(t.Context(), "select 1"); err != nil {
			t.Errorf("%s: the pool did not recover: %v", name, err)
		}
	}
}

// A connection that died while it was idle is noticed by its next user: that one
// is told to try again, the next is served.
func TestIdleBackendIsKilled(t *testing.T) {
	t.Parallel()
	w := open(t, 1)
	pid := pidOf(t, w)
	admin := w.as(t, "postgres")
	run(t, admin, "select pg_terminate_backend($1)", pid)
	until(t, "the backend is gone", func() bool {
		return !ask[bool](t, admin, "select exists (select from pg_stat_activity where pid = $1)", pid)
	})
	if _, err := w.raw().Read().Exec(t.Context(), "select 1"); err != nil {
		wantCode(t, err, fault.Unavailable)
	}
	if _, err := w.raw().Read().Exec(t.Context(), "select 1"); err != nil {
		t.Errorf("the pool did not recover: %v", err)
	}
	w.idle(t)
}

func TestServerRestarts(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	options := embeddedpg.Options{Dir: shortDir(t), BinDir: binDir(), Fast: true}
	start := func() *embeddedpg.Server {
		pg, err := embeddedpg.Start(ctx, options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pg.Stop(context.Background()) })
		return pg
	}
	pg := start()
	if err := postgres.Migrate(ctx, pg.DSN("postgres", "postgres"), nil); err != nil {
		t.Fatal(err)
	}
	w := openURL(t, pg.DSN("commonhold_app", "postgres"), pg.DSN("commonhold_control", "postgres"), "", 2)
	w.warm(t)
	started := make(chan struct{})
	done := make(chan error)
	go func() {
		done <- w.raw().InTx(ctx, func(q postgres.DBTX) error {
			close(started)
			_, err := q.Exec(ctx, "select pg_sleep(60)")
			return err
		})
	}()
	<-started
	if err := pg.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	wantCode(t, <-done, fault.Unavailable)
	_, err := w.raw().Read().Exec(ctx, "select 1")
	wantCode(t, err, fault.Unavailable)
	wantCode(t, w.raw().InTx(ctx, neverRuns(t)), fault.Unavailable)
	wantCode(t, w.DB.Ping(ctx), fault.Unavailable)
	start()
	until(t, "the pools find the server again", func() bool { return w.DB.Ping(ctx) == nil })
	if _, err := w.raw().Read().Exec(ctx, "select 1"); err != nil {
		t.Error(err)
	}
	w.idle(t)
}

// A migration that adds a column meets servers with prepared statements. They name
// their columns, so they go on; `select *` would be refused once per connection.
func TestColumnAddedUnderPreparedStatements(t *testing.T) {
	t.Parallel()
	w := openDatabase(t, newMigrated(t), 1)
	work := func() error {
		return w.DB.Home(w.Tenant.ID).InTx(t.Context(), func(q *tenantsql.Queries) error {
			p, err := q.CreateProduct(t.Context(), w.product())
			if err != nil {
				return err
			}
			_, err = q.GetProduct(t.Context(), tenantsql.GetProductParams{TenantID: w.Tenant.ID, ID: p.ID})
			return err
		})
	}
	for range 2 {
		if err := work(); err != nil {
			t.Fatal(err)
		}
	}
	run(t, w.as(t, "postgres"), "alter table shared.products add column more integer not null default 0")
	if err := work(); err != nil {
		t.Error(err)
	}
}
