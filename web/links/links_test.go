package links_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold"
	"github.com/commonhold/commonhold/web/links"
)

// The pages ask what the schema knows. What they do in a browser is tested with the
// program that serves them.
func TestDocumentsAreOfTheSchema(t *testing.T) {
	t.Parallel()
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: commonhold.Schema})
	for _, document := range links.Documents() {
		if _, err := gqlparser.LoadQuery(schema, document); err != nil { //nolint:staticcheck // its errors name the place
			t.Errorf("%v: %s", err, document)
		}
	}
}

func TestPagesAreServed(t *testing.T) {
	t.Parallel()
	for path, status := range map[string]int{
		"/links/reset": http.StatusOK, "/links/invite": http.StatusOK, "/links/email": http.StatusOK, "/links/confirm": http.StatusOK, "/links/join": http.StatusOK, "/links/links.js": http.StatusOK, "/links/links.css": http.StatusOK,
		"/links/": http.StatusNotFound, "/links/page.html": http.StatusNotFound, "/links/reset/": http.StatusNotFound,
	} {
		w := httptest.NewRecorder()
		links.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		policy := w.Header().Get("Content-Security-Policy")
		if w.Code != status || strings.Contains(policy, "unsafe") || !strings.HasPrefix(policy, "default-src 'none'") || w.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %d, %q", path, w.Code, w.Header())
		}
	}
	w := httptest.NewRecorder()
	links.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/links/reset", strings.NewReader("token=x")))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}
