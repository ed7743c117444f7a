package control_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// asked is how often the database was asked for what find finds.
func asked(t *testing.T, find func(context.Context) error) int64 {
	t.Helper()
	ctx, counter := postgres.WithCounter(t.Context())
	if err := find(ctx); err != nil && !fault.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
	return counter.RoundTrips()
}

// Finding a tenant is free once it was found, and hears of changes.
func TestTenantsAreFoundFromMemory(t *testing.T) {
	t.Parallel()
	here, there := pgtest.New(t), pgtest.Open(t, 2)
	slug := "t" + strings.ReplaceAll(id.New().String(), "-", "")[:31]
	servers := map[string]*control.Registry{"here": here.Registry, "there": there.Registry}
	bySlug := func(r *control.Registry) (*tenant.Tenant, error) { return r.BySlug(t.Context(), slug) }

	// That there is none is not remembered.
	for _, r := range servers {
		if found, err := bySlug(r); !fault.Is(err, fault.NotFound) {
			t.Fatalf("%+v, %v", found, err)
		}
	}
	var made *tenant.Tenant
	err := here.DB.InControlTx(t.Context(), func(q *controlsql.Queries) (err error) {
		made, err = control.Register(t.Context(), q, control.Registration{Name: "Named", Slug: slug, Currency: "EUR"}, here.Owner)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if found, err := bySlug(here.Registry); err != nil || found.ID != made.ID {
		t.Errorf("here, at once: %+v, %v", found, err)
	}
	if found, err := bySlug(there.Registry); err != nil || found.ID != made.ID {
		t.Errorf("there: %+v, %v", found, err)
	}

	here.Settle(t)
	there.Settle(t)
	for name, r := range servers {
		find := func(ctx context.Context) error {
			_, bySlug := r.BySlug(ctx, slug)
			_, byID := r.Open(ctx, made.ID)
			return errors.Join(bySlug, byID)
		}
		asked(t, find)
		if n := asked(t, find); n != 0 {
			t.Errorf("%s: finding a tenant by its slug and its id again costs %d round trips", name, n)
		}
	}

	pgtest.Change(t, here.Registry, slug, tenant.Suspended)
	if found, err := bySlug(here.Registry); err != nil || found.Status != tenant.Suspended {
		t.Errorf("here, at once: %+v, %v", found, err)
	}
	there.Settle(t)
	if _, err := there.Registry.Open(t.Context(), made.ID); !fault.Is(err, fault.TenantSuspended) {
		t.Errorf("there, once it has heard: %v", err)
	}
}

// What the service is called by is nobody's slug, and is told apart from no slug in use.
func TestReservedSlugs(t *testing.T) {
	t.Parallel()
	for _, slug := range []string{"www", "api", "admin", "app", "auth", "login", "mail", "static", "assets", "cdn", "docs", "status", "support", "help", "root", "system", "internal", "commonhold", "localhost", "xn"} {
		r := control.Registration{Name: "Name", Slug: slug, Currency: "EUR"}
		errs := r.Validate()
		if slug == "xn" { // too short anyway
			continue
		}
		if !control.Reserved(slug) || len(errs) != 1 || !fault.Is(errs[0], fault.Taken) {
			t.Errorf("%s: %v", slug, errs)
		}
	}
	for _, slug := range []string{"acme", "globex", "api2", "my-api", "", "zzz", "wwww"} {
		if control.Reserved(slug) {
			t.Errorf("%s is reserved", slug)
		}
	}
	if !slices.IsSorted(control.AllReserved) {
		t.Error("the list is not in order, and is searched as if it were")
	}
}
