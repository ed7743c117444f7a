package embeddedpg

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/fault"
)

// The tests run on Linux: they look at processes through /proc, and as root they
// mount file systems. What a test needs another process for, it does by running
// its own binary again with childMode set.
const (
	childMode = "EMBEDDEDPG_CHILD"
	childDir  = "EMBEDDEDPG_DIR"
	childBin  = "EMBEDDEDPG_BIN"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		os.Exit(child(mode))
	}
	os.Exit(tests(m))
}

// tests runs the tests with a cache directory of their own, in a directory that
// other users can pass.
func tests(m *testing.M) int {
	var err error
	if shared, err = os.MkdirTemp("", "embeddedpg-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(shared)
	if err := os.Chmod(shared, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := os.Setenv("XDG_CACHE_HOME", filepath.Join(shared, "cache")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

var shared string // of all tests of this run; removed at its end

// child is another process: "serve" starts or attaches and stops on SIGINT,
// "hold" leaves signals to the default, "find" and "dial" answer and end.
func child(mode string) int {
	ctx := context.Background()
	fail := func(err error) int {
		fmt.Printf("error %s %v\n", fault.CodeOf(err), strings.ReplaceAll(err.Error(), "\n", " | "))
		return 1
	}
	switch mode {
	case "find":
		b, err := Find(ctx, os.Getenv(childBin))
		if err != nil {
			return fail(err)
		}
		fmt.Printf("found %d %s %s\n", b.Major, b.Dir, b.From)
		return 0
	case "dial":
		conn, err := net.Dial("unix", filepath.Join(os.Getenv(childDir), socketName))
		if err != nil {
			return fail(err)
		}
		_ = conn.Close()
		fmt.Println("connected")
		return 0
	}
	signals := make(chan os.Signal, 1)
	if mode == "serve" {
		signal.Notify(signals, os.Interrupt)
	}
	s, err := Start(ctx, Options{Dir: os.Getenv(childDir), BinDir: os.Getenv(childBin), Fast: true, Logf: func(format string, args ...any) {
		fmt.Printf("log "+format+"\n", args...)
	}})
	if err != nil {
		return fail(err)
	}
	pid := 0
	if !s.attached {
		pid = s.process.Pid
	}
	fmt.Printf("ready %v %d %d %s\n", s.Attached(), pid, s.Major(), s.SocketDir())
	<-signals
	if err := s.Stop(ctx); err != nil {
		return fail(err)
	}
	fmt.Println("stopped")
	return 0
}

// ownBinary is the test binary where every user can run it: go test keeps it in a
// private directory.
var ownBinary = sync.OnceValues(func() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	from, err := os.Open(self)
	if err != nil {
		return "", err
	}
	defer from.Close()
	// No other test forks meanwhile: its child would hold the file open for writing, and
	// what is open for that cannot be executed (ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	path := filepath.Join(shared, "child")
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	return path, errors.Join(err, to.Close())
})

type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
}

// spawn runs a child. wrap, where given, is a command line that execs it.
func spawn(t *testing.T, mode, dir string, attr *syscall.SysProcAttr, env []string, wrap ...string) *process {
	t.Helper()
	binary, err := ownBinary()
	if err != nil {
		t.Fatal(err)
	}
	line := append(wrap, binary)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(append(os.Environ(), childMode+"="+mode, childDir+"="+dir), env...)
	cmd.Dir = "/"
	cmd.SysProcAttr = attr
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, lines: make(chan string, 100)}
	go func() {
		defer close(p.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			p.lines <- scan.Text()
		}
	}()
	t.Cleanup(func() {
		p.kill()
		if dir != "" && mode != "dial" {
			waitFree(t, dir)
		}
	})
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	for range p.lines { // to its end
	}
	_ = p.cmd.Wait()
}

// await is the rest of the next line that begins with the word; all lines before
// it are returned too.
func (p *process) await(word string) (rest, before string) {
	p.t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("the child ended without %q; it said:\n%s", word, before)
			}
			if after, found := strings.CutPrefix(line, word+" "); found || line == word {
				return after, before
			}
			before += line + "\n"
		case <-deadline:
			p.t.Fatalf("no %q from the child; it said:\n%s", word, before)
		}
	}
}

// ready waits for the child's server.
func (p *process) ready() (attached bool, pid, major int, socket string) {
	p.t.Helper()
	line, _ := p.await("ready")
	if _, err := fmt.Sscan(line, &attached, &pid, &major, &socket); err != nil {
		p.t.Fatal(err)
	}
	return attached, pid, major, socket
}

// until polls a condition.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
		_ = pause(context.Background())
	}
}

// waitFree waits until no process of a server is left in the data root.
func waitFree(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); err != nil {
		return
	}
	until(t, "the server in "+dir+" to end", func() bool {
		lock, err := tryLock(filepath.Join(dir, serverLock))
		if err != nil {
			return true
		}
		if lock != nil {
			_ = lock.Close()
		}
		return lock != nil
	})
}

// template is a data root with a cluster and no server; its tests copy it.
var template = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(shared, "template", "root") // its parent is closed to others: made under root it stays root's
	if err := os.Mkdir(filepath.Dir(dir), 0o700); err != nil {
		return "", err
	}
	s, err := Start(context.Background(), Options{Dir: dir, Fast: true})
	if err != nil {
		return "", err
	}
	return dir, s.Stop(context.Background())
})

// withCluster is a data root of the test's own in which a cluster exists.
func withCluster(t *testing.T) string {
	t.Helper()
	from, err := template()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "root")
	if out, err := exec.Command("cp", "-a", from, dir).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	return dir
}

// open is a directory below one that every user can pass.
func open(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(shared, "open-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// launch starts a server that ends with the test.
func launch(t *testing.T, o Options) *Server {
	t.Helper()
	o.Fast = true
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { halt(t, s) })
	return s
}

func halt(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func connect(t *testing.T, s *Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DSN("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exe(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, s *Server, sql string) string {
	t.Helper()
	conn := connect(t, s)
	defer conn.Close(context.Background())
	var answer string
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// wantFault checks the code and that the message holds every word.
func wantFault(t *testing.T, err error, code fault.Code, words ...string) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Fatalf("got %q (%v), want %s", fault.CodeOf(err), err, code)
	}
	coded, _ := errors.AsType[*fault.Error](err)
	for _, word := range words {
		if !strings.Contains(coded.Message, word) {
			t.Errorf("the message lacks %q: %s", word, coded.Message)
		}
	}
}

// needRoot skips where the test cannot be made real, which in CI is a failure.
func needRoot(t *testing.T, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, what+" needs root")
	}
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("in CI nothing is skipped: %s", why)
	}
	t.Skip(why)
}

// alive tells whether a process runs; one that has ended and waits for its parent
// to ask does not.
func alive(pid int) bool {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	return err == nil && !strings.Contains(string(status), "\nState:\tZ")
}

// procStatus is a field of /proc/PID/status.
func procStatus(t *testing.T, pid int, field string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n"+field+":")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.Fields(line)
}

func readLog(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, logFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
