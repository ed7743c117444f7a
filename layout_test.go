package commonhold_test

import (
	"cmp"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/commonhold/commonhold/"

// order is the direction of dependencies: a package may import what stands before
// it. A new package gets its place here, or the test says so.
var order = []string{
	"", // the schema
	"internal/fault", "internal/text", "internal/id", "internal/tenant", "internal/telemetry", "internal/keyring", "internal/memory", "internal/embeddedpg",
	"sqlc/tenantsql", "sqlc/accountsql", "sqlc/controlsql",
	"internal/postgres", "internal/isolation", "internal/job", "internal/control", "internal/idempotency", "internal/auth", "internal/event", "internal/demo",
	"graph/scalar", "graph/relay", "graph/generated", "graph",
	"web/graphiql", "web/mailbox", "web/links", "internal/server", "cmd/commonhold",
	// For tests and tools alone; nothing above may import them.
	"internal/pgtest", "internal/pgtest/vetsql", "web/graphiql/graphiqltest", "internal/apitest", "internal/bench", "internal/coderules", "internal/isolation/textproof", "internal/isolation/twoworlds",
}

// reserved says which packages alone may import a library.
var reserved = map[string][]string{
	"github.com/jackc/pgx/v5":                 {"internal/postgres", "internal/isolation", "internal/pgtest", "internal/bench", "sqlc/tenantsql", "sqlc/accountsql", "sqlc/controlsql"}, // doctor connects as itself
	"github.com/jackc/pgx/v5/pgconn":          {"internal/postgres", "internal/isolation", "sqlc/tenantsql", "sqlc/accountsql", "sqlc/controlsql"},
	"github.com/jackc/pgx/v5/pgconn/ctxwatch": {"internal/postgres"},
	// River runs its statements on our pool, which stays where it is; what they do is
	// said elsewhere.
	"github.com/riverqueue/river/riverdriver":            {"internal/postgres"},
	"github.com/riverqueue/river/riverdriver/riverpgxv5": {"internal/postgres"},
	"github.com/riverqueue/river":                        {"internal/postgres", "internal/job"},
	"github.com/riverqueue/river/rivertype":              {"internal/job"},
	"github.com/wneessen/go-mail":                        {"internal/job"},
	"github.com/jackc/pgx/v5/pgtype":                     {"internal/id", "sqlc/tenantsql", "sqlc/accountsql"}, // how an id and a transaction are written
	"github.com/jackc/pgx/v5/pgxpool":                    {"internal/postgres", "internal/bench"},
	"database/sql":                                       {"internal/postgres"}, // goose takes nothing else
	"github.com/go-chi/chi/v5":                           {"internal/server", "internal/auth", "cmd/commonhold"},
	"github.com/vikstrous/dataloadgen":                   {"graph"},
	"github.com/alexedwards/argon2id":                    {"internal/auth"},
	"github.com/golang-jwt/jwt/v5":                       {"internal/auth"},
	"github.com/pressly/goose/v3":                        {"internal/postgres"},
	"github.com/alecthomas/kong":                         {"cmd/commonhold"},
	"github.com/willabides/kongplete":                    {"cmd/commonhold"},
	"github.com/jackc/pgx/v5/stdlib":                     {"internal/postgres"},
	"github.com/99designs/gqlgen/graphql/handler":        {"internal/server"},
	// A parser in WebAssembly, for the static proof alone; the package above it drags in
	// one in C.
	"github.com/wasilibs/go-pgquery/parser": {"internal/isolation/textproof"},
	"github.com/wasilibs/go-pgquery":        {},
}

// violations lists the imports that go against the direction or the reservations.
func violations(imports map[string][]string) (found []string) {
	for pkg, imported := range imports {
		place := slices.Index(order, pkg)
		if place < 0 {
			found = append(found, pkg+" has no place in the order of layout_test.go")
			continue
		}
		for _, path := range imported {
			if inside, ok := strings.CutPrefix(path+"/", module); ok {
				inside = strings.TrimSuffix(inside, "/")
				if other := slices.Index(order, inside); other >= place {
					found = append(found, pkg+" imports "+inside+", which stands after it")
				}
			}
			allowed, ok := reserved[path]
			if ok || strings.HasPrefix(path, "github.com/jackc/") { // all of pgx, whether it is listed or not
				if !slices.Contains(allowed, pkg) {
					found = append(found, pkg+" imports "+path+", which is reserved for "+cmp.Or(strings.Join(allowed, ", "), "nobody"))
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

func TestDependenciesPointOneWay(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	imports := make(map[string][]string)
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&pkg); err != nil {
			t.Fatal(err)
		}
		imports[strings.TrimPrefix(strings.TrimPrefix(pkg.ImportPath, strings.TrimSuffix(module, "/")), "/")] = pkg.Imports
	}
	if len(imports) < 15 {
		t.Fatalf("go list named only %d packages", len(imports))
	}
	for _, v := range violations(imports) {
		t.Error(v)
	}
}

// What the test above is there for, planted.
func TestDependencyViolationsAreFound(t *testing.T) {
	t.Parallel()
	for _, planted := range []struct {
		pkg, imported, says string
	}{
		{"internal/postgres", module + "graph", "stands after"},
		{"internal/fault", module + "internal/id", "stands after"},
		{"graph", "github.com/jackc/pgx/v5/pgxpool", "reserved"},
		{"internal/auth", "github.com/jackc/pgx/v5", "reserved"},
		{"internal/postgres", "github.com/jackc/pgx/v5/pgproto3", "reserved for nobody"},
		{"internal/control", "database/sql", "reserved"},
		{"internal/auth", "github.com/riverqueue/river", "reserved"},
		{"internal/job", "github.com/riverqueue/river/riverdriver/riverpgxv5", "reserved"},
		{"internal/job", module + "internal/control", "stands after"},
		{"graph", module + "internal/pgtest", "stands after"},
		{"internal/helpers", "fmt", "no place"},
	} {
		found := violations(map[string][]string{planted.pkg: {planted.imported}})
		if len(found) != 1 || !strings.Contains(found[0], planted.says) {
			t.Errorf("%s importing %s: %q", planted.pkg, planted.imported, found)
		}
	}
}
