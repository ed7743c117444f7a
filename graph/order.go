package graph

import (
	"context"

	"github.com/vikstrous/dataloadgen"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/graph/relay"
	"github.com/commonhold/commonhold/graph/scalar"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

func orderLoader(ls *loaders) *dataloadgen.Loader[id.Order, *tenantsql.Order] { return ls.order }

func orderItemLoader(ls *loaders) *dataloadgen.Loader[id.OrderItem, *tenantsql.OrderItem] {
	return ls.orderItem
}

func (r *queryResolver) Order(ctx context.Context, given id.Any) (*tenantsql.Order, error) {
	order, err := id.As[id.Order](given)
	if err != nil {
		return nil, err
	}
	return load(ctx, orderLoader, order)
}

func (r *orderResolver) Status(_ context.Context, o *tenantsql.Order) (generated.OrderStatus, error) {
	return generated.OrderStatus(o.Status), nil
}

func (r *orderResolver) Customer(ctx context.Context, o *tenantsql.Order) (*tenantsql.Customer, error) {
	return load(ctx, customerLoader, o.CustomerID)
}

func (r *orderResolver) Total(ctx context.Context, o *tenantsql.Order) (*scalar.Money, error) {
	return money(ctx, o.TotalMinor)
}

func (r *orderResolver) Items(ctx context.Context, o *tenantsql.Order) ([]*tenantsql.OrderItem, error) {
	return load(ctx, func(ls *loaders) *dataloadgen.Loader[id.Order, []*tenantsql.OrderItem] { return ls.orderItems }, o.ID)
}

func (r *orderResolver) PlacedBy(ctx context.Context, o *tenantsql.Order) (*accountsql.User, error) {
	if o.PlacedBy == nil {
		return nil, nil //nolint:nilnil // null is the answer
	}
	return load(ctx, userLoader, *o.PlacedBy)
}

func (r *orderResolver) CreatedBy(ctx context.Context, o *tenantsql.Order) (*accountsql.User, error) {
	return load(ctx, userLoader, o.CreatedBy)
}

func (r *orderItemResolver) Product(ctx context.Context, i *tenantsql.OrderItem) (*tenantsql.Product, error) {
	return load(ctx, productLoader, i.ProductID)
}

func (r *orderItemResolver) UnitPrice(ctx context.Context, i *tenantsql.OrderItem) (*scalar.Money, error) {
	return money(ctx, i.UnitPriceMinor)
}

// Amount cannot overflow: the sum of all lines was checked when they were written.
func (r *orderItemResolver) Amount(ctx context.Context, i *tenantsql.OrderItem) (*scalar.Money, error) {
	return money(ctx, i.UnitPriceMinor*int64(i.Quantity))
}

const orderList = "orders"

func (r *queryResolver) Orders(ctx context.Context, first *int32, after *string, last *int32, before *string, filter *generated.OrderFilter) (*generated.OrderConnection, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	p, err := newPage(first, after, last, before)
	if err != nil {
		return nil, err
	}
	conditions := orderConditions(t, filter)
	list := func(ctx context.Context, p page) ([]*tenantsql.Order, error) {
		return listOrders(ctx, r.DB.Home(t.ID).Read(), p, conditions)
	}
	c := &generated.OrderConnection{Filter: conditions}
	c.Nodes, c.PageInfo, c.Edges, err = orderPage(ctx, p, list)
	return c, err
}

func (r *orderConnectionResolver) TotalCount(ctx context.Context, c *generated.OrderConnection) (int32, error) {
	n, err := r.DB.Home(c.Filter.TenantID).Read().CountOrders(ctx, *c.Filter)
	return toInt(n), err
}

func orderPage(ctx context.Context, p page, list lister[tenantsql.Order]) ([]*tenantsql.Order, *relay.PageInfo, []*generated.OrderEdge, error) {
	nodes, info, err := readPage(ctx, p, list, orderCursor)
	return nodes, info, apply(nodes, func(row *tenantsql.Order) *generated.OrderEdge {
		return &generated.OrderEdge{Cursor: orderCursor(row), Node: row}
	}), err
}

func orderCursor(o *tenantsql.Order) string {
	return writeCursor(orderList, o.CreatedAt, o.ID.UUID())
}

// orderConditions turns a filter into what the statements take.
func orderConditions(t *tenant.Tenant, f *generated.OrderFilter) *tenantsql.CountOrdersParams {
	c := &tenantsql.CountOrdersParams{TenantID: t.ID}
	if f == nil {
		return c
	}
	if status := f.Status.Value(); status != nil {
		c.Status = new(string(*status))
	}
	if customer := f.CustomerID.Value(); customer != nil {
		c.CustomerID = new(customer.UUID())
	}
	return c
}

func listOrders(ctx context.Context, q *tenantsql.Queries, p page, c *tenantsql.CountOrdersParams) ([]*tenantsql.Order, error) {
	b, err := between(p, orderList, true, lowestTime, highestTime)
	if err != nil {
		return nil, err
	}
	if b.descending && b.low.Equal(lowestTime) && *c == (tenantsql.CountOrdersParams{TenantID: c.TenantID}) {
		return q.ListNewestOrders(ctx, tenantsql.ListNewestOrdersParams{TenantID: c.TenantID, HighCreatedAt: b.high, HighID: b.highID, RowLimit: p.limit()})
	}
	params := tenantsql.ListOrdersAscParams{
		TenantID: c.TenantID, LowCreatedAt: b.low, LowID: b.lowID, HighCreatedAt: b.high, HighID: b.highID, RowLimit: p.limit(),
		Status: c.Status, CustomerID: c.CustomerID,
	}
	if b.descending {
		return q.ListOrdersDesc(ctx, tenantsql.ListOrdersDescParams(params))
	}
	return q.ListOrdersAsc(ctx, params)
}
