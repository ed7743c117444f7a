package coderules

import (
	"go/ast"
	"go/types"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

const (
	tenantPath = module + "internal/tenant"
	tenantID   = tenantPath + ".ID"
)

// The id of a tenant comes from a verified token or from the database, so the
// places where one comes into being are few, and each is known.
var makeRule = rule{
	name:  "tenant-made",
	check: tenantsMade,
	excepted: map[string]exception{
		"internal/tenant.NewID":              {1, "the type's own constructor of new ids"},
		"internal/tenant.IDFrom":             {1, "the type's own constructor from what the database gave"},
		"internal/auth.Service.Authenticate": {1, "the token's signature was verified just before, and its session is looked up by it"},
		"internal/auth.NewContext":           {1, "the one place where a request gets its tenant: with the principal that Authenticate made"},
		"internal/control.Register":          {1, "a new tenant gets a new id, which the answer tells and nobody chooses"},
		"internal/control.FromRow":           {1, "a row of the registry"},
	},
}

// Decoding is how input becomes Go values. No type that is decoded holds the id of a
// tenant.
var decodeRule = rule{name: "tenant-decoded", check: tenantsDecoded, excepted: map[string]exception{
	"internal/bench": {anyNumber, "a tool that reads its own rows; nothing imports it"},
}}

// A request names its tenant by its token and in no other way.
var requestRule = rule{name: "tenant-asked", check: tenantsAsked, excepted: map[string]exception{}}

func tenantsMade(p *pack) (found []violation) {
	p.each(func(site string, n ast.Node) {
		switch n := n.(type) {
		case *ast.Ident: // a constructor, or a generic function for a tenant's id, such as id.As
			fn, ok := p.info.Uses[n].(*types.Func)
			if !ok || fn.Pkg() == nil {
				return
			}
			if fn.Pkg().Path() == tenantPath && slices.Contains([]string{"NewID", "IDFrom", "NewContext"}, fn.Name()) {
				found = append(found, p.at(site, n, "tenant.%s says which tenant this is; take the tenant from the context (tenant.FromContext), where the verified credential put it", fn.Name()))
			}
			if path := fn.Pkg().Path(); path != module+"internal/id" && path != "encoding/json" {
				return
			}
			instance, ok := p.info.Instances[n]
			if !ok {
				return
			}
			for argument := range instance.TypeArgs.Types() {
				if named(argument) == tenantID {
					found = append(found, p.at(site, n, "%s makes a tenant's id of another value; take the tenant from the context (tenant.FromContext)", n.Name))
					break
				}
			}
		case *ast.CallExpr:
			if tv := p.info.Types[n.Fun]; tv.IsType() { // a conversion
				if named(tv.Type) == tenantID && named(p.info.Types[n.Args[0]].Type) != tenantID {
					found = append(found, p.at(site, n, "a conversion makes a tenant's id; take the tenant from the context (tenant.FromContext)"))
				}
				return
			}
			fn := p.called(n)
			if fn == nil || fn.Pkg() == nil {
				return
			}
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && named(p.typeOf(s.X)) == tenantID && (strings.HasPrefix(fn.Name(), "Unmarshal") || strings.HasPrefix(fn.Name(), "Scan")) {
				found = append(found, p.at(site, n, "%s makes a tenant's id of a text; take the tenant from the context (tenant.FromContext)", fn.Name()))
			}
		case *ast.CompositeLit:
			switch name := named(p.info.Types[n].Type); {
			case name == tenantID && len(n.Elts) > 0:
				found = append(found, p.at(site, n, "a literal makes a tenant's id; take the tenant from the context (tenant.FromContext)"))
			case name == tenantPath+".Tenant":
				found = append(found, p.at(site, n, "a literal makes a tenant; take it from the context (tenant.FromContext) or from the registry"))
			}
		}
	})
	return found
}

func (p *pack) typeOf(e ast.Expr) types.Type {
	if t := p.info.Types[e].Type; t != nil {
		return t
	}
	return types.Typ[types.Invalid]
}

func tenantsDecoded(p *pack) (found []violation) {
	p.each(func(site string, n ast.Node) {
		switch n := n.(type) {
		case *ast.StructType:
			for _, field := range n.Fields.List {
				if field.Tag == nil || !holdsTenant(p.typeOf(field.Type), nil) {
					continue
				}
				tag := reflect.StructTag(strings.Trim(field.Tag.Value, "`"))
				if tag.Get("json") != "-" {
					found = append(found, p.at(site, field, "a field with a tag is there to be decoded, and this one holds a tenant's id; leave it out, and take the tenant from the context"))
				}
			}
		case *ast.CallExpr:
			fn := p.called(n)
			for _, arg := range n.Args {
				t := p.typeOf(arg)
				pointer, ok := types.Unalias(t).(*types.Pointer)
				if !ok {
					continue
				}
				if named(pointer.Elem()) == tenantID {
					found = append(found, p.at(site, n, "a pointer to a tenant's id is given away to be filled; take the tenant from the context, or from a row of a query of queries/"))
				} else if fn != nil && decodes(fn) && holdsTenant(pointer.Elem(), nil) {
					found = append(found, p.at(site, n, "%s fills a value that holds a tenant's id; decode into a type without one, and take the tenant from the context", fn.Name()))
				}
			}
		}
	})
	return found
}

// decodes tells the functions of encoding/… and of the command line's parser that
// fill a value from a text.
func decodes(fn *types.Func) bool {
	if fn.Pkg() == nil {
		return false
	}
	path := fn.Pkg().Path()
	return (strings.HasPrefix(path, "encoding/") || path == "github.com/alecthomas/kong" || strings.Contains(path, "mapstructure")) &&
		(strings.HasPrefix(fn.Name(), "Unmarshal") || strings.HasPrefix(fn.Name(), "Decode") || strings.HasPrefix(fn.Name(), "Parse") || fn.Name() == "New" || fn.Name() == "Must")
}

// holdsTenant tells whether somewhere in a value of that type, in a field that a
// decoder can set, is a tenant's id.
func holdsTenant(t types.Type, seen []types.Type) bool {
	if t = types.Unalias(t); slices.Contains(seen, t) {
		return false
	}
	seen = append(seen, t)
	if named(t) == tenantID {
		return true
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		return holdsTenant(u.Elem(), seen)
	case *types.Slice:
		return holdsTenant(u.Elem(), seen)
	case *types.Array:
		return holdsTenant(u.Elem(), seen)
	case *types.Map:
		return holdsTenant(u.Key(), seen) || holdsTenant(u.Elem(), seen)
	case *types.Struct:
		for i := range u.NumFields() {
			if u.Field(i).Exported() && holdsTenant(u.Field(i).Type(), seen) {
				return true
			}
		}
	}
	return false
}

// asking are the ways to read one named value of a request.
var asking = []string{
	"(net/http.Header).Get", "(net/http.Header).Values", "(net/url.Values).Get", "(net/url.Values).Has", "(net/textproto.MIMEHeader).Get", "(net/textproto.MIMEHeader).Values",
	"(*net/http.Request).FormValue", "(*net/http.Request).PostFormValue", "(*net/http.Request).PathValue", "(*net/http.Request).Cookie", "(*net/http.Request).CookiesNamed",
	"github.com/go-chi/chi/v5.URLParam", "github.com/go-chi/chi/v5.URLParamFromCtx", "(*github.com/go-chi/chi/v5.Context).URLParam",
}

var saysTenant = regexp.MustCompile(`(?i)tenant|\bten_`)

func tenantsAsked(p *pack) (found []violation) {
	advice := "the request is asked for a tenant, and could name any; the tenant is in the context (tenant.FromContext), put there by the verified token"
	p.each(func(site string, n ast.Node) {
		switch n := n.(type) {
		case *ast.CallExpr:
			fn := p.called(n)
			if fn == nil || !slices.Contains(asking, fn.FullName()) {
				return
			}
			if text, ok := p.text(n.Args[len(n.Args)-1]); ok && saysTenant.MatchString(text) {
				found = append(found, p.at(site, n, "%s", advice))
			}
		case *ast.IndexExpr:
			if t := named(p.typeOf(n.X)); t != "net/http.Header" && t != "net/url.Values" && t != "net/textproto.MIMEHeader" {
				return
			}
			if text, ok := p.text(n.Index); ok && saysTenant.MatchString(text) {
				found = append(found, p.at(site, n, "%s", advice))
			}
		}
	})
	return found
}
