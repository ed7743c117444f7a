package graph_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold"
	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/server"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

// Whatever reaches a tenant's data says in its Go signature whose data it is.
func TestEveryTenantQueryTakesATenantID(t *testing.T) {
	t.Parallel()
	for _, queries := range []any{&tenantsql.Queries{}, &accountsql.Queries{}} {
		kind := reflect.TypeOf(queries)
		seen := 0
		for i := range kind.NumMethod() {
			method := kind.Method(i)
			if method.Name == "WithTx" {
				continue
			}
			seen++
			if err := takesTenant(method.Type); err != "" {
				t.Errorf("%s.%s %s", kind, method.Name, err)
			}
		}
		if seen < 5 {
			t.Errorf("%s has only %d queries", kind, seen)
		}
	}
}

// takesTenant says what is wrong with the type of a query method, "" if nothing.
func takesTenant(method reflect.Type) string {
	if method.NumIn() != 3 || method.In(1) != reflect.TypeFor[context.Context]() {
		return "does not take a context and a struct of parameters"
	}
	if method.In(2).Kind() != reflect.Struct {
		return "does not take a struct of parameters"
	}
	field, ok := method.In(2).FieldByName("TenantID")
	if !ok {
		return "takes no TenantID"
	}
	if field.Type != reflect.TypeFor[tenant.ID]() {
		return "takes a TenantID that is a " + field.Type.String()
	}
	return ""
}

// things are what a caller can name, all of one tenant, or of none.
type things struct {
	Product, Category, Parent, User, Membership, TenantID string
	Colleague, Benched                                    string // memberships, the second of which is suspended
	Invitation, Person                                    string // Person is the address of an account
	InvitationLink, LinkToken                             string
	Session, Device                                       string // Device is a session besides, of the owner
	APIKey                                                string
	Spare, Sold                                           string // a product besides, and one that stands in orders
	Customer, Idle, Draft, Order, Item                    string // Idle is a customer without orders
	SKU, Name, Slug, Refresh, CustomerEmail               string
	Cursors                                               map[string]string // by list, and list:last
}

// resident is a tenant with one of everything.
type resident struct {
	*apitest.Client
	things
	mark    string // in every text of this tenant, and in no other's
	changes int    // of Product by the operation that counts them
}

const inventory = `{
	viewer { user { id } tenant { id } }
	members: members(first: 1) { edges { cursor node { id } } }
	membersLast: members(last: 1) { edges { cursor } }
	invitations: invitations(first: 1) { edges { cursor node { id } } }
	invitationsLast: invitations(last: 1) { edges { cursor } }
	invitationLinks: invitationLinks(first: 1) { edges { cursor } }
	invitationLinksLast: invitationLinks(last: 1) { edges { cursor } }
	customers: customers(first: 1) { edges { cursor } }
	customersLast: customers(last: 1) { edges { cursor } }
	orders: orders(first: 1) { edges { cursor node { items { id } } } }
	ordersLast: orders(last: 1) { edges { cursor } }
	categories: categories(first: 1) { edges { cursor } }
	categoriesLast: categories(last: 1) { edges { cursor } }
	created: products(first: 1, orderBy: {field: CREATED_AT}) { edges { cursor } }
	auditLog: auditLog(first: 1) { edges { cursor } }
	auditLogLast: auditLog(last: 1) { edges { cursor } }
	accessLog: accessLog(first: 1, filter: {action: "session.started"}) { edges { cursor node { entityId } } }
	accessLogLast: accessLog(last: 1) { edges { cursor } }
	apiKeys: apiKeys(first: 1) { edges { cursor } }
	apiKeysLast: apiKeys(last: 1) { edges { cursor } }
	createdLast: products(last: 1, orderBy: {field: CREATED_AT}) { edges { cursor } }
	name: products(first: 1, orderBy: {field: NAME}) { edges { cursor } }
	price: products(first: 1, orderBy: {field: PRICE}) { edges { cursor } }
}`

func newResident(t testing.TB, api *apitest.API) *resident {
	t.Helper()
	r := &resident{Client: api.NewTenant(t)}
	r.mark = r.Tenant.Slug[len(r.Tenant.Slug)-10:]
	r.APIKey, _ = addAPIKey(t, r.Client, "Key "+r.mark, "PRODUCTS_READ")
	colleague, benched := r.Member(t, auth.RoleMember), r.Member(t, auth.RoleMember)
	r.Colleague, r.Benched = colleague.Membership(t).String(), benched.Membership(t).String()
	r.Must(t, `mutation($id: ID!) { suspendMember(input: {id: $id}) { member { id } } }`, map[string]any{"id": r.Benched}, nil)
	r.TenantID, r.Slug, r.Person = r.Tenant.ID.String(), r.Tenant.Slug, r.Email
	for i := range 3 {
		invite(t, r.Client, fmt.Sprintf("invited-%d-%s@tests.example", i, r.mark), "MEMBER")
	}
	exec(t, pgtest.Superuser(t), `update control.invitations set sent_at = now() - interval '1 hour' where tenant_id = $1`, r.Tenant.ID)
	r.InvitationLink, r.LinkToken = newLink(t, r.Client, "VIEWER", "tests.example", r.mark+".example")
	r.Parent = addCategory(t, r.Client, "Parent "+r.mark, "")
	r.Category = addCategory(t, r.Client, "Category "+r.mark, r.Parent)
	r.Name, r.SKU = "Spare "+r.mark, r.mark+"-0"
	addCategory(t, r.Client, r.Name, "")
	for i := range 4 {
		r.Product = addProduct(t, r.Client, fmt.Sprintf("%s-%d", r.mark, i), fmt.Sprintf("Product %s %d", r.mark, i), r.Category).ID
	}
	r.CustomerEmail = r.mark + "@tests.example"
	r.Customer = addCustomer(t, r.Client, r.CustomerEmail)
	r.Idle = addCustomer(t, r.Client, "idle-"+r.CustomerEmail)
	r.Spare = addProduct(t, r.Client, r.mark+"-spare", "Spare "+r.mark, "").ID
	r.Sold = addProduct(t, r.Client, r.mark+"-sold", "Sold "+r.mark, "").ID
	place(t, r.Client, r.Customer, item(r.Sold, 1))
	r.Draft = addOrder(t, r.Client, r.Customer, item(r.Sold, 1)).ID
	placed := place(t, r.Client, r.Customer, item(r.Sold, 1)).Order
	r.Order, r.Item = placed.ID, placed.Items[0].ID
	var got map[string]json.RawMessage
	r.Must(t, inventory, nil, &got)
	var viewer struct{ User struct{ ID string } }
	_ = json.Unmarshal(got["viewer"], &viewer)
	r.User = viewer.User.ID
	r.Cursors = make(map[string]string)
	for list, page := range got {
		var edges struct {
			Edges []struct {
				Cursor string
				Node   struct{ ID, EntityID string }
			}
		}
		if _ = json.Unmarshal(page, &edges); len(edges.Edges) == 1 {
			r.Cursors[list] = edges.Edges[0].Cursor
			if list == "members" {
				r.things.Membership = edges.Edges[0].Node.ID
			}
			if list == "invitations" {
				r.Invitation = edges.Edges[0].Node.ID
			}
			if list == "accessLog" {
				r.Session = edges.Edges[0].Node.EntityID
			}
		}
	}
	besides := signIn(t, api, r.Client)
	r.Refresh, r.Device = besides.RefreshToken, sessionID(t, besides)
	return r
}

type session struct{ AccessToken, RefreshToken string }

// signIn begins another session of the person of c, on any server.
func signIn(t testing.TB, api *apitest.API, c *apitest.Client) session {
	t.Helper()
	var got struct{ SignIn struct{ Session session } }
	api.Anonymous().Must(t, `mutation($i: SignInInput!) { signIn(input: $i) { session { accessToken refreshToken } } }`,
		map[string]any{"i": map[string]any{"tenant": c.Tenant.Slug, "email": c.Email, "password": apitest.Password}}, &got)
	return got.SignIn.Session
}

// sessionID is what a session is called.
func sessionID(t testing.TB, s session) string {
	t.Helper()
	_, claims, _ := strings.Cut(s.AccessToken, ".")
	claims, _, _ = strings.Cut(claims, ".")
	text, err := base64.RawURLEncoding.DecodeString(claims)
	if err != nil {
		t.Fatal(err)
	}
	var said struct{ SID string }
	if err := json.Unmarshal(text, &said); err != nil {
		t.Fatal(err)
	}
	return said.SID
}

// nowhere makes things that never were, of the same kinds and at the same
// positions as those of b.
func nowhere(t testing.TB, b things) things {
	t.Helper()
	slug := "t" + strings.ReplaceAll(id.New().String(), "-", "")[:31]
	n := things{
		Product: id.NewProduct().String(), Category: id.NewCategory().String(), Parent: id.NewCategory().String(),
		User: id.NewUser().String(), Session: id.NewSession().String(), Device: id.NewSession().String(), Membership: id.NewMember().String(), Colleague: id.NewMember().String(), Benched: id.NewMember().String(), TenantID: tenant.NewID().String(),
		Invitation: id.NewInvitation().String(), InvitationLink: id.NewInvitationLink().String(), LinkToken: "cht_", Person: slug[len(slug)-10:] + "-nobody@tests.example",
		APIKey: id.NewAPIKey().String(),
		Spare:  id.NewProduct().String(), Sold: id.NewProduct().String(),
		Customer: id.NewCustomer().String(), Idle: id.NewCustomer().String(), Draft: id.NewOrder().String(), Order: id.NewOrder().String(), Item: id.NewOrderItem().String(),
		CustomerEmail: slug[len(slug)-10:] + "@tests.example",
		SKU:           slug[len(slug)-10:] + "-0", Name: "Spare " + slug[len(slug)-10:], Slug: slug,
		Refresh: "chr_" + strings.Repeat("A", 43), Cursors: make(map[string]string),
	}
	for list, cursor := range b.Cursors {
		text, err := base64.RawURLEncoding.DecodeString(cursor)
		if err != nil {
			t.Fatal(err)
		}
		var parts [3]any
		if err := json.Unmarshal(text, &parts); err != nil {
			t.Fatal(err)
		}
		known, random := parts[2].(string), id.New().String()
		parts[2] = known[:20] + random[20:] // the same moment, another row
		text, _ = json.Marshal(parts)
		n.Cursors[list] = base64.RawURLEncoding.EncodeToString(text)
	}
	return n
}

// operation is one way to name things to the API. Its arguments are written out
// down to the last field, so that the test of completeness sees what it covers.
type operation struct {
	name      string
	document  string
	variables func(own *resident, x things) map[string]any
	// hit is in the answer that a tenant gets for its own things.
	hit func(own *resident) string
	// free: the answer is the same whatever is named, a cursor being a position.
	free bool
	// fresh: it ends the session that it runs in.
	fresh bool
	// global says why what it names is no tenant's, and answers may differ.
	global string
}

func says(text string) func(*resident) string { return func(*resident) string { return text } }

func naming(name string, pick func(things) any) func(*resident, things) map[string]any {
	return func(_ *resident, x things) map[string]any { return map[string]any{name: pick(x)} }
}

func cursorOf(list string) func(*resident, things) map[string]any {
	return func(own *resident, x things) map[string]any {
		return map[string]any{"own": own.Category, "customer": own.Customer, "cursor": x.Cursors[list]}
	}
}

const (
	anyNode = `query($id: ID!) { node(id: $id) { __typename id ... on Product { name sku createdBy { email } category { name } } ... on Category { name products { nodes { name } } }
		... on Customer { email orders { nodes { items { product { name } } } } ordersCount lifetimeValue { amount } } ... on Order { number status total { amount } customer { email } items { product { name } } placedBy { email } }
		... on OrderItem { quantity product { name } amount { amount } } ... on User { email displayName } ... on Member { role standing: status user { email } } ... on Tenant { slug name }
		... on ApiKey { name ending scopes createdBy { email } replacedBy { name } } } }`
	userErrors = ` userErrors { field message code } `
)

func operations() []operation {
	product := naming("id", func(x things) any { return x.Product })
	category := naming("id", func(x things) any { return x.Category })
	customer := naming("id", func(x things) any { return x.Customer })
	order := naming("id", func(x things) any { return x.Order })
	draft := naming("id", func(x things) any { return x.Draft })
	member := naming("id", func(x things) any { return x.Membership })
	colleague := naming("id", func(x things) any { return x.Colleague })
	ownMark := func(own *resident) string { return own.mark }
	return []operation{
		{name: "viewer", document: `{ viewer { user { id email displayName } role permissions tenant { id slug name } } }`,
			variables: func(*resident, things) map[string]any { return nil }, hit: func(own *resident) string { return own.Slug }, free: true},
		{name: "tenant", document: `{ tenant { id slug name status currencyCode createdAt stats { products customers orders revenue { amount } } } }`,
			variables: func(*resident, things) map[string]any { return nil }, hit: func(own *resident) string { return own.Slug }, free: true},
		{name: "nodes", document: strings.Replace(anyNode, "($id: ID!) { node(id: $id)", "($ids: [ID!]!) { nodes(ids: $ids)", 1),
			variables: naming("ids", func(x things) any {
				return []string{x.Product, x.Category, x.Customer, x.Order, x.Item, x.User, x.Membership, x.TenantID, x.APIKey, x.Product}
			}), hit: ownMark},
		{name: "nodes among one's own", document: `query($ids: [ID!]!) { nodes(ids: $ids) { id ... on Product { name } } }`,
			variables: func(own *resident, x things) map[string]any {
				return map[string]any{"ids": []string{own.Category, x.Product, own.Category}}
			}, hit: ownMark},
		{name: "node of a product", document: anyNode, variables: product, hit: ownMark},
		{name: "node of a category", document: anyNode, variables: category, hit: ownMark},
		{name: "node of a user", document: anyNode, variables: naming("id", func(x things) any { return x.User }), hit: func(own *resident) string { return own.Email }},
		{name: "node of a member", document: anyNode, variables: naming("id", func(x things) any { return x.Membership }), hit: func(own *resident) string { return own.Email }},
		{name: "node of an API key", document: anyNode, variables: naming("id", func(x things) any { return x.APIKey }), hit: ownMark},
		{name: "apiKeys after", document: `query($cursor: String) { apiKeys(after: $cursor) { nodes { name createdBy { email } } edges { cursor } pageInfo { hasNextPage endCursor } totalCount } }`,
			variables: cursorOf("apiKeys"), hit: says(`"totalCount":1`), free: true},
		{name: "apiKeys before", document: `query($cursor: String) { apiKeys(last: 9, before: $cursor) { nodes { name } totalCount } }`,
			variables: cursorOf("apiKeysLast"), hit: says(`"totalCount":1`), free: true},
		{name: "createApiKey", document: `mutation { createApiKey(input: {name: "New", scopes: [ORDERS_READ]}) { apiKey { name scopes createdBy { displayName } }` + userErrors + `} }`,
			variables: func(*resident, things) map[string]any { return nil }, hit: says(`"userErrors":[]`), free: true},
		{name: "rotateApiKey", document: `mutation($id: ID!) { rotateApiKey(input: {id: $id}) { apiKey { name } secret` + userErrors + `} }`,
			variables: naming("id", func(x things) any { return x.APIKey }), hit: ownMark},
		{name: "revokeApiKey", document: `mutation($id: ID!) { revokeApiKey(input: {id: $id}) { apiKey { name }` + userErrors + `} }`,
			variables: naming("id", func(x things) any { return x.APIKey }), hit: ownMark},
		{name: "node of a tenant", document: anyNode, variables: naming("id", func(x things) any { return x.TenantID }), hit: func(own *resident) string { return own.Slug }},
		{name: "members after", document: `query($cursor: String) { members(first: 5, after: $cursor) { nodes { id role user { email } } edges { cursor } pageInfo { hasNextPage endCursor } totalCount } }`,
			variables: cursorOf("members"), hit: says(`"nodes":[{`), free: true},
		{name: "members before", document: `query($cursor: String) { members(last: 5, before: $cursor) { nodes { id role user { email } } totalCount } }`,
			variables: cursorOf("membersLast"), hit: says(`"nodes":[{`), free: true},
		{name: "product", document: `query($id: ID!) { product(id: $id) ` + productFields + ` }`, variables: product, hit: ownMark},
		{name: "products after, by time", document: `query($cursor: String) { products(first: 5, after: $cursor, orderBy: {field: CREATED_AT}) { nodes { name } totalCount } }`,
			variables: cursorOf("created"), hit: ownMark, free: true},
		{name: "products before, by name", document: `query($cursor: String) { products(last: 5, before: $cursor, orderBy: {field: NAME, direction: DESC}) { nodes { name } totalCount } }`,
			variables: cursorOf("name"), hit: ownMark, free: true},
		{name: "products after, by price", document: `query($cursor: String) { products(after: $cursor, orderBy: {field: PRICE}) { nodes { name } totalCount } }`,
			variables: cursorOf("price"), hit: ownMark, free: true},
		{name: "products of a category", document: `query($id: ID) { products(filter: {categoryId: $id}) { nodes { id name } totalCount pageInfo { hasNextPage startCursor } } }`, variables: category, hit: ownMark},
		{name: "category", document: `query($id: ID!) { category(id: $id) { id name parent { name } products { nodes { name } totalCount } createdBy { email } } }`, variables: category, hit: ownMark},
		{name: "category.products after", document: `query($own: ID!, $cursor: String) { category(id: $own) { products(first: 5, after: $cursor) { nodes { name } totalCount } } }`,
			variables: cursorOf("createdLast"), hit: ownMark, free: true},
		{name: "category.products before", document: `query($own: ID!, $cursor: String) { category(id: $own) { products(last: 5, before: $cursor) { nodes { name } totalCount } } }`,
			variables: cursorOf("created"), hit: ownMark, free: true},
		{name: "categories after", document: `query($cursor: String) { categories(after: $cursor) { nodes { name createdBy { email } } totalCount } }`, variables: cursorOf("categories"), hit: ownMark, free: true},
		{name: "categories before", document: `query($cursor: String) { categories(last: 9, before: $cursor) { nodes { name } totalCount } }`, variables: cursorOf("categoriesLast"), hit: ownMark, free: true},

		{name: "node of a customer", document: anyNode, variables: customer, hit: ownMark},
		{name: "node of an order", document: anyNode, variables: order, hit: ownMark},
		{name: "node of a line", document: anyNode, variables: naming("id", func(x things) any { return x.Item }), hit: ownMark},
		{name: "customer", document: `query($id: ID!) { customer(id: $id) { id email name version ordersCount lifetimeValue { amount } orders { nodes { number } totalCount } createdBy { email } } }`, variables: customer, hit: ownMark},
		{name: "customers after", document: `query($cursor: String) { customers(after: $cursor) { nodes { email ordersCount createdBy { email } } totalCount } }`, variables: cursorOf("customers"), hit: ownMark, free: true},
		{name: "customers before", document: `query($cursor: String) { customers(last: 9, before: $cursor) { nodes { email } totalCount } }`, variables: cursorOf("customersLast"), hit: ownMark, free: true},
		{name: "customer.orders after", document: `query($customer: ID!, $cursor: String) { customer(id: $customer) { orders(first: 5, after: $cursor) { nodes { items { product { name } } } totalCount } } }`,
			variables: cursorOf("orders"), hit: ownMark, free: true},
		{name: "customer.orders before", document: `query($customer: ID!, $cursor: String) { customer(id: $customer) { orders(last: 5, before: $cursor) { nodes { items { product { name } } } totalCount } } }`,
			variables: cursorOf("ordersLast"), hit: ownMark, free: true},
		{name: "order", document: `query($id: ID!) { order(id: $id) { id number customer { email } items { product { name category { name } } } } }`, variables: order, hit: ownMark},
		{name: "orders after", document: `query($cursor: String) { orders(first: 5, after: $cursor) { nodes { number customer { email } } totalCount } }`, variables: cursorOf("orders"), hit: ownMark, free: true},
		{name: "orders before", document: `query($cursor: String) { orders(last: 5, before: $cursor) { nodes { number customer { email } } totalCount } }`, variables: cursorOf("ordersLast"), hit: ownMark, free: true},
		{name: "orders of a customer", document: `query($id: ID) { orders(filter: {customerId: $id, status: PLACED}) { nodes { number customer { email } } totalCount } }`, variables: customer, hit: ownMark},

		{name: "auditLog after", document: `query($cursor: String) { auditLog(after: $cursor) { nodes { id occurredAt actor { email } action entityId requestId details } pageInfo { hasNextPage endCursor } totalCount } }`,
			variables: cursorOf("auditLog"), hit: ownMark, free: true},
		{name: "auditLog before", document: `query($cursor: String) { auditLog(last: 50, before: $cursor) { nodes { id actor { email } details } totalCount } }`, variables: cursorOf("auditLogLast"), hit: ownMark, free: true},
		{name: "auditLog of a thing", document: `query($id: ID!) { auditLog(filter: {entityId: $id, since: "2020-01-01T00:00:00Z", until: "2200-01-01T00:00:00Z"}) { nodes { action entityId details } totalCount } }`, variables: product, hit: ownMark},
		{name: "auditLog of a person", document: `query($id: ID!) { auditLog(filter: {actorId: $id, action: "product.created"}) { nodes { actor { email } details } totalCount } }`,
			variables: naming("id", func(x things) any { return x.User }), hit: ownMark},
		{name: "accessLog after", document: `query($cursor: String) { accessLog(after: $cursor) { nodes { id occurredAt actor { email } action entityId requestId details } pageInfo { hasNextPage endCursor } totalCount } }`,
			variables: cursorOf("accessLog"), hit: func(own *resident) string { return own.Email }, free: true},
		{name: "accessLog before", document: `query($cursor: String) { accessLog(last: 50, before: $cursor) { nodes { id actor { email } details } totalCount } }`,
			variables: cursorOf("accessLogLast"), hit: func(own *resident) string { return own.Email }, free: true},
		{name: "accessLog of a session", document: `query($id: ID!) { accessLog(filter: {entityId: $id}) { nodes { action actor { email } entityId } totalCount } }`,
			variables: naming("id", func(x things) any { return x.Session }), hit: says(`"session.started"`)},
		{name: "accessLog of a person", document: `query($id: ID!) { accessLog(filter: {actorId: $id}) { nodes { actor { email } details } totalCount } }`,
			variables: naming("id", func(x things) any { return x.User }), hit: func(own *resident) string { return own.Email }},

		{name: "signIn to a tenant", document: `mutation($slug: String, $email: String!) { signIn(input: {tenant: $slug, email: $email, password: "` + apitest.Password + `"}) { session { accessToken } memberships { role tenant { slug } }` + userErrors + `} }`,
			variables: func(own *resident, x things) map[string]any {
				return map[string]any{"slug": x.Slug, "email": own.Email}
			}, hit: says(`"userErrors":[]`)},
		{name: "switchTenant", document: `mutation($slug: String!) { switchTenant(input: {tenant: $slug}) { session { accessToken } membership { role tenant { slug } }` + userErrors + `} }`,
			variables: naming("slug", func(x things) any { return x.Slug }), hit: says(`"userErrors":[]`)},
		{name: "invitations after", document: `query($cursor: String) { invitations(first: 5, after: $cursor) { nodes { id email role status invitedBy { email } link { allowedDomains } createdAt sentAt expiresAt } edges { cursor } totalCount } }`,
			variables: cursorOf("invitations"), hit: ownMark, free: true},
		{name: "invitations before", document: `query($cursor: String) { invitations(last: 5, before: $cursor) { nodes { email } totalCount } }`,
			variables: cursorOf("invitationsLast"), hit: ownMark, free: true},
		{name: "inviteMember of an address", document: `mutation($email: String!) { inviteMember(input: {email: $email, role: VIEWER}) { invitation { role status }` + userErrors + `} }`,
			variables: naming("email", func(x things) any { return x.Person }), hit: says(`"TAKEN"`)},
		{name: "inviteMember of somebody new", document: `mutation($email: String!) { inviteMember(input: {email: $email, role: OWNER}) { invitation { role status }` + userErrors + `} }`,
			variables: func(own *resident, _ things) map[string]any {
				own.changes++
				return map[string]any{"email": fmt.Sprintf("new-%d-%s", own.changes, own.CustomerEmail)}
			}, hit: says(`"userErrors":[]`), free: true},
		{name: "resendInvitation", document: `mutation($id: ID!) { resendInvitation(input: {id: $id}) { invitation { email status }` + userErrors + `} }`,
			variables: naming("id", func(x things) any { return x.Invitation }), hit: ownMark},
		{name: "revokeInvitation", document: `mutation($id: ID!) { revokeInvitation(input: {id: $id}) { invitation { email status }` + userErrors + `} }`,
			variables: naming("id", func(x things) any { return x.Invitation }), hit: says(`"REVOKED"`)},
		{name: "acceptInvitation", document: `mutation { acceptInvitation(input: {token: "none"}) { session { accessToken } membership { role }` + userErrors + `} }`,
			variables: func(*resident, things) map[string]any { return nil }, hit: says(`"BAD_CREDENTIALS"`), free: true},
		{name: "invitationLinks after", document: `query($cursor: String) { invitationLinks(first: 5, after: $cursor) { nodes { id role allowedDomains maxUses uses status createdBy { email } createdAt expiresAt } edges { cursor } totalCount } }`,
			variables: cursorOf("invitationLinks"), hit: says(`"totalCount":1`), free: true},
		{name: "invitationLinks before", document: `query($cursor: String) { invitationLinks(last: 5, before: $cursor) { nodes { allowedDomains } totalCount } }`,
			variables: cursorOf("invitationLinksLast"), hit: says(`"totalCount":1`), free: true},
		{name: "createInvitationLink", document: `mutation { createInvitationLink(input: {role: VIEWER, allowedDomains: ["tests.example"], expiresInDays: 1, maxUses: 1}) { invitationLink { role allowedDomains status }` + userErrors + `} }`,
			variables: func(*resident, things) map[string]any { return nil }, hit: says(`"userErrors":[]`), free: true},
		{name: "requestToJoin", document: `mutation($token: String!, $email: String!) { requestToJoin(input: {token: $token, email: $email}) {` + userErrors + `} }`,
			variables: func(own *resident, x things) map[string]any {
				return map[string]any{"token": own.LinkToken, "email": x.Person}
			}, hit: says(`"userErrors":[]`), free: true},
		{name: "revokeInvitationLink", document: `mutation($id: ID!) { revokeInvitationLink(input: {id: $id}) { invitationLink { allowedDomains status }` + userErrors + `} }`,
			variables: naming("id", func(x things) any { return x.InvitationLink }), hit: says(`"REVOKED"`)},
		{name: "transferOwnership", document: `mutation($id: ID!) { transferOwnership(input: {memberId: $id, password: "` + apitest.Password + `"}) { member { role user { displayName } }` + userErrors + `} }`,
			variables: colleague, hit: says(`"role":"OWNER"`)},
		{name: "refreshSession", document: `mutation($token: String!) { refreshSession(input: {refreshToken: $token}) { session { accessToken refreshToken }` + userErrors + `} }`,
			variables: naming("token", func(x things) any { return x.Refresh }), hit: says(`"userErrors":[]`)},
		{name: "signOut", document: `mutation { signOut(input: {clientMutationId: "1"}) { clientMutationId` + userErrors + `} }`,
			variables: func(*resident, things) map[string]any { return nil }, hit: says(`"userErrors":[]`), free: true, fresh: true},
		{name: "viewer.sessions", document: `{ viewer { sessions { id current userAgent tenantName createdAt expiresAt } } }`,
			variables: func(*resident, things) map[string]any { return nil }, hit: func(own *resident) string { return own.Tenant.Name }, free: true},
		{name: "endSession", document: `mutation($id: ID!) { endSession(input: {id: $id}) { endedSessionId` + userErrors + `} }`,
			variables: naming("id", func(x things) any { return x.Device }), hit: func(own *resident) string { return own.Device }},
		{name: "signOutEverywhere", document: `mutation { signOutEverywhere(input: {keepCurrent: true}) {` + userErrors + `} }`,
			variables: func(*resident, things) map[string]any { return nil }, hit: says(`"userErrors":[]`), free: true},
		{name: "reauthenticate", document: `mutation { reauthenticate(input: {password: "` + apitest.Password + `"}) {` + userErrors + `} }`,
			variables: func(*resident, things) map[string]any { return nil }, hit: says(`"userErrors":[]`), free: true},
		{name: "requestPasswordReset", document: `mutation($email: String!) { requestPasswordReset(input: {email: $email}) {` + userErrors + `} }`,
			variables: naming("email", func(x things) any { return x.CustomerEmail }), hit: says(`"userErrors":[]`), free: true},
		{name: "resetPassword", document: `mutation($token: String!) { resetPassword(input: {token: $token, newPassword: "a password, long enough"}) {` + userErrors + `} }`,
			variables: naming("token", func(x things) any { return x.Refresh }), hit: says(`"BAD_CREDENTIALS"`), free: true},
		{name: "changePassword", document: `mutation { changePassword(input: {currentPassword: "` + apitest.Password + `", newPassword: "` + apitest.Password + `"}) {` + userErrors + `} }`,
			variables: func(*resident, things) map[string]any { return nil }, hit: says(`"userErrors":[]`), free: true},
		{name: "requestEmailChange", document: `mutation($email: String!) { requestEmailChange(input: {newEmail: $email, password: "` + apitest.Password + `"}) {` + userErrors + `} }`,
			variables: naming("email", func(x things) any { return x.CustomerEmail }), hit: says(`"userErrors":[]`), free: true},
		{name: "confirmEmailChange", document: `mutation($token: String!) { confirmEmailChange(input: {token: $token}) {` + userErrors + `} }`,
			variables: naming("token", func(x things) any { return x.Refresh }), hit: says(`"BAD_CREDENTIALS"`), free: true},
		{name: "confirmRegistration", document: `mutation($token: String!) { confirmRegistration(input: {token: $token, slug: "new-by-link"}) { tenant { slug }` + userErrors + `} }`,
			variables: naming("token", func(x things) any { return x.Refresh }), hit: says(`"BAD_CREDENTIALS"`), free: true},
		{name: "slugAvailable", document: `query($slug: String!) { slugAvailable(slug: $slug) }`,
			variables: naming("slug", func(x things) any { return x.Slug }), hit: says(`{"slugAvailable":false}`), global: "a slug is part of public addresses, unique among all tenants"},
		{name: "registerTenant", document: `mutation($slug: String!) { registerTenant(input: {tenantName: "New", slug: $slug}) { tenant { slug } confirmationSent` + userErrors + `} }`,
			variables: naming("slug", func(x things) any { return x.Slug }), hit: says(`"TAKEN"`), global: "a slug is part of public addresses, unique among all tenants"},

		{name: "createProduct in a category", document: `mutation($id: ID) { createProduct(input: {sku: "new", name: "New", price: {amount: "1.00", currencyCode: EUR}, categoryId: $id}) { product { sku }` + userErrors + `} }`,
			variables: category, hit: says(`"userErrors":[]`)},
		{name: "createProduct of a SKU", document: `mutation($sku: String!) { createProduct(input: {sku: $sku, name: "New", price: {amount: "1.00", currencyCode: EUR}}) { product { stock }` + userErrors + `} }`,
			variables: naming("sku", func(x things) any { return x.SKU }), hit: says(`"TAKEN"`)},
		{name: "updateProduct", document: `mutation($id: ID!) { updateProduct(input: {id: $id, version: 1, name: "Changed"}) { product { name }` + userErrors + `} }`,
			variables: product, hit: says(`"userErrors":[]`)},
		{name: "updateProduct of another version", document: `mutation($id: ID!) { updateProduct(input: {id: $id, version: 7, name: "Changed"}) { product { name }` + userErrors + `} }`,
			variables: product, hit: says(`"STALE_VERSION"`)},
		{name: "updateProduct to a category", document: `mutation($own: ID!, $id: ID) { updateProduct(input: {id: $own, version: 1, categoryId: $id}) { product { version }` + userErrors + `} }`,
			variables: func(own *resident, x things) map[string]any {
				return map[string]any{"own": own.Product, "id": x.Parent}
			}, hit: says(`"userErrors":[]`)},
		{name: "updateProduct to a SKU", document: `mutation($own: ID!, $version: Int!, $sku: String) { updateProduct(input: {id: $own, version: $version, sku: $sku}) { product { stock }` + userErrors + `} }`,
			variables: func(own *resident, x things) map[string]any {
				own.changes++
				return map[string]any{"own": own.Product, "version": own.changes, "sku": x.SKU}
			}, hit: says(`"TAKEN"`)},
		{name: "deleteProduct", document: `mutation($id: ID!) { deleteProduct(input: {id: $id, version: 1}) { product { name }` + userErrors + `} }`,
			variables: product, hit: ownMark},
		{name: "productsUpsert of a SKU", document: `mutation($sku: String!) { productsUpsert(input: [{sku: "new", name: "New", price: {amount: "1.00", currencyCode: EUR}}, {sku: $sku, name: "Upserted", price: {amount: "1.00", currencyCode: EUR}}]) { products { version stock }` + userErrors + `} }`,
			variables: naming("sku", func(x things) any { return x.SKU }), hit: says(`{"version":2,"stock":3}`)},
		{name: "productsUpsert into a category", document: `mutation($id: ID, $sku: String!) { productsUpsert(input: [{sku: $sku, name: "New", price: {amount: "1.00", currencyCode: EUR}, categoryId: $id}], onError: SKIP_FAILED) { products { name category { name } }` + userErrors + `} }`,
			variables: func(own *resident, x things) map[string]any {
				own.changes++
				return map[string]any{"id": x.Parent, "sku": fmt.Sprint(own.changes)}
			}, hit: ownMark},
		{name: "createCategory below a parent", document: `mutation($id: ID) { createCategory(input: {name: "New", parentId: $id}) { category { name }` + userErrors + `} }`,
			variables: category, hit: says(`"userErrors":[]`)},
		{name: "createCategory of a name", document: `mutation($name: String!) { createCategory(input: {name: $name}) { category { version }` + userErrors + `} }`,
			variables: naming("name", func(x things) any { return x.Name }), hit: says(`"TAKEN"`)},
		{name: "updateCategory", document: `mutation($id: ID!) { updateCategory(input: {id: $id, version: 1, name: "Changed"}) { category { name }` + userErrors + `} }`,
			variables: category, hit: says(`"userErrors":[]`)},
		{name: "updateCategory below a parent", document: `mutation($own: ID!, $id: ID) { updateCategory(input: {id: $own, version: 1, parentId: $id}) { category { version }` + userErrors + `} }`,
			variables: func(own *resident, x things) map[string]any {
				return map[string]any{"own": own.Category, "id": x.Parent}
			}, hit: says(`"userErrors":[]`)},
		{name: "updateCategory below itself", document: `mutation($id: ID!) { updateCategory(input: {id: $id, version: 1, parentId: $id}) { category { version }` + userErrors + `} }`,
			variables: category, hit: says(`"INVALID"`)},
		{name: "deleteCategory", document: `mutation($id: ID!) { deleteCategory(input: {id: $id, version: 1}) { category { name }` + userErrors + `} }`,
			variables: category, hit: says(`"IN_USE"`)},
		{name: "deleteProduct that was sold", document: `mutation($id: ID!) { deleteProduct(input: {id: $id, version: 3}) { product { name }` + userErrors + `} }`,
			variables: naming("id", func(x things) any { return x.Sold }), hit: says(`"IN_USE"`)},

		{name: "createCustomer of an address", document: `mutation($email: String!) { createCustomer(input: {email: $email, name: "New"}) { customer { name }` + userErrors + `} }`,
			variables: naming("email", func(x things) any { return x.CustomerEmail }), hit: says(`"TAKEN"`)},
		{name: "updateCustomer", document: `mutation($id: ID!) { updateCustomer(input: {id: $id, version: 1, name: "Changed"}) { customer { email }` + userErrors + `} }`,
			variables: customer, hit: ownMark},
		{name: "updateCustomer of another version", document: `mutation($id: ID!) { updateCustomer(input: {id: $id, version: 7}) { customer { email }` + userErrors + `} }`,
			variables: customer, hit: says(`"STALE_VERSION"`)},
		{name: "updateCustomer to an address", document: `mutation($own: ID!, $version: Int!, $email: String) { updateCustomer(input: {id: $own, version: $version, email: $email}) { customer { name }` + userErrors + `} }`,
			variables: func(own *resident, x things) map[string]any {
				own.changes++
				return map[string]any{"own": own.Idle, "version": own.changes, "email": x.CustomerEmail}
			}, hit: says(`"TAKEN"`)},
		{name: "deleteCustomer", document: `mutation($id: ID!) { deleteCustomer(input: {id: $id, version: 1}) { customer { email }` + userErrors + `} }`,
			variables: naming("id", func(x things) any { return x.Idle }), hit: ownMark},
		{name: "deleteCustomer with orders", document: `mutation($id: ID!) { deleteCustomer(input: {id: $id, version: 1}) { customer { email }` + userErrors + `} }`,
			variables: customer, hit: says(`"IN_USE"`)},
		{name: "createOrder of a customer", document: `mutation($id: ID!, $own: ID!) { createOrder(input: {customerId: $id, items: [{productId: $own, quantity: 1}]}) { order { customer { email } }` + userErrors + `} }`,
			variables: func(own *resident, x things) map[string]any {
				return map[string]any{"own": own.Product, "id": x.Customer}
			}, hit: ownMark},
		{name: "createOrder of a product", document: `mutation($id: ID!, $own: ID!, $first: ID!) { createOrder(input: {customerId: $own, items: [{productId: $first, quantity: 1}, {productId: $id, quantity: 1}]}) { order { items { product { name } } }` + userErrors + `} }`,
			variables: func(own *resident, x things) map[string]any {
				return map[string]any{"own": own.Customer, "first": own.Spare, "id": x.Product}
			}, hit: ownMark},
		{name: "placeOrder of a customer", document: `mutation($id: ID!, $own: ID!) { placeOrder(input: {order: {customerId: $id, items: [{productId: $own, quantity: 1}]}}) { order { customer { email } }` + userErrors + `} }`,
			variables: func(own *resident, x things) map[string]any {
				return map[string]any{"own": own.Spare, "id": x.Customer}
			}, hit: ownMark},
		{name: "placeOrder of a product", document: `mutation($id: ID!, $own: ID!) { placeOrder(input: {order: {customerId: $own, items: [{productId: $id, quantity: 1}]}}) { order { items { product { name } } }` + userErrors + `} }`,
			variables: func(own *resident, x things) map[string]any {
				return map[string]any{"own": own.Customer, "id": x.Product}
			}, hit: ownMark},
		{name: "placeOrder of a product that is short", document: `mutation($id: ID!, $own: ID!) { placeOrder(input: {order: {customerId: $own, items: [{productId: $id, quantity: 1000}]}}) { order { items { product { name } } }` + userErrors + `} }`,
			variables: func(own *resident, x things) map[string]any {
				return map[string]any{"own": own.Customer, "id": x.Product}
			}, hit: says(`"OUT_OF_STOCK"`)},
		{name: "placeOrder of a draft", document: `mutation($id: ID!) { placeOrder(input: {draft: {id: $id, version: 1}}) { order { number customer { email } }` + userErrors + `} }`,
			variables: draft, hit: ownMark},
		{name: "placeOrder of a draft of another version", document: `mutation($id: ID!) { placeOrder(input: {draft: {id: $id, version: 7}}) { order { number }` + userErrors + `} }`,
			variables: draft, hit: says(`"STALE_VERSION"`)},
		{name: "placeOrder of what is placed", document: `mutation($id: ID!) { placeOrder(input: {draft: {id: $id, version: 2}}) { order { number }` + userErrors + `} }`,
			variables: order, hit: says(`"WRONG_STATUS"`)},
		{name: "changeOrderStatus", document: `mutation($id: ID!) { changeOrderStatus(input: {id: $id, version: 2, status: CANCELLED}) { order { customer { email } }` + userErrors + `} }`,
			variables: order, hit: ownMark},
		{name: "changeMemberRole", document: `mutation($id: ID!) { changeMemberRole(input: {id: $id, role: VIEWER}) { member { role user { displayName } }` + userErrors + `} }`,
			variables: colleague, hit: says(`"role":"VIEWER"`)},
		{name: "changeMemberRole of the only owner", document: `mutation($id: ID!) { changeMemberRole(input: {id: $id, role: ADMIN}) { member { role }` + userErrors + `} }`,
			variables: member, hit: says(`"LAST_OWNER"`)},
		{name: "suspendMember", document: `mutation($id: ID!) { suspendMember(input: {id: $id}) { member { status }` + userErrors + `} }`,
			variables: colleague, hit: says(`"SUSPENDED"`)},
		{name: "reinstateMember", document: `mutation($id: ID!) { reinstateMember(input: {id: $id}) { member { status }` + userErrors + `} }`,
			variables: naming("id", func(x things) any { return x.Benched }), hit: says(`"ACTIVE"`)},
		{name: "removeMember", document: `mutation($id: ID!) { removeMember(input: {id: $id}) { member { status }` + userErrors + `} }`,
			variables: colleague, hit: says(`"REMOVED"`)},
		{name: "changeOrderStatus to what is not next", document: `mutation($id: ID!) { changeOrderStatus(input: {id: $id, version: 2, status: DELIVERED}) { order { number }` + userErrors + `} }`,
			variables: order, hit: says(`"WRONG_STATUS"`)},
	}
}

// text is every input that takes a String and names nothing that exists.
var text = map[string]string{
	"TextFilter.contains":                      "a part of a name",
	"AuditFilter.action":                       "what is done, the same in every tenant",
	"CreateProductInput.name":                  "not unique",
	"CreateProductInput.description":           "not unique",
	"ProductUpsertInput.name":                  "not unique",
	"ProductUpsertInput.description":           "not unique",
	"UpdateProductInput.name":                  "not unique",
	"UpdateProductInput.description":           "not unique",
	"UpdateCategoryInput.name":                 "as CreateCategoryInput.name",
	"CreateCustomerInput.name":                 "not unique",
	"UpdateCustomerInput.name":                 "not unique",
	"SignInInput.email":                        "a person is no tenant's; the tests of auth compare unknown addresses",
	"SignInInput.password":                     "a secret",
	"SwitchTenantInput.ticket":                 "a secret",
	"AcceptInvitationInput.token":              "a secret: who holds it was invited",
	"AcceptInvitationInput.password":           "a secret",
	"AcceptInvitationInput.displayName":        "not unique",
	"CreateInvitationLinkInput.allowedDomains": "not unique",
	"RequestToJoinInput.token":                 "a secret: who holds it was given the link",
	"TransferOwnershipInput.password":          "a secret",
	"SignOutInput.clientMutationId":            "returned as it is",
	"RegisterTenantInput.tenantName":           "not unique",
	"RegisterTenantInput.email":                "as SignInInput.email",
	"RegisterTenantInput.password":             "a secret",
	"RegisterTenantInput.displayName":          "not unique",
	"ConfirmRegistrationInput.password":        "a secret",
	"ConfirmRegistrationInput.slug":            "as RegisterTenantInput.slug, for who holds a token",
	"ReauthenticateInput.password":             "a secret",
	"ResetPasswordInput.newPassword":           "a secret",
	"ChangePasswordInput.currentPassword":      "a secret",
	"ChangePasswordInput.newPassword":          "a secret",
	"RequestEmailChangeInput.password":         "a secret",
	"CreateApiKeyInput.name":                   "not unique",
}

// uncovered lists what of a schema no operation uses: root fields, and arguments
// and input fields that can name something.
func uncovered(t testing.TB, source string, ops []operation) (missing []string) {
	t.Helper()
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphql", Input: source})
	if err != nil {
		t.Fatal(err)
	}
	wanted := make(map[string]bool)
	want := func(coordinate string, of *ast.Type) {
		if name := of.Name(); name == "ID" || name == "String" && text[coordinate] == "" {
			wanted[coordinate] = true
		}
	}
	for _, kind := range schema.Types {
		if kind.BuiltIn || strings.HasPrefix(kind.Name, "__") {
			continue
		}
		for _, field := range kind.Fields {
			switch {
			case strings.HasPrefix(field.Name, "__"):
				continue
			case kind.Kind == ast.InputObject:
				want(kind.Name+"."+field.Name, field.Type)
			case kind == schema.Query || kind == schema.Mutation || kind == schema.Subscription:
				wanted[kind.Name+"."+field.Name] = true
			}
			for _, argument := range field.Arguments {
				want(kind.Name+"."+field.Name+"."+argument.Name, argument.Type)
			}
		}
	}
	if len(wanted) < 40 {
		t.Fatalf("the schema has only %d things to cover", len(wanted))
	}
	for _, op := range ops {
		document, err := gqlparser.LoadQueryWithRules(schema, op.document, nil)
		if err != nil {
			t.Fatalf("%s: %v", op.name, err)
		}
		for _, operation := range document.Operations {
			cover(operation.SelectionSet, wanted)
		}
	}
	return slices.Sorted(maps.Keys(wanted))
}

// cover takes what a selection uses out of wanted.
func cover(set ast.SelectionSet, wanted map[string]bool) {
	var value func(v *ast.Value)
	value = func(v *ast.Value) {
		for _, child := range v.Children {
			if v.Kind == ast.ObjectValue {
				delete(wanted, v.Definition.Name+"."+child.Name)
			}
			value(child.Value)
		}
	}
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			coordinate := s.ObjectDefinition.Name + "." + s.Name
			delete(wanted, coordinate)
			for _, argument := range s.Arguments {
				delete(wanted, coordinate+"."+argument.Name)
				value(argument.Value)
			}
			cover(s.SelectionSet, wanted)
		case *ast.InlineFragment:
			cover(s.SelectionSet, wanted)
		}
	}
}

func TestNoOperationIsLeftOut(t *testing.T) {
	t.Parallel()
	if missing := uncovered(t, commonhold.Schema, operations()); len(missing) > 0 {
		t.Errorf("add a case to operations() for: %s", strings.Join(missing, ", "))
	}
}

// What the test above is there for, planted.
func TestLeftOutOperationsAreFound(t *testing.T) {
	t.Parallel()
	source := commonhold.Schema + `
		extend type Query { shipment(id: ID!): Product @authenticated }
		extend type Mutation { renameMember(input: RenameMemberInput!): SignOutPayload @authenticated }
		extend input ProductFilter { createdBy: ID }
		extend type Product { related(like: ID!): Product }
		input RenameMemberInput { member: ID!, names: [String!] }`
	want := []string{"Mutation.renameMember", "Product.related.like", "ProductFilter.createdBy", "Query.shipment", "Query.shipment.id", "RenameMemberInput.member", "RenameMemberInput.names"}
	missing := uncovered(t, commonhold.Schema, operations()) // TestNoOperationIsLeftOut says which
	found := slices.DeleteFunc(uncovered(t, source, operations()), func(s string) bool { return slices.Contains(missing, s) })
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
}

// A type that says it is a Node must be found by its id.
func TestEveryNodeIsAskedForByItsID(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: commonhold.Schema})
	for _, node := range schema.GetPossibleTypes(schema.Types["Node"]) {
		if !strings.Contains(anyNode, "... on "+node.Name+" {") {
			t.Errorf("%s implements Node: add a case to graph/node.go, and one to anyNode and operations here", node.Name)
		}
	}
}

func TestForeignIsAnsweredLikeNeverExisted(t *testing.T) {
	t.Parallel()
	// As in production, where any host may be asked for.
	api := apitest.New(t, pgtest.New(t), func(c *server.Config) { c.Localhost = false })
	b := newResident(t, api)
	dead := signIn(t, api, b.Client)
	b.Refresh = dead.RefreshToken
	ask(t, api, dead.AccessToken, `mutation { signOut { userErrors { code } } }`, nil, nil)
	super := pgtest.Superuser(t)
	before := fingerprint(t, super, b.Tenant.ID)
	for _, table := range []string{"shared.products", "shared.categories", "shared.customers", "shared.orders", "shared.order_items", "shared.order_numbers", "shared.events", "control.access_events", "control.memberships", "control.invitation_links", "control.api_keys", "control.api_key_secrets", "gate.tenant_doors"} {
		if before[table] == "" || strings.HasPrefix(before[table], "0 ") {
			t.Fatalf("no rows of %s to watch over: %v", table, before)
		}
	}
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			a := newResident(t, api)
			run := func(x things, header map[string]string) reply {
				token := a.Token
				if op.fresh {
					token = signIn(t, api, a.Client).AccessToken
				}
				changes := a.changes
				answer := ask(t, api, token, op.document, op.variables(a, x), header)
				if answer.status != http.StatusOK { // refused as a whole: nothing changed
					a.changes = changes
				}
				return answer
			}
			elsewhere := nowhere(t, b.things)
			foreign := run(b.things, nil)
			unknown := run(elsewhere, nil)
			if op.global == "" && foreign.shown() != unknown.shown() {
				t.Errorf("foreign and unknown are told apart:\n%s", cmp.Diff(foreign.shown(), unknown.shown()))
			}
			if strings.Contains(foreign.body, b.mark) && op.global == "" {
				t.Errorf("the answer shows the other tenant: %s", foreign.body)
			}
			// A name that agrees with the token changes nothing. One that does not is refused
			// before anything is done, another's like nobody's; what asks for a new session
			// is answered for what it names.
			for _, agreeing := range []string{a.TenantID, a.Slug} {
				if led := run(nowhere(t, b.things), map[string]string{"X-Tenant-ID": agreeing}); op.global == "" && led.shown() != unknown.shown() {
					t.Errorf("X-Tenant-ID agrees and changes the answer:\n%s", cmp.Diff(led.shown(), unknown.shown()))
				}
			}
			var refusedFirst string
			for _, other := range []string{b.TenantID, b.Slug, elsewhere.TenantID, elsewhere.Slug, "nonsense"} {
				if strings.HasPrefix(op.name, "signIn") || strings.HasPrefix(op.name, "refreshSession") {
					continue
				}
				led := run(a.things, map[string]string{"X-Tenant-ID": other})
				if refusedFirst == "" {
					refusedFirst = led.shown()
				}
				if led.status != http.StatusForbidden || !strings.Contains(led.body, `"TENANT_MISMATCH"`) || led.shown() != refusedFirst {
					t.Errorf("X-Tenant-ID: %s, which does not agree: %d %s", other, led.status, led.body)
				}
			}
			for name, value := range map[string]string{
				"X-Tenant-ID": b.TenantID, "X-Tenant-Id": b.Slug, "X-Tenant": b.Slug, "Tenant": b.Slug,
				"Host": b.Slug + ".commonhold.example", "X-Forwarded-Host": b.Slug + ".commonhold.example",
				"Forwarded": "host=" + b.Slug, "Cookie": "tenant=" + b.TenantID, "X-HTTP-Method-Override": "GET",
			} {
				led := run(nowhere(t, b.things), map[string]string{name: value})
				refused := led.status == http.StatusForbidden || led.status == http.StatusUnauthorized || led.status == http.StatusBadRequest
				if op.global == "" && !refused && led.shown() != unknown.shown() {
					t.Errorf("the header %s: %s changes the answer:\n%s", name, value, cmp.Diff(led.shown(), unknown.shown()))
				}
				if strings.Contains(led.body, b.mark) {
					t.Errorf("with the header %s: %s the answer shows the other tenant: %s", name, value, led.body)
				}
			}
			if now := columnsOf(t, b.Tenant.ID); !maps.Equal(before, now) {
				t.Errorf("rows of the other tenant changed: %s", cmp.Diff(before, now))
			}
			// The same document means something where the things are one's own.
			own := run(a.things, nil)
			if own.status != http.StatusOK || strings.Contains(own.body, `"errors"`) || !strings.Contains(own.body, op.hit(a)) {
				t.Errorf("with its own things the tenant is answered %d %s, without %q", own.status, own.body, op.hit(a))
			}
			if !op.free && own.shown() == unknown.shown() {
				t.Errorf("own and unknown are answered alike, the comparison says nothing: %s", own.body)
			}
		})
	}
}

// columnsOf is fingerprint on a connection of its own.
func columnsOf(t *testing.T, id tenant.ID) map[string]string {
	return fingerprint(t, pgtest.Superuser(t), id)
}

// A refresh token is a credential of its own: who asks with another tenant's
// access token beside it gets the session of the refresh token, in its tenant.
func TestARefreshTokenOpensItsOwnTenant(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	a, b := newResident(t, api), newResident(t, api)
	var got struct{ RefreshSession struct{ Session session } }
	a.Must(t, `mutation($t: String!) { refreshSession(input: {refreshToken: $t}) { session { accessToken } } }`, map[string]any{"t": b.Refresh}, &got)
	if r := ask(t, api, got.RefreshSession.Session.AccessToken, `{ tenant { slug } }`, nil, nil); !strings.Contains(r.body, b.Slug) {
		t.Errorf("the session is of another tenant: %s", r.body)
	}
}

func TestTenantsDoNotMixUnderLoad(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	residents := []*resident{newResident(t, api), newResident(t, api)}
	want := make([]int, len(residents))
	for i, r := range residents {
		want[i] = 4
		for n := range 7 + 10*i {
			addProduct(t, r.Client, fmt.Sprintf("same-sku-%d", n), fmt.Sprintf("Product %s more %d", r.mark, n), r.Category)
			want[i]++
		}
	}
	const document = `query($id: ID!, $foreign: ID!) {
		viewer { tenant { slug } }
		node(id: $id) { ... on Product { name } }
		foreign: node(id: $foreign) { id }
		products(first: 100, orderBy: {field: NAME}, filter: {name: {contains: "product"}}) { totalCount nodes { name category { name parent { name } } createdBy { email } } }
		categories { nodes { name products(first: 100) { totalCount nodes { name } } } }
		members { totalCount nodes { user { email } } }
	}`
	var group sync.WaitGroup
	for i := range 64 {
		me, other := i%2, 1-i%2
		r, foreign := residents[me], residents[other]
		group.Go(func() {
			for round := range 4 {
				answer := ask(t, api, r.Token, document, map[string]any{"id": r.Product, "foreign": foreign.Product}, nil)
				var got struct {
					Data struct {
						Foreign  any
						Products struct {
							TotalCount int
							Nodes      []struct {
								Name      string
								Category  struct{ Name string }
								CreatedBy struct{ Email string }
							}
						}
						Categories struct {
							Nodes []struct {
								Name     string
								Products struct{ TotalCount int }
							}
						}
						Members struct{ TotalCount int }
					}
				}
				if err := json.Unmarshal([]byte(answer.body), &got); err != nil || !succeeded(answer) {
					t.Errorf("round %d: %d %s", round, answer.status, answer.body)
					return
				}
				if strings.Contains(answer.body, foreign.mark) || strings.Contains(answer.body, foreign.Email) || got.Data.Foreign != nil {
					t.Errorf("a row of the other tenant: %s", answer.body)
					return
				}
				if n := got.Data.Products; n.TotalCount != want[me] || len(n.Nodes) != want[me] {
					t.Errorf("%d products counted and %d listed, want %d", n.TotalCount, len(n.Nodes), want[me])
				}
				for _, p := range got.Data.Products.Nodes {
					if !strings.Contains(p.Name, r.mark) || p.Category.Name != "Category "+r.mark || p.CreatedBy.Email != r.Email {
						t.Errorf("not a row of the asking tenant: %+v", p)
					}
				}
				for _, c := range got.Data.Categories.Nodes {
					if c.Name == "Category "+r.mark && c.Products.TotalCount != want[me] {
						t.Errorf("the category counts %d products, want %d", c.Products.TotalCount, want[me])
					}
				}
				if got.Data.Members.TotalCount != 3 {
					t.Errorf("%d members, want 3", got.Data.Members.TotalCount)
				}
				// Writers among the readers: the same SKUs in both tenants.
				sku := fmt.Sprintf("goroutine-%d-%d", i/2, round)
				made := addProduct(t, r.Client, sku, "Passing "+r.mark, "")
				if gone := mutate(t, r.Client, "deleteProduct", map[string]any{"id": made.ID, "version": 1}); gone.Product == nil {
					t.Errorf("delete what was just made: %v", gone.UserErrors)
				}
			}
		})
	}
	group.Wait()
}
