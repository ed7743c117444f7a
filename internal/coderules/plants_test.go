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
}

func modes(ctx context.Context, conn *pgx.Conn, pool *pgxpool.Pool) {
	_, _ = conn.Query(ctx, constant, pgx.QueryExecModeSimpleProtocol) // breaks: protocol
	_, _ = conn.Query(ctx, constant, pgx.QueryExecModeExec)
	_, _ = conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: constant}) // breaks: protocol
	_, _ = conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	_, _ = pool.CopyFrom(ctx, nil, nil, nil) // breaks: protocol
	copied := conn.CopyFrom // breaks: protocol
	_ = copied
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
	Tenant tenant.ID ` + "`json:\"tenant\"`" + ` // breaks: tenant-decoded
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
}
`},
	{"internal/server", `package server

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

const header = "X-Tenant-ID"

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
}
`},
}
