package control

import (
	"context"
	"regexp"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/internal/text"
	"github.com/commonhold/commonhold/sqlc/controlsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

// Registration is a tenant to come.
type Registration struct {
	Name     string // 1–200 characters
	Slug     string // 3–40 characters of a–z and 0–9, and single hyphens between them; unique
	Currency string // ISO 4217
}

var slugPattern = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9])+$`) // as tenants_slug_check has it

// Validate normalises the registration and names every field that is wrong.
func (r *Registration) Validate() []error {
	var errs []error
	name, err := text.Line("The tenant's name", r.Name, 1, 200)
	if err != nil {
		errs = append(errs, fault.At(err, "tenantName"))
	}
	r.Name = name
	if err := CheckSlug(r.Slug); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// CheckSlug tells whether a new tenant may be called so, if no other is.
//
// Errors: fault.Invalid at slug; fault.Taken at slug for one that is kept for the service.
func CheckSlug(slug string) error {
	if len(slug) < 3 || len(slug) > 40 || !slugPattern.MatchString(slug) {
		return fault.New(fault.Invalid, "A slug has 3 to 40 characters: a–z, 0–9 and single hyphens between them.").At("slug")
	}
	if Reserved(slug) {
		return SlugTaken()
	}
	return nil
}

// Register makes a tenant with its placement, its door and its first owner, in
// the caller's transaction: half a tenant is never seen. Defaults follow with
// EnsureDefaults.
//
// Errors: fault.Taken at slug.
func Register(ctx context.Context, q *controlsql.Queries, r Registration, owner id.User) (*tenant.Tenant, error) {
	row, err := q.CreateTenant(ctx, controlsql.CreateTenantParams{
		ID: tenant.NewID(), Slug: r.Slug, Name: r.Name, Status: tenant.Active, CurrencyCode: r.Currency,
	})
	if postgres.Constraint(err) == "tenants_slug_key" {
		return nil, SlugTaken()
	}
	if err != nil {
		return nil, err
	}
	if err := q.CreatePlacement(ctx, controlsql.CreatePlacementParams{TenantID: row.ID, Isolation: "SHARED", ClusterName: "default"}); err != nil {
		return nil, err
	}
	if err := q.CreateTenantDoor(ctx, controlsql.CreateTenantDoorParams{TenantID: row.ID, Epoch: 1}); err != nil {
		return nil, err
	}
	_, err = q.CreateMembership(ctx, controlsql.CreateMembershipParams{TenantID: row.ID, ID: id.NewMember(), UserID: owner, Role: "OWNER"})
	if err != nil {
		return nil, err
	}
	return FromRow(row), TellOfTenant(ctx, q, row.ID)
}

// SlugTaken is the answer for a slug in use.
func SlugTaken() error {
	return fault.New(fault.Taken, "This slug is in use. Choose another.").At("slug")
}

// EnsureDefaults gives a tenant's home what every tenant starts with: one
// category. Doing it twice changes nothing, so it can be done again after a crash.
func (r *Registry) EnsureDefaults(ctx context.Context, t tenant.ID, owner id.User) error {
	err := r.db.Home(t).InTx(ctx, func(q *tenantsql.Queries) error {
		_, err := q.ImportCategories(ctx, tenantsql.ImportCategoriesParams{
			TenantID: t, Ids: []uuid.UUID{id.NewCategory().UUID()}, Names: []string{"General"}, CreatedBy: owner,
		})
		return err
	})
	if err != nil {
		return err
	}
	return r.db.Control().SetTenantDefaults(ctx, controlsql.SetTenantDefaultsParams{ID: t})
}

// Suspend closes a tenant for everybody, at once and on every server: the door is
// closed in the database itself. Suspending a suspended tenant changes nothing.
//
// Errors: fault.NotFound; fault.Conflict for a tenant that is neither.
func (r *Registry) Suspend(ctx context.Context, slug string) (*tenant.Tenant, error) {
	return r.move(ctx, slug, tenant.Active, tenant.Suspended, "CLOSED")
}

// Resume opens a suspended tenant again.
//
// Errors: as Suspend.
func (r *Registry) Resume(ctx context.Context, slug string) (*tenant.Tenant, error) {
	return r.move(ctx, slug, tenant.Suspended, tenant.Active, "OPEN")
}

func (r *Registry) move(ctx context.Context, slug string, from, to tenant.Status, door string) (*tenant.Tenant, error) {
	var moved *tenant.Tenant
	err := r.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		row, err := q.GetTenantBySlug(ctx, controlsql.GetTenantBySlugParams{Slug: slug})
		if postgres.IsNoRows(err) {
			return unknown()
		}
		if err != nil {
			return err
		}
		moved = FromRow(&row.Tenant)
		if moved.Status == to {
			return nil
		}
		changed, err := q.SetTenantStatus(ctx, controlsql.SetTenantStatusParams{ID: moved.ID, FromStatus: from, ToStatus: to})
		if postgres.IsNoRows(err) {
			return fault.New(fault.Conflict, "The tenant is %s: only an %s tenant can become %s.", moved.Status, from, to)
		}
		if err != nil {
			return err
		}
		moved = FromRow(changed)
		if _, err := q.SetTenantDoor(ctx, controlsql.SetTenantDoorParams{TenantID: moved.ID, Status: door}); err != nil {
			return err
		}
		return TellOfTenant(ctx, q, moved.ID)
	})
	return moved, err
}
