package postgres_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/isolation"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
)

// describe is the statement mode for a PgBouncer that knows no prepared statements.
const describe = " default_query_exec_mode=cache_describe"

// bouncer is a PgBouncer in transaction mode before the test server, with three
// connections for each role and database.
type bouncer struct {
	dir      string
	prepares bool // whether prepared statements pass: 1.21 or newer
}

// pgbouncer finds the program where Debian puts it, which is on root's path only.
func pgbouncer() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/pgbouncer")
}

// cannotBounce says why there can be no PgBouncer here, or nothing.
func cannotBounce(t *testing.T) string {
	t.Helper()
	if _, err := pgbouncer(); err != nil {
		return "PgBouncer is not installed (Debian: apt-get install pgbouncer)"
	}
	if socket, owner := serverSocket(t); owner.Uid == 0 {
		return fmt.Sprintf("PostgreSQL runs here as root in a user namespace, and PgBouncer cannot: make a user postgres that can reach %s", socket)
	}
	return ""
}

// serverSocket is the directory of the test server's socket, and whose it is: that
// user can reach it, and PgBouncer does not run as root.
func serverSocket(t *testing.T) (string, *syscall.Stat_t) {
	t.Helper()
	server, err := pgx.ParseConfig(pgtest.URL(t, "commonhold_app"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(server.Host)
	if err != nil {
		t.Fatal(err)
	}
	return server.Host, info.Sys().(*syscall.Stat_t)
}

var bouncerVersion = regexp.MustCompile(`PgBouncer (\d+)\.(\d+)`)

// bounce starts a PgBouncer that ends with the test. Without one the test is
// skipped, but in CI it fails.
func bounce(t *testing.T) *bouncer {
	t.Helper()
	if why := cannotBounce(t); why != "" && os.Getenv("CI") == "true" {
		t.Fatal(why)
	} else if why != "" {
		t.Skip(why)
	}
	path, err := pgbouncer()
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(path, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	version := bouncerVersion.FindSubmatch(said)
	if version == nil {
		t.Fatalf("%s does not tell its version: %s", path, said)
	}
	major, _ := strconv.Atoi(string(version[1]))
	minor, _ := strconv.Atoi(string(version[2]))
	b := &bouncer{prepares: major > 1 || minor >= 21}

	socket, owner := serverSocket(t)
	if b.dir, err = os.MkdirTemp("", "bouncer"); err != nil { // short, as a socket's path must be
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(b.dir) })
	ini := fmt.Sprintf(`[databases]
* = host=%s port=5432

[pgbouncer]
unix_socket_dir = %s
listen_port = 6432
auth_type = scram-sha-256
auth_file = %s/userlist.txt
pool_mode = transaction
default_pool_size = 3
`, socket, b.dir, b.dir)
	if b.prepares {
		ini += "max_prepared_statements = 200\n"
	}
	for name, text := range map[string]string{
		"pgbouncer.ini": ini,
		"userlist.txt":  "\"commonhold_app\" \"app password\"\n\"commonhold_control\" \"control password\"\n",
	} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(b.dir, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}

	// The shell ends PgBouncer when its input does, so also when the test is killed.
	command := exec.Command("sh", "-c", `"$0" pgbouncer.ini & read -r _; kill $! 2>/dev/null; wait $!`, path)
	command.Dir = b.dir
	if os.Geteuid() == 0 {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	var log strings.Builder
	command.Stderr = &log
	alive, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = alive.Close()
		_ = command.Wait() // it was ended by a signal
		if t.Failed() {
			t.Logf("PgBouncer said at last:\n%s", log.String()[max(0, log.Len()-2000):])
		}
	})
	until(t, "PgBouncer listens", func() bool {
		conn, err := net.DialTimeout("unix", filepath.Join(b.dir, ".s.PGSQL.6432"), time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	t.Logf("%s, prepared statements pass: %t", strings.TrimSpace(string(version[0])), b.prepares)
	return b
}

// url is where a role reaches a database through b.
func (b *bouncer) url(role, database string) string {
	password := strings.TrimPrefix(role, "commonhold_") + " password"
	return fmt.Sprintf("host='%s' port=6432 user=%s password='%s' dbname=%s sslmode=disable", b.dir, role, password, database)
}

// open reaches a database through b with pools of at most maxConns connections, in
// the statement mode that every PgBouncer can serve.
func (b *bouncer) open(t *testing.T, database string, maxConns int32) *world {
	t.Helper()
	return openURL(t, b.url("commonhold_app", database)+describe, b.url("commonhold_control", database)+describe, database, maxConns)
}

// Twelve connections to PgBouncer share three to the database, and every
// transaction may be on another one.
func TestHammerThroughPgBouncer(t *testing.T) {
	t.Parallel()
	b := bounce(t)
	w := b.open(t, pgtest.Database, 12)
	if err := isolation.Guard(t.Context(), b.url("commonhold_app", pgtest.Database)+describe); err != nil {
		t.Errorf("what a server asks before it serves: %v", err)
	}
	const seed, each = 20240301, 100
	wantHeld(t, hammer(t, w, seed, each), seed, each, 12)

	backends := make(map[int]bool)
	for range 12 {
		conn, err := w.DB.AppPool().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release() // all at once
		var backend int
		if err := conn.QueryRow(t.Context(), "select pg_backend_pid()").Scan(&backend); err != nil {
			t.Fatal(err)
		}
		backends[backend] = true
	}
	if len(backends) > 3 {
		t.Errorf("twelve connections were served by %d backends: nothing was shared", len(backends))
	}
}

// What is set for the session is anybody's behind a pooler.
func TestHammerThroughPgBouncerFindsWhatWasPlanted(t *testing.T) {
	t.Parallel()
	w := bounce(t).open(t, newMigrated(t), 12)
	setForSession(t, w)
	if found := hammer(t, w, 7, 10); found.homeless == 0 || len(found.left) == 0 || len(found.errors) == 0 {
		t.Errorf("a tenant set for the session was not found: %s", found)
	}
}

// In the mode that pgx chooses by itself statements have names, and PgBouncer
// before 1.21 hands a name from one client to the other. That is told at the
// start, not by the first requests.
func TestPreparedStatementsBehindPgBouncer(t *testing.T) {
	t.Parallel()
	b := bounce(t)
	if b.prepares {
		w := openURL(t, b.url("commonhold_app", pgtest.Database), b.url("commonhold_control", pgtest.Database), pgtest.Database, 12)
		const seed, each = 20240302, 50
		wantHeld(t, hammer(t, w, seed, each), seed, each, 12)
		return
	}
	for name, c := range map[string]postgres.Config{
		"app":     {AppURL: b.url("commonhold_app", pgtest.Database), ControlURL: b.url("commonhold_control", pgtest.Database) + describe},
		"control": {AppURL: b.url("commonhold_app", pgtest.Database) + describe, ControlURL: b.url("commonhold_control", pgtest.Database)},
	} {
		for range 2 { // as the first client of PgBouncer, and after another one
			db, err := postgres.Open(t.Context(), c)
			if err == nil {
				db.Close()
			}
			wantAdvice(t, name, err, "default_query_exec_mode=cache_describe")
		}
	}
}

func wantAdvice(t *testing.T, what string, err error, advice string) {
	t.Helper()
	if !isCoded(err) || !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), advice) {
		t.Errorf("%s: got %v (%s), want advice on %s", what, err, fault.CodeOf(err), advice)
	}
}

// PgBouncer refuses a connection that wants a setting it does not keep apart.
func TestSettingsInTheURLBehindPgBouncer(t *testing.T) {
	t.Parallel()
	b := bounce(t)
	_, err := postgres.Open(t.Context(), postgres.Config{
		AppURL: b.url("commonhold_app", pgtest.Database) + describe + " statement_timeout=5s", ControlURL: b.url("commonhold_control", pgtest.Database) + describe,
	})
	wantAdvice(t, "a setting in the URL", err, "Take settings out of the database URL")
}

// Migrate holds a lock of the session, which would stay behind in the pooler and
// keep every later migrate waiting.
func TestMigrateRefusesAPooler(t *testing.T) {
	t.Parallel()
	database := newMigrated(t)
	err := postgres.Migrate(t.Context(), bounce(t).url("commonhold_control", database)+describe, nil)
	wantAdvice(t, "migrate", err, "Name the server itself")
	if err := postgres.Migrate(t.Context(), pgtest.ServerURL(t, "postgres", database), nil); err != nil {
		t.Errorf("past the pooler: %v", err)
	}
}

// Without names too, a read is one round trip and a transaction three, once each
// statement was described to the connection.
func TestRoundTripsOfDescribedStatements(t *testing.T) {
	t.Parallel()
	wire := tap(t)
	w := openURL(t, wire.url("commonhold_app")+describe, pgtest.URL(t, "commonhold_control"), pgtest.Database, 1)
	for _, c := range []struct {
		name  string
		work  func() error
		syncs int64
	}{
		{"read", func() error {
			_, err := w.raw().Read().Exec(t.Context(), "select count(*) from products")
			return err
		}, 1},
		{"transaction", func() error {
			return w.raw().InTx(t.Context(), func(q postgres.DBTX) error {
				_, err := q.Exec(t.Context(), "select count(*) from products where name = $1", "Lamp")
				return err
			})
		}, 3},
	} {
		if err := c.work(); err != nil {
			t.Fatal(err)
		}
		// A connection that idled for a second is pinged first: the best of some tries.
		for try := 1; ; try++ {
			wire.reset()
			if err := c.work(); err != nil {
				t.Fatal(err)
			}
			if wire.syncs.Load() == c.syncs && wire.simple.Load() == 0 {
				break
			}
			if try == 5 {
				t.Errorf("%s: %d round trips, %d messages of the simple protocol; want %d", c.name, wire.syncs.Load(), wire.simple.Load(), c.syncs)
				break
			}
		}
	}
}

// A URL cannot ask for a way to send statements that the handle does not serve.
func TestStatementModes(t *testing.T) {
	t.Parallel()
	control := pgtest.URL(t, "commonhold_control")
	for setting, advice := range map[string]string{
		"default_query_exec_mode=simple_protocol":                             "two statements",
		"default_query_exec_mode=exec":                                        "described again",
		"default_query_exec_mode=describe_exec":                               "described again",
		"statement_cache_capacity=0":                                          "described again",
		"default_query_exec_mode=cache_describe description_cache_capacity=0": "described again",
		"default_query_exec_mode=nonsense":                                    "cannot be read",
		"default_query_exec_mode=cache_statement":                             "",
		"default_query_exec_mode=cache_describe":                              "",
	} {
		for _, c := range []postgres.Config{
			{AppURL: pgtest.URL(t, "commonhold_app") + " " + setting, ControlURL: control},
			{AppURL: pgtest.URL(t, "commonhold_app"), ControlURL: control + " " + setting},
		} {
			db, err := postgres.Open(t.Context(), c)
			if err == nil {
				db.Close()
			}
			if advice != "" {
				wantAdvice(t, setting, err, advice)
			} else if err != nil {
				t.Errorf("%s: %v", setting, err)
			}
		}
	}
}
