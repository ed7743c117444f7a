package graphiql_test

import (
	"compress/gzip"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold/web/graphiql"
	"github.com/commonhold/commonhold/web/graphiql/graphiqltest"
)

var account = graphiql.Account{
	Tenant: "acme", TenantName: `Acme "&" <Sons>`, Email: "owner@acme.example", Role: "OWNER", Password: "pa\"ss'<wörd>",
}

func get(t *testing.T, h http.Handler, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var reference = regexp.MustCompile(`(?:src|href)="([^"]*)"`)

// references are the addresses that the page names.
func references(page string) []string {
	var all []string
	for _, m := range reference.FindAllStringSubmatch(page, -1) {
		all = append(all, html.UnescapeString(m[1]))
	}
	return all
}

func TestPage(t *testing.T) {
	t.Parallel()
	h := graphiql.Handler(graphiql.Options{Endpoint: "/api/graphql", Accounts: []graphiql.Account{account}, Version: "v1.2.3", Schema: "type Query { a: Int }"})
	for _, target := range []string{"/", "/playground", "/playground/", "/?query=x"} {
		res := get(t, h, http.MethodGet, target)
		page := body(t, res.Body)
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %d %s", target, res.StatusCode, res.Header.Get("Content-Type"))
		}
		if got := res.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q, want no-store: the page holds a nonce", target, got)
		}
		if !strings.Contains(page, "v1.2.3") {
			t.Errorf("%s: the page does not show the version", target)
		}
		if len(references(page)) < 8 {
			t.Errorf("%s: the page names only %q", target, references(page))
		}
	}
}

func TestConfigurationReachesTheScript(t *testing.T) {
	t.Parallel()
	type config struct {
		Endpoint string
		Accounts []graphiql.Account
	}
	for _, test := range []struct {
		name    string
		options graphiql.Options
		want    config
	}{
		{"development", graphiql.Options{Endpoint: "/api", Accounts: []graphiql.Account{account}}, config{"/api", []graphiql.Account{account}}},
		{"production", graphiql.Options{}, config{"/graphql", []graphiql.Account{}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			page := body(t, get(t, graphiql.Handler(test.options), http.MethodGet, "/playground").Body)
			m := regexp.MustCompile(`data-config="([^"]*)"`).FindStringSubmatch(page)
			if m == nil {
				t.Fatalf("no configuration in the page:\n%s", page)
			}
			var got config
			if err := json.Unmarshal([]byte(html.UnescapeString(m[1])), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(page, `id="sign-in-form"`) {
				t.Error("the page has no sign-in form")
			}
		})
	}
}

func TestPolicyAllowsNothingInline(t *testing.T) {
	t.Parallel()
	h := graphiql.Handler(graphiql.Options{})
	nonces := map[string]bool{}
	for range 3 {
		res := get(t, h, http.MethodGet, "/playground")
		page := body(t, res.Body)
		policy := res.Header.Get("Content-Security-Policy")
		nonce := regexp.MustCompile(`'nonce-([\w-]{22})'`).FindStringSubmatch(policy)
		if nonce == nil || strings.Count(policy, "nonce-") != 1 {
			t.Fatalf("want one nonce of 128 bits in %q", policy)
		}
		nonces[nonce[1]] = true
		want := "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-" + nonce[1] + "'; connect-src 'self'; " +
			"img-src 'self' data:; font-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
		if policy != want {
			t.Errorf("policy\n got %s\nwant %s", policy, want)
		}
		if !strings.Contains(page, `nonce="`+nonce[1]+`"`) {
			t.Error("the page does not carry the nonce of its policy")
		}
		for what, inline := range map[string]string{
			"a style attribute": `(?i)<[^>]*\sstyle=`, "a style element": `(?i)<style`,
			"an event attribute": `(?i)<[^>]*\son\w+=`, "an inline script": `(?i)<script(?:[^>s]|s[^r])*>`,
		} {
			if found := regexp.MustCompile(inline).FindString(page); found != "" {
				t.Errorf("the page has %s: %s", what, found)
			}
		}
	}
	if len(nonces) != 3 {
		t.Errorf("3 pages share %d nonces, want one each", len(nonces))
	}
}

func TestEveryAnswerIsHardened(t *testing.T) {
	t.Parallel()
	h := graphiql.Handler(graphiql.Options{Schema: "type Query { a: Int }"})
	targets := append(references(body(t, get(t, h, http.MethodGet, "/").Body)), "/", "/playground/nothing")
	for _, target := range targets {
		res := get(t, h, http.MethodGet, target)
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", target, name, got, want)
			}
		}
		if policy := res.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: Content-Security-Policy %q", target, policy)
		}
	}
}

func TestEveryReferencedAsset(t *testing.T) {
	t.Parallel()
	h := graphiql.Handler(graphiql.Options{Schema: "type Query { a: Int }"})
	types := map[string]string{
		".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".graphql": "text/plain; charset=utf-8",
	}
	for _, target := range references(body(t, get(t, h, http.MethodGet, "/").Body)) {
		if !strings.HasPrefix(target, "/playground/") {
			t.Errorf("%s lies outside /playground/", target)
			continue
		}
		zipped := get(t, h, http.MethodGet, target, "Accept-Encoding", "br, gzip")
		plain := get(t, h, http.MethodGet, target)
		if zipped.StatusCode != http.StatusOK || plain.StatusCode != http.StatusOK {
			t.Errorf("%s: %d with gzip, %d without", target, zipped.StatusCode, plain.StatusCode)
			continue
		}
		if zipped.Header.Get("Content-Encoding") != "gzip" || plain.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: Content-Encoding %q with gzip, %q without", target, zipped.Header.Get("Content-Encoding"), plain.Header.Get("Content-Encoding"))
		}
		raw, content := body(t, zipped.Body), body(t, plain.Body)
		z, err := gzip.NewReader(strings.NewReader(raw))
		if err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		if body(t, z) != content || content == "" {
			t.Errorf("%s: the gzip and the identity representation differ", target)
		}
		for res, length := range map[*http.Response]int{zipped: len(raw), plain: len(content)} {
			if got := res.Header.Get("Content-Length"); got != strconv.Itoa(length) {
				t.Errorf("%s: Content-Length %s, want %d", target, got, length)
			}
			if got := res.Header.Get("Vary"); got != "Accept-Encoding" {
				t.Errorf("%s: Vary %q", target, got)
			}
			if got, want := res.Header.Get("Content-Type"), types[path.Ext(target)]; got != want {
				t.Errorf("%s: Content-Type %q, want %q", target, got, want)
			}
			want := "public, max-age=31536000, immutable"
			if target == graphiql.SchemaPath {
				want = "no-cache"
			} else if !regexp.MustCompile(`-[0-9a-f]{20}\.\w+$`).MatchString(target) {
				t.Errorf("%s: no hash in the name", target)
			}
			if got := res.Header.Get("Cache-Control"); got != want {
				t.Errorf("%s: Cache-Control %q, want %q", target, got, want)
			}
		}

		head := get(t, h, http.MethodHead, target, "Accept-Encoding", "gzip")
		if got := body(t, head.Body); got != "" {
			t.Errorf("%s: HEAD has a body", target)
		}
		if diff := cmp.Diff(zipped.Header, head.Header); diff != "" {
			t.Errorf("%s: HEAD and GET differ: %s", target, diff)
		}

		// Each representation has its own ETag, and only its own saves the transfer.
		ours, other := zipped.Header.Get("ETag"), plain.Header.Get("ETag")
		if ours == other || ours == "" || other == "" {
			t.Errorf("%s: ETags %s and %s", target, ours, other)
		}
		for match, want := range map[string]int{
			ours: http.StatusNotModified, "W/" + ours: http.StatusNotModified, `"x", ` + ours: http.StatusNotModified,
			"*": http.StatusNotModified, other: http.StatusOK, `"x"`: http.StatusOK,
		} {
			res := get(t, h, http.MethodGet, target, "Accept-Encoding", "gzip", "If-None-Match", match)
			if res.StatusCode != want {
				t.Errorf("%s: If-None-Match %s: %d, want %d", target, match, res.StatusCode, want)
			}
			if got := body(t, res.Body); want == http.StatusNotModified && got != "" {
				t.Errorf("%s: 304 with a body", target)
			}
		}
	}
}

func TestEncodingIsNegotiated(t *testing.T) {
	t.Parallel()
	h := graphiql.Handler(graphiql.Options{Schema: "type Query { a: Int }"})
	for accept, want := range map[string]string{
		"": "", "gzip": "gzip", "GZIP": "gzip", "deflate, gzip;q=0.5": "gzip", "*": "gzip", "x-gzip": "gzip",
		"br": "", "identity": "", "gzip;q=0": "", "gzip; q=0.000": "", "*;q=0": "", "gzip;q=0, *": "", "*;q=0, gzip": "gzip", "gzip;q=x": "",
	} {
		res := get(t, h, http.MethodGet, graphiql.SchemaPath, "Accept-Encoding", accept)
		if got := res.Header.Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q: Content-Encoding %q, want %q", accept, got, want)
		}
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	h := graphiql.Handler(graphiql.Options{})
	for _, target := range []string{
		"/graphql", "/playground/assets/", "/playground/assets/app.js", "/playground/assets/app-00000000000000000000.js",
		"/playground/../graphiql.go", "/playground/assets/../../graphiql.go", "/playground/assets/%2e%2e/%2e%2e/update.sh",
		"/playground/static/page.html", "/playground//", "//playground", "/playground/schema.graphql",
	} {
		if res := get(t, h, http.MethodGet, target); res.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %d, want 404", target, res.StatusCode)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		res := get(t, h, method, "/playground")
		if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, res.StatusCode, res.Header.Get("Allow"))
		}
	}
	res := get(t, h, http.MethodHead, "/")
	if res.StatusCode != http.StatusOK || body(t, res.Body) != "" || res.Header.Get("Content-Length") == "" {
		t.Errorf("HEAD /: %d, Content-Length %q", res.StatusCode, res.Header.Get("Content-Length"))
	}
}

// The README names the versions that update.sh pins.
func TestReadmeNamesThePinnedVersions(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("update.sh")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	pins := regexp.MustCompile(`(?m)^(?:GRAPHIQL|REACT|REACT_DOM)=([\w-]+)@([\d.]+)$`).FindAllStringSubmatch(string(script), -1)
	if len(pins) != 3 {
		t.Fatalf("found the pins %q in update.sh, want three", pins)
	}
	for _, pin := range pins {
		if row := "npm `" + pin[1] + "` | " + pin[2] + " |"; !strings.Contains(string(readme), row) {
			t.Errorf("README.md does not say %q", row)
		}
	}
}

// Every operation in app.js, the examples as well as what the bar sends, fits the
// schema of this repository.
func TestOperationsFitTheSchema(t *testing.T) {
	t.Parallel()
	sdl, err := os.ReadFile("../../schema.graphql")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphql", Input: string(sdl)})
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("static/app.js")
	if err != nil {
		t.Fatal(err)
	}
	payload := regexp.MustCompile(`const PAYLOAD = "([^"]*)"`).FindSubmatch(script)
	if payload == nil {
		t.Fatal("no PAYLOAD in app.js")
	}
	source := strings.NewReplacer("${PAYLOAD}", string(payload[1]), "${run}", "").Replace(string(script))
	operations := regexp.MustCompile("(?s)[\"`]((?:#[^\n]*\n)*(?:query|mutation)\\b.*?)[\"`][,;]\n").FindAllStringSubmatch(source, -1)
	if len(operations) != 7 {
		t.Fatalf("found %d operations in app.js, want three examples and four of the bar", len(operations))
	}
	for _, operation := range operations {
		if _, errs := gqlparser.LoadQueryWithRules(schema, operation[1], nil); errs != nil {
			t.Errorf("%v in\n%s", errs, operation[1])
		}
	}
}

// Without an API behind it the page still renders in a real browser, says that
// nothing answers, and keeps its policy: also in GraphiQL's dialogs and menus,
// which are why the policy has a nonce.
func TestPageInABrowser(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(graphiql.Handler(graphiql.Options{Accounts: []graphiql.Account{account}}))
	t.Cleanup(server.Close)
	p := graphiqltest.Open(t, server.URL)

	if got := graphiqltest.Value[string](p, `document.querySelector(".tenant-name").textContent`); got != account.TenantName {
		t.Errorf("the account's tenant is shown as %q, want %q", got, account.TenantName)
	}
	p.Click(`button[aria-label="Open settings dialog"]`)
	p.WaitFor("the settings", `document.querySelector(".graphiql-dialog")`)
	p.Click(`.graphiql-dialog button[aria-label="Close dialog"], .graphiql-dialog-close`)
	p.WaitFor("the settings to close", `!document.querySelector(".graphiql-dialog")`)
	if result := p.RunQuery(); !strings.Contains(result, "The server answered 404") {
		t.Errorf("the result pane says %s, want that the server answered 404", result)
	}
	p.Click("button.account")
	p.WaitFor("the reason why nobody is signed in", `document.querySelector("#message").innerText.includes("404")`)

	for _, problem := range p.Problems() {
		// The browser logs the answers that this test provokes.
		if !strings.HasPrefix(problem, "log: Failed to load resource") || !strings.HasSuffix(problem, "/graphql") {
			t.Errorf("the browser complained: %s", problem)
		}
	}
}
