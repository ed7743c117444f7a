package graph

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/commonhold/commonhold/graph/generated"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/telemetry"
)

// userErrors splits what a mutation met into what a correct client can meet, which
// is shown beside a null entity, and everything else, which is an error of the
// request. An error that names an input field is always the former.
func userErrors(err error) ([]*generated.UserError, error) {
	found := []*generated.UserError{}
	for _, one := range flatten(err) {
		coded, ok := errors.AsType[*fault.Error](one)
		code := generated.UserErrorCode("")
		if ok {
			code = generated.UserErrorCode(coded.Code)
		}
		if !code.IsValid() || coded.Code == fault.TenantSuspended && coded.Field == nil {
			return []*generated.UserError{}, err
		}
		shown := &generated.UserError{Message: coded.Message, Code: code}
		if coded.Field != nil {
			shown.Field = append([]string{"input"}, coded.Field...)
		}
		found = append(found, shown)
	}
	return found, nil
}

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
		return &gqlerror.Error{Message: coded.Message, Path: shown.Path, Locations: shown.Locations, Extensions: map[string]any{"code": coded.Code}}
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
