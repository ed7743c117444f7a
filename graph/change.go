package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/idempotency"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

// inTx checks an input and runs a change in one transaction of the caller's tenant,
// once for each idempotency key. What the change made comes back, null with an error.
func inTx[T any](ctx context.Context, r *Resolver, check func(*tenant.Tenant) error, change func(*tenantsql.Queries, *tenant.Tenant, id.User) (*T, error)) (*T, error) {
	caller, err := auth.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if err := check(caller.Tenant); err != nil {
		return nil, err
	}
	return idempotency.Once(ctx, func(fn func(*tenantsql.Queries) error) error { return r.DB.Home(caller.Tenant.ID).InTx(ctx, fn) },
		func(q *tenantsql.Queries) (*T, error) { return change(q, caller.Tenant, caller.User.ID) })
}

// required checks a value that may be left out but, once given, not be null.
func required[A, B any](field string, given graphql.Omittable[*A], check func(A) (B, error)) (b B, err error) {
	value, set := given.ValueOK()
	switch {
	case !set:
		return b, nil
	case value == nil:
		return b, fault.New(fault.Invalid, "This cannot be null: give a value, or leave the field out to keep what is there.").At(field)
	}
	b, err = check(*value)
	return b, fault.At(err, field)
}

// orStale is for a change that found no row though its entity is there: the version
// is another by now. An error of looking passes.
func orStale(err error) error {
	if err != nil {
		return err
	}
	return fault.New(fault.StaleVersion, "This was changed since you read it. Read it again, and repeat your change on what is there now.").At("version")
}

// changeRecord is what the log keeps of a change: of an update what differs, as it
// was and as it is, and of everything else the whole thing.
func changeRecord[T any](was, row *T, of func(*T) map[string]any) map[string]any {
	after := of(row)
	if was == nil {
		return after
	}
	before := of(was)
	for key, value := range before {
		if value == after[key] {
			delete(before, key)
			delete(after, key)
		}
	}
	return map[string]any{"before": before, "after": after}
}

// orNil is what a pointer points to, so that it compares by value.
func orNil[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}
