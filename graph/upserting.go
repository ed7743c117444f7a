package graph

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/event"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

// maxUpserts is how many products are stored at once.
const maxUpserts = 100

// upserted is what became of each row of an input.
type upserted struct {
	Products []*tenantsql.Product // nil for one that was refused
	Refused  []*fault.Error
}

func (u *upserted) refuse(err error) {
	for _, one := range flatten(err) {
		if coded, ok := errors.AsType[*fault.Error](one); ok {
			u.Refused = append(u.Refused, coded)
		}
	}
}

// err is all that was refused, by row, nil if nothing was.
func (u *upserted) err() error {
	row := func(f *fault.Error) int { n, _ := strconv.Atoi(f.Field[0]); return n }
	slices.SortStableFunc(u.Refused, func(a, b *fault.Error) int { return cmp.Compare(row(a), row(b)) })
	return errors.Join(apply(u.Refused, func(f *fault.Error) error { return f })...)
}

// upsert is one row of an input that can be stored.
type upsert struct {
	productValues
	row int
	in  *generated.ProductUpsertInput
}

func (r *mutationResolver) ProductsUpsert(ctx context.Context, in []*generated.ProductUpsertInput, onError generated.ProductsUpsertErrorPolicy) (*generated.ProductsUpsertPayload, error) {
	done, err := r.upsertProducts(ctx, in, onError == generated.ProductsUpsertErrorPolicySkipFailed)
	if err == nil {
		err = done.err()
	} else {
		done = &upserted{Products: make([]*tenantsql.Product, len(in))}
	}
	shown, err := userErrors(ctx, err)
	return &generated.ProductsUpsertPayload{Products: done.Products, UserErrors: shown}, err
}

// upsertProducts stores what can be stored if the others may be skipped, else all or
// nothing, in one transaction and as many statements for a hundred as for one.
func (r *Resolver) upsertProducts(ctx context.Context, in []*generated.ProductUpsertInput, skip bool) (*upserted, error) {
	var rows []*upsert
	var done *upserted
	check := func(t *tenant.Tenant) error {
		if len(in) < 1 || len(in) > maxUpserts {
			return fault.New(fault.Invalid, "Give 1 to %d products. Split a longer list.", maxUpserts).At([]string{}...)
		}
		done = &upserted{Products: make([]*tenantsql.Product, len(in))}
		rows = readUpserts(t, in, done)
		return done.unless(skip)
	}
	return inTx(ctx, r, check, func(q *tenantsql.Queries, t *tenant.Tenant, caller id.User) (*upserted, error) {
		known, err := q.LockProductsBySKU(ctx, tenantsql.LockProductsBySKUParams{TenantID: t.ID, Skus: skusOf(rows)})
		if err != nil {
			return nil, err
		}
		stored, err := holdCategories(ctx, q, t, rows, done)
		if err != nil {
			return nil, err
		}
		if err := done.unless(skip); err != nil {
			return nil, err
		}
		return done, storeUpserts(ctx, q, t, caller, stored, known, done)
	})
}

// unless is an error if something was refused and must not be skipped.
func (u *upserted) unless(skip bool) error {
	if skip {
		return nil
	}
	return u.err()
}

// readUpserts checks each row, and that no two have one SKU: the first counts.
func readUpserts(t *tenant.Tenant, in []*generated.ProductUpsertInput, done *upserted) (rows []*upsert) {
	first := make(map[string]int, len(in))
	for i, given := range in {
		u := &upsert{row: i, in: given}
		err := u.read(t, graphql.OmittableOf(&given.Sku), graphql.OmittableOf(&given.Name), given.Description, graphql.OmittableOf(given.Price), given.Stock)
		if before, twice := first[u.sku]; twice && u.sku != "" {
			err = errors.Join(err, fault.New(fault.Invalid, "Row %d has the same SKU. Put both into one row.", before+1).At("sku"))
		} else {
			first[u.sku] = i
		}
		if err != nil {
			done.refuse(within(err, strconv.Itoa(i)))
			continue
		}
		rows = append(rows, u)
	}
	return rows
}

func skusOf(rows []*upsert) []string { return apply(rows, func(u *upsert) string { return u.sku }) }

// holdCategories sorts out the rows whose category is not there, and keeps those of the
// others there.
func holdCategories(ctx context.Context, q *tenantsql.Queries, t *tenant.Tenant, rows []*upsert, done *upserted) (kept []*upsert, err error) {
	var wanted []uuid.UUID
	for _, u := range rows {
		if c := u.in.CategoryID.Value(); c != nil {
			wanted = append(wanted, c.UUID())
		}
	}
	held, err := q.HoldCategories(ctx, tenantsql.HoldCategoriesParams{TenantID: t.ID, Ids: wanted})
	for _, u := range rows {
		if c := u.in.CategoryID.Value(); c != nil && !slices.Contains(held, *c) {
			done.refuse(fault.New(fault.NotFound, "There is no such category.").At(strconv.Itoa(u.row), "categoryId"))
			continue
		}
		kept = append(kept, u)
	}
	return kept, err
}

// storeUpserts adds the rows whose product is not known, changes what is different of
// the others, and records both. known are locked.
func storeUpserts(ctx context.Context, q *tenantsql.Queries, t *tenant.Tenant, caller id.User, rows []*upsert, known []*tenantsql.Product, done *upserted) error {
	was := keyed(known, func(p *tenantsql.Product) string { return p.Sku })
	fresh := slices.DeleteFunc(slices.Clone(rows), func(u *upsert) bool { return was[u.sku] != nil })
	made, err := createUpserts(ctx, q, t, caller, fresh)
	if err != nil {
		return err
	}
	now := keyed(made, func(p *tenantsql.Product) string { return p.Sku })
	if len(made) < len(fresh) { // somebody else has added some since the look
		late, err := q.LockProductsBySKU(ctx, tenantsql.LockProductsBySKUParams{TenantID: t.ID, Skus: skusOf(fresh)})
		if err != nil {
			return err
		}
		for _, p := range late {
			if now[p.Sku] == nil {
				was[p.Sku] = p
			}
		}
	}
	changes := tenantsql.UpdateProductsParams{TenantID: t.ID}
	for _, u := range rows {
		before := was[u.sku]
		switch {
		case now[u.sku] != nil:
			continue
		case before == nil:
			return fault.New(fault.Conflict, "Another change was in the way. Try again.")
		}
		after := u.over(*before)
		if now[u.sku] = before; !sameProduct(before, after) {
			p := columns(after)
			changes.Ids, changes.Names = append(changes.Ids, after.ID.UUID()), append(changes.Names, after.Name)
			changes.Described, changes.Descriptions = append(changes.Described, p.described), append(changes.Descriptions, p.description)
			changes.PricesMinor, changes.Stocks = append(changes.PricesMinor, after.PriceMinor), append(changes.Stocks, after.Stock)
			changes.Categorised, changes.CategoryIds = append(changes.Categorised, p.categorised), append(changes.CategoryIds, p.category)
		}
	}
	if len(changes.Ids) > 0 {
		changed, err := q.UpdateProducts(ctx, changes)
		if err != nil {
			return err
		}
		if len(changed) != len(changes.Ids) {
			return fmt.Errorf("change products: %d of %d were there", len(changed), len(changes.Ids))
		}
		for _, p := range changed {
			now[p.Sku] = p
		}
	}
	var entries []event.Entry
	for _, u := range rows {
		p, before := now[u.sku], was[u.sku]
		done.Products[u.row] = p
		switch {
		case before == nil:
			entries = append(entries, event.Entry{Action: "product.created", Entity: p.ID.UUID(), Data: productRecord(p)})
		case before.Version != p.Version:
			entries = append(entries, event.Entry{Action: "product.updated", Entity: p.ID.UUID(), Data: changeRecord(before, p, productRecord)})
		}
	}
	return event.RecordAll(ctx, q, entries)
}

// createUpserts adds products, in the order of their SKUs: see CreateProducts.
func createUpserts(ctx context.Context, q *tenantsql.Queries, t *tenant.Tenant, caller id.User, rows []*upsert) ([]*tenantsql.Product, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	products := apply(rows, func(u *upsert) *tenantsql.Product { return u.over(tenantsql.Product{ID: id.NewProduct(), Sku: u.sku}) })
	slices.SortFunc(products, func(a, b *tenantsql.Product) int { return cmp.Compare(a.Sku, b.Sku) })
	all := tenantsql.CreateProductsParams{TenantID: t.ID, CreatedBy: caller}
	for _, row := range products {
		p := columns(row)
		all.Ids, all.Skus, all.Names = append(all.Ids, row.ID.UUID()), append(all.Skus, row.Sku), append(all.Names, row.Name)
		all.Described, all.Descriptions = append(all.Described, p.described), append(all.Descriptions, p.description)
		all.PricesMinor, all.Stocks = append(all.PricesMinor, row.PriceMinor), append(all.Stocks, row.Stock)
		all.Categorised, all.CategoryIds = append(all.Categorised, p.categorised), append(all.CategoryIds, p.category)
	}
	return q.CreateProducts(ctx, all)
}

// over is a product with the values that the row gives it.
func (u *upsert) over(p tenantsql.Product) *tenantsql.Product {
	p.Name, p.PriceMinor = u.name, u.price
	if u.in.Description.IsSet() {
		p.Description = u.description
	}
	if u.in.Stock.IsSet() {
		p.Stock = u.stock
	}
	if u.in.CategoryID.IsSet() {
		p.CategoryID = u.in.CategoryID.Value()
	}
	return &p
}

func sameProduct(a, b *tenantsql.Product) bool {
	return a.Name == b.Name && a.PriceMinor == b.PriceMinor && a.Stock == b.Stock &&
		orNil(a.Description) == orNil(b.Description) && orNil(a.CategoryID) == orNil(b.CategoryID)
}

// optional are the columns of a product that may be null: an array of a statement has
// no nulls.
type optional struct {
	described, categorised bool
	description            string
	category               uuid.UUID
}

func columns(p *tenantsql.Product) (o optional) {
	if o.described = p.Description != nil; o.described {
		o.description = *p.Description
	}
	if o.categorised = p.CategoryID != nil; o.categorised {
		o.category = p.CategoryID.UUID()
	}
	return o
}
