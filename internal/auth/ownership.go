package auth

import (
	"context"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/job"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// TransferOwnership makes another member of the caller's tenant an owner and the caller,
// who is one, an admin, in one transaction: other owners stay what they are. It holds as
// ChangeMember, and mails both. password may be nil where it was given in this session a
// short time ago.
//
// Errors, each naming its field: fault.Invalid at memberId for the caller; fault.NotFound
// at memberId for who is no member; fault.WrongStatus at memberId for who is suspended;
// fault.BadCredential at password. Without a field: fault.Forbidden for who is no owner;
// fault.Reauthenticate; fault.RateLimited.
func (s *Service) TransferOwnership(ctx context.Context, caller *Principal, member id.Member, password *string) (*accountsql.Membership, error) {
	if err := Personal(ctx); err != nil {
		return nil, err
	}
	var account *controlsql.GetUserForSignInRow
	var err error
	if password == nil {
		_, err = s.RequireRecent(ctx)
	} else {
		account, err = s.checkPassword(ctx, caller.User.Email, *password)
	}
	if err != nil {
		return nil, notThePassword(err, "password")
	}
	var owner *controlsql.Membership
	err = s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if account != nil {
			if err := keepCredentials(ctx, q, account); err != nil {
				return notThePassword(err, "password")
			}
		}
		mine, other, err := parties(ctx, q, caller, member)
		if err != nil {
			return err
		}
		owner = other
		if other.Role != string(RoleOwner) { // first: the tenant has an owner at each moment
			if owner, err = setMember(ctx, q, &caller.User.ID, other, inRole(other, RoleOwner)); err != nil {
				return err
			}
		}
		if _, err := setMember(ctx, q, &caller.User.ID, mine, inRole(mine, RoleAdmin)); err != nil {
			return err
		}
		if err := control.Record(ctx, q, caller.Tenant.ID, &caller.User.ID, "ownership.transferred", owner.ID.UUID(), map[string]any{"from": mine.ID, "to": owner.ID}); err != nil {
			return err
		}
		return tellOfOwner(ctx, q, caller, owner)
	})
	if err != nil {
		return nil, err
	}
	return (*accountsql.Membership)(owner), nil
}

// parties reads the memberships of who gives ownership away and of who is to have it, and
// keeps both as they are until the transaction ends.
//
// Errors: those of TransferOwnership.
func parties(ctx context.Context, q *controlsql.Queries, caller *Principal, member id.Member) (mine, other *controlsql.Membership, err error) {
	rows, err := q.LockMembers(ctx, controlsql.LockMembersParams{TenantID: caller.Tenant.ID, ID: member, Asking: caller.User.ID})
	if err != nil {
		return nil, nil, err
	}
	for _, m := range rows {
		if m.UserID == caller.User.ID && m.Role == string(RoleOwner) && m.Status == string(MemberActive) {
			mine = m
		}
		if m.ID == member && m.Status != string(MemberRemoved) {
			other = m
		}
	}
	switch {
	case mine == nil:
		return nil, nil, notYours()
	case other == nil:
		return nil, nil, fault.New(fault.NotFound, "There is no such member. Who was removed comes back by an invitation.").At("memberId")
	case other.ID == mine.ID:
		return nil, nil, fault.New(fault.Invalid, "You are an owner already. Name the member who is to be one in your place.").At("memberId")
	case other.Status != string(MemberActive):
		return nil, nil, fault.New(fault.WrongStatus, "This member is suspended. Reinstate them first.").At("memberId")
	}
	return mine, other, nil
}

func inRole(m *controlsql.Membership, role Role) controlsql.SetMembershipParams {
	return controlsql.SetMembershipParams{TenantID: m.TenantID, UserID: m.UserID, Role: string(role), Status: m.Status}
}

// tellOfOwner leaves a mail to both.
func tellOfOwner(ctx context.Context, q *controlsql.Queries, caller *Principal, owner *controlsql.Membership) error {
	user, err := q.GetUser(ctx, controlsql.GetUserParams{ID: owner.UserID})
	if err != nil {
		return err
	}
	for _, to := range []string{user.Email, caller.User.Email} {
		if err := job.Send(ctx, q, job.Mail{Template: job.OwnershipTransferred, To: to, Tenant: caller.Tenant.Name, Name: user.DisplayName, By: caller.User.DisplayName}); err != nil {
			return err
		}
	}
	return nil
}
