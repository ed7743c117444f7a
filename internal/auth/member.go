package auth

import (
	"cmp"
	"context"
	"io"
	"slices"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/idempotency"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// MemberStatus is whether a member may come in, in the text that memberships store and
// GraphQL shows.
type MemberStatus string

// The statuses of a membership. A removed member keeps the row, so that old work still
// has a name.
const (
	MemberActive    MemberStatus = "ACTIVE"
	MemberSuspended MemberStatus = "SUSPENDED"
	MemberRemoved   MemberStatus = "REMOVED"
)

func (m MemberStatus) known() bool {
	return m == MemberActive || m == MemberSuspended || m == MemberRemoved
}

// MarshalGQL writes the status as a GraphQL enum value, and null for a text that is none.
func (m MemberStatus) MarshalGQL(w io.Writer) { writeEnum(w, string(m), m.known()) }

// UnmarshalGQL reads a GraphQL enum value; anything but the three statuses is
// fault.Invalid and leaves the receiver as it was.
func (m *MemberStatus) UnmarshalGQL(value any) error {
	text, _ := value.(string)
	if !MemberStatus(text).known() {
		return fault.New(fault.Invalid, "There is no such status. Choose ACTIVE, SUSPENDED or REMOVED.").At("status")
	}
	*m = MemberStatus(text)
	return nil
}

// MemberChange is what a member is to become. What is nil stays.
type MemberChange struct {
	Role   *Role
	Status *MemberStatus
}

// ChangeMember gives a member of the caller's tenant another role or status, once for
// each idempotency key. It holds from the commit on: every token that was issued to the
// member before is refused, here at once, on other servers as soon as they hear of it.
// A suspended member's sessions wait; what let a removed one in ends, API keys too. A
// change to what is there already is none.
//
// Errors: fault.NotFound at id for who is no member, or not any more; fault.LastOwner at
// id; fault.Forbidden for a member, or a role, that holds what the caller does not;
// fault.Reauthenticate for who is an owner, or is to be one.
func (s *Service) ChangeMember(ctx context.Context, caller *Principal, member id.Member, change MemberChange) (*accountsql.Membership, error) {
	row, err := onceInControl(ctx, s, func(q *controlsql.Queries) (*controlsql.Membership, error) {
		was, after, err := weigh(ctx, q, caller, member, change)
		if err != nil || after.Role == was.Role && after.Status == was.Status {
			return was, err
		}
		if err := s.recentFor(ctx, Role(was.Role), Role(after.Role)); err != nil {
			return nil, err
		}
		return setMember(ctx, q, &caller.User.ID, was, after)
	})
	return (*accountsql.Membership)(row), err
}

// onceInControl does a change of the control database once for each idempotency key.
func onceInControl[T any](ctx context.Context, s *Service, change func(*controlsql.Queries) (*T, error)) (*T, error) {
	return idempotency.OnceInControl(ctx, func(fn func(*controlsql.Queries) error) error { return s.db.InControlTx(ctx, fn) }, change)
}

// weigh reads the member and what it is to become, and refuses what the caller may not
// do. Whoever the decision rests on stays as it was until the transaction ends.
func weigh(ctx context.Context, q *controlsql.Queries, caller *Principal, member id.Member, change MemberChange) (row *controlsql.Membership, after controlsql.SetMembershipParams, err error) {
	rows, err := q.LockMembers(ctx, controlsql.LockMembersParams{TenantID: caller.Tenant.ID, ID: member, Asking: caller.User.ID})
	if err != nil {
		return nil, after, err
	}
	var mine Role // none, for who was removed since
	owners := 0
	for _, m := range rows {
		active := m.Status == string(MemberActive)
		if m.UserID == caller.User.ID && active {
			mine = Role(m.Role)
		}
		if m.Role == string(RoleOwner) && active {
			owners++
		}
		if m.ID == member && m.Status != string(MemberRemoved) {
			row = m
		}
	}
	if row == nil {
		return nil, after, fault.New(fault.NotFound, "There is no such member. Who was removed comes back by an invitation.").At("id")
	}
	after = controlsql.SetMembershipParams{TenantID: row.TenantID, UserID: row.UserID, Role: row.Role, Status: row.Status}
	if change.Role != nil {
		after.Role = string(*change.Role)
	}
	if change.Status != nil {
		after.Status = string(*change.Status)
	}
	owns := func(role, status string) bool { return role == string(RoleOwner) && status == string(MemberActive) }
	switch {
	case !mine.mayGive(Role(row.Role)), !mine.mayGive(Role(after.Role)):
		return nil, after, notYours()
	case owners == 1 && owns(row.Role, row.Status) && !owns(after.Role, after.Status):
		return nil, after, fault.New(fault.LastOwner, "This is the only owner, and a tenant needs one. Make somebody else an owner first.").At("id")
	}
	return row, after, nil
}

// setMember is the one place where a membership changes.
func setMember(ctx context.Context, q *controlsql.Queries, actor *id.User, was *controlsql.Membership, after controlsql.SetMembershipParams) (*controlsql.Membership, error) {
	changed, err := q.SetMembership(ctx, after)
	if err != nil {
		return nil, err
	}
	if changed.Status == string(MemberRemoved) {
		why := "member removed"
		if err := q.EndSessionsOfMember(ctx, controlsql.EndSessionsOfMemberParams{TenantID: changed.TenantID, UserID: changed.UserID, RevokedWhy: &why}); err != nil {
			return nil, err
		}
		if err := revokeKeysOf(ctx, q, actor, changed, why); err != nil {
			return nil, err
		}
	}
	if err := control.TellOfUser(ctx, q, changed.UserID); err != nil {
		return nil, err
	}
	shown := func(m *controlsql.Membership) map[string]any {
		return map[string]any{"role": m.Role, "status": m.Status}
	}
	return changed, control.Record(ctx, q, changed.TenantID, actor, "member.changed", changed.ID.UUID(), map[string]any{"before": shown(was), "after": shown(changed)})
}

// revokeKeysOf ends the API keys of a removed member. Should the person come back, the keys
// do not.
func revokeKeysOf(ctx context.Context, q *controlsql.Queries, actor *id.User, removed *controlsql.Membership, why string) error {
	keys, err := q.RevokeAPIKeysOfMember(ctx, controlsql.RevokeAPIKeysOfMemberParams{TenantID: removed.TenantID, CreatedBy: removed.UserID})
	if err != nil {
		return err
	}
	slices.SortFunc(keys, func(a, b *controlsql.ApiKey) int { return cmp.Compare(a.ID.String(), b.ID.String()) }) // as they were made, in the log
	for _, key := range keys {
		if err := control.TellOfAPIKey(ctx, q, key.ID); err != nil {
			return err
		}
		if err := control.Record(ctx, q, removed.TenantID, actor, "api_key.revoked", key.ID.UUID(), map[string]any{"name": key.Name, "why": why}); err != nil {
			return err
		}
	}
	return nil
}
