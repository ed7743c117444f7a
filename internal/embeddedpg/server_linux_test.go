package embeddedpg

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/fault"
)

func TestStartsStopsAndKeepsData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "root")
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Start(ctx, Options{Dir: dir}) // durable, as dev runs it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { halt(t, s) })
	cancel() // of the start; the server lives on
	exe(t, connect(t, s), "create table kept (v text); insert into kept values ('here')")
	for setting, want := range map[string]string{
		"server_encoding": "UTF8", "lc_collate": "C", "data_checksums": "on", "listen_addresses": "",
		"timezone": "UTC", "fsync": "on", "wal_level": "minimal", "unix_socket_permissions": "0700",
	} {
		if got := ask(t, s, "show "+setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	if got := ask(t, s, "select current_user || ' ' || rolsuper from pg_roles where rolname = current_user"); got != "postgres true" {
		t.Errorf("connected as %s", got)
	}
	halt(t, s)
	select {
	case <-s.Done():
	default:
		t.Error("Done is open after Stop")
	}
	halt(t, s) // a second time is nothing
	if alive(s.process.Pid) {
		t.Error("the server outlived Stop")
	}
	if exists(filepath.Join(dir, stateFile)) {
		t.Error("the state file outlived the server")
	}
	again := launch(t, Options{Dir: dir})
	if got := ask(t, again, "select v from kept"); got != "here" {
		t.Errorf("the second start sees %q", got)
	}
	if strings.Contains(readLog(t, dir), "not properly shut down") {
		t.Error("Stop was no clean shutdown")
	}
}

func TestKilledOwner(t *testing.T) {
	t.Parallel()
	dir := withCluster(t)
	owner := spawn(t, "serve", dir, nil, nil)
	_, pid, _, socket := owner.ready()
	other := &Server{socket: socket}
	conn := connect(t, other)
	exe(t, conn, "create table kept (v text); insert into kept values ('here')")
	exe(t, conn, "begin; insert into kept values ('lost')") // a backend that is busy when its owner dies

	owner.kill()
	s := launch(t, Options{Dir: dir}) // at once
	if s.Attached() || s.process.Pid == pid {
		t.Error("attached to a server whose owner is dead")
	}
	if alive(pid) {
		t.Error("the old server still runs beside the new one")
	}
	if got := ask(t, s, "select string_agg(v, ',') from kept"); got != "here" {
		t.Errorf("after the restart: %q", got)
	}
	if strings.Contains(readLog(t, dir), "not properly shut down") {
		t.Error("the old server was not shut down but killed")
	}
}

// A server that is slow to shut down is waited for, not collided with.
func TestKilledOwnerSlowServer(t *testing.T) {
	t.Parallel()
	dir := withCluster(t)
	owner := spawn(t, "serve", dir, nil, nil)
	_, pid, _, socket := owner.ready()
	// A backend that does not answer holds up the shutdown.
	var backend int
	if err := connect(t, &Server{socket: socket}).QueryRow(t.Context(), "select pg_backend_pid()").Scan(&backend); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(backend, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(backend, syscall.SIGCONT)
	owner.kill()
	waiting := make(chan string, 10)
	type result struct {
		s   *Server
		err error
	}
	results := make(chan result, 1)
	go func() {
		s, err := Start(context.Background(), Options{Dir: dir, Fast: true, Logf: func(f string, a ...any) { waiting <- fmt.Sprintf(f, a...) }})
		results <- result{s, err}
	}()
	select {
	case words := <-waiting:
		if !strings.Contains(words, "still shutting down") {
			t.Errorf("Start said %q", words)
		}
	case r := <-results:
		if r.err == nil {
			halt(t, r.s)
		}
		t.Fatalf("Start did not wait: %v", r.err)
	}
	if err := syscall.Kill(backend, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	r := <-results
	if r.err != nil {
		t.Fatal(r.err)
	}
	defer halt(t, r.s)
	if alive(pid) || r.s.Attached() {
		t.Error("the new server runs beside the old one")
	}
}

// Ctrl-C goes to the whole process group of the terminal: the program decides
// about its server, and where it simply dies, the kernel tells the server.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"serve", "hold"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			dir := withCluster(t)
			owner := spawn(t, mode, dir, &syscall.SysProcAttr{Setpgid: true}, nil)
			_, pid, _, _ := owner.ready()
			if group, err := syscall.Getpgid(pid); err != nil || group == owner.cmd.Process.Pid {
				t.Errorf("the server is in the group of its owner: Ctrl-C would reach both (%v)", err)
			}
			if err := syscall.Kill(-owner.cmd.Process.Pid, syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			if mode == "serve" {
				owner.await("stopped")
			}
			until(t, "the server to end", func() bool { return !alive(pid) })
			if log := readLog(t, dir); !strings.Contains(log, "database system is shut down") {
				t.Errorf("no clean shutdown:\n%s", log)
			}
			s := launch(t, Options{Dir: dir})
			if s.Attached() {
				t.Error("attached to a dead server")
			}
		})
	}
}

func TestSecondProcessAttaches(t *testing.T) {
	t.Parallel()
	dir := withCluster(t)
	owner := spawn(t, "serve", dir, nil, nil)
	_, pid, major, socket := owner.ready()
	s := launch(t, Options{Dir: dir})
	if !s.Attached() || s.SocketDir() != socket || s.Major() != major {
		t.Fatalf("attached %v to %s, major %d", s.Attached(), s.SocketDir(), s.Major())
	}
	if got := ask(t, s, "select 'answer'"); got != "answer" {
		t.Error(got)
	}
	halt(t, s)
	if got := ask(t, s, "select 'still here'"); got != "still here" {
		t.Error(got)
	}
	if !alive(pid) {
		t.Error("Stop of the attached process ended the owner's server")
	}
	select {
	case <-s.Done():
		t.Error("Done of an attached server was closed")
	default:
	}
	if s.LogTail(1) == "" {
		t.Error("an attached process cannot read the log")
	}
	if err := owner.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	owner.await("stopped")
	if next := launch(t, Options{Dir: dir}); next.Attached() {
		t.Error("attached after the owner had stopped")
	}
}

// Of many that start at once on a new directory, one makes the cluster.
func TestStartAtOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "root")
	servers := make([]*Server, 6)
	created := make(chan string, 20)
	var group sync.WaitGroup
	for i := range servers {
		group.Go(func() {
			s, err := Start(t.Context(), Options{Dir: dir, Fast: true, Logf: func(f string, a ...any) { created <- fmt.Sprintf(f, a...) }})
			if err != nil {
				t.Error(err)
				return
			}
			servers[i] = s
		})
	}
	group.Wait()
	close(created)
	owners := 0
	for _, s := range servers {
		if s != nil && !s.Attached() {
			owners++
			defer halt(t, s)
		}
	}
	if owners != 1 {
		t.Errorf("%d owners", owners)
	}
	made := 0
	for words := range created {
		if strings.Contains(words, "creating the database cluster") {
			made++
		}
	}
	if made != 1 {
		t.Errorf("the cluster was made %d times", made)
	}
}

func TestServerDies(t *testing.T) {
	t.Parallel()
	dir := withCluster(t)
	s := launch(t, Options{Dir: dir})
	exe(t, connect(t, s), "create table kept (v text); insert into kept values ('here')")
	exe(t, connect(t, s), "checkpoint") // a Fast server writes a commit some time later
	if err := syscall.Kill(s.process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	halt(t, s) // nothing to stop
	again := launch(t, Options{Dir: dir})
	if got := ask(t, again, "select v from kept"); got != "here" {
		t.Error(got)
	}
}

// A pid in a lock file says nothing once it can belong to somebody else.
func TestStalePostmasterPID(t *testing.T) {
	t.Parallel()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	disguise := filepath.Join(t.TempDir(), "postgres") // a process named postgres that serves something else
	if out, err := exec.Command("cp", sleep, disguise).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	for name, command := range map[string][]string{
		"another program":         {sleep, "1000"},
		"another postgres":        {disguise, "1000"},
		"a postgres that is gone": {disguise, "0"}, // and was not waited for
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := withCluster(t)
			s := launch(t, Options{Dir: dir})
			pidFile := filepath.Join(dir, strconv.Itoa(s.Major()), "data", "postmaster.pid")
			old, err := os.ReadFile(pidFile)
			if err != nil {
				t.Fatal(err)
			}
			socket := s.SocketDir()
			halt(t, s)

			reused := exec.Command(command[0], command[1:]...)
			reused.Dir = "/"
			if err := reused.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = reused.Process.Kill(); _ = reused.Wait() }()
			if command[1] == "0" {
				until(t, "the process to end", func() bool { return !alive(reused.Process.Pid) })
			}
			_, rest, _ := strings.Cut(string(old), "\n")
			pid := strconv.Itoa(reused.Process.Pid) + "\n"
			if err := os.WriteFile(pidFile, []byte(pid+rest), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(socket, socketName+".lock"), []byte(pid+rest), 0o600); err != nil {
				t.Fatal(err)
			}
			again := launch(t, Options{Dir: dir})
			if got := ask(t, again, "select 'up'"); got != "up" {
				t.Error(got)
			}
			if command[1] != "0" && !alive(reused.Process.Pid) {
				t.Error("the process that had taken over the pid was ended")
			}
		})
	}
}

// A server that somebody started by hand on the data directory holds no lock of
// ours, but it is alive: it is left alone and named.
func TestForeignServer(t *testing.T) {
	t.Parallel()
	dir := withCluster(t)
	s := launch(t, Options{Dir: dir})
	halt(t, s)
	b, err := Find(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, strconv.Itoa(b.Major), "data")
	cmd := exec.Command(filepath.Join(b.Dir, "postgres"), arguments(data, s.SocketDir(), b.Major, Options{Fast: true})...)
	attr := s.identity.attributes()
	attr.Pdeathsig = 0 // the thread of a test comes and goes
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Signal(syscall.SIGQUIT); _ = cmd.Wait() }()
	until(t, "the server by hand", func() bool { return accepts(t.Context(), s.SocketDir()) })
	_, err = Start(t.Context(), Options{Dir: dir})
	wantFault(t, err, fault.DataDirectory, strconv.Itoa(cmd.Process.Pid), data)
	until(t, "the server by hand to let somebody in", func() bool {
		conn, err := pgx.Connect(t.Context(), s.DSN("postgres", "postgres"))
		if err == nil {
			_ = conn.Close(t.Context())
		}
		return err == nil
	})
	if got := ask(t, s, "select 'unharmed'"); got != "unharmed" {
		t.Error(got)
	}
}

func TestInterruptedInitdb(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "root")
	owner := spawn(t, "serve", dir, nil, nil)
	unfinished := func() string {
		found, _ := filepath.Glob(filepath.Join(dir, "*", "data.init", "PG_VERSION"))
		return strings.Join(found, "")
	}
	until(t, "initdb to be at work", func() bool { return unfinished() != "" })
	home := filepath.Dir(filepath.Dir(unfinished()))
	owner.kill()
	waitFree(t, dir) // initdb held the lock too
	if exists(filepath.Join(home, "data")) {
		t.Fatal("the cluster was finished before the kill: the test shows nothing")
	}
	// initdb cleans up after itself when it can; a power cut leaves this.
	if err := os.MkdirAll(filepath.Join(home, "data.init", "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "data.init", "PG_VERSION"), []byte(filepath.Base(home)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := launch(t, Options{Dir: dir})
	if got := ask(t, s, "select 'up'"); got != "up" {
		t.Error(got)
	}
	if exists(filepath.Join(home, "data.init")) {
		t.Error("what the interrupted initdb left is still there")
	}
}

func TestCanceledStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "root")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Start(ctx, Options{Dir: dir, Fast: true, Logf: func(string, ...any) { cancel() }}) // as initdb starts
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	s := launch(t, Options{Dir: dir})
	if s.Attached() {
		t.Error("a canceled start left a server")
	}
}

// A server that never gets ready is not left behind.
func TestCanceledWhileNotReady(t *testing.T) {
	t.Parallel()
	dir := withCluster(t)
	b, err := Find(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	slow := t.TempDir()
	fake(t, slow, "initdb", "exit 1")
	fake(t, slow, "postgres", `test "$1" = --version && exec `+filepath.Join(b.Dir, "postgres")+` --version; echo hanging; exec sleep 1000`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := Start(ctx, Options{Dir: dir, BinDir: slow})
		ended <- err
	}()
	until(t, "the server to hang", func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, logFile))
		return strings.HasSuffix(string(text), "hanging\n")
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{serverLock, ownerLock} {
		lock, err := tryLock(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if lock == nil {
			t.Errorf("%s is still held", name)
			continue
		}
		_ = lock.Close()
	}
	launch(t, Options{Dir: dir})
}

// Data of a version that is not installed stay untouched, and are there again
// when the version is.
func TestAnotherMajorVersion(t *testing.T) {
	t.Parallel()
	newer := npmBinaries(t)
	older, err := Find(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if older.Major == newer.Major {
		skip(t, "the installed PostgreSQL is of the version of the npm package")
	}
	dir := filepath.Join(t.TempDir(), "root")
	s := launch(t, Options{Dir: dir, BinDir: newer.Dir})
	exe(t, connect(t, s), "create table kept (v text); insert into kept values ('of the other version')")
	halt(t, s)
	before := fingerprint(t, filepath.Join(dir, strconv.Itoa(newer.Major)))

	var said []string
	s = launch(t, Options{Dir: dir, BinDir: older.Dir, Logf: func(f string, a ...any) { said = append(said, fmt.Sprintf(f, a...)) }})
	if s.Major() != older.Major {
		t.Errorf("major %d", s.Major())
	}
	all := strings.Join(said, "\n")
	for _, word := range []string{"PostgreSQL " + strconv.Itoa(newer.Major), "PostgreSQL " + strconv.Itoa(older.Major), filepath.Join(dir, strconv.Itoa(newer.Major), "data"), "stays as it is"} {
		if !strings.Contains(all, word) {
			t.Errorf("nobody was told %q:\n%s", word, all)
		}
	}
	halt(t, s)
	if after := fingerprint(t, filepath.Join(dir, strconv.Itoa(newer.Major))); after != before {
		t.Error("the other version's data changed")
	}

	s = launch(t, Options{Dir: dir, BinDir: newer.Dir})
	if got := ask(t, s, "select v from kept"); got != "of the other version" {
		t.Error(got)
	}
}

// A machine that gets a newer PostgreSQL goes on with the cluster it has.
func TestClusterKeepsItsVersion(t *testing.T) {
	t.Parallel()
	newer := npmBinaries(t)
	dir := withCluster(t)
	before, err := Find(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	p := spawn(t, "serve", dir, nil, []string{"PATH=" + newer.Dir + ":" + os.Getenv("PATH")})
	if _, _, major, _ := p.ready(); major != before.Major {
		t.Errorf("major %d, and the data are of %d", major, before.Major)
	}
}

func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	sum := sha256.New()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(sum, path, info.Mode(), info.Size(), info.ModTime())
		if !info.Mode().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		_, _ = sum.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// mount mounts a small file system.
func mount(t *testing.T, size string) string {
	t.Helper()
	needRoot(t, "mounting a small file system")
	dir := open(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=755"); err != nil {
		skip(t, "mounting a small file system is not permitted here: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
			_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	t.Run("while the cluster is made", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(mount(t, "12m"), "root")
		_, err := Start(t.Context(), Options{Dir: dir})
		wantFault(t, err, fault.DiskFull, dir, "no space left")
	})
	t.Run("when the server starts", func(t *testing.T) {
		t.Parallel()
		disk := mount(t, "120m")
		dir := filepath.Join(disk, "root")
		s := launch(t, Options{Dir: dir})
		exe(t, connect(t, s), "create table kept (v text); insert into kept values ('here')")
		halt(t, s)
		ballast := filepath.Join(disk, "ballast")
		for range 2 {
			fill(t, ballast)
			_, err := Start(t.Context(), Options{Dir: dir})
			wantFault(t, err, fault.DiskFull, dir)
			// The second time the log is new and takes not a word.
			for _, path := range []string{ballast, filepath.Join(dir, logFile)} {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		s = launch(t, Options{Dir: dir})
		if got := ask(t, s, "select v from kept"); got != "here" {
			t.Error(got)
		}
	})
}

func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); ; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPathTooLongForASocket(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 25), "root")
	s := launch(t, Options{Dir: dir})
	socket := s.SocketDir()
	t.Cleanup(func() { _ = os.RemoveAll(socket) })
	if len(socket)+1+len(socketName) > maxSocketPath {
		t.Errorf("%s is too long still", socket)
	}
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if uid, _ := ownerOf(info); info.Mode().Perm() != 0o700 || uid != s.identity.uid {
		t.Errorf("%s has mode %v and belongs to %d", socket, info.Mode(), uid)
	}
	if got := ask(t, s, "select 'up'"); got != "up" {
		t.Error(got)
	}
	other := spawn(t, "serve", dir, nil, nil)
	if attached, _, _, place := other.ready(); !attached || place != socket {
		t.Errorf("another process: attached %v through %s", attached, place)
	}
	other.kill()
	halt(t, s)
	if exists(socket) {
		t.Errorf("%s was left behind", socket)
	}

	// Somebody else was first in the shared directories: never used.
	for _, base := range []string{filepath.Dir(socket), "/tmp"} {
		place := filepath.Join(base, filepath.Base(socket))
		if err := os.RemoveAll(place); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(t.TempDir(), place); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(place) })
	}
	_, err = Start(t.Context(), Options{Dir: dir})
	wantFault(t, err, fault.DataDirectory, "too long for a Unix socket", dir)
}

func TestStrangePath(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), `it's, "a" b\c=ü`)
	s := launch(t, Options{Dir: dir})
	exe(t, connect(t, s), `create database "o'ne"`)
	exe(t, connect(t, s), `create role "a b" login`)
	conn, err := pgx.Connect(t.Context(), s.DSN("a b", "o'ne"))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(t.Context())
}

func TestOnlyItsUserConnects(t *testing.T) {
	t.Parallel()
	needRoot(t, "trying to connect as another user")
	dir := filepath.Join(open(t), "root")
	s := launch(t, Options{Dir: dir})
	for _, path := range []string{dir, s.SocketDir(), filepath.Join(dir, strconv.Itoa(s.Major())), filepath.Join(dir, strconv.Itoa(s.Major()), "data")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
	for _, file := range []string{ownerLock, serverLock, stateFile, logFile} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
	}
	stranger := spawn(t, "dial", s.SocketDir(), as(65533), nil)
	if why, _ := stranger.await("error"); !strings.Contains(why, "permission denied") {
		t.Errorf("another user got %q", why)
	}
	self := spawn(t, "dial", s.SocketDir(), as(s.identity.uid), nil)
	self.await("connected") // so the refusal above is about the user

	// No TCP port: none of the server's sockets is in the kernel's TCP tables.
	var tables string
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.process.Pid), "net", table))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		tables += string(text)
	}
	descriptors, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(s.process.Pid), "fd", "*"))
	sockets := 0
	for _, descriptor := range descriptors {
		target, _ := os.Readlink(descriptor)
		inode, found := strings.CutPrefix(target, "socket:[")
		if !found {
			continue
		}
		sockets++
		if strings.Contains(tables, " "+strings.TrimSuffix(inode, "]")+" ") {
			t.Errorf("descriptor %s is a TCP socket", descriptor)
		}
	}
	if sockets == 0 {
		t.Error("no socket seen at all: the check saw nothing")
	}
}

func as(uid int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
}

func TestAsRoot(t *testing.T) {
	t.Parallel()
	needRoot(t, "running as root")
	t.Run("as another user", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(open(t), "root")
		s := launch(t, Options{Dir: dir})
		uid := procStatus(t, s.process.Pid, "Uid")
		if uid[0] == "0" || uid[1] == "0" || uid[2] == "0" || !s.identity.change {
			t.Errorf("runs as %v", uid)
		}
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if owner, _ := ownerOf(info); strconv.Itoa(owner) != uid[1] {
			t.Errorf("the directory belongs to %d", owner)
		}
		if got := ask(t, s, "select 'up'"); got != "up" {
			t.Error(got)
		}
	})
	t.Run("without the groups of root", func(t *testing.T) {
		t.Parallel()
		p := spawn(t, "serve", filepath.Join(open(t), "root"), &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{4, 6}}}, nil)
		_, pid, _, _ := p.ready()
		if groups := procStatus(t, p.cmd.Process.Pid, "Groups"); len(groups) != 2 {
			t.Fatalf("the owner has the groups %v: the test shows nothing", groups)
		}
		if groups := procStatus(t, pid, "Groups"); len(groups) > 0 {
			t.Errorf("the server has the groups %v", groups)
		}
	})
	t.Run("in a user namespace", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "root") // below a directory that only root can pass
		s := launch(t, Options{Dir: dir})
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.process.Pid), "uid_map"))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(strings.Fields(string(text)), " "); got != "1000 0 1" {
			t.Errorf("the user map is %q", got)
		}
		info, err := os.Stat(filepath.Join(dir, strconv.Itoa(s.Major()), "data"))
		if err != nil {
			t.Fatal(err)
		}
		if owner, _ := ownerOf(info); owner != 0 {
			t.Errorf("the data belong to %d", owner)
		}
		if got := ask(t, s, "select 'up'"); got != "up" {
			t.Error(got)
		}
	})
	t.Run("neither way", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "root")
		// A namespace in which there is no other user, and in which no further
		// namespace may be made.
		p := spawn(t, "serve", dir, nil, nil, "unshare", "--map-root-user", "sh", "-c", `echo 0 > /proc/sys/user/max_user_namespaces && exec "$0"`)
		if why, _ := p.await("error"); !strings.HasPrefix(why, string(fault.DataDirectory)) || !strings.Contains(why, "does not run as root") {
			t.Errorf("got %s", why)
		}
	})
	t.Run("on a user's directory", func(t *testing.T) {
		t.Parallel()
		home := open(t)
		if err := os.Chown(home, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(home, "root")
		p := spawn(t, "serve", dir, as(65534), nil)
		_, pid, _, _ := p.ready()
		if uid := procStatus(t, pid, "Uid"); uid[1] != "65534" {
			t.Errorf("an ordinary user's server runs as %v", uid)
		}
		attached := launch(t, Options{Dir: dir})
		if !attached.Attached() {
			t.Error("root did not attach to a user's server")
		}
		if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		p.await("stopped")
		s := launch(t, Options{Dir: dir}) // sudo
		if uid := procStatus(t, s.process.Pid, "Uid"); uid[1] != "65534" {
			t.Errorf("under root it runs as %v", uid)
		}
		halt(t, s)
		p = spawn(t, "serve", dir, as(65534), nil) // and the user can go on
		if attached, _, _, _ := p.ready(); attached {
			t.Error("attached to a dead server")
		}
	})
}

func TestAsOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 { // then every other test is one
		if s := launch(t, Options{Dir: withCluster(t)}); s.identity.change || s.identity.namespace {
			t.Errorf("runs as %s", s.identity)
		}
		return
	}
	home := open(t)
	if err := os.Chown(home, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, "root")
	p := spawn(t, "serve", dir, as(65534), nil)
	_, pid, _, socket := p.ready()
	if got := ask(t, &Server{socket: socket}, "select 'up'"); got != "up" {
		t.Error(got)
	}
	other := spawn(t, "serve", dir, as(65533), nil)
	if why, _ := other.await("error"); !strings.HasPrefix(why, string(fault.DataDirectory)) || !strings.Contains(why, "belongs to another user") {
		t.Errorf("another user got %s", why)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "the server to follow its owner", func() bool { return !alive(pid) })
}

// A wrong setting must not make somebody's directory private or hand it over.
func TestDirectoryOfOthers(t *testing.T) {
	t.Parallel()
	dir := open(t)
	if err := os.WriteFile(filepath.Join(dir, "letter.txt"), []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Dir: dir})
	wantFault(t, err, fault.DataDirectory, dir, "other things")
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o755 {
		t.Errorf("its mode is %v now", info.Mode())
	}

	// A private one is used, and stays its owner's.
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	launch(t, Options{Dir: dir})
	if info, err = os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	if uid, _ := ownerOf(info); uid != os.Geteuid() {
		t.Errorf("it belongs to %d now", uid)
	}
}

func TestUnusableDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Dir: file})
	wantFault(t, err, fault.DataDirectory, file)
	_, err = Start(t.Context(), Options{Dir: filepath.Join(file, "below")})
	wantFault(t, err, fault.DataDirectory, file)
	_, err = Start(t.Context(), Options{})
	wantFault(t, err, fault.Config)

	b, err := Find(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "root")
	data := filepath.Join(dir, strconv.Itoa(b.Major), "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "letter.txt"), []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Options{Dir: dir})
	wantFault(t, err, fault.DataDirectory, data, "no PostgreSQL cluster")
	if !exists(filepath.Join(data, "letter.txt")) {
		t.Error("the letter is gone")
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	dir := withCluster(t)
	_, err := Start(t.Context(), Options{Dir: dir, Settings: map[string]string{"shared_buffers": "plenty"}})
	wantFault(t, err, fault.PostgresStart, `invalid value for parameter "shared_buffers": "plenty"`, filepath.Join(dir, logFile))
	for _, name := range []string{"listen_addresses", "PORT", "work_mem=1;x"} {
		_, err := Start(t.Context(), Options{Dir: dir, Settings: map[string]string{name: "*"}})
		wantFault(t, err, fault.Config, name)
	}
	s := launch(t, Options{Dir: dir, Settings: map[string]string{"work_mem": "7MB", "Max_Connections": "31", "app.greeting": "a 'quoted' one"}})
	for setting, want := range map[string]string{"work_mem": "7MB", "max_connections": "31", "app.greeting": "a 'quoted' one", "fsync": "off"} {
		if got := ask(t, s, "show "+setting); got != want {
			t.Errorf("%s is %q", setting, got)
		}
	}
	if lines := strings.Split(s.LogTail(2), "\n"); len(lines) != 2 || !strings.Contains(lines[1], "ready to accept connections") {
		t.Errorf("the tail of the log is %q", lines)
	}
}
