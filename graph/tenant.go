package graph

import (
	"context"
	"maps"
	"slices"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/graph/scalar"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
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
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if shown.ID != t.ID {
		return nil, fromOutside()
	}
	row, err := r.DB.Home(t.ID).Read().GetStats(ctx, tenantsql.GetStatsParams{TenantID: t.ID})
	if err != nil {
		return nil, err
	}
	return &generated.TenantStats{
		Products: toInt(row.Products), Customers: toInt(row.Customers), Orders: toInt(row.Orders),
		Revenue: scalar.FromMinor(row.RevenueMinor, t.Currency),
	}, nil
}

func fromOutside() *fault.Error {
	return fault.New(fault.Forbidden, "Only what is in the tenant of the access token is shown. Sign in to this one.")
}

// The steps of onboarding, and what is recorded when one is done: in the tenant's home,
// or where it is kept who came in.
var (
	onboarding = []generated.OnboardingStepKey{
		generated.OnboardingStepKeyAddProduct, generated.OnboardingStepKeyAddCustomer, generated.OnboardingStepKeyPlaceOrder, generated.OnboardingStepKeyInviteMember,
	}
	homeSteps = map[string]generated.OnboardingStepKey{
		"product.created": generated.OnboardingStepKeyAddProduct, "customer.created": generated.OnboardingStepKeyAddCustomer, "order.placed": generated.OnboardingStepKeyPlaceOrder,
	}
	accountSteps = map[string]generated.OnboardingStepKey{
		"invitation.created": generated.OnboardingStepKeyInviteMember, "invitation_link.created": generated.OnboardingStepKeyInviteMember,
	}
)

// Onboarding reads what of the checklist ever happened in the caller's tenant.
func (r *tenantResolver) Onboarding(ctx context.Context, shown *tenant.Tenant) (*generated.Onboarding, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if shown.ID != t.ID {
		return nil, fromOutside()
	}
	done := make(map[generated.OnboardingStepKey]bool)
	inHome, err := r.DB.Home(t.ID).Read().ListActionsThatHappened(ctx, tenantsql.ListActionsThatHappenedParams{TenantID: t.ID, Actions: slices.Collect(maps.Keys(homeSteps))})
	if err != nil {
		return nil, err
	}
	for _, action := range inHome {
		done[homeSteps[action]] = true
	}
	inAccount, err := r.DB.Account(t.ID).Read().ListAccessActionsThatHappened(ctx, accountsql.ListAccessActionsThatHappenedParams{TenantID: t.ID, Actions: slices.Collect(maps.Keys(accountSteps))})
	if err != nil {
		return nil, err
	}
	for _, action := range inAccount {
		done[accountSteps[action]] = true
	}
	return &generated.Onboarding{Steps: apply(onboarding, func(key generated.OnboardingStepKey) *generated.OnboardingStep {
		return &generated.OnboardingStep{Key: key, Done: done[key]}
	})}, nil
}

// money is an amount in the currency of the caller's tenant.
func money(ctx context.Context, minor int64) (*scalar.Money, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	return scalar.FromMinor(minor, t.Currency), nil
}
