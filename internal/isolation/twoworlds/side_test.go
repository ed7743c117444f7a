package twoworlds

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/tenant"
)

// side is what is known of one tenant: who is in it, and what its answers have
// shown. What A knows is own to A, what B knows is foreign to it.
type side struct {
	name     string
	tenant   tenant.ID
	slug     string
	password string // of all its people
	people   []*person
	owner    string // the membership of the first of them

	ids      map[string][]string // by type
	versions map[string]int
	cursors  map[string][]string // by list and order
	texts    map[string][]string // by the field that showed them; of an enum by its type
	keys     []string            // for idempotency
	keyed    []*request          // sent with a key, for a retry
	made     int                 // counts what must be new
}

type person struct {
	email   string
	role    auth.Role
	bearer  string
	machine bool // asks with an API key
}

func newSide(name string) *side {
	return &side{
		name: name, slug: "tenant-" + name, password: "the password of everybody in " + name,
		ids: make(map[string][]string), versions: make(map[string]int),
		cursors: make(map[string][]string), texts: make(map[string][]string),
	}
}

// clone is the side with a memory of its own.
func (s *side) clone() *side {
	c := *s
	c.ids, c.cursors, c.texts, c.versions = cloned(s.ids), cloned(s.cursors), cloned(s.texts), maps.Clone(s.versions)
	c.keys, c.keyed, c.people = slices.Clone(s.keys), slices.Clone(s.keyed), nil
	for _, someone := range s.people {
		c.people = append(c.people, new(*someone))
	}
	return &c
}

func cloned(known map[string][]string) map[string][]string {
	c := make(map[string][]string, len(known))
	for of, values := range known {
		c[of] = slices.Clone(values)
	}
	return c
}

// kept is how many of a kind are remembered, the newest.
const kept = 60

func remember[T any](known []T, more T) []T {
	if len(known) >= kept {
		known = known[1:]
	}
	return append(known, more)
}

// pick prefers what is new: the old may be gone.
func pick[T any](rng *rand.Rand, known []T) (one T, ok bool) {
	if len(known) == 0 {
		return one, false
	}
	from := 0
	if rng.Float64() < 0.6 {
		from = max(0, len(known)-8)
	}
	return known[from+rng.IntN(len(known)-from)], true
}

// fresh is a text that nobody has used.
func (s *side) fresh(kind string) string {
	s.made++
	return fmt.Sprintf("%s-%s-%d", kind, s.name, s.made)
}

// learn reads an answer to an operation, remembers what it shows and notes what
// succeeded. It tells whether everything did.
func (s *side) learn(op *operation, a answer, c *coverage) bool {
	var whole struct {
		Data   json.RawMessage
		Errors []struct{ Path []any }
	}
	if json.Unmarshal(a.body, &whole) != nil || whole.Data == nil {
		return false
	}
	decoder := json.NewDecoder(strings.NewReader(string(whole.Data)))
	decoder.UseNumber()
	var data map[string]any
	if decoder.Decode(&data) != nil {
		return false
	}
	w := &walk{side: s, cover: c, good: len(whole.Errors) == 0 && !op.foreign && !op.junk}
	refused := strings.Contains(string(whole.Data), `"userErrors":[{`)
	w.good = w.good && !refused
	w.object(op.root, data)
	if w.good && c != nil {
		for _, coordinate := range op.inputs() {
			c.succeeded[coordinate]++
		}
	}
	return len(whole.Errors) == 0 && !refused
}

// walk goes through an answer beside the selection that asked for it.
type walk struct {
	side  *side
	cover *coverage
	good  bool // own ids alone, and no error
}

func (w *walk) object(set []*selection, object map[string]any) {
	kind, shown := "", make(map[string]any)
	for _, sel := range set {
		value, there := object[sel.key]
		if !there || value == nil {
			continue
		}
		shown[sel.name] = value
		if sel.name == "__typename" {
			kind, _ = value.(string)
			continue
		}
		if sel.on != "" {
			kind = sel.on
		}
		if w.good && w.cover != nil {
			w.cover.succeeded[sel.coordinate()]++
		}
		switch v := value.(type) {
		case map[string]any:
			w.object(sel.sub, v)
		case []any:
			for _, one := range v {
				if below, ok := one.(map[string]any); ok {
					w.object(sel.sub, below)
				}
			}
		case string:
			w.text(sel, v)
		}
	}
	w.entity(kind, set, shown)
}

func (w *walk) text(sel *selection, v string) {
	switch {
	case sel.list != "" && v != "":
		w.side.cursors[sel.list] = remember(w.side.cursors[sel.list], v)
	case sel.field.Type.Name() == "String":
		w.side.texts[sel.name] = remember(w.side.texts[sel.name], v)
	default: // the values of an enum that were met, by its name
		w.side.texts[sel.field.Type.Name()] = remember(w.side.texts[sel.field.Type.Name()], v)
	}
}

// entity remembers the id and the version of what was shown.
func (w *walk) entity(kind string, set []*selection, shown map[string]any) {
	id, ok := shown["id"].(string)
	if !ok {
		return
	}
	if kind == "" {
		kind = set[0].parent.Name
	}
	if version, ok := shown["version"].(json.Number); ok {
		if n, err := version.Int64(); err == nil {
			w.side.versions[id] = int(n)
		}
	}
	// Of the mails that nobody sees, those to addresses that this side made up have come.
	if email, _ := shown["email"].(string); kind == "Invitation" && strings.HasPrefix(email, "new-"+w.side.name+"-") {
		for _, of := range uuids([]string{id}) {
			w.side.texts["invitation"] = remember(w.side.texts["invitation"], ring().Token("invitation", of))
		}
	}
	known := w.side.ids[kind]
	for i, other := range known { // once, as the newest
		if other == id {
			known = append(known[:i:i], known[i+1:]...)
			break
		}
	}
	w.side.ids[kind] = remember(known, id)
}
