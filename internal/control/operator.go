package control

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/job"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/internal/text"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// What the operator of the service is shown and does, at the command line. Nothing here is
// for a request.

// Named is a tenant as the operator names it: by its slug, or by its id.
type Named struct {
	Slug string
	Of   uuid.UUID
}

// ParseNamed reads what somebody typed: a slug, or an id (ten_…).
//
// Errors: fault.Invalid for what is an id of something else, or none.
func ParseNamed(s string) (Named, error) {
	if !strings.Contains(s, "_") {
		return Named{Slug: s}, nil
	}
	var typed id.Any
	if err := typed.UnmarshalGQL(s); err != nil || typed.Prefix != "ten" {
		return Named{}, fault.New(fault.Invalid, "Name a tenant by its slug, or by its id, which begins with ten_.")
	}
	return Named{Of: typed.UUID}, nil
}

// Listed is a tenant in a list.
type Listed struct {
	ID          string        `json:"id"`
	Slug        string        `json:"slug"`
	Name        string        `json:"name"`
	Status      tenant.Status `json:"status"`
	StatusSince time.Time     `json:"statusSince"`
	Isolation   string        `json:"isolation"`
	Cluster     string        `json:"cluster"`
	Epoch       int64         `json:"epoch"`
	Currency    string        `json:"currency"`
	Plan        string        `json:"plan"`
	Members     int64         `json:"members"`
	CreatedAt   time.Time     `json:"createdAt"`
}

// Filter says which tenants List lists, and from behind which slug on. What is empty lets
// everything pass.
type Filter struct {
	Statuses   []string
	Isolations []string
	Search     string // what the slug or the name begins with, in whichever case
	After      string // a slug
	Limit      int    // how many, 0 for all
}

// listedAtOnce is how many tenants a statement reads.
const listedAtOnce = 500

// List gives every tenant that a filter lets pass to show, by their slugs. However many
// there are, it holds a few hundred at a time.
//
// Errors: those of show end it.
func List(ctx context.Context, db *postgres.DB, f Filter, show func([]Listed) error) error {
	for left, after := f.Limit, f.After; ; {
		n := listedAtOnce
		if f.Limit > 0 {
			n = min(n, left)
		}
		rows, err := db.Control().ListTenants(ctx, controlsql.ListTenantsParams{
			AfterSlug: after, Statuses: orNone(f.Statuses), Isolations: orNone(f.Isolations), Search: strings.ToLower(f.Search), RowLimit: int32(n),
		})
		if err != nil {
			return err
		}
		listed := make([]Listed, len(rows))
		for i, r := range rows {
			listed[i] = Listed{
				ID: r.ID.String(), Slug: r.Slug, Name: r.Name, Status: r.Status, StatusSince: r.StatusSince, Isolation: r.Isolation,
				Cluster: r.ClusterName, Epoch: r.Epoch, Currency: r.CurrencyCode, Plan: r.PlanCode, Members: r.Members, CreatedAt: r.CreatedAt,
			}
		}
		if err := show(listed); err != nil {
			return err
		}
		if left -= len(rows); len(rows) < n || f.Limit > 0 && left == 0 {
			return nil
		}
		after = listed[len(listed)-1].Slug
	}
}

// orNone is a list that the database takes for an empty one.
func orNone(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// Summary is what the operator is shown of one tenant. It holds no data of it.
type Summary struct {
	Listed
	Schema string `json:"schema"` // of its home
	// SchemaVersion is the version of its home's tables.
	SchemaVersion int64 `json:"schemaVersion"`
	// Door is what the door in the control database says: OPEN, READ_ONLY or CLOSED, and
	// "" where its home is elsewhere.
	Door        string  `json:"door"`
	Owners      int64   `json:"owners"`
	Invitations int64   `json:"invitations"` // open ones
	APIKeys     int64   `json:"apiKeys"`     // that work
	Sessions    int64   `json:"sessions"`    // that have not ended
	Events      []Event `json:"events"`      // the newest first
}

// Event is an entry of the log of who may enter a tenant.
type Event struct {
	OccurredAt time.Time       `json:"occurredAt"`
	Action     string          `json:"action"`
	Actor      string          `json:"actor"` // an address; "" for the operator, and for nobody in particular
	Data       json.RawMessage `json:"data"`
}

// shownEvents is how many entries of the log a summary has.
const shownEvents = 10

// Summarize reads what the operator is shown of one tenant.
//
// Errors: fault.NotFound.
func Summarize(ctx context.Context, db *postgres.DB, of Named) (*Summary, error) {
	q := db.Control()
	row, err := q.GetTenantSummary(ctx, controlsql.GetTenantSummaryParams(of))
	if postgres.IsNoRows(err) {
		return nil, unknown()
	}
	if err != nil {
		return nil, err
	}
	t, p := row.Tenant, row.Placement
	s := &Summary{
		Listed: Listed{
			ID: t.ID.String(), Slug: t.Slug, Name: t.Name, Status: t.Status, StatusSince: t.StatusSince, Isolation: p.Isolation,
			Cluster: p.ClusterName, Epoch: p.Epoch, Currency: t.CurrencyCode, Plan: t.PlanCode, Members: row.Members, CreatedAt: t.CreatedAt,
		},
		Owners: row.Owners, Invitations: row.Invitations, APIKeys: row.ApiKeys, Sessions: row.Sessions, Events: []Event{},
	}
	if s.Schema = "shared"; p.SchemaName != nil {
		s.Schema = *p.SchemaName
	}
	if row.DoorStatus != nil {
		s.Door = *row.DoorStatus
	}
	if s.SchemaVersion, err = db.SchemaVersion(ctx, s.Schema); err != nil {
		return nil, err
	}
	events, err := q.ListTenantEvents(ctx, controlsql.ListTenantEventsParams{TenantID: t.ID, RowLimit: shownEvents})
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		shown := Event{OccurredAt: e.OccurredAt, Action: e.Action, Data: e.Data}
		if e.ActorEmail != nil {
			shown.Actor = *e.ActorEmail
		}
		s.Events = append(s.Events, shown)
	}
	return s, nil
}

// Owner is who is to be the first owner of a tenant.
type Owner struct {
	Email string
	Name  string // for an account to be made, 1–100 characters; "": what stands before the @
}

// validate normalises what a tenant is to be made of and names every field that is wrong.
func validate(r *Registration, o *Owner) error {
	errs := r.Validate()
	email, err := text.Email(o.Email)
	if err != nil {
		return errors.Join(append(errs, fault.At(err, "owner"))...)
	}
	o.Email = strings.ToLower(email)
	if o.Name == "" {
		o.Name, _, _ = strings.Cut(o.Email, "@")
	}
	o.Name, err = text.Line("The owner's name", o.Name, 1, 100)
	return errors.Join(append(errs, fault.At(err, "ownerName"))...)
}

// NoPassword stands in the place of the hash of an account that has no password yet: no
// password matches it, so that whoever asks meets a wrong one and can choose one by mail.
const NoPassword = "!"

// linkTime is how long an owner has to choose a password by the link of their first mail.
// After that they ask for another, as everybody may who has an account.
const linkTime = 7 * 24 * time.Hour

// Create makes a tenant for an owner whom the operator names, in one transaction: all of it
// stands or nothing. Who has an account is told that the tenant is there. Anybody else gets
// an account without a password, and a mail with a link to choose one by; nobody but its
// receiver learns anything of it. isNew tells which.
//
// Errors, each naming its field: fault.Invalid, all fields at once; fault.Taken at slug.
func Create(ctx context.Context, db *postgres.DB, r Registration, o Owner) (made *tenant.Tenant, isNew bool, err error) {
	if err := validate(&r, &o); err != nil {
		return nil, false, err
	}
	err = db.InControlTx(ctx, func(q *controlsql.Queries) error {
		owner, err := q.CreateUserOfEmail(ctx, controlsql.CreateUserOfEmailParams{ID: id.NewUser(), Email: o.Email, DisplayName: o.Name})
		isNew = err == nil
		if postgres.IsNoRows(err) {
			owner, err = q.LockUserOfEmail(ctx, controlsql.LockUserOfEmailParams{Email: o.Email})
		}
		if err != nil {
			return err
		}
		if made, err = Register(ctx, q, r, owner.ID); err != nil {
			return err
		}
		if err := Record(ctx, q, made.ID, nil, "tenant.created", made.ID.UUID(), map[string]any{"slug": made.Slug, "name": made.Name, "owner": owner.Email}); err != nil {
			return err
		}
		if !isNew {
			return job.Send(ctx, q, job.Mail{Template: job.Welcome, To: owner.Email, Tenant: made.Name, Name: owner.DisplayName, Home: made.ID.UUID()})
		}
		if err := q.CreateUserCredentials(ctx, controlsql.CreateUserCredentialsParams{UserID: owner.ID, PasswordHash: NoPassword}); err != nil {
			return err
		}
		link, until := id.New(), time.Now().Add(linkTime)
		if err := q.CreateMailLinkOfUser(ctx, controlsql.CreateMailLinkOfUserParams{ID: link, Purpose: job.PurposeReset, UserID: owner.ID, Email: owner.Email, ExpiresAt: until}); err != nil {
			return err
		}
		return job.Send(ctx, q, job.Mail{
			Template: job.TenantCreated, To: owner.Email, Tenant: made.Name, Name: owner.DisplayName, Home: made.ID.UUID(), Until: until,
			Link: &job.Link{Path: job.PathReset, Purpose: job.PurposeReset, ID: link},
		})
	})
	if err != nil {
		return nil, false, err
	}
	return made, isNew, nil
}
