package postgres_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// Our migration makes what River's own make, all but the two things that it says.
func TestRiverTablesAreRivers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	name := "river_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if err := postgres.CreateDatabase(ctx, pgtest.URL(t, "postgres"), name); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(ctx, pgtest.ServerURL(t, "postgres", name))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, "create schema control"); err != nil {
		t.Fatal(err)
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: "control"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		t.Fatal(err)
	}
	theirs, err := pgx.Connect(ctx, pgtest.ServerURL(t, "postgres", name))
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close(context.Background())
	want, got := describeRiver(t, theirs), describeRiver(t, pgtest.Superuser(t))
	if len(want) < 50 {
		t.Fatalf("River's migrations make only %q", want)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-River's +ours:\n%s", diff)
	}
}

// describeRiver lists everything of River's in schema control, but for its ledger and
// for how a table is logged. The order of columns and of what is in a function's body
// beside its words does not matter.
func describeRiver(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		select what from (
			select format('column %s.%s %s%s default %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), case when a.attnotnull then ' not null' else '' end, pg_get_expr(d.adbin, d.adrelid)) as what
			from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
			left join pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum
			where c.relnamespace = 'control'::regnamespace and c.relname ~ '^river_' and c.relname !~ '^river_migration' and c.relkind = 'r'
			union all
			select format('constraint %s.%s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)) from pg_constraint as k
			where k.conrelid::regclass::text ~ '^control.river_' and k.conrelid::regclass::text !~ 'river_migration' and k.contype <> 'n'
			union all
			select pg_get_indexdef(i.indexrelid) from pg_index as i
			where i.indrelid::regclass::text ~ '^control.river_' and i.indrelid::regclass::text !~ 'river_migration'
			union all
			select format('trigger %s', g.tgname) from pg_trigger as g where g.tgrelid::regclass::text ~ '^control.river_' and not g.tgisinternal
			union all
			select format('sequence %s %s', s.sequencename, s.data_type) from pg_sequences as s where s.schemaname = 'control' and s.sequencename ~ '^river_' and s.sequencename !~ 'river_migration'
			union all
			select format('type %s %s', t.typname, (select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum as e where e.enumtypid = t.oid))
			from pg_type as t where t.typnamespace = 'control'::regnamespace and t.typtype = 'e'
			union all
			select pg_get_functiondef(f.oid) from pg_proc as f where f.pronamespace = 'control'::regnamespace and f.proname ~ '^river_'
		) as everything order by what collate "C"`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range all {
		if strings.HasPrefix(text, "CREATE OR REPLACE FUNCTION") {
			all[i] = strings.ToLower(regexp.MustCompile(`\s+`).ReplaceAllString(text, " "))
		}
	}
	return all
}

// ring is work that says so.
type ring struct{}

func (ring) Kind() string { return "ring" }

// Behind a pooler nothing can be listened for: River asks instead, and a job of ours
// is done within seconds.
func TestJobsBehindPgBouncer(t *testing.T) {
	t.Parallel()
	b := bounce(t)
	db := b.open(t, newMigrated(t), 4).DB
	rung := make(chan struct{}, 8)
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(context.Context, *river.Job[ring]) error {
		rung <- struct{}{}
		return nil
	}))
	jobs, err := db.StartJobs(t.Context(), &river.Config{Queues: map[string]river.QueueConfig{"default": {MaxWorkers: 1}}, Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	err = db.InControlTx(t.Context(), func(q *controlsql.Queries) error {
		return q.CreateJob(t.Context(), controlsql.CreateJobParams{Kind: "ring", Queue: "default", Args: []byte("{}"), MaxAttempts: 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-rung:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody did it")
	}
	if err := jobs.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}
