package graph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/telemetry"
)

// userErrors splits what a mutation met into what a correct client can meet, which
// is shown beside a null entity, and everything else, which is an error of the
// request. An error that names an input field is always the former. A code that a
// client can meet and the mutation does not declare is a mistake of ours: it is
// logged and masked, so that no answer ever holds a code that its enum lacks.
func userErrors(ctx context.Context, err error) ([]*fault.Error, error) {
	found := []*fault.Error{}
	for _, one := range flatten(err) {
		coded, ok := errors.AsType[*fault.Error](one)
		if !ok || !coded.Code.IsUserError() || coded.Code == fault.TenantSuspended && coded.Field == nil {
			return []*fault.Error{}, err
		}
		if codes := codesOf(graphql.GetFieldContext(ctx).Field.Definition); codes.ForName(string(coded.Code)) == nil {
			return []*fault.Error{}, fmt.Errorf("%s met %s, which its enum does not declare: %s", graphql.GetFieldContext(ctx).Field.Name, coded.Code, coded.Error())
		}
		shown := &fault.Error{Message: coded.Message, Code: coded.Code}
		if coded.Field != nil {
			shown.Field = append([]string{"input"}, coded.Field...)
		}
		found = append(found, shown)
	}
	return found, nil
}

// codesOf are the codes that a mutation's user errors can have, nil for any other field.
func codesOf(mutation *ast.FieldDefinition) ast.EnumValueList {
	types := runningSchema().Types
	kind := types[mutation.Type.Name()]
	for _, name := range []string{"userErrors", "code"} {
		field := kind.Fields.ForName(name)
		if field == nil {
			return nil
		}
		kind = types[field.Type.Name()]
	}
	return kind.EnumValues
}

var runningSchema = sync.OnceValue(func() *ast.Schema { return generated.NewExecutableSchema(generated.Config{}).Schema() })

// flatten undoes errors.Join.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.Concat(apply(joined.Unwrap(), flatten)...)
	}
	return []error{err}
}

func apply[A, B any](as []A, f func(A) B) []B {
	bs := make([]B, len(as))
	for i, a := range as {
		bs[i] = f(a)
	}
	return bs
}

// PresentError shows coded errors with their code and masks every other: the log
// has it, under the request's id.
func PresentError(ctx context.Context, err error) *gqlerror.Error {
	shown := graphql.DefaultErrorPresenter(ctx, err)
	if coded, ok := errors.AsType[*fault.Error](err); ok {
		if coded.Cause != nil {
			level := slog.LevelWarn
			if coded.Code == fault.Canceled { // each field of a request that nobody waits for
				level = slog.LevelDebug
			}
			slog.Log(ctx, level, "request refused", "code", coded.Code, "cause", coded.Cause)
		}
		extensions := map[string]any{"code": coded.Code}
		if coded.RetryAfter > 0 {
			extensions["retryAfter"] = int(coded.RetryAfter.Seconds())
		}
		return &gqlerror.Error{Message: coded.Message, Path: shown.Path, Locations: shown.Locations, Extensions: extensions}
	}
	if ours, ok := errors.AsType[*gqlerror.Error](err); ok && ours.Unwrap() == nil {
		// The parser's and the executor's own: what they say concerns the document.
		if ours.Extensions["code"] == nil {
			shown.Extensions = map[string]any{"code": fault.BadRequest}
		}
		return shown
	}
	slog.ErrorContext(ctx, "request failed", "error", err)
	return &gqlerror.Error{
		Message:    "Something went wrong on our side. It was logged as " + telemetry.FromContext(ctx).ID + ".",
		Path:       shown.Path,
		Extensions: map[string]any{"code": fault.Internal},
	}
}

// asRequest makes an invalid argument of a query what it is there: a bad request.
func asRequest(err error) error {
	if coded, ok := errors.AsType[*fault.Error](err); ok && coded.Code == fault.Invalid {
		return fault.New(fault.BadRequest, "%s", coded.Message)
	}
	return err
}
