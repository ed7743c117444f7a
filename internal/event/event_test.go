package event_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/event"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/telemetry"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestRecord(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	asked := telemetry.NewContext(context.Background(), &telemetry.Request{ID: "the request"})
	ctx := auth.NewContext(asked, &auth.Principal{User: &accountsql.User{ID: w.Owner}, Tenant: w.Tenant, Role: auth.RoleOwner})
	home := w.DB.Home(w.Tenant.ID)
	entity := id.New()
	record := func(ctx context.Context, action string, data any, fail error) error {
		return home.InTx(ctx, func(q *tenantsql.Queries) error {
			if err := event.Record(ctx, q, action, entity, data); err != nil {
				return err
			}
			return fail
		})
	}
	recorded := func() []*tenantsql.Event {
		events, err := home.Read().ListEventsAsc(ctx, tenantsql.ListEventsAscParams{
			TenantID: w.Tenant.ID, EntityID: &entity, HighOccurredAt: time.Now().Add(time.Hour), RowLimit: 10,
		})
		if err != nil {
			t.Fatal(err)
		}
		return events
	}

	failed := errors.New("later in the transaction")
	if err := record(ctx, "thing.made", nil, failed); !errors.Is(err, failed) {
		t.Errorf("a transaction that fails after the record: %v", err)
	}
	if err := record(asked, "thing.made", nil, nil); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("nobody's change: %v", err)
	}
	if err := record(ctx, "Thing Made", nil, nil); postgres.Constraint(err) != "events_action_check" {
		t.Errorf("an action that is not noun.verb: %v", err)
	}
	if err := record(ctx, "thing.made", func() {}, nil); err == nil {
		t.Error("data that JSON cannot hold was recorded")
	}
	if got := recorded(); len(got) != 0 {
		t.Fatalf("%d events of what failed", len(got))
	}

	if err := record(ctx, "thing.made", map[string]any{"name": "Ä \"quoted\""}, nil); err != nil {
		t.Fatal(err)
	}
	got := recorded()
	if len(got) != 1 {
		t.Fatalf("%d events", len(got))
	}
	var data map[string]any
	if err := json.Unmarshal(got[0].Data, &data); err != nil || data["name"] != "Ä \"quoted\"" {
		t.Errorf("%v, %s", err, got[0].Data)
	}
	if e := got[0]; e.Action != "thing.made" || e.EntityID != entity || *e.ActorID != w.Owner || e.RequestID != "the request" || e.TenantID != w.Tenant.ID || e.Epoch != 1 || !e.Xid.Valid {
		t.Errorf("%+v", e)
	}
}
