package coderules

import (
	"go/ast"
	"go/types"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"
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
		"internal/auth.parseKey":             {1, "where the row of a key is looked for; its secret is compared before anything comes of it"},
		"internal/auth.NewContext":           {1, "the one place where a request gets its tenant: with the principal that Authenticate made"},
		"internal/control.Register":          {1, "a new tenant gets a new id, which the answer tells and nobody chooses"},
		"internal/control.FromRow":           {1, "a row of the registry"},
		"internal/control.NewRegistry":       {2, "a cache by tenant and one by slug, which hold what the database gave"},
		"internal/control.Registry":          {2, "the two caches that NewRegistry makes"},
	},
}

// Decoding is how input becomes Go values. No type that is decoded holds the id of a
// tenant.
var decodeRule = rule{name: "tenant-decoded", check: tenantsDecoded, excepted: map[string]exception{
	"internal/bench":                {anyNumber, "a tool that reads its own rows; nothing imports it"},
	"internal/idempotency.recorded": {1, "reads back what the same change recorded, in a row of the caller's own tenant that no input writes"},
	"internal/auth.NewContext":      {1, "a context hands on what it was given"},
}}

// requestPackages handle what somebody sent.
var requestPackages = []string{"graph", "graph/scalar", "internal/auth", "internal/idempotency", "internal/server"}

// A request names its tenant by its token and in no other way.
var requestRule = rule{name: "tenant-asked", check: tenantsAsked, excepted: map[string]exception{
	"internal/auth.PermissionTenantRead":  {1, "the name of a permission"},
	"internal/auth.PermissionTenantWrite": {1, "the name of a permission"},
	"internal/auth.Service.Enter":         {2, "says which field of the input was wrong"},
	"internal/auth.Service.SwitchTenant":  {1, "says which field of the input was wrong"},
	"internal/auth.notAMember":            {1, "says which field of the input was wrong"},
	"internal/auth.makeTenant":            {2, "writes down that a tenant was made, and of which name"},
	"internal/auth.tenantHeader":          {1, "a header that may agree with the token, and else has the request refused"},
	"internal/auth.Service.readMeant":     {1, "reads that header, for agrees alone"},
	"internal/server.Config.cors":         {1, "lets browsers send that header"},
	"graph.TableCost":                     {1, "the name of a type, of which one field is dear"},
	"graph.prefixes":                      {1, "the noun of an action"},
	"internal/server.standsAlone":         {2, "the names of mutations that make a tenant and begin a session in one"},
}}

func tenantsMade(p *pack) (found []violation) {
	p.each(func(site string, n ast.Node) {
		switch n := n.(type) {
		case *ast.Ident: // a constructor, or what is generic, for a tenant's id, such as id.As
			fn, ok := p.info.Uses[n].(*types.Func)
			if ok && fn.Pkg() != nil && fn.Pkg().Path() == tenantPath && slices.Contains([]string{"NewID", "IDFrom", "NewContext"}, fn.Name()) {
				found = append(found, p.at(site, n, "tenant.%s says which tenant this is; take the tenant from the context (tenant.FromContext), where the verified credential put it", fn.Name()))
			}
			for _, made := range p.fromNothing(n) {
				if isIDs(made) {
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

// isIDs tells the id of a tenant, and lists and maps of them.
func isIDs(t types.Type) bool {
	switch u := types.Unalias(t).(type) {
	case *types.Pointer:
		return isIDs(u.Elem())
	case *types.Slice:
		return isIDs(u.Elem())
	case *types.Array:
		return isIDs(u.Elem())
	case *types.Map:
		return isIDs(u.Key()) || isIDs(u.Elem())
	}
	return named(t) == tenantID
}

// fromNothing are the type arguments of a generic function of which it is given no
// value: what it returns of that type it made itself, of a text perhaps. Of a generic
// type they are all that its methods may make.
func (p *pack) fromNothing(name *ast.Ident) (made []types.Type) {
	instance, ok := p.info.Instances[name]
	if !ok {
		return nil
	}
	fn, isFunction := p.info.Uses[name].(*types.Func)
	for i := range instance.TypeArgs.Len() {
		given := false
		if isFunction {
			for param := range fn.Signature().Params().Variables() {
				given = given || brings(param.Type(), fn.Signature().TypeParams().At(i))
			}
		}
		if !given {
			made = append(made, instance.TypeArgs.At(i))
		}
	}
	return made
}

// brings tells whether who has a value of type t has, or gets of it, one of type
// wanted.
func brings(t, wanted types.Type) bool {
	switch u := types.Unalias(t).(type) {
	case *types.TypeParam:
		return u == wanted || brings(u.Constraint().Underlying(), wanted)
	case *types.Interface: // a constraint: S ~[]E brings E
		for embedded := range u.EmbeddedTypes() {
			if brings(embedded, wanted) {
				return true
			}
		}
	case *types.Union:
		for term := range u.Terms() {
			if brings(term.Type(), wanted) {
				return true
			}
		}
	case *types.Pointer:
		return brings(u.Elem(), wanted)
	case *types.Slice:
		return brings(u.Elem(), wanted)
	case *types.Array:
		return brings(u.Elem(), wanted)
	case *types.Chan:
		return brings(u.Elem(), wanted)
	case *types.Map:
		return brings(u.Key(), wanted) || brings(u.Elem(), wanted)
	case *types.Signature: // called for its results
		for result := range u.Results().Variables() {
			if brings(result.Type(), wanted) {
				return true
			}
		}
	case *types.Named:
		for argument := range u.TypeArgs().Types() {
			if brings(argument, wanted) {
				return true
			}
		}
	}
	return false
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
		case *ast.Ident:
			if _, ok := p.info.Uses[n].(*types.Func); !ok {
				return
			}
			for _, made := range p.fromNothing(n) {
				if !isIDs(made) && holdsTenant(made, nil) {
					found = append(found, p.at(site, n, "%s makes a value that holds a tenant's id of another one; decode into a type without one, and take the tenant from the context", n.Name))
					break
				}
			}
		case *ast.CallExpr:
			fn := p.called(n)
			signature, ok := p.typeOf(n.Fun).Underlying().(*types.Signature)
			if !ok || p.info.Types[n.Fun].IsBuiltin() {
				return
			}
			for i, arg := range n.Args {
				pointer, ok := types.Unalias(p.typeOf(arg)).(*types.Pointer)
				if !ok {
					continue
				}
				_, anything := pointer.Elem().(*types.TypeParam)
				holds := holdsTenant(pointer.Elem(), nil)
				switch {
				case named(pointer.Elem()) == tenantID:
					found = append(found, p.at(site, n, "a pointer to a tenant's id is given away to be filled; take the tenant from the context, or from a row of a query of queries/"))
				case fn != nil && decodes(fn) && (holds || anything):
					found = append(found, p.at(site, n, "%s fills a value that holds a tenant's id, or may hold one; decode into a type without one, and take the tenant from the context", fn.Name()))
				case holds && types.IsInterface(parameter(signature, i, n.Ellipsis.IsValid())) && slices.Contains(requestPackages, p.path):
					found = append(found, p.at(site, n, "who is given a pointer as an interface may fill it, and this holds a tenant's id; give away a value, or a type without one"))
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

// tenantWords are other names for a tenant, as one word of an identifier.
var tenantWords = regexp.MustCompile(`^(?:workspaces?|slugs?|orgs?|organi[sz]ations?|accounts?|compan(?:y|ies)|realms?|subdomains?)(?:ids?|names?|slugs?|keys?)?$`)

// tenantItself is what no other thing is called: the word, and how an id begins.
var tenantItself = regexp.MustCompile(`(?i)tenant|\bten_`)

// nameLike are constants that may name a header, a parameter or a key, not sentences.
var nameLike = regexp.MustCompile(`^[\w.:{}\[\]-]{2,60}$`)

// saysTenant tells whether an identifier speaks of a tenant: tenantId, X-Org, of_account.
func saysTenant(text string) bool {
	return tenantItself.MatchString(text) || slices.ContainsFunc(wordsOf(text), tenantWords.MatchString)
}

// wordsOf are the words of an identifier in lower case.
func wordsOf(text string) (words []string) {
	runes := []rune(text)
	begin := 0
	end := func(i int) {
		if i > begin {
			words = append(words, strings.ToLower(string(runes[begin:i])))
		}
		begin = i
	}
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r):
			end(i)
			begin = i + 1
		case unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			end(i)
		}
	}
	end(len(runes))
	return words
}

func tenantsAsked(p *pack) (found []violation) {
	advice := "the request is asked for a tenant, and could name any; the tenant is in the context (tenant.FromContext), put there by the verified token"
	p.each(func(site string, n ast.Node) {
		switch n := n.(type) {
		case *ast.CallExpr:
			fn := p.called(n)
			if fn == nil || !slices.Contains(asking, fn.FullName()) {
				return
			}
			if text, ok := p.text(n.Args[len(n.Args)-1]); ok && saysTenant(text) {
				found = append(found, p.at(site, n, "%s", advice))
			}
		case *ast.IndexExpr:
			if t := named(p.typeOf(n.X)); t != "net/http.Header" && t != "net/url.Values" && t != "net/textproto.MIMEHeader" {
				return
			}
			if text, ok := p.text(n.Index); ok && saysTenant(text) {
				found = append(found, p.at(site, n, "%s", advice))
			}
		case *ast.Field:
			if n.Tag != nil && slices.Contains(requestPackages, p.path) && saysTenant(n.Tag.Value) {
				found = append(found, p.at(site, n.Tag, "%s", advice))
			}
		}
	})
	if slices.Contains(requestPackages, p.path) {
		p.constants(func(site string, e ast.Expr, text string) {
			if nameLike.MatchString(text) && saysTenant(text) {
				found = append(found, p.at(site, e, "%q names a tenant, and what is read by that name could be any; the tenant is in the context (tenant.FromContext), put there by the verified token", text))
			}
		})
	}
	return found
}
