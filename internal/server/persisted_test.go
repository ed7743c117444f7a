package server_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/server"
	"github.com/commonhold/commonhold/web/links"
)

func hashOf(document string) string {
	sum := sha256.Sum256([]byte(document))
	return hex.EncodeToString(sum[:])
}

// byHash asks by hash, with the document too where it is not "".
func byHash(t testing.TB, c *apitest.Client, hash, document string) *apitest.Answer {
	t.Helper()
	request := map[string]any{"extensions": map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": hash}}}
	if document != "" {
		request["query"] = document
	}
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return c.Post(t, body)
}

func byID(t testing.TB, c *apitest.Client, id string) *apitest.Answer {
	t.Helper()
	return c.Post(t, []byte(fmt.Sprintf(`{"documentId":%q}`, id)))
}

func TestPersistedQueries(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner, other := api.NewTenant(t), api.NewTenant(t)
	viewer := owner.Member(t, auth.RoleViewer)
	document := `query kept { viewer { role } }`
	hash := hashOf(document)
	answered := func(name string, a *apitest.Answer, role string) {
		t.Helper()
		if a.Status != http.StatusOK || !strings.Contains(string(a.Body), `{"data":{"viewer":{"role":"`+role+`"}}`) {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	unknown := func(name string, a *apitest.Answer) {
		t.Helper()
		if a.Status != http.StatusOK || a.Code() != "PERSISTED_QUERY_NOT_FOUND" || a.Errors[0].Message != "PersistedQueryNotFound" || len(a.Errors) != 1 || a.Data != nil {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	unknown("before it was sent", byHash(t, owner, hash, ""))
	answered("with its document", byHash(t, owner, hash, document), "OWNER")
	answered("by its hash", byHash(t, owner, hash, ""), "OWNER")
	answered("by a colleague, with their own rights", byHash(t, viewer, hash, ""), "VIEWER")
	unknown("by another tenant, who learns nothing of it", byHash(t, other, hash, ""))
	unknown("by nobody", byHash(t, api.Anonymous(), hash, ""))
	expired := api.Anonymous()
	expired.Token = owner.Token + "x"
	unknown("with a token that is refused", byHash(t, expired, hash, ""))

	// GET, as a cache in front would see it.
	query := url.Values{"extensions": {`{"persistedQuery":{"version":1,"sha256Hash":"` + hash + `"}}`}}
	status, _, body := send(t, request(t, http.MethodGet, api.URL+"/graphql?"+query.Encode(), "", "Authorization", "Bearer "+owner.Token))
	if status != http.StatusOK || !strings.Contains(body, `"role":"OWNER"`) {
		t.Errorf("by GET: %d %s", status, body)
	}
	// The newer media type.
	newer := owner.Member(t, auth.RoleMember)
	newer.Header.Set("Accept", "application/graphql-response+json")
	if a := byHash(t, newer, hashOf("{ a }"), ""); a.Status != http.StatusBadRequest || a.Code() != "PERSISTED_QUERY_NOT_FOUND" {
		t.Errorf("%d %s", a.Status, a.Body)
	}

	// A document that is kept gives no right, and the answer is the caller's own.
	write := `mutation { createCategory(input: {name: "By hash"}) { category { name } } }`
	if a := byHash(t, owner, hashOf(write), write); a.Code() != "" || len(a.Errors) > 0 {
		t.Fatalf("%s", a.Body)
	}
	if a := byHash(t, viewer, hashOf(write), ""); a.Code() != "FORBIDDEN" {
		t.Errorf("a viewer by hash: %s", a.Body)
	}
	query = url.Values{"extensions": {`{"persistedQuery":{"version":1,"sha256Hash":"` + hashOf(write) + `"}}`}}
	if status, header, body := send(t, request(t, http.MethodGet, api.URL+"/graphql?"+query.Encode(), "", "Authorization", "Bearer "+owner.Token)); status != http.StatusMethodNotAllowed || header.Get("Allow") != "POST" {
		t.Errorf("a mutation by GET: %d %s", status, body)
	}

	// What would be refused is not kept.
	for _, bad := range []string{`{ nothing }`, `{`, `{ viewer { ` + strings.Repeat("role ", 700) + `} }`, `{ categories(first: 100) { nodes { products(first: 100) { nodes { id } } } } }`} {
		if a := byHash(t, owner, hashOf(bad), bad); a.Code() == "" {
			t.Errorf("%.100s: %s", bad, a.Body)
		}
		unknown("refused before", byHash(t, owner, hashOf(bad), ""))
	}
}

func TestPersistedQueriesThatAreNone(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	const document = `{ __typename }`
	hash := hashOf(document)
	for name, c := range map[string]struct{ body, advice string }{
		"the hash of another document": {`{"query":"{ a: __typename }","extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + hash + `"}}}`, "is not the hash of this document"},
		"a hash in capitals":           {`{"query":"{ __typename }","extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + strings.ToUpper(hash) + `"}}}`, "64 hexadecimal digits in lower case"},
		"a short hash":                 {`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"abcd"}}}`, "64 hexadecimal digits"},
		"a long hash":                  {`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + hash + `00"}}}`, "64 hexadecimal digits"},
		"a hash of 200 KB":             {`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + strings.Repeat("a", 200<<10) + `"}}}`, "64 hexadecimal digits"},
		"no hash":                      {`{"extensions":{"persistedQuery":{"version":1}}}`, `Send {"version": 1`},
		"a hash that is a number":      {`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":5}}}`, `Send {"version": 1`},
		"no version":                   {`{"extensions":{"persistedQuery":{"sha256Hash":"` + hash + `"}}}`, `Send {"version": 1`},
		"another version":              {`{"query":"{ __typename }","extensions":{"persistedQuery":{"version":2,"sha256Hash":"` + hash + `"}}}`, `Send {"version": 1`},
		"a version that is a string":   {`{"extensions":{"persistedQuery":{"version":"1","sha256Hash":"` + hash + `"}}}`, `Send {"version": 1`},
		"a list":                       {`{"query":"{ __typename }","extensions":{"persistedQuery":[]}}`, `Send {"version": 1`},
		"two names":                    {`{"documentId":"a","extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + hash + `"}}}`, "names its document twice"},
		"a name and a document":        {`{"query":"{ __typename }","documentId":"` + hash + `"}`, "Send query or documentId"},
	} {
		status, _, body := send(t, request(t, http.MethodPost, api.URL+"/graphql", c.body, "Content-Type", "application/json"))
		if status != http.StatusBadRequest || !strings.Contains(body, `"code":"BAD_REQUEST"`) || !strings.Contains(strings.ReplaceAll(body, `\"`, `"`), c.advice) || len(body) > 400 {
			t.Errorf("%s: %d %.500s", name, status, body)
		}
	}
	if a := byID(t, api.Anonymous(), hash); a.Status != http.StatusOK || a.Code() != "PERSISTED_QUERY_NOT_FOUND" || !strings.Contains(string(a.Body), "Send the document itself") {
		t.Errorf("an id where no list is: %s", a.Body)
	}
}

// However many documents are sent, what is remembered of them stays within its
// bound, and the ones in use stay.
func TestPersistedQueriesAreBounded(t *testing.T) {
	t.Parallel()
	kept := server.NewKept()
	document := strings.Repeat("x", 60<<10)
	const used = "{ used }"
	kept.Set(used, used)
	for i := range 2000 { // 120 MB
		kept.Set(fmt.Sprint(i), document)
		kept.Get(used)
	}
	if bytes := kept.Bytes(); bytes > server.KeptBytes || bytes < server.KeptBytes/2 {
		t.Errorf("%d bytes are kept, %d are allowed", bytes, server.KeptBytes)
	}
	if !kept.Get(used) {
		t.Error("what is used all the time was forgotten")
	}
}

const trustedQuery, trustedWrite = `query Trusted($id: ID!) { product(id: $id) { sku } }`, `mutation TrustedWrite { createCategory(input: {name: "Trusted"}) { category { name } } }`

func TestTrustedDocuments(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	manifest, err := json.Marshal(map[string]string{hashOf(trustedQuery): trustedQuery, "d41d8cd98f00b204e9800998ecf8427e00000000": trustedWrite})
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := server.ReadTrusted(manifest, server.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	api := apitest.New(t, w, func(c *server.Config) { c.Trusted = trusted })
	const shortHash = "d41d8cd98f00b204e9800998ecf8427e00000000" // SHA-1, graphql-codegen's default
	owner := api.NewTenant(t)
	viewer := owner.Member(t, auth.RoleViewer)

	variables := `"variables":{"id":"prod_01k0000000e008000000000000"}`
	for name, body := range map[string]string{
		"by documentId":            `{"documentId":"` + hashOf(trustedQuery) + `",` + variables + `}`,
		"by documentId, prefixed":  `{"documentId":"sha256:` + hashOf(trustedQuery) + `",` + variables + `}`,
		"by hash":                  `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + hashOf(trustedQuery) + `"}},` + variables + `}`,
		"by hash and its document": `{"query":` + quote(trustedQuery) + `,"extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + hashOf(trustedQuery) + `"}},` + variables + `}`,
	} {
		if a := owner.Post(t, []byte(body)); a.Status != http.StatusOK || !strings.HasPrefix(string(a.Body), `{"data":{"product":null}`) {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	if a := owner.Post(t, []byte(`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"`+shortHash+`"}}}`)); a.Code() != "" || !strings.Contains(string(a.Body), `"name":"Trusted"`) {
		t.Errorf("by a hash of another algorithm: %s", a.Body)
	}
	query := url.Values{"documentId": {hashOf(trustedQuery)}, "variables": {`{"id":"prod_01k0000000e008000000000000"}`}}
	if status, _, body := send(t, request(t, http.MethodGet, api.URL+"/graphql?"+query.Encode(), "", "Authorization", "Bearer "+owner.Token)); status != http.StatusOK || !strings.HasPrefix(body, `{"data":{"product":null}`) {
		t.Errorf("by GET: %d %s", status, body)
	}

	// What the server's own pages ask, it answers too.
	for hash, document := range links.Documents() {
		body := `{"query":` + quote(document) + `,"variables":{"input":{"token":"x","password":"x","newPassword":"x"}},"extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + hash + `"}}}`
		if a := api.Anonymous().Post(t, []byte(body)); strings.Contains(string(a.Body), "DOCUMENT_NOT_TRUSTED") || hash != hashOf(document) {
			t.Errorf("%s: %s", document, a.Body)
		}
	}

	// It gives no right that the caller lacks.
	if a := byID(t, viewer, shortHash); a.Code() != "FORBIDDEN" {
		t.Errorf("a viewer: %s", a.Body)
	}
	if a := byID(t, api.Anonymous(), shortHash); a.Code() != "UNAUTHENTICATED" {
		t.Errorf("nobody: %s", a.Body)
	}
	if status, _, body := send(t, request(t, http.MethodGet, api.URL+"/graphql?documentId="+shortHash, "", "Authorization", "Bearer "+owner.Token)); status != http.StatusMethodNotAllowed {
		t.Errorf("a mutation by GET: %d %s", status, body)
	}

	// Everything else is refused, introspection too, and nothing of it is repeated.
	const stranger = `query Stranger { __typename }`
	for name, body := range map[string]string{
		"a document":                    `{"query":"` + stranger + `"}`,
		"a trusted document by itself":  `{"query":` + quote(trustedQuery) + `,` + variables + `}`,
		"an unknown id":                 `{"documentId":"` + hashOf(stranger) + `"}`,
		"an unknown hash":               `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + hashOf(stranger) + `"}}}`,
		"its own hash":                  `{"query":"` + stranger + `","extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + hashOf(stranger) + `"}}}`,
		"a trusted hash and another":    `{"query":"` + stranger + `","extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + hashOf(trustedQuery) + `"}}}`,
		"no document":                   `{}`,
		"an empty document":             `{"query":""}`,
		"introspection":                 `{"query":"{ __schema { types { name } } }"}`,
		"a trusted document, and space": `{"query":` + quote(trustedQuery+" ") + `,"extensions":{"persistedQuery":{"version":1,"sha256Hash":"` + hashOf(trustedQuery) + `"}}}`,
	} {
		a := owner.Post(t, []byte(body))
		if a.Status != http.StatusOK || a.Code() != "DOCUMENT_NOT_TRUSTED" || a.Data != nil || !strings.Contains(string(a.Body), "Name one by its id") || strings.Contains(string(a.Body), "Stranger") {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
}

func quote(text string) string {
	quoted, _ := json.Marshal(text)
	return string(quoted)
}

func TestManifestsThatAreNone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ manifest, says string }{
		"nothing":          {``, "graphql-codegen"},
		"no JSON":          {`{"a": `, "graphql-codegen"},
		"a list":           {`["{ __typename }"]`, "graphql-codegen"},
		"null":             {`null`, "graphql-codegen"},
		"empty":            {`{}`, "graphql-codegen"},
		"Apollo's format":  {`{"format":"apollo-persisted-query-manifest","version":1,"operations":[]}`, "graphql-codegen"},
		"numbers":          {`{"a": 1}`, "graphql-codegen"},
		"no document":      {`{"abc": "{"}`, "\n  abc: "},
		"a fragment alone": {`{"abc": "fragment f on Product { id }"}`, "\n  abc: there is no operation"},
		"an unknown field": {`{"abc": "{ nothing }", "def": "{ __typename }"}`, "1 of the 2 trusted documents would be refused"},
		"a bomb":           {`{"abc": "{ ` + strings.Repeat("__typename ", 2000) + `}"}`, "tokens"},
		"too deep":         {`{"abc": "` + strings.Repeat("{a", 17) + strings.Repeat("}", 17) + `"}`, "levels"},
		"many":             {`{` + strings.TrimSuffix(numbered(20, `"a#":"{",`), ",") + `}`, "20 of the 20"},
	} {
		trusted, err := server.ReadTrusted([]byte(c.manifest), server.DefaultLimits())
		if !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), c.says) || trusted != nil || strings.Count(err.Error(), "\n") > 5 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
