// Package pgtest gives tests a real PostgreSQL: one server for each test binary,
// copied from a migrated cluster that is made once, and for each test a tenant of
// its own in it. Imported by tests only.
package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/embeddedpg"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// Database is the name of the migrated database.
const Database = "commonhold"

// World is a migrated database with a fresh tenant and its owner.
type World struct {
	DB       *postgres.DB
	Registry *control.Registry
	Tenant   *tenant.Tenant
	Owner    id.User
}

// Main runs a package's tests and stops the server they started. Use it as the
// body of TestMain where a package imports pgtest.
func Main(m *testing.M) {
	code := m.Run()
	shared.stop()
	os.Exit(code)
}

// New gives the test a tenant of its own in the shared database.
func New(t testing.TB) *World {
	t.Helper()
	w := shared.world(t)
	tn, owner := w.NewTenant(t)
	return &World{DB: w.DB, Registry: w.Registry, Tenant: tn, Owner: owner}
}

// NewTenant makes a further tenant, whose owner has no password.
func (w *World) NewTenant(t testing.TB) (*tenant.Tenant, id.User) {
	t.Helper()
	ctx := context.Background()
	var made *tenant.Tenant
	owner := id.NewUser()
	unique := strings.ReplaceAll(owner.UUID().String(), "-", "")
	err := w.DB.InControlTx(ctx, func(q *controlsql.Queries) error {
		if _, err := q.CreateUser(ctx, controlsql.CreateUserParams{ID: owner, Email: "owner-" + unique + "@tests.example", DisplayName: "Owner"}); err != nil {
			return err
		}
		var err error
		made, err = control.Register(ctx, q, control.Registration{Name: "Test " + unique[:8], Slug: "t" + unique[:31], Currency: "EUR"}, owner)
		return err
	})
	if err != nil {
		t.Fatalf("make a tenant: %v", err)
	}
	return made, owner
}

// Change makes a tenant ACTIVE, READ_ONLY or SUSPENDED, as the operator does.
func Change(t testing.TB, r *control.Registry, slug string, to tenant.Status) {
	t.Helper()
	if _, _, err := r.Change(context.Background(), control.Named{Slug: slug}, to, ""); err != nil {
		t.Fatal(err)
	}
}

// Settle waits until w's server has heard of everything that was committed before, so
// that nothing of it is forgotten while a test counts.
func (w *World) Settle(t testing.TB) {
	t.Helper()
	if !w.DB.Changes().Hearing() {
		return
	}
	before, last := w.DB.Changes().Stamp(), uuid.New()
	if err := w.DB.Control().NotifyChanged(context.Background(), controlsql.NotifyChangedParams{Kind: "nothing", ID: last.String()}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); !w.DB.Changes().Since(before, last); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the listener did not hear the last word")
		}
	}
}

// Launch starts a migrated server outside of tests: url says where a role reaches
// it, stop ends it.
func Launch() (url func(role string) string, stop func(), err error) {
	s := new(server)
	if s.dir, s.pg, err = launch(); err != nil {
		return nil, nil, err
	}
	return func(role string) string { return s.pg.DSN(role, Database) }, s.stop, nil
}

// Open connects to the shared database with pools of its own, of at most maxConns
// connections each, closed when the test ends.
func Open(t testing.TB, maxConns int32) *World {
	t.Helper()
	db, err := postgres.Open(context.Background(), postgres.Config{AppURL: URL(t, "commonhold_app"), ControlURL: URL(t, "commonhold_control"), MaxConns: maxConns})
	if err != nil {
		t.Fatalf("open the database: %v", err)
	}
	t.Cleanup(db.Close)
	return &World{DB: db, Registry: control.NewRegistry(db)}
}

// URL is where user reaches the shared, migrated database. The superuser is postgres.
func URL(t testing.TB, user string) string {
	t.Helper()
	return shared.start(t).DSN(user, Database)
}

// Separate makes a migrated database of the test's own, for what belongs to no tenant,
// and tells where user reaches it.
func Separate(t testing.TB) (url func(user string) string) {
	t.Helper()
	ctx := context.Background()
	name := "separate_" + strings.ReplaceAll(id.New().String(), "-", "")
	url = func(user string) string { return ServerURL(t, user, name) }
	if err := postgres.CreateDatabase(ctx, URL(t, "postgres"), name); err != nil {
		t.Fatalf("make a database: %v", err)
	}
	if err := postgres.Migrate(ctx, url("postgres"), nil); err != nil {
		t.Fatalf("migrate a database: %v", err)
	}
	return url
}

// Between puts a socket between clients and the server of dsn. Each connection to it is
// handed to pass with one of its own to the server; when pass returns, both are closed.
// through makes of a DSN of that server one that leads by the socket.
func Between(t testing.TB, dsn string, pass func(client, server *net.UnixConn)) (through func(dsn string) string) {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "chbt") //nolint:usetesting // a short path: a socket's may have 104 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const name = ".s.PGSQL.5432"
	listener, err := new(net.ListenConfig).Listen(context.Background(), "unix", filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close() //nolint:errcheck // its end
				server, err := new(net.Dialer).DialContext(context.Background(), "unix", filepath.Join(config.Host, name))
				if err != nil {
					return
				}
				defer server.Close() //nolint:errcheck // its end
				pass(client.(*net.UnixConn), server.(*net.UnixConn))
			}()
		}
	}()
	return func(dsn string) string { return strings.Replace(dsn, config.Host, dir, 1) }
}

// Superuser is a connection to the shared database of whom no policy binds.
func Superuser(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), URL(t, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// ServerURL is where user reaches another database of the test server.
func ServerURL(t testing.TB, user, database string) string {
	t.Helper()
	return shared.start(t).DSN(user, database)
}

var shared server

type server struct {
	once sync.Once
	pg   *embeddedpg.Server
	dir  string
	err  error

	worldOnce sync.Once
	w         *World
	worldErr  error
}

func (s *server) start(t testing.TB) *embeddedpg.Server {
	t.Helper()
	s.once.Do(func() { s.dir, s.pg, s.err = launch() })
	if s.err != nil {
		t.Fatalf("start PostgreSQL for the tests: %v", s.err)
	}
	return s.pg
}

func (s *server) world(t testing.TB) *World {
	t.Helper()
	pg := s.start(t)
	s.worldOnce.Do(func() {
		db, err := postgres.Open(context.Background(), postgres.Config{
			AppURL: pg.DSN("commonhold_app", Database), ControlURL: pg.DSN("commonhold_control", Database), MaxConns: 16,
		})
		if err != nil {
			s.worldErr = err
			return
		}
		s.w = &World{DB: db, Registry: control.NewRegistry(db)}
	})
	if s.worldErr != nil {
		t.Fatalf("open the test database: %v", s.worldErr)
	}
	return s.w
}

func (s *server) stop() {
	if s.w != nil {
		s.w.DB.Close()
	}
	if s.pg != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_ = s.pg.Stop(ctx)
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// launch copies the template cluster and starts a server on the copy.
func launch() (dir string, pg *embeddedpg.Server, err error) {
	ctx := context.Background()
	template, err := makeTemplate(ctx)
	if err != nil {
		return "", nil, fmt.Errorf("make the template: %w", err)
	}
	// A short path: a socket's may have 104 bytes.
	if dir, err = os.MkdirTemp("", "chtest"); err != nil {
		return "", nil, err
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", template+"/.", dir).CombinedOutput(); err != nil {
		return dir, nil, fmt.Errorf("copy the template: %w: %s", err, out)
	}
	pg, err = embeddedpg.Start(ctx, options(dir))
	return dir, pg, err
}

func options(dir string) embeddedpg.Options {
	return embeddedpg.Options{Dir: dir, BinDir: os.Getenv("COMMONHOLD_POSTGRES_BIN"), Fast: true,
		Settings: map[string]string{"max_connections": "400", "shared_buffers": "64MB"}}
}

// makeTemplate makes the migrated cluster, once for each state of the migrations
// and each set of binaries; other test binaries wait for it.
func makeTemplate(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	root := filepath.Join(cache, "commonhold", "pgtest")
	if err := os.MkdirAll(root, 0o755); err != nil { // the server's user passes through
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(root, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close() //nolint:errcheck // only the lock matters
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	binaries, err := embeddedpg.Find(ctx, os.Getenv("COMMONHOLD_POSTGRES_BIN"))
	if err != nil { // Start installs them, or says how
		binaries = embeddedpg.Binaries{}
	}
	key, err := fingerprint(binaries)
	if err != nil {
		return "", err
	}
	template := filepath.Join(root, key)
	if _, err := os.Stat(template); err == nil {
		now := time.Now()
		return template, os.Chtimes(template, now, now)
	}
	dropUnused(root)
	building, err := os.MkdirTemp("", "chtmpl")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(building) //nolint:errcheck // best effort
	pg, err := embeddedpg.Start(ctx, options(building))
	if err != nil {
		return "", err
	}
	err = migrateNew(ctx, pg)
	if stopErr := pg.Stop(ctx); err == nil {
		err = stopErr
	}
	if err != nil {
		return "", err
	}
	if err := os.RemoveAll(template + ".new"); err != nil { // of a run that was killed here
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", building, template+".new").CombinedOutput(); err != nil {
		return "", fmt.Errorf("keep the template: %w: %s", err, out)
	}
	return template, os.Rename(template+".new", template)
}

// dropUnused removes the templates that nobody asked for in a week: each state of
// the migrations leaves one behind.
func dropUnused(root string) {
	entries, _ := os.ReadDir(root) // what cannot be listed or removed stays
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.IsDir() && time.Since(info.ModTime()) > 7*24*time.Hour {
			_ = os.RemoveAll(filepath.Join(root, e.Name()))
		}
	}
}

func migrateNew(ctx context.Context, pg *embeddedpg.Server) error {
	if err := postgres.CreateDatabase(ctx, pg.DSN("postgres", "postgres"), Database); err != nil {
		return err
	}
	return postgres.Migrate(ctx, pg.DSN("postgres", Database), nil)
}

// fingerprint changes with every migration file and with the binaries.
func fingerprint(b embeddedpg.Binaries) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s\n", b.Major, b.Dir)
	err := fs.WalkDir(postgres.Files(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(postgres.Files(), path)
		fmt.Fprintf(h, "%s %d\n%s\n", path, len(body), body)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))[:16], err
}
