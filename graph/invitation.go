package graph

import (
	"context"
	"time"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
)

const invitationList = "invitations"

func (r *queryResolver) Invitations(ctx context.Context, first *int32, after *string, last *int32, before *string) (*generated.InvitationConnection, error) {
	p, err := newPage(first, after, last, before)
	if err != nil {
		return nil, err
	}
	c := &generated.InvitationConnection{}
	if c.Nodes, c.PageInfo, err = readPage(ctx, p, r.listInvitations, invitationCursor); err != nil {
		return nil, err
	}
	c.Edges = apply(c.Nodes, func(i *accountsql.Invitation) *generated.InvitationEdge {
		return &generated.InvitationEdge{Cursor: invitationCursor(i), Node: i}
	})
	return c, nil
}

func (r *Resolver) listInvitations(ctx context.Context, p page) ([]*accountsql.Invitation, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	b, err := between(p, invitationList, true, lowestTime, highestTime)
	if err != nil {
		return nil, err
	}
	params := accountsql.ListInvitationsAscParams{TenantID: t.ID, LowCreatedAt: b.low, LowID: b.lowID, HighCreatedAt: b.high, HighID: b.highID, RowLimit: p.limit()}
	if b.descending {
		return r.DB.Account(t.ID).Read().ListInvitationsDesc(ctx, accountsql.ListInvitationsDescParams(params))
	}
	return r.DB.Account(t.ID).Read().ListInvitationsAsc(ctx, params)
}

func invitationCursor(i *accountsql.Invitation) string {
	return writeCursor(invitationList, i.CreatedAt, i.ID.UUID())
}

func (r *invitationConnectionResolver) TotalCount(ctx context.Context, _ *generated.InvitationConnection) (int32, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return 0, err
	}
	n, err := r.DB.Account(t.ID).Read().CountInvitations(ctx, accountsql.CountInvitationsParams{TenantID: t.ID})
	return toInt(n), err
}

func (r *invitationResolver) Role(_ context.Context, i *accountsql.Invitation) (auth.Role, error) {
	return auth.ParseRole(i.Role)
}

func (r *invitationResolver) Status(_ context.Context, i *accountsql.Invitation) (auth.InvitationStatus, error) {
	return auth.InvitationStatusOf(i, time.Now()), nil
}

func (r *invitationResolver) InvitedBy(ctx context.Context, i *accountsql.Invitation) (*accountsql.User, error) {
	return load(ctx, userLoader, i.InvitedBy)
}

func (r *invitationResolver) Link(ctx context.Context, i *accountsql.Invitation) (*accountsql.InvitationLink, error) {
	if i.LinkID == nil {
		return nil, nil //nolint:nilnil // null is the answer
	}
	return load(ctx, invitationLinkLoader, *i.LinkID)
}

func (r *mutationResolver) InviteMember(ctx context.Context, in generated.InviteMemberInput) (*generated.InviteMemberPayload, error) {
	caller, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	made, err := r.Auth.Invite(ctx, caller, in.Email, in.Role)
	shown, err := userErrors(ctx, err)
	return &generated.InviteMemberPayload{Invitation: made, UserErrors: shown}, err
}

func (r *mutationResolver) ResendInvitation(ctx context.Context, in generated.ResendInvitationInput) (*generated.ResendInvitationPayload, error) {
	sent, err := withInvitation(ctx, in.ID, r.Auth.ResendInvitation)
	shown, err := userErrors(ctx, err)
	return &generated.ResendInvitationPayload{Invitation: sent, UserErrors: shown}, err
}

func (r *mutationResolver) RevokeInvitation(ctx context.Context, in generated.RevokeInvitationInput) (*generated.RevokeInvitationPayload, error) {
	revoked, err := withInvitation(ctx, in.ID, r.Auth.RevokeInvitation)
	shown, err := userErrors(ctx, err)
	return &generated.RevokeInvitationPayload{Invitation: revoked, UserErrors: shown}, err
}

// withInvitation lets the caller do something with an invitation.
func withInvitation(ctx context.Context, of id.Invitation, do func(context.Context, *auth.Principal, id.Invitation) (*accountsql.Invitation, error)) (*accountsql.Invitation, error) {
	caller, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	return do(ctx, caller, of)
}

func (r *mutationResolver) AcceptInvitation(ctx context.Context, in generated.AcceptInvitationInput) (*generated.AcceptInvitationPayload, error) {
	keep, err := inCookie(ctx, in.KeepRefreshTokenInCookie)
	if err != nil {
		return nil, err
	}
	session, membership, err := r.Auth.AcceptInvitation(ctx, auth.Acceptance{Token: in.Token, Password: in.Password.Value(), DisplayName: in.DisplayName.Value()})
	if keep {
		auth.KeepInCookie(ctx, session)
	}
	shown, err := userErrors(ctx, err)
	return &generated.AcceptInvitationPayload{Session: session, Membership: membership, UserErrors: shown}, err
}
