package idempotency_test

import (
	"errors"
	"os"
	"testing"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/idempotency"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// A refusal is an answer like another and is kept; one that says to try again is
// not, or the retry that it asks for would meet it for a day.
func TestWhichRefusalsAreKept(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	caller := idempotency.Caller{Tenant: w.Tenant.ID, User: w.Owner}
	home := w.DB.Home(w.Tenant.ID)
	for name, c := range map[string]struct {
		refusal error
		kept    bool
	}{
		"out of stock":             {fault.New(fault.OutOfStock, "None is left.").At("items"), true},
		"several fields":           {errors.Join(fault.New(fault.Invalid, "One.").At("a"), fault.New(fault.Invalid, "Two.").At("b")), true},
		"another change":           {fault.New(fault.Conflict, "Another change was in the way. Try again."), false},
		"another change, at field": {fault.New(fault.Conflict, "Another change was in the way. Try again.").At("id"), false},
	} {
		open := func() *idempotency.Request {
			t.Helper()
			r, err := idempotency.Open(t.Context(), w.DB, caller, name, []byte("asked"))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return r
		}
		first := open()
		_, err := idempotency.Once(idempotency.NewContext(t.Context(), first),
			func(fn func(*tenantsql.Queries) error) error { return home.InTx(t.Context(), fn) },
			func(*tenantsql.Queries) (*string, error) { return nil, c.refusal })
		if !errors.Is(err, c.refusal) {
			t.Fatalf("%s: %v", name, err)
		}
		if err := first.Keep(t.Context(), []byte("the answer")); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if kept := string(open().Answer()) == "the answer"; kept != c.kept {
			t.Errorf("%s: kept %t, want %t", name, kept, c.kept)
		}
		// What was not kept can be done under the same key.
		made, err := idempotency.Once(idempotency.NewContext(t.Context(), open()),
			func(fn func(*tenantsql.Queries) error) error { return home.InTx(t.Context(), fn) },
			func(*tenantsql.Queries) (*id.Product, error) { return new(id.NewProduct()), nil })
		if done := err == nil && made != nil; done == c.kept {
			t.Errorf("%s: done under the same key: %t, %v", name, done, err)
		}
	}
}

// Both planes have the same statements, to the letter: what holds for a tenant's keys
// holds for those of the control database.
func TestBothPlanesHaveTheSameStatements(t *testing.T) {
	t.Parallel()
	home, err := os.ReadFile("../../queries/tenant/idempotency_keys.sql")
	if err != nil {
		t.Fatal(err)
	}
	control, err := os.ReadFile("../../queries/control/idempotency_keys.sql")
	if err != nil || string(home) != string(control) {
		t.Errorf("%v: copy the one you changed over the other", err)
	}
}
