package textproof

import "strings"

// expr checks an expression and everything in it: names resolve, what it calls is on
// the lists, subqueries are proven.
func (p *prover) expr(n *node, sc *scope, ctes []*cte) {
	if n == nil {
		return
	}
	p.seen[n] = true
	below := func(fields ...string) {
		for _, field := range fields {
			for _, kid := range n.kids[field] {
				p.expr(kid, sc, ctes)
			}
		}
	}
	switch n.kind {
	case "ColumnRef":
		p.mark(n)
		p.resolved[n] = p.resolve(words(n.kids["fields"]), sc)
	case "ParamRef", "A_Const":
		p.mark(n)
	case "A_Expr":
		p.mark(n.kids["name"]...)
		p.operator(n)
		below("lexpr", "rexpr")
	case "FuncCall":
		p.mark(n.kids["funcname"]...)
		p.call(n)
		below("args", "agg_order", "agg_filter", "over")
	case "SQLValueFunction":
		if values[n.text["op"]] == "" {
			p.refuse("%s is not on the list of what a query may ask: it tells of the role or the session, not of the tenant's rows", strings.ToLower(strings.TrimPrefix(n.text["op"], "SVFOP_")))
		}
	case "TypeCast":
		p.mark(n.one("typeName"))
		name := words(n.one("typeName").kids["names"])
		if t := unqualified(name); types[t] == "" {
			p.refuse("type %s is not on the list of types to cast to (allow.go of textproof): a type may look names up in the catalogs", strings.Join(name, "."))
		}
		below("arg")
	case "CollateClause":
		p.mark(n.kids["collname"]...)
		below("arg")
	case "SubLink":
		p.mark(n.kids["operName"]...)
		if name := words(n.kids["operName"]); len(name) > 0 && (len(name) != 1 || operators[name[0]] == "") {
			p.refuse("operator %s is not on the list of operators (allow.go of textproof)", strings.Join(name, "."))
		}
		below("testexpr")
		p.query(n.one("subselect"), sc, ctes)
	case "List":
		below("items")
	case "BoolExpr", "CoalesceExpr", "MinMaxExpr", "RowExpr":
		below("args")
	case "CaseExpr":
		below("arg", "args", "defresult")
	case "CaseWhen":
		below("expr", "result")
	case "NullTest", "BooleanTest":
		below("arg")
	case "A_ArrayExpr":
		below("elements")
	case "SortBy":
		below("node")
	case "GroupingSet":
		below("content")
	case "WindowDef":
		below("partitionClause", "orderClause", "startOffset", "endOffset")
	case "SetToDefault":
	case "MultiAssignRef":
		below("source")
	default:
		p.refuse("an expression has a %s, which the proof does not know", n.kind)
	}
}

// unqualified is a name of pg_catalog, which the parser writes out for names of the
// SQL standard; empty for any other schema.
func unqualified(name []string) string {
	switch {
	case len(name) == 1:
		return name[0]
	case len(name) == 2 && name[0] == "pg_catalog":
		return name[1]
	}
	return ""
}

func (p *prover) operator(n *node) {
	kind, name := n.text["kind"], words(n.kids["name"])
	if comparisons[kind] == "" {
		p.refuse("a comparison of the kind %s is not on the list (allow.go of textproof)", strings.TrimPrefix(kind, "AEXPR_"))
		return
	}
	if strings.HasSuffix(kind, "BETWEEN") {
		return
	}
	if len(name) != 1 || operators[name[0]] == "" {
		p.refuse("operator %s is not on the list of operators (allow.go of textproof): say there why it reaches no row by itself, or write it another way", strings.Join(name, "."))
	}
}

func (p *prover) call(n *node) {
	name := words(n.kids["funcname"])
	if functions[unqualified(name)] == "" {
		p.refuse("function %s is not on the list of functions (allow.go of textproof): say there why it reaches no row, setting or session by itself, or write it another way", strings.Join(name, "."))
	}
}
