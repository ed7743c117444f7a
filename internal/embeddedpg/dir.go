//go:build linux || darwin

package embeddedpg

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/commonhold/commonhold/internal/fault"
)

// What the data root holds.
const (
	ownerLock  = "owner.lock"
	serverLock = "server.lock"
	stateFile  = "server.json"
	logFile    = "postgres.log"
	socketDir  = "socket"
)

// state is what the owner of a live server tells those who attach.
type state struct {
	Major  int    `json:"major"`
	Socket string `json:"socket"` // the directory
}

// root is a prepared data root.
type root struct {
	dir     string // absolute, symbolic links resolved
	foreign bool   // it holds things that are not of this package
}

func (r root) path(elem ...string) string {
	return filepath.Join(append([]string{r.dir}, elem...)...)
}

func (r root) data(major int) string { return r.path(strconv.Itoa(major), "data") }

// prepare makes the data root or checks that it can be one. A mistaken setting
// such as /tmp or a home directory is refused, not made private or handed over.
func prepare(dir string) (root, error) {
	if dir == "" {
		return root{}, fault.New(fault.Config, "The database needs a data directory, and none was set.")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return root{}, fmt.Errorf("data directory %s: %w", dir, err)
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o755); err != nil { //nolint:gosec // the root below is private, what lies above need not be
		return root{}, dirFault(abs, err)
	}
	if err := os.Mkdir(abs, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return root{}, dirFault(abs, err)
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return root{}, dirFault(abs, err)
	}
	info, err := os.Stat(abs)
	if err != nil {
		return root{}, dirFault(abs, err)
	}
	if !info.IsDir() {
		return root{}, fault.New(fault.DataDirectory, "%s is a file, and the data directory must be a directory. Choose another place.", abs)
	}
	if uid, _ := ownerOf(info); uid != os.Geteuid() && os.Geteuid() != 0 {
		return root{}, fault.New(fault.DataDirectory, "The data directory %s belongs to another user (uid %d), and PostgreSQL runs only on a directory of its own user. Run as that user or choose another directory.", abs, uid)
	}
	entries, err := os.ReadDir(abs)
	if err != nil {
		return root{}, dirFault(abs, err)
	}
	r := root{dir: abs}
	r.foreign = slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !ours(e.Name()) })
	private := info.Mode().Perm()&0o077 == 0
	if r.foreign && !private {
		return root{}, fault.New(fault.DataDirectory, "The data directory %s holds other things and other users can open it. Choose an empty or a new directory.", abs)
	}
	if info.Mode().Perm() != 0o700 {
		if err := os.Chmod(abs, 0o700); err != nil { //nolint:gosec // a directory is entered by its x
			return root{}, dirFault(abs, err)
		}
	}
	return r, nil
}

func ours(name string) bool {
	switch name {
	case ownerLock, serverLock, stateFile, stateFile + ".new", logFile, logFile + ".1", socketDir:
		return true
	}
	_, err := strconv.Atoi(name)
	return err == nil
}

// clusters are the major versions that have a data directory here, newest first.
func (r root) clusters() []int {
	found, _ := filepath.Glob(r.path("*", "data", "PG_VERSION"))
	var majors []int
	for _, file := range found {
		if major, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(file)))); err == nil {
			majors = append(majors, major)
		}
	}
	slices.Sort(majors)
	slices.Reverse(majors)
	return majors
}

// tryLock takes the lock without waiting; nil, nil where another holds it. The
// lock ends when the last descriptor of this open file is closed, in whichever
// process, so it is never unlocked, only closed.
func tryLock(path string) (*os.File, error) {
	// Never through a link: under root the directory may belong to somebody else.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err == nil {
		return f, nil
	}
	_ = f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil //nolint:nilnil // nobody's fault and no lock
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// waitLock takes the lock, however long another holds it.
func waitLock(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := tryLock(path)
		if f != nil || err != nil {
			return f, err
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// pause is one beat of a loop that watches another process: 10 ms.
func pause(ctx context.Context) error {
	timer := time.NewTimer(10 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (r root) readState() (state, error) {
	data, err := os.ReadFile(r.path(stateFile))
	if err != nil {
		return state{}, err
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return state{}, fmt.Errorf("%s: %w", stateFile, err)
	}
	return s, nil
}

func (r root) writeState(s state, who identity) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.Remove(r.path(stateFile + ".new")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(r.path(stateFile+".new"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := who.own(r.path(stateFile + ".new")); err != nil {
		return err
	}
	return os.Rename(r.path(stateFile+".new"), r.path(stateFile))
}

// maxSocketPath is the longest path of a Unix socket, in bytes without the final
// NUL: sun_path holds 104 on macOS (unix(4)) and 108 on Linux (unix(7)); one limit
// for both keeps a directory usable from either.
const maxSocketPath = 103

const socketName = ".s.PGSQL.5432"

// socket makes the private directory of the Unix socket: in the data root, or,
// where its path would be too long or has a comma (clients take that for a list
// of hosts; manual, section 34.1.2), one in the directory for temporary files that
// is named by a hash of the root, so that it stays the same from start to start.
func (r root) socket(ctx context.Context, b Binaries, who identity) (string, error) {
	fits := func(dir string) bool {
		return len(dir)+1+len(socketName) <= maxSocketPath && !strings.Contains(dir, ",")
	}
	if dir := r.path(socketDir); fits(dir) {
		return dir, privateDir(dir, who)
	}
	sum := sha256.Sum256([]byte(r.dir))
	name := "commonhold-" + hex.EncodeToString(sum[:8])
	var last error
	for _, base := range []string{os.TempDir(), "/tmp"} {
		dir := filepath.Join(base, name)
		if !filepath.IsAbs(dir) || !fits(dir) {
			continue
		}
		if last = privateDir(dir, who); last == nil {
			if last = who.probe(ctx, b, dir); last == nil {
				return dir, nil
			}
		}
	}
	return "", fault.New(fault.DataDirectory, "The path of the data directory %s is too long for a Unix socket (%d bytes at most with the socket's name) or has a comma, and no private directory could be made in %s either. Choose a data directory with a shorter path.", r.dir, maxSocketPath, os.TempDir()).Because(last)
}

// privateDir makes a directory that only the server's user can open, or checks
// that an existing one is: in a shared place another user may have made it first.
func privateDir(dir string, who identity) error {
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		return who.own(dir)
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	uid, _ := ownerOf(info)
	if !info.IsDir() || uid != who.uid {
		return fmt.Errorf("%s exists and does not belong to uid %d", dir, who.uid)
	}
	return os.Chmod(dir, 0o700) //nolint:gosec // a directory is entered by its x
}

// dirFault codes an error of the data directory.
func dirFault(dir string, err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("prepare the data directory: %w", err)
	case noSpace(err):
		return diskFull(dir, err)
	}
	if coded, ok := errors.AsType[*fault.Error](err); ok {
		return coded
	}
	return fault.New(fault.DataDirectory, "The data directory %s cannot be used. Check its permissions or choose another directory.", dir).Because(err)
}

func diskFull(dir string, err error) error {
	return fault.New(fault.DiskFull, "There is no space left for the database in %s. Free some (a new database needs about 100 MB) and start again; what was stored is intact.", dir).Because(err)
}

func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || (err != nil && strings.Contains(err.Error(), "No space left on device")) || (err != nil && strings.Contains(err.Error(), "ENOSPC"))
}

// full tries whether the file system of the directory still takes data. A server
// that dies of a full disk cannot even write its last words to the log.
func full(dir string) bool {
	f, err := os.CreateTemp(dir, "space-")
	if err != nil {
		return noSpace(err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // a probe
	defer f.Close()           //nolint:errcheck // a probe
	if _, err := f.Write(make([]byte, 256<<10)); err != nil {
		return noSpace(err)
	}
	return noSpace(f.Sync())
}

func ownerOf(info fs.FileInfo) (uid, gid int) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1
	}
	return int(st.Uid), int(st.Gid)
}

// tail is the end of a file from an offset on: the last lines of its last 64 KB.
func tail(path string, from int64, lines int) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	start := max(from, info.Size()-64<<10)
	data, err := io.ReadAll(io.NewSectionReader(f, start, info.Size()-start))
	if err != nil {
		return ""
	}
	return lastLines(string(data), lines)
}
