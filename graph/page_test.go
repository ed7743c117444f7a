package graph_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"pgregory.net/rapid"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

// listed is a product as the superuser sees it, past every policy.
type listed struct {
	ID         uuid.UUID
	Name       string
	PriceMinor int64
	Stock      int32
	CategoryID *uuid.UUID
	CreatedAt  time.Time
}

// public is the id as the API writes it.
func public(prefix string, u uuid.UUID) string {
	var b strings.Builder
	id.Any{Prefix: prefix, UUID: u}.MarshalGQL(&b)
	return strings.Trim(b.String(), `"`)
}

// shelf is a tenant whose products tie in every way: in price, in time and, but for
// case, in name.
type shelf struct {
	*apitest.Client
	rows       []listed
	categories []string
}

var (
	shelfNames = []string{
		"Zebra", "zebra", "ZEBRA", "Äpfel", "äpfel", "Apfel", "Éclair", "eclair", "ΟΔΟΣ", "οδος", "Οδός", "İstanbul", "istanbul",
		"ß", "SS", "ss", "😀 lamp", "Lamp 😀", "LAMP", "naïve", "NAÏVE", "日本", "Ñandú", "a", "A b", "_", "~tilde", "100 %", "per_cent%", `back\slash`, "ﬁsh",
	}
	shelfParts  = []string{"a", "LAMP", "Σ", "ß", "é", "É", "😀", "zz", "istan", "İ", "%", "_", `\`, "ΟΔΟΣ", "zebra"}
	shelfPrices = []int64{0, 1, 100, 100, 100, 250, 999, 1_000_000_000_000_000}
)

func newShelf(t *testing.T, api *apitest.API) *shelf {
	t.Helper()
	s := &shelf{Client: api.NewTenant(t)}
	ctx := context.Background()
	owner := columnOne[uuid.UUID](t, pgtest.Superuser(t), `select user_id from control.memberships where tenant_id = $1`, s.Tenant.ID)
	var caller id.User
	if err := caller.UnmarshalText([]byte(public("user", owner))); err != nil {
		t.Fatal(err)
	}
	var categories []uuid.UUID
	for i := range 4 {
		category := addCategory(t, s.Client, fmt.Sprintf("Category %d", i), "")
		var parsed id.Category
		if err := parsed.UnmarshalText([]byte(category)); err != nil {
			t.Fatal(err)
		}
		s.categories, categories = append(s.categories, category), append(categories, parsed.UUID())
	}
	moment := time.Date(2026, 3, 29, 0, 59, 59, 123456000, time.UTC)
	err := api.DB.Home(s.Tenant.ID).InTx(ctx, func(q *tenantsql.Queries) error {
		p := tenantsql.ImportProductsParams{TenantID: s.Tenant.ID, CreatedBy: caller}
		for i := range 70 {
			p.Ids, p.Skus = append(p.Ids, id.New()), append(p.Skus, fmt.Sprint(i))
			p.Names, p.Descriptions = append(p.Names, shelfNames[i%len(shelfNames)]), append(p.Descriptions, "")
			p.PricesMinor, p.Stocks = append(p.PricesMinor, shelfPrices[i*7%len(shelfPrices)]), append(p.Stocks, int32(i%3))
			// The last category stays empty. A microsecond apart is the closest.
			p.CategoryIds, p.CreatedAts = append(p.CategoryIds, categories[i%3]), append(p.CreatedAts, moment.Add(time.Duration(i*5%4)*time.Microsecond))
		}
		if _, err := q.ImportProducts(ctx, p); err != nil {
			return err
		}
		for i := range 9 { // at one and the same time, without a category
			_, err := q.CreateProduct(ctx, tenantsql.CreateProductParams{
				TenantID: s.Tenant.ID, ID: id.NewProduct(), Sku: fmt.Sprint("own ", i), Name: shelfNames[i], PriceMinor: 100, CreatedBy: caller,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := pgtest.Superuser(t).Query(ctx, `select id, name, price_minor, stock, category_id, created_at from shared.products where tenant_id = $1`, s.Tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	if s.rows, err = pgx.CollectRows(rows, pgx.RowToStructByPos[listed]); err != nil || len(s.rows) != 79 {
		t.Fatalf("%d rows: %v", len(s.rows), err)
	}
	return s
}

// fold is what names are compared by: lower case as Unicode has it.
func fold(s string) string { return cases.Lower(language.Und).String(s) }

// compare orders two rows as the API says: by the field, ties by id.
func compare(field string, a, b listed) int {
	byID := bytes.Compare(a.ID[:], b.ID[:])
	switch field {
	case "NAME":
		return cmp.Or(strings.Compare(fold(a.Name), fold(b.Name)), byID)
	case "PRICE":
		return cmp.Or(cmp.Compare(a.PriceMinor, b.PriceMinor), byID)
	default:
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), byID)
	}
}

type filter struct {
	category, contains *string
	inStock            *bool
	low, high          *int64
}

func (f filter) passes(r listed) bool {
	return (f.category == nil || r.CategoryID != nil && public("cat", *r.CategoryID) == *f.category) &&
		(f.contains == nil || strings.Contains(fold(r.Name), fold(*f.contains))) &&
		(f.inStock == nil || (r.Stock > 0) == *f.inStock) &&
		(f.low == nil || r.PriceMinor >= *f.low) && (f.high == nil || r.PriceMinor <= *f.high)
}

func (f filter) input() map[string]any {
	in := map[string]any{}
	if f.category != nil {
		in["categoryId"] = *f.category
	}
	if f.contains != nil {
		in["name"] = map[string]any{"contains": *f.contains}
	}
	if f.inStock != nil {
		in["inStock"] = *f.inStock
	}
	price := map[string]any{}
	for bound, minor := range map[string]*int64{"min": f.low, "max": f.high} {
		if minor != nil {
			price[bound] = fmt.Sprintf("%d.%02d", *minor/100, *minor%100)
		}
	}
	if len(price) > 0 {
		in["price"] = price
	}
	return in
}

// connection is a page of anything.
type connection struct {
	Edges []struct {
		Cursor string
		Node   struct{ ID string }
	}
	Nodes    []struct{ ID string }
	PageInfo struct {
		HasNextPage, HasPreviousPage bool
		StartCursor, EndCursor       *string
	}
	TotalCount int
}

const connectionFields = ` { edges { cursor node { id } } nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount } `

func (c connection) ids() []string {
	ids := []string{}
	for _, e := range c.Edges {
		ids = append(ids, e.Node.ID)
	}
	return ids
}

// failing is what both testing.T and rapid.T can say.
type failing interface {
	Helper()
	Fatalf(format string, args ...any)
}

// check holds a page against the whole list: the ids in order, and what lies beyond
// (see pageOf).
func (c connection) check(t failing, whole []string, from, to int, args map[string]any) {
	t.Helper()
	want, previous, next := pageOf(whole, from, to, args)
	if got := c.ids(); !slices.Equal(got, want) {
		t.Fatalf("%v: a page of\n%v, want\n%v", args, got, want)
	}
	nodes := []string{}
	for _, n := range c.Nodes {
		nodes = append(nodes, n.ID)
	}
	if !slices.Equal(nodes, want) {
		t.Fatalf("%v: nodes %v, edges %v", args, nodes, want)
	}
	if c.PageInfo.HasNextPage != next || c.PageInfo.HasPreviousPage != previous {
		t.Fatalf("%v: pageInfo %+v, want next %v and previous %v", args, c.PageInfo, next, previous)
	}
	switch start, end := c.PageInfo.StartCursor, c.PageInfo.EndCursor; {
	case len(want) == 0:
		if start != nil || end != nil {
			t.Fatalf("%v: an empty page has cursors", args)
		}
	case start == nil || end == nil || *start != c.Edges[0].Cursor || *end != c.Edges[len(want)-1].Cursor:
		t.Fatalf("%v: the cursors of the page are not those of its ends", args)
	}
	if c.TotalCount != len(whole) {
		t.Fatalf("%v: totalCount %d, want %d", args, c.TotalCount, len(whole))
	}
}

// walk pages through a list in pages of the sizes that size gives, and holds each
// against want, the whole list in order.
func walk(t failing, want []string, args map[string]any, backward bool, size func() int, ask func(map[string]any) connection) {
	t.Helper()
	from, to := 0, len(want)
	delete(args, "after")
	delete(args, "before")
	for {
		n := size()
		args["first"] = n
		if backward {
			delete(args, "first")
			args["last"] = n
		}
		got := ask(args)
		got.check(t, want, from, to, args)
		if to-from <= n {
			return
		}
		if backward {
			args["before"] = *got.PageInfo.StartCursor
			to -= n
		} else {
			args["after"] = *got.PageInfo.EndCursor
			from += n
		}
	}
}

const listProducts = `query($first: Int, $after: String, $last: Int, $before: String, $filter: ProductFilter, $orderBy: ProductOrder) {
	list: products(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy)` + connectionFields + `}`

func (s *shelf) list(t testing.TB, document string, args map[string]any) connection {
	t.Helper()
	var got struct{ List connection }
	s.Must(t, document, args, &got)
	return got.List
}

// whole is the list that a filter and an order make, computed over all rows.
func (s *shelf) whole(field string, descending bool, f filter) []listed {
	rows := slices.DeleteFunc(slices.Clone(s.rows), func(r listed) bool { return !f.passes(r) })
	slices.SortFunc(rows, func(a, b listed) int { return compare(field, a, b) })
	if descending {
		slices.Reverse(rows)
	}
	return rows
}

func products(rows []listed) []string {
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = public("prod", r.ID)
	}
	return ids
}

func optional[T any](r *rapid.T, label string, from []T) *T {
	if !rapid.Bool().Draw(r, "with "+label) {
		return nil
	}
	return new(rapid.SampledFrom(from).Draw(r, label))
}

func drawFilter(r *rapid.T, s *shelf) filter {
	return filter{
		category: optional(r, "category", append(s.categories, id.NewCategory().String())),
		contains: optional(r, "contains", shelfParts),
		inStock:  optional(r, "inStock", []bool{true, false}),
		low:      optional(r, "low", shelfPrices), high: optional(r, "high", shelfPrices),
	}
}

func TestPagesAreTheWholeList(t *testing.T) {
	t.Parallel()
	s := newShelf(t, apitest.New(t, pgtest.New(t)))
	// Every order, direction and way to walk, without a filter; then what chance brings.
	for _, field := range []string{"CREATED_AT", "NAME", "PRICE"} {
		for _, direction := range []string{"ASC", "DESC"} {
			for _, backward := range []bool{false, true} {
				args := map[string]any{"orderBy": map[string]any{"field": field, "direction": direction}}
				walk(t, products(s.whole(field, direction == "DESC", filter{})), args, backward, func() int { return 8 },
					func(args map[string]any) connection { return s.list(t, listProducts, args) })
			}
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		field := rapid.SampledFrom([]string{"CREATED_AT", "NAME", "PRICE"}).Draw(r, "field")
		direction := rapid.SampledFrom([]string{"ASC", "DESC"}).Draw(r, "direction")
		f := drawFilter(r, s)
		want := products(s.whole(field, direction == "DESC", f))
		args := map[string]any{"filter": f.input(), "orderBy": map[string]any{"field": field, "direction": direction}}
		ask := func(args map[string]any) connection { return s.list(t, listProducts, args) }
		sizes := rapid.OneOf(rapid.IntRange(3, 9), rapid.IntRange(1, 100))
		walk(r, want, args, rapid.Bool().Draw(r, "backward"), func() int { return sizes.Draw(r, "size") }, ask)

		// Between two cursors lies what lies between the two rows.
		if len(want) == 0 {
			return
		}
		delete(args, "first")
		delete(args, "last")
		args["first"], args["after"], args["before"] = 100, nil, nil
		all := ask(args)
		from := rapid.IntRange(0, len(want)-1).Draw(r, "from")
		to := rapid.IntRange(0, len(want)-1).Draw(r, "to")
		args["after"], args["before"] = all.Edges[from].Cursor, all.Edges[to].Cursor
		n := rapid.IntRange(1, 12).Draw(r, "n")
		args["first"] = n
		if rapid.Bool().Draw(r, "last") {
			delete(args, "first")
			args["last"] = n
		}
		ask(args).check(r, want, from+1, to, args)
	})
}

// Without arguments: the newest first, twenty of them.
func TestTheDefaultListIsTheNewestTwenty(t *testing.T) {
	t.Parallel()
	s := newShelf(t, apitest.New(t, pgtest.New(t)))
	want := products(s.whole("CREATED_AT", true, filter{}))
	s.list(t, `{ list: products`+connectionFields+`}`, nil).check(t, want, 0, len(want), map[string]any{})
}

// A page of each parent at once, between bounds that all of them share.
func TestCategoryPagesAreEachCategorysOwn(t *testing.T) {
	t.Parallel()
	s := newShelf(t, apitest.New(t, pgtest.New(t)))
	const document = `query($first: Int, $after: String, $last: Int, $before: String) {
		categories(first: 9) { nodes { id products(first: $first, after: $after, last: $last, before: $before)` + connectionFields + `} } }`
	ask := func(args map[string]any) map[string]connection {
		var got struct {
			Categories struct {
				Nodes []struct {
					ID       string
					Products connection
				}
			}
		}
		s.Must(t, document, args, &got)
		pages := make(map[string]connection)
		for _, c := range got.Categories.Nodes {
			pages[c.ID] = c.Products
		}
		return pages
	}
	all := s.whole("CREATED_AT", true, filter{})
	rapid.Check(t, func(r *rapid.T) {
		walked := rapid.SampledFrom(s.categories).Draw(r, "category")
		want := products(s.whole("CREATED_AT", true, filter{category: &walked}))
		sizes := rapid.IntRange(3, 30)
		walk(r, want, map[string]any{}, rapid.Bool().Draw(r, "backward"), func() int { return sizes.Draw(r, "size") },
			func(args map[string]any) connection { return ask(args)[walked] })

		// The cursor of one is a position in every other.
		at := rapid.IntRange(0, len(all)-1).Draw(r, "at")
		cursor := s.list(t, listProducts, map[string]any{"first": 100}).Edges[at].Cursor
		n := rapid.IntRange(1, 10).Draw(r, "n")
		args := map[string]any{"first": n, "after": cursor}
		for category, page := range ask(args) {
			f := filter{category: &category}
			passed := slices.DeleteFunc(slices.Clone(all[:at+1]), func(r listed) bool { return !f.passes(r) })
			whole := products(s.whole("CREATED_AT", true, f))
			page.check(r, whole, len(passed), len(whole), args)
		}
	})
}

func TestPagesOfCategoriesAndMembers(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	s := &shelf{Client: api.NewTenant(t)}
	for i, name := range shelfNames {
		// Beside each other no two have one name: those that are alike stand elsewhere.
		if made := mutate(t, s.Client, "createCategory", map[string]any{"name": name}); made.code() == "TAKEN" {
			addCategory(t, s.Client, name, addCategory(t, s.Client, fmt.Sprintf("Below %d", i), ""))
		}
	}
	for range 8 {
		s.Member(t, auth.RoleViewer)
	}
	super := pgtest.Superuser(t)
	type row struct {
		ID   uuid.UUID
		Name string
	}
	rows, err := super.Query(context.Background(), `select id, name from shared.categories where tenant_id = $1`, s.Tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	categories, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(categories, func(a, b row) int {
		return cmp.Or(strings.Compare(fold(a.Name), fold(b.Name)), bytes.Compare(a.ID[:], b.ID[:]))
	})
	var want []string
	for _, c := range categories {
		want = append(want, public("cat", c.ID))
	}
	var members []string
	// All at one time, so that only the id tells them apart.
	exec(t, super, `update control.memberships set created_at = now() where tenant_id = $1`, s.Tenant.ID)
	ids := column[uuid.UUID](t, super, `select id from control.memberships where tenant_id = $1`, s.Tenant.ID)
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	for _, m := range ids {
		members = append(members, public("mem", m))
	}
	if len(want) < len(shelfNames) || len(members) != 9 {
		t.Fatalf("%d categories, %d members", len(want), len(members))
	}
	for list, want := range map[string][]string{"categories": want, "members": members} {
		document := `query($first: Int, $after: String, $last: Int, $before: String) { list: ` + list + `(first: $first, after: $after, last: $last, before: $before)` + connectionFields + `}`
		for _, backward := range []bool{false, true} {
			for _, size := range []int{1, 4, 100} {
				walk(t, want, map[string]any{}, backward, func() int { return size }, func(args map[string]any) connection { return s.list(t, document, args) })
			}
		}
	}
}

// Who walks a list while others write loses nothing that was there before.
func TestInsertsDoNotDisturbAWalk(t *testing.T) {
	t.Parallel()
	s := newShelf(t, apitest.New(t, pgtest.New(t)))
	for _, order := range []map[string]any{
		{"field": "NAME", "direction": "ASC"}, {"field": "PRICE", "direction": "DESC"}, {"field": "CREATED_AT", "direction": "DESC"}, {"field": "CREATED_AT", "direction": "ASC"},
	} {
		stop := make(chan struct{})
		var written int
		var writer sync.WaitGroup
		writer.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					addProduct(t, s.Client, id.New().String(), shelfNames[written%len(shelfNames)], "")
					written++
				}
			}
		})
		seen := make(map[string]int)
		args := map[string]any{"first": 3, "orderBy": order}
		for range 1000 {
			page := s.list(t, listProducts, args)
			for _, product := range page.ids() {
				seen[product]++
			}
			// By creation the list grows at its end for as long as one writes.
			if !page.PageInfo.HasNextPage || len(seen) > len(s.rows)+50 && order["direction"] == "ASC" && order["field"] == "CREATED_AT" {
				break
			}
			args["after"] = *page.PageInfo.EndCursor
		}
		close(stop)
		writer.Wait()
		if written == 0 {
			t.Error("nothing was written meanwhile")
		}
		for _, row := range s.rows {
			if n := seen[public("prod", row.ID)]; n != 1 {
				t.Errorf("%v: a row that was there all the time was seen %d times", order, n)
			}
		}
	}
}
