package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
)

// read is a product as it is now, nil where there is none.
func read(t testing.TB, c *apitest.Client, named string) *product {
	t.Helper()
	var got struct{ Product *product }
	c.Must(t, `query($id: ID!) { product(id: $id) `+productFields+` }`, map[string]any{"id": named}, &got)
	return got.Product
}

func TestAbsentNullAndValueAreThreeThings(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	first, second := addCategory(t, c, "First", ""), addCategory(t, c, "Second", "")
	price := func(amount string) map[string]any { return map[string]any{"amount": amount, "currencyCode": "EUR"} }
	for _, field := range []struct {
		name  string
		value any
		clear bool           // null clears it; else null is refused
		set   func(*product) // what the value does
		unset func(*product) // what null does
	}{
		{name: "sku", value: "changed sku", set: func(p *product) { p.SKU = "changed sku" }},
		{name: "name", value: "changed name", set: func(p *product) { p.Name = "changed name" }},
		{name: "description", value: "changed text", clear: true, set: func(p *product) { p.Description = new("changed text") }, unset: func(p *product) { p.Description = nil }},
		{name: "price", value: price("0.01"), set: func(p *product) { p.Price.Amount = "0.01" }},
		{name: "stock", value: 0, set: func(p *product) { p.Stock = 0 }},
		{name: "categoryId", value: second, clear: true, set: func(p *product) { p.Category = &struct{ ID string }{second} }, unset: func(p *product) { p.Category = nil }},
	} {
		fresh := func() *product {
			made := mutate(t, c, "createProduct", map[string]any{
				"sku": id.New().String(), "name": "Whole", "description": "Text", "price": price("12.50"), "stock": 3, "categoryId": first,
			})
			if made.Product == nil {
				t.Fatal(made.UserErrors)
			}
			return made.Product
		}
		update := func(what string, input map[string]any, change func(*product)) {
			before := fresh()
			input["id"], input["version"] = before.ID, before.Version
			got := mutate(t, c, "updateProduct", input)
			after := read(t, c, before.ID)
			if change == nil { // refused
				want := []userError{{Field: []string{"input", field.name}, Code: "INVALID"}}
				if diff := cmp.Diff(want, got.UserErrors); diff != "" || got.Product != nil {
					t.Errorf("%s %s: %s", field.name, what, diff)
				}
				if diff := cmp.Diff(before, after); diff != "" {
					t.Errorf("%s %s was refused, but: %s", field.name, what, diff)
				}
				return
			}
			if len(got.UserErrors) > 0 || got.Product == nil {
				t.Errorf("%s %s: %v", field.name, what, got.UserErrors)
				return
			}
			if diff := cmp.Diff(got.Product, after); diff != "" {
				t.Errorf("%s %s: the answer is not what is stored: %s", field.name, what, diff)
			}
			want := *before
			change(&want)
			want.Version++
			want.UpdatedAt = after.UpdatedAt
			if diff := cmp.Diff(&want, after); diff != "" {
				t.Errorf("%s %s: %s", field.name, what, diff)
			}
			if after.UpdatedAt <= before.UpdatedAt {
				t.Errorf("%s %s: updatedAt stays at %s", field.name, what, after.UpdatedAt)
			}
		}
		update("absent", map[string]any{}, func(*product) {})
		update("as null", map[string]any{field.name: nil}, field.unset)
		update("as a value", map[string]any{field.name: field.value}, field.set)
		if field.clear != (field.unset != nil) {
			t.Fatalf("the case of %s contradicts itself", field.name)
		}
	}
}

func TestEveryWrongFieldIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	made := addProduct(t, c, "one", "One", "")
	got := mutate(t, c, "updateProduct", map[string]any{
		"id": made.ID, "version": 1, "sku": nil, "name": "", "stock": -1, "price": map[string]any{"amount": "1.005", "currencyCode": "EUR"},
	})
	want := []userError{
		{Field: []string{"input", "sku"}, Code: "INVALID"}, {Field: []string{"input", "name"}, Code: "INVALID"},
		{Field: []string{"input", "price", "amount"}, Code: "INVALID"}, {Field: []string{"input", "stock"}, Code: "INVALID"},
	}
	if diff := cmp.Diff(want, got.UserErrors); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(made, read(t, c, made.ID)); diff != "" {
		t.Errorf("a refused change was stored: %s", diff)
	}
}

// refusedAs wants one user error of that code at that field.
func refusedAs(t *testing.T, got changed, code string, field ...string) {
	t.Helper()
	want := []userError{{Field: append([]string{"input"}, field...), Code: code}}
	if diff := cmp.Diff(want, got.UserErrors); diff != "" || got.Product != nil || got.Category != nil || got.Customer != nil || got.Order != nil {
		t.Errorf("want %s at %s and no entity: %s", code, field, diff)
	}
}

func TestProductVersions(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	made, other := addProduct(t, c, "one", "One", ""), addProduct(t, c, "two", "Two", "")
	update := func(version int) changed {
		return mutate(t, c, "updateProduct", map[string]any{"id": made.ID, "version": version, "name": "Changed"})
	}
	refusedAs(t, update(0), "STALE_VERSION", "version")
	refusedAs(t, update(2), "STALE_VERSION", "version")
	if diff := cmp.Diff(made, read(t, c, made.ID)); diff != "" {
		t.Errorf("a stale change was stored: %s", diff)
	}
	refusedAs(t, mutate(t, c, "updateProduct", map[string]any{"id": made.ID, "version": 1, "sku": "two"}), "TAKEN", "sku")
	refusedAs(t, mutate(t, c, "updateProduct", map[string]any{"id": made.ID, "version": 1, "categoryId": id.NewCategory().String()}), "NOT_FOUND", "categoryId")
	refusedAs(t, mutate(t, c, "updateProduct", map[string]any{"id": id.NewProduct().String(), "version": 1}), "NOT_FOUND", "id")

	if got := update(1); got.Product == nil || got.Product.Version != 2 {
		t.Fatalf("%+v", got)
	}
	remove := func(version int) changed {
		return mutate(t, c, "deleteProduct", map[string]any{"id": made.ID, "version": version})
	}
	refusedAs(t, remove(1), "STALE_VERSION", "version")
	if got := remove(2); got.Product == nil || got.Product.Name != "Changed" {
		t.Errorf("the removed product is not shown as it was: %+v", got)
	}
	refusedAs(t, remove(2), "NOT_FOUND", "id")
	if read(t, c, made.ID) != nil || read(t, c, other.ID) == nil {
		t.Error("another product than the named one was removed")
	}
	// Its SKU is free again.
	addProduct(t, c, "one", "One again", "")
}

func TestOneOfManyConcurrentChangesWins(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	category := addCategory(t, c, "Contested", "")
	product := addProduct(t, c, "one", "One", "")
	for _, contested := range []struct{ field, id string }{{"updateProduct", product.ID}, {"updateCategory", category}, {"deleteProduct", product.ID}} {
		var mu sync.Mutex
		outcomes := make(map[string]int)
		version := 1
		if contested.field == "deleteProduct" {
			version = 2
		}
		var group sync.WaitGroup
		start := make(chan struct{})
		for i := range 8 {
			group.Go(func() {
				<-start
				input := map[string]any{"id": contested.id, "version": version}
				if contested.field != "deleteProduct" {
					input["name"] = fmt.Sprint("Name ", i)
				}
				got := mutate(t, c, contested.field, input)
				mu.Lock()
				defer mu.Unlock()
				outcomes[got.code()]++
			})
		}
		close(start)
		group.Wait()
		want := map[string]int{"": 1, "STALE_VERSION": 7}
		if contested.field == "deleteProduct" {
			want = map[string]int{"": 1, "NOT_FOUND": 7}
		}
		if diff := cmp.Diff(want, outcomes); diff != "" {
			t.Errorf("%s: %s", contested.field, diff)
		}
	}
}

type recorded struct {
	Action, Actor, Entity, RequestID string
	Data                             map[string]any
	SameTransaction                  bool
}

// events reads what was recorded of a tenant. A row that the event speaks of has
// the transaction of the event as its xmin.
func events(t testing.TB, conn *pgx.Conn, tenant any) []recorded {
	t.Helper()
	rows, err := conn.Query(context.Background(), `
		select e.action, e.actor_id::text, e.entity_id::text, e.request_id, e.data,
		       coalesce((select p.xmin from shared.products as p where p.id = e.entity_id), (select c.xmin from shared.categories as c where c.id = e.entity_id),
		                (select c.xmin from shared.customers as c where c.id = e.entity_id), (select o.xmin from shared.orders as o where o.id = e.entity_id))
		         = e.xid::xid
		from shared.events as e where e.tenant_id = $1 order by e.occurred_at, e.id`, tenant)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (recorded, error) {
		var r recorded
		var data []byte
		var same *bool
		if err := row.Scan(&r.Action, &r.Actor, &r.Entity, &r.RequestID, &data, &same); err != nil {
			return r, err
		}
		r.SameTransaction = same != nil && *same
		return r, json.Unmarshal(data, &r.Data)
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestEveryChangeIsRecordedWithIt(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	c := api.NewTenant(t)
	writer := c.Member(t, auth.RoleMember)
	super := pgtest.Superuser(t)
	actor := columnOne[string](t, super, `select id::text from control.users where email = $1`, writer.Email)
	uuidOf := func(kind interface{ UnmarshalText([]byte) error }, text string) {
		if err := kind.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	var seen []recorded
	var product, category string
	creator := public("user", uuid.MustParse(actor))
	folder := func(name string, version float64) map[string]any {
		return map[string]any{"name": name, "parent_id": nil, "version": version, "created_by": creator, "created_at": "then"}
	}
	stocked := func(name string, description any, price, stock float64, category any, version float64) map[string]any {
		return map[string]any{
			"sku": "new", "name": name, "description": description, "price_minor": price, "stock": stock, "category_id": category,
			"version": version, "created_by": creator, "created_at": "then",
		}
	}
	differs := func(before map[string]any, from float64, after map[string]any, to float64) map[string]any {
		before["version"], after["version"] = from, to
		return map[string]any{"before": before, "after": after}
	}
	for _, step := range []struct {
		action, document string
		variables        func() map[string]any
		data             func() map[string]any
	}{
		{"category.created", `mutation { p: createCategory(input: {name: "New"}) { category { id } userErrors { code } } }`, func() map[string]any { return nil },
			func() map[string]any { return folder("New", 1) }},
		{"category.updated", `mutation($id: ID!) { p: updateCategory(input: {id: $id, version: 1, name: "Changed"}) { category { id } userErrors { code } } }`, func() map[string]any { return map[string]any{"id": category} },
			func() map[string]any {
				return differs(map[string]any{"name": "New"}, 1, map[string]any{"name": "Changed"}, 2)
			}},
		{"product.created", `mutation($id: ID!) { p: createProduct(input: {sku: "new", name: "New", price: {amount: "1", currencyCode: EUR}, categoryId: $id}) { product { id } userErrors { code } } }`, func() map[string]any { return map[string]any{"id": category} },
			func() map[string]any { return stocked("New", nil, 100, 0, category, 1) }},
		{"product.updated", `mutation($id: ID!) { p: updateProduct(input: {id: $id, version: 1, stock: 1, description: "Bright", price: {amount: "2.50", currencyCode: EUR}, categoryId: null}) { product { id } userErrors { code } } }`, func() map[string]any { return map[string]any{"id": product} },
			func() map[string]any {
				return differs(map[string]any{"stock": 0.0, "description": nil, "price_minor": 100.0, "category_id": category}, 1, map[string]any{"stock": 1.0, "description": "Bright", "price_minor": 250.0, "category_id": nil}, 2)
			}},
		{"product.deleted", `mutation($id: ID!) { p: deleteProduct(input: {id: $id, version: 2}) { product { id } userErrors { code } } }`, func() map[string]any { return map[string]any{"id": product} },
			func() map[string]any { return stocked("New", "Bright", 250, 1, nil, 2) }},
		{"category.deleted", `mutation($id: ID!) { p: deleteCategory(input: {id: $id, version: 2}) { category { id } userErrors { code } } }`, func() map[string]any { return map[string]any{"id": category} },
			func() map[string]any { return folder("Changed", 2) }},
	} {
		answer := ask(t, api, writer.Token, step.document, step.variables(), nil)
		var got struct{ Data struct{ P changed } }
		if err := json.Unmarshal([]byte(answer.body), &got); err != nil || !succeeded(answer) {
			t.Fatalf("%s: %s", step.action, answer.body)
		}
		want := recorded{Action: step.action, Actor: actor, RequestID: answer.header.Get("X-Request-Id"), SameTransaction: true}
		if got.Data.P.Product != nil {
			product = got.Data.P.Product.ID
			var u id.Product
			uuidOf(&u, product)
			want.Entity = u.UUID().String()
		} else {
			category = got.Data.P.Category.ID
			var u id.Category
			uuidOf(&u, category)
			want.Entity = u.UUID().String()
		}
		now := events(t, super, c.Tenant.ID)
		if len(now) != len(seen)+1 {
			t.Fatalf("%s: %d events, want %d", step.action, len(now), len(seen)+1)
		}
		last := now[len(now)-1]
		if made, ok := last.Data["created_at"]; ok { // of the whole thing
			if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(made)); err != nil || at.IsZero() {
				t.Errorf("%s: created_at %v, %v", step.action, made, err)
			}
			last.Data["created_at"] = "then"
		}
		if diff := cmp.Diff(step.data(), last.Data); diff != "" {
			t.Errorf("%s: data: %s", step.action, diff)
		}
		last.Data = nil
		// What was removed has no row left to compare.
		if last.SameTransaction = last.SameTransaction || slices.Contains([]string{"product.deleted", "category.deleted"}, step.action); want.RequestID == "" {
			t.Error("the answer carries no request id")
		}
		if diff := cmp.Diff(want, last); diff != "" {
			t.Errorf("%s: %s", step.action, diff)
		}
		seen = now
	}
}

func TestWhatFailsIsNotRecorded(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	a := newResident(t, api)
	viewer := a.Client.Member(t, auth.RoleViewer)
	super := pgtest.Superuser(t)
	before := fingerprint(t, super, a.Tenant.ID)
	x := nowhere(t, a.things)
	for _, op := range operations() {
		if !slices.Contains([]string{"updateProduct", "deleteProduct", "updateCategory", "deleteCategory", "createProduct in a category", "createCategory below a parent",
			"updateProduct to a category", "updateCategory below a parent", "updateCategory below itself", "updateCustomer", "deleteCustomer", "createOrder of a customer",
			"createOrder of a product", "placeOrder of a customer", "placeOrder of a product", "placeOrder of a draft", "changeOrderStatus"}, op.name) {
			continue
		}
		if answer := ask(t, api, a.Token, op.document, op.variables(a, x), nil); succeeded(answer) {
			t.Errorf("%s of what is not there: %s", op.name, answer.body)
		}
		// Nor what the role does not allow.
		var got struct {
			Errors []struct{ Extensions struct{ Code string } }
		}
		answer := ask(t, api, viewer.Token, op.document, op.variables(a, a.things), nil)
		if err := json.Unmarshal([]byte(answer.body), &got); err != nil || len(got.Errors) != 1 || got.Errors[0].Extensions.Code != "FORBIDDEN" {
			t.Errorf("%s by a viewer: %s", op.name, answer.body)
		}
	}
	after := fingerprint(t, super, a.Tenant.ID)
	for _, table := range []string{"control.sessions", "control.memberships", "control.refresh_tokens"} { // of the viewer's signing in
		delete(before, table)
		delete(after, table)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
}

// Where the record cannot be written, the change is not made. Alone: it alters a
// table that every other test writes.
func TestNoChangeWithoutItsRecord(t *testing.T) { //nolint:paralleltest // see above
	api := apitest.New(t, pgtest.New(t))
	c := api.NewTenant(t)
	made := addProduct(t, c, "one", "One", "")
	super := pgtest.Superuser(t)
	ctx := context.Background()
	if _, err := super.Exec(ctx, `alter table shared.events add constraint no_more check (tenant_id <> '`+c.Tenant.ID.UUID().String()+`') not valid`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = super.Exec(ctx, `alter table shared.events drop constraint no_more`) })
	before := fingerprint(t, super, c.Tenant.ID)
	for _, document := range []string{
		`mutation($id: ID!) { updateProduct(input: {id: $id, version: 1, name: "Changed"}) { product { id } } }`,
		`mutation($id: ID!) { deleteProduct(input: {id: $id, version: 1}) { product { id } } }`,
		`mutation { createCategory(input: {name: "New"}) { category { id } } }`,
	} {
		variables := map[string]any{"id": made.ID}
		if document[8] == ' ' {
			variables = nil
		}
		if a := c.Do(t, document, variables); a.Code() != "INTERNAL" {
			t.Errorf("%s: %s", document, a.Body)
		}
	}
	if diff := cmp.Diff(before, fingerprint(t, super, c.Tenant.ID)); diff != "" {
		t.Error(diff)
	}
}
