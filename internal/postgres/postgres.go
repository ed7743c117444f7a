// Package postgres reaches the databases. It is the only package that holds a
// pool: tenant data is reached through a Handle, which enters one tenant in every
// round trip, and the platform's own tables through Control.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/memory"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/controlsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

// OldestMajor is the oldest major version of PostgreSQL that Commonhold serves:
// its migrations need NULLS NOT DISTINCT, new in 15.
const OldestMajor = 15

// Placement says where a tenant's home is.
type Placement struct {
	Isolation string // SHARED, SCHEMA or DATABASE
	Cluster   string // a name from the configuration
	Schema    string // of a SCHEMA home, else ""
	Epoch     int64  // grows with every move
}

// Locate finds a tenant's home. With fresh it must ask the database rather than a
// cache: the door has just refused what the cache said.
//
// Errors: fault.NotFound, fault.TenantSuspended; others are passed on.
type Locate func(ctx context.Context, id tenant.ID, fresh bool) (Placement, error)

// Config says how the databases are reached.
type Config struct {
	AppURL     string // logs in as commonhold_app
	ControlURL string // logs in as commonhold_control
	ListenURL  string // leads past a pooler to the control database, to hear of changes there; "": ControlURL
	MaxConns   int32  // per pool; 0: four for every core, more only raises latency
}

// DB holds the pools of one server.
type DB struct {
	app     *pgxpool.Pool
	control *pgxpool.Pool
	locate  Locate

	changes  memory.Changes
	listener *listener // nil where changes cannot be heard of
}

// Open connects both pools and sees that each can reach its database in its role,
// and begins to listen for what other servers change.
// SetLocate must be called before the first handle is used.
//
// Errors: fault.Config for a URL that cannot be read or asks for a statement mode
// that is not served, and for a pooler that prepared statements do not pass;
// fault.DatabaseDown, fault.PostgresTooOld, fault.MissingPrivileges for a role that
// may too much.
func Open(ctx context.Context, c Config) (*DB, error) {
	control, err := openPool(ctx, c.ControlURL, c.MaxConns, "commonhold_control")
	if err != nil {
		return nil, err
	}
	app, err := openPool(ctx, c.AppURL, c.MaxConns, "commonhold_app")
	if err != nil {
		control.Close()
		return nil, err
	}
	db := &DB{app: app, control: control}
	if err := db.listen(ctx, c.ListenURL); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// OpenControl is Open for what works on the platform alone: no handle of a tenant
// can be used.
//
// Errors: as Open.
func OpenControl(ctx context.Context, url string) (*DB, error) {
	control, err := openPool(ctx, url, 0, "commonhold_control")
	if err != nil {
		return nil, err
	}
	return &DB{control: control}, nil
}

// SetLocate says how tenants are found. The registry that knows it needs the
// control pool first, hence not an argument of Open.
func (db *DB) SetLocate(locate Locate) { db.locate = locate }

// Close waits for connections in use and closes the pools.
func (db *DB) Close() {
	db.listener.close()
	if db.app != nil {
		db.app.Close()
	}
	db.control.Close()
}

// Ping sees that both databases can be reached now. A pool whose connections are
// all in use is busy, not ill: then a connection of its own asks.
func (db *DB) Ping(ctx context.Context) error {
	for _, pool := range []*pgxpool.Pool{db.control, db.app} {
		if err := ping(ctx, pool); err != nil {
			return classify(ctx, err)
		}
	}
	return nil
}

func ping(ctx context.Context, pool *pgxpool.Pool) error {
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	conn, err := pool.Acquire(short)
	if err == nil {
		defer conn.Release()
		var one int
		return conn.QueryRow(ctx, "select 1").Scan(&one)
	}
	if !errors.Is(short.Err(), context.DeadlineExceeded) {
		return err
	}
	own, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	return own.Close(ctx)
}

// Home is the handle of a tenant's own data, wherever it lives.
func (db *DB) Home(id tenant.ID) *Handle[*tenantsql.Queries] {
	return &Handle[*tenantsql.Queries]{
		pool: db.app, id: id,
		queries: func(d DBTX) *tenantsql.Queries { return tenantsql.New(d) },
		door: func(ctx context.Context, readOnly, fresh bool) (string, []any, error) {
			p, err := db.locate(ctx, id, fresh)
			return enterHome, []any{id, p.Epoch, readOnly}, err
		},
	}
}

// Account is the handle of who may enter a tenant, in the control database.
func (db *DB) Account(id tenant.ID) *Handle[*accountsql.Queries] {
	return &Handle[*accountsql.Queries]{
		pool: db.app, id: id,
		queries: func(d DBTX) *accountsql.Queries { return accountsql.New(d) },
		door: func(ctx context.Context, readOnly, fresh bool) (string, []any, error) {
			if fresh { // the door itself reads the status; locate knows the coded error
				_, err := db.locate(ctx, id, fresh)
				return enterAccount, []any{id, readOnly}, err
			}
			return enterAccount, []any{id, readOnly}, nil
		},
	}
}

// Control runs statements of the platform itself, each in a transaction of its own.
func (db *DB) Control() *controlsql.Queries {
	return controlsql.New(single(func(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
		conn, err := acquire(ctx, db.control)
		if err != nil {
			return nil, classify(ctx, err)
		}
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			conn.Release()
			return nil, classify(ctx, err)
		}
		return &heldRows{Rows: rows, ctx: ctx, conn: conn}, nil
	}))
}

// InControlTx runs fn in one transaction of the control role. The rules of
// Handle.InTx hold. What it notifies others of, this server has heard when it returns.
func (db *DB) InControlTx(ctx context.Context, fn func(*controlsql.Queries) error) error {
	begin := func(context.Context, bool) (*pgx.Batch, error) {
		batch := &pgx.Batch{}
		batch.Queue("begin")
		return batch, nil
	}
	said := &overheard{}
	defer func() { // whatever became of it: to forget in vain costs a question
		for _, payload := range said.payloads {
			db.heard(payload)
		}
	}()
	return inTx(ctx, db.control, begin, func(d DBTX) error {
		said.DBTX = d
		return fn(controlsql.New(said))
	})
}

// overheard is a DBTX that keeps what goes out by NotifyChanged.
type overheard struct {
	DBTX
	payloads []string
}

func (o *overheard) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if strings.HasPrefix(sql, "-- name: NotifyChanged ") {
		o.payloads = append(o.payloads, fmt.Sprintf("%s %s", args...))
	}
	return finish(o.Query(ctx, sql, args...))
}

func openPool(ctx context.Context, dsn string, maxConns int32, role string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fault.New(fault.Config, "The database URL of %s cannot be read: it should look like postgres://%s:PASSWORD@HOST:5432/DATABASE.", role, role)
	}
	if err := checkHosts(config.ConnConfig); err != nil {
		return nil, err
	}
	if err := checkMode(config.ConnConfig, role); err != nil {
		return nil, err
	}
	if maxConns == 0 {
		maxConns = int32(4 * runtime.NumCPU()) //nolint:gosec // a handful
	}
	config.MaxConns = maxConns
	config.MaxConnIdleTime = 5 * time.Minute
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	config.ConnConfig.Tracer = countTracer{}
	config.ConnConfig.RuntimeParams["application_name"] = "commonhold"
	mode := config.ConnConfig.DefaultQueryExecMode
	// Without its codec a uuid.UUID is printed and parsed before it is sent.
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		pgxuuid.Register(conn.TypeMap())
		if mode == pgx.QueryExecModeCacheStatement {
			newSession(conn)
		}
		return nil
	}
	config.ConnConfig.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler { return &canceller{conn: c} }
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the pool of %s: %w", role, err)
	}
	if err := checkRole(ctx, pool, role); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// CheckURL tells whether a database URL can be read. No part of it is in the error.
//
// Errors: fault.Config.
func CheckURL(url string) error {
	_, err := parseURL(url)
	return err
}

func parseURL(url string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fault.New(fault.Config, "The database URL cannot be read: it should look like postgres://USER:PASSWORD@HOST:5432/DATABASE.")
	}
	return config, checkHosts(config)
}

// checkHosts refuses a host that holds the rest of a password: pgx ends the password
// at its first @, and every later error names the host.
func checkHosts(c *pgx.ConnConfig) error {
	odd := strings.Contains(c.Host, "@")
	for _, other := range c.Fallbacks {
		odd = odd || strings.Contains(other.Host, "@")
	}
	if odd {
		return fault.New(fault.Config, "The host in the database URL holds an @. In a password write %%40 for it.")
	}
	return nil
}

// canceller asks the server to stop the statement of a context that is over, and
// keeps the connection. pgx has one too, which hangs up on its own request as soon
// as the statement has ended: a request still on its way then meets the next user
// of the connection, and PgBouncer 1.18 ends itself over it.
type canceller struct {
	conn *pgconn.PgConn
	done chan struct{} // closed when no request is on its way any more
}

// cancelTime bounds the wait for the answer of a statement that is to stop; then
// the connection is given up.
const cancelTime = 5 * time.Second

// HandleCancel is called once the context is over.
func (c *canceller) HandleCancel(over context.Context) {
	deadline := time.Now().Add(cancelTime)
	_ = c.conn.Conn().SetDeadline(deadline) // fails where the connection is broken, which its user sees
	c.done = make(chan struct{})
	go func() {
		defer close(c.done)
		ctx, cancel := context.WithDeadline(context.WithoutCancel(over), deadline)
		defer cancel()
		_ = c.conn.CancelRequest(ctx)
		// The server has sent the signal; that it has arrived nobody can know.
		time.Sleep(100 * time.Millisecond)
	}()
}

// HandleUnwatchAfterCancel is called once the statement has ended.
func (c *canceller) HandleUnwatchAfterCancel() {
	<-c.done
	_ = c.conn.Conn().SetDeadline(time.Time{})
}

// checkMode refuses the ways to send a statement in which a read is not one round
// trip of the extended protocol. pgx takes the way from the URL.
//
// Errors: fault.Config.
func checkMode(c *pgx.ConnConfig, role string) error {
	switch mode := c.DefaultQueryExecMode; {
	case mode == pgx.QueryExecModeCacheStatement && c.StatementCacheCapacity > 0,
		mode == pgx.QueryExecModeCacheDescribe && c.DescriptionCacheCapacity > 0:
		return nil
	case mode == pgx.QueryExecModeSimpleProtocol:
		return fault.New(fault.Config, "The database URL of %s says default_query_exec_mode=simple_protocol, in which one text may carry two statements. Leave it out; behind a PgBouncer before 1.21 say cache_describe.", role)
	}
	return fault.New(fault.Config, "The database URL of %s chooses a statement mode in which every statement is described again. Leave default_query_exec_mode and the cache capacities out; behind a PgBouncer before 1.21 say default_query_exec_mode=cache_describe.", role)
}

// checkRole refuses a login that would make the walls an illusion.
func checkRole(ctx context.Context, pool *pgxpool.Pool, role string) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return unreachable(pool.Config().ConnConfig, err)
	}
	defer conn.Release()
	var name string
	var super, bypass bool
	var version int
	var process uint32
	err = conn.QueryRow(ctx, askRole).Scan(&name, &super, &bypass, &version, &process)
	if err == nil && process != conn.Conn().PgConn().PID() {
		err = tryPooler(ctx, pool.Config().ConnConfig)
	}
	if err != nil {
		return unreachable(pool.Config().ConnConfig, err)
	}
	if err := checkVersion(version); err != nil {
		return err
	}
	if name != role || super || bypass {
		return fault.New(fault.MissingPrivileges, "The database URL logs in as %q, but the server must be %s, without SUPERUSER and BYPASSRLS: row-level security does not bind anybody else. Run `commonhold migrate` and use that role.", name, role)
	}
	return nil
}

// askRole is who we are, on which server, in which of its processes.
const askRole = `select r.rolname, r.rolsuper, r.rolbypassrls, current_setting('server_version_num')::int, pg_backend_pid()
	from pg_catalog.pg_roles as r where r.rolname = session_user and current_user = session_user`

// tryPooler prepares askRole a second time, as another client of the pooler that
// gave away its presence by a process id of its own. A pooler that hands on one
// server connection after the other answers 42P05: the name is in use there.
func tryPooler(ctx context.Context, c *pgx.ConnConfig) error {
	other, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return err
	}
	defer other.Close(context.WithoutCancel(ctx))
	return other.QueryRow(ctx, askRole).Scan(nil, nil, nil, nil, nil)
}

// pooled is the advice on 42P05 and 26000, a prepared statement that is there and
// should not be, or the other way round.
func pooled(err error) error {
	return fault.New(fault.Config, "Between the server and its database stands a pooler that prepared statements do not pass. Add default_query_exec_mode=cache_describe to the database URLs, or use PgBouncer 1.21 or newer with max_prepared_statements above 0.").Because(err)
}

// checkVersion refuses a server that is too old. number is its
// server_version_num: 150018 is 15.18.
//
// Errors: fault.PostgresTooOld.
func checkVersion(number int) error {
	if number/10000 < OldestMajor {
		return fault.New(fault.PostgresTooOld, "The database server is PostgreSQL %d. Commonhold needs %d or newer: upgrade the server.", number/10000, OldestMajor)
	}
	return nil
}

// unreachable turns a failed connection into advice. The address is shown, the
// password never.
func unreachable(c *pgx.ConnConfig, err error) error {
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	switch state := sqlState(err); {
	case state == "42P05", state == "26000":
		return pooled(err)
	case connecting && state == "08P01": // protocol_violation: PgBouncer's answer to a parameter it does not track
		return fault.New(fault.Config, "The pooler at %s refuses what the connection asks for. Take settings out of the database URL (they belong to the roles, where `commonhold migrate` puts them), and migrate past the pooler, at the database server itself.", address(c)).Because(errors.New(reason(err)))
	case connecting && state == "42501":
		return fault.New(fault.MissingPrivileges, "The role %q may not use the database %q. If it is a role of Commonhold, run `commonhold migrate` as a superuser, which grants that; otherwise use another.", c.User, c.Database).Because(errors.New(reason(err)))
	case !connecting && state != "" && !strings.HasPrefix(state, "57P"):
		return fmt.Errorf("ask the database: %w", err)
	}
	return fault.New(fault.DatabaseDown, "The database %q at %s does not let %s in. Is the server running, does the database exist, and is the password right? `commonhold migrate --help` says how the roles are made.",
		c.Database, address(c), c.User).Because(errors.New(reason(err)))
}

// reason is why a connection failed, without the connection string that pgx puts
// in front of it.
func reason(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Message
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

func address(c *pgx.ConnConfig) string {
	if strings.HasPrefix(c.Host, "/") {
		return c.Host
	}
	return (&url.URL{Host: fmt.Sprintf("%s:%d", c.Host, c.Port)}).Host
}
