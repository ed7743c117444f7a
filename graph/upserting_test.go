package graph_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
)

const upsertDocument = `mutation($input: [ProductUpsertInput!]!, $onError: ProductsUpsertErrorPolicy! = REJECT_ALL) {
	productsUpsert(input: $input, onError: $onError) { products ` + productFields + ` userErrors { field message code } } }`

type upserts struct {
	Products   []*product
	UserErrors []userError
}

func (u upserts) at() (all []string) {
	for _, e := range u.UserErrors {
		all = append(all, strings.Join(e.Field, ".")+" "+e.Code)
	}
	return all
}

func upsert(t testing.TB, c *apitest.Client, onError string, rows ...map[string]any) upserts {
	t.Helper()
	var got struct{ ProductsUpsert upserts }
	c.Must(t, upsertDocument, map[string]any{"input": rows, "onError": onError}, &got)
	return got.ProductsUpsert
}

// row is what one product is to be, with pairs of a field and a value more.
func row(sku, amount string, more ...any) map[string]any {
	r := map[string]any{"sku": sku, "name": "Product " + sku, "price": map[string]any{"amount": amount, "currencyCode": "EUR"}}
	for i := 0; i < len(more); i += 2 {
		r[more[i].(string)] = more[i+1]
	}
	return r
}

func TestUpsertAddsAndChanges(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	shelf := addCategory(t, c, "Shelf", "")
	first := upsert(t, c, "REJECT_ALL", row("b", "2.00", "stock", 5, "description", "Text", "categoryId", shelf), row("a", "1.00"))
	if len(first.UserErrors) > 0 || len(first.Products) != 2 {
		t.Fatalf("%+v", first)
	}
	b, a := first.Products[0], first.Products[1]
	if b.SKU != "b" || b.Stock != 5 || *b.Description != "Text" || b.Category.ID != shelf || b.Version != 1 || a.SKU != "a" || a.Stock != 0 || a.Description != nil || a.Category != nil || b.ID > a.ID {
		t.Errorf("%+v %+v", b, a)
	}
	// The same again changes nothing, not even the version.
	if diff := cmp.Diff(first, upsert(t, c, "SKIP_FAILED", row("b", "2.00", "stock", 5, "description", "Text", "categoryId", shelf), row("a", "1.00"))); diff != "" {
		t.Error(diff)
	}
	// What is left out stays, null clears; what is new stands between what is not.
	again := upsert(t, c, "REJECT_ALL", row("a", "1.00", "stock", 7), row("c", "3.00"), row("b", "2.50"))
	b2, a2 := *b, *a
	b2.Price.Amount, b2.Version, b2.UpdatedAt = "2.50", 2, again.Products[2].UpdatedAt
	a2.Stock, a2.Version, a2.UpdatedAt = 7, 2, again.Products[0].UpdatedAt
	if diff := cmp.Diff(&b2, again.Products[2]) + cmp.Diff(&a2, again.Products[0]); diff != "" || again.Products[1].SKU != "c" || again.Products[1].Version != 1 {
		t.Errorf("%s %+v", diff, again)
	}
	cleared := upsert(t, c, "REJECT_ALL", row("b", "2.50", "description", nil, "categoryId", nil)).Products[0]
	if cleared.Description != nil || cleared.Category != nil || cleared.Stock != 5 || cleared.Version != 3 {
		t.Errorf("%+v", cleared)
	}
	for _, p := range []*product{cleared, again.Products[0], again.Products[1]} {
		if diff := cmp.Diff(p, read(t, c, p.ID)); diff != "" {
			t.Errorf("the answer is not what is stored: %s", diff)
		}
	}
	// An entry for each product that changed, and one alone.
	want := []string{"product.created {b}", "product.created {a}", "product.updated {a} stock", "product.created {c}", "product.updated {b} price_minor", "product.updated {b} category_id description"}
	var got struct {
		AuditLog struct {
			Nodes []struct {
				Action, EntityID string
				Details          map[string]any
			}
		}
	}
	c.Must(t, `{ auditLog(last: 100) { nodes { action entityId details } } }`, nil, &got)
	var logged []string
	for _, e := range got.AuditLog.Nodes {
		for _, p := range []*product{a, b, again.Products[1]} {
			if e.EntityID == p.ID {
				text := e.Action + " {" + p.SKU + "}"
				if before, ok := e.Details["before"].(map[string]any); ok {
					for _, field := range []string{"category_id", "description", "price_minor", "stock"} {
						if _, differs := before[field]; differs {
							text += " " + field
						}
					}
				}
				logged = append(logged, text)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(logged)
	if diff := cmp.Diff(want, logged); diff != "" {
		t.Error(diff)
	}
}

func TestUpsertRefuses(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	upsert(t, c, "REJECT_ALL", row("known", "1.00", "stock", 1))
	dollars := map[string]any{"amount": "1.00", "currencyCode": "USD"}
	rows := []map[string]any{
		row("new", "1.00"), row("", "1.00"), row("known", "-1", "stock", -1), row("other", "1.00", "categoryId", id.NewCategory().String()),
		row(" new ", "2.00"), row("x", "1.00", "price", dollars), row("y", "1.00", "stock", nil), row("known", "9.00"), row("last", "1.00", "stock", 2_000_000_000),
	}
	own := []string{
		"input.1.sku INVALID", "input.2.price.amount INVALID", "input.2.stock INVALID", "input.4.sku INVALID",
		"input.5.price.currencyCode INVALID", "input.6.stock INVALID", "input.7.sku INVALID", "input.8.stock INVALID",
	}
	super := pgtest.Superuser(t)
	before := fingerprint(t, super, c.Tenant.ID)
	rejected := upsert(t, c, "REJECT_ALL", rows...)
	if diff := cmp.Diff(own, rejected.at()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"input.1.categoryId NOT_FOUND"}, upsert(t, c, "REJECT_ALL", rows[0], rows[3]).at()); diff != "" {
		t.Error(diff)
	}
	for _, n := range []int{0, 101} {
		many := []map[string]any{}
		for i := range n {
			many = append(many, row(fmt.Sprint("many-", i), "1.00"))
		}
		if diff := cmp.Diff([]string{"input INVALID"}, upsert(t, c, "SKIP_FAILED", many...).at()); diff != "" {
			t.Errorf("%d rows: %s", n, diff)
		}
	}
	if diff := cmp.Diff(before, fingerprint(t, super, c.Tenant.ID)); diff != "" {
		t.Errorf("what was refused changed something: %s", diff)
	}
	if !slices.Equal(rejected.Products, make([]*product, len(rows))) {
		t.Errorf("%v", rejected.Products)
	}

	skipped := upsert(t, c, "SKIP_FAILED", rows...)
	if diff := cmp.Diff(slices.Insert(slices.Clone(own), 3, "input.3.categoryId NOT_FOUND"), skipped.at()); diff != "" {
		t.Error(diff)
	}
	for i, p := range skipped.Products {
		if (p != nil) != (i == 0) {
			t.Errorf("row %d: %+v", i, p)
		}
	}
	if n := columnOne[int](t, super, `select count(*) from shared.events where tenant_id = $1 and action like 'product.%'`, c.Tenant.ID); n != 2 {
		t.Errorf("%d entries, want one of each product", n)
	}
}

// A hundred rows are no more statements than one, new or not.
func TestUpsertsAreFewStatements(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	c := api.NewTenant(t)
	shelf := addCategory(t, c, "Shelf", "")
	count := func(n int, amount string) int64 {
		t.Helper()
		var rows []map[string]any
		for i := range n {
			rows = append(rows, row(fmt.Sprintf("%d-%d", n, i), amount, "categoryId", shelf))
		}
		document := strings.Replace(upsertDocument, "products "+productFields, "products { id }", 1)
		c.Warm(t)
		answer := ask(t, api, c.Token, document, map[string]any{"input": rows}, nil)
		if answer.status != http.StatusOK || !strings.Contains(answer.body, `"userErrors":[]`) || strings.Count(answer.body, `"id":`) != n {
			t.Errorf("%d %.300s", answer.status, answer.body)
		}
		return statements(t, answer.header)
	}
	for _, amount := range []string{"1.00", "2.00", "2.00"} { // added, changed, left alone
		one, hundred := count(1, amount), count(100, amount)
		t.Logf("%d statements", one)
		if one != hundred || one > 9 {
			t.Errorf("one row takes %d statements, a hundred %d", one, hundred)
		}
	}
	if n := columnOne[int](t, pgtest.Superuser(t), `select count(*) from shared.events where tenant_id = $1 and action like 'product.%'`, c.Tenant.ID); n != 2*101 {
		t.Errorf("%d entries", n)
	}
}

// Who store the same products at the same moment, in whatever order, wait for each other
// and never in a circle: products that are there, that are not, and that are ordered.
func TestCrossingUpsertsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	customer := addCustomer(t, c, "one@tests.example")
	var sold []map[string]any
	for i := range 3 {
		sold = append(sold, item(goods(t, c, fmt.Sprint("old-", i), 1000, "1.00"), 1))
	}
	for round := range 4 {
		var group sync.WaitGroup
		start := make(chan struct{})
		for i := range 16 {
			var rows []map[string]any
			for n := range 6 {
				rows = append(rows, row(fmt.Sprintf("%s-%d", []string{"old", fmt.Sprint("new-", round)}[n%2], n/2), fmt.Sprintf("%d.%02d", round, i)))
			}
			items := slices.Clone(sold)
			if i%2 == 1 {
				slices.Reverse(rows)
				slices.Reverse(items)
			}
			group.Go(func() {
				<-start
				if i%4 == 3 {
					if got := place(t, c, customer, items...); got.Order == nil {
						t.Errorf("round %d, order %d: %v", round, i, got.UserErrors)
					}
					return
				}
				if got := upsert(t, c, "REJECT_ALL", rows...); len(got.UserErrors) > 0 || slices.Contains(got.Products, nil) {
					t.Errorf("round %d, %d: %v", round, i, got.UserErrors)
				}
			})
		}
		close(start)
		group.Wait()
	}
	var got struct {
		Products struct {
			TotalCount int
			Nodes      []struct{ Stock int }
		}
	}
	c.Must(t, `{ products(first: 100, filter: {name: {contains: "old"}}) { totalCount nodes { stock } } }`, nil, &got)
	for _, p := range got.Products.Nodes {
		if p.Stock != 1000-4*4 || got.Products.TotalCount != 3 {
			t.Errorf("%+v", got)
		}
	}
}
