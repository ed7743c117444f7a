// Package event records what happened in a tenant, in the transaction that did it.
package event

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/telemetry"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

// Record writes that the caller did action ("noun.verb_in_past_tense") to entity,
// with data as JSON. q must be that of the transaction which did it: either both
// are stored or neither is.
//
// Errors: fault.Unauthenticated where nobody signed in.
func Record(ctx context.Context, q *tenantsql.Queries, action string, entity uuid.UUID, data any) error {
	actor, err := auth.FromContext(ctx)
	if err != nil {
		return err
	}
	body, err := json.Marshal(noted(actor, data))
	if err != nil {
		return fmt.Errorf("record %s: %w", action, err)
	}
	return q.CreateEvent(ctx, tenantsql.CreateEventParams{
		TenantID:  actor.Tenant.ID,
		ID:        id.NewEvent(),
		ActorID:   &actor.User.ID,
		Action:    action,
		EntityID:  entity,
		RequestID: telemetry.FromContext(ctx).ID,
		Data:      body,
	})
}

// noted adds to data which API key did it, where it was one: the actor is who made the key.
func noted(actor *auth.Principal, data any) any {
	fields, ok := data.(map[string]any)
	if actor.Key == nil || !ok {
		return data
	}
	fields = maps.Clone(fields)
	fields["apiKey"] = actor.Key.ID
	return fields
}

// Entry is one of many things that happened.
type Entry struct {
	Action string
	Entity uuid.UUID
	Data   any // as JSON
}

// RecordAll is Record for much at once, in one statement.
func RecordAll(ctx context.Context, q *tenantsql.Queries, entries []Entry) error {
	actor, err := auth.FromContext(ctx)
	if err != nil || len(entries) == 0 {
		return err
	}
	all := tenantsql.CreateEventsParams{TenantID: actor.Tenant.ID, ActorID: &actor.User.ID, RequestID: telemetry.FromContext(ctx).ID}
	for _, e := range entries {
		body, err := json.Marshal(noted(actor, e.Data))
		if err != nil {
			return fmt.Errorf("record %s: %w", e.Action, err)
		}
		all.Ids, all.Actions, all.EntityIds, all.Data = append(all.Ids, id.New()), append(all.Actions, e.Action), append(all.EntityIds, e.Entity), append(all.Data, body)
	}
	return q.CreateEvents(ctx, all)
}
