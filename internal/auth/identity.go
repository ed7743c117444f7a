package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/memory"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// identitiesSize is how many sessions a server remembers, at less than a kilobyte each.
const identitiesSize = 50_000

// holder is whom an access token names: one session of a person in a tenant.
type holder struct {
	session id.Session
	user    id.User
	tenant  tenant.ID
}

// identity is what the database says of a holder.
type identity struct {
	user    *accountsql.User
	role    Role
	epoch   int64     // of the membership
	expires time.Time // the session

	confirmed *time.Time // when the password was given in the session last
}

// newIdentities remembers who signed in: while changes are heard of, at most
// memory.MaxAge; else not at all.
func (s *Service) newIdentities() *memory.Memory[holder, *identity] {
	return memory.New(s.db.Changes(), memory.Options[holder, *identity]{
		Size: identitiesSize, Age: memory.MaxAge, Load: s.identify, Strict: true, Now: s.time,
		About: func(h holder) []uuid.UUID { return []uuid.UUID{h.session.UUID(), h.user.UUID(), h.tenant.UUID()} },
	})
}

// time is now, in tests another time.
func (s *Service) time() time.Time { return s.now() }

// Authenticate tells who shows this access token. Mostly it knows without asking the
// database, as the package memory has it.
//
// Errors: fault.Unauthenticated for a token that is not valid, whose session has
// ended, whose person is no member any more or has another role since;
// fault.TenantSuspended.
func (s *Service) Authenticate(ctx context.Context, token string) (*Principal, error) {
	claims, err := s.tokens.Verify(ctx, token)
	if err != nil {
		return nil, err
	}
	var h holder
	if err := errors.Join(h.session.UnmarshalText([]byte(claims.Session)), h.user.UnmarshalText([]byte(claims.User)), h.tenant.UnmarshalText([]byte(claims.Tenant))); err != nil {
		return nil, ended().Because(err)
	}
	known, err := s.identities.Get(ctx, h)
	if err == nil && (known.epoch < claims.Epoch || !known.expires.After(s.now())) {
		// The token is younger than what we remember: it was issued by another server,
		// whose word of the change has not come yet. Or the session may have been
		// refreshed since, of which nobody tells.
		known, err = s.identities.Fresh(ctx, h)
	}
	if err != nil {
		return nil, err
	}
	if !known.expires.After(s.now()) {
		return nil, ended()
	}
	if known.epoch != claims.Epoch {
		return nil, fault.New(fault.Unauthenticated, "What you may do in this tenant has changed. Refresh the session.")
	}
	open, err := s.registry.Open(ctx, h.tenant)
	if err != nil {
		return nil, err
	}
	return &Principal{User: known.user, Tenant: open, Role: known.role, Session: h.session, ConfirmedAt: known.confirmed}, nil
}

// identify asks the database who a holder is, and notes there that the session is
// used: often enough to tell when, and seldom enough to cost nothing.
func (s *Service) identify(ctx context.Context, h holder) (*identity, error) {
	row, err := s.db.Control().GetSessionOfToken(ctx, controlsql.GetSessionOfTokenParams{ID: h.session, UserID: h.user, TenantID: h.tenant})
	if postgres.IsNoRows(err) {
		return nil, ended()
	}
	if err != nil {
		return nil, err
	}
	role, err := ParseRole(row.Role)
	if err != nil {
		return nil, fmt.Errorf("role of member %s: %w", row.MembershipID, err)
	}
	if known, err := s.registry.Tenant(ctx, h.tenant); err == nil && known.Status != row.TenantStatus {
		s.registry.Forget(h.tenant) // it changed since the registry looked
	}
	if row.Unnoted {
		_ = s.db.Control().TouchSession(ctx, controlsql.TouchSessionParams{ID: h.session}) // next time, then
	}
	return &identity{
		user: &accountsql.User{ID: row.UserID, Email: row.Email, DisplayName: row.DisplayName, CreatedAt: row.CreatedAt},
		role: role, epoch: row.Epoch, expires: row.ExpiresAt, confirmed: row.ConfirmedAt,
	}, nil
}

func ended() *fault.Error {
	return fault.New(fault.Unauthenticated, "This session has ended. Sign in again.")
}
