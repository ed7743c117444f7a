package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/event"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

// Everything that changes an order takes its locks in one order, so that no two
// of them deadlock: the order, its products by id, the tenant's order number.

const (
	maxLines    = 100
	maxQuantity = 1_000_000
	maxTotal    = 1_000_000_000_000_000 // minor units, as of every amount
)

// line is a checked line of an order.
type line struct {
	product  id.Product
	quantity int32
	price    int64 // minor units, of one
}

func (r *mutationResolver) CreateOrder(ctx context.Context, in generated.CreateOrderInput) (*generated.CreateOrderPayload, error) {
	var lines []line
	made, err := r.changeOrder(ctx,
		func(*tenant.Tenant) (err error) {
			lines, err = readLines(in.Items)
			return err
		},
		func(q *tenantsql.Queries, t *tenant.Tenant, caller id.User) (*tenantsql.Order, error) {
			products, err := q.ListProductsByIDs(ctx, tenantsql.ListProductsByIDsParams{TenantID: t.ID, Ids: productsOf(lines)})
			if err != nil {
				return nil, err
			}
			total, err := price(lines, products)
			if err != nil {
				return nil, err
			}
			return writeDraft(ctx, q, t.ID, caller, in.CustomerID, lines, total)
		})
	shown, err := userErrors(ctx, err)
	return &generated.CreateOrderPayload{Order: made, UserErrors: shown}, err
}

func (r *mutationResolver) PlaceOrder(ctx context.Context, in generated.PlaceOrderInput) (*generated.PlaceOrderPayload, error) {
	draft, order := in.Draft.Value(), in.Order.Value()
	if in.Draft.IsSet() == in.Order.IsSet() || draft == nil && order == nil {
		// The server refuses it before; here it would be taken for the other one.
		return nil, fault.New(fault.BadRequest, "Give exactly one of draft and order, and leave the other out.")
	}
	var placed *tenantsql.Order
	var err error
	if draft != nil {
		placed, err = r.placeDraft(ctx, *draft)
		err = within(err, "draft")
	} else {
		placed, err = r.placeNew(ctx, *order)
		err = within(err, "order")
	}
	shown, err := userErrors(ctx, err)
	return &generated.PlaceOrderPayload{Order: placed, UserErrors: shown}, err
}

// placeNew writes an order down and places it.
func (r *Resolver) placeNew(ctx context.Context, in generated.CreateOrderInput) (*tenantsql.Order, error) {
	var lines []line
	return r.changeOrder(ctx,
		func(*tenant.Tenant) (err error) {
			lines, err = readLines(in.Items)
			return err
		},
		func(q *tenantsql.Queries, t *tenant.Tenant, caller id.User) (*tenantsql.Order, error) {
			products, err := q.LockProducts(ctx, tenantsql.LockProductsParams{TenantID: t.ID, Ids: productsOf(lines)})
			if err != nil {
				return nil, err
			}
			total, err := price(lines, products)
			if err != nil {
				return nil, err
			}
			err = inStock(lines, products, func(i int) []string { return []string{"items", strconv.Itoa(i), "quantity"} })
			if err != nil {
				return nil, err
			}
			draft, err := writeDraft(ctx, q, t.ID, caller, in.CustomerID, lines, total)
			if err != nil {
				return nil, err
			}
			return place(ctx, q, caller, draft, lines, total)
		})
}

// placeDraft places what was written down before, at the prices of now.
func (r *Resolver) placeDraft(ctx context.Context, in generated.PlaceDraftInput) (*tenantsql.Order, error) {
	return r.changeOrder(ctx,
		func(*tenant.Tenant) error { return nil },
		func(q *tenantsql.Queries, t *tenant.Tenant, caller id.User) (*tenantsql.Order, error) {
			draft, err := lockOrder(ctx, q, t.ID, in.ID, in.Version)
			if err != nil {
				return nil, err
			}
			if draft.Status != string(generated.OrderStatusDraft) {
				return nil, fault.New(fault.WrongStatus, "This order is %s. Only a draft can be placed.", draft.Status).At("id")
			}
			lines, err := linesOf(ctx, q, draft)
			if err != nil {
				return nil, err
			}
			products, err := q.LockProducts(ctx, tenantsql.LockProductsParams{TenantID: t.ID, Ids: productsOf(lines)})
			if err != nil {
				return nil, err
			}
			total, err := price(lines, products)
			if err != nil {
				return nil, atDraft(err)
			}
			if err := inStock(lines, products, func(int) []string { return []string{"id"} }); err != nil {
				return nil, err
			}
			_, err = q.PriceOrderItems(ctx, tenantsql.PriceOrderItemsParams{TenantID: t.ID, OrderID: draft.ID, ProductIds: productsOf(lines), UnitPricesMinor: apply(lines, func(l line) int64 { return l.price })})
			if err != nil {
				return nil, err
			}
			return place(ctx, q, caller, draft, lines, total)
		})
}

// atDraft says of what is wrong with the lines of a draft that it is the draft's:
// there are no lines in the input.
func atDraft(err error) error {
	if coded, ok := errors.AsType[*fault.Error](err); ok {
		return fault.New(coded.Code, "%s", coded.Message).At("id")
	}
	return err
}

func (r *mutationResolver) ChangeOrderStatus(ctx context.Context, in generated.ChangeOrderStatusInput) (*generated.ChangeOrderStatusPayload, error) {
	changed, err := r.changeOrder(ctx,
		func(*tenant.Tenant) error { return nil },
		func(q *tenantsql.Queries, t *tenant.Tenant, _ id.User) (*tenantsql.Order, error) {
			order, err := lockOrder(ctx, q, t.ID, in.ID, in.Version)
			if err != nil {
				return nil, err
			}
			return moveOn(ctx, q, order, in.Status)
		})
	shown, err := userErrors(ctx, err)
	return &generated.ChangeOrderStatusPayload{Order: changed, UserErrors: shown}, err
}

// nextStatuses says where changeOrderStatus takes an order from each status. A
// draft is placed by placeOrder alone.
var nextStatuses = map[generated.OrderStatus][]generated.OrderStatus{
	generated.OrderStatusDraft:   {generated.OrderStatusCancelled},
	generated.OrderStatusPlaced:  {generated.OrderStatusPaid, generated.OrderStatusCancelled},
	generated.OrderStatusPaid:    {generated.OrderStatusShipped, generated.OrderStatusCancelled},
	generated.OrderStatusShipped: {generated.OrderStatusDelivered, generated.OrderStatusCancelled},
}

// moveOn changes the status of a locked order. What has not left the house is put
// back into stock when it is cancelled.
func moveOn(ctx context.Context, q *tenantsql.Queries, o *tenantsql.Order, to generated.OrderStatus) (*tenantsql.Order, error) {
	from := generated.OrderStatus(o.Status)
	if !slices.Contains(nextStatuses[from], to) {
		return nil, wrongStatus(from)
	}
	restocked := to == generated.OrderStatusCancelled && (from == generated.OrderStatusPlaced || from == generated.OrderStatusPaid)
	if restocked {
		lines, err := linesOf(ctx, q, o)
		if err != nil {
			return nil, err
		}
		if _, err := q.LockProducts(ctx, tenantsql.LockProductsParams{TenantID: o.TenantID, Ids: productsOf(lines)}); err != nil {
			return nil, err
		}
		if err := changeStocks(ctx, q, o.TenantID, lines, 1); err != nil {
			return nil, err
		}
	}
	moved, err := q.ChangeOrderStatus(ctx, tenantsql.ChangeOrderStatusParams{TenantID: o.TenantID, ID: o.ID, Status: string(to)})
	if err != nil {
		return nil, err
	}
	return moved, event.Record(ctx, q, "order."+strings.ToLower(moved.Status), moved.ID.UUID(), map[string]any{
		"number": moved.Number, "version": moved.Version, "before": from, "restocked": restocked,
	})
}

func wrongStatus(from generated.OrderStatus) error {
	next := apply(nextStatuses[from], func(s generated.OrderStatus) string { return string(s) })
	switch {
	case len(next) == 0:
		return fault.New(fault.WrongStatus, "This order is %s, and that is final.", from).At("status")
	case from == generated.OrderStatusDraft:
		return fault.New(fault.WrongStatus, "This order is %s. From here it can become %s; to place it, use placeOrder.", from, strings.Join(next, " or ")).At("status")
	}
	return fault.New(fault.WrongStatus, "This order is %s. From here it can become %s.", from, strings.Join(next, " or ")).At("status")
}

// changeOrder checks the input and does the change, all or nothing. change records
// what it did.
func (r *Resolver) changeOrder(ctx context.Context, check func(*tenant.Tenant) error,
	change func(*tenantsql.Queries, *tenant.Tenant, id.User) (*tenantsql.Order, error),
) (row *tenantsql.Order, err error) {
	row, err = inTx(ctx, r, check, change)
	switch postgres.Constraint(err) {
	case "orders_customer_id_fkey":
		err = noCustomer().At("customerId")
	case "order_items_product_id_fkey":
		err = fault.New(fault.NotFound, "One of these products was removed a moment ago. Look again which there are.").At("items")
	case "products_stock_check":
		err = fault.New(fault.Invalid, "With what comes back, a product would have more than 1,000,000,000 in stock. Correct its stock first.").At("status")
	}
	return row, err
}

// lockOrder reads an order that nobody else can change until the end of the
// transaction, if it has the version that the caller read.
func lockOrder(ctx context.Context, q *tenantsql.Queries, t tenant.ID, order id.Order, version int32) (*tenantsql.Order, error) {
	row, err := q.LockOrder(ctx, tenantsql.LockOrderParams{TenantID: t, ID: order})
	switch {
	case postgres.IsNoRows(err):
		return nil, fault.New(fault.NotFound, "There is no such order.").At("id")
	case err == nil && row.Version != version:
		return nil, orStale(nil)
	}
	return row, err
}

// readLines checks the lines of an input and names all that are wrong.
func readLines(items []*generated.OrderItemInput) ([]line, error) {
	if len(items) < 1 || len(items) > maxLines {
		return nil, fault.New(fault.Invalid, "An order has 1 to %d lines. Split a longer one.", maxLines).At("items")
	}
	var errs []error
	first := make(map[id.Product]int, len(items))
	for i, item := range items {
		at := []string{"items", strconv.Itoa(i)}
		if item.Quantity < 1 || item.Quantity > maxQuantity {
			errs = append(errs, fault.New(fault.Invalid, "The quantity must be between 1 and 1,000,000.").At(append(at, "quantity")...))
		}
		if before, twice := first[item.ProductID]; twice {
			errs = append(errs, fault.New(fault.Invalid, "Line %d has the same product. Put both into one line.", before+1).At(append(at, "productId")...))
		} else {
			first[item.ProductID] = i
		}
	}
	return apply(items, func(item *generated.OrderItemInput) line {
		return line{product: item.ProductID, quantity: item.Quantity}
	}), errors.Join(errs...)
}

// linesOf reads the lines of an order.
func linesOf(ctx context.Context, q *tenantsql.Queries, o *tenantsql.Order) ([]line, error) {
	rows, err := q.ListOrderItems(ctx, tenantsql.ListOrderItemsParams{TenantID: o.TenantID, OrderIds: []uuid.UUID{o.ID.UUID()}})
	return apply(rows, func(i *tenantsql.OrderItem) line {
		return line{product: i.ProductID, quantity: i.Quantity, price: i.UnitPriceMinor}
	}), err
}

func productsOf(lines []line) []uuid.UUID {
	return apply(lines, func(l line) uuid.UUID { return l.product.UUID() })
}

// price gives each line the price of its product and sums them up.
func price(lines []line, products []*tenantsql.Product) (total int64, err error) {
	known := keyed(products, func(p *tenantsql.Product) id.Product { return p.ID })
	var errs []error
	for i := range lines {
		product := known[lines[i].product]
		if product == nil {
			errs = append(errs, fault.New(fault.NotFound, "There is no such product.").At("items", strconv.Itoa(i), "productId"))
			continue
		}
		lines[i].price = product.PriceMinor
		// By division, since the product of the two may not fit into 64 bits.
		if quantity := int64(lines[i].quantity); lines[i].price > (maxTotal-total)/quantity {
			total = maxTotal + 1
		} else {
			total += lines[i].price * quantity
		}
		if total > maxTotal {
			return 0, fault.New(fault.Invalid, "The total of this order is too large. Split it into several.").At("items")
		}
	}
	return total, errors.Join(errs...)
}

// inStock names every line of which there is not enough, at what field says.
func inStock(lines []line, products []*tenantsql.Product, field func(i int) []string) error {
	known := keyed(products, func(p *tenantsql.Product) id.Product { return p.ID })
	var errs []error
	for i, l := range lines {
		if p := known[l.product]; p.Stock < l.quantity {
			errs = append(errs, fault.New(fault.OutOfStock, "Of %s only %d are in stock. Order fewer, or leave it out.", p.Name, p.Stock).At(field(i)...))
		}
	}
	return errors.Join(errs...)
}

// writeDraft stores a draft with its lines.
func writeDraft(ctx context.Context, q *tenantsql.Queries, t tenant.ID, caller id.User, customer id.Customer, lines []line, total int64) (*tenantsql.Order, error) {
	draft, err := q.CreateOrder(ctx, tenantsql.CreateOrderParams{TenantID: t, ID: id.NewOrder(), CustomerID: customer, TotalMinor: total, CreatedBy: caller})
	if err != nil {
		return nil, err
	}
	items := tenantsql.CreateOrderItemsParams{TenantID: t, OrderID: draft.ID, ProductIds: productsOf(lines)}
	for i, l := range lines {
		items.Ids = append(items.Ids, id.New())
		items.Positions = append(items.Positions, int32(i)+1)
		items.Quantities = append(items.Quantities, l.quantity)
		items.UnitPricesMinor = append(items.UnitPricesMinor, l.price)
	}
	if _, err := q.CreateOrderItems(ctx, items); err != nil {
		return nil, err
	}
	return draft, event.Record(ctx, q, "order.created", draft.ID.UUID(), map[string]any{
		"customer": customer, "total_minor": total, "lines": recorded(lines), "version": draft.Version,
	})
}

// place takes the lines of a draft from stock, numbers it and makes it an order.
// The products are locked and there is enough of each.
func place(ctx context.Context, q *tenantsql.Queries, caller id.User, draft *tenantsql.Order, lines []line, total int64) (*tenantsql.Order, error) {
	if err := changeStocks(ctx, q, draft.TenantID, lines, -1); err != nil {
		return nil, err
	}
	number, err := q.NextOrderNumber(ctx, tenantsql.NextOrderNumberParams{TenantID: draft.TenantID})
	if err != nil {
		return nil, err
	}
	placed, err := q.PlaceOrder(ctx, tenantsql.PlaceOrderParams{TenantID: draft.TenantID, ID: draft.ID, Number: number, TotalMinor: total, PlacedBy: caller.UUID()})
	if err != nil {
		return nil, err
	}
	return placed, event.Record(ctx, q, "order.placed", placed.ID.UUID(), map[string]any{
		"number": number, "total_minor": total, "lines": recorded(lines), "version": placed.Version,
	})
}

// changeStocks adds the quantities of lines, times sign, to the stocks of their
// products.
func changeStocks(ctx context.Context, q *tenantsql.Queries, t tenant.ID, lines []line, sign int32) error {
	n, err := q.ChangeStocks(ctx, tenantsql.ChangeStocksParams{
		TenantID: t, Ids: productsOf(lines), Deltas: apply(lines, func(l line) int32 { return sign * l.quantity }),
	})
	if err == nil && n != int64(len(lines)) {
		err = fmt.Errorf("change stocks: %d of %d products were there", n, len(lines))
	}
	return err
}

// recorded are lines as an event keeps them.
func recorded(lines []line) []map[string]any {
	return apply(lines, func(l line) map[string]any {
		return map[string]any{"product": l.product, "quantity": l.quantity, "unit_price_minor": l.price}
	})
}

// within puts every error of err that names a field inside another one. What names
// none stays so: a tenant that is suspended is no fault of the input.
func within(err error, field string) error {
	return errors.Join(apply(flatten(err), func(one error) error {
		if coded, ok := errors.AsType[*fault.Error](one); ok && coded.Field != nil {
			return fault.At(one, field)
		}
		return one
	})...)
}
