package auth_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/tenant"
)

// seen is what a handler behind the middleware finds in its context.
func seen(t *testing.T, s *auth.Service, authorization ...string) (who *auth.Principal, refusal error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/graphql", nil)
	r.Header["Authorization"] = authorization
	if authorization == nil {
		r.Header.Del("Authorization")
	}
	called := false
	s.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		called = true
		who, _ = auth.FromContext(r.Context())
		refusal = auth.Refusal(r.Context())
	})).ServeHTTP(httptest.NewRecorder(), r)
	if !called {
		t.Fatal("the request did not pass")
	}
	return who, refusal
}

func TestMiddlewareReadsTheHeader(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	c := api.NewTenant(t)
	if who, refusal := seen(t, api.Auth); who != nil || refusal != nil {
		t.Errorf("without a credential: %+v, %v", who, refusal)
	}
	for _, scheme := range []string{"Bearer", "bearer", "BEARER"} { // RFC 9110, section 11.1: in any case
		who, refusal := seen(t, api.Auth, scheme+" "+c.Token)
		if refusal != nil || who == nil || who.Tenant.ID != c.Tenant.ID || who.User.Email != c.Email || who.Role != auth.RoleOwner {
			t.Errorf("%s: %+v, %v", scheme, who, refusal)
		}
	}
	for name, header := range map[string][]string{
		"nothing":        {""},
		"no scheme":      {c.Token},
		"Basic":          {"Basic " + c.Token},
		"no token":       {"Bearer"},
		"an empty token": {"Bearer "},
		"two spaces":     {"Bearer  " + c.Token},
		"two tokens":     {"Bearer " + c.Token + " " + c.Token},
		"two headers":    {"Bearer " + c.Token, "Bearer " + c.Token},
		"a comma":        {"Bearer " + c.Token + ", Bearer " + c.Token},
		"a cut token":    {"Bearer " + c.Token[:len(c.Token)-1]},
	} {
		if who, refusal := seen(t, api.Auth, header...); who != nil || !fault.Is(refusal, fault.Unauthenticated) {
			t.Errorf("%s: %+v, %v", name, who, refusal)
		}
	}
}

const (
	signIn  = `mutation($i: SignInInput!) { signIn(input: $i) { session { accessToken refreshToken } memberships { role } userErrors { field message code } } }`
	refresh = `mutation($t: String!) { refreshSession(input: {refreshToken: $t}) { session { accessToken refreshToken } userErrors { field message code } } }`
)

func credentials(c *apitest.Client, email, password string) map[string]any {
	return map[string]any{"i": map[string]any{"tenant": c.Tenant.Slug, "email": email, "password": password}}
}

// An address without an account and a wrong password get the same answer, to the byte.
func TestRefusedSignInsAreAnsweredAlike(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	c := api.NewTenant(t)
	other := api.NewTenant(t)
	shown := func(a *apitest.Answer) string {
		a.Header.Del("X-Request-Id")
		a.Header.Del("Date")
		header, _ := json.Marshal(a.Header)
		return http.StatusText(a.Status) + string(header) + string(a.Body)
	}
	first := ""
	for name, asked := range map[string][2]string{
		"a wrong password":        {c.Email, "not the password at all"},
		"an empty password":       {c.Email, ""},
		"an unknown address":      {"nobody@tests.example", apitest.Password},
		"no address":              {"", apitest.Password},
		"a member of another one": {other.Email, "not the password at all"},
	} {
		a := api.Anonymous().Do(t, signIn, credentials(c, asked[0], asked[1]))
		if !strings.Contains(string(a.Body), `"BAD_CREDENTIALS"`) || a.Status != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
		if first == "" {
			first = shown(a)
		}
		if got := shown(a); got != first {
			t.Errorf("%s is told apart:\n%s\n%s", name, first, got)
		}
	}
}

// Who holds a dead token is refused, but can sign in and refresh with it in the
// header: that is how clients come back.
func TestOverHTTPASessionEndsAtOnce(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	c := api.NewTenant(t)
	var begun struct {
		SignIn struct {
			Session struct{ AccessToken, RefreshToken string }
		}
	}
	c.Must(t, signIn, credentials(c, c.Email, apitest.Password), &begun)
	second := *c
	second.Token = begun.SignIn.Session.AccessToken
	second.Must(t, `{ viewer { role } }`, nil, nil)
	var out struct {
		SignOut struct{ ClientMutationID string }
	}
	second.Must(t, `mutation { signOut(input: {clientMutationId: "note"}) { clientMutationId userErrors { code } } }`, nil, &out)
	if out.SignOut.ClientMutationID != "note" {
		t.Errorf("the client's note came back as %q", out.SignOut.ClientMutationID)
	}
	for _, document := range []string{`{ viewer { role } }`, `{ products { nodes { id } } }`, `mutation { signOut { clientMutationId } }`,
		`mutation { createCategory(input: {name: "Late"}) { category { id } } }`} {
		if a := second.Do(t, document, nil); a.Status != http.StatusUnauthorized || a.Code() != "UNAUTHENTICATED" || string(a.Data) != "null" && a.Data != nil {
			t.Errorf("after signing out, %s: %d %s", document, a.Status, a.Body)
		}
	}
	if a := second.Do(t, refresh, map[string]any{"t": begun.SignIn.Session.RefreshToken}); !strings.Contains(string(a.Body), `"BAD_CREDENTIALS"`) {
		t.Errorf("the refresh token of a session that ended: %s", a.Body)
	}
	if a := second.Do(t, signIn, credentials(c, c.Email, apitest.Password)); !strings.Contains(string(a.Body), `"accessToken"`) {
		t.Errorf("signing in again with the old token in the header: %s", a.Body)
	}
	c.Must(t, `{ viewer { role } }`, nil, nil) // the first session lives on
}

// What another hand changes holds from the next request on.
func TestOverHTTPRightsAreThoseOfTheMoment(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	c := api.NewTenant(t)
	member := c.Member(t, auth.RoleViewer)
	set := func(how string, active bool) {
		t.Helper()
		c.Must(t, `mutation($id: ID!) { done: `+how+` { member { id } userErrors { code } } }`, map[string]any{"id": member.Membership(t)}, nil)
		// Whose rights changed comes back with a token of the new ones.
		if a := member.Do(t, `{ viewer { role } }`, nil); a.Status != http.StatusUnauthorized || a.Code() != "UNAUTHENTICATED" {
			t.Errorf("the token from before: %d %s", a.Status, a.Body)
		}
		if active {
			session, _, err := api.Auth.SignIn(context.Background(), c.Tenant.Slug, member.Email, apitest.Password)
			if err != nil {
				t.Fatal(err)
			}
			member.Token = session.AccessToken
		}
	}
	create := func(name string) *apitest.Answer {
		return member.Do(t, `mutation($n: String!) { createCategory(input: {name: $n}) { category { id } userErrors { code } } }`, map[string]any{"n": name})
	}
	if a := create("One"); a.Code() != "FORBIDDEN" {
		t.Errorf("as a viewer: %s", a.Body)
	}
	set(`changeMemberRole(input: {id: $id, role: MEMBER})`, true)
	if a := create("One"); len(a.Errors) > 0 {
		t.Errorf("as a member: %s", a.Body)
	}
	set(`changeMemberRole(input: {id: $id, role: VIEWER})`, true)
	if a := create("Two"); a.Code() != "FORBIDDEN" {
		t.Errorf("as a viewer again: %s", a.Body)
	}
	set(`removeMember(input: {id: $id})`, false)
	if a := member.Do(t, `{ viewer { role } }`, nil); a.Status != http.StatusUnauthorized || a.Code() != "UNAUTHENTICATED" {
		t.Errorf("removed: %d %s", a.Status, a.Body)
	}
	pgtest.Change(t, api.Registry, c.Tenant.Slug, tenant.Suspended)
	if a := c.Do(t, `{ viewer { role } }`, nil); a.Status != http.StatusForbidden || a.Code() != "TENANT_SUSPENDED" {
		t.Errorf("suspended: %d %s", a.Status, a.Body)
	}
	if a := api.Anonymous().Do(t, signIn, credentials(c, c.Email, apitest.Password)); !strings.Contains(string(a.Body), `"TENANT_SUSPENDED"`) || strings.Contains(string(a.Body), "accessToken") {
		t.Errorf("signing in to a suspended tenant: %s", a.Body)
	}
	pgtest.Change(t, api.Registry, c.Tenant.Slug, tenant.Active)
	c.Must(t, `{ viewer { role } }`, nil, nil)
}
