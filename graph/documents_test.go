package graph_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	files, err := filepath.Glob("../docs/*.md")
	if err != nil || len(files) < 3 {
		t.Fatalf("documentation: %q, %v", files, err)
	}
	found := make(map[string][]string)
	for _, file := range append(files, "../README.md") {
		if filepath.Base(file) == "adding-a-noun.md" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range graphqlBlock.FindAllStringSubmatch(string(text), -1) {
			found[file] = append(found[file], m[1])
		}
	}
	for _, file := range []string{"../README.md", "../docs/graphql.md"} {
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

// inHand are fields with an entity that is known without a statement, and asked those
// with something else that takes one: of the same name, the same one.
var (
	inHand = map[string]bool{"Query.viewer": true, "Query.tenant": true, "Viewer.user": true, "Viewer.apiKey": true /* of a person: null */, "Viewer.tenant": true, "Membership.tenant": true, "AuditEvent.entityId": true}
	asked  = map[string]string{"CustomerOrderConnection.totalCount": "sum", "Customer.ordersCount": "sum", "Customer.lifetimeValue": "sum", "Tenant.stats": "stats", "Viewer.memberships": "memberships", "Viewer.sessions": "sessions", "Query.slugAvailable": "slug"}
)

// loads adds the statements that a selection takes, each as a loader and its level:
// those of one loader on one level are one. A single entity comes from the loader of
// its type, wherever it stands; a page, a list and a count from one of their own for
// each shape.
func loads(schema *ast.Schema, selections ast.SelectionSet, at string, level int, found map[string]map[int]bool) {
	for _, selection := range selections {
		switch s := selection.(type) {
		case *ast.InlineFragment:
			loads(schema, s.SelectionSet, at, level, found)
		case *ast.FragmentSpread:
			loads(schema, s.Definition.SelectionSet, at, level, found)
		case *ast.Field:
			coordinate := s.ObjectDefinition.Name + "." + s.Name
			of := schema.Types[s.Definition.Type.Name()]
			entity := of != nil && (of.Name == "Node" || slices.Contains(of.Interfaces, "Node"))
			own, loader := at+"/"+s.Name, asked[coordinate]
			for _, argument := range s.Arguments {
				own += " " + argument.Name + "=" + argument.Value.String()
			}
			switch page := strings.HasSuffix(s.ObjectDefinition.Name, "Connection"); {
			case loader != "" || inHand[coordinate] || strings.HasSuffix(s.ObjectDefinition.Name, "Edge") || page && s.Name != "totalCount": // costs what it says, or nothing
			case page || strings.HasSuffix(of.Name, "Connection") || entity && s.Definition.Type.Elem != nil:
				loader = own
			case entity:
				loader = of.Name
			}
			below := level
			if loader != "" {
				below++
				if found[loader] == nil {
					found[loader] = make(map[int]bool)
				}
				found[loader][below] = true
			}
			loads(schema, s.SelectionSet, own, below, found)
		}
	}
}

// One statement for each loader and level, for every query that the documentation
// shows: a new one is taken up by itself. It has to find something on each level, and
// its variables something to stand for.
func TestDocumentedQueriesTakeOneStatementPerLoaderAndLevel(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: commonhold.Schema})
	api := apitest.New(t, pgtest.New(t), apitest.LoaderWait(300*time.Millisecond))
	c := wideTenant(t, api)
	// What the documents look for.
	var made struct {
		Categories    struct{ Nodes []struct{ ID string } }
		CreateProduct struct{ Product struct{ ID string } }
	}
	c.Must(t, `{ categories(first: 1) { nodes { id } } }`, nil, &made)
	c.Must(t, `mutation($category: ID) { createProduct(input: {sku: "LAMP", name: "Desk lamp", price: {amount: "9.00", currencyCode: EUR}, stock: 1, categoryId: $category}) { product { id } } }`,
		map[string]any{"category": made.Categories.Nodes[0].ID}, &made)
	invite(t, c, "invited@tests.example", "VIEWER")
	newLink(t, c, "VIEWER", "tests.example")
	key, _ := addAPIKey(t, c, "Key", "PRODUCTS_READ")
	c.Must(t, `mutation($key: ID!) { rotateApiKey(input: {id: $key}) { secret } }`, map[string]any{"key": key}, nil)
	variables := map[string]any{"id": made.CreateProduct.Product.ID, "slug": "nobody-has-it"}
	claimed := map[string]int{"CustomersWithOrders": 5} // what the text around it says
	for file, operations := range documented(t) {
		for _, operation := range operations {
			document, errs := gqlparser.LoadQuery(schema, operation) //nolint:staticcheck // its errors name the place
			if errs != nil || document.Operations[0].Operation != ast.Query {
				continue // the test above says so; mutations write as many as they have to
			}
			op := document.Operations[0]
			given := make(map[string]any)
			for _, v := range op.VariableDefinitions {
				if value, ok := variables[v.Variable]; ok {
					given[v.Variable] = value
				} else if v.Type.NonNull {
					t.Errorf("%s: say here what $%s stands for:\n%s", file, v.Variable, operation)
				}
			}
			found := make(map[string]map[int]bool)
			loads(schema, op.SelectionSet, "", 0, found)
			most := 0
			for _, levels := range found {
				most += len(levels)
			}
			if want, ok := claimed[op.Name]; ok && most != want {
				t.Errorf("%s says that %s takes %d statements, and it takes %d", file, op.Name, want, most)
			}
			delete(claimed, op.Name)
			// A loader on two levels need not ask again for what it has.
			c.Warm(t)
			answer := ask(t, api, c.Token, operation, given, nil)
			if got := statements(t, answer.header); !succeeded(answer) || got > int64(most) || got < int64(len(found)) {
				t.Errorf("%s: %d statements, want %d of %d loaders: %d %.300s\n%s", file, got, most, len(found), answer.status, answer.body, operation)
			}
		}
	}
	for name := range claimed {
		t.Errorf("%s is documented no more", name)
	}
}

// How statements are foretold, held to those that are counted above in so many words.
func TestStatementsAreForetold(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: commonhold.Schema})
	for document, want := range map[string]int{
		`{ viewer { user { id } tenant { id } permissions } }`:                                                                             0,
		`{ products { nodes { id } totalCount } }`:                                                                                         2,
		`{ products { edges { node { category { parent { id } } createdBy { id } } } } }`:                                                  4,
		`{ categories { nodes { products { nodes { createdBy { id } category { name } } } } } }`:                                           4,
		`{ customers { nodes { ordersCount lifetimeValue { amount } orders { totalCount nodes { id } } } totalCount } }`:                   5,
		`{ orders { nodes { customer { id } placedBy { id } createdBy { id } items { id amount { amount } } } totalCount } }`:              5,
		`{ categories { nodes { products(first: 5) { nodes { id } } oldest: products(last: 2) { nodes { id } } } } }`:                      3,
		`{ members { nodes { user { id } } totalCount } auditLog { nodes { entityId actor { id } } } tenant { stats { orders } } }`:        5,
		`{ a: product(id: "x") { category { id } } node(id: "x") { ... on Order { items { product { category { id } } } } } }`:             6,
		`query { orders { nodes { ...order } } } fragment order on Order { ... on Order { items { id } } items { unitPrice { amount } } }`: 2,
	} {
		parsed, err := gqlparser.LoadQuery(schema, document) //nolint:staticcheck // its errors name the place
		if err != nil {
			t.Fatalf("%s: %v", document, err)
		}
		found, got := make(map[string]map[int]bool), 0
		loads(schema, parsed.Operations[0].SelectionSet, "", 0, found)
		for _, levels := range found {
			got += len(levels)
		}
		if got != want {
			t.Errorf("%s: %d statements, want %d: %v", document, got, want, found)
		}
	}
}

// What the recipe of docs/adding-a-noun.md calls in this package is there: it is written
// once, and the code goes on.
func TestTheRecipeCallsWhatThereIs(t *testing.T) {
	t.Parallel()
	recipe, err := os.ReadFile("../docs/adding-a-noun.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	there := string(recipe)
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		there += string(code)
	}
	called := regexp.MustCompile(`(?:^|[^\w.\])])([a-z]\w*)\(`)
	known := regexp.MustCompile(`(?m)^func (?:\([^)]*\) )?(\w+)`)
	names := map[string]bool{"func": true, "append": true, "len": true, "new": true, "make": true}
	for _, name := range known.FindAllStringSubmatch(there, -1) {
		names[name[1]] = true
	}
	calls := 0
	for _, block := range regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllStringSubmatch(string(recipe), -1) {
		code := regexp.MustCompile("`[^`]*`").ReplaceAllString(block[1], "``") // what it asks of the API is no call
		for _, call := range called.FindAllStringSubmatch(code, -1) {
			calls++
			if !names[call[1]] {
				t.Errorf("the recipe calls %s, which nobody has", call[1])
			}
		}
	}
	if calls < 10 {
		t.Errorf("%d calls were looked at", calls)
	}
}
