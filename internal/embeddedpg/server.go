//go:build linux || darwin

package embeddedpg

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/commonhold/commonhold/internal/fault"
)

// How long Start waits for others. The context may end each wait earlier.
const (
	attachWait  = 3 * time.Minute  // for another process that is making the cluster, npm included
	orphanWait  = 30 * time.Second // for the server of a killed owner to finish its fast shutdown
	readyWait   = 2 * time.Minute  // for the server to accept connections; recovery after a crash takes its time
	patience    = 3 * time.Second  // of these waits before Logf says what is waited for
	maxLogBytes = 8 << 20          // a longer log is put aside as postgres.log.1 at the next start
)

// Start starts the server of the data root, or attaches to the one that is
// running there. It looks for binaries with [Find], installs them with [Install]
// where there are none, makes the cluster on the first start, and returns when the
// server accepts connections. The context bounds Start alone; the server lives
// until [Server.Stop] or the end of this process.
//
// Errors: fault.PostgresNotFound, fault.PostgresTooOld, fault.DataDirectory,
// fault.DiskFull, fault.PostgresStart (with the last lines of the log),
// fault.Config for an Options value that cannot be.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := checkSettings(o.Settings); err != nil {
		return nil, err
	}
	r, err := prepare(o.Dir)
	if err != nil {
		return nil, err
	}
	owner, attached, err := own(ctx, r, o)
	if err != nil || attached != nil {
		return attached, err
	}
	s, err := start(ctx, r, o, owner)
	if err != nil {
		_ = owner.Close() // server.lock, where it was taken, is closed by start
		return nil, err
	}
	return s, nil
}

// own takes owner.lock, or attaches to the server of the process that has it.
func own(ctx context.Context, r root, o Options) (*os.File, *Server, error) {
	begin, told := time.Now(), false
	for {
		lock, err := tryLock(r.path(ownerLock))
		if err != nil {
			return nil, nil, dirFault(r.dir, err)
		}
		if lock != nil {
			return lock, nil, nil
		}
		if st, err := r.readState(); err == nil && accepts(ctx, st.Socket) {
			return nil, &Server{major: st.Major, socket: st.Socket, log: r.path(logFile), attached: true, done: make(chan struct{})}, nil
		}
		waited := time.Since(begin)
		if waited > attachWait {
			return nil, nil, fault.New(fault.PostgresStart, "Another process has been starting or stopping the database in %s for %s. Wait for it or end it, then start again.", r.dir, attachWait)
		}
		if waited > patience && !told {
			told = true
			o.logf("another process is starting or stopping the database in %s: waiting for it", r.dir)
		}
		if err := pause(ctx); err != nil {
			return nil, nil, fmt.Errorf("wait for the database in %s: %w", r.dir, err)
		}
	}
}

// accepts tells whether something listens on the socket.
func accepts(ctx context.Context, socket string) bool {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", filepath.Join(socket, socketName))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// start is Start with owner.lock held, which it takes over where it succeeds.
func start(ctx context.Context, r root, o Options, owner *os.File) (_ *Server, err error) {
	_ = os.Remove(r.path(stateFile)) // of an owner that was killed
	lock, err := outlive(ctx, r, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = lock.Close()
		}
	}()
	b, err := binaries(ctx, r, o)
	if err != nil {
		return nil, err
	}
	who, err := identify(ctx, r, b)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{ownerLock, serverLock} {
		if err := who.own(r.path(name)); err != nil {
			return nil, dirFault(r.dir, err)
		}
	}
	if err := initialize(ctx, r, o, b, who, lock); err != nil {
		return nil, err
	}
	socket, err := r.socket(ctx, b, who)
	if err != nil {
		return nil, dirFault(r.dir, err)
	}
	if err := clearStale(r.data(b.Major), socket); err != nil {
		return nil, dirFault(r.dir, err)
	}
	s := &Server{
		major: b.Major, socket: socket, log: r.path(logFile), done: make(chan struct{}),
		state: r.path(stateFile), owner: owner, server: lock, identity: who,
		postmaster: filepath.Join(r.data(b.Major), "postmaster.pid"),
	}
	if err := s.launch(ctx, r, o, b); err != nil {
		return nil, err
	}
	return s, nil
}

// outlive takes server.lock. Where it is held although owner.lock was free, the
// owner was killed: its server is asked to shut down, if the kernel has not done
// so, and waited for.
func outlive(ctx context.Context, r root, o Options) (*os.File, error) {
	begin, told, asked := time.Now(), false, map[int]bool{}
	for {
		lock, err := tryLock(r.path(serverLock))
		if err != nil {
			return nil, dirFault(r.dir, err)
		}
		if lock != nil {
			return lock, nil
		}
		pids := []string{}
		for _, major := range r.clusters() {
			pid, err := postmasterPID(r.data(major))
			if err != nil || !servesHere(pid, r.data(major)) {
				continue
			}
			pids = append(pids, strconv.Itoa(pid))
			if !asked[pid] {
				asked[pid] = true
				_ = syscall.Kill(pid, syscall.SIGINT) // gone already, or seen in the next round
			}
		}
		waited := time.Since(begin)
		if waited > orphanWait {
			return nil, fault.New(fault.DataDirectory, "A PostgreSQL server whose owner has died still holds %s and has not shut down for %s (process %s). End it with kill -QUIT, then start again.", r.dir, orphanWait, cmp.Or(strings.Join(pids, ", "), "unknown"))
		}
		if waited > patience && !told {
			told = true
			o.logf("the last server in %s is still shutting down: waiting for it", r.dir)
		}
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("wait for the last server in %s: %w", r.dir, err)
		}
	}
}

// binaries chooses the programs and with them the cluster; see the package's
// comment for the rule.
func binaries(ctx context.Context, r root, o Options) (Binaries, error) {
	clusters := r.clusters()
	b, err := choose(ctx, o.BinDir, clusters)
	if err != nil && o.BinDir == "" && ctx.Err() == nil {
		missing := err
		if b, err = Install(ctx, o.Logf); err != nil {
			if fault.Is(missing, fault.PostgresTooOld) {
				return Binaries{}, missing // says more than that npm is missing
			}
			return Binaries{}, err
		}
	}
	if err != nil {
		return Binaries{}, err
	}
	if len(clusters) > 0 && !slices.Contains(clusters, b.Major) {
		old := clusters[0]
		o.logf("%s was made by PostgreSQL %d and cannot be opened by PostgreSQL %d, the one in %s. It stays as it is; an empty database of version %d is made beside it, in %s. To use the old one, install PostgreSQL %d or set the directory of its programs.",
			r.data(old), old, b.Major, b.Dir, b.Major, r.data(b.Major), old)
	} else if i := slices.Index(clusters, b.Major); i > 0 {
		o.logf("%s is used, by PostgreSQL %d; the newer %s needs PostgreSQL %d, which is not what %s holds.", r.data(b.Major), b.Major, r.data(clusters[0]), clusters[0], b.Dir)
	}
	return b, nil
}

// initialize makes the cluster where there is none: in data.init, renamed when it
// is whole, so that an interrupted initdb is never taken for a cluster. The caller
// holds the locks; initdb inherits server.lock.
func initialize(ctx context.Context, r root, o Options, b Binaries, who identity, lock *os.File) error {
	data := r.data(b.Major)
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return dirFault(r.dir, err)
	}
	if err := os.Remove(data); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return fault.New(fault.DataDirectory, "%s holds files but no PostgreSQL cluster. Move it away or choose another data directory.", data).Because(err)
	}
	home := filepath.Dir(data)
	if err := privateDir(home, who); err != nil {
		return dirFault(r.dir, err)
	}
	unfinished := data + ".init"
	if err := os.RemoveAll(unfinished); err != nil {
		return dirFault(r.dir, err)
	}
	o.logf("creating the database cluster in %s (PostgreSQL %d from %s)", data, b.Major, b.Dir)
	args := []string{
		"-D", unfinished, "--username=postgres", "--auth-local=trust", "--auth-host=reject",
		"--encoding=UTF8", "--no-locale", "--data-checksums", "--no-instructions",
	}
	if o.Fast {
		args = append(args, "--no-sync")
	}
	out, err := run(ctx, who, lock, home, filepath.Join(b.Dir, "initdb"), args...)
	if err == nil {
		err = os.Rename(unfinished, data)
	}
	if err == nil && !o.Fast {
		err = syncDir(home)
	}
	if err == nil {
		return nil
	}
	isFull := noSpace(err) || strings.Contains(out, "No space left on device") || full(home) // asked before the clean-up frees some
	_ = os.RemoveAll(unfinished)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("create the database cluster: %w", ctx.Err())
	case isFull:
		return diskFull(r.dir, err)
	}
	return fault.New(fault.PostgresStart, "The database cluster could not be created in %s. initdb said:\n%s", data, lastLines(out, 8)).Because(err)
}

// run runs a program to its end under the identity; the program and its children
// inherit the lock and are all killed when the context ends.
func run(ctx context.Context, who identity, lock *os.File, dir, program string, args ...string) (string, error) {
	runtime.LockOSThread() // see attributes
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, program, args...)
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, environment(), &out, &out
	cmd.SysProcAttr = who.attributes()
	cmd.ExtraFiles = []*os.File{lock}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	return out.String(), err
}

// environment is ours without libpq's variables, in the C locale, so that messages
// are in English wherever they are read, and in UTC, which also saves initdb from
// searching the machine's time zone.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PG") || strings.HasPrefix(v, "LC_") || strings.HasPrefix(v, "LANG") || strings.HasPrefix(v, "TZ=")
	})
	return append(env, "LC_ALL=C", "TZ=UTC")
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only synced
	return f.Sync()
}

func postmasterPID(data string) (int, error) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return 0, fmt.Errorf("postmaster.pid: %w", err)
	}
	if pid < 0 {
		pid = -pid // a standalone backend writes its pid negated
	}
	return pid, nil
}

// clearStale removes what a crashed server left behind: postgres refuses to start
// while the pid in its lock files belongs to any live process, and pids are
// reused. With server.lock held no server of ours is alive; one that somebody
// started by hand on this data directory is respected.
func clearStale(data, socket string) error {
	if pid, err := postmasterPID(data); err == nil && servesHere(pid, data) {
		return fault.New(fault.DataDirectory, "A PostgreSQL server that this program did not start (process %d) runs on %s. Stop it, for example with: pg_ctl stop -D %s", pid, data, data)
	}
	for _, file := range []string{
		filepath.Join(data, "postmaster.pid"),
		filepath.Join(socket, socketName),
		filepath.Join(socket, socketName+".lock"),
	} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// launch starts postgres and waits until it accepts connections. Where it fails
// no process is left, but the locks stay with the caller.
func (s *Server) launch(ctx context.Context, r root, o Options, b Binaries) error {
	if info, err := os.Stat(s.log); err == nil && info.Size() > maxLogBytes {
		_ = os.Rename(s.log, s.log+".1") // a log that stays long is no reason not to start
	}
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return dirFault(r.dir, err)
	}
	defer out.Close() //nolint:errcheck // postgres has its own descriptor
	if err := s.identity.own(s.log); err != nil {
		return dirFault(r.dir, err)
	}
	var begin int64
	if info, err := out.Stat(); err == nil {
		begin = info.Size()
	}
	cmd := exec.Command(filepath.Join(b.Dir, "postgres"), arguments(r.data(b.Major), s.socket, b.Major, o)...) //nolint:noctx // it outlives the call that starts it
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.dir, environment(), out, out
	cmd.SysProcAttr = s.identity.attributes()
	cmd.ExtraFiles = []*os.File{s.server}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // see attributes
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		s.waitErr = cmd.Wait()
		close(ended)
	}()
	if err := <-started; err != nil {
		if noSpace(err) {
			return diskFull(r.dir, err)
		}
		return fault.New(fault.PostgresStart, "PostgreSQL could not be started from %s.", b.Dir).Because(err)
	}
	s.process = cmd.Process
	if err := s.ready(ctx, o, ended); err != nil {
		s.abandon(ended)
		words := tail(s.log, begin, 12)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("start PostgreSQL: %w", ctx.Err())
		case strings.Contains(words, "No space left on device"), full(r.data(b.Major)), full(s.socket):
			return diskFull(r.dir, err)
		}
		return fault.New(fault.PostgresStart, "PostgreSQL did not start. The end of its log, %s:\n%s", s.log, cmp.Or(words, "(nothing)")).Because(err)
	}
	if err := r.writeState(state{Major: s.major, Socket: s.socket}, s.identity); err != nil {
		s.abandon(ended)
		return dirFault(r.dir, err)
	}
	go s.release(ended)
	return nil
}

// ready waits for the line that postgres writes into postmaster.pid when it
// accepts connections (the eighth; pg_ctl reads the same).
func (s *Server) ready(ctx context.Context, o Options, ended <-chan struct{}) error {
	begin, told := time.Now(), false
	for {
		if text, err := os.ReadFile(s.postmaster); err == nil {
			lines := strings.Split(string(text), "\n")
			if len(lines) > 7 && lines[0] == strconv.Itoa(s.process.Pid) && strings.TrimSpace(lines[7]) == "ready" && accepts(ctx, s.socket) {
				return nil
			}
		}
		select {
		case <-ended:
			return fmt.Errorf("postgres ended: %w", cmp.Or(s.waitErr, errors.New("exit status 0")))
		default:
		}
		waited := time.Since(begin)
		if waited > readyWait {
			return fmt.Errorf("not ready after %s", readyWait)
		}
		if waited > patience && !told {
			told = true
			o.logf("PostgreSQL is taking long to start, perhaps to recover from a crash; its log is %s", s.log)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// abandon ends a server that did not become ready: politely, then for certain.
func (s *Server) abandon(ended <-chan struct{}) {
	_ = s.process.Signal(syscall.SIGQUIT) // immediate shutdown; the crash recovery of the next start is safe
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-s.process.Pid, syscall.SIGKILL)
		<-ended
	}
}

// release frees the directory when the server process has ended.
func (s *Server) release(ended <-chan struct{}) {
	<-ended
	_ = os.Remove(s.state)
	if filepath.Dir(s.socket) != filepath.Dir(s.state) {
		_ = os.Remove(s.socket) // a shared place is left clean; the next start makes it again
	}
	_ = s.server.Close() // backends that outlive a killed postmaster keep it locked until they end
	_ = s.owner.Close()
	close(s.done)
}

// Stop ends the owned server by a fast shutdown: sessions are cut, what was
// committed is written (manual, section 19.5). It is done when the process has
// ended. Where the context ends first, the server is shut down at once instead
// (the next start recovers) and the context's error is returned. Nil for an
// attached server, which is left running, and for one that has ended already.
func (s *Server) Stop(ctx context.Context) error {
	if s.attached {
		return nil
	}
	s.stopping.Do(func() {
		_ = os.Remove(s.state)               // nobody is to attach to a server on its way out
		_ = s.process.Signal(syscall.SIGINT) // its only error says that the process has ended
	})
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	_ = s.process.Signal(syscall.SIGQUIT)
	select {
	case <-s.done:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-s.process.Pid, syscall.SIGKILL)
		<-s.done
	}
	return fmt.Errorf("stop PostgreSQL: %w", ctx.Err())
}

// fixed are the settings that say where the server is and who may connect.
var fixed = []string{
	"config_file", "data_directory", "external_pid_file", "hba_file", "ident_file",
	"listen_addresses", "log_destination", "logging_collector", "port", "unix_socket_directories", "unix_socket_group", "unix_socket_permissions",
}

var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

func checkSettings(settings map[string]string) error {
	for name := range settings {
		if !settingName.MatchString(name) {
			return fault.New(fault.Config, "%q is not the name of a PostgreSQL setting.", name)
		}
		if slices.Contains(fixed, strings.ToLower(name)) {
			return fault.New(fault.Config, "The setting %s of the embedded PostgreSQL cannot be changed: the server is reached through its private Unix socket alone. Use a server of your own (DATABASE_URL) for that.", name)
		}
	}
	return nil
}

// arguments are postgres's. The defaults suit a development machine with little
// memory: no parallel workers or replication that nobody uses, a small cache (the
// system's is behind it), little WAL kept.
func arguments(data, socket string, major int, o Options) []string {
	settings := map[string]string{
		"shared_buffers":                  "32MB",
		"max_connections":                 "100",
		"wal_level":                       "minimal",
		"max_wal_senders":                 "0",
		"max_logical_replication_workers": "0",
		"min_wal_size":                    "80MB",
		"max_wal_size":                    "256MB",
		"jit":                             "off",
		"huge_pages":                      "off",
		"timezone":                        "UTC",
		"log_timezone":                    "UTC",
		"log_checkpoints":                 "off",
		"log_line_prefix":                 "%m [%p] %q%u@%d ",
		"cluster_name":                    "commonhold",
	}
	if major >= 18 {
		settings["io_method"] = "sync" // no I/O worker processes
	}
	if o.Fast {
		settings["fsync"] = "off"
		settings["synchronous_commit"] = "off"
		settings["full_page_writes"] = "off"
	}
	for name, value := range o.Settings {
		settings[strings.ToLower(name)] = value
	}
	settings["listen_addresses"] = ""
	settings["port"] = "5432" // a part of the socket's name
	settings["unix_socket_directories"] = `"` + strings.ReplaceAll(socket, `"`, `""`) + `"`
	settings["unix_socket_permissions"] = "0700"
	args := []string{"-D", data}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}
