package graph

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"math"
	"math/big"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/graph/relay"
	"github.com/commonhold/commonhold/internal/fault"
)

const (
	defaultPage = 20
	maxPage     = 100
	maxCursor   = 4096 // bytes; a name of 200 characters in JSON and base64 fits
)

// page is what a caller asked of a connection (Relay cursor connections
// specification). A backward page is read in the other direction and reversed.
type page struct {
	size     int
	backward bool
	after    *string
	before   *string
	// inclusive lets what the cursors name belong to the page itself.
	inclusive bool
}

// behind is a page that has a row if the list has anything on the side that this one
// does not page to, up to and with what its cursor names; ok is false where no cursor
// is given, and nothing can be there.
func (p page) behind() (rest page, ok bool) {
	if p.backward {
		return page{after: p.before, inclusive: true}, p.before != nil
	}
	return page{backward: true, before: p.after, inclusive: true}, p.after != nil
}

// newPage checks the arguments of a connection.
//
// Errors: fault.BadRequest.
func newPage(first *int32, after *string, last *int32, before *string) (page, error) {
	p := page{size: defaultPage, backward: last != nil, after: after, before: before}
	asked, name := first, "first"
	if last != nil {
		asked, name = last, "last"
	}
	switch {
	case first != nil && last != nil:
		return p, fault.New(fault.BadRequest, "Ask for the first or for the last, not for both.")
	case asked != nil && (*asked < 1 || *asked > maxPage):
		return p, fault.New(fault.BadRequest, "%s must be between 1 and %d.", name, maxPage)
	case asked != nil:
		p.size = int(*asked)
	}
	return p, nil
}

// limit is how many rows to read: one more than shown, to know whether there is more.
func (p page) limit() int32 { return int32(p.size) + 1 } //nolint:gosec // at most 101

// The bounds of a list that has no cursor at that end.
var (
	lowestID    = uuid.Nil
	highestID   = uuid.Max
	lowestTime  = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	highestTime = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

// highestText sorts after every name: U+10FFFF is refused in names.
const highestText = "\U0010FFFF"

// bounds are the two positions between which a statement reads, both excluded.
// Those of an inclusive page are one id further out.
type bounds[K any] struct {
	low    K
	lowID  uuid.UUID
	high   K
	highID uuid.UUID
	// descending is how to read, which is not how the list is ordered where the
	// page is a backward one.
	descending bool
}

// between finds the bounds of a page in a list with a key of type K.
//
// Errors: fault.BadRequest for a cursor that is not of this list.
func between[K any](p page, list string, descending bool, lowest, highest K) (bounds[K], error) {
	b := bounds[K]{low: lowest, lowID: lowestID, high: highest, highID: highestID, descending: descending != p.backward}
	from, to := p.after, p.before
	if descending {
		from, to = to, from
	}
	if err := readCursor(from, list, &b.low, &b.lowID); err != nil {
		return b, err
	}
	if err := readCursor(to, list, &b.high, &b.highID); err != nil {
		return b, err
	}
	if p.inclusive && from != nil {
		b.lowID = nextID(b.lowID, -1)
	}
	if p.inclusive && to != nil {
		b.highID = nextID(b.highID, +1)
	}
	return b, nil
}

// nextID is the id right above another, or with a step of -1 right below. Nothing has
// the lowest or the highest id, past which there is none.
func nextID(u uuid.UUID, step int64) uuid.UUID {
	if step > 0 && u == highestID || step < 0 && u == lowestID {
		return u
	}
	n := new(big.Int).SetBytes(u[:])
	n.Add(n, big.NewInt(step)).FillBytes(u[:])
	return u
}

// writeCursor names a position: the list, the key and the id. It holds nothing that
// the row itself does not show, and nothing of the tenant.
func writeCursor[K any](list string, key K, u uuid.UUID) string {
	text, err := json.Marshal([]any{list, key, u})
	if err != nil {
		panic(err) // a string, a number or a time
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func readCursor[K any](cursor *string, list string, key *K, u *uuid.UUID) error {
	if cursor == nil {
		return nil
	}
	var ofList string
	parts := []any{&ofList, key, u}
	text, err := base64.RawURLEncoding.DecodeString(*cursor)
	if err != nil || len(*cursor) > maxCursor || json.Unmarshal(text, &parts) != nil || len(parts) != 3 || slices.Contains(parts, nil) || ofList != list || !storable(*key) {
		return fault.New(fault.BadRequest, "This cursor does not belong to this list. Use one that the same list gave, in the same order.")
	}
	return nil
}

// storable tells a key that PostgreSQL can compare: a forged cursor may hold more.
func storable(key any) bool {
	switch k := key.(type) {
	case string:
		return !slices.Contains([]byte(k), 0)
	case time.Time:
		return !k.Before(lowestTime) && !k.After(highestTime)
	}
	return true
}

// lister reads the rows of a page, and one more if there is one.
type lister[T any] func(context.Context, page) ([]*T, error)

// readPage reads a page of a list, and says what lies beyond it. The row too many tells of
// the direction of paging; of the other one a further read does, where somebody asks.
//
// Errors: those of list.
func readPage[T any](ctx context.Context, p page, list lister[T], cursor func(*T) string) ([]*T, *relay.PageInfo, error) {
	rows, err := list(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	more := len(rows) > p.size
	rows = slices.Clone(rows[:min(len(rows), p.size)]) // a loader gives the same ones to others
	ahead := func(context.Context) (bool, error) { return more, nil }
	behind := func(ctx context.Context) (bool, error) {
		rest, ok := p.behind()
		if !ok {
			return false, nil
		}
		some, err := list(ctx, rest)
		return len(some) > 0, err
	}
	info := relay.NewPageInfo(behind, ahead)
	if p.backward {
		slices.Reverse(rows)
		info = relay.NewPageInfo(ahead, behind)
	}
	if len(rows) > 0 {
		info.StartCursor, info.EndCursor = new(cursor(rows[0])), new(cursor(rows[len(rows)-1]))
	}
	return rows, info, nil
}

// toInt is a count as GraphQL can show it.
func toInt(n int64) int32 { return int32(min(n, math.MaxInt32)) } //nolint:gosec // bounded
