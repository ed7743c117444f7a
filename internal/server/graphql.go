package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/commonhold/commonhold/graph"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/fault"
)

// newGraphQL is the executor behind /graphql.
func newGraphQL(c Config) http.Handler {
	srv := handler.New(graph.NewSchema(c.Resolver))
	prices := &pricing{limit: c.Limits.Cost}
	variables := &strictVariables{}
	srv.AddTransport(transport{db: c.DB, documents: newDocuments(c.Trusted), variables: variables, pricing: prices})
	srv.SetQueryCache(newDocumentCache[*ast.QueryDocument]())
	srv.SetParserTokenLimit(c.Limits.Tokens)
	srv.SetValidationRulesFn(validationRules)
	if !c.Introspection {
		srv.SetDisableSuggestion(true)
		srv.SetValidationRulesFn(withoutSuggestions)
	}
	srv.Use(variables)
	srv.Use(newLimiter(c.Limits))
	srv.Use(prices)
	if c.Introspection {
		srv.Use(extension.Introspection{})
	} else {
		srv.Use(unintrospected{})
	}
	srv.SetErrorPresenter(graph.PresentError)
	srv.SetRecoverFunc(func(ctx context.Context, panicked any) error {
		slog.ErrorContext(ctx, "panic in a resolver", "panic", panicked, "stack", string(debug.Stack()))
		return fmt.Errorf("panic: %v", panicked)
	})
	srv.AroundOperations(refuseCredential)
	srv.AroundResponses(c.Resolver.WithLoaders)
	return srv
}

// validationRules are gqlparser's, and one for what it leaves to the fields. Which of
// several names of types are near to a misspelt one it says in another order each
// time, so that is not said.
func validationRules() *rules.Rules {
	all := rules.NewDefaultRules()
	all.ReplaceRule(rules.KnownTypeNamesRule.Name, rules.KnownTypeNamesRuleWithoutSuggestions.RuleFunc)
	all.AddRule("StrictLiterals", strictLiterals)
	return all
}

// withoutSuggestions are the rules whose messages name nothing of the schema that
// the document did not. gqlgen exchanges two of them itself, and forgets these.
func withoutSuggestions() *rules.Rules {
	all := validationRules()
	all.ReplaceRule(rules.KnownArgumentNamesRule.Name, rules.KnownArgumentNamesRuleWithoutSuggestions.RuleFunc)
	all.ReplaceRule(rules.ValuesOfCorrectTypeRule.Name, rules.ValuesOfCorrectTypeRuleWithoutSuggestions.RuleFunc)
	return all
}

// unintrospected is a gqlgen extension for a server that does not describe its
// schema. It says so; gqlgen would fail in the middle of the answer.
type unintrospected struct{}

var (
	_ graphql.HandlerExtension        = unintrospected{}
	_ graphql.OperationContextMutator = unintrospected{}
)

func (unintrospected) ExtensionName() string { return "Unintrospected" }

func (unintrospected) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext changes nothing: it only refuses.
func (unintrospected) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	for _, field := range graphql.CollectFields(op, op.Operation.SelectionSet, nil) {
		if field.Name == "__schema" || field.Name == "__type" {
			return coded(fault.New(fault.BadRequest, "This server does not describe its schema. Read schema.graphql of its version, or ask the operator for --introspection."))
		}
	}
	return nil
}

type statusKey struct{}

// setStatus chooses the HTTP status of an answer that has not begun.
func setStatus(ctx context.Context, status int) {
	if w, ok := ctx.Value(statusKey{}).(*responseWriter); ok {
		w.override = status
	}
}

// refuseCredential answers a request whose credential was refused, except where it
// asks for a new one.
func refuseCredential(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	err := auth.Refusal(ctx)
	if err == nil || !auth.Malformed(ctx) && asksForSession(graphql.GetOperationContext(ctx).Operation) {
		return next(ctx)
	}
	setStatus(ctx, httpStatus(fault.CodeOf(err)))
	return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{graph.PresentError(ctx, err)}})
}

func asksForSession(op *ast.OperationDefinition) bool {
	for _, selection := range op.SelectionSet {
		field, ok := selection.(*ast.Field)
		if !ok || op.Operation != ast.Mutation || field.Name != "signIn" && field.Name != "refreshSession" {
			return false
		}
	}
	return true
}

// httpStatus is the status for a fault that concerns the whole request.
func httpStatus(code fault.Code) int {
	switch code {
	case fault.BadRequest:
		return http.StatusBadRequest
	case fault.Conflict:
		return http.StatusConflict
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Forbidden, fault.TenantSuspended, fault.TenantMismatch:
		return http.StatusForbidden
	case fault.Unavailable, fault.TenantMoved:
		return http.StatusServiceUnavailable
	case fault.Timeout:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}
