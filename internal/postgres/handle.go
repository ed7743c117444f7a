package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/tenant"
)

// The statements that the handle puts around those of queries/.
const (
	enterHome    = "select gate.enter_tenant($1, $2, $3)"
	enterAccount = "select control.enter_tenant($1, $2)"
	lockTenant   = "select pg_advisory_xact_lock_shared($1)"
)

// doorRefused is the SQLSTATE that both doors raise.
const doorRefused = "TD001"

// DBTX is what sqlc's generated queries run on.
type DBTX interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Handle reaches the data of one tenant and no other. Q is the set of generated
// queries it serves.
//
// A refused door is fault.TenantSuspended or fault.TenantMoved, after one fresh
// look at where the tenant lives; never an empty result.
type Handle[Q any] struct {
	pool    *pgxpool.Pool
	id      tenant.ID
	queries func(DBTX) Q
	// door says which statement enters, and with which arguments.
	door func(ctx context.Context, readOnly, fresh bool) (sql string, args []any, err error)
}

// Read gives queries that each take one round trip: the door and the statement
// pipelined in one implicit, read-only transaction, so that nothing outlives it.
func (h *Handle[Q]) Read() Q { return h.queries(reader[Q]{h}) }

// InTx runs fn in one transaction inside the tenant. Begin, the tenant's shared
// advisory lock and the door travel together. The transaction commits when fn
// returns nil and rolls back when it returns an error or panics. fn must not wait
// for another connection: no loader, no other handle. It runs at most once.
//
// Errors: those of fn as they are; fault.Conflict where another transaction was in
// the way (deadlock, serialization, lock timeout); fault.Internal where the
// commit was answered by ROLLBACK.
func (h *Handle[Q]) InTx(ctx context.Context, fn func(q Q) error) error {
	enter := func(ctx context.Context, conn *pgxpool.Conn, fresh bool) error {
		sql, args, err := h.door(ctx, false, fresh)
		if err != nil {
			return err
		}
		// The lock first: the door must see what a mover committed before it let go.
		batch := &pgx.Batch{}
		batch.Queue("begin")
		batch.Queue(lockTenant, lockKey(h.id))
		batch.Queue(sql, args...)
		return conn.SendBatch(ctx, batch).Close()
	}
	return inTx(ctx, h.pool, enter, func(d DBTX) error { return fn(h.queries(d)) })
}

// lockKey is the advisory lock of a tenant: the random half of its UUIDv7. Two
// tenants may share one by chance, which costs a wait and nothing else.
func lockKey(id tenant.ID) int64 {
	u := id.UUID()
	return int64(binary.BigEndian.Uint64(u[8:])) //nolint:gosec // any 64 bits do
}

// reader is the DBTX of single reads.
type reader[Q any] struct{ h *Handle[Q] }

func (r reader[Q]) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	for fresh := false; ; fresh = true {
		rows, err := r.try(ctx, fresh, sql, args)
		if isRefused(err) && !fresh {
			continue // once: somebody moved or closed the tenant since we looked
		}
		return rows, classify(ctx, err)
	}
}

func (r reader[Q]) try(ctx context.Context, fresh bool, sql string, args []any) (pgx.Rows, error) {
	door, doorArgs, err := r.h.door(ctx, true, fresh)
	if err != nil {
		return nil, err
	}
	conn, err := acquire(ctx, r.h.pool)
	if err != nil {
		return nil, err
	}
	batch := &pgx.Batch{}
	batch.Queue(door, doorArgs...)
	batch.Queue(sql, args...)
	results := conn.SendBatch(ctx, batch)
	if _, err := results.Exec(); err != nil {
		_ = results.Close()
		conn.Release()
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		rows.Close()
		_ = results.Close()
		conn.Release()
		return nil, err
	}
	return &batchRows{Rows: rows, ctx: ctx, results: results, conn: conn}, nil
}

func (r reader[Q]) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := r.Query(ctx, sql, args...)
	return row{rows, err}
}

func (r reader[Q]) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	rows, err := r.Query(ctx, sql, args...)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	rows.Close()
	return rows.CommandTag(), rows.Err()
}

// batchRows are rows whose end is the end of their round trip. Closing the batch
// is the commit, and its error is the statement's: sqlc asks Err before its
// deferred Close, so the batch is closed as soon as Next answers false.
type batchRows struct {
	pgx.Rows
	ctx     context.Context
	results pgx.BatchResults
	conn    *pgxpool.Conn
	err     error
}

func (r *batchRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *batchRows) Close() {
	if r.conn == nil {
		return
	}
	r.Rows.Close()
	r.err = r.results.Close()
	// A connection that is not idle and clean is closed by Release, not reused.
	r.conn.Release()
	r.conn = nil
}

func (r *batchRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return classify(r.ctx, err)
	}
	return classify(r.ctx, r.err)
}

// row is the first of some rows.
type row struct {
	rows pgx.Rows
	err  error
}

func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// rollbackTime bounds the farewell to a transaction whose own context is over.
const rollbackTime = 2 * time.Second

// inTx runs fn between begin and commit on one connection. enter, where given,
// sends begin itself and is tried twice, the second time with a fresh look.
func inTx(ctx context.Context, pool *pgxpool.Pool, enter func(context.Context, *pgxpool.Conn, bool) error, fn func(DBTX) error) (err error) {
	if enter == nil {
		enter = func(ctx context.Context, conn *pgxpool.Conn, _ bool) error {
			_, err := conn.Exec(ctx, "begin", pgx.QueryExecModeExec)
			return err
		}
	}
	var conn *pgxpool.Conn
	for fresh := false; ; fresh = true {
		if conn, err = acquire(ctx, pool); err != nil {
			return classify(ctx, err)
		}
		if err = enter(ctx, conn, fresh); err == nil {
			break
		}
		rollback(ctx, conn)
		if !isRefused(err) || fresh {
			return classify(ctx, err)
		}
	}
	done := false
	defer func() {
		if !done { // an error of fn, or a panic on its way up
			rollback(ctx, conn)
		}
	}()
	if err := fn(checked{conn}); err != nil {
		return err
	}
	// The answer to a commit is waited for even when the caller has gone: an
	// outcome nobody knows is worse than a late one.
	commitCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	tag, err := conn.Exec(commitCtx, "commit", pgx.QueryExecModeExec)
	if err != nil {
		return classify(ctx, fmt.Errorf("commit: %w", err))
	}
	done = true
	conn.Release()
	if tag.String() != "COMMIT" { // an error inside was swallowed: nothing was stored
		return fault.New(fault.Internal, "Nothing was stored: the transaction had failed before its end.").
			Because(fmt.Errorf("commit was answered by %s", tag))
	}
	return nil
}

func rollback(ctx context.Context, conn *pgxpool.Conn) {
	if conn.Conn().PgConn().TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
		defer cancel()
		// A failure leaves the connection in its transaction, and Release closes it.
		_, _ = conn.Exec(ctx, "rollback", pgx.QueryExecModeExec)
	}
	conn.Release()
}

// checked is a DBTX whose errors are told apart by kind.
type checked struct{ DBTX }

func (c checked) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	tag, err := c.DBTX.Exec(ctx, sql, args...)
	return tag, classify(ctx, err)
}

func (c checked) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := c.DBTX.Query(ctx, sql, args...)
	return checkedRows{rows, ctx}, classify(ctx, err)
}

func (c checked) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return checkedRow{c.DBTX.QueryRow(ctx, sql, args...), ctx}
}

type checkedRows struct {
	pgx.Rows
	ctx context.Context
}

func (r checkedRows) Err() error { return classify(r.ctx, r.Rows.Err()) }

type checkedRow struct {
	pgx.Row
	ctx context.Context
}

func (r checkedRow) Scan(dest ...any) error { return classify(r.ctx, r.Row.Scan(dest...)) }

// acquireTime is how long a request waits for a connection before it is told to
// come back.
const acquireTime = 5 * time.Second

func acquire(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Conn, error) {
	waitCtx, cancel := context.WithTimeout(ctx, acquireTime)
	defer cancel()
	conn, err := pool.Acquire(waitCtx)
	if err == nil {
		return conn, nil
	}
	if ctx.Err() == nil && waitCtx.Err() != nil {
		return nil, fault.New(fault.Unavailable, "The database is busy. Try again in a moment.").Because(err)
	}
	return nil, err
}

func isRefused(err error) bool { return sqlState(err) == doorRefused }

func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// Constraint names the constraint that refused a write, "" for any other error.
func Constraint(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && len(pg.Code) == 5 && pg.Code[:2] == "23" {
		return pg.ConstraintName
	}
	return ""
}

// IsNoRows tells that a :one query found nothing.
func IsNoRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) }

// classify gives the errors whose meaning is known their code and passes the
// others on. Constraint violations keep their name: see Constraint.
func classify(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if _, coded := errors.AsType[*fault.Error](err); coded {
		return err
	}
	switch state := sqlState(err); {
	case state == doorRefused:
		return fault.New(fault.TenantMoved, "This tenant is being moved or was closed. Try again in a moment.").Because(err)
	case state == "57014" && context.Cause(ctx) == nil: // query_canceled, not by us: statement_timeout
		return fault.New(fault.Timeout, "This took the database too long. Ask for less at a time.").Because(err)
	case state == "40001", state == "40P01", state == "55P03": // serialization, deadlock, lock not available
		return fault.New(fault.Conflict, "Another change was in the way. Try again.").Because(err)
	case state == "53300", state == "57P01", state == "57P02", state == "57P03", state == "57P05", state == "25P03":
		return fault.New(fault.Unavailable, "The database is not available. Try again in a moment.").Because(err)
	case state == "53100": // disk_full
		return fault.New(fault.Unavailable, "The database cannot store anything more just now. Nothing was changed.").Because(err)
	}
	if ctx.Err() != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fault.New(fault.Timeout, "This took too long and was stopped. Ask for less at a time.").Because(err)
		}
		return fault.New(fault.Canceled, "The request was canceled.").Because(err)
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok || pgconn.SafeToRetry(err) {
		return fault.New(fault.Unavailable, "The database is not available. Try again in a moment.").Because(err)
	}
	return err
}
