package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/server"
)

// chunk is one part of a multipart answer.
type chunk struct {
	Data        map[string]any
	Incremental []struct {
		Data       map[string]any
		Path       []any
		Label      string
		Errors     []map[string]any
		Extensions map[string]any
	}
	Errors     []map[string]any
	Extensions map[string]any
	HasNext    *bool
}

// parts reads a multipart answer as a client does. Its chunks and what they make
// together come back; every part must belong into what came before it.
func parts(t testing.TB, a *apitest.Answer) (chunks []chunk, merged map[string]any, cost string) {
	t.Helper()
	media, options, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil || media != "multipart/mixed" || options["boundary"] != "-" || options["deferspec"] != "20220824" {
		t.Fatalf("Content-Type %q: %s", a.Header.Get("Content-Type"), a.Body)
	}
	reader := multipart.NewReader(bytes.NewReader(a.Body), "-")
	for {
		p, err := reader.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v: %s", err, a.Body)
		}
		if p.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("a part of %q", p.Header.Get("Content-Type"))
		}
		var c chunk
		if err := json.NewDecoder(p).Decode(&c); err != nil || c.HasNext == nil {
			t.Fatalf("%v: %s", err, a.Body)
		}
		chunks = append(chunks, c)
	}
	if len(chunks) == 0 {
		t.Fatalf("no parts: %s", a.Body)
	}
	merged = chunks[0].Data
	extensions := chunks[0].Extensions
	for i, c := range chunks {
		if last := i == len(chunks)-1; *c.HasNext == last {
			t.Errorf("hasNext is %v in part %d of %d: %s", *c.HasNext, i, len(chunks), a.Body)
		}
		for _, p := range c.Incremental {
			var at any = merged
			for _, step := range p.Path {
				switch step := step.(type) {
				case string:
					at = at.(map[string]any)[step]
				case float64:
					at = at.([]any)[int(step)]
				}
			}
			object, ok := at.(map[string]any)
			if !ok {
				t.Fatalf("a part for %v, where nothing is: %s", p.Path, a.Body)
			}
			for name, value := range p.Data {
				object[name] = value
			}
			if p.Extensions != nil {
				extensions = p.Extensions
			}
		}
		if c.Extensions != nil {
			extensions = c.Extensions
		}
	}
	return chunks, merged, fmt.Sprint(extensions["cost"])
}

// plain is an answer in one piece.
func plain(t testing.TB, a *apitest.Answer) (data map[string]any, cost string) {
	t.Helper()
	var body struct {
		Data       map[string]any
		Extensions map[string]any
	}
	if err := json.Unmarshal(a.Body, &body); err != nil || a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/json; charset=utf-8" || bytes.Contains(a.Body, []byte("hasNext")) {
		t.Fatalf("%v, %d %v %s", err, a.Status, a.Header, a.Body)
	}
	return body.Data, fmt.Sprint(body.Extensions["cost"])
}

const apolloAccept = "multipart/mixed;deferSpec=20220824,application/graphql-response+json,application/json;q=0.9"

var deferDirective = regexp.MustCompile(`@\s*defer(\([^)]*\))?`)

// Whatever is deferred, the parts together are the answer that it would have been at
// once, at the same cost.
func TestDefer(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	_, category := stock(t, owner)
	for i := range 4 {
		in := createProduct("sku", fmt.Sprint("D-", i))
		in["input"].(map[string]any)["categoryId"] = category
		owner.Must(t, createProductDocument, in, nil)
	}
	apollo := *owner
	apollo.Header = http.Header{"Accept": {apolloAccept}}
	for name, c := range map[string]struct {
		document string
		deferred int // parts; -1 where the answer comes in one piece
	}{
		"one to-one field":              {`{ products { nodes { sku ...@defer { category { name } } } } }`, 5},
		"never null":                    {`{ products { nodes { sku ...@defer { price { amount } } } } }`, 5},
		"two labels":                    {`{ products { nodes { sku ...@defer(label: "a") { price { amount } } ...@defer(label: "b") { category { name } } } } }`, 10},
		"a fragment":                    {`{ products { nodes { sku ...f @defer(label: "f") } } } fragment f on Product { createdBy { displayName } category { name } name }`, 5},
		"by alias":                      {`{ p: products { n: nodes { sku ...@defer { c: category { x: name } } } } }`, 5},
		"within what is deferred":       {`{ products(first: 2) { nodes { sku ...@defer { category { name ...@defer { products { nodes { sku ...@defer { price { amount } } } } } } } } } }`, 2 + 2 + 10},
		"also asked for at once":        {`{ products { nodes { category { id } ...@defer { category { name } } } } }`, -1},
		"a field without a resolver":    {`{ products { nodes { sku ...@defer { name description } } } }`, -1},
		"the root alone":                {`{ ...@defer { products { nodes { sku } } } }`, -1},
		"nothing there":                 {`{ products(filter: {name: {contains: "none of that"}}) { nodes { ...@defer { category { name } } } } }`, -1},
		"switched off":                  {`{ products { nodes { sku ...@defer(if: false) { category { name } } } } }`, -1},
		"below a type by name":          {`{ node(id: "` + category + `") { id ... on Category { name ...@defer { createdBy { displayName } } } ... on Product { sku } } }`, 1},
		"one type defers, another not":  {`{ node(id: "` + category + `") { id ... on Category { ...@defer { createdBy { displayName } } } ... on Product { createdBy { displayName } } } }`, -1},
		"a mutation":                    {`mutation { updateCategory(input: {id: "` + category + `", version: 0, name: "x"}) { userErrors { code } ...@defer { category { createdBy { displayName } } } } }`, -1},
		"a page with the count of all":  {`{ products(first: 1) { nodes { sku } ...@defer { totalCount } } }`, 1},
		"only what is deferred":         {`{ categories(first: 1) { nodes { ...@defer { createdBy { displayName } } } } }`, 1},
		"as many as are heeded":         {`{ products(first: 2) { nodes { sku ` + numbered(10, `...@defer(label: "#") { p#: price { amount } } `) + `} } }`, 20},
		"more than are heeded":          {`{ products(first: 2) { nodes { sku ` + numbered(5, `...@defer(label: "#") { p#: price { amount } } `) + ` ...f } } } fragment f on Product { ` + numbered(6, `...@defer(label: "f#") { f#: price { amount } } `) + `}`, -1},
		"with spaces as GraphQL allows": {`{ products { nodes { sku ... @ defer { category { name } } } } }`, 5},
	} {
		t.Run(name, func(t *testing.T) {
			want, wantCost := plain(t, owner.Do(t, deferDirective.ReplaceAllString(c.document, ""), nil))
			if got, cost := plain(t, owner.Do(t, c.document, nil)); !reflect.DeepEqual(got, want) || cost != wantCost {
				t.Errorf("to a client that takes no parts: cost %s, want %s\n%s", cost, wantCost, cmp.Diff(want, got))
			}
			a := apollo.Do(t, c.document, nil)
			if c.deferred < 0 {
				a.Header.Set("Content-Type", strings.ReplaceAll(a.Header.Get("Content-Type"), "graphql-response+", ""))
				if got, cost := plain(t, a); !reflect.DeepEqual(got, want) || cost != wantCost {
					t.Errorf("cost %s, want %s\n%s", cost, wantCost, cmp.Diff(want, got))
				}
				return
			}
			chunks, got, cost := parts(t, a)
			if !reflect.DeepEqual(got, want) || cost != wantCost {
				t.Errorf("cost %s, want %s\n%s", cost, wantCost, cmp.Diff(want, got))
			}
			n := 0
			for _, c := range chunks {
				n += len(c.Incremental)
			}
			if n != c.deferred || a.Status != http.StatusOK || bytes.Contains(a.Body, []byte(`:null`)) {
				t.Errorf("%d parts, want %d: %s", n, c.deferred, a.Body)
			}
			if line := logged.line(t, a.Header.Get("X-Request-Id"), "request"); line["bytes"] != float64(len(a.Body)) || line["status"] != 200.0 || line["tenant"] != owner.Tenant.Slug {
				t.Errorf("logged %v", line)
			}
		})
	}
}

// Parts share the loaders of their answer.
func TestDeferTakesNoStatementsMore(t *testing.T) {
	t.Parallel()
	owner := apitest.New(t, pgtest.New(t), apitest.LoaderWait(300*time.Millisecond)).NewTenant(t)
	stock(t, owner)
	in := createProduct("sku", "ANOTHER")
	owner.Must(t, createProductDocument, in, nil)
	const document = `{ products { nodes { sku ...@defer { category { name } createdBy { displayName } } } } }`
	statements := func(accept string) any {
		c := *owner
		c.Header = http.Header{"Accept": {accept}}
		owner.Warm(t)
		a := c.Do(t, document, nil)
		if got := strings.HasPrefix(a.Header.Get("Content-Type"), "multipart/mixed"); got != (accept == apolloAccept) {
			t.Fatalf("Accept %q: %v", accept, a.Header)
		}
		return logged.line(t, a.Header.Get("X-Request-Id"), "request")["statements"]
	}
	// The page, the categories and the creators: who asks is known.
	if parts, once := statements(apolloAccept), statements("application/json"); parts != once || once != 3.0 {
		t.Errorf("%v statements in parts, %v at once", parts, once)
	}
}

// Parts go to whoever names their form, and to nobody else.
func TestWhoTakesParts(t *testing.T) {
	t.Parallel()
	owner, _ := stocked(t)
	const document = `query($on: Boolean) { products { nodes { sku ...@defer(if: $on) { category { name } } } } }`
	for accept, takes := range map[string]bool{
		apolloAccept:      true,
		"multipart/mixed": true,
		"application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed": true, // urql's
		"":                              false,
		"*/*":                           false,
		"multipart/*, application/json": false,
		"multipart/mixed;q=0, */*":      false,
		"multipart/mixed;incrementalSpec=v0.2, application/json":                       false,
		"multipart/mixed;deferSpec=20230621, application/json":                         false,
		"multipart/mixed;boundary=graphql;subscriptionSpec=1.0, application/json;q=.9": false,
	} {
		c := *owner
		c.Header = http.Header{"Accept": {accept}}
		a := c.Do(t, document, map[string]any{"on": true})
		if got := strings.HasPrefix(a.Header.Get("Content-Type"), "multipart/mixed"); got != takes || a.Status != http.StatusOK {
			t.Errorf("Accept %q: %d %v %s", accept, a.Status, a.Header, a.Body)
		}
		for _, on := range []any{false, nil} {
			if a := c.Do(t, document, map[string]any{"on": on}); strings.HasPrefix(a.Header.Get("Content-Type"), "multipart/mixed") {
				t.Errorf("Accept %q, if: %v: %v %s", accept, on, a.Header, a.Body)
			}
		}
		if a := c.Do(t, `{ __typename } # defer`, nil); strings.HasPrefix(a.Header.Get("Content-Type"), "multipart") || accept == "multipart/mixed" && (a.Status != http.StatusNotAcceptable || a.Code() != "BAD_REQUEST") {
			t.Errorf("Accept %q, without @defer: %d %v %s", accept, a.Status, a.Header, a.Body)
		}
	}
	// The same by GET, and for whoever may not.
	anonymous := owner
	anonymous.Token, anonymous.Header = "", http.Header{"Accept": {apolloAccept}}
	if a := anonymous.Do(t, document, map[string]any{"on": true}); a.Code() != "UNAUTHENTICATED" || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/graphql-response+json") {
		t.Errorf("%v %s", a.Header, a.Body)
	}
	anonymous.Token = "expired"
	if a := anonymous.Do(t, document, map[string]any{"on": true}); a.Status != http.StatusUnauthorized || a.Code() != "UNAUTHENTICATED" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// When a request's time is up, its parts come with an error, and the request ends.
// So it does when nobody waits for them any more.
func TestDeferredPartsEndWithTheRequest(t *testing.T) {
	t.Parallel()
	owner, api := stocked(t)
	holder := pgtest.Superuser(t)
	const document = `{"query":"{ products { nodes { sku ...@defer { category { name } } ...@defer(label: \"b\") { createdBy { displayName } } } } }"}`
	// Time runs out as soon as the first part is out.
	inner := server.New(api.Config)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		inner.ServeHTTP(&endsAfterFirst{ResponseWriter: w, end: func() { cancel(context.DeadlineExceeded) }}, r.WithContext(ctx))
	}))
	defer srv.Close()
	for range 10 { // gqlgen alone waits for ever in every second one
		tx, err := holder.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `lock table shared.categories in access exclusive mode`); err != nil {
			t.Fatal(err)
		}
		status, header, body := send(t, request(t, http.MethodPost, srv.URL+"/graphql", document, "Content-Type", "application/json", "Accept", apolloAccept, "Authorization", "Bearer "+owner.Token))
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		chunks, _, _ := parts(t, &apitest.Answer{Status: status, Header: header, Body: []byte(body)})
		found := false
		for _, c := range chunks {
			for _, p := range c.Incremental {
				for _, err := range p.Errors {
					found = found || strings.Contains(fmt.Sprint(err), "CANCELED") || strings.Contains(fmt.Sprint(err), "TIMEOUT")
				}
			}
		}
		if !found {
			t.Errorf("no part says that time was up: %s", body)
		}
	}
}

// A context that is done has an error, whatever was released in between: without one,
// package context panics where nobody can recover, and the whole server is gone.
func TestDoneHasAnError(t *testing.T) {
	t.Parallel()
	end, cancel := context.WithCancel(t.Context())
	bounded, release := server.Bound(t.Context(), end)
	done := bounded.Done()
	release()
	if bounded.Done() == done || bounded.Err() != nil {
		t.Errorf("released, it still ends with the request: %v", bounded.Err())
	}
	cancel()
	<-done
	if bounded.Err() == nil {
		t.Error("it is done, and has no error")
	}
}

// Clients that go away in the middle of an answer take nobody along: a panic here ends
// the test's whole process.
func TestDeferredAnswersNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	owner, api := stocked(t)
	const document = `{"query":"{ products(first: 100) { nodes { id ...@defer { createdBy { id } } ...@defer(label: \"b\") { category { id } } } } }"}`
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		r := request(t, http.MethodPost, api.URL+"/graphql", document, "Content-Type", "application/json", "Accept", apolloAccept, "Authorization", "Bearer "+owner.Token)
		response, err := http.DefaultClient.Do(r.WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = response.Body.Read(make([]byte, 100))
		cancel()
		_ = response.Body.Close()
	}
	owner.Must(t, `{ viewer { role } }`, nil, nil)
}

// endsAfterFirst tells when the first part of an answer has been sent.
type endsAfterFirst struct {
	http.ResponseWriter
	end func()
}

func (w *endsAfterFirst) Flush() {
	w.ResponseWriter.(http.Flusher).Flush()
	w.end()
}

// A part that overtakes the one it belongs into waits for it, one of what became
// null is never sent, and the last one ends the answer whatever became of it.
func TestPartsComeInOrder(t *testing.T) {
	t.Parallel()
	const document = `{ products { nodes { sku ...@defer { category { name ...@defer { createdBy { displayName } } } } } } }`
	first := func() *graphql.Response {
		return &graphql.Response{Data: []byte(`{"products":{"nodes":[{"sku":"a","category":null},{"sku":"b","category":null},null]}}`)}
	}
	at := func(data string, path ...any) *graphql.Response {
		steps := ast.Path{}
		for _, step := range path {
			switch step := step.(type) {
			case string:
				steps = append(steps, ast.PathName(step))
			case int:
				steps = append(steps, ast.PathIndex(step))
			}
		}
		return &graphql.Response{Data: []byte(data), Path: steps}
	}
	inner := func(node int) *graphql.Response {
		return at(`{"createdBy":{"displayName":"C"}}`, "products", "nodes", node, "category")
	}
	outer := func(node int) *graphql.Response {
		return at(`{"category":{"name":"A","createdBy":null}}`, "products", "nodes", node)
	}
	none := at(`{"category":null}`, "products", "nodes", 1)
	for name, c := range map[string]struct {
		others []*graphql.Response
		want   string // the nodes, and what they cost
	}{
		"in order":                     {[]*graphql.Response{outer(0), inner(0), outer(1), inner(1)}, `[{"category":{"createdBy":{"displayName":"C"},"name":"A"},"sku":"a"},{"category":{"createdBy":{"displayName":"C"},"name":"A"},"sku":"b"},null] 12`},
		"the inner before the outer":   {[]*graphql.Response{inner(1), inner(0), outer(0), outer(1)}, `[{"category":{"createdBy":{"displayName":"C"},"name":"A"},"sku":"a"},{"category":{"createdBy":{"displayName":"C"},"name":"A"},"sku":"b"},null] 12`},
		"into what became null":        {[]*graphql.Response{inner(1), outer(0), inner(0), none}, `[{"category":{"createdBy":{"displayName":"C"},"name":"A"},"sku":"a"},{"category":null,"sku":"b"},null] 9`},
		"into what never was, at last": {[]*graphql.Response{outer(0), none, inner(0), inner(2), inner(7)}, `[{"category":{"createdBy":{"displayName":"C"},"name":"A"},"sku":"a"},{"category":null,"sku":"b"},null] 9`},
		"a part that failed":           {[]*graphql.Response{at(`null`, "products", "nodes", 0), outer(1), inner(1)}, `[{"sku":"a"},{"category":{"createdBy":{"displayName":"C"},"name":"A"},"sku":"b"},null] 8`},
	} {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", `multipart/mixed; boundary="-"; deferSpec=20220824`)
		server.Deliver(w, document, first(), c.others...)
		_, merged, cost := parts(t, &apitest.Answer{Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()})
		nodes, err := json.Marshal(merged["products"].(map[string]any)["nodes"])
		if got := fmt.Sprintf("%s %s", nodes, regexp.MustCompile(`\d+`).FindString(cost)); err != nil || got != c.want {
			t.Errorf("%s: got %s, want %s\n%s", name, got, c.want, w.Body)
		}
	}
}

// gqlgen defers the fields that it resolves concurrently. Its generated code says
// which they are, and so must the list that goes by the resolvers.
func TestWhatGqlgenDefers(t *testing.T) {
	t.Parallel()
	code, err := os.ReadFile("../../graph/generated/exec.go")
	if err != nil {
		t.Fatal(err)
	}
	object := regexp.MustCompile(`(?m)^func \(ec \*executionContext\) _(\w+)\(ctx context\.Context, sel ast\.SelectionSet`)
	field := regexp.MustCompile(`case "(\w+)":\s+out\.ResolveConcurrently\(ec\.OperationContext, &deferred`)
	var want []string
	places := object.FindAllSubmatchIndex(code, -1)
	for i, at := range places {
		end := len(code)
		if i+1 < len(places) {
			end = places[i+1][0]
		}
		for _, f := range field.FindAllSubmatch(code[at[0]:end], -1) {
			want = append(want, strings.ToLower(string(code[at[2]:at[3]])+"."+string(f[1])))
		}
	}
	slices.Sort(want)
	if len(want) < 10 {
		t.Fatalf("only %v", want)
	}
	if diff := cmp.Diff(want, server.Concurrent()); diff != "" {
		t.Errorf("-generated +known:\n%s", diff)
	}
}
