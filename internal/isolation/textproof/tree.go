package textproof

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wasilibs/go-pgquery/parser"
)

// node is one node of a parse tree, of a kind and with fields that grammar knows.
type node struct {
	kind string
	text map[string]string  // plain values, as JSON prints them
	kids map[string][]*node // nil stands for an empty place in a list
}

func (n *node) one(field string) *node {
	if n == nil || len(n.kids[field]) == 0 {
		return nil
	}
	return n.kids[field][0]
}

func (n *node) is(kind string) bool { return n != nil && n.kind == kind }

// words are the texts of a list of String nodes.
func words(list []*node) (all []string) {
	for _, n := range list {
		if n.is("String") {
			all = append(all, n.text["sval"])
		} else {
			all = append(all, "*")
		}
	}
	return all
}

// walk visits the node and everything below it, in one order.
func walk(n *node, visit func(*node)) {
	if n == nil {
		return
	}
	visit(n)
	for _, field := range slices.Sorted(maps.Keys(n.kids)) {
		for _, kid := range n.kids[field] {
			walk(kid, visit)
		}
	}
}

// The kinds of fields in grammar. Any other text is the kind of the one node that the
// field holds, where pg_query leaves the kind out.
const (
	plain = ""  // a word, a number, a truth
	nodes = "*" // a node or a list of them, each with its kind
)

// grammar is what the prover knows of PostgreSQL's parse trees (parsenodes.h and
// primnodes.h of its source). What is not here is refused: to allow a construct, add
// it, teach prover what it means for ties, and give it cases that must be refused.
var grammar = map[string]map[string]string{
	"SelectStmt": {
		"distinctClause": nodes, "targetList": nodes, "fromClause": nodes, "whereClause": nodes, "groupClause": nodes,
		"groupDistinct": plain, "havingClause": nodes, "windowClause": nodes, "valuesLists": nodes, "sortClause": nodes,
		"limitOffset": nodes, "limitCount": nodes, "limitOption": plain, "lockingClause": nodes, "withClause": "WithClause",
		"op": plain, "all": plain, "larg": "SelectStmt", "rarg": "SelectStmt",
	},
	"InsertStmt": {
		"relation": "RangeVar", "cols": nodes, "selectStmt": nodes, "onConflictClause": "OnConflictClause",
		"returningList": nodes, "withClause": "WithClause", "override": plain,
	},
	"OnConflictClause": {"action": plain, "infer": "InferClause", "targetList": nodes, "whereClause": nodes, "location": plain},
	"InferClause":      {"indexElems": nodes, "whereClause": nodes, "conname": plain, "location": plain},
	"IndexElem":        {"name": plain, "ordering": plain, "nulls_ordering": plain},
	"UpdateStmt": {
		"relation": "RangeVar", "targetList": nodes, "whereClause": nodes, "fromClause": nodes,
		"returningList": nodes, "withClause": "WithClause",
	},
	"DeleteStmt": {
		"relation": "RangeVar", "usingClause": nodes, "whereClause": nodes, "returningList": nodes, "withClause": "WithClause",
	},
	"WithClause":      {"ctes": nodes, "recursive": plain, "location": plain},
	"CommonTableExpr": {"ctename": plain, "aliascolnames": nodes, "ctematerialized": plain, "ctequery": nodes, "location": plain},

	"RangeVar":       {"schemaname": plain, "relname": plain, "inh": plain, "relpersistence": plain, "alias": "Alias", "location": plain},
	"RangeSubselect": {"lateral": plain, "subquery": nodes, "alias": "Alias"},
	"RangeFunction":  {"lateral": plain, "ordinality": plain, "functions": nodes, "alias": "Alias"},
	"JoinExpr": {
		"jointype": plain, "isNatural": plain, "larg": nodes, "rarg": nodes, "usingClause": nodes, "quals": nodes,
		"join_using_alias": "Alias", "alias": "Alias",
	},
	"Alias":         {"aliasname": plain, "colnames": nodes},
	"ResTarget":     {"name": plain, "indirection": nodes, "val": nodes, "location": plain},
	"SortBy":        {"node": nodes, "sortby_dir": plain, "sortby_nulls": plain, "location": plain},
	"GroupingSet":   {"kind": plain, "content": nodes, "location": plain},
	"LockingClause": {"lockedRels": nodes, "strength": plain, "waitPolicy": plain},
	"WindowDef": {
		"name": plain, "refname": plain, "partitionClause": nodes, "orderClause": nodes, "frameOptions": plain,
		"startOffset": nodes, "endOffset": nodes, "location": plain,
	},

	"ColumnRef": {"fields": nodes, "location": plain},
	"A_Star":    {},
	"ParamRef":  {"number": plain, "location": plain},
	"A_Const": {
		"ival": "Integer", "fval": "Float", "boolval": "Boolean", "sval": "String", "bsval": "BitString", "isnull": plain, "location": plain,
	},
	"Integer":   {"ival": plain},
	"Float":     {"fval": plain},
	"Boolean":   {"boolval": plain},
	"String":    {"sval": plain},
	"BitString": {"bsval": plain},
	"List":      {"items": nodes},
	"A_Expr":    {"kind": plain, "name": nodes, "lexpr": nodes, "rexpr": nodes, "location": plain},
	"BoolExpr":  {"boolop": plain, "args": nodes, "location": plain},
	"SubLink":   {"subLinkType": plain, "testexpr": nodes, "operName": nodes, "subselect": nodes, "location": plain},
	"FuncCall": {
		"funcname": nodes, "args": nodes, "agg_order": nodes, "agg_filter": nodes, "over": "WindowDef", "agg_within_group": plain,
		"agg_star": plain, "agg_distinct": plain, "funcformat": plain, "location": plain,
	},
	"SQLValueFunction": {"op": plain, "typmod": plain, "location": plain},
	"TypeCast":         {"arg": nodes, "typeName": "TypeName", "location": plain},
	"TypeName":         {"names": nodes, "typmods": nodes, "typemod": plain, "arrayBounds": nodes, "location": plain},
	"CollateClause":    {"arg": nodes, "collname": nodes, "location": plain},
	"CaseExpr":         {"arg": nodes, "args": nodes, "defresult": nodes, "location": plain},
	"CaseWhen":         {"expr": nodes, "result": nodes, "location": plain},
	"CoalesceExpr":     {"args": nodes, "location": plain},
	"MinMaxExpr":       {"op": plain, "args": nodes, "location": plain},
	"NullTest":         {"arg": nodes, "nulltesttype": plain, "location": plain},
	"BooleanTest":      {"arg": nodes, "booltesttype": plain, "location": plain},
	"RowExpr":          {"args": nodes, "row_format": plain, "location": plain},
	"A_ArrayExpr":      {"elements": nodes, "location": plain},
	"SetToDefault":     {"location": plain},
	"MultiAssignRef":   {"source": nodes, "colno": plain, "ncolumns": plain},
}

// advice for what newcomers may try first. The rest is told by its name.
var instead = map[string]string{
	"MergeStmt":        "MERGE: write insert … on conflict",
	"RangeTableSample": "TABLESAMPLE: what it picks depends on the rows of all tenants",
	"RangeTableFunc":   "XMLTABLE or JSON_TABLE: it may read more than its arguments",
	"A_Indirection":    "a field of a row or a subscript: name the column",
	"CurrentOfExpr":    "WHERE CURRENT OF: name the row by its key",
	"NamedArgExpr":     "a named argument: give arguments by position",
}

// parse reads one statement of the four that queries are made of.
func parse(sql string) (*node, error) {
	raw, err := parseRaw(sql)
	if err != nil {
		return nil, err
	}
	for kind := range raw {
		switch kind {
		case "SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt":
		case "MergeStmt":
			return nil, fmt.Errorf("the proof does not cover %s", instead[kind])
		default:
			return nil, fmt.Errorf("a %s is no query: only select, insert, update and delete can be proven", strings.TrimSuffix(kind, "Stmt"))
		}
	}
	return tagged(raw)
}

// parseRaw reads one statement of any kind, as JSON has it: {"SelectStmt": {…}}.
func parseRaw(sql string) (map[string]any, error) {
	all, err := parseAll(sql)
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("the text is %d statements: each query is one", len(all))
	}
	return all[0], nil
}

func parseAll(sql string) ([]map[string]any, error) {
	text, err := parser.ParseToJSON(sql)
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	var tree struct {
		Stmts []struct {
			Stmt map[string]any `json:"stmt"`
		} `json:"stmts"`
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return nil, fmt.Errorf("read the parse tree: %w", err)
	}
	var all []map[string]any
	for _, s := range tree.Stmts {
		all = append(all, s.Stmt)
	}
	return all, nil
}

// rawWalk visits every object below a value with the field that holds it.
func rawWalk(value any, visit func(field string, object map[string]any)) { rawWalkIn("", value, visit) }

func rawWalkIn(field string, value any, visit func(string, map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		visit(field, v)
		for key, below := range v {
			// A kind is not a field: {"RangeVar": {…}} stays in the field it is in.
			in := key
			if _, kind := grammar[key]; kind && len(v) == 1 {
				in = field
			}
			rawWalkIn(in, below, visit)
		}
	case []any:
		for _, below := range v {
			rawWalkIn(field, below, visit)
		}
	}
}

// tagged reads {"Kind": {fields}}; {} is an empty place.
func tagged(value any) (*node, error) {
	object, ok := value.(map[string]any)
	if !ok || len(object) > 1 {
		return nil, errors.New("the parse tree has an unknown form")
	}
	for kind, fields := range object {
		return untagged(kind, fields)
	}
	return nil, nil //nolint:nilnil // an empty place, as in a plain select distinct
}

func untagged(kind string, value any) (*node, error) {
	known, ok := grammar[kind]
	if !ok {
		if say, ok := instead[kind]; ok {
			return nil, fmt.Errorf("the proof does not cover %s", say)
		}
		return nil, fmt.Errorf("the proof does not know a %s: write it another way, or teach the prover what it means (grammar in internal/isolation/textproof)", kind)
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the parse tree has a %s of an unknown form", kind)
	}
	n := &node{kind: kind, text: map[string]string{}, kids: map[string][]*node{}}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		what, ok := known[field]
		if !ok {
			return nil, fmt.Errorf("the proof does not know the %s of a %s: write it another way, or teach the prover what it means (grammar in internal/isolation/textproof)", field, kind)
		}
		list, isList := fields[field].([]any)
		switch {
		case what == plain:
			switch fields[field].(type) {
			case map[string]any, []any:
				return nil, fmt.Errorf("the parse tree has a %s of an unknown form", kind)
			}
			n.text[field] = fmt.Sprint(fields[field])
			continue
		case what != nodes:
			kid, err := untagged(what, fields[field])
			if err != nil {
				return nil, err
			}
			n.kids[field] = []*node{kid}
			continue
		case !isList:
			list = []any{fields[field]}
		}
		for _, item := range list {
			kid, err := tagged(item)
			if err != nil {
				return nil, err
			}
			n.kids[field] = append(n.kids[field], kid)
		}
	}
	return n, nil
}
