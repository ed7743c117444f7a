package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

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

const (
	mediaJSON    = "application/json"
	mediaGraphQL = "application/graphql-response+json"
)

// transport speaks POST of JSON, and GET for queries. Everything else can be sent
// by a form of another site. gqlgen's own transports repeat a body that they cannot
// read, answer without a code, and turn away clients that offer HTTP/2 in an
// Upgrade header, as Java's does.
type transport struct{ db *postgres.DB }

func (transport) Supports(*http.Request) bool { return true }

func (t transport) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	w.Header().Set("Content-Type", accepted(r)) // also of the answer to a panic
	params, refused := readParams(r)
	if refused != nil {
		refused.write(w)
		return
	}
	ctx := r.Context()
	op, errs := exec.CreateOperationContext(ctx, params)
	if errs != nil {
		// GraphQL over HTTP, section 6.4: a document that cannot be executed is 400
		// in the newer media type, which no proxy writes, and 200 in the older.
		status := http.StatusOK
		if accepted(r) == mediaGraphQL {
			status = http.StatusBadRequest
		}
		respond(w, r, status, &graphql.Response{Errors: refusals(errs)}, func([]byte) {})
		return
	}
	if r.Method == http.MethodGet && op.Operation.Operation != ast.Query {
		notAllowed("GET is for queries. Send this as POST.", http.MethodPost).write(w)
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
	if len(response.Errors) > maxErrors {
		response.Errors = append(response.Errors[:maxErrors:maxErrors], &gqlerror.Error{
			Message:    fmt.Sprintf("There were %d errors more.", len(response.Errors)-maxErrors),
			Extensions: map[string]any{"code": fault.BadRequest},
		})
	}
	respond(w, r, http.StatusOK, response, func(text []byte) { keep(ctx, key, response, text) })
}

// respond writes an answer. One without data was not executed, and does not say
// that its data was null (GraphQL specification, section 7.1). before is called with
// the text of the answer before anybody sees it.
func respond(w http.ResponseWriter, r *http.Request, status int, response *graphql.Response, before func(text []byte)) {
	w.Header().Set("Content-Type", accepted(r))
	var body any = response
	if response.Data == nil {
		body = map[string]any{"errors": response.Errors}
	}
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

// accepted is the first of the two media types that the client takes.
func accepted(r *http.Request) string {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		media, _, _ := mime.ParseMediaType(part)
		switch media {
		case mediaGraphQL:
			return mediaGraphQL
		case mediaJSON, "application/*", "*/*":
			return mediaJSON
		}
	}
	return mediaJSON
}

// refusal is an answer to what is no GraphQL request at all.
type refusal struct {
	status int
	allow  string
	fault  *fault.Error
}

func (f *refusal) write(w http.ResponseWriter) {
	if f.allow != "" {
		w.Header().Set("Allow", f.allow)
	}
	refuse(w, f.status, f.fault)
}

func badRequest(format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, fault: fault.New(fault.BadRequest, format, args...)}
}

func notAllowed(message, allow string) *refusal {
	return &refusal{status: http.StatusMethodNotAllowed, allow: allow, fault: fault.New(fault.BadRequest, "%s", message)}
}

// readParams reads a request; nothing of it is repeated in a refusal.
func readParams(r *http.Request) (*graphql.RawParams, *refusal) {
	params := &graphql.RawParams{Headers: r.Header, ReadTime: graphql.TraceTiming{Start: graphql.Now()}}
	var refused *refusal
	switch r.Method {
	case http.MethodGet:
		refused = readURL(r.URL.RawQuery, params)
	case http.MethodPost:
		refused = readBody(r, params)
	default:
		refused = notAllowed("Send a query as POST or GET and a mutation as POST.", "GET, POST")
	}
	if refused == nil && strings.TrimSpace(params.Query) == "" {
		refused = badRequest(`There is no document in this request. Send it as "query".`)
	}
	params.ReadTime.End = graphql.Now()
	return params, refused
}

func readBody(r *http.Request, params *graphql.RawParams) *refusal {
	media, options, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := options["charset"]; err != nil || media != mediaJSON || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return &refusal{status: http.StatusUnsupportedMediaType, fault: fault.New(fault.BadRequest, "Send the request as JSON, with the header Content-Type: application/json.")}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return badRequest("The request ended before its body did. Send it again.")
	}
	if err := decode(body, params); err != nil {
		return badRequest(`The body is not a GraphQL request. Send a JSON object: {"query": "…", "variables": {…}}.`)
	}
	return nil
}

func readURL(raw string, params *graphql.RawParams) *refusal {
	query, err := url.ParseQuery(raw)
	if err != nil || !utf8.ValidString(query.Get("query")) {
		return badRequest("The query string of this URL cannot be read. Encode each value for a URL.")
	}
	params.Query, params.OperationName = query.Get("query"), query.Get("operationName")
	for _, part := range []struct {
		name string
		into *map[string]any
	}{{"variables", &params.Variables}, {"extensions", &params.Extensions}} {
		if text := query.Get(part.name); text != "" && decode([]byte(text), part.into) != nil {
			return badRequest("The %s in this URL are not a JSON object.", part.name)
		}
	}
	return nil
}

// decode reads one JSON value and nothing after it. Numbers stay as they are written.
func decode(text []byte, into any) error {
	if !utf8.Valid(text) { // the decoder would put U+FFFD in its place
		return errors.New("not valid UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something follows the value")
	}
	return nil
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

// withoutValue cuts the value out of a message. The messages are those of gqlparser,
// which puts it last, or first in the one about enums.
func withoutValue(message string) string {
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
