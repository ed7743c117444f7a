package auth

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/text"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

const (
	// keyLifetime is how long a key lives whose maker did not say.
	keyLifetime = 90 * 24 * time.Hour
	// maxKeyLifetime is a year, also where it is a leap year.
	maxKeyLifetime = 366 * 24 * time.Hour
	// maxKeyOverlap is how long a rotated key may live beside its successor.
	maxKeyOverlap = 7 * 24 * time.Hour
	// maxLiveKeys is how many keys may open one tenant.
	maxLiveKeys = 100
)

// forKeys tells what may be a scope: who may enter a tenant, and with which keys, is
// decided by people.
func forKeys(p Permission) bool {
	return p != PermissionMembersWrite && p != PermissionAPIKeysRead && p != PermissionAPIKeysWrite
}

// NewKey is an API key to be made.
type NewKey struct {
	Name      string
	Scopes    []Permission
	ExpiresAt *time.Time // nil: after 90 days
}

// CreateAPIKey makes a key that acts for the caller, who may do all that its scopes say.
// The key itself is returned and nowhere kept.
//
// Errors: fault.Invalid at name, scopes or expiresAt; fault.ScopeNotAllowed at scopes;
// fault.LimitReached. As a request: fault.Unauthenticated, fault.Forbidden,
// fault.Reauthenticate.
func (s *Service) CreateAPIKey(ctx context.Context, k NewKey) (*accountsql.ApiKey, string, error) {
	caller, err := s.requireRecently(ctx, PermissionAPIKeysWrite)
	if err != nil {
		return nil, "", err
	}
	now := s.tokens.now()
	expires := now.Add(keyLifetime)
	if k.ExpiresAt != nil {
		expires = *k.ExpiresAt
	}
	name, err := text.Line("The name", k.Name, 1, 100)
	errs := []error{fault.At(err, "name"), checkScopes(caller, k.Scopes)}
	if !expires.After(now) || expires.After(now.Add(maxKeyLifetime)) {
		errs = append(errs, fault.New(fault.Invalid, "A key expires in the future, and within a year. Leave it out for 90 days.").At("expiresAt"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, "", err
	}
	var made *accountsql.ApiKey
	var shown string
	err = s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if err := roomForKey(ctx, q, caller); err != nil {
			return err
		}
		made, shown, err = addKey(ctx, q, caller, name, k.Scopes, expires, nil)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return made, shown, nil
}

// RotateAPIKey makes a key that takes the place of another: of the same name, scopes and
// lifetime, and for the caller. The old one works until the overlap has passed.
//
// Errors: fault.NotFound and fault.WrongStatus at id; fault.Invalid at overlapSeconds;
// fault.ScopeNotAllowed where the caller may not do all that the key may;
// fault.LimitReached. As a request: fault.Unauthenticated, fault.Forbidden,
// fault.Reauthenticate.
func (s *Service) RotateAPIKey(ctx context.Context, key id.APIKey, overlap time.Duration) (*accountsql.ApiKey, string, error) {
	caller, err := s.requireRecently(ctx, PermissionAPIKeysWrite)
	if err != nil {
		return nil, "", err
	}
	if overlap < 0 || overlap > maxKeyOverlap {
		return nil, "", fault.New(fault.Invalid, "The old key may work for 0 to 604800 seconds more, which is seven days.").At("overlapSeconds")
	}
	var made *accountsql.ApiKey
	var shown string
	err = s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if overlap > 0 { // else the old one makes room
			if err := roomForKey(ctx, q, caller); err != nil {
				return err
			}
		}
		row, err := q.LockAPIKey(ctx, controlsql.LockAPIKeyParams{TenantID: caller.Tenant.ID, ID: key})
		if postgres.IsNoRows(err) {
			return fault.New(fault.NotFound, "There is no such key.").At("id")
		}
		if err != nil {
			return err
		}
		old := row.ApiKey
		if old.RevokedAt != nil || old.ReplacedBy != nil || !old.ExpiresAt.After(row.ReadAt) {
			return fault.New(fault.WrongStatus, "This key was revoked, has expired, or was rotated before. Rotate the one that took its place, or make a new one.").At("id")
		}
		scopes := permissions(old.Scopes)
		if err := checkScopes(caller, scopes); err != nil {
			return fault.New(fault.ScopeNotAllowed, "You do not hold every permission among the scopes of this key. An owner of the tenant can rotate it, or you make a new one with fewer.").At("id")
		}
		if made, shown, err = addKey(ctx, q, caller, old.Name, scopes, row.ReadAt.Add(old.ExpiresAt.Sub(old.CreatedAt)), &key); err != nil {
			return err
		}
		ends := row.ReadAt.Add(overlap)
		if err := q.ReplaceAPIKey(ctx, controlsql.ReplaceAPIKeyParams{TenantID: caller.Tenant.ID, ID: key, ReplacedBy: &made.ID, ExpiresAt: ends}); err != nil {
			return err
		}
		if err := control.TellOfAPIKey(ctx, q, key); err != nil {
			return err
		}
		return control.Record(ctx, q, caller.Tenant.ID, &caller.User.ID, "api_key.rotated", key.UUID(), map[string]any{"replacedBy": made.ID, "overlapSeconds": int64(overlap.Seconds())})
	})
	if err != nil {
		return nil, "", err
	}
	return made, shown, nil
}

// RevokeAPIKey ends a key: here at once, on other servers as soon as they hear of it. One
// that was revoked before stays as it is.
//
// Errors: fault.NotFound at id. As a request: fault.Unauthenticated, fault.Forbidden.
func (s *Service) RevokeAPIKey(ctx context.Context, key id.APIKey) (*accountsql.ApiKey, error) {
	caller, err := Require(ctx, PermissionAPIKeysWrite)
	if err != nil {
		return nil, err
	}
	var revoked *accountsql.ApiKey
	err = s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		row, err := q.LockAPIKey(ctx, controlsql.LockAPIKeyParams{TenantID: caller.Tenant.ID, ID: key})
		if postgres.IsNoRows(err) {
			return fault.New(fault.NotFound, "There is no such key.").At("id")
		}
		if err != nil {
			return err
		}
		if row.ApiKey.RevokedAt != nil {
			revoked = new(accountsql.ApiKey(row.ApiKey))
			return nil
		}
		now, err := q.RevokeAPIKey(ctx, controlsql.RevokeAPIKeyParams{TenantID: caller.Tenant.ID, ID: key})
		if err != nil {
			return err
		}
		revoked = (*accountsql.ApiKey)(now)
		if err := control.TellOfAPIKey(ctx, q, key); err != nil {
			return err
		}
		return control.Record(ctx, q, caller.Tenant.ID, &caller.User.ID, "api_key.revoked", key.UUID(), map[string]any{"name": revoked.Name})
	})
	if err != nil {
		return nil, err
	}
	return revoked, nil
}

// roomForKey waits for whoever adds a key to the tenant just then, and counts.
//
// Errors: fault.LimitReached.
func roomForKey(ctx context.Context, q *controlsql.Queries, caller *Principal) error {
	if err := q.LockTenantForAPIKeys(ctx, controlsql.LockTenantForAPIKeysParams{ID: caller.Tenant.ID}); err != nil {
		return err
	}
	live, err := q.CountLiveAPIKeys(ctx, controlsql.CountLiveAPIKeysParams{TenantID: caller.Tenant.ID})
	if err == nil && live >= maxLiveKeys {
		err = fault.New(fault.LimitReached, "%d keys open this tenant, the most there may be. Revoke one that nothing uses.", maxLiveKeys)
	}
	return err
}

// addKey stores a new key of the caller's in the caller's transaction. replaces is the one
// whose place it takes, nil for none.
func addKey(ctx context.Context, q *controlsql.Queries, caller *Principal, name string, scopes []Permission, expires time.Time, replaces *id.APIKey) (*accountsql.ApiKey, string, error) {
	key := id.NewAPIKey()
	shown, hash := mintKey(caller.Tenant.ID, key)
	var stored []string
	for _, scope := range RoleOwner.Permissions() { // each once, in the usual order
		if slices.Contains(scopes, scope) {
			stored = append(stored, string(scope))
		}
	}
	row, err := q.CreateAPIKey(ctx, controlsql.CreateAPIKeyParams{
		TenantID: caller.Tenant.ID, ID: key, Name: name, Ending: shown[len(shown)-keyEnding:], Scopes: stored, CreatedBy: caller.User.ID, ExpiresAt: expires,
	})
	if err != nil {
		return nil, "", err
	}
	if err := q.CreateAPIKeySecret(ctx, controlsql.CreateAPIKeySecretParams{TenantID: caller.Tenant.ID, ID: key, SecretHash: hash}); err != nil {
		return nil, "", err
	}
	data := map[string]any{"name": name, "scopes": stored, "expiresAt": row.ExpiresAt}
	if replaces != nil {
		data["replaces"] = *replaces
	}
	return (*accountsql.ApiKey)(row), shown, control.Record(ctx, q, caller.Tenant.ID, &caller.User.ID, "api_key.created", key.UUID(), data)
}

// checkScopes tells whether a key of the caller's may have these scopes.
//
// Errors: fault.Invalid and fault.ScopeNotAllowed, both at scopes.
func checkScopes(caller *Principal, scopes []Permission) error {
	if len(scopes) == 0 {
		return fault.New(fault.Invalid, "Say what the key may do: at least one scope.").At("scopes")
	}
	for _, scope := range scopes {
		switch {
		case !forKeys(scope):
			return fault.New(fault.ScopeNotAllowed, "No key may have the scope %s: who may enter a tenant, and with which keys, is decided by people. Leave it out.", scope).At("scopes")
		case !caller.Can(scope):
			return fault.New(fault.ScopeNotAllowed, "You do not hold %s yourself, so no key of yours may have it. Leave it out, or let an owner of the tenant make the key.", scope).At("scopes")
		}
	}
	return nil
}
