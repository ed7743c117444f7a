// Package id holds the public ids: one Go type per noun, so that the id of a
// category cannot be handed over where a product's is expected. In Go and in the
// database an id is a UUIDv7 (RFC 9562, section 5.7); in GraphQL it is the
// noun's prefix and the UUID in TypeID encoding: prod_01h2xcejqtf2nbrexx3vqjhp41.
package id

import (
	"errors"
	"io"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/commonhold/commonhold/internal/fault"
)

// Kind names a noun by the prefix of its ids.
type Kind interface{ Prefix() string }

// Of is the id of one kind of noun. The zero value is no id of anything.
type Of[K Kind] struct{ uuid uuid.UUID }

// From gives a UUID its kind.
func From[K Kind](u uuid.UUID) Of[K] { return Of[K]{u} }

// UUID is the id without its kind.
func (v Of[K]) UUID() uuid.UUID { return v.uuid }

// Kind is the prefix of the id.
func (v Of[K]) Kind() string { var k K; return k.Prefix() }

// IsZero tells an id that was never set.
func (v Of[K]) IsZero() bool { return v.uuid == uuid.Nil }

// String is the public form, prefix_suffix.
func (v Of[K]) String() string { var k K; return encode(k.Prefix(), v.uuid) }

// MarshalText is String, for JSON and logs.
func (v Of[K]) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText accepts the public form of this kind only.
//
// Errors: fault.BadRequest for anything else; the text is not repeated.
func (v *Of[K]) UnmarshalText(text []byte) error {
	prefix, u, err := split(string(text))
	if err != nil {
		return err
	}
	var k K
	if prefix != k.Prefix() {
		return fault.New(fault.BadRequest, "This is the id of something else: an id that starts with %s_ belongs here.", k.Prefix())
	}
	v.uuid = u
	return nil
}

// UUIDValue lets pgx send the id in binary.
func (v Of[K]) UUIDValue() (pgtype.UUID, error) { return pgtype.UUID{Bytes: v.uuid, Valid: true}, nil }

// ScanUUID lets pgx read the id in binary. NULL needs a pointer.
func (v *Of[K]) ScanUUID(u pgtype.UUID) error {
	if !u.Valid {
		return errors.New("cannot scan NULL into an id: use a pointer")
	}
	v.uuid = u.Bytes
	return nil
}

// write and read are what each noun's MarshalGQL and UnmarshalGQL call: gqlgen
// does not see promoted methods.
func (v Of[K]) write(w io.Writer) { _, _ = io.WriteString(w, strconv.Quote(v.String())) }

func (v *Of[K]) read(from any) error {
	text, ok := from.(string)
	if !ok {
		return malformed()
	}
	return v.UnmarshalText([]byte(text))
}

// source is where New takes ids from. It panics where the system has no randomness,
// which is the end of the process on every platform Go runs on.
var source = func() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// New makes a UUIDv7.
func New() uuid.UUID { return source() }

// SetSource lets New take its ids from elsewhere, for the test that runs one request
// in two databases and wants one answer. It is for tests alone, and before anything
// else runs: New does not lock.
func SetSource(from func() uuid.UUID) { source = from }
