package coderules

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
)

const (
	tenantType    = tenantPath + ".Tenant"
	controlPath   = module + "internal/control"
	principalType = module + "internal/auth.Principal"
)

// What looks tenants up, or reads across them, gives tenants that are not the
// caller's. Resolvers and the transport have no part in it.
var platformRule = rule{name: "platform", check: platformUsed, excepted: map[string]exception{
	"internal/control":                 {anyNumber, "the registry: it finds tenants for everybody else"},
	"internal/job.Send":                {1, "leaves a mail for the platform's own worker, in the transaction of who may open one"},
	"internal/job.SendIfNoted":         {1, "as Send, for a link that the same transaction may have noted"},
	"internal/job.SendIfInvited":       {1, "the same, where an invitation of one tenant was stored just before"},
	"internal/job.worker.open":         {2, "asks whether the tenant is open that work was left for, by the one who left it"},
	"internal/postgres.DB.StartJobs":   {2, "asks what the control role may do, and reaches no row"},
	"internal/idempotency":             {anyNumber, "keys of control mutations, each statement bound to the caller's tenant and person"},
	"internal/auth":                    {anyNumber, "signing in, before there is a tenant, and what a verified token names"},
	"internal/postgres.DB.Control":     {1, "is what the rule is about"},
	"internal/postgres.DB.InControlTx": {1, "is what the rule is about"},
	"internal/postgres.listener.tune":  {2, "says something to itself, to see that it is heard; it names nobody"},
	"cmd/commonhold.change.to":         {1, "the operator changes a tenant that they name, at a command line"},

	"cmd/commonhold.tenantCreateCmd.Run": {1, "the operator makes a tenant, at a command line"},

	"cmd/commonhold.serveCmd.noDemo": {2, "looks for accounts with known passwords at start, before there are requests"},
	"internal/demo":                  {anyNumber, "fills tenants of its own for cmd/commonhold; no request reaches it"},
	"internal/pgtest":                {anyNumber, "makes tenants for tests; nothing of the server imports it"},
	"internal/bench":                 {anyNumber, "a tool that measures over many tenants; nothing imports it"},
}}

// A tenant that is worked in is the caller's: it comes from the context, where the
// verified token put it. Whatever else gives one, a registry, a row of the platform,
// an answer that shows it, may give another's, and the door would open for that too.
//
// The rule goes by induction. What is passed on or kept, a tenant.ID as an argument or
// in a field, a *tenant.Tenant likewise but for what an answer shows, must come from
// the context, so parameters and fields of the package can be relied on in turn.
var callerRule = rule{name: "tenant-chosen", check: tenantsChosen, excepted: map[string]exception{
	"internal/control": {anyNumber, "the registry works on the tenant that it was asked to make, find or move"},
	"internal/auth":    {anyNumber, "makes the principal of a verified token, and sessions for tenants that the person is a member of"},
	"internal/demo":    {anyNumber, "fills tenants of its own for cmd/commonhold; no request reaches it"},
	"internal/pgtest":  {anyNumber, "makes tenants for tests; nothing of the server imports it"},
	"internal/apitest": {anyNumber, "makes tenants for tests; nothing of the server imports it"},
	"internal/bench":   {anyNumber, "a tool that measures over many tenants; nothing imports it"},
}}

func platformUsed(p *pack) (found []violation) {
	queries := module + "sqlc/controlsql.Queries"
	p.each(func(site string, n ast.Node) {
		name, ok := n.(*ast.Ident)
		if !ok {
			return
		}
		fn, ok := p.info.Uses[name].(*types.Func)
		if !ok || fn.Pkg() == nil {
			return
		}
		signature := fn.Signature()
		of := ""
		if signature.Recv() != nil {
			of = named(signature.Recv().Type())
		}
		across := of == queries || fn.FullName() == module+"sqlc/controlsql.New" ||
			of == module+"internal/postgres.DB" && slices.Contains([]string{"Control", "InControlTx"}, fn.Name())
		if fn.Pkg().Path() == controlPath {
			for result := range signature.Results().Variables() {
				across = across || named(result.Type()) == tenantType
			}
		}
		if across {
			found = append(found, p.at(site, name, "%s reaches tenants that are not the caller's; take the tenant from the context (tenant.FromContext) and use its handle", fn.Name()))
		}
	})
	return found
}

func tenantsChosen(p *pack) (found []violation) {
	o := originsOf(p)
	want := func(site string, e ast.Expr) {
		if !o.callers(e, make(map[types.Object]bool)) {
			found = append(found, p.at(site, e, "this may be another tenant than the caller's; take it from the context here (tenant.FromContext, auth.FromContext, auth.Require) and pass that on"))
		}
	}
	// kept tells whether a tenant in that field is there to be worked in.
	kept := func(field *types.Var) bool {
		switch named(field.Type()) {
		case tenantID:
			return true
		case tenantType:
			return field.Pkg() == p.types || field.Pkg().Path() == module+"internal/auth"
		}
		return false
	}
	p.each(func(site string, n ast.Node) {
		switch n := n.(type) {
		case *ast.CallExpr:
			signature, ok := p.typeOf(n.Fun).Underlying().(*types.Signature)
			if tv := p.info.Types[n.Fun]; !ok || tv.IsType() || tv.IsBuiltin() {
				return
			}
			fn := p.called(n)
			for i, arg := range n.Args {
				if tuple, ok := p.typeOf(arg).(*types.Tuple); ok { // f(g())
					for v := range tuple.Variables() {
						if isTenant(v.Type()) {
							want(site, arg)
						}
					}
					return
				}
				param := parameter(signature, i, n.Ellipsis.IsValid())
				if isTenant(param) {
					want(site, arg)
				}
				callback, ok := p.typeOf(arg).Underlying().(*types.Signature)
				if !ok || fn == nil || fn.Pkg() == p.types {
					continue
				}
				for v := range callback.Params().Variables() {
					if isTenant(v.Type()) {
						found = append(found, p.at(site, arg, "%s of another package calls this back with whatever tenant it likes; give it a function without a tenant, and take that from the context", fn.Name()))
					}
				}
			}
		case *ast.CompositeLit:
			t := p.typeOf(n)
			if pointer, ok := t.Underlying().(*types.Pointer); ok { // left out in a list
				t = pointer.Elem()
			}
			if named(t) == tenantType {
				return // making one is tenant-made's matter
			}
			fields, isStruct := t.Underlying().(*types.Struct)
			for i, element := range n.Elts {
				value := element
				pair, isPair := element.(*ast.KeyValueExpr)
				if isPair {
					value = pair.Value
				}
				switch {
				case !isStruct:
					if named(p.typeOf(value)) == tenantID {
						want(site, value)
					}
					continue
				case isPair:
					if field, ok := p.info.Uses[pair.Key.(*ast.Ident)].(*types.Var); ok && kept(field) {
						want(site, value)
					}
				case kept(fields.Field(i)):
					want(site, value)
				}
			}
		case *ast.AssignStmt:
			for i, to := range n.Lhs {
				from := n.Rhs[0]
				if len(n.Rhs) == len(n.Lhs) {
					from = n.Rhs[i]
				}
				switch to := ast.Unparen(to).(type) {
				case *ast.SelectorExpr:
					if field, ok := p.info.Uses[to.Sel].(*types.Var); ok && field.IsField() && (kept(field) || named(p.typeOf(to.X)) == tenantType && isTenant(field.Type())) {
						want(site, from)
					}
				case *ast.StarExpr, *ast.IndexExpr:
					if isTenant(p.typeOf(to.(ast.Expr))) {
						want(site, from)
					}
				}
			}
		}
	})
	return found
}

// isTenant tells the id of a tenant and a tenant, with or without pointers.
func isTenant(t types.Type) bool {
	name := named(t)
	return name == tenantID || name == tenantType
}

// parameter is the type that the i-th argument of a call is given to.
func parameter(signature *types.Signature, i int, spread bool) types.Type {
	last := signature.Params().Len() - 1
	if !signature.Variadic() || i < last || spread {
		return signature.Params().At(i).Type()
	}
	if list, ok := signature.Params().At(last).Type().Underlying().(*types.Slice); ok {
		return list.Elem()
	}
	return types.Typ[types.Byte] // append([]byte, string...)
}

// origins says what may stand in the variables of a package, in whatever order it is
// put there.
type origins struct {
	*pack
	given   map[types.Object][]ast.Expr // what is assigned to a variable, of each that is declared
	unknown map[types.Object]bool       // where nobody can tell
}

func originsOf(p *pack) *origins {
	o := &origins{p, make(map[types.Object][]ast.Expr), make(map[types.Object]bool)}
	declare := func(names []*ast.Ident, unknown bool) {
		for _, name := range names {
			if object := p.info.Defs[name]; object != nil {
				o.given[object] = o.given[object][:len(o.given[object]):len(o.given[object])]
				o.unknown[object] = o.unknown[object] || unknown
			}
		}
	}
	declareAll := func(list *ast.FieldList, unknown bool) {
		if list != nil {
			for _, field := range list.List {
				declare(field.Names, unknown)
			}
		}
	}
	assign := func(to ast.Expr, from ast.Expr) {
		name, ok := ast.Unparen(to).(*ast.Ident)
		if !ok {
			return
		}
		object := p.info.Defs[name]
		if object == nil {
			object = p.info.Uses[name]
		}
		if object != nil {
			o.given[object] = append(o.given[object], from)
		}
	}
	p.each(func(_ string, n ast.Node) {
		switch n := n.(type) {
		case *ast.FuncDecl:
			// The generated code calls resolvers with what an answer shows, such as the
			// tenants that a person may choose from.
			resolver := n.Recv != nil && n.Name.IsExported() && p.path == "graph"
			declareAll(n.Type.Params, resolver)
			declareAll(n.Type.Results, false)
		case *ast.FuncLit:
			declareAll(n.Type.Params, false)
			declareAll(n.Type.Results, false)
		case *ast.ValueSpec:
			for _, name := range n.Names {
				object := p.info.Defs[name]
				declare([]*ast.Ident{name}, object != nil && object.Parent() == p.types.Scope())
			}
			for i, name := range n.Names {
				switch {
				case len(n.Values) == len(n.Names):
					assign(name, n.Values[i])
				case len(n.Values) > 0:
					assign(name, n.Values[0])
				}
			}
		case *ast.AssignStmt:
			for i, to := range n.Lhs {
				if len(n.Rhs) == len(n.Lhs) {
					assign(to, n.Rhs[i])
				} else {
					assign(to, n.Rhs[0])
				}
			}
		case *ast.RangeStmt:
			for _, to := range []ast.Expr{n.Key, n.Value} {
				if name, ok := to.(*ast.Ident); ok {
					o.unknown[p.info.Defs[name]] = true
					o.unknown[p.info.Uses[name]] = true
				}
			}
		case *ast.UnaryExpr: // who has the address can put anything there
			if name, ok := ast.Unparen(n.X).(*ast.Ident); ok && n.Op == token.AND && p.typeOf(n.X).String() != tenantType {
				o.unknown[p.info.Uses[name]] = true
			}
		}
	})
	delete(o.unknown, nil)
	return o
}

// fromContext are the functions that say who asks, for which tenant.
var fromContext = []string{tenantPath + ".FromContext", module + "internal/auth.FromContext", module + "internal/auth.Require"}

// callers tells whether an expression can only be the tenant of the caller, its id, or
// none.
func (o *origins) callers(e ast.Expr, seen map[types.Object]bool) bool {
	e = ast.Unparen(e)
	if named(o.typeOf(e)) == principalType {
		return true // auth makes them of verified tokens alone
	}
	switch e := e.(type) {
	case *ast.Ident:
		object := o.info.Uses[e]
		if _, none := object.(*types.Nil); none {
			return true
		}
		given, known := o.given[object]
		if !known || o.unknown[object] {
			return false
		}
		if seen[object] {
			return true
		}
		seen[object] = true
		return !slices.ContainsFunc(given, func(e ast.Expr) bool { return !o.callers(e, seen) })
	case *ast.SelectorExpr:
		field, ok := o.info.Uses[e.Sel].(*types.Var)
		if !ok || !field.IsField() {
			return false
		}
		switch named(o.typeOf(e.X)) {
		case tenantType, principalType:
			return o.callers(e.X, seen)
		}
		// Rows that a handle gave, what is asked of one, and what this package keeps.
		return field.Pkg() == o.types || slices.Contains([]string{module + "sqlc/tenantsql", module + "sqlc/accountsql"}, field.Pkg().Path())
	case *ast.StarExpr:
		return o.callers(e.X, seen)
	case *ast.UnaryExpr:
		return e.Op == token.AND && o.callers(e.X, seen)
	case *ast.CompositeLit: // not empty is tenant-made's matter
		return true
	case *ast.CallExpr:
		if tv := o.info.Types[e.Fun]; tv.IsType() {
			return !isTenant(o.typeOf(e.Args[0])) || o.callers(e.Args[0], seen)
		} else if tv.IsBuiltin() { // new
			return true
		}
		fn := o.called(e)
		return fn != nil && slices.Contains(fromContext, fn.FullName())
	}
	return false
}
