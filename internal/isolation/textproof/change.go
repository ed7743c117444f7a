package textproof

import "slices"

// target makes the instance that a statement changes.
func (p *prover) target(n *node) *instance {
	p.mark(n)
	name := n.text["relname"]
	if n.text["schemaname"] != "" {
		p.refuse("table %s.%s is qualified with a schema: leave the schema out, the door chooses the tenant's", n.text["schemaname"], name)
	}
	if n.text["inh"] != "true" {
		p.refuse("table %s is changed with ONLY: leave it out", name)
	}
	in := p.tableInstance(n)
	in.change = true
	if in.table.Holds != holdsTenant {
		p.refuse("table %s is changed, but has no tenant_id that could be checked", name)
	}
	return in
}

// assignments reads the SET of an UPDATE or of an ON CONFLICT.
func (p *prover) assignments(list []*node, in *instance, sc *scope, ctes []*cte) {
	for _, set := range list {
		p.seen[set] = true
		if set.text["name"] == in.table.Key {
			p.refuse("table %s: SET changes %s, which would move the row to another tenant: leave it out", in.called(), in.table.Key)
		}
		if set.one("indirection") != nil {
			p.mark(set.kids["indirection"]...)
			p.refuse("table %s: SET changes a part of %s: set the whole column", in.called(), set.text["name"])
		}
		p.expr(set.one("val"), sc, ctes)
	}
}

// change proves an UPDATE or a DELETE. The target is governed by the WHERE, like what
// stands in FROM or USING.
func (p *prover) change(n *node, from string, outer *scope, ctes []*cte) []output {
	ctes = p.with(n.one("withClause"), outer, ctes)
	in := p.target(n.one("relation"))
	others := &scope{outer: outer}
	p.fromList(n.kids[from], others, ctes)
	sc := &scope{outer: outer, instances: []*instance{in}}
	sc.add(others)
	p.distinct(sc.instances)
	p.govern(n.one("whereClause"), sc, ctes, sc.instances)
	p.assignments(n.kids["targetList"], in, sc, ctes)
	return p.targets(n.kids["returningList"], sc, ctes)
}

func (p *prover) insert(n *node, outer *scope, ctes []*cte) []output {
	ctes = p.with(n.one("withClause"), outer, ctes)
	in := p.target(n.one("relation"))
	if n.text["override"] != "OVERRIDING_NOT_SET" {
		p.refuse("table %s: INSERT has an OVERRIDING: leave it out", in.called())
	}
	p.mark(n.kids["cols"]...)
	if slices.ContainsFunc(n.kids["cols"], func(c *node) bool { return c.one("indirection") != nil }) {
		p.refuse("table %s: INSERT writes a part of a column: write the whole", in.called())
	}
	at := slices.IndexFunc(n.kids["cols"], func(c *node) bool { return c.text["name"] == in.table.Key })
	source := n.one("selectStmt")
	var given []output
	if source != nil {
		given = p.query(source, outer, ctes)
	}
	if in.table.Key != "" {
		switch {
		case at < 0:
			p.refuse("table %s: INSERT does not write %s: name it among the columns, and give it @tenant_id", in.called(), in.table.Key)
		case at >= len(given) || slices.ContainsFunc(given[at].terms, func(t term) bool { return !t.tenant }):
			p.refuse("table %s: INSERT writes something else than the tenant parameter into %s: write @tenant_id itself, in every row and arm", in.called(), in.table.Key)
		default:
			in.slot(in.table.Key).held = in.table.Holds
		}
	}
	if in.table.Key == "" || in.slot(in.table.Key).held == "" {
		// Said already: a WHERE is no remedy here.
		p.instances = slices.DeleteFunc(p.instances, func(other *instance) bool { return other == in })
	}
	sc := &scope{outer: outer, instances: []*instance{in}}
	if conflict := n.one("onConflictClause"); conflict != nil {
		p.conflict(conflict, in, sc, ctes)
	}
	return p.targets(n.kids["returningList"], sc, ctes)
}

func (p *prover) conflict(n *node, in *instance, sc *scope, ctes []*cte) {
	p.seen[n] = true
	if infer := n.one("infer"); infer == nil {
		p.refuse("table %s: ON CONFLICT has no target: name the columns of the unique constraint, %s among them", in.called(), in.table.Key)
	} else {
		p.seen[infer] = true
		p.mark(infer.kids["indexElems"]...)
		if infer.text["conname"] != "" {
			p.refuse("table %s: ON CONFLICT names the constraint %s: name its columns, %s among them", in.called(), infer.text["conname"], in.table.Key)
		} else if !slices.ContainsFunc(infer.kids["indexElems"], func(e *node) bool { return e.text["name"] == in.table.Key }) {
			p.refuse("table %s: the ON CONFLICT target has no %s, so that another tenant's row could conflict: add it", in.called(), in.table.Key)
		}
		p.expr(infer.one("whereClause"), sc, ctes)
	}
	// Both the row that stands there and the row that was to be stored are the tenant's:
	// the target says so.
	excluded := &instance{alias: "excluded", table: in.table}
	for _, c := range in.slots {
		excluded.slots = append(excluded.slots, &slot{of: excluded, name: c.name, held: c.held})
	}
	both := &scope{outer: sc.outer, instances: []*instance{in, excluded}}
	p.assignments(n.kids["targetList"], in, both, ctes)
	p.expr(n.one("whereClause"), both, ctes)
}
