package server

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator/core"

	"github.com/commonhold/commonhold/graph/scalar"
	"github.com/commonhold/commonhold/internal/fault"
)

// strictVariables is a gqlgen extension. It holds variables to what gqlparser holds a
// document to: each value is of its type, to the letter (GraphQL specification, sections
// 3.5 and 3.9), and a @oneOf has exactly one field, which is not null (section 3.10.1).
// What is wrong is named by its path.
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
	if err := s.refuse(op.Operation, op.Variables); err != nil {
		return coded(err)
	}
	return nil
}

// refuse says what is wrong first with the variables of an operation, nil if nothing.
func (s *strictVariables) refuse(op *ast.OperationDefinition, variables map[string]any) *fault.Error {
	for _, v := range op.VariableDefinitions {
		if err := s.check("$"+v.Variable, v.Type, variables[v.Variable]); err != nil {
			return err
		}
	}
	return nil
}

func (s *strictVariables) check(path string, kind *ast.Type, value any) *fault.Error {
	if value == nil {
		return nil
	}
	if kind.Elem != nil {
		list := reflect.ValueOf(value)
		if list.Kind() != reflect.Slice { // a list of one, as the specification has it
			return s.check(path, kind.Elem, value)
		}
		for i := range list.Len() {
			if err := s.check(path+"["+strconv.Itoa(i)+"]", kind.Elem, list.Index(i).Interface()); err != nil {
				return err
			}
		}
		return nil
	}
	definition := s.schema.Types[kind.Name()]
	switch definition.Kind {
	case ast.InputObject:
		return s.checkMembers(path, definition, value)
	case ast.Enum:
		if name, ok := value.(string); !ok || definition.EnumValues.ForName(name) == nil {
			return fault.New(fault.BadRequest, "%s is not a value of %s. Use one that the schema lists, in capitals.", path, definition.Name)
		}
	default:
		if err := checkScalar(definition.Name, value); err != nil {
			return fault.New(fault.BadRequest, "%s: %s", path, err.Message)
		}
	}
	return nil
}

func (s *strictVariables) checkMembers(path string, definition *ast.Definition, value any) *fault.Error {
	members, _ := value.(map[string]any)
	unknown, least := false, "" // the same one each time
	for name := range members {
		if definition.Fields.ForName(name) == nil && (!unknown || name < least) {
			unknown, least = true, name
		}
	}
	if unknown {
		return fault.New(fault.BadRequest, "%s.%.*s: %s has no such field. Leave it out.", path, maxName, least, definition.Name)
	}
	for _, field := range definition.Fields {
		member, given := members[field.Name]
		if definition.Directives.ForName("oneOf") != nil && (len(members) != 1 || given && member == nil) {
			var names []string
			for _, one := range definition.Fields {
				names = append(names, one.Name)
			}
			return fault.New(fault.BadRequest, "%s: give exactly one of %s, not null, and leave the others out.", path, strings.Join(names, " and "))
		}
		if err := s.check(path+"."+field.Name, field.Type, member); err != nil {
			return err
		}
	}
	return nil
}

// strictLiterals is a rule of validation. It holds the scalars of a document to their
// types where gqlparser does not, the range of an Int and the scalars that are ours:
// a mutation must not be half done when the next one meets such a value (GraphQL
// specification, sections 3.5 and 5.6.1).
func strictLiterals(observers *core.Events, addError core.AddErrFunc) {
	observers.OnValue(func(_ *core.Walker, v *ast.Value) {
		if v.Definition == nil || v.Definition.Kind != ast.Scalar || v.Definition.BuiltIn && (v.Definition.Name != "Int" || v.Kind != ast.IntValue) {
			return
		}
		var given any = v.Raw
		switch v.Kind {
		case ast.IntValue, ast.FloatValue:
			given = json.Number(v.Raw)
		case ast.BooleanValue:
			given = v.Raw == "true"
		case ast.StringValue, ast.BlockValue, ast.EnumValue:
		default: // refused already, or looked at part by part
			return
		}
		if err := checkScalar(v.Definition.Name, given); err != nil {
			addError(core.Message("%s", err.Message), core.At(v.Position))
		}
	})
}

// checkScalar says what is wrong with a value for a scalar. Ids say it themselves: which
// kind is wanted, the field knows.
func checkScalar(name string, value any) *fault.Error {
	var err error
	_, number := value.(json.Number)
	_, text := value.(string)
	switch name {
	case "Int":
		_, err = scalar.UnmarshalInt(value)
	case "Float":
		if !number && reflect.ValueOf(value).Kind() != reflect.Float64 {
			return fault.New(fault.BadRequest, "This is not a Float: a number, without quotes.")
		}
	case "String":
		if !text {
			return fault.New(fault.BadRequest, "This is not a String: put it in quotes.")
		}
	case "Boolean":
		if _, ok := value.(bool); !ok {
			return fault.New(fault.BadRequest, "This is not a Boolean: true or false, without quotes.")
		}
	case "DateTime":
		_, err = scalar.UnmarshalDateTime(value)
	case "Decimal":
		err = new(scalar.Decimal).UnmarshalGQL(value)
	case "JSON":
		_, err = scalar.UnmarshalJSON(value)
	}
	coded, _ := errors.AsType[*fault.Error](err)
	return coded
}

// wholeNumbers writes each number without a fraction as a whole one: 3.0 is 3, as in
// every language that has one kind of number.
func wholeNumbers(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = wholeNumbers(member)
		}
	case []any:
		for i, member := range v {
			v[i] = wholeNumbers(member)
		}
	case json.Number:
		const exact = 1 << 53 // from here on two whole numbers may be one float
		f, err := v.Float64()
		if strings.ContainsAny(string(v), ".eE") && err == nil && f == math.Trunc(f) && math.Abs(f) < exact {
			return json.Number(strconv.FormatInt(int64(f), 10))
		}
	}
	return value
}
