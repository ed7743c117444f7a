package server_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/introspection"
	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold"
	"github.com/commonhold/commonhold/graph"
	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/server"
)

func parsed(sdl string) *ast.Schema {
	return gqlparser.MustLoadSchema(&ast.Source{Input: sdl})
}

// planted is the schema with a field more on a type.
func planted(t *testing.T, kind, field string) *ast.Schema {
	t.Helper()
	at := strings.Index(commonhold.Schema, "\ntype "+kind+" ")
	if at < 0 {
		t.Fatalf("there is no type %s", kind)
	}
	at += strings.Index(commonhold.Schema[at:], "{\n") + 1
	return parsed(commonhold.Schema[:at] + "\n" + field + commonhold.Schema[at:])
}

// own are the schema's types that are not GraphQL's, by name.
func own(schema *ast.Schema) (types []*ast.Definition) {
	for _, definition := range schema.Types {
		if !definition.BuiltIn && !strings.HasPrefix(definition.Name, "__") {
			types = append(types, definition)
		}
	}
	slices.SortFunc(types, func(a, b *ast.Definition) int { return strings.Compare(a.Name, b.Name) })
	return types
}

// unpriced lists the connection fields whose cost does not grow with the page, and
// those that take a list and do not cost as much as it is long.
func unpriced(schema *ast.Schema, es graphql.ExecutableSchema) (found []string) {
	for _, definition := range own(schema) {
		for _, field := range definition.Fields {
			answered := schema.Types[field.Type.Name()]
			cost := func(arguments map[string]any) int {
				n, _ := es.Complexity(context.Background(), definition.Name, field.Name, 7, arguments)
				return n
			}
			for _, argument := range field.Arguments { // as many as are named
				many := slices.Repeat([]any{id.NewProduct().String()}, 100)
				if argument.Type.Elem != nil && definition != schema.Mutation && cost(map[string]any{argument.Name: many}) < 100*7 {
					found = append(found, definition.Name+"."+field.Name)
				}
			}
			if answered.Fields.ForName("pageInfo") == nil && field.Arguments.ForName("first") == nil && field.Arguments.ForName("last") == nil {
				continue
			}
			if cost(nil) < 20*7 || cost(map[string]any{"first": int64(100)}) < 100*7 || cost(map[string]any{"last": int64(100)}) < 100*7 ||
				cost(map[string]any{"first": int64(1)}) > 20 || cost(map[string]any{"first": int64(-5)}) < 7 {
				found = append(found, definition.Name+"."+field.Name)
			}
		}
	}
	return found
}

// unpricedFor is a schema that has lost one of its complexity functions.
type unpricedFor struct {
	graphql.ExecutableSchema
	kind, field string
}

func (s unpricedFor) Complexity(ctx context.Context, kind, field string, child int, arguments map[string]any) (int, bool) {
	if kind == s.kind && field == s.field {
		return 0, false
	}
	return s.ExecutableSchema.Complexity(ctx, kind, field, child, arguments)
}

func TestEveryConnectionHasACost(t *testing.T) {
	t.Parallel()
	es := graph.NewSchema(&graph.Resolver{})
	if found := unpriced(es.Schema(), es); found != nil {
		t.Errorf("without a complexity function in graph/complexity.go: %v", found)
	}
	// The check sees a function that was forgotten, and a connection that is new.
	if found := unpriced(es.Schema(), unpricedFor{es, "Category", "products"}); !slices.Equal(found, []string{"Category.products"}) {
		t.Errorf("a forgotten function: found %v", found)
	}
	for _, field := range []string{"orders: ProductConnection!", "orders(ids: [ID!]!): [Node]!", "orders(first: Int): [Product!]!", "orders(last: Int): String"} {
		if found := unpriced(planted(t, "User", field), es); !slices.Equal(found, []string{"User.orders"}) {
			t.Errorf("a new connection %s: found %v", field, found)
		}
	}
}

// unguarded lists the root fields that do not say, once, who may use them.
func unguarded(schema *ast.Schema) (found []string) {
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		if root == nil {
			continue
		}
		for _, field := range root.Fields {
			guards := 0
			for _, directive := range field.Directives {
				if slices.Contains([]string{"requires", "authenticated", "public"}, directive.Name) {
					guards++
				}
			}
			if guards != 1 && !strings.HasPrefix(field.Name, "__") {
				found = append(found, root.Name+"."+field.Name)
			}
		}
	}
	return found
}

func TestEveryRootFieldSaysWhoMayUseIt(t *testing.T) {
	t.Parallel()
	if found := unguarded(parsed(commonhold.Schema)); found != nil {
		t.Errorf("not exactly one of @requires, @authenticated and @public: %v", found)
	}
	for _, field := range []string{"secret: String", "secret: String @public @authenticated", "secret: String @deprecated"} {
		for _, root := range []string{"Query", "Mutation"} {
			if found := unguarded(planted(t, root, field)); !slices.Equal(found, []string{root + ".secret"}) {
				t.Errorf("planted %s in %s: found %v", field, root, found)
			}
		}
	}
	if found := unguarded(parsed(commonhold.Schema + "\n" + `type Subscription { all: String }  extend schema { subscription: Subscription }`)); !slices.Equal(found, []string{"Subscription.all"}) {
		t.Errorf("planted a subscription: found %v", found)
	}
}

// The guards are those of the schema that runs, not only of the file.
func TestTheSchemaThatRunsIsTheFile(t *testing.T) {
	t.Parallel()
	running := graph.NewSchema(&graph.Resolver{}).Schema()
	if diff := cmp.Diff(outline(parsed(commonhold.Schema)), outline(running)); diff != "" {
		t.Errorf("run make generate (-file +running):\n%s", diff)
	}
}

// outline is a schema as lines that say all that matters to a caller.
func outline(schema *ast.Schema) (lines []string) {
	for _, d := range own(schema) {
		lines = append(lines, fmt.Sprint(d.Kind, " ", d.Name, " ", d.Interfaces, " ", d.Description))
		for _, f := range d.Fields {
			line := fmt.Sprint(d.Name, ".", f.Name, ": ", f.Type, " ", f.DefaultValue, " ", f.Description)
			for _, a := range f.Arguments {
				line += fmt.Sprint(" (", a.Name, ": ", a.Type, " ", a.DefaultValue, " ", a.Description, ")")
			}
			for _, v := range f.Directives {
				line += " @" + v.Name
				for _, a := range v.Arguments {
					line += "(" + a.Name + ": " + a.Value.String() + ")"
				}
			}
			lines = append(lines, line)
		}
		for _, v := range d.EnumValues {
			lines = append(lines, d.Name+"."+v.Name+" "+v.Description)
		}
	}
	return lines
}

// undescribed lists what the schema leaves unsaid.
func undescribed(schema *ast.Schema) (found []string) {
	note := func(description string, name ...string) {
		if strings.TrimSpace(description) == "" {
			found = append(found, strings.Join(name, "."))
		}
	}
	note(schema.Description, "schema")
	for _, d := range own(schema) {
		note(d.Description, d.Name)
		for _, f := range d.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			note(f.Description, d.Name, f.Name)
			for _, a := range f.Arguments {
				note(a.Description, d.Name, f.Name, a.Name)
			}
		}
		for _, v := range d.EnumValues {
			note(v.Description, d.Name, v.Name)
		}
	}
	for _, d := range schema.Directives {
		if d.Position != nil && d.Position.Src.BuiltIn {
			continue
		}
		note(d.Description, "@"+d.Name)
		for _, a := range d.Arguments {
			note(a.Description, "@"+d.Name, a.Name)
		}
	}
	return found
}

func TestEverythingIsDescribed(t *testing.T) {
	t.Parallel()
	if found := undescribed(parsed(commonhold.Schema)); found != nil {
		t.Errorf("without a description: %v", found)
	}
	bare := `"s" schema { query: Query } directive @d(a: Int) on FIELD
		type Query { f(a: Int): E } enum E { V } input I { f: Int } scalar S`
	want := []string{"E", "E.V", "I", "I.f", "Query", "Query.f", "Query.f.a", "S", "@d", "@d.a"}
	if found := undescribed(parsed(bare)); !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
}

// unexplained lists what of a schema is deprecated without a reason of its own.
func unexplained(schema *ast.Schema) (found []string) {
	note := func(directives ast.DirectiveList, name ...string) {
		d := directives.ForName("deprecated")
		if d == nil {
			return
		}
		reason := ""
		if given := d.Arguments.ForName("reason"); given != nil {
			reason = strings.TrimSpace(given.Value.Raw)
		}
		if reason == "" || strings.EqualFold(strings.Trim(reason, ".!"), "No longer supported") {
			found = append(found, strings.Join(name, "."))
		}
	}
	for _, d := range own(schema) {
		for _, f := range d.Fields {
			note(f.Directives, d.Name, f.Name)
			for _, a := range f.Arguments {
				note(a.Directives, d.Name, f.Name, a.Name)
			}
		}
		for _, v := range d.EnumValues {
			note(v.Directives, d.Name, v.Name)
		}
	}
	for _, d := range schema.Directives {
		for _, a := range d.Arguments {
			note(a.Directives, "@"+d.Name, a.Name)
		}
	}
	slices.Sort(found)
	return found
}

// Who meets a deprecation reads what to use instead.
func TestEveryDeprecationHasAReason(t *testing.T) {
	t.Parallel()
	if found := unexplained(parsed(commonhold.Schema)); found != nil {
		t.Errorf("deprecated without a reason: %v", found)
	}
	schema := parsed(`directive @d(a: Int @deprecated, b: Int @deprecated(reason: "Use c.")) on FIELD
		type Query { f(a: Int @deprecated(reason: ""), b: Int @deprecated(reason: "Use c.")): E @deprecated g: E @deprecated(reason: "Use f.") h: E @deprecated(reason: "No longer supported") i: E @deprecated(reason: """ """) }
		enum E { V @deprecated W @deprecated(reason: "Use V.") } input I { f: Int @deprecated(reason: "no longer supported.") g: Int @deprecated(reason: "Use h.") }`)
	want := []string{"@d.a", "E.V", "I.f", "Query.f", "Query.f.a", "Query.h", "Query.i"}
	if found := unexplained(schema); !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
	if found := unexplained(planted(t, "Product", "old: String @deprecated")); !slices.Equal(found, []string{"Product.old"}) {
		t.Errorf("planted: found %v", found)
	}
}

// What tools ask of a schema is within the limits, and only where introspection is on.
func TestIntrospection(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	var got struct {
		Schema struct {
			Types []struct{ Name string }
		} `json:"__schema"`
	}
	apitest.New(t, w).Anonymous().Must(t, introspection.Query, nil, &got)
	if len(got.Schema.Types) < 30 {
		t.Errorf("only %d types", len(got.Schema.Types))
	}
	off := apitest.New(t, w, func(c *server.Config) { c.Introspection = false }).Anonymous()
	a := off.Do(t, introspection.Query, nil)
	if a.Code() != "BAD_REQUEST" || a.Data != nil || !strings.Contains(string(a.Body), "ask the operator for --introspection") {
		t.Errorf("introspection is off: %.300s", a.Body)
	}
	off.Must(t, `{ __typename }`, nil, nil) // this is no introspection of the schema
	for _, document := range []string{`{ __type(name: "Product") { name } }`, `{ ...f } fragment f on Query { ... { a: __type(name: "Product") { name } } }`, `{ __schema { ...f } } fragment f on __Schema { types { name } }`,
		`{ prodcuts { nodes { id } } }`, `{ products(frist: 1) { nodes { id } } }`,
		`{ products(orderBy: {field: PRIZE, direction: ASC}) { nodes { id } } }`, `{ products(filter: {inStok: true}) { nodes { id } } }`, `{ products }`, `query($a: Prodct) { __typename }`} {
		a := off.Do(t, document, nil)
		if a.Code() != "BAD_REQUEST" || strings.Contains(string(a.Body), "Did you mean") || strings.Contains(string(a.Body), `"name":"Product"`) {
			t.Errorf("%s: introspection is off: %s", document, a.Body)
		}
	}
}

// A page costs what it may hold, and pages inside pages multiply.
func TestCostCountsEntries(t *testing.T) {
	t.Parallel()
	owner := apitest.New(t, pgtest.New(t)).NewTenant(t)
	nested := `query($n: Int) { categories(first: $n) { nodes { products(first: $n) { nodes { id } } } } }`
	owner.Must(t, nested, map[string]any{"n": 50}, nil)
	if a := owner.Do(t, nested, map[string]any{"n": 100}); a.Code() != "QUERY_TOO_COMPLEX" {
		t.Errorf("ten thousand products at once: %s", a.Body)
	}
	// An order has few lines, or so it is hoped: not where each brings a long text.
	lines := `query($n: Int) { orders(first: $n) { nodes { items { product { name # } } } } }`
	owner.Must(t, strings.ReplaceAll(lines, "#", "category { name }"), map[string]any{"n": 100}, nil)
	if a := owner.Do(t, strings.ReplaceAll(lines, "#", "description"), map[string]any{"n": 4}); a.Code() != "QUERY_TOO_COMPLEX" {
		t.Errorf("four hundred long texts at once: %s", a.Body)
	}
	// Pages side by side add up.
	if a := owner.Do(t, `{ `+numbered(30, "a#: categories(last: 100) { nodes { id name } edges { cursor node { id name } } } ")+`}`, nil); a.Code() != "QUERY_TOO_COMPLEX" {
		t.Errorf("thirty pages side by side: %.300s", a.Body)
	}
}
