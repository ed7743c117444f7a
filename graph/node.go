package graph

import (
	"context"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
)

// Node finds anything by its id. A caller who may not read such a thing gets
// null, as for an id that does not exist.
func (r *queryResolver) Node(ctx context.Context, given id.Any) (generated.Node, error) {
	p, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	return node(ctx, p, given)()
}

// maxNodes is how many ids one nodes(ids:) takes.
const maxNodes = 100

// Nodes is Node for many ids, in their order: one statement for each type among them.
func (r *queryResolver) Nodes(ctx context.Context, given []*id.Any) ([]generated.Node, error) {
	p, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if len(given) < 1 || len(given) > maxNodes {
		return nil, fault.New(fault.BadRequest, "ids must be 1 to %d. Split a longer list into several requests.", maxNodes)
	}
	asked := apply(given, func(one *id.Any) func() (generated.Node, error) { return node(ctx, p, *one) })
	nodes := make([]generated.Node, len(asked))
	for i, loaded := range asked {
		if nodes[i], err = loaded(); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// node asks for the thing that has an id, if the caller may read it.
func node(ctx context.Context, p *auth.Principal, given id.Any) func() (generated.Node, error) {
	if product, err := id.As[id.Product](given); err == nil && p.Can(auth.PermissionProductsRead) {
		return found(loadLater(ctx, productLoader, product))
	}
	if category, err := id.As[id.Category](given); err == nil && p.Can(auth.PermissionCategoriesRead) {
		return found(loadLater(ctx, categoryLoader, category))
	}
	if customer, err := id.As[id.Customer](given); err == nil && p.Can(auth.PermissionCustomersRead) {
		return found(loadLater(ctx, customerLoader, customer))
	}
	if order, err := id.As[id.Order](given); err == nil && p.Can(auth.PermissionOrdersRead) {
		return found(loadLater(ctx, orderLoader, order))
	}
	if item, err := id.As[id.OrderItem](given); err == nil && p.Can(auth.PermissionOrdersRead) {
		return found(loadLater(ctx, orderItemLoader, item))
	}
	if user, err := id.As[id.User](given); err == nil && p.Can(auth.PermissionMembersRead) {
		return found(loadLater(ctx, userLoader, user))
	}
	if member, err := id.As[id.Member](given); err == nil && p.Can(auth.PermissionMembersRead) {
		return found(loadLater(ctx, memberLoader, member))
	}
	if key, err := id.As[id.APIKey](given); err == nil && p.Can(auth.PermissionAPIKeysRead) {
		return found(loadLater(ctx, apiKeyLoader, key))
	}
	var own generated.Node
	if given.Prefix == p.Tenant.ID.Kind() && given.UUID == p.Tenant.ID.UUID() && p.Can(auth.PermissionTenantRead) {
		own = p.Tenant
	}
	return func() (generated.Node, error) { return own, nil }
}

// found keeps a nil pointer from becoming a Node that is not nil.
func found[T any](loaded func() (*T, error)) func() (generated.Node, error) {
	return func() (generated.Node, error) {
		row, err := loaded()
		if row == nil {
			return nil, err
		}
		return row, err
	}
}
