// Package demo fills a database with companies that do not exist: two for people
// who try Commonhold, any number for who measures it.
package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/controlsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

// Password opens every demo account. A server refuses to be reached from elsewhere
// while there are any.
const Password = "commonhold-demo"

// Account is a demo account.
type Account struct {
	Tenant, TenantName, Email string
	Role                      auth.Role
}

// Accounts are the accounts that Seed makes: an owner, an admin, a member and a
// viewer in each of two tenants.
func Accounts() []Account {
	var all []Account
	for _, t := range tenants {
		for _, role := range roles {
			all = append(all, Account{t.slug, t.name, role.local + "@" + t.slug + ".example", role.role})
		}
	}
	return all
}

var (
	tenants = []struct{ slug, name string }{{"acme", "Acme"}, {"globex", "Globex"}}
	roles   = []struct {
		local, display string
		role           auth.Role
	}{
		{"owner", "Owner", auth.RoleOwner},
		{"admin", "Admin", auth.RoleAdmin},
		{"member", "Member", auth.RoleMember},
		{"viewer", "Viewer", auth.RoleViewer},
	}
)

// seedProducts is how many products each demo tenant begins with.
const seedProducts = 360

// Seed makes the two demo tenants, or what of them is missing.
func Seed(ctx context.Context, db *postgres.DB, registry *control.Registry, people *auth.Service) error {
	for _, t := range tenants {
		made, err := registry.BySlug(ctx, t.slug)
		if fault.Is(err, fault.NotFound) {
			made, _, err = people.Register(ctx, auth.Registration{
				Tenant: control.Registration{Name: t.name, Slug: t.slug, Currency: "EUR"},
				Email:  "owner@" + t.slug + ".example", Password: Password, DisplayName: "Owner",
			})
		}
		if err != nil {
			return fmt.Errorf("make the demo tenant %s: %w", t.slug, err)
		}
		owner, err := ownerOf(ctx, db, made)
		if err != nil {
			return err
		}
		for _, role := range roles[1:] {
			email := role.local + "@" + t.slug + ".example"
			if _, err := userOf(ctx, db, email); !postgres.IsNoRows(err) {
				if err != nil {
					return fmt.Errorf("look for %s: %w", email, err)
				}
				continue
			}
			if _, err := people.AddMember(ctx, made.ID, email, Password, role.display, role.role); err != nil {
				return fmt.Errorf("add %s: %w", email, err)
			}
		}
		if made.Status != tenant.Active {
			continue // suspended by hand: leave it
		}
		if err := Fill(ctx, db, made.ID, owner, seedProducts); err != nil {
			return fmt.Errorf("fill %s: %w", t.slug, err)
		}
	}
	return nil
}

// ownerOf is the demo owner of a tenant. One that somebody else made under a demo
// slug is left alone: its people must not meet accounts whose password all know.
func ownerOf(ctx context.Context, db *postgres.DB, t *tenant.Tenant) (id.User, error) {
	owner, err := userOf(ctx, db, "owner@"+t.Slug+".example")
	if err != nil && !postgres.IsNoRows(err) {
		return owner, fmt.Errorf("find the owner of %s: %w", t.Slug, err)
	}
	member, err := db.Control().GetActiveMembership(ctx, controlsql.GetActiveMembershipParams{TenantID: t.ID, UserID: owner})
	if err != nil && !postgres.IsNoRows(err) {
		return owner, fmt.Errorf("find the owner of %s: %w", t.Slug, err)
	}
	if member.Role != string(auth.RoleOwner) {
		return owner, fault.New(fault.Config, "This database has a tenant %s that is not the demo's. Use a database of its own for `commonhold dev`.", t.Slug)
	}
	return owner, nil
}

func userOf(ctx context.Context, db *postgres.DB, email string) (id.User, error) {
	row, err := db.Control().GetUserForSignIn(ctx, controlsql.GetUserForSignInParams{Email: email})
	if err != nil {
		return id.User{}, err
	}
	return row.User.ID, nil
}

// Fill gives a tenant n products in categories, customers, and an order for every
// nine products up to forty: one statement for each table, in one transaction.
// What is there under the same SKU, name, address or number stays.
func Fill(ctx context.Context, db *postgres.DB, t tenant.ID, owner id.User, n int) error {
	return db.Home(t).InTx(ctx, func(q *tenantsql.Queries) error {
		categories := tenantsql.ImportCategoriesParams{TenantID: t, CreatedBy: owner}
		for _, line := range lines {
			categories.Ids = append(categories.Ids, id.New())
			categories.Names = append(categories.Names, line.category)
		}
		if _, err := q.ImportCategories(ctx, categories); err != nil {
			return err
		}
		// The ids of those that were there already are not ours: ask.
		rows, err := q.ListCategoriesByNameAsc(ctx, tenantsql.ListCategoriesByNameAscParams{
			TenantID: t, HighNameKey: "\U0010FFFF", HighID: uuid.Max, RowLimit: 1000,
		})
		if err != nil {
			return err
		}
		// By key, as the table compares names: somebody may have written one otherwise.
		known := make(map[string]uuid.UUID, len(rows))
		for _, row := range rows {
			known[row.NameKey] = row.ID.UUID()
		}
		shelf := products(t, owner, n, known)
		if _, err := q.ImportProducts(ctx, shelf); err != nil {
			return err
		}
		return fillOrders(ctx, q, owner, shelf)
	})
}

// fillOrders gives a tenant customers and orders of the products on a shelf.
func fillOrders(ctx context.Context, q *tenantsql.Queries, owner id.User, shelf tenantsql.ImportProductsParams) error {
	c := tenantsql.ImportCustomersParams{TenantID: shelf.TenantID, CreatedBy: owner}
	begin := time.Now().AddDate(0, -2, 0)
	for i, company := range customers {
		c.Ids = append(c.Ids, id.New())
		c.Emails = append(c.Emails, company.email)
		c.Names = append(c.Names, company.name)
		c.CreatedAts = append(c.CreatedAts, begin.Add(time.Duration(i)*time.Hour))
	}
	if _, err := q.ImportCustomers(ctx, c); err != nil {
		return err
	}
	made, lines := orders(shelf, owner)
	if len(made.Ids) == 0 {
		return nil
	}
	if _, err := q.ImportOrders(ctx, made); err != nil {
		return err
	}
	if _, err := q.ImportOrderItems(ctx, lines); err != nil {
		return err
	}
	return q.ImportOrderNumbers(ctx, tenantsql.ImportOrderNumbersParams{TenantID: shelf.TenantID, LastNumber: made.Numbers[len(made.Numbers)-1]})
}

// orders makes one for every nine products, up to forty, with their lines; what
// they took from stock is gone from it already.
func orders(shelf tenantsql.ImportProductsParams, owner id.User) (tenantsql.ImportOrdersParams, tenantsql.ImportOrderItemsParams) {
	o := tenantsql.ImportOrdersParams{TenantID: shelf.TenantID, CreatedBy: &owner}
	l := tenantsql.ImportOrderItemsParams{TenantID: shelf.TenantID}
	n := int32(min(len(shelf.Ids)/9, 40))
	begin := time.Now().Add(-time.Duration(n) * 26 * time.Hour)
	for i := range n {
		order, total := id.New(), int64(0)
		for line := range 1 + i%3 {
			product, quantity := 9*i+line, 1+(i+line)%4
			l.Ids = append(l.Ids, id.New())
			l.OrderIds = append(l.OrderIds, order)
			l.Skus = append(l.Skus, shelf.Skus[product])
			l.Positions = append(l.Positions, line+1)
			l.Quantities = append(l.Quantities, quantity)
			l.UnitPricesMinor = append(l.UnitPricesMinor, shelf.PricesMinor[product])
			total += shelf.PricesMinor[product] * int64(quantity)
		}
		o.Ids = append(o.Ids, order)
		o.Numbers = append(o.Numbers, i+1)
		o.EmailKeys = append(o.EmailKeys, customers[i*5%7].email) // the others have not ordered yet
		o.Statuses = append(o.Statuses, statusOf(i, n))
		o.TotalsMinor = append(o.TotalsMinor, total)
		o.PlacedAts = append(o.PlacedAts, begin.Add(time.Duration(i)*26*time.Hour))
	}
	return o, l
}

// statusOf lets the older orders have come further than the younger.
func statusOf(i, n int32) string {
	switch {
	case i%11 == 7:
		return "CANCELLED"
	case i < n*6/10:
		return "DELIVERED"
	case i < n*7/10:
		return "SHIPPED"
	case i < n*8/10:
		return "PAID"
	default:
		return "PLACED"
	}
}

// In lower case, as customers are found by their addresses.
var customers = []struct{ name, email string }{
	{"Lighthouse Hotels", "purchasing@lighthouse-hotels.example"},
	{"Paper Crane Books", "shop@paper-crane.example"},
	{"Third Floor Studios", "office@third-floor.example"},
	{"Blue Door Bakery", "hello@blue-door.example"},
	{"Old Mill Brewing", "orders@old-mill.example"},
	{"Seven Bridges Law", "facilities@seven-bridges.example"},
	{"Meadow Lane School", "office@meadow-lane.example"},
	{"Copper Kettle Tea Rooms", "hello@copper-kettle.example"},
	{"Northern Lights Cinema", "house@northern-lights.example"},
}

// products makes n of them, the same ones in every tenant.
func products(t tenant.ID, owner id.User, n int, categories map[string]uuid.UUID) tenantsql.ImportProductsParams {
	p := tenantsql.ImportProductsParams{TenantID: t, CreatedBy: owner}
	begin := time.Now().Add(-time.Duration(n) * time.Minute)
	for i := range n {
		line := lines[i%len(lines)]
		noun := line.nouns[i/len(lines)%len(line.nouns)]
		material := line.materials[i/len(lines)/len(line.nouns)%len(line.materials)]
		series := i / len(lines) / len(line.nouns) / len(line.materials)
		name := material + " " + noun
		if series > 0 {
			name = fmt.Sprintf("%s No. %d", name, series+1)
		}
		p.Ids = append(p.Ids, id.New())
		p.Skus = append(p.Skus, fmt.Sprintf("%s-%05d", line.code, i+1))
		p.Names = append(p.Names, name)
		p.Descriptions = append(p.Descriptions, fmt.Sprintf("%s from our %s range. %s", name, line.category, line.praise))
		p.PricesMinor = append(p.PricesMinor, int64(line.from+(i*7919)%line.spread)/5*5+4)
		p.Stocks = append(p.Stocks, int32((i*31)%47%40))
		p.CategoryIds = append(p.CategoryIds, categories[strings.ToLower(line.category)])
		p.CreatedAts = append(p.CreatedAts, begin.Add(time.Duration(i)*time.Minute))
	}
	return p
}

var lines = []struct {
	code, category, praise string
	nouns, materials       []string
	from, spread           int // minor units
}{
	{"LMP", "Lighting", "Comes with a warm bulb and two metres of cable.",
		[]string{"desk lamp", "floor lamp", "pendant lamp", "reading lamp", "wall lamp", "lantern"},
		[]string{"Brass", "Oak", "Linen", "Opal glass", "Black steel", "Copper", "Rattan", "Paper", "Ceramic", "Walnut"}, 1900, 24000},
	{"DSK", "Desks and tables", "Ships flat, stands in ten minutes.",
		[]string{"writing desk", "side table", "standing desk", "dining table", "coffee table", "bench"},
		[]string{"Ash", "Oak", "Walnut", "Birch", "Bamboo", "Beech", "Pine", "Elm", "Larch", "White"}, 8900, 90000},
	{"CHR", "Seating", "Made to be repaired: every part can be ordered.",
		[]string{"armchair", "stool", "office chair", "rocking chair", "bar stool", "footrest"},
		[]string{"Cord", "Wool", "Leather", "Canvas", "Velvet", "Cane", "Felt", "Mesh", "Bouclé", "Moulded"}, 5900, 60000},
	{"KTC", "Kitchen", "Safe in the dishwasher.",
		[]string{"mixing bowl", "saucepan", "cutting board", "pepper mill", "teapot", "storage jar"},
		[]string{"Enamel", "Stoneware", "Acacia", "Glass", "Cast-iron", "Steel", "Olive-wood", "Porcelain", "Tin", "Marble"}, 900, 9000},
	{"TXT", "Textiles", "Washable at forty degrees.",
		[]string{"blanket", "cushion cover", "tablecloth", "towel", "rug", "curtain"},
		[]string{"Linen", "Cotton", "Merino", "Hemp", "Jute", "Alpaca", "Waffle", "Striped", "Checked", "Quilted"}, 1200, 18000},
	{"STA", "Stationery", "Lies flat and takes ink well.",
		[]string{"notebook", "pencil case", "letter tray", "desk pad", "card box", "bookend"},
		[]string{"Cork", "Leather", "Recycled", "Linen-bound", "Brass", "Dotted", "Ruled", "Canvas", "Grey-board", "Slim"}, 400, 4500},
}

// Populate makes further tenants, demo-00001 and on, with m products each, and
// tells progress how many are done. Those that exist are filled up.
func Populate(ctx context.Context, db *postgres.DB, registry *control.Registry, n, m int, progress func(done int)) error {
	for i := 1; i <= n; i++ {
		slug := fmt.Sprintf("demo-%05d", i)
		t, err := registry.BySlug(ctx, slug)
		var owner id.User
		if fault.Is(err, fault.NotFound) {
			t, owner, err = register(ctx, db, slug)
		} else if err == nil {
			owner, err = userOf(ctx, db, "owner@"+slug+".example")
		}
		if err != nil {
			return fmt.Errorf("make tenant %s: %w", slug, err)
		}
		if err := Fill(ctx, db, t.ID, owner, m); err != nil {
			return fmt.Errorf("fill tenant %s: %w", slug, err)
		}
		progress(i)
	}
	return nil
}

// register makes a tenant whose owner nobody can sign in as: hashing a password for
// each of thousands would take longer than all the rest.
func register(ctx context.Context, db *postgres.DB, slug string) (t *tenant.Tenant, owner id.User, err error) {
	owner = id.NewUser()
	err = db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if _, err := q.CreateUser(ctx, controlsql.CreateUserParams{ID: owner, Email: "owner@" + slug + ".example", DisplayName: "Owner"}); err != nil {
			return err
		}
		if err := q.CreateUserCredentials(ctx, controlsql.CreateUserCredentialsParams{UserID: owner, PasswordHash: control.NoPassword}); err != nil {
			return err
		}
		t, err = control.Register(ctx, q, control.Registration{Name: "Demo " + slug[len("demo-"):], Slug: slug, Currency: "EUR"}, owner)
		return err
	})
	return t, owner, err
}
