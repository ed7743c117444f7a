package server_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/commonhold/commonhold/internal/pgtest"
)

// validation are the rules of the GraphQL specification, September 2025, section 5,
// by their titles and in their order.
var validation = []string{
	"Executable Definitions", "Operation Type Existence", "Operation Name Uniqueness", "Lone Anonymous Operation", "Subscription Single Root Field",
	"Field Selections", "Field Selection Merging", "Leaf Field Selections",
	"Argument Names", "Argument Uniqueness", "Required Arguments",
	"Fragment Name Uniqueness", "Fragment Spread Type Existence", "Fragments on Object, Interface or Union Types", "Fragments Must Be Used",
	"Fragment Spread Target Defined", "Fragment Spreads Must Not Form Cycles", "Fragment Spread Is Possible",
	"Values of Correct Type", "Input Object Field Names", "Input Object Field Uniqueness", "Input Object Required Fields",
	"Directives Are Defined", "Directives Are in Valid Locations", "Directives Are Unique per Location",
	"Variable Uniqueness", "Variables Are Input Types", "All Variable Uses Defined", "All Variables Used", "All Variable Usages Are Allowed",
}

// elsewhere are the refusals of its other sections.
var elsewhere = []string{
	"2.1 Source Text", "2.2 Document", "2.8 Fragments", "2.9 Input Values", "3.10 OneOf Input Objects", "6.1.1 Get Operation", "6.1.2 Coerce Variable Values",
}

// violation breaks a rule. What it says is in all answers to it.
type violation struct {
	rule, document, says string
	request              string // further members of the request
}

// made stands in the documents that would change something, were they executed.
const made = `createCategory(input: {name: "Made"}) { category { id name } userErrors { code } }`

func violations(product, category string) []violation {
	node := func(selection string) string { return `{ node(id: "` + product + `") { ` + selection + ` } }` }
	return []violation{
		{"Executable Definitions", `type Shelf { id: ID } mutation { ` + made + ` }`, `Unexpected Name "type"`, ""},
		{"Executable Definitions", `mutation { ` + made + ` } extend type Product { shelf: ID }`, `Unexpected Name "extend"`, ""},
		{"Operation Type Existence", `subscription { products { nodes { id } } }`, `does not support operation type "subscription"`, ""},
		{"Operation Name Uniqueness", `mutation m { ` + made + ` } mutation m { ` + made + ` }`, `only one operation named "m"`, `"operationName": "m"`},
		{"Operation Name Uniqueness", `query m { viewer { role } } mutation m { ` + made + ` }`, `only one operation named "m"`, `"operationName": "m"`},
		{"Lone Anonymous Operation", `mutation { ` + made + ` } query q { viewer { role } }`, "must be the only defined operation", ""},
		{"Lone Anonymous Operation", `mutation { ` + made + ` } { viewer { role } }`, "must be the only defined operation", ""},
		// There are none to subscribe to: whatever their fields are, they are refused.
		{"Subscription Single Root Field", `subscription { products { nodes { id } } orders { nodes { id } } }`, `does not support operation type "subscription"`, ""},

		{"Field Selections", `mutation { ` + made + ` createShelf { id } }`, `Cannot query field "createShelf" on type "Mutation"`, ""},
		{"Field Selections", node(`name`), `Cannot query field "name" on type "Node"`, ""},
		{"Field Selections", node(`... on Node { __typename name }`), `Cannot query field "name" on type "Node"`, ""},
		{"Field Selection Merging", `mutation { ` + made + ` createCategory(input: {name: "Another"}) { category { id } } }`, "differing arguments", ""},
		{"Field Selection Merging", `{ tenant { id: name id } }`, "different fields", ""},
		{"Field Selection Merging", `query($n: Int, $m: Int) { products(first: $n) { nodes { id } } products(first: $m) { nodes { id } } }`, "differing arguments", ""},
		{"Field Selection Merging", node(`... on Product { value: stock } ... on Category { value: name }`), "conflicting types", ""},
		{"Field Selection Merging", `{ ...a ...b } fragment a on Query { t: tenant { id } } fragment b on Query { t: viewer { role } }`, "different fields", ""},
		{"Leaf Field Selections", `mutation { createCategory(input: {name: "Made"}) }`, "must have a selection of subfields", ""},
		{"Leaf Field Selections", `{ tenant { name { first } } }`, `must not have a selection`, ""},
		{"Leaf Field Selections", `{ viewer { role { name } } }`, `must not have a selection`, ""},

		{"Argument Names", `mutation { createCategory(input: {name: "Made"}, shelf: 1) { category { id } } }`, `Unknown argument "shelf" on field "Mutation.createCategory"`, ""},
		{"Argument Names", `{ tenant { name @include(unless: true, if: true) } }`, `Unknown argument "unless" on directive "@include"`, ""},
		{"Argument Uniqueness", `mutation { createCategory(input: {name: "Made"}, input: {name: "Made"}) { category { id } } }`, `only one argument named "input"`, ""},
		{"Argument Uniqueness", `{ tenant { name @skip(if: true, if: false) } }`, `only one argument named "if"`, ""},
		{"Required Arguments", `mutation { createCategory { category { id } } }`, `argument "input" of type "CreateCategoryInput!" is required`, ""},
		{"Required Arguments", `mutation { createCategory(input: null) { category { id } } }`, `Expected value of type "CreateCategoryInput!"`, ""},
		{"Required Arguments", `{ tenant { name @skip } }`, `argument "if" of type "Boolean!" is required`, ""},

		{"Fragment Name Uniqueness", `mutation { ...f } fragment f on Mutation { ` + made + ` } fragment f on Mutation { ` + made + ` }`, `only one fragment named "f"`, ""},
		{"Fragment Spread Type Existence", `mutation { ` + made + ` ...f } fragment f on Shelf { id }`, `Unknown type "Shelf"`, ""},
		{"Fragment Spread Type Existence", `mutation { ` + made + ` ... on Shelf { id } }`, `Unknown type "Shelf"`, ""},
		{"Fragments on Object, Interface or Union Types", `{ viewer { role ...f } } fragment f on Role { id }`, `non composite type "Role"`, ""},
		{"Fragments on Object, Interface or Union Types", `mutation { ` + made + ` ... on CreateCategoryInput { name } }`, `non composite type "CreateCategoryInput"`, ""},
		{"Fragments on Object, Interface or Union Types", `{ ... on DateTime { id } }`, `non composite type "DateTime"`, ""},
		{"Fragments Must Be Used", `mutation { ` + made + ` } fragment f on Mutation { __typename }`, `Fragment "f" is never used`, ""},
		{"Fragment Spread Target Defined", `mutation { ` + made + ` ...f }`, `Unknown fragment "f"`, ""},
		{"Fragment Spreads Must Not Form Cycles", `mutation { ...f } fragment f on Mutation { ` + made + ` ...f }`, "within itself", ""},
		{"Fragment Spreads Must Not Form Cycles", `mutation { ...f } fragment f on Mutation { ...g } fragment g on Mutation { ` + made + ` ...f }`, `within itself via "g"`, ""},
		{"Fragment Spreads Must Not Form Cycles", `{ category(id: "` + category + `") { ...f } } fragment f on Category { parent { ...f } }`, "within itself", ""},
		{"Fragment Spread Is Possible", `{ tenant { ... on Product { id } } }`, `of type "Tenant" can never be of type "Product"`, ""},
		{"Fragment Spread Is Possible", `{ tenant { stats { ... on Node { id } } } }`, `can never be of type "Node"`, ""},
		{"Fragment Spread Is Possible", node(`... on Money { amount }`), `can never be of type "Money"`, ""},
		{"Fragment Spread Is Possible", `mutation { ...f } fragment f on Query { viewer { role } }`, `"Mutation" can never be of type "Query"`, ""},

		{"Values of Correct Type", `mutation { createCategory(input: {name: 7}) { category { id } } }`, "String cannot represent", ""},
		{"Values of Correct Type", `mutation { createCategory(input: "Made") { category { id } } }`, `Expected value of type "CreateCategoryInput!"`, ""},
		{"Values of Correct Type", `mutation { createCategory(input: {name: "Made", parentId: 1.5}) { category { id } } }`, "ID cannot represent", ""},
		{"Values of Correct Type", `{ products(first: "1") { nodes { id } } }`, "Int cannot represent", ""},
		{"Values of Correct Type", `{ products(first: [1]) { nodes { id } } }`, "Int cannot represent", ""},
		{"Values of Correct Type", `mutation { ` + made + ` updateProduct(input: {id: "` + product + `", version: 4294967296}) { product { id } } }`, "This is not an Int", ""},
		{"Values of Correct Type", `mutation { ` + made + ` updateProduct(input: {id: "` + product + `", version: -99999999999999999999}) { product { id } } }`, "This is not an Int", ""},
		{"Values of Correct Type", `mutation { ` + made + ` updateProduct(input: {id: "` + product + `", version: 1, price: {amount: 1.5, currencyCode: EUR}}) { product { id } } }`, "This is not a Decimal", ""},
		{"Values of Correct Type", `mutation { ` + made + ` updateProduct(input: {id: "` + product + `", version: 1, price: {amount: "1e3", currencyCode: EUR}}) { product { id } } }`, "write digits", ""},
		{"Values of Correct Type", `query($n: Int = 2147483648) { products(first: $n) { nodes { id } } }`, "This is not an Int", ""},
		{"Values of Correct Type", `{ auditLog(filter: {since: "yesterday"}) { nodes { id } } }`, "This is not a DateTime", ""},
		{"Values of Correct Type", `{ auditLog(filter: {until: true}) { nodes { id } } }`, "This is not a DateTime", ""},
		{"Values of Correct Type", `{ products(filter: {inStock: 1}) { nodes { id } } }`, "Boolean cannot represent", ""},
		{"Values of Correct Type", `{ products(orderBy: {field: SHELF}) { nodes { id } } }`, `Value "SHELF" does not exist`, ""},
		{"Values of Correct Type", `{ products(orderBy: {field: true}) { nodes { id } } }`, "cannot represent non-enum value", ""},
		{"Values of Correct Type", `{ nodes(ids: ["` + product + `", null]) { id } }`, `Expected value of type "ID!"`, ""},
		{"Values of Correct Type", `query($n: Int = "1") { products(first: $n) { nodes { id } } }`, "Int cannot represent", ""},
		{"Input Object Field Names", `mutation { createCategory(input: {name: "Made", shelf: 1}) { category { id } } }`, `Field "shelf" is not defined by type "CreateCategoryInput"`, ""},
		{"Input Object Field Uniqueness", `mutation { createCategory(input: {name: "Made", name: "Made"}) { category { id } } }`, `only one input field named "name"`, ""},
		{"Input Object Required Fields", `mutation { createCategory(input: {}) { category { id } } }`, `"CreateCategoryInput.name" of required type "String!" was not provided`, ""},
		{"Input Object Required Fields", `mutation { createCategory(input: {name: null}) { category { id } } }`, `Expected value of type "String!"`, ""},

		{"Directives Are Defined", `mutation { ` + made + ` viewer: __typename @shelved }`, `Unknown directive "@shelved"`, ""},
		{"Directives Are Defined", `mutation @shelved { ` + made + ` }`, `Unknown directive "@shelved"`, ""},
		{"Directives Are in Valid Locations", `mutation @skip(if: false) { ` + made + ` }`, `"@skip" may not be used on MUTATION`, ""},
		{"Directives Are in Valid Locations", `query($n: Int @include(if: true)) { products(first: $n) { nodes { id } } }`, "may not be used on VARIABLE_DEFINITION", ""},
		{"Directives Are in Valid Locations", `{ tenant { name @public } }`, `"@public" may not be used on FIELD`, ""},
		{"Directives Are Unique per Location", `{ tenant { name @skip(if: false) @skip(if: false) } }`, "only be used once", ""},

		{"Variable Uniqueness", `mutation($n: String!, $n: String!) { createCategory(input: {name: $n}) { category { id } } }`, `only one variable named "$n"`, `"variables": {"n": "Made"}`},
		{"Variables Are Input Types", `mutation($n: Category) { ` + made + ` category: createCategory(input: $n) { category { id } } }`, `non-input type "Category"`, ""},
		{"Variables Are Input Types", `query($n: [Node!]) { nodes(ids: $n) { id } }`, `non-input type "[Node!]"`, ""},
		{"All Variable Uses Defined", `mutation { createCategory(input: {name: $n}) { category { id } } }`, `"$n" is not defined`, `"variables": {"n": "Made"}`},
		{"All Variable Uses Defined", `mutation m { ...f } query q($n: String!) { viewer { role } } fragment f on Mutation { createCategory(input: {name: $n}) { category { id } } }`, `"$n" is not defined by operation "m"`, `"operationName": "m"`},
		{"All Variables Used", `mutation($n: Int) { ` + made + ` }`, `"$n" is never used`, ""},
		{"All Variables Used", `query q($n: Int) { ...f } query p($n: Int) { ...g } fragment f on Query { viewer { role } } fragment g on Query { products(first: $n) { nodes { id } } }`, `"$n" is never used in operation "q"`, `"operationName": "p"`},
		{"All Variable Usages Are Allowed", `mutation($n: String) { createCategory(input: {name: $n}) { category { id } } }`, `"String" used in position expecting type "String!"`, `"variables": {"n": "Made"}`},
		{"All Variable Usages Are Allowed", `query($n: [ID]!) { nodes(ids: $n) { id } }`, `"[ID]!" used in position expecting type "[ID!]!"`, ""},
		{"All Variable Usages Are Allowed", `query($n: ID!) { nodes(ids: $n) { id } }`, `"ID!" used in position expecting type "[ID!]!"`, `"variables": {"n": "` + product + `"}`},
		{"All Variable Usages Are Allowed", `query($b: Boolean) { tenant { name @skip(if: $b) } }`, `"Boolean" used in position expecting type "Boolean!"`, ""},
		{"All Variable Usages Are Allowed", `mutation($d: PlaceDraftInput) { placeOrder(input: {draft: $d}) { order { id } } }`, "must be non-nullable", ""},

		{"2.1 Source Text", "mutation { " + made + " }\x00", "cannot be read", ""},
		{"2.1 Source Text", `mutation { ` + made + ` } ?`, "cannot be read", ""},
		{"2.2 Document", `mutation { ` + made + ` `, "Expected", ""},
		{"2.2 Document", `mutation { ` + made + ` }}`, "Unexpected }", ""},
		{"2.2 Document", `mutation { createCategory(input: {name: "Made"}) { } }`, "at least one", ""},
		{"2.2 Document", `mutation() { ` + made + ` }`, "at least one", ""},
		{"2.2 Document", `fragment f on Mutation { ` + made + ` }`, "no operation", ""},
		{"2.2 Document", `# a note and nothing else`, "no operation", ""},
		{"2.8 Fragments", `fragment on on Mutation { ` + made + ` } mutation { ` + made + ` }`, `Unexpected Name "on"`, ""},
		{"2.8 Fragments", `mutation { ...on }`, "Expected Name", ""},
		{"2.9 Input Values", `mutation { createCategory(input: {name: "Made}) { category { id } } }`, "cannot be read", ""},
		{"2.9 Input Values", "mutation { createCategory(input: {name: \"Ma\nde\"}) { category { id } } }", "cannot be read", ""},
		{"2.9 Input Values", `mutation { createCategory(input: {name: "Ma\de"}) { category { id } } }`, "cannot be read", ""},
		{"2.9 Input Values", `mutation { createCategory(input: {name: """Made}) { category { id } } }`, "cannot be read", ""},
		{"2.9 Input Values", `{ products(first: 01) { nodes { id } } }`, "cannot be read", ""},
		{"2.9 Input Values", `{ products(first: 1.) { nodes { id } } }`, "cannot be read", ""},
		{"2.9 Input Values", `query($a: Int, $b: Int = $a) { products(first: $b) { nodes { id } } }`, "Unexpected $", ""},

		{"3.10 OneOf Input Objects", `mutation { placeOrder(input: {}) { order { id } } }`, "exactly one key", ""},
		{"3.10 OneOf Input Objects", `mutation { placeOrder(input: {draft: null}) { order { id } } }`, "must be non-null", ""},
		{"3.10 OneOf Input Objects", `mutation { placeOrder(input: {draft: {id: "` + product + `", version: 1}, order: null}) { order { id } } }`, "exactly one key", ""},
		{"3.10 OneOf Input Objects", `mutation($i: PlaceOrderInput!) { placeOrder(input: $i) { order { id } } }`, "give exactly one of draft and order", `"variables": {"i": {}}`},
		{"3.10 OneOf Input Objects", `mutation($i: PlaceOrderInput!) { placeOrder(input: $i) { order { id } } }`, "give exactly one of draft and order", `"variables": {"i": {"draft": null, "order": {"customerId": "x", "items": []}}}`},

		{"6.1.1 Get Operation", `mutation m { ` + made + ` } query q { viewer { role } }`, "several operations in this document", ""},
		{"6.1.1 Get Operation", `mutation m { ` + made + ` } query q { viewer { role } }`, "no operation of that name", `"operationName": "M"`},
		{"6.1.1 Get Operation", `mutation { ` + made + ` }`, "no operation of that name", `"operationName": "other-name"`},
		{"6.1.2 Coerce Variable Values", `mutation($n: String!) { createCategory(input: {name: $n}) { category { id } } }`, "$n: must be defined", ""},
		{"6.1.2 Coerce Variable Values", `mutation($n: String!) { createCategory(input: {name: $n}) { category { id } } }`, "$n: cannot be null", `"variables": {"n": null}`},
		{"6.1.2 Coerce Variable Values", `mutation($n: String!) { createCategory(input: {name: $n}) { category { id } } }`, "$n", `"variables": {"n": 7}`},
		{"6.1.2 Coerce Variable Values", `mutation($n: CreateCategoryInput!) { createCategory(input: $n) { category { id } } }`, "$n.name: must be defined", `"variables": {"n": {}}`},
		{"6.1.2 Coerce Variable Values", `mutation($n: CreateCategoryInput!) { createCategory(input: $n) { category { id } } }`, "$n.shelf: CreateCategoryInput has no such field", `"variables": {"n": {"name": "Made", "shelf": 1}}`},
	}
}

// What the GraphQL specification refuses is refused before anything is executed: with
// a code, with words of the rule, and in the newer media type with the status that no
// proxy writes (GraphQL over HTTP, "Status codes").
func TestWhatTheSpecificationRefuses(t *testing.T) {
	t.Parallel()
	owner, _ := stocked(t)
	var ids struct {
		Products, Categories struct{ Nodes []struct{ ID string } }
	}
	owner.Must(t, `{ products { nodes { id } } categories { nodes { id } } }`, nil, &ids)
	rows := violations(ids.Products.Nodes[0].ID, ids.Categories.Nodes[0].ID)
	for _, rule := range slices.Concat(validation, elsewhere) {
		if !slices.ContainsFunc(rows, func(v violation) bool { return v.rule == rule }) {
			t.Errorf("nothing breaks the rule %s", rule)
		}
	}
	db := pgtest.Superuser(t)
	before := fingerprint(t, db, owner.Tenant.ID)
	for _, v := range rows {
		t.Run(v.rule, func(t *testing.T) {
			if !slices.Contains(validation, v.rule) && !slices.Contains(elsewhere, v.rule) {
				t.Errorf("there is no such rule")
			}
			query, _ := json.Marshal(v.document)
			body := `{"query": ` + string(query) + strings.Repeat(", ", min(len(v.request), 1)) + v.request + `}`
			for media, status := range map[string]int{"application/json": http.StatusOK, "application/graphql-response+json": http.StatusBadRequest} {
				c := *owner
				c.Header = http.Header{"Accept": {media}}
				a := c.Post(t, []byte(body))
				if a.Status != status || a.Data != nil || len(a.Errors) == 0 || len(a.Errors) > 5 || !strings.HasPrefix(a.Header.Get("Content-Type"), media) {
					t.Errorf("%s: %d %s %s", v.document, a.Status, a.Header.Get("Content-Type"), a.Body)
				}
				said := ""
				for _, err := range a.Errors {
					said += err.Message + "\n"
					if err.Extensions["code"] != "BAD_REQUEST" {
						t.Errorf("%s: %s", v.document, a.Body)
					}
				}
				if !strings.Contains(said, v.says) || strings.Contains(said, "other-name") {
					t.Errorf("%s: want %q in %s", v.document, v.says, a.Body)
				}
			}
		})
	}
	if now := fingerprint(t, db, owner.Tenant.ID); now != before {
		t.Errorf("what was refused changed the tenant:\n%s\n%s", before, now)
	}
	// What the documents are made of does change it.
	owner.Must(t, `mutation { `+made+` }`, nil, nil)
	if fingerprint(t, db, owner.Tenant.ID) == before {
		t.Error("a category was made, and nothing changed")
	}
}
