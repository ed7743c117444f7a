package graph_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/telemetry"
	"github.com/commonhold/commonhold/internal/tenant"
)

// The server logs through the default logger: here the lines are kept by request,
// so that a test can ask what a request cost and why it failed.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(lines))
	// Each check of a property is some dozen requests; a failure prints its seed.
	_ = flag.Set("rapid.checks", "80")
	_ = flag.Set("rapid.nofailfile", "true")
	pgtest.Main(m)
}

var lines = &logLines{ofRequest: make(map[string][]map[string]any)}

type logLines struct {
	mu        sync.Mutex
	ofRequest map[string][]map[string]any
}

func (*logLines) Enabled(context.Context, slog.Level) bool { return true }
func (l *logLines) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *logLines) WithGroup(string) slog.Handler          { return l }

func (l *logLines) Handle(ctx context.Context, r slog.Record) error {
	line := map[string]any{"msg": r.Message}
	r.Attrs(func(a slog.Attr) bool { line[a.Key] = a.Value.Any(); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	request := telemetry.FromContext(ctx).ID
	l.ofRequest[request] = append(l.ofRequest[request], line)
	return nil
}

// of is what was logged of the request that was answered with this header. The
// line of the request itself is written before the end of the answer.
func (l *logLines) of(h http.Header) []map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ofRequest[h.Get("X-Request-Id")]
}

// statements is how many statements a request ran, from its log line.
func statements(t *testing.T, h http.Header) int64 {
	t.Helper()
	for _, line := range lines.of(h) {
		if line["msg"] == "request" {
			return line["statements"].(int64)
		}
	}
	t.Errorf("no log line of request %s", h.Get("X-Request-Id"))
	return -1
}

// exec runs a statement as the superuser and wants it to touch something.
func exec(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	tag, err := conn.Exec(context.Background(), sql, args...)
	if err != nil || tag.RowsAffected() == 0 {
		t.Fatalf("%s: %v, %d rows", sql, err, tag.RowsAffected())
	}
}

// column reads one value of each row as the superuser.
func column[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) []T {
	t.Helper()
	rows, err := conn.Query(context.Background(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return values
}

// reply is an answer to the byte.
type reply struct {
	status int
	header http.Header
	body   string
}

// shown is everything of a reply that a caller sees, but what is new each time.
func (r reply) shown() string {
	h := r.header.Clone()
	h.Del("Date")
	h.Del("X-Request-Id")
	var b bytes.Buffer
	_ = h.Write(&b)
	return fmt.Sprintf("%d\n%s\n%s", r.status, b.String(), r.body)
}

// ask posts a document with further headers; Host is one of them.
func ask(t testing.TB, api *apitest.API, token, document string, variables map[string]any, header map[string]string) reply {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, api.URL+"/graphql", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for name, value := range header {
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(answer)}
}

// succeeded tells an answer without any error.
func succeeded(r reply) bool {
	return r.status == http.StatusOK && !strings.Contains(r.body, `"errors"`) && !strings.Contains(r.body, `"code"`)
}

type product struct {
	ID, SKU, Name string
	Description   *string
	Price         struct{ Amount, CurrencyCode string }
	Stock         int
	Version       int
	Category      *struct{ ID string }
	CreatedBy     *struct{ ID string }
	CreatedAt     string
	UpdatedAt     string
}

type userError struct {
	Field []string
	Code  string
}

type customer struct {
	ID, Email, Name string
	Version         int
}

type order struct {
	ID       string
	Number   *int
	Status   string
	Customer struct{ ID string }
	Total    struct{ Amount, CurrencyCode string }
	Items    []struct {
		ID        string
		Product   struct{ ID string }
		Quantity  int
		UnitPrice struct{ Amount string }
		Amount    struct{ Amount string }
	}
	PlacedBy  *struct{ ID string }
	PlacedAt  *string
	Version   int
	CreatedBy *struct{ ID string }
}

// changed is the payload of every mutation of a tenant's things.
type changed struct {
	Customer *customer
	Order    *order
	Product  *product
	Category *struct {
		ID, Name string
		Version  int
		Parent   *struct{ ID string }
	}
	UserErrors []userError
}

func (c changed) code() string {
	if len(c.UserErrors) == 0 {
		return ""
	}
	return c.UserErrors[0].Code
}

const (
	customerFields = `{ id email name version }`
	orderFields    = `{ id number status customer { id } total { amount currencyCode } items { id product { id } quantity unitPrice { amount } amount { amount } }
		placedBy { id } placedAt version createdBy { id } }`
)

const productFields = `{ id sku name description price { amount currencyCode } stock version category { id } createdBy { id } createdAt updatedAt }`

// mutate runs one mutation with an input and gives its payload.
func mutate(t testing.TB, c *apitest.Client, field string, input map[string]any) changed {
	t.Helper()
	noun, fields := "product", productFields
	switch {
	case strings.HasSuffix(field, "Category"):
		noun, fields = "category", `{ id name version parent { id } }`
	case strings.HasSuffix(field, "Customer"):
		noun, fields = "customer", customerFields
	case strings.Contains(field, "Order"):
		noun, fields = "order", orderFields
	}
	kind := strings.ToUpper(field[:1]) + field[1:] + "Input!"
	var got struct{ Payload changed }
	c.Must(t, "mutation($input: "+kind+") { payload: "+field+"(input: $input) { "+noun+" "+fields+" userErrors { field code } } }",
		map[string]any{"input": input}, &got)
	return got.Payload
}

func addProduct(t testing.TB, c *apitest.Client, sku, name, category string) *product {
	t.Helper()
	input := map[string]any{"sku": sku, "name": name, "stock": 3, "price": map[string]any{"amount": "12.50", "currencyCode": "EUR"}}
	if category != "" {
		input["categoryId"] = category
	}
	made := mutate(t, c, "createProduct", input)
	if made.Product == nil {
		t.Fatalf("add a product: %v", made.UserErrors)
	}
	return made.Product
}

func addCategory(t testing.TB, c *apitest.Client, name, parent string) string {
	t.Helper()
	input := map[string]any{"name": name}
	if parent != "" {
		input["parentId"] = parent
	}
	made := mutate(t, c, "createCategory", input)
	if made.Category == nil {
		t.Fatalf("add a category: %v", made.UserErrors)
	}
	return made.Category.ID
}

func addCustomer(t testing.TB, c *apitest.Client, email string) string {
	t.Helper()
	made := mutate(t, c, "createCustomer", map[string]any{"email": email, "name": "Customer"})
	if made.Customer == nil {
		t.Fatalf("add a customer: %v", made.UserErrors)
	}
	return made.Customer.ID
}

// addAPIKey makes a key and gives its id and the key itself.
func addAPIKey(t testing.TB, c *apitest.Client, name string, scopes ...string) (key, secret string) {
	t.Helper()
	var got struct {
		CreateAPIKey struct {
			APIKey struct{ ID string }
			Secret string
		}
	}
	c.Must(t, `mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { apiKey { id } secret } }`,
		map[string]any{"input": map[string]any{"name": name, "scopes": scopes}}, &got)
	return got.CreateAPIKey.APIKey.ID, got.CreateAPIKey.Secret
}

// item is a line of an order to be made.
func item(product string, quantity int) map[string]any {
	return map[string]any{"productId": product, "quantity": quantity}
}

func addOrder(t testing.TB, c *apitest.Client, customer string, items ...map[string]any) *order {
	t.Helper()
	made := mutate(t, c, "createOrder", map[string]any{"customerId": customer, "items": items})
	if made.Order == nil {
		t.Fatalf("add an order: %v", made.UserErrors)
	}
	return made.Order
}

// place places a new order.
func place(t testing.TB, c *apitest.Client, customer string, items ...map[string]any) changed {
	t.Helper()
	return mutate(t, c, "placeOrder", map[string]any{"order": map[string]any{"customerId": customer, "items": items}})
}

func placeDraft(t testing.TB, c *apitest.Client, draft string, version int) changed {
	t.Helper()
	return mutate(t, c, "placeOrder", map[string]any{"draft": map[string]any{"id": draft, "version": version}})
}

func moveOn(t testing.TB, c *apitest.Client, order string, version int, to string) changed {
	t.Helper()
	return mutate(t, c, "changeOrderStatus", map[string]any{"id": order, "version": version, "status": to})
}

// fingerprint is a hash of every row of a tenant, in whatever table has a
// tenant_id, and of the tenant's own row.
func fingerprint(t testing.TB, conn *pgx.Conn, id tenant.ID) map[string]string {
	t.Helper()
	tables := column[string](t, conn, `select a.attrelid::regclass::text from pg_attribute as a join pg_class as c on c.oid = a.attrelid
		where a.attname = 'tenant_id' and c.relkind in ('r', 'p') and not a.attisdropped order by 1`)
	if len(tables) < 7 {
		t.Fatalf("only %d tables have a tenant_id: %v", len(tables), tables)
	}
	hashes := make(map[string]string)
	hash := func(table, column string) {
		hashes[table] = columnOne[string](t, conn, `select count(*) || ' ' || md5(coalesce(string_agg(r::text, E'\n' order by r::text), '')) from `+table+` as r where r.`+column+` = $1`, id)
	}
	for _, table := range tables {
		hash(table, "tenant_id")
	}
	hash("control.tenants", "id")
	return hashes
}

func columnOne[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	values := column[T](t, conn, sql, args...)
	if len(values) != 1 {
		t.Fatalf("%s: %d rows", sql, len(values))
	}
	return values[0]
}
