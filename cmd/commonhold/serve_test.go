package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// raw posts a body and returns what came back.
func raw(t testing.TB, origin, body string) string {
	t.Helper()
	response, err := http.Post(origin+"/graphql", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What a server answers is what its flags say: nothing of the schema by default,
// all of it with --introspection, and a list of documents alone where there is one.
func TestServe(t *testing.T) {
	t.Parallel()
	dsn, keyFile := migrated(t)
	manifest := filepath.Join(filepath.Dir(keyFile), "persisted-documents.json")
	const document = "query Listed { __typename }"
	trusted, err := json.Marshal(map[string]string{"0a1b2c": document})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, trusted, 0o600); err != nil {
		t.Fatal(err)
	}
	const introspection, misspelt, sent, named = `{"query":"{ __schema { types { name } } }"}`, `{"query":"{ prodcuts { nodes { id } } }"}`, `{"query":"` + document + `"}`, `{"documentId":"0a1b2c"}`
	for _, c := range []struct {
		name  string
		flags []string
		env   []string
		says  map[string]string // what an answer must say
		never []string          // and what none may
	}{
		{"by default", nil, nil, map[string]string{introspection: `does not describe its schema`, misspelt: `Cannot query field`, sent: `"__typename":"Query"`, named: `PERSISTED_QUERY_NOT_FOUND`}, []string{"ProductConnection", "Did you mean"}},
		{"with --introspection", []string{"--introspection"}, nil, map[string]string{introspection: `ProductConnection`, misspelt: `Did you mean`}, nil},
		{"with --trusted-documents", []string{"--introspection", "--trusted-documents", manifest}, nil, map[string]string{introspection: `DOCUMENT_NOT_TRUSTED`, misspelt: `DOCUMENT_NOT_TRUSTED`, sent: `DOCUMENT_NOT_TRUSTED`, named: `"__typename":"Query"`}, []string{"ProductConnection", "Did you mean"}},
		{"by its environment", nil, []string{"COMMONHOLD_TRUSTED_DOCUMENTS=" + manifest}, map[string]string{sent: `DOCUMENT_NOT_TRUSTED`, named: `"__typename":"Query"`}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, origin := serving(t, dsn, keyFile, c.env, c.flags...)
			for body, says := range c.says {
				got := raw(t, origin, body)
				if !strings.Contains(got, says) {
					t.Errorf("%s: %.300s", body, got)
				}
				for _, word := range c.never {
					if strings.Contains(got, word) {
						t.Errorf("%s: the answer says %q: %.300s", body, word, got)
					}
				}
			}
			if page := read(t, origin+"/dev/mail"); !strings.Contains(page, "There is nothing here") {
				t.Errorf("it shows mails: %.300s", page)
			}
			p.interrupt()
			if strings.Contains(p.stderr.String(), "code: ") {
				t.Errorf("a clean end complains: %s", p.stderr)
			}
		})
	}
}
