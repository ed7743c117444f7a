package graph_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
)

// goods makes a product of which there are so many, at a price in cents.
func goods(t testing.TB, c *apitest.Client, sku string, stock int, price string) string {
	t.Helper()
	made := mutate(t, c, "createProduct", map[string]any{
		"sku": sku, "name": "Product " + sku, "stock": stock, "price": map[string]any{"amount": price, "currencyCode": "EUR"},
	})
	if made.Product == nil {
		t.Fatalf("add a product: %v", made.UserErrors)
	}
	return made.Product.ID
}

// ordered is an order as it is now.
func ordered(t testing.TB, c *apitest.Client, named string) *order {
	t.Helper()
	var got struct{ Order *order }
	c.Must(t, `query($id: ID!) { order(id: $id) `+orderFields+` }`, map[string]any{"id": named}, &got)
	return got.Order
}

// has tells a product that has so many in stock, at that version.
func has(t testing.TB, c *apitest.Client, product string, stock, version int) {
	t.Helper()
	if p := read(t, c, product); p.Stock != stock || p.Version != version {
		t.Errorf("%d in stock at version %d, want %d at %d", p.Stock, p.Version, stock, version)
	}
}

func TestOrderLife(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	customer := addCustomer(t, c, "one@tests.example")
	lamp, desk := goods(t, c, "lamp", 10, "12.50"), goods(t, c, "desk", 5, "100.00")

	// A draft takes nothing from stock and has no number.
	draft := addOrder(t, c, customer, item(desk, 2), item(lamp, 3))
	if draft.Status != "DRAFT" || draft.Number != nil || draft.PlacedAt != nil || draft.PlacedBy != nil || draft.Version != 1 || draft.Customer.ID != customer || draft.Total.Amount != "237.50" {
		t.Errorf("%+v", draft)
	}
	if i := draft.Items; len(i) != 2 || i[0].Product.ID != desk || i[0].Amount.Amount != "200.00" || i[1].Product.ID != lamp || i[1].Quantity != 3 || i[1].UnitPrice.Amount != "12.50" {
		t.Errorf("the lines are not as they were given: %+v", i)
	}
	has(t, c, lamp, 10, 1)

	// Placing takes the price of now.
	mutate(t, c, "updateProduct", map[string]any{"id": lamp, "version": 1, "price": map[string]any{"amount": "10.00", "currencyCode": "EUR"}})
	placed := placeDraft(t, c, draft.ID, 1)
	if o := placed.Order; o == nil || o.Status != "PLACED" || *o.Number != 1 || o.PlacedAt == nil || o.PlacedBy == nil || *o.PlacedBy != *o.CreatedBy || o.Version != 2 || o.Total.Amount != "230.00" ||
		o.Items[1].UnitPrice.Amount != "10.00" || o.Items[1].Amount.Amount != "30.00" {
		t.Fatalf("%+v %v", o, placed.UserErrors)
	}
	if diff := cmp.Diff(placed.Order, ordered(t, c, draft.ID)); diff != "" {
		t.Errorf("the answer is not what is stored: %s", diff)
	}
	has(t, c, lamp, 7, 3)
	has(t, c, desk, 3, 2)
	// A price that changes later does not change the order.
	mutate(t, c, "updateProduct", map[string]any{"id": desk, "version": 2, "price": map[string]any{"amount": "1.00", "currencyCode": "EUR"}})
	if o := ordered(t, c, draft.ID); o.Total.Amount != "230.00" || o.Items[0].UnitPrice.Amount != "100.00" {
		t.Errorf("%+v", o)
	}
	// An edit of the product with the stock of before comes too late.
	refusedAs(t, mutate(t, c, "updateProduct", map[string]any{"id": lamp, "version": 2, "stock": 10}), "STALE_VERSION", "version")

	// In one go.
	second := place(t, c, customer, item(lamp, 7))
	if o := second.Order; o == nil || *o.Number != 2 || o.Status != "PLACED" || o.Total.Amount != "70.00" || o.Version != 2 {
		t.Fatalf("%+v %v", o, second.UserErrors)
	}
	has(t, c, lamp, 0, 4)
	refusedAs(t, place(t, c, customer, item(desk, 1), item(lamp, 1)), "OUT_OF_STOCK", "order", "items", "1", "quantity")
	has(t, c, desk, 3, 3)

	// Cancelling gives back what has not been shipped.
	if got := moveOn(t, c, second.Order.ID, 2, "CANCELLED"); got.Order == nil || got.Order.Status != "CANCELLED" || *got.Order.Number != 2 {
		t.Fatalf("%v", got.UserErrors)
	}
	has(t, c, lamp, 7, 5)
	// The next number is the next, whatever became of the last.
	if o := place(t, c, customer, item(lamp, 1)).Order; o == nil || *o.Number != 3 {
		t.Errorf("%+v", o)
	}

	// What is referred to stays.
	refusedAs(t, mutate(t, c, "deleteProduct", map[string]any{"id": desk, "version": 3}), "IN_USE", "id")
	refusedAs(t, mutate(t, c, "deleteCustomer", map[string]any{"id": customer, "version": 1}), "IN_USE", "id")
}

// Every step of the machine, taken and refused.
func TestOrderStatuses(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	customer := addCustomer(t, c, "one@tests.example")
	all := []string{"DRAFT", "PLACED", "PAID", "SHIPPED", "DELIVERED", "CANCELLED"}
	way := map[string][]string{"DRAFT": nil, "PLACED": {"PLACED"}, "PAID": {"PLACED", "PAID"}, "SHIPPED": {"PLACED", "PAID", "SHIPPED"},
		"DELIVERED": {"PLACED", "PAID", "SHIPPED", "DELIVERED"}, "CANCELLED": {"PLACED", "CANCELLED"}}
	allowed := map[string]string{"DRAFT": "CANCELLED", "PLACED": "PAID CANCELLED", "PAID": "SHIPPED CANCELLED", "SHIPPED": "DELIVERED CANCELLED"}
	back := map[string]int{"DRAFT": 10, "PLACED": 10, "PAID": 10, "SHIPPED": 8} // the stock after cancelling
	for _, from := range all {
		for _, to := range all {
			t.Run(from+" to "+to, func(t *testing.T) {
				t.Parallel()
				product := goods(t, c, from+to, 10, "1.00")
				o := addOrder(t, c, customer, item(product, 2))
				for _, step := range way[from] {
					var got changed
					if step == "PLACED" {
						got = placeDraft(t, c, o.ID, o.Version)
					} else {
						got = moveOn(t, c, o.ID, o.Version, step)
					}
					if o = got.Order; o == nil || o.Status != step {
						t.Fatalf("to %s: %v", step, got.UserErrors)
					}
				}
				before := read(t, c, product)
				recorded := func() int { return logOf(t, c, "auditLog", `(filter: {entityId: "`+o.ID+`"})`).TotalCount }
				entries := recorded()
				got := moveOn(t, c, o.ID, o.Version, to)
				if !slices.Contains(strings.Fields(allowed[from]), to) {
					refusedAs(t, got, "WRONG_STATUS", "status")
					if diff := cmp.Diff(o, ordered(t, c, o.ID)) + cmp.Diff(before, read(t, c, product)) + cmp.Diff(entries, recorded()); diff != "" {
						t.Errorf("a refused step changed something: %s", diff)
					}
					return
				}
				if got.Order == nil || got.Order.Status != to || got.Order.Version != o.Version+1 {
					t.Fatalf("%+v %v", got.Order, got.UserErrors)
				}
				stock := before.Stock
				if to == "CANCELLED" {
					stock = back[from]
				}
				if now := read(t, c, product); now.Stock != stock {
					t.Errorf("%d in stock, want %d", now.Stock, stock)
				}
				if from != "DRAFT" {
					refusedAs(t, placeDraft(t, c, o.ID, got.Order.Version), "WRONG_STATUS", "draft", "id")
				}
				refusedAs(t, moveOn(t, c, o.ID, o.Version, to), "STALE_VERSION", "version")
			})
		}
	}
	// What a refusal says is what is possible.
	o := addOrder(t, c, customer, item(goods(t, c, "said", 1, "1.00"), 1))
	for _, said := range []struct{ status, to, message string }{
		{"DRAFT", "SHIPPED", "This order is DRAFT. From here it can become CANCELLED; to place it, use placeOrder."},
		{"PAID", "PLACED", "This order is PAID. From here it can become SHIPPED or CANCELLED."},
		{"CANCELLED", "PAID", "This order is CANCELLED, and that is final."},
	} {
		switch said.status {
		case "PAID":
			placeDraft(t, c, o.ID, 1)
			moveOn(t, c, o.ID, 2, "PAID")
		case "CANCELLED":
			moveOn(t, c, o.ID, 3, "CANCELLED")
		}
		a := c.Do(t, `mutation($i: ChangeOrderStatusInput!) { changeOrderStatus(input: $i) { userErrors { message } } }`,
			map[string]any{"i": map[string]any{"id": o.ID, "version": ordered(t, c, o.ID).Version, "status": said.to}})
		if !strings.Contains(string(a.Body), said.message) {
			t.Errorf("want %q: %s", said.message, a.Body)
		}
	}
}

// Of a product that was edited meanwhile, the stock that comes back may be too much.
func TestCancellingIntoAFullStock(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	product := goods(t, c, "one", 10, "1.00")
	o := place(t, c, addCustomer(t, c, "one@tests.example"), item(product, 10)).Order
	mutate(t, c, "updateProduct", map[string]any{"id": product, "version": 2, "stock": 999_999_991})
	refusedAs(t, moveOn(t, c, o.ID, 2, "CANCELLED"), "INVALID", "status")
	if now := ordered(t, c, o.ID); now.Status != "PLACED" {
		t.Errorf("the order is %s", now.Status)
	}
	has(t, c, product, 999_999_991, 3)
}

// A total that 64 bits cannot hold is refused, not wrapped around.
func TestTotalsDoNotOverflow(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	customer := addCustomer(t, c, "one@tests.example")
	dear := goods(t, c, "dear", 1_000_000, "10000000000000.00")
	half := goods(t, c, "half", 1_000_000, "5000000000000.00")
	free := goods(t, c, "free", 1_000_000, "0")
	if o := place(t, c, customer, item(half, 2), item(free, 1_000_000)).Order; o == nil || o.Total.Amount != "10000000000000.00" {
		t.Errorf("the largest total: %+v", o)
	}
	before := fingerprint(t, pgtest.Superuser(t), c.Tenant.ID)
	for _, items := range [][]map[string]any{
		{item(dear, 2)}, {item(dear, 1_000_000)}, {item(dear, 18447)}, {item(dear, 1), item(half, 1)}, {item(half, 1), item(dear, 1)}, {item(half, 3)},
	} {
		refusedAs(t, place(t, c, customer, items...), "INVALID", "order", "items")
		refusedAs(t, mutate(t, c, "createOrder", map[string]any{"customerId": customer, "items": items}), "INVALID", "items")
	}
	if diff := cmp.Diff(before, fingerprint(t, pgtest.Superuser(t), c.Tenant.ID)); diff != "" {
		t.Errorf("a refused order changed something: %s", diff)
	}
	// What fitted when the draft was written may not any more.
	grew := goods(t, c, "grew", 100, "1.00")
	draft := addOrder(t, c, customer, item(grew, 100))
	mutate(t, c, "updateProduct", map[string]any{"id": grew, "version": 1, "price": map[string]any{"amount": "10000000000000.00", "currencyCode": "EUR"}})
	refusedAs(t, placeDraft(t, c, draft.ID, 1), "INVALID", "draft", "id")
	if now := ordered(t, c, draft.ID); now.Total.Amount != "100.00" || now.Items[0].UnitPrice.Amount != "1.00" {
		t.Errorf("%+v", now)
	}
	var got struct {
		Tenant struct {
			Stats struct{ Revenue struct{ Amount string } }
		}
	}
	c.Must(t, `{ tenant { stats { revenue { amount } } } }`, nil, &got)
	if got.Tenant.Stats.Revenue.Amount != "10000000000000.00" {
		t.Errorf("%+v", got)
	}
}

// buyers place orders at once, which start together.
func buyers(n int, buy func(i int) changed) []changed {
	answers := make([]changed, n)
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			<-start
			answers[i] = buy(i)
		})
	}
	close(start)
	group.Wait()
	return answers
}

// Of five, five are sold: to five of thirty-two who want them at the same moment.
func TestTheLastOnesAreSoldOnce(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	customer := addCustomer(t, c, "one@tests.example")
	for round, stock := range []int{5, 1, 5} {
		product := goods(t, c, fmt.Sprint(round), stock, "1.00")
		drafts := make([]string, 32)
		for i := range drafts {
			if i%2 == 0 { // half of them place a draft
				drafts[i] = addOrder(t, c, customer, item(product, 1)).ID
			}
		}
		sold := 0
		for i, got := range buyers(32, func(i int) changed {
			if drafts[i] != "" {
				return placeDraft(t, c, drafts[i], 1)
			}
			return place(t, c, customer, item(product, 1))
		}) {
			switch {
			case got.Order != nil:
				sold++
			case drafts[i] != "":
				refusedAs(t, got, "OUT_OF_STOCK", "draft", "id")
			default:
				refusedAs(t, got, "OUT_OF_STOCK", "order", "items", "0", "quantity")
			}
		}
		if sold != stock {
			t.Errorf("%d of %d were sold", sold, stock)
		}
		has(t, c, product, 0, 1+stock)
	}
	numbersAreWhole(t, c, 11)
}

// numbersAreWhole wants placed orders numbered 1 to n, each once, in the order of
// their placing as far as the clock tells it.
func numbersAreWhole(t testing.TB, c *apitest.Client, n int) {
	t.Helper()
	numbers := column[int32](t, pgtest.Superuser(t), `select number from shared.orders where tenant_id = $1 and number is not null order by number`, c.Tenant.ID)
	want := make([]int32, n)
	for i := range want {
		want[i] = int32(i) + 1 //nolint:gosec // small
	}
	if !slices.Equal(numbers, want) {
		t.Errorf("numbers %v, want 1 to %d", numbers, n)
	}
}

// Orders of the same products, named in every order, wait for each other and never
// in a circle; those that are cancelled and drafts that are written take part.
func TestCrossingOrdersDoNotDeadlock(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	customer := addCustomer(t, c, "one@tests.example")
	var products []string
	for i := range 6 {
		products = append(products, goods(t, c, fmt.Sprint(i), 1000, "1.00"))
	}
	items := func(i int) []map[string]any {
		var all []map[string]any
		for n := range products {
			at := (i + n) % len(products)
			if i%2 == 1 {
				at = (i + len(products) - n) % len(products)
			}
			all = append(all, item(products[at], 1))
		}
		return all
	}
	var cancelled []*order
	for range 8 {
		cancelled = append(cancelled, place(t, c, customer, items(0)...).Order)
	}
	for round := range 4 {
		for i, got := range buyers(24, func(i int) changed {
			switch i % 3 {
			case 0:
				if n := i / 3; round == 0 {
					return moveOn(t, c, cancelled[n].ID, 2, "CANCELLED")
				}
				return mutate(t, c, "createOrder", map[string]any{"customerId": customer, "items": items(i)})
			default:
				return place(t, c, customer, items(i)...)
			}
		}) {
			if got.Order == nil {
				t.Errorf("round %d, %d: %v", round, i, got.UserErrors)
			}
		}
	}
	for _, product := range products {
		if p := read(t, c, product); p.Stock != 1000-4*16 {
			t.Errorf("%d in stock, want %d", p.Stock, 1000-4*16)
		}
	}
	numbersAreWhole(t, c, 8+4*16)
}

// One of many who place the same draft does, and one of many who move it on.
func TestADraftIsPlacedOnce(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	product := goods(t, c, "one", 100, "1.00")
	draft := addOrder(t, c, addCustomer(t, c, "one@tests.example"), item(product, 2))
	outcomes := func(answers []changed) map[string]int {
		all := make(map[string]int)
		for _, got := range answers {
			all[got.code()]++
		}
		return all
	}
	want := map[string]int{"": 1, "STALE_VERSION": 11}
	if diff := cmp.Diff(want, outcomes(buyers(12, func(int) changed { return placeDraft(t, c, draft.ID, 1) }))); diff != "" {
		t.Errorf("placing: %s", diff)
	}
	has(t, c, product, 98, 2)
	if diff := cmp.Diff(want, outcomes(buyers(12, func(int) changed { return moveOn(t, c, draft.ID, 2, "CANCELLED") }))); diff != "" {
		t.Errorf("cancelling: %s", diff)
	}
	has(t, c, product, 100, 3)
}

// An order that fails after it was numbered leaves nothing: no line, no stock
// taken, no event, and no gap. Alone: it alters a table that every other test
// writes.
func TestAnOrderThatFailsLeavesNoGap(t *testing.T) { //nolint:paralleltest // see above
	api := apitest.New(t, pgtest.New(t))
	c := api.NewTenant(t)
	customer := addCustomer(t, c, "one@tests.example")
	product := goods(t, c, "one", 10, "1.00")
	if o := place(t, c, customer, item(product, 1)).Order; o == nil || *o.Number != 1 {
		t.Fatalf("%+v", o)
	}
	draft := addOrder(t, c, customer, item(product, 1))
	super := pgtest.Superuser(t)
	before := fingerprint(t, super, c.Tenant.ID)
	// What comes after the number fails: the record of it, the last statement.
	constraint := `no_placing_` + strings.ReplaceAll(c.Tenant.ID.UUID().String(), "-", "")
	if _, err := super.Exec(t.Context(), `alter table shared.events add constraint `+constraint+` check (tenant_id <> '`+c.Tenant.ID.UUID().String()+`' or action <> 'order.placed') not valid`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = super.Exec(context.Background(), `alter table shared.events drop constraint if exists `+constraint)
	})
	for _, document := range []string{
		`mutation { placeOrder(input: {order: {customerId: "` + customer + `", items: [{productId: "` + product + `", quantity: 1}]}}) { order { id } } }`,
		`mutation { placeOrder(input: {draft: {id: "` + draft.ID + `", version: 1}}) { order { id } } }`,
	} {
		if a := c.Do(t, document, nil); a.Code() != "INTERNAL" {
			t.Errorf("%s", a.Body)
		}
	}
	if _, err := super.Exec(t.Context(), `alter table shared.events drop constraint `+constraint); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, fingerprint(t, super, c.Tenant.ID)); diff != "" {
		t.Errorf("something is left: %s", diff)
	}
	if o := place(t, c, customer, item(product, 1)).Order; o == nil || *o.Number != 2 {
		t.Errorf("%+v, want number 2", o)
	}
	numbersAreWhole(t, c, 2)
}

// Orders that share nothing but the tenant are placed side by side, and numbered one
// after the other.
func TestNumbersOfOrdersAtOnce(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	customers, products := make([]string, 32), make([]string, 32)
	for i := range customers {
		customers[i], products[i] = addCustomer(t, c, fmt.Sprintf("%d@tests.example", i)), goods(t, c, fmt.Sprint(i), 10, "1.00")
	}
	for range 3 {
		for i, got := range buyers(32, func(i int) changed { return place(t, c, customers[i], item(products[i], 1)) }) {
			if got.Order == nil {
				t.Errorf("%d: %v", i, got.UserErrors)
			}
		}
	}
	numbersAreWhole(t, c, 96)
}

// Numbers are each tenant's own.
func TestNumbersTellNothingOfOtherTenants(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	for range 2 {
		c := api.NewTenant(t)
		customer, product := addCustomer(t, c, "one@tests.example"), goods(t, c, "one", 10, "1.00")
		for n := range 3 {
			if o := place(t, c, customer, item(product, 1)).Order; o == nil || *o.Number != n+1 {
				t.Errorf("%+v, want %d", o, n+1)
			}
		}
	}
}

func TestCustomerChanges(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	made := mutate(t, c, "createCustomer", map[string]any{"email": "Sales@Northwind.Example", "name": "Northwind"}).Customer
	if made == nil || made.Email != "Sales@Northwind.Example" || made.Version != 1 {
		t.Fatalf("%+v", made)
	}
	other := addCustomer(t, c, "other@tests.example")
	update := func(named string, version int, more map[string]any) changed {
		input := map[string]any{"id": named, "version": version}
		for k, v := range more {
			input[k] = v
		}
		return mutate(t, c, "updateCustomer", input)
	}
	is := func(got changed, want customer) {
		t.Helper()
		want.ID = made.ID
		if diff := cmp.Diff(&want, got.Customer); diff != "" {
			t.Errorf("%s %v", diff, got.UserErrors)
		}
	}
	is(update(made.ID, 1, nil), customer{Email: made.Email, Name: "Northwind", Version: 2})
	is(update(made.ID, 2, map[string]any{"name": "Northwind Timber"}), customer{Email: made.Email, Name: "Northwind Timber", Version: 3})
	is(update(made.ID, 3, map[string]any{"email": "SALES@northwind.example"}), customer{Email: "SALES@northwind.example", Name: "Northwind Timber", Version: 4}) // its own
	refusedAs(t, update(made.ID, 4, map[string]any{"email": nil}), "INVALID", "email")
	refusedAs(t, update(made.ID, 4, map[string]any{"name": nil}), "INVALID", "name")
	refusedAs(t, update(made.ID, 4, map[string]any{"email": "OTHER@tests.EXAMPLE"}), "TAKEN", "email")
	refusedAs(t, update(made.ID, 3, map[string]any{"name": "Late"}), "STALE_VERSION", "version")
	refusedAs(t, update(id.NewCustomer().String(), 1, nil), "NOT_FOUND", "id")
	refusedAs(t, mutate(t, c, "createCustomer", map[string]any{"email": "Sales@NORTHWIND.example", "name": "Again"}), "TAKEN", "email")
	remove := func(named string, version int) changed {
		return mutate(t, c, "deleteCustomer", map[string]any{"id": named, "version": version})
	}
	refusedAs(t, remove(other, 2), "STALE_VERSION", "version")
	addOrder(t, c, other, item(goods(t, c, "one", 1, "1.00"), 1)) // a draft counts
	refusedAs(t, remove(other, 1), "IN_USE", "id")
	if got := remove(made.ID, 4); got.Customer == nil || got.Customer.Email != "SALES@northwind.example" {
		t.Errorf("%v", got.UserErrors)
	}
	refusedAs(t, remove(made.ID, 4), "NOT_FOUND", "id")
	addCustomer(t, c, "sales@northwind.example") // free again
}

// Sums are of what was placed and not cancelled, for each customer its own.
func TestSums(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	c, other := api.NewTenant(t), api.NewTenant(t)
	product := goods(t, c, "one", 1000, "2.00")
	one, two := addCustomer(t, c, "one@tests.example"), addCustomer(t, c, "two@tests.example")
	addCustomer(t, c, "none@tests.example")
	place(t, other, addCustomer(t, other, "one@tests.example"), item(goods(t, other, "one", 1000, "7.00"), 9))
	steps := []string{"PAID", "SHIPPED", "DELIVERED"}
	for n := range 4 { // one each that is placed, paid, shipped, delivered
		o := place(t, c, one, item(product, 10)).Order
		for _, step := range steps[:n] {
			o = moveOn(t, c, o.ID, o.Version, step).Order
		}
	}
	for _, o := range []*order{addOrder(t, c, one, item(product, 1)), place(t, c, one, item(product, 1)).Order} {
		moveOn(t, c, o.ID, o.Version, "CANCELLED")
	}
	addOrder(t, c, one, item(product, 1))
	place(t, c, two, item(product, 3))
	var got struct {
		Customers struct {
			TotalCount int
			Nodes      []struct {
				Email         string
				OrdersCount   int
				LifetimeValue struct{ Amount, CurrencyCode string }
				Orders        struct {
					TotalCount int
					Nodes      []struct{ Customer struct{ Email string } }
				}
			}
		}
		Tenant struct {
			Stats struct {
				Products, Customers, Orders int
				Revenue                     struct{ Amount, CurrencyCode string }
			}
		}
	}
	c.Must(t, `{ customers { totalCount nodes { email ordersCount lifetimeValue { amount currencyCode } orders(first: 2) { totalCount nodes { customer { email } } } } }
		tenant { stats { products customers orders revenue { amount currencyCode } } } }`, nil, &got)
	for i, want := range []struct {
		email, value string
		orders       int
	}{{"none@tests.example", "0.00", 0}, {"two@tests.example", "6.00", 1}, {"one@tests.example", "80.00", 7}} {
		n := got.Customers.Nodes[i]
		if n.Email != want.email || n.OrdersCount != want.orders || n.LifetimeValue.Amount != want.value || n.LifetimeValue.CurrencyCode != "EUR" || n.Orders.TotalCount != want.orders || len(n.Orders.Nodes) != min(2, want.orders) {
			t.Errorf("%+v, want %+v", n, want)
		}
		for _, o := range n.Orders.Nodes {
			if o.Customer.Email != want.email {
				t.Errorf("an order of %s stands below %s", o.Customer.Email, want.email)
			}
		}
	}
	if s := got.Tenant.Stats; s.Products != 1 || s.Customers != 3 || s.Orders != 8 || s.Revenue.Amount != "86.00" || s.Revenue.CurrencyCode != "EUR" || got.Customers.TotalCount != 3 {
		t.Errorf("%+v", got)
	}
}

// What is in a tenant takes a session there: an answer that names another tenant of
// the person counts nothing in it.
func TestOrdersAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	customers := []string{addCustomer(t, c, "one@tests.example"), addCustomer(t, c, "two@tests.example")}
	product := goods(t, c, "one", 1000, "1.00")
	type made struct{ id, customer, status string }
	var all []made // newest first
	for i := range 14 {
		m := made{customer: customers[i%2], status: "DRAFT"}
		if i%3 == 0 {
			m.id, m.status = place(t, c, m.customer, item(product, 1)).Order.ID, "PLACED"
		} else {
			m.id = addOrder(t, c, m.customer, item(product, 1)).ID
		}
		all = slices.Insert(all, 0, m)
	}
	// Ties in time are ordered by id.
	exec(t, pgtest.Superuser(t), `update shared.orders set created_at = date_trunc('hour', created_at) where tenant_id = $1 and id in (select id from shared.orders where tenant_id = $1 order by created_at limit 5)`, c.Tenant.ID)
	for _, f := range []struct {
		filter map[string]any
		passes func(made) bool
	}{
		{nil, func(made) bool { return true }},
		{map[string]any{}, func(made) bool { return true }},
		{map[string]any{"status": nil, "customerId": nil}, func(made) bool { return true }},
		{map[string]any{"status": "PLACED"}, func(m made) bool { return m.status == "PLACED" }},
		{map[string]any{"customerId": customers[1]}, func(m made) bool { return m.customer == customers[1] }},
		{map[string]any{"status": "DRAFT", "customerId": customers[0]}, func(m made) bool { return m.status == "DRAFT" && m.customer == customers[0] }},
		{map[string]any{"status": "SHIPPED"}, func(made) bool { return false }},
		{map[string]any{"customerId": id.NewCustomer().String()}, func(made) bool { return false }},
	} {
		var want []string
		for _, m := range all {
			if f.passes(m) {
				want = append(want, m.id)
			}
		}
		isPaged(t, c, `query($filter: OrderFilter, $n: Int, $at: String) { list: orders(filter: $filter, PAGE) CONNECTION }`, map[string]any{"filter": f.filter}, want)
	}
	for _, customer := range customers {
		var want []string
		for _, m := range all {
			if m.customer == customer {
				want = append(want, m.id)
			}
		}
		isPaged(t, c, `query($id: ID!, $n: Int, $at: String) { within: customer(id: $id) { list: orders(PAGE) CONNECTION } }`, map[string]any{"id": customer}, want)
	}
	for i := range 5 {
		customers = append(customers, addCustomer(t, c, fmt.Sprintf("more-%d@tests.example", i)))
	}
	exec(t, pgtest.Superuser(t), `update shared.customers set created_at = date_trunc('hour', created_at) where tenant_id = $1 and id in (select id from shared.customers where tenant_id = $1 order by created_at limit 4)`, c.Tenant.ID)
	slices.Reverse(customers)
	isPaged(t, c, `query($n: Int, $at: String) { list: customers(PAGE) CONNECTION }`, map[string]any{}, customers)
}

// isPaged wants a list to be the same by pages of every size, forward and backward.
func isPaged(t *testing.T, c *apitest.Client, document string, variables map[string]any, want []string) {
	t.Helper()
	type connection struct {
		TotalCount int
		Nodes      []struct{ ID string }
		Edges      []struct{ Cursor string }
		PageInfo   struct {
			HasNextPage, HasPreviousPage bool
			StartCursor, EndCursor       string
		}
	}
	document = strings.ReplaceAll(document, "CONNECTION", "{ totalCount nodes { id } edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }")
	for _, size := range []int{1, 3, 20} {
		for backward, page := range map[bool]string{false: "first: $n, after: $at", true: "last: $n, before: $at"} {
			var got []string
			variables["n"], variables["at"] = size, nil
			for more := true; more; {
				var answer struct {
					List   connection
					Within struct{ List connection }
				}
				c.Must(t, strings.ReplaceAll(document, "PAGE", page), variables, &answer)
				list := answer.List
				if strings.Contains(document, "within:") {
					list = answer.Within.List
				}
				var ids []string
				for _, n := range list.Nodes {
					ids = append(ids, n.ID)
				}
				if list.TotalCount != len(want) || len(list.Edges) != len(ids) {
					t.Fatalf("%s: %+v", document, list)
				}
				if backward {
					got, more, variables["at"] = append(ids, got...), list.PageInfo.HasPreviousPage, list.PageInfo.StartCursor
				} else {
					got, more, variables["at"] = append(got, ids...), list.PageInfo.HasNextPage, list.PageInfo.EndCursor
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s %v by %d, backward %v: %v, want %v", document, variables, size, backward, got, want)
			}
		}
	}
}

// What an auditor asks: who did what to which order, and what it did to the stock.
func TestOrdersAreRecorded(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	c := api.NewTenant(t)
	writer := c.Member(t, auth.RoleMember)
	super := pgtest.Superuser(t)
	actor := columnOne[string](t, super, `select id::text from control.users where email = $1`, writer.Email)
	product := goods(t, c, "one", 10, "2.00")
	seen := len(events(t, super, c.Tenant.ID))
	line := map[string]any{"product": product, "quantity": 3.0, "unit_price_minor": 200.0}
	type data = map[string]any
	is := func(want ...recorded) {
		t.Helper()
		all := events(t, super, c.Tenant.ID)
		last := all[min(seen, len(all)):]
		for i := range last {
			if last[i].RequestID == "" || last[i].Actor != actor {
				t.Errorf("%+v", last[i])
			}
			last[i].RequestID, last[i].Actor, last[i].Entity = "", "", ""
		}
		if diff := cmp.Diff(want, last); diff != "" {
			t.Error(diff)
		}
		seen = len(all)
	}
	buyer := addCustomer(t, writer, "one@tests.example")
	is(recorded{Action: "customer.created", SameTransaction: true, Data: data{"version": 1.0}})
	mutate(t, writer, "updateCustomer", map[string]any{"id": buyer, "version": 1, "name": "Changed"})
	is(recorded{Action: "customer.updated", SameTransaction: true, Data: data{"version": 2.0}})
	o := addOrder(t, writer, buyer, item(product, 3))
	is(recorded{Action: "order.created", SameTransaction: true, Data: data{"customer": buyer, "total_minor": 600.0, "lines": []any{line}, "version": 1.0}})
	placeDraft(t, writer, o.ID, 1)
	is(recorded{Action: "order.placed", SameTransaction: true, Data: data{"number": 1.0, "total_minor": 600.0, "lines": []any{line}, "version": 2.0}})
	moveOn(t, writer, o.ID, 2, "PAID")
	is(recorded{Action: "order.paid", SameTransaction: true, Data: data{"number": 1.0, "version": 3.0, "before": "PLACED", "restocked": false}})
	moveOn(t, writer, o.ID, 3, "CANCELLED")
	is(recorded{Action: "order.cancelled", SameTransaction: true, Data: data{"number": 1.0, "version": 4.0, "before": "PAID", "restocked": true}})
	place(t, writer, buyer, item(product, 3))
	is(recorded{Action: "order.created", SameTransaction: true, Data: data{"customer": buyer, "total_minor": 600.0, "lines": []any{line}, "version": 1.0}},
		recorded{Action: "order.placed", SameTransaction: true, Data: data{"number": 2.0, "total_minor": 600.0, "lines": []any{line}, "version": 2.0}})
	idle := addCustomer(t, writer, "two@tests.example")
	seen++
	mutate(t, writer, "deleteCustomer", map[string]any{"id": idle, "version": 1})
	is(recorded{Action: "customer.deleted", Data: data{"version": 1.0}})
	// A record outlives the customer: nothing personal is in it.
	if n := columnOne[int64](t, super, `select count(*) from shared.events where tenant_id = $1 and data::text ~ '@|Changed'`, c.Tenant.ID); n > 0 {
		t.Errorf("%d records hold what is personal", n)
	}
}
