package server_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold"
	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/pgtest"
)

var trailing = regexp.MustCompile(` +\n`)

const rightsFile = "testdata/rights.txt"

var writeRights = flag.Bool("rights", false, "write "+rightsFile+" anew")

var roles = []auth.Role{auth.RoleOwner, auth.RoleAdmin, auth.RoleMember, auth.RoleViewer}

// Who may use which root field stands in a file, which whoever changes a right changes
// too, before the eyes of a reviewer. It is made from the schema, and the server is
// asked whether it is true.
func TestRights(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	all := documents(stock(t, owner))
	may := func(c *apitest.Client, document string) bool {
		a := c.Do(t, document, nil)
		return a.Code() != "FORBIDDEN" && a.Code() != "UNAUTHENTICATED"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-20s %-17s %-7s %-7s %-7s %-7s %s\n", "field", "guard", "OWNER", "ADMIN", "MEMBER", "VIEWER", "nobody")
	for _, field := range rightsOf(t) {
		fmt.Fprintf(&b, "%-20s %-17s", field.name, field.guard)
		for _, role := range append(roles, "") {
			allowed := field.allows(role)
			fmt.Fprintf(&b, " %-7s", map[bool]string{true: "yes", false: "-"}[allowed])
			if all[field.name] == "" { // signing in and refreshing, which a session has no part in
				continue
			}
			c := api.Anonymous()
			if role != "" {
				c = owner.Member(t, role)
			}
			if got := may(c, all[field.name]); got != allowed {
				t.Errorf("%s as %q: allowed %t, and the schema says %t", field.name, role, got, allowed)
			}
		}
		b.WriteString("\n")
	}
	text := trailing.ReplaceAllString(b.String(), "\n")
	if *writeRights {
		if err := os.WriteFile(rightsFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(rightsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(text, "\n")); diff != "" {
		t.Errorf("rights have changed (-%s +now). If they are meant to: go test ./internal/server -run TestRights -args -rights\n%s", rightsFile, diff)
	}
}

// guarded is a root field with who may use it.
type guarded struct {
	name, guard string // a permission, or the name of another directive
}

func (g guarded) allows(role auth.Role) bool {
	switch g.guard {
	case "@public":
		return true
	case "@authenticated":
		return role != ""
	}
	return role.Can(auth.Permission(g.guard))
}

func rightsOf(t testing.TB) (all []guarded) {
	t.Helper()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: commonhold.Schema})
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation} {
		for _, field := range root.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			guard := "@public"
			if needed := field.Directives.ForName("requires"); needed != nil {
				guard = needed.Arguments.ForName("permission").Value.Raw
			} else if field.Directives.ForName("authenticated") != nil {
				guard = "@authenticated"
			} else if field.Directives.ForName("public") == nil {
				t.Errorf("%s says nothing of who may use it", field.Name)
			}
			all = append(all, guarded{field.Name, guard})
		}
	}
	slices.SortStableFunc(all, func(a, b guarded) int { return strings.Compare(a.name, b.name) })
	return all
}
