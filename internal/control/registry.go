// Package control knows the tenants: which there are, where they live, and how
// one begins, is suspended and resumes.
package control

import (
	"context"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// What the registry keeps: at most this many tenants. What it tells of one is at most
// registryAge old. Where one lives may be older: a stale address cannot open a door, it
// only costs one refused round trip, while asking again for thousands of tenants four
// times a minute would cost every one of them.
const (
	registrySize = 10_000
	registryAge  = 15 * time.Second
)

// Registry finds tenants by id, from memory where it can.
type Registry struct {
	db    *postgres.DB
	cache *otter.Cache[tenant.ID, entry]
	age   time.Duration
}

type entry struct {
	tenant    *tenant.Tenant
	placement postgres.Placement
	read      time.Time
}

// NewRegistry makes the registry of db and lets db's handles find tenants by it.
func NewRegistry(db *postgres.DB) *Registry {
	r := &Registry{db: db, age: registryAge, cache: otter.Must(&otter.Options[tenant.ID, entry]{MaximumSize: registrySize})}
	db.SetLocate(r.locate)
	return r
}

// Tenant is the tenant of that id, in any status, at most 15 s old.
//
// Errors: fault.NotFound.
func (r *Registry) Tenant(ctx context.Context, id tenant.ID) (*tenant.Tenant, error) {
	e, err := r.find(ctx, id)
	return e.tenant, err
}

// Open is Tenant for one that may be worked in.
//
// Errors: fault.NotFound; fault.TenantSuspended for one that is not ACTIVE.
func (r *Registry) Open(ctx context.Context, id tenant.ID) (*tenant.Tenant, error) {
	e, err := r.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return e.tenant, Serving(e.tenant)
}

// Serving tells whether a tenant may be worked in.
//
// Errors: fault.TenantSuspended.
func Serving(t *tenant.Tenant) error {
	if t.Status != tenant.Active {
		return fault.New(fault.TenantSuspended, "This tenant is not active just now. Its owner can ask the operator of this service why.")
	}
	return nil
}

// Forget drops what is remembered of a tenant.
func (r *Registry) Forget(id tenant.ID) { r.cache.Invalidate(id) }

// locate is how the handles find a tenant. An old entry of one that is served will do:
// the door knows better, and then asks with fresh.
func (r *Registry) locate(ctx context.Context, id tenant.ID, fresh bool) (postgres.Placement, error) {
	if !fresh {
		if e, ok := r.cache.GetIfPresent(id); ok && Serving(e.tenant) == nil {
			return e.placement, nil
		}
	}
	load := r.find
	if fresh {
		load = r.load
	}
	e, err := load(ctx, id)
	if err != nil {
		return postgres.Placement{}, err
	}
	return e.placement, Serving(e.tenant)
}

func (r *Registry) find(ctx context.Context, id tenant.ID) (entry, error) {
	if e, ok := r.cache.GetIfPresent(id); ok && time.Since(e.read) < r.age {
		return e, nil
	}
	return r.load(ctx, id)
}

func (r *Registry) load(ctx context.Context, id tenant.ID) (entry, error) {
	read := time.Now() // before the database looks
	row, err := r.db.Control().GetTenant(ctx, controlsql.GetTenantParams{ID: id})
	if err != nil {
		r.cache.Invalidate(id)
		if postgres.IsNoRows(err) {
			return entry{}, unknown()
		}
		return entry{}, err
	}
	e := entry{tenant: FromRow(&row.Tenant), read: read, placement: postgres.Placement{
		Isolation: row.Placement.Isolation,
		Cluster:   row.Placement.ClusterName,
		Epoch:     row.Placement.Epoch,
	}}
	if row.Placement.SchemaName != nil {
		e.placement.Schema = *row.Placement.SchemaName
	}
	r.cache.Set(id, e)
	return e, nil
}

func unknown() error {
	return fault.New(fault.NotFound, "There is no such tenant.")
}

// FromRow makes a tenant of its row.
func FromRow(t *controlsql.Tenant) *tenant.Tenant {
	return &tenant.Tenant{ID: t.ID, Slug: t.Slug, Name: t.Name, Status: t.Status, Plan: t.PlanCode, Currency: t.CurrencyCode, CreatedAt: t.CreatedAt}
}
