package twoworlds

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// The faults that the comparison is there for. Each is put into both worlds, in the
// database, on the way to it or around the server, and has to show as a difference.
// The walls behind the one that falls are taken away as well: alone, most of these
// are stopped by the next.
var planted = []struct {
	name string
	plant
}{
	{"missing predicate, in a read", plant{
		sql: open("products"), rewrite: withoutTenant("GetProduct", "ListProductsByIDs"),
	}},
	{"missing predicate, in a list", plant{
		fields: []string{"auditLog"},
		sql:    open("events"), rewrite: withoutTenant("ListEventsAsc", "ListEventsDesc"),
	}},
	{"missing predicate, in an update", plant{
		sql: open("customers"), rewrite: withoutTenant("UpdateCustomer", "GetCustomer", "LockCustomer"),
	}},
	{"missing predicate, in a delete", plant{
		fields: []string{"deleteCategory"},
		sql:    open("categories"), rewrite: withoutTenant("DeleteCategory", "GetCategory"),
	}},
	{"OR precedence", plant{
		fields: []string{"orders", "auditLog"},
		sql:    open("orders") + ";" + open("events"),
		rewrite: rewritten(func(s string) string { return optional.ReplaceAllString(s, "and $1") },
			"ListOrdersAsc", "ListOrdersDesc", "CountOrders", "ListEventsAsc", "ListEventsDesc", "CountEvents"),
	}},
	{"loader not closed over the tenant", plant{
		sql: open("customers"), rewrite: withoutTenant("ListCustomersByIDs"),
	}},
	{"global count", plant{
		sql: open("customers"), rewrite: withoutTenant("CountCustomers"),
	}},
	{"statistics of everybody", plant{
		sql:     open("products"),
		rewrite: replaced("p.tenant_id = $1", "true", "GetStats"),
	}},
	{"global unique", plant{
		fields: []string{"createCustomer", "updateCustomer"},
		sql:    `alter table shared.customers drop constraint customers_email_key, add constraint customers_email_key unique (email_key)`,
	}},
	{"foreign key without the tenant", plant{
		sql: `create unique index on shared.categories (id);
			alter table shared.products drop constraint products_category_id_fkey,
				add constraint products_category_id_fkey foreign key (category_id) references shared.categories (id);
			create unique index on shared.customers (id);
			alter table shared.orders drop constraint orders_customer_id_fkey,
				add constraint orders_customer_id_fkey foreign key (customer_id) references shared.customers (id)`,
	}},
	{"sequence shared by tenants", plant{
		fields: []string{"createProduct", "createCustomer", "placeOrder"},
		sql: `create sequence chance.numbers; grant usage on sequence chance.numbers to commonhold_app;
			select setval('chance.numbers', 1 + count(number)) from shared.orders`,
		rewrite: func(statement string) string {
			if !strings.HasPrefix(statement, "-- name: NextOrderNumber ") {
				return statement
			}
			return `select nextval('chance.numbers')::integer as last_number where $1::uuid is not null`
		},
	}},
	{"cursor of another tenant", plant{ // taken for good where any row is found by it
		fields: []string{"products", "orders", "customers", "auditLog"},
		sql:    open("products") + ";" + open("orders") + ";" + open("customers") + ";" + open("events"),
		rewrite: rewritten(func(s string) string {
			of := fromTable.FindStringSubmatch(s)[1]
			return bound.ReplaceAllString(s, `$0 and ($1 in ('00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff') or exists (select from `+of+` as known where known.id = $1))`)
		}, "ListNewestProducts", "ListNewestOrders", "ListOrdersAsc", "ListOrdersDesc", "ListCustomersAsc", "ListCustomersDesc", "ListEventsAsc", "ListEventsDesc"),
	}},
	{"idempotency key shared by tenants", plant{
		sql: open("idempotency_keys"),
		rewrite: replaced("tenant_id = $1 and user_id = $2 and", "$1::uuid is not null and $2::uuid is not null and",
			"GetIdempotencyKey"),
	}},
	{"people of every tenant visible", plant{
		fields: []string{"members", "node", "nodes"},
		sql: `alter policy members_visible on control.users using (true);
			alter policy tenant_isolation on control.memberships using (true)`,
		rewrite: withoutTenant("ListUsersByIDs"),
	}},
	{"process-wide cache", plant{wrap: cached}},
	{"FORBIDDEN against NOT_FOUND", plant{wrap: around(func(p *pair, w *world, r *http.Request, body string, send func(*http.Request) *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		if w.knows("shared.products", body, tenantOf(r)) {
			recorder := httptest.NewRecorder()
			http.Error(recorder, `{"errors":[{"message":"This is not yours.","extensions":{"code":"FORBIDDEN"}}]}`, http.StatusForbidden)
			return recorder
		}
		return send(r)
	})}},
	{"error text of somebody else's", plant{wrap: around(func(p *pair, w *world, r *http.Request, body string, send func(*http.Request) *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		answered := send(r)
		if w.knows("shared.customers", body, tenantOf(r)) {
			change(answered, "There is no such customer.", "This customer is in another tenant.")
		}
		return answered
	})}},
	{"error text that repeats an id", plant{wrap: around(func(_ *pair, _ *world, r *http.Request, body string, send func(*http.Request) *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		answered := send(r)
		change(answered, "There is no such customer.", "There is no customer "+anID.FindString(body)+".")
		return answered
	})}},
	{"account told by the password's refusal", plant{wrap: around(func(_ *pair, w *world, r *http.Request, body string, send func(*http.Request) *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		answered := send(r)
		for _, email := range anEmail.FindAllString(body, -1) {
			if w.count("select count(*) from control.users where email = $1", email) > 0 {
				change(answered, "The e-mail address or the password is wrong.", "The password is wrong.")
			}
		}
		return answered
	})}},
	{"cost by the rows of everybody", plant{wrap: around(func(_ *pair, w *world, r *http.Request, _ string, send func(*http.Request) *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		answered := send(r)
		change(answered, `"cost":{`, fmt.Sprintf(`"cost":{"rows":%d,`, w.count("select count(*) from shared.products")))
		return answered
	})}},
	{"quota shared by tenants", plant{wrap: func(t testing.TB, w *world, p *pair) {
		var left atomic.Int64
		around(func(_ *pair, _ *world, r *http.Request, _ string, send func(*http.Request) *httptest.ResponseRecorder) *httptest.ResponseRecorder {
			answered := send(r)
			if tenantOf(r) != "" {
				answered.Header().Set("X-Asked", fmt.Sprint(left.Add(1)/100))
			}
			return answered
		})(t, w, p)
	}}},
	{"tenant by a header", plant{wrap: around(func(p *pair, w *world, r *http.Request, _ string, send func(*http.Request) *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		if named := r.Header.Get("X-Tenant-ID"); w == p.shared && named == p.b.tenant.String() && tenantOf(r) != "" {
			r.Header.Set("Authorization", "Bearer "+p.b.people[0].bearer)
		}
		return send(r)
	})}},
}

// open takes the walls of a table away.
func open(table string) string {
	return fmt.Sprintf("alter policy tenant_isolation on shared.%s using (true) with check (true)", table)
}

// replaced exchanges a part of the statements of those names.
func replaced(old, with string, names ...string) func(string) string {
	return rewritten(func(s string) string { return strings.ReplaceAll(s, old, with) }, names...)
}

var (
	fromTable = regexp.MustCompile(`from (\w+)`)
	optional  = regexp.MustCompile(`and \((\$\d+::text is null or \w+ = \$\d+::text)\)`)
	bound     = regexp.MustCompile(`\(\w+_at, id\) [<>] \(\$\d+::timestamptz, (\$\d+)::uuid\)`)
)

var byTenant = regexp.MustCompile(`\b(\w+\.)?tenant_id = (\$\d+)`)

// withoutTenant takes the tenant out of the conditions of those statements.
func withoutTenant(names ...string) func(string) string {
	return rewritten(func(s string) string { return byTenant.ReplaceAllString(s, "$2::uuid is not null") }, names...)
}

func rewritten(change func(string) string, names ...string) func(string) string {
	return func(statement string) string {
		for _, name := range names {
			if !strings.HasPrefix(statement, "-- name: "+name+" ") {
				continue
			}
			changed := change(statement)
			if changed == statement {
				panic(name + " has no such part: the plant has to follow the statement")
			}
			return changed
		}
		return statement
	}
}

// around puts something between a world's server and its callers.
func around(answer func(p *pair, w *world, r *http.Request, body string, send func(*http.Request) *httptest.ResponseRecorder) *httptest.ResponseRecorder) func(testing.TB, *world, *pair) {
	return func(_ testing.TB, w *world, p *pair) {
		inner := w.handler
		send := func(r *http.Request) *httptest.ResponseRecorder {
			recorder := httptest.NewRecorder()
			inner.ServeHTTP(recorder, r)
			return recorder
		}
		w.handler = http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			answered := answer(p, w, r, string(body)+r.URL.Query().Get("query")+r.URL.Query().Get("variables"), send)
			for name, values := range answered.Header() {
				out.Header()[name] = values
			}
			out.WriteHeader(answered.Code)
			_, _ = out.Write(answered.Body.Bytes())
		})
	}
}

// cached remembers the answers to queries by their text alone.
func cached(t testing.TB, w *world, p *pair) {
	var mu sync.Mutex
	known := make(map[string]*httptest.ResponseRecorder)
	around(func(_ *pair, _ *world, r *http.Request, body string, send func(*http.Request) *httptest.ResponseRecorder) *httptest.ResponseRecorder {
		mu.Lock()
		defer mu.Unlock()
		key := body + r.Header.Get("Accept")
		if before := known[key]; before != nil && tenantOf(r) != "" {
			return before
		}
		answered := send(r)
		answered.Header().Del("X-Request-Id")
		if tenantOf(r) != "" && !strings.Contains(body, "mutation") {
			known[key] = answered
		}
		return answered
	})(t, w, p)
}

func change(answered *httptest.ResponseRecorder, old, with string) {
	text := strings.ReplaceAll(answered.Body.String(), old, with)
	answered.Body.Reset()
	answered.Body.WriteString(text)
}

// tenantOf is the tenant that a request's token names.
func tenantOf(r *http.Request) string {
	parts := strings.Split(r.Header.Get("Authorization"), ".")
	if len(parts) != 3 {
		return ""
	}
	text, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct{ TID string }
	_ = json.Unmarshal(text, &claims)
	return claims.TID
}

var anEmail = regexp.MustCompile(`[a-z0-9-]+@[a-z.]+`)

// knows tells whether a table has a row of another tenant under an id in a text.
func (w *world) knows(table, text, caller string) bool {
	ids := anID.FindAllString(text, -1)
	return caller != "" && len(ids) > 0 && w.count("select count(*) from "+table+" where id = any ($1) and tenant_id <> $2", uuids(ids), uuids([]string{caller})[0]) > 0
}

func (w *world) count(sql string, args ...any) (n int) {
	if err := w.admin.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		panic(err)
	}
	return n
}

// tries is how many pairs of worlds share the requests that may be asked for one leak:
// what one of them goes by is met soon by another.
const tries = 10

func TestPlantedLeaksAreFound(t *testing.T) {
	for _, leak := range planted {
		t.Run(leak.name, func(t *testing.T) {
			var d *difference
			asked := 0
			for seed := uint64(1); d == nil && asked < requests; seed++ {
				p := newPair(t, seed, leak.plant)
				d = p.run(requests / tries)
				asked += p.asked
			}
			if d == nil {
				t.Fatalf("not found by %d requests", asked)
			}
			if strings.Contains(d.what, "went wrong in both") {
				t.Fatalf("the plant does not work: %s", d)
			}
			t.Logf("found by request %d: %s", asked, d.what)
		})
	}
}
