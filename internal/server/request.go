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
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/commonhold/commonhold/internal/fault"
)

// graphRequest is a GraphQL request as it was sent.
type graphRequest struct {
	graphql.RawParams
	documentID string // names the document instead of holding it
}

// refusal is an answer to what was not executed.
type refusal struct {
	status int // 0 where the media type decides: for a request that is one
	allow  string
	fault  *fault.Error
}

func (f *refusal) write(w http.ResponseWriter, media string) {
	if f.status == 0 {
		notExecuted(w, media, gqlerror.List{coded(f.fault)})
		return
	}
	if f.allow != "" {
		w.Header().Set("Allow", f.allow)
	}
	refuse(w, f.status, f.fault)
}

func notAnswered(code fault.Code, message string) *refusal {
	return &refusal{fault: fault.New(code, "%s", message)}
}

func badRequest(format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, fault: fault.New(fault.BadRequest, format, args...)}
}

func notAllowed(message, allow string) *refusal {
	return &refusal{status: http.StatusMethodNotAllowed, allow: allow, fault: fault.New(fault.BadRequest, "%s", message)}
}

func notAcceptable() *refusal {
	return &refusal{status: http.StatusNotAcceptable, fault: fault.New(fault.BadRequest,
		"Answers are %s or %s, in UTF-8. Name one of them in the Accept header, or leave it out.", mediaGraphQL, mediaJSON)}
}

// readRequest reads a request; nothing of it is repeated in a refusal.
func readRequest(r *http.Request) (*graphRequest, *refusal) {
	request := &graphRequest{RawParams: graphql.RawParams{Headers: r.Header, ReadTime: graphql.TraceTiming{Start: graphql.Now()}}}
	var refused *refusal
	switch r.Method {
	case http.MethodGet:
		refused = request.readURL(r.URL.RawQuery)
	case http.MethodPost:
		refused = request.readBody(r)
	default:
		refused = notAllowed("Send a query as POST or GET and a mutation as POST.", "GET, POST")
	}
	wholeNumbers(request.Variables)
	request.ReadTime.End = graphql.Now()
	return request, refused
}

func (g *graphRequest) readBody(r *http.Request) *refusal {
	media, options, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := options["charset"]; err != nil || media != mediaJSON || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return &refusal{status: http.StatusUnsupportedMediaType, fault: fault.New(fault.BadRequest, "Send the request as JSON, with the header Content-Type: application/json.")}
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return &refusal{status: http.StatusUnsupportedMediaType, fault: fault.New(fault.BadRequest, "Send the body as it is, without the header Content-Encoding.")}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return badRequest("The request ended before its body did. Send it again.")
	}
	if values(body) > maxValues {
		return notAnswered(fault.TooComplex, fmt.Sprintf("The variables and extensions of this request have more than %d values. Ask in several requests.", maxValues))
	}
	// RFC 8259, section 8.1, lets a reader ignore a byte order mark.
	if err := g.decode(bytes.TrimPrefix(body, []byte("\ufeff"))); err != nil {
		return badRequest(`The body is not a GraphQL request. Send a JSON object: {"query": "…", "variables": {…}}.`)
	}
	return nil
}

// maxValues is how many values a body may hold, those inside others included. A value
// takes two bytes and some hundred nanoseconds to read.
const maxValues = 10_000

// values is how many values a JSON text has at most: each stands after a bracket or a
// comma. What is inside strings is none.
func values(text []byte) (n int) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '{' || c == '['):
			n++
		}
	}
	return n
}

// decode reads the members that make a request, each at most once and by its very
// name: encoding/json would take QUERY for query, and the last of two. What looked
// at the body before us may have taken the first.
func (g *graphRequest) decode(text []byte) error {
	members := map[string]any{
		"query": &g.Query, "operationName": &g.OperationName, "documentId": &g.documentID,
		"variables": &g.Variables, "extensions": &g.Extensions,
	}
	return decode(text, func(decoder *json.Decoder) error {
		if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
			return errors.New("not an object")
		}
		var seen []string
		for decoder.More() {
			token, err := decoder.Token()
			if err != nil {
				return err
			}
			name, _ := token.(string)
			into, ours := members[name]
			switch {
			case !ours: // the specification keeps every other name for its future
				into = new(json.RawMessage)
			case slices.Contains(seen, name):
				return errors.New("a member stands there twice")
			default:
				seen = append(seen, name)
			}
			if err := decoder.Decode(into); err != nil {
				return err
			}
		}
		_, err := decoder.Token()
		return err
	})
}

func (g *graphRequest) readURL(raw string) *refusal {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return badRequest("The query string of this URL cannot be read. Encode each value for a URL.")
	}
	for _, part := range []struct {
		name string
		text *string
		into *map[string]any
	}{
		{"query", &g.Query, nil}, {"operationName", &g.OperationName, nil}, {"documentId", &g.documentID, nil},
		{"variables", nil, &g.Variables}, {"extensions", nil, &g.Extensions},
	} {
		switch text := query.Get(part.name); {
		case len(query[part.name]) > 1:
			return badRequest("%s stands more than once in this URL. Send it once.", part.name)
		case !utf8.ValidString(text):
			return badRequest("The query string of this URL cannot be read. Encode each value for a URL.")
		case part.text != nil:
			*part.text = text
		case text != "" && decode([]byte(text), func(decoder *json.Decoder) error { return decoder.Decode(part.into) }) != nil:
			return badRequest("The %s in this URL are not a JSON object.", part.name)
		}
	}
	return nil
}

// decode reads one JSON value and nothing after it. Numbers stay as they are written.
func decode(text []byte, read func(*json.Decoder) error) error {
	if !utf8.Valid(text) { // the decoder would put U+FFFD in its place
		return errors.New("not valid UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := read(decoder); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something follows the value")
	}
	return nil
}
