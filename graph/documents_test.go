package graph_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold"
	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/pgtest"
)

var graphqlBlock = regexp.MustCompile("(?s)```graphql\n(.*?)```")

// documented are the operations that the documentation shows, by file. The guide to
// adding a noun shows what is not there yet.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	for _, file := range []string{"../README.md", "../docs/graphql.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range graphqlBlock.FindAllStringSubmatch(string(text), -1) {
			found[file] = append(found[file], m[1])
		}
		if len(found[file]) == 0 {
			t.Errorf("%s shows no operation", file)
		}
	}
	return found
}

func TestDocumentedOperationsAreValid(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: commonhold.Schema})
	for file, operations := range documented(t) {
		for _, operation := range operations {
			if _, err := gqlparser.LoadQuery(schema, operation); err != nil { //nolint:staticcheck // its errors name the place
				t.Errorf("%s: %v:\n%s", file, err, operation)
			}
		}
	}
}

// Four levels below the page, as documented, within the limits: five statements and
// the one that reads the session.
func TestDocumentedLevelsAreStatements(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t), apitest.LoaderWait(300*time.Millisecond))
	c := wideTenant(t, api)
	api.Registry.Forget(c.Tenant.ID) // it asks again after some seconds: not within the request
	c.Must(t, `{ tenant { id } }`, nil, nil)
	for _, operation := range documented(t)["../docs/graphql.md"] {
		if !strings.Contains(operation, "query CustomersWithOrders") {
			continue
		}
		answer := ask(t, api, c.Token, operation, nil, nil)
		if got := statements(t, answer.header); !succeeded(answer) || got != 6 || !strings.Contains(answer.body, `"category":{"name":`) {
			t.Errorf("%d statements, want 6: %d %.300s", got, answer.status, answer.body)
		}
		return
	}
	t.Error("the query is documented no more")
}
