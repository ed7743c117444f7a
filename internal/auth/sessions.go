package auth

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

const (
	// MaxSessions is how many sessions of a person are listed.
	MaxSessions = 100
	// confirmedFor is how long a password counts as just given.
	confirmedFor = 10 * time.Minute
)

// Sessions lists where the person of p is signed in, in all tenants: a device is the
// person's, and what opens a session in one tenant opens one in the others. The session
// of p comes first, then the latest; MaxSessions at most.
func (s *Service) Sessions(ctx context.Context, p *Principal) ([]*controlsql.ListSessionsOfUserRow, error) {
	return s.db.Control().ListSessionsOfUser(ctx, controlsql.ListSessionsOfUserParams{CurrentID: p.Session, UserID: p.User.ID})
}

// EndSession ends a session of the person of p: here at once, on other servers as soon
// as they hear of it.
//
// Errors: fault.NotFound at "id", the same for a session of others, one that has ended
// and none.
func (s *Service) EndSession(ctx context.Context, p *Principal, session id.Session) error {
	why := "signed out from another session"
	return s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		ended, err := q.RevokeSessionOfUser(ctx, controlsql.RevokeSessionOfUserParams{ID: session, UserID: p.User.ID, RevokedWhy: &why})
		if postgres.IsNoRows(err) {
			return fault.New(fault.NotFound, "You have no such session, or it has ended. The sessions of viewer are those that have not.").At("id")
		}
		if err != nil {
			return err
		}
		if err := control.TellOfSession(ctx, q, ended.ID); err != nil {
			return err
		}
		return control.Record(ctx, q, ended.TenantID, &p.User.ID, "session.ended", ended.ID.UUID(), map[string]any{"why": why})
	})
}

// SignOutEverywhere ends the sessions of the person of p in all tenants, that of p with
// them unless it is kept, and tells how many they were.
func (s *Service) SignOutEverywhere(ctx context.Context, p *Principal, keepCurrent bool) (ended int, err error) {
	var kept id.Session
	if keepCurrent {
		kept = p.Session
	}
	err = s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		ended, err = endAll(ctx, q, p.User.ID, kept, "signed out everywhere")
		return err
	})
	return ended, err
}

// endAll ends a person's sessions in all tenants but for the one that is kept, if any, in
// the caller's transaction, and what could begin another. The person is locked first: of
// a session that is being begun meanwhile, this waits, or one of the two fails.
func endAll(ctx context.Context, q *controlsql.Queries, user id.User, kept id.Session, why string) (int, error) {
	if _, err := q.LockUser(ctx, controlsql.LockUserParams{ID: user}); err != nil {
		return 0, err
	}
	if err := q.DeleteSignInTicketsOfUser(ctx, controlsql.DeleteSignInTicketsOfUserParams{UserID: user}); err != nil {
		return 0, err
	}
	ended, err := q.RevokeSessionsOfUser(ctx, controlsql.RevokeSessionsOfUserParams{UserID: user, KeptID: kept, RevokedWhy: &why})
	if err != nil {
		return 0, err
	}
	if err := control.TellOfUser(ctx, q, user); err != nil {
		return 0, err
	}
	slices.SortFunc(ended, func(a, b *controlsql.Session) int { return cmp.Compare(a.ID.String(), b.ID.String()) }) // as they began, in the log
	for _, one := range ended {
		if err := control.Record(ctx, q, one.TenantID, &user, "session.ended", one.ID.UUID(), map[string]any{"why": why}); err != nil {
			return 0, err
		}
	}
	return len(ended), nil
}

// RequireRecent is FromContext for something dangerous: the password must have been
// given in this session in the last ten minutes, at sign-in or by Confirm.
//
// Errors: fault.Unauthenticated; fault.Reauthenticate.
func (s *Service) RequireRecent(ctx context.Context) (*Principal, error) {
	p, err := FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if p.ConfirmedAt == nil || s.now().Sub(*p.ConfirmedAt) > confirmedFor {
		return nil, fault.New(fault.Reauthenticate, "This asks for your password again: it was last given more than ten minutes ago. Call reauthenticate with it, and then repeat this.")
	}
	return p, nil
}

// requireRecently is Require and RequireRecent.
func (s *Service) requireRecently(ctx context.Context, needed Permission) (*Principal, error) {
	if _, err := Require(ctx, needed); err != nil {
		return nil, err
	}
	return s.RequireRecent(ctx)
}

// recentFor is RequireRecent for who makes somebody an owner, or takes something from one.
func (s *Service) recentFor(ctx context.Context, roles ...Role) error {
	if !slices.Contains(roles, RoleOwner) {
		return nil
	}
	_, err := s.RequireRecent(ctx)
	return err
}

// Confirm checks the password of the person of p again and notes it in the session,
// for RequireRecent. It tells until when that counts.
//
// Errors: those of checking a password, at "password"; fault.Unauthenticated where the
// session has ended meanwhile.
func (s *Service) Confirm(ctx context.Context, p *Principal, password string) (until time.Time, err error) {
	if _, err := s.checkPassword(ctx, p.User.Email, password); err != nil {
		return until, notThePassword(err, "password")
	}
	err = s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		confirmed, err := q.ConfirmSession(ctx, controlsql.ConfirmSessionParams{ID: p.Session})
		if postgres.IsNoRows(err) {
			return ended()
		}
		if err != nil {
			return err
		}
		until = confirmed.Add(confirmedFor)
		if err := control.TellOfSession(ctx, q, p.Session); err != nil {
			return err
		}
		return control.Record(ctx, q, p.Tenant.ID, &p.User.ID, "session.confirmed", p.Session.UUID(), nil)
	})
	return until, err
}
