package graph

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var anAction = regexp.MustCompile(`^[a-z_]+\.[a-z_]*$`)

// actions finds the text of every action in Go source: the first text "noun.verb" or
// "noun." of an argument of a call that records.
func actions(t testing.TB, name string, source any) (found []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		called := ""
		switch f := call.Fun.(type) {
		case *ast.Ident:
			called = f.Name
		case *ast.SelectorExpr:
			called = f.Sel.Name
		}
		if !slices.Contains([]string{"Record", "changeProduct", "changeCategory", "changeCustomer"}, called) {
			return true
		}
		for _, argument := range call.Args {
			if sum, ok := argument.(*ast.BinaryExpr); ok {
				argument = sum.X
			}
			if text, ok := argument.(*ast.BasicLit); ok && text.Kind == token.STRING {
				if value, err := strconv.Unquote(text.Value); err == nil && anAction.MatchString(value) {
					found = append(found, value)
				}
			}
		}
		return true
	})
	return found
}

// An entry shows the id of what it is about: its noun must have a prefix.
func TestEveryActionHasAPrefix(t *testing.T) {
	t.Parallel()
	known := func(action string) bool {
		noun, _, _ := strings.Cut(action, ".")
		return prefixes[noun] != ""
	}
	seen := make(map[string]bool)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && slices.Contains([]string{"generated", "node_modules", ".git", "sqlc"}, d.Name()) {
			return errOr(err, fs.SkipDir)
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			for _, action := range actions(t, path, nil) {
				seen[action] = true
				if !known(action) {
					t.Errorf("%s: nothing is known of the noun of %s: add what its ids begin with to prefixes in graph/audit.go", path, action)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"product.created", "category.deleted", "customer.updated", "order.placed", "order.", "session.refreshed", "member.added", "tenant.registered", "api_key.rotated"} {
		if !seen[action] {
			t.Errorf("%s was not found: this test reads the code no more", action)
		}
	}
	// Planted: a noun that nobody knows.
	planted := actions(t, "planted.go", "package p\nfunc f() { event.Record(ctx, q, `unicorn.created`, u, nil); control.Record(ctx, q, t, u, `key.` + verb, e, nil) }")
	if !slices.Equal(planted, []string{"unicorn.created", "key."}) || known(planted[0]) || known(planted[1]) {
		t.Errorf("planted actions: %v", planted)
	}
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
