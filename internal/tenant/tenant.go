// Package tenant says which tenant a piece of work belongs to. Nothing here
// reads a database: a Tenant is put into the context once its credential was
// verified, and resolvers take it from there.
package tenant

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
)

type kind struct{}

func (kind) Prefix() string { return "ten" }

// ID is a tenant's id, ten_… in public. It is a type of its own so that every
// query says in its Go signature that it belongs to a tenant.
type ID struct{ id.Of[kind] }

// NewID makes an id for a tenant to come.
func NewID() ID { return ID{id.From[kind](id.New())} }

// IDFrom makes an id of a UUID that the database or a verified token gave.
func IDFrom(u uuid.UUID) ID { return ID{id.From[kind](u)} }

// MarshalGQL writes the public form.
func (v ID) MarshalGQL(w io.Writer) { _, _ = io.WriteString(w, strconv.Quote(v.String())) }

// UnmarshalGQL refuses everything: no input of the API is a tenant id. The tenant
// comes from the credential.
func (v *ID) UnmarshalGQL(any) error {
	return fault.New(fault.BadRequest, "A tenant is not chosen by an argument: the access token says which it is.")
}

// Status is where a tenant stands in its life.
type Status string

// The states of a tenant, as stored and as shown.
const (
	Provisioning Status = "PROVISIONING"
	Active       Status = "ACTIVE"
	ReadOnly     Status = "READ_ONLY"
	Suspended    Status = "SUSPENDED"
	Offboarding  Status = "OFFBOARDING"
	Erased       Status = "ERASED"
)

// Readable tells whether a tenant of this status can be entered, to read at least.
func (s Status) Readable() bool { return s == Active || s == ReadOnly }

// Tenant is what the registry knows of a tenant. It is immutable.
type Tenant struct {
	ID        ID
	Slug      string // unique, 3–40 characters of a–z, 0–9 and single inner hyphens
	Name      string
	Status    Status
	Plan      string
	Currency  string // ISO 4217; every amount of the tenant is in it
	CreatedAt time.Time
}

type contextKey struct{}

// NewContext returns a context in which work is done for t.
func NewContext(ctx context.Context, t *Tenant) context.Context {
	return context.WithValue(ctx, contextKey{}, t)
}

// FromContext is the tenant for which work is done.
//
// Errors: fault.Unauthenticated where the caller has shown no credential.
func FromContext(ctx context.Context) (*Tenant, error) {
	if t, ok := ctx.Value(contextKey{}).(*Tenant); ok {
		return t, nil
	}
	return nil, fault.New(fault.Unauthenticated,
		"This needs a signed-in member of a tenant. Sign in and send the access token as Authorization: Bearer ….")
}
