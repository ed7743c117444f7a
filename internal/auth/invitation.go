package auth

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/job"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/text"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

const (
	// invitationPurpose is what keyring.Keyring makes the tokens of invitations for.
	invitationPurpose = "invitation"
	// maxInvitations is how many of a tenant may be open: each is a mail to somebody who
	// did not ask for it.
	maxInvitations = 100
	// resendAfter is how long after a mail the same one may be sent again.
	resendAfter = time.Minute
)

// InvitationStatus is where an invitation stands, in the text that GraphQL shows.
type InvitationStatus string

// The statuses of an invitation.
const (
	InvitationOpen     InvitationStatus = "OPEN"
	InvitationExpired  InvitationStatus = "EXPIRED"
	InvitationAccepted InvitationStatus = "ACCEPTED"
	InvitationRevoked  InvitationStatus = "REVOKED"
)

// InvitationStatusOf is where an invitation stands at a moment.
func InvitationStatusOf(i *accountsql.Invitation, now time.Time) InvitationStatus {
	switch {
	case i.AcceptedAt != nil:
		return InvitationAccepted
	case i.RevokedAt != nil:
		return InvitationRevoked
	case !i.ExpiresAt.After(now):
		return InvitationExpired
	}
	return InvitationOpen
}

func (s InvitationStatus) known() bool {
	return s == InvitationOpen || s == InvitationExpired || s == InvitationAccepted || s == InvitationRevoked
}

// MarshalGQL writes the status as a GraphQL enum value, and null for a text that is none.
func (s InvitationStatus) MarshalGQL(w io.Writer) { writeEnum(w, string(s), s.known()) }

// UnmarshalGQL reads a GraphQL enum value; anything but the four is fault.Invalid and
// leaves the receiver as it was.
func (s *InvitationStatus) UnmarshalGQL(value any) error {
	text, _ := value.(string)
	if !InvitationStatus(text).known() {
		return fault.New(fault.Invalid, "There is no such status. Choose OPEN, EXPIRED, ACCEPTED or REVOKED.").At("status")
	}
	*s = InvitationStatus(text)
	return nil
}

// Invite asks an address to join the caller's tenant, by mail, once for each idempotency
// key. What is answered, and how much work it takes, is the same for an address with an
// account and for one without: only the mail tells its receiver.
//
// Errors: fault.Invalid and fault.Taken at email, the latter for a member and for an
// address whose invitation is open; fault.LimitReached for too many open ones;
// fault.Forbidden for a role that holds what the caller does not; fault.Reauthenticate
// for an owner.
func (s *Service) Invite(ctx context.Context, caller *Principal, email string, role Role) (*accountsql.Invitation, error) {
	if err := s.recentFor(ctx, role); err != nil {
		return nil, err
	}
	email, err := cleanEmail(email)
	if err != nil {
		return nil, err
	}
	made, err := onceInControl(ctx, s, func(q *controlsql.Queries) (*controlsql.Invitation, error) {
		if err := q.LockInvitationOfEmail(ctx, controlsql.LockInvitationOfEmailParams{TenantID: caller.Tenant.ID, Email: email}); err != nil {
			return nil, err
		}
		if err := lockInviter(ctx, q, caller, role); err != nil {
			return nil, err
		}
		known, err := q.GetInvitee(ctx, controlsql.GetInviteeParams{TenantID: caller.Tenant.ID, Email: email})
		if err != nil {
			return nil, err
		}
		switch {
		case known.IsMember:
			return nil, fault.New(fault.Taken, "A member has this address already. Change the role of the member instead.").At("email")
		case known.Open >= maxInvitations:
			return nil, fault.New(fault.LimitReached, "%d invitations are open. Wait until some are accepted, or revoke some.", maxInvitations)
		}
		made, err := q.CreateInvitation(ctx, controlsql.CreateInvitationParams{
			TenantID: caller.Tenant.ID, ID: id.NewInvitation(), Email: email, Role: string(role), InvitedBy: caller.User.ID,
		})
		if postgres.IsNoRows(err) {
			return nil, fault.New(fault.Taken, "There is an open invitation for this address. Send it again, or revoke it first.").At("email")
		}
		if err != nil {
			return nil, err
		}
		if err := sendInvitation(ctx, q, caller, made, known.HasAccount); err != nil {
			return nil, err
		}
		return made, control.Record(ctx, q, made.TenantID, &caller.User.ID, "invitation.created", made.ID.UUID(), invitationRecord(made))
	})
	return (*accountsql.Invitation)(made), err
}

// ResendInvitation sends the mail of an invitation again, and lets it last for another
// seven days from now, by the word of the caller, also where it came of a link: once for
// each idempotency key.
//
// Errors: fault.NotFound at id; fault.WrongStatus at id for one that was accepted or
// revoked; fault.LimitReached less than a minute after the last mail; fault.Forbidden as
// Invite.
func (s *Service) ResendInvitation(ctx context.Context, caller *Principal, of id.Invitation) (*accountsql.Invitation, error) {
	made, err := onceInControl(ctx, s, func(q *controlsql.Queries) (*controlsql.Invitation, error) {
		row, err := lockOpen(ctx, q, caller, of)
		if err != nil {
			return nil, err
		}
		if row.Invitation.SentAt.Add(resendAfter).After(row.ReadAt) {
			return nil, fault.New(fault.LimitReached, "This invitation was sent less than a minute ago. Give the mail time to arrive.")
		}
		renewed, err := q.RenewInvitation(ctx, controlsql.RenewInvitationParams{TenantID: caller.Tenant.ID, ID: of, InvitedBy: caller.User.ID})
		if err != nil {
			return nil, err
		}
		if err := sendInvitation(ctx, q, caller, renewed, row.HasAccount); err != nil {
			return nil, err
		}
		return renewed, control.Record(ctx, q, renewed.TenantID, &caller.User.ID, "invitation.resent", renewed.ID.UUID(), invitationRecord(renewed))
	})
	return (*accountsql.Invitation)(made), err
}

// RevokeInvitation takes an invitation back: its link works no more. Once for each
// idempotency key.
//
// Errors: fault.NotFound at id; fault.WrongStatus at id for one that was accepted or
// revoked; fault.Forbidden as Invite.
func (s *Service) RevokeInvitation(ctx context.Context, caller *Principal, of id.Invitation) (*accountsql.Invitation, error) {
	made, err := onceInControl(ctx, s, func(q *controlsql.Queries) (*controlsql.Invitation, error) {
		if _, err := lockOpen(ctx, q, caller, of); err != nil {
			return nil, err
		}
		revoked, err := q.RevokeInvitation(ctx, controlsql.RevokeInvitationParams{TenantID: caller.Tenant.ID, ID: of})
		if err != nil {
			return nil, err
		}
		return revoked, control.Record(ctx, q, revoked.TenantID, &caller.User.ID, "invitation.revoked", revoked.ID.UUID(), invitationRecord(revoked))
	})
	return (*accountsql.Invitation)(made), err
}

// lockInviter asks the database what the caller is now, and keeps it so until the
// transaction ends.
//
// Errors: fault.Forbidden.
func lockInviter(ctx context.Context, q *controlsql.Queries, caller *Principal, role Role) error {
	member, err := q.LockInviter(ctx, controlsql.LockInviterParams{TenantID: caller.Tenant.ID, UserID: caller.User.ID})
	if err != nil && !postgres.IsNoRows(err) {
		return err
	}
	if err != nil || !Role(member.Role).mayGive(role) {
		return notYours()
	}
	return nil
}

// lockOpen finds an invitation that waits for an answer, expired or not.
func lockOpen(ctx context.Context, q *controlsql.Queries, caller *Principal, of id.Invitation) (*controlsql.LockInvitationRow, error) {
	row, err := q.LockInvitation(ctx, controlsql.LockInvitationParams{TenantID: caller.Tenant.ID, ID: of})
	if postgres.IsNoRows(err) {
		return nil, fault.New(fault.NotFound, "There is no such invitation.").At("id")
	}
	if err != nil {
		return nil, err
	}
	if err := lockInviter(ctx, q, caller, Role(row.Invitation.Role)); err != nil {
		return nil, err
	}
	if row.Invitation.AcceptedAt != nil || row.Invitation.RevokedAt != nil {
		return nil, fault.New(fault.WrongStatus, "This invitation was accepted or revoked. Invite the address anew, if need be.").At("id")
	}
	return row, nil
}

// sendInvitation leaves the mail. Its token is made when it is sent, and stored nowhere.
func sendInvitation(ctx context.Context, q *controlsql.Queries, caller *Principal, i *controlsql.Invitation, hasAccount bool) error {
	return job.Send(ctx, q, invitationMail(caller.Tenant.Name, caller.User.DisplayName, i, hasAccount))
}

func invitationMail(tenant, by string, i *controlsql.Invitation, hasAccount bool) job.Mail {
	template := job.Invitation
	if hasAccount {
		template = job.InvitationToAccount
	}
	return job.Mail{
		Template: template, To: i.Email, Tenant: tenant, By: by, Role: Role(i.Role).plain(),
		Link: &job.Link{Path: job.PathInvite, Purpose: invitationPurpose, ID: i.ID.UUID()}, Until: i.ExpiresAt, Home: i.TenantID.UUID(),
	}
}

// plain is the role as people say it: "Admin".
func (r Role) plain() string { return string(r[:1]) + strings.ToLower(string(r[1:])) }

// invitationRecord is what the log keeps of an invitation.
func invitationRecord(i *controlsql.Invitation) map[string]any {
	record := map[string]any{"email": i.Email, "role": i.Role}
	if i.LinkID != nil {
		record["link"] = *i.LinkID
	}
	return record
}

// Acceptance is what somebody shows to join a tenant.
type Acceptance struct {
	Token string
	// Password is that of the account of the invited address or, where it has none, that
	// of the account to be made. nil: the caller is signed in as that account.
	Password *string
	// DisplayName is for an account to be made.
	DisplayName *string
}

// AcceptInvitation lets the person of the invited address into the tenant, and begins a
// session there. Who has no account gets one: that the token came to the mailbox confirms
// the address. Who was removed is a member again, with the role of the invitation.
//
// Errors, each naming its field: fault.BadCredential at token, the same for one that is
// unknown, used, expired, revoked, forged or vouched for by nobody any more, and for who
// is signed in with another address; at password for that of the account, if it is wrong;
// fault.Invalid at password and displayName; fault.Taken at token for who is a member
// already; fault.TenantSuspended at token. Without a field: fault.TenantMismatch.
func (s *Service) AcceptInvitation(ctx context.Context, a Acceptance) (*Session, *Membership, error) {
	caller, _ := FromContext(ctx)
	if a.Password == nil && caller == nil {
		return nil, nil, fault.New(fault.Invalid, "Choose a password for your new account, or give that of the account you have. Who is signed in needs none.").At("password")
	}
	invited, err := s.openInvitation(ctx, a.Token)
	if err != nil {
		return nil, nil, err
	}
	home := control.FromRow(&invited.Tenant)
	if a.Password == nil && caller.User.Email != invited.Invitation.Email {
		return nil, nil, noInvitation()
	}
	if err := agrees(ctx, home.Slug, home.ID.String()); err != nil {
		return nil, nil, err
	}
	if err := control.Serving(home); err != nil {
		return nil, nil, fault.At(err, "token")
	}
	g, err := s.guest(ctx, caller, invited.Invitation.Email, a)
	if err != nil {
		return nil, nil, err
	}
	var session *Session
	err = s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		session, err = s.admit(ctx, q, invited, g)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return session, &Membership{Tenant: home, Role: Role(invited.Invitation.Role)}, nil
}

// guest is who accepts an invitation.
type guest struct {
	user    id.User
	account *controlsql.GetUserForSignInRow // whose password they showed
	session *id.Session                     // in which they are signed in; nil: they showed a password
	name    string                          // of the account to be made
	hash    string                          // of its password; "": there is an account
}

func (s *Service) guest(ctx context.Context, caller *Principal, email string, a Acceptance) (g guest, err error) {
	if a.Password == nil {
		return guest{user: caller.User.ID, session: &caller.Session}, nil
	}
	known, err := s.db.Control().GetUserForSignIn(ctx, controlsql.GetUserForSignInParams{Email: email})
	if err != nil && !postgres.IsNoRows(err) {
		return g, err
	}
	if err == nil {
		account, err := s.checkPassword(ctx, email, *a.Password)
		return guest{user: known.User.ID, account: account}, err
	}
	if err := CheckNewPassword(*a.Password); err != nil {
		return g, err
	}
	if a.DisplayName == nil {
		return g, fault.New(fault.Invalid, "Say under which name the others will see you.").At("displayName")
	}
	g.user = id.NewUser()
	if g.name, err = text.Line("The display name", *a.DisplayName, 1, 100); err != nil {
		return g, fault.At(err, "displayName")
	}
	g.hash, err = s.passwords.Hash(ctx, *a.Password)
	return g, err
}

// admit does all of it or nothing. The invitation comes first, and before it the link that
// it came of, if any: of several who accept at once, the others wait there.
func (s *Service) admit(ctx context.Context, q *controlsql.Queries, invited *controlsql.GetOpenInvitationRow, g guest) (*Session, error) {
	i := &invited.Invitation
	if err := useLinkOf(ctx, q, i, &g.user); err != nil {
		return nil, err
	}
	_, err := q.AcceptInvitation(ctx, controlsql.AcceptInvitationParams{
		TenantID: i.TenantID, ID: i.ID, UserID: &g.user, Email: i.Email, Role: i.Role, LinkID: i.LinkID, InviterRole: invited.InviterRole,
	})
	if postgres.IsNoRows(err) {
		return nil, noInvitation()
	}
	if err != nil {
		return nil, err
	}
	until := s.tokens.now().Add(sessionLifetime)
	switch {
	case g.hash != "":
		err = storeUser(ctx, q, g.user, i.Email, g.name, g.hash)
	case g.account != nil:
		err = keepCredentials(ctx, q, g.account)
	case g.session != nil: // no longer than that, as SwitchTenant
		until, err = lockedUntil(ctx, q, *g.session, g.user)
	}
	if err != nil {
		return nil, err
	}
	member, err := q.AdmitMember(ctx, controlsql.AdmitMemberParams{TenantID: i.TenantID, ID: id.NewMember(), UserID: g.user, Role: i.Role, Again: i.LinkID == nil})
	if postgres.IsNoRows(err) {
		if i.LinkID != nil { // a member by now, or one who was removed, whom no link lets in
			return nil, noInvitation()
		}
		return nil, fault.New(fault.Taken, "You are a member of this tenant already: sign in to it.").At("token")
	}
	if err != nil {
		return nil, err
	}
	if err := control.TellOfUser(ctx, q, g.user); err != nil {
		return nil, err
	}
	if err := control.Record(ctx, q, i.TenantID, &g.user, "invitation.accepted", i.ID.UUID(), invitationRecord(i)); err != nil {
		return nil, err
	}
	if err := control.Record(ctx, q, i.TenantID, &g.user, "member.added", member.ID.UUID(), map[string]any{"role": member.Role}); err != nil {
		return nil, err
	}
	return s.beginUntil(ctx, q, g.user, i.TenantID, member.Epoch, until, g.session == nil)
}

// openInvitation finds the invitation of a token, if who sent it may still do so.
func (s *Service) openInvitation(ctx context.Context, token string) (*controlsql.GetOpenInvitationRow, error) {
	of, ok := s.ring.ParseToken(invitationPurpose, token)
	if !ok {
		of = uuid.Nil // which no invitation has, and is looked for all the same
	}
	row, err := s.db.Control().GetOpenInvitation(ctx, controlsql.GetOpenInvitationParams{Of: of})
	if postgres.IsNoRows(err) || err == nil && !Role(row.InviterRole).mayGive(Role(row.Invitation.Role)) {
		return nil, noInvitation()
	}
	return row, err
}

func noInvitation() error {
	return fault.New(fault.BadCredential, "This invitation is not valid, or not any more, or it is for another address than that of the account you are signed in with. Ask who invited you to send it again.").At("token")
}
