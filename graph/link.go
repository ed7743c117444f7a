package graph

import (
	"context"
	"time"

	"github.com/vikstrous/dataloadgen"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
)

func invitationLinkLoader(ls *loaders) *dataloadgen.Loader[id.InvitationLink, *accountsql.InvitationLink] {
	return ls.invitationLink
}

const invitationLinkList = "invitationLinks"

func (r *queryResolver) InvitationLinks(ctx context.Context, first *int32, after *string, last *int32, before *string) (*generated.InvitationLinkConnection, error) {
	p, err := newPage(first, after, last, before)
	if err != nil {
		return nil, err
	}
	c := &generated.InvitationLinkConnection{}
	if c.Nodes, c.PageInfo, err = readPage(ctx, p, r.listInvitationLinks, invitationLinkCursor); err != nil {
		return nil, err
	}
	c.Edges = apply(c.Nodes, func(l *accountsql.InvitationLink) *generated.InvitationLinkEdge {
		return &generated.InvitationLinkEdge{Cursor: invitationLinkCursor(l), Node: l}
	})
	return c, nil
}

func (r *Resolver) listInvitationLinks(ctx context.Context, p page) ([]*accountsql.InvitationLink, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	b, err := between(p, invitationLinkList, true, lowestTime, highestTime)
	if err != nil {
		return nil, err
	}
	params := accountsql.ListInvitationLinksAscParams{TenantID: t.ID, LowCreatedAt: b.low, LowID: b.lowID, HighCreatedAt: b.high, HighID: b.highID, RowLimit: p.limit()}
	if b.descending {
		return r.DB.Account(t.ID).Read().ListInvitationLinksDesc(ctx, accountsql.ListInvitationLinksDescParams(params))
	}
	return r.DB.Account(t.ID).Read().ListInvitationLinksAsc(ctx, params)
}

func invitationLinkCursor(l *accountsql.InvitationLink) string {
	return writeCursor(invitationLinkList, l.CreatedAt, l.ID.UUID())
}

func (r *invitationLinkConnectionResolver) TotalCount(ctx context.Context, _ *generated.InvitationLinkConnection) (int32, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return 0, err
	}
	n, err := r.DB.Account(t.ID).Read().CountInvitationLinks(ctx, accountsql.CountInvitationLinksParams{TenantID: t.ID})
	return toInt(n), err
}

func (r *invitationLinkResolver) Role(_ context.Context, l *accountsql.InvitationLink) (auth.Role, error) {
	return auth.ParseRole(l.Role)
}

func (r *invitationLinkResolver) Status(_ context.Context, l *accountsql.InvitationLink) (auth.InvitationLinkStatus, error) {
	return auth.InvitationLinkStatusOf(l, time.Now()), nil
}

func (r *invitationLinkResolver) CreatedBy(ctx context.Context, l *accountsql.InvitationLink) (*accountsql.User, error) {
	return load(ctx, userLoader, l.CreatedBy)
}

func (r *mutationResolver) CreateInvitationLink(ctx context.Context, in generated.CreateInvitationLinkInput) (*generated.CreateInvitationLinkPayload, error) {
	caller, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	made, token, err := r.Auth.CreateInvitationLink(ctx, caller, auth.NewLink{Role: in.Role, AllowedDomains: in.AllowedDomains, Days: in.ExpiresInDays, MaxUses: in.MaxUses})
	shown, err := userErrors(ctx, err)
	return &generated.CreateInvitationLinkPayload{InvitationLink: made, Token: orNone(token), UserErrors: shown}, err
}

func (r *mutationResolver) RevokeInvitationLink(ctx context.Context, in generated.RevokeInvitationLinkInput) (*generated.RevokeInvitationLinkPayload, error) {
	caller, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	revoked, err := r.Auth.RevokeInvitationLink(ctx, caller, in.ID)
	shown, err := userErrors(ctx, err)
	return &generated.RevokeInvitationLinkPayload{InvitationLink: revoked, UserErrors: shown}, err
}

func (r *mutationResolver) RequestToJoin(ctx context.Context, in generated.RequestToJoinInput) (*generated.RequestToJoinPayload, error) {
	shown, err := userErrors(ctx, r.Auth.RequestToJoin(ctx, in.Token, in.Email))
	return &generated.RequestToJoinPayload{UserErrors: shown}, err
}
