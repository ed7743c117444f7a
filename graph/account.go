package graph

import (
	"context"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/auth"
)

func (r *mutationResolver) RequestPasswordReset(ctx context.Context, in generated.RequestPasswordResetInput) (*generated.RequestPasswordResetPayload, error) {
	shown, err := userErrors(ctx, r.Auth.RequestPasswordReset(ctx, in.Email))
	return &generated.RequestPasswordResetPayload{UserErrors: shown}, err
}

func (r *mutationResolver) ResetPassword(ctx context.Context, in generated.ResetPasswordInput) (*generated.ResetPasswordPayload, error) {
	shown, err := userErrors(ctx, r.Auth.ResetPassword(ctx, in.Token, in.NewPassword))
	return &generated.ResetPasswordPayload{UserErrors: shown}, err
}

func (r *mutationResolver) ChangePassword(ctx context.Context, in generated.ChangePasswordInput) (*generated.ChangePasswordPayload, error) {
	p, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	shown, err := userErrors(ctx, r.Auth.ChangePassword(ctx, p, in.CurrentPassword, in.NewPassword))
	return &generated.ChangePasswordPayload{UserErrors: shown}, err
}

func (r *mutationResolver) RequestEmailChange(ctx context.Context, in generated.RequestEmailChangeInput) (*generated.RequestEmailChangePayload, error) {
	p, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	shown, err := userErrors(ctx, r.Auth.RequestEmailChange(ctx, p, in.NewEmail, in.Password.Value()))
	return &generated.RequestEmailChangePayload{UserErrors: shown}, err
}

func (r *mutationResolver) ConfirmEmailChange(ctx context.Context, in generated.ConfirmEmailChangeInput) (*generated.ConfirmEmailChangePayload, error) {
	shown, err := userErrors(ctx, r.Auth.ConfirmEmailChange(ctx, in.Token))
	return &generated.ConfirmEmailChangePayload{UserErrors: shown}, err
}
