// Package isolation checks the walls between the tenants of a live database: what
// its catalogs say, against what the migrations made and the rules that every new
// table keeps. It reads pg_catalog alone, never a tenant's row, and changes nothing.
package isolation

import (
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/postgres"
)

//go:embed *.sql
var files embed.FS

// Severity says how bad a finding is.
type Severity string

const (
	// Error means that a wall does not hold.
	Error Severity = "error"
	// Warning means that a wall holds, but is thinner than it should be, or at risk.
	Warning Severity = "warning"
)

// Finding is a rule that an object does not keep.
type Finding struct {
	Check    string   `json:"check"` // the rule, "policy.differs"; scripts may depend on it
	Severity Severity `json:"severity"`
	Object   string   `json:"object"`
	Message  string   `json:"message"` // what is wrong
	Advice   string   `json:"advice"`  // what mends it, in one line: SQL if it begins with a small letter, else words
}

// Report is what a check found.
type Report struct {
	Server    string    `json:"server"` // the version, "15.20"
	Database  string    `json:"database"`
	Hardening string    `json:"hardening"` // "full" or "reduced"
	Missing   []string  `json:"missing"`   // what reduces it; a warning for each is among the findings
	Findings  []Finding `json:"findings"`  // errors first, then by check and object
}

// Broken tells whether a wall does not hold.
func (r *Report) Broken() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == Error })
}

// Querier asks the database that is checked: a connection, a transaction or a pool.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// checks are files of one query each.
var checks = []string{
	"policies.sql", "roles.sql", "hardening.sql", "version.sql", "tables.sql", "keys.sql", "views.sql", "functions.sql",
	"grants.sql", "defaults.sql", "outside.sql", "settings.sql",
}

// Check holds the whole database against the rules. Any role that may connect can
// ask, since the catalogs are open to all. A database under migration may be seen
// half done: give it a transaction of REPEATABLE READ for one picture.
//
// Errors: fault.NotMigrated, fault.PostgresTooOld.
func Check(ctx context.Context, q Querier) (*Report, error) {
	r := &Report{Hardening: "full", Missing: []string{}, Findings: []Finding{}}
	if err := r.identify(ctx, q); err != nil {
		return nil, err
	}
	for _, name := range checks {
		found, err := ask(ctx, q, name)
		if err != nil {
			return nil, err
		}
		r.Findings = append(r.Findings, found...)
	}
	for _, f := range r.Findings {
		if f.Check == "hardening" {
			r.Hardening = "reduced"
			r.Missing = append(r.Missing, f.Object)
		}
	}
	slices.Sort(r.Missing)
	slices.SortFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Check, b.Check), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Message, b.Message))
	})
	return r, nil
}

// Doctor connects to the database of url, as any role, and runs Check in a read-only
// transaction.
//
// Errors: as Check, and fault.Config, fault.DatabaseDown.
func Doctor(ctx context.Context, url string) (*Report, error) {
	if err := postgres.CheckURL(url); err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	config.ConnectTimeout = 5 * time.Second
	config.RuntimeParams["application_name"] = "commonhold doctor"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, unreachable(config, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin the check: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was changed
	// Names in the checks must mean what PostgreSQL means by them.
	path, err := files.ReadFile("session.sql")
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, string(path), pgx.QueryExecModeExec); err != nil {
		return nil, fmt.Errorf("begin the check: %w", err)
	}
	return Check(ctx, tx)
}

// Guard is Doctor for a server that is about to serve the database of url: a dozen
// statements, a tenth of a second with the connection. Warnings pass.
//
// Errors: as Doctor, and fault.WallBroken, which names every rule that is broken
// with what mends it.
func Guard(ctx context.Context, url string) error {
	report, err := Doctor(ctx, url)
	if err != nil || !report.Broken() {
		return err
	}
	var broken strings.Builder
	for _, f := range report.Findings {
		if f.Severity == Error {
			fmt.Fprintf(&broken, "\n  %s: %s\n    do: %s", f.Object, f.Message, f.Advice)
		}
	}
	return fault.New(fault.WallBroken, "A wall between tenants is broken, so nothing is served. Mend it, and start again:%s", broken.String())
}

// identify notes where it is, and refuses what there is nothing to check in.
func (r *Report) identify(ctx context.Context, q Querier) error {
	text, err := files.ReadFile("server.sql")
	if err != nil {
		return err
	}
	rows, err := q.Query(ctx, string(text))
	if err != nil {
		return fmt.Errorf("ask which server it is: %w", err)
	}
	var version int
	var migrated bool
	found := 0
	_, err = pgx.ForEachRow(rows, []any{&r.Server, &r.Database, &version, &migrated}, func() error { found++; return nil })
	switch {
	case err != nil:
		return fmt.Errorf("ask which server it is: %w", err)
	case found != 1:
		return errors.New("ask which server it is: no answer")
	case version/10000 < postgres.OldestMajor:
		return fault.New(fault.PostgresTooOld, "The database server is PostgreSQL %d. Commonhold needs %d or newer: upgrade the server.", version/10000, postgres.OldestMajor)
	case !migrated:
		return fault.New(fault.NotMigrated, "The database %q is not migrated. Run `commonhold migrate` first.", r.Database)
	}
	return nil
}

// ask runs one file. It is a whole query, whose rows are findings; what the others
// speak of too is put before it.
func ask(ctx context.Context, q Querier, name string) ([]Finding, error) {
	scope, err := files.ReadFile("scope.sql")
	if err != nil {
		return nil, err
	}
	text, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var args []any
	if name == "functions.sql" {
		for _, set := range []string{"gate", "control"} {
			hash, err := doorHash(set)
			if err != nil {
				return nil, err
			}
			args = append(args, hash)
		}
	}
	rows, err := q.Query(ctx, string(scope)+"select * from (\n"+string(text)+"\n) as findings", args...)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", name, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Finding])
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", name, err)
	}
	return found, nil
}

var doorBody = regexp.MustCompile(`(?s)create (?:or replace )?function enter_tenant\(.*?\$\$(.*?)\$\$`)

// doorHash is the SHA-256 of the body of enter_tenant as the newest migration of
// the set makes it.
func doorHash(set string) (string, error) {
	names, err := fs.Glob(postgres.Files(), "migrations/"+set+"/*.sql")
	if err != nil {
		return "", err
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		text, err := fs.ReadFile(postgres.Files(), name)
		if err != nil {
			return "", err
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		if found := doorBody.FindAllStringSubmatch(up, -1); found != nil {
			hash := sha256.Sum256([]byte(found[len(found)-1][1]))
			return hex.EncodeToString(hash[:]), nil
		}
	}
	return "", fmt.Errorf("no migration of %s makes enter_tenant", set)
}

// unreachable turns a failed connection into advice. The address is shown, the
// password never.
func unreachable(c *pgx.ConnConfig, err error) error {
	address := c.Host
	if !strings.HasPrefix(c.Host, "/") {
		address = (&url.URL{Host: fmt.Sprintf("%s:%d", c.Host, c.Port)}).Host
	}
	cause := err
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		cause = errors.New(refused.Message)
	} else {
		for inner := errors.Unwrap(cause); inner != nil; inner = errors.Unwrap(cause) {
			cause = inner
		}
	}
	return fault.New(fault.DatabaseDown, "The database %q at %s does not let %s in. Is the server running, does the database exist, and is the password right?",
		c.Database, address, c.User).Because(cause)
}
