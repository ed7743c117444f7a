package auth

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/job"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

const (
	// linkPurpose is what keyring.Keyring makes the tokens of invitation links for.
	linkPurpose = "invitation link"
	// maxLinks is how many of a tenant may be open.
	maxLinks = 20

	maxLinkDays    = 30
	maxLinkUses    = 1000
	maxLinkDomains = 20
)

// InvitationLinkStatus is where a link stands, in the text that GraphQL shows.
type InvitationLinkStatus string

// The statuses of an invitation link.
const (
	LinkOpen    InvitationLinkStatus = "OPEN"
	LinkExpired InvitationLinkStatus = "EXPIRED"
	LinkUsedUp  InvitationLinkStatus = "USED_UP"
	LinkRevoked InvitationLinkStatus = "REVOKED"
)

// InvitationLinkStatusOf is where a link stands at a moment.
func InvitationLinkStatusOf(l *accountsql.InvitationLink, now time.Time) InvitationLinkStatus {
	switch {
	case l.RevokedAt != nil:
		return LinkRevoked
	case l.Uses >= l.MaxUses:
		return LinkUsedUp
	case !l.ExpiresAt.After(now):
		return LinkExpired
	}
	return LinkOpen
}

func (s InvitationLinkStatus) known() bool {
	return s == LinkOpen || s == LinkExpired || s == LinkUsedUp || s == LinkRevoked
}

// MarshalGQL writes the status as a GraphQL enum value, and null for a text that is none.
func (s InvitationLinkStatus) MarshalGQL(w io.Writer) { writeEnum(w, string(s), s.known()) }

// UnmarshalGQL reads a GraphQL enum value; anything but the four is fault.Invalid and
// leaves the receiver as it was.
func (s *InvitationLinkStatus) UnmarshalGQL(value any) error {
	text, _ := value.(string)
	if !InvitationLinkStatus(text).known() {
		return fault.New(fault.Invalid, "There is no such status. Choose OPEN, EXPIRED, USED_UP or REVOKED.").At("status")
	}
	*s = InvitationLinkStatus(text)
	return nil
}

// NewLink is an invitation link to be made.
type NewLink struct {
	Role           Role
	AllowedDomains []string
	Days, MaxUses  int32
}

// CreateInvitationLink makes a link to the caller's tenant, by which whoever has an
// address at one of its domains may ask for an invitation. The token is returned and
// nowhere kept; who has the database alone cannot make it.
//
// Errors: fault.Invalid at role, allowedDomains, expiresInDays or maxUses;
// fault.LimitReached; fault.Forbidden for a role that holds what the caller does not;
// fault.Reauthenticate for one that may let in others itself.
func (s *Service) CreateInvitationLink(ctx context.Context, caller *Principal, l NewLink) (*accountsql.InvitationLink, string, error) {
	domains, err := cleanDomains(l.AllowedDomains)
	errs := []error{err}
	if l.Role == RoleOwner {
		errs = append(errs, fault.New(fault.Invalid, "Nobody becomes an owner by a link. Invite the person by their address.").At("role"))
	}
	if l.Days < 1 || l.Days > maxLinkDays {
		errs = append(errs, fault.New(fault.Invalid, "A link lasts 1 to %d days.", maxLinkDays).At("expiresInDays"))
	}
	if l.MaxUses < 1 || l.MaxUses > maxLinkUses {
		errs = append(errs, fault.New(fault.Invalid, "By a link 1 to %d people may join.", maxLinkUses).At("maxUses"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, "", err
	}
	if l.Role.Can(PermissionMembersWrite) {
		if _, err := s.RequireRecent(ctx); err != nil {
			return nil, "", err
		}
	}
	var made *controlsql.InvitationLink
	err = s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if err := lockInviter(ctx, q, caller, l.Role); err != nil {
			return err
		}
		open, err := q.CountOpenInvitationLinks(ctx, controlsql.CountOpenInvitationLinksParams{TenantID: caller.Tenant.ID})
		if err != nil {
			return err
		}
		if open >= maxLinks {
			return fault.New(fault.LimitReached, "%d links are open. Revoke one that nobody needs.", maxLinks)
		}
		made, err = q.CreateInvitationLink(ctx, controlsql.CreateInvitationLinkParams{
			TenantID: caller.Tenant.ID, ID: id.NewInvitationLink(), Role: string(l.Role), AllowedDomains: domains,
			MaxUses: l.MaxUses, CreatedBy: caller.User.ID, Days: l.Days,
		})
		if err != nil {
			return err
		}
		return control.Record(ctx, q, made.TenantID, &caller.User.ID, "invitation_link.created", made.ID.UUID(), linkRecord(made))
	})
	if err != nil {
		return nil, "", err
	}
	return (*accountsql.InvitationLink)(made), s.ring.Token(linkPurpose, made.ID.UUID()), nil
}

// RevokeInvitationLink takes a link back, and the invitations that came of it and wait for
// an answer. Once for each idempotency key.
//
// Errors: fault.NotFound at id; fault.WrongStatus at id for one that was revoked;
// fault.Forbidden as CreateInvitationLink.
func (s *Service) RevokeInvitationLink(ctx context.Context, caller *Principal, of id.InvitationLink) (*accountsql.InvitationLink, error) {
	made, err := onceInControl(ctx, s, func(q *controlsql.Queries) (*controlsql.InvitationLink, error) {
		link, err := q.LockInvitationLink(ctx, controlsql.LockInvitationLinkParams{TenantID: caller.Tenant.ID, ID: of})
		if postgres.IsNoRows(err) {
			return nil, fault.New(fault.NotFound, "There is no such link.").At("id")
		}
		if err != nil {
			return nil, err
		}
		// Before the tenant is locked, in the order of who revokes one of them.
		waiting, err := q.RevokeInvitationsOfLink(ctx, controlsql.RevokeInvitationsOfLinkParams{TenantID: caller.Tenant.ID, LinkID: &of})
		if err != nil {
			return nil, err
		}
		if err := lockInviter(ctx, q, caller, Role(link.Role)); err != nil {
			return nil, err
		}
		if link.RevokedAt != nil {
			return nil, fault.New(fault.WrongStatus, "This link was revoked before.").At("id")
		}
		revoked, err := q.RevokeInvitationLink(ctx, controlsql.RevokeInvitationLinkParams{TenantID: caller.Tenant.ID, ID: of})
		if err != nil {
			return nil, err
		}
		slices.SortFunc(waiting, func(a, b *controlsql.Invitation) int { return strings.Compare(a.ID.String(), b.ID.String()) }) // as they were made, in the log
		for _, i := range waiting {
			if err := control.Record(ctx, q, i.TenantID, &caller.User.ID, "invitation.revoked", i.ID.UUID(), invitationRecord(i)); err != nil {
				return nil, err
			}
		}
		return revoked, control.Record(ctx, q, revoked.TenantID, &caller.User.ID, "invitation_link.revoked", revoked.ID.UUID(), linkRecord(revoked))
	})
	return (*accountsql.InvitationLink)(made), err
}

// RequestToJoin sends an invitation to an address, for whoever shows the token of a link:
// the mail proves that the address is theirs. It answers alike, after the same
// statements, for an address with an account and without one, for that of a member, of
// whom no invitation is sent to, and where the last mail was sent a moment ago. Who was
// removed comes back by an invitation of their own, and not by a link.
//
// Errors, each naming its field: fault.BadCredential at token, the same for a link that is
// unknown, used up, expired, revoked, forged or vouched for by nobody any more;
// fault.TenantSuspended at token; fault.Invalid at email for what is no address, and for
// one at another domain. Without a field: fault.TenantMismatch, fault.RateLimited.
func (s *Service) RequestToJoin(ctx context.Context, token, email string) error {
	email, err := cleanEmail(email)
	if err != nil {
		return err
	}
	found, err := s.openLink(ctx, token)
	if err != nil {
		return err
	}
	link, home := &found.InvitationLink, control.FromRow(&found.Tenant)
	if err := agrees(ctx, home.Slug, home.ID.String()); err != nil {
		return err
	}
	if err := control.Serving(home); err != nil {
		return fault.At(err, "token")
	}
	if domain, ok := domainOf(email); !ok || !slices.Contains(link.AllowedDomains, domain) {
		return fault.New(fault.Invalid, "This link is for addresses at %s. Give yours there.", strings.Join(link.AllowedDomains, ", ")).At("email")
	}
	if err := s.countJoin(ctx, link); err != nil {
		return err
	}
	err = s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if _, err := s.countAttempt(ctx, q, joinsOfAddress, s.attemptKey(joinsOfAddress, link.ID.String(), email)); err != nil {
			return err
		}
		return s.offer(ctx, q, found, email)
	})
	if fault.Is(err, fault.RateLimited) {
		return nil // whoever has the mail of before can use it
	}
	return err
}

// countJoin counts who asks, by their network and by the link, in a transaction of its
// own: also what an address asks for too often.
func (s *Service) countJoin(ctx context.Context, link *controlsql.InvitationLink) error {
	ofLink := joinsOfLink
	ofLink.free = 2 * link.MaxUses // each may ask, and once more
	return s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if network := clientOf(ctx).network; network != "" {
			if _, err := s.countAttempt(ctx, q, joinsOfNetwork, s.attemptKey(joinsOfNetwork, network)); err != nil {
				return err
			}
		}
		_, err := s.countAttempt(ctx, q, ofLink, s.attemptKey(ofLink, link.ID.String()))
		return err
	})
}

// offer leaves an invitation and its mail where the address may have one, and does the
// same where it may not. The log has that somebody asked, either way.
func (s *Service) offer(ctx context.Context, q *controlsql.Queries, found *controlsql.GetOpenInvitationLinkRow, email string) error {
	link := &found.InvitationLink
	if _, err := q.HoldInvitationLink(ctx, controlsql.HoldInvitationLinkParams{TenantID: link.TenantID, ID: link.ID}); err != nil {
		if postgres.IsNoRows(err) {
			return noLink()
		}
		return err
	}
	known, err := q.GetInvitee(ctx, controlsql.GetInviteeParams{TenantID: link.TenantID, Email: email})
	if err != nil {
		return err
	}
	made, err := q.OfferByLink(ctx, controlsql.OfferByLinkParams{TenantID: link.TenantID, LinkID: link.ID, ID: id.NewInvitation().UUID(), Email: email})
	if postgres.IsNoRows(err) { // a mail that is not sent
		made = &controlsql.Invitation{TenantID: link.TenantID, ID: id.NewInvitation(), Email: email, Role: link.Role, ExpiresAt: link.ExpiresAt}
	} else if err != nil {
		return err
	}
	mail := invitationMail(found.Tenant.Name, found.CreatorName, made, known.HasAccount)
	if err := job.SendIfInvited(ctx, q, made.TenantID, made.ID, mail); err != nil {
		return err
	}
	if err := control.Record(ctx, q, link.TenantID, nil, "invitation_link.requested", link.ID.UUID(), map[string]any{"email": email}); err != nil {
		return err
	}
	return q.DeleteOldAttempts(ctx)
}

// openLink finds the link of a token, if who made it may still do so.
func (s *Service) openLink(ctx context.Context, token string) (*controlsql.GetOpenInvitationLinkRow, error) {
	of, ok := s.ring.ParseToken(linkPurpose, token)
	if !ok {
		of = uuid.Nil // which no link has, and is looked for all the same
	}
	row, err := s.db.Control().GetOpenInvitationLink(ctx, controlsql.GetOpenInvitationLinkParams{Of: of})
	if postgres.IsNoRows(err) || err == nil && !Role(row.CreatorRole).mayGive(Role(row.InvitationLink.Role)) {
		return nil, noLink()
	}
	return row, err
}

func noLink() error {
	return fault.New(fault.BadCredential, "This link is not valid, or not any more, or as many have joined by it as may. Ask who gave it to you for another.").At("token")
}

// useLinkOf counts the use of the link that an invitation came of, if it came of one. It
// comes before the invitation is locked, as in whatever locks both.
//
// Errors: fault.BadCredential at token where the link was used up meanwhile.
func useLinkOf(ctx context.Context, q *controlsql.Queries, i *controlsql.Invitation, user *id.User) error {
	if i.LinkID == nil {
		return nil
	}
	uses, err := q.UseInvitationLink(ctx, controlsql.UseInvitationLinkParams{TenantID: i.TenantID, ID: *i.LinkID})
	if postgres.IsNoRows(err) {
		return noInvitation()
	}
	if err != nil {
		return err
	}
	return control.Record(ctx, q, i.TenantID, user, "invitation_link.used", i.LinkID.UUID(), map[string]any{"invitation": i.ID, "email": i.Email, "uses": uses})
}

// linkRecord is what the log keeps of a link.
func linkRecord(l *controlsql.InvitationLink) map[string]any {
	return map[string]any{"role": l.Role, "allowedDomains": l.AllowedDomains, "maxUses": l.MaxUses, "uses": l.Uses, "expiresAt": l.ExpiresAt}
}

// cleanDomains takes in the domains of a link, each once, as they are compared.
//
// Errors: fault.Invalid at allowedDomains.
func cleanDomains(given []string) ([]string, error) {
	if len(given) == 0 || len(given) > maxLinkDomains {
		return nil, fault.New(fault.Invalid, "Say at which domains the addresses may be: 1 to %d.", maxLinkDomains).At("allowedDomains")
	}
	domains := make([]string, 0, len(given))
	for _, one := range given {
		domain, ok := asciiDomain(strings.TrimSpace(one))
		if !ok {
			return nil, fault.New(fault.Invalid, "Each domain must be one such as company.example, whole and without signs for others.").At("allowedDomains")
		}
		if suffix, _ := publicsuffix.PublicSuffix(domain); suffix == domain {
			return nil, fault.New(fault.Invalid, "Below one of these domains anybody can have a name. Give the domain of a company.").At("allowedDomains")
		}
		if !slices.Contains(domains, domain) {
			domains = append(domains, domain)
		}
	}
	return domains, nil
}

// domainOf is the domain of an address as it is compared. ok is false for one that no
// link allows, such as an IP address.
func domainOf(email string) (domain string, ok bool) {
	return asciiDomain(email[strings.LastIndexByte(email, '@')+1:])
}

// asciiDomain is a domain in lower case and ASCII, as mail to it is delivered (RFC 5891).
func asciiDomain(s string) (string, bool) {
	if len(s) > 4*253 { // before it is looked at
		return "", false
	}
	domain, err := idna.Lookup.ToASCII(s)
	if err != nil || len(domain) > 253 || !strings.Contains(domain, ".") {
		return "", false
	}
	if _, err := netip.ParseAddr(domain); err == nil {
		return "", false
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 {
			return "", false
		}
	}
	return domain, true
}
