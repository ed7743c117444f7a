package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/memory"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

const (
	listenForChanges = "listen commonhold"
	askProcess       = "select pg_backend_pid()"

	// silence is how long nothing need be heard before we see whether anybody could
	// still be: a network can lose a connection without a word.
	silence = 5 * time.Second
	// listenTime bounds each step that should take a round trip.
	listenTime = 5 * time.Second
)

// Changes tells what of the control database has changed, here and on other servers.
// What is remembered of it is remembered through this.
func (db *DB) Changes() *memory.Changes { return &db.changes }

// listener hears on a connection of its own what others change, and says so to the
// memory of this server.
type listener struct {
	db     *DB
	config *pgx.ConnConfig
	stop   context.CancelFunc
	done   chan struct{}

	process atomic.Uint32 // of the server, on the connection of the moment
}

// errPooled: who listens through a pooler listens on somebody's connection.
var errPooled = errors.New("a pooler stands between this server and its database")

// errUnheard: the listener did not hear what this server said itself.
var errUnheard = errors.New("a notification did not arrive")

// listen begins to hear of changes. Without a URL of its own it goes where control
// goes, and a server that cannot hear there does without.
//
// Errors: fault.Config for a URL that leads through a pooler or to another database;
// those of a connection that fails.
func (db *DB) listen(ctx context.Context, url string) error {
	config := db.control.Config().ConnConfig
	if url != "" {
		var err error
		if config, err = parseURL(url); err != nil {
			return err
		}
		config.ConnectTimeout = listenTime
	}
	config.Tracer = nil
	listening(config, "commonhold listener")
	l := &listener{db: db, config: config}
	conn, err := l.connect(ctx)
	switch pooler := errors.Is(err, errPooled); {
	case pooler && url == "":
		slog.WarnContext(ctx, "changes made by other servers are not heard of through a pooler: every request asks who its session is; --listen-url can name the database itself")
		return nil
	case pooler:
		return fault.New(fault.Config, "--listen-url leads through a pooler, which has no connection to listen on. Name the database server itself.")
	case errors.Is(err, errUnheard) && url != "":
		return fault.New(fault.Config, "What is said at --control-url is not heard at --listen-url. Both must name the same database.")
	case err != nil && url != "":
		return unreachable(config, err)
	case err != nil:
		slog.WarnContext(ctx, "changes made by other servers are not heard of yet", "error", err)
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop, l.done = stop, make(chan struct{})
	db.listener = l
	go l.run(life, conn)
	return nil
}

// run listens until it is stopped, on one connection after the other.
func (l *listener) run(ctx context.Context, conn *pgx.Conn) {
	defer close(l.done)
	defer l.db.changes.Deafen()
	for pause := time.Duration(0); ctx.Err() == nil; {
		if conn == nil {
			wait(ctx, pause+rand.N(pause+time.Millisecond)) // so that servers do not come all at once
			pause = min(max(2*pause, 50*time.Millisecond), 2*time.Second)
			var err error
			if conn, err = l.connect(ctx); err != nil {
				slog.DebugContext(ctx, "changes made by other servers are not heard of yet", "error", err)
				continue
			}
			slog.InfoContext(ctx, "changes made by other servers are heard of again")
		}
		pause = 0
		err := l.hear(ctx, conn)
		l.db.changes.Deafen()
		leave(ctx, conn)
		conn = nil
		if ctx.Err() == nil {
			slog.WarnContext(ctx, "changes made by other servers are not heard of: every request asks who its session is", "error", err)
		}
	}
	if conn != nil {
		leave(ctx, conn)
	}
}

// connect listens, and sees that what this server says is heard: only then can
// silence mean that nothing happened.
func (l *listener) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, listenTime)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return nil, err
	}
	if err := l.tune(ctx, conn); err != nil {
		leave(ctx, conn)
		return nil, err
	}
	l.db.changes.Hear()
	return conn, nil
}

func (l *listener) tune(ctx context.Context, conn *pgx.Conn) error {
	behind, process, err := behindPooler(ctx, conn)
	if err != nil {
		return err
	}
	if behind {
		return errPooled
	}
	l.process.Store(process)
	if _, err := finish(conn.Query(ctx, listenForChanges, pgx.QueryExecModeExec)); err != nil {
		return err
	}
	nonce := uuid.New()
	if err := l.db.Control().NotifyChanged(ctx, controlsql.NotifyChangedParams{Kind: "nothing", ID: nonce.String()}); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	for {
		heard, err := conn.WaitForNotification(ctx)
		if err != nil && ctx.Err() != nil {
			return errUnheard
		}
		if err != nil {
			return err
		}
		if heard.Payload == "nothing "+nonce.String() {
			return nil
		}
	}
}

// listening makes the settings of a connection that listens. A wait on it ends by a
// deadline: to ask the server to stop, as our pools do, stops nobody who listens.
func listening(config *pgx.ConnConfig, name string) {
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: c.Conn()}
	}
	config.RuntimeParams["application_name"] = name
}

// behindPooler tells whether a pooler stands between, which gives itself away by a process id
// of its own, and which process of the server answers.
func behindPooler(ctx context.Context, conn *pgx.Conn) (behind bool, process uint32, err error) {
	err = conn.QueryRow(ctx, askProcess, pgx.QueryExecModeExec).Scan(&process)
	return process != conn.PgConn().PID(), process, err
}

// hear passes on what is heard until the connection is lost.
func (l *listener) hear(ctx context.Context, conn *pgx.Conn) error {
	for {
		heard, err := wakeful(ctx, silence, conn.WaitForNotification)
		switch {
		case err == nil:
			l.db.heard(heard.Payload)
		case ctx.Err() != nil || !pgconn.Timeout(err):
			return err
		default: // nothing was said for a while
			_, err = wakeful(ctx, listenTime, func(ctx context.Context) (pgconn.CommandTag, error) {
				return finish(conn.Query(ctx, askProcess, pgx.QueryExecModeExec))
			})
			if err != nil {
				return err
			}
		}
	}
}

// heard takes in a notification. One that we do not know is of a newer server.
func (db *DB) heard(payload string) {
	_, text, _ := strings.Cut(payload, " ")
	if id, err := uuid.Parse(text); err == nil {
		db.changes.Changed(id)
	}
}

// close ends the listener and waits for its end.
func (l *listener) close() {
	if l == nil {
		return
	}
	l.stop()
	<-l.done
}

func wakeful[T any](ctx context.Context, limit time.Duration, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx)
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func leave(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // it may be broken, which is why we leave
}
