// Package keyring keeps secrets that must be stored unreadable, and makes codes that
// can be checked without being stored. It holds the keys of the configuration, which
// no database ever sees.
package keyring

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/fault"
)

const (
	keySize = 32 // bytes: AES-256, and the length of a SHA-256
	idSize  = 8  // bytes of the name of a key in what it sealed
)

// Keyring holds one key or more. The first seals; the others still open what they
// sealed. Printing or logging one shows how many it holds.
type Keyring struct{ keys []key }

type key struct {
	id     [idSize]byte
	secret []byte
	aead   cipher.AEAD
}

// New makes a keyring of one key from the system's randomness. Its text is for
// Parse, and is the secret itself: write it with mode 0600.
func New() (k *Keyring, text []byte, err error) {
	secret := make([]byte, keySize)
	_, _ = rand.Read(secret)
	text = append([]byte(base64.StdEncoding.EncodeToString(secret)), '\n')
	k, err = Parse(text)
	return k, text, err
}

// Parse reads one key a line, the one that seals first: 32 random bytes in base64, as
// `openssl rand -base64 32` prints them. Empty lines and those that begin with # do
// not count. To change keys put a new line on top, and take the old one away once
// nothing is sealed with it any more.
//
// Errors: fault.Config; nothing of the input is in it.
func Parse(text []byte) (*Keyring, error) {
	refuse := func(reason string) error {
		return fault.New(fault.Config, "The key-encryption key must be 32 random bytes in base64, one key a line, the newest first. Make one with: openssl rand -base64 32").Because(errors.New(reason))
	}
	k := new(Keyring)
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		secret, err := base64.StdEncoding.Strict().DecodeString(string(line))
		if err != nil || len(secret) != keySize {
			return nil, refuse("a line is not 32 bytes in base64")
		}
		next, err := newKey(secret)
		if err != nil {
			return nil, err
		}
		for _, other := range k.keys {
			if other.id == next.id {
				return nil, refuse("a key stands there twice")
			}
		}
		k.keys = append(k.keys, next)
	}
	if k.keys == nil {
		return nil, refuse("no key")
	}
	return k, nil
}

func newKey(secret []byte) (key, error) {
	id, err := hkdf.Key(sha256.New, secret, nil, "commonhold key id", idSize)
	if err != nil {
		return key{}, fmt.Errorf("derive the name of a key: %w", err)
	}
	sealing, err := hkdf.Key(sha256.New, secret, nil, "commonhold seal", keySize)
	if err != nil {
		return key{}, fmt.Errorf("derive a sealing key: %w", err)
	}
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return key{}, fmt.Errorf("make a cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return key{id: [idSize]byte(id), secret: secret, aead: aead}, err
}

// Seal encrypts a secret with AES-256-GCM under the first key, for Open with the same
// purpose.
func (k *Keyring) Seal(purpose string, secret []byte) []byte {
	first := k.keys[0]
	return first.aead.Seal(first.id[:], nil, secret, []byte(purpose)) //nolint:gosec // the cipher makes a nonce of its own
}

// Open reads what Seal made, under whichever key it was.
//
// Errors: fault.Config where the key it was sealed with is not on the ring;
// fault.Internal where it was changed or sealed for another purpose.
func (k *Keyring) Open(purpose string, sealed []byte) ([]byte, error) {
	for _, key := range k.keys {
		if !bytes.HasPrefix(sealed, key.id[:]) {
			continue
		}
		secret, err := key.aead.Open(nil, nil, sealed[idSize:], []byte(purpose))
		if err != nil {
			return nil, fault.New(fault.Internal, "A stored secret was changed: it cannot be opened.").Because(err)
		}
		return secret, nil
	}
	return nil, fault.New(fault.Config, "A stored secret was sealed with a key-encryption key that is not configured. Add the old key as a further line.")
}

// Stale tells whether something was sealed by another key than the first, so that it
// should be sealed again.
func (k *Keyring) Stale(sealed []byte) bool { return !bytes.HasPrefix(sealed, k.keys[0].id[:]) }

// Code is a MAC of what it vouches for: who has the database alone cannot make it.
// 32 bytes: HMAC-SHA-256 under a key derived for the purpose.
func (k *Keyring) Code(purpose string, of ...[]byte) []byte { return k.keys[0].code(purpose, of) }

// Vouches tells whether code is the Code for this purpose, under whichever key.
func (k *Keyring) Vouches(purpose string, code []byte, of ...[]byte) bool {
	ok := false
	for _, key := range k.keys {
		ok = hmac.Equal(code, key.code(purpose, of)) || ok
	}
	return ok
}

func (k key) code(purpose string, of [][]byte) []byte {
	derived, err := hkdf.Key(sha256.New, k.secret, nil, "commonhold code "+purpose, keySize)
	if err != nil {
		panic(fmt.Sprintf("keyring: derive %d bytes: %v", keySize, err)) // only for far more bytes
	}
	mac := hmac.New(sha256.New, derived)
	for _, part := range of { // with its length, so that no part flows into the next
		_ = binary.Write(mac, binary.BigEndian, uint64(len(part)))
		mac.Write(part)
	}
	return mac.Sum(nil)
}

// String says how many keys there are.
func (k *Keyring) String() string { return fmt.Sprintf("Keyring(%d keys)", len(k.keys)) }

// Format answers every verb alike: without it %d or %x would print the bytes.
func (k *Keyring) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is String.
func (k *Keyring) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON is String.
func (k *Keyring) MarshalJSON() ([]byte, error) { return []byte(`"` + k.String() + `"`), nil }

// tokenPrefix lets people and secret scanners see what they found.
const tokenPrefix = "cht_"

// Token is a text that only this service can have made for the thing of that id: a
// link in a mail, a ticket. Nothing of it needs to be stored, so a stolen database
// alone holds none. That it works once, and until when, is for the row of the id to
// say.
func (k *Keyring) Token(purpose string, id uuid.UUID) string {
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(id[:], k.Code(purpose, id[:])...))
}

// ParseToken tells which thing a token was made for. ok is false for one that was
// not made here or for another purpose.
func (k *Keyring) ParseToken(purpose, token string) (id uuid.UUID, ok bool) {
	encoded, ours := strings.CutPrefix(token, tokenPrefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ours || err != nil || len(raw) != len(id)+sha256.Size || strings.ContainsAny(encoded, "\r\n") { // which the decoder skips
		return uuid.UUID{}, false
	}
	copy(id[:], raw)
	if !k.Vouches(purpose, raw[len(id):], id[:]) {
		return uuid.UUID{}, false
	}
	return id, true
}
