package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/graph/relay"
)

// maxDefers is how many @defers of a document are heeded: each makes a part for
// every entry of a page, and a part costs more than what is in it. Forty of them
// over a page of a hundred took six times the time of the same answer in one piece.
const maxDefers = 10

// maxShapes bounds the work of asking what a document defers: fields, once for each
// type that they may have.
const maxShapes = 5000

// deferrals is what a selection defers, by the names in the answer.
type deferrals struct {
	deferred bool
	settled  bool // by one type at least
	below    map[string]*deferrals
}

func (d *deferrals) field(name string) *deferrals {
	if d == nil || d.below[name] == nil {
		return nil
	}
	return d.below[name]
}

// deferring counts the @defers of an operation that are switched on.
func deferring(op *graphql.OperationContext) (count int) {
	if !strings.Contains(op.RawQuery, "defer") { // nearly all of them
		return 0
	}
	directives := func(list ast.DirectiveList) {
		if d := list.ForName("defer"); d != nil {
			if condition, _ := d.ArgumentMap(op.Variables)["if"].(bool); condition {
				count++
			}
		}
	}
	var within func(ast.SelectionSet)
	within = func(set ast.SelectionSet) {
		for _, selection := range set {
			switch s := selection.(type) {
			case *ast.Field:
				within(s.SelectionSet)
			case *ast.InlineFragment:
				directives(s.Directives)
				within(s.SelectionSet)
			case *ast.FragmentSpread:
				directives(s.Directives)
			}
		}
	}
	within(op.Operation.SelectionSet)
	for _, f := range op.Doc.Fragments {
		within(f.SelectionSet)
	}
	return count
}

// atOnce takes every @defer out of an operation: GraphQL leaves it to the server
// whether it defers. The document itself stays, it is in a cache.
func atOnce(op *graphql.OperationContext) {
	doc := *op.Doc
	doc.Fragments = make(ast.FragmentDefinitionList, len(op.Doc.Fragments))
	for i, f := range op.Doc.Fragments {
		c := *f
		c.SelectionSet = withoutDefer(f.SelectionSet)
		doc.Fragments[i] = &c
	}
	operation := *op.Operation
	operation.SelectionSet = withoutDefer(operation.SelectionSet)
	op.Doc, op.Operation = &doc, &operation
}

func withoutDefer(set ast.SelectionSet) ast.SelectionSet {
	kept := func(directives ast.DirectiveList) (others ast.DirectiveList) {
		for _, d := range directives {
			if d.Name != "defer" {
				others = append(others, d)
			}
		}
		return others
	}
	copied := make(ast.SelectionSet, len(set))
	for i, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			c := *s
			c.SelectionSet = withoutDefer(s.SelectionSet)
			copied[i] = &c
		case *ast.InlineFragment:
			c := *s
			c.Directives, c.SelectionSet = kept(s.Directives), withoutDefer(s.SelectionSet)
			copied[i] = &c
		case *ast.FragmentSpread:
			c := *s
			c.Directives = kept(s.Directives)
			copied[i] = &c
		}
	}
	return copied
}

// shapes asks what gqlgen defers in an operation.
type shapes struct {
	schema *ast.Schema
	op     *graphql.OperationContext
	seen   int
}

// deferred is what a query defers, nil where it cannot be told: where one name in
// the answer is deferred for one type and not for another, and the answer does not
// say which type it is.
func deferred(schema *ast.Schema, op *graphql.OperationContext) *deferrals {
	s, root := shapes{schema: schema, op: op}, &deferrals{below: make(map[string]*deferrals)}
	if op.Operation.Operation != ast.Query || !s.collect(schema.Query, op.Operation.SelectionSet, root.below) {
		return nil
	}
	return root
}

func (s *shapes) collect(declared *ast.Definition, set ast.SelectionSet, into map[string]*deferrals) bool {
	for _, kind := range s.schema.GetPossibleTypes(declared) {
		satisfies := []string{kind.Name}
		for _, wider := range s.schema.GetImplements(kind) {
			satisfies = append(satisfies, wider.Name)
		}
		for _, field := range graphql.CollectFields(s.op, set, satisfies) {
			if s.seen++; s.seen > maxShapes {
				return false
			}
			later := field.IsDeferred() && concurrent[strings.ToLower(kind.Name+"."+field.Name)]
			known := into[field.Alias]
			if known == nil {
				known = &deferrals{below: make(map[string]*deferrals)}
				into[field.Alias] = known
			}
			if known.settled && known.deferred != later {
				return false
			}
			known.settled, known.deferred = true, later
			if answered := s.schema.Types[field.Definition.Type.Name()]; len(field.Selections) > 0 && !s.collect(answered, field.Selections, known.below) {
				return false
			}
		}
	}
	return true
}

// concurrent are the fields that have a resolver, or a method that takes a context,
// type.field in lower case. gqlgen defers these alone, and of them none of the root.
var concurrent = func() map[string]bool {
	fields := make(map[string]bool)
	root := reflect.TypeFor[generated.ResolverRoot]()
	for kind := range root.Methods() {
		if kind.Name == "Query" || kind.Name == "Mutation" {
			continue
		}
		for field := range kind.Type.Out(0).Methods() {
			fields[strings.ToLower(kind.Name+"."+field.Name)] = true
		}
	}
	for field := range reflect.TypeFor[*relay.PageInfo]().Methods() {
		fields["pageinfo."+strings.ToLower(field.Name)] = true
	}
	return fields
}()

// bound has the values of one context and the end of another, until it is released.
// gqlgen gives the context of a resolver to the fields below it too, and these must
// not lose their part when the request ends.
type bound struct {
	context.Context
	end      context.Context
	released atomic.Bool
}

// Deadline is that of the end, until it is released.
func (b *bound) Deadline() (time.Time, bool) { return b.now().Deadline() }

// Done is that of the end, until it is released.
func (b *bound) Done() <-chan struct{} { return b.now().Done() }

// Err is always that of the end: a Done that was handed out before the release closes
// with it, and a context that is done without an error makes the package context panic,
// in a goroutine of its own, which ends the process.
func (b *bound) Err() error { return b.end.Err() }

func (b *bound) now() context.Context {
	if b.released.Load() {
		return b.Context
	}
	return b.end
}

// part is one deferred part of an answer.
type part struct {
	Data       json.RawMessage `json:"data"`
	Path       ast.Path        `json:"path"`
	Label      string          `json:"label,omitempty"`
	Errors     gqlerror.List   `json:"errors,omitempty"`
	Extensions map[string]any  `json:"extensions,omitempty"`
}

// incremental delivers an answer in parts, in the form of the draft of 24 August
// 2022 (deferSpec), which Apollo Client and urql read.
//
// gqlgen's own way of it is mended in four places. It waits for ever for a part
// whose request has ended, so it is given a context that does not end, and the
// resolvers one that does: then all parts come, the late ones with an error. It
// writes null where a deferred field will stand, even in place of what is never
// null; these are cut out. A part may overtake the one that it belongs into, and is
// held back; and parts of what became null are dropped.
type incremental struct {
	w      http.ResponseWriter
	shape  *deferrals
	quote  *quote
	read   map[*price]bool // as of a tally
	actual int
	tree   any                 // what was delivered
	held   []*graphql.Response // what belongs into a part that was not
	errors int                 // shown so far
}

func (t transport) deliver(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor, op *graphql.OperationContext, shape *deferrals, media string) {
	next := op.ResolverMiddleware
	op.ResolverMiddleware = func(ctx context.Context, resolve graphql.Resolver) (any, error) {
		b := &bound{Context: ctx, end: r.Context()}
		defer b.released.Store(true)
		return next(b, resolve)
	}
	responses, ctx := exec.DispatchOperation(context.WithoutCancel(r.Context()), op)
	first := responses(ctx)
	more := first.HasNext != nil && *first.HasNext
	if first.Data == nil || !more && media != "" { // nothing was there to be deferred
		first.HasNext = nil
		t.answer(w, cmp.Or(media, mediaJSON), op, first, func([]byte) {})
		return
	}
	d := &incremental{w: w, shape: shape, quote: t.pricing.quoted(op), read: make(map[*price]bool)}
	w.Header().Set("Content-Type", mediaMultipart+`; boundary="-"; deferSpec=`+deferSpec)
	d.begin(first, more)
	var panicked any
	arrived := make(chan *graphql.Response)
	go func() {
		defer close(arrived)
		defer func() { panicked = recover() }()
		for response := responses(ctx); response != nil; response = responses(ctx) {
			arrived <- response
		}
	}()
	for more {
		response, ok := <-arrived
		if !ok {
			panic(panicked)
		}
		// What is there at once goes out together: a page of a hundred has a hundred parts.
		for ; ok; response, ok = receive(arrived) {
			d.held = append(d.held, response)
			more = *response.HasNext
		}
		d.proceed(more)
	}
}

// receive takes what is there, without waiting.
func receive(arrived <-chan *graphql.Response) (response *graphql.Response, ok bool) {
	select {
	case response, ok = <-arrived:
	default:
	}
	return response, ok
}

func (d *incremental) begin(first *graphql.Response, more bool) {
	first.Data, first.Errors, first.HasNext = cut(first.Data, d.shape), d.few(first.Errors), &more
	d.actual = d.tally(first.Data).value(d.quote.prices)
	_ = json.Unmarshal(first.Data, &d.tree) // the executor wrote it
	if !more {
		first.Extensions = d.total()
	}
	_, _ = io.WriteString(d.w, "\r\n---\r\n")
	d.write(first, more)
}

// proceed delivers the parts whose place is there by now. The last of all says what
// they cost together.
func (d *incremental) proceed(more bool) {
	parts := []*part{}
	for before := -1; len(d.held) != before; {
		before = len(d.held)
		d.held = slices.DeleteFunc(d.held, func(response *graphql.Response) bool {
			p := d.deliver(response)
			if p != nil {
				parts = append(parts, p)
			}
			return p != nil
		})
	}
	if len(parts) == 0 && more {
		return
	}
	chunk := map[string]any{"hasNext": more}
	switch {
	case len(parts) == 0:
		chunk["extensions"] = d.total()
	case !more:
		parts[len(parts)-1].Extensions = d.total()
		fallthrough
	default:
		chunk["incremental"] = parts
	}
	d.write(chunk, more)
}

// deliver makes a part of a response, nil where what it belongs into is not there.
func (d *incremental) deliver(response *graphql.Response) *part {
	at, shape, prices := d.tree, d.shape, d.quote.prices
	for _, step := range response.Path {
		switch step := step.(type) {
		case ast.PathName:
			object, _ := at.(map[string]any)
			at, shape, prices = object[string(step)], shape.field(string(step)), prices.field([]byte(step))
		case ast.PathIndex:
			list, _ := at.([]any)
			if int(step) >= len(list) {
				return nil
			}
			at = list[step]
		}
	}
	object, ok := at.(map[string]any)
	if !ok {
		return nil
	}
	p := &part{Data: cut(response.Data, &deferrals{below: shape.kept()}), Path: response.Path, Label: response.Label, Errors: d.few(response.Errors)}
	d.actual += d.tally(p.Data).value(prices)
	var members map[string]any
	_ = json.Unmarshal(p.Data, &members)
	maps.Copy(object, members)
	return p
}

// kept is what is below, with nothing there to be cut out itself.
func (d *deferrals) kept() map[string]*deferrals {
	here := make(map[string]*deferrals)
	if d != nil {
		for name, field := range d.below {
			here[name] = &deferrals{below: field.below}
		}
	}
	return here
}

func (d *incremental) few(errs gqlerror.List) gqlerror.List {
	room := max(maxErrors-d.errors, 0)
	d.errors += len(errs)
	if room == 0 {
		return nil
	}
	return few(errs, room)
}

func (d *incremental) total() map[string]any {
	return map[string]any{"cost": cost{d.quote.requested, min(d.actual, d.quote.requested)}}
}

func (d *incremental) tally(text []byte) *tally { return &tally{text: text, read: d.read} }

func (d *incremental) write(body any, more bool) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Errorf("marshal a part of an answer: %w", err))
	}
	end := "--\r\n"
	if more {
		end = "\r\n"
	}
	_, _ = fmt.Fprintf(d.w, "Content-Type: %s; charset=utf-8\r\n\r\n%s\r\n---%s", mediaJSON, text, end)
	_ = http.NewResponseController(d.w).Flush() // where nobody listens any more, all the rest is written in vain
}

// cut takes out of an answer the fields that are deferred.
func cut(text []byte, shape *deferrals) []byte {
	c := cutter{tally: tally{text: text}, kept: make([]byte, 0, len(text))}
	c.value(shape)
	return c.kept
}

type cutter struct {
	tally
	kept []byte
}

func (c *cutter) value(shape *deferrals) {
	switch open := c.peek(); open {
	case '{', '[':
		c.kept = append(c.kept, open)
		empty := len(c.kept)
		for c.at++; c.peek() != open+2; { // as ASCII has them
			if c.peek() == ',' {
				c.at++
				c.peek()
			}
			inner, begin, written := shape, c.at, len(c.kept)
			if open == '{' {
				inner = shape.field(string(c.name()))
				c.peek()
				c.at++ // the colon
			}
			if written > empty {
				c.kept = append(c.kept, ',')
			}
			c.kept = append(c.kept, c.text[begin:c.at]...)
			c.value(inner)
			if inner != nil && inner.deferred && open == '{' {
				c.kept = c.kept[:written]
			}
		}
		c.at++
		c.kept = append(c.kept, open+2)
	default:
		begin := c.at
		c.tally.value(&free)
		c.kept = append(c.kept, c.text[begin:c.at]...)
	}
}
