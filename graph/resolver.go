// Package graph answers GraphQL: one file per noun, each resolver ten lines or
// fewer. A resolver takes the tenant from the context, and either one query or one
// transaction from the tenant's handle; what belongs to many rows at once goes
// through the loaders.
package graph

import (
	"context"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/postgres"
)

// Resolver is the root of all resolvers.
type Resolver struct {
	DB   *postgres.DB
	Auth *auth.Service
	// LoaderWait is how long a loader waits for company. 0: half a millisecond.
	LoaderWait time.Duration
}

// NewSchema is the schema with its resolvers, directives and costs.
func NewSchema(r *Resolver) graphql.ExecutableSchema {
	return generated.NewExecutableSchema(generated.Config{
		Resolvers:  r,
		Complexity: complexity(),
		Directives: generated.DirectiveRoot{
			Public: func(ctx context.Context, _ any, next graphql.Resolver) (any, error) {
				if err := personal(ctx); err != nil {
					return nil, err
				}
				return next(ctx)
			},
			Authenticated: func(ctx context.Context, _ any, next graphql.Resolver) (any, error) {
				if _, err := auth.FromContext(ctx); err != nil {
					return nil, err
				}
				if err := personal(ctx); err != nil {
					return nil, err
				}
				return next(ctx)
			},
			Requires: func(ctx context.Context, _ any, next graphql.Resolver, permission auth.Permission) (any, error) {
				if _, err := auth.Require(ctx, permission); err != nil {
					return nil, err
				}
				return next(ctx)
			},
		},
	})
}

// personal keeps API keys to what names a permission: a mutation that names none is about
// the caller's own session or account, and a key has neither.
//
// Errors: fault.Forbidden.
func personal(ctx context.Context) error {
	if graphql.GetFieldContext(ctx).Object != "Mutation" {
		return nil
	}
	return auth.Personal(ctx)
}

type (
	queryResolver                     struct{ *Resolver }
	mutationResolver                  struct{ *Resolver }
	viewerResolver                    struct{ *Resolver }
	tenantResolver                    struct{ *Resolver }
	memberResolver                    struct{ *Resolver }
	memberConnectionResolver          struct{ *Resolver }
	invitationResolver                struct{ *Resolver }
	invitationConnectionResolver      struct{ *Resolver }
	invitationLinkResolver            struct{ *Resolver }
	invitationLinkConnectionResolver  struct{ *Resolver }
	apiKeyResolver                    struct{ *Resolver }
	apiKeyConnectionResolver          struct{ *Resolver }
	productResolver                   struct{ *Resolver }
	productConnectionResolver         struct{ *Resolver }
	categoryResolver                  struct{ *Resolver }
	categoryConnectionResolver        struct{ *Resolver }
	categoryProductConnectionResolver struct{ *Resolver }
	customerResolver                  struct{ *Resolver }
	customerConnectionResolver        struct{ *Resolver }
	customerOrderConnectionResolver   struct{ *Resolver }
	orderResolver                     struct{ *Resolver }
	orderConnectionResolver           struct{ *Resolver }
	orderItemResolver                 struct{ *Resolver }
	auditEventResolver                struct{ *Resolver }
	auditEventConnectionResolver      struct{ *Resolver }
	accessEventResolver               struct{ *Resolver }
	accessEventConnectionResolver     struct{ *Resolver }
)

// Query and the methods below are what gqlgen asks for.
func (r *Resolver) Query() generated.QueryResolver { return &queryResolver{r} }

// Mutation resolves the mutations.
func (r *Resolver) Mutation() generated.MutationResolver { return &mutationResolver{r} }

// Viewer resolves fields of Viewer.
func (r *Resolver) Viewer() generated.ViewerResolver { return &viewerResolver{r} }

// Tenant resolves fields of Tenant.
func (r *Resolver) Tenant() generated.TenantResolver { return &tenantResolver{r} }

// Member resolves fields of Member.
func (r *Resolver) Member() generated.MemberResolver { return &memberResolver{r} }

// MemberConnection resolves fields of MemberConnection.
func (r *Resolver) MemberConnection() generated.MemberConnectionResolver {
	return &memberConnectionResolver{r}
}

// Invitation resolves fields of Invitation.
func (r *Resolver) Invitation() generated.InvitationResolver { return &invitationResolver{r} }

// InvitationConnection resolves fields of InvitationConnection.
func (r *Resolver) InvitationConnection() generated.InvitationConnectionResolver {
	return &invitationConnectionResolver{r}
}

// InvitationLink resolves fields of InvitationLink.
func (r *Resolver) InvitationLink() generated.InvitationLinkResolver {
	return &invitationLinkResolver{r}
}

// InvitationLinkConnection resolves fields of InvitationLinkConnection.
func (r *Resolver) InvitationLinkConnection() generated.InvitationLinkConnectionResolver {
	return &invitationLinkConnectionResolver{r}
}

// ApiKey resolves fields of ApiKey.
func (r *Resolver) ApiKey() generated.ApiKeyResolver { return &apiKeyResolver{r} }

// ApiKeyConnection resolves fields of ApiKeyConnection.
func (r *Resolver) ApiKeyConnection() generated.ApiKeyConnectionResolver {
	return &apiKeyConnectionResolver{r}
}

// Product resolves fields of Product.
func (r *Resolver) Product() generated.ProductResolver { return &productResolver{r} }

// ProductConnection resolves fields of ProductConnection.
func (r *Resolver) ProductConnection() generated.ProductConnectionResolver {
	return &productConnectionResolver{r}
}

// Category resolves fields of Category.
func (r *Resolver) Category() generated.CategoryResolver { return &categoryResolver{r} }

// CategoryConnection resolves fields of CategoryConnection.
func (r *Resolver) CategoryConnection() generated.CategoryConnectionResolver {
	return &categoryConnectionResolver{r}
}

// CategoryProductConnection resolves fields of CategoryProductConnection.
func (r *Resolver) CategoryProductConnection() generated.CategoryProductConnectionResolver {
	return &categoryProductConnectionResolver{r}
}

// Customer resolves fields of Customer.
func (r *Resolver) Customer() generated.CustomerResolver { return &customerResolver{r} }

// CustomerConnection resolves fields of CustomerConnection.
func (r *Resolver) CustomerConnection() generated.CustomerConnectionResolver {
	return &customerConnectionResolver{r}
}

// CustomerOrderConnection resolves fields of CustomerOrderConnection.
func (r *Resolver) CustomerOrderConnection() generated.CustomerOrderConnectionResolver {
	return &customerOrderConnectionResolver{r}
}

// Order resolves fields of Order.
func (r *Resolver) Order() generated.OrderResolver { return &orderResolver{r} }

// OrderConnection resolves fields of OrderConnection.
func (r *Resolver) OrderConnection() generated.OrderConnectionResolver {
	return &orderConnectionResolver{r}
}

// OrderItem resolves fields of OrderItem.
func (r *Resolver) OrderItem() generated.OrderItemResolver { return &orderItemResolver{r} }

// AuditEvent resolves fields of AuditEvent.
func (r *Resolver) AuditEvent() generated.AuditEventResolver { return &auditEventResolver{r} }

// AuditEventConnection resolves fields of AuditEventConnection.
func (r *Resolver) AuditEventConnection() generated.AuditEventConnectionResolver {
	return &auditEventConnectionResolver{r}
}

// AccessEvent resolves fields of AccessEvent.
func (r *Resolver) AccessEvent() generated.AccessEventResolver { return &accessEventResolver{r} }

// AccessEventConnection resolves fields of AccessEventConnection.
func (r *Resolver) AccessEventConnection() generated.AccessEventConnectionResolver {
	return &accessEventConnectionResolver{r}
}
