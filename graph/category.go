package graph

import (
	"context"
	"slices"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vikstrous/dataloadgen"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/event"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/internal/text"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

func categoryLoader(ls *loaders) *dataloadgen.Loader[id.Category, *tenantsql.Category] {
	return ls.category
}

func (r *queryResolver) Category(ctx context.Context, given id.Any) (*tenantsql.Category, error) {
	category, err := id.As[id.Category](given)
	if err != nil {
		return nil, err
	}
	return load(ctx, categoryLoader, category)
}

func (r *categoryResolver) Parent(ctx context.Context, c *tenantsql.Category) (*tenantsql.Category, error) {
	if c.ParentID == nil {
		return nil, nil //nolint:nilnil // null is the answer
	}
	return load(ctx, categoryLoader, *c.ParentID)
}

func (r *categoryResolver) CreatedBy(ctx context.Context, c *tenantsql.Category) (*accountsql.User, error) {
	return load(ctx, userLoader, c.CreatedBy)
}

func (r *categoryResolver) Products(ctx context.Context, c *tenantsql.Category, first *int32, after *string, last *int32, before *string) (*generated.CategoryProductConnection, error) {
	p, err := newPage(first, after, last, before)
	if err != nil {
		return nil, err
	}
	by := generated.ProductOrderFieldCreatedAt
	list := loadPage(c.ID, productList(by), func(ls *loaders) *dataloadgen.Loader[childPage[id.Category], []*tenantsql.Product] {
		return ls.categoryProducts
	})
	connection := &generated.CategoryProductConnection{Category: c.ID}
	connection.Nodes, connection.PageInfo, connection.Edges, err = productPage(ctx, p, list, by)
	return connection, err
}

func (r *categoryProductConnectionResolver) TotalCount(ctx context.Context, c *generated.CategoryProductConnection) (int32, error) {
	n, err := load(ctx, func(ls *loaders) *dataloadgen.Loader[id.Category, int64] { return ls.categoryCount }, c.Category)
	return toInt(n), err
}

const categoryList = "categories"

func (r *queryResolver) Categories(ctx context.Context, first *int32, after *string, last *int32, before *string) (*generated.CategoryConnection, error) {
	p, err := newPage(first, after, last, before)
	if err != nil {
		return nil, err
	}
	c := &generated.CategoryConnection{}
	if c.Nodes, c.PageInfo, err = readPage(ctx, p, r.listCategories, categoryCursor); err != nil {
		return nil, err
	}
	c.Edges = apply(c.Nodes, func(row *tenantsql.Category) *generated.CategoryEdge {
		return &generated.CategoryEdge{Cursor: categoryCursor(row), Node: row}
	})
	return c, nil
}

func (r *Resolver) listCategories(ctx context.Context, p page) ([]*tenantsql.Category, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	b, err := between(p, categoryList, false, "", highestText)
	if err != nil {
		return nil, err
	}
	params := tenantsql.ListCategoriesByNameAscParams{TenantID: t.ID, LowNameKey: b.low, LowID: b.lowID, HighNameKey: b.high, HighID: b.highID, RowLimit: p.limit()}
	if b.descending {
		return r.DB.Home(t.ID).Read().ListCategoriesByNameDesc(ctx, tenantsql.ListCategoriesByNameDescParams(params))
	}
	return r.DB.Home(t.ID).Read().ListCategoriesByNameAsc(ctx, params)
}

func categoryCursor(c *tenantsql.Category) string {
	return writeCursor(categoryList, c.NameKey, c.ID.UUID())
}

func (r *categoryConnectionResolver) TotalCount(ctx context.Context, _ *generated.CategoryConnection) (int32, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return 0, err
	}
	n, err := r.DB.Home(t.ID).Read().CountCategories(ctx, tenantsql.CountCategoriesParams{TenantID: t.ID})
	return toInt(n), err
}

func (r *mutationResolver) CreateCategory(ctx context.Context, in generated.CreateCategoryInput) (*generated.CreateCategoryPayload, error) {
	var name string
	made, err := r.changeCategory(ctx, "category.created",
		func(*tenant.Tenant) (err error) {
			name, err = categoryName(graphql.OmittableOf(&in.Name))
			return err
		},
		func(q *tenantsql.Queries, t *tenant.Tenant, caller id.User) (row, _ *tenantsql.Category, err error) {
			row, err = q.CreateCategory(ctx, tenantsql.CreateCategoryParams{TenantID: t.ID, ID: id.NewCategory(), ParentID: in.ParentID.Value(), Name: name, CreatedBy: caller})
			return row, nil, err
		})
	shown, err := userErrors(ctx, inputConstraint(err))
	return &generated.CreateCategoryPayload{Category: made, UserErrors: shown}, err
}

func (r *mutationResolver) UpdateCategory(ctx context.Context, in generated.UpdateCategoryInput) (*generated.UpdateCategoryPayload, error) {
	var name string
	changed, err := r.changeCategory(ctx, "category.updated",
		func(*tenant.Tenant) (err error) {
			name, err = categoryName(in.Name)
			return err
		},
		func(q *tenantsql.Queries, t *tenant.Tenant, _ id.User) (row, was *tenantsql.Category, err error) {
			if err := checkParent(ctx, q, t.ID, in.ID, in.ParentID.Value()); err != nil {
				return nil, nil, err
			}
			if was, err = categoryBefore(ctx, q, t.ID, in.ID, in.Version); err != nil {
				return nil, nil, err
			}
			row, err = q.UpdateCategory(ctx, tenantsql.UpdateCategoryParams{
				TenantID: t.ID, ID: in.ID, Version: in.Version,
				SetName: in.Name.IsSet(), Name: name, SetParentID: in.ParentID.IsSet(), ParentID: in.ParentID.Value(),
			})
			return row, was, staleCategory(ctx, q, t.ID, in.ID, err)
		})
	shown, err := userErrors(ctx, inputConstraint(err))
	return &generated.UpdateCategoryPayload{Category: changed, UserErrors: shown}, err
}

func (r *mutationResolver) DeleteCategory(ctx context.Context, in generated.DeleteCategoryInput) (*generated.DeleteCategoryPayload, error) {
	gone, err := r.changeCategory(ctx, "category.deleted",
		func(*tenant.Tenant) error { return nil },
		func(q *tenantsql.Queries, t *tenant.Tenant, _ id.User) (row, _ *tenantsql.Category, err error) {
			row, err = q.DeleteCategory(ctx, tenantsql.DeleteCategoryParams{TenantID: t.ID, ID: in.ID, Version: in.Version})
			return row, nil, staleCategory(ctx, q, t.ID, in.ID, err)
		})
	switch postgres.Constraint(err) {
	case "products_category_id_fkey", "categories_parent_id_fkey":
		err = fault.New(fault.InUse, "This category still holds products or other categories. Move or delete them first.").At("id")
	}
	shown, err := userErrors(ctx, err)
	return &generated.DeleteCategoryPayload{Category: gone, UserErrors: shown}, err
}

// changeCategory checks the input, does the change and records it, all or nothing: an
// update, which says what was before, by what it changed.
func (r *Resolver) changeCategory(ctx context.Context, action string, check func(*tenant.Tenant) error,
	change func(*tenantsql.Queries, *tenant.Tenant, id.User) (row, was *tenantsql.Category, err error),
) (*tenantsql.Category, error) {
	return inTx(ctx, r, check, func(q *tenantsql.Queries, t *tenant.Tenant, caller id.User) (*tenantsql.Category, error) {
		row, was, err := change(q, t, caller)
		if err != nil {
			return nil, err
		}
		return row, event.Record(ctx, q, action, row.ID.UUID(), changeRecord(was, row, categoryRecord))
	})
}

func categoryName(given graphql.Omittable[*string]) (string, error) {
	return required("name", given, func(s string) (string, error) { return text.Line("The name", s, 1, 200) })
}

// checkParent refuses a parent that lies below the category itself. The lock keeps
// two moves at once from making together the circle that neither makes alone.
func checkParent(ctx context.Context, q *tenantsql.Queries, t tenant.ID, category id.Category, parent *id.Category) error {
	if parent == nil {
		return nil
	}
	if err := q.LockCategories(ctx, tenantsql.LockCategoriesParams{TenantID: t}); err != nil {
		return err
	}
	line, err := q.ListCategoryAncestors(ctx, tenantsql.ListCategoryAncestorsParams{TenantID: t, ID: *parent})
	if err != nil {
		return err
	}
	if slices.Contains(line, category.UUID()) {
		return ownAncestor()
	}
	return nil
}

func ownAncestor() error {
	return fault.New(fault.Invalid, "A category cannot stand inside itself. Choose a parent that is not below it.").At("parentId")
}

func staleCategory(ctx context.Context, q *tenantsql.Queries, t tenant.ID, category id.Category, err error) error {
	if !postgres.IsNoRows(err) {
		return err
	}
	if _, err := q.GetCategory(ctx, tenantsql.GetCategoryParams{TenantID: t, ID: category}); !postgres.IsNoRows(err) {
		return orStale(err)
	}
	return noCategory()
}

// categoryBefore reads what an update begins with. Every change makes another version,
// so an update that still finds this one changes this row.
func categoryBefore(ctx context.Context, q *tenantsql.Queries, t tenant.ID, category id.Category, version int32) (*tenantsql.Category, error) {
	row, err := q.GetCategory(ctx, tenantsql.GetCategoryParams{TenantID: t, ID: category})
	switch {
	case postgres.IsNoRows(err):
		return nil, noCategory()
	case err == nil && row.Version != version:
		return nil, orStale(nil)
	}
	return row, err
}

func noCategory() error { return fault.New(fault.NotFound, "There is no such category.").At("id") }

// categoryRecord is a category as the log keeps it.
func categoryRecord(c *tenantsql.Category) map[string]any {
	return map[string]any{"name": c.Name, "parent_id": orNil(c.ParentID), "version": c.Version, "created_by": c.CreatedBy, "created_at": c.CreatedAt.UTC()}
}

// inputConstraint tells the constraints that an input can run into.
func inputConstraint(err error) error {
	switch postgres.Constraint(err) {
	case "categories_parent_id_name_key":
		return fault.New(fault.Taken, "Another category beside it has this name. Choose another.").At("name")
	case "categories_parent_id_fkey":
		return fault.New(fault.NotFound, "There is no such category to put it in.").At("parentId")
	case "categories_parent_id_check":
		return ownAncestor()
	}
	return err
}
