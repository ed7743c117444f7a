package graph

import (
	"context"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
)

// Node finds anything by its id. A caller whose role may not read such a thing gets
// null, as for an id that does not exist.
func (r *queryResolver) Node(ctx context.Context, given id.Any) (generated.Node, error) {
	p, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if product, err := id.As[id.Product](given); err == nil && p.Role.Can(auth.PermissionProductsRead) {
		return found(load(ctx, productLoader, product))
	}
	if category, err := id.As[id.Category](given); err == nil && p.Role.Can(auth.PermissionCategoriesRead) {
		return found(load(ctx, categoryLoader, category))
	}
	if customer, err := id.As[id.Customer](given); err == nil && p.Role.Can(auth.PermissionCustomersRead) {
		return found(load(ctx, customerLoader, customer))
	}
	if order, err := id.As[id.Order](given); err == nil && p.Role.Can(auth.PermissionOrdersRead) {
		return found(load(ctx, orderLoader, order))
	}
	if item, err := id.As[id.OrderItem](given); err == nil && p.Role.Can(auth.PermissionOrdersRead) {
		return found(load(ctx, orderItemLoader, item))
	}
	if user, err := id.As[id.User](given); err == nil && p.Role.Can(auth.PermissionMembersRead) {
		return found(load(ctx, userLoader, user))
	}
	if member, err := id.As[id.Member](given); err == nil && p.Role.Can(auth.PermissionMembersRead) {
		return found(r.member(ctx, p.Tenant.ID, member))
	}
	if given.Prefix == p.Tenant.ID.Kind() && given.UUID == p.Tenant.ID.UUID() && p.Role.Can(auth.PermissionTenantRead) {
		return p.Tenant, nil
	}
	return nil, nil //nolint:nilnil // null is the answer
}

// found keeps a nil pointer from becoming a Node that is not nil.
func found[T any](row *T, err error) (generated.Node, error) {
	if row == nil {
		return nil, err
	}
	return row, err
}

func (r *Resolver) member(ctx context.Context, t tenant.ID, member id.Member) (*accountsql.Membership, error) {
	row, err := r.DB.Account(t).Read().GetMember(ctx, accountsql.GetMemberParams{TenantID: t, ID: member})
	if postgres.IsNoRows(err) {
		return nil, nil //nolint:nilnil // null is the answer
	}
	return row, err
}
