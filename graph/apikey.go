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

func apiKeyLoader(ls *loaders) *dataloadgen.Loader[id.APIKey, *accountsql.ApiKey] { return ls.apiKey }

const apiKeyList = "apiKeys"

func (r *queryResolver) APIKeys(ctx context.Context, first *int32, after *string, last *int32, before *string) (*generated.APIKeyConnection, error) {
	p, err := newPage(first, after, last, before)
	if err != nil {
		return nil, err
	}
	c := &generated.APIKeyConnection{}
	if c.Nodes, c.PageInfo, err = readPage(ctx, p, r.listAPIKeys, apiKeyCursor); err != nil {
		return nil, err
	}
	c.Edges = apply(c.Nodes, func(k *accountsql.ApiKey) *generated.APIKeyEdge {
		return &generated.APIKeyEdge{Cursor: apiKeyCursor(k), Node: k}
	})
	return c, nil
}

func (r *Resolver) listAPIKeys(ctx context.Context, p page) ([]*accountsql.ApiKey, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	b, err := between(p, apiKeyList, true, lowestTime, highestTime)
	if err != nil {
		return nil, err
	}
	params := accountsql.ListAPIKeysAscParams{TenantID: t.ID, LowCreatedAt: b.low, LowID: b.lowID, HighCreatedAt: b.high, HighID: b.highID, RowLimit: p.limit()}
	if b.descending {
		return r.DB.Account(t.ID).Read().ListAPIKeysDesc(ctx, accountsql.ListAPIKeysDescParams(params))
	}
	return r.DB.Account(t.ID).Read().ListAPIKeysAsc(ctx, params)
}

func apiKeyCursor(k *accountsql.ApiKey) string {
	return writeCursor(apiKeyList, k.CreatedAt, k.ID.UUID())
}

func (r *apiKeyConnectionResolver) TotalCount(ctx context.Context, _ *generated.APIKeyConnection) (int32, error) {
	t, err := tenant.FromContext(ctx)
	if err != nil {
		return 0, err
	}
	n, err := r.DB.Account(t.ID).Read().CountAPIKeys(ctx, accountsql.CountAPIKeysParams{TenantID: t.ID})
	return toInt(n), err
}

func (r *apiKeyResolver) Scopes(_ context.Context, k *accountsql.ApiKey) ([]auth.Permission, error) {
	return apply(k.Scopes, func(scope string) auth.Permission { return auth.Permission(scope) }), nil
}

func (r *apiKeyResolver) CreatedBy(ctx context.Context, k *accountsql.ApiKey) (*accountsql.User, error) {
	return load(ctx, userLoader, k.CreatedBy)
}

func (r *apiKeyResolver) ReplacedBy(ctx context.Context, k *accountsql.ApiKey) (*accountsql.ApiKey, error) {
	if k.ReplacedBy == nil {
		return nil, nil //nolint:nilnil // null is the answer
	}
	return load(ctx, apiKeyLoader, *k.ReplacedBy)
}

// APIKey is the caller itself, which needs no permission to be seen.
func (r *viewerResolver) APIKey(ctx context.Context, p *auth.Principal) (*accountsql.ApiKey, error) {
	if p.Key == nil {
		return nil, nil //nolint:nilnil // null is the answer
	}
	return load(ctx, apiKeyLoader, p.Key.ID)
}

func (r *mutationResolver) CreateAPIKey(ctx context.Context, in generated.CreateAPIKeyInput) (*generated.CreateAPIKeyPayload, error) {
	made, secret, err := r.Auth.CreateAPIKey(ctx, auth.NewKey{Name: in.Name, Scopes: in.Scopes, ExpiresAt: in.ExpiresAt.Value()})
	shown, err := userErrors(ctx, err)
	return &generated.CreateAPIKeyPayload{APIKey: made, Secret: orNone(secret), UserErrors: shown}, err
}

func (r *mutationResolver) RotateAPIKey(ctx context.Context, in generated.RotateAPIKeyInput) (*generated.RotateAPIKeyPayload, error) {
	made, secret, err := r.Auth.RotateAPIKey(ctx, in.ID, time.Duration(in.OverlapSeconds)*time.Second)
	shown, err := userErrors(ctx, err)
	return &generated.RotateAPIKeyPayload{APIKey: made, Secret: orNone(secret), UserErrors: shown}, err
}

func (r *mutationResolver) RevokeAPIKey(ctx context.Context, in generated.RevokeAPIKeyInput) (*generated.RevokeAPIKeyPayload, error) {
	revoked, err := r.Auth.RevokeAPIKey(ctx, in.ID)
	shown, err := userErrors(ctx, err)
	return &generated.RevokeAPIKeyPayload{APIKey: revoked, UserErrors: shown}, err
}

// orNone is null for a text that is not there.
func orNone(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
