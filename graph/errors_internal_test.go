package graph

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold/internal/fault"
)

// A code that a mutation meets and does not declare leaves as INTERNAL, with a line in
// the log that names it: never as a value that the enum lacks. Alone: it reads the log.
func TestAnUndeclaredCodeNeverLeaves(t *testing.T) { //nolint:paralleltest // see above
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	for _, met := range []struct {
		mutation string
		err      error
		code     fault.Code // of the request; "" for a user error
	}{
		{"createCustomer", fault.New(fault.Taken, "secret"), ""},
		{"createCustomer", fault.New(fault.OutOfStock, "secret"), fault.Internal},
		{"createCustomer", fault.New(fault.OutOfStock, "secret").At("name"), fault.Internal},
		{"createCustomer", errors.Join(fault.New(fault.Taken, "said"), fault.New(fault.StaleVersion, "secret")), fault.Internal},
		{"placeOrder", fault.New(fault.OutOfStock, "said"), ""},
		{"signOut", fault.New(fault.Invalid, "secret"), fault.Internal},
		{"createCustomer", fault.New(fault.Timeout, "said"), fault.Timeout},
		{"signIn", fault.New(fault.TenantSuspended, "said"), fault.TenantSuspended},
		{"signIn", fault.New(fault.TenantSuspended, "said").At("tenant"), ""},
	} {
		log.Reset()
		field := &ast.Field{Name: met.mutation, Definition: runningSchema().Mutation.Fields.ForName(met.mutation)}
		ctx := graphql.WithFieldContext(context.Background(), &graphql.FieldContext{Field: graphql.CollectedField{Field: field}})
		shown, err := userErrors(ctx, met.err)
		if met.code == "" {
			if err != nil || len(shown) != 1 || shown[0].Code != fault.CodeOf(met.err) {
				t.Errorf("%s, %v: %v, %v", met.mutation, met.err, shown, err)
			}
			continue
		}
		if err == nil || len(shown) != 0 {
			t.Errorf("%s, %v: %v, %v", met.mutation, met.err, shown, err)
			continue
		}
		answered := PresentError(ctx, err)
		if answered.Extensions["code"] != met.code || strings.Contains(answered.Message, "secret") {
			t.Errorf("%s, %v: %v", met.mutation, met.err, answered)
		}
		if met.code == fault.Internal && !strings.Contains(log.String(), met.mutation+" met ") {
			t.Errorf("the log does not say what %s met: %s", met.mutation, log.String())
		}
	}
}

// Whatever a payload shows went through userErrors.
func TestPayloadsShowWhatWasChecked(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`UserErrors(:|\s*=)\s*(\w+)`)
	checked := regexp.MustCompile(`shown, err :?= userErrors\(`)
	payloads := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		found := shown.FindAllSubmatch(text, -1)
		for _, m := range found {
			if string(m[2]) != "shown" {
				t.Errorf("%s: %s", file, m[0])
			}
		}
		if calls := len(checked.FindAll(text, -1)); calls != len(found) {
			t.Errorf("%s has %d payloads with user errors and %d calls of userErrors", file, len(found), calls)
		}
		payloads += len(found)
	}
	if mutations := len(runningSchema().Mutation.Fields); payloads != mutations {
		t.Errorf("%d payloads for %d mutations", payloads, mutations)
	}
}
