package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commonhold/commonhold/internal/fault"
)

const (
	testIssuer   = "https://commonhold.example"
	testAudience = "commonhold-api"

	notValid = "This access token is not valid. Sign in again."
	expired  = "This access token has expired. Refresh the session."

	// 2026-03-01T12:00:00Z; every test runs at this second unless it says otherwise.
	testNow = 1772366400
)

// forge builds tokens from bytes: it shares nothing with the code under test or
// with the library that writes tokens, so that neither can save us by refusing to
// write what an attacker would.
type forge struct {
	tokens  *Tokens
	key     ed25519.PrivateKey // the key that the server trusts
	kid     string
	header  string // of a valid token
	payload string
	clock   *time.Time
}

func newForge(t testing.TB) *forge {
	t.Helper()
	// A fixed key, so that the processes of a fuzzing run share their corpus.
	private := ed25519.NewKeyFromSeed([]byte("thirty-two bytes known to anyone"))
	key := SigningKey{ID: thumbprint(public(private)), Private: private}
	clock := time.Unix(testNow, 0)
	tokens, err := NewTokens(testIssuer, testAudience, 0, func() time.Time { return clock }, key)
	if err != nil {
		t.Fatal(err)
	}
	return &forge{
		tokens: tokens, key: key.Private, kid: key.ID, clock: &clock,
		header: `{"alg":"EdDSA","typ":"at+jwt","kid":"` + key.ID + `"}`,
		payload: fmt.Sprintf(`{"iss":"%s","aud":"%s","sub":"user_1","tid":"ten_1","sid":"ses_1","mep":7,"jti":"one","iat":%d,"exp":%d}`,
			testIssuer, testAudience, testNow, testNow+900),
	}
}

func b64(raw string) string { return base64.RawURLEncoding.EncodeToString([]byte(raw)) }

// sign signs whatever it is given, canonical or not.
func (f *forge) sign(header, payload string) string {
	text := b64(header) + "." + b64(payload)
	return text + "." + b64(string(ed25519.Sign(f.key, []byte(text))))
}

func (f *forge) valid() string { return f.sign(f.header, f.payload) }

// with is a properly signed token with one piece of the valid payload replaced.
func (f *forge) with(from, to string) string {
	return f.sign(f.header, edit(f.payload, from, to))
}

// withHeader is a properly signed token with one piece of the valid header replaced.
func (f *forge) withHeader(from, to string) string {
	return f.sign(edit(f.header, from, to), f.payload)
}

// edit panics where it would change nothing: such an attack would be a valid token.
func edit(text, from, to string) string {
	if strings.Count(text, from) != 1 || from == to {
		panic(fmt.Sprintf("%q is not once in %q", from, text))
	}
	return strings.Replace(text, from, to, 1)
}

// nextLetter is the base64url letter that differs in the last bit alone.
func nextLetter(letter byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, letter)^1])
}

func dates(issued, expires any) string { return fmt.Sprintf(`"iat":%v,"exp":%v`, issued, expires) }

type attack struct {
	name  string
	token string

	// later tells that the token is wrong only because of the hour: an hour on, its
	// only fault is that it has expired.
	later bool
}

func attacks(t testing.TB, f *forge) []attack {
	t.Helper()
	stranger, err := NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	valid := f.valid()
	parts := strings.Split(valid, ".")
	head, body, signature := parts[0], parts[1], parts[2]
	unsigned := head + "." + body
	now := dates(testNow, testNow+900)

	list := []attack{}
	add := func(name, token string) { list = append(list, attack{name: name, token: token}) }
	addLater := func(name, token string) { list = append(list, attack{name: name, token: token, later: true}) }

	// Shape.
	add("empty", "")
	add("dots", "..")
	add("one part", body)
	add("two parts", unsigned)
	add("four parts", valid+"."+signature)
	add("four parts, the last empty", valid+".")
	add("an encrypted token has five", valid+"."+body+"."+signature)
	add("a leading dot", "."+valid)
	add("1 MB of letters", strings.Repeat("A", 1<<20))
	add("1 MB of dots", strings.Repeat(".", 1<<20))
	add("over 4 KiB, signed", f.with(`"jti":"one"`, `"jti":"`+strings.Repeat("x", 4<<10)+`"`))
	add("Bearer in front", "Bearer "+valid)
	add("a space in front", " "+valid)
	add("a space behind", valid+" ")
	add("a line break behind", valid+"\n")
	add("a NUL behind", valid+"\x00")
	add("twice", valid+","+valid)

	// One token, several spellings.
	add("padding", valid+"==")
	add("the header padded, signed", func() string {
		text := base64.URLEncoding.EncodeToString([]byte(f.header+" ")) + "=." + body
		return text + "." + b64(string(ed25519.Sign(f.key, []byte(text))))
	}())
	add("a line break within the signature", unsigned+"."+signature[:40]+"\n"+signature[40:])
	add("a carriage return within the signature", unsigned+"."+signature[:40]+"\r"+signature[40:])
	add("a line break within the header, signed", func() string {
		text := head[:8] + "\r\n" + head[8:] + "." + body
		return text + "." + b64(string(ed25519.Sign(f.key, []byte(text))))
	}())
	add("bits left over in the signature", valid[:len(valid)-1]+nextLetter(valid[len(valid)-1]))
	add("bits left over in the payload, signed", func() string {
		payload := f.payload
		for len(payload)%3 == 0 || len(payload)%3 == 2 { // one byte over: four bits are left
			payload = strings.TrimSuffix(payload, "}") + " }"
		}
		encoded := b64(payload)
		text := head + "." + encoded[:len(encoded)-1] + nextLetter(encoded[len(encoded)-1])
		return text + "." + b64(string(ed25519.Sign(f.key, []byte(text))))
	}())
	add("the other base64 alphabet, signed", func() string {
		payload := strings.TrimSuffix(f.payload, "}") + `,"x":"???>>>???"}`
		encoded := base64.RawStdEncoding.EncodeToString([]byte(payload))
		if !strings.ContainsAny(encoded, "+/") {
			panic("the payload does not need the other alphabet")
		}
		text := head + "." + encoded
		return text + "." + b64(string(ed25519.Sign(f.key, []byte(text))))
	}())
	add("a refresh token", "chr_"+b64(strings.Repeat("r", 32)))
	add("a token of a mail", "cht_"+b64(strings.Repeat("m", 48)))
	add("a refresh token as a signed part", head+"."+b64("chr_"+b64(strings.Repeat("r", 32)))+"."+signature)
	add("percent encoding", strings.ReplaceAll(valid, ".", "%2E"))

	// alg. Once without a signature, once with a perfect one: the name alone must do.
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", " none", "HS256", "RS256", "PS256", "ES256", "ES256K", "Ed25519", "Ed448", "eddsa", "EDDSA", "EdDSA ", "EdDSA\\u0000"} {
		header := edit(f.header, `"alg":"EdDSA"`, `"alg":"`+alg+`"`)
		add("alg "+alg+", no signature", b64(header)+"."+body+".")
		add("alg "+alg+", well signed", f.sign(header, f.payload))
	}
	add("alg absent", f.withHeader(`"alg":"EdDSA",`, ``))
	add("alg null", f.withHeader(`"EdDSA"`, `null`))
	add("alg as a list", f.withHeader(`"EdDSA"`, `["EdDSA"]`))
	add("alg in capitals", f.withHeader(`"alg"`, `"ALG"`))
	add("alg twice", f.withHeader(`"alg":"EdDSA"`, `"alg":"none","alg":"EdDSA"`))
	add("alg twice, the second in capitals", f.withHeader(`"alg":"EdDSA"`, `"alg":"EdDSA","Alg":"none"`))

	// Other algorithms, done well, with what an attacker has: the public key.
	public := f.key.Public().(ed25519.PublicKey)
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{
		"the public key":               public,
		"the public key in DER":        der,
		"the public key in PEM":        pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"the public key in base64":     []byte(b64(string(public))),
		"the kid":                      []byte(f.kid),
		"nothing (an empty secret)":    {},
		"32 zeros (an absent secret?)": make([]byte, 32),
	} {
		text := b64(edit(f.header, "EdDSA", "HS256")) + "." + body
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(text))
		add("HS256 with "+name, text+"."+b64(string(mac.Sum(nil))))
	}
	sum := func(text string) []byte { s := sha256.Sum256([]byte(text)); return s[:] }
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text := b64(edit(f.header, "EdDSA", "RS256")) + "." + body
	rsaSignature, err := rsa.SignPKCS1v15(rand.Reader, rsaKey, crypto.SHA256, sum(text))
	if err != nil {
		t.Fatal(err)
	}
	add("RS256 with a key of their own", text+"."+b64(string(rsaSignature)))
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text = b64(edit(f.header, "EdDSA", "ES256")) + "." + body
	r, s, err := ecdsa.Sign(rand.Reader, ecKey, sum(text))
	if err != nil {
		t.Fatal(err)
	}
	pair := make([]byte, 64)
	r.FillBytes(pair[:32])
	s.FillBytes(pair[32:])
	add("ES256 with a key of their own", text+"."+b64(string(pair)))

	// kid.
	add("kid absent", f.withHeader(`,"kid":"`+f.kid+`"`, ``))
	add("kid empty", f.withHeader(f.kid, ``))
	add("kid unknown", f.withHeader(f.kid, stranger.ID))
	add("kid like a path", f.withHeader(f.kid, `../../../../dev/null`))
	add("kid like SQL", f.withHeader(f.kid, `' union select 'AA`))
	add("kid like SQL, as long as a kid", f.withHeader(f.kid, `'; delete from signing_keys where ''='     --`))
	add("kid like a URL", f.withHeader(f.kid, `https://keys.example/jwks.json`))
	add("kid like a path, as long as a kid", f.withHeader(f.kid, strings.Repeat(`../`, 14)+`x`))
	add("kid with a NUL", f.withHeader(f.kid, f.kid+`\u0000`))
	add("kid with bits left over", f.withHeader(f.kid, f.kid[:42]+nextLetter(f.kid[42])))
	add("kid padded", f.withHeader(f.kid, f.kid+`=`))
	add("kid with a space", f.withHeader(f.kid, f.kid+` `))
	add("kid in another case", f.withHeader(f.kid, strings.ToUpper(f.kid)))
	add("kid as a list", f.withHeader(`"`+f.kid+`"`, `["`+f.kid+`"]`))
	add("kid as an object", f.withHeader(`"`+f.kid+`"`, `{"kid":"`+f.kid+`"}`))
	add("kid as a number", f.withHeader(`"`+f.kid+`"`, `0`))
	add("kid null", f.withHeader(`"`+f.kid+`"`, `null`))
	add("kid twice", f.withHeader(`"kid":"`+f.kid+`"`, `"kid":"`+f.kid+`","kid":"`+f.kid+`"`))

	// typ.
	add("typ absent", f.withHeader(`"typ":"at+jwt",`, ``))
	for _, typ := range []string{`"JWT"`, `"jwt"`, `"refresh"`, `"rt+jwt"`, `""`, `"at+jwt "`, `"at+jwt; v=1"`, `"text/at+jwt"`, `"application/jwt"`, `"application/application/at+jwt"`, `"at jwt"`, `null`, `1`, `["at+jwt"]`} {
		add("typ "+typ, f.withHeader(`"at+jwt"`, typ))
	}

	// The rest of the header.
	strangersKey := `{"kty":"OKP","crv":"Ed25519","x":"` + b64(string(stranger.Public())) + `"}`
	for _, member := range []string{
		`"crit":[]`, `"crit":["exp"]`, `"crit":["tenancy"],"tenancy":1`, `"crit":"exp"`, `"crit":null`, `"crit":1`, `"Crit":1`,
		`"jwk":` + strangersKey, `"jwk":null`, `"jku":"https://keys.example/jwks"`, `"x5u":"https://keys.example/x"`,
		`"x5c":["AA=="]`, `"x5c":"AA=="`, `"x5t":"AA"`, `"x5t#S256":"AA"`, `"b64":false`, `"b64":true`, `"zip":"DEF"`, `"enc":"A256GCM"`, `"cty":"JWT"`, `"new":1`, `"":1`,
	} {
		add("header with "+member, f.withHeader(`{"alg"`, `{`+member+`,"alg"`))
	}
	ownKey := edit(f.header, `{"alg"`, `{"jwk":`+strangersKey+`,"alg"`)
	text = b64(ownKey) + "." + body
	add("jwk with the key that signed", text+"."+b64(string(ed25519.Sign(stranger.Private, []byte(text)))))

	// The signature.
	text = unsigned
	strangers := ed25519.Sign(stranger.Private, []byte(text))
	ours := ed25519.Sign(f.key, []byte(text))
	add("signature of another key", text+"."+b64(string(strangers)))
	add("signature of another key under its own kid", func() string {
		text := b64(edit(f.header, f.kid, stranger.ID)) + "." + body
		return text + "." + b64(string(ed25519.Sign(stranger.Private, []byte(text))))
	}())
	add("signature absent", text+".")
	add("signature of zeros", text+"."+b64(string(make([]byte, 64))))
	add("signature cut short", text+"."+b64(string(ours[:63])))
	add("signature with a byte more", text+"."+b64(string(ours)+"\x00"))
	add("signature with L added to S", text+"."+b64(string(addOrder(ours))))
	add("signature of the payload alone", text+"."+b64(string(ed25519.Sign(f.key, []byte(body)))))
	add("signature of the decoded bytes", text+"."+b64(string(ed25519.Sign(f.key, []byte(f.header+"."+f.payload)))))
	add("signature in hex", text+"."+hex.EncodeToString(ours))
	add("payload of another tenant under the old signature", head+"."+b64(edit(f.payload, "ten_1", "ten_2"))+"."+signature)
	add("header in another order under the old signature", b64(`{"typ":"at+jwt","alg":"EdDSA","kid":"`+f.kid+`"}`)+"."+body+"."+signature)

	// JSON.
	for name, broken := range map[string]string{
		"null": `null`, "a list": `[]`, "a string": `"x"`, "a number": `1`, "nothing": ``, "a space": ` `, "not JSON": `{`,
		"two objects": f.payload + `{}`, "something behind": f.payload + `x`, "a comma too many": strings.TrimSuffix(f.payload, "}") + `,}`,
		"a byte order mark": "\ufeff" + f.payload, "a comment": f.payload + `//`, "a bare word": edit(f.payload, `"one"`, `one`),
		"deeply nested": strings.Repeat(`{"a":`, 400) + `1` + strings.Repeat(`}`, 400),
	} {
		add("payload: "+name, f.sign(f.header, broken))
	}
	inARow := func(object string) string { // the same names and values, in a row
		return "[" + strings.Trim(strings.ReplaceAll(object, `":`, `",`), "{}") + "]"
	}
	add("payload: a list of names and values", f.sign(f.header, inARow(f.payload)))
	add("header: a list of names and values", f.sign(inARow(f.header), f.payload))
	for name, broken := range map[string]string{
		"null": `null`, "a list": `[]`, "nothing": ``, "not JSON": `{`, "two objects": f.header + `{}`, "empty": `{}`,
	} {
		add("header: "+name, f.sign(broken, f.payload))
	}
	add("header: invalid UTF-8", f.withHeader(`{"alg"`, "{\"\xff\":1,\"alg\""))
	add("payload: invalid UTF-8", f.with(`"sub":"user_1"`, "\"sub\":\"user_1\xff\""))
	add("payload: a surrogate half in UTF-8", f.with(`"sub":"user_1"`, "\"sub\":\"user_1\xed\xa0\x80\""))
	add("payload: invalid UTF-8 in a claim nobody reads", f.with(`{"iss"`, "{\"x\":\"\xc0\xaf\",\"iss\""))
	for _, claim := range []string{`"iss":"` + testIssuer + `"`, `"aud":"` + testAudience + `"`, `"sub":"user_1"`, `"tid":"ten_1"`, `"sid":"ses_1"`, `"jti":"one"`, `"mep":7`, now} {
		add("twice: "+claim, f.with(claim, claim+","+claim))
	}
	add("tid twice, the second in disguise", f.with(`"tid":"ten_1"`, `"tid":"ten_2","\u0074id":"ten_1"`))
	add("an unread claim twice", f.with(`{"iss"`, `{"x":1,"x":2,"iss"`))
	add("an unread claim that is an object", f.with(`{"iss"`, `{"act":{"sub":"user_2"},"iss"`))
	add("an unread claim that is an object, at the end", f.with(now, now+`,"act":{"x":1}`))
	add("an unread claim that is a list, at the end", f.with(now, now+`,"amr":[]`))
	add("a claim within another", f.sign(f.header, edit(edit(f.payload, `"tid":"ten_1",`, ``), now, now+`,"act":{"tid":"ten_1"}`)))

	// Strings among the claims.
	for claim, value := range map[string]string{"iss": testIssuer, "aud": testAudience, "sub": "user_1", "tid": "ten_1", "sid": "ses_1", "jti": "one"} {
		pair := fmt.Sprintf(`"%s":"%s"`, claim, value)
		add(claim+" absent", f.with(pair, `"x":1`))
		add(claim+" empty", f.with(pair, `"`+claim+`":""`))
		add(claim+" null", f.with(pair, `"`+claim+`":null`))
		add(claim+" a number", f.with(pair, `"`+claim+`":1`))
		add(claim+" true", f.with(pair, `"`+claim+`":true`))
		add(claim+" a list", f.with(pair, `"`+claim+`":["`+value+`"]`))
		add(claim+" in capitals", f.with(pair, fmt.Sprintf(`"%s":"%s"`, strings.ToUpper(claim), value)))
	}
	for name, value := range map[string]string{
		"nothing": `null`, "text": `"7"`, "true": `true`, "zero": `0`, "below zero": `-7`, "a fraction": `7.5`, "a whole fraction": `7.0`, "an exponent": `7e0`,
		"beyond what is counted": `9223372036854775808`, "a list": `[7]`,
	} {
		add("mep is "+name, f.with(`"mep":7`, `"mep":`+value))
	}
	add("mep absent", f.with(`"mep":7`, `"x":7`))
	add("mep in capitals", f.with(`"mep":7`, `"MEP":7`))
	add("iss of another", f.with(testIssuer, "https://elsewhere.example"))
	add("iss with a slash", f.with(testIssuer, testIssuer+"/"))
	add("iss in another case", f.with(testIssuer, strings.ToUpper(testIssuer)))
	add("aud of another", f.with(testAudience, "another-api"))
	add("aud that begins like ours", f.with(testAudience, testAudience+"2"))
	add("aud of several", f.with(`"`+testAudience+`"`, `["another-api","`+testAudience+`"]`))

	// Dates.
	addLater("iat 31 seconds ahead", f.with(now, dates(testNow+31, testNow+900)))
	add("iat in a year", f.with(now, dates(testNow+31536000, testNow+31536900)))
	addLater("nbf 31 seconds ahead", f.with(now, now+fmt.Sprintf(`,"nbf":%d`, testNow+31)))
	for _, nbf := range []string{`null`, `"0"`, `1.5`, `-1`, `9223372036854775807`, `99999999999999999999`, `[0]`, `true`} {
		add("nbf "+nbf, f.with(now, now+`,"nbf":`+nbf))
	}
	add("lifetime a second too long", f.with(now, dates(testNow, testNow+901)))
	add("lifetime of ten years", f.with(now, dates(testNow, testNow+315360000)))
	add("lifetime of all time", f.with(now, dates(0, 253402300799)))
	add("exp at iat", f.with(now, dates(testNow+10, testNow+10)))
	add("exp before iat", f.with(now, dates(testNow+10, testNow+5)))
	add("iat absent", f.with(now, fmt.Sprintf(`"exp":%d`, testNow+900)))
	add("exp absent", f.with(now, fmt.Sprintf(`"iat":%d`, testNow)))
	for _, odd := range []string{
		fmt.Sprintf(`"%d"`, testNow), fmt.Sprintf(`%d.5`, testNow), fmt.Sprintf(`%d.0`, testNow), `1.7723664e9`, `17723664e2`,
		`null`, `true`, `-1`, `""`, `9223372036854775807`, `99999999999999999999`, `1e999`, `[1772366400]`, `"2026-03-01T12:00:00Z"`,
	} {
		add("iat "+odd, f.with(now, dates(odd, testNow+900)))
		add("exp "+odd, f.with(now, dates(testNow-1, odd)))
	}
	// Where seconds wrap around, all time lies in the past.
	add("dates beyond the calendar", f.with(now, dates(int64(9223372036854775807-900), int64(9223372036854775807))))

	return list
}

// addOrder adds the order of the group to S: the same point, another signature.
func addOrder(signature []byte) []byte {
	order, err := hex.DecodeString("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	if err != nil {
		panic(err)
	}
	out := bytes.Clone(signature)
	carry := 0
	for i, digit := range order {
		carry += int(out[32+i]) + int(digit)
		out[32+i] = byte(carry)
		carry >>= 8
	}
	return out
}

// refused checks that a refusal is the one answer, and keeps its cause to itself.
func refused(t testing.TB, name, token, message string, claims Claims, err error) {
	t.Helper()
	coded, ok := err.(*fault.Error) //nolint:errorlint // it must be coded on the outside
	if !ok {
		t.Errorf("%s: answered with %v, want a coded error", name, err)
		return
	}
	if coded.Code != fault.Unauthenticated || coded.Message != message || coded.Field != nil {
		t.Errorf("%s: %s %q %v, want %s %q", name, coded.Code, coded.Message, coded.Field, fault.Unauthenticated, message)
	}
	if claims != (Claims{}) {
		t.Errorf("%s: refused, with claims %+v", name, claims)
	}
	if coded.Cause == nil || coded.Cause.Error() == "" {
		t.Errorf("%s: no cause for the log", name)
		return
	}
	for _, value := range []string{"user_1", "ten_1", "ses_1", testIssuer, testAudience, "elsewhere", "another-api", "keys.example", "dev/null"} {
		if strings.Contains(err.Error(), value) {
			t.Errorf("%s: the error repeats a value of the token: %v", name, err)
		}
	}
	for _, part := range strings.Split(token, ".") {
		raw, _ := base64.RawURLEncoding.DecodeString(part)
		for _, secret := range []string{part, string(raw)} {
			if len(secret) >= 8 && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error repeats the token: %v", name, err)
			}
		}
	}
}

func TestAttacksOnTokens(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	if _, err := f.tokens.Verify(context.Background(), f.valid()); err != nil {
		t.Fatalf("the token that the attacks start from: %v", err)
	}
	list := attacks(t, f)
	seen := map[string]bool{}
	for _, attack := range list {
		if attack.token == f.valid() || seen[attack.name] {
			t.Errorf("%s: no attack, or one of two of this name", attack.name)
		}
		seen[attack.name] = true
		claims, err := f.tokens.Verify(context.Background(), attack.token)
		refused(t, attack.name, attack.token, notValid, claims, err)
	}

	// That a token has expired is told only to one for whom it was once right.
	*f.clock = f.clock.Add(time.Hour)
	for _, attack := range list {
		want := notValid
		if attack.later {
			want = expired
		}
		claims, err := f.tokens.Verify(context.Background(), attack.token)
		refused(t, "expired, and "+attack.name, attack.token, want, claims, err)
	}
	t.Logf("%d attacks, each before and after the expiry", len(list))
}

func TestEveryCharacterOfATokenCounts(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	valid := f.valid()
	for i := range valid {
		for _, letter := range []string{"A", "B", "_", ".", "=", "\n", "+", ""} {
			if letter == valid[i:i+1] {
				continue
			}
			token := valid[:i] + letter + valid[i+1:]
			claims, err := f.tokens.Verify(context.Background(), token)
			refused(t, fmt.Sprintf("character %d as %q", i, letter), token, notValid, claims, err)
		}
		claims, err := f.tokens.Verify(context.Background(), valid[:i])
		refused(t, fmt.Sprintf("the first %d characters", i), valid[:i], notValid, claims, err)
	}
}

func TestTokensThatAreRight(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	now := dates(testNow, testNow+900)
	for name, token := range map[string]string{
		"plain":                           f.valid(),
		"typ in capitals":                 f.withHeader("at+jwt", "AT+JWT"),
		"typ in full":                     f.withHeader("at+jwt", "application/at+jwt"),
		"typ in full, in capitals":        f.withHeader("at+jwt", "Application/AT+JWT"),
		"header in another order":         f.sign(`{ "kid" : "`+f.kid+"\",\n\"typ\":\"at+jwt\", \"alg\":\"EdDSA\"}", f.payload),
		"claims of a later version":       f.with(`{"iss"`, `{"scope":"all","level":3,"support":true,"none":null,"iss"`),
		"iat 30 seconds ahead":            f.with(now, dates(testNow+30, testNow+900)),
		"nbf 30 seconds ahead":            f.with(now, now+fmt.Sprintf(`,"nbf":%d`, testNow+30)),
		"nbf in the past":                 f.with(now, now+`,"nbf":0`),
		"a shorter life":                  f.with(now, dates(testNow, testNow+1)),
		"a second left":                   f.with(now, dates(testNow-899, testNow+1)),
		"a claim in capitals beside ours": f.with(`{"iss"`, `{"EXP":1,"TID":"ten_2","iss"`),
		"exactly 4 KiB":                   f.with(`{"iss"`, `{"x":"`+strings.Repeat("x", 2700)+`","iss"`),
	} {
		if name == "exactly 4 KiB" {
			for fill := 2700; len(token) != maxTokenBytes; fill++ {
				if len(token) > maxTokenBytes || fill > 4096 {
					t.Fatalf("no token of exactly 4 KiB: %d", len(token))
				}
				token = f.with(`{"iss"`, `{"x":"`+strings.Repeat("x", fill)+`","iss"`)
			}
		}
		claims, err := f.tokens.Verify(context.Background(), token)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if claims.User != "user_1" || claims.Tenant != "ten_1" || claims.Session != "ses_1" || claims.ID != "one" {
			t.Errorf("%s: %+v", name, claims)
		}
	}
	claims, err := f.tokens.Verify(context.Background(), f.valid())
	want := Claims{
		Session: "ses_1", User: "user_1", Tenant: "ten_1", Epoch: 7, ID: "one",
		IssuedAt: time.Unix(testNow, 0).UTC(), ExpiresAt: time.Unix(testNow+900, 0).UTC(),
	}
	if err != nil || claims != want {
		t.Errorf("Verify = %+v, %v; want %+v", claims, err, want)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	token := f.valid()
	start := time.Unix(testNow, 0)
	*f.clock = start.Add(15*time.Minute - time.Nanosecond)
	if _, err := f.tokens.Verify(context.Background(), token); err != nil {
		t.Errorf("a nanosecond before: %v", err)
	}
	for _, after := range []time.Duration{0, time.Nanosecond, time.Second, 29 * time.Second, 24 * 365 * time.Hour} {
		*f.clock = start.Add(15*time.Minute + after)
		claims, err := f.tokens.Verify(context.Background(), token)
		refused(t, fmt.Sprintf("%s after", after), token, expired, claims, err)
	}
}

func TestIssue(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	*f.clock = f.clock.Add(900 * time.Millisecond)
	token, expiresAt, err := f.tokens.Issue(Claims{
		Session: "ses_1", User: "user_1", Tenant: "ten_1", Epoch: 7, ID: "one",
		IssuedAt: time.Unix(0, 0), ExpiresAt: time.Unix(1<<40, 0), // not read
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Unix(testNow+900, 0).UTC(); expiresAt != want {
		t.Errorf("expires %s, want %s", expiresAt, want)
	}

	// Read without the code under test, so that the two cannot agree on a mistake.
	parts := strings.Split(token, ".")
	for i, want := range []map[string]any{
		{"alg": "EdDSA", "typ": "at+jwt", "kid": f.kid},
		{
			"iss": testIssuer, "aud": testAudience, "sub": "user_1", "tid": "ten_1", "sid": "ses_1", "mep": float64(7), "jti": "one",
			"iat": float64(testNow), "exp": float64(testNow + 900),
		},
	} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("part %d is %v, want %v", i, got, want)
		}
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !ed25519.Verify(f.key.Public().(ed25519.PublicKey), []byte(parts[0]+"."+parts[1]), signature) {
		t.Errorf("the signature is not one of the key (%v)", err)
	}

	claims, err := f.tokens.Verify(context.Background(), token)
	if err != nil || claims.ExpiresAt != expiresAt || claims.ID != "one" {
		t.Errorf("Verify = %+v, %v", claims, err)
	}
}

func TestIssueNamesEveryToken(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	seen := map[string]bool{}
	for range 100 {
		token, _, err := f.tokens.Issue(Claims{Session: "ses_1", User: "user_1", Tenant: "ten_1", Epoch: 7})
		if err != nil {
			t.Fatal(err)
		}
		claims, err := f.tokens.Verify(context.Background(), token)
		if err != nil || claims.ID == "" || seen[claims.ID] {
			t.Fatalf("jti %q is empty or not new (%v)", claims.ID, err)
		}
		seen[claims.ID] = true
	}
}

func TestIssueRefusesWhatVerifyWould(t *testing.T) {
	t.Parallel()
	f := newForge(t)
	for name, claims := range map[string]Claims{
		"no user":       {Session: "ses_1", Tenant: "ten_1", Epoch: 7},
		"no tenant":     {Session: "ses_1", User: "user_1", Epoch: 7},
		"no session":    {User: "user_1", Tenant: "ten_1", Epoch: 7},
		"no epoch":      {Session: "ses_1", User: "user_1", Tenant: "ten_1"},
		"epoch below 1": {Session: "ses_1", User: "user_1", Tenant: "ten_1", Epoch: -1},
		"a page of jti": {Session: "ses_1", User: "user_1", Tenant: "ten_1", Epoch: 7, ID: strings.Repeat("x", 4096)},
	} {
		if token, _, err := f.tokens.Issue(claims); err == nil || token != "" {
			t.Errorf("%s: issued %q, %v", name, token, err)
		}
	}
}

func TestRotationOfKeys(t *testing.T) {
	t.Parallel()
	old, err := NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	next, err := NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	server := func(signing SigningKey, accepted ...ed25519.PublicKey) *Tokens {
		tokens, err := NewTokens(testIssuer, testAudience, time.Minute, nil, signing, accepted...)
		if err != nil {
			t.Fatal(err)
		}
		return tokens
	}
	before, during, after := server(old, next.Public()), server(next, old.Public()), server(next)
	claims := Claims{Session: "ses_1", User: "user_1", Tenant: "ten_1", Epoch: 7}
	byOld, _, err := before.Issue(claims)
	if err != nil {
		t.Fatal(err)
	}
	byNext, _, err := during.Issue(claims)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		server *Tokens
		token  string
		ok     bool
	}{
		"before, old": {before, byOld, true}, "before, next": {before, byNext, true},
		"during, old": {during, byOld, true}, "during, next": {during, byNext, true},
		"after, old": {after, byOld, false}, "after, next": {after, byNext, true},
	} {
		if _, err := test.server.Verify(context.Background(), test.token); (err == nil) != test.ok {
			t.Errorf("%s: %v, want accepted: %v", name, err, test.ok)
		}
	}
	// Each kid stands for its own key: knowing both is not enough.
	text := b64(`{"alg":"EdDSA","typ":"at+jwt","kid":"`+old.ID+`"}`) + "." + strings.Split(byNext, ".")[1]
	token := text + "." + b64(string(ed25519.Sign(next.Private, []byte(text))))
	got, err := during.Verify(context.Background(), token)
	refused(t, "signed by next under the name of old", token, notValid, got, err)
}

func TestNewTokensRefuses(t *testing.T) {
	t.Parallel()
	key, err := NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	mixed := SigningKey{ID: other.ID, Private: append(bytes.Clone(key.Private[:32]), other.Private[32:]...)}
	for name, build := range map[string]func() (*Tokens, error){
		"no issuer":          func() (*Tokens, error) { return NewTokens("", testAudience, 0, nil, key) },
		"no audience":        func() (*Tokens, error) { return NewTokens(testIssuer, "", 0, nil, key) },
		"a lifetime below 0": func() (*Tokens, error) { return NewTokens(testIssuer, testAudience, -time.Second, nil, key) },
		"half a second":      func() (*Tokens, error) { return NewTokens(testIssuer, testAudience, time.Second/2, nil, key) },
		"more than a day":    func() (*Tokens, error) { return NewTokens(testIssuer, testAudience, 24*time.Hour+1, nil, key) },
		"no key":             func() (*Tokens, error) { return NewTokens(testIssuer, testAudience, 0, nil, SigningKey{}) },
		"the name of another": func() (*Tokens, error) {
			return NewTokens(testIssuer, testAudience, 0, nil, SigningKey{ID: other.ID, Private: key.Private})
		},
		"halves of two keys": func() (*Tokens, error) { return NewTokens(testIssuer, testAudience, 0, nil, mixed) },
		"a short public key": func() (*Tokens, error) { return NewTokens(testIssuer, testAudience, 0, nil, key, other.Public()[:31]) },
		"a missing one":      func() (*Tokens, error) { return NewTokens(testIssuer, testAudience, 0, nil, key, nil) },
	} {
		if tokens, err := build(); !fault.Is(err, fault.Config) || tokens != nil {
			t.Errorf("%s: %v, want CONFIG", name, err)
		}
	}
}

// RFC 8037 appendix A.1 to A.3.
func TestThumbprintOfTheStandardsKey(t *testing.T) {
	t.Parallel()
	seed, err := base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := thumbprint(public(ed25519.NewKeyFromSeed(seed))), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestASigningKeyIsNeverShown(t *testing.T) {
	t.Parallel()
	key, err := NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := NewTokens(testIssuer, testAudience, 0, nil, key)
	if err != nil {
		t.Fatal(err)
	}
	type config struct {
		Key     SigningKey
		Pointer *SigningKey
	}
	shown := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "% x", "%c", "%o", "%b", "%U"} {
		for name, value := range map[string]any{
			"key": key, "pointer": &key, "within": config{key, &key}, "slice": []SigningKey{key}, "map": map[string]SigningKey{"key": key}, "tokens": tokens, "tokens within": struct{ inner *Tokens }{tokens},
			"tokens' keys": tokens.keys, "tokens' known keys": tokens.keys.known.Load(), "tokens' key": tokens.keys.known.Load().keys[0],
		} {
			shown[name+" "+verb] = fmt.Sprintf(verb, value)
		}
	}
	var text, structured bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("start", "key", key, "config", config{key, &key}, "tokens", tokens)
	slog.New(slog.NewJSONHandler(&structured, nil)).Info("start", "key", key, "config", config{key, &key}, "tokens", tokens)
	shown["slog text"], shown["slog json"] = text.String(), structured.String()
	marshaled, err := json.Marshal(map[string]any{"key": key, "config": config{key, &key}, "tokens": tokens})
	if err != nil {
		t.Fatal(err)
	}
	asText, err := key.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	shown["json"], shown["text"], shown["String"], shown["GoString"] = string(marshaled), string(asText), key.String(), key.GoString()

	// Eight bytes of the seed, in the ways in which bytes are printed.
	piece := []byte(key.Private[8:16])
	decimal := strings.Trim(fmt.Sprint(piece), "[]")
	secrets := []string{
		string(piece), decimal, strings.ReplaceAll(decimal, " ", ", "), strings.ReplaceAll(decimal, " ", ","),
		fmt.Sprintf("%x", piece), fmt.Sprintf("%X", piece), fmt.Sprintf("% x", piece), strings.Trim(fmt.Sprintf("%#v", piece), "[]byte{}"),
		strings.Trim(fmt.Sprintf("%o", piece), "[]"), strings.Trim(fmt.Sprintf("%b", piece), "[]"), strings.Trim(fmt.Sprintf("%U", piece), "[]"),
		base64.StdEncoding.EncodeToString(key.Private[:48])[12:24], // from byte 9 on
		strings.Trim(fmt.Sprintf("%q", piece), `"`),
	}
	// The list of spellings is right: a bare key is found in each.
	bare := []byte(key.Private)
	for _, verb := range []string{"%v", "%d", "%x", "%X", "% x", "%#v", "%o", "%b", "%U", "%s"} {
		if out := fmt.Sprintf(verb, bare); !slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(out, s) }) {
			t.Errorf("a bare key printed with %s goes unseen", verb)
		}
	}
	for name, out := range shown {
		if slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(out, s) }) {
			t.Errorf("%s shows the key", name)
		}
		if !strings.Contains(out, key.ID) && !strings.HasPrefix(name, "tokens") {
			t.Errorf("%s does not name the key: %s", name, out)
		}
	}
}

func FuzzVerify(f *testing.F) {
	forge := newForge(f)
	f.Add(forge.valid())
	for _, attack := range attacks(f, forge) {
		if len(attack.token) <= 2*maxTokenBytes {
			f.Add(attack.token)
		}
	}
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := forge.tokens.Verify(context.Background(), token)
		if err == nil {
			// Of the seeds that carry a good signature, only one is right otherwise.
			if token != forge.valid() {
				t.Errorf("accepted %q: %+v", token, claims)
			}
			return
		}
		if !fault.Is(err, fault.Unauthenticated) || claims != (Claims{}) {
			t.Errorf("%+v, %v", claims, err)
		}
	})
}

// FuzzVerifySigned gets past the signature, as nobody outside can: whatever is
// accepted must still be a plain token, as an ordinary reading of the JSON sees it.
func FuzzVerifySigned(f *testing.F) {
	forge := newForge(f)
	seed := func(token string) {
		parts := strings.Split(token, ".")
		if len(parts) != 3 {
			return
		}
		header, err := base64.RawURLEncoding.DecodeString(parts[0])
		payload, err2 := base64.RawURLEncoding.DecodeString(parts[1])
		if errors.Join(err, err2) == nil {
			f.Add(string(header), string(payload))
		}
	}
	seed(forge.valid())
	for _, attack := range attacks(f, forge) {
		seed(attack.token)
	}
	f.Fuzz(func(t *testing.T, header, payload string) {
		claims, err := forge.tokens.Verify(context.Background(), forge.sign(header, payload))
		if err != nil {
			if !fault.Is(err, fault.Unauthenticated) || claims != (Claims{}) {
				t.Errorf("%+v, %v", claims, err)
			}
			return
		}
		var head, body map[string]any
		if err := errors.Join(json.Unmarshal([]byte(header), &head), json.Unmarshal([]byte(payload), &body)); err != nil {
			t.Fatalf("accepted %q %q: %v", header, payload, err)
		}
		if len(head) != 3 || head["alg"] != "EdDSA" || head["kid"] != forge.kid {
			t.Errorf("accepted the header %q", header)
		}
		issued, _ := body["iat"].(float64)
		epoch, _ := body["mep"].(float64)
		expires, _ := body["exp"].(float64)
		if body["iss"] != testIssuer || body["aud"] != testAudience ||
			claims.User == "" || body["sub"] != claims.User || claims.Tenant == "" || body["tid"] != claims.Tenant ||
			claims.Session == "" || body["sid"] != claims.Session || claims.Epoch < 1 || float64(claims.Epoch) != epoch || claims.ID == "" || body["jti"] != claims.ID ||
			issued > testNow+30 || expires <= testNow || expires-issued > 900 || expires <= issued {
			t.Errorf("accepted the claims %q as %+v", payload, claims)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	f := newForge(b)
	token := f.valid()
	for b.Loop() {
		if _, err := f.tokens.Verify(context.Background(), token); err != nil {
			b.Fatal(err)
		}
	}
}
