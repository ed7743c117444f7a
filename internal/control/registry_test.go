package control_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// asked is how often the database was asked for what find finds.
func asked(t *testing.T, find func(context.Context) error) int64 {
	t.Helper()
	ctx, counter := postgres.WithCounter(t.Context())
	if err := find(ctx); err != nil && !fault.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
	return counter.RoundTrips()
}

// Every way to find a tenant is free once it was gone, and hears of changes.
func TestTenantsAreFoundFromMemory(t *testing.T) {
	t.Parallel()
	here, there := pgtest.New(t), pgtest.Open(t, 2)
	slug, host := "t"+strings.ReplaceAll(id.New().String(), "-", "")[:31], id.New().String()+".example"
	servers := map[string]*control.Registry{"here": here.Registry, "there": there.Registry}
	bySlug := func(r *control.Registry) (*tenant.Tenant, error) { return r.BySlug(t.Context(), slug) }
	byHost := func(r *control.Registry) (*tenant.Tenant, error) { return r.ByHost(t.Context(), host) }

	// That there is none is remembered for a moment, and not a moment longer than it is so.
	for _, r := range servers {
		for _, find := range []func(*control.Registry) (*tenant.Tenant, error){bySlug, byHost} {
			if found, err := find(r); !fault.Is(err, fault.NotFound) {
				t.Fatalf("%+v, %v", found, err)
			}
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
	until(t, "the other server finds it", func() bool { found, err := bySlug(there.Registry); return err == nil && found.ID == made.ID })
	if err := here.Registry.AddDomain(t.Context(), made.ID, host); err != nil {
		t.Fatal(err)
	}
	if found, err := byHost(here.Registry); err != nil || found.ID != made.ID {
		t.Errorf("here, at once: %+v, %v", found, err)
	}
	until(t, "the other server finds it by its host", func() bool { found, err := byHost(there.Registry); return err == nil && found.ID == made.ID })

	// Other tests make tenants, and any tenant that is made ends what is known of names:
	// the best of some tries.
	for name, r := range servers {
		best := int64(9)
		for range 20 {
			best = min(best, asked(t, func(ctx context.Context) error {
				_, one := r.BySlug(ctx, slug)
				_, two := r.ByHost(ctx, host)
				_, three := r.Open(ctx, made.ID)
				return errorsOf(one, two, three)
			}))
		}
		if best != 0 {
			t.Errorf("%s: finding a tenant by all its names costs %d round trips", name, best)
		}
	}

	if _, err := here.Registry.Suspend(t.Context(), slug); err != nil {
		t.Fatal(err)
	}
	if found, err := bySlug(here.Registry); err != nil || found.Status != tenant.Suspended {
		t.Errorf("here, at once: %+v, %v", found, err)
	}
	until(t, "the other server knows that it is suspended", func() bool {
		_, err := there.Registry.Open(t.Context(), made.ID)
		return fault.Is(err, fault.TenantSuspended)
	})
	if err := here.Registry.RemoveDomain(t.Context(), made.ID, host); err != nil {
		t.Fatal(err)
	}
	if found, err := byHost(here.Registry); !fault.Is(err, fault.NotFound) {
		t.Errorf("here, at once: %+v, %v", found, err)
	}
	until(t, "the other server finds it by its host no more", func() bool { _, err := byHost(there.Registry); return fault.Is(err, fault.NotFound) })
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestDomains(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	other, _ := w.NewTenant(t)
	host := id.New().String() + ".example"
	for range 2 {
		if err := w.Registry.AddDomain(t.Context(), w.Tenant.ID, host); err != nil {
			t.Fatal(err)
		}
		for _, of := range []tenant.ID{w.Tenant.ID, other.ID} {
			if err := w.Registry.AddDomain(t.Context(), of, host); !fault.Is(err, fault.Taken) {
				t.Errorf("twice: %v", err)
			}
		}
		for range 2 { // of another tenant, it stays
			if err := w.Registry.RemoveDomain(t.Context(), other.ID, host); err != nil {
				t.Fatal(err)
			}
		}
		if found, err := w.Registry.ByHost(t.Context(), host); err != nil || found.ID != w.Tenant.ID {
			t.Errorf("%+v, %v", found, err)
		}
		if err := w.Registry.RemoveDomain(t.Context(), w.Tenant.ID, host); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []string{"", "localhost", "Shop.example", "shop.example.", ".example", "shop..example", "shop.example:80", "-shop.example", "shop-.example", "münchen.example", "*.example", "shop example", strings.Repeat("a.", 130) + "example", "shop.example\n"} {
		if err := w.Registry.AddDomain(t.Context(), w.Tenant.ID, bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
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
