package auth

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/commonhold/commonhold/internal/fault"
)

const (
	// DefaultTokenLifetime is how long an access token is good for.
	DefaultTokenLifetime = 15 * time.Minute

	// maxTokenLifetime bounds what may be configured: an access token is refreshed,
	// not kept.
	maxTokenLifetime = 24 * time.Hour

	// clockLeeway is how far the clocks of two servers of one deployment may be
	// apart: a token may be issued, or begin to be valid, this much in the future.
	// There is no leeway at the end; clients refresh ahead of it.
	clockLeeway = 30 * time.Second

	// maxTokenBytes bounds what Verify reads at all. A token of ours has about 500.
	maxTokenBytes = 4 << 10

	// latestTime is the last second of the year 9999, as a NumericDate. It keeps the
	// arithmetic on dates from overflowing.
	latestTime = 253402300799

	tokenType = "at+jwt" // RFC 9068 section 2.1
)

// SigningKey is an Ed25519 key with its public name. Printing, logging or
// marshalling one shows the ID alone.
type SigningKey struct {
	ID      string // RFC 7638 JWK thumbprint of the public key (SHA-256, base64url): the kid of its tokens
	Private ed25519.PrivateKey
}

// NewSigningKey makes a key from the system's randomness.
func NewSigningKey() (SigningKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return SigningKey{}, fmt.Errorf("make a signing key: %w", err)
	}
	return SigningKey{ID: thumbprint(public), Private: private}, nil
}

// Public is the half that verifies: what other servers accept during a rotation.
func (k SigningKey) Public() ed25519.PublicKey { return public(k.Private) }

// String names the key without showing it.
func (k SigningKey) String() string { return "SigningKey(" + k.ID + ")" }

// GoString is String.
func (k SigningKey) GoString() string { return k.String() }

// Format answers every verb alike: without it %d or %x would print the bytes.
func (k SigningKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue shows the ID alone.
func (k SigningKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText shows the ID alone, to encoders of every kind.
func (k SigningKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// MarshalJSON shows the ID alone.
func (k SigningKey) MarshalJSON() ([]byte, error) { return json.Marshal(k.String()) }

// thumbprint is RFC 7638 with the members that RFC 8037 section 2 requires of an
// Ed25519 key, in lexicographic order.
func thumbprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(key) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func public(key ed25519.PrivateKey) ed25519.PublicKey {
	return key.Public().(ed25519.PublicKey) //nolint:forcetypeassert // the only type it returns
}

// Claims is what an access token says. The ids are in their public text form; who
// reads them parses them.
type Claims struct {
	Session   string    // "sid": the session, which can be ended before the token does
	User      string    // "sub"
	Tenant    string    // "tid": the only tenant that the token opens
	Epoch     int64     // "mep": the state of the membership it was issued for, from 1
	IssuedAt  time.Time // "iat", whole seconds, UTC; set by Issue
	ExpiresAt time.Time // "exp", whole seconds, UTC: the first moment at which it is refused; set by Issue
	ID        string    // "jti"; Issue makes a random one if it is empty
}

// Tokens issues and verifies access tokens: JSON Web Tokens of the profile in RFC
// 9068, signed with Ed25519 (RFC 8037) and nothing else. It is safe for concurrent
// use.
type Tokens struct {
	issuer, audience string
	lifetime         time.Duration
	now              func() time.Time
	keys             *KeySet
}

// NewTokens makes an issuer and verifier whose keys never change, as tests and tools
// need one; a server's come from KeySet.Tokens. Tokens are signed with signing; those
// of alsoAccepted are good too. A lifetime of zero is DefaultTokenLifetime, the
// others are 1 second to 24 hours; shortening it refuses the tokens that were
// issued for longer. now is time.Now if nil.
//
// Errors: fault.Config.
func NewTokens(issuer, audience string, lifetime time.Duration, now func() time.Time, signing SigningKey, alsoAccepted ...ed25519.PublicKey) (*Tokens, error) {
	if lifetime == 0 {
		lifetime = DefaultTokenLifetime
	}
	if now == nil {
		now = time.Now
	}
	keys, err := fixedKeys(signing, alsoAccepted)
	if err != nil {
		return nil, err
	}
	return newTokens(issuer, audience, lifetime, now, keys)
}

func newTokens(issuer, audience string, lifetime time.Duration, now func() time.Time, keys *KeySet) (*Tokens, error) {
	if issuer == "" || audience == "" {
		return nil, fault.New(fault.Config, "Access tokens need an issuer and an audience. Set both.")
	}
	if lifetime < time.Second || lifetime > maxTokenLifetime {
		return nil, fault.New(fault.Config, "The lifetime of access tokens must be between 1 second and 24 hours.")
	}
	return &Tokens{issuer: issuer, audience: audience, lifetime: lifetime.Truncate(time.Second), now: now, keys: keys}, nil
}

// Issue signs a token for the session, user and tenant of c, good from now for the
// lifetime; what c says about times is not read. Its errors are not for users: an
// id is missing or far too long.
func (t *Tokens) Issue(c Claims) (token string, expiresAt time.Time, err error) {
	if c.User == "" || c.Tenant == "" || c.Session == "" || c.Epoch < 1 {
		return "", time.Time{}, errors.New("issue an access token: user, tenant, session and epoch are required")
	}
	if c.ID == "" {
		c.ID = rand.Text()
	}
	issued := t.now().UTC().Truncate(time.Second)
	expiresAt = issued.Add(t.lifetime)
	unsigned := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": t.issuer,
		"aud": t.audience,
		"sub": c.User,
		"tid": c.Tenant,
		"sid": c.Session,
		"mep": c.Epoch,
		"jti": c.ID,
		"iat": issued.Unix(),
		"exp": expiresAt.Unix(),
	})
	key, err := t.keys.signing()
	if err != nil {
		return "", time.Time{}, fmt.Errorf("issue an access token: %w", err)
	}
	unsigned.Header["typ"] = tokenType
	unsigned.Header["kid"] = key.id
	token, err = key.sign(unsigned)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("issue an access token: %w", err)
	}
	if len(token) > maxTokenBytes {
		return "", time.Time{}, errors.New("issue an access token: it would be too long to be accepted")
	}
	return token, expiresAt, nil
}

// Verify answers with what a token says, if every one of its bytes is right. We
// read only what we wrote, so it is stricter than RFC 7519 where that leaves a
// choice, and the general parser of the library, which takes an aud of several,
// dates as strings, duplicate members, line breaks in base64 and an unknown crit,
// is not used:
//
//   - at most 4 KiB; three parts; each in the one canonical base64url form
//   - header and claims are flat JSON objects in valid UTF-8 without a duplicate
//     member
//   - the header holds alg, typ and kid and nothing else, so no crit, jwk, jku, x5u,
//     x5c, b64 or zip: alg is EdDSA, typ is at+jwt (in any case, with or without
//     "application/", RFC 9068 section 4), kid names an accepted key
//   - the signature, before the claims are read
//   - iss and aud are the one expected string; sub, tid, sid and jti are there
//   - mep is a whole number from 1
//   - iat and exp, and nbf if it is there, are whole seconds; iat and nbf at most 30
//     seconds in the future; exp after iat by no more than the lifetime
//   - exp in the future
//
// Other claims are ignored, so that a later version may add some.
//
// It asks the database only where kid is a name that a key could have and this server
// has not heard of it, and then once in a few seconds at most.
//
// Errors: always fault.Unauthenticated, with one message for whatever is wrong,
// and another for a token that was right until it expired. The cause is a fixed
// text for the log that holds nothing of the token.
func (t *Tokens) Verify(ctx context.Context, token string) (Claims, error) {
	claims, err := t.check(ctx, token)
	if err != nil {
		return Claims{}, fault.New(fault.Unauthenticated, "This access token is not valid. Sign in again.").Because(err)
	}
	if !t.now().Before(claims.ExpiresAt) {
		return Claims{}, fault.New(fault.Unauthenticated, "This access token has expired. Refresh the session.").Because(errors.New("exp is past"))
	}
	return claims, nil
}

// check is everything but the expiry.
func (t *Tokens) check(ctx context.Context, token string) (Claims, error) {
	if len(token) > maxTokenBytes {
		return Claims{}, errors.New("longer than 4 KiB")
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Claims{}, errors.New("not three parts")
	}
	var decoded [3][]byte
	for i, part := range parts {
		raw, err := base64.RawURLEncoding.DecodeString(part)
		// The decoder skips line breaks and ignores bits left over at the end; encoding
		// again shows either.
		if err != nil || base64.RawURLEncoding.EncodeToString(raw) != part {
			return Claims{}, errors.New("not canonical base64url")
		}
		decoded[i] = raw
	}

	header, err := flatObject(decoded[0])
	if err != nil {
		return Claims{}, fmt.Errorf("header: %w", err)
	}
	key, err := t.checkHeader(ctx, header)
	if err != nil {
		return Claims{}, err
	}
	signed := token[:len(token)-len(parts[2])-1]
	if err := jwt.SigningMethodEdDSA.Verify(signed, decoded[2], key); err != nil {
		return Claims{}, errors.New("the signature is not that of the key")
	}

	members, err := flatObject(decoded[1])
	if err != nil {
		return Claims{}, fmt.Errorf("claims: %w", err)
	}
	return t.checkClaims(members)
}

func (t *Tokens) checkHeader(ctx context.Context, header map[string]any) (ed25519.PublicKey, error) {
	for name := range header {
		if name != "alg" && name != "typ" && name != "kid" {
			return nil, errors.New("the header has a member other than alg, typ and kid")
		}
	}
	if header["alg"] != jwt.SigningMethodEdDSA.Alg() {
		return nil, errors.New("alg is not EdDSA")
	}
	// A media type: case does not matter, and "application/" may be left out (RFC 7515
	// section 4.1.9).
	typ, _ := header["typ"].(string)
	if !strings.EqualFold(typ, tokenType) && !strings.EqualFold(typ, "application/"+tokenType) {
		return nil, errors.New("typ is not at+jwt")
	}
	kid, _ := header["kid"].(string)
	key, ok := t.keys.accepted(ctx, kid)
	if !ok {
		return nil, errors.New("kid names no accepted key")
	}
	return key, nil
}

func (t *Tokens) checkClaims(members map[string]any) (Claims, error) {
	if members["iss"] != t.issuer {
		return Claims{}, errors.New("iss is not ours")
	}
	if members["aud"] != t.audience {
		return Claims{}, errors.New("aud is not ours")
	}

	var claims Claims
	for name, into := range map[string]*string{"sub": &claims.User, "tid": &claims.Tenant, "sid": &claims.Session, "jti": &claims.ID} {
		text, _ := members[name].(string)
		if text == "" {
			return Claims{}, fmt.Errorf("%s is missing", name)
		}
		*into = text
	}

	var err error
	if claims.Epoch, err = wholeNumber(members, "mep", 1, math.MaxInt64); err != nil {
		return Claims{}, err
	}
	if claims.IssuedAt, err = numericDate(members, "iat"); err != nil {
		return Claims{}, err
	}
	if claims.ExpiresAt, err = numericDate(members, "exp"); err != nil {
		return Claims{}, err
	}
	latest := t.now().Add(clockLeeway)
	if claims.IssuedAt.After(latest) {
		return Claims{}, errors.New("iat is in the future")
	}
	if _, given := members["nbf"]; given {
		notBefore, err := numericDate(members, "nbf")
		if err != nil {
			return Claims{}, err
		}
		if notBefore.After(latest) {
			return Claims{}, errors.New("nbf is in the future")
		}
	}
	validFor := claims.ExpiresAt.Sub(claims.IssuedAt)
	if validFor <= 0 {
		return Claims{}, errors.New("exp is not after iat")
	}
	if validFor > t.lifetime {
		return Claims{}, errors.New("exp is further from iat than the lifetime")
	}
	return claims, nil
}

// numericDate reads whole seconds since 1970, up to the year 9999. RFC 7519
// section 2 would allow fractions; we never write any.
func numericDate(members map[string]any, name string) (time.Time, error) {
	seconds, err := wholeNumber(members, name, 0, latestTime)
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(seconds, 0).UTC(), nil
}

func wholeNumber(members map[string]any, name string, low, high int64) (int64, error) {
	number, ok := members[name].(json.Number)
	if !ok {
		return 0, fmt.Errorf("%s is missing or not a number", name)
	}
	whole, err := strconv.ParseInt(number.String(), 10, 64)
	if err != nil || whole < low || whole > high {
		return 0, fmt.Errorf("%s is not a whole number in its bounds", name)
	}
	return whole, nil
}

// flatObject reads a JSON object whose members are strings, numbers, booleans or
// null, with the names to the letter: encoding/json into a struct would take "EXP"
// for exp, and the last of several members of one name.
func flatObject(raw []byte) (map[string]any, error) {
	if !utf8.Valid(raw) { // the decoder would put U+FFFD in its place
		return nil, errors.New("not valid UTF-8")
	}
	if !json.Valid(raw) { // also sees what follows the object
		return nil, errors.New("not valid JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	start, err := decoder.Token()
	if err != nil || start != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	members := make(map[string]any)
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, errors.New("not valid JSON")
		}
		value, err := decoder.Token()
		if err != nil {
			return nil, errors.New("not valid JSON")
		}
		if _, nested := value.(json.Delim); nested {
			return nil, errors.New("a member is an array or an object")
		}
		text, _ := name.(string) // in valid JSON it is one
		if _, again := members[text]; again {
			return nil, errors.New("a member appears twice")
		}
		members[text] = value
	}
	return members, nil
}
