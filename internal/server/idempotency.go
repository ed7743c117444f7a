package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold/graph"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/idempotency"
	"github.com/commonhold/commonhold/internal/postgres"
)

const (
	keyHeader    = "Idempotency-Key"
	replayHeader = "Idempotency-Replayed"
	maxKey       = 255
)

// keyed finds what the key of a mutation stands for; nil for a request without one,
// and for callers that will be refused anyway: a replay wants the rights of the first
// time.
//
// Errors: fault.BadRequest for a key that is none, and for documents and fields that
// take none; those of idempotency.Open.
func keyed(ctx context.Context, db *postgres.DB, header http.Header, op *graphql.OperationContext) (*idempotency.Request, error) {
	given := header.Values(keyHeader)
	if len(given) == 0 || op.Operation.Operation != ast.Mutation {
		return nil, nil //nolint:nilnil // no key
	}
	key, err := readKey(given)
	if err != nil {
		return nil, err
	}
	field, err := onlyField(op.Operation)
	if err != nil {
		return nil, err
	}
	guard := field.Definition.Directives.ForName("requires")
	if !TakesKey(field.Definition) {
		return nil, fault.New(fault.BadRequest, "%s takes no %s. Leave the header out.", field.Name, keyHeader)
	}
	permission := auth.Permission(guard.Arguments.ForName("permission").Value.Raw)
	caller, refused := auth.Require(ctx, permission)
	if refused != nil {
		return nil, nil //nolint:nilnil,nilerr // the executor says it better
	}
	variables, err := json.Marshal(op.Variables)
	if err != nil {
		return nil, err
	}
	open, of := idempotency.Open, idempotency.Caller{Tenant: caller.Tenant.ID, User: caller.User.ID}
	if permission.InControl() {
		open = idempotency.OpenControl
	}
	asked := [][]byte{[]byte(op.RawQuery), []byte(op.OperationName), variables}
	if caller.Key != nil { // an answer is for who may see as much: not the person's for a key
		asked = append(asked, fmt.Append(nil, caller.Permissions()))
	}
	return open(ctx, db, of, key, asked...)
}

// keyless are mutations that take no key though they name a permission: what is kept for
// a retry would hold a secret, or be the answer to a password, or doing it twice is doing
// it once.
var keyless = []string{"createApiKey", "rotateApiKey", "revokeApiKey", "createInvitationLink", "transferOwnership"}

// TakesKey tells whether a mutation may be sent with an Idempotency-Key.
func TakesKey(mutation *ast.FieldDefinition) bool {
	return mutation.Directives.ForName("requires") != nil && !slices.Contains(keyless, mutation.Name)
}

// readKey reads the header, which holds a string of RFC 8941 or, as many clients send
// it, the same without its quotes.
func readKey(given []string) (string, error) {
	key := given[0]
	if quoted := strings.TrimSuffix(strings.TrimPrefix(key, `"`), `"`); len(quoted) == len(key)-2 {
		key = quoted
	}
	odd := strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
	if len(given) > 1 || key == "" || len(key) > maxKey || odd {
		return "", fault.New(fault.BadRequest, "The header %s must be one key of 1 to %d letters, digits and signs, such as a UUID.", keyHeader, maxKey)
	}
	return key, nil
}

// onlyField is the one root field that a document with a key may have: with two, a
// retry would not know which of them was done. The type's name is none: it is no work,
// and code generators ask for it everywhere.
func onlyField(op *ast.OperationDefinition) (*ast.Field, error) {
	var only *ast.Field
	for _, selection := range op.SelectionSet {
		field, ok := selection.(*ast.Field)
		if ok && field.Name == "__typename" {
			continue
		}
		if !ok || field.Definition == nil || only != nil {
			only = nil
			break
		}
		only = field
	}
	if only != nil {
		return only, nil
	}
	return nil, fault.New(fault.BadRequest, "A mutation with an %s has exactly one root field, and no fragment around it. Send one request with a key of its own for each.", keyHeader)
}

// keep stores an answer for the retries of its request. An answer with errors is not
// kept: a retry may do better.
func keep(ctx context.Context, key *idempotency.Request, response *graphql.Response, text []byte) {
	if len(response.Errors) > 0 {
		return
	}
	// The effect is stored: whether the caller still waits does not matter.
	if err := key.Keep(context.WithoutCancel(ctx), text); err != nil {
		slog.WarnContext(ctx, "an answer was not kept for retries", "error", err)
	}
}

// refuseKey answers a request whose key cannot be served.
func refuseKey(ctx context.Context, w http.ResponseWriter, err error) {
	shown := graph.PresentError(ctx, err)
	code, _ := shown.Extensions["code"].(fault.Code)
	refuse(w, httpStatus(code), fault.New(code, "%s", shown.Message))
}
