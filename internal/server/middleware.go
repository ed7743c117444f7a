package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/cors"

	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/telemetry"
)

// identify gives the request an id that its log lines and its answer carry.
func identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := &telemetry.Request{ID: telemetry.NewRequestID()}
		w.Header().Set("X-Request-Id", request.ID)
		ctx, _ := postgres.WithCounter(telemetry.NewContext(r.Context(), request))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// responseWriter remembers what was answered, and lets the status be chosen from
// inside the executor, which knows only 200 and 422.
type responseWriter struct {
	http.ResponseWriter
	override int
	status   int
	bytes    int
}

func (w *responseWriter) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if w.override != 0 {
		status = w.override
	}
	if status == http.StatusUnauthorized { // RFC 6750, section 3
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += n
	return n, err
}

func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// logged writes one line for each request, without anything of its content.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rw := &responseWriter{ResponseWriter: w}
		ctx := context.WithValue(r.Context(), statusKey{}, rw)
		begin := time.Now()
		next.ServeHTTP(rw, r.WithContext(ctx))
		level := slog.LevelInfo
		if r.URL.Path != "/graphql" {
			level = slog.LevelDebug
		}
		counter := postgres.CounterFrom(ctx)
		slog.Log(ctx, level, "request", "method", r.Method, "path", r.URL.Path, "status", rw.status, "bytes", rw.bytes,
			"ms", float64(time.Since(begin).Microseconds())/1000, "statements", counter.Statements(), "round_trips", counter.RoundTrips())
	})
}

func recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			panicked := recover()
			if panicked == nil {
				return
			}
			if panicked == http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
				panic(panicked)
			}
			slog.ErrorContext(r.Context(), "panic in a handler", "panic", panicked, "stack", string(debug.Stack()))
			refuse(w, http.StatusInternalServerError, fault.New(fault.Internal, "Something went wrong on our side. It was logged as %s.", telemetry.FromContext(r.Context()).ID))
		}()
		next.ServeHTTP(w, r)
	})
}

func (c Config) allowed(origin string) bool {
	if slices.Contains(c.Origins, origin) {
		return true
	}
	if !c.Localhost {
		return false
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	// Names below localhost are of this machine too: RFC 6761, section 6.3.
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || host == "127.0.0.1" || host == "::1"
}

// ownName refuses, on a development server, to be called by another name: a page
// whose name was made to point here would be of the same origin (DNS rebinding).
func (c Config) ownName(next http.Handler) http.Handler {
	if !c.Localhost {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.allowed("http://" + r.Host) {
			refuse(w, http.StatusMisdirectedRequest, fault.New(fault.Forbidden, "A development server answers to localhost, the names below it and 127.0.0.1 only."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c Config) cors() func(http.Handler) http.Handler {
	return cors.Handler(cors.Options{
		AllowOriginFunc: func(_ *http.Request, origin string) bool { return c.allowed(origin) },
		AllowedMethods:  []string{http.MethodGet, http.MethodPost},
		AllowedHeaders:  []string{"Authorization", "Content-Type", "Accept", keyHeader, "X-Tenant-ID"},
		ExposedHeaders:  []string{"X-Request-Id", "Retry-After", replayHeader},
		MaxAge:          600,
	})
}

// sameOrigin refuses what a browser sends on behalf of a page from elsewhere.
func (c Config) sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusForbidden, fault.New(fault.Forbidden, "Pages of this origin may not call this API. The operator can allow it with --origin."))
	}))
	guarded := protection.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" && c.allowed(origin) {
			next.ServeHTTP(w, r)
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// bounded reads the body up to its limit and gives the operation its time.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			refuse(w, http.StatusRequestEntityTooLarge, fault.New(fault.TooLarge, "The request is too large: at most %d KiB.", maxBody>>10))
			return
		}
		if err != nil {
			refuse(w, http.StatusBadRequest, fault.New(fault.BadRequest, "The request ended before its body did. Send it again."))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		ctx, cancel := context.WithTimeout(r.Context(), requestTime)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// named puts who asks on the log lines.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, err := auth.FromContext(r.Context()); err == nil {
			request := telemetry.FromContext(r.Context())
			request.Tenant, request.User = p.Tenant.Slug, p.User.ID.String()
		}
		next.ServeHTTP(w, r)
	})
}
