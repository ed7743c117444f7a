package graph

import (
	"context"
	"errors"
	"math"

	"github.com/vikstrous/dataloadgen"

	"github.com/99designs/gqlgen/graphql"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/graph/relay"
	"github.com/commonhold/commonhold/graph/scalar"
	"github.com/commonhold/commonhold/internal/event"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/internal/text"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

func productLoader(ls *loaders) *dataloadgen.Loader[id.Product, *tenantsql.Product] {
	return ls.product
}

func (r *queryResolver) Product(ctx context.Context, given id.Any) (*tenantsql.Product, error) {
	product, err := id.As[id.Product](given)
	if err != nil {
		return nil, err
	}
	return load(ctx, productLoader, product)
}

func (r *productResolver) Price(ctx context.Context, p *tenantsql.Product) (*scalar.Money, error) {
	return money(ctx, p.PriceMinor)
}

func (r *productResolver) Category(ctx context.Context, p *tenantsql.Product) (*tenantsql.Category, error) {
	if p.CategoryID == nil {
		return nil, nil //nolint:nilnil // null is the answer
	}
	return load(ctx, categoryLoader, *p.CategoryID)
}

func (r *productResolver) CreatedBy(ctx context.Context, p *tenantsql.Product) (*accountsql.User, error) {
	return load(ctx, userLoader, p.CreatedBy)
}

func (r *queryResolver) Products(ctx context.Context, first *int32, after *string, last *int32, before *string, filter *generated.ProductFilter, orderBy *generated.ProductOrder) (*generated.ProductConnection, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	p, err := newPage(first, after, last, before)
	if err != nil {
		return nil, err
	}
	conditions, err := productConditions(t, filter)
	if err != nil {
		return nil, err
	}
	if orderBy == nil {
		orderBy = &generated.ProductOrder{Field: generated.ProductOrderFieldCreatedAt, Direction: generated.OrderDirectionDesc}
	}
	list := func(ctx context.Context, p page) ([]*tenantsql.Product, error) {
		return listProducts(ctx, r.DB.Home(t.ID).Read(), p, conditions, *orderBy)
	}
	c := &generated.ProductConnection{Filter: conditions}
	c.Nodes, c.PageInfo, c.Edges, err = productPage(ctx, p, list, orderBy.Field)
	return c, err
}

func (r *productConnectionResolver) TotalCount(ctx context.Context, c *generated.ProductConnection) (int32, error) {
	n, err := r.DB.Home(c.Filter.TenantID).Read().CountProducts(ctx, *c.Filter)
	return toInt(n), err
}

func productPage(ctx context.Context, p page, list lister[tenantsql.Product], by generated.ProductOrderField) ([]*tenantsql.Product, *relay.PageInfo, []*generated.ProductEdge, error) {
	cursor := func(row *tenantsql.Product) string { return productCursor(row, by) }
	nodes, info, err := readPage(ctx, p, list, cursor)
	return nodes, info, apply(nodes, func(row *tenantsql.Product) *generated.ProductEdge {
		return &generated.ProductEdge{Cursor: cursor(row), Node: row}
	}), err
}

// productList names the list of an order in its cursors.
func productList(by generated.ProductOrderField) string { return "products:" + string(by) }

func productCursor(p *tenantsql.Product, by generated.ProductOrderField) string {
	switch by {
	case generated.ProductOrderFieldName:
		return writeCursor(productList(by), p.NameKey, p.ID.UUID())
	case generated.ProductOrderFieldPrice:
		return writeCursor(productList(by), p.PriceMinor, p.ID.UUID())
	default:
		return writeCursor(productList(by), p.CreatedAt, p.ID.UUID())
	}
}

// productConditions turns a filter into what the statements take.
func productConditions(t *tenant.Tenant, f *generated.ProductFilter) (*tenantsql.CountProductsParams, error) {
	c := &tenantsql.CountProductsParams{TenantID: t.ID}
	if f == nil {
		return c, nil
	}
	if category := f.CategoryID.Value(); category != nil {
		c.CategoryID = new(category.UUID())
	}
	c.InStock = f.InStock.Value()
	var errs []error
	if price := f.Price.Value(); price != nil {
		var err error
		if c.MinPrice, err = minorBound(price.Min.Value(), t.Currency); err != nil {
			errs = append(errs, err)
		}
		if c.MaxPrice, err = minorBound(price.Max.Value(), t.Currency); err != nil {
			errs = append(errs, err)
		}
	}
	if name := f.Name.Value(); name != nil {
		if part := name.Contains.Value(); part != nil {
			clean, err := text.Line("The part of a name", *part, 1, 200)
			errs = append(errs, err)
			c.Contains = &clean
		}
	}
	return c, asRequest(errors.Join(errs...))
}

func minorBound(d *scalar.Decimal, currency string) (*int64, error) {
	if d == nil {
		return nil, nil //nolint:nilnil // no bound
	}
	minor, err := scalar.Minor(*d, currency)
	return &minor, err
}

// listProducts picks the one statement that lists in this order and direction.
func listProducts(ctx context.Context, q *tenantsql.Queries, p page, c *tenantsql.CountProductsParams, by generated.ProductOrder) ([]*tenantsql.Product, error) {
	down := by.Direction == generated.OrderDirectionDesc
	list := productList(by.Field)
	switch by.Field {
	case generated.ProductOrderFieldName:
		b, err := between(p, list, down, "", highestText)
		if err != nil {
			return nil, err
		}
		params := tenantsql.ListProductsByNameAscParams{
			TenantID: c.TenantID, LowNameKey: b.low, LowID: b.lowID, HighNameKey: b.high, HighID: b.highID, RowLimit: p.limit(),
			CategoryID: c.CategoryID, MinPrice: c.MinPrice, MaxPrice: c.MaxPrice, Contains: c.Contains, InStock: c.InStock,
		}
		if b.descending {
			return q.ListProductsByNameDesc(ctx, tenantsql.ListProductsByNameDescParams(params))
		}
		return q.ListProductsByNameAsc(ctx, params)
	case generated.ProductOrderFieldPrice:
		b, err := between(p, list, down, int64(-1), int64(math.MaxInt64))
		if err != nil {
			return nil, err
		}
		params := tenantsql.ListProductsByPriceAscParams{
			TenantID: c.TenantID, LowPriceMinor: b.low, LowID: b.lowID, HighPriceMinor: b.high, HighID: b.highID, RowLimit: p.limit(),
			CategoryID: c.CategoryID, MinPrice: c.MinPrice, MaxPrice: c.MaxPrice, Contains: c.Contains, InStock: c.InStock,
		}
		if b.descending {
			return q.ListProductsByPriceDesc(ctx, tenantsql.ListProductsByPriceDescParams(params))
		}
		return q.ListProductsByPriceAsc(ctx, params)
	default:
		b, err := between(p, list, down, lowestTime, highestTime)
		if err != nil {
			return nil, err
		}
		if b.descending && b.low.Equal(lowestTime) && *c == (tenantsql.CountProductsParams{TenantID: c.TenantID}) {
			return q.ListNewestProducts(ctx, tenantsql.ListNewestProductsParams{TenantID: c.TenantID, HighCreatedAt: b.high, HighID: b.highID, RowLimit: p.limit()})
		}
		params := tenantsql.ListProductsByCreatedAtAscParams{
			TenantID: c.TenantID, LowCreatedAt: b.low, LowID: b.lowID, HighCreatedAt: b.high, HighID: b.highID, RowLimit: p.limit(),
			CategoryID: c.CategoryID, MinPrice: c.MinPrice, MaxPrice: c.MaxPrice, Contains: c.Contains, InStock: c.InStock,
		}
		if b.descending {
			return q.ListProductsByCreatedAtDesc(ctx, tenantsql.ListProductsByCreatedAtDescParams(params))
		}
		return q.ListProductsByCreatedAtAsc(ctx, params)
	}
}

func (r *mutationResolver) CreateProduct(ctx context.Context, in generated.CreateProductInput) (*generated.CreateProductPayload, error) {
	made, err := r.createProduct(ctx, in)
	shown, err := userErrors(ctx, err)
	return &generated.CreateProductPayload{Product: made, UserErrors: shown}, err
}

func (r *mutationResolver) createProduct(ctx context.Context, in generated.CreateProductInput) (made *tenantsql.Product, err error) {
	var v productValues
	sku, name, price, stock := graphql.OmittableOf(&in.Sku), graphql.OmittableOf(&in.Name), graphql.OmittableOf(in.Price), graphql.OmittableOf(&in.Stock)
	return r.changeProduct(ctx, "product.created",
		func(t *tenant.Tenant) error { return v.read(t, sku, name, in.Description, price, stock) },
		func(q *tenantsql.Queries, t *tenant.Tenant, caller id.User) (row, _ *tenantsql.Product, err error) {
			row, err = q.CreateProduct(ctx, tenantsql.CreateProductParams{
				TenantID: t.ID, ID: id.NewProduct(), Sku: v.sku, Name: v.name, Description: v.description,
				PriceMinor: v.price, Stock: v.stock, CategoryID: in.CategoryID.Value(), CreatedBy: caller,
			})
			return row, nil, err
		})
}

func (r *mutationResolver) UpdateProduct(ctx context.Context, in generated.UpdateProductInput) (*generated.UpdateProductPayload, error) {
	var v productValues
	changed, err := r.changeProduct(ctx, "product.updated",
		func(t *tenant.Tenant) error { return v.read(t, in.Sku, in.Name, in.Description, in.Price, in.Stock) },
		func(q *tenantsql.Queries, t *tenant.Tenant, _ id.User) (row, was *tenantsql.Product, err error) {
			if was, err = productBefore(ctx, q, t.ID, in.ID, in.Version); err != nil {
				return nil, nil, err
			}
			row, err = q.UpdateProduct(ctx, tenantsql.UpdateProductParams{
				TenantID: t.ID, ID: in.ID, Version: in.Version,
				SetSku: in.Sku.IsSet(), Sku: v.sku, SetName: in.Name.IsSet(), Name: v.name,
				SetDescription: in.Description.IsSet(), Description: v.description,
				SetPriceMinor: in.Price.IsSet(), PriceMinor: v.price, SetStock: in.Stock.IsSet(), Stock: v.stock,
				SetCategoryID: in.CategoryID.IsSet(), CategoryID: in.CategoryID.Value(),
			})
			return row, was, staleProduct(ctx, q, t.ID, in.ID, err)
		})
	shown, err := userErrors(ctx, err)
	return &generated.UpdateProductPayload{Product: changed, UserErrors: shown}, err
}

func (r *mutationResolver) DeleteProduct(ctx context.Context, in generated.DeleteProductInput) (*generated.DeleteProductPayload, error) {
	gone, err := r.changeProduct(ctx, "product.deleted",
		func(*tenant.Tenant) error { return nil },
		func(q *tenantsql.Queries, t *tenant.Tenant, _ id.User) (row, _ *tenantsql.Product, err error) {
			row, err = q.DeleteProduct(ctx, tenantsql.DeleteProductParams{TenantID: t.ID, ID: in.ID, Version: in.Version})
			return row, nil, staleProduct(ctx, q, t.ID, in.ID, err)
		})
	shown, err := userErrors(ctx, err)
	return &generated.DeleteProductPayload{Product: gone, UserErrors: shown}, err
}

// changeProduct checks the input, does the change and records it, all or nothing: an
// update, which says what was before, by what it changed.
func (r *Resolver) changeProduct(ctx context.Context, action string, check func(*tenant.Tenant) error,
	change func(*tenantsql.Queries, *tenant.Tenant, id.User) (row, was *tenantsql.Product, err error),
) (row *tenantsql.Product, err error) {
	row, err = inTx(ctx, r, check, func(q *tenantsql.Queries, t *tenant.Tenant, caller id.User) (*tenantsql.Product, error) {
		row, was, err := change(q, t, caller)
		if err != nil {
			return nil, err
		}
		return row, event.Record(ctx, q, action, row.ID.UUID(), changeRecord(was, row, productRecord))
	})
	switch postgres.Constraint(err) {
	case "products_sku_key":
		err = fault.New(fault.Taken, "Another product has this SKU. Choose another.").At("sku")
	case "products_category_id_fkey":
		err = fault.New(fault.NotFound, "There is no such category.").At("categoryId")
	case "order_items_product_id_fkey":
		err = fault.New(fault.InUse, "This product stands in orders, and they are kept. Set its stock to 0 instead.").At("id")
	}
	return row, err
}

// staleProduct tells a product that is not there from one that has changed.
func staleProduct(ctx context.Context, q *tenantsql.Queries, t tenant.ID, product id.Product, err error) error {
	if !postgres.IsNoRows(err) {
		return err
	}
	if _, err := q.GetProduct(ctx, tenantsql.GetProductParams{TenantID: t, ID: product}); !postgres.IsNoRows(err) {
		return orStale(err)
	}
	return noProduct()
}

// productBefore reads what an update begins with. Every change makes another version,
// so an update that still finds this one changes this row.
func productBefore(ctx context.Context, q *tenantsql.Queries, t tenant.ID, product id.Product, version int32) (*tenantsql.Product, error) {
	row, err := q.GetProduct(ctx, tenantsql.GetProductParams{TenantID: t, ID: product})
	switch {
	case postgres.IsNoRows(err):
		return nil, noProduct()
	case err == nil && row.Version != version:
		return nil, orStale(nil)
	}
	return row, err
}

func noProduct() error { return fault.New(fault.NotFound, "There is no such product.").At("id") }

// productRecord is a product as the log keeps it.
func productRecord(p *tenantsql.Product) map[string]any {
	return map[string]any{
		"sku": p.Sku, "name": p.Name, "description": orNil(p.Description), "price_minor": p.PriceMinor, "stock": p.Stock,
		"category_id": orNil(p.CategoryID), "version": p.Version, "created_by": p.CreatedBy, "created_at": p.CreatedAt.UTC(),
	}
}

// productValues are the checked values of an input.
type productValues struct {
	sku, name   string
	description *string
	price       int64
	stock       int32
}

const maxStock = 1_000_000_000

// read checks every value that is given and names all that are wrong.
func (v *productValues) read(t *tenant.Tenant, sku, name, description graphql.Omittable[*string], price graphql.Omittable[*scalar.Money], stock graphql.Omittable[*int32]) error {
	var errs [5]error
	v.sku, errs[0] = required("sku", sku, func(s string) (string, error) { return text.Line("The SKU", s, 1, 64) })
	v.name, errs[1] = required("name", name, func(s string) (string, error) { return text.Line("The name", s, 1, 200) })
	if d := description.Value(); d != nil {
		clean, err := text.Block("The description", *d, 0, 10_000)
		v.description, errs[2] = &clean, fault.At(err, "description")
	}
	v.price, errs[3] = required("price", price, func(m scalar.Money) (int64, error) { return m.Minor(t.Currency) })
	v.stock, errs[4] = required("stock", stock, func(n int32) (int32, error) {
		if n < 0 || n > maxStock {
			return 0, fault.New(fault.Invalid, "The stock must be between 0 and 1,000,000,000.")
		}
		return n, nil
	})
	return errors.Join(errs[:]...)
}
