package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

func (r *mutationResolver) SignIn(ctx context.Context, in generated.SignInInput) (*generated.SignInPayload, error) {
	slug := ""
	if given := in.Tenant.Value(); given != nil {
		slug = *given
	}
	keep, err := inCookie(ctx, in.KeepRefreshTokenInCookie)
	if err != nil {
		return nil, err
	}
	entry, err := r.Auth.Enter(ctx, slug, in.Email, in.Password)
	if keep {
		auth.KeepInCookie(ctx, entry.Session)
	}
	shown, err := userErrors(ctx, err)
	payload := &generated.SignInPayload{Session: entry.Session, Memberships: pointers(entry.Memberships), UserErrors: shown}
	if entry.Ticket != "" {
		payload.Ticket = &entry.Ticket
	}
	return payload, err
}

func (r *mutationResolver) SwitchTenant(ctx context.Context, in generated.SwitchTenantInput) (*generated.SwitchTenantPayload, error) {
	keep, err := inCookie(ctx, in.KeepRefreshTokenInCookie)
	if err != nil {
		return nil, err
	}
	session, membership, err := r.Auth.SwitchTenant(ctx, in.Tenant, in.Ticket.Value())
	if keep {
		auth.KeepInCookie(ctx, session)
	}
	shown, err := userErrors(ctx, err)
	return &generated.SwitchTenantPayload{Session: session, Membership: membership, UserErrors: shown}, err
}

func (r *viewerResolver) Memberships(ctx context.Context, p *auth.Principal) ([]*auth.Membership, error) {
	if err := auth.Personal(ctx); err != nil { // a key is of one tenant, and tells of no other
		return nil, err
	}
	memberships, err := r.Auth.Memberships(ctx, p.User.ID)
	return pointers(memberships), err
}

func pointers(memberships []auth.Membership) []*auth.Membership {
	return apply(memberships, func(m auth.Membership) *auth.Membership { return &m })
}

func (r *mutationResolver) RefreshSession(ctx context.Context, in generated.RefreshSessionInput) (*generated.RefreshSessionPayload, error) {
	refresh := r.Auth.RefreshFromCookie
	if given := in.RefreshToken.Value(); given != nil {
		refresh = func(ctx context.Context) (*auth.Session, error) { return r.Auth.Refresh(ctx, *given) }
	}
	session, err := refresh(ctx)
	shown, err := userErrors(ctx, err)
	return &generated.RefreshSessionPayload{Session: session, UserErrors: shown}, err
}

func (r *mutationResolver) SignOut(ctx context.Context, in *generated.SignOutInput) (*generated.SignOutPayload, error) {
	p, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	err = r.Auth.SignOut(ctx, p.Session)
	if err == nil {
		auth.DropCookie(ctx)
	}
	shown, err := userErrors(ctx, err)
	payload := &generated.SignOutPayload{UserErrors: shown}
	if in != nil {
		payload.ClientMutationID = in.ClientMutationID.Value()
	}
	return payload, err
}

func (r *mutationResolver) RegisterTenant(ctx context.Context, in generated.RegisterTenantInput) (*generated.RegisterTenantPayload, error) {
	keep, err := inCookie(ctx, in.KeepRefreshTokenInCookie)
	if err != nil {
		return nil, err
	}
	made, err := r.Auth.RegisterTenant(ctx, auth.TenantRequest{
		Tenant: control.Registration{Name: in.TenantName, Slug: in.Slug, Currency: string(in.CurrencyCode)},
		Email:  in.Email.Value(), Password: in.Password.Value(), DisplayName: in.DisplayName.Value(),
	})
	if keep {
		auth.KeepInCookie(ctx, made.Session)
	}
	sent := err == nil && made.Tenant == nil
	shown, err := userErrors(ctx, err)
	return &generated.RegisterTenantPayload{Tenant: made.Tenant, Session: made.Session, ConfirmationSent: sent, UserErrors: shown}, err
}

func (r *mutationResolver) ConfirmRegistration(ctx context.Context, in generated.ConfirmRegistrationInput) (*generated.ConfirmRegistrationPayload, error) {
	keep, err := inCookie(ctx, in.KeepRefreshTokenInCookie)
	if err != nil {
		return nil, err
	}
	made, err := r.Auth.ConfirmRegistration(ctx, auth.Confirmation{Token: in.Token, Password: in.Password.Value(), Slug: in.Slug.Value()})
	if keep {
		auth.KeepInCookie(ctx, made.Session)
	}
	shown, err := userErrors(ctx, err)
	return &generated.ConfirmRegistrationPayload{Tenant: made.Tenant, Session: made.Session, UserErrors: shown}, err
}

func (r *queryResolver) SlugAvailable(ctx context.Context, slug string) (bool, error) {
	return r.Auth.SlugAvailable(ctx, slug)
}

// inCookie tells whether a refresh token is to be kept in a cookie.
//
// Errors: fault.BadRequest where it is and cannot be.
func inCookie(ctx context.Context, wanted graphql.Omittable[*bool]) (bool, error) {
	if given := wanted.Value(); given == nil || !*given {
		return false, nil
	}
	return true, auth.MayKeepCookie(ctx)
}

func (r *viewerResolver) Sessions(ctx context.Context, p *auth.Principal) ([]*controlsql.ListSessionsOfUserRow, error) {
	if err := auth.Personal(ctx); err != nil { // as Memberships
		return nil, err
	}
	return r.Auth.Sessions(ctx, p)
}

func (r *mutationResolver) EndSession(ctx context.Context, in generated.EndSessionInput) (*generated.EndSessionPayload, error) {
	p, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	payload := &generated.EndSessionPayload{}
	if err = r.Auth.EndSession(ctx, p, in.ID); err == nil {
		payload.EndedSessionID = &in.ID
	}
	shown, err := userErrors(ctx, err)
	payload.UserErrors = shown
	return payload, err
}

func (r *mutationResolver) SignOutEverywhere(ctx context.Context, in *generated.SignOutEverywhereInput) (*generated.SignOutEverywherePayload, error) {
	p, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	keep := in != nil && in.KeepCurrent
	ended, err := r.Auth.SignOutEverywhere(ctx, p, keep)
	payload := &generated.SignOutEverywherePayload{}
	if err == nil {
		payload.EndedSessions = new(int32(ended)) //nolint:gosec // as many as a person has
		if !keep {
			auth.DropCookie(ctx)
		}
	}
	shown, err := userErrors(ctx, err)
	payload.UserErrors = shown
	return payload, err
}

func (r *mutationResolver) Reauthenticate(ctx context.Context, in generated.ReauthenticateInput) (*generated.ReauthenticatePayload, error) {
	p, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	until, err := r.Auth.Confirm(ctx, p, in.Password)
	payload := &generated.ReauthenticatePayload{}
	if err == nil {
		payload.ConfirmedUntil = &until
	}
	shown, err := userErrors(ctx, err)
	payload.UserErrors = shown
	return payload, err
}
