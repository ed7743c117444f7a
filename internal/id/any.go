package id

import (
	"io"
	"strconv"

	"github.com/google/uuid"
)

// Any is the id of a noun not yet known, as node(id:) takes it.
type Any struct {
	Prefix string
	UUID   uuid.UUID
}

// MarshalGQL writes the public form.
func (v Any) MarshalGQL(w io.Writer) {
	_, _ = io.WriteString(w, strconv.Quote(encode(v.Prefix, v.UUID)))
}

// UnmarshalGQL accepts the public form of every kind, of unknown ones too: what
// is no known noun is simply not found.
//
// Errors: fault.BadRequest for what is no id at all.
func (v *Any) UnmarshalGQL(from any) (err error) {
	text, ok := from.(string)
	if !ok {
		return malformed()
	}
	if v.Prefix, v.UUID, err = split(text); err == nil && v.Prefix == "" {
		err = malformed()
	}
	return err
}

// As is the id as that of a noun.
//
//	product, err := id.As[id.Product](any)
//
// Errors: fault.BadRequest for the id of something else.
func As[N any, P interface {
	*N
	UnmarshalText(text []byte) error
}](v Any) (noun N, err error) {
	err = P(&noun).UnmarshalText([]byte(encode(v.Prefix, v.UUID)))
	return noun, err
}
