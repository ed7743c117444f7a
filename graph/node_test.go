package graph_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
)

const namedNodes = `query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }`

// nodes asks for many ids and gives what came back, "" for null.
func nodes(t testing.TB, c *apitest.Client, ids ...string) []string {
	t.Helper()
	var got struct {
		Nodes []*struct {
			Typename string `json:"__typename"`
			ID       string
		}
	}
	c.Must(t, namedNodes, map[string]any{"ids": ids}, &got)
	found := make([]string, len(got.Nodes))
	for i, node := range got.Nodes {
		if node != nil {
			found[i] = node.Typename + " " + node.ID
		}
	}
	return found
}

// Each id has its place in the list, whatever it is the id of, and a null where
// node(id:) has one. However many there are, each type is one statement.
func TestNodes(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t), apitest.LoaderWait(300*time.Millisecond))
	a, b := newResident(t, api), newResident(t, api)
	x, y, never := a.things, b.things, nowhere(t, b.things)
	all := func(x things) []string {
		return []string{x.Product, x.Spare, x.Category, x.Parent, x.Customer, x.Idle, x.Draft, x.Order, x.Item, x.User, x.Membership, x.APIKey, x.TenantID}
	}
	var ids, want []string
	for i, own := range all(x) {
		kind, _, _ := strings.Cut(own, "_")
		kind = map[string]string{"prod": "Product", "cat": "Category", "cust": "Customer", "ord": "Order", "item": "OrderItem", "user": "User", "mem": "Member", "key": "ApiKey", "ten": "Tenant"}[kind]
		ids = append(ids, own, all(y)[i], own, all(never)[i])
		want = append(want, kind+" "+own, "", kind+" "+own, "")
	}
	// A kind of id that is none of a Node, and one that nobody knows.
	ids, want = append(ids, x.Session, "thing_"+x.Product[len("prod_"):]), append(want, "", "")
	for range 2 {
		if diff := cmp.Diff(want, nodes(t, a.Client, ids...)); diff != "" {
			t.Error(diff)
		}
		slices.Reverse(ids)
		slices.Reverse(want)
	}

	for len(ids) < 100 {
		ids = append(ids, id.NewProduct().String())
	}
	// Eight types in the database; the tenant is known, and who asks.
	a.Warm(t)
	answer := ask(t, api, a.Token, namedNodes, map[string]any{"ids": ids}, nil)
	if got := statements(t, answer.header); got != 8 || !succeeded(answer) {
		t.Errorf("%d statements, want 8: %s", got, answer.body)
	}

	for _, n := range []int{0, 101} {
		bad := a.Do(t, namedNodes, map[string]any{"ids": slices.Repeat([]string{x.Product}, n)})
		if bad.Code() != "BAD_REQUEST" || !strings.Contains(string(bad.Body), "ids must be 1 to 100") {
			t.Errorf("%d ids: %s", n, bad.Body)
		}
	}
	// A single value is a list of one (GraphQL specification, section 3.11); null is none.
	var one struct{ Nodes []struct{ ID string } }
	a.Must(t, namedNodes, map[string]any{"ids": x.Product}, &one)
	if len(one.Nodes) != 1 || one.Nodes[0].ID != x.Product {
		t.Errorf("%+v", one)
	}
	for _, bad := range []any{nil, []any{nil}, []any{x.Product, nil}, []any{x.Product, 7}, []any{"no id at all"}, []any{[]any{x.Product}}} {
		if answer := a.Do(t, namedNodes, map[string]any{"ids": bad}); answer.Code() != "BAD_REQUEST" {
			t.Errorf("%v: %s", bad, answer.Body)
		}
	}
}
