package server_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
)

const signUpDocument = `mutation($slug: String!, $email: String, $password: String, $name: String) {
	registerTenant(input: {tenantName: "New", slug: $slug, email: $email, password: $password, displayName: $name}) {
		tenant { slug } session { accessToken } confirmationSent userErrors { field message code }
	}
}`

// link is the token of the last link that was mailed to an address, made as the mail's is.
func link(t testing.TB, api *apitest.API, address string) string {
	t.Helper()
	var of uuid.UUID
	var purpose string
	err := pgtest.Superuser(t).QueryRow(t.Context(), `select (args -> 'link' ->> 'id')::uuid, args -> 'link' ->> 'purpose' from control.river_job
		where args ->> 'to' = $1 and args -> 'link' is not null order by id desc limit 1`, address).Scan(&of, &purpose)
	if err != nil {
		t.Fatalf("no link to %s: %v", address, err)
	}
	return api.Ring.Token(purpose, of)
}

// An address with an account and one without are answered alike, to the byte, also once
// they have to wait; nobody gets anywhere by it before the mail is confirmed.
func TestRegistrationsAreAnsweredAlike(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	unknown := "new-" + owner.Email
	db := pgtest.Superuser(t)
	before := fingerprint(t, db, owner.Tenant.ID)
	ask := func(email, slug string) *apitest.Answer {
		return api.Anonymous().Do(t, signUpDocument, map[string]any{"slug": slug, "email": email, "password": "what a stranger chose", "name": "Stranger"})
	}
	free := func() string { return "s" + strings.ReplaceAll(id.New().String(), "-", "")[:30] }
	for i := range 3 {
		known, none := ask(owner.Email, free()), ask(unknown, free())
		if shown(known) != shown(none) || !strings.Contains(string(known.Body), `{"tenant":null,"session":null,"confirmationSent":true,"userErrors":[]}`) {
			t.Errorf("time %d: %s\nand\n%s", i, shown(known), shown(none))
		}
	}
	known, none := ask(owner.Email, free()), ask(unknown, free())
	if known.Code() != "RATE_LIMITED" || none.Code() != "RATE_LIMITED" || known.Header.Get("Retry-After") == "" || none.Header.Get("Retry-After") == "" {
		t.Errorf("the fourth time: %s\n%s", known.Body, none.Body) // the seconds that are left may differ by one
	}
	known, none = ask(owner.Email, owner.Tenant.Slug), ask(unknown, owner.Tenant.Slug)
	if shown(known) != shown(none) || !strings.Contains(string(known.Body), `"TAKEN"`) {
		t.Errorf("a slug in use: %s\nand\n%s", shown(known), shown(none))
	}
	for _, email := range []string{owner.Email, unknown} {
		if in := signIn(t, api.Anonymous(), "", email, "what a stranger chose"); in.Session != nil || in.UserErrors[0].Code != "BAD_CREDENTIALS" {
			t.Errorf("%s: the password of a registration signs in: %+v", email, in)
		}
	}
	if now := fingerprint(t, db, owner.Tenant.ID); now != before {
		t.Errorf("somebody else's registrations changed the tenant:\n%s\n%s", before, now)
	}
}

// A machine makes no tenants. It may ask what everybody may.
func TestAnAPIKeyRegistersNothing(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	m, _ := machine(t, api, owner, "PRODUCTS_READ", "TENANT_WRITE")
	slug := "m" + owner.Tenant.Slug[1:]
	for name, document := range map[string]string{
		"registerTenant":      `mutation { registerTenant(input: {tenantName: "New", slug: "` + slug + `"}) { tenant { slug } } }`,
		"as nobody":           `mutation { registerTenant(input: {tenantName: "New", slug: "` + slug + `", email: "machine@tests.example", password: "a password, long enough", displayName: "M"}) { tenant { slug } } }`,
		"confirmRegistration": `mutation { confirmRegistration(input: {token: "cht_"}) { tenant { slug } } }`,
	} {
		if a := m.Do(t, document, nil); a.Code() != "FORBIDDEN" {
			t.Errorf("%s: %s", name, a.Body)
		}
	}
	var asked struct{ SlugAvailable bool }
	if m.Must(t, `query($slug: String!) { slugAvailable(slug: $slug) }`, map[string]any{"slug": slug}, &asked); !asked.SlugAvailable {
		t.Error("the slug is gone, or it may not ask")
	}
}
