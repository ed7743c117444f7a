package graph_test

import (
	"sync"
	"testing"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
)

func TestCategoryChanges(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	top := addCategory(t, c, "Top", "")
	below := addCategory(t, c, "Below", top)
	update := func(category string, version int, more map[string]any) changed {
		input := map[string]any{"id": category, "version": version}
		for k, v := range more {
			input[k] = v
		}
		return mutate(t, c, "updateCategory", input)
	}
	is := func(got changed, name, parent string, version int) {
		t.Helper()
		if got.Category == nil || got.Category.Name != name || got.Category.Version != version ||
			(got.Category.Parent == nil) != (parent == "") || parent != "" && got.Category.Parent.ID != parent {
			t.Errorf("want %s below %q at version %d: %+v %v", name, parent, version, got.Category, got.UserErrors)
		}
	}
	is(update(below, 1, nil), "Below", top, 2)                                     // absent: all stays
	is(update(below, 2, map[string]any{"name": "Renamed"}), "Renamed", top, 3)     // the parent is absent
	is(update(below, 3, map[string]any{"parentId": nil}), "Renamed", "", 4)        // null: to the top
	is(update(below, 4, map[string]any{"parentId": top}), "Renamed", top, 5)       // a value
	refusedAs(t, update(below, 5, map[string]any{"name": nil}), "INVALID", "name") // never null
	refusedAs(t, update(below, 4, map[string]any{"name": "Late"}), "STALE_VERSION", "version")
	refusedAs(t, update(below, 4, map[string]any{"parentId": nil}), "STALE_VERSION", "version")
	refusedAs(t, update(id.NewCategory().String(), 1, nil), "NOT_FOUND", "id")
	refusedAs(t, update(below, 5, map[string]any{"parentId": id.NewCategory().String()}), "NOT_FOUND", "parentId")

	// Inside itself, in one step and in two.
	third := addCategory(t, c, "Third", below)
	for _, inside := range []string{top, below, third} {
		refusedAs(t, update(top, 1, map[string]any{"parentId": inside}), "INVALID", "parentId")
	}

	// Names are compared without case, beside each other only.
	addCategory(t, c, "Äpfel", top)
	refusedAs(t, mutate(t, c, "createCategory", map[string]any{"name": "äPFEL", "parentId": top}), "TAKEN", "name")
	refusedAs(t, update(below, 5, map[string]any{"name": "ÄPFEL"}), "TAKEN", "name")
	refusedAs(t, mutate(t, c, "createCategory", map[string]any{"name": "TOP"}), "TAKEN", "name")
	addCategory(t, c, "Äpfel", "")

	remove := func(category string, version int) changed {
		return mutate(t, c, "deleteCategory", map[string]any{"id": category, "version": version})
	}
	refusedAs(t, remove(below, 5), "IN_USE", "id") // holds Third
	held := addProduct(t, c, "one", "One", third)
	refusedAs(t, remove(third, 1), "IN_USE", "id")
	mutate(t, c, "deleteProduct", map[string]any{"id": held.ID, "version": 1})
	refusedAs(t, remove(third, 2), "STALE_VERSION", "version")
	if got := remove(third, 1); got.Category == nil {
		t.Errorf("remove an empty category: %v", got.UserErrors)
	}
	refusedAs(t, remove(third, 1), "NOT_FOUND", "id")
	if got := remove(below, 5); got.Category == nil {
		t.Errorf("remove an emptied category: %v", got.UserErrors)
	}
}

// Two moves at once never make together the circle that neither makes alone.
func TestConcurrentMovesMakeNoCircle(t *testing.T) {
	t.Parallel()
	c := apitest.New(t, pgtest.New(t)).NewTenant(t)
	super := pgtest.Superuser(t)
	ring := []string{addCategory(t, c, "A", ""), addCategory(t, c, "B", ""), addCategory(t, c, "C", "")}
	moved := 0
	for round := range 40 {
		// All to the top, then each below the next at once: a whole ring would be
		// one circle, and two of them are enough where round is odd.
		size := len(ring) - round%2
		versions := make([]int, size)
		for i, category := range ring {
			exec(t, super, `update shared.categories set parent_id = null where tenant_id = $1 and id = $2`, c.Tenant.ID, uuidOfCategory(t, category))
			if i < size {
				versions[i] = int(columnOne[int32](t, super, `select version from shared.categories where tenant_id = $1 and id = $2`, c.Tenant.ID, uuidOfCategory(t, category)))
			}
		}
		codes := make([]string, size)
		var group sync.WaitGroup
		start := make(chan struct{})
		for i := range size {
			group.Go(func() {
				<-start
				codes[i] = mutate(t, c, "updateCategory", map[string]any{"id": ring[i], "version": versions[i], "parentId": ring[(i+1)%size]}).code()
			})
		}
		close(start)
		group.Wait()
		refused := 0
		for _, code := range codes {
			switch code {
			case "":
				moved++
			case "INVALID":
				refused++
			default:
				t.Errorf("a move was refused with %s", code)
			}
		}
		if refused != 1 {
			t.Errorf("round %d: %d of %d moves were refused, want exactly the one that closes the circle", round, refused, size)
		}
		if inCircle := columnOne[int64](t, super, `
			with recursive up as (
				select id as start, parent_id, 1 as steps from shared.categories where tenant_id = $1
				union all
				select up.start, c.parent_id, up.steps + 1 from up join shared.categories as c on c.tenant_id = $1 and c.id = up.parent_id where up.steps < 10
			) select count(*) from up where steps = 10`, c.Tenant.ID); inCircle > 0 {
			t.Fatalf("round %d: %d categories stand above themselves", round, inCircle)
		}
	}
	if moved == 0 {
		t.Error("nothing was ever moved")
	}
}

func uuidOfCategory(t testing.TB, category string) any {
	t.Helper()
	var parsed id.Category
	if err := parsed.UnmarshalText([]byte(category)); err != nil {
		t.Fatal(err)
	}
	return parsed
}
