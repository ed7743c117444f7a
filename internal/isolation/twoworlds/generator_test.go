package twoworlds

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold/internal/id"
)

// generator makes operations up. It knows the schema and nothing else: a new field,
// argument or input is taken up by itself, and a value of which it does not know
// how it is made ends the test with what to add.
type generator struct {
	schema *ast.Schema
	rng    *rand.Rand
	me     *side
	other  *side
	person *person
	cover  *coverage
	own    float64 // how many operations have nothing foreign in them
	now    time.Time
	// exclude are root fields that this side leaves alone.
	exclude map[string]string

	op     *operation
	mode   mode
	shown  int // fields of this operation
	named  int // aliases and variables of it
	origin map[origin]int
	fields []string // root fields that half of the operations are for
}

// mode is where the ids and other names of one operation come from.
type mode int

const (
	allOwn     mode = iota // so that things succeed
	oneForeign             // everything right but for one: the sharpest question
	mixed
)

// texts say how a String is made, by the name of its argument or input field.
var texts = map[string]func(g *generator, coordinate string) (string, origin){
	"after": nil, "before": nil, // cursors, made where the list is known
	"sku":         func(g *generator, c string) (string, origin) { return g.unique(c, "sku", "sku") },
	"email":       (*generator).email,
	"name":        func(g *generator, c string) (string, origin) { return g.unique(c, "name", "Name") },
	"displayName": func(g *generator, _ string) (string, origin) { return g.me.fresh("Person"), plain },
	"tenantName":  func(g *generator, _ string) (string, origin) { return g.me.fresh("Tenant"), plain },
	"description": func(g *generator, _ string) (string, origin) { return g.me.fresh("What it is"), plain },
	"contains": func(g *generator, c string) (string, origin) {
		text, from := g.known(c, "name", "nothing")
		return text[:1+g.rng.IntN(len(text))], from
	},
	"action": func(g *generator, c string) (string, origin) { return g.known(c, "action", "product.lost") },
	"slug": func(g *generator, c string) (string, origin) {
		if exceptions[c] != "" {
			if g.chance(0.1) {
				return g.me.slug, own
			}
			return strings.ToLower(g.me.fresh("more")), own
		}
		return g.choose(c, func() string { return g.me.slug }, func() string { return g.other.slug }, func() string { return "no-such-tenant" })
	},
	"tenant": func(g *generator, c string) (string, origin) {
		return g.choose(c, func() string { return g.me.slug }, func() string { return g.other.slug }, func() string { return "no-such-tenant" })
	},
	"password": func(g *generator, _ string) (string, origin) {
		if g.mode == mixed && g.chance(0.2) {
			return "a password of nobody at all", junk
		}
		return g.me.password, own // of the other side's people it is the wrong one
	},
	"newPassword": func(g *generator, _ string) (string, origin) { return g.me.password, own },
	"newEmail": func(g *generator, _ string) (string, origin) {
		return strings.ToLower(g.me.fresh("moved")) + "@tests.example", plain
	},
	"token": func(g *generator, c string) (string, origin) {
		if token, ok := pick(g.rng, g.me.texts[links[c]]); ok && g.chance(0.9) {
			return token, own
		}
		return "cht_" + strings.Repeat("A", 64), junk
	},
	"refreshToken": func(g *generator, _ string) (string, origin) {
		if token, ok := pick(g.rng, g.me.texts["refreshToken"]); ok && g.chance(0.9) {
			return token, own
		}
		return "chr_" + strings.Repeat("A", 43), junk
	},
	"ticket": func(g *generator, _ string) (string, origin) {
		if ticket, ok := pick(g.rng, g.me.texts["ticket"]); ok && g.chance(0.9) {
			return ticket, own
		}
		return "cht_" + strings.Repeat("A", 64), junk
	},
	"allowedDomains": func(g *generator, _ string) (string, origin) {
		if g.chance(0.8) {
			return "tests.example", plain
		}
		return g.me.name + ".example", plain
	},
	"clientMutationId": func(g *generator, _ string) (string, origin) { return g.me.fresh("mine"), plain },
}

func init() { texts["currentPassword"] = texts["password"] }

// links are what the tokens of mailed links are for.
var links = map[string]string{"ResetPasswordInput.token": "password reset", "ConfirmEmailChangeInput.token": "email change", "AcceptInvitationInput.token": "invitation", "ConfirmRegistrationInput.token": "registration", "RequestToJoinInput.token": "token"}

// numbers say how an Int is made, by the name of its argument or input field.
var numbers = map[string]func(*generator) int{
	"first":    func(g *generator) int { return g.size() },
	"last":     func(g *generator) int { return g.size() },
	"stock":    func(g *generator) int { return g.rng.IntN(1000) },
	"quantity": func(g *generator) int { return 1 + g.rng.IntN(3) },
	"version":  func(g *generator) int { return 1 + g.rng.IntN(3) },

	"expiresInDays": func(g *generator) int { return 1 + g.rng.IntN(30) },
	"maxUses":       func(g *generator) int { return 1 + g.rng.IntN(4) },

	"overlapSeconds": func(g *generator) int { return g.rng.IntN(2) * 604_800 }, // none, or longer than a run
}

// nouns say of which type an ID is, where neither its name nor what it belongs to
// tells: "parentId", and everything that is called "id".
var nouns = map[string]string{
	"parentId": "Category", "actorId": "User", "entityId": anything,
	"PlaceDraftInput.id": "Order", "ResendInvitationInput.id": "Invitation", "RevokeInvitationInput.id": "Invitation",
	"RevokeInvitationLinkInput.id": "InvitationLink",
	"EndSessionInput.id":           "ActiveSession",
}

const anything = "*"

// unasked are fields that nobody asks for, with the reason.
var unasked = map[string]string{
	"ApiKey.lastUsedAt":        "as that of a session",
	"ActiveSession.lastUsedAt": "is noted where the server has to look who holds the session: after how long it forgot is a matter of real time",
}

// forPeople are fields that machines are refused. They seldom ask for one, so that
// something of what stands beside it succeeds.
var forPeople = map[string]bool{"Viewer.memberships": true, "Viewer.sessions": true}

// alone are the mutations that must be the only field of their request.
var alone = map[string]bool{
	"signOut": true, "endSession": true, "signOutEverywhere": true, "reauthenticate": true,
	"changePassword": true, "requestEmailChange": true, "transferOwnership": true,
}

func standsAlone(field *ast.FieldDefinition) bool {
	return field.Directives.ForName("public") != nil || alone[field.Name]
}

// usual is the value that an enum has most of the time: a tenant has one currency.
var usual = map[string]string{"CurrencyCode": "EUR"}

func (g *generator) chance(p float64) bool { return g.rng.Float64() < p }

func (g *generator) size() int {
	if g.chance(0.005) {
		return g.rng.IntN(3) * 60 // 0, 60 or 120
	}
	return 1 + g.rng.IntN(4)
}

// operation makes one up.
func (g *generator) operation() *operation {
	g.op = &operation{variables: make(map[string]any)}
	g.shown, g.named = 0, 0
	switch p := g.rng.Float64(); {
	case p < g.own:
		g.mode = allOwn
	case p < g.own+0.15:
		g.mode = oneForeign
	default:
		g.mode = mixed
	}
	parent, field := g.rootField()
	g.op.kind = ast.Query
	roots := 1
	if parent == g.schema.Mutation {
		g.op.kind = ast.Mutation
		if !standsAlone(field) && g.chance(0.08) {
			roots = 2
		}
	} else if g.chance(0.2) {
		roots = 1 + g.rng.IntN(3)
	}
	for i := range roots {
		sel := g.selection(parent, field, "", 0)
		if i > 0 || g.chance(0.1) {
			g.rename(sel)
		}
		g.op.root = append(g.op.root, sel)
		for next := true; next; {
			if _, field = g.rootField(); parent.Fields.ForName(field.Name) != nil {
				next = g.op.kind == ast.Mutation && standsAlone(field)
			}
		}
	}
	g.op.write(g)
	return g.op
}

// rootField prefers what has succeeded least.
func (g *generator) rootField() (*ast.Definition, *ast.FieldDefinition) {
	if name, ok := pick(g.rng, g.fields); ok && g.chance(0.5) {
		for _, of := range []*ast.Definition{g.schema.Query, g.schema.Mutation} {
			if field := of.Fields.ForName(name); field != nil {
				return of, field
			}
		}
	}
	var chosen *ast.FieldDefinition
	var of *ast.Definition
	for range 3 {
		parent := g.schema.Query
		if g.chance(0.5) {
			parent = g.schema.Mutation
		}
		field := parent.Fields[g.rng.IntN(len(parent.Fields))]
		if strings.HasPrefix(field.Name, "__") || g.exclude[field.Name] != "" {
			continue
		}
		if chosen == nil || g.cover.least(parent.Name+"."+field.Name) < g.cover.least(of.Name+"."+chosen.Name) {
			of, chosen = parent, field
		}
	}
	if chosen == nil {
		return g.rootField()
	}
	return of, chosen
}

func (g *generator) rename(sel *selection) {
	g.named++
	sel.key = fmt.Sprintf("a%d", g.named)
}

// selection asks for a field, with its arguments and what is below it.
func (g *generator) selection(parent *ast.Definition, field *ast.FieldDefinition, list string, depth int) *selection {
	g.shown++
	sel := &selection{name: field.Name, key: field.Name, parent: parent, field: field}
	if slices.Contains([]string{"cursor", "startCursor", "endCursor"}, field.Name) {
		sel.list = list
	}
	answered := g.schema.Types[field.Type.Name()]
	if strings.HasSuffix(answered.Name, "Connection") {
		list = parent.Name + "." + field.Name
	}
	list = g.arguments(sel, list)
	if !answered.IsCompositeType() {
		return sel
	}
	if slices.ContainsFunc(g.schema.GetPossibleTypes(answered), func(d *ast.Definition) bool { return slices.Contains(d.Interfaces, "Node") }) {
		depth++ // a page and its edges are no level of their own
	}
	sel.sub = g.below(answered, list, depth)
	return sel
}

// below makes the selection set of a composite type.
func (g *generator) below(of *ast.Definition, list string, depth int) (set []*selection) {
	if of.IsAbstractType() {
		typename := &ast.FieldDefinition{Name: "__typename", Type: ast.NonNullNamedType("String", nil)}
		set = append(set, &selection{name: "__typename", key: "__typename", parent: of, field: typename})
		for _, field := range of.Fields {
			set = append(set, g.selection(of, field, "", depth))
		}
		kinds := slices.Clone(g.schema.GetPossibleTypes(of))
		slices.SortFunc(kinds, func(a, b *ast.Definition) int { return strings.Compare(a.Name, b.Name) })
		g.rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		for _, kind := range kinds[:1+g.rng.IntN(min(4, len(kinds)))] {
			for _, sel := range g.below(kind, "", depth) {
				if sel.name == "__typename" {
					continue
				}
				g.rename(sel) // two types may give one name to things of two kinds
				sel.on = kind.Name
				set = append(set, sel)
			}
		}
		return set
	}
	for _, field := range of.Fields {
		if strings.HasPrefix(field.Name, "__") || unasked[of.Name+"."+field.Name] != "" {
			continue
		}
		if forPeople[of.Name+"."+field.Name] && g.person.machine && g.chance(0.8) {
			continue
		}
		composite := g.schema.Types[field.Type.Name()].IsCompositeType()
		likely := 0.45
		switch {
		case composite && (depth >= 3 || g.shown > 70):
			continue
		case field.Name == "userErrors":
			likely = 1
		case field.Name == "id" || field.Name == "version":
			likely = 0.95
		case strings.HasSuffix(of.Name, "Payload"):
			likely = 0.95
		case g.cover.succeeded[of.Name+"."+field.Name] < 3:
			likely = 0.8
		}
		if !g.chance(likely) {
			continue
		}
		sel := g.selection(of, field, list, depth)
		if field.Name != "userErrors" && g.chance(0.04) { // they are looked for by name
			g.rename(sel)
		}
		if sel.sub == nil && g.chance(0.02) {
			name := g.variable(ast.NonNullNamedType("Boolean", nil), g.chance(0.7))
			sel.within = " @include(if: " + name + ")"
		}
		set = append(set, sel)
	}
	if len(set) == 0 || !slices.ContainsFunc(set, func(s *selection) bool { return s.within == "" }) || g.chance(0.05) {
		typename := &ast.FieldDefinition{Name: "__typename", Type: ast.NonNullNamedType("String", nil)}
		set = append(set, &selection{name: "__typename", key: "__typename", parent: of, field: typename})
	}
	return set
}

// variable declares one and gives it a value.
func (g *generator) variable(of *ast.Type, value any) string {
	name := fmt.Sprintf("v%d", len(g.op.declared)+1)
	g.op.declared = append(g.op.declared, "$"+name+": "+of.String())
	g.op.variables[name] = value
	return "$" + name
}

// arguments gives a field its arguments, and says which list its cursors are of.
func (g *generator) arguments(sel *selection, list string) string {
	var chosen ast.ArgumentDefinitionList
	forward := g.chance(0.5)
	for _, arg := range sel.field.Arguments {
		coordinate := sel.coordinateOf(arg.Name)
		switch {
		case (arg.Name == "last" || arg.Name == "before") && forward && g.chance(0.99),
			(arg.Name == "first" || arg.Name == "after") && !forward && g.chance(0.99):
		case arg.Type.NonNull && arg.DefaultValue == nil, g.chance(g.appetite(coordinate)):
			chosen = append(chosen, arg)
		}
	}
	// What orders a list decides which cursors are of it: first of all.
	if i := slices.IndexFunc(chosen, func(a *ast.ArgumentDefinition) bool { return a.Name == "orderBy" }); i > 0 {
		chosen[0], chosen[i] = chosen[i], chosen[0]
	}
	v := &values{g: g, sel: sel, list: list}
	for _, arg := range chosen {
		if (arg.Name == "after" || arg.Name == "before") && len(g.me.cursors[v.list]) == 0 && g.chance(0.95) {
			continue // nothing to begin from yet
		}
		value := v.value(sel.coordinateOf(arg.Name), arg.Name, arg.Type, sel.field.Type.Name(), nil)
		if g.chance(0.6) {
			sel.args = append(sel.args, arg.Name+": "+g.variable(arg.Type, value))
		} else {
			sel.args = append(sel.args, arg.Name+": "+literal(value))
		}
	}
	return v.list
}

func (s *selection) coordinateOf(argument string) string {
	return s.parent.Name + "." + s.name + "(" + argument + ":)"
}

// appetite is how likely something is given that may be left out.
func (g *generator) appetite(coordinate string) float64 {
	if g.cover.least(coordinate) == 0 {
		return 0.9
	}
	if g.cover.least(coordinate) < 5 || strings.HasSuffix(coordinate, "(after:)") || strings.HasSuffix(coordinate, "(before:)") {
		return 0.6
	}
	return 0.3
}

// values makes the values of one field's arguments.
type values struct {
	g    *generator
	sel  *selection
	list string
}

func (v *values) note(coordinate string, from origin) {
	v.sel.given = append(v.sel.given, given{coordinate, from})
	switch from {
	case foreign:
		v.g.op.foreign = true
	case junk:
		v.g.op.junk = true
	}
}

// value makes a value for an argument or input field. belongs is the type that its
// field answers with, or the input type that it stands in; beside are the values
// that stand there already.
func (v *values) value(coordinate, name string, of *ast.Type, belongs string, beside map[string]any) any {
	if of.Elem != nil {
		var list []any
		named := make(map[any]bool)
		for range 1 + v.g.rng.IntN(3) {
			one := v.value(coordinate, name, of.Elem, belongs, nil)
			if line, ok := one.(map[string]any); ok && line["productId"] != nil {
				if named[line["productId"]] && v.g.chance(0.9) { // two lines of one product are refused
					continue
				}
				named[line["productId"]] = true
			}
			list = append(list, one)
		}
		return list
	}
	if !of.NonNull && v.g.chance(0.01) {
		v.g.op.junk = true // a null may be refused
		return nil
	}
	definition := v.g.schema.Types[of.Name()]
	switch {
	case definition.Kind == ast.InputObject:
		v.note(coordinate, plain)
		return v.input(definition, belongs)
	case definition.Kind == ast.Enum:
		v.note(coordinate, plain)
		value := definition.EnumValues[v.g.rng.IntN(len(definition.EnumValues))].Name
		if name == "scopes" && v.g.chance(0.85) { // most of all a key that opens something
			value = definition.EnumValues[v.g.rng.IntN(len(definition.EnumValues)/2)].Name
		}
		if seen, ok := pick(v.g.rng, v.g.me.texts[definition.Name]); ok && v.g.chance(0.5) { // what there is
			value = seen
		}
		if often, ok := usual[definition.Name]; ok && v.g.chance(0.97) {
			value = often
		}
		return enum(value)
	}
	switch of.Name() {
	case "Boolean":
		v.note(coordinate, plain)
		return v.g.chance(0.5)
	case "Decimal":
		v.note(coordinate, plain)
		return fmt.Sprintf("%d.%02d", v.g.rng.IntN(100), v.g.rng.IntN(100))
	case "DateTime":
		v.note(coordinate, plain)
		at := v.g.now.Add(time.Duration(v.g.rng.IntN(7200)-7000) * time.Second)
		if name == "expiresAt" && v.g.chance(0.9) { // after the run: a server that remembers a key goes by a clock of its own
			at = at.AddDate(0, 0, 30+v.g.rng.IntN(300))
		}
		return at.Format(time.RFC3339)
	case "Int":
		make, ok := numbers[name]
		if !ok {
			panic("no generator for the Int " + coordinate + ": add one to numbers")
		}
		v.note(coordinate, plain)
		if known, ok := v.version(name, beside); ok {
			return known
		}
		return make(v.g)
	case "ID":
		given, from := v.g.id(coordinate, name, belongs)
		v.note(coordinate, from)
		return given
	case "String":
		if name == "after" || name == "before" {
			cursor, from := v.g.cursor(coordinate, v.list)
			v.note(coordinate, from)
			return cursor
		}
		make, ok := texts[name]
		if !ok {
			panic("no generator for the String " + coordinate + ": add one to texts")
		}
		text, from := make(v.g, coordinate)
		v.note(coordinate, from)
		return text
	}
	panic("no generator for the scalar " + of.Name() + " of " + coordinate + ": add one to value")
}

// version is that of the thing whose id stands beside it.
func (v *values) version(name string, beside map[string]any) (int, bool) {
	id, _ := beside["id"].(string)
	if name != "version" || id == "" || v.g.chance(0.05) {
		return 0, false
	}
	if known, ok := v.g.me.versions[id]; ok {
		return known, true
	}
	known, ok := v.g.other.versions[id]
	return known, ok
}

// ofOwner are the inputs that who is not signed in gives, and nobody else does.
var ofOwner = map[string]bool{"RegisterTenantInput.email": true, "RegisterTenantInput.password": true, "RegisterTenantInput.displayName": true}

// input makes an input object.
func (v *values) input(of *ast.Definition, belongs string) map[string]any {
	made := make(map[string]any)
	fields := slices.Clone(of.Fields)
	if of.Directives.ForName("oneOf") != nil {
		fields = ast.FieldList{fields[v.g.rng.IntN(len(fields))]}
	}
	if of.Name == "RegisterTenantInput" {
		v.g.op.nobody = v.g.chance(0.5)
	}
	for _, field := range fields {
		coordinate := of.Name + "." + field.Name
		if ofOwner[coordinate] && v.g.chance(0.98) { // mostly as it belongs
			if v.g.op.nobody {
				kind := *field.Type
				kind.NonNull = true
				made[field.Name] = v.value(coordinate, field.Name, &kind, of.Name+" "+belongs, made)
			}
			continue
		}
		if len(fields) > 1 && !(field.Type.NonNull && field.DefaultValue == nil) && !v.g.chance(v.g.appetite(coordinate)) {
			continue
		}
		kind := *field.Type
		if len(fields) == 1 { // the one of an @oneOf cannot be null
			kind.NonNull = true
		}
		made[field.Name] = v.value(coordinate, field.Name, &kind, of.Name+" "+belongs, made)
		if of.Name == "ProductOrder" || strings.HasSuffix(of.Name, "Order") && field.Name == "field" {
			if by, ok := made["field"].(enum); ok && !strings.Contains(v.list, "/") && by != "CREATED_AT" {
				v.list += "/" + string(by)
			}
		}
	}
	return made
}

// choose takes a value of one's own, of the other's or of nobody's.
func (g *generator) choose(coordinate string, mine, theirs, nobodys func() string) (string, origin) {
	from := own
	switch p := g.rng.Float64(); {
	case g.mode == oneForeign && !g.op.foreign && p < 0.8, g.mode == mixed && (p < 0.75 || g.cover.given[coordinate] == 0):
		from = foreign
	case g.mode == mixed && p < 0.93:
		from = junk
	}
	value := ""
	if from == foreign {
		value = theirs()
	}
	if value == "" && from != junk { // the other has none of the kind yet
		value, from = mine(), own
	}
	if value == "" {
		value, from = nobodys(), junk
	}
	g.origin[from]++
	return value, from
}

// known is a text that a field showed.
func (g *generator) known(coordinate, field, nobodys string) (string, origin) {
	of := func(s *side) func() string {
		return func() string { one, _ := pick(g.rng, s.texts[field]); return one }
	}
	return g.choose(coordinate, of(g.me), of(g.other), func() string { return nobodys })
}

// unique is a text that must be new to the tenant: most of the time it is.
func (g *generator) unique(coordinate, field, kind string) (string, origin) {
	text, from := g.known(coordinate, field, g.me.fresh(kind))
	if from == own && g.chance(0.85) {
		return g.me.fresh(kind), own
	}
	return text, from
}

func (g *generator) email(coordinate string) (string, origin) {
	someone := func(s *side) func() string {
		return func() string { return s.people[g.rng.IntN(len(s.people))].email }
	}
	fresh := strings.ToLower(g.me.fresh("new")) + "@tests.example"
	switch coordinate {
	case "SignInInput.email":
		return g.choose(coordinate, someone(g.me), someone(g.other), func() string { return fresh })
	case "RegisterTenantInput.email", "RequestPasswordResetInput.email": // see exceptions
		if g.chance(0.2) {
			return someone(g.me)(), own
		}
		return fresh, own
	}
	email, from := g.known(coordinate, "email", fresh)
	if from == own && g.chance(0.85) {
		return fresh, own
	}
	return email, from
}

// id makes an ID of the type that belongs there.
func (g *generator) id(coordinate, name, belongs string) (string, origin) {
	noun := g.noun(coordinate, name, belongs)
	of := func(s *side) func() string {
		return func() string {
			kind := noun
			if kind == anything {
				kinds := make([]string, 0, len(s.ids))
				for known := range s.ids {
					kinds = append(kinds, known)
				}
				if len(kinds) == 0 {
					return ""
				}
				slices.Sort(kinds)
				kind = kinds[g.rng.IntN(len(kinds))]
			}
			known := s.ids[kind]
			if kind == "Member" && s == g.me && strings.HasSuffix(coordinate, "Input.id") { // the owner stays one: who else may do everything
				known = slices.DeleteFunc(slices.Clone(known), func(one string) bool { return one == s.owner })
			}
			one, _ := pick(g.rng, known)
			return one
		}
	}
	return g.choose(coordinate, of(g.me), of(g.other), func() string { return g.nobodys(noun) })
}

// nobodys is an id that nothing has: well made, of something else, or none at all.
func (g *generator) nobodys(noun string) string {
	like, ok := pick(g.rng, g.me.ids[noun])
	prefix, suffix, _ := strings.Cut(like, "_")
	switch {
	case !ok || g.chance(0.2):
		return id.From[unknown](g.uuid()).String()
	case g.chance(0.2):
		return prefix + "_" + suffix[:len(suffix)-2]
	}
	_, made, _ := strings.Cut(id.From[unknown](g.uuid()).String(), "_")
	return prefix + "_" + made
}

type unknown struct{}

func (unknown) Prefix() string { return "none" }

func (g *generator) uuid() (u [16]byte) {
	for i := range u {
		u[i] = byte(g.rng.Uint32())
	}
	u[0] &= 0x0f // a moment of this age
	return u
}

// noun is the type whose id belongs there.
func (g *generator) noun(coordinate, name, belongs string) string {
	if noun, ok := nouns[coordinate]; ok {
		return noun
	}
	if noun, ok := nouns[name]; ok {
		return noun
	}
	bare := strings.TrimSuffix(strings.TrimSuffix(name, "s"), "Id")
	if bare != name && bare != "id" {
		if noun := strings.ToUpper(bare[:1]) + bare[1:]; g.schema.Types[noun] != nil {
			return noun
		}
	}
	found := ""
	if name == "id" || name == "ids" {
		for _, kind := range g.schema.GetPossibleTypes(g.schema.Types["Node"]) {
			if strings.Contains(belongs, kind.Name) && len(kind.Name) > len(found) {
				found = kind.Name
			}
		}
		if found == "" && strings.Contains(belongs, "Node") {
			found = anything
		}
	}
	if found == "" {
		panic("no generator for the ID " + coordinate + ": say in nouns of which type it is")
	}
	return found
}

// cursor is one of the same list, of one's own or of the other's.
func (g *generator) cursor(coordinate, list string) (string, origin) {
	of := func(s *side) func() string {
		return func() string { one, _ := pick(g.rng, s.cursors[list]); return one }
	}
	return g.choose(coordinate, of(g.me), of(g.other), func() string {
		return base64.RawURLEncoding.EncodeToString([]byte(`["products","2030-01-01T00:00:00Z","` + id.From[unknown](g.uuid()).UUID().String() + `"]`))
	})
}

// uuids are the ids as the database has them.
func uuids(public []string) (found [][16]byte) {
	for _, text := range public {
		var any id.Any
		if any.UnmarshalGQL(text) == nil {
			found = append(found, any.UUID)
		}
	}
	return found
}
