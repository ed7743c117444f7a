package graph

import (
	"cmp"
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/internal/text"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

const (
	auditList  = "auditLog"
	accessList = "accessLog"
)

func (r *queryResolver) AuditLog(ctx context.Context, first *int32, after *string, last *int32, before *string, filter *generated.AuditFilter) (*generated.AuditEventConnection, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	p, err := newPage(first, after, last, before)
	if err != nil {
		return nil, err
	}
	conditions, err := auditConditions(t, filter)
	if err != nil {
		return nil, err
	}
	list := func(ctx context.Context, p page) ([]*tenantsql.Event, error) {
		return listEvents(ctx, r.DB.Home(t.ID).Read(), p, conditions)
	}
	c := &generated.AuditEventConnection{Filter: conditions}
	if c.Nodes, c.PageInfo, err = readPage(ctx, p, list, eventCursor); err != nil {
		return nil, err
	}
	c.Edges = apply(c.Nodes, func(e *tenantsql.Event) *generated.AuditEventEdge {
		return &generated.AuditEventEdge{Cursor: eventCursor(e), Node: e}
	})
	return c, nil
}

func listEvents(ctx context.Context, q *tenantsql.Queries, p page, c *tenantsql.CountEventsParams) ([]*tenantsql.Event, error) {
	b, err := between(p, auditList, true, lowestTime, highestTime)
	if err != nil {
		return nil, err
	}
	params := tenantsql.ListEventsAscParams{
		TenantID: c.TenantID, LowOccurredAt: b.low, LowID: b.lowID, HighOccurredAt: b.high, HighID: b.highID, RowLimit: p.limit(),
		Action: c.Action, ActorID: c.ActorID, EntityID: c.EntityID, Since: c.Since, Until: c.Until,
	}
	if b.descending {
		return q.ListEventsDesc(ctx, tenantsql.ListEventsDescParams(params))
	}
	return q.ListEventsAsc(ctx, params)
}

func eventCursor(e *tenantsql.Event) string {
	return writeCursor(auditList, e.OccurredAt, e.ID.UUID())
}

func (r *auditEventConnectionResolver) TotalCount(ctx context.Context, c *generated.AuditEventConnection) (int32, error) {
	n, err := r.DB.Home(c.Filter.TenantID).Read().CountEvents(ctx, *c.Filter)
	return toInt(n), err
}

func (r *auditEventResolver) Actor(ctx context.Context, e *tenantsql.Event) (*accountsql.User, error) {
	return actor(ctx, e.ActorID)
}

func (r *auditEventResolver) EntityID(_ context.Context, e *tenantsql.Event) (*id.Any, error) {
	return entity(e.Action, e.EntityID), nil
}

func (r *queryResolver) AccessLog(ctx context.Context, first *int32, after *string, last *int32, before *string, filter *generated.AuditFilter) (*generated.AccessEventConnection, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	p, err := newPage(first, after, last, before)
	if err != nil {
		return nil, err
	}
	conditions, err := auditConditions(t, filter)
	if err != nil {
		return nil, err
	}
	c := &generated.AccessEventConnection{Filter: new(accountsql.CountAccessEventsParams(*conditions))}
	list := func(ctx context.Context, p page) ([]*accountsql.AccessEvent, error) {
		return listAccessEvents(ctx, r.DB.Account(t.ID).Read(), p, c.Filter)
	}
	if c.Nodes, c.PageInfo, err = readPage(ctx, p, list, accessEventCursor); err != nil {
		return nil, err
	}
	c.Edges = apply(c.Nodes, func(e *accountsql.AccessEvent) *generated.AccessEventEdge {
		return &generated.AccessEventEdge{Cursor: accessEventCursor(e), Node: e}
	})
	return c, nil
}

func listAccessEvents(ctx context.Context, q *accountsql.Queries, p page, c *accountsql.CountAccessEventsParams) ([]*accountsql.AccessEvent, error) {
	b, err := between(p, accessList, true, lowestTime, highestTime)
	if err != nil {
		return nil, err
	}
	params := accountsql.ListAccessEventsAscParams{
		TenantID: c.TenantID, LowOccurredAt: b.low, LowID: b.lowID, HighOccurredAt: b.high, HighID: b.highID, RowLimit: p.limit(),
		Action: c.Action, ActorID: c.ActorID, EntityID: c.EntityID, Since: c.Since, Until: c.Until,
	}
	if b.descending {
		return q.ListAccessEventsDesc(ctx, accountsql.ListAccessEventsDescParams(params))
	}
	return q.ListAccessEventsAsc(ctx, params)
}

func accessEventCursor(e *accountsql.AccessEvent) string {
	return writeCursor(accessList, e.OccurredAt, e.ID.UUID())
}

func (r *accessEventConnectionResolver) TotalCount(ctx context.Context, c *generated.AccessEventConnection) (int32, error) {
	n, err := r.DB.Account(c.Filter.TenantID).Read().CountAccessEvents(ctx, *c.Filter)
	return toInt(n), err
}

func (r *accessEventResolver) Actor(ctx context.Context, e *accountsql.AccessEvent) (*accountsql.User, error) {
	return actor(ctx, e.ActorID)
}

func (r *accessEventResolver) EntityID(_ context.Context, e *accountsql.AccessEvent) (*id.Any, error) {
	return entity(e.Action, e.EntityID), nil
}

// auditConditions turns a filter into what the statements of either log take.
//
// Errors: fault.BadRequest for an action that is no text of a line.
func auditConditions(t *tenant.Tenant, f *generated.AuditFilter) (*tenantsql.CountEventsParams, error) {
	c := &tenantsql.CountEventsParams{TenantID: t.ID}
	if f == nil {
		return c, nil
	}
	if action := f.Action.Value(); action != nil {
		clean, err := text.Line("The action", *action, 1, 100)
		if err != nil {
			return nil, asRequest(err)
		}
		c.Action = &clean
	}
	if person := f.ActorID.Value(); person != nil {
		c.ActorID = new(person.UUID())
	}
	if thing := f.EntityID.Value(); thing != nil {
		c.EntityID = &thing.UUID
	}
	c.Since, c.Until = f.Since.Value(), f.Until.Value()
	return c, nil
}

func actor(ctx context.Context, person *id.User) (*accountsql.User, error) {
	if person == nil {
		return nil, nil //nolint:nilnil // null is the answer
	}
	return load(ctx, userLoader, *person)
}

// prefixes are what the ids of a noun begin with that an action is about.
var prefixes = map[string]string{
	"product":         id.Product{}.Kind(),
	"category":        id.Category{}.Kind(),
	"customer":        id.Customer{}.Kind(),
	"order":           id.Order{}.Kind(),
	"session":         id.Session{}.Kind(),
	"member":          id.Member{}.Kind(),
	"invitation":      id.Invitation{}.Kind(),
	"invitation_link": id.InvitationLink{}.Kind(),
	"ownership":       id.Member{}.Kind(),
	"tenant":          tenant.ID{}.Kind(),
	"api_key":         id.APIKey{}.Kind(),
	"user":            id.User{}.Kind(),
}

// entity is the public id of what an action ("noun.verb") was done to. A noun that a
// newer server wrote is shown as it is.
func entity(action string, u uuid.UUID) *id.Any {
	noun, _, _ := strings.Cut(action, ".")
	return &id.Any{Prefix: cmp.Or(prefixes[noun], noun), UUID: u}
}
