package keyring_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/keyring"
)

func ring(t *testing.T) (*keyring.Keyring, []byte) {
	t.Helper()
	k, text, err := keyring.New()
	if err != nil {
		t.Fatal(err)
	}
	return k, text
}

func parse(t *testing.T, text ...[]byte) *keyring.Keyring {
	t.Helper()
	k, err := keyring.Parse(bytes.Join(text, nil))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhatIsSealedIsOpenedByItsKeyAlone(t *testing.T) {
	t.Parallel()
	k, text := ring(t)
	other, otherText := ring(t)
	secret := []byte("a signing key")
	sealed := k.Seal("signing key", secret)
	if bytes.Contains(sealed, secret) || bytes.Equal(sealed, k.Seal("signing key", secret)) {
		t.Errorf("sealed is %q", sealed)
	}
	for name, ring := range map[string]*keyring.Keyring{"itself": k, "the same text": parse(t, text), "a newer key above": parse(t, otherText, text)} {
		if opened, err := ring.Open("signing key", sealed); err != nil || !bytes.Equal(opened, secret) {
			t.Errorf("%s: %q, %v", name, opened, err)
		}
	}
	if _, err := other.Open("signing key", sealed); !fault.Is(err, fault.Config) {
		t.Errorf("another key: %v", err)
	}
	if _, err := k.Open("another purpose", sealed); !fault.Is(err, fault.Internal) {
		t.Errorf("another purpose: %v", err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if opened, err := k.Open("signing key", changed); err == nil {
			t.Errorf("byte %d changed: %q", i, opened)
		}
		if opened, err := k.Open("signing key", sealed[:i]); err == nil {
			t.Errorf("%d bytes of it: %q", i, opened)
		}
	}
	if k.Stale(sealed) || !parse(t, otherText, text).Stale(sealed) {
		t.Error("stale is what another key than the first sealed")
	}
}

func TestCodesVouchForOneThingAndPurpose(t *testing.T) {
	t.Parallel()
	k, text := ring(t)
	other, otherText := ring(t)
	code := k.Code("reset", []byte("a"), []byte("b"))
	if !k.Vouches("reset", code, []byte("a"), []byte("b")) || !parse(t, otherText, text).Vouches("reset", code, []byte("a"), []byte("b")) {
		t.Error("the code is not that of its own thing")
	}
	for name, vouched := range map[string]bool{
		"another key":     other.Vouches("reset", code, []byte("a"), []byte("b")),
		"another purpose": k.Vouches("invite", code, []byte("a"), []byte("b")),
		"parts that flow": k.Vouches("reset", code, []byte("ab"), nil),
		"less":            k.Vouches("reset", code, []byte("a")),
		"a part of it":    k.Vouches("reset", code[:31], []byte("a"), []byte("b")),
		"nothing":         k.Vouches("reset", nil, []byte("a"), []byte("b")),
	} {
		if vouched {
			t.Errorf("%s is vouched for", name)
		}
	}
}

func TestTokensAreOfOneThingAndPurpose(t *testing.T) {
	t.Parallel()
	k, text := ring(t)
	other, otherText := ring(t)
	thing := uuid.New()
	token := k.Token("reset", thing)
	for name, ring := range map[string]*keyring.Keyring{"itself": k, "a newer key above": parse(t, otherText, text)} {
		if id, ok := ring.ParseToken("reset", token); !ok || id != thing {
			t.Errorf("%s: %v, %v", name, id, ok)
		}
	}
	if _, ok := other.ParseToken("reset", token); ok {
		t.Error("another key takes it")
	}
	if _, ok := k.ParseToken("invite", token); ok {
		t.Error("another purpose takes it")
	}
	for i := range token {
		for _, changed := range []string{token[:i], token[:i] + token[i+1:], token[:i] + "\n" + token[i:], token[:i] + string(token[i]^1) + token[i+1:]} {
			if id, ok := k.ParseToken("reset", changed); ok {
				t.Errorf("%q is %v", changed, id)
			}
		}
	}
	if _, ok := k.ParseToken("reset", token+"="); ok {
		t.Error("a padded one is taken")
	}
}

func TestKeysThatAreNone(t *testing.T) {
	t.Parallel()
	_, text := ring(t)
	for name, bad := range map[string]string{
		"nothing": "", "a comment": "# none\n", "short": "c2hvcnQ=\n", "not base64": strings.Repeat("!", 44),
		"twice": string(text) + string(text), "two in a line": strings.TrimSpace(string(text)) + string(text), "a PEM": "-----BEGIN PRIVATE KEY-----",
	} {
		k, err := keyring.Parse([]byte(bad))
		if !fault.Is(err, fault.Config) || k != nil {
			t.Errorf("%s: %v, %v", name, k, err)
		} else if bad != "" && strings.Contains(fmt.Sprintf("%+v", err), strings.TrimSpace(bad)) {
			t.Errorf("%s: the error repeats it: %+v", name, err)
		}
	}
	parse(t, []byte("# the one of November\n\n"), text)
}

func TestAKeyringShowsNothing(t *testing.T) {
	t.Parallel()
	k, text := ring(t)
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("ring", "k", k, "inside", struct{ K *keyring.Keyring }{k})
	asJSON, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %x %d %s %q", k, k, k, k, k, k, k), log.String(), string(asJSON)} {
		for _, form := range []string{string(secret[:8]), strings.TrimSpace(string(text))[:16], hex.EncodeToString(secret[:8]), strings.Trim(fmt.Sprint(secret[:8]), "[]")} {
			if strings.Contains(shown, form) || !strings.Contains(shown, "Keyring(1 keys)") {
				t.Errorf("shown as %s", shown)
			}
		}
	}
}
