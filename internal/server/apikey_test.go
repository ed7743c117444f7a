package server_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold"
	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/tenant"
)

// madeKey is what createApiKey and rotateApiKey answer.
type madeKey struct {
	APIKey     struct{ ID string }
	Secret     string
	UserErrors []struct{ Code string }
}

// machine makes a key of a client's and gives who asks with it.
func machine(t testing.TB, api *apitest.API, c *apitest.Client, scopes ...string) (m *apitest.Client, key string) {
	t.Helper()
	var got struct{ CreateAPIKey madeKey }
	c.Must(t, `mutation($scopes: [Permission!]!) { createApiKey(input: {name: "Import", scopes: $scopes}) { apiKey { id } secret userErrors { code } } }`,
		map[string]any{"scopes": scopes}, &got)
	m = api.Anonymous()
	m.Token, m.Tenant = got.CreateAPIKey.Secret, c.Tenant
	if m.Token == "" {
		t.Fatalf("no key: %v", got.CreateAPIKey.UserErrors)
	}
	return m, got.CreateAPIKey.APIKey.ID
}

func rotate(t testing.TB, c *apitest.Client, key string, overlap int) madeKey {
	t.Helper()
	var got struct{ RotateAPIKey madeKey }
	c.Must(t, `mutation($id: ID!, $overlap: Int!) { rotateApiKey(input: {id: $id, overlapSeconds: $overlap}) { apiKey { id } secret userErrors { code } } }`,
		map[string]any{"id": key, "overlap": overlap}, &got)
	return got.RotateAPIKey
}

func revoke(t testing.TB, c *apitest.Client, key string) {
	t.Helper()
	c.Must(t, `mutation($id: ID!) { revokeApiKey(input: {id: $id}) { userErrors { code } } }`, map[string]any{"id": key}, nil)
}

// sql changes something past the server, which remembers keys; here it is told, as
// whoever changes them by the API does by itself.
func sql(t testing.TB, api *apitest.API, text, key string) {
	t.Helper()
	var any id.APIKey
	if err := any.UnmarshalText([]byte(key)); err != nil {
		t.Fatal(err)
	}
	if tag, err := pgtest.Superuser(t).Exec(context.Background(), text, any); err != nil || tag.RowsAffected() != 1 {
		t.Fatalf("%s: %v, %d rows", text, err, tag.RowsAffected())
	}
	api.DB.Changes().Changed(any.UUID())
}

const (
	asking = `{ viewer { permissions user { email } tenant { slug } apiKey { id name } } products { totalCount } }`
	adding = `mutation { createCategory(input: {name: "By a machine"}) { category { id } userErrors { code } } }`
)

// A key is one of many credentials that could be shown. Each row spoils one thing; what is
// refused as a key is refused to the byte like a key that never was, and changes nothing.
func TestAttacksWithKeys(t *testing.T) {
	t.Parallel()
	api := newNamed(t)
	foreigner := api.NewTenant(t)
	theirs, _ := machine(t, api, foreigner, "PRODUCTS_READ", "CATEGORIES_WRITE")
	raw := func(shown string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(shown, "chk_"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	spelled := func(b []byte) string { return "chk_" + base64.RawURLEncoding.EncodeToString(b) }
	spliced := func(shown, other string, from, to int) string {
		b := raw(shown)
		copy(b[from:to], raw(other)[from:to])
		return spelled(b)
	}
	flipped := func(shown string, bit int) string {
		b := raw(shown)
		b[bit/8] ^= 1 << (bit % 8)
		return spelled(b)
	}
	never := spelled(make([]byte, 64))
	// try is one attack: on a key of the owner's tenant, by a request that is otherwise right.
	type try struct {
		owner  *apitest.Client
		key    string // its id
		m      *apitest.Client
		path   string
		change func(mutation string) // of the member who made the key
	}
	const (
		refused   = "as a key that never was"
		unsigned  = "as nobody"
		misspelt  = "as no credential"
		mismatch  = "TENANT_MISMATCH"
		suspended = "TENANT_SUSPENDED"
		readOnly  = "TENANT_READ_ONLY"
		allowed   = ""
		less      = "may less"
	)
	text := func(change func(string) string) func(*try) { return func(a *try) { a.m.Token = change(a.m.Token) } }
	attacks := map[string]struct {
		want string
		do   func(*try)
	}{
		"nothing is spoilt":           {allowed, func(*try) {}},
		"of nobody":                   {refused, text(func(string) string { return never })},
		"another prefix":              {"invalid token", text(func(s string) string { return "chr_" + s[4:] })},
		"the prefix in capitals":      {"invalid token", text(func(s string) string { return "CHK_" + s[4:] })},
		"no prefix":                   {"invalid token", text(func(s string) string { return s[4:] })},
		"cut short":                   {refused, text(func(s string) string { return s[:len(s)-1] })},
		"the prefix alone":            {refused, text(func(s string) string { return s[:4] })},
		"longer by one":               {refused, text(func(s string) string { return s + "A" })},
		"a bit of the tenant":         {refused, text(func(s string) string { return flipped(s, 3) })},
		"the last bit of the tenant":  {refused, text(func(s string) string { return flipped(s, 127) })},
		"a bit of the id":             {refused, text(func(s string) string { return flipped(s, 130) })},
		"the last bit of the id":      {refused, text(func(s string) string { return flipped(s, 255) })},
		"a bit of the secret":         {refused, text(func(s string) string { return flipped(s, 256) })},
		"the last bit of the secret":  {refused, text(func(s string) string { return flipped(s, 511) })},
		"another tenant's id":         {refused, text(func(s string) string { return spliced(s, theirs.Token, 0, 16) })},
		"another key's id":            {refused, text(func(s string) string { return spliced(s, theirs.Token, 16, 32) })},
		"another key's tenant and id": {refused, text(func(s string) string { return spliced(s, theirs.Token, 0, 32) })},
		"another key's secret":        {refused, text(func(s string) string { return spliced(s, theirs.Token, 32, 64) })},
		"another key of this tenant's, spliced": {refused, func(a *try) {
			sibling, _ := machine(t, api, a.owner, "PRODUCTS_READ")
			a.m.Token = spliced(a.m.Token, sibling.Token, 32, 64)
		}},
		"in capitals":               {refused, text(func(s string) string { return "chk_" + strings.ToUpper(s[4:]) })},
		"in small letters":          {refused, text(func(s string) string { return "chk_" + strings.ToLower(s[4:]) })},
		"padded":                    {refused, text(func(s string) string { return s + "==" })},
		"padded by one":             {refused, text(func(s string) string { return s + "=" })},
		"a space behind it":         {allowed, text(func(s string) string { return s + " " })}, // RFC 9110, section 5.5: it is no part of the value
		"a space before it":         {"invalid token", text(func(s string) string { return " " + s })},
		"a space within":            {refused, text(func(s string) string { return s[:50] + " " + s[50:] })},
		"a tab within":              {refused, text(func(s string) string { return s[:50] + "\t" + s[50:] })},
		"percent-encoded":           {"invalid token", text(func(s string) string { return "chk%5F" + s[4:] })},
		"its end percent-encoded":   {refused, text(func(s string) string { return s[:len(s)-1] + fmt.Sprintf("%%%02X", s[len(s)-1]) })},
		"a percent-encoded newline": {refused, text(func(s string) string { return s + "%0A" })},
		"quoted":                    {"invalid token", text(func(s string) string { return `"` + s + `"` })},
		"two in one header":         {refused, text(func(s string) string { return s + ", Bearer " + s })},
		"its id instead":            {"invalid token", func(a *try) { a.m.Token = a.key }},

		"another scheme":   {misspelt, func(a *try) { a.m.Header.Set("Authorization", "Basic "+a.m.Token); a.m.Token = "" }},
		"without a scheme": {misspelt, func(a *try) { a.m.Header.Set("Authorization", a.m.Token); a.m.Token = "" }},
		"two headers": {misspelt, func(a *try) {
			a.m.Header["Authorization"], a.m.Token = []string{"Bearer " + a.m.Token, "Bearer " + a.m.Token}, ""
		}},
		"two headers, the second a token": {misspelt, func(a *try) {
			a.m.Header["Authorization"], a.m.Token = []string{"Bearer " + a.m.Token, "Bearer " + a.owner.Token}, ""
		}},
		"in another header": {unsigned, func(a *try) { a.m.Header.Set("X-Api-Key", a.m.Token); a.m.Token = "" }},
		"in a cookie":       {unsigned, func(a *try) { a.m.Header.Set("Cookie", "key="+a.m.Token); a.m.Token = "" }},
		"in the URL": {unsigned, func(a *try) {
			a.path, a.m.Token = "?access_token="+url.QueryEscape(a.m.Token)+"&api_key="+url.QueryEscape(a.m.Token), ""
		}},

		"the host of its tenant":               {allowed, func(a *try) { a.m.Header.Set("Host", a.owner.Tenant.Slug+"."+baseDomain) }},
		"the host of another tenant":           {mismatch, func(a *try) { a.m.Header.Set("Host", foreigner.Tenant.Slug+"."+baseDomain) }},
		"the host of no tenant":                {mismatch, func(a *try) { a.m.Header.Set("Host", "nobody-there."+baseDomain) }},
		"X-Tenant-ID of its tenant":            {allowed, func(a *try) { a.m.Header.Set("X-Tenant-ID", a.owner.Tenant.ID.String()) }},
		"X-Tenant-ID of another tenant":        {mismatch, func(a *try) { a.m.Header.Set("X-Tenant-ID", foreigner.Tenant.ID.String()) }},
		"X-Tenant-ID of another's slug":        {mismatch, func(a *try) { a.m.Header.Set("X-Tenant-ID", foreigner.Tenant.Slug) }},
		"nobody's, with another's X-Tenant-ID": {refused, func(a *try) { a.m.Token = never; a.m.Header.Set("X-Tenant-ID", foreigner.Tenant.Slug) }},

		"expired":                {refused, func(a *try) { sql(t, api, `update control.api_keys set expires_at = now() where id = $1`, a.key) }},
		"revoked":                {refused, func(a *try) { revoke(t, a.owner, a.key) }},
		"rotated":                {refused, func(a *try) { rotate(t, a.owner, a.key, 0) }},
		"rotated, within a week": {allowed, func(a *try) { rotate(t, a.owner, a.key, 604800) }},
		"rotated, past the overlap": {refused, func(a *try) {
			rotate(t, a.owner, a.key, 3600)
			sql(t, api, `update control.api_keys set expires_at = expires_at - interval '1 hour' where id = $1`, a.key)
		}},
		"its member was removed": {refused, func(a *try) { a.change("removeMember(input: {id: $id})") }},
		"its member is kept out": {refused, func(a *try) { a.change("suspendMember(input: {id: $id})") }},
		"its member was let in again": {allowed, func(a *try) {
			a.change("suspendMember(input: {id: $id})")
			a.change("reinstateMember(input: {id: $id})")
		}},
		"its member was demoted": {less, func(a *try) { a.change("changeMemberRole(input: {id: $id, role: VIEWER})") }},
		"its tenant is read-only": {readOnly, func(a *try) {
			pgtest.Change(t, api.Registry, a.owner.Tenant.Slug, tenant.ReadOnly)
		}},
		"its tenant is suspended": {suspended, func(a *try) {
			pgtest.Change(t, api.Registry, a.owner.Tenant.Slug, tenant.Suspended)
		}},
	}
	nobody := api.Anonymous()
	nobody.Token = never
	want := shown(nobody.Do(t, asking, nil))
	if !strings.Contains(want, "This API key is not valid, or not any more.") {
		t.Fatalf("a key that never was: %s", want)
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := pgtest.Superuser(t)
			a := &try{owner: api.NewTenant(t)}
			maker := a.owner.Member(t, auth.RoleAdmin)
			member := maker.Membership(t)
			a.change = func(mutation string) {
				a.owner.Must(t, `mutation($id: ID!) { `+mutation+` { member { status } } }`, map[string]any{"id": member}, nil)
			}
			a.m, a.key = machine(t, api, maker, "PRODUCTS_READ", "CATEGORIES_WRITE")
			a.m.Must(t, asking, nil, nil) // it is good, and the server remembers it
			secret := a.m.Token
			attack.do(a)
			before := fingerprint(t, conn, a.owner.Tenant.ID)
			read, write := postWith(t, api, a.m, a.path, asking), postWith(t, api, a.m, a.path, adding)
			for document, answer := range map[string]*apitest.Answer{asking: read, adding: write} {
				if strings.Contains(string(answer.Body), secret) || strings.Contains(string(answer.Body), foreigner.Tenant.Slug) {
					t.Errorf("%s: the answer tells too much: %s", document, answer.Body)
				}
				ok := answer.Status == http.StatusOK && len(answer.Errors) == 0
				unauthenticated := answer.Code() == "UNAUTHENTICATED" && !strings.Contains(string(answer.Body), `"viewer":{`)
				switch attack.want {
				case allowed:
					if !ok {
						t.Errorf("%s: %d %s", document, answer.Status, answer.Body)
					}
				case readOnly:
					if document == asking && !ok || document == adding && answer.Code() != readOnly {
						t.Errorf("%s: %d %s", document, answer.Status, answer.Body)
					}
				case less:
					if document == asking && !ok || document == adding && answer.Code() != "FORBIDDEN" {
						t.Errorf("%s: %d %s", document, answer.Status, answer.Body)
					}
				case refused:
					if got := shown(answer); answer.Status != http.StatusUnauthorized || got != want {
						t.Errorf("%s is answered\n%s\na key that never was\n%s", document, got, want)
					}
				case mismatch, suspended:
					if answer.Status != http.StatusForbidden || answer.Code() != attack.want {
						t.Errorf("%s: %d %s", document, answer.Status, answer.Body)
					}
				case unsigned:
					if !unauthenticated || !strings.Contains(string(answer.Body), "Sign in first") {
						t.Errorf("%s: %d %s", document, answer.Status, answer.Body)
					}
				case misspelt:
					if !unauthenticated || answer.Status != http.StatusUnauthorized || !strings.Contains(string(answer.Body), "The Authorization header must be") {
						t.Errorf("%s: %d %s", document, answer.Status, answer.Body)
					}
				default: // read as an access token, and none
					if !unauthenticated || answer.Status != http.StatusUnauthorized || !strings.Contains(string(answer.Body), "This access token is not valid.") {
						t.Errorf("%s: %d %s", document, answer.Status, answer.Body)
					}
				}
			}
			if attack.want != allowed && fingerprint(t, conn, a.owner.Tenant.ID) != before {
				t.Error("what was refused changed the tenant")
			}
		})
	}
}

// postWith sends a document to /graphql with something behind it. Host is one of the headers.
func postWith(t testing.TB, api *apitest.API, c *apitest.Client, behind, document string) *apitest.Answer {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": document})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, api.URL+"/graphql"+behind, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = c.Header.Clone()
	r.Host = r.Header.Get("Host")
	r.Header.Del("Host")
	r.Header.Set("Content-Type", "application/json")
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	a := &apitest.Answer{}
	var text string
	a.Status, a.Header, text = send(t, r)
	a.Body = []byte(text)
	_ = json.Unmarshal(a.Body, a) // not every refusal is JSON; the test sees the body
	return a
}

// What a machine may do is what its scopes say, and never what belongs to people.
func TestWhatAKeyMayNot(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	held := signIn(t, api.Anonymous(), owner.Tenant.Slug, owner.Email, apitest.Password)
	all := []string{"PRODUCTS_READ", "PRODUCTS_WRITE", "CATEGORIES_READ", "CATEGORIES_WRITE", "CUSTOMERS_READ", "CUSTOMERS_WRITE",
		"ORDERS_READ", "ORDERS_WRITE", "MEMBERS_READ", "TENANT_READ", "TENANT_WRITE", "AUDIT_READ"}
	whole, key := machine(t, api, owner, all...)
	none, _ := machine(t, api, owner, "TENANT_WRITE") // which no field asks for yet
	product, category := stock(t, owner)
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: commonhold.Schema})
	documents := documents(product, category)
	documents["signIn"] = `mutation { signIn(input: {email: "` + owner.Email + `", password: "` + apitest.Password + `"}) { session { accessToken } userErrors { code } } }`
	documents["refreshSession"] = `mutation { refreshSession(input: {refreshToken: "` + held.Session.RefreshToken + `"}) { session { accessToken } userErrors { code } } }`
	conn := pgtest.Superuser(t)
	for _, m := range []*apitest.Client{whole, none} { // that they were used is noted
		m.Must(t, `{ viewer { role } }`, nil, nil)
	}
	before := fingerprint(t, conn, owner.Tenant.ID)
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation} {
		for _, field := range root.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			needed := ""
			if guard := field.Directives.ForName("requires"); guard != nil {
				needed = guard.Arguments.ForName("permission").Value.Raw
			}
			// A key without the scope, and with every scope that there is.
			for m, may := range map[*apitest.Client]bool{
				none:  needed == "" && root == schema.Query,
				whole: slices.Contains(all, needed) || needed == "" && root == schema.Query,
			} {
				if may && m == whole && root == schema.Mutation { // what may change something is asked below
					continue
				}
				a := m.Do(t, documents[field.Name], nil)
				switch {
				case may && len(a.Errors) > 0:
					t.Errorf("%s: %d %s", field.Name, a.Status, a.Body)
				case !may && (a.Code() != "FORBIDDEN" || len(a.Errors) != 1 || strings.Contains(string(a.Body), "accessToken\":\"")):
					t.Errorf("%s without the permission %s: %d %s", field.Name, needed, a.Status, a.Body)
				case !may && !strings.Contains(a.Errors[0].Message, ". Ask with a") && !strings.Contains(a.Errors[0].Message, "Sign in, and ask"):
					t.Errorf("%s: the message says nothing to do: %s", field.Name, a.Body)
				}
			}
		}
	}
	if fingerprint(t, conn, owner.Tenant.ID) != before {
		t.Error("what was forbidden changed something")
	}
	if refresh(t, api.Anonymous(), held.Session.RefreshToken).Session == nil {
		t.Error("a refresh token was used up by a key that may not refresh")
	}
	// node(id:) shows a key what its scopes let it see, and no keys at all.
	var got struct{ Product, Key *struct{ ID string } }
	const nodes = `query($product: ID!, $key: ID!) { product: node(id: $product) { id } key: node(id: $key) { id } }`
	whole.Must(t, nodes, map[string]any{"product": product, "key": key}, &got)
	if got.Product == nil || got.Key != nil {
		t.Errorf("a key with every scope sees %+v", got)
	}
	none.Must(t, nodes, map[string]any{"product": product, "key": key}, &got)
	if got.Product != nil || got.Key != nil {
		t.Errorf("a key without a scope for it sees %+v", got)
	}
	owner.Must(t, nodes, map[string]any{"product": product, "key": key}, &got)
	if got.Product == nil || got.Key == nil {
		t.Errorf("the owner sees %+v", got)
	}
}

// A key tells of the one tenant that it is for: where else its maker is a member, and
// where they are signed in, is for people. A new field of the viewer is decided here.
func TestWhatAKeySeesOfItsMaker(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	m, _ := machine(t, api, owner, "MEMBERS_READ", "TENANT_READ", "AUDIT_READ")
	fields := map[string]struct {
		selection string
		may       bool
	}{
		"user": {"{ id }", true}, "role": {"", true}, "permissions": {"", true}, "tenant": {"{ slug }", true}, "apiKey": {"{ id }", true},
		"memberships": {"{ tenant { slug } }", false}, "sessions": {"{ tenantName }", false},
	}
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: commonhold.Schema})
	for _, field := range schema.Types["Viewer"].Fields {
		f, decided := fields[field.Name]
		if !decided {
			t.Errorf("say whether a key may see viewer.%s", field.Name)
			continue
		}
		document := "{ viewer { " + field.Name + " " + f.selection + " } }"
		owner.Must(t, document, nil, nil)
		if a := m.Do(t, document, nil); f.may && len(a.Errors) > 0 || !f.may && (a.Code() != "FORBIDDEN" || strings.Contains(string(a.Body), owner.Tenant.Name)) {
			t.Errorf("viewer.%s: %s", field.Name, a.Body)
		}
	}
}

// Who asks with a key is the member who made it, with the key beside; what it did says so.
func TestWhoAKeyIs(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	m, key := machine(t, api, owner, "CATEGORIES_READ", "CATEGORIES_WRITE")
	var got struct {
		Viewer struct {
			User        struct{ ID, Email string }
			Role        string
			Permissions []string
			Tenant      struct{ Slug string }
			APIKey      *struct {
				ID, Name, Ending      string
				Scopes                []string
				LastUsedAt, RevokedAt *string
				CreatedBy             struct{ Email string }
			}
		}
		CreateCategory struct{ Category struct{ ID string } }
		AuditLog       struct {
			Nodes []struct {
				EntityID string
				Actor    struct{ Email string }
				Details  map[string]any
			}
		}
		AccessLog struct {
			Nodes []struct{ EntityID, Action string }
		}
	}
	const who = `{ viewer { user { id email } role permissions tenant { slug } apiKey { id name ending scopes lastUsedAt revokedAt createdBy { email } } } }`
	m.Must(t, who, nil, &got)
	v := got.Viewer
	if v.User.Email != owner.Email || v.Role != "OWNER" || !slices.Equal(v.Permissions, []string{"CATEGORIES_READ", "CATEGORIES_WRITE"}) || v.Tenant.Slug != owner.Tenant.Slug {
		t.Errorf("viewer: %+v", v)
	}
	if k := v.APIKey; k == nil || k.ID != key || k.Name != "Import" || !strings.HasSuffix(m.Token, k.Ending) || !slices.Equal(k.Scopes, v.Permissions) || k.LastUsedAt == nil || k.RevokedAt != nil || k.CreatedBy.Email != owner.Email {
		t.Errorf("viewer.apiKey: %+v", k)
	}
	m.Must(t, adding, nil, &got)
	owner.Must(t, `{ auditLog(first: 1) { nodes { entityId actor { email } details } } accessLog(first: 1) { nodes { entityId action } } viewer { apiKey { id } } }`, nil, &got)
	if e := got.AuditLog.Nodes[0]; e.EntityID != got.CreateCategory.Category.ID || e.Actor.Email != owner.Email || e.Details["apiKey"] != key || e.Details["name"] != "By a machine" {
		t.Errorf("what a key did: %+v", e)
	}
	if e := got.AccessLog.Nodes[0]; e.EntityID != key || e.Action != "api_key.created" {
		t.Errorf("that a key was made: %+v", e)
	}
	stock(t, owner)
	got.AuditLog.Nodes = nil
	owner.Must(t, `{ auditLog(first: 1) { nodes { details } } }`, nil, &got)
	if _, there := got.AuditLog.Nodes[0].Details["apiKey"]; there {
		t.Errorf("a person's change names a key: %+v", got.AuditLog.Nodes[0])
	}
	// No log line holds anything of the key.
	secret := m.Token[50:]
	for _, line := range logged.all() {
		if strings.Contains(line, secret) {
			t.Errorf("the key is logged: %s", line)
		}
	}
}

// A key that is known costs a request nothing.
func TestARequestWithAKeyCostsNoQuestion(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	m, _ := machine(t, api, api.NewTenant(t), "PRODUCTS_READ")
	m.Warm(t)
	for document, want := range map[string]float64{`{ viewer { role user { email } permissions } }`: 0, `{ products { nodes { id } } }`: 1} {
		line := logged.line(t, m.Do(t, document, nil).Header.Get("X-Request-Id"), "request")
		if line["statements"] != want || line["round_trips"] != want {
			t.Errorf("%s: %v statements in %v round trips, want %v", document, line["statements"], line["round_trips"], want)
		}
	}
}

// Two callers share no idempotency key where one may less than the other.
func TestIdempotencyKeysOfMachines(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	m, _ := machine(t, api, owner, "CATEGORIES_WRITE")
	twin, _ := machine(t, api, owner, "CATEGORIES_WRITE")
	for _, c := range []*apitest.Client{owner, m, twin} {
		c.Header.Set("Idempotency-Key", "the-same")
	}
	first := m.Do(t, adding, nil)
	if again := m.Do(t, adding, nil); first.Code() != "" || !bytes.Equal(first.Body, again.Body) || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("a retry: %s, first %s", again.Body, first.Body)
	}
	if same := twin.Do(t, adding, nil); !bytes.Equal(first.Body, same.Body) {
		t.Errorf("a key of the same member and scopes, such as the next after a rotation: %s", same.Body)
	}
	if person := owner.Do(t, adding, nil); person.Status != http.StatusConflict || person.Code() != "CONFLICT" {
		t.Errorf("the person under the same key: %d %s", person.Status, person.Body)
	}
}
