package control

import (
	"context"

	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// Servers remember what they read of tenants, people, sessions and API keys. Whoever changes
// one of them says so in the same transaction: this server has then forgotten it when
// the transaction returns, the others as soon as they hear of it.

// TellOfTenant says that a tenant was made or changed: its row or its placement.
func TellOfTenant(ctx context.Context, q *controlsql.Queries, t tenant.ID) error {
	return tell(ctx, q, "tenant", t.UUID().String())
}

// TellOfUser says that a person changed: what fellow members see of them, or what
// they may do in some tenant.
func TellOfUser(ctx context.Context, q *controlsql.Queries, u id.User) error {
	return tell(ctx, q, "user", u.UUID().String())
}

// TellOfSession says that a session ended.
func TellOfSession(ctx context.Context, q *controlsql.Queries, s id.Session) error {
	return tell(ctx, q, "session", s.UUID().String())
}

// TellOfAPIKey says that an API key was revoked or replaced.
func TellOfAPIKey(ctx context.Context, q *controlsql.Queries, k id.APIKey) error {
	return tell(ctx, q, "api_key", k.UUID().String())
}

func tell(ctx context.Context, q *controlsql.Queries, kind, of string) error {
	return q.NotifyChanged(ctx, controlsql.NotifyChangedParams{Kind: kind, ID: of})
}
