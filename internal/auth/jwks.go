package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// jwksMaxAge is how long others may keep a copy of the key set. It ends well before a
// key that is not in the copy signs: keyLead is longer.
const jwksMaxAge = 5 * time.Minute

// jwk is a public key for others: RFC 7517, with the members of RFC 8037 for Ed25519.
type jwk struct {
	KeyType   string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	ID        string `json:"kid"`
	Algorithm string `json:"alg"`
	Use       string `json:"use"`
}

// JWKS answers with the public keys of the deployment, for whoever verifies its tokens
// elsewhere: those that sign, those that will, and those whose tokens are still good.
// It asks no database.
func (s *Service) JWKS(w http.ResponseWriter, r *http.Request) {
	set := struct {
		Keys []jwk `json:"keys"`
	}{[]jwk{}}
	for _, key := range s.tokens.keys.published() {
		set.Keys = append(set.Keys, jwk{
			KeyType: "OKP", Curve: "Ed25519", X: base64.RawURLEncoding.EncodeToString(key.public),
			ID: key.id, Algorithm: "EdDSA", Use: "sig",
		})
	}
	body, err := json.Marshal(set)
	if err != nil {
		panic(fmt.Sprintf("auth: marshal public keys: %v", err)) // only for a type it does not know
	}
	sum := sha256.Sum256(body)
	header := w.Header()
	header.Set("Content-Type", "application/jwk-set+json") // RFC 7517 section 8.5
	header.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(jwksMaxAge.Seconds())))
	header.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`)
	header.Set("Access-Control-Allow-Origin", "*") // public by nature, and no cookie is read
	header.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body)) // also HEAD and If-None-Match
}
