package postgres_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

// findings are what a hammer saw that must never be.
type findings struct {
	mu         sync.Mutex
	operations int // that came to an end as planned
	foreign    int // rows of another tenant, or of any without a door
	empty      int // answers without rows where rows exist
	errors     []error
}

func (f *findings) note(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// hammer lets eight workers do everything at once for three tenants over four
// connections: reads and transactions, one in ten cancelled, one in ten failing,
// one in ten panicking, and looks at connections between their users.
func hammer(t *testing.T, w *world, seed uint64, each int) *findings {
	t.Helper()
	tenants := []tenant.ID{w.Tenant.ID}
	for range 2 {
		other, _ := w.NewTenant(t)
		tenants = append(tenants, other.ID)
	}
	for i, id := range tenants {
		w.stock(t, id, 3+i)
	}
	var found findings
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(worker)))
			for range each {
				blow(t.Context(), w, tenants[r.IntN(len(tenants))], r, &found)
			}
		})
	}
	all.Wait()
	w.idle(t)
	return &found
}

// blow is one operation of the hammer.
func blow(ctx context.Context, w *world, id tenant.ID, r *rand.Rand, found *findings) {
	mishap := r.IntN(10) // 0: cancelled, 1: fails, 2: panics
	if mishap == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(1500))*time.Microsecond)
		defer cancel()
	}
	mine := func(rows []tenant.ID) {
		if len(rows) == 0 {
			found.note(func() { found.empty++ })
		}
		for _, row := range rows {
			if row != id {
				found.note(func() { found.foreign++ })
			}
		}
	}
	list := func(q postgres.DBTX) error { // no predicate: row-level security alone
		rows, err := q.Query(ctx, "select tenant_id from products")
		if err != nil {
			return err
		}
		defer rows.Close()
		var seen []tenant.ID
		for rows.Next() {
			var row tenant.ID
			if err := rows.Scan(&row); err != nil {
				return err
			}
			if seen = append(seen, row); mishap == 2 {
				panic(errPanic)
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		mine(seen)
		return nil
	}
	var err error
	func() {
		defer func() {
			if p := recover(); p != nil {
				err = p.(error) //nolint:forcetypeassert // anything else is a bug of the test
			}
		}()
		h := postgres.Raw(w.DB.Home(id))
		switch r.IntN(5) {
		case 0:
			err = list(h.Read())
		case 1:
			if mishap == 1 {
				_, err = h.Read().Exec(ctx, "select 1 / (3 - i) from generate_series(1, 5) as i")
				break
			}
			err = h.InTx(ctx, list)
		case 2:
			err = h.InTx(ctx, func(q postgres.DBTX) error {
				if _, err := q.Exec(ctx, insertProducts, id, w.Owner, 1); err != nil {
					return err
				}
				if mishap == 1 {
					return errOurs
				}
				return list(q)
			})
		case 3:
			rows, e := w.DB.Home(id).Read().ListProductsByNameAsc(ctx, tenantsql.ListProductsByNameAscParams{TenantID: id, HighNameKey: "\U0010FFFF", RowLimit: 5})
			if err = e; err == nil {
				seen := make([]tenant.ID, len(rows))
				for i := range rows {
					seen[i] = rows[i].TenantID
				}
				mine(seen)
			}
		case 4: // what the last user of a connection left there
			conn, e := w.DB.AppPool().Acquire(ctx)
			if err = e; err != nil {
				break
			}
			defer conn.Release()
			var n int
			if err = conn.QueryRow(ctx, "select count(*) from products").Scan(&n); err == nil && n > 0 {
				found.note(func() { found.foreign += n })
			}
		}
	}()
	switch {
	case err == nil, mishap == 0 && ctx.Err() != nil, mishap == 1 && (err == errOurs || sqlState(err) == "22012"), mishap == 2 && err == errPanic:
		found.note(func() { found.operations++ })
	default:
		found.note(func() { found.errors = append(found.errors, fmt.Errorf("%w (%s)", err, fault.CodeOf(err))) })
	}
}

var errOurs = errors.New("ours")

func TestHammer(t *testing.T) {
	t.Parallel()
	const seed, each = 20240229, 150
	found := hammer(t, open(t, 4), seed, each)
	if found.foreign != 0 || found.empty != 0 || len(found.errors) > 0 || found.operations != 8*each {
		t.Errorf("seed %d: %d operations, %d foreign rows, %d empty answers, errors: %v",
			seed, found.operations, found.foreign, found.empty, errors.Join(found.errors...))
	}
}

// TestSoak hammers on, with a new seed each round, for as long as COMMONHOLD_SOAK
// says (`make soak`).
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(cmp.Or(os.Getenv("COMMONHOLD_SOAK"), "0s"))
	if err != nil {
		t.Fatalf("COMMONHOLD_SOAK: %v", err)
	}
	w := open(t, 4)
	begin, told := time.Now(), time.Now()
	rounds, operations := uint64(0), 0
	for ; rounds == 0 || time.Since(begin) < length; rounds++ {
		found := hammer(t, w, rounds, 100)
		operations += found.operations
		if found.foreign != 0 || found.empty != 0 || len(found.errors) > 0 {
			t.Fatalf("seed %d: %d foreign rows, %d empty answers, errors: %v", rounds, found.foreign, found.empty, errors.Join(found.errors...))
		}
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			fmt.Fprintf(os.Stderr, "%s: %d rounds, %d operations, nothing foreign, nothing empty\n", time.Since(begin).Round(time.Second), rounds, operations)
		}
	}
	t.Logf("%d rounds, %d operations: 0 foreign rows, 0 empty answers, 0 errors", rounds, operations)
}

// The hammer is worth its seconds only if it finds what it is there for.
func TestHammerFindsWhatWasPlanted(t *testing.T) {
	t.Parallel()
	const door = "gate.enter_tenant(uuid,bigint,boolean)"
	for _, c := range []struct {
		name  string
		plant func(t *testing.T, w *world)
		found func(*findings) bool
	}{
		{"a tenant set for the session", func(t *testing.T, w *world) {
			spoil(t, w.as(t, "postgres"), door, "d.tenant_id::pg_catalog.text, true)", "d.tenant_id::pg_catalog.text, false)")
		}, func(f *findings) bool { return f.foreign > 0 && len(f.errors) > 0 }},
		{"a policy without nullif", func(t *testing.T, w *world) {
			admin := w.as(t, "postgres")
			run(t, admin, "drop policy tenant_isolation on shared.products")
			run(t, admin, "create policy tenant_isolation on shared.products to public using (tenant_id = current_setting('app.tenant_id', true)::uuid)")
		}, func(f *findings) bool {
			for _, err := range f.errors {
				if sqlState(err) == "22P02" { // '' is no uuid
					return true
				}
			}
			return false
		}},
		{"a policy that lets everybody in", func(t *testing.T, w *world) {
			run(t, w.as(t, "postgres"), "create policy oops on shared.products to commonhold_app using (true)")
		}, func(f *findings) bool { return f.foreign > 0 }},
		{"a door that opens and sets nothing", func(t *testing.T, w *world) {
			w.stock(t, w.Tenant.ID, 1)
			spoil(t, w.as(t, "postgres"), door, "pg_catalog.set_config('app.tenant_id', d.tenant_id::pg_catalog.text, true)", "null")
			run(t, w.as(t, "postgres"), "alter policy tenant_isolation on shared.products with check (true)")
		}, func(f *findings) bool { return f.empty > 0 }},
	} {
		w := openDatabase(t, newMigrated(t), 4)
		c.plant(t, w)
		found := hammer(t, w, 7, 15)
		if !c.found(found) {
			t.Errorf("%s was not found: %d operations, %d foreign rows, %d empty answers, %d errors", c.name, found.operations, found.foreign, found.empty, len(found.errors))
		}
	}
}
