package job_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/job"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// every is one whole mail of each template, to an address of the test's own.
func every(t *testing.T) []job.Mail {
	t.Helper()
	to := uuid.NewString() + "@tests.example"
	link := func(path string) *job.Link { return &job.Link{Path: path, Purpose: "a test", ID: uuid.New()} }
	return []job.Mail{
		{Template: job.Welcome, To: to, Tenant: "Acme", Name: "Ada Lovelace"},
		{Template: job.ConfirmRegistration, To: to, Tenant: "Acme", Link: link(job.PathConfirm)},
		{Template: job.AlreadyRegistered, To: to, Tenant: "Acme", Link: link(job.PathConfirm)},
		{Template: job.Invitation, To: to, Tenant: "Acme", By: "Ada Lovelace", Role: "Admin", Link: link(job.PathInvite)},
		{Template: job.InvitationToAccount, To: to, Tenant: "Acme", By: "Ada Lovelace", Role: "Admin", Link: link(job.PathInvite)},
		{Template: job.PasswordReset, To: to, Name: "Ada Lovelace", Link: link(job.PathReset)},
		{Template: job.PasswordChanged, To: to, Name: "Ada Lovelace"},
		{Template: job.ConfirmEmail, To: to, Name: "Ada Lovelace", Link: link(job.PathEmail)},
		{Template: job.EmailChange, To: to, Name: "Ada Lovelace", NewEmail: "new@tests.example"},
		{Template: job.TenantCreated, To: to, Tenant: "Acme", Name: "ada", Link: link(job.PathReset)},
		{Template: job.OwnershipTransferred, To: to, Tenant: "Acme", Name: "Grace Hopper", By: "Ada Lovelace"},
	}
}

// stored counts the mails to an address that lie in the database.
func stored(t *testing.T, to string) (n int) {
	t.Helper()
	err := pgtest.Superuser(t).QueryRow(t.Context(), "select count(*) from control.river_job where args ->> 'to' = $1", to).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A mail and what caused it are stored together or not at all.
func TestSendIsOfItsTransaction(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	for _, m := range every(t) {
		changed := errors.New("changed its mind")
		send := func(then error) error {
			return w.DB.InControlTx(t.Context(), func(q *controlsql.Queries) error {
				if err := job.Send(t.Context(), q, m); err != nil {
					return err
				}
				return then
			})
		}
		if err := send(changed); !errors.Is(err, changed) {
			t.Fatalf("%s: %v", m.Template, err)
		}
		if n := stored(t, m.To); n != 0 {
			t.Fatalf("%s: %d mails of a transaction that was rolled back", m.Template, n)
		}
	}
	all := every(t)
	for i, m := range all {
		if err := w.DB.InControlTx(t.Context(), func(q *controlsql.Queries) error { return job.Send(t.Context(), q, m) }); err != nil {
			t.Fatalf("%s: %v", m.Template, err)
		}
		if n := stored(t, m.To); n != i+1 {
			t.Fatalf("%s: %d mails, want %d", m.Template, n, i+1)
		}
	}
}

// What no header can hold, and what is not whole, is refused before it is stored.
func TestSendRefuses(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	send := func(m job.Mail) error {
		return w.DB.InControlTx(context.Background(), func(q *controlsql.Queries) error { return job.Send(context.Background(), q, m) })
	}
	whole := job.Mail{Template: job.Invitation, To: "a@tests.example", Tenant: "Acme", By: "Ada", Role: "Admin", Link: &job.Link{Path: job.PathInvite, Purpose: "a test", ID: uuid.New()}}
	for name, spoil := range map[string]func(*job.Mail){
		"a line end in the address":  func(m *job.Mail) { m.To = "a@tests.example\r\nBcc: b@tests.example" },
		"two addresses":              func(m *job.Mail) { m.To = "a@tests.example, b@tests.example" },
		"a name with the address":    func(m *job.Mail) { m.To = "Ada <a@tests.example>" },
		"no address":                 func(m *job.Mail) { m.To = "" },
		"a long address":             func(m *job.Mail) { m.To = strings.Repeat("a", 300) + "@tests.example" },
		"a line end in the tenant":   func(m *job.Mail) { m.Tenant = "Acme\r\nBcc: b@tests.example" },
		"a line feed in the inviter": func(m *job.Mail) { m.By = "Ada\nX" },
		"a line separator":           func(m *job.Mail) { m.By = "Ada\u2028X" },
		"a zero byte":                func(m *job.Mail) { m.Role = "Ad\x00min" },
		"no UTF-8":                   func(m *job.Mail) { m.Tenant = "\xff" },
		"a long name":                func(m *job.Mail) { m.Tenant = strings.Repeat("x", 998) },
		"no inviter":                 func(m *job.Mail) { m.By = "" },
	} {
		m := whole
		if spoil(&m); !fault.Is(send(m), fault.Invalid) {
			t.Errorf("%s: %v", name, send(m))
		}
	}
	for name, spoil := range map[string]func(*job.Mail){
		"an unknown template":    func(m *job.Mail) { m.Template = "advertisement" },
		"no link":                func(m *job.Mail) { m.Link = nil },
		"a link that needs none": func(m *job.Mail) { m.Template = job.Welcome; m.Name = "Ada" },
		"a link elsewhere":       func(m *job.Mail) { m.Link = &job.Link{Path: "//evil.example", Purpose: "a test", ID: uuid.New()} },
		"a link to nothing":      func(m *job.Mail) { m.Link = &job.Link{Path: job.PathInvite, Purpose: "a test"} },
		"a link for nothing":     func(m *job.Mail) { m.Link = &job.Link{Path: job.PathInvite, ID: uuid.New()} },
	} {
		m := whole
		if spoil(&m); send(m) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := send(whole); err != nil {
		t.Errorf("the whole one: %v", err)
	}
}
