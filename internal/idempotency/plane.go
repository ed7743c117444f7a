package idempotency

import (
	"context"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/sqlc/controlsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

// plane is the database that an effect is in, and so the keys of it: what is done and
// that it was done are one transaction.
type plane interface {
	read() statements
	inTx(ctx context.Context, fn func(statements) error) error
}

// statements are those of queries/tenant/idempotency_keys.sql, which both planes have.
type statements interface {
	GetIdempotencyKey(ctx context.Context, p tenantsql.GetIdempotencyKeyParams) (*tenantsql.IdempotencyKey, error)
	ClaimIdempotencyKey(ctx context.Context, p tenantsql.ClaimIdempotencyKeyParams) (uuid.UUID, error)
	RecordIdempotentResult(ctx context.Context, p tenantsql.RecordIdempotentResultParams) error
	RecordIdempotentAnswer(ctx context.Context, p tenantsql.RecordIdempotentAnswerParams) error
	CountIdempotencyKeys(ctx context.Context, p tenantsql.CountIdempotencyKeysParams) (int64, error)
	DeleteExpiredIdempotencyKeys(ctx context.Context, p tenantsql.DeleteExpiredIdempotencyKeysParams) error
}

// home is where a tenant's own data is.
type home struct {
	handle *postgres.Handle[*tenantsql.Queries]
}

func (h home) read() statements { return h.handle.Read() }

func (h home) inTx(ctx context.Context, fn func(statements) error) error {
	return h.handle.InTx(ctx, func(q *tenantsql.Queries) error { return fn(q) })
}

// control is the control database.
type control struct{ db *postgres.DB }

func (c control) read() statements { return ofControl{c.db.Control()} }

func (c control) inTx(ctx context.Context, fn func(statements) error) error {
	return c.db.InControlTx(ctx, func(q *controlsql.Queries) error { return fn(ofControl{q}) })
}

// ofControl are the statements as they were made for the control database.
type ofControl struct{ q *controlsql.Queries }

func (c ofControl) GetIdempotencyKey(ctx context.Context, p tenantsql.GetIdempotencyKeyParams) (*tenantsql.IdempotencyKey, error) {
	key, err := c.q.GetIdempotencyKey(ctx, controlsql.GetIdempotencyKeyParams(p))
	return (*tenantsql.IdempotencyKey)(key), err
}

func (c ofControl) ClaimIdempotencyKey(ctx context.Context, p tenantsql.ClaimIdempotencyKeyParams) (uuid.UUID, error) {
	return c.q.ClaimIdempotencyKey(ctx, controlsql.ClaimIdempotencyKeyParams(p))
}

func (c ofControl) RecordIdempotentResult(ctx context.Context, p tenantsql.RecordIdempotentResultParams) error {
	return c.q.RecordIdempotentResult(ctx, controlsql.RecordIdempotentResultParams(p))
}

func (c ofControl) RecordIdempotentAnswer(ctx context.Context, p tenantsql.RecordIdempotentAnswerParams) error {
	return c.q.RecordIdempotentAnswer(ctx, controlsql.RecordIdempotentAnswerParams(p))
}

func (c ofControl) CountIdempotencyKeys(ctx context.Context, p tenantsql.CountIdempotencyKeysParams) (int64, error) {
	return c.q.CountIdempotencyKeys(ctx, controlsql.CountIdempotencyKeysParams(p))
}

func (c ofControl) DeleteExpiredIdempotencyKeys(ctx context.Context, p tenantsql.DeleteExpiredIdempotencyKeysParams) error {
	return c.q.DeleteExpiredIdempotencyKeys(ctx, controlsql.DeleteExpiredIdempotencyKeysParams(p))
}
