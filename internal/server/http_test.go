package server_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/commonhold/commonhold/graph"
	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/server"
	"github.com/commonhold/commonhold/web/graphiql"
	"github.com/commonhold/commonhold/web/graphiql/graphiqltest"
)

// request makes one with headers given in pairs.
func request(t testing.TB, method, target, body string, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func TestCORS(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	dev := apitest.New(t, w)
	production := apitest.New(t, w, func(c *server.Config) {
		c.Localhost, c.Origins = false, []string{"https://app.example.com"}
	})
	for _, c := range []struct {
		api     *apitest.API
		origin  string
		allowed bool
	}{
		{dev, "http://localhost:3000", true},
		{dev, "http://localhost", true},
		{dev, "http://127.0.0.1:5173", true},
		{dev, "http://[::1]:8080", true},
		{dev, "https://localhost:3000", false},
		{dev, "https://app.example.com", false},
		{dev, "http://localhost.evil.example", false},
		{dev, "http://localhost:3000@evil.example", false},
		{dev, "http://evil.example:3000", false},
		{dev, "http://evil.example/localhost", false},
		{dev, "null", false},
		{production, "https://app.example.com", true},
		{production, "https://app.example.com.evil.example", false},
		{production, "https://evil.example", false},
		{production, "http://app.example.com", false},
		{production, "http://localhost:3000", false},
	} {
		t.Run(c.origin, func(t *testing.T) {
			t.Parallel()
			_, header, _ := send(t, request(t, http.MethodOptions, c.api.URL+"/graphql", "", "Origin", c.origin,
				"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization, content-type"))
			if got := header.Get("Access-Control-Allow-Origin"); c.allowed && got != c.origin || !c.allowed && got != "" {
				t.Errorf("the preflight allows %q", got)
			}
			if got := strings.ToLower(header.Get("Access-Control-Allow-Headers")); c.allowed && (!strings.Contains(got, "authorization") || !strings.Contains(got, "content-type")) {
				t.Errorf("the preflight allows the headers %q", got)
			}
			if header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("cookies are allowed: there are none")
			}

			// Whatever the preflight said, the request itself is not done for a stranger.
			status, header, body := send(t, request(t, http.MethodPost, c.api.URL+"/graphql", `{"query":"{ __typename }"}`,
				"Origin", c.origin, "Content-Type", "application/json", "Sec-Fetch-Site", "cross-site"))
			if c.allowed {
				if status != http.StatusOK || header.Get("Access-Control-Allow-Origin") != c.origin || !strings.Contains(header.Get("Access-Control-Expose-Headers"), "X-Request-Id") {
					t.Errorf("%d %v %s", status, header, body)
				}
				if !strings.Contains(strings.Join(header.Values("Vary"), ","), "Origin") {
					t.Errorf("Vary is %q: a cache would give one origin's answer to another", header.Values("Vary"))
				}
			} else if status != http.StatusForbidden || !strings.Contains(body, `"code":"FORBIDDEN"`) || !strings.Contains(body, "--origin") || header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%d %v %s", status, header, body)
			}
		})
	}
	// A page that does not say where it is from, in a browser that does.
	status, _, body := send(t, request(t, http.MethodPost, dev.URL+"/graphql", `{"query":"{ __typename }"}`, "Content-Type", "application/json", "Sec-Fetch-Site", "cross-site"))
	if status != http.StatusForbidden {
		t.Errorf("cross-site without an origin: %d %s", status, body)
	}
	// A name that was made to point here makes another site of the same origin.
	for _, target := range []string{"/graphql", "/", "/playground"} {
		status, _, body = send(t, request(t, http.MethodPost, dev.URL+target, `{"query":"{ __typename }"}`, "Content-Type", "application/json", "Host", "evil.example"))
		if status != http.StatusMisdirectedRequest || !strings.Contains(body, `"code":"FORBIDDEN"`) {
			t.Errorf("%s by another name: %d %s", target, status, body)
		}
	}
	if status, _, body = send(t, request(t, http.MethodPost, production.URL+"/graphql", `{"query":"{ __typename }"}`, "Content-Type", "application/json", "Host", "api.example.com")); status != http.StatusOK {
		t.Errorf("production by its name: %d %s", status, body)
	}
}

func TestQueriesByGET(t *testing.T) {
	t.Parallel()
	owner, api := stocked(t)
	query := url.Values{
		"query":         {`query one($n: Int) { products(first: $n) { nodes { sku } } } mutation two { signOut { clientMutationId } }`},
		"operationName": {"one"}, "variables": {`{"n": 1}`},
	}
	status, header, body := send(t, request(t, http.MethodGet, api.URL+"/graphql?"+query.Encode(), "", "Authorization", "Bearer "+owner.Token))
	if status != http.StatusOK || body != `{"data":{"products":{"nodes":[{"sku":"LAMP-1"}]}},"extensions":{"cost":{"requested":3,"actual":3}}}` {
		t.Errorf("%d %s", status, body)
	}
	if header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control is %q", header.Get("Cache-Control"))
	}
	if status, _, body := send(t, request(t, http.MethodGet, api.URL+"/graphql?query=%7B__typename%7D", "", "Upgrade", "h2c", "Connection", "Upgrade")); status != http.StatusOK {
		t.Errorf("a client that offers HTTP/2: %d %s", status, body)
	}
}

func stocked(t testing.TB) (*apitest.Client, *apitest.API) {
	t.Helper()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	stock(t, owner)
	return owner, api
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	const older, newer, none = "application/json", "application/graphql-response+json", ""
	for _, c := range []struct{ accept, want string }{
		{"", older},
		{"*/*", older},
		{"*", older},
		{"*; q=.2, */*; q=.2", older},
		{"application/*", older},
		{"application/json", older},
		{"APPLICATION/JSON", older},
		{"application/json;charset=UTF-8", older},
		{"application/graphql-response+json", newer},
		{"application/graphql-response+json; charset=utf-8", newer},
		{"application/graphql-response+json, application/json;q=0.9", newer},
		{"application/json;q=0.9, application/graphql-response+json", newer},
		{"application/json, application/graphql-response+json;q=0.9", older},
		{"application/json, application/graphql-response+json", older},
		{"application/graphql-response+json, application/json", newer},
		{"*/*, application/graphql-response+json", newer},
		{"application/graphql-response+json;q=0.1, */*;q=0.2", older},
		{"application/json;q=0, */*", newer},
		{"application/graphql-response+json;q=0, application/*;q=0.1", older},
		{"application/json, multipart/mixed", older},
		{"text/event-stream, application/json", older},
		{"text/html, application/xhtml+xml, */*;q=0.8", older},
		{"application/json;q=2, application/graphql-response+json;q=0.001", newer},
		{";;;", older},
		{strings.Repeat("a/a,", 49) + "application/graphql-response+json", newer},
		{strings.Repeat("a/a,", 7000) + "application/graphql-response+json", none}, // nobody takes so many
		{"text/html", none},
		{"application/json;q=0", none},
		{"application/json;q=0.0, application/graphql-response+json;q=0", none},
		{"application/json;charset=utf-16", none},
		{"application/graphql+json", none},
		{"*/*;q=0", none},
	} {
		for document, executed := range map[string]bool{"{ __typename }": true, "{ nothing }": false, "{": false, "{ __typename " + strings.Repeat("@a ", 60) + "}": false} {
			body, _ := json.Marshal(map[string]any{"query": document})
			status, header, text := send(t, request(t, http.MethodPost, api.URL+"/graphql", string(body), "Content-Type", "application/json; charset=UTF-8", "Accept", c.accept))
			want, media := http.StatusOK, c.want
			switch {
			case c.want == none:
				want, media, executed = http.StatusNotAcceptable, older, false
				if !strings.Contains(text, `"code":"BAD_REQUEST"`) || !strings.Contains(text, "in the Accept header") {
					t.Errorf("Accept %q: %s", c.accept, text)
				}
			case c.want == newer && !executed:
				want = http.StatusBadRequest
			}
			if status != want || header.Get("Content-Type") != media+"; charset=utf-8" || header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("Accept %q, %s: %d %v %s", c.accept, document, status, header, text)
			}
			if strings.Contains(text, `"data"`) != executed {
				t.Errorf("Accept %q, %s: %s", c.accept, document, text)
			}
		}
	}
	// Several headers are one.
	r := request(t, http.MethodPost, api.URL+"/graphql", `{"query":"{ __typename }"}`, "Content-Type", "application/json")
	r.Header["Accept"] = []string{"text/html", "application/graphql-response+json"}
	if status, header, text := send(t, r); status != http.StatusOK || header.Get("Content-Type") != newer+"; charset=utf-8" {
		t.Errorf("%d %v %s", status, header, text)
	}
}

// What other tools write before or around JSON is read as what it is.
func TestBodies(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	for name, body := range map[string]string{
		"a byte order mark":      "\ufeff" + `{"query":"{ __typename }"}`,
		"a member of tomorrow":   `{"query":"{ __typename }","onError":"HALT","QUERY":5}`,
		"nulls":                  `{"query":"{ __typename }","variables":null,"operationName":null,"extensions":null,"documentId":null}`,
		"no operation by name":   `{"query":"{ __typename }","operationName":""}`,
		"space around":           " \n" + `{"query":"{ __typename }"}` + "\n",
		"an escape in a name":    `{"quer\u0079":"{ __typename }"}`,
		"the same variable name": `{"query":"query($a: Boolean!) { __typename @include(if: $a) }","variables":{"a":true}}`,
	} {
		status, _, text := send(t, request(t, http.MethodPost, api.URL+"/graphql", body, "Content-Type", "application/json", "Content-Encoding", "identity"))
		if status != http.StatusOK || !strings.Contains(text, `"data":{"__typename":"Query"}`) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	for _, coding := range []string{"gzip", "br", "deflate, gzip"} {
		status, _, text := send(t, request(t, http.MethodPost, api.URL+"/graphql", `{"query":"{ __typename }"}`, "Content-Type", "application/json", "Content-Encoding", coding))
		if status != http.StatusUnsupportedMediaType || !strings.Contains(text, `"code":"BAD_REQUEST"`) || !strings.Contains(text, "without the header Content-Encoding") {
			t.Errorf("%s: %d %s", coding, status, text)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	w := pgtest.Open(t, 2)
	api := apitest.New(t, w)
	status := func(path string) int {
		status, _, _ := send(t, request(t, http.MethodGet, api.URL+path, ""))
		return status
	}
	if status("/livez") != http.StatusOK || status("/readyz") != http.StatusOK {
		t.Fatal("a server that works is not ready")
	}
	w.DB.Close()
	if got := status("/livez"); got != http.StatusOK {
		t.Errorf("alive without a database: %d", got)
	}
	if got := status("/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("ready without a database: %d", got)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		s, header, body := send(t, request(t, http.MethodPost, api.URL+path, ""))
		if s != http.StatusMethodNotAllowed || !strings.Contains(body, `"code":"BAD_REQUEST"`) || header.Get("Allow") == "" {
			t.Errorf("POST %s: %d %v %s", path, s, header, body)
		}
	}
}

func TestHeaderLimits(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	base, stop := serve(t, server.New(api.Config))
	defer stop()
	ask := func(size int) int {
		response, err := http.DefaultTransport.RoundTrip(request(t, http.MethodPost, base+"/graphql", `{"query":"{ __typename }"}`, "Content-Type", "application/json", "X-Filler", strings.Repeat("x", size)))
		if err != nil {
			t.Fatal(err)
		}
		// The server hangs up on a header that is too large: its answer may lack an end.
		_ = response.Body.Close()
		return response.StatusCode
	}
	if got := ask(30 << 10); got != http.StatusOK {
		t.Errorf("a header of 30 KB: %d", got)
	}
	if got := ask(40 << 10); got != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 40 KB: %d", got)
	}
}

// serve runs a handler as the commands do. stop ends it and waits.
func serve(t testing.TB, h http.Handler) (base string, stop func()) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, listener, h) }()
	return "http://" + listener.Addr().String(), func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	}
}

// eventually waits for a condition, far longer than it should take.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// A request that is being worked on when the server is told to stop is finished;
// a new one finds nobody.
func TestGracefulShutdown(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	base, stop := serve(t, server.New(api.Config))

	// Every write takes the tenant's lock first. As long as it is held here, the
	// request waits inside the database.
	key := owner.Tenant.ID.UUID()
	lock := int64(binary.BigEndian.Uint64(key[8:])) //nolint:gosec // any 64 bits do
	holder, watcher := pgtest.Superuser(t), pgtest.Superuser(t)
	if _, err := holder.Exec(t.Context(), `select pg_advisory_lock($1)`, lock); err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		status int
		body   string
		err    error
	}
	finished := make(chan outcome, 1)
	r := request(t, http.MethodPost, base+"/graphql", `{"query":"mutation { createCategory(input: {name: \"At the last moment\"}) { category { name } } }"}`,
		"Content-Type", "application/json", "Authorization", "Bearer "+owner.Token)
	go func() {
		w := httptest.NewRecorder()
		response, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			defer response.Body.Close() //nolint:errcheck // read to its end
			w.Code = response.StatusCode
			_, err = w.Body.ReadFrom(response.Body)
		}
		finished <- outcome{w.Code, w.Body.String(), err}
	}()
	eventually(t, "the request waits for the lock", func() bool {
		var waiting int
		if err := watcher.QueryRow(t.Context(), `select count(*) from pg_locks where locktype = 'advisory' and not granted
			and (classid::bigint << 32) | objid::bigint = $1`, lock).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		return waiting > 0
	})

	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	eventually(t, "nobody listens any more", func() bool {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	select {
	case early := <-finished:
		t.Fatalf("the request ended before it could: %+v", early)
	case <-stopped:
		t.Fatal("the server ended before the request")
	default:
	}
	if _, err := holder.Exec(t.Context(), `select pg_advisory_unlock($1)`, lock); err != nil {
		t.Fatal(err)
	}
	if got := <-finished; got.err != nil || got.status != http.StatusOK || !strings.HasPrefix(got.body, `{"data":{"createCategory":{"category":{"name":"At the last moment"}}},"extensions":`) {
		t.Errorf("the request in flight: %+v", got)
	}
	<-stopped
}

// A defect of ours is answered without a word of it, and the log has all of it.
func TestPanics(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	working := apitest.New(t, w)
	owner := working.NewTenant(t)
	// Parts that are missing make each layer panic: a resolver, what stands around the
	// resolvers, and a handler.
	broken := func(change func(*server.Config)) string {
		c := working.Config
		c.Resolver = &graph.Resolver{DB: c.Resolver.DB, Auth: c.Resolver.Auth}
		change(&c)
		srv := httptest.NewServer(server.New(c))
		t.Cleanup(srv.Close)
		return srv.URL
	}
	inResolver := broken(func(c *server.Config) { c.Resolver.Auth = auth.NewService(w.DB, nil, nil, nil, nil) })
	around := broken(func(c *server.Config) { c.Resolver.DB = nil })
	inHandler := broken(func(c *server.Config) { c.DB = nil })
	for _, c := range []struct {
		name   string
		r      *http.Request
		status int
		line   string
	}{
		{"in a resolver", request(t, http.MethodPost, inResolver+"/graphql", `{"query":"mutation { signIn(input: {email: \"a\", password: \"b\"}) { session { accessToken } } }"}`, "Content-Type", "application/json"), 200, "panic in a resolver"},
		{"around the resolvers", request(t, http.MethodPost, around+"/graphql", `{"query":"{ viewer { role } }"}`, "Content-Type", "application/json", "Authorization", "Bearer "+owner.Token), 500, "panic in a resolver"},
		{"before the resolvers", request(t, http.MethodPost, inResolver+"/graphql", `{"query":"{ viewer { role } }"}`, "Content-Type", "application/json", "Authorization", "Bearer "+owner.Token), 500, "panic in a handler"},
		{"in a handler", request(t, http.MethodGet, inHandler+"/readyz", ""), 500, "panic in a handler"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, header, body := send(t, c.r)
			id := header.Get("X-Request-Id")
			if status != c.status || !strings.Contains(body, `"code":"INTERNAL"`) || !strings.Contains(body, "logged as "+id) || !strings.HasPrefix(header.Get("Content-Type"), "application/json") {
				t.Errorf("%d %v %s", status, header, body)
			}
			for _, word := range []string{"nil pointer", "invalid memory", "runtime", "goroutine", ".go:", "panic"} {
				if strings.Contains(body, word) {
					t.Errorf("the answer says %q: %s", word, body)
				}
			}
			line := logged.line(t, id, c.line)
			if line["level"] != "ERROR" || !strings.Contains(line["panic"].(string), "nil pointer") || !strings.Contains(line["stack"].(string), ".go:") {
				t.Errorf("logged %v", line)
			}
		})
	}
}

// The lines of a request say who asked for how much, and nothing of what was said.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	owner, api := stocked(t)
	const secret = "a-secret-in-the-request"
	held := signIn(t, api.Anonymous(), owner.Tenant.Slug, owner.Email, apitest.Password)
	var got struct {
		Viewer struct{ User struct{ ID string } }
	}
	owner.Must(t, `{ viewer { user { id } } }`, nil, &got)
	me := got.Viewer.User.ID
	secrets := []string{secret, apitest.Password, owner.Token, held.Session.AccessToken, held.Session.RefreshToken, "Bearer"}
	expect := func(name string, a *apitest.Answer, status int, signedIn bool) {
		t.Helper()
		id := a.Header.Get("X-Request-Id")
		lines := logged.of(id)
		line := logged.line(t, id, "request")
		if line["request"] != id || line["method"] != "POST" || line["path"] != "/graphql" || line["status"] != float64(status) || line["bytes"] != float64(len(a.Body)) || line["ms"] == nil {
			t.Errorf("%s: logged %v", name, line)
		}
		if signedIn && (line["tenant"] != owner.Tenant.Slug || line["user"] != me) || !signedIn && (line["tenant"] != nil || line["user"] != nil) {
			t.Errorf("%s: logged %v", name, line)
		}
		for _, text := range lines {
			for _, word := range secrets {
				if strings.Contains(text, word) {
					t.Errorf("%s: the log holds %q: %s", name, word, text)
				}
			}
		}
	}
	query := `query secretly { products(filter: {name: {contains: "` + secret + `"}}) { nodes { id } } }`
	expect("a query", owner.Do(t, query, map[string]any{"unused": secret}), 200, true)
	expect("a query that is refused", owner.Do(t, query+" "+secret, nil), 200, true)
	expect("a mutation that fails", owner.Do(t, createProductDocument, createProduct("name", secret+"\x00")), 200, true)
	expect("a sign-in", api.Anonymous().Do(t, signInDocument, map[string]any{"tenant": owner.Tenant.Slug, "email": owner.Email, "password": apitest.Password}), 200, false)
	expect("a sign-in that fails", api.Anonymous().Do(t, signInDocument, map[string]any{"tenant": owner.Tenant.Slug, "email": owner.Email, "password": secret}), 200, false)
	expect("a refresh", api.Anonymous().Do(t, refreshDocument, map[string]any{"token": held.Session.RefreshToken}), 200, false)
	expect("a body that is none", owner.Post(t, []byte(`{"query": "`+secret)), 400, true)
	expired := api.Anonymous()
	expired.Token = owner.Token + secret
	expect("a token that is refused", expired.Do(t, query, nil), 401, false)
	if id := owner.Do(t, `{ __typename }`, nil).Header.Get("X-Request-Id"); len(id) != 36 || id == owner.Do(t, `{ __typename }`, nil).Header.Get("X-Request-Id") {
		t.Errorf("request id %q", id)
	}
}

// One document holds one guess of a password.
func TestSessionsBeginAlone(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	guess := `signIn(input: {email: "` + owner.Email + `", password: "` + apitest.Password + `"}) { session { accessToken } }`
	for _, document := range []string{
		`mutation { ` + numbered(40, "a#: "+guess+" ") + `}`,
		`mutation { ` + guess + ` createCategory(input: {name: "x"}) { category { id } } }`,
		`mutation { ...f ... on Mutation { b: ` + guess + ` } } fragment f on Mutation { a: ` + guess + ` }`,
		`mutation { signOut { clientMutationId } createCategory(input: {name: "x"}) { category { id } } }`,
		`mutation { __typename ` + guess + ` again: ` + guess + ` }`,
		`mutation { ` + numbered(40, `a#: reauthenticate(input: {password: "a guess"}) { confirmedUntil } `) + `}`,
		`mutation { signOutEverywhere { endedSessions } createCategory(input: {name: "x"}) { category { id } } }`,
	} {
		a := owner.Do(t, document, nil)
		if a.Code() != "BAD_REQUEST" || a.Data != nil || !strings.Contains(string(a.Body), "must be the only field") || len(a.Errors) != 1 {
			t.Errorf("%.100s: %s", document, a.Body)
		}
	}
	owner.Must(t, `{ viewer { role } }`, nil, nil) // nobody was signed out
	// Code generators ask for the type's name everywhere.
	if a := api.Anonymous().Do(t, `mutation { __typename `+guess+` ... on Mutation { __typename } }`, nil); !strings.Contains(string(a.Body), `"accessToken"`) {
		t.Errorf("%s", a.Body)
	}
}

// The page of the server in a browser.
func TestPlayground(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	stock(t, owner)
	account := graphiql.Account{Tenant: owner.Tenant.Slug, TenantName: owner.Tenant.Name, Email: owner.Email, Role: "OWNER", Password: apitest.Password}
	c := api.Config
	c.Accounts = []graphiql.Account{account}
	srv := httptest.NewServer(server.New(c))
	t.Cleanup(srv.Close)
	for name, flow := range map[string]func(*testing.T, string, graphiql.Account){
		"sign in and list":         graphiqltest.SignInAndList,
		"refuses a wrong password": graphiqltest.RefusesWrongPassword,
		"refreshes the session":    graphiqltest.RefreshesSession,
	} {
		t.Run(name, func(t *testing.T) { flow(t, srv.URL, account) })
	}
}
