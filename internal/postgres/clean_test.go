package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/postgres"
)

func pidOf(t *testing.T, w *world) int32 {
	t.Helper()
	conn, err := w.DB.AppPool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	return int32(conn.Conn().PgConn().PID())
}

// wantClean looks at the world's only connection as the next user will find it.
func wantClean(t *testing.T, w *world) {
	t.Helper()
	w.idle(t)
	conn, err := w.DB.AppPool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	var tenantID, epoch *string
	var path, readOnly string
	var rows, locks int
	err = conn.QueryRow(t.Context(), `select current_setting('app.tenant_id', true), current_setting('app.epoch', true),
		current_setting('search_path'), current_setting('transaction_read_only'),
		(select count(*) from products),
		(select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory')`).
		Scan(&tenantID, &epoch, &path, &readOnly, &rows, &locks)
	if err != nil {
		t.Errorf("the connection is not usable: %v", err)
		return
	}
	got := fmt.Sprintf("tenant %q, epoch %q, search_path %q, read only %s, %d rows, %d locks", value(tenantID), value(epoch), path, readOnly, rows, locks)
	want := `tenant "", epoch "", search_path "shared, control", read only on, 0 rows, 0 locks`
	if got != want {
		t.Errorf("left behind: %s\nwant:        %s", got, want)
	}
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Whatever happens in a round trip, its tenant ends with it.
func TestNoSettingOutlivesItsRoundTrip(t *testing.T) {
	t.Parallel()
	w := openDatabase(t, newMigrated(t), 1, "lock_timeout=100ms", "statement_timeout=5s")
	addLate(t, w)
	w.stock(t, w.Tenant.ID, 3)
	quick := openDatabase(t, w.database, 1, "statement_timeout=50ms")
	quick.stock(t, quick.Tenant.ID, 3)
	wantClean(t, w)

	read := func(sql string, args ...any) func(*world, context.Context) error {
		return func(w *world, ctx context.Context) error {
			_, err := w.raw().Read().Exec(ctx, sql, args...)
			return err
		}
	}
	write := func(sqls ...string) func(*world, context.Context) error {
		return func(w *world, ctx context.Context) error {
			return w.raw().InTx(ctx, func(q postgres.DBTX) error {
				for _, sql := range sqls {
					if _, err := q.Exec(ctx, sql); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	const insert = `insert into products (tenant_id, id, sku, name, price_minor, created_by)
		select nullif(current_setting('app.tenant_id'), '')::uuid, gen_random_uuid(), 'SAME', 'Lamp', 1, gen_random_uuid()`
	const late = "insert into late select nullif(current_setting('app.tenant_id'), '')::uuid, 1"
	ours := errors.New("ours")

	for _, c := range []struct {
		name    string
		work    func(*world, context.Context) error
		want    func(error) bool
		world   *world        // nil: w
		wait    time.Duration // of the context, 0: none
		renewed bool          // whether the connection may be another afterwards
	}{
		{name: "read", work: read("select count(*) from products"), want: isNil},
		{name: "read: error of the statement", work: read("select 1 / 0"), want: hasState("22012")},
		{name: "read: error while preparing", work: read("select nothing"), want: hasState("42703")},
		{name: "read: error in a later row", work: read("select 1 / (3 - i) from generate_series(1, 5) as i"), want: hasState("22012")},
		{name: "read: argument of the wrong type", work: read("select $1::integer", "x"), want: isError},
		{name: "read: write refused", work: read("delete from products"), want: hasState("25006")},
		{name: "read: many rows, one looked at", want: isNil, work: func(w *world, ctx context.Context) error {
			return w.raw().Read().QueryRow(ctx, "select i from generate_series(1, 100000) as i").Scan(new(int))
		}},
		{name: "read: scan into the wrong type", want: isError, work: func(w *world, ctx context.Context) error {
			return w.raw().Read().QueryRow(ctx, "select 'x'").Scan(new(time.Time))
		}},
		{name: "read: closed after the first row", want: isNil, work: func(w *world, ctx context.Context) error {
			rows, err := w.raw().Read().Query(ctx, "select id from products")
			if err != nil {
				return err
			}
			rows.Next()
			rows.Close()
			rows.Close()
			return rows.Err()
		}},
		{name: "read: panic in the middle of the rows", want: isPanic, work: panics(func(w *world, ctx context.Context) error {
			rows, err := w.raw().Read().Query(ctx, "select id from products")
			if err != nil {
				return err
			}
			defer rows.Close() // as in generated code
			rows.Next()
			panic("in the middle")
		})},
		{name: "read: over before it begins", work: cancelled(read("select 1")), want: hasCode(fault.Canceled)},
		{name: "read: cancelled", work: read("select pg_sleep(60)"), wait: 50 * time.Millisecond, want: hasCode(fault.Timeout)},
		{name: "read: cancelled between rows", want: hasCode(fault.Canceled), work: func(w *world, ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			rows, err := w.raw().Read().Query(ctx, "select repeat('x', 10000), pg_sleep(case when i > 100 then 60 else 0 end) from generate_series(1, 200) as i")
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				cancel()
			}
			return rows.Err()
		}},
		{name: "read: statement timeout", world: quick, work: read("select pg_sleep(60)"), want: hasCode(fault.Timeout)},

		{name: "transaction", work: write("update products set stock = 7"), want: isNil},
		{name: "transaction: error of the function", want: func(err error) bool { return err == ours }, work: func(w *world, ctx context.Context) error {
			return w.raw().InTx(ctx, func(postgres.DBTX) error { return ours })
		}},
		{name: "transaction: error of a statement", work: write("select 1 / 0"), want: hasState("22012")},
		{name: "transaction: constraint", work: write(insert, insert), want: func(err error) bool { return postgres.Constraint(err) == "products_sku_key" }},
		{name: "transaction: deferred constraint", work: write(late, late), want: func(err error) bool { return postgres.Constraint(err) == "late_n_key" }},
		{name: "transaction: swallowed error", want: hasCode(fault.Internal), work: func(w *world, ctx context.Context) error {
			return w.raw().InTx(ctx, func(q postgres.DBTX) error { _, _ = q.Exec(ctx, "select 1 / 0"); return nil })
		}},
		{name: "transaction: panic", want: isPanic, work: panics(func(w *world, ctx context.Context) error {
			return w.raw().InTx(ctx, func(postgres.DBTX) error { panic("inside") })
		})},
		{name: "transaction: panic in the middle of the rows", want: isPanic, renewed: true, work: panics(func(w *world, ctx context.Context) error {
			return w.raw().InTx(ctx, func(q postgres.DBTX) error {
				rows, err := q.Query(ctx, "select id from products")
				if err != nil {
					return err
				}
				rows.Next()
				panic("with rows left open")
			})
		})},
		{name: "transaction: rows left open", want: isError, renewed: true, work: func(w *world, ctx context.Context) error {
			return w.raw().InTx(ctx, func(q postgres.DBTX) error {
				_, err := q.Query(ctx, "select id from products")
				return err
			})
		}},
		{name: "transaction: its goroutine ends", want: isNil, work: func(w *world, ctx context.Context) error {
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = w.raw().InTx(ctx, func(postgres.DBTX) error { runtime.Goexit(); return nil })
			}()
			<-done
			return nil
		}},
		{name: "transaction: over before it begins", work: cancelled(write("select 1")), want: hasCode(fault.Canceled)},
		{name: "transaction: cancelled", work: write("select pg_sleep(60)"), wait: 50 * time.Millisecond, want: hasCode(fault.Timeout)},
		{name: "transaction: statement timeout", world: quick, work: write("select pg_sleep(60)"), want: hasCode(fault.Timeout)},
	} {
		w := w
		if c.world != nil {
			w = c.world
		}
		before := pidOf(t, w)
		ctx, cancel := context.WithCancel(t.Context())
		if c.wait > 0 {
			ctx, cancel = context.WithTimeout(ctx, c.wait)
		}
		err := c.work(w, ctx)
		cancel()
		if !c.want(err) {
			t.Errorf("%s: %v (%s)", c.name, err, fault.CodeOf(err))
		}
		t.Run(c.name, func(t *testing.T) { wantClean(t, w) })
		if after := pidOf(t, w); (after != before) != c.renewed {
			t.Errorf("%s: backend %d became %d", c.name, before, after)
		}
	}
	if n := ask[int](t, w.as(t, "postgres"), "select count(*) from shared.products where sku = 'SAME'"); n != 0 {
		t.Errorf("%d rows of failed transactions were stored", n)
	}
}

func isNil(err error) bool   { return err == nil }
func isError(err error) bool { return err != nil }

func hasState(state string) func(error) bool {
	return func(err error) bool { return sqlState(err) == state }
}

func hasCode(code fault.Code) func(error) bool {
	return func(err error) bool { return isCoded(err) && fault.Is(err, code) }
}

var errPanic = errors.New("panicked")

func isPanic(err error) bool { return err == errPanic }

func panics(work func(*world, context.Context) error) func(*world, context.Context) error {
	return func(w *world, ctx context.Context) (err error) {
		defer func() {
			if recover() != nil {
				err = errPanic
			}
		}()
		return work(w, ctx)
	}
}

func cancelled(work func(*world, context.Context) error) func(*world, context.Context) error {
	return func(w *world, ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return work(w, ctx)
	}
}
