// Command bench measures what this project promises about speed, as ratios against
// a baseline taken in the same run, and writes BENCH.md. Two variants are run in
// turns, at least eleven pairs; the figure is the median of the pairs' ratios, which
// a busy machine moves little. A turn is taken in short slices, alternately with those
// of the other variants, so that what comes and goes on the machine meets all alike.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"

	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/demo"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/controlsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

const (
	pairs    = 31
	starts   = 11
	cuts     = 6 // of each turn
	slice    = 25 * time.Millisecond
	turn     = cuts * slice
	clients  = 8
	tenants  = 1000
	perHome  = 100     // products in each
	bigHome  = 120_000 // products in one more
	pageSize = 20
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == hashApart {
		if err := auth.ServeHashes(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	// A context that can end, as every request's: watching it has its price.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// hashApart is what this program is started with to hash passwords for itself.
const hashApart = "hash"

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

func run(ctx context.Context) error {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // what is measured is not to write
	url, stop, err := pgtest.Launch()
	if err != nil {
		return err
	}
	defer stop()
	b, err := prepare(ctx, url)
	if err != nil {
		return err
	}
	defer b.close()
	r := &report{}
	if err := b.isolation(ctx, r); err != nil {
		return err
	}
	if err := b.depth(ctx, r); err != nil {
		return err
	}
	if err := b.tenantCount(ctx, r); err != nil {
		return err
	}
	if err := b.identity(ctx, r, url); err != nil {
		return err
	}
	if err := b.requests(ctx, r); err != nil {
		return err
	}
	if err := b.flood(ctx, r); err != nil {
		return err
	}
	if err := startup(ctx, r); err != nil {
		return err
	}
	var version string
	if err := b.bare.QueryRow(ctx, "show server_version").Scan(&version); err != nil {
		return err
	}
	return r.write(version)
}

// home is a tenant with what its queries are asked about.
type home struct {
	id       tenant.ID
	products []uuid.UUID
	times    []time.Time
}

type bench struct {
	db    *postgres.DB
	app   *pgxpool.Pool // the request role, for the four-round-trip variant
	bare  *pgxpool.Pool // the same, on tables without row-level security: the baseline
	homes []home
	big   home
}

func (b *bench) close() {
	b.db.Close()
	b.app.Close()
	b.bare.Close()
}

// prepare fills the database, and copies the products to a table without a policy.
func prepare(ctx context.Context, url func(string) string) (*bench, error) {
	db, err := postgres.Open(ctx, postgres.Config{AppURL: url("commonhold_app"), ControlURL: url("commonhold_control"), MaxConns: clients})
	if err != nil {
		return nil, err
	}
	registry := control.NewRegistry(db)
	say("filling %d tenants with %d products each, and one with %d", tenants, perHome, bigHome)
	last := time.Now()
	err = demo.Populate(ctx, db, registry, tenants, perHome, func(done int) {
		if time.Since(last) > 3*time.Second {
			last = time.Now()
			say("%d tenants", done)
		}
	})
	if err != nil {
		return nil, err
	}
	b := &bench{db: db}
	if b.bare, err = pool(ctx, url("commonhold_app"), "bench"); err != nil {
		return nil, err
	}
	if b.app, err = pool(ctx, url("commonhold_app"), ""); err != nil {
		return nil, err
	}
	if err := b.fillBig(ctx, registry); err != nil {
		return nil, err
	}
	admin, err := pgx.Connect(ctx, url("postgres"))
	if err != nil {
		return nil, err
	}
	defer admin.Close(ctx)
	for _, statement := range []string{
		"create schema bench",
		"create table bench.products (like shared.products including all)",
		`insert into bench.products (tenant_id, id, sku, name, description, price_minor, stock, version, category_id, created_by, created_at, updated_at)
			select tenant_id, id, sku, name, description, price_minor, stock, version, category_id, created_by, created_at, updated_at from shared.products`,
		"grant usage on schema bench to commonhold_app",
		"grant select on bench.products to commonhold_app",
		// What autovacuum would have done within its minute.
		"vacuum analyze gate.tenant_doors",
		"vacuum analyze bench.products",
		"vacuum analyze shared.products",
	} {
		if _, err := admin.Exec(ctx, statement); err != nil {
			return nil, fmt.Errorf("%s: %w", statement, err)
		}
	}
	rows, err := b.bare.Query(ctx, "select tenant_id, array_agg(id order by created_at, id), array_agg(created_at order by created_at, id) from bench.products group by tenant_id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var h home
		if err := rows.Scan(&h.id, &h.products, &h.times); err != nil {
			return nil, err
		}
		if len(h.products) > perHome {
			b.big = h
		} else {
			b.homes = append(b.homes, h)
		}
	}
	return b, rows.Err()
}

func (b *bench) fillBig(ctx context.Context, registry *control.Registry) error {
	t, err := registry.BySlug(ctx, fmt.Sprintf("demo-%05d", tenants))
	if err != nil {
		return err
	}
	owner, err := b.db.Control().GetUserForSignIn(ctx, controlsql.GetUserForSignInParams{Email: "owner@" + t.Slug + ".example"})
	if err != nil {
		return err
	}
	// In parts: a statement has ten seconds.
	for n := 20_000; n <= bigHome; n += 20_000 {
		if err := demo.Fill(ctx, b.db, t.ID, owner.User.ID, n); err != nil {
			return err
		}
	}
	return nil
}

// pool is a pool like the handle's: its role, and with that its settings, its size
// and its codec for UUIDs.
func pool(ctx context.Context, url, path string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = clients
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		pgxuuid.Register(conn.TypeMap())
		return nil
	}
	if path != "" {
		config.ConnConfig.RuntimeParams["search_path"] = path
	}
	return pgxpool.NewWithConfig(ctx, config)
}

// variant does one unit of work for a random choice of its own.
type variant func(ctx context.Context, r *rand.Rand) error

// throughput runs v on all clients for some time: units a second.
func throughput(ctx context.Context, n int, long time.Duration, v variant) (float64, error) {
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range n {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 7))
			for time.Since(begin) < long {
				if err := v(ctx, r); err != nil {
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(done.Load()) / time.Since(begin).Seconds(), nil
}

// compare runs variants in turns and gives the median ratio of each to the first.
func compare(ctx context.Context, n int, variants ...variant) ([]float64, error) {
	ratios := make([][]float64, len(variants))
	for round := range pairs + 1 {
		rates := make([]float64, len(variants))
		for cut := range cuts {
			for step := range variants {
				i := step
				if (round+cut)%2 == 1 { // the other way round, so that no one always comes first
					i = len(variants) - 1 - step
				}
				rate, err := throughput(ctx, n, slice, variants[i])
				if err != nil {
					return nil, err
				}
				rates[i] += rate / cuts
			}
		}
		for i, rate := range rates {
			if round > 0 { // the first one warms up
				ratios[i] = append(ratios[i], rate/rates[0])
			}
		}
	}
	medians := make([]float64, len(variants))
	for i, all := range ratios {
		medians[i] = median(all)
	}
	return medians, nil
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

func (b *bench) home(r *rand.Rand) home { return b.homes[r.IntN(len(b.homes))] }

func page(h home, from int) tenantsql.ListNewestProductsParams {
	return tenantsql.ListNewestProductsParams{TenantID: h.id, HighCreatedAt: h.times[from], HighID: h.products[from], RowLimit: pageSize}
}

func someIDs(r *rand.Rand, h home) []uuid.UUID {
	ids := make([]uuid.UUID, pageSize)
	for i := range ids {
		ids[i] = h.products[r.IntN(len(h.products))]
	}
	return ids
}

// fourTrips is what a transaction for each query costs: BEGIN, enter, query, COMMIT.
func (b *bench) fourTrips(ctx context.Context, h home, fn func(q *tenantsql.Queries) error) error {
	conn, err := b.app.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "begin", pgx.QueryExecModeExec); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "select gate.enter_tenant($1, $2, $3)", h.id, 1, true); err != nil {
		return err
	}
	if err := fn(tenantsql.New(conn)); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "commit", pgx.QueryExecModeExec)
	return err
}

// isolation compares the ways to run one query of one tenant.
func (b *bench) isolation(ctx context.Context, r *report) error {
	bare := tenantsql.New(b.bare)
	readPage := func(ctx context.Context, q *tenantsql.Queries, h home, rnd *rand.Rand) error {
		rows, err := q.ListNewestProducts(ctx, page(h, pageSize+rnd.IntN(perHome-pageSize)))
		return enough(rows, err)
	}
	readIDs := func(ctx context.Context, q *tenantsql.Queries, h home, rnd *rand.Rand) error {
		_, err := q.ListProductsByIDs(ctx, tenantsql.ListProductsByIDsParams{TenantID: h.id, Ids: someIDs(rnd, h)})
		return err
	}
	for _, kind := range []struct {
		name   string
		read   func(context.Context, *tenantsql.Queries, home, *rand.Rand) error
		expect string
	}{
		{"keyset page of 20", readPage, "≥ 0.65 (aim 0.85)"},
		{"20 rows by ids", readIDs, "≥ 0.75 (aim 0.85)"},
	} {
		for _, n := range []int{1, clients} {
			say("%s: %d rounds, clients: %d", kind.name, pairs, n)
			medians, err := compare(ctx, n,
				func(ctx context.Context, rnd *rand.Rand) error { return kind.read(ctx, bare, b.home(rnd), rnd) },
				func(ctx context.Context, rnd *rand.Rand) error {
					h := b.home(rnd)
					return kind.read(ctx, b.db.Home(h.id).Read(), h, rnd)
				},
				func(ctx context.Context, rnd *rand.Rand) error {
					h := b.home(rnd)
					return b.fourTrips(ctx, h, func(q *tenantsql.Queries) error { return kind.read(ctx, q, h, rnd) })
				})
			if err != nil {
				return err
			}
			what := fmt.Sprintf("%s, clients: %d", kind.name, n)
			r.ratio(what+", through the handle", "no row-level security, same statement", medians[1], kind.expect)
			r.ratio(what+", BEGIN / enter / query / COMMIT", "the same", medians[2], "")
		}
	}
	return nil
}

func enough(rows []*tenantsql.Product, err error) error {
	if err == nil && len(rows) != pageSize {
		return fmt.Errorf("a page of %d rows", len(rows))
	}
	return err
}

// depth compares page 5,000 of a list with page 1.
func (b *bench) depth(ctx context.Context, r *report) error {
	say("page 5,000 against page 1")
	at := func(pages int) variant {
		p := page(b.big, len(b.big.products)-1-pages*pageSize)
		return func(ctx context.Context, _ *rand.Rand) error {
			return enough(b.db.Home(b.big.id).Read().ListNewestProducts(ctx, p))
		}
	}
	medians, err := compare(ctx, 1, at(0), at(5000))
	if err != nil {
		return err
	}
	r.ratio("page 5,000 of a keyset list (time)", "page 1", 1/medians[1], "≤ 1.3")
	return nil
}

// tenantCount compares random tenants among a thousand with ten.
func (b *bench) tenantCount(ctx context.Context, r *report) error {
	say("1,000 tenants against 10")
	among := func(n int) variant {
		return func(ctx context.Context, rnd *rand.Rand) error {
			h := b.homes[rnd.IntN(n)]
			return enough(b.db.Home(h.id).Read().ListNewestProducts(ctx, page(h, pageSize+rnd.IntN(perHome-pageSize))))
		}
	}
	medians, err := compare(ctx, clients, among(10), among(len(b.homes)))
	if err != nil {
		return err
	}
	r.ratio("a page among 1,000 tenants (time)", "among 10 tenants", 1/medians[1], "≤ 1.15")
	return nil
}
