package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/server"
)

// The key set is for everybody: no credential, any origin, no statement, and only to read.
func TestKeySetIsPublic(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t), func(c *server.Config) { c.Localhost = false })
	target := api.URL + "/.well-known/jwks.json"
	for _, header := range [][]string{
		nil, {"Origin", "https://elsewhere.example", "Sec-Fetch-Site", "cross-site"}, {"Origin", "null"}, {"Authorization", "Bearer not-a-token"}, {"Authorization", "nonsense"},
	} {
		status, got, body := send(t, request(t, http.MethodGet, target, "", header...))
		if status != http.StatusOK || !strings.Contains(body, `"kid":"`+api.Key.ID+`"`) || got.Get("Access-Control-Allow-Origin") != "*" ||
			got.Get("Access-Control-Allow-Credentials") != "" || got.Get("Content-Type") != "application/jwk-set+json" || got.Get("X-Request-Id") == "" {
			t.Errorf("%q: %d %v %s", header, status, got, body)
		}
	}
	if status, got, body := send(t, request(t, http.MethodHead, target, "")); status != http.StatusOK || body != "" || got.Get("ETag") == "" {
		t.Errorf("HEAD: %d %v %q", status, got, body)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		if status, got, body := send(t, request(t, method, target, "{}")); status != http.StatusMethodNotAllowed || got.Get("Allow") != "GET" || strings.Contains(body, "kid") {
			t.Errorf("%s: %d %v %s", method, status, got, body)
		}
	}
}
