package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
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
	// The transactions of commonhold_app are read-only unless they say otherwise.
	beginWriting = "begin read write"
	lockTenant   = "select pg_advisory_xact_lock_shared($1)"
)

// The SQLSTATEs that both doors raise: doorRefused to who may not come in, and doorReadOnly
// to who wants to write where only reading is allowed.
const (
	doorRefused  = "TD001"
	doorReadOnly = "TD002"
)

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
// look at where the tenant lives, or fault.TenantReadOnly to who would write; never an
// empty result.
type Handle[Q any] struct {
	pool    *pgxpool.Pool
	id      tenant.ID
	queries func(DBTX) Q
	// door says which statement enters, and with which arguments.
	door func(ctx context.Context, readOnly, fresh bool) (sql string, args []any, err error)
}

// Read gives queries that each take one round trip: the door and the statement
// pipelined in one implicit, read-only transaction, so that nothing outlives it.
func (h *Handle[Q]) Read() Q { return h.queries(single(h.read)) }

// InTx runs fn in one transaction inside the tenant. Begin, the tenant's shared
// advisory lock and the door travel together. The transaction commits when fn
// returns nil and rolls back when it returns an error or panics. fn must not wait
// for another connection: no loader, no other handle. It runs at most once.
//
// Errors: those of fn as they are; fault.Conflict where another transaction was in
// the way (deadlock, serialization, lock timeout); fault.Internal where the
// commit was answered by ROLLBACK.
func (h *Handle[Q]) InTx(ctx context.Context, fn func(q Q) error) error {
	enter := func(ctx context.Context, fresh bool) (*pgx.Batch, error) {
		sql, args, err := h.door(ctx, false, fresh)
		// The lock first: the door must see what a mover committed before it let go.
		batch := &pgx.Batch{}
		batch.Queue(beginWriting)
		batch.Queue(lockTenant, LockKey(h.id))
		batch.Queue(sql, args...)
		return batch, err
	}
	return inTx(ctx, h.pool, enter, func(d DBTX) error { return fn(h.queries(d)) })
}

// LockKey is the advisory lock that every transaction which writes in a tenant holds
// shared: the random half of its UUIDv7. Who holds it alone has the writers of the
// tenant behind them. Two
// tenants may share one by chance, which costs a wait and nothing else.
func LockKey(id tenant.ID) int64 {
	u := id.UUID()
	return int64(binary.BigEndian.Uint64(u[8:])) //nolint:gosec // any 64 bits do
}

// read is the single of a handle.
func (h *Handle[Q]) read(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	for fresh := false; ; fresh = true {
		rows, err := h.try(ctx, fresh, sql, args)
		if isRefused(err) && !fresh {
			continue // once: somebody moved or closed the tenant since we looked
		}
		return rows, classify(ctx, err)
	}
}

func (h *Handle[Q]) try(ctx context.Context, fresh bool, sql string, args []any) (pgx.Rows, error) {
	// The door before the connection: finding the tenant may take another one.
	door, doorArgs, err := h.door(ctx, true, fresh)
	if err != nil {
		return nil, err
	}
	conn, err := acquire(ctx, h.pool)
	if err != nil {
		return nil, err
	}
	if s := sessionOf(conn.Conn()); s.hasRoom(sql) {
		return s.read(ctx, conn, call{door, doorArgs}, call{sql, args})
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
	return &heldRows{Rows: rows, ctx: ctx, results: results, conn: conn}, nil
}

// single makes a DBTX of a function that runs one statement on a connection of its
// own, and gives that back with the rows' end.
type single func(ctx context.Context, sql string, args ...any) (pgx.Rows, error)

func (s single) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return s(ctx, sql, args...)
}

func (s single) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := s(ctx, sql, args...)
	return row{rows, err}
}

func (s single) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return finish(s(ctx, sql, args...))
}

// finish reads rows to their end. Exec goes this way too, because pgx's own sends a
// statement without arguments by the simple protocol, in which one string may
// hold two statements.
func finish(rows pgx.Rows, err error) (pgconn.CommandTag, error) {
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	rows.Close()
	return rows.CommandTag(), rows.Err()
}

// heldRows are rows that hold their connection, and whose end is the end of their
// round trip. Closing a batch is the commit, and its error is the statement's:
// sqlc asks Err before its deferred Close, so the batch is closed as soon as Next
// answers false.
type heldRows struct {
	pgx.Rows
	ctx     context.Context
	results io.Closer // nil for rows that come alone
	conn    *pgxpool.Conn
	err     error
}

func (r *heldRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *heldRows) Close() {
	if r.conn == nil {
		return
	}
	r.Rows.Close()
	if r.results != nil {
		r.err = r.results.Close()
	}
	// A connection that is not idle and clean is closed by Release, not reused.
	r.conn.Release()
	r.conn = nil
}

func (r *heldRows) Err() error {
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

// commitTime bounds the wait for the answer to a commit.
const commitTime = 10 * time.Second

// inTx runs fn between begin and commit on one connection. enter gives the batch
// that begins; it is asked before there is a connection, because it may need
// another one, and a second time, with fresh, after a door that refused.
func inTx(ctx context.Context, pool *pgxpool.Pool, enter func(ctx context.Context, fresh bool) (*pgx.Batch, error), fn func(DBTX) error) error {
	var conn *pgxpool.Conn
	for fresh := false; ; fresh = true {
		batch, err := enter(ctx, fresh)
		if err != nil {
			return classify(ctx, err)
		}
		if conn, err = acquire(ctx, pool); err != nil {
			return classify(ctx, err)
		}
		if err = conn.SendBatch(ctx, batch).Close(); err == nil {
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
	commitCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	tag, err := finish(conn.Query(commitCtx, "commit", pgx.QueryExecModeExec))
	if err != nil {
		err = fmt.Errorf("commit: %w", err)
		if sqlState(err) == "" {
			return fault.New(fault.Unavailable, "The database went away before it said whether this was stored. Look before you try again.").Because(err)
		}
		return classify(ctx, err)
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
		_, _ = finish(conn.Query(ctx, "rollback", pgx.QueryExecModeExec))
	}
	conn.Release()
}

// checked is a DBTX whose errors are told apart by kind.
type checked struct{ DBTX }

func (c checked) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return finish(c.Query(ctx, sql, args...))
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

// acquire takes a connection from the pool.
//
// Errors: fault.Unavailable where the wait ended, by acquireTime or by the
// caller's own deadline: asking for less would not have helped.
func acquire(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Conn, error) {
	waitCtx, cancel := context.WithTimeout(ctx, acquireTime)
	defer cancel()
	conn, err := pool.Acquire(waitCtx)
	if err == nil {
		return conn, nil
	}
	if errors.Is(waitCtx.Err(), context.DeadlineExceeded) {
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
	case state == doorReadOnly:
		return fault.New(fault.TenantReadOnly, "This tenant can be read just now, and not changed. Its owner can ask the operator of this service why.").Because(err)
	case state == "57014" && context.Cause(ctx) == nil: // query_canceled, not by us: statement_timeout
		return fault.New(fault.Timeout, "This took the database too long. Ask for less at a time.").Because(err)
	case state == "40001", state == "40P01", state == "55P03": // serialization, deadlock, lock not available
		return fault.New(fault.Conflict, "Another change was in the way. Try again.").Because(err)
	case state == "53300", state == "57P01", state == "57P02", state == "57P03", state == "57P05", state == "25P03":
		return fault.New(fault.Unavailable, "The database is not available. Try again in a moment.").Because(err)
	case state == "42P05", state == "26000": // a pooler appeared after the start
		return fault.New(fault.Unavailable, "The database is not available. Try again in a moment.").Because(pooled(err))
	case state == "53100": // disk_full
		return fault.New(fault.Unavailable, "The database cannot store anything more just now. Nothing was changed.").Because(err)
	}
	if ctx.Err() != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fault.New(fault.Timeout, "This took too long and was stopped. Ask for less at a time.").Because(err)
		}
		return fault.New(fault.Canceled, "The request was canceled.").Because(err)
	}
	if isConnectionLost(err) {
		return fault.New(fault.Unavailable, "The database is not available. Try again in a moment.").Because(err)
	}
	return err
}

// isConnectionLost tells that there is no server at the other end, or none any more.
func isConnectionLost(err error) bool {
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[*net.OpError](err)
	return connecting || network || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}
