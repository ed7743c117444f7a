package textproof

import (
	"slices"
	"strings"
)

// scope is what names mean at one place. Names that are not here are looked for in
// outer, as PostgreSQL does.
type scope struct {
	instances []*instance
	// Of a USING: what an unqualified name no longer means, and what it means instead.
	hidden []*slot
	merged []*slot
	outer  *scope
}

func (s *scope) add(other *scope) {
	s.instances = append(s.instances, other.instances...)
	s.hidden = append(s.hidden, other.hidden...)
	s.merged = append(s.merged, other.merged...)
}

// bare finds what an unqualified name means among the instances of one level.
func (s *scope) bare(name string) (found []*slot) {
	for _, in := range s.instances {
		for _, c := range in.slots {
			if c.name == name && !slices.Contains(s.hidden, c) {
				found = append(found, c)
			}
		}
	}
	for _, c := range s.merged {
		if c.name == name {
			found = append(found, c)
		}
	}
	return found
}

func (s *scope) named(alias string) *instance {
	for ; s != nil; s = s.outer {
		for _, in := range s.instances {
			if in.alias == alias {
				return in
			}
		}
	}
	return nil
}

func (p *prover) star(fields []string, sc *scope) (out []output) {
	var from []*instance
	switch {
	case len(fields) == 1:
		if len(sc.hidden) > 0 {
			p.refuse("select * over a USING: name the columns, or join with ON")
		}
		from = sc.instances
	case len(fields) == 2:
		if in := sc.named(fields[0]); in != nil {
			from = []*instance{in}
		}
	}
	if len(from) == 0 {
		p.refuse("%s names nothing of its FROM", strings.Join(fields, "."))
	}
	for _, in := range from {
		for _, c := range in.slots {
			out = append(out, output{name: c.name, terms: []term{{column: c}}})
		}
	}
	return out
}

func (p *prover) distinct(all []*instance) {
	for i, in := range all {
		if slices.ContainsFunc(all[:i], func(other *instance) bool { return other.alias == in.alias }) {
			p.refuse("two of one FROM are called %s: give one an alias", in.alias)
		}
	}
}

// resolve finds the column that a name means: the innermost level that has it.
func (p *prover) resolve(fields []string, sc *scope) *slot {
	name := fields[len(fields)-1]
	said := strings.Join(fields, ".")
	var found []*slot
	switch {
	case name == "*" || len(fields) > 2:
		p.refuse("%s is not a plain column: write alias.column", said)
		return nil
	case len(fields) == 2:
		in := sc.named(fields[0])
		if in == nil {
			p.refuse("%s names no table or alias that is visible there", said)
			return nil
		}
		if c := in.slot(name); c != nil {
			found = []*slot{c}
			for _, other := range in.slots {
				if other != c && other.name == name {
					found = append(found, other)
				}
			}
		}
	default:
		for level := sc; level != nil && len(found) == 0; level = level.outer {
			found = level.bare(name)
		}
	}
	switch len(found) {
	case 0:
		p.refuse("column %s is unknown there: only columns of the migrations and named ones of subqueries are read, no whole rows and no system columns", said)
		return nil
	case 1:
		return found[0]
	}
	p.refuse("column %s is ambiguous: write alias.column", said)
	return nil
}
