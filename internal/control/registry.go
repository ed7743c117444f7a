// Package control knows the tenants: which there are, where they live, and how
// one begins, is suspended and resumes.
package control

import (
	"context"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/memory"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// What the registry keeps: at most so many tenants and as many slugs, each
// told for at most memory.MaxAge. What is changed through this package is forgotten at
// once, here and on every server that hears of it. Where a tenant lives may be older: a
// stale address cannot open a door, it only costs one refused round trip, while asking
// again for thousands of tenants four times a minute would cost every one of them.
const registrySize = 10_000

// Registry finds tenants by id and by slug, from memory where it can.
type Registry struct {
	db    *postgres.DB
	homes *memory.Memory[tenant.ID, entry]
	slugs *memory.Memory[string, tenant.ID]
}

type entry struct {
	tenant    *tenant.Tenant
	placement postgres.Placement
}

// NewRegistry makes the registry of db and lets db's handles find tenants by it.
func NewRegistry(db *postgres.DB) *Registry {
	r := &Registry{db: db}
	r.homes = memory.New(db.Changes(), memory.Options[tenant.ID, entry]{
		Size: registrySize, Age: memory.MaxAge, Load: r.load,
		About: func(id tenant.ID) []uuid.UUID { return []uuid.UUID{id.UUID()} },
	})
	r.slugs = memory.New(db.Changes(), memory.Options[string, tenant.ID]{
		Size: registrySize, Age: memory.MaxAge, Load: r.whose,
		About: func(string) []uuid.UUID { return nil }, // whose a slug is does not change
	})
	db.SetLocate(r.locate)
	return r
}

// Tenant is the tenant of that id, in any status, at most 15 s old.
//
// Errors: fault.NotFound.
func (r *Registry) Tenant(ctx context.Context, id tenant.ID) (*tenant.Tenant, error) {
	e, err := r.homes.Get(ctx, id)
	return e.tenant, err
}

// Open is Tenant for one that may be entered.
//
// Errors: fault.NotFound; fault.TenantSuspended for one that is neither ACTIVE nor READ_ONLY.
func (r *Registry) Open(ctx context.Context, id tenant.ID) (*tenant.Tenant, error) {
	e, err := r.homes.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return e.tenant, Serving(e.tenant)
}

// Serving tells whether a tenant may be entered. That one can only be read is for its door
// to say.
//
// Errors: fault.TenantSuspended.
func Serving(t *tenant.Tenant) error {
	if !t.Status.Readable() {
		return fault.New(fault.TenantSuspended, "This tenant is not active just now. Its owner can ask the operator of this service why.")
	}
	return nil
}

// Forget drops what is remembered of a tenant.
func (r *Registry) Forget(id tenant.ID) { r.db.Changes().Changed(id.UUID()) }

// BySlug finds a tenant by its slug, in any status.
//
// Errors: fault.NotFound.
func (r *Registry) BySlug(ctx context.Context, slug string) (*tenant.Tenant, error) {
	id, err := r.slugs.Get(ctx, slug)
	if err != nil {
		return nil, err
	}
	return r.Tenant(ctx, id)
}

func (r *Registry) whose(ctx context.Context, slug string) (tenant.ID, error) {
	id, err := r.db.Control().GetTenantIDBySlug(ctx, controlsql.GetTenantIDBySlugParams{Slug: slug})
	if postgres.IsNoRows(err) {
		return id, unknown()
	}
	return id, err
}

// locate is how the handles find a tenant. An old entry of one that is served will do:
// the door knows better, and then asks with fresh.
func (r *Registry) locate(ctx context.Context, id tenant.ID, fresh bool) (postgres.Placement, error) {
	find := r.homes.Fresh
	if !fresh {
		if e, ok := r.homes.Last(id); ok && Serving(e.tenant) == nil {
			return e.placement, nil
		}
		find = r.homes.Get
	}
	e, err := find(ctx, id)
	if err != nil {
		return postgres.Placement{}, err
	}
	return e.placement, Serving(e.tenant)
}

func (r *Registry) load(ctx context.Context, id tenant.ID) (entry, error) {
	row, err := r.db.Control().GetTenant(ctx, controlsql.GetTenantParams{ID: id})
	if postgres.IsNoRows(err) {
		return entry{}, unknown()
	}
	if err != nil {
		return entry{}, err
	}
	e := entry{tenant: FromRow(&row.Tenant), placement: postgres.Placement{
		Isolation: row.Placement.Isolation,
		Cluster:   row.Placement.ClusterName,
		Epoch:     row.Placement.Epoch,
	}}
	if row.Placement.SchemaName != nil {
		e.placement.Schema = *row.Placement.SchemaName
	}
	return e, nil
}

func unknown() error {
	return fault.New(fault.NotFound, "There is no such tenant.")
}

// FromRow makes a tenant of its row.
func FromRow(t *controlsql.Tenant) *tenant.Tenant {
	return &tenant.Tenant{ID: t.ID, Slug: t.Slug, Name: t.Name, Status: t.Status, Plan: t.PlanCode, Currency: t.CurrencyCode, CreatedAt: t.CreatedAt}
}
