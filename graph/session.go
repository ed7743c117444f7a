package graph

import (
	"context"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/control"
)

func (r *mutationResolver) SignIn(ctx context.Context, in generated.SignInInput) (*generated.SignInPayload, error) {
	slug := ""
	if given := in.Tenant.Value(); given != nil {
		slug = *given
	}
	entry, err := r.Auth.Enter(ctx, slug, in.Email, in.Password)
	shown, err := userErrors(ctx, err)
	payload := &generated.SignInPayload{Session: entry.Session, Memberships: pointers(entry.Memberships), UserErrors: shown}
	if entry.Ticket != "" {
		payload.Ticket = &entry.Ticket
	}
	return payload, err
}

func (r *mutationResolver) SwitchTenant(ctx context.Context, in generated.SwitchTenantInput) (*generated.SwitchTenantPayload, error) {
	session, membership, err := r.Auth.SwitchTenant(ctx, in.Tenant, in.Ticket.Value())
	shown, err := userErrors(ctx, err)
	return &generated.SwitchTenantPayload{Session: session, Membership: membership, UserErrors: shown}, err
}

func (r *viewerResolver) Memberships(ctx context.Context, p *auth.Principal) ([]*auth.Membership, error) {
	memberships, err := r.Auth.Memberships(ctx, p.User.ID)
	return pointers(memberships), err
}

func pointers(memberships []auth.Membership) []*auth.Membership {
	return apply(memberships, func(m auth.Membership) *auth.Membership { return &m })
}

func (r *mutationResolver) RefreshSession(ctx context.Context, in generated.RefreshSessionInput) (*generated.RefreshSessionPayload, error) {
	session, err := r.Auth.Refresh(ctx, in.RefreshToken)
	shown, err := userErrors(ctx, err)
	return &generated.RefreshSessionPayload{Session: session, UserErrors: shown}, err
}

func (r *mutationResolver) SignOut(ctx context.Context, in *generated.SignOutInput) (*generated.SignOutPayload, error) {
	p, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	shown, err := userErrors(ctx, r.Auth.SignOut(ctx, p.Session))
	payload := &generated.SignOutPayload{UserErrors: shown}
	if in != nil {
		payload.ClientMutationID = in.ClientMutationID.Value()
	}
	return payload, err
}

func (r *mutationResolver) RegisterTenant(ctx context.Context, in generated.RegisterTenantInput) (*generated.RegisterTenantPayload, error) {
	t, session, err := r.Auth.Register(ctx, auth.Registration{
		Tenant:      control.Registration{Name: in.TenantName, Slug: in.Slug, Currency: string(in.CurrencyCode)},
		Email:       in.Email,
		Password:    in.Password,
		DisplayName: in.DisplayName,
	})
	shown, err := userErrors(ctx, err)
	return &generated.RegisterTenantPayload{Tenant: t, Session: session, UserErrors: shown}, err
}
