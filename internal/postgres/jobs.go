package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/commonhold/commonhold/internal/fault"
)

const (
	// polledWith is how often River looks for work where it is also told of it, and
	// polledWithout where a pooler keeps it from hearing.
	polledWith    = 10 * time.Second
	polledWithout = 2 * time.Second
)

// Jobs is River at work: it does what transactions of the control role left in its
// tables.
type Jobs struct {
	client *river.Client[pgx.Tx]
	listen *pgxpool.Pool // nil where a pooler keeps it from hearing
}

// StartJobs has River work as config says, on the pool of the control role, until
// Stop. Where its tables are and how it hears of work is filled in: on one connection
// more, which listens, or by asking every two seconds behind a pooler.
//
// Errors: fault.MissingPrivileges where the control role may not notify; as InControlTx.
func (db *DB) StartJobs(ctx context.Context, config *river.Config) (*Jobs, error) {
	may, err := db.Control().MayNotify(ctx)
	if err != nil {
		return nil, err
	}
	if !may { // hardened by an older version, and migrated by a role that cannot harden since
		return nil, fault.New(fault.MissingPrivileges, "The role commonhold_control may not wake who sends mail, so that nothing could be registered. As a superuser run `commonhold migrate` once, or: grant execute on function pg_catalog.pg_notify(text, text) to commonhold_control")
	}
	config.Schema = "control"
	config.FetchPollInterval = polledWith
	// It would rebuild indexes, which are the owner's.
	config.ReindexerSchedule, config.ReindexerIndexNames = river.NeverSchedule(), []string{}
	driver := &jobDriver{Driver: riverpgxv5.New(db.control)}
	conn, err := acquire(ctx, db.control)
	if err != nil {
		return nil, err
	}
	pooled, _, err := behindPooler(ctx, conn.Conn())
	conn.Release()
	if err != nil {
		return nil, classify(ctx, err)
	}
	j := new(Jobs)
	if pooled {
		config.PollOnly, config.FetchPollInterval = true, polledWithout
	} else if j.listen, err = listenPool(ctx, db.control.Config()); err != nil {
		return nil, err
	} else {
		driver.listen = riverpgxv5.New(j.listen)
	}
	j.client, err = river.NewClient(driver, config)
	if err == nil {
		err = j.client.Start(context.WithoutCancel(ctx))
	}
	if err != nil {
		j.close()
		return nil, classify(ctx, fmt.Errorf("start the jobs: %w", err))
	}
	return j, nil
}

// Stop takes no more work, and waits for what is under way until ctx ends. What is
// not done by then is done again by whoever finds it.
func (j *Jobs) Stop(ctx context.Context) error {
	err := j.client.Stop(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("some jobs were still running; they are done again later")
	}
	j.close()
	return err
}

func (j *Jobs) close() {
	if j.listen != nil {
		j.listen.Close()
	}
}

// listenPool holds the one connection that listens.
func listenPool(ctx context.Context, config *pgxpool.Config) (*pgxpool.Pool, error) {
	config.MaxConns, config.MinConns = 1, 0
	listening(config.ConnConfig, "commonhold jobs")
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the pool of the jobs: %w", err)
	}
	return pool, nil
}

// jobDriver is River's driver, but for the connection that listens.
type jobDriver struct {
	*riverpgxv5.Driver
	listen *riverpgxv5.Driver
}

// GetListener is River's.
func (d *jobDriver) GetListener(params *riverdriver.GetListenenerParams) riverdriver.Listener {
	return d.listen.GetListener(params)
}
