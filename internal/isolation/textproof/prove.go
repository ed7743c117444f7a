package textproof

import (
	"fmt"
	"slices"
	"strconv"
)

// hold says what every value of a column is: one of a set that the tenant decides, or
// null. The zero value promises nothing.
type hold string

const (
	// holdsTenant is the tenant's own id.
	holdsTenant hold = "tenant"
	// holdsMember is the id of a user who has a membership of the tenant.
	holdsMember hold = "member"
)

// slot is one column of one instance.
type slot struct {
	of        *instance
	name      string
	held      hold   // what an equality or a tied table gave it
	terms     []term // what a subquery or a CTE selects here, one for each arm
	mentioned bool   // in a condition that drops rows, which makes for better advice
}

func (s *slot) holds() hold {
	if s.held != "" || len(s.terms) == 0 {
		return s.held
	}
	first := s.terms[0].holds()
	for _, t := range s.terms[1:] {
		if t.holds() != first {
			return ""
		}
	}
	return first
}

// term is the tenant parameter, a column, or, as its zero value, anything else.
type term struct {
	tenant bool
	column *slot
}

func (t term) holds() hold {
	switch {
	case t.tenant:
		return holdsTenant
	case t.column != nil:
		return t.column.holds()
	}
	return ""
}

// instance is one reference in a FROM, or the target of a change.
type instance struct {
	alias    string
	table    *Table // nil for a subquery, a CTE or a function
	slots    []*slot
	nullable bool // on the nullable side of an outer join
	change   bool // the target of an INSERT, UPDATE or DELETE
}

func (i *instance) slot(name string) *slot {
	for _, s := range i.slots {
		if s.name == name {
			return s
		}
	}
	return nil
}

// called is "products (alias p)", or "products" where nothing else is said.
func (i *instance) called() string {
	if i.table.Name == i.alias {
		return i.alias
	}
	return i.table.Name + " (alias " + i.alias + ")"
}

type equality struct {
	a, b    term
	governs []*instance
}

type prover struct {
	schema     *Schema
	tenant     int
	seen       map[*node]bool
	resolved   map[*node]*slot
	instances  []*instance
	equalities []equality
	reasons    []string
}

func (p *prover) refuse(format string, args ...any) {
	if reason := fmt.Sprintf(format, args...); !slices.Contains(p.reasons, reason) {
		p.reasons = append(p.reasons, reason)
	}
}

// mark notes that the proof has passed by these nodes, and what is below them.
func (p *prover) mark(list ...*node) {
	for _, n := range list {
		walk(n, func(below *node) { p.seen[below] = true })
	}
}

func (p *prover) statement(n *node) { p.query(n, nil, nil) }

// judge spreads what is known until nothing new comes, and lists what is missing.
func (p *prover) judge(statement *node) []string {
	for p.spread() {
	}
	for _, in := range p.instances {
		if in.table == nil || in.table.Holds == "" {
			continue
		}
		if key := in.slot(in.table.Key); key.holds() != in.table.Holds {
			p.refuse("%s", untied(in, key))
		}
	}
	if len(p.reasons) > 0 {
		return p.reasons
	}
	// Nothing was found, which is worth something only if nothing was overlooked.
	walk(statement, func(n *node) {
		if !p.seen[n] {
			p.refuse("the proof did not pass by a %s of the statement: teach the prover what it means", n.kind)
		}
	})
	return p.reasons
}

func (p *prover) spread() (changed bool) {
	give := func(to, from term, governs []*instance) {
		if c := to.column; c != nil && c.holds() == "" && from.holds() != "" && slices.Contains(governs, c.of) {
			c.held, changed = from.holds(), true
		}
	}
	for _, e := range p.equalities {
		give(e.a, e.b, e.governs)
		give(e.b, e.a, e.governs)
	}
	for _, in := range p.instances {
		if in.table == nil || in.table.Holds == "" || in.slot(in.table.Key).holds() != in.table.Holds {
			continue
		}
		for column, what := range in.table.Gives {
			if c := in.slot(column); c != nil && c.held == "" {
				c.held, changed = what, true
			}
		}
	}
	return changed
}

// untied says what to write. The alias is what the reader must write, too.
func untied(in *instance, key *slot) string {
	if in.table.Holds == holdsMember {
		return fmt.Sprintf("table %s is not tied to the tenant's members: join it to memberships that are tied, by \"%s.%s = m.user_id\"",
			in.called(), in.alias, key.name)
	}
	where := "its WHERE"
	switch {
	case in.nullable:
		where = "the ON of its outer join"
	case in.change:
		where = "the WHERE of the statement"
	}
	said := fmt.Sprintf("table %s is not tied to the tenant: add \"%s.%s = @tenant_id\" to %s", in.called(), in.alias, key.name, where)
	if key.mentioned {
		said += fmt.Sprintf("; what its conditions say of %s does not count: a tie is a plain = with @tenant_id or a tied %s, joined to the rest by AND alone, and not in the ON of an outer join that keeps all rows of %s",
			key.name, key.name, in.alias)
	}
	return said
}

// query proves any of the four statements and says what it gives.
func (p *prover) query(n *node, outer *scope, ctes []*cte) []output {
	if n == nil {
		p.refuse("a query is missing")
		return nil
	}
	p.seen[n] = true
	switch n.kind {
	case "SelectStmt":
		return p.selects(n, outer, ctes)
	case "InsertStmt":
		return p.insert(n, outer, ctes)
	case "UpdateStmt":
		return p.change(n, "fromClause", outer, ctes)
	case "DeleteStmt":
		return p.change(n, "usingClause", outer, ctes)
	}
	p.refuse("a %s is no query", n.kind)
	return nil
}

// govern reads a condition that drops rows, and notes the equalities that must hold.
func (p *prover) govern(n *node, sc *scope, ctes []*cte, governs []*instance) {
	p.expr(n, sc, ctes)
	walk(n, func(below *node) {
		if c := p.resolved[below]; c != nil {
			c.mentioned = true
		}
	})
	p.conjuncts(n, governs)
}

func (p *prover) conjuncts(n *node, governs []*instance) {
	switch {
	case n.is("BoolExpr") && n.text["boolop"] == "AND_EXPR":
		for _, arg := range n.kids["args"] {
			p.conjuncts(arg, governs)
		}
	case n.is("A_Expr") && n.text["kind"] == "AEXPR_OP" && slices.Equal(words(n.kids["name"]), []string{"="}):
		a, b := n.one("lexpr"), n.one("rexpr")
		if a.is("RowExpr") && b.is("RowExpr") && len(a.kids["args"]) == len(b.kids["args"]) {
			for i := range a.kids["args"] {
				p.equalities = append(p.equalities, equality{p.term(a.kids["args"][i]), p.term(b.kids["args"][i]), governs})
			}
			return
		}
		p.equalities = append(p.equalities, equality{p.term(a), p.term(b), governs})
	}
}

// term reads what an expression is, once expr has resolved its columns.
func (p *prover) term(n *node) term {
	switch {
	case n.is("ParamRef"):
		return term{tenant: n.text["number"] == strconv.Itoa(p.tenant)}
	case n.is("TypeCast") && n.one("arg").is("ParamRef"):
		as := n.one("typeName")
		if slices.Equal(words(as.kids["names"]), []string{"uuid"}) && as.one("arrayBounds") == nil {
			return p.term(n.one("arg"))
		}
	case n.is("ColumnRef"):
		return term{column: p.resolved[n]}
	}
	return term{}
}
