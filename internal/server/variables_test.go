package server_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
)

// A value of the wrong kind is refused by the path to it, before anything is done; one
// of the right kind gets as far as the field.
func TestVariablesAreStrict(t *testing.T) {
	t.Parallel()
	owner := apitest.New(t, pgtest.New(t)).NewTenant(t)
	const (
		products = `query($v: Int) { products(first: $v) { nodes { id } } }`
		filtered = `query($v: ProductFilter) { products(filter: $v) { nodes { id } } }`
		audited  = `query($v: AuditFilter) { auditLog(filter: $v) { nodes { id } } }`
		skipped  = `query($v: Boolean!) { tenant { name @skip(if: $v) id } }`
		product  = `query($v: ID!) { product(id: $v) { id } }`
		nodes    = `query($v: [ID!]!) { nodes(ids: $v) { id } }`
		text     = `query($v: String) { products(after: $v) { nodes { id } } }`
		ordered  = `query($v: ProductOrder) { products(orderBy: $v) { nodes { id } } }`
		upsert   = `mutation($v: [ProductUpsertInput!]!) { productsUpsert(input: $v) { userErrors { code } } }`
		placed   = `mutation($v: PlaceOrderInput!) { placeOrder(input: $v) { userErrors { code } } }`
		draft    = `mutation($v: PlaceDraftInput!) { placeOrder(input: {draft: $v}) { userErrors { code } } }`
		ordering = `query($v: [OrderDirection!]) { products { nodes { id } } }`
	)
	unknown := `"` + id.NewProduct().String() + `"`
	lamp := func(price string) string {
		return `{"sku": "l", "name": "Lamp", "price": {"amount": ` + price + `, "currencyCode": "EUR"}}`
	}
	aDraft := `{"id": "` + id.NewOrder().String() + `", "version": 1}`
	anOrder := `{"customerId": "` + id.NewCustomer().String() + `", "items": []}`
	for _, c := range []struct {
		document, value string
		advice          string // "" where the value is accepted
	}{
		{products, `3`, ""}, {products, `3.0`, ""}, {products, `1e1`, ""}, {products, `null`, ""},
		{products, `"3"`, "$v: This is not an Int"}, {products, `3.5`, "$v"}, {products, `2147483648`, "$v: This is not an Int"}, {products, `-2147483649`, "$v: This is not an Int"},
		{products, `1e300`, "$v"}, {products, `true`, "$v"}, {products, `[3]`, "$v"}, {products, `{}`, "$v"},
		{skipped, `true`, ""}, {skipped, `"true"`, "$v"}, {skipped, `1`, "$v"}, {skipped, `null`, "$v"},
		{text, `null`, ""}, {text, `3`, "$v: This is not a String"}, {text, `true`, "$v"}, {text, `["a"]`, "$v"},
		{product, unknown, ""}, {product, `3`, "copy them"}, {product, `3.5`, "copy them"}, {product, `true`, "$v"},
		{nodes, `[` + unknown + `]`, ""}, {nodes, unknown, ""}, {nodes, `[[` + unknown + `]]`, "$v[0]"}, {nodes, `[null]`, "$v[0]"}, {nodes, `[` + unknown + `, true]`, "$v[1]"},
		{ordered, `{"field": "NAME"}`, ""}, {ordered, `{"field": "name"}`, "$v.field is not a value"}, {ordered, `{"field": 1}`, "$v.field"}, {ordered, `{"field": "NAME", "direction": null}`, "$v.direction"},
		{ordered, `{}`, "$v.field"}, {ordered, `{"field": "NAME", "by": 1}`, "$v.by"}, {ordered, `{"field": "NAME", "__typename": "ProductOrder"}`, "$v.__typename: ProductOrder has no such field"}, {ordered, `"NAME"`, "$v"},
		{filtered, `{"inStock": true}`, ""}, {filtered, `{"inStock": "true"}`, "$v.inStock"}, {filtered, `{"price": {"min": "1.50"}}`, ""}, {filtered, `{"price": {"min": 1.5}}`, "$v.price.min: This is not a Decimal"},
		{filtered, `{"price": {"min": 1}}`, "$v.price.min: This is not a Decimal"}, {filtered, `{"price": {"min": "1e3"}}`, "$v.price.min"}, {filtered, `{"name": {"contains": 7}}`, "$v.name.contains"},
		{audited, `{"since": "2026-01-31T08:15:30Z"}`, ""}, {audited, `{"since": 1769847330}`, "$v.since: This is not a DateTime"}, {audited, `{"since": "2026-01-31"}`, "$v.since"},
		{upsert, `[` + lamp(`"1.00"`) + `]`, ""}, {upsert, lamp(`"1.00"`), ""}, {upsert, `[` + lamp(`"1.00"`) + `, ` + lamp(`1`) + `]`, "$v[1].price.amount"},
		{upsert, `[` + strings.Replace(lamp(`"1.00"`), "EUR", "eur", 1) + `]`, "$v[0].price.currencyCode"},

		{placed, `{"draft": ` + aDraft + `}`, ""}, {placed, `{"order": ` + anOrder + `}`, ""},
		{placed, `{"draft": ` + aDraft + `, "order": ` + anOrder + `}`, "$v: give exactly one"}, {placed, `{"draft": ` + aDraft + `, "order": null}`, "$v: give exactly one"},
		{placed, `{"draft": null}`, "$v: give exactly one"}, {placed, `{"draft": null, "order": null}`, "$v: give exactly one"}, {placed, `{}`, "$v: give exactly one"},
		{placed, `{"draft": 3}`, "$v.draft"}, {placed, `"draft"`, "$v"}, {placed, `{"other": 3}`, "$v.other"},
		{draft, aDraft, ""}, {draft, `null`, "$v"}, {ordering, `["ASC"]`, "never used"},
		{strings.Replace(draft, "!)", ")", 1), aDraft, "must be non-nullable"},
		{strings.Replace(draft, "draft: $v", "draft: $v, order: null", 1), aDraft, "exactly one key"},
		{`mutation { placeOrder(input: {}) { userErrors { code } } }`, "", "exactly one key"},
		{`mutation { placeOrder(input: {draft: null}) { userErrors { code } } }`, "", "must be non-null"},
		{`mutation { placeOrder(input: "draft") { userErrors { code } } }`, "", "PlaceOrderInput"},

		{`{ products(first: 3.0) { nodes { id } } }`, "", "Int cannot"}, {`{ products(first: "3") { nodes { id } } }`, "", "Int cannot"}, {`{ products(first: 2147483648) { nodes { id } } }`, "", "Int"},
		{`{ products(filter: {inStock: "true"}) { nodes { id } } }`, "", "Boolean cannot"}, {`{ products(after: 3) { nodes { id } } }`, "", "String cannot"},
		{`{ products(orderBy: {field: "NAME"}) { nodes { id } } }`, "", "ProductOrderField"}, {`{ products(orderBy: {field: name}) { nodes { id } } }`, "", "ProductOrderField"},
		{`{ products(filter: {price: {min: 1.5}}) { nodes { id } } }`, "", "This is not a Decimal"}, {`{ auditLog(filter: {since: 3}) { nodes { id } } }`, "", "This is not a DateTime"},
		{`{ nodes(ids: ` + unknown + `) { id } }`, "", ""},
	} {
		request := map[string]any{"query": c.document}
		if c.value != "" {
			request["variables"] = json.RawMessage(`{"v": ` + c.value + `}`)
		}
		body, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		a := owner.Post(t, body)
		switch {
		case a.Status != http.StatusOK:
			t.Errorf("%s with %s: status %d: %s", c.document, c.value, a.Status, a.Body)
		case c.advice == "" && a.Code() != "":
			t.Errorf("%s with %s is refused: %s", c.document, c.value, a.Body)
		case c.advice != "" && (a.Code() != "BAD_REQUEST" || !strings.Contains(a.Errors[0].Message, c.advice)):
			t.Errorf("%s with %s, want %q: %s", c.document, c.value, c.advice, a.Body)
		}
	}
}

// The same request is refused in the same words each time, whatever order things have
// in memory.
func TestRefusalsAreSteady(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	owner := apitest.New(t, w).NewTenant(t)
	const filtered, placed = `query($v: ProductFilter) { products(filter: $v) { nodes { id } } }`, `mutation($v: PlaceOrderInput!) { placeOrder(input: $v) { userErrors { code } } }`
	for _, c := range []struct{ document, variables, want string }{
		{filtered, `{"v": {"d": 1, "c": 2, "b": 3, "a": 4, "inStock": true}}`, "$v.a: ProductFilter has no such field. Leave it out."},
		{filtered, `{"v": {"price": {"least": "1", "most": "2", "above": "0"}}}`, "$v.price.above: DecimalRange has no such field. Leave it out."},
		{placed, `{"v": {"order": {"customerId": "x", "items": [{"quantity": 1, "productId": "x"}, {"q": 1, "p": 2, "o": 3}]}}}`, "$v.order.items[1].o: OrderItemInput has no such field. Leave it out."},
		{placed, `{"v": {"order": {"customerId": "x", "items": {"q": 1, "p": 2, "o": 3}}}}`, "$v.order.items.o: OrderItemInput has no such field. Leave it out."},
		{placed, `{"v": {"z": 1, "y": 2, "x": 3}}`, "$v.x: PlaceOrderInput has no such field. Leave it out."},
		// Names that are as near to it as each other.
		{`{ ...f } fragment f on XxxxteProductPayload { id }`, `{}`, `Unknown type "XxxxteProductPayload".`},
		{`{ ...f ...g } fragment f on Query { a b c } fragment g on Query { d ...h }`, `{"a": 1, "b": 2}`, ""},
	} {
		body, err := json.Marshal(map[string]any{"query": c.document, "variables": json.RawMessage(c.variables)})
		if err != nil {
			t.Fatal(err)
		}
		first := owner.Post(t, body)
		if first.Code() != "BAD_REQUEST" || c.want != "" && first.Errors[0].Message != c.want {
			t.Errorf("%s with %s, want %q: %s", c.document, c.variables, c.want, first.Body)
		}
		for range 20 {
			if again := owner.Post(t, body); !bytes.Equal(first.Body, again.Body) {
				t.Errorf("%s with %s: %s\nand then %s", c.document, c.variables, first.Body, again.Body)
				break
			}
		}
	}
}
