package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/commonhold/commonhold/internal/fault"
)

//go:embed migrations/*/*.sql bootstrap/*.sql
var files embed.FS

// Files are all that Migrate runs: migrations/SET/*.sql and bootstrap/*.sql.
func Files() fs.FS { return files }

// A set of migrations and the schema it makes. The control set is applied once,
// the gate once per database, the tenant set once per home. Order matters: doors
// come before homes.
//
// A migration that changes rows must lift FORCE first, or it changes none and says
// so to nobody: under FORCE the policies bind the owner too. In one migration,
// which is one transaction, and one StatementBegin/StatementEnd:
//
//	alter table products no force row level security;
//	do $$
//	declare wanted bigint; changed bigint;
//	begin
//	    select count(*) into wanted from products where …;
//	    update products set … where …;
//	    get diagnostics changed = row_count;
//	    if changed <> wanted then raise exception 'changed % of %', changed, wanted; end if;
//	end $$;
//	alter table products force row level security;
var migrationSets = []struct{ name, schema string }{
	{"control", "control"},
	{"gate", "gate"},
	{"tenant", "shared"},
}

// migrationLock keeps two migrators of one database apart: 'commhold' in ASCII.
const migrationLock = 0x636f6d6d686f6c64

// SetStatus says how far one migration set of a database is.
type SetStatus struct {
	Set     string   `json:"set"`
	Schema  string   `json:"schema"`
	Version int64    `json:"version"` // 0: nothing applied
	Target  int64    `json:"target"`  // what this binary brings it to
	Pending []string `json:"pending"` // files, in order
}

// Migrate brings a database to this binary's version: roles, schemas and
// settings first, then the three sets as commonhold_owner. Two migrators at once
// wait for each other, and running it again changes nothing. adminURL logs in as a
// superuser, or as commonhold_migrator where the roles and schemas exist.
// progress is told each step and may be nil.
//
// Errors: fault.DatabaseDown, fault.PostgresTooOld, fault.MissingPrivileges,
// fault.SchemaTooNew.
func Migrate(ctx context.Context, adminURL string, progress func(format string, args ...any)) error {
	if progress == nil {
		progress = func(string, ...any) {}
	}
	config, conn, err := connectAdmin(ctx, adminURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		if sqlState(err) == "42501" { // a hardened database lets only migrators wait
			return fault.New(fault.MissingPrivileges, "The role of the database URL may not migrate this database. Run `commonhold migrate` as a superuser or as commonhold_migrator.").Because(err)
		}
		return fmt.Errorf("wait for other migrators: %w", err)
	}
	// Before anything is changed, settings and rights included.
	statuses, err := status(ctx, conn)
	if err != nil {
		return err
	}
	for _, s := range statuses {
		if s.Version > s.Target {
			return tooNew(s.Set, s.Version, s.Target)
		}
	}
	var mayBootstrap bool
	if err := conn.QueryRow(ctx, "select rolsuper or rolcreaterole from pg_roles where rolname = current_user").Scan(&mayBootstrap); err != nil {
		return fmt.Errorf("ask what the role may do: %w", err)
	}
	if mayBootstrap {
		if err := bootstrap(ctx, conn, progress); err != nil {
			return err
		}
	}
	for _, set := range migrationSets {
		dir, err := fs.Sub(files, "migrations/"+set.name)
		if err != nil {
			return err
		}
		if err := withProvider(config, dir, set.schema, func(p *goose.Provider) error {
			return applySet(ctx, p, set.name, set.schema, progress)
		}); err != nil {
			return err
		}
	}
	return nil
}

// Status tells how far each set is, without changing anything. A database that
// was never migrated has version 0 everywhere.
func Status(ctx context.Context, adminURL string) ([]SetStatus, error) {
	_, conn, err := connectAdmin(ctx, adminURL)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return status(ctx, conn)
}

// status reads the ledgers as their owner, where the role may be that: the
// migrator inherits nothing.
func status(ctx context.Context, conn *pgx.Conn) ([]SetStatus, error) {
	var mayOwn bool
	err := conn.QueryRow(ctx, "select exists (select from pg_roles where rolname = 'commonhold_owner' and pg_has_role(oid, 'member'))").Scan(&mayOwn)
	if err != nil {
		return nil, fmt.Errorf("ask what the role may do: %w", err)
	}
	if mayOwn {
		if _, err := conn.Exec(ctx, "set role commonhold_owner"); err != nil {
			return nil, fmt.Errorf("act as commonhold_owner: %w", err)
		}
		defer func() { _, _ = conn.Exec(context.WithoutCancel(ctx), "reset role") }()
	}
	statuses := make([]SetStatus, 0, len(migrationSets))
	for _, set := range migrationSets {
		migrations, err := migrationsOf(set.name)
		if err != nil {
			return nil, err
		}
		s := SetStatus{Set: set.name, Schema: set.schema, Pending: []string{}}
		s.Version, err = appliedVersion(ctx, conn, set.schema)
		if sqlState(err) == "42501" {
			return nil, fault.New(fault.MissingPrivileges, "The role of the database URL may not read how far the database is. Use commonhold_migrator, or a superuser.").Because(err)
		}
		if err != nil {
			return nil, fmt.Errorf("read the version of %s: %w", set.name, err)
		}
		for _, f := range migrations {
			s.Target = f.version
			if f.version > s.Version {
				s.Pending = append(s.Pending, f.name)
			}
		}
		statuses = append(statuses, s)
	}
	return statuses, nil
}

// CheckVersions refuses a database whose schema this binary does not serve.
//
// Errors: fault.NotMigrated, fault.SchemaTooNew, each naming the command to run.
func (db *DB) CheckVersions(ctx context.Context) error {
	conn, err := acquire(ctx, db.control)
	if err != nil {
		return classify(ctx, err)
	}
	defer conn.Release()
	for _, set := range migrationSets {
		migrations, err := migrationsOf(set.name)
		if err != nil {
			return err
		}
		target := migrations[len(migrations)-1].version
		version, err := appliedVersion(ctx, conn.Conn(), set.schema)
		if err != nil && sqlState(err) != "42501" { // the set's first migration grants it: none was run
			return classify(ctx, err)
		}
		if version < target {
			return fault.New(fault.NotMigrated, "The database is not migrated: its %s tables are at version %d, this binary needs %d. Run `commonhold migrate` first.", set.name, version, target)
		}
		if version > target {
			return tooNew(set.name, version, target)
		}
	}
	return nil
}

func tooNew(set string, version, target int64) error {
	return fault.New(fault.SchemaTooNew, "The database is newer than this binary: its %s tables are at version %d, this binary knows %d. Run the newer commonhold.", set, version, target)
}

// appliedVersion reads goose's ledger, 0 where there is none.
func appliedVersion(ctx context.Context, conn *pgx.Conn, schema string) (int64, error) {
	ledger := pgx.Identifier{schema, "goose_db_version"}.Sanitize()
	var exists bool
	if err := conn.QueryRow(ctx, "select to_regclass($1) is not null", ledger).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	var version int64
	err := conn.QueryRow(ctx, "select coalesce(max(version_id), 0) from "+ledger+" where is_applied").Scan(&version)
	return version, err
}

func connectAdmin(ctx context.Context, adminURL string) (*pgx.ConnConfig, *pgx.Conn, error) {
	config, err := parseURL(adminURL)
	if err != nil {
		return nil, nil, err
	}
	config.ConnectTimeout = 5 * time.Second
	config.RuntimeParams["application_name"] = "commonhold migrate"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, nil, unreachable(config, err)
	}
	var version int
	var process uint32
	if err := conn.QueryRow(ctx, "select current_setting('server_version_num')::int, pg_backend_pid()").Scan(&version, &process); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("ask for the version: %w", err), conn.Close(ctx))
	}
	if process != conn.PgConn().PID() { // the lock of a session would stay behind in the pooler
		err := fault.New(fault.Config, "A pooler stands between this command and the database server. Name the server itself in the database URL.")
		return nil, nil, errors.Join(err, conn.Close(ctx))
	}
	if err := checkVersion(version); err != nil {
		return nil, nil, errors.Join(err, conn.Close(ctx))
	}
	return config, conn, nil
}

const hardening = "3_hardening.sql"

// bootstrap makes roles, schemas and settings, and takes dangerous rights away.
func bootstrap(ctx context.Context, conn *pgx.Conn, progress func(string, ...any)) error {
	for _, step := range []struct{ file, says string }{
		{"1_roles.sql", "roles"},
		{"2_database.sql", "schemas, grants and settings"},
		{hardening, "hardening"},
	} {
		text, err := files.ReadFile("bootstrap/" + step.file)
		if err != nil {
			return err
		}
		for attempt := 1; ; attempt++ {
			if _, err = conn.Exec(ctx, string(text)); !isMigratorMet(err) || attempt == 10 {
				break
			}
		}
		if sqlState(err) == "42501" {
			return fault.New(fault.MissingPrivileges, "The role of the database URL may not set up %s. Run `commonhold migrate` once as a superuser.", step.says).Because(err)
		}
		if err != nil {
			return fmt.Errorf("set up %s: %w", step.says, err)
		}
		if step.file == hardening {
			if err := reportHardening(ctx, conn, progress); err != nil {
				return err
			}
			continue
		}
		progress("%s: done", step.says)
	}
	return nil
}

// isMigratorMet tells that another database's migrator was at the same row of a
// catalog, for roles belong to the whole server: "tuple concurrently updated", a
// unique violation, an object that is suddenly there, a deadlock. Each step is
// one transaction, so it can be run again.
func isMigratorMet(err error) bool {
	return slices.Contains([]string{"XX000", "23505", "42710", "40P01"}, sqlState(err))
}

// reportHardening reads back what holds, by one example of each kind: a role that is
// no superuser takes nothing away. `commonhold doctor` names every right that is left.
func reportHardening(ctx context.Context, conn *pgx.Conn, progress func(string, ...any)) error {
	var missing []string
	err := conn.QueryRow(ctx, `select coalesce(array_agg(w.what order by w.what) filter (where w.held), '{}') from (values
		('call set_config', has_function_privilege('commonhold_app', 'pg_catalog.set_config(text, text, boolean)', 'execute')),
		('call query_to_xml', has_function_privilege('commonhold_app', 'pg_catalog.query_to_xml(text, boolean, boolean, text)', 'execute')),
		('reach other sessions', has_function_privilege('commonhold_app', 'pg_catalog.pg_terminate_backend(integer, bigint)', 'execute')),
		('call lo_create', has_function_privilege('commonhold_app', 'pg_catalog.lo_create(oid)', 'execute')),
		('update pg_settings', has_table_privilege('commonhold_app', 'pg_catalog.pg_settings', 'update')),
		('write plpgsql', has_language_privilege('commonhold_app', 'plpgsql', 'usage')),
		('write functions in sql', has_language_privilege('commonhold_app', 'sql', 'usage'))) as w (what, held)`).Scan(&missing)
	switch {
	case err != nil:
		return fmt.Errorf("read the hardening back: %w", err)
	case len(missing) > 0:
		progress("hardening: reduced. Only a superuser can complete it; until then commonhold_app may still %s", strings.Join(missing, ", "))
	default:
		progress("hardening: done")
	}
	return nil
}

type migrationFile struct {
	name    string
	version int64
}

func migrationsOf(set string) ([]migrationFile, error) {
	names, err := fs.Glob(files, "migrations/"+set+"/*.sql")
	if err != nil {
		return nil, err
	}
	found := make([]migrationFile, 0, len(names))
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, fmt.Errorf("name of migration %s: %w", name, err)
		}
		found = append(found, migrationFile{name[len("migrations/"):], version})
	}
	return found, nil
}

// withProvider runs fn with goose connected as the owner, in one schema, on the
// migrations in dir.
func withProvider(config *pgx.ConnConfig, dir fs.FS, schema string, fn func(*goose.Provider) error) error {
	asOwner := config.Copy()
	asOwner.RuntimeParams["search_path"] = schema
	asOwner.RuntimeParams["role"] = "commonhold_owner"
	db := stdlib.OpenDB(*asOwner)
	defer func(db *sql.DB) { _ = db.Close() }(db)
	provider, err := goose.NewProvider(goose.DialectPostgres, db, dir, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations for schema %s: %w", schema, err)
	}
	return fn(provider)
}

func applySet(ctx context.Context, p *goose.Provider, set, schema string, progress func(string, ...any)) error {
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		if sqlState(err) == "22023" || sqlState(err) == "42501" {
			return fault.New(fault.MissingPrivileges, "The role of the database URL cannot act as commonhold_owner. Run `commonhold migrate` once as a superuser, then as that or as commonhold_migrator.").Because(err)
		}
		return fmt.Errorf("read the version of %s: %w", set, err)
	}
	if current > target {
		return tooNew(set, current, target)
	}
	results, err := p.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", set, err)
	}
	for _, r := range results {
		progress("%s: applied %s in schema %s (%d ms)", set, r.Source.Path, schema, r.Duration.Milliseconds())
	}
	if len(results) == 0 {
		progress("%s: version %d, nothing to do", set, current)
	}
	return nil
}

// CreateDatabase makes an empty database where there is none of that name.
// adminURL names another database of the same server.
func CreateDatabase(ctx context.Context, adminURL, name string) error {
	_, conn, err := connectAdmin(ctx, adminURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize())
	if state := sqlState(err); err != nil && state != "42P04" && state != "23505" {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// SetRolePassword lets a role log in with password. The server and its log see
// only the SCRAM-SHA-256 verifier (RFC 5803), never the password.
func SetRolePassword(ctx context.Context, adminURL, role, password string) error {
	_, conn, err := connectAdmin(ctx, adminURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	const iterations = 4096
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return fmt.Errorf("derive the verifier: %w", err)
	}
	clientKey := sha256.Sum256(mac(salted, "Client Key"))
	encode := base64.StdEncoding.EncodeToString
	verifier := fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(clientKey[:]), encode(mac(salted, "Server Key")))
	// ALTER ROLE takes no parameters; a verifier holds no quote and no backslash.
	if _, err := conn.Exec(ctx, "alter role "+pgx.Identifier{role}.Sanitize()+" password '"+verifier+"'"); err != nil {
		return fmt.Errorf("set the password of %s: %w", role, err)
	}
	return nil
}

// HasPassword tells whether a role has a password on that server. It asks as a
// superuser: nobody else may know.
func HasPassword(ctx context.Context, adminURL, role string) (bool, error) {
	_, conn, err := connectAdmin(ctx, adminURL)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var has bool
	err = conn.QueryRow(ctx, "select rolpassword is not null from pg_authid where rolname = $1", role).Scan(&has)
	if sqlState(err) == "42501" {
		return false, fault.New(fault.MissingPrivileges, "DATABASE_URL must log in as a superuser. On a server where you are none, use `commonhold migrate` and `commonhold serve`.").Because(err)
	}
	return has, err
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

// SchemaVersion is the version of the tables of a schema in the control database, 0 where
// there are none.
func (db *DB) SchemaVersion(ctx context.Context, schema string) (int64, error) {
	conn, err := acquire(ctx, db.control)
	if err != nil {
		return 0, classify(ctx, err)
	}
	defer conn.Release()
	version, err := appliedVersion(ctx, conn.Conn(), schema)
	return version, classify(ctx, err)
}
