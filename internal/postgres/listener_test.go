package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/memory"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// say notifies of a change to something, and then fails with err.
func say(t *testing.T, w *world, kind, id string, err error) {
	t.Helper()
	got := w.DB.InControlTx(t.Context(), func(q *controlsql.Queries) error {
		if err := q.NotifyChanged(t.Context(), controlsql.NotifyChangedParams{Kind: kind, ID: id}); err != nil {
			return err
		}
		return err
	})
	if !errors.Is(got, err) {
		t.Fatal(got)
	}
}

func TestChangesAreHeard(t *testing.T) {
	t.Parallel()
	database := newMigrated(t) // where nobody else makes tenants
	here, there := openDatabase(t, database, 2), openDatabase(t, database, 2)
	there.Settle(t)
	if !here.DB.Changes().Hearing() || !there.DB.Changes().Hearing() {
		t.Fatal("a server that has started hears nothing")
	}
	before, elsewhere := here.DB.Changes().Stamp(), there.DB.Changes().Stamp()
	id := uuid.New()
	say(t, here, "session", id.String(), nil)
	if !here.DB.Changes().Since(before, id) { // it may have heard itself; below it cannot
		t.Error("the server that changed it does not know at once")
	}
	until(t, "the other server hears", func() bool { return there.DB.Changes().Since(elsewhere, id) })

	// What nobody can read is of a newer server.
	for _, odd := range []string{"", "nonsense", "\u00e4"} {
		say(t, here, "session", odd, nil)
	}

	// What did not happen is not told; forgetting it here costs a question.
	undone := uuid.New()
	say(t, here, "session", undone.String(), errors.New("later"))
	if !here.DB.Changes().Since(before, undone) {
		t.Error("the server knows what it said only where it hears itself") // nobody else heard this
	}
	last := uuid.New()
	say(t, here, "session", last.String(), nil)
	until(t, "the other server hears what came after", func() bool { return there.DB.Changes().Since(elsewhere, last) })
	if there.DB.Changes().Since(elsewhere, undone) {
		t.Error("the other server heard of a change that was rolled back")
	}
}

// hangUp ends the connection on which w listens, and says whether there was one.
func hangUp(t *testing.T, w *world) {
	t.Helper()
	admin := pgtest.Superuser(t)
	var ended bool
	err := admin.QueryRow(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity where pid = $1 and application_name = 'commonhold listener'`, w.DB.ListenerPID()).Scan(&ended)
	if err != nil || !ended {
		t.Fatalf("end the listener's connection: %t, %v", ended, err)
	}
}

// Who lost the connection knows, believes nothing from before, and hears again.
func TestALostListenerComesBack(t *testing.T) {
	t.Parallel()
	w, other := open(t, 2), open(t, 2)
	for range 3 {
		before := w.DB.Changes().Stamp()
		hangUp(t, w)
		// Whatever was read before is old when it hears again.
		until(t, "it listens again", func() bool { return w.DB.Changes().Hearing() && w.DB.Changes().Since(before) })
		after, id := w.DB.Changes().Stamp(), uuid.New()
		say(t, other, "user", id.String(), nil)
		until(t, "it hears again", func() bool { return w.DB.Changes().Since(after, id) })
	}
}

// The connection of a server that has closed is closed.
func TestTheListenerEnds(t *testing.T) {
	t.Parallel()
	db, err := postgres.Open(t.Context(), postgres.Config{AppURL: pgtest.URL(t, "commonhold_app"), ControlURL: pgtest.URL(t, "commonhold_control"), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	process := db.ListenerPID()
	db.Close()
	if db.Changes().Hearing() {
		t.Error("it hears when it is closed")
	}
	admin := pgtest.Superuser(t)
	until(t, "the connection is closed", func() bool {
		var n int
		if err := admin.QueryRow(t.Context(), `select count(*) from pg_stat_activity where pid = $1 and application_name = 'commonhold listener'`, process).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
}

// A network may lose the connection without a word: silence is not trusted for long.
func TestSilenceIsNotTrusted(t *testing.T) {
	t.Parallel()
	wire := tap(t)
	db, err := postgres.Open(t.Context(), postgres.Config{AppURL: pgtest.URL(t, "commonhold_app"), ControlURL: pgtest.URL(t, "commonhold_control"),
		ListenURL: wire.url("commonhold_control"), MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if !db.Changes().Hearing() {
		t.Fatal("it hears nothing")
	}
	wire.freeze()
	from := time.Now()
	until(t, "it notices that nobody speaks", func() bool { return !db.Changes().Hearing() })
	t.Logf("noticed after %s", time.Since(from).Round(time.Millisecond))
	wire.thaw()
	until(t, "it hears again", func() bool { return db.Changes().Hearing() })
	if memory.MaxAge > 15*time.Second {
		t.Error("what is remembered may be older than was promised")
	}
}

// Behind a pooler there is no connection to listen on: a server does without, or
// listens past it.
func TestListeningBehindPgBouncer(t *testing.T) {
	t.Parallel()
	b := bounce(t)
	c := postgres.Config{AppURL: b.url("commonhold_app", pgtest.Database) + describe, ControlURL: b.url("commonhold_control", pgtest.Database) + describe, MaxConns: 2}
	start := func(listenURL string) (*postgres.DB, error) {
		c := c
		c.ListenURL = listenURL
		db, err := postgres.Open(t.Context(), c)
		if err == nil {
			t.Cleanup(db.Close)
		}
		return db, err
	}
	without, err := start("")
	if err != nil {
		t.Fatal(err)
	}
	if without.Changes().Hearing() {
		t.Error("it believes to hear through a pooler")
	}
	past, err := start(pgtest.URL(t, "commonhold_control"))
	if err != nil {
		t.Fatal(err)
	}
	if !past.Changes().Hearing() {
		t.Error("it does not hear past the pooler")
	}
	before, id := past.Changes().Stamp(), uuid.New()
	err = without.InControlTx(t.Context(), func(q *controlsql.Queries) error {
		return q.NotifyChanged(context.Background(), controlsql.NotifyChangedParams{Kind: "session", ID: id.String()})
	})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it hears what was said through the pooler", func() bool { return past.Changes().Since(before, id) })

	_, err = start(b.url("commonhold_control", pgtest.Database))
	wantAdvice(t, "a pooler as --listen-url", err, "leads through a pooler")
	_, err = start(pgtest.ServerURL(t, "commonhold_control", newMigrated(t)))
	wantAdvice(t, "another database as --listen-url", err, "the same database")
	_, err = start("postgres://%")
	wantAdvice(t, "no URL as --listen-url", err, "cannot be read")
}
