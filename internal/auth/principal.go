// Package auth knows who asks: passwords, sessions, access tokens, and what a role
// may do.
package auth

import (
	"context"
	"time"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
)

// Principal is who asks: a person, in one tenant, through one session.
type Principal struct {
	User    *accountsql.User
	Tenant  *tenant.Tenant
	Role    Role
	Session id.Session

	ConfirmedAt *time.Time // when the password was given in the session last; nil: never
}

// Permissions is what the principal may do.
func (p *Principal) Permissions() []Permission { return p.Role.Permissions() }

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
	if !p.Role.Can(needed) {
		return nil, fault.New(fault.Forbidden, "This needs the permission %s, which the role %s does not have. An owner of the tenant can change the role.", needed, p.Role)
	}
	return p, nil
}
