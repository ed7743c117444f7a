package job_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/job"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// logged is what the package has logged, for all tests.
var logged safeBuffer

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// with are the lines that hold all of some words.
func (s *safeBuffer) with(words ...string) (lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
next:
	for line := range strings.Lines(s.b.String()) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue next
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func TestMain(m *testing.M) {
	if os.Getenv("JOB_TEST_CONTROL") != "" {
		dyingWorker()
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	pgtest.Main(m)
}

// office is a database of its own, whose mail nobody else sends.
type office struct {
	t     *testing.T
	db    *postgres.DB
	admin *pgx.Conn
	url   func(user string) string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, url: pgtest.Separate(t)}
	var err error
	if o.db, err = postgres.Open(t.Context(), postgres.Config{AppURL: o.url("commonhold_app"), ControlURL: o.url("commonhold_control"), MaxConns: 4}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.db.Close)
	if o.admin, err = pgx.Connect(t.Context(), o.url("postgres")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.admin.Close(context.Background()) })
	return o
}

// works starts a worker, and stops it with the test.
func (o *office) works(deliver job.Deliver) *postgres.Jobs {
	o.t.Helper()
	c := config(o.t)
	c.DB, c.Deliver = o.db, deliver
	jobs, err := job.Start(o.t.Context(), c)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = jobs.Stop(ctx)
	})
	return jobs
}

func (o *office) send(m job.Mail) {
	o.t.Helper()
	if err := o.db.InControlTx(o.t.Context(), func(q *controlsql.Queries) error { return job.Send(o.t.Context(), q, m) }); err != nil {
		o.t.Fatal(err)
	}
}

// lies is how the only job lies in the database.
type lies struct {
	ID      int64
	State   string
	Attempt int
	All     string // the row, as text
}

func (o *office) only() (l lies) {
	o.t.Helper()
	err := o.admin.QueryRow(o.t.Context(), "select id, state::text, attempt, j::text from control.river_job as j").Scan(&l.ID, &l.State, &l.Attempt, &l.All)
	if err != nil {
		o.t.Fatal(err)
	}
	return l
}

func (o *office) exec(sql string, args ...any) {
	o.t.Helper()
	if _, err := o.admin.Exec(o.t.Context(), sql, args...); err != nil {
		o.t.Fatal(err)
	}
}

// until waits for what must come.
func until(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s; logged:\n%s", limit, what, strings.Join(logged.with("level=WARN"), ""))
		}
	}
}

// A mail is sent soon after its commit, since that wakes the worker: by itself it asks
// every ten seconds only. What a link carries lies in no table, before or after.
func TestMailIsSentAfterItsCommit(t *testing.T) {
	t.Parallel()
	o, l := newOffice(t), listen(t, "127.0.0.1", true)
	o.works(client(t, "smtps://"+inURL+"@"+l.addr, l).Deliver)
	m := every(t)[5]
	m.Until = time.Now().Add(time.Hour)
	o.send(m)
	until(t, "the mail", 20*time.Second, func() bool { return len(l.all(m.To)) == 1 })
	until(t, "its end", 10*time.Second, func() bool { return o.only().State == "completed" })
	_, token, _ := strings.Cut(read(t, l.all(m.To)[0].raw).text, "/links/reset#")
	token, _, _ = strings.Cut(token, "\n")
	if id, ok := keys(t).ParseToken(m.Link.Purpose, token); !ok || id != m.Link.ID {
		t.Fatalf("the token %q is not the link's", token)
	}
	if row := o.only().All; strings.Contains(row, token[4:]) || strings.Contains(row, "hush") {
		t.Errorf("the database holds the secret: %s", row)
	}
	for _, line := range logged.with("mail sent", fmt.Sprintf("job=%d ", o.only().ID)) {
		if strings.Contains(line, "@") {
			t.Errorf("logged: %s", line)
		}
	}
	for range 4 { // the ten seconds cannot end in each of these
		begin, next := time.Now(), every(t)[0]
		o.send(next)
		until(t, "a further mail", 4*time.Second, func() bool { return len(l.all(next.To)) == 1 })
		t.Logf("it took %s", time.Since(begin))
	}
}

// The server takes the mail, and its worker dies before it could say so. Another sends
// it again, and whoever reads it sees by the Message-ID that it is one.
func TestMailIsSentAtLeastOnce(t *testing.T) {
	t.Parallel()
	o, l := newOffice(t), listen(t, "", false)
	m := every(t)[0]
	o.send(m)
	dying := exec.Command(os.Args[0])
	dying.Env = append(os.Environ(), "JOB_TEST_CONTROL="+o.url("commonhold_control"), "JOB_TEST_APP="+o.url("commonhold_app"), "JOB_TEST_SMTP="+l.addr)
	out, err := dying.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 9 {
		t.Fatalf("it did not die where it should: %v: %s", err, out)
	}
	if row := o.only(); row.State != "running" || len(l.all(m.To)) != 1 {
		t.Fatalf("%d mails, the job is %s", len(l.all(m.To)), row.State)
	}
	// The five minutes after which a job is taken up, and the lease of who died.
	o.exec("update control.river_job set attempted_at = now() - interval '6 minutes'")
	o.exec("delete from control.river_leader")
	o.works(client(t, "smtp://"+l.addr, nil).Deliver)
	until(t, "the second mail", time.Minute, func() bool { return len(l.all(m.To)) == 2 })
	until(t, "its end", 10*time.Second, func() bool { return o.only().State == "completed" })
	first, second := read(t, l.all(m.To)[0].raw), read(t, l.all(m.To)[1].raw)
	for _, header := range []string{"Message-Id", "Date", "Subject", "To"} {
		if a, b := first.header.Get(header), second.header.Get(header); a != b || a == "" {
			t.Errorf("%s: %q, then %q", header, a, b)
		}
	}
	if first.text != second.text {
		t.Errorf("it says something else:\n%s\n%s", first.text, second.text)
	}
}

// dyingWorker is a process that ends when a mail of its was taken.
func dyingWorker() {
	ctx := context.Background()
	fail := func(err error) { fmt.Println(err); os.Exit(1) }
	db, err := postgres.Open(ctx, postgres.Config{AppURL: os.Getenv("JOB_TEST_APP"), ControlURL: os.Getenv("JOB_TEST_CONTROL"), MaxConns: 4})
	if err != nil {
		fail(err)
	}
	smtp, err := job.ParseSMTP("smtp://" + os.Getenv("JOB_TEST_SMTP"))
	if err != nil {
		fail(err)
	}
	_, err = job.Start(ctx, job.Config{DB: db, PublicURL: public, From: sender, Deliver: func(ctx context.Context, m *job.Message) error {
		if err := smtp.Deliver(ctx, m); err != nil {
			fail(err)
		}
		os.Exit(9)
		return nil
	}})
	if err != nil {
		fail(err)
	}
	time.Sleep(time.Minute)
	fail(errors.New("there was no mail"))
}

// A server that is away is tried again; one that says no for now too; and neither the
// log nor the errors that River keeps name anybody.
func TestMailIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]func(string, string) error{
		"greylisted": at("RCPT", 451, [3]int{4, 7, 1}),
		"signed out": at("MAIL", 550, [3]int{5, 7, 1}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, l := newOffice(t), listen(t, "", false)
			l.answers(says)
			o.works(client(t, "smtp://"+l.addr, nil).Deliver)
			m := every(t)[1]
			o.send(m)
			var stored []byte
			until(t, "the first attempt", 30*time.Second, func() bool {
				if err := o.admin.QueryRow(t.Context(), "select to_json(errors) from control.river_job").Scan(&stored); err != nil {
					t.Fatal(err)
				}
				return stored != nil
			})
			if !json.Valid(stored) || bytes.Contains(stored, []byte("@")) || !bytes.Contains(stored, []byte("was answered by")) {
				t.Errorf("kept: %s", stored)
			}
			lines := logged.with("mail not sent yet", "MAIL_NOT_SENT", "confirm_registration", "was answered by")
			if len(lines) == 0 || strings.Contains(strings.Join(lines, ""), "@") {
				t.Errorf("logged: %s", lines)
			}
			l.answers(nil)
			until(t, "the mail", 30*time.Second, func() bool { return len(l.all(m.To)) == 1 })
			until(t, "its end", 10*time.Second, func() bool { return o.only().State == "completed" })
		})
	}
}

// What would never be taken, and what is too late, is given up at once.
func TestMailIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		says  func(string, string) error
		until time.Time
	}{
		"no such mailbox": {at("RCPT", 550, [3]int{5, 1, 1}), time.Time{}},
		"too late":        {nil, time.Now().Add(-time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, l := newOffice(t), listen(t, "", false)
			l.answers(c.says)
			o.works(client(t, "smtp://"+l.addr, nil).Deliver)
			m := every(t)[3]
			m.Until = c.until
			o.send(m)
			until(t, "its end", 20*time.Second, func() bool { return o.only().State == "cancelled" })
			lines := logged.with("mail given up", "level=ERROR", "MAIL_NOT_SENT", fmt.Sprintf("job=%d ", o.only().ID))
			if o.only().Attempt != 1 || len(l.all("")) != 0 || len(lines) == 0 || strings.Contains(strings.Join(lines, ""), "@") {
				t.Errorf("after %d attempts, %d arrived, logged: %s", o.only().Attempt, len(l.all("")), lines)
			}
		})
	}
}

// What a tenant sends waits while that is closed, and is sent when it is opened, at once
// and by its first attempt; what is a person's own is sent all the while. What a tenant that
// ends had left is not sent.
func TestMailOfAClosedTenantWaits(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	registry := control.NewRegistry(o.db)
	home, _ := (&pgtest.World{DB: o.db, Registry: registry}).NewTenant(t)
	var mu sync.Mutex
	var sent []string
	delivered := func() (subjects []string) {
		mu.Lock()
		defer mu.Unlock()
		return slices.Sorted(slices.Values(sent))
	}
	deliver := func(_ context.Context, m *job.Message) error {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, m.Subject)
		return nil
	}
	ofTenant := func(m job.Mail) job.Mail { m.Home = home.ID.UUID(); return m }
	all := every(t)
	var waiting, going []string
	subjects := func(m job.Mail) string { return render(t, m).Subject }
	leave := func() {
		mu.Lock()
		waiting, going, sent = nil, nil, nil
		mu.Unlock()
		for _, m := range all {
			switch m.Template {
			case job.Welcome, job.TenantCreated, job.Invitation, job.InvitationToAccount:
				o.send(ofTenant(m))
				waiting = append(waiting, subjects(m))
			default:
				o.send(m)
				going = append(going, subjects(m))
			}
		}
		slices.Sort(waiting)
		slices.Sort(going)
	}
	states := func(of string) (all string) {
		if err := o.admin.QueryRow(t.Context(), `select coalesce(string_agg(distinct state || ' ' || attempt, ', '), '') from control.river_job where args ? 'home' = ($1 = 'tenant')`, of).Scan(&all); err != nil {
			t.Fatal(err)
		}
		return all
	}

	pgtest.Change(t, registry, home.Slug, tenant.Suspended)
	leave()
	o.works(deliver)
	until(t, "what is a person's own", 30*time.Second, func() bool { return slices.Equal(delivered(), going) })
	until(t, "the others to wait", 30*time.Second, func() bool { return states("tenant") == "scheduled 0" })
	if now := delivered(); !slices.Equal(now, going) {
		t.Fatalf("sent for a closed tenant: %q, want %q", now, going)
	}
	pgtest.Change(t, registry, home.Slug, tenant.Active)
	until(t, "what had waited", 30*time.Second, func() bool { return len(delivered()) == len(all) }) // and not in ten minutes
	until(t, "their end", 30*time.Second, func() bool { return states("tenant") == "completed 1" })

	// A tenant that is read only is there, and sends.
	o.exec("delete from control.river_job")
	pgtest.Change(t, registry, home.Slug, tenant.ReadOnly)
	leave()
	until(t, "what a read-only tenant sends", 30*time.Second, func() bool { return len(delivered()) == len(all) })

	o.exec("delete from control.river_job")
	o.exec("update control.tenants set status = 'OFFBOARDING' where id = $1", home.ID)
	leave()
	until(t, "what is a person's own", 30*time.Second, func() bool { return slices.Equal(delivered(), going) })
	until(t, "the others to be given up", 30*time.Second, func() bool { return states("tenant") == "cancelled 1" })
	if now := delivered(); !slices.Equal(now, going) {
		t.Errorf("sent for a tenant that ends: %q", now)
	}
}

// The database goes away under the worker, with the connection that listens, and comes
// back.
func TestDatabaseGoesAway(t *testing.T) {
	t.Parallel()
	o, l := newOffice(t), listen(t, "", false)
	o.works(client(t, "smtp://"+l.addr, nil).Deliver)
	first, second := every(t)[0], every(t)[0]
	o.send(first)
	until(t, "the first mail", 20*time.Second, func() bool { return len(l.all(first.To)) == 1 })
	outside, err := pgx.Connect(t.Context(), pgtest.ServerURL(t, "postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close(context.Background())
	name := o.admin.Config().Database
	allow := func(may bool) {
		if _, err := outside.Exec(t.Context(), fmt.Sprintf("alter database %s with allow_connections %t", name, may)); err != nil {
			t.Fatal(err)
		}
	}
	allow(false)
	o.exec("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
	until(t, "the worker to notice", 20*time.Second, func() bool { return len(logged.with("level=ERROR", "not currently accepting connections", name)) > 0 })
	allow(true)
	until(t, "the database", 20*time.Second, func() bool { // a connection that died is noticed by its next user
		return o.db.InControlTx(t.Context(), func(q *controlsql.Queries) error { return job.Send(t.Context(), q, second) }) == nil
	})
	until(t, "the second mail", time.Minute, func() bool { return len(l.all(second.To)) == 1 })
}

// Where the control role may not notify nothing could be registered. That is said when
// a server starts, with what to do.
func TestStartWithoutTheRightToNotify(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.exec("revoke execute on function pg_catalog.pg_notify(text, text) from commonhold_control")
	c := config(t)
	c.DB = o.db
	jobs, err := job.Start(t.Context(), c)
	if !fault.Is(err, fault.MissingPrivileges) {
		t.Fatalf("%v, %v", jobs, err)
	}
	_, advice, _ := strings.Cut(err.Error(), "or: ")
	o.exec(advice)
	o.works(nil)
}

// A server that stops finishes what it has begun, and begins nothing more.
func TestStopFinishes(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	begun, may := make(chan struct{}), make(chan struct{})
	jobs := o.works(func(context.Context, *job.Message) error {
		close(begun)
		<-may
		return nil
	})
	o.send(every(t)[0])
	<-begun
	short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := jobs.Stop(short); err == nil {
		t.Fatal("it did not wait")
	}
	close(may)
	if err := jobs.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if row := o.only(); row.State != "completed" {
		t.Errorf("the job is %s", row.State)
	}
	o.send(every(t)[0])
	var waiting int
	if err := o.admin.QueryRow(t.Context(), "select count(*) from control.river_job where state = 'available'").Scan(&waiting); err != nil || waiting != 1 {
		t.Errorf("%d wait: %v", waiting, err)
	}
}

// A request can neither read what lies there nor leave anything.
func TestRequestsReachNoJob(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), pgtest.URL(t, "commonhold_app"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "set default_transaction_read_only = off"); err != nil { // an attacker's first word
		t.Fatal(err)
	}
	for _, table := range []string{"river_job", "river_leader", "river_queue", "river_notification"} {
		for _, statement := range []string{"select 1 from control." + table, "delete from control." + table} {
			if _, err := conn.Exec(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "permission denied") {
				t.Errorf("%s: %v", statement, err)
			}
		}
	}
	if _, err := conn.Exec(t.Context(), "select pg_notify('control.river_insert', '{}')"); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("notify: %v", err)
	}
}
