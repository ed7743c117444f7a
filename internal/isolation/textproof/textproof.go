// Package textproof proves the second wall from the text of the statements alone,
// without a database: whatever rows other tenants have, a statement of queries/tenant
// or queries/account answers the same and changes nothing of theirs. The tests of this
// package prove every statement that sqlc generated.
//
// # The idea
//
// Each reference to a table in the parse tree is one instance. An instance is tied to
// the tenant if it could be replaced by (select * from t where tenant_id = $n), $n
// being the tenant parameter, without changing what the statement does. The prover
// finds ties as a least fixed point, so that nothing is tied by going in a circle:
//
//   - $n holds the tenant.
//   - "a = b" ties the instance of a column on one side when the other side holds the
//     tenant already: $n itself, or a column of an instance tied before.
//   - The equality must govern the instance: stand in a top-level AND position of the
//     WHERE of the query level whose FROM has the instance, or of the ON of a join
//     above it. The ON of an outer join governs its nullable side alone.
//   - A column of a subquery or a CTE holds what every arm of it selects there.
//
// # Why that is sound
//
// An equality is never true of a null. So a filter on one instance's own column, asked
// of the rows of a join, keeps only rows in which that instance's part passed it, and
// whether such a row appears never depends on the instance's other rows: not for inner
// joins, not for the preserved or the nullable side of an outer one. The filter may
// therefore stand at the table itself. The ON of an outer join drops rows of its
// nullable side alone, hence the exception. Once an instance is replaced, its column
// is the tenant or null wherever it is visible, lateral and correlated subqueries
// included, which is all that the next step needs. When every instance is replaced,
// no row of another tenant is left to have an effect. An INSERT writes $n itself, an
// UPDATE leaves the column alone, and a conflict is looked for inside the tenant, so
// no row of another is changed either.
//
// The table users has no tenant_id. It is tied like its policy says: by the user_id of
// memberships that are tied.
//
// # What is refused
//
// Everything the prover does not know: a node or a field of the parse tree that
// grammar does not list, a node that the proof did not pass by, a column it cannot
// resolve, and each function, operator and type outside of the allow-lists.
//
// # What it cannot stop
//
// It reads the text, not the data: a tenant_id that was stored wrongly is the fourth
// wall's matter, and a caller who hands in another tenant's id the first's. It trusts
// that the names mean what the migrations made (the catalog check) and that only
// generated statements are run (the import rules). It says nothing of time, of the
// order in which errors are met, or of what policies and triggers do. Its grammar is
// PostgreSQL 17's: what an older server reads differently would have to fail there.
package textproof

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Query is a statement as sqlc generated it.
type Query struct {
	File   string // the source, "queries/tenant/products.sql"
	Name   string // "ListProducts"
	SQL    string
	Tenant int // which $n is the tenant; 0 if the method takes none
}

// RefusalError says why one query is not proven, one line for each reason.
type RefusalError struct {
	File, Name string
	Reason     string // names the table and what is missing
}

// Error is one line that a newcomer can act on.
func (r *RefusalError) Error() string { return r.File + ": " + r.Name + ": " + r.Reason }

// Prove shows that the query stays within the tenant, or says all reasons why it does
// not.
//
// Errors: *RefusalError, joined; find each with errors.AsType or read the lines.
func (s *Schema) Prove(q Query) error {
	if q.Tenant == 0 {
		return &RefusalError{q.File, q.Name, "the query takes no tenant: bind @tenant_id in it, so that sqlc gives its parameters a TenantID"}
	}
	statement, err := parse(q.SQL)
	if err != nil {
		return &RefusalError{q.File, q.Name, err.Error()}
	}
	return s.proveTree(q, statement)
}

func (s *Schema) proveTree(q Query, statement *node) error {
	p := &prover{schema: s, tenant: q.Tenant, seen: map[*node]bool{}, resolved: map[*node]*slot{}}
	p.statement(statement)
	var all []error
	for _, reason := range p.judge(statement) {
		all = append(all, &RefusalError{q.File, q.Name, reason})
	}
	return errors.Join(all...)
}

// Touches names the tables of the schema with a wall of their own that a statement
// mentions anywhere, sorted. It is for statements that are not proven, those of the
// platform: a mention is enough, whatever it is for.
//
// Errors: text that is not one statement; a table that the schema does not have.
func (s *Schema) Touches(q Query) ([]string, error) {
	raw, err := parseRaw(q.SQL)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", q.File, q.Name, err)
	}
	found := map[string]bool{}
	ctes := map[string]bool{}
	rawWalk(raw, func(key string, object map[string]any) {
		if name, ok := object["ctename"].(string); ok {
			ctes[name] = true
		}
	})
	rawWalk(raw, func(key string, object map[string]any) {
		// A lock names an alias where others name a table.
		name, ok := object["relname"].(string)
		if !ok || key == "lockedRels" {
			return
		}
		switch table := s.Tables[name]; {
		case table == nil && !ctes[name]:
			err = fmt.Errorf("%s: %s: table %s is in no migration", q.File, q.Name, name)
		case table != nil && table.Walled():
			found[name] = true
		}
	})
	return slices.Sorted(maps.Keys(found)), err
}
