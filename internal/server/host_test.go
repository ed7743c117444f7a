package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/server"
	"github.com/commonhold/commonhold/internal/tenant"
)

// said is an answer as it came over the wire, without what is new each time.
type said struct {
	status int
	text   string
}

// say writes a request as it stands here, which no client would: target and header
// are sent to the byte. It answers what came back.
func say(t testing.TB, api *apitest.API, target string, header []string, document string, variables map[string]any) said {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	version := "1.1"
	if len(header) > 0 && header[0] == "HTTP/1.0" {
		version, header = "1.0", header[1:]
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(api.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := fmt.Sprintf("POST %s HTTP/%s\r\n%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", target, version, strings.Join(header, "\r\n"), len(body), body)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	response.Header.Del("Date")
	response.Header.Del("X-Request-Id")
	var all strings.Builder
	_ = response.Header.Write(&all)
	return said{response.StatusCode, all.String() + string(text)}
}

const baseDomain = "tenants.example"

func newNamed(t *testing.T) *apitest.API {
	t.Helper()
	return apitest.New(t, pgtest.New(t), func(c *server.Config) {
		c.Localhost = false
		if err := c.Resolver.Auth.SetBaseDomain(baseDomain); err != nil {
			t.Fatal(err)
		}
	})
}

// A host name and X-Tenant-ID may agree with the token. Anything else that names a
// tenant is refused, alike whether it is somebody's or nobody's.
func TestWhatMayAgreeWithAToken(t *testing.T) {
	t.Parallel()
	api := newNamed(t)
	own, foreign := api.NewTenant(t), api.NewTenant(t)
	unknown := "u" + strings.ReplaceAll(id.New().String(), "-", "")[:31]
	mine, theirs, nobodys := own.Tenant.Slug+"."+baseDomain, foreign.Tenant.Slug+"."+baseDomain, unknown+"."+baseDomain
	const good, mismatch, malformed = "", "TENANT_MISMATCH", "400"
	var first *said
	for name, c := range map[string]struct {
		target string
		header []string
		want   string
	}{
		"its own host":                      {"/graphql", []string{"Host: " + mine}, good},
		"its own host in capitals":          {"/graphql", []string{"Host: " + strings.ToUpper(mine)}, good},
		"its own host with a port":          {"/graphql", []string{"Host: " + mine + ":8443"}, good},
		"its own host with an empty port":   {"/graphql", []string{"Host: " + mine + ":"}, good},
		"its own host with the root's dot":  {"/graphql", []string{"Host: " + mine + "."}, good},
		"its own host with dot and port":    {"/graphql", []string{"Host: " + mine + ".:443"}, good},
		"its own host in the target":        {"http://" + mine + "/graphql", []string{"Host: " + theirs}, good},
		"the base domain":                   {"/graphql", []string{"Host: " + baseDomain}, good},
		"a name of the service":             {"/graphql", []string{"Host: api." + baseDomain}, good},
		"a name of the service in capitals": {"/graphql", []string{"Host: API." + baseDomain + ":80"}, good},
		"another domain":                    {"/graphql", []string{"Host: elsewhere.example"}, good},
		"a domain that ends alike":          {"/graphql", []string{"Host: " + foreign.Tenant.Slug + ".not" + baseDomain}, good},
		"a domain that begins alike":        {"/graphql", []string{"Host: " + theirs + ".example"}, good},
		"one label":                         {"/graphql", []string{"Host: localhost:8080"}, good},
		"an address":                        {"/graphql", []string{"Host: 127.0.0.1:8080"}, good},
		"an address of version 6":           {"/graphql", []string{"Host: [::1]:8080"}, good},
		"no host, in HTTP/1.0":              {"/graphql", []string{"HTTP/1.0", "X: y"}, good},
		"an empty host":                     {"/graphql", []string{"Host: "}, good},
		"another's host, forwarded":         {"/graphql", []string{"Host: " + mine, "X-Forwarded-Host: " + theirs, "X-Original-Host: " + theirs, "Forwarded: host=" + theirs, "X-Host: " + theirs}, good},
		"its own slug":                      {"/graphql", []string{"Host: " + mine, "X-Tenant-ID: " + own.Tenant.Slug}, good},
		"its own id":                        {"/graphql", []string{"Host: x", "x-tenant-id: " + own.Tenant.ID.String()}, good},
		"an empty name":                     {"/graphql", []string{"Host: x", "X-Tenant-ID:"}, good},

		"another's host":                      {"/graphql", []string{"Host: " + theirs}, mismatch},
		"another's host in capitals":          {"/graphql", []string{"Host: " + strings.ToUpper(theirs)}, mismatch},
		"another's host with a port":          {"/graphql", []string{"Host: " + theirs + ":80"}, mismatch},
		"another's host with the root's dot":  {"/graphql", []string{"Host: " + theirs + "."}, mismatch},
		"another's host, its own forwarded":   {"/graphql", []string{"Host: " + theirs, "X-Forwarded-Host: " + mine}, mismatch},
		"another's host in the target":        {"http://" + theirs + "/graphql", []string{"Host: " + mine}, mismatch},
		"another's host in a target of https": {"https://" + theirs + ":443/graphql", []string{"Host: " + mine}, mismatch},
		"nobody's host":                       {"/graphql", []string{"Host: " + nobodys}, mismatch},
		"its own below another's":             {"/graphql", []string{"Host: " + own.Tenant.Slug + "." + theirs}, mismatch},
		"a name below its own":                {"/graphql", []string{"Host: www." + mine}, mismatch},
		"punycode":                            {"/graphql", []string{"Host: xn--mnchen-3ya." + baseDomain}, mismatch},
		"a name as long as there may be":      {"/graphql", []string{"Host: " + strings.Repeat("a.", 118) + "a." + baseDomain}, mismatch},
		"an underscore":                       {"/graphql", []string{"Host: _" + own.Tenant.Slug + "." + baseDomain}, mismatch},
		"the id as a host":                    {"/graphql", []string{"Host: " + own.Tenant.ID.UUID().String() + "." + baseDomain}, mismatch},
		"another's slug":                      {"/graphql", []string{"Host: " + mine, "X-Tenant-ID: " + foreign.Tenant.Slug}, mismatch},
		"another's id":                        {"/graphql", []string{"Host: x", "X-TENANT-ID: " + foreign.Tenant.ID.String()}, mismatch},
		"nobody's slug":                       {"/graphql", []string{"Host: x", "X-Tenant-ID: " + unknown}, mismatch},
		"nobody's id":                         {"/graphql", []string{"Host: x", "X-Tenant-ID: " + tenant.NewID().String()}, mismatch},
		"its own id as a UUID":                {"/graphql", []string{"Host: x", "X-Tenant-ID: " + own.Tenant.ID.UUID().String()}, mismatch},
		"its own slug in capitals":            {"/graphql", []string{"Host: x", "X-Tenant-ID: " + strings.ToUpper(own.Tenant.Slug)}, mismatch},
		"two slugs in one":                    {"/graphql", []string{"Host: x", "X-Tenant-ID: " + own.Tenant.Slug + ", " + foreign.Tenant.Slug}, mismatch},
		"its own slug at another's host":      {"/graphql", []string{"Host: " + theirs, "X-Tenant-ID: " + own.Tenant.Slug}, mismatch},

		"two hosts":               {"/graphql", []string{"Host: " + mine, "Host: " + theirs}, malformed},
		"the same host twice":     {"/graphql", []string{"Host: " + mine, "Host: " + mine}, malformed},
		"no host, in HTTP/1.1":    {"/graphql", []string{"X: y"}, malformed},
		"a name that is too long": {"/graphql", []string{"Host: " + strings.Repeat("a.", 119) + "a." + baseDomain}, malformed},
		"a name of 64 kB":         {"/graphql", []string{"Host: " + strings.Repeat("a", 64<<10) + "." + baseDomain}, malformed},
		"two hosts in one":        {"/graphql", []string{"Host: " + mine + ", " + theirs}, malformed},
		"two hosts by a comma":    {"/graphql", []string{"Host: " + mine + "," + theirs}, malformed},
		"a user":                  {"/graphql", []string{"Host: " + foreign.Tenant.Slug + "@" + mine}, malformed},
		"a user in the target":    {"http://" + theirs + "@" + mine + "/graphql", []string{"Host: " + mine}, malformed},
		"a path":                  {"/graphql", []string{"Host: " + mine + "/graphql"}, malformed},
		"an empty label":          {"/graphql", []string{"Host: " + own.Tenant.Slug + ".." + baseDomain}, malformed},
		"two dots at the end":     {"/graphql", []string{"Host: " + mine + ".."}, malformed},
		"a dot at the beginning":  {"/graphql", []string{"Host: ." + mine}, malformed},
		"an encoded letter":       {"/graphql", []string{"Host: %" + fmt.Sprintf("%x", own.Tenant.Slug[0]) + mine[1:]}, malformed},
		"letters beyond ASCII":    {"/graphql", []string{"Host: m\u00fcnchen." + baseDomain}, malformed},
		"a letter that folds":     {"/graphql", []string{"Host: \u212a" + mine}, malformed},
		"a port that is none":     {"/graphql", []string{"Host: " + mine + ":http"}, malformed},
		"two ports":               {"/graphql", []string{"Host: " + mine + ":80:80"}, malformed},
		"a bracket":               {"/graphql", []string{"Host: [" + mine + "]"}, malformed},
		"a null":                  {"/graphql", []string{"Host: " + mine + "\x00." + theirs}, malformed},
		"a tab":                   {"/graphql", []string{"Host: " + mine + "\t" + theirs}, malformed},
		"a folded line":           {"/graphql", []string{"Host: " + mine, " " + theirs}, malformed},
		"two names":               {"/graphql", []string{"Host: x", "X-Tenant-ID: " + own.Tenant.Slug, "X-Tenant-ID: " + own.Tenant.Slug}, malformed},
		"two names that differ":   {"/graphql", []string{"Host: x", "X-Tenant-ID: " + own.Tenant.Slug, "x-tenant-id: " + foreign.Tenant.Slug}, malformed},
	} {
		got := say(t, api, c.target, append(c.header, "Authorization: Bearer "+own.Token), `{ tenant { slug } products { totalCount } }`, nil)
		switch c.want {
		case good:
			if got.status != http.StatusOK || !strings.Contains(got.text, own.Tenant.Slug) {
				t.Errorf("%s: %d %s", name, got.status, got.text)
			}
		case malformed:
			if got.status != http.StatusBadRequest || strings.Contains(got.text, `"slug"`) {
				t.Errorf("%s: %d %s", name, got.status, got.text)
			}
		case mismatch:
			if first == nil {
				first = &got
			}
			if got.status != http.StatusForbidden || !strings.Contains(got.text, mismatch) || got != *first {
				t.Errorf("%s: %d %s\nand another:\n%s", name, got.status, got.text, first.text)
			}
		}
		if strings.Contains(got.text, foreign.Tenant.Slug) {
			t.Errorf("%s: the answer names the other tenant: %s", name, got.text)
		}
	}
}

// Before anybody has signed in, the host name chooses the tenant.
func TestTheHostChoosesTheTenantToSignInTo(t *testing.T) {
	t.Parallel()
	api := newNamed(t)
	one, foreign := api.NewTenant(t), api.NewTenant(t)
	const register = `mutation($i: RegisterTenantInput!) { registerTenant(input: $i) { tenant { slug } session { refreshToken } confirmationSent userErrors { field message code } } }`
	const confirm = `mutation($t: String!) { confirmRegistration(input: {token: $t}) { tenant { slug } session { refreshToken } userErrors { field message code } } }`
	slug := "t" + strings.ReplaceAll(id.New().String(), "-", "")[:31]
	registration := map[string]any{"i": map[string]any{"tenantName": "Second", "slug": slug, "currencyCode": "EUR", "email": one.Email, "password": apitest.Password, "displayName": "Owner"}}
	host := func(slug string) []string { return []string{"Host: " + slug + "." + baseDomain} }
	if got := say(t, api, "/graphql", host(foreign.Tenant.Slug), register, registration); !strings.Contains(got.text, "TENANT_MISMATCH") {
		t.Errorf("registering at the host of another tenant: %s", got.text)
	}
	if got := say(t, api, "/graphql", host("signup"), register, registration); !strings.Contains(got.text, `"confirmationSent":true,"userErrors":[]`) {
		t.Fatalf("registering at a name of the service: %s", got.text)
	}
	confirmation := map[string]any{"t": link(t, api, one.Email)}
	if got := say(t, api, "/graphql", host(foreign.Tenant.Slug), confirm, confirmation); !strings.Contains(got.text, "TENANT_MISMATCH") {
		t.Errorf("confirming at the host of another tenant: %s", got.text)
	}
	if got := say(t, api, "/graphql", host("signup"), confirm, confirmation); !strings.Contains(got.text, `"tenant":{"slug":"`+slug+`"},"session":null,"userErrors":[]`) {
		t.Fatalf("confirming at a name of the service: %s", got.text)
	}
	const document = `mutation($tenant: String, $email: String!, $password: String!) { signIn(input: {tenant: $tenant, email: $email, password: $password}) {
		session { refreshToken } memberships { tenant { slug } } userErrors { field message code } } }`
	in := func(header []string, given any, password string) said {
		return say(t, api, "/graphql", header, document, map[string]any{"tenant": given, "email": one.Email, "password": password})
	}
	const refreshed = `mutation($t: String!) { refreshSession(input: {refreshToken: $t}) { session { refreshToken } userErrors { field message code } } }`
	for name, c := range map[string]struct {
		header []string
		given  any
		want   string // the slug of the session, or a code
	}{
		"no opinion, none given":          {host("api"), nil, "TENANT_REQUIRED"},
		"no opinion, one given":           {host("api"), slug, slug},
		"another domain, none given":      {[]string{"Host: elsewhere.example"}, nil, "TENANT_REQUIRED"},
		"the host of one":                 {host(one.Tenant.Slug), nil, one.Tenant.Slug},
		"the host of the other":           {host(slug), nil, slug},
		"the host, and the same given":    {host(slug), slug, slug},
		"the host, and another given":     {host(slug), one.Tenant.Slug, "TENANT_MISMATCH"},
		"the host, and the header agrees": {append(host(slug), "X-Tenant-ID: "+slug), nil, slug},
		"the host, the header does not":   {append(host(slug), "X-Tenant-ID: "+one.Tenant.Slug), nil, "TENANT_MISMATCH"},
		"given, the header does not":      {append(host("api"), "X-Tenant-ID: "+one.Tenant.ID.String()), slug, "TENANT_MISMATCH"},
		"the header twice":                {append(host("api"), "X-Tenant-ID: "+slug, "X-Tenant-ID: "+slug), slug, "BAD_REQUEST"},
		"the host of a foreign one":       {host(foreign.Tenant.Slug), nil, "NOT_FOUND"},
		"the host of nobody":              {host("nobody-" + slug[:20]), nil, "NOT_FOUND"},
		"a host that is no slug":          {host("a.b"), nil, "NOT_FOUND"},
	} {
		got := in(c.header, c.given, apitest.Password)
		_, token, began := strings.Cut(got.text, `"refreshToken":"`)
		if !began {
			if !strings.Contains(got.text, `"`+c.want+`"`) {
				t.Errorf("%s: %s, want %s", name, got.text, c.want)
			}
			continue
		}
		token, _, _ = strings.Cut(token, `"`)
		// Where the session belongs is seen where it is refreshed: not at another host, and
		// asking there takes nothing from it.
		for _, at := range []string{foreign.Tenant.Slug, one.Tenant.Slug, slug} {
			if at == c.want {
				continue
			}
			if got := say(t, api, "/graphql", host(at), refreshed, map[string]any{"t": token}); !strings.Contains(got.text, "TENANT_MISMATCH") {
				t.Errorf("%s: refreshed at another host: %s", name, got.text)
			}
		}
		if got := say(t, api, "/graphql", host(c.want), refreshed, map[string]any{"t": token}); !strings.Contains(got.text, `"userErrors":[]`) {
			t.Errorf("%s: refreshed at its own host: %s", name, got.text)
		}
	}

	// Who has no account learns nothing of which tenants there are.
	var first *said
	for _, header := range [][]string{host(one.Tenant.Slug), host(foreign.Tenant.Slug), host("nobody-" + slug[:20]), host("a.b"), host("api"), {"Host: elsewhere.example"}, {"Host: 127.0.0.1"}} {
		got := in(header, nil, "not the password at all")
		if first == nil {
			first = &got
		}
		if got != *first || !strings.Contains(got.text, "BAD_CREDENTIALS") {
			t.Errorf("%s: %s\nand another:\n%s", header, got.text, first.text)
		}
		if got := say(t, api, "/graphql", header, `{ __typename }`, nil); got.status != http.StatusOK {
			t.Errorf("%s: what is public: %d %s", header, got.status, got.text)
		}
	}
	if !control.Reserved("signup") || !control.Reserved("api") {
		t.Error("the names of this test are not reserved")
	}
}

// Without a base domain and on a development server: names below localhost.
func TestADevelopmentServerAnswersBelowLocalhost(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t), func(c *server.Config) {
		if err := c.Resolver.Auth.SetBaseDomain("localhost"); err != nil {
			t.Fatal(err)
		}
	})
	own, foreign := api.NewTenant(t), api.NewTenant(t)
	for host, want := range map[string]int{
		"localhost:8080": 200, own.Tenant.Slug + ".localhost:8080": 200, strings.ToUpper(own.Tenant.Slug) + ".LocalHost": 200, "127.0.0.1": 200, "www.localhost": 200,
		foreign.Tenant.Slug + ".localhost": 403, "evil.example": 421, "localhost.evil.example": 421, "notlocalhost": 421, own.Tenant.Slug + ".localhost.evil.example": 421,
	} {
		if got := say(t, api, "/graphql", []string{"Host: " + host, "Authorization: Bearer " + own.Token}, `{ tenant { slug } }`, nil); got.status != want {
			t.Errorf("%s: %d %s, want %d", host, got.status, got.text, want)
		}
	}
}
