package coderules

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"
)

// What an exported name gives away anybody can use: a pool, a connection, a
// transaction, or rows, which know their connection. (That nobody makes a pool of
// his own is in layout_test.go, by imports.)
var poolRule = rule{name: "pool", check: poolsGivenAway, excepted: map[string]exception{}}

func poolsGivenAway(p *pack) (found []violation) {
	if slices.Contains([]string{"internal/bench", "internal/pgtest"}, p.path) {
		return nil // tools and tests, which import from nobody's server
	}
	p.each(func(site string, n ast.Node) {
		var names []*ast.Ident
		switch n := n.(type) {
		case *ast.FuncDecl:
			if of, _, method := strings.Cut(receiver(n), "."); method && !ast.IsExported(of) {
				return // nobody gets at it, or another name gives the type away
			}
			names = []*ast.Ident{n.Name}
		case *ast.ValueSpec:
			names = n.Names
		case *ast.TypeSpec:
			names = []*ast.Ident{n.Name}
		}
		for _, name := range names {
			object := p.info.Defs[name]
			if object == nil || !object.Exported() || object.Parent() != nil && object.Parent() != p.types.Scope() {
				continue
			}
			if what := givenBy(object); what != "" {
				found = append(found, p.at(site, name, "%s gives away %s, with which anybody could leave the handle; keep it unexported and export what is done with it", name.Name, what))
			}
		}
	})
	return found
}

// givenBy names the first thing a holder of the object can get that runs SQL.
func givenBy(object types.Object) string {
	seen := make(map[types.Type]bool)
	if _, isType := object.(*types.TypeName); !isType {
		return given(object.Type(), object.Pkg(), seen)
	}
	switch t := object.Type().Underlying().(type) {
	case *types.Interface: // gives nothing until somebody gives one
		return ""
	case *types.Struct:
		return fieldsGive(t, object.Pkg(), seen)
	default:
		return given(t, object.Pkg(), seen)
	}
}

// given looks through what a type is made of. A function gives its results, and
// gives its callbacks their arguments.
func given(t types.Type, pkg *types.Package, seen map[types.Type]bool) string {
	if t = types.Unalias(t); seen[t] {
		return ""
	}
	seen[t] = true
	if runsSQL(t) {
		return types.TypeString(t, func(p *types.Package) string { return p.Name() })
	}
	first := func(ts ...types.Type) string {
		for _, t := range ts {
			if what := given(t, pkg, seen); what != "" {
				return what
			}
		}
		return ""
	}
	switch t := t.(type) {
	case *types.Pointer:
		return first(t.Elem())
	case *types.Slice:
		return first(t.Elem())
	case *types.Array:
		return first(t.Elem())
	case *types.Chan:
		return first(t.Elem())
	case *types.Map:
		return first(t.Key(), t.Elem())
	case *types.Signature:
		for result := range t.Results().Variables() {
			if what := first(result.Type()); what != "" {
				return what
			}
		}
		for param := range t.Params().Variables() {
			callback, ok := param.Type().Underlying().(*types.Signature)
			if !ok {
				continue
			}
			for argument := range callback.Params().Variables() {
				if what := first(argument.Type()); what != "" {
					return what
				}
			}
		}
	case *types.Struct:
		return fieldsGive(t, pkg, seen)
	case *types.Named:
		for argument := range t.TypeArgs().Types() {
			if what := first(argument); what != "" {
				return what
			}
		}
		// An exported type of this package is looked at by itself; a foreign one that
		// does not run SQL is taken for harmless.
		if t.Obj().Pkg() == pkg && !t.Obj().Exported() {
			for method := range types.NewMethodSet(types.NewPointer(t)).Methods() {
				if method.Obj().Exported() {
					if what := first(method.Type()); what != "" {
						return what
					}
				}
			}
			return first(t.Underlying())
		}
	}
	return ""
}

func fieldsGive(t *types.Struct, pkg *types.Package, seen map[types.Type]bool) string {
	for field := range t.Fields() {
		if field.Exported() || field.Embedded() {
			if what := given(field.Type(), pkg, seen); what != "" {
				return what
			}
		}
	}
	return ""
}

// runsSQL tells pgx's own types but for plain values, and every type with a method
// that sends a text.
func runsSQL(t types.Type) bool {
	name := named(t)
	if name == "database/sql.DB" || name == "database/sql.Conn" || name == "database/sql.Tx" {
		return true
	}
	if path, short, _ := cutLast(name, "."); isPgx(path) {
		return !slices.Contains([]string{"CommandTag", "PgError", "FieldDescription", "QueryExecMode"}, short)
	}
	if _, isNamed := t.(*types.Named); !isNamed {
		if _, isInterface := t.(*types.Interface); !isInterface {
			return false
		}
	}
	for method := range types.NewMethodSet(t).Methods() {
		if fn, ok := method.Obj().(*types.Func); ok && fn.Pkg() != nil && takesSQL(fn) {
			return true
		}
	}
	return false
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
