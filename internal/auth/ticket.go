package auth

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// ticketPurpose is what keyring.Keyring makes the codes of tickets for.
const ticketPurpose = "sign-in ticket"

// Entry is what a right password opens.
type Entry struct {
	Session     *Session     // nil where none could begin
	Memberships []Membership // of the person, in all tenants
	Ticket      string       // for SwitchTenant, where the person has yet to choose; else ""
}

// newTicket says for two minutes that a person gave their password, if it is theirs still.
func (s *Service) newTicket(ctx context.Context, account *controlsql.GetUserForSignInRow) (string, error) {
	ticket := id.New()
	err := s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if err := keepCredentials(ctx, q, account); err != nil {
			return err
		}
		return q.CreateSignInTicket(ctx, controlsql.CreateSignInTicketParams{ID: ticket, UserID: account.User.ID})
	})
	return s.ring.Token(ticketPurpose, ticket), err
}

// Memberships are the tenants that a person may enter, by slug.
func (s *Service) Memberships(ctx context.Context, user id.User) ([]Membership, error) {
	rows, err := s.db.Control().ListMembershipsOfUser(ctx, controlsql.ListMembershipsOfUserParams{UserID: user})
	return toMemberships(rows), err
}

func toMemberships(rows []*controlsql.ListMembershipsOfUserRow) []Membership {
	memberships := make([]Membership, len(rows))
	for i, row := range rows {
		memberships[i] = Membership{Tenant: control.FromRow(&row.Tenant), Role: Role(row.Membership.Role)}
	}
	return memberships
}

// SwitchTenant begins a session in a tenant of the person whose ticket it is or, without
// a ticket, of who asks. It is another session: that in which they ask stays, and the new
// one ends no later than it. A ticket is used up by the session that it begins alone.
//
// Errors, each naming its field: fault.BadCredential for a ticket, the same for every
// reason; fault.NotFound for a tenant that is unknown or not the person's;
// fault.TenantSuspended. Without a field: fault.Unauthenticated for nobody;
// fault.TenantMismatch.
func (s *Service) SwitchTenant(ctx context.Context, slug string, ticket *string) (*Session, *Membership, error) {
	var session *Session
	var entered *Membership
	var unfinished func() error
	err := s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		user, until, err := s.whoSwitches(ctx, q, ticket)
		if err != nil {
			return err
		}
		rows, err := q.ListMembershipsOfUser(ctx, controlsql.ListMembershipsOfUserParams{UserID: user})
		if err != nil {
			return err
		}
		memberships := toMemberships(rows)
		at := slices.IndexFunc(memberships, func(m Membership) bool { return m.Tenant.Slug == slug })
		if at < 0 {
			return notAMember()
		}
		t := memberships[at].Tenant
		if err := agrees(ctx, t.Slug, t.ID.String()); err != nil {
			return err
		}
		if err := control.Serving(t); err != nil {
			return fault.At(err, "tenant")
		}
		if rows[at].Tenant.DefaultsAt == nil {
			unfinished = func() error { return s.registry.EnsureDefaults(ctx, t.ID, user) }
		}
		entered = &memberships[at]
		session, err = s.beginUntil(ctx, q, user, t.ID, rows[at].Membership.Epoch, until, ticket != nil)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if unfinished != nil { // outside, since it takes connections of its own
		_ = unfinished() // the next sign-in does it, then
	}
	return session, entered, nil
}

// whoSwitches finds the person, and until when what they showed would have let them in.
//
// Errors: fault.BadCredential at "ticket"; fault.Unauthenticated.
func (s *Service) whoSwitches(ctx context.Context, q *controlsql.Queries, ticket *string) (user id.User, until time.Time, err error) {
	if ticket != nil {
		user, err = s.useTicket(ctx, q, *ticket)
		return user, s.tokens.now().Add(sessionLifetime), err
	}
	p, err := FromContext(ctx)
	if err != nil {
		return user, until, err
	}
	until, err = lockedUntil(ctx, q, p.Session, p.User.ID)
	return p.User.ID, until, err
}

// lockedUntil keeps a session from ending before the transaction does, and tells when it
// will.
//
// Errors: fault.Unauthenticated for one that has ended.
func lockedUntil(ctx context.Context, q *controlsql.Queries, session id.Session, user id.User) (time.Time, error) {
	held, err := q.LockSession(ctx, controlsql.LockSessionParams{ID: session, UserID: user})
	if postgres.IsNoRows(err) {
		return time.Time{}, ended()
	}
	if err != nil {
		return time.Time{}, err
	}
	return held.EndsAt, nil
}

func (s *Service) useTicket(ctx context.Context, q *controlsql.Queries, ticket string) (id.User, error) {
	refused := fault.New(fault.BadCredential, "This ticket is not valid, or not any more: it works once, for two minutes. Sign in again.").At("ticket")
	of, ok := s.ring.ParseToken(ticketPurpose, ticket)
	if !ok {
		of = uuid.Nil // which no ticket has, and is looked for all the same
	}
	user, err := q.UseSignInTicket(ctx, controlsql.UseSignInTicketParams{ID: of})
	if postgres.IsNoRows(err) {
		return user, refused
	}
	return user, err
}

func notAMember() error {
	return fault.New(fault.NotFound, "You are not a member of a tenant of that name. The memberships list those you are.").At("tenant")
}
