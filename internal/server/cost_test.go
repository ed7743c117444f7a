package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql/introspection"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
)

type cost struct{ Requested, Actual int }

// costOf is extensions.cost of an answer, and whether it has one.
func costOf(t testing.TB, a *apitest.Answer) (c cost, ok bool) {
	t.Helper()
	var body struct {
		Extensions map[string]json.RawMessage
	}
	if err := json.Unmarshal(a.Body, &body); err != nil {
		t.Fatalf("%v: %s", err, a.Body)
	}
	text, ok := body.Extensions["cost"]
	if ok {
		if err := json.Unmarshal(text, &c); err != nil || len(body.Extensions) != 1 {
			t.Fatalf("%v: %s", err, a.Body)
		}
	}
	return c, ok
}

// counted adds up an answer again, from what it is once unmarshalled: a field is
// one, a description fifty, and the first count a thousand more. It knows no aliases.
func counted(value any) (total int) {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			total++
			switch name {
			case "description":
				total += 49
			case "totalCount":
				total += 1000
			}
			total += counted(inner)
		}
	case []any:
		for _, inner := range v {
			total += counted(inner)
		}
	}
	return total
}

func TestCostOfAnAnswer(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	product, category := stock(t, owner)
	// Values that look like the structure around them.
	for i, text := range []string{`{"a":[1,2,{"b":3}]}`, `"`, `\`, `\"`, `},{`, `a\\":{"id`, "line\nbreak\t:", "ü💡"} {
		in := createProduct("description", text)
		in["input"].(map[string]any)["sku"] = fmt.Sprintf("T-%d", i)
		owner.Must(t, createProductDocument, in, nil)
	}
	for _, c := range []struct {
		document string
		want     cost // zero where it is counted again from the answer
	}{
		{`{ __typename }`, cost{1, 1}},
		{`{ viewer { role user { id } } }`, cost{4, 4}},
		{`{ product(id: "` + product + `") { id description } }`, cost{52, 52}},
		{`{ product(id: "` + product + `") { a: id a2: description ...f } } fragment f on Product { b: description }`, cost{102, 102}},
		{`{ product(id: "` + product + `") { price { amount } category { name } } }`, cost{5, 5}},
		{`{ node(id: "` + product + `") { id ... on Product { description } ... on Category { name } } }`, cost{53, 52}},
		{`{ node(id: "` + category + `") { id ... on Product { description } ... on Category { name } } }`, cost{53, 3}},
		{`{ nodes(ids: ["` + category + `", "` + product + `", "` + id.NewProduct().String() + `"]) { id ... on Product { description } ... on Category { name } } }`, cost{157, 54}},
		{`{ product(id: "` + product + `") { id description @skip(if: true) } }`, cost{52, 2}},
		{`{ products(first: 1) { nodes { id } } }`, cost{3, 3}},
		{`{ products(first: 100) { nodes { id } } }`, cost{201, 2 + 9}},
		{`{ products { totalCount nodes { id name description price { amount currencyCode } category { id name } } edges { cursor node { sku } } pageInfo { hasNextPage endCursor } } }`, cost{}},
		{`{ categories(first: 3) { nodes { name products(first: 5) { nodes { name description } } } } members { nodes { role user { displayName } } } tenant { name currencyCode } }`, cost{}},
		{`{ products(first: 20, filter: {name: {contains: "nothing like it"}}) { nodes { id name } pageInfo { hasNextPage } } }`, cost{1001 + 20*5, 1003 + 1}},
		// A table is read once for all entries, and again for another name.
		{`{ products(first: 1) { totalCount } tenant { stats { orders } } }`, cost{2 + 3 + 2000, 2 + 3 + 2000}},
		{`{ orders(filter: {status: DRAFT}) { nodes { id } } a: orders { nodes { id } } }`, cost{1000 + 2*41, 1000 + 2*2}},
		{`{ auditLog(filter: {action: "a", since: "2020-01-01T00:00:00Z"}) { nodes { id } } accessLog(filter: {entityId: "` + id.NewProduct().String() + `"}, first: 1) { nodes { id } } }`, cost{2000 + 41 + 3, 2000 + 4}},
		{`{ auditLog(filter: {since: "2999-01-01T00:00:00Z"}) { nodes { id } } }`, cost{41, 2}},
		{`{ products(first: 1) { totalCount n: totalCount } more: products(first: 1, filter: {inStock: true}) { totalCount nodes { id } } }`, cost{3 + 4 + 4000, 3 + 4 + 4000}},
		{`{ categories(first: 10) { nodes { products(first: 1) { totalCount } } } }`, cost{31 + 1000, 2 + 2*2 + 1000}},
		{`{ products(first: 1) { ...n ...n } } fragment n on ProductConnection { totalCount }`, cost{3 + 1000, 2 + 1000}},
		{`{ __schema { types { name fields { name } } } }`, cost{0, 0}},
		{`{ __type(name: "Query") { name kind } }`, cost{3, 3}},
		{`{ __type(name: "Query") { fields { name } } }`, cost{3, 3}}, // never more than requested
		{`mutation { deleteProduct(input: {id: "` + id.NewProduct().String() + `", version: 1}) { product { id } userErrors { code message } } }`, cost{6, 5}},
	} {
		a := owner.Do(t, c.document, nil)
		got, ok := costOf(t, a)
		if !ok || a.Data == nil {
			t.Errorf("%s: without a cost: %s", c.document, a.Body)
			continue
		}
		want := c.want
		if want == (cost{}) && !strings.Contains(c.document, "__schema") {
			var data any
			if err := json.Unmarshal(a.Data, &data); err != nil {
				t.Fatal(err)
			}
			want = cost{got.Requested, counted(data)}
		}
		if got != want || got.Actual > got.Requested {
			t.Errorf("%s: cost %+v, want %+v: %.500s", c.document, got, want, a.Body)
		}
	}
	if got, _ := costOf(t, owner.Do(t, introspection.Query, nil)); got.Actual > got.Requested {
		t.Errorf("introspection cost %+v", got)
	}

	// An id of another tenant, one of nothing and one of another noun's tenant cost alike.
	other := api.NewTenant(t)
	foreign, foreignCategory := stock(t, other)
	ask := func(product, category string) string {
		return string(owner.Do(t, `query($p: ID!, $c: ID!) { product(id: $p) { id description } category(id: $c) { products { nodes { id } } } node(id: $p) { id } }`,
			map[string]any{"p": product, "c": category}).Body)
	}
	if a, b := ask(foreign, foreignCategory), ask(id.NewProduct().String(), id.NewCategory().String()); a != b || !strings.Contains(a, `"cost":{"requested":96,"actual":3}`) {
		t.Errorf("a foreign id and one of nothing:\n%s\n%s", a, b)
	}
}

// What was not executed has no cost, and what costs too much says how much too much.
func TestCostOfARefusal(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	expired := api.Anonymous()
	expired.Token = owner.Token + "x"
	for name, a := range map[string]*apitest.Answer{
		"no document":           owner.Post(t, []byte(`{"query":"{"}`)),
		"an unknown field":      owner.Do(t, `{ nothing }`, nil),
		"a refused credential":  expired.Do(t, `{ viewer { role } }`, nil),
		"a page of a bad value": owner.Do(t, `query($n: Int!) { products(first: $n) { nodes { id } } }`, map[string]any{"n": "x"}),
	} {
		if got, ok := costOf(t, a); ok || a.Data != nil || a.Code() == "" {
			t.Errorf("%s: %+v %s", name, got, a.Body)
		}
	}
	a := owner.Do(t, `{ categories(first: 100) { nodes { products(first: 100) { nodes { id } } } } }`, nil)
	if _, ok := costOf(t, a); ok || a.Status != http.StatusOK || a.Code() != "QUERY_TOO_COMPLEX" || !strings.Contains(string(a.Body), "up to 20201 things at once, 20000 are allowed") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	// Executed and refused by what guards the field: it has one.
	if got, ok := costOf(t, api.Anonymous().Do(t, `{ viewer { role } }`, nil)); !ok || got != (cost{2, 0}) {
		t.Errorf("signed out: %+v %v", got, ok)
	}
	var counts strings.Builder
	for i := range 20 {
		fmt.Fprintf(&counts, "c%d: products(first: 1) { totalCount } ", i)
	}
	if a := owner.Do(t, "{"+counts.String()+"}", nil); a.Code() != "QUERY_TOO_COMPLEX" || !strings.Contains(string(a.Body), "up to 20040 things at once") {
		t.Errorf("twenty counts: %d %s", a.Status, a.Body)
	}
}
