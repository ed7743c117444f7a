package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/idempotency"
	"github.com/commonhold/commonhold/internal/postgres"
)

// What an answer says about a document that was not executed, and how many errors
// it may hold after execution: a page of a hundred entries can fail a hundred times
// for each field.
const (
	maxRefusals = 5
	maxMessage  = 200 // bytes
	maxErrors   = 100
)

// transport speaks POST of JSON, and GET for queries. Everything else can be sent
// by a form of another site. gqlgen's own transports repeat a body that they cannot
// read, answer without a code, and turn away clients that offer HTTP/2 in an
// Upgrade header, as Java's does.
type transport struct {
	db        *postgres.DB
	documents *documents
	variables *strictVariables
	pricing   *pricing
}

func (transport) Supports(*http.Request) bool { return true }

func (t transport) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	accept := readAccept(r.Header.Values("Accept"))
	media := accept.answer()
	w.Header().Set("Content-Type", cmp.Or(media, mediaJSON)+"; charset=utf-8") // of every answer from here on, also to a panic
	request, refused := readRequest(r)
	if refused == nil && media == "" && !accept.takesParts() {
		refused = notAcceptable()
	}
	ctx, remember := r.Context(), func() {}
	if refused == nil {
		remember, refused = t.documents.find(ctx, request)
	}
	if refused == nil && strings.TrimSpace(request.Query) == "" {
		refused = badRequest(`There is no document in this request. Send it as "query".`)
	}
	if refused != nil {
		refused.write(w, media)
		return
	}
	op, errs := exec.CreateOperationContext(ctx, &request.RawParams)
	if errs != nil {
		notExecuted(w, media, refusals(t.named(op, &request.RawParams, errs)))
		return
	}
	remember()
	if r.Method == http.MethodGet && op.Operation.Operation != ast.Query {
		notAllowed("GET is for queries. Send this as POST.", http.MethodPost).write(w, media)
		return
	}
	if defers := deferring(op); defers > 0 {
		if accept.takesParts() && defers <= maxDefers {
			if shape := deferred(t.pricing.schema.Schema(), op); shape != nil {
				t.deliver(w, r, exec, op, shape, media)
				return
			}
		}
		atOnce(op)
	}
	if media == "" {
		notAcceptable().write(w, media)
		return
	}
	key, err := keyed(ctx, t.db, r.Header, op)
	if err != nil {
		refuseKey(ctx, w, err)
		return
	}
	if answer := key.Answer(); answer != nil {
		w.Header().Set(replayHeader, "true")
		write(w, http.StatusOK, answer)
		return
	}
	responses, ctx := exec.DispatchOperation(idempotency.NewContext(ctx, key), op)
	response := responses(ctx)
	if response == nil { // the request's time ended before the operation began
		refuse(w, http.StatusGatewayTimeout, fault.New(fault.Timeout, "This took too long and was stopped. Ask for less at a time."))
		return
	}
	t.answer(w, media, op, response, func(text []byte) { keep(ctx, key, response, text) })
}

// answer writes what became of an operation. before is called with the text of an
// answer that was executed, before anybody sees it.
func (t transport) answer(w http.ResponseWriter, media string, op *graphql.OperationContext, response *graphql.Response, before func(text []byte)) {
	if response.Data == nil { // refused by what stands around the operation
		notExecuted(w, media, response.Errors)
		return
	}
	retryLater(w.Header(), response.Errors)
	response.Errors = few(response.Errors, maxErrors)
	response.Extensions = map[string]any{"cost": t.pricing.of(op, response.Data)}
	respond(w, http.StatusOK, response, before)
}

// retryLater says in the header too when to try again (RFC 9110, section 10.2.3).
func retryLater(header http.Header, errs gqlerror.List) {
	for _, err := range errs {
		if seconds, ok := err.Extensions["retryAfter"].(int); ok {
			header.Set("Retry-After", strconv.Itoa(seconds))
		}
	}
}

// few are as many errors as there is room for, and one that counts the others.
func few(errs gqlerror.List, room int) gqlerror.List {
	if len(errs) <= room {
		return errs
	}
	return append(errs[:room:room], &gqlerror.Error{
		Message:    fmt.Sprintf("There were %d errors more.", len(errs)-room),
		Extensions: map[string]any{"code": fault.BadRequest},
	})
}

// notExecuted answers a document that cannot be executed: 400 in the newer media
// type, which no proxy writes, and 200 in the older (GraphQL over HTTP, "Status
// codes"). Such an answer does not say that its data was null (GraphQL
// specification, section 7.1).
func notExecuted(w http.ResponseWriter, media string, errs gqlerror.List) {
	status := http.StatusOK
	if media == mediaGraphQL {
		status = http.StatusBadRequest
	}
	respond(w, status, map[string]any{"errors": errs}, func([]byte) {})
}

// respond writes an answer in the media type that its header names already. before
// is called with its text before anybody sees it.
func respond(w http.ResponseWriter, status int, body any, before func(text []byte)) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Errorf("marshal an answer: %w", err))
	}
	before(text)
	write(w, status, text)
}

func write(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(text) //nolint:gosec // JSON, and no browser guesses otherwise
}

// refusals are the errors of a document that was not executed: coded, few, short,
// and without the values that the parser, the validator and the reader of variables
// repeat in their messages. A value may be a password.
func refusals(errs gqlerror.List) gqlerror.List {
	shown := make(gqlerror.List, 0, maxRefusals)
	for _, err := range errs[:min(len(errs), maxRefusals)] {
		if code, ok := err.Extensions["code"].(fault.Code); ok { // ours
			shown = append(shown, &gqlerror.Error{Message: err.Message, Locations: err.Locations, Extensions: map[string]any{"code": code}})
			continue
		}
		message := withoutValue(err.Message)
		if len(err.Path) > 1 { // of a variable: there is no answer yet that a path could lead into
			message = "$" + strings.TrimPrefix(err.Path.String(), "variable.") + ": " + message
		}
		if len(message) > maxMessage {
			message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
		}
		shown = append(shown, &gqlerror.Error{Message: message, Locations: err.Locations, Extensions: map[string]any{"code": fault.BadRequest}})
	}
	return shown
}

// named says in our words what gqlgen says unclearly, or each time otherwise: that a
// valid document holds no such operation, and that an input has no such field, of
// which gqlparser names whichever it meets first.
func (t transport) named(op *graphql.OperationContext, request *graphql.RawParams, errs gqlerror.List) gqlerror.List {
	var clearer *fault.Error
	switch {
	case op.Doc == nil: // it cannot be read, or is not valid
	case op.Operation == nil && request.OperationName == "":
		clearer = fault.New(fault.BadRequest, "There are several operations in this document. Say which is meant, as operationName.")
	case op.Operation == nil:
		clearer = fault.New(fault.BadRequest, "There is no operation of that name in this document. The operationName is one that stands in it, to the letter.")
	case errs[0].Message == "unknown field":
		clearer = t.variables.refuse(op.Operation, request.Variables)
	}
	if clearer == nil {
		return errs
	}
	return gqlerror.List{coded(clearer)}
}

// withoutValue cuts the value out of a message. The messages are those of gqlparser,
// which puts it last, or first in the one about enums.
func withoutValue(message string) string {
	if strings.HasSuffix(message, "<Invalid>") {
		return "This cannot be read: a string without an end, a broken escape or number, or a character that GraphQL does not have."
	}
	for _, before := range []string{", found ", " value: "} {
		if start, _, ok := strings.Cut(message, before); ok {
			return start + strings.TrimSuffix(strings.TrimPrefix(before, ", found "), ": ") + "."
		}
	}
	for _, kind := range []string{"String", "BlockString", "Int", "Float"} {
		if strings.HasPrefix(message, "Unexpected "+kind+" ") {
			return "Unexpected " + kind + "."
		}
	}
	if at := strings.LastIndex(message, " is not a valid "); at >= 0 {
		return "This" + message[at:] + "."
	}
	return message
}
