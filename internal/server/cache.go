package server

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/lru"
)

// maxKept is the longest document, in bytes, that is remembered. Anybody may send
// long ones: a thousand of them would be half a gigabyte.
const maxKept = 8 << 10

// shortKeys is a cache of a thousand short documents.
type shortKeys[T any] struct{ graphql.Cache[T] }

func newDocumentCache[T any]() shortKeys[T] { return shortKeys[T]{lru.New[T](1000)} }

// Add keeps value unless its document is long.
func (c shortKeys[T]) Add(ctx context.Context, document string, value T) {
	if len(document) <= maxKept {
		c.Cache.Add(ctx, document, value)
	}
}
