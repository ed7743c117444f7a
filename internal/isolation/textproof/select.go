package textproof

import (
	"slices"
	"strconv"
)

// output is one column that a query gives to whom reads it.
type output struct {
	name  string // empty if PostgreSQL would make one up
	terms []term // one for each arm
}

type cte struct {
	name    string
	columns []output
}

// with adds the CTEs of a WITH to those that can be named.
func (p *prover) with(n *node, outer *scope, ctes []*cte) []*cte {
	if n == nil {
		return ctes
	}
	p.seen[n] = true
	ctes = slices.Clone(ctes)
	for _, c := range n.kids["ctes"] {
		p.seen[c] = true
		name := c.text["ctename"]
		body := c.one("ctequery")
		if p.schema.Tables[name] != nil {
			p.refuse("the CTE %s has the name of a table: give it another", name)
		}
		if slices.ContainsFunc(ctes, func(other *cte) bool { return other.name == name }) {
			p.refuse("two CTEs are called %s: give one another name", name)
		}
		made := &cte{name: name}
		p.mark(c.kids["aliascolnames"]...)
		if n.text["recursive"] == "true" && body.is("SelectStmt") && body.text["op"] == "SETOP_UNION" {
			p.seen[body] = true
			for _, clause := range []string{"withClause", "sortClause", "limitOffset", "limitCount", "lockingClause"} {
				if body.one(clause) != nil {
					p.refuse("the recursive CTE %s has a WITH, an ORDER BY, a LIMIT or a lock around its arms: write it inside of one", name)
				}
			}
			first := p.query(body.one("larg"), outer, ctes)
			// What the recursion reads of itself promises nothing: each arm has to be
			// tied by itself, which is more than soundness asks.
			self := &cte{name: name}
			for _, column := range p.renamed("the CTE "+name, first, c.kids["aliascolnames"]) {
				self.columns = append(self.columns, output{name: column.name, terms: []term{{}}})
			}
			second := p.query(body.one("rarg"), outer, append(slices.Clone(ctes), self))
			made.columns = p.arms(first, second)
		} else {
			made.columns = p.query(body, outer, ctes)
		}
		made.columns = p.renamed("the CTE "+name, made.columns, c.kids["aliascolnames"])
		ctes = append(ctes, made)
	}
	return ctes
}

// renamed gives columns the names of an alias. A column whose name PostgreSQL would
// make up is refused: it could be taken for another.
func (p *prover) renamed(what string, columns []output, names []*node) []output {
	columns = slices.Clone(columns)
	if len(names) > len(columns) {
		p.refuse("%s has fewer columns than names", what)
		return columns
	}
	for i, name := range words(names) {
		columns[i].name = name
	}
	for i, c := range columns {
		if c.name == "" {
			p.refuse("column %d of %s has no name: add one with AS", i+1, what)
		}
	}
	return columns
}

func (p *prover) arms(first, second []output) []output {
	if len(first) != len(second) {
		p.refuse("the arms of a UNION, INTERSECT or EXCEPT have different numbers of columns")
		return first
	}
	both := make([]output, len(first))
	for i := range first {
		both[i] = output{name: first[i].name, terms: append(slices.Clone(first[i].terms), second[i].terms...)}
	}
	return both
}

func (p *prover) selects(n *node, outer *scope, ctes []*cte) []output {
	ctes = p.with(n.one("withClause"), outer, ctes)
	sc := &scope{outer: outer}
	var out []output
	switch {
	case n.text["op"] != "SETOP_NONE":
		out = p.arms(p.query(n.one("larg"), outer, ctes), p.query(n.one("rarg"), outer, ctes))
		// Only its columns can be named behind a set operation.
		for _, sort := range n.kids["sortClause"] {
			p.sortBy(sort, &scope{}, ctes, out)
		}
	case n.one("valuesLists") != nil:
		for i, row := range n.kids["valuesLists"] {
			values := p.row(row, sc, ctes)
			for j := range values {
				values[j].name = "column" + strconv.Itoa(j+1)
			}
			if i == 0 {
				out = values
			} else {
				out = p.arms(out, values)
			}
		}
		for _, sort := range n.kids["sortClause"] {
			p.sortBy(sort, sc, ctes, out)
		}
	default:
		p.fromList(n.kids["fromClause"], sc, ctes)
		p.govern(n.one("whereClause"), sc, ctes, sc.instances)
		out = p.targets(n.kids["targetList"], sc, ctes)
		for _, clause := range []string{"distinctClause", "groupClause"} {
			for _, item := range n.kids[clause] {
				p.byOutput(item, sc, ctes, out)
			}
		}
		p.expr(n.one("havingClause"), sc, ctes)
		for _, window := range n.kids["windowClause"] {
			p.expr(window, sc, ctes)
		}
		for _, sort := range n.kids["sortClause"] {
			p.sortBy(sort, sc, ctes, out)
		}
	}
	p.expr(n.one("limitOffset"), &scope{outer: outer}, ctes)
	p.expr(n.one("limitCount"), &scope{outer: outer}, ctes)
	for _, lock := range n.kids["lockingClause"] {
		p.seen[lock] = true
		for _, rel := range lock.kids["lockedRels"] {
			p.mark(rel)
			if !slices.ContainsFunc(sc.instances, func(in *instance) bool { return in.alias == rel.text["relname"] }) || rel.text["schemaname"] != "" {
				p.refuse("FOR UPDATE OF %s names no alias of its FROM", rel.text["relname"])
			}
		}
	}
	return out
}

// row reads one row of VALUES.
func (p *prover) row(row *node, sc *scope, ctes []*cte) (out []output) {
	p.seen[row] = true
	for _, value := range row.kids["items"] {
		p.expr(value, sc, ctes)
		out = append(out, output{terms: []term{p.term(value)}})
	}
	return out
}

func (p *prover) sortBy(n *node, sc *scope, ctes []*cte, out []output) {
	p.seen[n] = true
	p.byOutput(n.one("node"), sc, ctes, out)
}

// byOutput reads an expression that may be the name of an output column, as those of
// ORDER BY, GROUP BY and DISTINCT ON may.
func (p *prover) byOutput(n *node, sc *scope, ctes []*cte, out []output) {
	if n.is("ColumnRef") && len(n.kids["fields"]) == 1 {
		name := words(n.kids["fields"])[0]
		if name != "" && slices.ContainsFunc(out, func(o output) bool { return o.name == name }) {
			p.mark(n)
			return
		}
	}
	p.expr(n, sc, ctes)
}

// targets reads a select list or a RETURNING.
func (p *prover) targets(list []*node, sc *scope, ctes []*cte) (out []output) {
	for _, target := range list {
		p.seen[target] = true
		if target.one("indirection") != nil {
			p.refuse("a select list has a subscript in a name")
		}
		value := target.one("val")
		if value.is("ColumnRef") {
			if fields := words(value.kids["fields"]); fields[len(fields)-1] == "*" {
				p.mark(value)
				out = append(out, p.star(fields, sc)...)
				continue
			}
		}
		p.expr(value, sc, ctes)
		o := output{name: target.text["name"], terms: []term{p.term(value)}}
		if o.name == "" && value.is("ColumnRef") {
			fields := words(value.kids["fields"])
			o.name = fields[len(fields)-1]
		}
		out = append(out, o)
	}
	return out
}

// fromList adds what a FROM lists to a scope, from left to right.
func (p *prover) fromList(list []*node, sc *scope, ctes []*cte) {
	for _, item := range list {
		sc.add(p.from(item, sc, ctes))
	}
	p.distinct(sc.instances)
}

// from reads one item of a FROM. left is what stands to its left, which LATERAL sees.
func (p *prover) from(n *node, left *scope, ctes []*cte) *scope {
	made := &scope{outer: left.outer}
	if n == nil {
		p.refuse("a FROM has an empty place")
		return made
	}
	p.seen[n] = true
	switch n.kind {
	case "RangeVar":
		made.instances = append(made.instances, p.rangeVar(n, ctes))
	case "RangeSubselect":
		outer := left.outer
		if n.text["lateral"] == "true" {
			outer = &scope{outer: left.outer}
			outer.add(left)
		}
		columns := p.query(n.one("subquery"), outer, ctes)
		made.instances = append(made.instances, p.derived(n.one("alias"), "a subquery", columns))
	case "RangeFunction":
		outer := &scope{outer: left.outer}
		outer.add(left)
		made.instances = append(made.instances, p.function(n, outer, ctes))
	case "JoinExpr":
		return p.join(n, left, ctes)
	default:
		p.refuse("a FROM has a %s, which the proof does not know", n.kind)
	}
	return made
}

// rangeVar reads a table or a CTE by its name.
func (p *prover) rangeVar(n *node, ctes []*cte) *instance {
	name := n.text["relname"]
	if n.text["schemaname"] != "" {
		p.refuse("table %s.%s is qualified with a schema: leave the schema out, the door chooses the tenant's", n.text["schemaname"], name)
	}
	if n.text["inh"] != "true" {
		p.refuse("table %s is read with ONLY: leave it out", name)
	}
	alias := n.one("alias")
	for _, c := range slices.Backward(ctes) {
		if c.name == name {
			if alias == nil {
				alias = &node{kind: "Alias", text: map[string]string{"aliasname": name}}
			}
			return p.derived(alias, "the CTE "+name, c.columns)
		}
	}
	return p.tableInstance(n)
}

func (p *prover) tableInstance(n *node) *instance {
	name := n.text["relname"]
	in := &instance{alias: name, table: p.schema.Tables[name]}
	if alias := n.one("alias"); alias != nil {
		p.mark(alias)
		in.alias = alias.text["aliasname"]
		if alias.one("colnames") != nil {
			p.refuse("table %s is given other names for its columns: leave them out", name)
		}
	}
	switch {
	case in.table == nil:
		p.refuse("table %s is in none of the migrations of this set", name)
		in.table = &Table{Name: name}
	case in.table.Closed != "":
		p.refuse("table %s %s", name, in.table.Closed)
	}
	for _, column := range in.table.Columns {
		in.slots = append(in.slots, &slot{of: in, name: column})
	}
	p.instances = append(p.instances, in)
	return in
}

// derived makes an instance of what a query gives.
func (p *prover) derived(alias *node, what string, columns []output) *instance {
	in := &instance{}
	if alias == nil {
		p.refuse("%s in a FROM has no alias: give it one", what)
	} else {
		p.mark(alias)
		in.alias = alias.text["aliasname"]
		columns = p.renamed(what+" "+in.alias, columns, alias.kids["colnames"])
	}
	for _, c := range columns {
		in.slots = append(in.slots, &slot{of: in, name: c.name, terms: c.terms})
	}
	p.instances = append(p.instances, in)
	return in
}

// function reads a function in FROM; its columns promise nothing of themselves.
func (p *prover) function(n *node, outer *scope, ctes []*cte) *instance {
	in := &instance{}
	p.instances = append(p.instances, in)
	lists := n.kids["functions"]
	if len(lists) != 1 || lists[0] == nil {
		p.refuse("ROWS FROM: join several functions one by one")
		return in
	}
	p.seen[lists[0]] = true // the call, and an empty place for column definitions
	call := lists[0].one("items")
	p.expr(call, outer, ctes)
	count := 1
	switch {
	case !call.is("FuncCall") || functions[unqualified(words(call.kids["funcname"]))] != expands:
		p.refuse("a FROM calls a function other than unnest and generate_series, which are known there")
	case unqualified(words(call.kids["funcname"])) == "unnest":
		count = len(call.kids["args"])
	}
	alias := n.one("alias")
	if alias == nil {
		p.refuse("a function in a FROM has no alias: give it one")
		return in
	}
	p.mark(alias)
	in.alias = alias.text["aliasname"]
	names := words(alias.kids["colnames"])
	if len(names) == 0 && count == 1 {
		names = []string{in.alias}
	}
	if n.text["ordinality"] == "true" {
		if len(names) == count {
			names = append(names, "ordinality")
		}
		count++
	}
	if len(names) != count {
		p.refuse("the function %s in a FROM gives %d columns and names %d: name them all", in.alias, count, len(names))
	}
	for _, name := range names {
		in.slots = append(in.slots, &slot{of: in, name: name})
	}
	return in
}

func (p *prover) join(n *node, left *scope, ctes []*cte) *scope {
	if n.text["isNatural"] == "true" {
		p.refuse("NATURAL JOIN: name the columns with ON, so that a new column cannot change what is joined")
	}
	if n.one("alias") != nil || n.one("join_using_alias") != nil {
		p.mark(n.one("alias"), n.one("join_using_alias"))
		p.refuse("a join has an alias: give aliases to its tables")
	}
	l := p.from(n.one("larg"), left, ctes)
	between := &scope{outer: left.outer}
	between.add(left)
	between.add(l)
	r := p.from(n.one("rarg"), between, ctes)

	both := &scope{outer: left.outer}
	both.add(l)
	both.add(r)
	p.distinct(both.instances)
	var governs []*instance
	switch n.text["jointype"] {
	case "JOIN_INNER":
		governs = both.instances
	case "JOIN_LEFT":
		governs = r.instances
	case "JOIN_RIGHT":
		governs = l.instances
	case "JOIN_FULL":
	default:
		p.refuse("a join is a %s, which the proof does not know", n.text["jointype"])
	}
	if n.text["jointype"] != "JOIN_INNER" {
		for _, in := range governs {
			in.nullable = true
		}
	}
	p.mark(n.kids["usingClause"]...)
	for _, name := range words(n.kids["usingClause"]) {
		a, b := l.bare(name), r.bare(name)
		if len(a) != 1 || len(b) != 1 {
			p.refuse("USING (%s) does not mean one column on each side", name)
			continue
		}
		a[0].mentioned, b[0].mentioned = true, true
		p.equalities = append(p.equalities, equality{term{column: a[0]}, term{column: b[0]}, governs})
		both.hidden = append(both.hidden, a[0], b[0])
		both.merged = slices.DeleteFunc(both.merged, func(c *slot) bool { return c == a[0] || c == b[0] })
		switch n.text["jointype"] {
		case "JOIN_INNER", "JOIN_LEFT":
			both.merged = append(both.merged, a[0])
		case "JOIN_RIGHT":
			both.merged = append(both.merged, b[0])
		default: // either of the two
			both.merged = append(both.merged, &slot{name: name, of: &instance{}})
		}
	}
	p.govern(n.one("quals"), both, ctes, governs)
	return both
}
