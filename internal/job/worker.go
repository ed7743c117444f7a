package job

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// Config says how mail leaves.
type Config struct {
	DB        *postgres.DB
	Keys      *keyring.Keyring // makes the tokens of links
	PublicURL string           // what every link begins with, and nothing a request says
	From      string           // "Commonhold <no-reply@example.com>", or the address alone
	Deliver   Deliver
}

// Deliver takes a message to where it goes. A permanent refusal is a *RefusedError.
type Deliver func(ctx context.Context, m *Message) error

// RefusedError is the answer that this message will never be taken.
type RefusedError struct{ Reason string }

// Error is the reason, without the address.
func (r *RefusedError) Error() string { return r.Reason }

const (
	workers     = 2                // mails sent at once by one server
	jobTime     = 45 * time.Second // for one attempt; the steps of SMTP take less together
	stopTime    = 15 * time.Second // for what is under way when a server stops, before it is told to
	rescueAfter = 5 * time.Minute  // when the work of a server that died is taken up by another
	// What was sent holds an address for a day, what could not be for a week.
	keepSent   = 24 * time.Hour
	keepFailed = 7 * 24 * time.Hour
	// How long a mail of a closed tenant waits before somebody looks again. Who opens the
	// tenant wakes it.
	closedWait = 10 * time.Minute
)

// Start sends the mails that transactions left, until Stop.
//
// Errors: fault.Config for a sender that no header can hold; those of StartJobs.
func Start(ctx context.Context, c Config) (*postgres.Jobs, error) {
	r, err := newRenderer(c)
	if err != nil {
		return nil, err
	}
	all := river.NewWorkers()
	river.AddWorker(all, &worker{db: c.DB, renderer: r, deliver: c.Deliver})
	return c.DB.StartJobs(ctx, &river.Config{
		Queues:                      map[string]river.QueueConfig{queue: {MaxWorkers: workers}},
		Workers:                     all,
		MaxAttempts:                 maxAttempts,
		JobTimeout:                  jobTime,
		SoftStopTimeout:             stopTime,
		RescueStuckJobsAfter:        rescueAfter,
		CompletedJobRetentionPeriod: keepSent,
		CancelledJobRetentionPeriod: keepFailed,
		DiscardedJobRetentionPeriod: keepFailed,
		ErrorHandler:                panics{},
		Logger:                      slog.New(warnings{slog.Default().Handler()}),
	})
}

// worker sends one mail.
type worker struct {
	river.WorkerDefaults[mail]
	db       *postgres.DB
	renderer *renderer
	deliver  Deliver
}

// Work tries once. What it answers River stores and tries again, unless it is in vain.
// It logs the job and the reason, never an address.
func (w *worker) Work(ctx context.Context, j *river.Job[mail]) error {
	err := w.try(ctx, j)
	about := []any{"job", j.ID, "mail", string(j.Args.Template), "attempt", j.Attempt}
	if err == nil {
		slog.InfoContext(ctx, "mail sent", about...)
		return nil
	}
	if errors.Is(err, errClosed) {
		slog.InfoContext(ctx, "mail waits, since its tenant is closed", about...)
		return river.JobSnooze(closedWait)
	}
	refused, inVain := errors.AsType[*RefusedError](err)
	about = append(about, "code", fault.MailNotSent, "reason", err.Error())
	switch {
	case inVain:
		slog.ErrorContext(ctx, "mail given up: it would never be taken", about...)
		return river.JobCancel(refused)
	case j.Attempt >= j.MaxAttempts:
		slog.ErrorContext(ctx, "mail given up after its last attempt", about...)
	default:
		slog.WarnContext(ctx, "mail not sent yet, it is tried again", about...)
	}
	return err
}

func (w *worker) try(ctx context.Context, j *river.Job[mail]) error {
	if until := j.Args.Until; !until.IsZero() && time.Now().After(until) {
		return &RefusedError{"its time is over"}
	}
	if err := w.open(ctx, j.Args.Home); err != nil {
		return err
	}
	m, err := w.renderer.render(j.Args, j.CreatedAt)
	if err != nil {
		return err
	}
	return w.deliver(ctx, m)
}

// errClosed: the tenant in whose name a mail is sent is closed for now.
var errClosed = errors.New("the tenant is closed")

// open tells whether a mail of a tenant may be sent: while that can be read. What is left of
// one that ends is not sent at all.
//
// Errors: errClosed; *RefusedError for a tenant that ends or has ended.
func (w *worker) open(ctx context.Context, home uuid.UUID) error {
	if home == uuid.Nil { // a person's own, or left by an older server
		return nil
	}
	status, err := w.db.Control().GetTenantStatus(ctx, controlsql.GetTenantStatusParams{Of: home})
	switch {
	case postgres.IsNoRows(err):
		return &RefusedError{"its tenant is gone"}
	case err != nil:
		return err
	case status.Readable():
		return nil
	case status == tenant.Offboarding, status == tenant.Erased:
		return &RefusedError{"its tenant has ended"}
	}
	return errClosed
}

// panics logs what a worker did not expect.
type panics struct{}

// HandleError leaves the job to River; the worker has logged it.
func (panics) HandleError(context.Context, *rivertype.JobRow, error) *river.ErrorHandlerResult {
	return nil
}

// HandlePanic logs where.
func (panics) HandlePanic(ctx context.Context, j *rivertype.JobRow, panicked any, _ string) *river.ErrorHandlerResult {
	slog.ErrorContext(ctx, "panic in a job", "job", j.ID, "panic", panicked, "stack", string(debug.Stack()))
	return nil
}

// warnings keeps what River says of its own health, and not each step of it.
type warnings struct{ slog.Handler }

// Enabled begins at warnings.
func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

// publicURL reads what links begin with: a scheme and a host, perhaps a path.
func publicURL(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(s, "/"))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fault.New(fault.Config, "The public URL must look like https://api.example.com.")
	}
	return u, nil
}
