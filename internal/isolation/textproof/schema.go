package textproof

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Schema is what sets of migrations made, as far as ties need it.
type Schema struct {
	Tables map[string]*Table
}

// Table is one table and how a reference to it is tied to a tenant.
type Table struct {
	Name    string
	Columns []string // in their order
	// Key is the column that ties a reference, and Holds what it has to hold:
	// tenant_id, or the id of a table that tenant_id refers to, or the column by which
	// a policy reaches a table that has the tenant. Empty: the table has no wall.
	Key   string
	Holds hold
	Gives map[string]hold // what other columns of a tied reference hold
	// Closed says why a query must not use the table at all; empty if it may.
	Closed string

	types   map[string]string
	notNull map[string]bool
	granted map[string]bool
	secured bool
}

// Walled tells whether rows of the table belong to tenants.
func (t *Table) Walled() bool { return t.Key != "" }

// ReadSchema reads the migrations of the sets, "tenant", "control" or "gate", from
// files laid out like postgres.Files: their Up part, in order. role is who runs the
// queries: a table that it was not granted is closed to them; empty for no such rule.
//
// It knows what the migrations do so far and fails on what could change a table in
// another way, rather than to prove against tables that are not so.
func ReadSchema(files fs.FS, role string, sets ...string) (*Schema, error) {
	s := &Schema{Tables: map[string]*Table{}}
	var policies []map[string]any
	references := map[[2]string]bool{} // table and column that a tenant_id refers to
	for _, set := range sets {
		names, err := fs.Glob(files, "migrations/"+set+"/*.sql")
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("no migrations of the set %s", set)
		}
		slices.Sort(names)
		for _, name := range names {
			text, err := fs.ReadFile(files, name)
			if err != nil {
				return nil, err
			}
			up, _, _ := strings.Cut(string(text), "-- +goose Down")
			statements, err := parseAll(up)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			for _, statement := range statements {
				for kind, fields := range statement {
					if err := s.apply(kind, object(fields), references, &policies); err != nil {
						return nil, fmt.Errorf("%s: %w", name, err)
					}
				}
			}
		}
	}
	if err := s.key(references, policies); err != nil {
		return nil, err
	}
	for _, t := range s.Tables {
		switch {
		case role == "":
		case !t.granted[role]:
			t.Closed = "is not granted to " + role + ": read it with a query of queries/control, or grant it in a migration"
		case !t.Walled():
			t.Closed = "has neither a tenant_id nor a policy that ties it to one: the proof does not cover it"
		}
	}
	return s, nil
}

// harmless are statements of migrations that make, change or drop no table, and give
// no name of the allow-lists a second meaning.
var harmless = []string{
	"IndexStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "CommentStmt", "AlterFunctionStmt", "AlterDefaultPrivilegesStmt",
}

// harmlessToColumns are parts of ALTER TABLE that neither add nor drop nor rename.
var harmlessToColumns = []string{
	"AT_ForceRowSecurity", "AT_NoForceRowSecurity", "AT_ColumnDefault", "AT_ValidateConstraint", "AT_DropConstraint",
	"AT_SetStatistics", "AT_SetRelOptions", "AT_ReplicaIdentity",
}

func (s *Schema) apply(kind string, fields map[string]any, references map[[2]string]bool, policies *[]map[string]any) error {
	switch {
	case slices.Contains(harmless, kind):
		return nil
	case kind == "CreateFunctionStmt":
		return unlikeBuiltIn("function", list(fields, "funcname"))
	case kind == "CreateEnumStmt":
		return unlikeBuiltIn("type", list(fields, "typeName"))
	case kind == "DoStmt", kind == "SelectStmt":
		return fmt.Errorf("a migration runs code (%s), which could make anything, a function by an allowed name too: write the statements themselves", kind)
	case kind == "CreatePolicyStmt":
		*policies = append(*policies, fields)
		return nil
	case kind == "CreateStmt":
		for _, field := range []string{"inhRelations", "partbound", "partspec", "ofTypename"} {
			if fields[field] != nil {
				return fmt.Errorf("table %s inherits or is partitioned: teach textproof what that means", text(fields, "relation", "relname"))
			}
		}
		t := &Table{
			Name: text(fields, "relation", "relname"), Gives: map[string]hold{},
			types: map[string]string{}, notNull: map[string]bool{}, granted: map[string]bool{},
		}
		if s.Tables[t.Name] != nil {
			return fmt.Errorf("table %s is made twice", t.Name)
		}
		s.Tables[t.Name] = t
		for _, element := range list(fields, "tableElts") {
			if err := t.add(element, references); err != nil {
				return err
			}
		}
		return nil
	case kind == "AlterTableStmt":
		t := s.Tables[text(fields, "relation", "relname")]
		if t == nil {
			return fmt.Errorf("ALTER TABLE of %s, which no migration made", text(fields, "relation", "relname"))
		}
		for _, command := range list(fields, "cmds") {
			if err := t.alter(object(command["AlterTableCmd"]), references); err != nil {
				return err
			}
		}
		return nil
	case kind == "GrantStmt":
		if text(fields, "objtype") != "OBJECT_TABLE" {
			return nil
		}
		for _, grantee := range list(fields, "grantees") {
			role := text(grantee, "RoleSpec", "rolename")
			for _, item := range list(fields, "objects") {
				// The ledger is goose's own table; queries have no part in it.
				if t := s.Tables[text(item, "RangeVar", "relname")]; t != nil {
					t.granted[role] = fields["is_grant"] == true
				}
			}
		}
		return nil
	}
	return fmt.Errorf("a migration has a %s: teach textproof whether it changes a table (schema.go)", kind)
}

// unlikeBuiltIn refuses a function, procedure or enum by a name that the allow-lists trust,
// in whatever schema: PostgreSQL takes the one whose arguments fit best, wherever it
// stands in the search path (manual, section 10.3), and the lists judged pg_catalog's.
// Operators, casts, aggregates, other types and domains are made by statements that apply
// does not know at all.
func unlikeBuiltIn(what string, parts []map[string]any) error {
	var name string
	for _, part := range parts {
		name = text(part, "String", "sval")
	}
	if functions[name] != "" || types[name] != "" {
		return fmt.Errorf("a migration makes a %s %s, a name that queries may use because of what PostgreSQL's own %s does (allow.go): call it something else", what, name, name)
	}
	return nil
}

// add reads one element of CREATE TABLE: a column or a constraint.
func (t *Table) add(element map[string]any, references map[[2]string]bool) error {
	switch {
	case element["ColumnDef"] != nil:
		column := object(element["ColumnDef"])
		name := text(column, "colname")
		t.Columns = append(t.Columns, name)
		var words []string
		for _, word := range list(object(column["typeName"]), "names") {
			words = append(words, text(word, "String", "sval"))
		}
		t.types[name] = strings.Join(words, ".")
		for _, c := range list(column, "constraints") {
			constraint := object(c["Constraint"])
			switch text(constraint, "contype") {
			case "CONSTR_NOTNULL", "CONSTR_PRIMARY":
				t.notNull[name] = true
			case "CONSTR_FOREIGN":
				return fmt.Errorf("table %s: the column %s has a REFERENCES: write a named constraint with all columns", t.Name, name)
			}
		}
		return nil
	case element["Constraint"] != nil:
		constraint := object(element["Constraint"])
		if text(constraint, "contype") == "CONSTR_FOREIGN" {
			from, to := list(constraint, "fk_attrs"), list(constraint, "pk_attrs")
			if len(from) == 1 && len(to) == 1 && text(from[0], "String", "sval") == "tenant_id" {
				references[[2]string{text(constraint, "pktable", "relname"), text(to[0], "String", "sval")}] = true
			}
		}
		return nil
	}
	return fmt.Errorf("table %s has an element that is neither a column nor a constraint: teach textproof what it means", t.Name)
}

func (t *Table) alter(command map[string]any, references map[[2]string]bool) error {
	name := text(command, "name")
	switch subtype := text(command, "subtype"); {
	case slices.Contains(harmlessToColumns, subtype):
	case subtype == "AT_EnableRowSecurity":
		t.secured = true
	case subtype == "AT_AddColumn", subtype == "AT_AddConstraint":
		return t.add(object(command["def"]), references)
	case subtype == "AT_DropColumn":
		t.Columns = slices.DeleteFunc(t.Columns, func(c string) bool { return c == name })
	case subtype == "AT_SetNotNull":
		t.notNull[name] = true
	case subtype == "AT_DropNotNull":
		t.notNull[name] = false
	default:
		return fmt.Errorf("table %s: a migration has ALTER TABLE %s: teach textproof what it means (schema.go)", t.Name, subtype)
	}
	return nil
}

// key finds for each table what ties a reference to it.
func (s *Schema) key(references map[[2]string]bool, policies []map[string]any) error {
	for _, t := range s.Tables {
		if slices.Contains(t.Columns, "tenant_id") {
			t.Key, t.Holds = "tenant_id", holdsTenant
			if t.types["tenant_id"] != "uuid" || !t.notNull["tenant_id"] {
				return fmt.Errorf("table %s: tenant_id is not uuid not null", t.Name)
			}
		}
	}
	for reference := range references {
		if t := s.Tables[reference[0]]; t != nil && t.Key == "" {
			t.Key, t.Holds = reference[1], holdsTenant
		}
	}
	for _, policy := range policies {
		t := s.Tables[text(policy, "table", "relname")]
		if t == nil {
			return fmt.Errorf("a policy of %s, which no migration made", text(policy, "table", "relname"))
		}
		if t.Key != "" {
			continue
		}
		key, by, column := throughPolicy(t.Name, policy)
		if other := s.Tables[by]; other != nil && other.Holds == holdsTenant && slices.Contains(other.Columns, column) && slices.Contains(t.Columns, key) {
			t.Key, t.Holds = key, holdsMember
			t.Gives[key] = holdsMember
			other.Gives[column] = holdsMember
		}
	}
	through := 0
	for _, t := range s.Tables {
		if t.secured && t.Key == "" {
			return fmt.Errorf("table %s has row-level security, but neither a tenant_id nor a policy of the form exists (select from … where …): teach textproof how a reference to it is tied", t.Name)
		}
		if t.Holds == holdsMember {
			through++
		}
	}
	if through > 1 {
		return fmt.Errorf("%d tables are reached through another by their policies: teach textproof to tell what their keys hold apart", through)
	}
	return nil
}

// throughPolicy reads "using (exists (select from BY as m where … and m.COLUMN =
// TABLE.KEY))".
func throughPolicy(table string, policy map[string]any) (key, by, column string) {
	link := object(object(policy["qual"])["SubLink"])
	inner := object(object(link["subselect"])["SelectStmt"])
	from := list(inner, "fromClause")
	if text(link, "subLinkType") != "EXISTS_SUBLINK" || len(from) != 1 {
		return "", "", ""
	}
	by = text(from[0], "RangeVar", "relname")
	alias := text(from[0], "RangeVar", "alias", "aliasname")
	where := object(object(inner["whereClause"])["BoolExpr"])
	if text(where, "boolop") != "AND_EXPR" {
		return "", "", ""
	}
	for _, arg := range list(where, "args") {
		comparison := object(arg["A_Expr"])
		names := list(comparison, "name")
		if len(names) != 1 || text(names[0], "String", "sval") != "=" {
			continue
		}
		a, b := reference(comparison["lexpr"]), reference(comparison["rexpr"])
		if a[0] == alias && b[0] == table {
			return b[1], by, a[1]
		}
		if b[0] == alias && a[0] == table {
			return a[1], by, b[1]
		}
	}
	return "", "", ""
}

// reference reads "alias.column".
func reference(value any) (fields [2]string) {
	all := list(object(object(value)["ColumnRef"]), "fields")
	if len(all) == 2 {
		fields = [2]string{text(all[0], "String", "sval"), text(all[1], "String", "sval")}
	}
	return fields
}

func object(value any) map[string]any {
	fields, _ := value.(map[string]any)
	return fields
}

func list(fields map[string]any, name string) (all []map[string]any) {
	values, _ := fields[name].([]any)
	for _, value := range values {
		all = append(all, object(value))
	}
	return all
}

// text reads a word some fields down; empty if it is not there.
func text(fields map[string]any, path ...string) string {
	for _, step := range path[:len(path)-1] {
		fields = object(fields[step])
	}
	word, _ := fields[path[len(path)-1]].(string)
	return word
}
