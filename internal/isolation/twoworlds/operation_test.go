package twoworlds

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// operation is one that was made up, as a tree: what it asks for and where each
// value came from.
type operation struct {
	kind      ast.Operation
	root      []*selection
	variables map[string]any
	declared  []string
	fragments []string
	deferred  bool
	foreign   bool // something of the other tenant is in it
	junk      bool // something of nobody is
	nobody    bool // it is for who is not signed in
	text      string
}

// selection is a field that is asked for.
type selection struct {
	name   string
	key    string // in the answer
	on     string // the type whose fragment it stands in, where the parent is an interface
	parent *ast.Definition
	field  *ast.FieldDefinition
	list   string // of a cursor: where it is from
	args   []string
	within string // the directive behind it
	given  []given
	sub    []*selection
}

// given is a value of an argument or of a field of an input.
type given struct {
	coordinate string
	from       origin
}

type origin int

const (
	plain   origin = iota // belongs to nobody: a number, a status
	own                   // of the caller's tenant
	foreign               // of the other one
	junk                  // of none
)

func (s *selection) coordinate() string {
	parent := s.parent.Name
	if s.on != "" {
		parent = s.on
	}
	return parent + "." + s.name
}

// each visits all selections.
func each(set []*selection, visit func(*selection)) {
	for _, sel := range set {
		visit(sel)
		each(sel.sub, visit)
	}
}

// fields are the fields that the operation asks for.
func (op *operation) fields() []string {
	found := make(map[string]bool)
	each(op.root, func(s *selection) {
		if s.name != "__typename" {
			found[s.coordinate()] = true
		}
	})
	return slices.Collect(maps.Keys(found))
}

// inputs are the arguments and input fields that it gives.
func (op *operation) inputs() []string {
	found := make(map[string]bool)
	each(op.root, func(s *selection) {
		for _, g := range s.given {
			found[g.coordinate] = true
		}
	})
	return slices.Collect(maps.Keys(found))
}

// write makes the text of the operation.
func (op *operation) write(g *generator) {
	var b strings.Builder
	body := op.set(g, op.root, 0)
	b.WriteString(string(op.kind))
	if len(op.declared) > 0 {
		b.WriteString("(" + strings.Join(op.declared, ", ") + ")")
	}
	b.WriteString(" " + body)
	for _, fragment := range op.fragments {
		b.WriteString("\n" + fragment)
	}
	op.text = b.String()
}

// set writes a selection set, some of it in fragments.
func (op *operation) set(g *generator, set []*selection, level int) string {
	fields := make([]string, 0, len(set))
	var bare []string
	on := make(map[string][]string) // what stands in a fragment of a type
	for _, sel := range set {
		text := sel.name
		if sel.key != sel.name {
			text = sel.key + ": " + text
		}
		if len(sel.args) > 0 {
			text += "(" + strings.Join(sel.args, ", ") + ")"
		}
		text += sel.within
		if sel.sub != nil {
			text += " " + op.set(g, sel.sub, level+1)
		}
		if sel.on != "" {
			on[sel.on] = append(on[sel.on], text)
			continue
		}
		if level > 1 && op.kind == ast.Query && sel.sub == nil && sel.within == "" && sel.name != "id" && !op.deferred && g.chance(0.01) {
			op.deferred = true
			text = "... @defer { " + text + " }"
		}
		bare = append(bare, text)
	}
	fields = append(fields, bare...)
	for _, kind := range slices.Sorted(maps.Keys(on)) {
		if g.chance(0.3) {
			fields = append(fields, op.fragment(kind, "{ "+strings.Join(on[kind], " ")+" }"))
			continue
		}
		fields = append(fields, "... on "+kind+" { "+strings.Join(on[kind], " ")+" }")
	}
	text := "{ " + strings.Join(fields, " ") + " }"
	if level > 0 && g.chance(0.1) {
		return "{ " + op.fragment(set[0].parent.Name, text) + " }"
	}
	return text
}

// fragment names a selection set and spreads it.
func (op *operation) fragment(on, text string) string {
	name := fmt.Sprintf("f%d", len(op.fragments)+1)
	op.fragments = append(op.fragments, "fragment "+name+" on "+on+" "+text)
	return "..." + name
}

// enum is a value that is written without quotes.
type enum string

// literal writes a value into a document.
func literal(value any) string {
	switch v := value.(type) {
	case enum:
		return string(v)
	case []any:
		parts := make([]string, len(v))
		for i, one := range v {
			parts[i] = literal(one)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, name+": "+literal(v[name]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // a string, a number, a bool or null
	}
	return string(text)
}
