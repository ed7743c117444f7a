package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/commonhold/commonhold/internal/embeddedpg"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/postgres"
)

// The test binary is the command too: under the name commonhold it runs main.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "hash" { // what a command under test has started
		main()
	}
	testscript.Main(suite{m}, map[string]func(){"commonhold": main})
}

type suite struct{ m *testing.M }

func (s suite) Run() int {
	for _, setting := range os.Environ() { // a developer's own settings are not the tests'
		name, _, _ := strings.Cut(setting, "=")
		if name == "DATABASE_URL" || strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "COMMONHOLD_") && name != "COMMONHOLD_POSTGRES_BIN" {
			os.Unsetenv(name)
		}
	}
	code := s.m.Run()
	if stopServer != nil {
		stopServer()
	}
	return code
}

var stopServer func()

// testServer is one server without a password for all tests that only need a
// database. Its roles are there: one database was migrated.
var testServer = sync.OnceValues(func() (*embeddedpg.Server, error) {
	dir, err := os.MkdirTemp("", "chcli")
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	pg, err := embeddedpg.Start(ctx, embeddedpg.Options{Dir: dir, BinDir: os.Getenv("COMMONHOLD_POSTGRES_BIN"), Fast: true, Settings: map[string]string{"max_connections": "200"}})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	stopServer = func() {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		_ = pg.Stop(ctx)
		_ = os.RemoveAll(dir)
	}
	return pg, postgres.Migrate(ctx, pg.DSN("postgres", "postgres"), nil)
})

var databases atomic.Int64

// newDatabase makes an empty database on the test server and returns where a role
// reaches it.
func newDatabase() (dsn func(role string) string, err error) {
	pg, err := testServer()
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("test%d", databases.Add(1))
	return func(role string) string { return pg.DSN(role, name) }, postgres.CreateDatabase(context.Background(), pg.DSN("postgres", "postgres"), name)
}

// migrated makes a migrated database, and the file of its key-encryption key.
func migrated(t testing.TB) (dsn func(role string) string, keyFile string) {
	t.Helper()
	dsn, err := newDatabase()
	if err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(context.Background(), dsn("postgres"), nil); err != nil {
		t.Fatal(err)
	}
	_, key, err := keyring.New()
	if err != nil {
		t.Fatal(err)
	}
	keyFile = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		t.Fatal(err)
	}
	return dsn, keyFile
}

// sql runs a statement as whom the DSN says.
func sql(dsn, statement string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol)
	return err
}

// process is a commonhold that runs beside the test.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout *output
	stderr *output
	ended  chan struct{} // closed when it was waited for
}

// output can be read while it is written.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// begin starts a command line with further environment settings.
func begin(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command("commonhold", args...), stdout: new(output), stderr: new(output), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.WaitDelay = 10 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(os.Interrupt)
		select {
		case <-p.ended:
		case <-time.After(30 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
		if t.Failed() {
			t.Logf("commonhold %s\nstdout: %s\nstderr: %s", strings.Join(args, " "), p.stdout, p.stderr)
		}
	})
	return p
}

// patience bounds every wait: how long is never asserted, that it comes is.
const patience = 90 * time.Second

// eventually polls until done answers true.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// ready waits for the last line of the screen, and returns the address in it.
func (p *process) ready() (origin string) {
	p.t.Helper()
	eventually(p.t, "the line ready …", func() bool {
		if lines := strings.Split(p.stdout.String(), "\n"); len(lines) > 1 {
			origin, _ = strings.CutPrefix(lines[len(lines)-2], "ready ")
		}
		return strings.HasPrefix(origin, "http://") || p.hasEnded()
	})
	if p.hasEnded() {
		p.t.Fatalf("it ended before it was ready: %s", p.stderr)
	}
	return origin
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// exit waits for the end and returns the exit status, -1 where a signal killed it.
func (p *process) exit() int {
	p.t.Helper()
	eventually(p.t, "the end of the process", p.hasEnded)
	return p.cmd.ProcessState.ExitCode()
}

// interrupt is Ctrl-C, and the end of it.
func (p *process) interrupt() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	if code := p.exit(); code != exitOK {
		p.t.Fatalf("exit status %d after an interrupt: %s", code, p.stderr)
	}
}

// kill is kill -9.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	p.exit()
}

// tempDir is a directory with a path short enough for a socket, which other users
// can pass as the server's own user must when the tests run as root.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "chcli")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A server that was left behind by a failed test may still write.
		eventually(t, "removal of "+dir, func() bool { return os.RemoveAll(dir) == nil })
	})
	return dir
}

// postmaster is the pid of the embedded server below dir.
func postmaster(t testing.TB, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "postgres", "*", "data", "postmaster.pid"))
	if err != nil || len(files) != 1 {
		t.Fatalf("postmaster.pid below %s: %q, %v", dir, files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatalf("%s: %v", files[0], err)
	}
	return pid
}

// gone waits until a process exists no more. One that nobody waits for, as where
// no init adopts it, counts as gone.
func gone(t testing.TB, pid int) {
	t.Helper()
	eventually(t, fmt.Sprintf("the end of process %d", pid), func() bool {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return true
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		return err == nil && strings.Contains(string(status), "State:\tZ")
	})
}

// missing tells whether a path does not exist.
func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// Two processes that make the same secret at once must both go on with one of them.
func TestFirstSecretIsKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	got := make([]string, 16)
	var group sync.WaitGroup
	for i := range got {
		group.Go(func() {
			text, err := keepSecret(file, []byte(strings.Repeat(strconv.Itoa(i), 1000)))
			if err != nil {
				t.Error(err)
			}
			got[i] = string(text)
		})
	}
	group.Wait()
	kept, err := os.ReadFile(file)
	if err != nil || len(kept) < 1000 {
		t.Fatalf("%d bytes, %v", len(kept), err)
	}
	for i, text := range got {
		if text != string(kept) {
			t.Errorf("%d goes on with another secret", i)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
