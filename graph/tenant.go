package graph

import (
	"context"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/graph/scalar"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

func (r *queryResolver) Tenant(ctx context.Context) (*tenant.Tenant, error) {
	return tenant.FromContext(ctx)
}

func (r *tenantResolver) CurrencyCode(_ context.Context, t *tenant.Tenant) (scalar.Currency, error) {
	return scalar.Currency(t.Currency), nil
}

// Stats counts what is in the caller's tenant. Signing in answers with other
// tenants of the person as well: what is in them takes a session there.
func (r *tenantResolver) Stats(ctx context.Context, shown *tenant.Tenant) (*generated.TenantStats, error) {
	p, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if shown.ID != p.Tenant.ID {
		return nil, fault.New(fault.Forbidden, "Only what is in the tenant of the access token is counted. Sign in to this one.")
	}
	row, err := r.DB.Home(p.Tenant.ID).Read().GetStats(ctx, tenantsql.GetStatsParams{TenantID: p.Tenant.ID})
	if err != nil {
		return nil, err
	}
	return &generated.TenantStats{
		Products: toInt(row.Products), Customers: toInt(row.Customers), Orders: toInt(row.Orders),
		Revenue: scalar.FromMinor(row.RevenueMinor, p.Tenant.Currency),
	}, nil
}

// money is an amount in the currency of the caller's tenant.
func money(ctx context.Context, minor int64) (*scalar.Money, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	return scalar.FromMinor(minor, t.Currency), nil
}
