package server

import (
	"context"

	"github.com/99designs/gqlgen/complexity"
	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/commonhold/commonhold/graph"
	"github.com/commonhold/commonhold/internal/fault"
)

// pricing is a gqlgen extension. It refuses an operation by what it may cost, and
// knows what an answer did cost. Both are sums over fields by graph's
// cost functions: over those of the document with its pages full, and over those
// that the answer has. What reads a whole table is added once to either. So the second is a function of the document, its variables
// and the answer alone: neither time nor the database shows in it, and two equal
// answers to one request never differ in it.
type pricing struct {
	limit  int
	schema graphql.ExecutableSchema
}

var (
	_ graphql.HandlerExtension        = (*pricing)(nil)
	_ graphql.OperationContextMutator = (*pricing)(nil)
)

// cost is extensions.cost.
type cost struct {
	Requested int `json:"requested"` // at most; the limit is on this
	Actual    int `json:"actual"`    // never more than requested
}

func (*pricing) ExtensionName() string { return "Cost" }

func (p *pricing) Validate(schema graphql.ExecutableSchema) error {
	p.schema = schema
	return nil
}

// MutateOperationContext refuses an operation by its cost, which variables decide.
func (p *pricing) MutateOperationContext(ctx context.Context, op *graphql.OperationContext) *gqlerror.Error {
	q := &quote{requested: complexity.Calculate(ctx, p.schema, op.Operation, op.Variables)}
	if q.requested <= p.limit { // else there is enough to refuse it
		q.prices = p.prices(ctx, op)
		q.requested += q.prices.tables()
	}
	if q.requested > p.limit {
		return coded(fault.New(fault.TooComplex, "This asks for up to %d things at once, %d are allowed. Ask for smaller pages, fewer fields or fewer counts.", q.requested, p.limit))
	}
	op.Stats.SetExtension(p.ExtensionName(), q)
	return nil
}

// quote is what an operation that was not refused may cost.
type quote struct {
	requested int
	prices    *price
}

// quoted is the quote of an operation which was not refused.
func (p *pricing) quoted(op *graphql.OperationContext) *quote {
	q, ok := op.Stats.GetExtension(p.ExtensionName()).(*quote)
	if !ok {
		return &quote{prices: &price{}}
	}
	return q
}

// of is the cost of an operation with this answer.
func (p *pricing) of(op *graphql.OperationContext, data []byte) cost {
	q := p.quoted(op)
	t := tally{text: data, read: make(map[*price]bool)}
	return cost{Requested: q.requested, Actual: min(t.value(q.prices), q.requested)}
}

// prices are those of all fields of an operation.
func (p *pricing) prices(ctx context.Context, op *graphql.OperationContext) *price {
	prices := &price{below: make(map[string]*price)}
	p.collect(ctx, op, op.Operation.SelectionSet, prices.below)
	return prices
}

// price is what a field costs without what is below it, and what that costs by the
// names it has in the answer.
type price struct {
	own   int
	table int // once in an answer
	below map[string]*price
}

// tables is what the tables cost that are read for a field and below it.
func (p *price) tables() int {
	total := p.table
	for _, field := range p.below {
		total += field.tables()
	}
	return total
}

// collect prices a selection. Where one name stands for fields of several types, the
// dearest counts: the answer does not say which it was.
func (p *pricing) collect(ctx context.Context, op *graphql.OperationContext, set ast.SelectionSet, into map[string]*price) {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			answered := p.schema.Schema().Types[s.Definition.Type.Name()]
			if answered.Name == "__Schema" { // no tenant's data; requested counts nothing for it either
				continue
			}
			known := into[s.Alias]
			if known == nil {
				known = &price{below: make(map[string]*price)}
				into[s.Alias] = known
			}
			own, table := p.own(ctx, op, s)
			known.own, known.table = max(known.own, own), max(known.table, table)
			p.collect(ctx, op, s.SelectionSet, known.below)
		case *ast.InlineFragment:
			p.collect(ctx, op, s.SelectionSet, into)
		case *ast.FragmentSpread:
			p.collect(ctx, op, s.Definition.SelectionSet, into)
		}
	}
}

// own is what a field costs with nothing below it, and what its table does.
func (p *pricing) own(ctx context.Context, op *graphql.OperationContext, field *ast.Field) (dearest, table int) {
	arguments := field.ArgumentMap(op.Variables)
	dearest = 1
	for _, kind := range p.schema.Schema().GetPossibleTypes(field.ObjectDefinition) {
		if own, ok := p.schema.Complexity(ctx, kind.Name, field.Name, 0, arguments); ok {
			dearest = max(dearest, own)
		}
		table = max(table, graph.TableCost(kind.Name, field.Name, arguments))
	}
	return dearest, table
}

// tally adds up the prices of the fields in an answer. The text is our executor's
// own, so it is JSON; it is read without being unmarshalled, because an answer may
// have thousands of fields.
type tally struct {
	text []byte
	at   int
	read map[*price]bool // the tables that are counted already
}

func (t *tally) value(p *price) (total int) {
	switch t.peek() {
	case '{':
		for t.at++; t.peek() != '}'; {
			if t.peek() == ',' {
				t.at++
			}
			t.peek()
			field := p.field(t.name())
			t.peek()
			t.at++ // the colon
			total += field.own + t.value(field)
			if field.table > 0 && !t.read[field] {
				t.read[field] = true
				total += field.table
			}
		}
		t.at++
	case '[':
		for t.at++; t.peek() != ']'; {
			if t.peek() == ',' {
				t.at++
			}
			total += t.value(p)
		}
		t.at++
	case '"':
		t.name()
	default: // a number, true, false or null
		begin := t.at
		for t.at < len(t.text) && t.text[t.at] != ',' && t.text[t.at] != '}' && t.text[t.at] != ']' {
			t.at++
		}
		if t.at == begin { // a scalar of ours wrote what is none; never go round in circles
			panic("an answer is not JSON")
		}
	}
	return total
}

var free price

// field is the price of the field of that name: nothing inside a scalar and an
// introspection.
func (p *price) field(name []byte) *price {
	if field, ok := p.below[string(name)]; ok {
		return field
	}
	return &free
}

// peek passes white space and is what follows it, 0 at the end.
func (t *tally) peek() byte {
	for ; t.at < len(t.text); t.at++ {
		switch c := t.text[t.at]; c {
		case ' ', '\n', '\r', '\t':
		default:
			return c
		}
	}
	return 0
}

// name passes a string and is what stands in it, escapes and all: the name of a
// field has none.
func (t *tally) name() []byte {
	t.at++
	begin := t.at
	for ; t.text[t.at] != '"'; t.at++ {
		if t.text[t.at] == '\\' {
			t.at++
		}
	}
	t.at++
	return t.text[begin : t.at-1]
}
