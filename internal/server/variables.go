package server

import (
	"context"
	"encoding/json"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/commonhold/commonhold/internal/fault"
)

// strictVariables is a gqlgen extension. It refuses what gqlparser lets pass in
// variables though it does not in a document: a number for a String (GraphQL
// specification, section 3.5.3) and an enum's value in another case (section 3.9).
// Every other scalar checks itself.
type strictVariables struct{ schema *ast.Schema }

var (
	_ graphql.HandlerExtension        = (*strictVariables)(nil)
	_ graphql.OperationContextMutator = (*strictVariables)(nil)
)

func (*strictVariables) ExtensionName() string { return "StrictVariables" }

func (s *strictVariables) Validate(schema graphql.ExecutableSchema) error {
	s.schema = schema.Schema()
	return nil
}

// MutateOperationContext changes nothing: it only refuses.
func (s *strictVariables) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	for _, v := range op.Operation.VariableDefinitions {
		if err := s.check("$"+v.Variable, v.Type, op.Variables[v.Variable]); err != nil {
			return coded(err)
		}
	}
	return nil
}

func (s *strictVariables) check(path string, kind *ast.Type, value any) *fault.Error {
	if list, ok := value.([]any); ok && kind.Elem != nil {
		for _, entry := range list {
			if err := s.check(path, kind.Elem, entry); err != nil {
				return err
			}
		}
		return nil
	}
	definition := s.schema.Types[kind.Name()]
	switch {
	case value == nil:
		return nil
	case definition.Kind == ast.InputObject:
		members, _ := value.(map[string]any)
		for _, field := range definition.Fields {
			if err := s.check(path+"."+field.Name, field.Type, members[field.Name]); err != nil {
				return err
			}
		}
	case definition.Kind == ast.Enum:
		if name, ok := value.(string); !ok || definition.EnumValues.ForName(name) == nil {
			return fault.New(fault.BadRequest, "%s is not a value of %s. Use one that the schema lists, in capitals.", path, definition.Name)
		}
	case definition.Name == "String":
		if _, number := value.(json.Number); number {
			return fault.New(fault.BadRequest, "%s is not a String: put it in quotes.", path)
		}
	}
	return nil
}
