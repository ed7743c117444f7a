package server

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/lexer"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/commonhold/commonhold/internal/fault"
)

// Limits bound what a document may be before anything expensive looks at it: the
// validator compares fields pairwise, and fragments multiply. The introspection of
// GraphiQL has 184 tokens and 15 levels.
type Limits struct {
	Bytes          int // of the document; values belong in variables
	Tokens         int // as the lexer counts them
	Definitions    int // operations and fragments
	Fields         int // and fragments, spread out
	Aliases        int // as written
	Pairs          int // of fields of one name side by side: the validator compares each
	Directives     int // as written
	Depth          int // fields and inline fragments inside each other, with fragments spread out
	Introspections int // __schema and __type, with fragments spread out
	Lists          int // of an introspection inside each other: types of fields of types …
	Cost           int // what graph's complexity functions say
}

// maxName bounds a name in a document, in bytes. Who misspells one is shown the
// names like it, and finding those takes the square of its length.
const maxName = 100

// DefaultLimits leave room for every page a front end draws and little else.
func DefaultLimits() Limits {
	return Limits{Bytes: 64 << 10, Tokens: 2000, Definitions: 30, Fields: 600, Aliases: 50, Pairs: 1000, Directives: 50, Depth: 16, Introspections: 3, Lists: 2, Cost: 20_000}
}

// limiter is a gqlgen extension. Documents seen to be within the limits are
// remembered, so that a client's usual ones are walked once.
type limiter struct {
	limits Limits
	passed graphql.Cache[struct{}]
}

var (
	_ graphql.HandlerExtension          = (*limiter)(nil)
	_ graphql.OperationParameterMutator = (*limiter)(nil)
	_ graphql.OperationContextMutator   = (*limiter)(nil)
)

func newLimiter(l Limits) *limiter {
	return &limiter{limits: l, passed: newDocumentCache[struct{}]()}
}

func (*limiter) ExtensionName() string { return "Limits" }

func (*limiter) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationParameters refuses a document by its size, before it is validated.
func (l *limiter) MutateOperationParameters(ctx context.Context, request *graphql.RawParams) *gqlerror.Error {
	if _, ok := l.passed.Get(ctx, request.Query); ok {
		return nil
	}
	if err := l.limits.checkTokens(request.Query); err != nil {
		return coded(err)
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: request.Query}, l.limits.Tokens)
	if err != nil {
		return nil //nolint:nilerr // the executor parses with the same limit and reports it
	}
	if err := l.limits.check(doc); err != nil {
		return coded(err)
	}
	l.passed.Add(ctx, request.Query, struct{}{})
	return nil
}

// checkTokens reads a document as the parser does, but keeps nothing of it.
func (l Limits) checkTokens(document string) *fault.Error {
	if len(document) > l.Bytes {
		return fault.New(fault.TooComplex, "This document has more than %d KiB. Put its values into variables.", l.Bytes>>10)
	}
	tokens := lexer.New(&ast.Source{Input: document})
	for n := 0; ; n++ {
		token, err := tokens.ReadToken()
		switch {
		case err != nil || token.Kind == lexer.EOF:
			return nil //nolint:nilerr // the parser says what is wrong with it
		case n >= l.Tokens:
			return fault.New(fault.TooComplex, "This document has more than %d tokens. Split it into several requests.", l.Tokens)
		case token.Kind == lexer.Name && len(token.Value) > maxName:
			return fault.New(fault.BadRequest, "A name in this document has more than %d characters. Shorten it.", maxName)
		}
	}
}

// MutateOperationContext refuses an operation that must stand alone and does not.
func (*limiter) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	if err := standsAlone(op); err != nil {
		return coded(err)
	}
	return nil
}

// standsAlone refuses what begins or ends sessions, or takes a password, beside anything
// else: fifty guesses of a password in one document, or work after the sign-out.
func standsAlone(op *graphql.OperationContext) *fault.Error {
	if op.Operation.Operation != ast.Mutation {
		return nil
	}
	fields := graphql.CollectFields(op, op.Operation.SelectionSet, []string{"Mutation"})
	work := len(fields)
	for _, field := range fields {
		if field.Name == "__typename" { // no work, and code generators ask for it everywhere
			work--
		}
	}
	for _, field := range fields {
		switch field.Name {
		case "signIn", "switchTenant", "acceptInvitation", "refreshSession", "signOut", "registerTenant", "confirmRegistration",
			"endSession", "signOutEverywhere", "reauthenticate", "transferOwnership", "requestToJoin",
			"requestPasswordReset", "resetPassword", "changePassword", "requestEmailChange", "confirmEmailChange":
			if work > 1 {
				return fault.New(fault.BadRequest, "%s must be the only field of its request. Send the others on their own.", field.Name)
			}
		}
	}
	return nil
}

func coded(err *fault.Error) *gqlerror.Error {
	return &gqlerror.Error{Message: err.Message, Extensions: map[string]any{"code": err.Code}}
}

func (l Limits) check(doc *ast.QueryDocument) *fault.Error {
	c := counter{fragments: make(map[string]*extent), doc: doc}
	for _, op := range doc.Operations {
		c.directives += len(op.Directives)
		for _, v := range op.VariableDefinitions {
			c.directives += len(v.Directives)
		}
		c.total.grow(c.selection(op.SelectionSet))
	}
	for _, f := range doc.Fragments {
		c.directives += len(f.Directives)
		// One that nothing spreads is validated all the same, and so is a second one
		// of the same name.
		if doc.Fragments.ForName(f.Name) == f {
			c.fragment(f.Name)
		} else {
			c.inFragments.grow(c.selection(f.SelectionSet))
		}
	}
	for _, bound := range []struct {
		what       string
		has, allow int
	}{
		{"operations and fragments", len(doc.Operations) + len(doc.Fragments), l.Definitions},
		{"fields and fragments", c.total.fields, l.Fields},
		{"fields in fragments", c.inFragments.fields, l.Fields},
		{"aliases", c.aliases, l.Aliases},
		{"pairs of fields with one name", c.pairs, l.Pairs},
		{"directives", c.directives, l.Directives},
		{"levels", max(c.total.depth, c.inFragments.depth), l.Depth},
		{"introspections", c.total.introspections, l.Introspections},
		{"lists of an introspection inside each other", c.lists, l.Lists},
	} {
		if bound.has > bound.allow {
			return fault.New(fault.TooComplex, "This document has more than %d %s. Split it into several requests.", bound.allow, bound.what)
		}
	}
	return nil
}

// extent is how large a selection is once its fragments are spread out.
type extent struct{ fields, depth, introspections, lists int }

func (e *extent) grow(by extent) {
	e.fields = min(e.fields+by.fields, 1<<30)
	e.depth = max(e.depth, by.depth)
	e.introspections = min(e.introspections+by.introspections, 1<<30)
	e.lists = max(e.lists, by.lists)
}

// counter walks each selection set once: a fragment's extent is kept, so that
// fragments which spread each other twice cost no more than their text.
type counter struct {
	doc         *ast.QueryDocument
	fragments   map[string]*extent
	total       extent
	inFragments extent
	aliases     int
	pairs       int
	directives  int
	lists       int
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
	e := c.selection(f.SelectionSet)
	c.fragments[name] = &e
	c.inFragments.grow(e)
	return e
}

func (c *counter) selection(set ast.SelectionSet) extent {
	return c.walk(set, make(map[string]int, len(set)))
}

// walk counts how often each name was seen, in inline fragments too.
func (c *counter) walk(set ast.SelectionSet, seen map[string]int) (e extent) {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			if s.Alias != s.Name {
				c.aliases++
			}
			c.pairs += seen[s.Alias]
			seen[s.Alias]++
			c.directives += len(s.Directives)
			inner := within(c.selection(s.SelectionSet))
			switch s.Name {
			case "__schema", "__type":
				inner.introspections++
				c.lists = max(c.lists, inner.lists)
			case "fields", "interfaces", "possibleTypes", "inputFields", "enumValues": // each as long as the schema
				inner.lists++
			}
			e.grow(inner)
		case *ast.InlineFragment:
			c.directives += len(s.Directives)
			e.grow(within(c.walk(s.SelectionSet, seen)))
		case *ast.FragmentSpread:
			c.directives += len(s.Directives)
			e.grow(c.fragment(s.Name))
			e.fields++
		}
	}
	return e
}

// within is the extent of a selection that holds the inner one.
func within(inner extent) extent {
	inner.fields++
	inner.depth++
	return inner
}
