// Package apitest runs the whole API over HTTP for tests, on the database of
// pgtest. Imported by tests only.
package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/commonhold/commonhold/graph"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/server"
	"github.com/commonhold/commonhold/internal/tenant"
)

// Password is that of every account made here.
const Password = "a password for tests"

// API is a running server.
type API struct {
	*pgtest.World
	URL    string
	Auth   *auth.Service
	Config server.Config
	Key    auth.SigningKey
	Ring   *keyring.Keyring // of the tokens of links
}

// Option changes the server before it starts.
type Option func(*server.Config)

// LoaderWait makes loaders wait long enough for every sibling, so that statements
// can be counted, and longer where the race detector slows them.
func LoaderWait(d time.Duration) Option {
	return func(c *server.Config) { c.Resolver.LoaderWait = time.Duration(slowness) * d }
}

// slowness is by how much everything takes longer.
var slowness = 1

// New starts a server on the pools of w, without a tenant of its own.
func New(t testing.TB, w *pgtest.World, options ...Option) *API {
	t.Helper()
	key, err := auth.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.NewTokens("http://tests.example", "commonhold", 0, nil, key)
	if err != nil {
		t.Fatal(err)
	}
	ring, _, err := keyring.New()
	if err != nil {
		t.Fatal(err)
	}
	people := auth.NewService(w.DB, w.Registry, tokens, auth.NewPasswords(auth.TestPasswordParams()), ring)
	c := server.Config{
		DB: w.DB, Resolver: &graph.Resolver{DB: w.DB, Auth: people}, Limits: server.DefaultLimits(),
		Introspection: true, Playground: true, Localhost: true, Version: "test",
	}
	for _, o := range options {
		o(&c)
	}
	srv := httptest.NewServer(server.New(c))
	t.Cleanup(srv.Close)
	return &API{World: w, URL: srv.URL, Auth: people, Config: c, Key: key, Ring: ring}
}

// Client asks as one person in one tenant, or as nobody.
type Client struct {
	api    *API
	Token  string
	Tenant *tenant.Tenant
	Email  string
	Header http.Header
}

// Anonymous is a client that shows no credential.
func (a *API) Anonymous() *Client { return &Client{api: a, Header: http.Header{}} }

// NewTenant registers a tenant and signs its owner in.
func (a *API) NewTenant(t testing.TB) *Client {
	t.Helper()
	unique := strings.ReplaceAll(id.New().String(), "-", "")
	email := "owner-" + unique + "@tests.example"
	made, session, err := a.Auth.Register(context.Background(), auth.Registration{
		Tenant: control.Registration{Name: "Test " + unique[:8], Slug: "t" + unique[:31], Currency: "EUR"},
		Email:  email, Password: Password, DisplayName: "Owner",
	})
	if err != nil {
		t.Fatalf("register a tenant: %v", err)
	}
	return &Client{api: a, Token: session.AccessToken, Tenant: made, Email: email, Header: http.Header{}}
}

// Warm sees that the server knows who the client is, from this moment on: what a request
// costs after it is the request's own.
func (c *Client) Warm(t testing.TB) {
	t.Helper()
	c.api.Settle(t)
	c.api.Registry.Forget(c.Tenant.ID)
	c.Must(t, `{ viewer { role } }`, nil, nil)
}

// Member adds a person to the client's tenant and signs them in.
func (c *Client) Member(t testing.TB, role auth.Role) *Client {
	t.Helper()
	email := strings.ToLower(string(role)) + "-" + id.New().String() + "@tests.example"
	if _, err := c.api.Auth.AddMember(context.Background(), c.Tenant.ID, email, Password, string(role), role); err != nil {
		t.Fatalf("add a member: %v", err)
	}
	session, _, err := c.api.Auth.SignIn(context.Background(), c.Tenant.Slug, email, Password)
	if err != nil {
		t.Fatalf("sign in: %v", err)
	}
	return &Client{api: c.api, Token: session.AccessToken, Tenant: c.Tenant, Email: email, Header: http.Header{}}
}

// Membership is the id of the client's membership.
func (c *Client) Membership(t testing.TB) id.Member {
	t.Helper()
	var got struct {
		Members struct {
			Nodes []struct {
				ID   id.Member
				User struct{ Email string }
			}
		}
	}
	c.Must(t, `{ members(last: 100) { nodes { id user { email } } } }`, nil, &got)
	for _, m := range got.Members.Nodes {
		if m.User.Email == c.Email {
			return m.ID
		}
	}
	t.Fatal("the client is no member of its own tenant")
	return id.Member{}
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Data   json.RawMessage
	Errors []struct {
		Message    string
		Path       []any
		Extensions map[string]any
	}
}

// Code is the code of the first error, "" without one.
func (a *Answer) Code() string {
	if len(a.Errors) == 0 {
		return ""
	}
	code, _ := a.Errors[0].Extensions["code"].(string)
	return code
}

// Do posts a document with variables.
func (c *Client) Do(t testing.TB, query string, variables map[string]any) *Answer {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	return c.Post(t, body)
}

// Post sends a body as it is.
func (c *Client) Post(t testing.TB, body []byte) *Answer {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, c.api.URL+"/graphql", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range c.Header {
		r.Header[name] = values
	}
	if r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	a := &Answer{Status: response.StatusCode, Header: response.Header}
	if a.Body, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal(a.Body, a) // not every refusal is JSON; the test sees the body
	return a
}

// Must is Do for what has to succeed: no errors, and data unmarshalled into into.
func (c *Client) Must(t testing.TB, query string, variables map[string]any, into any) {
	t.Helper()
	a := c.Do(t, query, variables)
	if a.Status != http.StatusOK || len(a.Errors) > 0 {
		t.Fatalf("status %d: %s", a.Status, a.Body)
	}
	if into != nil {
		if err := json.Unmarshal(a.Data, into); err != nil {
			t.Fatalf("%v: %s", err, a.Body)
		}
	}
}
