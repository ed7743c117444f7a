// Package auth knows who asks: passwords, sessions, access tokens, and what a role
// may do.
package auth

import (
	"context"
	"slices"
	"time"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
)

// Principal is who asks: a person in one tenant, through one session, or a machine with
// an API key that the person made.
type Principal struct {
	User    *accountsql.User
	Tenant  *tenant.Tenant
	Role    Role
	Session id.Session // none where an API key asks
	Key     *Key       // nil where the person asks

	ConfirmedAt *time.Time // when the password was given in the session last; nil: never
}

// Permissions is what the principal may do.
func (p *Principal) Permissions() []Permission {
	return slices.DeleteFunc(p.Role.Permissions(), func(held Permission) bool { return !p.Can(held) })
}

// Can tells whether the principal holds the permission: of a key its scopes say so, and
// the role that its person has now.
func (p *Principal) Can(needed Permission) bool {
	return p.Role.Can(needed) && (p.Key == nil || slices.Contains(p.Key.Scopes, needed))
}

type principalKey struct{}

// NewContext returns a context in which p asks, for p's tenant.
func NewContext(ctx context.Context, p *Principal) context.Context {
	return tenant.NewContext(context.WithValue(ctx, principalKey{}, p), p.Tenant)
}

// FromContext is who asks.
//
// Errors: fault.Unauthenticated where nobody signed in.
func FromContext(ctx context.Context) (*Principal, error) {
	if p, ok := ctx.Value(principalKey{}).(*Principal); ok {
		return p, nil
	}
	return nil, fault.New(fault.Unauthenticated, "Sign in first, and send the access token as Authorization: Bearer ….")
}

// Require is FromContext for something that needs a permission.
//
// Errors: fault.Unauthenticated; fault.Forbidden.
func Require(ctx context.Context, needed Permission) (*Principal, error) {
	p, err := FromContext(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case p.Can(needed):
		return p, nil
	case p.Key == nil:
		return nil, fault.New(fault.Forbidden, "This needs the permission %s, which the role %s does not have. An owner of the tenant can change the role.", needed, p.Role)
	case !forKeys(needed):
		return nil, fault.New(fault.Forbidden, "This needs the permission %s, which no API key has: it is for people. Sign in, and ask with the access token.", needed)
	}
	return nil, fault.New(fault.Forbidden, "This needs the permission %s, which is not among the scopes of this API key, or which the member who made the key does not hold any more. Ask with a key that has it.", needed)
}

// Personal refuses API keys what concerns a person's own sessions and account, and in
// which other tenants the person is.
//
// Errors: fault.Forbidden.
func Personal(ctx context.Context) error {
	if p, err := FromContext(ctx); err == nil && p.Key != nil {
		return fault.New(fault.Forbidden, "This is for people: an API key has no session and no account. Ask with an access token, or without a credential where none is needed.")
	}
	return nil
}
