package id_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
)

// noun is what the id of each noun can do.
type noun interface {
	String() string
	Kind() string
	UUID() uuid.UUID
	IsZero() bool
	MarshalText() ([]byte, error)
	UUIDValue() (pgtype.UUID, error)
}

// reader is its pointer.
type reader interface {
	UnmarshalText(text []byte) error
	ScanUUID(u pgtype.UUID) error
}

func TestEachNounReadsItsOwnIdsOnly(t *testing.T) {
	t.Parallel()
	kinds := []struct {
		prefix string
		made   noun
		empty  func() (reader, func() noun)
	}{
		{"prod", id.NewProduct(), func() (reader, func() noun) { v := new(id.Product); return v, func() noun { return *v } }},
		{"cat", id.NewCategory(), func() (reader, func() noun) { v := new(id.Category); return v, func() noun { return *v } }},
		{"user", id.NewUser(), func() (reader, func() noun) { v := new(id.User); return v, func() noun { return *v } }},
		{"mem", id.NewMember(), func() (reader, func() noun) { v := new(id.Member); return v, func() noun { return *v } }},
		{"sess", id.NewSession(), func() (reader, func() noun) { v := new(id.Session); return v, func() noun { return *v } }},
		{"evt", id.NewEvent(), func() (reader, func() noun) { v := new(id.Event); return v, func() noun { return *v } }},
	}
	for _, k := range kinds {
		text := k.made.String()
		if !strings.HasPrefix(text, k.prefix+"_") || k.made.Kind() != k.prefix || k.made.IsZero() || k.made.UUID().Version() != 7 {
			t.Errorf("a new %s is %s", k.prefix, text)
		}
		if marshalled, err := k.made.MarshalText(); err != nil || string(marshalled) != text {
			t.Errorf("%s marshals as %s, %v", text, marshalled, err)
		}
		read, got := k.empty()
		if err := read.UnmarshalText([]byte(text)); err != nil || got() != k.made {
			t.Errorf("%s is read as %s, %v", text, got(), err)
		}
		stored, err := k.made.UUIDValue()
		scanned, got := k.empty()
		if err := errorsOf(err, scanned.ScanUUID(stored)); err != nil || got() != k.made {
			t.Errorf("%s is stored as %v and scanned as %s, %v", text, stored, got(), err)
		}
		if err := scanned.ScanUUID(pgtype.UUID{}); err == nil {
			t.Errorf("%s: NULL was scanned into an id", k.prefix)
		}
		for _, other := range kinds {
			if other.prefix == k.prefix {
				continue
			}
			read, got := k.empty()
			err := read.UnmarshalText([]byte(other.made.String()))
			if !fault.Is(err, fault.BadRequest) || !got().IsZero() || !strings.Contains(err.Error(), k.prefix+"_ belongs here") {
				t.Errorf("%s is read as %s, %v", other.made, got(), err)
			} else if strings.Contains(err.Error(), other.made.String()) {
				t.Errorf("the message repeats the id: %v", err)
			}
		}
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestGraphQLForm(t *testing.T) {
	t.Parallel()
	product := id.NewProduct()
	var b bytes.Buffer
	product.MarshalGQL(&b)
	if b.String() != `"`+product.String()+`"` {
		t.Errorf("written as %s", b.String())
	}
	var read id.Product
	if err := read.UnmarshalGQL(product.String()); err != nil || read != product {
		t.Errorf("read as %s, %v", read, err)
	}
	for _, wrong := range []any{nil, 5, int64(5), json.Number("5"), true, []any{product.String()}, "", "x", product.UUID().String()} {
		var read id.Product
		if err := read.UnmarshalGQL(wrong); !fault.Is(err, fault.BadRequest) || !read.IsZero() {
			t.Errorf("%v is read as %s, %v", wrong, read, err)
		}
		var whatever id.Any
		if err := whatever.UnmarshalGQL(wrong); !fault.Is(err, fault.BadRequest) {
			t.Errorf("%v is read as %v, %v", wrong, whatever, err)
		}
	}
}

func TestAny(t *testing.T) {
	t.Parallel()
	product := id.NewProduct()
	var whatever id.Any
	if err := whatever.UnmarshalGQL(product.String()); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	whatever.MarshalGQL(&b)
	if b.String() != `"`+product.String()+`"` {
		t.Errorf("written as %s", b.String())
	}
	if got, err := id.As[id.Product](whatever); err != nil || got != product {
		t.Errorf("as a product %s, %v", got, err)
	}
	if got, err := id.As[id.Category](whatever); !fault.Is(err, fault.BadRequest) || !got.IsZero() {
		t.Errorf("as a category %s, %v", got, err)
	}
	// A noun that nobody knows can be asked for, and is not found.
	if err := whatever.UnmarshalGQL("unheard_of_01h455vb4pex5vsknk084sn02q"); err != nil || whatever.Prefix != "unheard_of" {
		t.Errorf("%v, %v", whatever, err)
	}
	if err := whatever.UnmarshalGQL("01h455vb4pex5vsknk084sn02q"); !fault.Is(err, fault.BadRequest) {
		t.Errorf("without a prefix: %v", err)
	}
}

// Ids made one after the other sort so, in both forms: lists by id are lists by time.
func TestNewIdsGrow(t *testing.T) {
	t.Parallel()
	texts := make([]string, 10_000)
	for i := range texts {
		texts[i] = id.NewEvent().String()
	}
	if !slices.IsSorted(texts) {
		t.Error("the ids are not in the order in which they were made")
	}
	if len(slices.Compact(texts)) != 10_000 {
		t.Error("an id was made twice")
	}
}
