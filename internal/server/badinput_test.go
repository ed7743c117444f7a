package server_test

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
)

// refused is a request that cannot be done, and how it is answered.
type refused struct {
	name      string
	document  string
	variables map[string]any
	code      string
	advice    string // a part of the message that says what to do
	field     string // of a user error, joined by points; "" for an error of the request
	secret    string // what must not be repeated, beside every id and long value that was sent
}

// payload is what is common to all mutations.
type payload map[string]json.RawMessage

func (p payload) userErrors(t testing.TB) (errs []struct {
	Field         []string
	Message, Code string
}) {
	t.Helper()
	if text, ok := p["userErrors"]; ok {
		if err := json.Unmarshal(text, &errs); err != nil {
			t.Fatal(err)
		}
	}
	return errs
}

// sent lists the strings in some variables.
func sent(value any) (found []string) {
	switch v := value.(type) {
	case map[string]any:
		for _, inner := range v {
			found = append(found, sent(inner)...)
		}
	case string:
		found = append(found, v)
	}
	return found
}

func (r refused) check(t *testing.T, c *apitest.Client) {
	a := c.Do(t, r.document, r.variables)
	if a.Status != http.StatusOK {
		t.Errorf("status %d: %s", a.Status, a.Body)
	}
	if len(a.Body) > 4<<10 {
		t.Errorf("the answer has %d bytes", len(a.Body))
	}
	for _, value := range append(sent(r.variables), r.secret) {
		if len(value) >= 8 && bytes.Contains(a.Body, []byte(value)) {
			t.Errorf("%q is repeated: %s", value, a.Body)
		}
	}
	message := ""
	if r.field == "" {
		if a.Code() != r.code {
			t.Errorf("code %q, want %q: %s", a.Code(), r.code, a.Body)
		}
		for _, err := range a.Errors {
			message += err.Message
		}
	} else {
		var data map[string]payload
		if err := json.Unmarshal(a.Data, &data); err != nil || len(data) != 1 || len(a.Errors) > 0 {
			t.Fatalf("no user error (%v): %s", err, a.Body)
		}
		for _, p := range data {
			errs := p.userErrors(t)
			if len(errs) != 1 || errs[0].Code != r.code || strings.Join(errs[0].Field, ".") != r.field {
				t.Fatalf("want %s at %s: %s", r.code, r.field, a.Body)
			}
			message = errs[0].Message
			for name, value := range p {
				if name != "userErrors" && string(value) != "null" {
					t.Errorf("%s is not null: %s", name, a.Body)
				}
			}
		}
	}
	if !strings.Contains(message, r.advice) {
		t.Errorf("the message %q does not say %q", message, r.advice)
	}
}

func createProduct(change string, value any) map[string]any {
	input := map[string]any{"sku": "NEW-1", "name": "New", "price": map[string]any{"amount": "1.00", "currencyCode": "EUR"}, "stock": 1}
	if at, inner, nested := strings.Cut(change, "."); nested {
		input[at].(map[string]any)[inner] = value
	} else if change != "" {
		input[change] = value
	}
	return map[string]any{"input": input}
}

const (
	createProductDocument  = `mutation($input: CreateProductInput!) { createProduct(input: $input) { product { id name } userErrors { field message code } } }`
	updateProductDocument  = `mutation($input: UpdateProductInput!) { updateProduct(input: $input) { product { id name } userErrors { field message code } } }`
	deleteProductDocument  = `mutation($input: DeleteProductInput!) { deleteProduct(input: $input) { product { id name } userErrors { field message code } } }`
	createCategoryDocument = `mutation($input: CreateCategoryInput!) { createCategory(input: $input) { category { id name } userErrors { field message code } } }`
	updateCategoryDocument = `mutation($input: UpdateCategoryInput!) { updateCategory(input: $input) { category { id name } userErrors { field message code } } }`
	deleteCategoryDocument = `mutation($input: DeleteCategoryInput!) { deleteCategory(input: $input) { category { id name } userErrors { field message code } } }`
	productsDocument       = `query($first: Int, $after: String, $last: Int, $before: String, $filter: ProductFilter, $orderBy: ProductOrder) {
		products(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) { nodes { id } pageInfo { endCursor } } }`
)

func input(members map[string]any) map[string]any { return map[string]any{"input": members} }

func cursor(parts ...any) string {
	text, err := json.Marshal(parts)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// Every row is answered with its code and some advice, repeats nothing that was
// sent, and changes nothing.
func TestBadInput(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	product, category := stock(t, owner)
	var child struct {
		CreateCategory struct{ Category struct{ ID string } }
	}
	owner.Must(t, createCategoryDocument, input(map[string]any{"name": "Desk lamps", "parentId": category}), &child)
	below := child.CreateCategory.Category.ID
	var ends struct {
		Products   struct{ PageInfo struct{ EndCursor string } }
		Categories struct{ PageInfo struct{ EndCursor string } }
		Members    struct{ PageInfo struct{ EndCursor string } }
	}
	owner.Must(t, `{ products { pageInfo { endCursor } } categories { pageInfo { endCursor } } members { pageInfo { endCursor } } }`, nil, &ends)
	long := strings.Repeat("ab", 5000)
	missing := id.NewProduct().String()
	noCategory := id.NewCategory().String()
	anyone := id.NewUser().String()

	const bad, invalid = "BAD_REQUEST", "INVALID"
	const wrongID, noID = "starts with", "copy them from an answer"
	rows := []refused{
		// Ids of the wrong type.
		{"a category's id for a product", `query($id: ID!) { product(id: $id) { id } }`, map[string]any{"id": category}, bad, wrongID + " prod_", "", ""},
		{"a product's id for a category", `query($id: ID!) { category(id: $id) { id } }`, map[string]any{"id": product}, bad, wrongID + " cat_", "", ""},
		{"a person's id for a product in the document", `{ product(id: "` + anyone + `") { id } }`, nil, bad, wrongID + " prod_", "", anyone},
		{"a product's id in a filter", productsDocument, map[string]any{"filter": map[string]any{"categoryId": product}}, bad, wrongID + " cat_", "", ""},
		{"a product's id for the category to create in", createProductDocument, createProduct("categoryId", product), bad, wrongID + " cat_", "", ""},
		{"a category's id for the product to update", updateProductDocument, input(map[string]any{"id": category, "version": 1, "name": "x"}), bad, wrongID + " prod_", "", ""},
		{"a product's id for the category to update to", updateProductDocument, input(map[string]any{"id": product, "version": 1, "categoryId": product}), bad, wrongID + " cat_", "", ""},
		{"a category's id for the product to delete", deleteProductDocument, input(map[string]any{"id": category, "version": 1}), bad, wrongID + " prod_", "", ""},
		{"a product's id for the parent to create in", createCategoryDocument, input(map[string]any{"name": "x", "parentId": product}), bad, wrongID + " cat_", "", ""},
		{"a product's id for the category to update", updateCategoryDocument, input(map[string]any{"id": product, "version": 1, "name": "x"}), bad, wrongID + " cat_", "", ""},
		{"a person's id for the parent to update to", updateCategoryDocument, input(map[string]any{"id": category, "version": 1, "parentId": anyone}), bad, wrongID + " cat_", "", ""},
		{"a product's id for the category to delete", deleteCategoryDocument, input(map[string]any{"id": product, "version": 1}), bad, wrongID + " cat_", "", ""},
		{"no id", `query($id: ID!) { node(id: $id) { id } }`, map[string]any{"id": "not an id at all"}, bad, noID, "", ""},
		{"an empty id", `query($id: ID!) { node(id: $id) { id } }`, map[string]any{"id": ""}, bad, noID, "", ""},
		{"a bare suffix", `query($id: ID!) { node(id: $id) { id } }`, map[string]any{"id": product[len("prod_"):]}, bad, noID, "", ""},
		{"a UUID", `query($id: ID!) { product(id: $id) { id } }`, map[string]any{"id": id.New().String()}, bad, noID, "", ""},
		{"NUL in an id", `query($id: ID!) { product(id: $id) { id } }`, map[string]any{"id": product + "\x00"}, bad, noID, "", product},
		{"an id in capitals", `query($id: ID!) { product(id: $id) { id } }`, map[string]any{"id": strings.ToUpper(product)}, bad, noID, "", ""},
		{"a number for an id", `query($id: ID!) { product(id: $id) { id } }`, map[string]any{"id": 12345678}, bad, noID, "", "12345678"},
		{"a number for an id in the document", `{ product(id: 12345678) { id } }`, nil, bad, noID, "", "12345678"},
		{"a name for an id", `{ product(id: not_an_id_at_all) { id } }`, nil, bad, "ID cannot", "", "not_an_id_at_all"},
		{"an object for an id", `query($id: ID!) { product(id: $id) { id } }`, map[string]any{"id": map[string]any{"a": 1}}, bad, "$id", "", ""},

		// Pages.
		{"first: 0", productsDocument, map[string]any{"first": 0}, bad, "first must be between 1 and 100", "", ""},
		{"first: 101", productsDocument, map[string]any{"first": 101}, bad, "first must be between 1 and 100", "", ""},
		{"first: -1", productsDocument, map[string]any{"first": -1}, bad, "first must be between 1 and 100", "", ""},
		{"last: 0", productsDocument, map[string]any{"last": 0}, bad, "last must be between 1 and 100", "", ""},
		{"last: 101", productsDocument, map[string]any{"last": 101}, bad, "last must be between 1 and 100", "", ""},
		{"both first and last", productsDocument, map[string]any{"first": 1, "last": 1}, bad, "not for both", "", ""},
		{"categories, first: 0", `{ categories(first: 0) { nodes { id } } }`, nil, bad, "between 1 and 100", "", ""},
		{"categories, both", `{ categories(first: 1, last: 1) { nodes { id } } }`, nil, bad, "not for both", "", ""},
		{"members, first: 101", `{ members(first: 101) { nodes { id } } }`, nil, bad, "between 1 and 100", "", ""},
		{"members, both", `{ members(first: 1, last: 1) { nodes { id } } }`, nil, bad, "not for both", "", ""},
		{"products of a category, first: 101", `query($id: ID!) { category(id: $id) { products(first: 101) { nodes { id } } } }`, map[string]any{"id": category}, bad, "between 1 and 100", "", ""},
		{"products of a category, both", `query($id: ID!) { category(id: $id) { products(first: 1, last: 1) { nodes { id } } } }`, map[string]any{"id": category}, bad, "not for both", "", ""},
		{"first as a string", productsDocument, map[string]any{"first": "5"}, bad, "without quotes", "", ""},
		{"first as a string in the document", `{ products(first: "5") { nodes { id } } }`, nil, bad, "Int cannot", "", ""},
		{"first with a fraction", productsDocument, map[string]any{"first": json.Number("1.5")}, bad, "$first", "", ""},
		{"first with an exponent", productsDocument, map[string]any{"first": json.Number("1e-1")}, bad, "$first", "", ""},
		{"first beyond 32 bits", productsDocument, map[string]any{"first": 1 << 31}, bad, "This is not an Int", "", ""},
		{"first beyond 64 bits", productsDocument, map[string]any{"first": json.Number("9223372036854775808")}, bad, "$first", "", ""},
		{"first as a boolean", productsDocument, map[string]any{"first": true}, bad, "$first", "", ""},

		// Text.
		{"an empty name", createProductDocument, createProduct("name", ""), invalid, "Give it at least 1 character", "input.name", ""},
		{"a name of spaces", createProductDocument, createProduct("name", " \t\u00a0\u3000 "), invalid, "Give it at least 1 character", "input.name", ""},
		{"a name of 201 characters", createProductDocument, createProduct("name", strings.Repeat("ä", 201)), invalid, "at most 200", "input.name", ""},
		{"a name of 10,000 characters", createProductDocument, createProduct("name", long), invalid, "at most 200", "input.name", ""},
		{"a name of 10,000 characters to update to", updateProductDocument, input(map[string]any{"id": product, "version": 1, "name": long}), invalid, "at most 200", "input.name", ""},
		{"a SKU of 65 characters", createProductDocument, createProduct("sku", strings.Repeat("x", 65)), invalid, "at most 64", "input.sku", ""},
		{"an empty SKU", createProductDocument, createProduct("sku", ""), invalid, "Give it at least 1 character", "input.sku", ""},
		{"a description of 10,001 characters", createProductDocument, createProduct("description", long+"x"), invalid, "at most 10000", "input.description", ""},
		{"a line break in a name", createProductDocument, createProduct("name", "a first line\nand a second"), invalid, "Remove it", "input.name", ""},
		{"NUL in a name", createProductDocument, createProduct("name", "a name\x00with it"), invalid, "(U+0000). Remove it", "input.name", ""},
		{"NUL in a SKU", createProductDocument, createProduct("sku", "A\x00B"), invalid, "(U+0000). Remove it", "input.sku", ""},
		{"NUL in a description", createProductDocument, createProduct("description", "A\x00B"), invalid, "(U+0000). Remove it", "input.description", ""},
		{"an escape in a name", createProductDocument, createProduct("name", "a\x1b[31mred"), invalid, "(U+001B). Remove it", "input.name", ""},
		{"DEL in a name", createProductDocument, createProduct("name", "a\x7fb"), invalid, "(U+007F). Remove it", "input.name", ""},
		{"C1 in a name", createProductDocument, createProduct("name", "a\u009bb"), invalid, "(U+009B). Remove it", "input.name", ""},
		{"a line separator in a name", createProductDocument, createProduct("name", "a\u2028b"), invalid, "(U+2028). Remove it", "input.name", ""},
		{"a noncharacter in a name", createProductDocument, createProduct("name", "a\uffffb"), invalid, "(U+FFFF). Remove it", "input.name", ""},
		{"the noncharacter that ends lists", createProductDocument, createProduct("name", "\U0010ffff"), invalid, "(U+10FFFF). Remove it", "input.name", ""},
		{"a noncharacter in a description", createProductDocument, createProduct("description", "a\ufdd0b"), invalid, "(U+FDD0). Remove it", "input.description", ""},
		{"a number for a name", createProductDocument, createProduct("name", 12345678), bad, "String", "", "12345678"},
		{"a number for a name in the document", `mutation { createCategory(input: {name: 12345678}) { category { id } userErrors { code } } }`, nil, bad, "String cannot", "", "12345678"},
		{"a boolean for a name", createProductDocument, createProduct("name", true), bad, "String", "", ""},
		{"a list for a name", createProductDocument, createProduct("name", []any{"a", "b"}), bad, "String", "", ""},
		{"a name in a condition that is empty", productsDocument, map[string]any{"filter": map[string]any{"name": map[string]any{"contains": ""}}}, bad, "Give it at least 1 character", "", ""},
		{"a name in a condition of 10,000 characters", productsDocument, map[string]any{"filter": map[string]any{"name": map[string]any{"contains": long}}}, bad, "at most 200", "", ""},
		{"NUL in a condition", productsDocument, map[string]any{"filter": map[string]any{"name": map[string]any{"contains": "\x00"}}}, bad, "Remove it", "", ""},
		{"an empty name of a category", createCategoryDocument, input(map[string]any{"name": ""}), invalid, "Give it at least 1 character", "input.name", ""},
		{"a name of a category of 10,000 characters", createCategoryDocument, input(map[string]any{"name": long}), invalid, "at most 200", "input.name", ""},
		{"NUL in the name of a category", updateCategoryDocument, input(map[string]any{"id": category, "version": 1, "name": "\x00"}), invalid, "Remove it", "input.name", ""},
		{"null for a name", updateProductDocument, input(map[string]any{"id": product, "version": 1, "name": nil}), invalid, "leave the field out", "input.name", ""},
		{"null for a price", updateProductDocument, input(map[string]any{"id": product, "version": 1, "price": nil}), invalid, "leave the field out", "input.price", ""},
		{"null for a name that must be", createProductDocument, createProduct("name", nil), bad, "$input.name", "", ""},

		// Prices.
		{"a price below zero", createProductDocument, createProduct("price.amount", "-0.01"), invalid, "below zero", "input.price.amount", ""},
		{"a price below zero to update to", updateProductDocument, input(map[string]any{"id": product, "version": 1, "price": map[string]any{"amount": "-1", "currencyCode": "EUR"}}), invalid, "below zero", "input.price.amount", ""},
		{"a price beyond 64 bits", createProductDocument, createProduct("price.amount", "92233720368547758.08"), invalid, "at most", "input.price.amount", ""},
		{"a price of 40 digits", createProductDocument, createProduct("price.amount", strings.Repeat("9", 40)), invalid, "at most", "input.price.amount", ""},
		{"a price of 41 digits", createProductDocument, createProduct("price.amount", strings.Repeat("9", 41)), bad, "at most 40", "", ""},
		{"a price of 10,000 digits", createProductDocument, createProduct("price.amount", strings.Repeat("9", 10_000)), bad, "at most 40", "", ""},
		{"a price with too many decimals", createProductDocument, createProduct("price.amount", "1.001"), invalid, "EUR has 2", "input.price.amount", ""},
		{"a price in another currency", createProductDocument, createProduct("price.currencyCode", "USD"), invalid, "convert it first", "input.price.currencyCode", ""},
		{"a price in a currency that is none", createProductDocument, createProduct("price.currencyCode", "EURO"), bad, "CurrencyCode", "", ""},
		{"a price in a currency in lower case", createProductDocument, createProduct("price.currencyCode", "eur"), bad, "in capitals", "", ""},
		{"a price as a number", createProductDocument, createProduct("price.amount", json.Number("12.50")), bad, "in quotes", "", ""},
		{"a price as a number in the document", `mutation { createProduct(input: {sku: "N", name: "n", price: {amount: 12.50, currencyCode: EUR}}) { product { id } userErrors { code } } }`, nil, bad, "in quotes", "", ""},
		{"a price with an exponent", createProductDocument, createProduct("price.amount", "1e3"), bad, "write digits", "", ""},
		{"a price with a giant exponent", createProductDocument, createProduct("price.amount", "1E999999999"), bad, "write digits", "", ""},
		{"an empty price", createProductDocument, createProduct("price.amount", ""), bad, "write digits", "", ""},
		{"a price with a comma", createProductDocument, createProduct("price.amount", "1,50"), bad, "write digits", "", ""},
		{"a price that is no number", createProductDocument, createProduct("price.amount", "NaN"), bad, "write digits", "", ""},
		{"null for an amount", createProductDocument, createProduct("price.amount", nil), bad, "amount", "", ""},
		{"a condition on prices below zero", productsDocument, map[string]any{"filter": map[string]any{"price": map[string]any{"min": "-1"}}}, bad, "below zero", "", ""},
		{"a condition on prices with too many decimals", productsDocument, map[string]any{"filter": map[string]any{"price": map[string]any{"max": "0.001"}}}, bad, "EUR has 2", "", ""},
		{"a condition on prices beyond 64 bits", productsDocument, map[string]any{"filter": map[string]any{"price": map[string]any{"max": "9223372036854775808"}}}, bad, "at most", "", ""},
		{"a condition on prices with an exponent", productsDocument, map[string]any{"filter": map[string]any{"price": map[string]any{"max": "1e3"}}}, bad, "write digits", "", ""},

		// Other scalars.
		{"a stock below zero", createProductDocument, createProduct("stock", -1), invalid, "between 0 and 1,000,000,000", "input.stock", ""},
		{"a stock above the bound", createProductDocument, createProduct("stock", 1_000_000_001), invalid, "between 0 and 1,000,000,000", "input.stock", ""},
		{"a stock beyond 32 bits", createProductDocument, createProduct("stock", 1<<31), bad, "This is not an Int", "", ""},
		{"a stock as a string", createProductDocument, createProduct("stock", "3"), bad, "without quotes", "", ""},
		{"a stock with a fraction", createProductDocument, createProduct("stock", json.Number("3.5")), bad, "stock", "", ""},
		{"a boolean as a string", productsDocument, map[string]any{"filter": map[string]any{"inStock": "true"}}, bad, "Boolean", "", ""},
		{"a boolean as a number", productsDocument, map[string]any{"filter": map[string]any{"inStock": 1}}, bad, "Boolean", "", ""},
		{"a boolean as a string in the document", `{ products(filter: {inStock: "true"}) { nodes { id } } }`, nil, bad, "Boolean cannot", "", ""},
		{"an enum in lower case", productsDocument, map[string]any{"orderBy": map[string]any{"field": "PRICE", "direction": "desc"}}, bad, "OrderDirection", "", ""},
		{"an enum that is not there", productsDocument, map[string]any{"orderBy": map[string]any{"field": "COLOUR_OF_IT", "direction": "DESC"}}, bad, "ProductOrderField", "", ""},
		{"an enum as a number", productsDocument, map[string]any{"orderBy": map[string]any{"field": 1, "direction": "DESC"}}, bad, "ProductOrderField", "", ""},
		{"an enum as a string in the document", `{ products(orderBy: {field: "PRICE", direction: ASC}) { nodes { id } } }`, nil, bad, "ProductOrderField", "", ""},
		{"an input field that is not there", createProductDocument, createProduct("colour", "green-as-grass"), bad, "$input.colour", "", ""},
		{"an input that is no object", createProductDocument, map[string]any{"input": "a string instead"}, bad, "$input", "", ""},
		{"no input", createProductDocument, nil, bad, "$input", "", ""},

		// What is not there, is taken or has changed.
		{"a SKU in use", createProductDocument, createProduct("sku", "LAMP-1"), "TAKEN", "Choose another", "input.sku", "LAMP-1"},
		{"a product that does not exist", updateProductDocument, input(map[string]any{"id": missing, "version": 1, "name": "x"}), "NOT_FOUND", "There is no such product", "input.id", ""},
		{"a product that does not exist to delete", deleteProductDocument, input(map[string]any{"id": missing, "version": 1}), "NOT_FOUND", "There is no such product", "input.id", ""},
		{"a stale version of a product", updateProductDocument, input(map[string]any{"id": product, "version": 2, "name": "x"}), "STALE_VERSION", "Read it again", "input.version", ""},
		{"a stale version of a product to delete", deleteProductDocument, input(map[string]any{"id": product, "version": 0}), "STALE_VERSION", "Read it again", "input.version", ""},
		{"a stale version of a category", updateCategoryDocument, input(map[string]any{"id": category, "version": 7, "name": "x"}), "STALE_VERSION", "Read it again", "input.version", ""},
		{"a stale version of a category to delete", deleteCategoryDocument, input(map[string]any{"id": below, "version": -1}), "STALE_VERSION", "Read it again", "input.version", ""},
		{"a category that does not exist for a new product", createProductDocument, createProduct("categoryId", noCategory), "NOT_FOUND", "There is no such category", "input.categoryId", ""},
		{"a category that does not exist for a product", updateProductDocument, input(map[string]any{"id": product, "version": 1, "categoryId": noCategory}), "NOT_FOUND", "There is no such category", "input.categoryId", ""},
		{"a category that does not exist", updateCategoryDocument, input(map[string]any{"id": noCategory, "version": 1, "name": "x"}), "NOT_FOUND", "There is no such category", "input.id", ""},
		{"a parent that does not exist for a new category", createCategoryDocument, input(map[string]any{"name": "x", "parentId": noCategory}), "NOT_FOUND", "There is no such category", "input.parentId", ""},
		{"a parent that does not exist", updateCategoryDocument, input(map[string]any{"id": category, "version": 1, "parentId": noCategory}), "NOT_FOUND", "There is no such category", "input.parentId", ""},
		{"a category as its own parent", updateCategoryDocument, input(map[string]any{"id": category, "version": 1, "parentId": category}), invalid, "Choose a parent that is not below it", "input.parentId", ""},
		{"a category below its own child", updateCategoryDocument, input(map[string]any{"id": category, "version": 1, "parentId": below}), invalid, "Choose a parent that is not below it", "input.parentId", ""},
		{"a category that holds something", deleteCategoryDocument, input(map[string]any{"id": category, "version": 1}), "IN_USE", "Move or delete them first", "input.id", ""},
		{"a name in use beside it", createCategoryDocument, input(map[string]any{"name": "Desk lamps", "parentId": category}), "TAKEN", "Choose another", "input.name", "Desk lamps"},

		// Documents.
		{"a document that is none", `hunter2hunter2`, nil, bad, "Unexpected Name", "", ""},
		{"a document cut short", `{ products {`, nil, bad, "Expected", "", ""},
		{"a password where nothing belongs", `mutation { signIn(input: {email: "a", password: : "correct horse battery"}) { session { accessToken } } }`, nil, bad, "Unexpected", "", "correct horse battery"},
		{"a password outside", `"correct horse battery"`, nil, bad, "Unexpected", "", "correct horse battery"},
		{"a password without quotes", `mutation { signIn(input: {email: "a", password: correcthorsebattery}) { session { accessToken } } }`, nil, bad, "String cannot", "", "correcthorsebattery"},
		{"a password of digits", `mutation { signIn(input: {email: "a", password: 12345678901}) { session { accessToken } } }`, nil, bad, "String cannot", "", "12345678901"},
		{"a password where a category belongs", `{ products(filter: "correct horse battery") { nodes { id } } }`, nil, bad, "Expected value of type", "", "correct horse battery"},
		{"a field that is not there", `{ products { nodes { colour } } }`, nil, bad, `Cannot query field "colour" on type "Product"`, "", ""},
		{"an argument that is not there", `{ products(frist: 1) { nodes { id } } }`, nil, bad, `Did you mean "first"`, "", ""},
		{"more than is allowed", `{ products(first: 100) { nodes { category { products(first: 100) { nodes { id name sku } } } } } }`, nil, "QUERY_TOO_COMPLEX", "Ask for smaller pages", "", ""},
	}
	// Cursors of no list, of another one, and forged.
	for _, list := range []struct {
		name, document, orderBy string
		foreign                 []string
	}{
		{"products:CREATED_AT", productsDocument, "CREATED_AT", []string{ends.Categories.PageInfo.EndCursor, ends.Members.PageInfo.EndCursor}},
		{"products:NAME", productsDocument, "NAME", []string{ends.Products.PageInfo.EndCursor, ends.Categories.PageInfo.EndCursor}},
		{"products:PRICE", productsDocument, "PRICE", []string{ends.Products.PageInfo.EndCursor}},
		{"categories", `query($after: String, $before: String) { categories(after: $after, before: $before) { nodes { id } } }`, "", []string{ends.Products.PageInfo.EndCursor, ends.Members.PageInfo.EndCursor}},
		{"members", `query($after: String, $before: String) { members(after: $after, before: $before) { nodes { id } } }`, "", []string{ends.Products.PageInfo.EndCursor}},
		{"products:CREATED_AT", `query($after: String, $before: String) { category(id: "` + category + `") { products(after: $after, before: $before) { nodes { id } } } }`, "", []string{ends.Categories.PageInfo.EndCursor}},
	} {
		u := id.New().String()
		now := time.Now().UTC()
		var key any = "name"
		switch {
		case strings.HasSuffix(list.name, "PRICE"):
			key = 1250
		case !strings.HasSuffix(list.name, "NAME") && list.name != "categories":
			key = now
		}
		forged := append([]string{
			"", "garbage", "====", "\x00", strings.Repeat("A", 100_000), base64.RawURLEncoding.EncodeToString([]byte("null")),
			cursor(), cursor(list.name), cursor(list.name, key), cursor(list.name, key, u, u), cursor(nil, key, u),
			cursor(list.name, nil, u), cursor(list.name, key, nil), cursor(list.name, key, "no id"), cursor(list.name, key, 7),
			cursor(list.name, []any{key}, u), cursor(list.name, map[string]any{"a": key}, u), cursor(list.name, true, u),
			cursor("products:COLOUR", key, u), cursor(list.name+"\x00", key, u), cursor(list.name, "a\x00b", u),
			cursor(list.name, strings.Repeat("x", 5000), u), cursor(list.name, json.Number("1e400"), u),
			cursor(list.name, "0000-01-01T00:00:00Z", u+"0"), base64.StdEncoding.EncodeToString([]byte(`["` + list.name + `" `)),
		}, list.foreign...)
		if key != "name" {
			forged = append(forged, cursor(list.name, "a word", u), cursor(list.name, "10000-01-01T00:00:00Z", u), cursor(list.name, json.Number("9223372036854775808"), u))
		}
		for i, c := range forged {
			for _, end := range []string{"after", "before"} {
				variables := map[string]any{end: c}
				if list.orderBy != "" {
					variables["orderBy"] = map[string]any{"field": list.orderBy, "direction": "ASC"}
				}
				rows = append(rows, refused{fmt.Sprintf("cursor %d %s in %s %s", i, end, list.name, list.document[:30]), list.document, variables, bad, "Use one that the same list gave", "", ""})
			}
		}
	}
	db := pgtest.Superuser(t)
	before := fingerprint(t, db, owner.Tenant.ID)
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) { r.check(t, owner) })
	}
	if now := fingerprint(t, db, owner.Tenant.ID); now != before {
		t.Errorf("bad input changed the tenant:\n%s\n%s", before, now)
	}
}

// Several values that are wrong are named at once.
func TestEveryWrongValueIsNamed(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	for _, c := range []struct {
		document string
		input    map[string]any
		fields   string
	}{
		{
			createProductDocument,
			map[string]any{"sku": "", "name": "", "description": "\x00", "stock": -1, "price": map[string]any{"amount": "-1", "currencyCode": "EUR"}},
			"sku name description price.amount stock",
		},
		{
			`mutation($input: RegisterTenantInput!) { registerTenant(input: $input) { tenant { id } session { accessToken } userErrors { field message code } } }`,
			map[string]any{"tenantName": strings.Repeat("x", 10_000), "slug": "A B", "email": "nobody", "password": "short", "displayName": "\x00"},
			"tenantName slug email displayName password",
		},
	} {
		who := owner
		if c.input["slug"] != nil { // as nobody, who says who they are
			who = api.Anonymous()
		}
		a := who.Do(t, c.document, input(c.input))
		var data map[string]payload
		if err := json.Unmarshal(a.Data, &data); err != nil {
			t.Fatalf("%v: %s", err, a.Body)
		}
		var fields []string
		for _, p := range data {
			for _, err := range p.userErrors(t) {
				fields = append(fields, strings.TrimPrefix(strings.Join(err.Field, "."), "input."))
				if err.Code != "INVALID" {
					t.Errorf("%v: %s", err.Field, err.Code)
				}
			}
		}
		if got := strings.Join(fields, " "); got != c.fields {
			t.Errorf("named %q, want %q", got, c.fields)
		}
	}
}

func TestBadRegistrations(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	const document = `mutation($input: RegisterTenantInput!) { registerTenant(input: $input) { tenant { id } session { accessToken } userErrors { field message code } } }`
	registration := func(name string, value any) map[string]any {
		unique := strings.ReplaceAll(id.New().String(), "-", "")
		in := map[string]any{"tenantName": "New", "slug": "t" + unique[:30], "email": unique + "@tests.example", "password": apitest.Password, "displayName": "Owner"}
		in[name] = value
		return input(in)
	}
	db := pgtest.Superuser(t)
	const invalid = "INVALID"
	for _, r := range []refused{
		{"a slug in use", document, registration("slug", owner.Tenant.Slug), "TAKEN", "Choose another", "input.slug", ""},
		{"a slug of two characters", document, registration("slug", "ab"), invalid, "3 to 40", "input.slug", ""},
		{"a slug in capitals", document, registration("slug", "ACME-Lamps"), invalid, "3 to 40", "input.slug", ""},
		{"a slug with two hyphens", document, registration("slug", "acme--lamps"), invalid, "3 to 40", "input.slug", ""},
		{"a slug with a line break", document, registration("slug", "acme-lamps\n"), invalid, "3 to 40", "input.slug", ""},
		{"a slug with NUL", document, registration("slug", "acme\x00lamps"), invalid, "3 to 40", "input.slug", ""},
		{"no name", document, registration("tenantName", ""), invalid, "Give it at least", "input.tenantName", ""},
		{"an address that is none", document, registration("email", "somebody-somewhere"), invalid, "It looks like", "input.email", ""},
		{"an address with a name", document, registration("email", "Some Body <some@tests.example>"), invalid, "It looks like", "input.email", ""},
		{"an address with NUL", document, registration("email", "some\x00@tests.example"), invalid, "Remove it", "input.email", ""},
		{"a short password", document, registration("password", "fourteen chars"), invalid, "at least 15", "input.password", ""},
		{"a password of 10,000 characters", document, registration("password", strings.Repeat("pa", 5000)), invalid, "at most", "input.password", ""},
		{"NUL in a password", document, registration("password", "a long password\x00of some sort"), invalid, "Leave it out", "input.password", ""},
		{"no display name", document, registration("displayName", " "), invalid, "Give it at least", "input.displayName", ""},
		{"no address at all", document, registration("email", nil), invalid, "Give it at least", "input.email", ""},
		{"no password at all", document, registration("password", nil), invalid, "at least 15", "input.password", ""},
		{"no display name at all", document, registration("displayName", nil), invalid, "Give it at least", "input.displayName", ""},
		{"a currency that is none", document, registration("currencyCode", "EURO"), "BAD_REQUEST", "CurrencyCode", "", ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			r.check(t, api.Anonymous())
			in := r.variables["input"].(map[string]any)
			if slug, _ := in["slug"].(string); !strings.Contains(slug, "\x00") && slug != owner.Tenant.Slug {
				var tenants int
				if err := db.QueryRow(t.Context(), `select count(*) from control.tenants where slug = $1`, slug).Scan(&tenants); err != nil || tenants > 0 {
					t.Errorf("%d tenants were made, %v", tenants, err)
				}
			}
			if email, _ := in["email"].(string); !strings.Contains(email, "\x00") && email != owner.Email {
				var users int
				if err := db.QueryRow(t.Context(), `select count(*) from control.users where email = $1`, email).Scan(&users); err != nil || users > 0 {
					t.Errorf("%d accounts were made, %v", users, err)
				}
			}
		})
	}
}

func TestWhoMayNotIsToldWhy(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	product, category := stock(t, owner)
	viewer := owner.Member(t, auth.RoleViewer)
	db := pgtest.Superuser(t)
	before := fingerprint(t, db, owner.Tenant.ID)
	guards := make(map[string]string)
	for _, field := range rightsOf(t) {
		guards[field.name] = field.guard
	}
	for field, document := range documents(product, category) {
		if document == "" || guards[field] == "@public" {
			continue
		}
		a := api.Anonymous().Do(t, document, nil)
		if a.Status != http.StatusOK || a.Code() != "UNAUTHENTICATED" || !strings.Contains(string(a.Body), "Sign in first") {
			t.Errorf("%s as nobody: %d %s", field, a.Status, a.Body)
		}
		if !strings.HasPrefix(document, "mutation") || guards[field] == "@authenticated" {
			continue
		}
		a = viewer.Do(t, document, nil)
		if a.Status != http.StatusOK || a.Code() != "FORBIDDEN" || !strings.Contains(string(a.Body), "the role VIEWER does not have") {
			t.Errorf("%s as a viewer: %d %s", field, a.Status, a.Body)
		}
	}
	if fingerprint(t, db, owner.Tenant.ID) != before {
		t.Error("what was refused changed the tenant")
	}
}

// overHTTP are the sections of GraphQL over HTTP that have a server refuse something,
// and what stands around them. What it says of documents is in
// TestWhatTheSpecificationRefuses.
var overHTTP = []string{
	"URL", "methods", "limits", "Media Types: Content-Type", "Media Types: Accept", "JSON Encoding", "GET", "GET: mutations",
	"Request Parameters: query", "Request Parameters: operationName", "Request Parameters: variables", "Request Parameters: extensions",
}

// none is no GraphQL request.
type none struct {
	section, name, method, target, contentType, body string
	status                                           int
	code, advice, accept                             string
}

// What is no GraphQL request at all is answered in the form of one, with the status
// that HTTP has for it.
func TestRequestsThatAreNone(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	const secret = "correct-horse-battery"
	// Were it done, it would change something.
	query := `{"query":"mutation { createCategory(input: {name: \"` + secret + `\"}) { category { id } } }"}`
	mutation := url.QueryEscape(`mutation { createCategory(input: {name: "` + secret + `"}) { category { id } } }`)
	db := pgtest.Superuser(t)
	before := fingerprint(t, db, owner.Tenant.ID)
	rows := []none{
		{"JSON Encoding", "nothing", "POST", "", "application/json", "", 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"JSON Encoding", "a brace", "POST", "", "application/json", "{", 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"JSON Encoding", "no JSON", "POST", "", "application/json", `{"query":"` + secret, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"JSON Encoding", "an array", "POST", "", "application/json", "[" + query + "]", 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"JSON Encoding", "a string", "POST", "", "application/json", `"` + secret + `"`, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"JSON Encoding", "null", "POST", "", "application/json", "null", 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: query", "a document under another name", "POST", "", "application/json", `{"Query":"{ __typename }"}`, 400, "BAD_REQUEST", `Send it as "query"`, ""},
		{"JSON Encoding", "two documents", "POST", "", "application/json", `{"query":"{ __typename }","query":"{ ` + secret + ` }"}`, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"JSON Encoding", "variables twice", "POST", "", "application/json", `{"variables":{},"query":"{ __typename }","variables":{}}`, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"JSON Encoding", "an object that does not end", "POST", "", "application/json", `{"query":"{ __typename }",`, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: operationName", "an operation name that is a number", "POST", "", "application/json", `{"query":"{ __typename }","operationName":5}`, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"JSON Encoding", "two marks", "POST", "", "application/json", "\ufeff\ufeff" + query, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: query", "an empty object", "POST", "", "application/json", "{}", 400, "BAD_REQUEST", `Send it as "query"`, ""},
		{"Request Parameters: query", "an empty document", "POST", "", "application/json", `{"query":" "}`, 400, "BAD_REQUEST", `Send it as "query"`, ""},
		{"Request Parameters: query", "a document that is a number", "POST", "", "application/json", `{"query":5,"x":"` + secret + `"}`, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: variables", "variables that are an array", "POST", "", "application/json", `{"query":"{a}","variables":["` + secret + `"]}`, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: variables", "variables that are a string", "POST", "", "application/json", `{"query":"{a}","variables":"` + secret + `"}`, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: extensions", "extensions that are a number", "POST", "", "application/json", `{"query":"{a}","extensions":1}`, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"JSON Encoding", "two requests", "POST", "", "application/json", query + query, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"JSON Encoding", "something behind it", "POST", "", "application/json", query + secret, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"JSON Encoding", "no UTF-8", "POST", "", "application/json", "{\"query\":\"{ __typename }\",\"variables\":{\"a\":\"\xff\xfe\"}}", 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Media Types: Content-Type", "no content type", "POST", "", "", query, 415, "BAD_REQUEST", "Content-Type: application/json", ""},
		{"Media Types: Content-Type", "text", "POST", "", "text/plain", query, 415, "BAD_REQUEST", "Content-Type: application/json", ""},
		{"Media Types: Content-Type", "a form", "POST", "", "application/x-www-form-urlencoded", "query=" + mutation, 415, "BAD_REQUEST", "Content-Type: application/json", ""},
		{"Media Types: Content-Type", "a form of parts", "POST", "", "multipart/form-data; boundary=x", "--x\r\n\r\n--x--", 415, "BAD_REQUEST", "Content-Type: application/json", ""},
		{"Media Types: Content-Type", "a document alone", "POST", "", "application/graphql", "{ __typename }", 415, "BAD_REQUEST", "Content-Type: application/json", ""},
		{"Media Types: Content-Type", "a content type that is none", "POST", "", "application/json; charset", query, 415, "BAD_REQUEST", "Content-Type: application/json", ""},
		{"Media Types: Content-Type", "another character set", "POST", "", "application/json; charset=utf-16", query, 415, "BAD_REQUEST", "Content-Type: application/json", ""},
		{"GET", "a GET of nothing", "GET", "", "", "", 400, "BAD_REQUEST", `Send it as "query"`, ""},
		{"GET", "a GET with broken escapes", "GET", "?query=%7B%zz" + secret, "", "", 400, "BAD_REQUEST", "Encode each value", ""},
		{"GET", "a GET with a semicolon", "GET", "?query=%7Ba%7D;x=" + secret, "", "", 400, "BAD_REQUEST", "Encode each value", ""},
		{"GET", "a GET that is no UTF-8", "GET", "?query=%ff", "", "", 400, "BAD_REQUEST", "Encode each value", ""},
		{"GET", "a GET with variables that are none", "GET", "?query=%7B__typename%7D&variables=" + secret, "", "", 400, "BAD_REQUEST", "are not a JSON object", ""},
		{"GET", "a GET with extensions that are none", "GET", "?query=%7B__typename%7D&extensions=%5B1%5D", "", "", 400, "BAD_REQUEST", "are not a JSON object", ""},
		{"GET", "a GET of two documents", "GET", "?query=%7B__typename%7D&query=%7B" + secret + "%7D", "", "", 400, "BAD_REQUEST", "query stands more than once", ""},
		{"GET", "a GET with variables that are no UTF-8", "GET", "?query=%7B__typename%7D&variables=%7B%22a%22:%22%ff%22%7D", "", "", 400, "BAD_REQUEST", "Encode each value", ""},
		{"GET: mutations", "a mutation by GET", "GET", "?query=" + mutation, "", "", 405, "BAD_REQUEST", "Send this as POST", ""},
		{"GET: mutations", "a mutation by GET among queries", "GET", "?operationName=m&query=" + url.QueryEscape(`query q { __typename } mutation m { signOut { clientMutationId } }`), "", "", 405, "BAD_REQUEST", "Send this as POST", ""},
		{"methods", "PUT", "PUT", "", "application/json", query, 405, "BAD_REQUEST", "as POST or GET", ""},
		{"methods", "DELETE", "DELETE", "", "application/json", query, 405, "BAD_REQUEST", "as POST or GET", ""},
		{"JSON Encoding", "an array of nothing", "POST", "", "application/json", "[]", 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"JSON Encoding", "a batch", "POST", "", "application/json", "[" + query + "," + query + "]", 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"JSON Encoding", "a number", "POST", "", "application/json", "7", 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: query", "null for a document", "POST", "", "application/json", `{"query":null}`, 400, "BAD_REQUEST", `Send it as "query"`, ""},
		{"Request Parameters: query", "a boolean for a document", "POST", "", "application/json", `{"query":true}`, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: query", "an array for a document", "POST", "", "application/json", `{"query":["{ __typename }"]}`, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: query", "an object for a document", "POST", "", "application/json", `{"query":` + query + `}`, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: query", "a document in the URL of a POST", "POST", "?query=" + mutation, "application/json", `{}`, 400, "BAD_REQUEST", `Send it as "query"`, ""},
		{"Request Parameters: query", "an id that is a number", "POST", "", "application/json", `{"documentId":5}`, 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: operationName", "a boolean for an operation name", "POST", "", "application/json", strings.Replace(query, "{", `{"operationName":true,`, 1), 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: operationName", "an array for an operation name", "POST", "", "application/json", strings.Replace(query, "{", `{"operationName":["a"],`, 1), 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: operationName", "an object for an operation name", "POST", "", "application/json", strings.Replace(query, "{", `{"operationName":{},`, 1), 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: variables", "a number for variables", "POST", "", "application/json", strings.Replace(query, "{", `{"variables":7,`, 1), 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: variables", "a boolean for variables", "POST", "", "application/json", strings.Replace(query, "{", `{"variables":false,`, 1), 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: extensions", "a string for extensions", "POST", "", "application/json", strings.Replace(query, "{", `{"extensions":"x",`, 1), 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: extensions", "an array for extensions", "POST", "", "application/json", strings.Replace(query, "{", `{"extensions":[],`, 1), 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Request Parameters: extensions", "a boolean for extensions", "POST", "", "application/json", strings.Replace(query, "{", `{"extensions":true,`, 1), 400, "BAD_REQUEST", "Send a JSON object", ""},
		{"Media Types: Content-Type", "a media type of answers", "POST", "", "application/graphql-response+json", query, 415, "BAD_REQUEST", "Content-Type: application/json", ""},
		{"Media Types: Content-Type", "a media type like it", "POST", "", "text/json", query, 415, "BAD_REQUEST", "Content-Type: application/json", ""},
		{"Media Types: Accept", "another media type alone", "POST", "", "application/json", query, 406, "BAD_REQUEST", "in the Accept header", "text/html"},
		{"Media Types: Accept", "neither of the two", "POST", "", "application/json", query, 406, "BAD_REQUEST", "in the Accept header", "application/json;q=0, application/graphql-response+json;q=0"},
		{"Media Types: Accept", "another character set alone", "POST", "", "application/json", query, 406, "BAD_REQUEST", "in the Accept header", "application/json;charset=utf-16"},
		{"Media Types: Accept", "parts of a document that defers none", "POST", "", "application/json", query, 406, "BAD_REQUEST", "in the Accept header", "multipart/mixed"},
		{"GET", "a GET with a number for variables", "GET", "?query=%7B__typename%7D&variables=7", "", "", 400, "BAD_REQUEST", "are not a JSON object", ""},
		{"GET", "a GET with an array for variables", "GET", "?query=%7B__typename%7D&variables=%5B%5D", "", "", 400, "BAD_REQUEST", "are not a JSON object", ""},
		{"GET", "a GET with a string for variables", "GET", "?query=%7B__typename%7D&variables=%22a%22", "", "", 400, "BAD_REQUEST", "are not a JSON object", ""},
		{"GET", "a GET with a string for extensions", "GET", "?query=%7B__typename%7D&extensions=%22a%22", "", "", 400, "BAD_REQUEST", "are not a JSON object", ""},
		{"GET", "a GET with its document in the body", "GET", "", "application/json", query, 400, "BAD_REQUEST", `Send it as "query"`, ""},
		{"GET", "a GET of two operation names", "GET", "?query=%7B__typename%7D&operationName=a&operationName=b", "", "", 400, "BAD_REQUEST", "operationName stands more than once", ""},
		{"GET: mutations", "a mutation by GET with a body", "GET", "?query=" + mutation, "application/json", query, 405, "BAD_REQUEST", "Send this as POST", ""},
		{"methods", "PATCH", "PATCH", "", "application/json", query, 405, "BAD_REQUEST", "as POST or GET", ""},
		{"methods", "OPTIONS", "OPTIONS", "", "application/json", query, 405, "BAD_REQUEST", "as POST or GET", ""},
		{"methods", "TRACE", "TRACE", "", "", "", 405, "BAD_REQUEST", "as POST or GET", ""},
		{"limits", "1 MB", "POST", "", "application/json", `{"query":"` + strings.Repeat("a ", 512<<10) + `"}`, 413, "REQUEST_TOO_LARGE", "at most 256 KiB", ""},
		{"limits", "a little too much", "POST", "", "application/json", `{"query":"` + strings.Repeat(" ", 256<<10) + `"}`, 413, "REQUEST_TOO_LARGE", "at most 256 KiB", ""},
		{"URL", "another path", "POST", "/x", "application/json", query, 404, "NOT_FOUND", "The API is at /graphql", ""},
	}
	for _, section := range overHTTP {
		if !slices.ContainsFunc(rows, func(c none) bool { return c.section == section }) {
			t.Errorf("nothing is refused by %s", section)
		}
	}
	// As the older media type has it, and the newer: the status is the same.
	for i := range 2 * len(rows) {
		c := rows[i/2]
		accept := cmp.Or(c.accept, []string{"application/json", "application/graphql-response+json"}[i%2])
		t.Run(c.section+"/"+c.name, func(t *testing.T) {
			if !slices.Contains(overHTTP, c.section) {
				t.Error("there is no such section")
			}
			r, err := http.NewRequestWithContext(t.Context(), c.method, api.URL+"/graphql"+c.target, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
			r.Header.Set("Authorization", "Bearer "+owner.Token)
			r.Header.Set("Accept", accept)
			status, header, body := send(t, r)
			var answer struct {
				Data   json.RawMessage
				Errors []struct {
					Message    string
					Extensions struct{ Code string }
				}
			}
			if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Errors) != 1 {
				t.Fatalf("no error of GraphQL (%v): %.500s", err, body)
			}
			if status != c.status || answer.Errors[0].Extensions.Code != c.code || !strings.Contains(answer.Errors[0].Message, c.advice) {
				t.Errorf("%d %.500s", status, body)
			}
			if answer.Data != nil {
				t.Errorf("data, though nothing was executed: %.500s", body)
			}
			if strings.Contains(body, secret) || len(body) > 1000 {
				t.Errorf("the request is repeated: %.500s", body)
			}
			media := accept
			if c.accept != "" || c.section == "URL" || c.section == "limits" { // it takes nothing that there is, or nobody has looked yet
				media = "application/json"
			}
			if header.Get("Content-Type") != media+"; charset=utf-8" || header.Get("X-Request-Id") == "" {
				t.Errorf("headers %v", header)
			}
			if (status == http.StatusMethodNotAllowed) != (header.Get("Allow") != "") {
				t.Errorf("Allow is %q", header.Get("Allow"))
			}
		})
	}
	if fingerprint(t, db, owner.Tenant.ID) != before {
		t.Error("what was refused changed the tenant")
	}
}
