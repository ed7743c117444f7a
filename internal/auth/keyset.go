package auth

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

const (
	// keyRefresh is how often a server reads the keys: how long it may take until it
	// honours what another did.
	keyRefresh = 10 * time.Second

	// keyLook is how often at most a server reads them because a token names a key that
	// it does not know. Whoever makes such names up gets no more queries than that.
	keyLook = 3 * time.Second

	// keyTime bounds the wait of a request for such a look.
	keyTime = 2 * time.Second

	// Bounds of how long a key signs: its successor must be known before it signs.
	minKeyRotation = time.Hour
	maxKeyRotation = 366 * 24 * time.Hour
)

// KeySet is what one server knows of the signing keys: which one signs now, and which
// are accepted. It is safe for concurrent use.
type KeySet struct {
	store *KeyStore // nil for keys that never change
	every time.Duration

	known  atomic.Pointer[knownKeys]
	mu     sync.Mutex // held by who reads the database
	looked time.Time  // when an unknown name last made us
}

// knownKeys are the keys at one reading. It is never changed.
type knownKeys struct {
	keys   []*heldKey // the newest first
	byID   map[string]*heldKey
	readAt time.Time // the time at the database…
	local  time.Time // …and here, just before
}

// heldKey is a key in memory.
type heldKey struct {
	id     string
	public ed25519.PublicKey
	sign   func(*jwt.Token) (string, error) // holds the private half where no way of printing reaches it; nil without one
	from   time.Time                        // signs from then on
	until  time.Time                        // is refused from then on; zero: no end is set
}

func signer(private ed25519.PrivateKey) func(*jwt.Token) (string, error) {
	return func(token *jwt.Token) (string, error) { return token.SignedString(private) }
}

// now is the time at the database, as far as this server knows.
func (k *knownKeys) now() time.Time { return k.readAt.Add(time.Since(k.local)) }

// expired tells whether a key's tokens have all expired.
func (h *heldKey) expired(now time.Time) bool { return !h.until.IsZero() && !now.Before(h.until) }

// OpenKeys reads the keys of a deployment, and makes the first one where there is
// none: of two servers that start at once, both get the same. A key signs for every
// before the next one is made (zero: DefaultKeyRotation), by whichever server comes
// first. Keep must run beside the server.
//
// Errors: fault.Config for a key that the ring does not open, and for an every
// outside of an hour to 366 days.
func OpenKeys(ctx context.Context, db *postgres.DB, ring *keyring.Keyring, every time.Duration) (*KeySet, error) {
	if every == 0 {
		every = DefaultKeyRotation
	}
	if every < minKeyRotation || every > maxKeyRotation {
		return nil, fault.New(fault.Config, "A signing key must sign for an hour to 366 days before the next one takes over.")
	}
	k := &KeySet{store: NewKeyStore(db, ring), every: every}
	if _, _, err := k.store.rotate(ctx, every); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, err := k.read(ctx); err != nil {
		return nil, err
	}
	return k, nil
}

// Keep reads the keys again and again until ctx ends, makes the next one when its time
// has come, and erases those that are no longer needed.
func (k *KeySet) Keep(ctx context.Context) {
	ticker := time.NewTicker(keyRefresh)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// What is not done now is done next time, here or by another server.
		if err := k.tend(ctx); err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "the signing keys could not be tended", "error", err)
		}
	}
}

// tend does once what Keep does.
func (k *KeySet) tend(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keyRefresh)
	defer cancel()
	k.mu.Lock()
	defer k.mu.Unlock()
	rows, err := k.read(ctx)
	if len(rows) == 0 {
		return err
	}
	now, tidy := rows[0].ReadAt, false
	rotate := !now.Before(rows[0].SigningKey.ActivatesAt.Add(k.every))
	for _, row := range rows {
		key := &row.SigningKey
		tidy = tidy || key.RetiresAt != nil && (!now.Before(*key.ExpiresAt) || key.PrivateKeySealed != nil && !now.Before(key.RetiresAt.Add(keyGrace)))
	}
	if tidy {
		err = errors.Join(err, k.store.tidy(ctx))
	}
	if rotate {
		next, made, rotateErr := k.store.rotate(ctx, k.every)
		if made {
			slog.InfoContext(ctx, "made the next signing key", "key", next.ID, "signs_from", next.ActivatesAt)
		}
		err = errors.Join(err, rotateErr)
	}
	if tidy || rotate {
		_, readErr := k.read(ctx)
		err = errors.Join(err, readErr)
	}
	return err
}

// read takes in what the database says. Where a private half cannot be opened the
// others are taken in all the same, and the public half of that one too: its tokens
// are good. The caller holds mu.
func (k *KeySet) read(ctx context.Context) ([]*controlsql.ListSigningKeysRow, error) {
	local := time.Now()
	rows, err := k.store.db.Control().ListSigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 { // somebody deleted them by hand; what is known stays
		return nil, errors.New("there is no signing key in the database: `commonhold keys rotate` makes one")
	}
	known := &knownKeys{byID: make(map[string]*heldKey), readAt: rows[0].ReadAt, local: local}
	for _, row := range rows {
		key := &row.SigningKey
		if thumbprint(key.PublicKey) != key.ID {
			err = errors.Join(err, fmt.Errorf("signing key %s: its public half has another name", key.ID))
			continue
		}
		held := &heldKey{id: key.ID, public: key.PublicKey, from: key.ActivatesAt}
		if key.ExpiresAt != nil {
			held.until = *key.ExpiresAt
		}
		private, openErr := k.store.open(key)
		if openErr != nil && err == nil { // one is enough: it says what to do
			err = openErr
		}
		if private != nil {
			held.sign = signer(private)
		}
		known.keys = append(known.keys, held)
		known.byID[held.id] = held
	}
	k.known.Store(known)
	return rows, err
}

// signing is the key that signs now: the newest that is active and whose private half
// is there.
func (k *KeySet) signing() (*heldKey, error) {
	known := k.known.Load()
	now := known.now()
	for _, key := range known.keys {
		if key.sign != nil && !now.Before(key.from) && !key.expired(now) {
			return key, nil
		}
	}
	return nil, errors.New("no signing key can be used: `commonhold keys list` shows them, and the log of the server says why")
}

// accepted is the public half of the key of that name, where its tokens are good now.
// A name that is not known is looked up, at once but not often.
func (k *KeySet) accepted(ctx context.Context, id string) (ed25519.PublicKey, bool) {
	known := k.known.Load()
	key := known.byID[id]
	if key == nil && k.store != nil && isThumbprint(id) {
		k.look(ctx, known)
		known = k.known.Load()
		key = known.byID[id]
	}
	if key == nil {
		return nil, false
	}
	now := known.now()
	// Another server may be that much ahead of this one.
	if now.Before(key.from.Add(-clockLeeway)) || key.expired(now) {
		return nil, false
	}
	return key.public, true
}

// look reads the keys again for who has found no name among those that were known.
func (k *KeySet) look(ctx context.Context, known *knownKeys) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known.Load() != known || time.Since(k.looked) < keyLook {
		return // somebody has just looked
	}
	k.looked = time.Now()
	// The others who wait need it too: it is not over with this request.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyTime)
	defer cancel()
	if _, err := k.read(ctx); err != nil {
		slog.WarnContext(ctx, "the signing keys could not be read again", "error", err)
	}
}

// isThumbprint tells whether a name can be that of a key at all.
func isThumbprint(id string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
	return err == nil && len(raw) == 32 && len(id) == 43 // the decoder skips line breaks
}

// published are the keys that others should know: all but the expired, the newest
// first.
func (k *KeySet) published() []*heldKey {
	known := k.known.Load()
	now := known.now()
	var all []*heldKey
	for _, key := range known.keys {
		if !key.expired(now) {
			all = append(all, key)
		}
	}
	return all
}

// Tokens issues and verifies access tokens of the default lifetime with these keys.
//
// Errors: fault.Config for no issuer or audience.
func (k *KeySet) Tokens(issuer, audience string) (*Tokens, error) {
	return newTokens(issuer, audience, DefaultTokenLifetime, time.Now, k)
}

// fixedKeys are keys that never change: one that signs, and the public halves of
// others that are accepted.
func fixedKeys(signing SigningKey, alsoAccepted []ed25519.PublicKey) (*KeySet, error) {
	// Signing with a public half that does not belong to the private one gives the
	// private one away.
	if len(signing.Private) != ed25519.PrivateKeySize ||
		!ed25519.NewKeyFromSeed(signing.Private.Seed()).Equal(signing.Private) ||
		signing.ID != thumbprint(signing.Public()) {
		return nil, fault.New(fault.Config, "The signing key is damaged.")
	}
	keys := []*heldKey{{id: signing.ID, public: signing.Public(), sign: signer(signing.Private)}}
	for _, key := range alsoAccepted {
		if len(key) != ed25519.PublicKeySize {
			return nil, fault.New(fault.Config, "One of the accepted keys is not an Ed25519 public key.")
		}
		keys = append(keys, &heldKey{id: thumbprint(key), public: key})
	}
	known := &knownKeys{keys: keys, byID: make(map[string]*heldKey), local: time.Now()}
	for _, key := range keys {
		known.byID[key.id] = key
	}
	k := new(KeySet)
	k.known.Store(known)
	return k, nil
}
