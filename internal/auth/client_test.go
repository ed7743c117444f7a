package auth_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/server"
)

const (
	cookieName    = "__Host-commonhold-refresh"
	fromTheCookie = `mutation { refreshSession(input: {}) { session { accessToken refreshToken } userErrors { field message code } } }`
	intoTheCookie = `mutation($i: SignInInput!) { signIn(input: $i) { session { accessToken refreshToken } userErrors { field message code } } }`
)

// browser sends a document as a page of the server's own origin does, but for what a
// test changes of it.
type browser struct {
	handler http.Handler
	cookie  string // as the header has it
	change  func(*http.Request)
}

type seenByPage struct {
	status  int
	body    string
	cookies []*http.Cookie
	access  string
	refresh *string
}

func (b browser) send(t testing.TB, document string, variables map[string]any) seenByPage {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "https://app.example.com/graphql", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", "https://app.example.com")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if b.cookie != "" {
		r.Header.Set("Cookie", b.cookie)
	}
	if b.change != nil {
		b.change(r)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	seen := seenByPage{status: w.Code, body: w.Body.String(), cookies: w.Result().Cookies()}
	type payload struct {
		Session *struct {
			AccessToken  string
			RefreshToken *string
		}
	}
	var answer struct {
		Data struct{ SignIn, RefreshSession, SwitchTenant, AcceptInvitation payload }
	}
	_ = json.Unmarshal(w.Body.Bytes(), &answer) // not every refusal is JSON of that form
	for _, p := range []payload{answer.Data.SignIn, answer.Data.RefreshSession, answer.Data.SwitchTenant, answer.Data.AcceptInvitation} {
		if p.Session != nil {
			seen.access, seen.refresh = p.Session.AccessToken, p.Session.RefreshToken
		}
	}
	return seen
}

// kept is the one cookie that an answer leaves, with the attributes that it must have.
func (s seenByPage) kept(t testing.TB) string {
	t.Helper()
	if len(s.cookies) != 1 {
		t.Fatalf("%d cookies: %s", len(s.cookies), s.body)
	}
	c := s.cookies[0]
	if c.Name != cookieName || c.Path != "/" || c.Domain != "" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.MaxAge != 14*24*60*60 {
		t.Errorf("the cookie is %+v", c)
	}
	if s.access == "" || s.refresh != nil || strings.Contains(s.body, "chr_") || !strings.HasPrefix(c.Value, "chr_") {
		t.Errorf("the token is not in the cookie alone: %s", s.body)
	}
	return cookieName + "=" + c.Value
}

// page is a browser at a server that is reached by any host, as in production.
func page(t testing.TB, api *apitest.API) browser {
	t.Helper()
	c := api.Config
	c.Localhost, c.Origins = false, []string{"https://other.example.com"}
	return browser{handler: server.New(c)}
}

func (b browser) with(cookie string, change func(*http.Request)) browser {
	b.cookie, b.change = cookie, change
	return b
}

func keeping(c *apitest.Client) map[string]any {
	return map[string]any{"i": map[string]any{"tenant": c.Tenant.Slug, "email": c.Email, "password": apitest.Password, "keepRefreshTokenInCookie": true}}
}

func TestTheRefreshTokenInACookie(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner, b := api.NewTenant(t), page(t, api)
	cookie := b.send(t, intoTheCookie, keeping(owner)).kept(t)

	// Two tabs at once get the same successor.
	var group sync.WaitGroup
	next := make([]string, 8)
	for i := range next {
		group.Go(func() { next[i] = b.with(cookie, nil).send(t, fromTheCookie, nil).kept(t) })
	}
	group.Wait()
	for _, one := range next {
		if one != next[0] || one == cookie {
			t.Errorf("two tabs got two successors, or the token of before: %q", next)
			break
		}
	}
	// A token in the input is answered in the body, whatever the cookie is.
	phone := signInOf(t, api, owner)
	in := b.with(next[0], nil).send(t, refresh, map[string]any{"t": phone})
	if in.refresh == nil || len(in.cookies) != 0 {
		t.Errorf("a token in the input: %s %v", in.body, in.cookies)
	}
	// Signing out takes it away.
	held := b.with(next[0], nil).send(t, fromTheCookie, nil)
	last := held.kept(t)
	out := b.with(last, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+held.access) }).send(t, `mutation { signOut { userErrors { code } } }`, nil)
	if len(out.cookies) != 1 || out.cookies[0].Name != cookieName || out.cookies[0].Value != "" || out.cookies[0].MaxAge != -1 || !out.cookies[0].Secure || out.cookies[0].Path != "/" {
		t.Errorf("signing out leaves %v: %s", out.cookies, out.body)
	}
	if again := b.with(last, nil).send(t, fromTheCookie, nil); again.access != "" || !strings.Contains(again.body, "BAD_CREDENTIALS") {
		t.Errorf("after signing out: %s", again.body)
	}
	// Who has no cookie is asked to forget none, and a registration keeps one too.
	if out := b.with("", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+owner.Token) }).send(t, `mutation { signOut { userErrors { code } } }`, nil); len(out.cookies) != 0 {
		t.Errorf("without a cookie: %v", out.cookies)
	}
	const register = `mutation { registerTenant(input: {tenantName: "New", slug: "kept-in-a-cookie", email: "cookie@tests.example", password: "a password, long enough", displayName: "New", keepRefreshTokenInCookie: true}) { confirmationSent session { refreshToken } userErrors { message } } }`
	if made := b.send(t, register, nil); len(made.cookies) != 0 || !strings.Contains(made.body, `"confirmationSent":true,"session":null`) {
		t.Errorf("registering by mail: %v %s", made.cookies, made.body)
	}
	const confirm = `mutation($t: String!) { confirmRegistration(input: {token: $t, password: "a password, long enough", keepRefreshTokenInCookie: true}) { session { refreshToken } userErrors { message } } }`
	var of uuid.UUID
	if err := pgtest.Superuser(t).QueryRow(t.Context(), `select id from control.registrations where email = 'cookie@tests.example'`).Scan(&of); err != nil {
		t.Fatal(err)
	}
	link := map[string]any{"t": api.Ring.Token("registration", of)}
	if made := b.send(t, confirm, link); len(made.cookies) != 1 || !strings.Contains(made.body, `"refreshToken":null`) {
		t.Errorf("confirming: %v %s", made.cookies, made.body)
	}
	if made := b.send(t, confirm, link); len(made.cookies) != 0 || !strings.Contains(made.body, `"session":null`) {
		t.Errorf("confirming again: %v %s", made.cookies, made.body)
	}
	const further = `mutation { registerTenant(input: {tenantName: "More", slug: "kept-in-a-cookie-too", keepRefreshTokenInCookie: true}) { session { refreshToken } userErrors { message } } }`
	if made := b.with("", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+api.NewTenant(t).Token) }).send(t, further, nil); len(made.cookies) != 1 || !strings.Contains(made.body, `"refreshToken":null`) {
		t.Errorf("a further tenant: %v %s", made.cookies, made.body)
	}
}

// Whatever begins a session can leave its token in the cookie, in place of the one that is
// there, whose session goes on; and where it begins none the cookie stays.
func TestEverySessionKeepsItsTokenInACookie(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner, guest, b := api.NewTenant(t), api.NewTenant(t), page(t, api)
	invite := func() string {
		t.Helper()
		var got struct {
			InviteMember struct{ Invitation struct{ ID id.Invitation } }
		}
		owner.Must(t, `mutation($e: String!) { inviteMember(input: {email: $e, role: VIEWER}) { invitation { id } } }`, map[string]any{"e": guest.Email}, &got)
		return api.Ring.Token("invitation", got.InviteMember.Invitation.ID.UUID())
	}
	const (
		joining   = `mutation($token: String!, $password: String, $keep: Boolean) { acceptInvitation(input: {token: $token, password: $password, keepRefreshTokenInCookie: $keep}) { session { accessToken refreshToken } userErrors { code } } }`
		switching = `mutation($tenant: String!, $keep: Boolean) { switchTenant(input: {tenant: $tenant, keepRefreshTokenInCookie: $keep}) { session { accessToken refreshToken } userErrors { code } } }`
	)
	begun := b.send(t, intoTheCookie, keeping(guest))
	at, token := begun.kept(t), invite()
	signedIn := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+begun.access) }
	elsewhere := func(r *http.Request) {
		r.Header.Set("Origin", "https://other.example.com")
		r.Header.Set("Sec-Fetch-Site", "same-site")
		signedIn(r)
	}
	// Refused, or without a session: nobody joins, and no cookie is left.
	for name, got := range map[string]seenByPage{
		"joining from elsewhere":   b.with("", elsewhere).send(t, joining, map[string]any{"token": token, "keep": true}),
		"joining in vain":          b.with(at, nil).send(t, joining, map[string]any{"token": token, "password": "a wrong password", "keep": true}),
		"switching from elsewhere": b.with("", elsewhere).send(t, switching, map[string]any{"tenant": guest.Tenant.Slug, "keep": true}),
		"switching to no tenant":   b.with(at, signedIn).send(t, switching, map[string]any{"tenant": "no-such-tenant", "keep": true}),
	} {
		if got.access != "" || len(got.cookies) != 0 {
			t.Errorf("%s: %s %v", name, got.body, got.cookies)
		}
	}
	cookies := []string{at, b.with(at, signedIn).send(t, joining, map[string]any{"token": token, "keep": true}).kept(t)}
	cookies = append(cookies, b.with(at, signedIn).send(t, switching, map[string]any{"tenant": owner.Tenant.Slug, "keep": true}).kept(t))
	want := []string{guest.Tenant.Slug, owner.Tenant.Slug, owner.Tenant.Slug}
	for i, cookie := range cookies {
		held := b.with(cookie, nil).send(t, fromTheCookie, nil)
		held.kept(t)
		if got := b.with("", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+held.access) }).send(t, `{ viewer { user { email } tenant { slug } } }`, nil).body; !strings.Contains(got, guest.Email) || !strings.Contains(got, want[i]) {
			t.Errorf("cookie %d is of %s", i, got)
		}
	}
	// Who does not ask for it has the token in the answer.
	for _, keep := range []any{nil, false} {
		if got := b.with(at, signedIn).send(t, switching, map[string]any{"tenant": owner.Tenant.Slug, "keep": keep}); got.refresh == nil || len(got.cookies) != 0 {
			t.Errorf("%v: %s %v", keep, got.body, got.cookies)
		}
	}
}

// signInOf begins another session, without a cookie.
func signInOf(t testing.TB, api *apitest.API, c *apitest.Client) (refreshToken string) {
	t.Helper()
	var got struct {
		SignIn struct{ Session struct{ RefreshToken string } }
	}
	api.Anonymous().Must(t, signIn, credentials(c, c.Email, apitest.Password), &got)
	return got.SignIn.Session.RefreshToken
}

// Everything that is not a page of this very origin with the one cookie is refused, and
// takes nothing from the session.
func TestCookieTricks(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	if err := api.Auth.SetBaseDomain("example.com"); err != nil {
		t.Fatal(err)
	}
	owner, other, b := api.NewTenant(t), api.NewTenant(t), page(t, api)
	cookie := b.send(t, intoTheCookie, keeping(owner)).kept(t)
	token := strings.TrimPrefix(cookie, cookieName+"=")
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, c := range map[string]struct {
		cookie string
		change func(*http.Request)
		want   string
	}{
		"none":                              {"", nil, "BAD_CREDENTIALS"},
		"an empty one":                      {cookieName + "=", nil, "BAD_CREDENTIALS"},
		"without its prefix":                {"commonhold-refresh=" + token, nil, "BAD_CREDENTIALS"},
		"with the weaker prefix":            {"__Secure-commonhold-refresh=" + token, nil, "BAD_CREDENTIALS"},
		"in small letters":                  {strings.ToLower(cookieName) + "=" + token, nil, "BAD_CREDENTIALS"},
		"two of them":                       {cookie + "; " + cookie, nil, "BAD_CREDENTIALS"},
		"another before it":                 {cookieName + "=chr_" + strings.Repeat("A", 43) + "; " + cookie, nil, "BAD_CREDENTIALS"},
		"two headers":                       {"", func(r *http.Request) { r.Header["Cookie"] = []string{cookie, cookie} }, "BAD_CREDENTIALS"},
		"cut short":                         {cookie[:len(cookie)-1], nil, "BAD_CREDENTIALS"},
		"an access token in it":             {cookieName + "=" + owner.Token, nil, "BAD_CREDENTIALS"},
		"an allowed page of another origin": {cookie, header("Origin", "https://other.example.com"), "BAD_CREDENTIALS"},
		"the same, from another site": {cookie, func(r *http.Request) {
			header("Origin", "https://other.example.com")(r)
			header("Sec-Fetch-Site", "cross-site")(r)
		}, "BAD_CREDENTIALS"},
		"a page of another origin": {cookie, func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); header("Origin", "https://evil.example")(r) }, "FORBIDDEN"},
		"cross-site":               {cookie, header("Sec-Fetch-Site", "cross-site"), "FORBIDDEN"},
		"a sister host":            {cookie, header("Sec-Fetch-Site", "same-site"), "FORBIDDEN"},
		"a form":                   {cookie, header("Content-Type", "text/plain"), "BAD_REQUEST"},
		"by GET": {cookie, func(r *http.Request) {
			r.Method, r.Body, r.URL.RawQuery = http.MethodGet, http.NoBody, "query=mutation%7BrefreshSession(input%3A%7B%7D)%7BuserErrors%7Bcode%7D%7D%7D"
		}, "BAD_REQUEST"},
		"at the host of another tenant": {cookie, func(r *http.Request) {
			r.Host = other.Tenant.Slug + ".example.com"
			r.Header.Set("Origin", "https://"+r.Host)
		}, "TENANT_MISMATCH"},
		"at the host of none":           {cookie, func(r *http.Request) { r.Host = "nobody-at-all.example.com"; r.Header.Set("Origin", "https://"+r.Host) }, "TENANT_MISMATCH"},
		"naming another tenant":         {cookie, header("X-Tenant-ID", other.Tenant.Slug), "TENANT_MISMATCH"},
		"beside another's access token": {"", header("Authorization", "Bearer "+owner.Token), "BAD_CREDENTIALS"},
	} {
		got := b.with(c.cookie, c.change).send(t, fromTheCookie, nil)
		if got.access != "" || len(got.cookies) != 0 || !strings.Contains(got.body, `"`+c.want+`"`) || strings.Contains(got.body, token) {
			t.Errorf("%s: %d %s, cookies %v, want %s", name, got.status, got.body, got.cookies, c.want)
		}
	}
	// Nothing of that used the token up, or ended its session.
	at := func(r *http.Request) {
		r.Host = owner.Tenant.Slug + ".example.com"
		r.Header.Set("Origin", "https://"+r.Host)
	}
	next := b.with(cookie, at).send(t, fromTheCookie, nil).kept(t)
	b.with(next, nil).send(t, fromTheCookie, nil).kept(t)

	// A page of elsewhere is not given a cookie that it would never get back, nor a session.
	for name, change := range map[string]func(*http.Request){"an allowed origin": header("Origin", "https://other.example.com")} {
		change := func(r *http.Request) { change(r); r.Header.Set("Sec-Fetch-Site", "same-site") }
		if got := b.with("", change).send(t, intoTheCookie, keeping(owner)); got.access != "" || len(got.cookies) != 0 || !strings.Contains(got.body, "BAD_REQUEST") {
			t.Errorf("%s: %s %v", name, got.body, got.cookies)
		}
	}
}

// Whoever plants a session in a browser finds nothing of its person in it: signing in
// always begins a session of its own, and never goes on with what was there.
func TestNoSessionIsFixed(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	victim, attacker, b := api.NewTenant(t), api.NewTenant(t), page(t, api)
	planted := b.send(t, intoTheCookie, keeping(attacker)).kept(t)
	with := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+attacker.Token) }
	begun := b.with(planted, with).send(t, intoTheCookie, keeping(victim))
	if mine := begun.kept(t); mine == planted {
		t.Error("the planted token is the victim's")
	}
	asks := func(cookie string) string {
		t.Helper()
		held := b.with(cookie, nil).send(t, fromTheCookie, nil)
		return b.with("", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+held.access) }).send(t, `{ viewer { user { email } tenant { slug } sessions { current } } }`, nil).body
	}
	if got := asks(planted); !strings.Contains(got, attacker.Email) || strings.Contains(got, victim.Email) {
		t.Errorf("the planted session is of %s", got)
	}
	if got := b.with("", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+begun.access) }).send(t, `{ viewer { user { email } } }`, nil).body; !strings.Contains(got, victim.Email) {
		t.Errorf("the victim's session is of %s", got)
	}
}
