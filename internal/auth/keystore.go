package auth

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// DefaultKeyRotation is how long a key signs before the next one takes over.
const DefaultKeyRotation = 30 * 24 * time.Hour

const (
	// keyLead is how long a key is published before it signs: longer than anybody
	// keeps a copy of the older set.
	keyLead = 10 * time.Minute

	// keyGrace is what the servers of one deployment may be apart about the hour: for
	// so long after its successor took over, one of them may sign with the older key.
	keyGrace = time.Minute
)

// KeyState is how far a signing key is in its life.
type KeyState string

// A key is published before it signs, signs until its successor does, is accepted
// until the last token it signed has expired, and is deleted then.
const (
	KeyPublished KeyState = "published"
	KeySigns     KeyState = "signs"
	KeyAccepted  KeyState = "accepted"
	KeyExpired   KeyState = "expired" // is refused, and about to be deleted
)

// KeyInfo is what may be shown of a signing key.
type KeyInfo struct {
	ID          string     `json:"id"` // the kid of its tokens
	State       KeyState   `json:"state"`
	CreatedAt   time.Time  `json:"createdAt"`
	ActivatesAt time.Time  `json:"activatesAt"` // signs from then on
	RetiresAt   *time.Time `json:"retiresAt"`   // signs no more; nil while it has no successor
	ExpiresAt   *time.Time `json:"expiresAt"`   // is refused from then on; nil likewise
}

func stateOf(k *controlsql.SigningKey, now time.Time) KeyState {
	switch {
	case now.Before(k.ActivatesAt):
		return KeyPublished
	case k.RetiresAt == nil || now.Before(*k.RetiresAt):
		return KeySigns
	case now.Before(*k.ExpiresAt):
		return KeyAccepted
	}
	return KeyExpired
}

// KeyStore keeps the signing keys of a deployment: in the control database, each
// private half sealed with the key-encryption key. All times are the database's, so
// that servers whose clocks differ agree on which key signs.
type KeyStore struct {
	db   *postgres.DB
	ring *keyring.Keyring
}

// NewKeyStore makes the store. List needs no ring.
func NewKeyStore(db *postgres.DB, ring *keyring.Keyring) *KeyStore { return &KeyStore{db, ring} }

// List shows every key, the newest first.
func (s *KeyStore) List(ctx context.Context) ([]KeyInfo, error) {
	rows, err := s.db.Control().ListSigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	infos := make([]KeyInfo, len(rows))
	for i, row := range rows {
		infos[i] = infoOf(&row.SigningKey, row.ReadAt)
	}
	return infos, nil
}

func infoOf(k *controlsql.SigningKey, now time.Time) KeyInfo {
	utc := func(t *time.Time) *time.Time {
		if t == nil {
			return nil
		}
		return new(t.UTC())
	}
	return KeyInfo{ID: k.ID, State: stateOf(k, now), CreatedAt: k.CreatedAt.UTC(), ActivatesAt: k.ActivatesAt.UTC(), RetiresAt: utc(k.RetiresAt), ExpiresAt: utc(k.ExpiresAt)}
}

// Rotate publishes a new key, which takes over once every server and every reader of
// the key set has had the time to learn of it. Where one is on its way already, that
// one is the answer and made is false.
//
// Errors: fault.Config where the key that signs now cannot be opened: then the servers
// have another key-encryption key, and could not use what is made here.
func (s *KeyStore) Rotate(ctx context.Context) (next KeyInfo, made bool, err error) {
	return s.rotate(ctx, 0)
}

// rotate is Rotate for keys that have signed for so long.
func (s *KeyStore) rotate(ctx context.Context, every time.Duration) (next KeyInfo, made bool, err error) {
	err = s.change(ctx, func(q *controlsql.Queries, rows []*controlsql.ListSigningKeysRow) error {
		if len(rows) > 0 {
			newest, now := &rows[0].SigningKey, rows[0].ReadAt
			next = infoOf(newest, now)
			if now.Before(newest.ActivatesAt.Add(every)) {
				return nil
			}
			if _, err := s.open(newest); err != nil {
				return err
			}
		}
		made = true
		lead := keyLead
		if len(rows) == 0 {
			lead = 0
		}
		next, err = s.make(ctx, q, lead)
		return err
	})
	return next, made, err
}

// Replace makes a key that signs at once, and deletes every other: their tokens are
// refused. For a key that leaked or that nobody can open any more. unopened is how many
// of those that still had a private half the ring does not open.
func (s *KeyStore) Replace(ctx context.Context) (made KeyInfo, deleted int64, unopened int, err error) {
	err = s.change(ctx, func(q *controlsql.Queries, rows []*controlsql.ListSigningKeysRow) error {
		for _, row := range rows {
			if _, err := s.open(&row.SigningKey); err != nil {
				unopened++
			}
		}
		if made, err = s.make(ctx, q, 0); err != nil {
			return err
		}
		deleted, err = q.DeleteOtherSigningKeys(ctx, controlsql.DeleteOtherSigningKeysParams{ID: made.ID})
		return err
	})
	return made, deleted, unopened, err
}

// Reseal seals with the first key of the ring what another one sealed, all or nothing.
// kept is how many private halves the first key had sealed already.
//
// Errors: fault.Config where one cannot be opened.
func (s *KeyStore) Reseal(ctx context.Context) (resealed, kept int, err error) {
	err = s.change(ctx, func(q *controlsql.Queries, rows []*controlsql.ListSigningKeysRow) error {
		for _, row := range rows {
			key := &row.SigningKey
			private, err := s.open(key)
			if err != nil {
				return err
			}
			if private == nil {
				continue
			}
			if !s.ring.Stale(key.PrivateKeySealed) {
				kept++
				continue
			}
			resealed++
			if err := q.ResealSigningKey(ctx, controlsql.ResealSigningKeyParams{ID: key.ID, PrivateKeySealed: s.seal(key.ID, private)}); err != nil {
				return err
			}
		}
		return nil
	})
	return resealed, kept, err
}

// tidy erases the private halves that sign no more and deletes the keys whose tokens
// have all expired. Doing it twice, or on two servers, changes nothing more.
func (s *KeyStore) tidy(ctx context.Context) error {
	q := s.db.Control()
	_, err := q.EraseRetiredSigningKeys(ctx, controlsql.EraseRetiredSigningKeysParams{GraceSeconds: seconds(keyGrace)})
	_, err2 := q.DeleteExpiredSigningKeys(ctx)
	return errors.Join(err, err2)
}

// change runs fn in a transaction in which nobody else changes the keys.
func (s *KeyStore) change(ctx context.Context, fn func(*controlsql.Queries, []*controlsql.ListSigningKeysRow) error) error {
	return s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if err := q.LockSigningKeys(ctx); err != nil {
			return err
		}
		rows, err := q.ListSigningKeys(ctx)
		if err != nil {
			return err
		}
		return fn(q, rows)
	})
}

// make stores a new key that signs after lead, and lets the others end with it.
func (s *KeyStore) make(ctx context.Context, q *controlsql.Queries, lead time.Duration) (KeyInfo, error) {
	key, err := NewSigningKey()
	if err != nil {
		return KeyInfo{}, err
	}
	err = q.CreateSigningKey(ctx, controlsql.CreateSigningKeyParams{
		ID: key.ID, PublicKey: key.Public(), PrivateKeySealed: s.seal(key.ID, key.Private), LeadSeconds: seconds(lead),
	})
	if err != nil {
		return KeyInfo{}, err
	}
	if lead > 0 {
		err = q.RetireSigningKeys(ctx, controlsql.RetireSigningKeysParams{Newest: key.ID, AcceptedSeconds: seconds(DefaultTokenLifetime + keyGrace)})
		if err != nil {
			return KeyInfo{}, err
		}
	}
	rows, err := q.ListSigningKeys(ctx)
	if err != nil {
		return KeyInfo{}, err
	}
	i := slices.IndexFunc(rows, func(row *controlsql.ListSigningKeysRow) bool { return row.SigningKey.ID == key.ID })
	if i < 0 {
		return KeyInfo{}, errors.New("the signing key that was just stored is not there")
	}
	return infoOf(&rows[i].SigningKey, rows[i].ReadAt), nil
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// purpose ties what is sealed to the one key, so that no row opens with the private
// half of another.
func purpose(id string) string { return "signing key " + id }

func (s *KeyStore) seal(id string, private ed25519.PrivateKey) []byte {
	return s.ring.Seal(purpose(id), private.Seed())
}

// open is the private half of a key, nil where it was erased.
//
// Errors: fault.Config, with what to do.
func (s *KeyStore) open(k *controlsql.SigningKey) (ed25519.PrivateKey, error) {
	if k.PrivateKeySealed == nil {
		return nil, nil // erased
	}
	seed, err := s.ring.Open(purpose(k.ID), k.PrivateKeySealed)
	if err != nil {
		return nil, fault.New(fault.Config, "A signing key in the database cannot be opened with this key-encryption key. Put the key that sealed it into its file too, on a line below. If it is lost, `commonhold keys rotate --now` replaces the signing keys; front ends then refresh their sessions.").Because(err)
	}
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("signing key %s: %d bytes", k.ID, len(seed))
	}
	private := ed25519.NewKeyFromSeed(seed)
	if thumbprint(public(private)) != k.ID {
		return nil, fmt.Errorf("signing key %s: it has another name", k.ID)
	}
	return private, nil
}
