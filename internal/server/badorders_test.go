package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
)

const (
	createCustomerDocument = `mutation($input: CreateCustomerInput!) { createCustomer(input: $input) { customer { id name } userErrors { field message code } } }`
	updateCustomerDocument = `mutation($input: UpdateCustomerInput!) { updateCustomer(input: $input) { customer { id name } userErrors { field message code } } }`
	deleteCustomerDocument = `mutation($input: DeleteCustomerInput!) { deleteCustomer(input: $input) { customer { id name } userErrors { field message code } } }`
	createOrderDocument    = `mutation($input: CreateOrderInput!) { createOrder(input: $input) { order { id version } userErrors { field message code } } }`
	placeOrderDocument     = `mutation($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id version } userErrors { field message code } } }`
	changeStatusDocument   = `mutation($input: ChangeOrderStatusInput!) { changeOrderStatus(input: $input) { order { id version } userErrors { field message code } } }`
	ordersDocument         = `query($first: Int, $filter: OrderFilter) { orders(first: $first, filter: $filter) { nodes { id } } }`
)

// shop is a tenant with a customer, two products, a draft and a placed order of
// each first product.
type shop struct {
	*apitest.Client
	customer, lamp, desk, draft, placed string
}

func newShop(t testing.TB, api *apitest.API) *shop {
	t.Helper()
	s := &shop{Client: api.NewTenant(t)}
	s.lamp, _ = stock(t, s.Client) // three of it
	entity := func(document string, in map[string]any) string {
		a := s.Do(t, document, input(in))
		var data map[string]map[string]json.RawMessage
		if err := json.Unmarshal(a.Data, &data); err != nil {
			t.Fatalf("%v: %s", err, a.Body)
		}
		for _, p := range data {
			for name, value := range p {
				var made struct{ ID string }
				if name != "userErrors" && json.Unmarshal(value, &made) == nil && made.ID != "" {
					return made.ID
				}
			}
		}
		t.Fatalf("nothing was made: %s", a.Body)
		return ""
	}
	s.desk = entity(createProductDocument, map[string]any{"sku": "DESK-1", "name": "Desk", "price": map[string]any{"amount": "100.00", "currencyCode": "EUR"}, "stock": 5})
	s.customer = entity(createCustomerDocument, map[string]any{"email": "Office@Initech.example", "name": "Initech"})
	s.draft = entity(createOrderDocument, map[string]any{"customerId": s.customer, "items": []any{line(s.lamp, 1)}})
	s.placed = entity(placeOrderDocument, map[string]any{"order": map[string]any{"customerId": s.customer, "items": []any{line(s.lamp, 1)}}})
	return s
}

func line(product string, quantity any) map[string]any {
	return map[string]any{"productId": product, "quantity": quantity}
}

// Every row is answered with its code and some advice, and nothing is half done:
// no stock taken, no line, no number, no event.
func TestBadOrders(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	s, foreign := newShop(t, api), newShop(t, api)
	newOrder := func(items ...any) map[string]any {
		return map[string]any{"customerId": s.customer, "items": append([]any{}, items...)}
	}
	var many []any
	for range 101 {
		many = append(many, line(id.NewProduct().String(), 1))
	}
	noProduct, noCustomer, noOrder := id.NewProduct().String(), id.NewCustomer().String(), id.NewOrder().String()
	const bad, invalid, notFound = "BAD_REQUEST", "INVALID", "NOT_FOUND"
	const quantity, oneOf = "between 1 and 1,000,000", "exactly one of draft and order"

	// What is wrong with an order, as createOrder meets it; placeOrder meets it one
	// field deeper.
	type wrong struct {
		name   string
		order  map[string]any
		code   string
		advice string
		field  string
	}
	wrongs := []wrong{
		{"no lines", newOrder(), invalid, "1 to 100 lines", "items"},
		{"101 lines", newOrder(many...), invalid, "1 to 100 lines", "items"},
		{"a quantity of zero", newOrder(line(s.lamp, 0)), invalid, quantity, "items.0.quantity"},
		{"a negative quantity", newOrder(line(s.desk, 1), line(s.lamp, -1)), invalid, quantity, "items.1.quantity"},
		{"the most negative quantity", newOrder(line(s.lamp, -1<<31)), invalid, quantity, "items.0.quantity"},
		{"a quantity of two billion", newOrder(line(s.lamp, 2_000_000_000)), invalid, quantity, "items.0.quantity"},
		{"a quantity of a million and one", newOrder(line(s.lamp, 1_000_001)), invalid, quantity, "items.0.quantity"},
		{"a quantity beyond 32 bits", newOrder(line(s.lamp, 1<<31)), bad, "This is not an Int", ""},
		{"a quantity as a string", newOrder(line(s.lamp, "1")), bad, "without quotes", ""},
		{"a quantity with a fraction", newOrder(line(s.lamp, json.Number("1.5"))), bad, "quantity", ""},
		{"no quantity", newOrder(map[string]any{"productId": s.lamp}), bad, "quantity", ""},
		{"the same product twice", newOrder(line(s.lamp, 1), line(s.desk, 1), line(s.lamp, 1)), invalid, "into one line", "items.2.productId"},
		{"a product that does not exist", newOrder(line(s.desk, 1), line(noProduct, 1)), notFound, "There is no such product", "items.1.productId"},
		{"a product of another tenant", newOrder(line(s.desk, 1), line(foreign.lamp, 1)), notFound, "There is no such product", "items.1.productId"},
		{"a customer who does not exist", map[string]any{"customerId": noCustomer, "items": []any{line(s.desk, 1)}}, notFound, "There is no such customer", "customerId"},
		{"a customer of another tenant", map[string]any{"customerId": foreign.customer, "items": []any{line(s.desk, 1)}}, notFound, "There is no such customer", "customerId"},
		{"a product's id for the customer", map[string]any{"customerId": s.lamp, "items": []any{line(s.desk, 1)}}, bad, "starts with cust_", ""},
		{"a customer's id for a product", newOrder(line(s.customer, 1)), bad, "starts with prod_", ""},
		{"null for a line", newOrder(nil), bad, "items", ""},
		{"null for the lines", map[string]any{"customerId": s.customer, "items": nil}, bad, "items", ""},
		{"a price of one's own", newOrder(map[string]any{"productId": s.lamp, "quantity": 1, "unitPrice": "0.01"}), bad, "unitPrice", ""},
	}
	var rows []refused
	for _, w := range wrongs {
		at, deeper := w.field, w.field
		if at != "" {
			at, deeper = "input."+w.field, "input.order."+w.field
		}
		rows = append(rows,
			refused{"createOrder: " + w.name, createOrderDocument, input(w.order), w.code, w.advice, at, ""},
			refused{"placeOrder: " + w.name, placeOrderDocument, input(map[string]any{"order": w.order}), w.code, w.advice, deeper, ""})
	}
	placing := func(order, draft any) map[string]any {
		in := map[string]any{}
		if order != 0 {
			in["order"] = order
		}
		if draft != 0 {
			in["draft"] = draft
		}
		return input(in)
	}
	drafted := func(named string, version any) map[string]any { return map[string]any{"id": named, "version": version} }
	moved := func(named string, version any, to string) map[string]any {
		return input(map[string]any{"id": named, "version": version, "status": to})
	}
	person := func(email, name any) map[string]any { return input(map[string]any{"email": email, "name": name}) }
	long := strings.Repeat("x", 260)
	rows = append(rows, []refused{
		{"more than there are", placeOrderDocument, placing(newOrder(line(s.desk, 5), line(s.lamp, 3)), 0), "OUT_OF_STOCK", "only 2 are in stock", "input.order.items.1.quantity", ""},
		{"neither a draft nor an order", placeOrderDocument, placing(0, 0), bad, oneOf, "", ""},
		{"both a draft and an order", placeOrderDocument, placing(newOrder(line(s.lamp, 1)), drafted(s.draft, 1)), bad, oneOf, "", ""},
		{"a draft and null", placeOrderDocument, placing(nil, drafted(s.draft, 1)), bad, oneOf, "", ""},
		{"an order and null", placeOrderDocument, placing(newOrder(line(s.lamp, 1)), nil), bad, oneOf, "", ""},
		{"null for a draft", placeOrderDocument, placing(0, nil), bad, oneOf, "", ""},
		{"null for both", placeOrderDocument, placing(nil, nil), bad, oneOf, "", ""},
		{"neither in the document", `mutation { placeOrder(input: {}) { order { id } userErrors { code } } }`, nil, bad, "exactly one key", "", ""},
		{"null in the document", `mutation { placeOrder(input: {draft: null}) { order { id } userErrors { code } } }`, nil, bad, "must be non-null", "", ""},
		{"a variable that is null", `mutation($d: PlaceDraftInput) { placeOrder(input: {draft: $d}) { order { id } userErrors { code } } }`, nil, bad, "must be non-nullable", "", ""},
		{"both in the document", `mutation { placeOrder(input: {draft: {id: "` + s.draft + `", version: 1}, order: {customerId: "` + s.customer + `", items: []}}) { order { id } userErrors { code } } }`, nil, bad, "exactly one key", "", s.draft},
		{"a draft that does not exist", placeOrderDocument, placing(0, drafted(noOrder, 1)), notFound, "There is no such order", "input.draft.id", ""},
		{"a draft of another tenant", placeOrderDocument, placing(0, drafted(foreign.draft, 1)), notFound, "There is no such order", "input.draft.id", ""},
		{"a stale version of a draft", placeOrderDocument, placing(0, drafted(s.draft, 2)), "STALE_VERSION", "Read it again", "input.draft.version", ""},
		{"a draft that is placed already", placeOrderDocument, placing(0, drafted(s.placed, 2)), "WRONG_STATUS", "Only a draft can be placed", "input.draft.id", ""},
		{"a customer's id for a draft", placeOrderDocument, placing(0, drafted(s.customer, 1)), bad, "starts with ord_", "", ""},
		{"an order that does not exist to move on", changeStatusDocument, moved(noOrder, 1, "PAID"), notFound, "There is no such order", "input.id", ""},
		{"an order of another tenant to move on", changeStatusDocument, moved(foreign.placed, 2, "PAID"), notFound, "There is no such order", "input.id", ""},
		{"a stale version of an order", changeStatusDocument, moved(s.placed, 1, "PAID"), "STALE_VERSION", "Read it again", "input.version", ""},
		{"a step that is not next", changeStatusDocument, moved(s.placed, 2, "DELIVERED"), "WRONG_STATUS", "can become PAID or CANCELLED", "input.status", ""},
		{"a step back", changeStatusDocument, moved(s.placed, 2, "DRAFT"), "WRONG_STATUS", "can become PAID or CANCELLED", "input.status", ""},
		{"placing by another way", changeStatusDocument, moved(s.draft, 1, "PLACED"), "WRONG_STATUS", "use placeOrder", "input.status", ""},
		{"a status that is none", changeStatusDocument, moved(s.placed, 2, "RETURNED"), bad, "OrderStatus", "", ""},
		{"a status in lower case", changeStatusDocument, moved(s.placed, 2, "paid"), bad, "OrderStatus", "", ""},
		{"null for a status", changeStatusDocument, input(map[string]any{"id": s.placed, "version": 2, "status": nil}), bad, "status", "", ""},
		{"a status that is none in a filter", ordersDocument, map[string]any{"filter": map[string]any{"status": "OPEN"}}, bad, "OrderStatus", "", ""},
		{"a product's id in a filter", ordersDocument, map[string]any{"filter": map[string]any{"customerId": s.lamp}}, bad, "starts with cust_", "", ""},
		{"orders, first: 101", ordersDocument, map[string]any{"first": 101}, bad, "between 1 and 100", "", ""},
		{"customers, last: 0", `{ customers(last: 0) { nodes { id } } }`, nil, bad, "between 1 and 100", "", ""},
		{"orders of a customer, both ends", `{ customers { nodes { orders(first: 1, last: 1) { nodes { id } } } } }`, nil, bad, "not for both", "", ""},
		{"a cursor of orders for customers", `query($after: String) { customers(after: $after) { nodes { id } } }`, map[string]any{"after": cursor("orders", "2026-01-01T00:00:00Z", id.New().String())}, bad, "Use one that the same list gave", "", ""},

		{"an address without a domain", createCustomerDocument, person("nobody-at-all", "n"), invalid, "It looks like name@company.example", "input.email", ""},
		{"an address with a name", createCustomerDocument, person("Initech <office@initech.example>", "n"), invalid, "It looks like", "input.email", ""},
		{"two addresses", createCustomerDocument, person("a@initech.example, b@initech.example", "n"), invalid, "It looks like", "input.email", ""},
		{"an address with a line break", createCustomerDocument, person("office@initech.example\nBcc: x@y.example", "n"), invalid, "Remove it", "input.email", ""},
		{"NUL in an address", createCustomerDocument, person("a\x00@initech.example", "n"), invalid, "Remove it", "input.email", ""},
		{"an empty address", createCustomerDocument, person("", "n"), invalid, "Give it at least 3", "input.email", ""},
		{"an address of 269 characters", createCustomerDocument, person(long+"@x.example", "n"), invalid, "at most 254", "input.email", ""},
		{"an address in use", createCustomerDocument, person("Office@Initech.example", "n"), "TAKEN", "Choose another", "input.email", ""},
		{"an address in use, in other letters", createCustomerDocument, person("oFFICE@iNITECH.EXAMPLE", "n"), "TAKEN", "Choose another", "input.email", ""},
		{"an empty name of a customer", createCustomerDocument, person("new@tests.example", " "), invalid, "Give it at least 1", "input.name", ""},
		{"a name of 260 characters", createCustomerDocument, person("new@tests.example", long), invalid, "at most 200", "input.name", ""},
		{"a number for an address", createCustomerDocument, person(12345678, "n"), bad, "String", "", "12345678"},
		{"null for an address to update", updateCustomerDocument, input(map[string]any{"id": s.customer, "version": 1, "email": nil}), invalid, "cannot be null", "input.email", ""},
		{"a stale version of a customer", updateCustomerDocument, input(map[string]any{"id": s.customer, "version": 9, "name": "n"}), "STALE_VERSION", "Read it again", "input.version", ""},
		{"a customer who does not exist", updateCustomerDocument, input(map[string]any{"id": noCustomer, "version": 1, "name": "n"}), notFound, "There is no such customer", "input.id", ""},
		{"a customer of another tenant", updateCustomerDocument, input(map[string]any{"id": foreign.customer, "version": 1, "name": "n"}), notFound, "There is no such customer", "input.id", ""},
		{"a customer with orders to delete", deleteCustomerDocument, input(map[string]any{"id": s.customer, "version": 1}), "IN_USE", "they are kept", "input.id", ""},
		{"a product in orders to delete", deleteProductDocument, input(map[string]any{"id": s.lamp, "version": 2}), "IN_USE", "Set its stock to 0 instead", "input.id", ""},
		{"a customer of another tenant to delete", deleteCustomerDocument, input(map[string]any{"id": foreign.customer, "version": 1}), notFound, "There is no such customer", "input.id", ""},
		{"an order's id for a customer", deleteCustomerDocument, input(map[string]any{"id": s.placed, "version": 1}), bad, "starts with cust_", "", ""},
	}...)
	db := pgtest.Superuser(t)
	before, theirs := fingerprint(t, db, s.Tenant.ID), fingerprint(t, db, foreign.Tenant.ID)
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) { r.check(t, s.Client) })
	}
	if now := fingerprint(t, db, s.Tenant.ID); now != before {
		t.Errorf("bad input changed the tenant:\n%s\n%s", before, now)
	}
	if now := fingerprint(t, db, foreign.Tenant.ID); now != theirs {
		t.Errorf("bad input changed the other tenant:\n%s\n%s", theirs, now)
	}
	// The same with what is right.
	a := s.Do(t, placeOrderDocument, placing(newOrder(line(s.desk, 5), line(s.lamp, 2)), 0))
	if a.Status != http.StatusOK || !strings.Contains(string(a.Body), `"userErrors":[]`) {
		t.Errorf("a good order: %s", a.Body)
	}
}

// Every line that is wrong is named at once.
func TestEveryWrongLineIsNamed(t *testing.T) {
	t.Parallel()
	s := newShop(t, apitest.New(t, pgtest.New(t)))
	unknown := id.NewProduct().String()
	for _, c := range []struct {
		items []any
		want  string
	}{
		{[]any{line(s.lamp, 0), line(s.desk, 1), line(s.desk, -5)}, "items.0.quantity:INVALID items.2.quantity:INVALID items.2.productId:INVALID"},
		{[]any{line(unknown, 1), line(s.desk, 1), line(id.NewProduct().String(), 1)}, "items.0.productId:NOT_FOUND items.2.productId:NOT_FOUND"},
		{[]any{line(s.lamp, 3), line(s.desk, 6)}, "items.0.quantity:OUT_OF_STOCK items.1.quantity:OUT_OF_STOCK"},
	} {
		a := s.Do(t, placeOrderDocument, input(map[string]any{"order": map[string]any{"customerId": s.customer, "items": c.items}}))
		var data map[string]payload
		if err := json.Unmarshal(a.Data, &data); err != nil {
			t.Fatalf("%v: %s", err, a.Body)
		}
		var named []string
		for _, p := range data {
			for _, err := range p.userErrors(t) {
				named = append(named, strings.TrimPrefix(strings.Join(err.Field, "."), "input.order.")+":"+err.Code)
			}
		}
		if got := strings.Join(named, " "); got != c.want {
			t.Errorf("named %q, want %q", got, c.want)
		}
	}
}
