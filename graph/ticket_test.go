package graph_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/server"
	"github.com/commonhold/commonhold/internal/tenant"
)

// widelyKnown is a person who owns two tenants.
type widelyKnown struct {
	*apitest.Client // in the first
	second          *tenant.Tenant
}

func newWidelyKnown(t testing.TB, api *apitest.API) *widelyKnown {
	t.Helper()
	p := &widelyKnown{Client: api.NewTenant(t)}
	slug := "t" + strings.ReplaceAll(id.New().String(), "-", "")[:31]
	var err error
	p.second, _, err = api.Auth.Register(t.Context(), auth.Registration{
		Tenant: control.Registration{Name: "Second", Slug: slug, Currency: "EUR"}, Email: p.Email, Password: apitest.Password, DisplayName: "Owner",
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ticket is what signing in without a tenant gives.
func (p *widelyKnown) ticket(t testing.TB, api *apitest.API) string {
	t.Helper()
	var got struct {
		SignIn struct {
			Session     *session
			Memberships []struct{ Tenant struct{ Slug string } }
			Ticket      string
			UserErrors  []userError
		}
	}
	api.Anonymous().Must(t, `mutation($email: String!, $password: String!) { signIn(input: {email: $email, password: $password}) {
		session { accessToken } memberships { tenant { slug } } ticket userErrors { field code } } }`, map[string]any{"email": p.Email, "password": apitest.Password}, &got)
	in := got.SignIn
	if in.Session != nil || len(in.Memberships) != 2 || in.Ticket == "" || len(in.UserErrors) != 1 || in.UserErrors[0].Code != "TENANT_REQUIRED" {
		t.Fatalf("signing in without a tenant: %+v", in)
	}
	return in.Ticket
}

const switchDocument = `mutation($tenant: String!, $ticket: String) { switchTenant(input: {tenant: $tenant, ticket: $ticket}) {
	session { accessToken refreshToken } membership { role tenant { slug } } userErrors { field message code } } }`

// switched is the session of an answer, nil without one.
func switched(t testing.TB, r reply) *session {
	t.Helper()
	var got struct {
		Data struct{ SwitchTenant struct{ Session *session } }
	}
	if err := json.Unmarshal([]byte(r.body), &got); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	return got.Data.SwitchTenant.Session
}

func switchTo(t testing.TB, api *apitest.API, token, slug string, ticket any, header map[string]string) reply {
	t.Helper()
	return ask(t, api, token, switchDocument, map[string]any{"tenant": slug, "ticket": ticket}, header)
}

func TestATicketBeginsOneSession(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	p := newWidelyKnown(t, api)
	for _, slug := range []string{p.Tenant.Slug, p.second.Slug} {
		ticket := p.ticket(t, api)
		began := switched(t, switchTo(t, api, "", slug, ticket, nil))
		if began == nil {
			t.Fatal("no session began")
		}
		if r := ask(t, api, began.AccessToken, `{ viewer { tenant { slug } role memberships { role tenant { slug } } } }`, nil, nil); !strings.Contains(r.body, `"viewer":{"tenant":{"slug":"`+slug+`"},"role":"OWNER"`) || strings.Count(r.body, `"role":"OWNER","tenant"`) != 2 {
			t.Errorf("the session is another: %s", r.body)
		}
		if again := switchTo(t, api, "", slug, ticket, nil); switched(t, again) != nil {
			t.Errorf("the ticket works twice: %s", again.body)
		}
	}
	// What could not begin a session uses nothing up.
	ticket := p.ticket(t, api)
	if r := switchTo(t, api, "", "no-such-tenant", ticket, nil); !strings.Contains(r.body, `"NOT_FOUND"`) {
		t.Error(r.body)
	}
	if r := switchTo(t, api, "", p.second.Slug, ticket, nil); switched(t, r) == nil {
		t.Error(r.body)
	}
	// Whose only tenant it is needs no ticket, and who has none can use none.
	if r := ask(t, api, "", `mutation($email: String!, $password: String!) { signIn(input: {email: $email, password: $password}) { ticket session { accessToken } } }`,
		map[string]any{"email": api.NewTenant(t).Email, "password": apitest.Password}, nil); !strings.Contains(r.body, `"ticket":null,"session":{`) {
		t.Error(r.body)
	}
}

// Of those who show one ticket at the same moment one comes in.
func TestATicketIsUsedByOneOfMany(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	p := newWidelyKnown(t, api)
	for range 5 {
		ticket, began := p.ticket(t, api), make(chan bool, 8)
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				r := switchTo(t, api, "", []string{p.Tenant.Slug, p.second.Slug}[i%2], ticket, nil)
				began <- strings.Contains(r.body, `"userErrors":[]`)
			})
		}
		group.Wait()
		close(began)
		n := 0
		for one := range began {
			if one {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d came in by one ticket", n)
		}
	}
}

// Whatever is wrong with a ticket, it is refused in the same bytes, after the same work.
func TestTicketsThatAreRefused(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	const purpose = "sign-in ticket"
	stranger, _, err := keyring.New()
	if err != nil {
		t.Fatal(err)
	}
	idOf := func(ticket string) uuid.UUID {
		t.Helper()
		of, ok := api.Ring.ParseToken(purpose, ticket)
		if !ok {
			t.Fatal("the ticket is none")
		}
		return of
	}
	changed := func(ticket string, at int) string {
		letter := byte('A')
		if ticket[at] == letter {
			letter = 'B'
		}
		return ticket[:at] + string(letter) + ticket[at+1:]
	}
	set := func(what string) func(*widelyKnown, string) any {
		return func(_ *widelyKnown, ticket string) any {
			exec(t, super, `update control.sign_in_tickets set `+what+` where id = $1`, idOf(ticket))
			return ticket
		}
	}
	password := func(p *widelyKnown, ticket string) any {
		exec(t, super, `update control.user_credentials as c set updated_at = clock_timestamp() from control.users as u where u.id = c.user_id and u.email = $1`, p.Email)
		return ticket
	}
	made := func(from func(ticket string) string) func(*widelyKnown, string) any {
		return func(_ *widelyKnown, ticket string) any { return from(ticket) }
	}
	var first reply
	for name, spoilt := range map[string]func(p *widelyKnown, ticket string) any{
		"an empty one":                    made(func(string) string { return "" }),
		"one that never was":              made(func(string) string { return api.Ring.Token(purpose, id.New()) }),
		"the nil id's":                    made(func(string) string { return api.Ring.Token(purpose, uuid.Nil) }),
		"one of another key":              made(func(x string) string { return stranger.Token(purpose, idOf(x)) }),
		"a token of an invitation":        made(func(x string) string { return api.Ring.Token("invitation", idOf(x)) }),
		"a token to reset a password":     made(func(x string) string { return api.Ring.Token("password reset", idOf(x)) }),
		"the id alone":                    made(func(x string) string { return idOf(x).String() }),
		"another id before the same code": made(func(x string) string { return changed(x, 6) }),
		"a code that is a bit off":        made(func(x string) string { return changed(x, len(x)-2) }),
		"one cut short":                   made(func(x string) string { return x[:len(x)-1] }),
		"one with a letter more":          made(func(x string) string { return x + "A" }),
		"one with padding":                made(func(x string) string { return x + "=" }),
		"one with a line break":           made(func(x string) string { return x[:9] + "\n" + x[9:] }),
		"one with a space":                made(func(x string) string { return " " + x }),
		"one with a NUL":                  made(func(x string) string { return x + "\x00" }),
		"one in capitals":                 made(strings.ToUpper),
		"one without its prefix":          made(func(x string) string { return x[4:] }),
		"two in one":                      made(func(x string) string { return x + "," + x }),
		"100 KB":                          made(func(string) string { return strings.Repeat("A", 100_000) }),
		"a statement":                     made(func(string) string { return "' or true --" }),
		"a refresh token":                 func(p *widelyKnown, _ string) any { return signIn(t, api, p.Client).RefreshToken },
		"an access token":                 func(p *widelyKnown, _ string) any { return p.Token },
		"one that was used":               set("used_at = now()"),
		"one that has expired":            set("expires_at = now()"),
		"one of before a new password":    password,
		"one of somebody who is gone": func(_ *widelyKnown, ticket string) any {
			exec(t, super, `delete from control.sign_in_tickets where id = $1`, idOf(ticket))
			return ticket
		},
	} {
		p := newWidelyKnown(t, api)
		for _, slug := range []string{p.second.Slug, "no-such-tenant"} {
			got := switchTo(t, api, "", slug, spoilt(p, p.ticket(t, api)), nil)
			if first.body == "" {
				first = got
			}
			if got.status != http.StatusOK || !strings.Contains(got.body, `"code":"BAD_CREDENTIALS"`) || got.shown() != first.shown() {
				t.Errorf("%s: %s\nand another:\n%s", name, got.shown(), first.shown())
			}
			if a, b := statements(t, got.header), statements(t, first.header); a != b {
				t.Errorf("%s: %d statements, and another %d", name, a, b)
			}
		}
	}
	// Nor does a ticket open anything else.
	p := newWidelyKnown(t, api)
	ticket := p.ticket(t, api)
	if r := ask(t, api, ticket, `{ viewer { role } }`, nil, nil); r.status != http.StatusUnauthorized {
		t.Errorf("as an access token: %s", r.body)
	}
	if r := ask(t, api, "", `mutation($t: String!) { refreshSession(input: {refreshToken: $t}) { session { accessToken } userErrors { code } } }`, map[string]any{"t": ticket}, nil); !strings.Contains(r.body, "BAD_CREDENTIALS") {
		t.Errorf("as a refresh token: %s", r.body)
	}
	var until, now time.Time
	if err := super.QueryRow(t.Context(), `select expires_at, created_at from control.sign_in_tickets where id = $1`, idOf(ticket)).Scan(&until, &now); err != nil || until.Sub(now) != 2*time.Minute {
		t.Errorf("a ticket lasts %s, %v", until.Sub(now), err)
	}
}

// A tenant that is not the person's is answered like none, by a ticket and by a session.
func TestSwitchingToATenantThatIsNotOnes(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t), func(c *server.Config) {
		c.Localhost = false
		if err := c.Resolver.Auth.SetBaseDomain("tenants.example"); err != nil {
			t.Fatal(err)
		}
	})
	super := pgtest.Superuser(t)
	p, foreign := newWidelyKnown(t, api), api.NewTenant(t)
	left := newWidelyKnown(t, api)
	beforeLeaving := left.ticket(t, api)
	exec(t, super, `update control.memberships set status = 'REMOVED', epoch = epoch + 1 where tenant_id = $1`, left.second.ID)

	var first reply
	for name, got := range map[string]reply{
		"a foreign tenant":                        switchTo(t, api, p.Token, foreign.Tenant.Slug, nil, nil),
		"a foreign tenant's id":                   switchTo(t, api, p.Token, foreign.Tenant.ID.String(), nil, nil),
		"one that never was":                      switchTo(t, api, p.Token, "no-such-tenant", nil, nil),
		"one's own in capitals":                   switchTo(t, api, p.Token, strings.ToUpper(p.second.Slug), nil, nil),
		"an empty name":                           switchTo(t, api, p.Token, "", nil, nil),
		"a NUL":                                   switchTo(t, api, p.Token, p.second.Slug+"\x00", nil, nil),
		"by a ticket, a foreign one":              switchTo(t, api, "", foreign.Tenant.Slug, p.ticket(t, api), nil),
		"by a ticket, none":                       switchTo(t, api, "", "no-such-tenant", p.ticket(t, api), nil),
		"one that one has left":                   switchTo(t, api, left.Token, left.second.Slug, nil, nil),
		"by a ticket of before, one that is left": switchTo(t, api, "", left.second.Slug, beforeLeaving, nil),
	} {
		if first.body == "" {
			first = got
		}
		if got.shown() != first.shown() || !strings.Contains(got.body, `"code":"NOT_FOUND"`) || strings.Contains(got.body, foreign.Tenant.Slug) {
			t.Errorf("%s: %s\nand another:\n%s", name, got.shown(), first.shown())
		}
	}

	other := map[string]string{"X-Tenant-ID": p.Tenant.Slug}
	host := map[string]string{"Host": p.Tenant.Slug + ".tenants.example"}
	for name, c := range map[string]struct {
		got  reply
		want string
	}{
		"nobody":                               {switchTo(t, api, "", p.second.Slug, nil, nil), "UNAUTHENTICATED"},
		"a ticket at the host of another":      {switchTo(t, api, "", p.second.Slug, p.ticket(t, api), host), "TENANT_MISMATCH"},
		"a ticket, with the header of another": {switchTo(t, api, "", p.second.Slug, p.ticket(t, api), other), "TENANT_MISMATCH"},
		"a session at the host of its own":     {switchTo(t, api, p.Token, p.second.Slug, nil, host), "TENANT_MISMATCH"},
		"a session, with its own in a header":  {switchTo(t, api, p.Token, p.second.Slug, nil, other), "TENANT_MISMATCH"},
		"a foreign one at its host":            {switchTo(t, api, "", foreign.Tenant.Slug, p.ticket(t, api), host), "NOT_FOUND"},
	} {
		if !strings.Contains(c.got.body, `"`+c.want+`"`) || strings.Contains(c.got.body, `"accessToken"`) {
			t.Errorf("%s: %s, want %s", name, c.got.body, c.want)
		}
	}
	if r := switchTo(t, api, "", p.second.Slug, p.ticket(t, api), map[string]string{"Host": p.second.Slug + ".tenants.example", "X-Tenant-ID": p.second.Slug}); switched(t, r) == nil {
		t.Errorf("at its own host: %s", r.body)
	}
	ticket := p.ticket(t, api)
	pgtest.Change(t, api.Registry, p.second.Slug, tenant.Suspended)
	for name, got := range map[string]reply{"a session": switchTo(t, api, p.Token, p.second.Slug, nil, nil), "a ticket": switchTo(t, api, "", p.second.Slug, ticket, nil)} {
		if !strings.Contains(got.body, `"code":"TENANT_SUSPENDED"`) || !strings.Contains(got.body, `["input","tenant"]`) {
			t.Errorf("%s: %s", name, got.body)
		}
	}
}

// A session that was switched to is another one, ends no later than that it came from,
// and does not begin once that has ended.
func TestASessionBeginsAnother(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	p := newWidelyKnown(t, api)
	from := signIn(t, api, p.Client)
	exec(t, super, `update control.sessions set expires_at = now() + interval '1 hour', ends_at = now() + interval '1 hour' where tenant_id = $1`, p.Tenant.ID)
	began := switched(t, switchTo(t, api, from.AccessToken, p.second.Slug, nil, nil))
	if began == nil {
		t.Fatal("no session began")
	}
	for token, slug := range map[string]string{from.AccessToken: p.Tenant.Slug, began.AccessToken: p.second.Slug} {
		if r := ask(t, api, token, `{ tenant { slug } }`, nil, nil); !strings.Contains(r.body, slug) {
			t.Errorf("a session of %s: %s", slug, r.body)
		}
	}
	if n := columnOne[int](t, super, `select count(*) from control.sessions where tenant_id = $1 and ends_at <= now() + interval '1 hour' and expires_at <= ends_at`, p.second.ID); n != 1 {
		t.Errorf("%d sessions end with the one they came from", n)
	}
	if n := columnOne[int](t, super, `select count(*) from control.access_events where tenant_id = $1 and action = 'session.started'`, p.second.ID); n != 2 { // with that of the registration
		t.Errorf("%d sessions are in the log", n)
	}
	exec(t, super, `update control.sessions set revoked_at = now(), revoked_why = 'by hand, unheard of' where tenant_id = $1`, p.Tenant.ID)
	if r := switchTo(t, api, from.AccessToken, p.second.Slug, nil, nil); !strings.Contains(r.body, `"UNAUTHENTICATED"`) {
		t.Errorf("after its end: %s", r.body)
	}
}

// One request holds one guess of a ticket.
func TestSwitchingStandsAlone(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	one := `switchTenant(input: {tenant: "a", ticket: "b"}) { session { accessToken } }`
	if r := ask(t, api, "", fmt.Sprintf(`mutation { a: %s b: %s }`, one, one), nil, nil); !strings.Contains(r.body, "must be the only field") {
		t.Error(r.body)
	}
}
