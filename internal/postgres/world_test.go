package postgres_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is a database reached through pools of a test's own.
type world struct {
	*pgtest.World
	database string
}

// open reaches the shared database with pools of at most maxConns connections and
// makes a tenant in it. settings are PostgreSQL's, as in "lock_timeout=100ms".
func open(t *testing.T, maxConns int32, settings ...string) *world {
	t.Helper()
	return openDatabase(t, pgtest.Database, maxConns, settings...)
}

func openDatabase(t *testing.T, database string, maxConns int32, settings ...string) *world {
	t.Helper()
	app := pgtest.ServerURL(t, "commonhold_app", database)
	if len(settings) > 0 {
		app += " options='-c " + strings.Join(settings, " -c ") + "'"
	}
	return openURL(t, app, pgtest.ServerURL(t, "commonhold_control", database), database, maxConns)
}

func openURL(t *testing.T, app, controlURL, database string, maxConns int32) *world {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{AppURL: app, ControlURL: controlURL, MaxConns: maxConns})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	w := &world{&pgtest.World{DB: db, Registry: control.NewRegistry(db)}, database}
	w.Tenant, w.Owner = w.NewTenant(t)
	return w
}

// raw runs any statement inside the world's tenant.
func (w *world) raw() *postgres.Handle[postgres.DBTX] {
	return postgres.Raw(w.DB.Home(w.Tenant.ID))
}

// warm sees that the registry knows the tenant and a connection is open.
func (w *world) warm(t *testing.T) {
	t.Helper()
	w.Settle(t)
	if _, err := w.raw().Read().Exec(t.Context(), "select 1"); err != nil {
		t.Fatal(err)
	}
}

// stock stores n products in the tenant.
func (w *world) stock(t *testing.T, tn tenant.ID, n int) {
	t.Helper()
	admin := w.as(t, "postgres") // whom no wall stops, so that it may be spoiled
	run(t, admin, "set search_path = shared")
	run(t, admin, insertProducts, tn, w.Owner, n)
}

// insertProducts takes a tenant, an owner and a number.
const insertProducts = `insert into products (tenant_id, id, sku, name, price_minor, created_by)
	select $1, gen_random_uuid(), 'S-' || gen_random_uuid(), 'Lamp', 100, $2 from generate_series(1, $3::integer)`

func (w *world) count(t *testing.T) int64 {
	t.Helper()
	n, err := w.DB.Home(w.Tenant.ID).Read().CountProducts(t.Context(), tenantsql.CountProductsParams{TenantID: w.Tenant.ID})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// product is a new one of the tenant, not yet stored.
func (w *world) product() tenantsql.CreateProductParams {
	p := id.NewProduct()
	return tenantsql.CreateProductParams{TenantID: w.Tenant.ID, ID: p, Sku: p.String(), Name: "Lamp", PriceMinor: 100, CreatedBy: w.Owner}
}

// idle fails the test where a connection of the world's pool is still in use.
func (w *world) idle(t *testing.T) {
	t.Helper()
	// A broken connection is closed in the background.
	until(t, "all connections are given back", func() bool { return w.DB.AppPool().Stat().AcquiredConns() == 0 })
}

// as is a plain connection of a role, past every pool and handle.
func (w *world) as(t *testing.T, role string) *pgx.Conn { return connect(t, role, w.database) }

func connect(t *testing.T, role, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.ServerURL(t, role, database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func run(t *testing.T, conn *pgx.Conn, sql string, args ...any) pgconn.CommandTag {
	t.Helper()
	tag, err := conn.Exec(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return tag
}

// ask scans one value.
func ask[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// until polls a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func wantCode(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if !fault.Is(err, code) || code == fault.Internal && !isCoded(err) {
		t.Errorf("got %v (%s), want %s", err, fault.CodeOf(err), code)
	}
}

// wantState fails the test unless PostgreSQL answered with that SQLSTATE.
func wantState(t *testing.T, err error, state string) {
	t.Helper()
	if sqlState(err) != state {
		t.Errorf("got %v, want SQLSTATE %s", err, state)
	}
}

var databases atomic.Int64

// newDatabase makes an empty database on the test server.
func newDatabase(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("private%d", databases.Add(1))
	if err := postgres.CreateDatabase(t.Context(), pgtest.ServerURL(t, "postgres", "postgres"), name); err != nil {
		t.Fatal(err)
	}
	return name
}

// newRole makes a role that can log in.
func newRole(t *testing.T, attributes string) string {
	t.Helper()
	name := fmt.Sprintf("role%d", databases.Add(1))
	run(t, connect(t, "postgres", "postgres"), "create role "+name+" login "+attributes)
	return name
}

// newMigrated makes a migrated database on the test server, to be spoiled.
func newMigrated(t *testing.T) string {
	t.Helper()
	name := newDatabase(t)
	if err := postgres.Migrate(t.Context(), pgtest.ServerURL(t, "postgres", name), nil); err != nil {
		t.Fatal(err)
	}
	return name
}

// wire stands between a pool and its server and counts what a client sends, so
// that the handle's own bookkeeping need not be believed.
type wire struct {
	url                                     func(role string) string
	cut                                     atomic.Pointer[string] // a message that holds it is the connection's last
	polite                                  atomic.Bool            // whether the end is one, or a reset
	still                                   sync.RWMutex           // held while nothing passes
	syncs, executes, parses, simple, starts atomic.Int64
}

// tap is a wire to the test server. Connections to it go through url.
func tap(t *testing.T) *wire {
	t.Helper()
	w := new(wire)
	through := pgtest.Between(t, pgtest.URL(t, "commonhold_app"), func(client, server *net.UnixConn) {
		w.starts.Add(1)
		go func() { _, _ = io.Copy(client, held{server, &w.still}); _ = client.Close() }()
		w.forward(server, client)
	})
	w.url = func(role string) string { return through(pgtest.URL(t, role)) }
	return w
}

// freeze keeps everything from passing, without a word to either end.
func (w *wire) freeze() { w.still.Lock() }
func (w *wire) thaw()   { w.still.Unlock() }

// held reads as long as its wire lets pass.
type held struct {
	io.Reader
	still *sync.RWMutex
}

func (h held) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.still.RLock()
	defer h.still.RUnlock()
	return n, err
}

func (w *wire) reset() {
	for _, n := range []*atomic.Int64{&w.syncs, &w.executes, &w.parses, &w.simple, &w.starts} {
		n.Store(0)
	}
}

// forward passes messages on (manual, section 55.7: a type, but for the first of
// a connection, then the length, which counts itself).
func (w *wire) forward(server io.Writer, client *net.UnixConn) {
	for first := true; ; first = false {
		head := make([]byte, 5)
		if first {
			head = head[:4]
		}
		if _, err := io.ReadFull(client, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[len(head)-4:])-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		if !first {
			switch head[0] {
			case 'S':
				w.syncs.Add(1)
			case 'E':
				w.executes.Add(1)
			case 'P':
				w.parses.Add(1)
			case 'Q':
				w.simple.Add(1)
			}
		}
		w.still.RLock()
		_, err := server.Write(append(head, body...))
		w.still.RUnlock()
		if err != nil {
			return
		}
		if cut := w.cut.Load(); cut != nil && strings.Contains(string(body), *cut) {
			if w.polite.Load() { // the client reads an end; otherwise, with more on its way, a reset
				_ = client.CloseWrite()
				_, _ = io.Copy(io.Discard, client)
			}
			return
		}
	}
}
