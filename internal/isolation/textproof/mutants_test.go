package textproof

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Mutants are made from the parse trees of the real statements, and of the trials that
// are tied: one change at a time, of the kinds that people make.

func clone(n *node) *node {
	if n == nil {
		return nil
	}
	c := &node{kind: n.kind, text: maps.Clone(n.text), kids: map[string][]*node{}}
	for field, list := range n.kids {
		for _, kid := range list {
			c.kids[field] = append(c.kids[field], clone(kid))
		}
	}
	return c
}

// expression parses an SQL expression.
func expression(sql string) *node {
	n, err := parse("select " + sql)
	if err != nil {
		panic(err)
	}
	return n.one("targetList").one("val")
}

// fromItem parses what can stand in a FROM.
func fromItem(sql string) *node {
	n, err := parse("select from " + sql)
	if err != nil {
		panic(err)
	}
	return n.one("fromClause")
}

// predicate is one place in a statement where a condition stands by itself or among
// others joined by AND.
type predicate struct {
	owner *node // the node whose field is the condition, or the AND
	field string
	at    int
	inOn  bool
}

func (p predicate) get() *node { return p.owner.kids[p.field][p.at] }

func (p predicate) put(n *node) { p.owner.kids[p.field][p.at] = n }

// drop takes the predicate away. What is left of an AND may be a single argument or
// none, which only a prover meets and takes as it is.
func (p predicate) drop() { p.owner.kids[p.field] = slices.Delete(p.owner.kids[p.field], p.at, p.at+1) }

// predicates lists them in one order, the same for clones of one statement.
func predicates(tree *node) (all []predicate) {
	var split func(p predicate)
	split = func(p predicate) {
		n := p.get()
		if n.is("BoolExpr") && n.text["boolop"] == "AND_EXPR" {
			for i := range n.kids["args"] {
				split(predicate{n, "args", i, p.inOn})
			}
			return
		}
		all = append(all, p)
	}
	walk(tree, func(n *node) {
		for _, field := range []string{"whereClause", "quals"} {
			// The WHERE of an ON CONFLICT drops no row of a table.
			if len(n.kids[field]) == 1 && !n.is("OnConflictClause") && !n.is("InferClause") {
				split(predicate{n, field, 0, field == "quals"})
			}
		}
	})
	return all
}

// isTie tells whether a predicate looks as if it were there for the tenant. It knows
// nothing of the prover, but how columns and aliases are called: a tenant_id (t, u or
// tenant in trials), and the id of a user (of aliases u and v).
func isTie(n *node) bool {
	found := false
	if !n.is("A_Expr") {
		return false
	}
	for _, side := range []string{"lexpr", "rexpr"} {
		walk(n.one(side), func(below *node) {
			if below.is("ColumnRef") {
				name := strings.Join(words(below.kids["fields"]), ".")
				found = found || strings.HasSuffix(name, "tenant_id") || slices.Contains([]string{"p.t", "b.u", "t.tenant", "v.t", "u.id", "v.id"}, name)
			}
		})
	}
	return found
}

// said is the predicate in short, to name it in lists: "c.tenant_id = $1".
func said(n *node) string {
	side := func(n *node) string {
		for n.is("TypeCast") {
			n = n.one("arg")
		}
		switch {
		case n.is("ColumnRef"):
			return strings.Join(words(n.kids["fields"]), ".")
		case n.is("ParamRef"):
			return "$" + n.text["number"]
		case n.is("RowExpr"):
			var parts []string
			for _, arg := range n.kids["args"] {
				parts = append(parts, said(arg))
			}
			return "(" + strings.Join(parts, ", ") + ")"
		case n == nil:
			return ""
		}
		return n.kind
	}
	if !n.is("A_Expr") {
		return side(n)
	}
	return side(n.one("lexpr")) + " " + strings.Join(words(n.kids["name"]), ".") + " " + side(n.one("rexpr"))
}

// aliases are the names that columns could be asked of.
func aliases(tree *node) (all []string) {
	add := func(name string) {
		if name != "" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	walk(tree, func(n *node) {
		switch {
		case n.one("alias") != nil:
			add(n.one("alias").text["aliasname"])
		case n.is("RangeVar"):
			add(n.text["relname"])
		}
	})
	return all
}

// spoil is one way to spoil a predicate. It returns the replacements, each a mutant.
type spoil struct {
	name string
	make func(n *node, tree *node, tenant int) []*node
}

func binary(kind, op string, l, r *node) *node {
	return &node{kind: "A_Expr", text: map[string]string{"kind": kind}, kids: map[string][]*node{
		"name": {{kind: "String", text: map[string]string{"sval": op}}}, "lexpr": {l}, "rexpr": {r},
	}}
}

func boolean(op string, args ...*node) *node {
	return &node{kind: "BoolExpr", text: map[string]string{"boolop": op}, kids: map[string][]*node{"args": args}}
}

// everywhere makes one mutant for each node below n that change turns into others.
func everywhere(n *node, change func(*node) []*node) (mutants []*node) {
	count := 0
	walk(n, func(*node) { count++ })
	for i := range count {
		for j := 0; ; j++ {
			mutant := clone(n)
			at, done := 0, false
			var descend func(n *node) *node
			descend = func(n *node) *node {
				if n == nil {
					return nil
				}
				here := at
				at++
				if here == i {
					if others := change(n); j < len(others) {
						done = true
						return others[j]
					}
					return n
				}
				for _, field := range slices.Sorted(maps.Keys(n.kids)) {
					for k := range n.kids[field] {
						n.kids[field][k] = descend(n.kids[field][k])
					}
				}
				return n
			}
			mutant = descend(mutant)
			if !done {
				break
			}
			mutants = append(mutants, mutant)
		}
	}
	return mutants
}

// spoils are the changes of one predicate. Removing is not among them: it replaces by
// nothing.
var spoils = []spoil{
	{"negated", func(n, _ *node, _ int) []*node { return []*node{boolean("NOT_EXPR", n)} }},
	{"or true", func(n, _ *node, _ int) []*node { return []*node{boolean("OR_EXPR", n, expression("true"))} }},
	{"or another", func(n, _ *node, _ int) []*node {
		return []*node{boolean("OR_EXPR", n, expression("$90::integer > 1")), boolean("OR_EXPR", expression("$90::boolean"), n)}
	}},
	{"or itself negated", func(n, _ *node, _ int) []*node {
		return []*node{boolean("OR_EXPR", n, boolean("NOT_EXPR", clone(n)))}
	}},
	{"is not false", func(n, _ *node, _ int) []*node {
		return []*node{{kind: "BooleanTest", text: map[string]string{"booltesttype": "IS_NOT_FALSE"}, kids: map[string][]*node{"arg": {n}}}}
	}},
	{"coalesced", func(n, _ *node, _ int) []*node {
		return []*node{{kind: "CoalesceExpr", kids: map[string][]*node{"args": {n, expression("true")}}}}
	}},
	{"not equal", func(n, _ *node, _ int) (mutants []*node) {
		if n.is("A_Expr") && n.text["kind"] == "AEXPR_OP" && slices.Equal(words(n.kids["name"]), []string{"="}) {
			for _, op := range []string{"<>", "<", "<=", ">", ">="} {
				mutants = append(mutants, binary("AEXPR_OP", op, clone(n.one("lexpr")), clone(n.one("rexpr"))))
			}
			for _, kind := range []string{"AEXPR_NOT_DISTINCT", "AEXPR_DISTINCT"} {
				mutants = append(mutants, binary(kind, "=", clone(n.one("lexpr")), clone(n.one("rexpr"))))
			}
		}
		return mutants
	}},
	{"another alias", func(n, tree *node, _ int) []*node {
		return everywhere(n, func(c *node) (others []*node) {
			if !c.is("ColumnRef") {
				return nil
			}
			fields := words(c.kids["fields"])
			for _, alias := range append(aliases(tree), "stranger") {
				if len(fields) == 2 && alias != fields[0] || len(fields) == 1 && alias == "stranger" {
					others = append(others, &node{kind: "ColumnRef", kids: map[string][]*node{"fields": {
						{kind: "String", text: map[string]string{"sval": alias}},
						{kind: "String", text: map[string]string{"sval": fields[len(fields)-1]}},
					}}})
				}
			}
			return others
		})
	}},
	{"another column", func(n, _ *node, _ int) []*node {
		return everywhere(n, func(c *node) []*node {
			if !c.is("ColumnRef") {
				return nil
			}
			other := clone(c)
			last := other.kids["fields"][len(other.kids["fields"])-1]
			if last.text["sval"] == "id" {
				last.text["sval"] = "created_at"
			} else {
				last.text["sval"] = "id"
			}
			return []*node{other}
		})
	}},
	{"another value", func(n, _ *node, tenant int) []*node {
		return everywhere(n, func(c *node) []*node {
			if !c.is("ParamRef") {
				return nil
			}
			number, _ := strconv.Atoi(c.text["number"])
			if number != tenant {
				return nil
			}
			return []*node{
				expression("$" + strconv.Itoa(number+1)), expression("$90"),
				expression("'00000000-0000-0000-0000-000000000001'"), expression("null"),
				expression("coalesce($" + c.text["number"] + ", null)"), expression("$" + c.text["number"] + "::text"),
				expression("(select $" + c.text["number"] + "::uuid)"),
			}
		})
	}},
	{"itself", func(n, _ *node, _ int) (mutants []*node) {
		if n.is("A_Expr") && n.text["kind"] == "AEXPR_OP" {
			for _, side := range []string{"lexpr", "rexpr"} {
				if n.one(side).is("ColumnRef") {
					op := words(n.kids["name"])[0]
					mutants = append(mutants, binary("AEXPR_OP", op, clone(n.one(side)), clone(n.one(side))))
				}
			}
		}
		return mutants
	}},
}

// subject is a statement to spoil.
type subject struct {
	schema *Schema
	query  Query
	real   bool
	table  string // a table of its database, which the statement could read by mistake
}

func subjects(t testing.TB) (all []subject) {
	sets := proven(t)
	for i, s := range sets {
		for _, q := range s.found {
			all = append(all, subject{s.schema, q, true, []string{"events", "memberships"}[i]})
		}
	}
	for _, c := range tied {
		all = append(all, subject{sets[0].schema, Query{"trials", c.name, c.sql, 1}, false, "events"})
	}
	for _, c := range tiedAccount {
		if c.says == "" {
			all = append(all, subject{sets[1].schema, Query{"trials", c.name, c.sql, 1}, false, "memberships"})
		}
	}
	return all
}

// spared are the mutants of ties that do no harm, because another predicate keeps the
// statement within the tenant: of a tie, or of a tie turned into another ("→"). Each is
// shown to be so: without the predicate that stands in for it, the mutant is caught. No
// other mutant of a tie may be proven.
var spared = map[string]map[string]string{ // query: tie or change: what stands in for it
	"ListCategoryAncestors": {
		// The arm's own table is tied to the parameter, so the recursion need not be.
		"c.tenant_id = line.tenant_id":           "c.tenant_id = $1",
		"c.tenant_id = $1 → line.tenant_id = $1": "c.tenant_id = line.tenant_id",
	},
	// One half of a comparison of rows is the tie, the other was changed.
	"rows compared":               {"(tenant_id, id) = ($1, $2) → (tenant_id, created_at) = ($1, $2)": "(tenant_id, created_at) = ($1, $2)"},
	"rows compared the other way": {"($2, $1) = (id, tenant_id) → ($2, $1) = (created_at, tenant_id)": "($2, $1) = (created_at, tenant_id)"},
	// Another of the equal columns is tied to the parameter.
	"join by key":  {"p.tenant_id = $1 → c.tenant_id = $1": "c.tenant_id = p.tenant_id"},
	"comma join":   {"p.tenant_id = $1 → c.tenant_id = $1": "c.tenant_id = p.tenant_id"},
	"lock":         {"p.tenant_id = $1 → c.tenant_id = $1": "c.tenant_id = p.tenant_id"},
	"update from":  {"p.tenant_id = $1 → c.tenant_id = $1": "c.tenant_id = p.tenant_id"},
	"delete using": {"c.tenant_id = $1 → p.tenant_id = $1": "p.tenant_id = c.tenant_id"},
	"chain of three": {
		"c.tenant_id = $1 → a.tenant_id = $1":                   "b.tenant_id = a.tenant_id",
		"c.tenant_id = $1 → b.tenant_id = $1":                   "b.tenant_id = a.tenant_id",
		"c.tenant_id = b.tenant_id → c.tenant_id = a.tenant_id": "b.tenant_id = a.tenant_id",
	},
	"using twice": {
		"e.tenant_id = $1 → p.tenant_id = $1": "p.tenant_id = $1",
		"e.tenant_id = $1 → c.tenant_id = $1": "c.tenant_id = $1",
	},
	// A row further out is tied, too.
	"left join to a left join":     {"g.tenant_id = c.tenant_id → g.tenant_id = p.tenant_id": "p.tenant_id = $1"},
	"inner join under a left join": {"c.tenant_id = p.tenant_id → e.tenant_id = p.tenant_id": "e.tenant_id = c.tenant_id"},
	// ON CONFLICT found the row by the tenant.
	"upsert": {"c.tenant_id = excluded.tenant_id → c.tenant_id = p.tenant_id": "c.tenant_id = p.tenant_id"},
}

func TestSpoiltPredicatesAreCaught(t *testing.T) {
	t.Parallel()
	ties, others, caught, harmless, sparedCount := 0, 0, 0, 0, 0
	usedSpares := map[string]bool{}
	for _, s := range subjects(t) {
		tree, err := parse(s.query.SQL)
		if err != nil {
			t.Fatal(err)
		}
		for i, original := range predicates(tree) {
			tie := isTie(original.get())
			if tie {
				ties++
			} else {
				others++
			}
			name := said(original.get())
			judge := func(how string, mutant *node, to string, sensible bool) {
				key := name
				if spared[s.query.Name][key] == "" {
					key = name + " → " + to
				}
				spare := spared[s.query.Name][key]
				err := s.schema.proveTree(s.query, mutant)
				switch {
				case tie && spare != "" && err == nil:
					// Harmless because of the other: without it, the same mutant is caught.
					sparedCount++
					usedSpares[s.query.Name+"/"+key] = true
					drop(mutant, spare)
					if s.schema.proveTree(s.query, mutant) == nil {
						t.Errorf("%s: %s %s: %q was to stand in for it, but something else does", s.query.Name, name, how, spare)
					}
				case tie && err == nil:
					t.Errorf("%s: the tie %q, %s (%s), is proven", s.query.Name, name, how, to)
				case tie:
					caught++
				case sensible && err != nil:
					t.Errorf("%s: %q is no tie, yet the statement is refused with it %s: %v", s.query.Name, name, how, err)
				default:
					harmless++
				}
			}
			mutant := clone(tree)
			predicates(mutant)[i].drop()
			judge("removed", mutant, "", true)
			for _, way := range spoils {
				for _, replacement := range way.make(clone(original.get()), tree, s.query.Tenant) {
					mutant := clone(tree)
					predicates(mutant)[i].put(replacement)
					// Other names may be of nothing, which is refused as it should be.
					sensible := !strings.HasPrefix(way.name, "another")
					judge(way.name, mutant, said(replacement), sensible)
				}
			}
		}
	}
	for query, list := range spared {
		for tie := range list {
			if !usedSpares[query+"/"+tie] {
				t.Errorf("%s: %q is on the list of spared ties, but every mutant of it is caught: take it off", query, tie)
			}
		}
	}
	t.Logf("%d ties and %d other predicates: %d mutants of ties caught, %d spared by another tie, %d mutants of others let pass", ties, others, caught, sparedCount, harmless)
	if ties < 60 || caught < 1000 {
		t.Errorf("only %d ties and %d mutants", ties, caught)
	}
}

// drop takes away every predicate of that text.
func drop(tree *node, name string) {
	all := predicates(tree)
	for _, p := range slices.Backward(all) {
		if said(p.get()) == name {
			p.drop()
		}
	}
}

// graft is a way to bring a table into a statement that is not tied.
type graft struct {
	name string
	make func(tree *node, table string, tenant int) []*node // the mutants
}

// on makes one mutant for each node that change alters in place.
func on(tree *node, change func(*node) bool) (mutants []*node) {
	count := 0
	grafted := []string{"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "JoinExpr", "OnConflictClause", "InferClause", "RangeVar", "List", "CaseExpr", "FuncCall"}
	walk(tree, func(n *node) {
		at := count
		count++
		if !slices.Contains(grafted, n.kind) {
			return
		}
		mutant := clone(tree)
		var all []*node
		walk(mutant, func(n *node) { all = append(all, n) })
		if change(all[at]) {
			mutants = append(mutants, mutant)
		}
	})
	return mutants
}

func plainSelect(n *node) bool {
	return n.is("SelectStmt") && n.text["op"] == "SETOP_NONE" && n.one("valuesLists") == nil
}

func and(n *node, field string, more *node) {
	if old := n.one(field); old != nil {
		more = boolean("AND_EXPR", old, more)
	}
	n.kids[field] = []*node{more}
}

var grafts = []graft{
	{"a further table", func(tree *node, table string, _ int) []*node {
		return on(tree, func(n *node) bool {
			switch {
			case plainSelect(n):
				n.kids["fromClause"] = append(n.kids["fromClause"], fromItem(table+" as stray"))
			case n.is("UpdateStmt"):
				n.kids["fromClause"] = append(n.kids["fromClause"], fromItem(table+" as stray"))
			case n.is("DeleteStmt"):
				n.kids["usingClause"] = append(n.kids["usingClause"], fromItem(table+" as stray"))
			default:
				return false
			}
			return true
		})
	}},
	{"a join", func(tree *node, table string, tenant int) (mutants []*node) {
		for _, kind := range []string{
			"from a_ join " + table + " as stray on true",
			"from a_ left join " + table + " as stray on stray.id is not null",
			// The ON of an outer join does not reach the preserved side.
			fmt.Sprintf("from a_ right join %s as stray on stray.tenant_id = $%d", table, tenant),
			fmt.Sprintf("from a_ full join %s as stray on stray.tenant_id = $%d", table, tenant),
			"from a_ left join lateral (select * from " + table + " as stray limit 1) as l_ on true",
			"from a_ join (select * from " + table + " as stray) as l_ on true",
			fmt.Sprintf("from a_ join (select * from %s as stray limit 1) as l_ on l_.tenant_id = $%d", table, tenant),
		} {
			for i := range 3 {
				mutants = append(mutants, on(tree, func(n *node) bool {
					field := "fromClause"
					if n.is("DeleteStmt") {
						field = "usingClause"
					}
					if !n.is("SelectStmt") && !n.is("UpdateStmt") && !n.is("DeleteStmt") || i >= len(n.kids[field]) {
						return false
					}
					joined := fromItem(strings.TrimPrefix(kind, "from "))
					joined.kids["larg"] = []*node{n.kids[field][i]}
					n.kids[field][i] = joined
					return true
				})...)
			}
		}
		return mutants
	}},
	{"a subquery in a condition", func(tree *node, table string, _ int) []*node {
		return on(tree, func(n *node) bool {
			switch {
			case plainSelect(n), n.is("UpdateStmt"), n.is("DeleteStmt"):
				and(n, "whereClause", expression("exists (select from "+table+" as stray)"))
			case n.is("JoinExpr") && n.one("quals") != nil:
				and(n, "quals", expression("not exists (select from "+table+" as stray)"))
			case n.is("OnConflictClause") && n.text["action"] == "ONCONFLICT_UPDATE":
				and(n, "whereClause", expression("1 = (select count(*) from "+table+" as stray)"))
			default:
				return false
			}
			return true
		})
	}},
	{"a subquery in an expression", func(tree *node, table string, _ int) []*node {
		value := func() *node { return expression("(select max(stray.id::text) from " + table + " as stray)") }
		target := func() *node {
			return &node{kind: "ResTarget", text: map[string]string{"name": "stolen"}, kids: map[string][]*node{"val": {value()}}}
		}
		var mutants []*node
		for _, field := range []string{"targetList", "returningList", "sortClause", "limitCount", "limitOffset", "havingClause", "groupClause", "values", "case", "argument"} {
			mutants = append(mutants, on(tree, func(n *node) bool {
				change := n.is("InsertStmt") || n.is("UpdateStmt") || n.is("DeleteStmt")
				switch {
				case field == "targetList" && (plainSelect(n) || n.is("UpdateStmt") || n.is("OnConflictClause") && n.text["action"] == "ONCONFLICT_UPDATE"),
					field == "returningList" && change:
					n.kids[field] = append(n.kids[field], target())
				case field == "sortClause" && plainSelect(n):
					n.kids[field] = append(n.kids[field], &node{kind: "SortBy", kids: map[string][]*node{"node": {value()}}})
				case (field == "limitCount" || field == "limitOffset" || field == "havingClause") && plainSelect(n):
					n.kids[field] = []*node{value()}
				case field == "groupClause" && plainSelect(n):
					n.kids[field] = append(n.kids[field], value())
				case field == "values" && n.is("List") && n.one("items").is("ParamRef"):
					n.kids["items"] = append(n.kids["items"], value())
				case field == "case" && n.is("CaseExpr"):
					n.kids["defresult"] = []*node{value()}
				case field == "argument" && n.is("FuncCall") && n.one("args") != nil:
					n.kids["args"] = append(n.kids["args"], value())
				default:
					return false
				}
				return true
			})...)
		}
		return mutants
	}},
	{"a CTE", func(tree *node, table string, _ int) []*node {
		return on(tree, func(n *node) bool {
			if !n.is("SelectStmt") && !n.is("InsertStmt") && !n.is("UpdateStmt") && !n.is("DeleteStmt") {
				return false
			}
			with, err := parse("with w_ as (select stray.id from " + table + " as stray) select")
			if err != nil {
				panic(err)
			}
			made := with.one("withClause")
			if old := n.one("withClause"); old != nil {
				made.kids["ctes"] = append(made.kids["ctes"], old.kids["ctes"]...)
				maps.Copy(made.text, old.text)
			}
			n.kids["withClause"] = []*node{made}
			return true
		})
	}},
	{"another arm", func(tree *node, table string, _ int) []*node {
		var mutants []*node
		for _, op := range []string{"union", "union all", "except", "intersect"} {
			mutants = append(mutants, on(tree, func(n *node) bool {
				if !n.is("SelectStmt") || n.one("withClause") != nil {
					return false
				}
				columns := max(len(n.kids["targetList"]), 1)
				both, err := parse("select " + op + " select " + strings.Repeat("null,", columns-1) + "null from " + table + " as stray")
				if err != nil {
					panic(err)
				}
				both.kids["larg"] = []*node{{kind: n.kind, text: maps.Clone(n.text), kids: n.kids}}
				*n = *both
				return true
			})...)
		}
		return mutants
	}},
}

func TestGraftedTablesAreCaught(t *testing.T) {
	t.Parallel()
	counts := map[string]int{}
	for _, s := range subjects(t) {
		tree, err := parse(s.query.SQL)
		if err != nil {
			t.Fatal(err)
		}
		grafted := 0
		for _, g := range grafts {
			for i, mutant := range g.make(tree, s.table, s.query.Tenant) {
				counts[g.name]++
				grafted++
				err := s.schema.proveTree(s.query, mutant)
				if err == nil || !strings.Contains(err.Error(), "(alias stray) is not tied") && !strings.Contains(err.Error(), "around its arms") {
					t.Errorf("%s: %s (%d): %v", s.query.Name, g.name, i, err)
				}
			}
		}
		if grafted < 3 {
			t.Errorf("%s: only %d tables could be grafted", s.query.Name, grafted)
		}
	}
	t.Log(counts)
	for _, g := range grafts {
		if counts[g.name] < 50 {
			t.Errorf("%s: only %d mutants", g.name, counts[g.name])
		}
	}
}

// Joins made outer. The ON then stops to bind the preserved side; what is tied by
// itself stays tied, and for those the statement reads no more than before.
func TestJoinsMadeOuter(t *testing.T) {
	t.Parallel()
	sets := proven(t)
	known := make(map[string]bool)
	for _, c := range []struct {
		set   int
		query string
		// Whether the statement is still proven with its join of each kind.
		left, right, full bool
	}{
		// memberships stands in the WHERE, users only in the ON.
		{1, "ListUsersByIDs", true, false, false},
		// Its table is tied in the WHERE, and the other side is the recursion.
		{0, "ListCategoryAncestors", true, true, true},
		// What is joined stands in the ON alone, beside what was given.
		{0, "ImportOrders", true, false, false},
		{0, "ImportOrderItems", true, false, false},
	} {
		known[c.query] = true
		at := slices.IndexFunc(sets[c.set].found, func(q Query) bool { return q.Name == c.query })
		tree, err := parse(sets[c.set].found[at].SQL)
		if err != nil {
			t.Fatal(err)
		}
		for kind, want := range map[string]bool{"JOIN_LEFT": c.left, "JOIN_RIGHT": c.right, "JOIN_FULL": c.full} {
			mutant := clone(tree)
			walk(mutant, func(n *node) {
				if n.is("JoinExpr") {
					n.text["jointype"] = kind
				}
			})
			if err := sets[c.set].schema.proveTree(sets[c.set].found[at], mutant); (err == nil) != want {
				t.Errorf("%s as %s: %v", c.query, kind, err)
			}
		}
	}
	// Every other real join is one of these, or has no condition.
	for _, s := range sets {
		for _, q := range s.found {
			if strings.Contains(q.SQL, "join") && !strings.Contains(q.SQL, "cross join") && !known[q.Name] {
				t.Errorf("%s has a join: say above what becomes of it", q.Name)
			}
		}
	}
}

// A tie of the preserved side that is moved from the WHERE to the ON.
func TestTiesMovedToAnOuterJoin(t *testing.T) {
	t.Parallel()
	moved := 0
	for _, s := range subjects(t) {
		tree, err := parse(s.query.SQL)
		if err != nil {
			t.Fatal(err)
		}
		for i, original := range predicates(tree) {
			if original.inOn || !isTie(original.get()) {
				continue
			}
			mutant := clone(tree)
			p := predicates(mutant)[i]
			var outer *node
			walk(mutant, func(n *node) {
				if plainSelect(n) && (p.owner == n || n.one("whereClause") == p.owner) {
					for _, item := range n.kids["fromClause"] {
						if item.is("JoinExpr") && item.text["jointype"] != "JOIN_INNER" && item.one("quals") != nil {
							outer = item
						}
					}
				}
			})
			if outer == nil {
				continue
			}
			tie := p.get()
			// A tie of the nullable side may stand there.
			side := map[string]string{"JOIN_LEFT": "larg", "JOIN_RIGHT": "rarg"}[outer.text["jointype"]]
			preserved := side == "" || slices.ContainsFunc(aliases(outer.one(side)), func(alias string) bool { return strings.HasPrefix(said(tie), alias+".") })
			if !preserved {
				continue
			}
			p.drop()
			and(outer, "quals", tie)
			moved++
			if s.schema.proveTree(s.query, mutant) == nil {
				t.Errorf("%s: %q moved to the ON is proven", s.query.Name, said(tie))
			}
		}
	}
	if moved < 5 {
		t.Errorf("only %d ties were moved", moved)
	}
}

func TestSpoiltWritesAreCaught(t *testing.T) {
	t.Parallel()
	counts := map[string]int{}
	for _, s := range subjects(t) {
		tree, err := parse(s.query.SQL)
		if err != nil {
			t.Fatal(err)
		}
		check := func(how, says string, mutants []*node) {
			for _, mutant := range mutants {
				counts[how]++
				err := s.schema.proveTree(s.query, mutant)
				if err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("%s: %s: %v", s.query.Name, how, err)
				}
			}
		}
		key := func(n *node) int {
			return slices.IndexFunc(n.kids["cols"], func(c *node) bool { return c.text["name"] == "tenant_id" })
		}
		check("conflict without the tenant", "the ON CONFLICT target has no tenant_id", on(tree, func(n *node) bool {
			had := len(n.kids["indexElems"])
			n.kids["indexElems"] = slices.DeleteFunc(n.kids["indexElems"], func(e *node) bool { return e.text["name"] == "tenant_id" })
			return len(n.kids["indexElems"]) < had
		}))
		check("conflict without a target", "ON CONFLICT has no target", on(tree, func(n *node) bool {
			has := n.one("infer") != nil
			delete(n.kids, "infer")
			return has
		}))
		check("conflict of a constraint", "ON CONFLICT names the constraint", on(tree, func(n *node) bool {
			if n.is("InferClause") {
				n.text["conname"], n.kids = "products_pkey", map[string][]*node{}
			}
			return n.is("InferClause")
		}))
		check("set of the tenant", "SET changes tenant_id", on(tree, func(n *node) bool {
			if n.is("UpdateStmt") || n.is("OnConflictClause") && n.text["action"] == "ONCONFLICT_UPDATE" {
				n.kids["targetList"] = append(n.kids["targetList"], &node{kind: "ResTarget", text: map[string]string{"name": "tenant_id"},
					kids: map[string][]*node{"val": {expression("$" + strconv.Itoa(s.query.Tenant))}}})
				return true
			}
			return false
		}))
		check("set of the tenant instead of another column", "SET changes tenant_id", on(tree, func(n *node) bool {
			if n.is("UpdateStmt") {
				n.kids["targetList"][0].text["name"] = "tenant_id"
			}
			return n.is("UpdateStmt")
		}))
		check("column left out", "INSERT does not write tenant_id", on(tree, func(n *node) bool {
			if n.is("InsertStmt") {
				n.kids["cols"] = slices.Delete(n.kids["cols"], key(n), key(n)+1)
			}
			return n.is("InsertStmt")
		}))
		check("columns left out", "INSERT does not write tenant_id", on(tree, func(n *node) bool {
			delete(n.kids, "cols")
			return n.is("InsertStmt")
		}))
		check("columns exchanged", "INSERT writes something else", on(tree, func(n *node) bool {
			if n.is("InsertStmt") {
				cols, at := n.kids["cols"], key(n)
				other := (at + 1) % len(cols)
				cols[at], cols[other] = cols[other], cols[at]
			}
			return n.is("InsertStmt")
		}))
		for _, value := range []string{"$90", "'00000000-0000-0000-0000-000000000001'", "null", fmt.Sprintf("coalesce($90, $%d)", s.query.Tenant),
			fmt.Sprintf("(select $%d::uuid)", s.query.Tenant), fmt.Sprintf("$%d::text", s.query.Tenant)} {
			check("another value", "INSERT writes something else", on(tree, func(n *node) bool {
				if !n.is("InsertStmt") {
					return false
				}
				source := n.one("selectStmt")
				if row := source.one("valuesLists"); row != nil {
					row.kids["items"][key(n)] = expression(value)
				} else {
					source.kids["targetList"][key(n)].kids["val"] = []*node{expression(value)}
				}
				return true
			}))
		}
		check("arm of another tenant", "INSERT writes something else", on(tree, func(n *node) bool {
			if !n.is("InsertStmt") || n.one("selectStmt").one("valuesLists") == nil {
				return false
			}
			rows := n.one("selectStmt").kids
			more := clone(rows["valuesLists"][0])
			more.kids["items"][key(n)] = expression("$90")
			rows["valuesLists"] = append(rows["valuesLists"], more)
			return true
		}))
		check("qualified with a schema", "qualified with a schema", on(tree, func(n *node) bool {
			if n.is("RangeVar") && s.schema.Tables[n.text["relname"]] != nil {
				n.text["schemaname"] = "shared"
				return true
			}
			return false
		}))
	}
	t.Log(counts)
	if len(counts) != 11 {
		t.Errorf("only %d kinds of changes met a statement", len(counts))
	}
}
