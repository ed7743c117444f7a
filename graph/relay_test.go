package graph_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold"
	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/tenant"
)

// position is what a cursor stands for: a place in all the rows of a table, in order
// of a key, whoever's rows they are.
type position struct{ name, table, key, prefix string }

var (
	byMembership  = &position{"members", "control.memberships", "created_at", "mem"}
	byInvitation  = &position{"invitations", "control.invitations", "created_at", "inv"}
	byLink        = &position{"invitationLinks", "control.invitation_links", "created_at", "link"}
	byAPIKey      = &position{"apiKeys", "control.api_keys", "created_at", "key"}
	byProduct     = &position{"products by time", "shared.products", "created_at", "prod"}
	byProductName = &position{"products by name", "shared.products", `lower(name) collate "C"`, "prod"}
	byPrice       = &position{"products by price", "shared.products", "price_minor", "prod"}
	byCategory    = &position{"categories", "shared.categories", `lower(name) collate "C"`, "cat"}
	byCustomer    = &position{"customers", "shared.customers", "created_at", "cust"}
	byOrder       = &position{"orders", "shared.orders", "created_at", "ord"}
	byEvent       = &position{"audit log", "shared.events", "occurred_at", "evt"}
	byAccess      = &position{"access log", "control.access_events", "occurred_at", "acc"}
)

// listing is a way to ask for a list, and the same in SQL.
type listing struct {
	at         *position
	descending bool
	arguments  string // besides those of a page
	where      string // as a condition on rows; $2 is the parent
}

func (l listing) direction() string {
	if l.descending {
		return "desc"
	}
	return "asc"
}

// listings has for each connection of the schema the ways in which it is listed.
func listings() map[string][]listing {
	return map[string][]listing{
		"Query.members":         {{at: byMembership}},
		"Query.invitations":     {{at: byInvitation, descending: true}},
		"Query.apiKeys":         {{at: byAPIKey, descending: true}},
		"Query.invitationLinks": {{at: byLink, descending: true}},
		"Query.products": {
			{at: byProduct, descending: true},
			{at: byProduct, arguments: `orderBy: {field: CREATED_AT}`},
			{at: byProductName, arguments: `orderBy: {field: NAME}`},
			{at: byPrice, descending: true, arguments: `orderBy: {field: PRICE, direction: DESC}`},
			{at: byProduct, descending: true, arguments: `filter: {inStock: true}`, where: `stock > 0`},
			{at: byProductName, descending: true, arguments: `filter: {name: {contains: "T 3"}}, orderBy: {field: NAME, direction: DESC}`, where: `name like '%t 3%'`},
		},
		"Query.categories": {{at: byCategory}},
		"Query.customers":  {{at: byCustomer, descending: true}},
		"Query.orders": {
			{at: byOrder, descending: true},
			{at: byOrder, descending: true, arguments: `filter: {status: PLACED}`, where: `status = 'PLACED'`},
		},
		"Query.auditLog": {
			{at: byEvent, descending: true},
			{at: byEvent, descending: true, arguments: `filter: {action: "customer.created"}`, where: `action = 'customer.created'`},
		},
		"Query.accessLog": {
			{at: byAccess, descending: true},
			{at: byAccess, descending: true, arguments: `filter: {action: "member.added"}`, where: `action = 'member.added'`},
		},
		"Category.products": {{at: byProduct, descending: true, where: `category_id = $2`}},
		"Customer.orders":   {{at: byOrder, descending: true, where: `customer_id = $2`}},
	}
}

// unlisted are the connections of a schema, its arguments besides those of a page and
// its orders that no listing asks for.
func unlisted(schema *ast.Schema, all map[string][]listing) (missing []string) {
	for _, definition := range schema.Types {
		for _, field := range definition.Fields {
			if kind := schema.Types[field.Type.Name()]; kind == nil || kind.Fields.ForName("pageInfo") == nil {
				continue
			}
			name, asked := definition.Name+"."+field.Name, ""
			for _, l := range all[name] {
				asked += " " + l.arguments
			}
			if all[name] == nil {
				missing = append(missing, name)
				continue
			}
			for _, argument := range field.Arguments {
				if !slices.Contains([]string{"first", "after", "last", "before"}, argument.Name) && !strings.Contains(asked, argument.Name+": ") {
					missing = append(missing, name+"."+argument.Name)
				}
				for _, member := range schema.Types[argument.Type.Name()].Fields {
					for _, value := range schema.Types[member.Type.Name()].EnumValues {
						if strings.HasSuffix(member.Type.Name(), "OrderField") && !strings.Contains(asked, ": "+value.Name) {
							missing = append(missing, name+"."+argument.Name+"."+value.Name)
						}
					}
				}
			}
		}
	}
	slices.Sort(missing)
	return missing
}

func TestEveryConnectionIsListed(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: commonhold.Schema})
	if missing := unlisted(schema, listings()); missing != nil {
		t.Errorf("add to listings(): %v", missing)
	}
	schema = gqlparser.MustLoadSchema(&ast.Source{Input: commonhold.Schema + `
		extend type Query { drafts(first: Int): OrderConnection! }
		extend type User { orders(first: Int): CustomerOrderConnection }
		extend enum ProductOrderField { STOCK }
		type Shelf { products(first: Int, filter: ProductFilter): ProductConnection! }`})
	some := listings()
	some["Shelf.products"] = []listing{{at: byProduct}}
	delete(some, "Category.products")
	want := []string{"Category.products", "Query.drafts", "Query.products.orderBy.STOCK", "Shelf.products.filter", "User.orders"}
	if missing := unlisted(schema, some); !slices.Equal(missing, want) {
		t.Errorf("planted: found %v, want %v", missing, want)
	}
}

// many is a tenant with more of everything than a page holds where nobody says how
// many, and with ties in every order.
type many struct {
	*shelf
	parents, idle map[string]string // by type: one that holds most of a list, and one that holds none
}

const manyOf = 22

func newMany(t *testing.T, api *apitest.API) *many {
	t.Helper()
	c := api.NewTenant(t)
	m := &many{shelf: &shelf{Client: c}, parents: map[string]string{}, idle: map[string]string{}}
	m.parents["Category"] = addCategory(t, c, "Category", "")
	var rows []map[string]any
	for i := range manyOf {
		m.idle["Category"] = addCategory(t, c, fmt.Sprintf("Category %02d", i*5%manyOf), "")
		rows = append(rows, row(fmt.Sprint(i), fmt.Sprintf("%d.00", i%5), "name", fmt.Sprint("Product ", i%4), "stock", 100*(i%2), "categoryId", m.parents["Category"]))
	}
	stocked := upsert(t, c, "REJECT_ALL", rows...).Products[1].ID
	m.parents["Customer"] = addCustomer(t, c, "parent@tests.example")
	for i := range manyOf {
		m.idle["Customer"] = addCustomer(t, c, fmt.Sprintf("idle-%d@tests.example", i))
		customer := m.parents["Customer"]
		if i < 2 {
			customer = m.idle["Customer"]
			addOrder(t, c, m.parents["Customer"], item(stocked, 1))
		}
		if i%3 == 0 {
			place(t, c, customer, item(stocked, 1))
		} else {
			addOrder(t, c, customer, item(stocked, 1))
		}
		invite(t, c, fmt.Sprintf("invited-%d@tests.example", i), "VIEWER")
		addAPIKey(t, c, "Key", "ORDERS_READ")
		email := fmt.Sprintf("%s@tests.example", id.New())
		if _, err := api.Auth.AddMember(t.Context(), c.Tenant.ID, email, apitest.Password, "Member", auth.RoleViewer); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, pgtest.Superuser(t), `insert into control.invitation_links (tenant_id, id, role, allowed_domains, max_uses, created_by, created_at, expires_at)
		select tenant_id, gen_random_uuid(), 'VIEWER', '{tests.example}', 1, user_id, now() + n * interval '1 second', now() from control.memberships, generate_series(1, $2) as n
		where tenant_id = $1 and role = 'OWNER'`, c.Tenant.ID, manyOf)
	for _, l := range m.listed(m.parents) {
		if at := l.at; strings.HasSuffix(at.key, "_at") {
			exec(t, pgtest.Superuser(t), `update `+at.table+` set `+at.key+` = date_trunc('day', `+at.key+`) + get_byte(uuid_send(id), 15) % 7 * interval '1 microsecond' where tenant_id = $1`, c.Tenant.ID)
		}
	}
	return m
}

// rowsOf are the ids of a list as the superuser sees it, past every policy and index
// condition. Without a parent the condition is that of a root field.
func rowsOf(t testing.TB, at *position, direction, where, parent string, tenants ...tenant.ID) []string {
	t.Helper()
	if where == "" {
		where = "true"
	}
	args := []any{tenants}
	if strings.Contains(where, "$2") {
		var of id.Any
		if err := of.UnmarshalGQL(parent); err != nil {
			t.Fatal(err)
		}
		args = append(args, of.UUID)
	}
	found := column[uuid.UUID](t, pgtest.Superuser(t), `select id from `+at.table+` where tenant_id = any($1) and `+where+` order by `+at.key+` `+direction+`, id `+direction, args...)
	ids := make([]string, len(found))
	for i, u := range found {
		ids[i] = public(at.prefix, u)
	}
	return ids
}

// paged is a listing of one connection of one tenant.
type paged struct {
	listing
	of     *many
	field  string
	parent string
}

func (a paged) rows(t testing.TB) []string {
	t.Helper()
	return rowsOf(t, a.at, a.direction(), a.where, a.parent, a.of.Tenant.ID)
}

// counted tells whether the connection has a totalCount.
func (a paged) counted() bool {
	kind, field, _ := strings.Cut(a.field, ".")
	types := gqlSchema().Types
	return types[types[kind].Fields.ForName(field).Type.Name()].Fields.ForName("totalCount") != nil
}

var gqlSchema = sync.OnceValue(func() *ast.Schema {
	return gqlparser.MustLoadSchema(&ast.Source{Input: commonhold.Schema})
})

func (a paged) document() string {
	kind, field, _ := strings.Cut(a.field, ".")
	fields := connectionFields
	if !a.counted() {
		fields = strings.Replace(fields, "totalCount", "", 1)
	}
	list := `list: ` + field + `(first: $first, after: $after, last: $last, before: $before, ` + a.arguments + `)` + fields
	if kind != "Query" {
		list = `within: ` + strings.ToLower(kind) + `(id: "` + a.parent + `") {` + list + `}`
	}
	return `query($first: Int, $after: String, $last: Int, $before: String) {` + list + `}`
}

func (a paged) page(t testing.TB, args map[string]any) connection {
	t.Helper()
	var got struct {
		List   *connection
		Within struct{ List connection }
	}
	a.of.Must(t, a.document(), args, &got)
	page := *cmp.Or(got.List, &got.Within.List)
	if !a.counted() { // as one that is right
		page.TotalCount = len(a.rows(t))
	}
	return page
}

// cursors are those of all rows, in the order of the list.
func (a paged) cursors(t testing.TB) (all []string) {
	t.Helper()
	for args := map[string]any{"first": 100}; ; {
		page := a.page(t, args)
		for _, e := range page.Edges {
			all = append(all, e.Cursor)
		}
		if !page.PageInfo.HasNextPage {
			return all
		}
		args["after"] = *page.PageInfo.EndCursor
	}
}

// listed are all ways to list what a tenant has, by parent where there is one.
func (m *many) listed(parents map[string]string) (all []paged) {
	for _, field := range slices.Sorted(maps.Keys(listings())) {
		kind, _, _ := strings.Cut(field, ".")
		for _, l := range listings()[field] {
			all = append(all, paged{l, m, field, parents[kind]})
		}
	}
	return all
}

// pageOf is what a page of a list is to be (Relay cursor connections specification,
// section 4): what lies between two positions, each excluded and each given by how many
// entries stand before it, cut to a size. In the direction of paging there is more where
// something was cut; in the other one where something lies behind the cursor.
func pageOf(whole []string, from, to int, args map[string]any) (page []string, previous, next bool) {
	between := whole[min(from, max(from, to)):max(from, to)]
	size, backward := 20, false
	for _, name := range []string{"first", "last"} {
		if n, ok := args[name].(int); ok {
			size, backward = n, name == "last"
		}
	}
	size = min(size, len(between))
	if backward {
		return between[len(between)-size:], size < len(between), args["before"] != nil && to < len(whole)
	}
	return between[:size], args["after"] != nil && from > 0, size < len(between)
}

var sizes = []map[string]any{{}, {"first": nil, "last": nil}, {"first": 1}, {"first": 3}, {"first": 100}, {"last": 1}, {"last": 3}, {"last": 100}}

// Every legal combination of the arguments of a page, in every list.
func TestPagesOfEveryConnection(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	a, b := newMany(t, api), newMany(t, api)
	t.Run("lists", func(t *testing.T) {
		for i, l := range a.listed(a.parents) {
			t.Run(strings.TrimSpace(l.field+" "+l.arguments), func(t *testing.T) {
				t.Parallel()
				whole := l.rows(t)
				if len(whole) <= 20 && l.where == "" || len(whole) < 3 {
					t.Fatalf("only %d entries", len(whole))
				}
				everyPage(t, l, whole)
				refusedPages(t, l)
				elsewhere := b.listed(b.parents)[i]
				foreignPositions(t, l, whole, elsewhere)
			})
		}
	})
	t.Run("cursors", func(t *testing.T) { everyCursor(t, a.listed(a.parents)) })
	t.Run("deletions", func(t *testing.T) { deletedPositions(t, a) })
}

// everyPage asks for each size between each two positions, also those that cross.
func everyPage(t *testing.T, l paged, whole []string) {
	t.Helper()
	cursors, n := l.cursors(t), len(whole)
	ends := []int{-1, 0, 1, n - 1}
	for _, from := range ends {
		for _, to := range ends {
			for _, size := range sizes {
				args := maps.Clone(size)
				start, end := 0, n
				if from >= 0 {
					args["after"], start = cursors[from], from+1
				}
				if to >= 0 {
					args["before"], end = cursors[to], to
				}
				l.page(t, args).check(t, whole, start, end, args)
			}
		}
	}
}

// refusedPages asks for pages that there are not.
func refusedPages(t *testing.T, l paged) {
	t.Helper()
	for _, args := range []map[string]any{
		{"first": 0}, {"first": 101}, {"first": -1}, {"first": -1 << 31}, {"last": 0}, {"last": 101}, {"last": -1}, {"first": 1, "last": 1}, {"first": 0, "last": 1},
		{"after": ""}, {"before": ""}, {"after": "x"}, {"first": 1, "after": cursorsOf(t, l.of.Client, "accessLog") + "A"},
	} {
		if answer := l.of.Do(t, l.document(), args); answer.Code() != "BAD_REQUEST" || strings.Contains(string(answer.Body), `"list":{`) {
			t.Errorf("%v: %s", args, answer.Body)
		}
	}
}

// foreignPositions uses cursors of another tenant: a position is nobody's, and shows
// what one has beyond it.
func foreignPositions(t *testing.T, l paged, whole []string, elsewhere paged) {
	t.Helper()
	both := rowsOf(t, l.at, l.direction(), "", "", l.of.Tenant.ID, elsewhere.of.Tenant.ID)
	theirs, cursors := elsewhere.rows(t), elsewhere.cursors(t)
	for _, i := range []int{0, len(theirs) / 2, len(theirs) - 1} {
		before := 0
		for _, one := range both[:slices.Index(both, theirs[i])] {
			if slices.Contains(whole, one) {
				before++
			}
		}
		after := map[string]any{"after": cursors[i], "first": 100}
		l.page(t, after).check(t, whole, before, len(whole), after)
		until := map[string]any{"before": cursors[i], "last": 100}
		l.page(t, until).check(t, whole, 0, before, until)
	}
}

// everyCursor uses a cursor of each list in each. It is refused, unless both are in
// the order of the same key: then it is a position there, whatever the filters are.
func everyCursor(t *testing.T, all []paged) {
	t.Helper()
	wholes := make([][]string, len(all))
	for i, l := range all {
		wholes[i] = l.rows(t)
	}
	for f, from := range all {
		row, cursor := wholes[f][1], from.cursors(t)[1]
		for i, in := range all {
			if from.at != in.at {
				for _, end := range []string{"after", "before"} {
					answer := in.of.Do(t, in.document(), map[string]any{end: cursor})
					if answer.Code() != "BAD_REQUEST" || !strings.Contains(string(answer.Body), "does not belong to this list") {
						t.Errorf("%s %s of %s in %s %s: %s", end, from.at.name, from.field, in.field, in.arguments, answer.Body)
					}
				}
				continue
			}
			wider := rowsOf(t, in.at, in.direction(), "", "", in.of.Tenant.ID)
			passed := slices.DeleteFunc(wider[:slices.Index(wider, row)+1], func(one string) bool { return !slices.Contains(wholes[i], one) })
			args := map[string]any{"first": 100, "after": cursor}
			in.page(t, args).check(t, wholes[i], len(passed), len(wholes[i]), args)
		}
	}
}

// deletedPositions deletes what a cursor is of: it stays the position that it was.
func deletedPositions(t *testing.T, m *many) {
	t.Helper()
	schema := gqlSchema()
	for _, l := range m.listed(m.parents) {
		kind, field, _ := strings.Cut(l.field, ".")
		page := schema.Types[schema.Types[kind].Fields.ForName(field).Type.Name()]
		mutation := "delete" + page.Fields.ForName("nodes").Type.Name()
		if schema.Mutation.Fields.ForName(mutation) == nil { // what happened, and who ordered, is kept
			continue
		}
		cursors, whole := l.cursors(t), l.rows(t)
		gone, met := -1, []string{}
		for i := 0; i < len(whole)-1 && gone < 0; i++ { // one that nothing stands in the way of
			if deleted := mutate(t, m.Client, mutation, map[string]any{"id": whole[i], "version": 1}); deleted.code() == "" {
				gone = i
			} else {
				met = append(met, deleted.code())
			}
		}
		if gone < 0 {
			t.Errorf("%s: nothing of %d could be deleted: %v", l.field, len(whole), met)
			continue
		}
		left := slices.Delete(slices.Clone(whole), gone, gone+1)
		for _, size := range sizes {
			for end, bounds := range map[string][2]int{"after": {gone, len(left)}, "before": {0, gone}} {
				args := maps.Clone(size)
				args[end] = cursors[gone]
				l.page(t, args).check(t, left, bounds[0], bounds[1], args)
			}
		}
	}
}

// A list of nothing is an empty page, whatever is asked of it.
func TestPagesOfNothing(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	full, bare := newMany(t, api), &many{shelf: &shelf{Client: api.NewTenant(t)}}
	super := pgtest.Superuser(t)
	for _, table := range []string{"shared.categories", "shared.events"} { // what a tenant is born with
		if _, err := super.Exec(t.Context(), `delete from `+table+` where tenant_id = $1`, bare.Tenant.ID); err != nil {
			t.Fatal(err)
		}
	}
	empty := map[string]bool{"Query.members": true} // who asks is one
	for i, l := range bare.listed(nil) {
		other := full.listed(full.parents)[i]
		if !strings.HasPrefix(l.field, "Query.") { // below a parent that holds nothing
			l = full.listed(full.idle)[i]
		}
		if len(l.rows(t)) > 0 {
			continue
		}
		empty[l.field] = true
		cursor := other.cursors(t)[1]
		for _, size := range sizes {
			for _, ends := range []map[string]any{{}, {"after": cursor}, {"before": cursor}, {"after": cursor, "before": cursor}} {
				args := maps.Clone(size)
				maps.Copy(args, ends)
				l.page(t, args).check(t, []string{}, 0, 0, args)
			}
		}
	}
	for field := range listings() {
		if !empty[field] {
			t.Errorf("%s was never empty", field)
		}
	}
}
