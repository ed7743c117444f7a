// Package idempotency lets a mutation that is sent twice happen once. The caller
// chooses a key; what was done under it is stored in the transaction that did it, and
// the answer right after it was made (draft-ietf-httpapi-idempotency-key-header).
package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/controlsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

const (
	// maxKeys is how many keys a person may hold. They expire after a day.
	maxKeys = 10_000
	// MaxAnswer is the longest answer that is kept, in bytes. A longer one is made
	// again from what was recorded.
	MaxAnswer = 64 << 10
	// sweep is how many expired keys of the tenant go with each new one.
	sweep = 20
)

// Caller is whose key it is: a person in a tenant.
type Caller struct {
	Tenant tenant.ID
	User   id.User
}

// Request is what a request asks for under a key. The zero pointer is a request
// without a key: its methods do nothing.
type Request struct {
	plane  plane
	caller Caller
	key    string
	hash   [sha256.Size]byte

	claim  uuid.UUID
	stored *tenantsql.IdempotencyKey // nil: the key is new
	// Something else was in the way: a retry may do better, and must be let.
	passing bool
}

// Open looks up what the caller's key stands for, of a mutation that changes the home
// of the tenant. asked is all that makes the request what it is.
//
// Errors: fault.Conflict where the key stands for another request.
func Open(ctx context.Context, db *postgres.DB, caller Caller, key string, asked ...[]byte) (*Request, error) {
	return open(ctx, home{db.Home(caller.Tenant)}, caller, key, asked)
}

// OpenControl is Open for a mutation that changes the control database, where its keys
// are kept then.
func OpenControl(ctx context.Context, db *postgres.DB, caller Caller, key string, asked ...[]byte) (*Request, error) {
	return open(ctx, control{db}, caller, key, asked)
}

func open(ctx context.Context, p plane, caller Caller, key string, asked [][]byte) (*Request, error) {
	hash := sha256.New()
	for _, part := range asked { // with its length, so that no part flows into the next
		_ = binary.Write(hash, binary.BigEndian, uint64(len(part)))
		hash.Write(part)
	}
	r := &Request{plane: p, caller: caller, key: key, claim: id.New()}
	hash.Sum(r.hash[:0])
	return r, r.look(ctx)
}

func (r *Request) look(ctx context.Context) error {
	stored, err := r.plane.read().GetIdempotencyKey(ctx, tenantsql.GetIdempotencyKeyParams{
		TenantID: r.caller.Tenant, UserID: r.caller.User, Key: r.key,
	})
	switch {
	case postgres.IsNoRows(err):
		return nil
	case err != nil:
		return fmt.Errorf("look up an idempotency key: %w", err)
	case [sha256.Size]byte(stored.RequestHash) != r.hash:
		return fault.New(fault.Conflict, "This idempotency key was used for another request. Choose a new key for each new request, and keep it for its retries.")
	}
	r.stored = stored
	return nil
}

// Answer is the answer that was given to this request before, nil where there is none
// or it was not kept.
func (r *Request) Answer() []byte {
	if r == nil || r.stored == nil {
		return nil
	}
	return r.stored.Answer
}

// Keep stores the answer to this request, for its retries. The first one stays. One
// that says to try again is not kept, nor that of nothing done to somebody who holds
// too many keys.
func (r *Request) Keep(ctx context.Context, answer []byte) error {
	if r == nil || r.passing || len(answer) > MaxAnswer {
		return nil
	}
	return r.plane.inTx(ctx, func(q statements) error {
		if r.stored == nil { // nothing was done, and the answer says why
			room, err := r.room(ctx, q)
			if err != nil || !room {
				return err
			}
			_, err = q.ClaimIdempotencyKey(ctx, r.row(nil, answer))
			if postgres.IsNoRows(err) { // another one of the kind was quicker
				return nil
			}
			return err
		}
		return q.RecordIdempotentAnswer(ctx, tenantsql.RecordIdempotentAnswerParams{
			TenantID: r.caller.Tenant, UserID: r.caller.User, Key: r.key, RequestHash: r.hash[:], Answer: answer,
		})
	})
}

func (r *Request) row(result, answer []byte) tenantsql.ClaimIdempotencyKeyParams {
	return tenantsql.ClaimIdempotencyKeyParams{
		TenantID: r.caller.Tenant, ID: r.claim, UserID: r.caller.User, Key: r.key, RequestHash: r.hash[:], Result: result, Answer: answer,
	}
}

type contextKey struct{}

// NewContext returns a context whose change happens once.
func NewContext(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, contextKey{}, r)
}

// FromContext is the request of ctx, nil where it has no key.
func FromContext(ctx context.Context) *Request {
	r, _ := ctx.Value(contextKey{}).(*Request)
	return r
}

// errTaken stops a transaction whose key another one has used meanwhile.
var errTaken = errors.New("the idempotency key is in use")

// Once runs a change of a tenant's home unless it was done already, and returns what it
// came to: then, or the first time. inTx is given the whole of it to run in one
// transaction of the caller's tenant.
//
// Errors: those of change and inTx; fault.Conflict where the key stands for another
// request; fault.RateLimited where the caller holds too many keys.
func Once[T any](ctx context.Context, inTx func(func(*tenantsql.Queries) error) error, change func(*tenantsql.Queries) (*T, error)) (*T, error) {
	return once[home](ctx, inTx, func(q *tenantsql.Queries) statements { return q }, change)
}

// OnceInControl is Once for a change of the control database.
func OnceInControl[T any](ctx context.Context, inTx func(func(*controlsql.Queries) error) error, change func(*controlsql.Queries) (*T, error)) (*T, error) {
	return once[control](ctx, inTx, func(q *controlsql.Queries) statements { return ofControl{q} }, change)
}

func once[P plane, Q, T any](ctx context.Context, inTx func(func(Q) error) error, keys func(Q) statements, change func(Q) (*T, error)) (*T, error) {
	r := FromContext(ctx)
	if r != nil {
		if _, ok := r.plane.(P); !ok {
			return nil, fmt.Errorf("a key is kept in %T, and the change is of another plane", r.plane)
		}
	}
	if done, result, err := recorded[T](r); done {
		return result, err
	}
	var result *T
	err := inTx(func(q Q) (err error) {
		if err = r.take(ctx, keys(q)); err != nil {
			return err
		}
		if result, err = change(q); err != nil {
			return err
		}
		return r.record(ctx, keys(q), result)
	})
	if errors.Is(err, errTaken) {
		if err := r.look(ctx); err != nil {
			return nil, err
		}
		if done, result, err := recorded[T](r); done {
			return result, err
		}
		err = fault.New(fault.Conflict, "The same request is being answered just now. Try again in a moment.")
	}
	if err != nil {
		if r != nil {
			r.passing = fault.Is(err, fault.Conflict)
		}
		return nil, err
	}
	return result, nil
}

// recorded is what the change came to, if it was done.
func recorded[T any](r *Request) (done bool, result *T, err error) {
	if r == nil || r.stored == nil || r.stored.Result == nil {
		return false, nil, nil
	}
	result = new(T)
	if err := json.Unmarshal(r.stored.Result, result); err != nil {
		return true, nil, fmt.Errorf("read what was recorded under an idempotency key: %w", err)
	}
	return true, result, nil
}

// take claims the key, first of all that the transaction does.
func (r *Request) take(ctx context.Context, q statements) error {
	if r == nil {
		return nil
	}
	room, err := r.room(ctx, q)
	if err != nil {
		return err
	}
	if !room {
		return fault.New(fault.RateLimited, "You hold %d idempotency keys, the most there may be. Each expires after a day; until then leave the header out.", maxKeys)
	}
	_, err = q.ClaimIdempotencyKey(ctx, r.row(nil, nil))
	if postgres.IsNoRows(err) {
		return errTaken
	}
	return err
}

// room tells whether the caller may hold one key more, and sweeps some of the expired.
func (r *Request) room(ctx context.Context, q statements) (bool, error) {
	of := r.caller.Tenant
	if err := q.DeleteExpiredIdempotencyKeys(ctx, tenantsql.DeleteExpiredIdempotencyKeysParams{TenantID: of, RowLimit: sweep}); err != nil {
		return false, err
	}
	held, err := q.CountIdempotencyKeys(ctx, tenantsql.CountIdempotencyKeysParams{TenantID: of, UserID: r.caller.User, RowLimit: maxKeys})
	return held < maxKeys, err
}

// record stores what the change came to, last of all that the transaction does.
func (r *Request) record(ctx context.Context, q statements, result any) error {
	if r == nil {
		return nil
	}
	text, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("record a result: %w", err)
	}
	if err := q.RecordIdempotentResult(ctx, tenantsql.RecordIdempotentResultParams{TenantID: r.caller.Tenant, ID: r.claim, Result: text}); err != nil {
		return err
	}
	row := r.row(text, nil)
	r.stored = &tenantsql.IdempotencyKey{TenantID: row.TenantID, ID: row.ID, UserID: row.UserID, Key: row.Key, RequestHash: row.RequestHash, Result: text}
	return nil
}
