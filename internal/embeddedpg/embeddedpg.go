// Package embeddedpg runs a PostgreSQL server as a child of this program: for
// development and for tests, from binaries that are already on the machine or,
// where there are none, from an npm package.
//
// The server listens on a Unix socket in a private directory and on no TCP port.
// Whoever can open that directory is the superuser (trust authentication): the
// permissions of the directory, 0700, are the whole of the access control.
//
// # Who owns a server
//
// The process whose [Start] found no live server in a directory owns the one it
// starts, and ends it: with [Server.Stop], or by dying. Every other process that
// calls Start on the same directory attaches to it. Two advisory locks tell the
// cases apart, so no pid is ever trusted alone:
//
//   - owner.lock is held by the owning process and by nothing else;
//   - server.lock is held by it and, inherited, by initdb, postgres and every
//     backend, so that it is free only when the last of them is gone.
//
// Owner and server held: attach (also in the few milliseconds in which a killed
// owner is not yet gone; connections then end with it). Server held, owner free: the owner was killed,
// the server is shutting down, wait for it. Both free: start.
//
// # Which cluster
//
// A data directory is named by the major version that made it, DIR/15/data. The
// newest cluster for which binaries are installed is used, whatever newer
// binaries there are: an upgrade of the machine's PostgreSQL must not make a
// developer's data seem lost. Where no installed version fits, a new cluster is
// made beside the old one, the old one is neither opened nor changed, and Logf is
// told both versions and how to get back. (Refusing to start was the other
// choice; it protects nothing more, because nothing is overwritten either way,
// and it would stop everybody whose data are only the demo.)
//
// # What was run
//
// Linux on amd64, as root and as ordinary users, with PostgreSQL 15 and 18. The
// macOS parts are compiled and vetted but have not been run. macOS has no
// parent-death signal, so there a server outlives a killed owner until the next
// Start on its directory shuts it down. Other systems get a clear error.
package embeddedpg

import (
	"os"
	"strings"
	"sync"
)

// OldestMajor is the oldest major version of PostgreSQL that is used.
const OldestMajor = 15

// Options says where a server lives. The zero value is not valid: Dir is needed.
type Options struct {
	// Dir is the data root. It belongs to this package alone: it is made where it
	// is missing, its mode is set to 0700, and under root a new one is handed to
	// the system user the server runs as. A directory that already holds other
	// things is used only if it is private already, and then never handed over.
	Dir string

	// BinDir is a directory with initdb and postgres. "" searches, see [Find].
	BinDir string

	// Settings are server settings by name, over the defaults of this package.
	// Those that say where the server is and who may connect are refused.
	Settings map[string]string

	// Fast gives up durability for speed (fsync, synchronous_commit and
	// full_page_writes off): for tests, whose cluster is thrown away. It also
	// skips initdb's final sync.
	Fast bool

	// Logf is told what takes long and what a person should know. May be nil.
	Logf func(format string, args ...any)
}

func (o Options) logf(format string, args ...any) {
	if o.Logf != nil {
		o.Logf(format, args...)
	}
}

// Server is a running PostgreSQL. Its methods are safe for concurrent use.
type Server struct {
	major    int
	socket   string // the directory that holds it
	log      string // path of the log file
	attached bool
	done     chan struct{} // closed when the owned server ended; never for an attached one

	// What follows is of an owned server only.
	process    *os.Process
	state      string    // path of the file that tells others where the server is
	owner      *os.File  // the two locks; closing is the release
	server     *os.File  //
	stopping   sync.Once // the first Stop sends the signal
	identity   identity  // whom it runs as
	waitErr    error     // how the process ended; read after done
	postmaster string    // path of postmaster.pid
}

// DSN is a connection string in PostgreSQL's key/value form (manual, section
// 34.1.1.1) for the Unix socket. The user "postgres" is the superuser; no user
// needs a password.
func (s *Server) DSN(user, database string) string {
	return "host=" + quoteDSN(s.socket) + " port=5432 user=" + quoteDSN(user) + " dbname=" + quoteDSN(database) + " sslmode=disable"
}

func quoteDSN(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

// SocketDir is the directory of the Unix socket.
func (s *Server) SocketDir() string { return s.socket }

// Major is the major version of the server.
func (s *Server) Major() int { return s.major }

// Attached tells whether another process, or an earlier Start in this one, owns
// the server. It then ends when its owner does, and Stop leaves it running.
func (s *Server) Attached() bool { return s.attached }

// Done is closed when the owned server process has ended and its directory is
// free again. For an attached server it is never closed.
func (s *Server) Done() <-chan struct{} { return s.done }

// LogTail is the end of the server's log: at most that many lines, of the last
// 64 KB. "" where it cannot be read.
func (s *Server) LogTail(lines int) string { return tail(s.log, 0, lines) }

// Binaries are the server programs of one PostgreSQL installation.
type Binaries struct {
	Dir   string // holds initdb and postgres; absolute, symbolic links resolved
	Major int
	From  string // where they were found, for people: "PATH", "pg_config" …
}
