package server

import (
	"context"

	"github.com/maypok86/otter/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/lexer"
)

// parsedBytes is how much of parsed documents is remembered, in bytes, roughly. The
// usual ones of clients take 5 KB each.
const parsedBytes = 16 << 20

// tokenBytes is what a token takes once it is parsed: 100 in what clients send, 220 in
// a list of numbers, 270 in a field after a comment. By the length of a document alone
// it cannot be told: 4 KB of numbers take 430 KB, and anybody may send a thousand of them.
const tokenBytes = 250

// documentCache remembers what was made of documents, by their texts.
type documentCache[T any] struct{ kept *otter.Cache[string, T] }

func newDocumentCache[T any]() documentCache[T] {
	return documentCache[T]{otter.Must(&otter.Options[string, T]{
		MaximumWeight: parsedBytes,
		Weigher:       func(document string, _ T) uint32 { return parsedWeight(document) },
	})}
}

// Get is what was made of a document.
func (c documentCache[T]) Get(_ context.Context, document string) (T, bool) {
	return c.kept.GetIfPresent(document)
}

// Add remembers what was made of a document that is within the limits.
func (c documentCache[T]) Add(_ context.Context, document string, value T) {
	c.kept.Set(document, value)
}

func parsedWeight(document string) uint32 {
	weight := len(document) + keptOverhead
	for tokens := lexer.New(&ast.Source{Input: document}); ; weight += tokenBytes {
		if token, err := tokens.ReadToken(); err != nil || token.Kind == lexer.EOF {
			return uint32(weight) //nolint:gosec // 2,000 tokens at most
		}
	}
}
