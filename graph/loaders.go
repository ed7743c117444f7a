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
	categoryProducts *dataloadgen.Loader[categoryPage, []*tenantsql.Product]
	categoryCount    *dataloadgen.Loader[id.Category, int64]
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
func load[K comparable, V any](ctx context.Context, pick func(*loaders) *dataloadgen.Loader[K, V], key K) (v V, err error) {
	ls, ok := ctx.Value(loadersKey{}).(*loaders)
	if !ok {
		_, err := tenant.FromContext(ctx)
		return v, err
	}
	v, err = pick(ls).Load(ctx, key)
	if errors.Is(err, dataloadgen.ErrNotFound) {
		return v, nil
	}
	return v, err
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
		categoryProducts: dataloadgen.NewMappedLoader(func(ctx context.Context, pages []categoryPage) (map[categoryPage][]*tenantsql.Product, error) {
			return loadCategoryPages(ctx, home.Read(), t, pages)
		}, options...),
		categoryCount: dataloadgen.NewMappedLoader(func(ctx context.Context, ids []id.Category) (map[id.Category]int64, error) {
			rows, err := home.Read().CountCategoryProducts(ctx, tenantsql.CountCategoryProductsParams{TenantID: t, CategoryIds: apply(ids, id.Category.UUID)})
			counts := make(map[id.Category]int64, len(rows))
			for _, row := range rows {
				counts[*row.CategoryID] = row.Products
			}
			return counts, err
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

// categoryPage is a page of the products of one category. Pages that differ only
// in the category are read by one statement.
type categoryPage struct {
	category id.Category
	bounds   bounds[time.Time]
	limit    int32
}

func loadCategoryPages(ctx context.Context, q *tenantsql.Queries, t tenant.ID, pages []categoryPage) (map[categoryPage][]*tenantsql.Product, error) {
	type shape struct {
		bounds bounds[time.Time]
		limit  int32
	}
	batches := make(map[shape][]uuid.UUID)
	for _, p := range pages {
		s := shape{p.bounds, p.limit}
		batches[s] = append(batches[s], p.category.UUID())
	}
	loaded := make(map[categoryPage][]*tenantsql.Product, len(pages))
	for s, categories := range batches {
		params := tenantsql.ListCategoryProductsAscParams{
			TenantID: t, CategoryIds: categories, RowLimit: s.limit,
			LowCreatedAt: s.bounds.low, LowID: s.bounds.lowID, HighCreatedAt: s.bounds.high, HighID: s.bounds.highID,
		}
		list := q.ListCategoryProductsAsc
		if s.bounds.descending {
			list = func(ctx context.Context, p tenantsql.ListCategoryProductsAscParams) ([]*tenantsql.Product, error) {
				return q.ListCategoryProductsDesc(ctx, tenantsql.ListCategoryProductsDescParams(p))
			}
		}
		rows, err := list(ctx, params)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			key := categoryPage{*row.CategoryID, s.bounds, s.limit}
			loaded[key] = append(loaded[key], row)
		}
	}
	return loaded, nil
}
