package graph_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

// wideTenant has 120 leaf categories, each with six products and one of ten parents, by
// two people; 120 customers, each with three orders of two lines; and 120 entries in its log.
func wideTenant(t *testing.T, api *apitest.API) *apitest.Client {
	t.Helper()
	c := api.NewTenant(t)
	second := c.Member(t, auth.RoleAdmin)
	people := make([]id.User, 2)
	for i, who := range []*apitest.Client{c, second} {
		var got struct {
			Viewer struct{ User struct{ ID string } }
		}
		who.Must(t, `{ viewer { user { id } } }`, nil, &got)
		if err := people[i].UnmarshalText([]byte(got.Viewer.User.ID)); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	err := api.DB.Home(c.Tenant.ID).InTx(ctx, func(q *tenantsql.Queries) error {
		var parents []id.Category
		for i := range 10 {
			made, err := q.CreateCategory(ctx, tenantsql.CreateCategoryParams{TenantID: c.Tenant.ID, ID: id.NewCategory(), Name: fmt.Sprintf("Z parent %d", i), CreatedBy: people[0]})
			if err != nil {
				return err
			}
			parents = append(parents, made.ID)
		}
		for who, person := range people {
			p := tenantsql.ImportProductsParams{TenantID: c.Tenant.ID, CreatedBy: person}
			for i := range 60 {
				leaf, err := q.CreateCategory(ctx, tenantsql.CreateCategoryParams{
					TenantID: c.Tenant.ID, ID: id.NewCategory(), ParentID: &parents[i%10], Name: fmt.Sprintf("A leaf %d-%d", who, i), CreatedBy: person,
				})
				if err != nil {
					return err
				}
				for n := range 6 {
					p.Ids, p.Skus = append(p.Ids, id.New()), append(p.Skus, fmt.Sprintf("%d-%d-%d", who, i, n))
					p.Names, p.Descriptions = append(p.Names, fmt.Sprintf("Product %d", n)), append(p.Descriptions, "")
					p.PricesMinor, p.Stocks = append(p.PricesMinor, int64(n)), append(p.Stocks, 1)
					p.CategoryIds, p.CreatedAts = append(p.CategoryIds, leaf.ID.UUID()), append(p.CreatedAts, time.Now())
				}
			}
			if _, err := q.ImportProducts(ctx, p); err != nil {
				return err
			}
		}
		for i := range 120 {
			err := q.CreateEvent(ctx, tenantsql.CreateEventParams{
				TenantID: c.Tenant.ID, ID: id.NewEvent(), ActorID: &people[i%len(people)], Action: "product.created", EntityID: id.New(), Data: json.RawMessage("{}"),
			})
			if err != nil {
				return err
			}
		}
		customers := tenantsql.ImportCustomersParams{TenantID: c.Tenant.ID, CreatedBy: people[0]}
		orders := tenantsql.ImportOrdersParams{TenantID: c.Tenant.ID, CreatedBy: &people[1]}
		items := tenantsql.ImportOrderItemsParams{TenantID: c.Tenant.ID}
		for i := range 120 {
			email := fmt.Sprintf("%d@tests.example", i)
			customers.Ids, customers.Emails = append(customers.Ids, id.New()), append(customers.Emails, email)
			customers.Names, customers.CreatedAts = append(customers.Names, "Customer"), append(customers.CreatedAts, time.Now())
			for n := range 3 {
				order := id.New()
				orders.Ids, orders.Numbers = append(orders.Ids, order), append(orders.Numbers, int32(3*i+n+1)) //nolint:gosec // small
				orders.EmailKeys, orders.Statuses = append(orders.EmailKeys, email), append(orders.Statuses, "PLACED")
				orders.TotalsMinor, orders.PlacedAts = append(orders.TotalsMinor, 5), append(orders.PlacedAts, time.Now())
				for line := range 2 {
					items.Ids, items.OrderIds = append(items.Ids, id.New()), append(items.OrderIds, order)
					items.Skus, items.Positions = append(items.Skus, fmt.Sprintf("%d-%d-%d", line, i/2, n)), append(items.Positions, int32(line)+1) //nolint:gosec // small
					items.Quantities, items.UnitPricesMinor = append(items.Quantities, 1), append(items.UnitPricesMinor, int64(n))
				}
			}
		}
		if n, err := q.ImportCustomers(ctx, customers); err != nil || n != 120 {
			return fmt.Errorf("%d customers: %w", n, err)
		}
		if n, err := q.ImportOrders(ctx, orders); err != nil || n != 360 {
			return fmt.Errorf("%d orders: %w", n, err)
		}
		if n, err := q.ImportOrderItems(ctx, items); err != nil || n != 720 {
			return fmt.Errorf("%d lines: %w", n, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// One statement for each loader and level, however wide the page.
func TestStatementsAreCounted(t *testing.T) {
	t.Parallel()
	// So long that every sibling asks before a loader closes its batch.
	api := apitest.New(t, pgtest.New(t), apitest.LoaderWait(300*time.Millisecond))
	forged := base64.RawURLEncoding.EncodeToString([]byte(`["products:CREATED_AT","9000-01-01T00:00:00+05:45","` + uuid.Max.String() + `"]`))
	for _, counted := range []struct {
		document string
		want     int64
	}{
		{`{ viewer { user { id } tenant { id } permissions } }`, 0},
		{`{ products(first: N) { nodes { id name price { amount } } } }`, 1},
		{`{ products(first: N) { nodes { id } totalCount } }`, 2},
		{`{ products(first: N) { nodes { category { id } } } }`, 2},
		{`{ products(first: N) { nodes { category { id } createdBy { id } } } }`, 3},
		{`{ products(first: N) { nodes { category { parent { id } } createdBy { id } } } }`, 4},
		{`{ products(first: N) { edges { node { category { parent { id } createdBy { id } } createdBy { id } } } } }`, 4},
		{`{ products(last: N, filter: {inStock: true, name: {contains: "product"}}, orderBy: {field: PRICE}) { nodes { category { parent { id } } createdBy { id } } totalCount } }`, 5},
		{`{ categories(first: N) { nodes { products(first: 5) { nodes { id } } } } }`, 2},
		{`{ categories(first: N) { nodes { products(first: 5) { nodes { createdBy { id } category { name } } } } } }`, 4},
		{`{ categories(first: N) { nodes { parent { id } createdBy { id } products(first: 5) { totalCount nodes { id } } } totalCount } }`, 6},
		// Four levels: customers, their orders, the lines of those, their products and the categories of these.
		{`{ customers(first: N) { nodes { orders(first: 2) { nodes { items { product { category { id } } } } } } } }`, 5},
		{`{ customers(first: N) { nodes { ordersCount lifetimeValue { amount } orders(first: 2) { totalCount nodes { id } } } totalCount } }`, 4},
		{`{ customers(first: N) { nodes { createdBy { id } orders(last: 2) { totalCount } } } }`, 4},
		{`{ orders(first: N) { nodes { customer { id } placedBy { id } createdBy { id } items { id amount { amount } } } totalCount } }`, 5},
		{`{ orders(first: N, filter: {status: PLACED}) { nodes { items { product { id } } } } }`, 3},
		{`{ tenant { stats { products customers orders revenue { amount } } } }`, 1},
		// Two shapes of page are two statements: of the same level, but not the same question.
		{`{ categories(first: N) { nodes { products(first: 5) { nodes { id } } oldest: products(last: 2) { nodes { id } } } } }`, 3},
		// Every time zone is the same moment.
		{`{ categories(first: N) { nodes { products(first: 5, after: "` + forged + `") { nodes { id } } } } }`, 2},
		{`{ auditLog(first: N) { nodes { id actor { id } entityId details } totalCount } }`, 3},
		{`{ accessLog(first: N, filter: {action: "session.started"}) { nodes { id actor { id } entityId details } totalCount } }`, 3},
		{`{ members(first: N) { nodes { user { id } } totalCount } }`, 3},
	} {
		t.Run(counted.document, func(t *testing.T) {
			t.Parallel()
			c := wideTenant(t, api)
			c.Warm(t)
			var group sync.WaitGroup
			for _, width := range []int{1, 20, 100} {
				group.Go(func() {
					document := strings.ReplaceAll(counted.document, "N)", fmt.Sprintf("%d)", width))
					document = strings.ReplaceAll(document, "N,", fmt.Sprintf("%d,", width))
					answer := ask(t, api, c.Token, document, nil, nil)
					if !succeeded(answer) {
						t.Errorf("%d %s", answer.status, answer.body)
						return
					}
					if got := statements(t, answer.header); got != counted.want {
						t.Errorf("a page of %d takes %d statements, want %d", width, got, counted.want)
					}
				})
			}
			group.Wait()
		})
	}
}

// A batch gives each parent its own rows, and all of them.
func TestLoadersAnswerEachParentItsOwn(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	c := wideTenant(t, api)
	var got struct {
		Categories struct {
			Nodes []struct {
				ID       string
				Products struct {
					TotalCount int
					Nodes      []struct {
						Category struct{ ID string }
					}
				}
			}
		}
	}
	c.Must(t, `{ categories(first: 100) { nodes { id products(first: 4) { totalCount nodes { category { id } } } } } }`, nil, &got)
	if len(got.Categories.Nodes) != 100 {
		t.Fatalf("%d categories", len(got.Categories.Nodes))
	}
	for _, category := range got.Categories.Nodes {
		if category.Products.TotalCount != 6 || len(category.Products.Nodes) != 4 {
			t.Fatalf("%+v", category)
		}
		for _, p := range category.Products.Nodes {
			if p.Category.ID != category.ID {
				t.Fatalf("a product of %s stands below %s", p.Category.ID, category.ID)
			}
		}
	}
}

// No operation holds a connection while it waits for a second one.
func TestOneConnectionPerPoolIsEnough(t *testing.T) {
	t.Parallel()
	wide, narrow := apitest.New(t, pgtest.New(t)), apitest.New(t, pgtest.Open(t, 1))
	ops := make(chan operation)
	var group sync.WaitGroup
	for range 4 { // so that the one connection is always wanted
		group.Go(func() {
			for op := range ops {
				a := newResident(t, wide)
				token := signIn(t, narrow, a.Client).AccessToken
				answer := ask(t, narrow, token, op.document, op.variables(a, a.things), nil)
				hit := op.hit(a)
				if op.name == "requestToJoin" { // whose token the other server made, with another key
					hit = "BAD_CREDENTIALS"
				}
				if answer.status != 200 || strings.Contains(answer.body, `"errors"`) || !strings.Contains(answer.body, hit) {
					t.Errorf("%s: %d %s %v", op.name, answer.status, answer.body, lines.of(answer.header))
				}
			}
		})
	}
	for _, op := range append(operations(), operation{
		name: "a page with everything", document: `{ products { totalCount nodes { category { parent { name } createdBy { email } } createdBy { email } } }
			categories { totalCount nodes { name products { totalCount nodes { createdBy { email } category { name } } } } } members { totalCount nodes { user { email } } } tenant { slug } viewer { role } }`,
		variables: func(*resident, things) map[string]any { return nil }, hit: func(own *resident) string { return own.mark },
	}) {
		ops <- op
	}
	close(ops)
	group.Wait()
}
