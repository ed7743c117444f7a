package control

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/telemetry"
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

// changes says what Change changes to: what the door of such a tenant is, and what the
// log calls it.
var changes = map[tenant.Status]struct{ door, action string }{
	tenant.Active:    {"OPEN", "tenant.resumed"},
	tenant.ReadOnly:  {"READ_ONLY", "tenant.made_read_only"},
	tenant.Suspended: {"CLOSED", "tenant.suspended"},
}

// Change makes a tenant ACTIVE, READ_ONLY or SUSPENDED, at once and on every server: what
// its door lets pass is changed in the database itself. When it returns, no write that the
// new status forbids is under way any more, and none begins. reason, of one line and 500
// characters at most, is kept in the tenant's log. changed is false for a tenant that was
// so already.
//
// Errors: fault.NotFound; fault.Invalid for the reason; fault.Conflict for a tenant that
// is none of the three; fault.Unavailable where a write is under way that does not end:
// the tenant is changed then, and Change can be done again to wait for it.
func (r *Registry) Change(ctx context.Context, of Named, to tenant.Status, reason string) (t *tenant.Tenant, changed bool, err error) {
	next, ok := changes[to]
	if !ok {
		return nil, false, fault.New(fault.Invalid, "No tenant can be made %s by hand.", to)
	}
	if reason, err = text.Line("The reason", reason, 0, 500); err != nil {
		return nil, false, err
	}
	err = r.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		row, err := q.FindTenant(ctx, controlsql.FindTenantParams(of))
		if postgres.IsNoRows(err) {
			return unknown()
		}
		if err != nil {
			return err
		}
		t, changed = FromRow(row), row.Status != to
		if !changed {
			return nil
		}
		if _, ok := changes[row.Status]; !ok {
			return fault.New(fault.Conflict, "The tenant is %s. Only one that is ACTIVE, READ_ONLY or SUSPENDED can be made %s.", row.Status, to)
		}
		after, err := q.SetTenantStatus(ctx, controlsql.SetTenantStatusParams{ID: row.ID, FromStatus: row.Status, ToStatus: to})
		if err != nil {
			return err
		}
		t = FromRow(after)
		if _, err := q.SetTenantDoor(ctx, controlsql.SetTenantDoorParams{TenantID: t.ID, Status: next.door}); err != nil {
			return err
		}
		data := map[string]any{"from": row.Status}
		if reason != "" {
			data["reason"] = reason
		}
		if err := Record(ctx, q, t.ID, nil, next.action, t.ID.UUID(), data); err != nil {
			return err
		}
		if err := q.WakeJobsOfTenant(ctx, controlsql.WakeJobsOfTenantParams{Of: t.ID.UUID()}); err != nil {
			return err
		}
		return TellOfTenant(ctx, q, t.ID)
	})
	if err != nil || to == tenant.Active {
		return t, changed, err
	}
	return t, changed, r.drain(ctx, t.ID)
}

// drainTries is how often drain waits for a lock: that takes three seconds each time, and
// more together than a write may last.
const drainTries = 15

// drain waits for the writes that passed the door before it was closed. Those that come
// later are refused at once, and hold nobody up.
//
// Errors: fault.Unavailable.
func (r *Registry) drain(ctx context.Context, t tenant.ID) error {
	var err error
	for range drainTries {
		err = r.db.InControlTx(ctx, func(q *controlsql.Queries) error {
			return q.WaitForWriters(ctx, controlsql.WaitForWritersParams{Key: postgres.LockKey(t)})
		})
		if !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return fault.New(fault.Unavailable, "The tenant is closed to new writes, but one that began before does not end. Do this again to wait for it, or end its connection.").Because(err)
}

// Record writes down what this transaction did to who may enter a tenant. actor is nil for
// the operator, and for nobody in particular.
func Record(ctx context.Context, q *controlsql.Queries, t tenant.ID, actor *id.User, action string, entity uuid.UUID, data map[string]any) error {
	if data == nil {
		data = map[string]any{}
	}
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("record %s: %w", action, err)
	}
	return q.CreateAccessEvent(ctx, controlsql.CreateAccessEventParams{
		TenantID: t, ID: id.NewAccessEvent(), ActorID: actor, Action: action, EntityID: entity, RequestID: telemetry.FromContext(ctx).ID, Data: body,
	})
}
