package server_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/google/go-cmp/cmp"

	"github.com/commonhold/commonhold"
	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/tenant"
)

const signInDocument = `mutation($tenant: String, $email: String!, $password: String!) {
	signIn(input: {tenant: $tenant, email: $email, password: $password}) {
		session { accessToken refreshToken expiresAt } memberships { tenant { slug } role } userErrors { field message code }
	}
}`

const refreshDocument = `mutation($token: String!) {
	refreshSession(input: {refreshToken: $token}) { session { accessToken refreshToken } userErrors { field message code } }
}`

// session is what signIn and refreshSession answer.
type session struct {
	Session    *struct{ AccessToken, RefreshToken string }
	UserErrors []struct {
		Field         []string
		Message, Code string
	}
}

func signIn(t testing.TB, c *apitest.Client, tenant, email, password string) session {
	t.Helper()
	var got struct{ SignIn session }
	c.Must(t, signInDocument, map[string]any{"tenant": tenant, "email": email, "password": password}, &got)
	return got.SignIn
}

func refresh(t testing.TB, c *apitest.Client, token string) session {
	t.Helper()
	var got struct{ RefreshSession session }
	c.Must(t, refreshDocument, map[string]any{"token": token}, &got)
	return got.RefreshSession
}

// shown is everything of an answer that a caller sees, but what is new each time.
func shown(a *apitest.Answer) string {
	header := a.Header.Clone()
	header.Del("Date")
	header.Del("X-Request-Id")
	var b bytes.Buffer
	_ = header.Write(&b)
	return b.String() + "\n" + string(a.Body)
}

func TestWrongPasswordIsAnsweredAsAnUnknownAddress(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	db := pgtest.Superuser(t)
	before := fingerprint(t, db, owner.Tenant.ID)

	attempt := func(tenant, email, password string) *apitest.Answer {
		return api.Anonymous().Do(t, signInDocument, map[string]any{"tenant": tenant, "email": email, "password": password})
	}
	wrong := attempt(owner.Tenant.Slug, owner.Email, "not the password at all")
	var got struct{ SignIn session }
	if err := json.Unmarshal(wrong.Data, &got); err != nil {
		t.Fatalf("%v: %s", err, wrong.Body)
	}
	if got.SignIn.Session != nil || len(got.SignIn.UserErrors) != 1 || got.SignIn.UserErrors[0].Code != "BAD_CREDENTIALS" {
		t.Fatalf("answer to a wrong password: %s", wrong.Body)
	}
	if strings.Contains(string(wrong.Body), "not the password") || strings.Contains(string(wrong.Body), owner.Email) || strings.Contains(string(wrong.Body), owner.Tenant.Slug) {
		t.Errorf("the answer repeats what was sent, or names a tenant: %s", wrong.Body)
	}
	for name, other := range map[string]*apitest.Answer{
		"an unknown address":               attempt(owner.Tenant.Slug, "nobody-"+owner.Email, "not the password at all"),
		"the right one of somebody else":   attempt(owner.Tenant.Slug, "nobody-"+owner.Email, apitest.Password),
		"a tenant that does not exist":     attempt("no-such-tenant", owner.Email, "not the password at all"),
		"no tenant":                        attempt("", owner.Email, "not the password at all"),
		"no password":                      attempt(owner.Tenant.Slug, owner.Email, ""),
		"no address":                       attempt(owner.Tenant.Slug, "", apitest.Password),
		"NUL in the address":               attempt(owner.Tenant.Slug, owner.Email+"\x00", apitest.Password),
		"NUL in the password":              attempt(owner.Tenant.Slug, owner.Email, apitest.Password+"\x00"),
		"a password of 10,000 characters":  attempt(owner.Tenant.Slug, owner.Email, strings.Repeat("x", 10_000)),
		"an address of 10,000 characters":  attempt(owner.Tenant.Slug, strings.Repeat("x", 10_000)+"@tests.example", "x"),
		"a pattern for an address":         attempt(owner.Tenant.Slug, "%", apitest.Password),
		"an address with a statement":      attempt(owner.Tenant.Slug, "' or true --", apitest.Password),
		"a password that begins the right": attempt(owner.Tenant.Slug, owner.Email, apitest.Password[:len(apitest.Password)-1]),
	} {
		if shown(other) != shown(wrong) {
			t.Errorf("%s is answered\n%s\na wrong password\n%s", name, shown(other), shown(wrong))
		}
	}
	if fingerprint(t, db, owner.Tenant.ID) != before {
		t.Error("a refused sign-in changed the tenant")
	}
	if signIn(t, api.Anonymous(), owner.Tenant.Slug, owner.Email, apitest.Password).Session == nil {
		t.Error("the right password does not sign in")
	}
}

// forge signs claims with a key, right or wrong.
func forge(t testing.TB, key auth.SigningKey, header, claims map[string]any) string {
	t.Helper()
	var parts []string
	for _, part := range []map[string]any{header, claims} {
		text, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(text))
	}
	signed := strings.Join(parts, ".")
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key.Private, []byte(signed)))
}

// opened is a token's header and claims.
func opened(t testing.TB, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	for i, into := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func with(members map[string]any, name string, value any) map[string]any {
	changed := maps.Clone(members)
	changed[name] = value
	return changed
}

func TestRefusedTokens(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner, other := api.NewTenant(t), api.NewTenant(t)
	stranger, err := auth.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	header, claims := opened(t, owner.Token)
	_, theirs := opened(t, other.Token)
	// What forge makes of the token's own parts is accepted: the refusals below
	// are for what each row changes.
	same := api.Anonymous()
	same.Token = forge(t, api.Key, header, claims)
	same.Must(t, `{ viewer { role } }`, nil, nil)

	hour := 3600.0
	now := float64(time.Now().Unix())
	expired := maps.Clone(claims)
	expired["iat"], expired["exp"] = now-hour, now-hour+600
	signedOut := api.NewTenant(t)
	signedOut.Must(t, `mutation { signOut { userErrors { code } } }`, nil, nil)

	refused := map[string]string{
		"expired":                        "Bearer " + forge(t, api.Key, header, expired),
		"signed by a stranger":           "Bearer " + forge(t, stranger, header, claims),
		"signed by a stranger's key id":  "Bearer " + forge(t, stranger, with(header, "kid", stranger.ID), claims),
		"without an algorithm":           "Bearer " + forge(t, api.Key, with(header, "alg", "none"), claims),
		"of another algorithm":           "Bearer " + forge(t, api.Key, with(header, "alg", "HS256"), claims),
		"with something critical":        "Bearer " + forge(t, api.Key, with(header, "crit", []string{"b64"}), claims),
		"for another tenant":             "Bearer " + forge(t, api.Key, header, with(claims, "tid", theirs["tid"])),
		"for another person":             "Bearer " + forge(t, api.Key, header, with(claims, "sub", theirs["sub"])),
		"of another session":             "Bearer " + forge(t, api.Key, header, with(claims, "sid", theirs["sid"])),
		"of a tenant that is no id":      "Bearer " + forge(t, api.Key, header, with(claims, "tid", "ten_x")),
		"from somewhere else":            "Bearer " + forge(t, api.Key, header, with(claims, "iss", "https://elsewhere.example")),
		"for somebody else":              "Bearer " + forge(t, api.Key, header, with(claims, "aud", "elsewhere")),
		"that lives for ever":            "Bearer " + forge(t, api.Key, header, with(claims, "exp", now+1e6)),
		"of a session that has ended":    "Bearer " + signedOut.Token,
		"cut short":                      "Bearer " + owner.Token[:len(owner.Token)-1],
		"that is none":                   "Bearer not-a-token",
		"that is empty":                  "Bearer ",
		"of 10 KB":                       "Bearer " + strings.Repeat("a", 10<<10),
		"without a scheme":               owner.Token,
		"of another scheme":              "Basic " + base64.StdEncoding.EncodeToString([]byte(owner.Email+":"+apitest.Password)),
		"with something else behind it":  "Bearer " + owner.Token + ", Bearer " + other.Token,
		"with the refresh token instead": "Bearer chr_" + base64.RawURLEncoding.EncodeToString(make([]byte, 32)),
	}
	var one sync.Mutex // more sign-ins of one account at the same moment than may be guesses would wait
	for name, authorization := range refused {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := api.Anonymous()
			c.Header.Set("Authorization", authorization)
			secret := strings.TrimSpace(authorization[strings.LastIndexByte(authorization, ' ')+1:])
			for _, document := range []string{
				`{ viewer { user { email } } }`,
				`{ __typename }`,
				`mutation { createCategory(input: {name: "x"}) { category { id } } }`,
				`mutation { signOut { userErrors { code } } }`,
				`mutation { registerTenant(input: {tenantName: "n", slug: "s", email: "a", password: "b", displayName: "d"}) { tenant { id } } }`,
				`mutation { ...f } fragment f on Mutation { signIn(input: {email: "a", password: "b"}) { session { accessToken } } }`,
			} {
				a := c.Do(t, document, nil)
				if a.Status != http.StatusUnauthorized || a.Code() != "UNAUTHENTICATED" || a.Header.Get("WWW-Authenticate") != `Bearer error="invalid_token"` {
					t.Errorf("%s: %d, %q, %s", document, a.Status, a.Header.Get("WWW-Authenticate"), a.Body)
				}
				if a.Header.Get("Content-Type") != "application/json; charset=utf-8" || a.Data != nil || len(a.Errors) != 1 || a.Errors[0].Message == "" {
					t.Errorf("%s: not an answer of GraphQL: %s", document, a.Body)
				}
				if len(secret) > 3 && strings.Contains(string(a.Body), secret) {
					t.Errorf("%s: the token is repeated: %s", document, a.Body)
				}
			}
			// Who wants a new token gets one, whatever the old one was.
			one.Lock()
			begun := signIn(t, c, owner.Tenant.Slug, owner.Email, apitest.Password)
			one.Unlock()
			if begun.Session == nil {
				t.Fatalf("signIn does not work: %v", begun.UserErrors)
			}
			if next := refresh(t, c, begun.Session.RefreshToken); next.Session == nil {
				t.Errorf("refreshSession does not work: %v", next.UserErrors)
			}
		})
	}
	t.Run("two of them", func(t *testing.T) {
		t.Parallel()
		c := api.Anonymous()
		c.Header["Authorization"] = []string{"Bearer " + owner.Token, "Bearer " + other.Token}
		if a := c.Do(t, `{ viewer { role } }`, nil); a.Status != http.StatusUnauthorized {
			t.Errorf("%d: %s", a.Status, a.Body)
		}
	})
	t.Run("by GET", func(t *testing.T) {
		t.Parallel()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL+"/graphql?query=%7Bviewer%7Brole%7D%7D", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", refused["expired"])
		status, _, body := send(t, r)
		if status != http.StatusUnauthorized || !strings.Contains(body, "has expired. Refresh the session.") {
			t.Errorf("%d: %s", status, body)
		}
	})
}

// documents is one for every root field.
func documents(product, category string) map[string]string {
	version := `version: 1`
	customer, order, member, key := id.NewCustomer().String(), id.NewOrder().String(), id.NewMember().String(), id.NewAPIKey().String()
	items := `items: [{productId: "` + product + `", quantity: 1}]`
	return map[string]string{
		"node":                 `{ node(id: "` + product + `") { id } }`,
		"nodes":                `{ nodes(ids: ["` + product + `"]) { id } }`,
		"viewer":               `{ viewer { role user { email } tenant { slug } } }`,
		"tenant":               `{ tenant { name } }`,
		"members":              `{ members { nodes { role } } }`,
		"product":              `{ product(id: "` + product + `") { id } }`,
		"products":             `{ products { nodes { id } } }`,
		"category":             `{ category(id: "` + category + `") { id } }`,
		"categories":           `{ categories { nodes { id } } }`,
		"customer":             `{ customer(id: "` + customer + `") { id } }`,
		"customers":            `{ customers { nodes { id } } }`,
		"order":                `{ order(id: "` + order + `") { id } }`,
		"orders":               `{ orders { nodes { id } } }`,
		"auditLog":             `{ auditLog { nodes { id } } }`,
		"accessLog":            `{ accessLog { nodes { id } } }`,
		"createCustomer":       `mutation { createCustomer(input: {email: "new@tests.example", name: "n"}) { customer { id } userErrors { code } } }`,
		"updateCustomer":       `mutation { updateCustomer(input: {id: "` + customer + `", name: "n", ` + version + `}) { customer { id } userErrors { code } } }`,
		"deleteCustomer":       `mutation { deleteCustomer(input: {id: "` + customer + `", ` + version + `}) { customer { id } userErrors { code } } }`,
		"createOrder":          `mutation { createOrder(input: {customerId: "` + customer + `", ` + items + `}) { order { id } userErrors { code } } }`,
		"placeOrder":           `mutation { placeOrder(input: {order: {customerId: "` + customer + `", ` + items + `}}) { order { id } userErrors { code } } }`,
		"changeOrderStatus":    `mutation { changeOrderStatus(input: {id: "` + order + `", status: PAID, ` + version + `}) { order { id } userErrors { code } } }`,
		"createProduct":        `mutation { createProduct(input: {sku: "new", name: "n", price: {amount: "1", currencyCode: EUR}}) { product { id } userErrors { code } } }`,
		"updateProduct":        `mutation { updateProduct(input: {id: "` + product + `", name: "n", ` + version + `}) { product { id } userErrors { code } } }`,
		"deleteProduct":        `mutation { deleteProduct(input: {id: "` + product + `", ` + version + `}) { product { id } userErrors { code } } }`,
		"productsUpsert":       `mutation { productsUpsert(input: [{sku: "new", name: "n", price: {amount: "1", currencyCode: EUR}}]) { products { id } userErrors { code } } }`,
		"createCategory":       `mutation { createCategory(input: {name: "new"}) { category { id } userErrors { code } } }`,
		"updateCategory":       `mutation { updateCategory(input: {id: "` + category + `", name: "n", ` + version + `}) { category { id } userErrors { code } } }`,
		"deleteCategory":       `mutation { deleteCategory(input: {id: "` + category + `", ` + version + `}) { category { id } userErrors { code } } }`,
		"changeMemberRole":     `mutation { changeMemberRole(input: {id: "` + member + `", role: VIEWER}) { member { id } userErrors { code } } }`,
		"suspendMember":        `mutation { suspendMember(input: {id: "` + member + `"}) { member { id } userErrors { code } } }`,
		"reinstateMember":      `mutation { reinstateMember(input: {id: "` + member + `"}) { member { id } userErrors { code } } }`,
		"removeMember":         `mutation { removeMember(input: {id: "` + member + `"}) { member { id } userErrors { code } } }`,
		"registerTenant":       `mutation { registerTenant(input: {tenantName: "n", slug: "s", email: "a", password: "b", displayName: "d"}) { tenant { id } userErrors { code } } }`,
		"confirmRegistration":  `mutation { confirmRegistration(input: {token: "t"}) { tenant { id } userErrors { code } } }`,
		"slugAvailable":        `{ slugAvailable(slug: "s") }`,
		"invitations":          `{ invitations { nodes { id } } }`,
		"inviteMember":         `mutation { inviteMember(input: {email: "new@tests.example", role: VIEWER}) { invitation { id } userErrors { code } } }`,
		"resendInvitation":     `mutation { resendInvitation(input: {id: "` + id.NewInvitation().String() + `"}) { invitation { id } userErrors { code } } }`,
		"revokeInvitation":     `mutation { revokeInvitation(input: {id: "` + id.NewInvitation().String() + `"}) { invitation { id } userErrors { code } } }`,
		"acceptInvitation":     `mutation { acceptInvitation(input: {token: "t"}) { session { accessToken } userErrors { code } } }`,
		"invitationLinks":      `{ invitationLinks { nodes { id } } }`,
		"createInvitationLink": `mutation { createInvitationLink(input: {role: VIEWER, allowedDomains: ["tests.example"]}) { token userErrors { code } } }`,
		"revokeInvitationLink": `mutation { revokeInvitationLink(input: {id: "` + id.NewInvitationLink().String() + `"}) { invitationLink { id } userErrors { code } } }`,
		"requestToJoin":        `mutation { requestToJoin(input: {token: "t", email: "new@tests.example"}) { userErrors { code } } }`,
		"transferOwnership":    `mutation { transferOwnership(input: {memberId: "` + member + `"}) { member { id } userErrors { code } } }`,
		"switchTenant":         `mutation { switchTenant(input: {tenant: "s", ticket: "t"}) { session { accessToken } userErrors { code } } }`,
		"signOut":              `mutation { signOut { userErrors { code } } }`,
		"signIn":               "", // public, and asked below
		"refreshSession":       "",
		"endSession":           `mutation { endSession(input: {id: "` + id.NewSession().String() + `"}) { endedSessionId userErrors { code } } }`,
		"signOutEverywhere":    `mutation { signOutEverywhere { endedSessions userErrors { code } } }`,
		"reauthenticate":       `mutation { reauthenticate(input: {password: "a"}) { confirmedUntil userErrors { code } } }`,
		"requestPasswordReset": `mutation { requestPasswordReset(input: {email: "nobody@tests.example"}) { userErrors { code } } }`,
		"resetPassword":        `mutation { resetPassword(input: {token: "a", newPassword: "a password, long enough"}) { userErrors { code } } }`,
		"changePassword":       `mutation { changePassword(input: {currentPassword: "a", newPassword: "a password, long enough"}) { userErrors { code } } }`,
		"requestEmailChange":   `mutation { requestEmailChange(input: {newEmail: "new@tests.example"}) { userErrors { code } } }`,
		"confirmEmailChange":   `mutation { confirmEmailChange(input: {token: "a"}) { userErrors { code } } }`,
		"apiKeys":              `{ apiKeys { nodes { id } } }`,
		"createApiKey":         `mutation { createApiKey(input: {name: "n", scopes: [ORDERS_READ]}) { secret userErrors { code } } }`,
		"rotateApiKey":         `mutation { rotateApiKey(input: {id: "` + key + `"}) { secret userErrors { code } } }`,
		"revokeApiKey":         `mutation { revokeApiKey(input: {id: "` + key + `"}) { apiKey { id } userErrors { code } } }`,
	}
}

func rootFields(t testing.TB) []string {
	t.Helper()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: commonhold.Schema})
	var names []string
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation} {
		for _, field := range root.Fields {
			if !strings.HasPrefix(field.Name, "__") {
				names = append(names, field.Name)
			}
		}
	}
	return names
}

// A suspended tenant is closed for every field at the next request; where another process
// suspended it, once the server has heard. What reads the tenant's data is refused before that
// too, by the door (TestEveryCredentialInEveryStatus in internal/auth).
func TestTokenOfASuspendedTenant(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	elsewhere := pgtest.Open(t, 2).Registry
	for suspender, registry := range map[string]*control.Registry{"here": api.Registry, "by another process": elsewhere} {
		t.Run(suspender, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Superuser(t)
			owner := api.NewTenant(t)
			slug := owner.Tenant.Slug
			product, category := stock(t, owner)
			held := signIn(t, api.Anonymous(), slug, owner.Email, apitest.Password)
			do := func(to tenant.Status) {
				t.Helper()
				pgtest.Change(t, registry, slug, to)
				api.Settle(t)
			}

			all := documents(product, category)
			fields := rootFields(t)
			if want := slices.Sorted(maps.Keys(all)); !slices.Equal(slices.Sorted(slices.Values(fields)), want) {
				t.Fatalf("every root field needs a document that a suspended tenant is refused: add one to documents, or take one away (-documents +schema):\n%s", cmp.Diff(want, slices.Sorted(slices.Values(fields))))
			}
			for _, field := range fields {
				owner.Must(t, `{ viewer { role } products { nodes { id } } }`, nil, nil) // the server remembers it as open
				do(tenant.Suspended)
				if document := all[field]; document != "" {
					before := fingerprint(t, db, owner.Tenant.ID)
					a := owner.Do(t, document, nil)
					if a.Status != http.StatusForbidden || a.Code() != "TENANT_SUSPENDED" || a.Data != nil {
						t.Errorf("%s: %d %s", field, a.Status, a.Body)
					}
					if !strings.Contains(string(a.Body), "owner can ask the operator") {
						t.Errorf("%s: the message says nothing to do: %s", field, a.Body)
					}
					if a.Header.Get("WWW-Authenticate") != "" {
						t.Errorf("%s: asks for another token, which would not help", field)
					}
					if now := fingerprint(t, db, owner.Tenant.ID); now != before {
						t.Errorf("%s: a refused request changed the tenant:\n%s\n%s", field, before, now)
					}
				}
				do(tenant.Active)
			}
			do(tenant.Suspended)
			for name, got := range map[string]session{
				"signIn":         signIn(t, api.Anonymous(), slug, owner.Email, apitest.Password),
				"refreshSession": refresh(t, api.Anonymous(), held.Session.RefreshToken),
			} {
				if got.Session != nil || len(got.UserErrors) != 1 || got.UserErrors[0].Code != "TENANT_SUSPENDED" {
					t.Errorf("%s: %+v", name, got)
				}
			}
			// Suspension uses nothing up: afterwards the refresh token works.
			do(tenant.Active)
			if got := refresh(t, api.Anonymous(), held.Session.RefreshToken); got.Session == nil {
				t.Errorf("after the suspension: %+v", got)
			}
			owner.Must(t, `{ viewer { role } }`, nil, nil)
		})
	}
}

// ofTheHome are the mutations of a tenant's data, which a read-only tenant refuses. Every other
// field works in it as in one that is in use: who may enter stays its owners' business.
var ofTheHome = []string{
	"createCustomer", "updateCustomer", "deleteCustomer", "createOrder", "placeOrder", "changeOrderStatus", "createProduct", "updateProduct",
	"deleteProduct", "productsUpsert", "createCategory", "updateCategory", "deleteCategory",
}

// A read-only tenant is read as before, and its data is changed by no field, here and on a
// server that remembers it as it was: its door refuses that.
func TestTokenOfAReadOnlyTenant(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	elsewhere := pgtest.Open(t, 2).Registry
	db := pgtest.Superuser(t)
	owner := api.NewTenant(t)
	slug := owner.Tenant.Slug
	product, category := stock(t, owner)
	var held session
	signedIn := func() {
		t.Helper()
		if held = signIn(t, api.Anonymous(), slug, owner.Email, apitest.Password); held.Session == nil {
			t.Fatalf("%+v", held)
		}
		owner.Token = held.Session.AccessToken
	}
	data := func() (all string) {
		for line := range strings.Lines(fingerprint(t, db, owner.Tenant.ID)) {
			if strings.HasPrefix(line, "shared.") {
				all += line
			}
		}
		return all
	}
	signedIn()
	owner.Must(t, `{ viewer { role } products { nodes { id } } }`, nil, nil) // the server remembers it as it was
	pgtest.Change(t, elsewhere, slug, tenant.ReadOnly)
	before := data()
	if strings.Count(before, "\n") < 6 {
		t.Fatalf("the tenant's tables: %s", before)
	}
	all := documents(product, category)
	refused := 0
	for _, field := range rootFields(t) {
		if all[field] == "" {
			continue
		}
		a := owner.Do(t, all[field], nil)
		switch readOnly := strings.Contains(string(a.Body), "TENANT_READ_ONLY"); {
		case slices.Contains(ofTheHome, field):
			refused++
			if !readOnly || a.Status != http.StatusOK || a.Code() != "TENANT_READ_ONLY" || !strings.Contains(string(a.Body), "owner can ask the operator") {
				t.Errorf("%s: %d %s", field, a.Status, a.Body)
			}
		case readOnly:
			t.Errorf("%s: %s", field, a.Body)
		case strings.HasPrefix(all[field], "{") && len(a.Errors) > 0:
			t.Errorf("%s: %s", field, a.Body)
		}
		if field == "signOut" || field == "signOutEverywhere" {
			signedIn()
		}
	}
	if refused != len(ofTheHome) {
		t.Errorf("%d of %d mutations of the tenant's data were tried", refused, len(ofTheHome))
	}
	if now := data(); now != before {
		t.Errorf("a refused mutation changed the tenant:\n%s\n%s", before, now)
	}
	var told struct{ Tenant struct{ Status string } }
	api.Settle(t)
	if owner.Must(t, `{ tenant { status } }`, nil, &told); told.Tenant.Status != "READ_ONLY" {
		t.Errorf("tenant.status: %+v", told)
	}
	// What its owner does about who may enter happens.
	var did struct {
		InviteMember struct{ Invitation *struct{ ID string } }
		CreateAPIKey struct{ Secret *string }
	}
	owner.Must(t, `mutation { inviteMember(input: {email: "`+id.New().String()+`@tests.example", role: VIEWER}) { invitation { id } userErrors { code } } }`, nil, &did)
	owner.Must(t, `mutation { createApiKey(input: {name: "n", scopes: [ORDERS_READ]}) { secret userErrors { code } } }`, nil, &did)
	if did.InviteMember.Invitation == nil || did.CreateAPIKey.Secret == nil {
		t.Errorf("the owner of a read-only tenant: %+v", did)
	}
	signedIn()
	if next := refresh(t, api.Anonymous(), held.Session.RefreshToken); next.Session == nil {
		t.Errorf("refreshing in a read-only tenant: %+v", next)
	}
	pgtest.Change(t, elsewhere, slug, tenant.Active)
	owner.Must(t, `mutation { createCategory(input: {name: "Again"}) { category { id } userErrors { code } } }`, nil, nil)
	if data() == before {
		t.Error("nothing can be changed after it was resumed")
	}
}

// send sends a request without following redirects.
func send(t testing.TB, r *http.Request) (status int, header http.Header, body string) {
	t.Helper()
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(text)
}

// stock gives a tenant a category with a product in it.
func stock(t testing.TB, c *apitest.Client) (product, category string) {
	t.Helper()
	var made struct {
		CreateCategory struct{ Category struct{ ID string } }
		CreateProduct  struct{ Product struct{ ID string } }
	}
	c.Must(t, `mutation { createCategory(input: {name: "Lamps"}) { category { id } } }`, nil, &made)
	c.Must(t, `mutation($category: ID!) { createProduct(input: {sku: "LAMP-1", name: "Lamp", stock: 3,
		price: {amount: "12.50", currencyCode: EUR}, categoryId: $category}) { product { id } } }`,
		map[string]any{"category": made.CreateCategory.Category.ID}, &made)
	if made.CreateProduct.Product.ID == "" {
		t.Fatal("no product was made")
	}
	return made.CreateProduct.Product.ID, made.CreateCategory.Category.ID
}
