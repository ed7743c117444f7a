// Package server speaks HTTP: the order of the middleware, the limits of a request,
// health, and a shutdown that finishes what is in flight.
package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"golang.org/x/net/netutil"

	"github.com/commonhold/commonhold"
	"github.com/commonhold/commonhold/graph"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/job"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/web/graphiql"
	"github.com/commonhold/commonhold/web/links"
	"github.com/commonhold/commonhold/web/mailbox"
)

// Config is what a server is made of.
type Config struct {
	DB            *postgres.DB
	Resolver      *graph.Resolver
	Limits        Limits
	Trusted       Trusted  // documents: no other is answered
	Introspection bool     // also: suggestions in error messages
	Playground    bool     // GraphiQL at / and /playground
	Origins       []string // of browsers that may call from elsewhere: https://app.example.com
	Localhost     bool     // …and from every port of localhost
	Accounts      []graphiql.Account
	Mailbox       *job.Mailbox // shown at /dev/mail, on a development server alone
	Version       string
}

const (
	maxBody     = 256 << 10        // bytes of a request
	maxHeader   = 32 << 10         // bytes of its header
	maxClients  = 1024             // connections at once; a proxy in front needs few
	requestTime = 15 * time.Second // for one operation
	drainTime   = 20 * time.Second // for what is in flight at shutdown
)

// New is the handler of the whole API.
func New(c Config) http.Handler {
	r := chi.NewRouter()
	r.Use(identify, logged, recovered, c.ownName)
	r.Get("/livez", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"status": "alive"})
	})
	r.Get("/readyz", ready(c.DB))
	r.Get("/.well-known/jwks.json", c.Resolver.Auth.JWKS)
	r.Head("/.well-known/jwks.json", c.Resolver.Auth.JWKS)
	r.Group(func(r chi.Router) {
		r.Use(c.cors(), c.sameOrigin, bounded, c.Resolver.Auth.Middleware, named)
		r.Handle("/graphql", newGraphQL(c))
	})
	r.Handle(links.Prefix+"/*", links.Handler())
	if c.Playground {
		options := graphiql.Options{Endpoint: "/graphql", Accounts: c.Accounts, Version: c.Version, Schema: commonhold.Schema}
		if c.Mailbox != nil {
			options.Mail = mailbox.Path
		}
		page := graphiql.Handler(options)
		r.Handle("/", page)
		r.Handle("/playground", page)
		r.Handle("/playground/*", page)
	}
	if c.Mailbox != nil {
		box := mailbox.Handler(c.Mailbox)
		r.Handle(mailbox.Path, box)
		r.Handle(mailbox.Path+"/*", box)
	}
	r.MethodNotAllowed(func(w http.ResponseWriter, _ *http.Request) { // of those above
		notAllowed("Ask with GET.", http.MethodGet).write(w, mediaJSON)
	})
	r.NotFound(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, fault.New(fault.NotFound, "There is nothing here. The API is at /graphql."))
	})
	return r
}

// Run serves on listener until ctx ends, then lets requests in flight finish.
func Run(ctx context.Context, listener net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      requestTime + 10*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(netutil.LimitListener(listener, maxClients)) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		return errors.Join(err, srv.Close())
	}
	return nil
}

func ready(db *postgres.DB) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := db.Ping(ctx); err != nil {
			slog.WarnContext(ctx, "not ready", "error", err)
			answer(w, http.StatusServiceUnavailable, map[string]any{"status": "the database does not answer"})
			return
		}
		answer(w, http.StatusOK, map[string]any{"status": "ready"})
	}
}

// refuse answers outside of the executor in the form of a GraphQL error, in the media
// type that was chosen for the answer, if one was.
func refuse(w http.ResponseWriter, status int, err *fault.Error) {
	answer(w, status, map[string]any{"errors": []any{map[string]any{
		"message": err.Message, "extensions": map[string]any{"code": err.Code},
	}}})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", cmp.Or(w.Header().Get("Content-Type"), mediaJSON+"; charset=utf-8"))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
