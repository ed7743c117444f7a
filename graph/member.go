package graph

import (
	"context"

	"github.com/vikstrous/dataloadgen"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
)

func userLoader(ls *loaders) *dataloadgen.Loader[id.User, *accountsql.User] { return ls.user }

func memberLoader(ls *loaders) *dataloadgen.Loader[id.Member, *accountsql.Membership] {
	return ls.member
}

func (r *queryResolver) Viewer(ctx context.Context) (*auth.Principal, error) {
	return auth.FromContext(ctx)
}

const memberList = "members"

func (r *queryResolver) Members(ctx context.Context, first *int32, after *string, last *int32, before *string) (*generated.MemberConnection, error) {
	p, err := newPage(first, after, last, before)
	if err != nil {
		return nil, err
	}
	c := &generated.MemberConnection{}
	if c.Nodes, c.PageInfo, err = readPage(ctx, p, r.listMembers, memberCursor); err != nil {
		return nil, err
	}
	c.Edges = apply(c.Nodes, func(m *accountsql.Membership) *generated.MemberEdge {
		return &generated.MemberEdge{Cursor: memberCursor(m), Node: m}
	})
	return c, nil
}

func (r *Resolver) listMembers(ctx context.Context, p page) ([]*accountsql.Membership, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	b, err := between(p, memberList, false, lowestTime, highestTime)
	if err != nil {
		return nil, err
	}
	params := accountsql.ListMembersAscParams{TenantID: t.ID, LowCreatedAt: b.low, LowID: b.lowID, HighCreatedAt: b.high, HighID: b.highID, RowLimit: p.limit()}
	if b.descending {
		return r.DB.Account(t.ID).Read().ListMembersDesc(ctx, accountsql.ListMembersDescParams(params))
	}
	return r.DB.Account(t.ID).Read().ListMembersAsc(ctx, params)
}

func memberCursor(m *accountsql.Membership) string {
	return writeCursor(memberList, m.CreatedAt, m.ID.UUID())
}

func (r *memberConnectionResolver) TotalCount(ctx context.Context, _ *generated.MemberConnection) (int32, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return 0, err
	}
	n, err := r.DB.Account(t.ID).Read().CountMembers(ctx, accountsql.CountMembersParams{TenantID: t.ID})
	return toInt(n), err
}

func (r *memberResolver) User(ctx context.Context, m *accountsql.Membership) (*accountsql.User, error) {
	return load(ctx, userLoader, m.UserID)
}

func (r *memberResolver) Role(_ context.Context, m *accountsql.Membership) (auth.Role, error) {
	return auth.ParseRole(m.Role)
}

func (r *memberResolver) Status(_ context.Context, m *accountsql.Membership) (auth.MemberStatus, error) {
	return auth.MemberStatus(m.Status), nil
}

func (r *mutationResolver) ChangeMemberRole(ctx context.Context, in generated.ChangeMemberRoleInput) (*generated.ChangeMemberRolePayload, error) {
	member, err := r.changeMember(ctx, in.ID, auth.MemberChange{Role: &in.Role})
	shown, err := userErrors(ctx, err)
	return &generated.ChangeMemberRolePayload{Member: member, UserErrors: shown}, err
}

func (r *mutationResolver) SuspendMember(ctx context.Context, in generated.SuspendMemberInput) (*generated.SuspendMemberPayload, error) {
	member, err := r.changeMember(ctx, in.ID, auth.MemberChange{Status: new(auth.MemberSuspended)})
	shown, err := userErrors(ctx, err)
	return &generated.SuspendMemberPayload{Member: member, UserErrors: shown}, err
}

func (r *mutationResolver) ReinstateMember(ctx context.Context, in generated.ReinstateMemberInput) (*generated.ReinstateMemberPayload, error) {
	member, err := r.changeMember(ctx, in.ID, auth.MemberChange{Status: new(auth.MemberActive)})
	shown, err := userErrors(ctx, err)
	return &generated.ReinstateMemberPayload{Member: member, UserErrors: shown}, err
}

func (r *mutationResolver) RemoveMember(ctx context.Context, in generated.RemoveMemberInput) (*generated.RemoveMemberPayload, error) {
	member, err := r.changeMember(ctx, in.ID, auth.MemberChange{Status: new(auth.MemberRemoved)})
	shown, err := userErrors(ctx, err)
	return &generated.RemoveMemberPayload{Member: member, UserErrors: shown}, err
}

func (r *mutationResolver) TransferOwnership(ctx context.Context, in generated.TransferOwnershipInput) (*generated.TransferOwnershipPayload, error) {
	caller, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	member, err := r.Auth.TransferOwnership(ctx, caller, in.MemberID, in.Password.Value())
	shown, err := userErrors(ctx, err)
	return &generated.TransferOwnershipPayload{Member: member, UserErrors: shown}, err
}

func (r *Resolver) changeMember(ctx context.Context, member id.Member, change auth.MemberChange) (*accountsql.Membership, error) {
	caller, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	return r.Auth.ChangeMember(ctx, caller, member, change)
}
