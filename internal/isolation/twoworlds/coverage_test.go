package twoworlds

import (
	"maps"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// coverage counts what was asked, so that a comparison of nothing with nothing does
// not pass for one. Coordinates are those of the schema: Product.name,
// Query.product(id:), CreateProductInput.sku.
type coverage struct {
	succeeded map[string]int // without an error, with nothing in the request that was not the caller's
	foreign   map[string]int // beside something of the other tenant
	given     map[string]int // of the other tenant itself
}

func newCoverage() *coverage {
	return &coverage{succeeded: make(map[string]int), foreign: make(map[string]int), given: make(map[string]int)}
}

// least is what a coordinate lacks most.
func (c *coverage) least(coordinate string) int {
	return min(c.succeeded[coordinate], c.foreign[coordinate])
}

// tried notes an operation that was sent.
func (c *coverage) tried(op *operation) {
	if !op.foreign {
		return
	}
	for _, coordinate := range append(op.fields(), op.inputs()...) {
		c.foreign[coordinate]++
	}
	each(op.root, func(s *selection) {
		for _, g := range s.given {
			if g.from == foreign {
				c.given[g.coordinate]++
			}
		}
	})
}

// exceptions are inputs that never get a value of the other tenant's, with the
// reason. internal/auth tests what happens then.
var exceptions = map[string]string{
	"RegisterTenantInput.slug":         "slugs are unique among all tenants, and whoever registers is told",
	"RegisterTenantInput.email":        "anybody may have a mail sent to anybody: the row of the link is of its receiver",
	"ConfirmRegistrationInput.slug":    "as RegisterTenantInput.slug",
	"Query.slugAvailable(slug:)":       "slugs are unique among all tenants, and whoever asks is told",
	"RequestPasswordResetInput.email":  "anybody may ask for a mail to anybody: the row of the link is of its receiver",
	"RefreshSessionInput.refreshToken": "who holds a token is its person",
}

// refusals are fields that stand beside a user error and nowhere else, with the reason.
var refusals = map[string]string{
	"SignInPayload.ticket": "is for who has yet to name a tenant",
}

// seldom are inputs that a run need not see succeed, with the reason and who does see it.
var seldom = map[string]string{
	"SwitchTenantInput.ticket": "a person of several tenants and a ticket of two minutes seldom meet: graph/ticket_test.go",
}

// identifying are the inputs that name something of a tenant.
func identifying(name string, of *ast.Type) bool {
	return of.Name() == "ID" || slices.Contains([]string{"after", "before", "sku", "email", "slug", "tenant"}, name)
}

// missing lists what the schema has and the run did not come by.
func (c *coverage) missing(schema *ast.Schema) (missing []string) {
	want := func(coordinate string, counts map[string]int, what string) {
		if counts[coordinate] == 0 {
			missing = append(missing, coordinate+" "+what)
		}
	}
	input := func(coordinate, name string, of *ast.Type) {
		if seldom[coordinate] == "" {
			want(coordinate, c.succeeded, "never succeeded")
		}
		want(coordinate, c.foreign, "was never beside anything foreign")
		if identifying(name, of) && exceptions[coordinate] == "" {
			want(coordinate, c.given, "was never foreign itself")
		}
	}
	reach(schema, func(of *ast.Definition) {
		for _, field := range of.Fields {
			coordinate := of.Name + "." + field.Name
			if strings.HasPrefix(field.Name, "__") || unasked[coordinate] != "" {
				continue
			}
			switch of.Kind {
			case ast.InputObject:
				input(coordinate, field.Name, field.Type)
			case ast.Object:
				if strings.HasSuffix(of.Name, "Error") { // these are what did not succeed
					continue
				}
				if refusals[coordinate] == "" {
					want(coordinate, c.succeeded, "never succeeded")
				}
				want(coordinate, c.foreign, "was never beside anything foreign")
				for _, arg := range field.Arguments {
					input(coordinate+"("+arg.Name+":)", arg.Name, arg.Type)
				}
			}
		}
	})
	return missing
}

// leading are the root fields by which something of what is missing can be come by: they
// take it, or show it as a page or a payload does.
func leading(schema *ast.Schema, missing []string) (roots []string) {
	kinds := make(map[string]bool)
	for _, coordinate := range missing {
		kind, field, _ := strings.Cut(coordinate, ".")
		kinds[kind] = true
		if kind == schema.Query.Name || kind == schema.Mutation.Name {
			name, _, _ := strings.Cut(field, " ")
			name, _, _ = strings.Cut(name, "(")
			roots = append(roots, name)
		}
	}
	var leads func(kind string, levels int) bool
	leads = func(kind string, levels int) bool {
		of := schema.Types[kind]
		return kinds[kind] || levels > 0 && slices.ContainsFunc(of.Fields, func(f *ast.FieldDefinition) bool { return leads(f.Type.Name(), levels-1) })
	}
	for _, of := range []*ast.Definition{schema.Query, schema.Mutation} {
		for _, field := range of.Fields {
			takes := slices.ContainsFunc(field.Arguments, func(a *ast.ArgumentDefinition) bool { return leads(a.Type.Name(), 3) })
			if !strings.HasPrefix(field.Name, "__") && (takes || leads(field.Type.Name(), 1)) {
				roots = append(roots, field.Name)
			}
		}
	}
	return roots
}

// reach visits every type that an operation can come by.
func reach(schema *ast.Schema, visit func(*ast.Definition)) {
	seen := make(map[string]bool)
	var see func(name string)
	see = func(name string) {
		of := schema.Types[name]
		if of == nil || seen[name] || strings.HasPrefix(name, "__") {
			return
		}
		seen[name] = true
		visit(of)
		for _, field := range of.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			see(field.Type.Name())
			for _, arg := range field.Arguments {
				see(arg.Type.Name())
			}
		}
		if of.IsAbstractType() {
			kinds := make(map[string]bool)
			for _, kind := range schema.GetPossibleTypes(of) {
				kinds[kind.Name] = true
			}
			for _, kind := range slices.Sorted(maps.Keys(kinds)) {
				see(kind)
			}
		}
	}
	see(schema.Query.Name)
	see(schema.Mutation.Name)
}
