package coderules

// plants break each rule in each way that it knows, and keep it in between.
var plants = []planted{
	{"internal/planted", `package planted

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/commonhold/commonhold/internal/postgres"
)

type DB struct { // breaks: pool
	pool *pgxpool.Pool
	Pool *pgxpool.Pool
}

func (db *DB) Inner() *pgxpool.Pool { return db.pool } // breaks: pool
func (db *DB) Each(do func(*pgxpool.Conn) error) error { return nil } // breaks: pool
func (db *DB) Begin(ctx context.Context) (pgx.Tx, error) { return nil, nil } // breaks: pool
func (db *DB) inner() *pgxpool.Pool { return db.pool }
func (db *DB) Close() { db.pool.Close() }

func Rows() (pgx.Rows, error) { return nil, nil } // breaks: pool
func Generated() postgres.DBTX { return nil } // breaks: pool
func Standard() *sql.DB { return nil } // breaks: pool
func Several() map[string][]*pgx.Conn { return nil } // breaks: pool
func Hidden() *hidden { return nil } // breaks: pool
func Fine() (*DB, error) { return nil, nil }
func Taking(pool *pgxpool.Pool) {}

var Shared *pgxpool.Pool // breaks: pool
var own *pgxpool.Pool

type hidden struct{ Conn *pgx.Conn }

type Runner interface { // an interface gives nothing by itself
	Exec(ctx context.Context, sql string, args ...any) (sql.Result, error)
}

func Run() Runner { return nil } // breaks: pool
`},
	{"graph", `package graph

import (
	"fmt"
	"strings"
)

const table = "products"

const page = "select id from " + table // breaks: sql-text

var a = []string{
	"insert into products values ($1)", // breaks: sql-text
	"Delete From products", // breaks: sql-text
	` + "`" + `update products as p set stock = 1` + "`" + `, // breaks: sql-text
}

type row struct {
	Name string ` + "`" + `sql:"select 1"` + "`" + ` // a tag is no statement
}

func built(column, name string, ids []string) {
	_ = "select id from products order by " + column // breaks: sql-text, sql-built
	_ = "drop table " + "products" // breaks: sql-text
	_ = fmt.Sprintf("select id from products where name = '%s'", name) // breaks: sql-text, sql-built
	_ = column + " where name = '" + name + "'" // breaks: sql-text, sql-built
	_ = strings.Join([]string{"select id", "from", table, column}, " ") // breaks: sql-text, sql-built
	_ = strings.ReplaceAll("delete from TABLE", "TABLE", name) // breaks: sql-text, sql-built
	var s strings.Builder
	s.WriteString("select id from products") // breaks: sql-text, sql-built
	fmt.Fprintf(&s, " order by %s desc", name)
	text := "x"
	text += " where id = $1" // breaks: sql-text, sql-built
	_ = fmt.Errorf("create database %s: %w", name, nil)
	_ = fmt.Sprintf("Set the password of %s with --set-passwords.", name)
	_ = "Select a tenant from the list."
}
`},
	{"graph", `package graph

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/commonhold/commonhold/internal/postgres"
)

const constant = "call f()" // breaks: sql-text

const (
	whole = "table products" // breaks: sql-text
	some = "TABLE products LIMIT 1" // breaks: sql-text
)

func send(ctx context.Context, text string, db postgres.DBTX, conn *pgx.Conn, std *sql.DB, low *pgconn.PgConn) {
	_, _ = db.Query(ctx, text) // breaks: sql-argument
	_, _ = db.Query(ctx, constant, text)
	_ = conn.QueryRow(ctx, text+constant) // breaks: sql-argument, sql-built
	(&pgx.Batch{}).Queue(text, 1) // breaks: sql-argument
	_, _ = conn.Prepare(ctx, "name", text) // breaks: sql-argument
	_, _ = std.QueryContext(ctx, text) // breaks: sql-argument
	_, _ = std.ExecContext(ctx, constant)
	_, _ = db.Exec(ctx, constant, text) // breaks: protocol
	_, _ = std.Exec(constant, text) // breaks: protocol
	_ = low.Exec(ctx, constant) // breaks: protocol
	q := db.Query // breaks: sql-argument
	_, _ = q(ctx, text)
	row := (*pgx.Conn).QueryRow // breaks: sql-argument
	_ = row(conn, ctx, text)
	_, _ = (*pgx.Conn).Query(conn, ctx, text) // breaks: sql-argument
	pass(std.ExecContext) // breaks: sql-argument
	batch := &pgx.Batch{}
	batch.QueuedQueries = append(batch.QueuedQueries, &pgx.QueuedQuery{SQL: text}) // breaks: sql-argument
	batch.QueuedQueries[0].SQL = text // breaks: sql-argument
}

func pass(any) {}

func modes(ctx context.Context, conn *pgx.Conn, pool *pgxpool.Pool) {
	_, _ = conn.Query(ctx, constant, pgx.QueryExecModeSimpleProtocol) // breaks: protocol
	_, _ = conn.Query(ctx, constant, pgx.QueryExecModeExec)
	_, _ = conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: constant}) // breaks: protocol
	_, _ = conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	_, _ = pool.CopyFrom(ctx, nil, nil, nil) // breaks: protocol
	copied := conn.CopyFrom // breaks: protocol
	_ = copied
}

func dial(ctx context.Context, dsn string, number int32) {
	config, _ := pgx.ParseConfig(dsn)
	config.DefaultQueryExecMode = 5 // breaks: protocol
	config.DefaultQueryExecMode = pgx.QueryExecModeExec + 1 // breaks: protocol
	_ = pgx.ConnConfig{DefaultQueryExecMode: pgx.QueryExecMode(number)} // breaks: protocol
	var mode pgx.QueryExecMode = 5 // breaks: protocol
	_, _ = pgx.Connect(ctx, dsn+"?default_query_exec_mode=simple_protocol") // breaks: protocol
	_, _ = pgx.Connect(ctx, dsn+"&default_query_exec_mode="+mode.String()) // breaks: protocol
	config.RuntimeParams["default_query_exec_mode"] = "exec" // breaks: protocol
	_ = "Add default_query_exec_mode=cache_describe to the URL."
	if config.DefaultQueryExecMode == pgx.QueryExecModeExec {
		return
	}
}
`},
	{"internal/postgres", `package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const constant = "call f()" // breaks: sql-text

func send(ctx context.Context, pool *pgxpool.Pool, batch pgx.BatchResults, args ...any) {
	_, _ = pool.Exec(ctx, constant) // breaks: protocol
	_, _ = pool.Exec(ctx, constant, pgx.QueryExecModeExec) // breaks: protocol
	_, _ = pool.Exec(ctx, constant, args...) // breaks: protocol
	_, _ = pool.Exec(ctx, constant, 1)
	_, _ = batch.Exec()
}
`},
	{"graph", `package graph

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

type same tenant.ID

func made(ctx context.Context, text []byte, u uuid.UUID, given id.Any, known tenant.ID, other same) {
	_ = tenant.IDFrom(u) // breaks: tenant-made
	_ = tenant.NewID() // breaks: tenant-made
	_ = tenant.ID(other) // breaks: tenant-made
	_ = tenant.ID(known)
	_ = tenant.ID{known.Of} // breaks: tenant-made
	_ = tenant.ID{}
	var t tenant.ID
	_ = t.UnmarshalText(text) // breaks: tenant-made
	_ = t.ScanUUID(pgtype.UUID{}) // breaks: tenant-made
	_, _ = id.As[tenant.ID](given) // breaks: tenant-made
	_, _ = id.As[id.Product](given)
	_ = tenant.NewContext(ctx, nil) // breaks: tenant-made
	_ = &tenant.Tenant{ID: known} // breaks: tenant-made
	make := tenant.IDFrom // breaks: tenant-made
	_ = make
	_, _ = tenant.FromContext(ctx)
}

type input struct {
	Name string ` + "`json:\"name\"`" + `
	Tenant tenant.ID ` + "`json:\"tenant\"`" + ` // breaks: tenant-asked, tenant-decoded
	Kept tenant.ID ` + "`json:\"-\"`" + `
	kept *tenant.ID
}

type untagged struct{ Of struct{ Tenants []tenant.ID } }

type harmless struct {
	Name string
	of tenant.ID
}

func decoded(text []byte, scan func(...any) error) {
	var a untagged
	_ = json.Unmarshal(text, &a) // breaks: tenant-decoded
	var b harmless
	_ = json.Unmarshal(text, &b)
	var t tenant.ID
	_ = scan(&t) // breaks: tenant-decoded
	_ = scan(&b)
	c := &tenantsql.CountCategoriesParams{}
	_ = scan(c) // breaks: tenant-decoded
	_ = read(&tenantsql.CountCategoriesParams{}) // breaks: tenant-decoded
	_ = read(tenantsql.CountCategoriesParams{})
	_ = read(new(untagged)) // breaks: tenant-decoded
}

func read(into any) error { return nil }

func decode[T any](b []byte) (v T, err error) {
	err = json.Unmarshal(b, &v) // breaks: tenant-decoded
	return v, err
}

func filled[T any](b []byte, use func(T)) (v T) { return v }
func same2[T any, S ~[]T](v T, more func() S) T { return v }
func cloned[T any, S ~[]T](s S) []T { return s }

type box[T any] struct{ in []T }

func (b *box[T]) get() T { return b.in[0] }

func instances(b []byte, known tenant.ID, p tenantsql.CountCategoriesParams, all []untagged) {
	_, _ = decode[tenant.ID](b) // breaks: tenant-made
	_, _ = decode[[]*tenant.ID](b) // breaks: tenant-made
	_, _ = decode[untagged](b) // breaks: tenant-decoded
	_, _ = decode[harmless](b)
	f := decode[tenantsql.CountCategoriesParams] // breaks: tenant-decoded
	_ = f
	_ = filled(b, func(tenantsql.CountCategoriesParams) {}) // breaks: tenant-decoded
	_ = same2(p, func() []tenantsql.CountCategoriesParams { return nil })
	_ = cloned(all)
	_ = (&box[tenant.ID]{}).get() // breaks: tenant-made
}
`},
	{"internal/server", `package server

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
)

const header = "X-Tenant-ID" // breaks: tenant-asked

func asked(r *http.Request) {
	_ = r.Header.Get(header) // breaks: tenant-asked
	_ = r.Header[header] // breaks: tenant-asked
	_ = r.URL.Query().Get("tenant") // breaks: tenant-asked
	_ = r.URL.Query()["tenant_id"] // breaks: tenant-asked
	_ = r.FormValue("tenantId") // breaks: tenant-asked
	_ = r.PathValue("tenant") // breaks: tenant-asked
	_ = chi.URLParam(r, "tenant") // breaks: tenant-asked
	_, _ = r.Cookie("tenant") // breaks: tenant-asked
	_ = r.Header.Get("Authorization")
	r.Header.Set(header, "")
	for name, values := range r.Header {
		if name == "X-Tenant-Id" { // breaks: tenant-asked
			_ = values
		}
		if strings.HasPrefix(name, "X-Org-") || name == "x-workspace" { // breaks: tenant-asked
			_ = values
		}
		switch name {
		case "OrgID", "Accept": // breaks: tenant-asked
		case "Accounting", "Content-Type", "X-Customer", "Organic":
		}
	}
	_ = "The tenant is in the token."
	_ = "Your account: see there."
}

type body struct {
	Query string ` + "`json:\"query\"`" + `
	Of string ` + "`json:\"account,omitempty\"`" + ` // breaks: tenant-asked
}
`},
	{"graph", `package graph

import (
	"context"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/controlsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

type queryResolver struct {
	DB *postgres.DB
	reg *control.Registry
	people *auth.Service
	find interface{ BySlug(context.Context, string) (*tenant.Tenant, error) }
}

func (r *queryResolver) CategoryCount(ctx context.Context, workspace string) (int64, error) {
	t, err := r.reg.BySlug(ctx, workspace) // breaks: platform
	if err != nil {
		return 0, err
	}
	return r.DB.Home(t.ID).Read().CountCategories(ctx, tenantsql.CountCategoriesParams{TenantID: t.ID}) // breaks: tenant-chosen
}

func (r *queryResolver) Row(ctx context.Context, workspace string) {
	row, _ := r.DB.Control().FindTenant(ctx, controlsql.FindTenantParams{Slug: workspace}) // breaks: platform
	_ = r.DB.Home(row.ID) // breaks: tenant-chosen
	_ = r.DB.InControlTx(ctx, nil) // breaks: platform
	_, _, _ = r.reg.Change(ctx, control.Named{Slug: workspace}, tenant.Suspended, "") // breaks: platform
	control := r.DB.Control // breaks: platform
	_ = control
	_ = controlsql.New(nil) // breaks: platform
}

func (r *queryResolver) Hidden(ctx context.Context, slug string) {
	t, _ := r.find.BySlug(ctx, slug)
	_ = r.DB.Account(t.ID) // breaks: tenant-chosen
	home := r.DB.Home
	_ = home(t.ID) // breaks: tenant-chosen
	id := t.ID
	_ = r.count(id) // breaks: tenant-chosen
	_ = work{t, id} // breaks: tenant-chosen
	_ = &work{of: t} // breaks: tenant-chosen
	w := &work{}
	w.id = id // breaks: tenant-chosen
	_ = r.of(t) // breaks: tenant-chosen
	p, _ := auth.FromContext(ctx)
	other := *p
	other.Tenant = t // breaks: tenant-chosen
	_ = auth.NewContext(ctx, &auth.Principal{Tenant: t}) // breaks: tenant-chosen
	given, _ := ctx.Value(slug).(*tenant.Tenant)
	_ = r.of(given) // breaks: tenant-chosen
	own, _ := tenant.FromContext(ctx)
	own = given
	_ = r.of(own) // breaks: tenant-chosen
	*own = *given // breaks: tenant-chosen
	_ = []tenant.ID{id} // breaks: tenant-chosen
	_ = r.DB.Home(shared.ID) // breaks: tenant-chosen
	each(nil, func(ctx context.Context, id tenant.ID, fresh bool) (postgres.Placement, error) { return postgres.Placement{}, nil })
	r.DB.SetLocate(func(ctx context.Context, id tenant.ID, fresh bool) (postgres.Placement, error) { // breaks: tenant-chosen
		return postgres.Placement{}, nil
	})
	for _, t := range []*tenant.Tenant{own} {
		_ = r.of(t) // breaks: tenant-chosen
	}
	switch t := ctx.Value(slug).(type) {
	case *tenant.Tenant:
		_ = r.of(t) // breaks: tenant-chosen
	}
}

func each(_ []string, _ postgres.Locate) {}

var shared *tenant.Tenant

type work struct {
	of *tenant.Tenant
	id tenant.ID
}

// An answer may show another tenant, and generated code gives it to a resolver.
func (r *queryResolver) Stats(ctx context.Context, shown *tenant.Tenant, m *auth.Membership) {
	_ = r.DB.Home(shown.ID) // breaks: tenant-chosen
	_ = r.DB.Home(m.Tenant.ID) // breaks: tenant-chosen
}

func (r *queryResolver) Kept(ctx context.Context, shown *tenant.Tenant, c *generated.ProductConnection) error {
	p, err := auth.Require(ctx, auth.PermissionTenantRead)
	if err != nil || shown.ID != p.Tenant.ID {
		return err
	}
	_ = r.DB.Home(p.Tenant.ID)
	_ = r.DB.Home(c.Filter.TenantID)
	t, err := tenant.FromContext(ctx)
	_ = r.DB.Account(t.ID)
	_ = r.of(t)
	_ = r.of(p.Tenant)
	w := &work{t, t.ID}
	_ = r.count(w.id)
	func(id tenant.ID) { _ = r.count(id) }(w.of.ID)
	made, session, err := r.people.Register(ctx, auth.Registration{})
	_ = &generated.RegisterTenantPayload{Tenant: made, Session: session}
	return err
}

func (r *queryResolver) of(t *tenant.Tenant) error {
	id := t.ID
	return r.count(id)
}

func (r *queryResolver) count(t tenant.ID) error {
	_, err := r.DB.Home(t).Read().CountCategories(context.Background(), tenantsql.CountCategoriesParams{TenantID: t})
	return err
}
`},
	{"internal/planted", `package planted

import (
	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/id"
)

func Guessed() uuid.UUID {
	id.SetSource(func() uuid.UUID { return uuid.Nil }) // breaks: id-source
	return id.New()
}

var later = id.SetSource // breaks: id-source
`},
	{"internal/planted", `package planted

import (
	"context"
	"errors"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

func forgets(ctx context.Context, q *controlsql.Queries, s controlsql.RevokeSessionParams) error {
	_, err := q.RevokeSession(ctx, s) // breaks: platform, told
	return err
}

func tellsOfAnother(ctx context.Context, q *controlsql.Queries, s controlsql.RevokeSessionParams) error {
	_, err := q.RevokeSession(ctx, s) // breaks: platform, told
	return errors.Join(err, control.TellOfUser(ctx, q, id.User{}))
}

func tells(ctx context.Context, q *controlsql.Queries, s controlsql.RevokeSessionParams) error {
	_, err := q.RevokeSession(ctx, s) // breaks: platform
	return errors.Join(err, control.TellOfSession(ctx, q, s.ID))
}

func needNot(ctx context.Context, q *controlsql.Queries, s controlsql.TouchSessionParams) error {
	return q.TouchSession(ctx, s) // breaks: platform
}
`},
}
