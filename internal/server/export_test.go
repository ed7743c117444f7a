package server

import (
	"context"
	"crypto/sha256"
	"maps"
	"net/http"
	"slices"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/vektah/gqlparser/v2"

	"github.com/commonhold/commonhold/graph"
)

// NewExecutor is the executor alone, without the middleware around it.
func NewExecutor(c Config) *handler.Server {
	return newGraphQL(c).(*handler.Server)
}

// KeptBytes is the bound of what is remembered by hash.
const KeptBytes = keptBytes

// Kept is what is remembered by hash, with the hash for a name.
type Kept struct{ documents *documents }

// NewKept is an empty one.
func NewKept() Kept { return Kept{newDocuments(nil)} }

// Set remembers a document.
func (k Kept) Set(name, document string) {
	k.documents.kept.Set(keptKey{hash: sha256.Sum256([]byte(name))}, document)
}

// Get tells whether a document is remembered.
func (k Kept) Get(name string) bool {
	_, ok := k.documents.kept.GetIfPresent(keptKey{hash: sha256.Sum256([]byte(name))})
	return ok
}

// Bytes is what all of them weigh, once the cache has done what it does in the background.
func (k Kept) Bytes() int {
	k.documents.kept.CleanUp()
	return int(k.documents.kept.WeightedSize()) //nolint:gosec // within its bound
}

// Concurrent are the fields that gqlgen is known to defer, type.field in lower case.
func Concurrent() []string { return slices.Sorted(maps.Keys(concurrent)) }

// Bound is a context with the end of another, and its release.
func Bound(ctx, end context.Context) (bounded context.Context, release func()) {
	b := &bound{Context: ctx, end: end}
	return b, func() { b.released.Store(true) }
}

// Deliver delivers an answer to a document in parts: the first, and the others in
// the order in which they come.
func Deliver(w http.ResponseWriter, document string, first *graphql.Response, others ...*graphql.Response) {
	schema := graph.NewSchema(&graph.Resolver{})
	doc := gqlparser.MustLoadQuery(schema.Schema(), document)
	op := &graphql.OperationContext{Doc: doc, Operation: doc.Operations[0], RawQuery: document}
	prices := &pricing{schema: schema}
	d := &incremental{w: w, shape: deferred(schema.Schema(), op), quote: &quote{1000, prices.prices(context.Background(), op)}, read: make(map[*price]bool)}
	d.begin(first, true)
	for i, response := range others {
		d.held = append(d.held, response)
		d.proceed(i < len(others)-1)
	}
}
