package server

import (
	"context"

	"github.com/99designs/gqlgen/complexity"
	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/commonhold/commonhold/internal/fault"
)

// Limits bound what a document may be before anything expensive looks at it: the
// validator compares fields pairwise, and fragments multiply. The introspection of
// GraphiQL has 184 tokens and 15 levels.
type Limits struct {
	Tokens      int // as the lexer counts them
	Definitions int // operations and fragments
	Fields      int // with fragments spread out
	Aliases     int // as written
	Directives  int // as written
	Depth       int // fields inside fields, with fragments spread out
	Cost        int // what graph's complexity functions say
}

// DefaultLimits leave room for every page a front end draws and little else.
func DefaultLimits() Limits {
	return Limits{Tokens: 2000, Definitions: 30, Fields: 600, Aliases: 50, Directives: 50, Depth: 16, Cost: 20_000}
}

// limiter is a gqlgen extension. Documents seen to be within the limits are
// remembered, so that a client's usual ones are walked once.
type limiter struct {
	limits Limits
	schema graphql.ExecutableSchema
	passed graphql.Cache[struct{}]
}

var (
	_ graphql.HandlerExtension          = (*limiter)(nil)
	_ graphql.OperationParameterMutator = (*limiter)(nil)
	_ graphql.OperationContextMutator   = (*limiter)(nil)
)

func newLimiter(l Limits) *limiter {
	return &limiter{limits: l, passed: lru.New[struct{}](1000)}
}

func (*limiter) ExtensionName() string { return "Limits" }

func (l *limiter) Validate(schema graphql.ExecutableSchema) error {
	l.schema = schema
	return nil
}

// MutateOperationParameters refuses a document by its size, before it is validated.
func (l *limiter) MutateOperationParameters(ctx context.Context, request *graphql.RawParams) *gqlerror.Error {
	if _, ok := l.passed.Get(ctx, request.Query); ok {
		return nil
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: request.Query}, l.limits.Tokens)
	if err != nil {
		return nil //nolint:nilerr // the executor parses with the same limit and reports it
	}
	if err := l.limits.check(doc); err != nil {
		return refusal(err)
	}
	l.passed.Add(ctx, request.Query, struct{}{})
	return nil
}

// MutateOperationContext refuses an operation by its cost, which variables decide.
func (l *limiter) MutateOperationContext(ctx context.Context, op *graphql.OperationContext) *gqlerror.Error {
	cost := complexity.Calculate(ctx, l.schema, op.Operation, op.Variables)
	if cost > l.limits.Cost {
		return refusal(fault.New(fault.TooComplex, "This asks for up to %d things at once, %d are allowed. Ask for smaller pages or fewer fields.", cost, l.limits.Cost))
	}
	return nil
}

func refusal(err *fault.Error) *gqlerror.Error {
	return &gqlerror.Error{Message: err.Message, Extensions: map[string]any{"code": err.Code}}
}

func (l Limits) check(doc *ast.QueryDocument) *fault.Error {
	c := counter{fragments: make(map[string]*extent), doc: doc}
	for _, op := range doc.Operations {
		c.directives += len(op.Directives)
		c.total.grow(c.walk(op.SelectionSet))
	}
	for _, f := range doc.Fragments {
		c.directives += len(f.Directives)
		c.fragment(f.Name) // one that nothing spreads is validated all the same
	}
	for _, bound := range []struct {
		what       string
		has, allow int
	}{
		{"operations and fragments", len(doc.Operations) + len(doc.Fragments), l.Definitions},
		{"fields", c.total.fields, l.Fields},
		{"fields in fragments", c.inFragments, l.Fields},
		{"aliases", c.aliases, l.Aliases},
		{"directives", c.directives, l.Directives},
		{"levels", c.total.depth, l.Depth},
	} {
		if bound.has > bound.allow {
			return fault.New(fault.TooComplex, "This document has more than %d %s. Split it into several requests.", bound.allow, bound.what)
		}
	}
	return nil
}

// extent is how large a selection is once its fragments are spread out.
type extent struct{ fields, depth int }

func (e *extent) grow(by extent) {
	e.fields = min(e.fields+by.fields, 1<<30)
	e.depth = max(e.depth, by.depth)
}

// counter walks each selection set once: a fragment's extent is kept, so that
// fragments which spread each other twice cost no more than their text.
type counter struct {
	doc         *ast.QueryDocument
	fragments   map[string]*extent
	total       extent
	inFragments int
	aliases     int
	directives  int
}

func (c *counter) fragment(name string) extent {
	if known, ok := c.fragments[name]; ok {
		return *known // a fragment inside itself counts as empty; validation refuses it
	}
	c.fragments[name] = &extent{}
	f := c.doc.Fragments.ForName(name)
	if f == nil {
		return extent{}
	}
	e := c.walk(f.SelectionSet)
	c.fragments[name] = &e
	c.inFragments = min(c.inFragments+e.fields, 1<<30)
	return e
}

func (c *counter) walk(set ast.SelectionSet) (e extent) {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			if s.Alias != s.Name {
				c.aliases++
			}
			c.directives += len(s.Directives)
			inner := c.walk(s.SelectionSet)
			e.grow(extent{fields: 1 + inner.fields, depth: 1 + inner.depth})
		case *ast.InlineFragment:
			c.directives += len(s.Directives)
			e.grow(c.walk(s.SelectionSet))
		case *ast.FragmentSpread:
			c.directives += len(s.Directives)
			e.grow(c.fragment(s.Name))
		}
	}
	return e
}
