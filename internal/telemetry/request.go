// Package telemetry says what happens: log lines that can be found again.
package telemetry

import (
	"context"
	"io"
	"log/slog"

	"github.com/commonhold/commonhold/internal/id"
)

type requestKey struct{}

// Request is what every log line of a request carries. Who asks is filled in once
// it is known.
type Request struct {
	ID     string
	Tenant string // the slug
	User   string // the public id
}

// NewRequestID makes an id for a request.
func NewRequestID() string { return id.New().String() }

// NewContext returns a context whose log lines belong to r.
func NewContext(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// FromContext is the request of ctx; an empty one outside of requests.
func FromContext(ctx context.Context) *Request {
	if r, ok := ctx.Value(requestKey{}).(*Request); ok {
		return r
	}
	return &Request{}
}

// NewLogger writes text for people where terminal is true, JSON for machines
// otherwise. Every line of a request carries its id, tenant and user.
func NewLogger(w io.Writer, terminal bool, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if terminal {
		return slog.New(handler{slog.NewTextHandler(w, options)})
	}
	return slog.New(handler{slog.NewJSONHandler(w, options)})
}

type handler struct{ slog.Handler }

func (h handler) Handle(ctx context.Context, record slog.Record) error {
	if r := FromContext(ctx); r.ID != "" {
		record.AddAttrs(slog.String("request", r.ID))
		if r.Tenant != "" {
			record.AddAttrs(slog.String("tenant", r.Tenant), slog.String("user", r.User))
		}
	}
	return h.Handler.Handle(ctx, record)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}
func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }
