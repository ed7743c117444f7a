package auth

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// get asks for the key set.
func getKeys(t testing.TB, method, url, etag string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, body
}

// Somebody else's verifier reads the key set at some moment of a rotation and keeps
// it: it accepts what is signed for as long as it may keep it.
func TestForeignVerifier(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	s := d.server(t, d.ring)
	srv := httptest.NewServer(http.HandlerFunc((&Service{tokens: s.tokens}).JWKS))
	t.Cleanup(srv.Close)
	var etags []string
	read := func() keyfunc.Keyfunc {
		t.Helper()
		response, body := getKeys(t, http.MethodGet, srv.URL, "")
		verifier, err := keyfunc.NewJWKSetJSON(body)
		if err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		etags = append(etags, response.Header.Get("ETag"))
		return verifier
	}
	accepts := func(verifier keyfunc.Keyfunc, token string) bool {
		parsed, err := jwt.Parse(token, verifier.Keyfunc, jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer(keyIssuer), jwt.WithAudience("commonhold"), jwt.WithExpirationRequired())
		return err == nil && parsed.Valid
	}

	before := read()
	byOld, _ := s.issue(t)
	if _, _, err := s.store.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.tended(t)
	published := read()
	d.pass(t, keyLead)
	s.tended(t)
	during := read()
	byNew, _ := s.issue(t)
	d.pass(t, DefaultTokenLifetime+keyGrace)
	s.tended(t)
	after := read()
	for name, c := range map[string]struct {
		verifier keyfunc.Keyfunc
		old, new bool
	}{
		"before": {before, true, false}, "published": {published, true, true}, "during": {during, true, true}, "after": {after, false, true},
	} {
		if got := accepts(c.verifier, byOld); got != c.old {
			t.Errorf("%s: the old key's token accepted: %v", name, got)
		}
		if got := accepts(c.verifier, byNew); got != c.new {
			t.Errorf("%s: the new key's token accepted: %v", name, got)
		}
	}
	if etags[0] == etags[1] || etags[1] != etags[2] || etags[2] == etags[3] || etags[0] == etags[3] {
		t.Errorf("ETags %q", etags)
	}

	// By HTTP, as the library does it by itself.
	live, err := keyfunc.NewDefaultCtx(t.Context(), []string{srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	if !accepts(live, byNew) || accepts(live, byOld) {
		t.Error("a verifier that fetches the key set by itself")
	}
	if _, _, _, err := s.store.Replace(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.tended(t)
	byReplacement, _ := s.issue(t)
	if verifier := read(); accepts(verifier, byNew) || !accepts(verifier, byReplacement) {
		t.Error("after replacing every key")
	}
}

func TestKeySetOverHTTP(t *testing.T) {
	t.Parallel()
	key, err := NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := NewTokens(keyIssuer, "commonhold", 0, nil, key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc((&Service{tokens: tokens}).JWKS))
	t.Cleanup(srv.Close)
	response, body := getKeys(t, http.MethodGet, srv.URL, "")
	for name, want := range map[string]string{
		"Content-Type": "application/jwk-set+json", "Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*", "X-Content-Type-Options": "nosniff",
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	want := map[string]string{"kty": "OKP", "crv": "Ed25519", "x": b64(string(key.Public())), "kid": key.ID, "alg": "EdDSA", "use": "sig"}
	if len(set.Keys) != 1 || len(set.Keys[0]) != len(want) {
		t.Fatalf("%s", body)
	}
	for name, value := range want { // and no d
		if set.Keys[0][name] != value {
			t.Errorf("%s: %q, want %q", name, set.Keys[0][name], value)
		}
	}
	etag := response.Header.Get("ETag")
	head, none := getKeys(t, http.MethodHead, srv.URL, "")
	if head.StatusCode != http.StatusOK || len(none) != 0 || head.Header.Get("ETag") != etag || head.ContentLength != int64(len(body)) {
		t.Errorf("HEAD: %d, %d bytes, %v", head.StatusCode, len(none), head.Header)
	}
	for _, given := range []string{etag, "W/" + etag, `"x", ` + etag, "*"} {
		unchanged, none := getKeys(t, http.MethodGet, srv.URL, given)
		if unchanged.StatusCode != http.StatusNotModified || len(none) != 0 || unchanged.Header.Get("Cache-Control") == "" || unchanged.Header.Get("ETag") != etag {
			t.Errorf("If-None-Match %s: %d, %d bytes, %v", given, unchanged.StatusCode, len(none), unchanged.Header)
		}
	}
	if changed, full := getKeys(t, http.MethodGet, srv.URL, `"x"`); changed.StatusCode != http.StatusOK || len(full) != len(body) {
		t.Errorf("another ETag: %d, %d bytes", changed.StatusCode, len(full))
	}
}
