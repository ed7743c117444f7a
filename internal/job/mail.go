// Package job does what must happen after a transaction and may take its time: it
// sends mail. Work is left in the transaction that causes it, so that neither happens
// without the other, and is done at least once.
package job

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/internal/text"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// Template names what a mail says.
type Template string

// The mails there are, and what of Mail each needs beside To.
const (
	Welcome             Template = "welcome"               // Tenant, Name: the registration is done
	TenantCreated       Template = "tenant_created"        // Tenant, Name, Link: a tenant was made for somebody who had no account
	ConfirmRegistration Template = "confirm_registration"  // Tenant, Link: to an address without an account
	AlreadyRegistered   Template = "already_registered"    // Tenant, Link: to one with an account
	Invitation          Template = "invitation"            // Tenant, By, Role, Link: to an address without an account
	InvitationToAccount Template = "invitation_to_account" // Tenant, By, Role, Link: to one with an account
	PasswordReset       Template = "password_reset"        // Name, Link
	PasswordChanged     Template = "password_changed"      // Name: a notice
	ConfirmEmail        Template = "confirm_email"         // Name, Link: to the new address
	EmailChange         Template = "email_change"          // Name, NewEmail: a notice to the old address

	OwnershipTransferred Template = "ownership_transferred" // Tenant, Name, By: a notice to both
)

// PurposeReset is what the token of a link is for by which a password is chosen.
const PurposeReset = "password reset"

// Where the links of mails lead, below the public URL.
const (
	PathConfirm = "/links/confirm"
	PathReset   = "/links/reset"
	PathInvite  = "/links/invite"
	PathEmail   = "/links/email"
)

// Mail is a mail that is to be sent. It lies in the database until it is, so it holds
// no secret: what a link carries is made when it is sent.
type Mail struct {
	Template Template `json:"template"`
	To       string   `json:"to"` // the address alone

	Tenant   string `json:"tenant,omitempty"`    // the tenant's name
	Name     string `json:"name,omitempty"`      // the display name of whom it is to, or about
	By       string `json:"by,omitempty"`        // the display name of who caused it
	Role     string `json:"role,omitempty"`      // as people say it: "Admin"
	NewEmail string `json:"new_email,omitempty"` // the address that takes the place of To

	// Home is the tenant in whose name it is sent: it waits while that is closed. Zero for
	// what is a person's own, such as a link to reset a password, and goes out whatever
	// becomes of a tenant.
	Home uuid.UUID `json:"home,omitzero"`

	Link *Link `json:"link,omitempty"`
	// Until is when the mail is of no use any more, such as when its link expires. A
	// mail that could not be sent until then is not sent. Zero: for days.
	Until time.Time `json:"until,omitzero"`
}

// Link is a link that only its receiver knows: the public URL, the path, and behind a
// "#" the token that keyring.Keyring.Token makes of purpose and id. Browsers keep what
// is behind it to themselves, so it reaches no server's log.
type Link struct {
	Path    string    `json:"path"` // one of the Path constants
	Purpose string    `json:"purpose"`
	ID      uuid.UUID `json:"id"`
}

// mail is a Mail as it lies in the database.
type mail struct {
	ID uuid.UUID `json:"id"` // the same in every attempt
	Mail
}

// Kind is River's name for the work.
func (mail) Kind() string { return "mail" }

const (
	queue       = "default"
	maxAttempts = 17 // with River's own waits, attempt⁴ seconds: three days
	maxName     = 200
)

// Send leaves a mail in the transaction of q: it is sent soon after the commit, and
// not at all if that does not come. One statement, whatever the mail.
//
// Errors: fault.Invalid for a name or address that no header can hold, which who
// stores it has refused before; an error without a code for a mail that is not whole.
func Send(ctx context.Context, q *controlsql.Queries, m Mail) error {
	args, err := m.write()
	if err != nil {
		return err
	}
	if err := q.CreateJob(ctx, controlsql.CreateJobParams{Kind: mail{}.Kind(), Queue: queue, Args: args, MaxAttempts: maxAttempts}); err != nil {
		return fmt.Errorf("leave a mail: %w", err)
	}
	return nil
}

// SendIfNoted is Send for a mail whose link was noted in mail_links by the transaction of
// q. Where it was not, because nobody has the address, the same is done and no mail left.
//
// Errors: as Send.
func SendIfNoted(ctx context.Context, q *controlsql.Queries, m Mail) error {
	args, err := m.write()
	if err != nil {
		return err
	}
	if err := q.CreateJobOfLink(ctx, controlsql.CreateJobOfLinkParams{Kind: mail{}.Kind(), Queue: queue, Args: args, MaxAttempts: maxAttempts, LinkID: m.Link.ID}); err != nil {
		return fmt.Errorf("leave a mail: %w", err)
	}
	return nil
}

// SendIfInvited is Send for the mail of an invitation that the transaction of q stored.
// Where it did not, because the address may have none, the same is done and no mail left.
//
// Errors: as Send.
func SendIfInvited(ctx context.Context, q *controlsql.Queries, t tenant.ID, invitation id.Invitation, m Mail) error {
	args, err := m.write()
	if err != nil {
		return err
	}
	if err := q.CreateJobOfInvitation(ctx, controlsql.CreateJobOfInvitationParams{Kind: mail{}.Kind(), Queue: queue, Args: args, MaxAttempts: maxAttempts, TenantID: t, InvitationID: invitation}); err != nil {
		return fmt.Errorf("leave a mail: %w", err)
	}
	return nil
}

// write is the mail as it lies in the database.
func (m Mail) write() ([]byte, error) {
	m, err := m.clean()
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewRandom() // tells its receiver nothing, unlike River's number
	if err != nil {
		return nil, fmt.Errorf("name a mail: %w", err)
	}
	args, err := json.Marshal(mail{ID: id, Mail: m})
	if err != nil {
		return nil, fmt.Errorf("write a mail down: %w", err)
	}
	return args, nil
}

// clean is the mail as it will be sent: addresses that are addresses, names of one
// line, and all that its template needs.
func (m Mail) clean() (Mail, error) {
	needed, ok := needs[m.Template]
	if !ok {
		return m, fmt.Errorf("there is no mail %q", m.Template)
	}
	var err error
	for _, field := range []struct {
		name  string
		value *string
	}{{"Tenant", &m.Tenant}, {"Name", &m.Name}, {"By", &m.By}, {"Role", &m.Role}} {
		minimum := 0
		if slices.Contains(needed, field.name) {
			minimum = 1
		}
		if *field.value, err = text.Line(field.name, *field.value, minimum, maxName); err != nil {
			return m, err
		}
	}
	if m.To, err = text.Email(m.To); err != nil {
		return m, err
	}
	if slices.Contains(needed, "NewEmail") {
		if m.NewEmail, err = text.Email(m.NewEmail); err != nil {
			return m, err
		}
	}
	if (m.Link != nil) != slices.Contains(needed, "Link") {
		return m, fmt.Errorf("the mail %q has a link where it needs none, or none where it needs one", m.Template)
	}
	if l := m.Link; l != nil {
		switch l.Path {
		case PathConfirm, PathReset, PathInvite, PathEmail:
		default:
			return m, fmt.Errorf("no link leads to %q", l.Path)
		}
		if l.Purpose == "" || l.ID == uuid.Nil {
			return m, fmt.Errorf("the link of the mail %q leads to nothing", m.Template)
		}
	}
	return m, nil
}

// needs says which fields a template needs.
var needs = map[Template][]string{
	Welcome:             {"Tenant", "Name"},
	TenantCreated:       {"Tenant", "Name", "Link"},
	ConfirmRegistration: {"Tenant", "Link"},
	AlreadyRegistered:   {"Tenant", "Link"},
	Invitation:          {"Tenant", "By", "Role", "Link"},
	InvitationToAccount: {"Tenant", "By", "Role", "Link"},
	PasswordReset:       {"Name", "Link"},
	PasswordChanged:     {"Name"},
	ConfirmEmail:        {"Name", "Link"},
	EmailChange:         {"Name", "NewEmail"},

	OwnershipTransferred: {"Tenant", "Name", "By"},
}
