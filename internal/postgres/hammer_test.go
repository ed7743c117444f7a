package postgres_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
)

// A hammer's tenants, and the workers that are one of them now and another then.
const (
	hammerTenants = 12
	hammerWorkers = 16
)

// findings are what a hammer saw.
type findings struct {
	mu          sync.Mutex
	operations  int   // that came to an end as planned
	interrupted int   // of them, those whose statement the server was asked to stop
	connects    int64 // connections made meanwhile

	// What must never be.
	foreign  int      // rows of another tenant
	homeless int      // rows that somebody saw who had entered nowhere
	empty    int      // answers without rows where rows exist
	left     []string // settings that outlived their round trip
	errors   []error
}

func (f *findings) note(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// clean tells whether a wall held.
func (f *findings) clean() bool {
	return f.foreign == 0 && f.homeless == 0 && f.empty == 0 && len(f.left) == 0 && len(f.errors) == 0
}

func (f *findings) String() string {
	return fmt.Sprintf("%d operations (%d interrupted, %d connections made): %d foreign rows, %d rows without a tenant, %d empty answers, %d settings left, %d errors\n%.400q\n%.400v",
		f.operations, f.interrupted, f.connects, f.foreign, f.homeless, f.empty, len(f.left), len(f.errors), f.left, errors.Join(f.errors...))
}

// hammer lets the workers do everything at once over w's few connections, each of
// them each operations: reads and transactions, some of which are cancelled, fail
// or panic, and looks at connections between their users. No statement says
// anything of a tenant: row-level security is the only wall.
func hammer(t *testing.T, w *world, seed uint64, each int) *findings {
	t.Helper()
	admin, err := pgx.Connect(t.Context(), pgtest.ServerURL(t, "postgres", w.database)) // whom no wall stops, so that it may be spoiled
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	run(t, admin, "set search_path = shared")
	var tenants []tenant.ID
	for i := range hammerTenants {
		made, owner := w.NewTenant(t)
		tenants = append(tenants, made.ID)
		run(t, admin, insertProducts, made.ID, owner, 1+i)
	}
	var found findings
	var all sync.WaitGroup
	before := w.DB.AppPool().Stat().NewConnsCount()
	for worker := range hammerWorkers {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(worker)))
			for range each {
				blow(t.Context(), w, tenants[r.IntN(len(tenants))], r, &found)
			}
		})
	}
	all.Wait()
	w.idle(t)
	found.connects = w.DB.AppPool().Stat().NewConnsCount() - before
	return &found
}

// blow is one operation of the hammer.
func blow(ctx context.Context, w *world, id tenant.ID, r *rand.Rand, found *findings) {
	var cancelled, fails, panics bool
	switch chance := r.IntN(100); {
	case chance < 10:
		cancelled = true
	case chance < 17:
		fails = true
	case chance < 22:
		panics = true
	}
	// Home and account have a door each, over the same connections.
	home, account := postgres.Raw(w.DB.Home(id)), postgres.Raw(w.DB.Account(id))
	h, table := home, "products"
	if r.IntN(3) == 0 {
		h, table = account, "memberships"
	}
	text := "select tenant_id from " + table
	soon := func() {}
	switch {
	case cancelled && r.IntN(2) == 0: // at any moment
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(3000))*time.Microsecond)
		defer cancel()
	case cancelled: // while a statement runs
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		text += ", pg_sleep(0.3)"
		soon = func() { time.AfterFunc(time.Duration(1000+r.IntN(5000))*time.Microsecond, cancel) }
	}
	list := func(q postgres.DBTX) error {
		if fails {
			_, err := q.Exec(ctx, wrong[r.IntN(len(wrong))])
			return err
		}
		soon()
		rows, err := q.Query(ctx, text)
		if err != nil {
			return err
		}
		defer rows.Close() // as in generated code
		n := 0
		for ; rows.Next(); n++ {
			var row tenant.ID
			if err := rows.Scan(&row); err != nil {
				return err
			}
			if row != id {
				found.note(func() { found.foreign++ })
			}
			if panics {
				panic(errPanic)
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if n == 0 {
			found.note(func() { found.empty++ })
		}
		return nil
	}
	var err error
	func() {
		defer func() {
			if p := recover(); p != nil {
				err = p.(error) //nolint:forcetypeassert // anything else is a bug of the test
			}
		}()
		switch r.IntN(10) {
		case 0, 1, 2, 3:
			err = list(h.Read())
		case 4, 5, 6:
			err = h.InTx(ctx, list)
		case 7, 8:
			err = home.InTx(ctx, func(q postgres.DBTX) error {
				if _, err := q.Exec(ctx, insertProducts, id, w.Owner, 1); err != nil {
					return err
				}
				if err := list(q); err != nil {
					return err
				}
				if r.IntN(2) == 0 {
					return errOurs
				}
				return nil
			})
			if err == errOurs {
				err = nil
			}
		case 9:
			err = between(w, found)
		}
	}()
	switch {
	case err == nil, cancelled && ctx.Err() != nil, panics && err == errPanic, fails && (sqlState(err) == "22012" || sqlState(err) == "42703" || sqlState(err) == "42601"):
		found.note(func() {
			found.operations++
			if sqlState(err) == "57014" { // query_canceled
				found.interrupted++
			}
		})
	default:
		found.note(func() { found.errors = append(found.errors, fmt.Errorf("%w (%s)", err, fault.CodeOf(err))) })
	}
}

// wrong are statements that fail: while it runs, while it is prepared, while it is read.
var wrong = []string{"select 1 / (3 - i) from generate_series(1, 5) as i", "select nothing", "selekt"}

var errOurs = errors.New("ours")

// between looks at a connection as its last user left it.
func between(w *world, found *findings) error {
	ctx := context.Background()
	conn, err := w.DB.AppPool().Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var settings string
	var rows int
	err = conn.QueryRow(ctx, `select format('tenant %s, epoch %s, path %s, read only %s',
		current_setting('app.tenant_id', true), current_setting('app.epoch', true), current_setting('search_path'), current_setting('transaction_read_only')),
		(select count(*) from products) + (select count(*) from memberships)`).Scan(&settings, &rows)
	if err != nil {
		return err
	}
	found.note(func() {
		found.homeless += rows
		if settings != "tenant , epoch , path shared, control, read only on" {
			found.left = append(found.left, settings)
		}
	})
	return nil
}

func TestHammer(t *testing.T) {
	t.Parallel()
	const seed, each = 20240229, 100
	wantHeld(t, hammer(t, open(t, 4), seed, each), seed, each, 4)
}

// wantHeld fails the test unless nothing was found, and the connections stayed
// through every cancel.
func wantHeld(t *testing.T, found *findings, seed uint64, each int, maxConns int64) {
	t.Helper()
	if !found.clean() || found.operations != hammerWorkers*each {
		t.Errorf("seed %d: %s", seed, found)
	}
	if least := each / 10; found.interrupted < least || found.connects > maxConns {
		t.Errorf("seed %d: %d statements were interrupted, want at least %d; %d connections were made, want at most %d",
			seed, found.interrupted, least, found.connects, maxConns)
	}
}

// A request to cancel that comes late must not meet the next user of the connection.
func TestCancelOnItsWayIsWaitedFor(t *testing.T) {
	t.Parallel()
	server, err := pgx.ParseConfig(pgtest.URL(t, "commonhold_app"))
	if err != nil {
		t.Fatal(err)
	}
	const socket = ".s.PGSQL.5432"
	dir, err := os.MkdirTemp("", "late") // short, as a socket's path must be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	release := make(chan struct{})
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				first := make([]byte, 8)
				if _, err := io.ReadFull(client, first); err != nil {
					return
				}
				if binary.BigEndian.Uint32(first[4:]) == 80877102 { // CancelRequest (manual, section 55.7)
					first = append(first, make([]byte, 8)...) // whose connection: sent is sent, even if the client hangs up
					if _, err := io.ReadFull(client, first[8:]); err != nil {
						return
					}
					<-release
				}
				server, err := net.Dial("unix", filepath.Join(server.Host, socket))
				if err != nil {
					return
				}
				defer server.Close()
				_, _ = server.Write(first)
				go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
				_, _ = io.Copy(client, server)
			}()
		}
	}()
	url := fmt.Sprintf("host='%s' port=5432 user=commonhold_app dbname=%s sslmode=disable", dir, pgtest.Database)
	w := openURL(t, url, pgtest.URL(t, "commonhold_control"), pgtest.Database, 1)
	w.warm(t)
	pid := pidOf(t, w)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var first, second error
	var both sync.WaitGroup
	both.Go(func() { _, first = w.raw().Read().Exec(ctx, "select pg_sleep(0.3) as first") })
	admin := w.as(t, "postgres")
	seen := func(what string) bool {
		return ask[bool](t, admin, "select "+what+" from pg_stat_activity where pid = $1", pid)
	}
	until(t, "the first runs", func() bool { return seen("state = 'active' and query like '%first'") })
	both.Go(func() { _, second = w.raw().Read().Exec(t.Context(), "select pg_sleep(0.5) as second") })
	until(t, "the first has ended by itself, some time ago or for the second", func() bool {
		return seen("query like '%second' or state = 'idle' and clock_timestamp() - state_change > interval '0.3 s'")
	})
	close(release)
	both.Wait()
	if first != nil && !fault.Is(first, fault.Timeout) || second != nil {
		t.Errorf("the first ended with %v, the second, whom nobody cancelled, with %v", first, second)
	}
	if now := pidOf(t, w); now != pid {
		t.Errorf("backend %d became %d", pid, now)
	}
}

// TestSoak hammers on, with a new seed each round, for as long as COMMONHOLD_SOAK
// says (`make soak`): one round on the database itself, one through PgBouncer.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(cmp.Or(os.Getenv("COMMONHOLD_SOAK"), "0s"))
	if err != nil {
		t.Fatalf("COMMONHOLD_SOAK: %v", err)
	}
	ways := []*world{open(t, 4)}
	if why := cannotBounce(t); why == "" {
		ways = append(ways, bounce(t).open(t, pgtest.Database, 12))
	} else if os.Getenv("CI") == "true" {
		t.Fatal(why)
	} else {
		t.Logf("not through PgBouncer: %s", why)
	}
	begin, told := time.Now(), time.Now()
	rounds, operations, interrupted := uint64(0), 0, 0
	for ; rounds < uint64(len(ways)) || time.Since(begin) < length; rounds++ {
		w := ways[rounds%uint64(len(ways))]
		const each = 50
		found := hammer(t, w, rounds, each)
		operations += found.operations
		interrupted += found.interrupted
		if wantHeld(t, found, rounds, each, 12); t.Failed() {
			return
		}
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			fmt.Fprintf(os.Stderr, "%s: %d rounds, %d operations, %d interrupted, nothing foreign, nothing without a tenant, nothing left\n",
				time.Since(begin).Round(time.Second), rounds+1, operations, interrupted)
		}
	}
	t.Logf("%d rounds, %d operations, %d interrupted: 0 foreign rows, 0 without a tenant, 0 settings left, 0 errors", rounds, operations, interrupted)
}

const doorOfHomes = "gate.enter_tenant(uuid,bigint,boolean)"

// setForSession plants the classic: the tenant set for the session.
func setForSession(t *testing.T, w *world) {
	spoil(t, w.as(t, "postgres"), doorOfHomes, "::pg_catalog.text, true)", "::pg_catalog.text, false)")
}

// The hammer is worth its seconds only if it finds what it is there for.
func TestHammerFindsWhatWasPlanted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		plant func(t *testing.T, w *world)
		found func(*findings) bool
	}{
		{"a tenant set for the session", setForSession, func(f *findings) bool { return f.homeless > 0 && len(f.left) > 0 && len(f.errors) > 0 }},
		{"transactions that write, for the session", func(t *testing.T, w *world) {
			spoil(t, w.as(t, "postgres"), doorOfHomes, "'transaction_read_only') operator(pg_catalog.=) 'on'", "'transaction_read_only') operator(pg_catalog.<>) 'on'")
			spoil(t, w.as(t, "postgres"), doorOfHomes, "'transaction_read_only', 'on', true", "'default_transaction_read_only', 'off', false")
		}, func(f *findings) bool { return len(f.left) > 0 }},
		{"a policy without nullif", func(t *testing.T, w *world) {
			admin := w.as(t, "postgres")
			run(t, admin, "drop policy tenant_isolation on shared.products")
			run(t, admin, "create policy tenant_isolation on shared.products to public using (tenant_id = current_setting('app.tenant_id', true)::uuid)")
		}, func(f *findings) bool {
			for _, err := range f.errors {
				if sqlState(err) == "22P02" { // '' is no uuid
					return true
				}
			}
			return false
		}},
		{"a policy that lets everybody in", func(t *testing.T, w *world) {
			run(t, w.as(t, "postgres"), "create policy oops on shared.products to commonhold_app using (true)")
		}, func(f *findings) bool { return f.foreign > 0 && f.homeless > 0 }},
		{"a door that opens and sets nothing", func(t *testing.T, w *world) {
			w.stock(t, w.Tenant.ID, 1)
			spoil(t, w.as(t, "postgres"), doorOfHomes, "pg_catalog.set_config('app.tenant_id', d.tenant_id::pg_catalog.text, true)", "null")
			run(t, w.as(t, "postgres"), "alter policy tenant_isolation on shared.products with check (true)")
		}, func(f *findings) bool { return f.empty > 0 }},
	} {
		w := openDatabase(t, newMigrated(t), 4)
		c.plant(t, w)
		if found := hammer(t, w, 7, 10); !c.found(found) {
			t.Errorf("%s was not found: %s", c.name, found)
		}
	}
}
