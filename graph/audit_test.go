package graph_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
)

// entry is one of either log.
type entry struct {
	ID, Action, EntityID, RequestID string
	OccurredAt                      time.Time
	Actor                           *struct{ Email string }
	Details                         map[string]any
}

type entries struct {
	Nodes      []entry
	TotalCount int
}

// logOf asks one of the logs, in words for the arguments.
func logOf(t testing.TB, c *apitest.Client, list, arguments string) entries {
	t.Helper()
	var got struct{ List entries }
	c.Must(t, `{ list: `+list+arguments+` { nodes { id occurredAt actor { email } action entityId requestId details } totalCount } }`, nil, &got)
	return got.List
}

func (e entries) actions() []string {
	return slices.Collect(func(yield func(string) bool) {
		for _, n := range e.Nodes {
			if !yield(n.Action) {
				return
			}
		}
	})
}

func TestLogsShowWhatHappened(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	c := api.NewTenant(t)
	writer := c.Member(t, auth.RoleMember)
	category := addCategory(t, c, "Lamps", "")
	made := writer.Do(t, `mutation($id: ID!) { createProduct(input: {sku: "one", name: "One", price: {amount: "12.50", currencyCode: EUR}, categoryId: $id}) { product { id } } }`, map[string]any{"id": category})
	var got struct{ CreateProduct struct{ Product product } }
	if err := json.Unmarshal(made.Data, &got); err != nil {
		t.Fatalf("%v: %s", err, made.Body)
	}
	log := logOf(t, c, "auditLog", "")
	if len(log.Nodes) != 2 || log.TotalCount != 2 {
		t.Fatalf("%+v", log)
	}
	latest := log.Nodes[0]
	if !strings.HasPrefix(latest.ID, "evt_") || latest.Action != "product.created" || latest.EntityID != got.CreateProduct.Product.ID || latest.Actor == nil || latest.Actor.Email != writer.Email ||
		latest.RequestID != made.Header.Get("X-Request-Id") || latest.OccurredAt.IsZero() || latest.Details["price_minor"] != 1250.0 || latest.Details["category_id"] != category {
		t.Errorf("%+v", latest)
	}
	if log.Nodes[1].EntityID != category {
		t.Errorf("%+v", log.Nodes[1])
	}

	signIn(t, api, writer)
	log = logOf(t, c, "accessLog", "")
	want := []string{"session.started", "session.started", "member.added", "session.started", "tenant.registered"}
	if diff := cmp.Diff(want, log.actions()); diff != "" || log.TotalCount != len(want) {
		t.Fatalf("%d: %s", log.TotalCount, diff)
	}
	for i, prefix := range []string{"sess_", "sess_", "mem_", "sess_", "ten_"} {
		if e := log.Nodes[i]; !strings.HasPrefix(e.ID, "acc_") || !strings.HasPrefix(e.EntityID, prefix) || (e.Actor == nil) != (e.Action == "member.added") || e.OccurredAt.IsZero() {
			t.Errorf("%+v", e)
		}
	}
	if in := log.Nodes[0]; in.Actor.Email != writer.Email || in.RequestID == "" {
		t.Errorf("signing in: %+v", in)
	}
	if born := log.Nodes[4]; born.Actor.Email != c.Email || born.EntityID != c.Tenant.ID.String() || born.Details["slug"] != c.Tenant.Slug {
		t.Errorf("registering: %+v", born)
	}
}

// Entries of one moment are told apart by their ids.
func TestPagesOfLogs(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	s := &shelf{Client: api.NewTenant(t)}
	super := pgtest.Superuser(t)
	for i := range 9 {
		addCategory(t, s.Client, fmt.Sprint("Category ", i), "")
		signIn(t, api, s.Client)
	}
	for list, table := range map[string]struct{ name, prefix, action string }{
		"auditLog":  {"shared.events", "evt", "category.created"},
		"accessLog": {"control.access_events", "acc", "session.started"},
	} {
		ids := column[uuid.UUID](t, super, `update `+table.name+` set occurred_at = date_trunc('day', occurred_at)::timestamptz - extract(microseconds from occurred_at)::bigint % 3 * interval '1 microsecond'
			where tenant_id = $1 returning id`, s.Tenant.ID)
		if len(ids) < 9 {
			t.Fatalf("%s: %d", list, len(ids))
		}
		for filter, condition := range map[string]string{"": "true", `, filter: {action: "` + table.action + `"}`: "action = '" + table.action + "'"} {
			sorted := column[uuid.UUID](t, super, `select id from `+table.name+` where tenant_id = $1 and `+condition+` order by occurred_at desc, id desc`, s.Tenant.ID)
			var want []string
			for _, u := range sorted {
				want = append(want, public(table.prefix, u))
			}
			document := `query($first: Int, $after: String, $last: Int, $before: String) { list: ` + list + `(first: $first, after: $after, last: $last, before: $before` + filter + `)` + connectionFields + `}`
			for _, backward := range []bool{false, true} {
				for _, size := range []int{1, 4, 100} {
					walk(t, want, map[string]any{}, backward, func() int { return size }, func(args map[string]any) connection { return s.list(t, document, args) })
				}
			}
		}
	}
}

func TestLogsAreFiltered(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	c := api.NewTenant(t)
	writer := c.Member(t, auth.RoleMember)
	one := addProduct(t, c, "one", "One", "").ID
	two := addProduct(t, writer, "two", "Two", "").ID
	mutate(t, writer, "updateProduct", map[string]any{"id": one, "version": 1, "name": "Other"})
	signIn(t, api, writer)
	var who struct {
		Viewer struct{ User struct{ ID string } }
	}
	writer.Must(t, `{ viewer { user { id } } }`, nil, &who)
	person := who.Viewer.User.ID
	whole := logOf(t, c, "auditLog", "")
	newest, oldest := whole.Nodes[0].OccurredAt.Format(time.RFC3339Nano), whole.Nodes[2].OccurredAt.Format(time.RFC3339Nano)
	session := logOf(t, c, "accessLog", "").Nodes[0].EntityID

	for _, asked := range []struct {
		list, filter string
		want         []string
	}{
		{"auditLog", ``, []string{"product.updated", "product.created", "product.created"}},
		{"auditLog", `(filter: {})`, []string{"product.updated", "product.created", "product.created"}},
		{"auditLog", `(filter: null)`, []string{"product.updated", "product.created", "product.created"}},
		{"auditLog", `(filter: {action: null, actorId: null, entityId: null, since: null, until: null})`, []string{"product.updated", "product.created", "product.created"}},
		{"auditLog", `(filter: {action: "product.created"})`, []string{"product.created", "product.created"}},
		{"auditLog", `(filter: {action: "product.crea"})`, nil},
		{"auditLog", `(filter: {action: "%"})`, nil},
		{"auditLog", `(filter: {actorId: "` + person + `"})`, []string{"product.updated", "product.created"}},
		{"auditLog", `(filter: {actorId: "` + id.NewUser().String() + `"})`, nil},
		{"auditLog", `(filter: {entityId: "` + one + `"})`, []string{"product.updated", "product.created"}},
		{"auditLog", `(filter: {entityId: "` + two + `"})`, []string{"product.created"}},
		{"auditLog", `(filter: {entityId: "` + id.NewProduct().String() + `"})`, nil},
		{"auditLog", `(filter: {entityId: "` + one + `", actorId: "` + person + `", action: "product.updated"})`, []string{"product.updated"}},
		{"auditLog", `(filter: {entityId: "` + two + `", action: "product.updated"})`, nil},
		{"auditLog", `(filter: {since: "` + newest + `"})`, []string{"product.updated"}},
		{"auditLog", `(filter: {until: "` + newest + `"})`, []string{"product.created", "product.created"}},
		{"auditLog", `(filter: {until: "` + oldest + `"})`, nil},
		{"auditLog", `(filter: {since: "` + newest + `", until: "` + newest + `"})`, nil},
		{"auditLog", `(filter: {since: "0000-01-01T00:00:00Z", until: "9999-12-31T23:59:59Z"})`, []string{"product.updated", "product.created", "product.created"}},
		{"accessLog", `(filter: {action: "member.added"})`, []string{"member.added"}},
		{"accessLog", `(filter: {actorId: "` + person + `", action: "session.started"})`, []string{"session.started", "session.started"}},
		{"accessLog", `(filter: {entityId: "` + session + `"})`, []string{"session.started"}},
		{"accessLog", `(filter: {action: "product.created"})`, nil},
		{"accessLog", `(filter: {since: "9999-01-01T00:00:00Z"})`, nil},
		{"accessLog", `(filter: {until: "2000-01-01T00:00:00Z"})`, nil},
	} {
		got := logOf(t, c, asked.list, asked.filter)
		if !slices.Equal(got.actions(), asked.want) || got.TotalCount != len(asked.want) {
			t.Errorf("%s%s: %d, %v, want %v", asked.list, asked.filter, got.TotalCount, got.actions(), asked.want)
		}
	}
	auditCursor := cursorsOf(t, c, "auditLog")
	for _, bad := range []string{
		`(filter: {action: ""})`, `(filter: {action: "a\u0000b"})`, `(filter: {action: "` + strings.Repeat("a", 101) + `"})`,
		`(filter: {actorId: "` + one + `"})`, `(filter: {actorId: "x"})`, `(filter: {entityId: "x"})`, `(filter: {entityId: 7})`,
		`(filter: {since: "yesterday"})`, `(filter: {until: 2026})`, `(filter: {details: {}})`, `(first: 0)`, `(first: 101)`, `(first: 1, last: 1)`, `(after: "x")`,
	} {
		for _, list := range []string{"auditLog", "accessLog"} {
			if a := c.Do(t, `{ `+list+bad+` { totalCount } }`, nil); a.Code() != "BAD_REQUEST" {
				t.Errorf("%s%s: %s", list, bad, a.Body)
			}
		}
	}
	if a := c.Do(t, `query($c: String) { accessLog(after: $c) { totalCount } }`, map[string]any{"c": auditCursor}); a.Code() != "BAD_REQUEST" {
		t.Errorf("the cursor of the other log: %s", a.Body)
	}
}

// cursorsOf is a cursor of a list.
func cursorsOf(t testing.TB, c *apitest.Client, list string) string {
	t.Helper()
	var got struct{ List connection }
	c.Must(t, `{ list: `+list+`(first: 1)`+connectionFields+`}`, nil, &got)
	return *got.List.PageInfo.EndCursor
}

func TestWhoReadsTheLogs(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	c := api.NewTenant(t)
	addCategory(t, c, "Lamps", "")
	for role, code := range map[auth.Role]string{auth.RoleAdmin: "", auth.RoleMember: "FORBIDDEN", auth.RoleViewer: "FORBIDDEN"} {
		member := c.Member(t, role)
		for _, list := range []string{"auditLog", "accessLog"} {
			if a := member.Do(t, `{ `+list+` { nodes { id details } totalCount } }`, nil); a.Code() != code || (code == "") != strings.Contains(string(a.Body), `"nodes":[{`) {
				t.Errorf("%s, %s: %s", role, list, a.Body)
			}
		}
	}
	if a := api.Anonymous().Do(t, `{ accessLog { totalCount } }`, nil); a.Code() != "UNAUTHENTICATED" {
		t.Errorf("nobody: %s", a.Body)
	}
}

// What an update says was before is what the one before it left, however many
// change the same thing at once.
func TestUpdatesAreAChain(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	c := api.NewTenant(t)
	made := addProduct(t, c, "one", "0", "").ID
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			for n := range 5 {
				for {
					now := read(t, c, made)
					got := mutate(t, c, "updateProduct", map[string]any{"id": made, "version": now.Version, "name": fmt.Sprint(i, n), "stock": 10*i + n})
					if got.code() == "" {
						break
					}
					if got.code() != "STALE_VERSION" {
						t.Errorf("%+v", got)
						return
					}
				}
			}
		})
	}
	group.Wait()
	log := logOf(t, c, "auditLog", `(first: 100, filter: {entityId: "`+made+`"})`).Nodes
	if len(log) != 31 {
		t.Fatalf("%d entries, want 31", len(log))
	}
	byVersion := make(map[float64]map[string]any)
	for _, e := range log[:30] {
		after := e.Details["after"].(map[string]any)
		byVersion[after["version"].(float64)] = e.Details
	}
	name, stock := any("0"), log[30].Details["stock"]
	for version := 2.0; version <= 31; version++ {
		details := byVersion[version]
		if details == nil {
			t.Fatalf("version %v was never recorded", version)
		}
		before, after := details["before"].(map[string]any), details["after"].(map[string]any)
		if before["name"] != name || before["version"] != version-1 || after["stock"] != nil && before["stock"] != stock {
			t.Fatalf("version %v: %v, after %v and %v", version, details, name, stock)
		}
		name = after["name"]
		if after["stock"] != nil {
			stock = after["stock"]
		}
	}
}

// What was done is kept for those who read it, and nobody who serves requests can
// make it undone.
func TestLogsCannotBeRewritten(t *testing.T) {
	t.Parallel()
	super := pgtest.Superuser(t)
	for _, table := range []string{"shared.events", "control.access_events"} {
		for _, role := range []string{"commonhold_app", "commonhold_control", "public"} {
			for _, right := range []string{"UPDATE", "DELETE", "TRUNCATE"} {
				query := `select has_table_privilege($1, $2, $3) or ($3 = 'UPDATE' and has_any_column_privilege($1, $2, $3))`
				if columnOne[bool](t, super, query, role, table, right) {
					t.Errorf("%s has %s on %s", role, right, table)
				}
			}
		}
	}
	// The question can be answered with yes.
	if !columnOne[bool](t, super, `select has_table_privilege('commonhold_app', 'shared.products', 'DELETE')`) {
		t.Error("the request role cannot delete products")
	}
}

// A newer server may write of a noun that this one does not know: it is shown as it
// is, and breaks no page.
func TestAnUnknownNounIsShownAsItIs(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	c := api.NewTenant(t)
	exec(t, pgtest.Superuser(t), `insert into shared.events (tenant_id, id, epoch, action, entity_id, request_id, data) values ($1, $2, 1, 'thing.made', $2, '', '{"a": [1, null]}')`, c.Tenant.ID, id.New())
	a := c.Do(t, `{ auditLog { nodes { action entityId } } }`, nil)
	if a.Code() != "" || !strings.Contains(string(a.Body), `"entityId":"thing_`) {
		t.Errorf("%s", a.Body)
	}
	log := c.Do(t, `{ auditLog { nodes { actor { email } action details } } }`, nil)
	if want := `{"data":{"auditLog":{"nodes":[{"actor":null,"action":"thing.made","details":{"a":[1,null]}}]}}`; !strings.HasPrefix(string(log.Body), want[:len(want)-1]) {
		t.Errorf("%s", log.Body)
	}
}
