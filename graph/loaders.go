package graph

import (
	"context"
	"errors"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"
	"github.com/vikstrous/dataloadgen"

	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

// loaders batch what the rows of one response belong to: one statement for each
// loader and level. They are closed over one tenant and live for one response, so
// nothing can be kept for another.
type loaders struct {
	product          *dataloadgen.Loader[id.Product, *tenantsql.Product]
	category         *dataloadgen.Loader[id.Category, *tenantsql.Category]
	user             *dataloadgen.Loader[id.User, *accountsql.User]
	member           *dataloadgen.Loader[id.Member, *accountsql.Membership]
	apiKey           *dataloadgen.Loader[id.APIKey, *accountsql.ApiKey]
	invitationLink   *dataloadgen.Loader[id.InvitationLink, *accountsql.InvitationLink]
	categoryProducts *dataloadgen.Loader[childPage[id.Category], []*tenantsql.Product]
	categoryCount    *dataloadgen.Loader[id.Category, int64]
	customer         *dataloadgen.Loader[id.Customer, *tenantsql.Customer]
	customerOrders   *dataloadgen.Loader[childPage[id.Customer], []*tenantsql.Order]
	customerSum      *dataloadgen.Loader[id.Customer, tenantsql.SumCustomerOrdersRow]
	order            *dataloadgen.Loader[id.Order, *tenantsql.Order]
	orderItem        *dataloadgen.Loader[id.OrderItem, *tenantsql.OrderItem]
	orderItems       *dataloadgen.Loader[id.Order, []*tenantsql.OrderItem]
}

type loadersKey struct{}

// WithLoaders gives a response loaders of its own. Signed out there are none, and
// nothing that would ask for them.
func (r *Resolver) WithLoaders(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	if t, err := tenant.FromContext(ctx); err == nil {
		ctx = context.WithValue(ctx, loadersKey{}, r.newLoaders(t.ID))
	}
	return next(ctx)
}

// load asks a loader of this response for one thing, nil where there is none.
func load[K comparable, V any](ctx context.Context, pick func(*loaders) *dataloadgen.Loader[K, V], key K) (V, error) {
	return loadLater(ctx, pick, key)()
}

// loadLater is load for who asks for several things before it waits for the first.
func loadLater[K comparable, V any](ctx context.Context, pick func(*loaders) *dataloadgen.Loader[K, V], key K) func() (V, error) {
	ls, ok := ctx.Value(loadersKey{}).(*loaders)
	if !ok {
		return func() (v V, err error) {
			_, err = tenant.FromContext(ctx)
			return v, err
		}
	}
	loading := pick(ls).LoadThunk(ctx, key)
	return func() (V, error) {
		v, err := loading()
		if errors.Is(err, dataloadgen.ErrNotFound) {
			err = nil
		}
		return v, err
	}
}

func (r *Resolver) newLoaders(t tenant.ID) *loaders {
	wait := r.LoaderWait
	if wait == 0 {
		wait = 500 * time.Microsecond
	}
	options := []dataloadgen.Option{dataloadgen.WithWait(wait), dataloadgen.WithBatchCapacity(1000)}
	home, account := r.DB.Home(t), r.DB.Account(t)
	return &loaders{
		product: dataloadgen.NewMappedLoader(func(ctx context.Context, ids []id.Product) (map[id.Product]*tenantsql.Product, error) {
			rows, err := home.Read().ListProductsByIDs(ctx, tenantsql.ListProductsByIDsParams{TenantID: t, Ids: apply(ids, id.Product.UUID)})
			return keyed(rows, func(p *tenantsql.Product) id.Product { return p.ID }), err
		}, options...),
		category: dataloadgen.NewMappedLoader(func(ctx context.Context, ids []id.Category) (map[id.Category]*tenantsql.Category, error) {
			rows, err := home.Read().ListCategoriesByIDs(ctx, tenantsql.ListCategoriesByIDsParams{TenantID: t, Ids: apply(ids, id.Category.UUID)})
			return keyed(rows, func(c *tenantsql.Category) id.Category { return c.ID }), err
		}, options...),
		user: dataloadgen.NewMappedLoader(func(ctx context.Context, ids []id.User) (map[id.User]*accountsql.User, error) {
			rows, err := account.Read().ListUsersByIDs(ctx, accountsql.ListUsersByIDsParams{TenantID: t, UserIds: apply(ids, id.User.UUID)})
			return keyed(rows, func(u *accountsql.User) id.User { return u.ID }), err
		}, options...),
		member: dataloadgen.NewMappedLoader(func(ctx context.Context, ids []id.Member) (map[id.Member]*accountsql.Membership, error) {
			rows, err := account.Read().ListMembersByIDs(ctx, accountsql.ListMembersByIDsParams{TenantID: t, Ids: apply(ids, id.Member.UUID)})
			return keyed(rows, func(m *accountsql.Membership) id.Member { return m.ID }), err
		}, options...),
		apiKey: dataloadgen.NewMappedLoader(func(ctx context.Context, ids []id.APIKey) (map[id.APIKey]*accountsql.ApiKey, error) {
			rows, err := account.Read().ListAPIKeysByIDs(ctx, accountsql.ListAPIKeysByIDsParams{TenantID: t, Ids: apply(ids, id.APIKey.UUID)})
			return keyed(rows, func(k *accountsql.ApiKey) id.APIKey { return k.ID }), err
		}, options...),
		invitationLink: dataloadgen.NewMappedLoader(func(ctx context.Context, ids []id.InvitationLink) (map[id.InvitationLink]*accountsql.InvitationLink, error) {
			rows, err := account.Read().ListInvitationLinksByIDs(ctx, accountsql.ListInvitationLinksByIDsParams{TenantID: t, Ids: apply(ids, id.InvitationLink.UUID)})
			return keyed(rows, func(l *accountsql.InvitationLink) id.InvitationLink { return l.ID }), err
		}, options...),
		categoryProducts: dataloadgen.NewMappedLoader(func(ctx context.Context, pages []childPage[id.Category]) (map[childPage[id.Category]][]*tenantsql.Product, error) {
			return loadPages(pages, id.Category.UUID, func(p *tenantsql.Product) id.Category { return *p.CategoryID }, func(categories []uuid.UUID, s pageShape) ([]*tenantsql.Product, error) {
				params := tenantsql.ListCategoryProductsAscParams{
					TenantID: t, CategoryIds: categories, RowLimit: s.limit,
					LowCreatedAt: s.bounds.low, LowID: s.bounds.lowID, HighCreatedAt: s.bounds.high, HighID: s.bounds.highID,
				}
				if s.bounds.descending {
					return home.Read().ListCategoryProductsDesc(ctx, tenantsql.ListCategoryProductsDescParams(params))
				}
				return home.Read().ListCategoryProductsAsc(ctx, params)
			})
		}, options...),
		categoryCount: dataloadgen.NewMappedLoader(func(ctx context.Context, ids []id.Category) (map[id.Category]int64, error) {
			rows, err := home.Read().CountCategoryProducts(ctx, tenantsql.CountCategoryProductsParams{TenantID: t, CategoryIds: apply(ids, id.Category.UUID)})
			counts := make(map[id.Category]int64, len(rows))
			for _, row := range rows {
				counts[*row.CategoryID] = row.Products
			}
			return counts, err
		}, options...),
		customer: dataloadgen.NewMappedLoader(func(ctx context.Context, ids []id.Customer) (map[id.Customer]*tenantsql.Customer, error) {
			rows, err := home.Read().ListCustomersByIDs(ctx, tenantsql.ListCustomersByIDsParams{TenantID: t, Ids: apply(ids, id.Customer.UUID)})
			return keyed(rows, func(c *tenantsql.Customer) id.Customer { return c.ID }), err
		}, options...),
		customerOrders: dataloadgen.NewMappedLoader(func(ctx context.Context, pages []childPage[id.Customer]) (map[childPage[id.Customer]][]*tenantsql.Order, error) {
			return loadPages(pages, id.Customer.UUID, func(o *tenantsql.Order) id.Customer { return o.CustomerID }, func(customers []uuid.UUID, s pageShape) ([]*tenantsql.Order, error) {
				params := tenantsql.ListCustomerOrdersAscParams{
					TenantID: t, CustomerIds: customers, RowLimit: s.limit,
					LowCreatedAt: s.bounds.low, LowID: s.bounds.lowID, HighCreatedAt: s.bounds.high, HighID: s.bounds.highID,
				}
				if s.bounds.descending {
					return home.Read().ListCustomerOrdersDesc(ctx, tenantsql.ListCustomerOrdersDescParams(params))
				}
				return home.Read().ListCustomerOrdersAsc(ctx, params)
			})
		}, options...),
		customerSum: dataloadgen.NewMappedLoader(func(ctx context.Context, ids []id.Customer) (map[id.Customer]tenantsql.SumCustomerOrdersRow, error) {
			rows, err := home.Read().SumCustomerOrders(ctx, tenantsql.SumCustomerOrdersParams{TenantID: t, CustomerIds: apply(ids, id.Customer.UUID)})
			sums := make(map[id.Customer]tenantsql.SumCustomerOrdersRow, len(rows))
			for _, row := range rows {
				sums[row.CustomerID] = *row
			}
			return sums, err
		}, options...),
		order: dataloadgen.NewMappedLoader(func(ctx context.Context, ids []id.Order) (map[id.Order]*tenantsql.Order, error) {
			rows, err := home.Read().ListOrdersByIDs(ctx, tenantsql.ListOrdersByIDsParams{TenantID: t, Ids: apply(ids, id.Order.UUID)})
			return keyed(rows, func(o *tenantsql.Order) id.Order { return o.ID }), err
		}, options...),
		orderItem: dataloadgen.NewMappedLoader(func(ctx context.Context, ids []id.OrderItem) (map[id.OrderItem]*tenantsql.OrderItem, error) {
			rows, err := home.Read().ListOrderItemsByIDs(ctx, tenantsql.ListOrderItemsByIDsParams{TenantID: t, Ids: apply(ids, id.OrderItem.UUID)})
			return keyed(rows, func(i *tenantsql.OrderItem) id.OrderItem { return i.ID }), err
		}, options...),
		orderItems: dataloadgen.NewMappedLoader(func(ctx context.Context, ids []id.Order) (map[id.Order][]*tenantsql.OrderItem, error) {
			rows, err := home.Read().ListOrderItems(ctx, tenantsql.ListOrderItemsParams{TenantID: t, OrderIds: apply(ids, id.Order.UUID)})
			items := make(map[id.Order][]*tenantsql.OrderItem, len(ids))
			for _, row := range rows {
				items[row.OrderID] = append(items[row.OrderID], row)
			}
			return items, err
		}, options...),
	}
}

func keyed[K comparable, V any](rows []*V, key func(*V) K) map[K]*V {
	m := make(map[K]*V, len(rows))
	for _, row := range rows {
		m[key(row)] = row
	}
	return m
}

// pageShape is what pages have in common that one statement reads.
type pageShape struct {
	bounds bounds[time.Time]
	limit  int32
}

// childPage is a page of what belongs to one parent. Pages that differ only in the
// parent are read by one statement.
type childPage[P comparable] struct {
	parent P
	pageShape
}

// loadPage lists what belongs to one parent, from the newest to the oldest.
//
// Errors: as between; those of the loader.
func loadPage[P comparable, R any](parent P, list string, loader func(*loaders) *dataloadgen.Loader[childPage[P], []*R]) lister[R] {
	return func(ctx context.Context, p page) ([]*R, error) {
		b, err := between(p, list, true, lowestTime, highestTime)
		if err != nil {
			return nil, err
		}
		// A cursor may say its moment in any zone: pages of one moment are one batch.
		b.low, b.high = b.low.UTC(), b.high.UTC()
		return load(ctx, loader, childPage[P]{parent, pageShape{b, p.limit()}})
	}
}

// loadPages reads pages by one statement for each shape and gives each parent its own.
func loadPages[P comparable, R any](pages []childPage[P], key func(P) uuid.UUID, parent func(*R) P, list func([]uuid.UUID, pageShape) ([]*R, error)) (map[childPage[P]][]*R, error) {
	batches := make(map[pageShape][]uuid.UUID)
	for _, p := range pages {
		batches[p.pageShape] = append(batches[p.pageShape], key(p.parent))
	}
	loaded := make(map[childPage[P]][]*R, len(pages))
	for shape, parents := range batches {
		rows, err := list(parents, shape)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			page := childPage[P]{parent(row), shape}
			loaded[page] = append(loaded[page], row)
		}
	}
	return loaded, nil
}
