package graph

import (
	"context"
	"errors"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vikstrous/dataloadgen"

	"github.com/commonhold/commonhold/graph/generated"
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

func customerLoader(ls *loaders) *dataloadgen.Loader[id.Customer, *tenantsql.Customer] {
	return ls.customer
}

func customerSumLoader(ls *loaders) *dataloadgen.Loader[id.Customer, tenantsql.SumCustomerOrdersRow] {
	return ls.customerSum
}

func (r *queryResolver) Customer(ctx context.Context, given id.Any) (*tenantsql.Customer, error) {
	customer, err := id.As[id.Customer](given)
	if err != nil {
		return nil, err
	}
	return load(ctx, customerLoader, customer)
}

func (r *customerResolver) CreatedBy(ctx context.Context, c *tenantsql.Customer) (*accountsql.User, error) {
	return load(ctx, userLoader, c.CreatedBy)
}

func (r *customerResolver) OrdersCount(ctx context.Context, c *tenantsql.Customer) (int32, error) {
	sum, err := load(ctx, customerSumLoader, c.ID)
	return toInt(sum.Orders), err
}

func (r *customerResolver) LifetimeValue(ctx context.Context, c *tenantsql.Customer) (*scalar.Money, error) {
	sum, err := load(ctx, customerSumLoader, c.ID)
	if err != nil {
		return nil, err
	}
	return money(ctx, sum.ValueMinor)
}

func (r *customerResolver) Orders(ctx context.Context, c *tenantsql.Customer, first *int32, after *string, last *int32, before *string) (*generated.CustomerOrderConnection, error) {
	p, err := newPage(first, after, last, before)
	if err != nil {
		return nil, err
	}
	list := loadPage(c.ID, orderList, func(ls *loaders) *dataloadgen.Loader[childPage[id.Customer], []*tenantsql.Order] {
		return ls.customerOrders
	})
	connection := &generated.CustomerOrderConnection{Customer: c.ID}
	connection.Nodes, connection.PageInfo, connection.Edges, err = orderPage(ctx, p, list)
	return connection, err
}

func (r *customerOrderConnectionResolver) TotalCount(ctx context.Context, c *generated.CustomerOrderConnection) (int32, error) {
	sum, err := load(ctx, customerSumLoader, c.Customer)
	return toInt(sum.Orders), err
}

const customerList = "customers"

func (r *queryResolver) Customers(ctx context.Context, first *int32, after *string, last *int32, before *string) (*generated.CustomerConnection, error) {
	p, err := newPage(first, after, last, before)
	if err != nil {
		return nil, err
	}
	c := &generated.CustomerConnection{}
	if c.Nodes, c.PageInfo, err = readPage(ctx, p, r.listCustomers, customerCursor); err != nil {
		return nil, err
	}
	c.Edges = apply(c.Nodes, func(row *tenantsql.Customer) *generated.CustomerEdge {
		return &generated.CustomerEdge{Cursor: customerCursor(row), Node: row}
	})
	return c, nil
}

func (r *Resolver) listCustomers(ctx context.Context, p page) ([]*tenantsql.Customer, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	b, err := between(p, customerList, true, lowestTime, highestTime)
	if err != nil {
		return nil, err
	}
	params := tenantsql.ListCustomersAscParams{TenantID: t.ID, LowCreatedAt: b.low, LowID: b.lowID, HighCreatedAt: b.high, HighID: b.highID, RowLimit: p.limit()}
	if b.descending {
		return r.DB.Home(t.ID).Read().ListCustomersDesc(ctx, tenantsql.ListCustomersDescParams(params))
	}
	return r.DB.Home(t.ID).Read().ListCustomersAsc(ctx, params)
}

func customerCursor(c *tenantsql.Customer) string {
	return writeCursor(customerList, c.CreatedAt, c.ID.UUID())
}

func (r *customerConnectionResolver) TotalCount(ctx context.Context, _ *generated.CustomerConnection) (int32, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return 0, err
	}
	n, err := r.DB.Home(t.ID).Read().CountCustomers(ctx, tenantsql.CountCustomersParams{TenantID: t.ID})
	return toInt(n), err
}

func (r *mutationResolver) CreateCustomer(ctx context.Context, in generated.CreateCustomerInput) (*generated.CreateCustomerPayload, error) {
	var v customerValues
	made, err := r.changeCustomer(ctx, "customer.created",
		func(*tenant.Tenant) error {
			return v.read(graphql.OmittableOf(&in.Email), graphql.OmittableOf(&in.Name))
		},
		func(q *tenantsql.Queries, t *tenant.Tenant, caller id.User) (*tenantsql.Customer, error) {
			return q.CreateCustomer(ctx, tenantsql.CreateCustomerParams{TenantID: t.ID, ID: id.NewCustomer(), Email: v.email, Name: v.name, CreatedBy: caller})
		})
	shown, err := userErrors(ctx, err)
	return &generated.CreateCustomerPayload{Customer: made, UserErrors: shown}, err
}

func (r *mutationResolver) UpdateCustomer(ctx context.Context, in generated.UpdateCustomerInput) (*generated.UpdateCustomerPayload, error) {
	var v customerValues
	changed, err := r.changeCustomer(ctx, "customer.updated",
		func(*tenant.Tenant) error { return v.read(in.Email, in.Name) },
		func(q *tenantsql.Queries, t *tenant.Tenant, _ id.User) (*tenantsql.Customer, error) {
			row, err := q.UpdateCustomer(ctx, tenantsql.UpdateCustomerParams{
				TenantID: t.ID, ID: in.ID, Version: in.Version,
				SetEmail: in.Email.IsSet(), Email: v.email, SetName: in.Name.IsSet(), Name: v.name,
			})
			return row, staleCustomer(ctx, q, t.ID, in.ID, err)
		})
	shown, err := userErrors(ctx, err)
	return &generated.UpdateCustomerPayload{Customer: changed, UserErrors: shown}, err
}

func (r *mutationResolver) DeleteCustomer(ctx context.Context, in generated.DeleteCustomerInput) (*generated.DeleteCustomerPayload, error) {
	gone, err := r.changeCustomer(ctx, "customer.deleted",
		func(*tenant.Tenant) error { return nil },
		func(q *tenantsql.Queries, t *tenant.Tenant, _ id.User) (*tenantsql.Customer, error) {
			row, err := q.DeleteCustomer(ctx, tenantsql.DeleteCustomerParams{TenantID: t.ID, ID: in.ID, Version: in.Version})
			return row, staleCustomer(ctx, q, t.ID, in.ID, err)
		})
	shown, err := userErrors(ctx, err)
	return &generated.DeleteCustomerPayload{Customer: gone, UserErrors: shown}, err
}

// changeCustomer checks the input, does the change and records it, all or nothing.
// The record outlives the customer, so it holds nothing that is personal.
func (r *Resolver) changeCustomer(ctx context.Context, action string, check func(*tenant.Tenant) error,
	change func(*tenantsql.Queries, *tenant.Tenant, id.User) (*tenantsql.Customer, error),
) (row *tenantsql.Customer, err error) {
	row, err = inTx(ctx, r, check, func(q *tenantsql.Queries, t *tenant.Tenant, caller id.User) (*tenantsql.Customer, error) {
		row, err := change(q, t, caller)
		if err != nil {
			return nil, err
		}
		return row, event.Record(ctx, q, action, row.ID.UUID(), map[string]any{"version": row.Version})
	})
	switch postgres.Constraint(err) {
	case "customers_email_key":
		err = fault.New(fault.Taken, "Another customer has this e-mail address. Choose another, or use that customer.").At("email")
	case "orders_customer_id_fkey":
		err = fault.New(fault.InUse, "There are orders of this customer, and they are kept.").At("id")
	}
	return row, err
}

// staleCustomer tells a customer who is not there from one who has changed.
func staleCustomer(ctx context.Context, q *tenantsql.Queries, t tenant.ID, customer id.Customer, err error) error {
	if !postgres.IsNoRows(err) {
		return err
	}
	if _, err := q.GetCustomer(ctx, tenantsql.GetCustomerParams{TenantID: t, ID: customer}); !postgres.IsNoRows(err) {
		return orStale(err)
	}
	return noCustomer().At("id")
}

func noCustomer() *fault.Error { return fault.New(fault.NotFound, "There is no such customer.") }

// customerValues are the checked values of an input.
type customerValues struct{ email, name string }

// read checks every value that is given and names all that are wrong.
func (v *customerValues) read(email, name graphql.Omittable[*string]) error {
	var errs [2]error
	v.email, errs[0] = required("email", email, text.Email)
	v.name, errs[1] = required("name", name, func(s string) (string, error) { return text.Line("The name", s, 1, 200) })
	return errors.Join(errs[:]...)
}
