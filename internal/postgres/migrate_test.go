package postgres_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/embeddedpg"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
)

func binDir() string { return os.Getenv("COMMONHOLD_POSTGRES_BIN") }

// shortDir is a directory whose path leaves room for a socket's, 104 bytes in all.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "chpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// program finds a client program of the server's own version.
func program(t *testing.T, name string) string {
	t.Helper()
	found, err := embeddedpg.Find(t.Context(), binDir())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(found.Dir, name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is needed and is not there: %v", name, err)
		}
		t.Skipf("skipped: %s has no %s (the npm package of PostgreSQL has none; install the system's)", found.Dir, name)
	}
	return path
}

func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	var errs strings.Builder
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(program), err, errs.String())
	}
	return string(out)
}

// catalog is the whole definition of a database as text, roles' settings included.
func catalog(t *testing.T, database string) string {
	t.Helper()
	dump := output(t, program(t, "pg_dump"), "--schema-only", "--create", "-d", pgtest.ServerURL(t, "postgres", database))
	return regexp.MustCompile(`(?m)^\\(un)?restrict .*$`).ReplaceAllString(dump, "") // a random word in each dump
}

// structure is the catalog in little, for where pg_dump would cost too much.
func structure(t *testing.T, database string) string {
	t.Helper()
	conn := connect(t, "postgres", database)
	defer conn.Close(t.Context())
	return ask[string](t, conn, `select concat_ws(E'\n',
		(select string_agg(format('%s %s %s %s %s', relnamespace::regnamespace, relname, relacl, relrowsecurity, relforcerowsecurity), E'\n' order by relnamespace::regnamespace::text, relname)
			from pg_class where relnamespace::regnamespace::text in ('control', 'gate', 'shared')),
		(select string_agg(format('%s %s', proname, proacl), E'\n' order by pronamespace, proname) from pg_proc where pronamespace::regnamespace::text in ('control', 'gate')),
		(select string_agg(nspname || coalesce(nspacl::text, ''), E'\n' order by nspname) from pg_namespace where nspname not like 'pg\_t%'),
		(select string_agg(format('%s %s', setrole::regrole, setconfig), E'\n' order by setrole) from pg_db_role_setting where setdatabase = (select oid from pg_database where datname = current_database())))`)
}

func TestMigrateFromNothing(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	url := pgtest.ServerURL(t, "postgres", database)
	empty := catalog(t, database)

	statuses := statusOf(t, url)
	if got := statuses; got != "control: none, gate: none, tenant: none" {
		t.Errorf("before: %s", got)
	}
	if after := catalog(t, database); after != empty {
		t.Error("asking for the status changed the database")
	}

	var told []string
	if err := postgres.Migrate(t.Context(), url, func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"roles", "schemas", "hardening: done", "control: applied", "gate: applied", "tenant: applied"} {
		if !strings.Contains(strings.Join(told, "\n"), want) {
			t.Errorf("nothing was said of %q:\n%s", want, strings.Join(told, "\n"))
		}
	}
	if got := statusOf(t, url); got != "control: all, gate: all, tenant: all" {
		t.Errorf("after: %s", got)
	}
	migrated := catalog(t, database)
	if err := postgres.Migrate(t.Context(), url, nil); err != nil {
		t.Fatal(err)
	}
	// The role that serves later migrations needs no more than the owner's rights.
	asMigrator := pgtest.ServerURL(t, "commonhold_migrator", database)
	if err := postgres.Migrate(t.Context(), asMigrator, nil); err != nil {
		t.Errorf("as commonhold_migrator: %v", err)
	}
	if got := statusOf(t, asMigrator); got != "control: all, gate: all, tenant: all" {
		t.Errorf("as commonhold_migrator: %s", got)
	}
	if again := catalog(t, database); again != migrated {
		t.Errorf("migrating again changed the database:\n%s", firstDifference(migrated, again))
	}
	w := openDatabase(t, database, 1)
	if err := w.DB.CheckVersions(t.Context()); err != nil {
		t.Error(err)
	}
	w.stock(t, w.Tenant.ID, 1)
}

func statusOf(t *testing.T, url string) string {
	t.Helper()
	statuses, err := postgres.Status(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	lines := make([]string, 0, len(statuses))
	for _, s := range statuses {
		how := fmt.Sprintf("%d/%d %d pending", s.Version, s.Target, len(s.Pending))
		switch {
		case s.Version == 0 && len(s.Pending) > 0 && len(s.Pending) == migrations(t, s.Set):
			how = "none"
		case s.Version == s.Target && s.Target > 0 && len(s.Pending) == 0:
			how = "all"
		}
		lines = append(lines, s.Set+": "+how)
	}
	return strings.Join(lines, ", ")
}

// migrations counts the files of a set.
func migrations(t *testing.T, set string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("migrations", set, "*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %q, %v", set, files, err)
	}
	return len(files)
}

func firstDifference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return "- " + as[i] + "\n+ " + bs[i]
		}
	}
	return fmt.Sprintf("%d lines became %d", len(as), len(bs))
}

// Migrators meet on one database, and on two databases that share the roles, on a
// server that never saw any of them.
func TestMigratorsAtOnce(t *testing.T) {
	t.Parallel()
	pg, err := embeddedpg.Start(t.Context(), embeddedpg.Options{Dir: shortDir(t), BinDir: binDir(), Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Stop(context.Background()) })
	admin, err := pgx.Connect(t.Context(), pg.DSN("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())

	for round, migrators := range []int{2, 8, 8} { // the last round begins without roles again
		names := []string{fmt.Sprintf("one%d", round), fmt.Sprintf("two%d", round), fmt.Sprintf("three%d", round), fmt.Sprintf("four%d", round)}
		for _, name := range names {
			if err := postgres.CreateDatabase(t.Context(), pg.DSN("postgres", "postgres"), name); err != nil {
				t.Fatal(err)
			}
		}
		var all sync.WaitGroup
		start := make(chan struct{})
		for i := range migrators {
			for j, name := range names {
				if j > 0 && i > 0 { // all migrators on the first, one on each of the others
					continue
				}
				all.Go(func() {
					<-start
					if err := postgres.Migrate(t.Context(), pg.DSN("postgres", name), nil); err != nil {
						t.Errorf("%d migrators, %s: %v", migrators, name, err)
					}
				})
			}
		}
		close(start)
		all.Wait()
		for _, name := range names {
			conn, err := pgx.Connect(t.Context(), pg.DSN("postgres", name))
			if err != nil {
				t.Fatal(err)
			}
			for schema, set := range map[string]string{"control": "control", "gate": "gate", "shared": "tenant"} {
				// goose's own first row, and each of ours once
				want := 1 + migrations(t, set)
				if n := ask[int](t, conn, "select count(*) from "+schema+".goose_db_version where is_applied"); n != want {
					t.Errorf("%s: %d rows in the ledger of %s, want %d", name, n, schema, want)
				}
			}
			_ = conn.Close(t.Context())
			run(t, admin, "drop database "+name+" with (force)")
		}
		run(t, admin, "drop role commonhold_owner, commonhold_migrator, commonhold_control, commonhold_app, commonhold_backup")
	}
}

// Another database's migrator holds rows of the catalog of roles that this one
// needs: it waits, is told that they changed under it, and goes on.
func TestMigratorMeetsAnother(t *testing.T) {
	t.Parallel()
	pg, err := embeddedpg.Start(t.Context(), embeddedpg.Options{Dir: shortDir(t), BinDir: binDir(), Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Stop(context.Background()) })
	if err := postgres.CreateDatabase(t.Context(), pg.DSN("postgres", "postgres"), "second"); err != nil {
		t.Fatal(err)
	}
	other, err := pgx.Connect(t.Context(), pg.DSN("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	run(t, other, "create role commonhold_owner nologin noinherit")
	run(t, other, "create role commonhold_migrator login noinherit")
	run(t, other, "begin")
	run(t, other, "grant commonhold_owner to commonhold_migrator")
	done := make(chan error)
	go func() { done <- postgres.Migrate(t.Context(), pg.DSN("postgres", "second"), nil) }()
	watcher, err := pgx.Connect(t.Context(), pg.DSN("postgres", "second"))
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close(context.Background())
	until(t, "the migrator waits", func() bool {
		return ask[bool](t, watcher, "select exists (select from pg_stat_activity where application_name = 'commonhold migrate' and wait_event_type = 'Lock')")
	})
	run(t, other, "commit")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDatabaseNewerThanTheBinary(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"control", "gate", "shared"} {
		database := newMigrated(t)
		w := openDatabase(t, database, 1)
		run(t, w.as(t, "postgres"), "insert into "+schema+".goose_db_version (version_id, is_applied) values (9999, true)")
		run(t, w.as(t, "postgres"), "alter role commonhold_app in database "+database+" reset lock_timeout")
		before := structure(t, database)
		wantCode(t, postgres.Migrate(t.Context(), pgtest.ServerURL(t, "postgres", database), nil), fault.SchemaTooNew)
		wantCode(t, postgres.Migrate(t.Context(), pgtest.ServerURL(t, "commonhold_migrator", database), nil), fault.SchemaTooNew)
		wantCode(t, w.DB.CheckVersions(t.Context()), fault.SchemaTooNew)
		if after := structure(t, database); after != before {
			t.Errorf("a migrator that was refused changed the database:\n%s", firstDifference(before, after))
		}
	}
}

func TestDatabaseNotMigrated(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	db, err := postgres.Open(t.Context(), postgres.Config{AppURL: pgtest.ServerURL(t, "commonhold_app", database), ControlURL: pgtest.ServerURL(t, "commonhold_control", database), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	wantCode(t, db.CheckVersions(t.Context()), fault.NotMigrated)
	// A migrator that is at work has made its ledger and nothing in it yet.
	url := pgtest.ServerURL(t, "postgres", database)
	if err := postgres.Migrate(t.Context(), url, nil); err != nil {
		t.Fatal(err)
	}
	admin := connect(t, "postgres", database)
	run(t, admin, "delete from shared.goose_db_version where version_id > 0")
	wantCode(t, db.CheckVersions(t.Context()), fault.NotMigrated)
	run(t, admin, "revoke all on shared.goose_db_version from commonhold_control")
	wantCode(t, db.CheckVersions(t.Context()), fault.NotMigrated)
}

func TestRoleWithoutRights(t *testing.T) {
	t.Parallel()
	migrated, empty := newMigrated(t), newDatabase(t)
	nobody := newRole(t, "")
	for _, database := range []string{migrated, empty} {
		for _, role := range []string{nobody, "commonhold_app", "commonhold_control"} {
			err := postgres.Migrate(t.Context(), pgtest.ServerURL(t, role, database), nil)
			wantCode(t, err, fault.MissingPrivileges)
			if err == nil || !strings.Contains(err.Error(), "superuser") {
				t.Errorf("no advice: %v", err)
			}
		}
	}
	_, err := postgres.Status(t.Context(), pgtest.ServerURL(t, "commonhold_app", migrated))
	wantCode(t, err, fault.MissingPrivileges)
	_, err = postgres.Open(t.Context(), postgres.Config{AppURL: pgtest.URL(t, "postgres"), ControlURL: pgtest.URL(t, "commonhold_control"), MaxConns: 1})
	wantCode(t, err, fault.MissingPrivileges)
	_, err = postgres.Open(t.Context(), postgres.Config{AppURL: pgtest.URL(t, "commonhold_backup"), ControlURL: pgtest.URL(t, "commonhold_control"), MaxConns: 1})
	wantCode(t, err, fault.MissingPrivileges)
}

// A managed service gives its customer a role that may create roles and owns the
// database, and is no superuser: everything works, the hardening is reduced and
// said to be.
func TestMigrateWithoutSuperuser(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	admin := connect(t, "postgres", database)
	customer := newRole(t, "createrole createdb")
	run(t, admin, "alter database "+database+" owner to "+customer)
	url := pgtest.ServerURL(t, customer, database)
	var told []string
	for range 2 {
		if err := postgres.Migrate(t.Context(), url, func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }); err != nil {
			t.Fatal(err)
		}
	}
	all := strings.Join(told, "\n")
	for _, want := range []string{"hardening: reduced", "set_config", "pg_settings", "plpgsql"} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing was said of %q:\n%s", want, all)
		}
	}
	w := openDatabase(t, database, 1)
	w.stock(t, w.Tenant.ID, 1)

	// A superuser completes it, and then the customer still may migrate.
	told = nil
	progress := func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	if err := postgres.Migrate(t.Context(), pgtest.ServerURL(t, "postgres", database), progress); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), url, progress); err != nil {
		t.Fatalf("after a superuser: %v", err)
	}
	if all := strings.Join(told, "\n"); strings.Count(all, "hardening: done") != 2 {
		t.Errorf("the hardening is complete now:\n%s", all)
	}
}

func TestDatabaseCannotBeReached(t *testing.T) {
	t.Parallel()
	const secret = "s3cret-of-the-role"
	config, err := pgx.ParseConfig(pgtest.URL(t, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	for name, url := range map[string]string{
		"no server":   "postgres://commonhold_app:" + secret + "@/commonhold?sslmode=disable&host=" + shortDir(t),
		"no database": "postgres://commonhold_app:" + secret + "@/nowhere?sslmode=disable&host=" + config.Host,
		"no port":     "postgres://commonhold_app:" + secret + "@127.0.0.1:1/commonhold?sslmode=disable",
		"no role":     "postgres://stranger:" + secret + "@/commonhold?sslmode=disable&host=" + config.Host,
	} {
		_, openErr := postgres.Open(t.Context(), postgres.Config{AppURL: url, ControlURL: url, MaxConns: 1})
		_, statusErr := postgres.Status(t.Context(), url)
		for what, err := range map[string]error{"Open": openErr, "Status": statusErr, "Migrate": postgres.Migrate(t.Context(), url, nil)} {
			if !fault.Is(err, fault.DatabaseDown) {
				t.Errorf("%s, %s: got %v (%s), want DATABASE_DOWN", name, what, err, fault.CodeOf(err))
			}
			if strings.Contains(fmt.Sprintf("%v %+v", err, err), secret) {
				t.Errorf("%s, %s tells the password: %v", name, what, err)
			}
		}
	}
	for _, url := range []string{"postgres://u:" + secret + "%zz@localhost/x", "port=x password=" + secret, "://" + secret} {
		_, err := postgres.Open(t.Context(), postgres.Config{AppURL: url, ControlURL: url})
		wantCode(t, err, fault.Config)
		_, statusErr := postgres.Status(t.Context(), url)
		wantCode(t, statusErr, fault.Config)
		if text := fmt.Sprint(err, statusErr); strings.Contains(text, secret) {
			t.Errorf("the password is told: %s", text)
		}
	}
}

func TestServerVersion(t *testing.T) {
	t.Parallel()
	for _, number := range []int{90624, 100023, 140018, 149999} {
		wantCode(t, postgres.CheckVersion(number), fault.PostgresTooOld)
	}
	for _, number := range []int{150000, 150018, 180004} {
		if err := postgres.CheckVersion(number); err != nil {
			t.Errorf("%d: %v", number, err)
		}
	}
}

// Under FORCE the owner is bound by the policies too: a migration that fills a
// column changes no row and says so to nobody. The recipe lifts FORCE, counts, and
// puts it back, all in the migration's transaction.
func TestMigrationThatChangesRows(t *testing.T) {
	t.Parallel()
	database := newMigrated(t)
	w := openDatabase(t, database, 1)
	other, _ := w.NewTenant(t)
	w.stock(t, w.Tenant.ID, 3)
	w.stock(t, other.ID, 4)
	admin := w.as(t, "postgres")
	migrator := pgtest.ServerURL(t, "commonhold_migrator", database)
	filled := func() int {
		return ask[int](t, admin, "select count(*) from shared.products where description = 'filled'")
	}
	forced := func() bool {
		return ask[bool](t, admin, "select relrowsecurity and relforcerowsecurity from pg_class where oid = 'shared.products'::regclass")
	}
	apply := func(version int, body string) error {
		return postgres.ApplyFiles(t.Context(), migrator, fstest.MapFS{
			fmt.Sprintf("%04d_fill.sql", version): {Data: []byte("-- +goose Up\n" + body)},
		}, "shared")
	}

	if err := apply(9001, "update products set description = 'filled';"); err != nil {
		t.Fatal(err)
	}
	if n := filled(); n != 0 {
		t.Errorf("the owner changed %d rows under FORCE, want 0: the recipe is not needed any more", n)
	}
	recipe := func(assertion string) string {
		return `-- +goose StatementBegin
alter table products no force row level security;
do $$
declare
    wanted bigint;
    changed bigint;
begin
    select count(*) into wanted from products where description is null;
    update products set description = 'filled' where description is null;
    get diagnostics changed = row_count;
    if ` + assertion + ` then
        raise exception 'filled % of % products', changed, wanted;
    end if;
end $$;
alter table products force row level security;
-- +goose StatementEnd
`
	}
	if err := apply(9002, recipe("changed = wanted")); err == nil {
		t.Error("an assertion that fails must fail the migration")
	}
	if filled() != 0 || !forced() {
		t.Errorf("a failed migration left %d rows filled, forced: %t", filled(), forced())
	}
	if err := apply(9002, recipe("changed <> wanted or wanted = 0")); err != nil {
		t.Fatal(err)
	}
	if filled() != 7 || !forced() {
		t.Errorf("%d rows filled, want 7; forced: %t", filled(), forced())
	}
	if n := ask[int](t, w.as(t, "commonhold_app"), "select count(*) from products"); n != 0 {
		t.Errorf("the wall did not come back: %d rows", n)
	}
}

// A tenant's home is the tenant set in any schema.
func TestTenantSetInASchemaOfItsOwn(t *testing.T) {
	t.Parallel()
	database := newMigrated(t)
	admin := connect(t, "postgres", database)
	run(t, admin, "create schema home_of_one authorization commonhold_owner")
	files, err := fs.Sub(postgres.Files(), "migrations/tenant")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := postgres.ApplyFiles(t.Context(), pgtest.ServerURL(t, "commonhold_migrator", database), files, "home_of_one"); err != nil {
			t.Fatal(err)
		}
	}
	shape := func(schema string) string {
		return ask[string](t, admin, `select string_agg(format('%s %s %s %s', c.relname, c.relrowsecurity, c.relforcerowsecurity, p.qual), E'\n' order by c.relname)
			from pg_class as c left join pg_policies as p on p.schemaname = $1 and p.tablename = c.relname
			where c.relnamespace = $1::regnamespace`, schema)
	}
	if home, shared := shape("home_of_one"), shape("shared"); home != shared {
		t.Errorf("the home differs from the shared tables:\n%s", firstDifference(shared, home))
	}
}

// The backup role dumps everything, and what is restored has its walls.
func TestDumpAndRestore(t *testing.T) {
	t.Parallel()
	dump, restore := program(t, "pg_dump"), program(t, "pg_restore")
	from, to := newMigrated(t), newDatabase(t)
	w := openDatabase(t, from, 1)
	other, _ := w.NewTenant(t)
	w.stock(t, w.Tenant.ID, 30)
	w.stock(t, other.ID, 40)
	if err := w.Registry.EnsureDefaults(t.Context(), w.Tenant.ID, w.Owner); err != nil {
		t.Fatal(err)
	}
	err := w.raw().InTx(t.Context(), func(q postgres.DBTX) error {
		_, err := q.Exec(t.Context(), "insert into events (tenant_id, id, action, entity_id, request_id, data) values ($1, gen_random_uuid(), 'product.created', gen_random_uuid(), 'r', '{}')", w.Tenant.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	file := filepath.Join(shortDir(t), "dump")
	output(t, dump, "--format=custom", "--file="+file, "-d", pgtest.ServerURL(t, "commonhold_backup", from))
	output(t, restore, "--exit-on-error", "-d", pgtest.ServerURL(t, "postgres", to), file)
	// The roles' settings and the rights on the database are not in a dump.
	if err := postgres.Migrate(t.Context(), pgtest.ServerURL(t, "postgres", to), nil); err != nil {
		t.Fatal(err)
	}

	counts := func(database string) string {
		conn := connect(t, "postgres", database)
		return ask[string](t, conn, `select string_agg(format('%s %s', t.relid::regclass, (xpath('/row/n/text()', query_to_xml(format('select count(*) as n from %s', t.relid::regclass), false, true, '')))[1]), ', ' order by t.relid::regclass::text)
			from pg_stat_user_tables as t`)
	}
	if a, b := counts(from), counts(to); a != b || !strings.Contains(a, "products 70") {
		t.Errorf("rows before: %s\nrows after:  %s", a, b)
	}
	rename := func(s string) string { return strings.ReplaceAll(s, to, from) }
	if a, b := catalog(t, from), rename(catalog(t, to)); a != b {
		t.Errorf("the restored database differs:\n%s", firstDifference(a, b))
	}
	restored := openDatabase(t, to, 1)
	if err := restored.DB.CheckVersions(t.Context()); err != nil {
		t.Error(err)
	}
	n := 0
	if err := postgres.Raw(restored.DB.Home(other.ID)).Read().QueryRow(t.Context(), "select count(*) from products").Scan(&n); err != nil || n != 40 {
		t.Errorf("a tenant of the restored database sees %d products, %v; want 40", n, err)
	}
	if n := ask[int](t, connect(t, "commonhold_app", to), "select count(*) from products"); n != 0 {
		t.Errorf("without a door %d products are visible", n)
	}
	// Nobody else's dump is whole, and it says so instead of being short.
	out, err := exec.CommandContext(t.Context(), dump, "-d", pgtest.ServerURL(t, "commonhold_control", from)).CombinedOutput()
	if err == nil {
		t.Errorf("a dump by a role that sees only a part succeeded:\n%.200s", out)
	}
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	admin := pgtest.ServerURL(t, "postgres", "postgres")
	role := newRole(t, "")
	held := func() bool {
		has, err := postgres.HasPassword(t.Context(), admin, role)
		if err != nil {
			t.Fatal(err)
		}
		return has
	}
	if held() {
		t.Error("a new role has no password")
	}
	if err := postgres.SetRolePassword(t.Context(), admin, role, "pässword'\\"); err != nil {
		t.Fatal(err)
	}
	if !held() {
		t.Error("the password was not set")
	}
	_, err := postgres.HasPassword(t.Context(), pgtest.URL(t, "commonhold_app"), role)
	wantCode(t, err, fault.MissingPrivileges)
}
