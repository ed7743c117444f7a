package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/memory"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

const (
	// keyPrefix begins every API key: the middleware tells one by it, and so do programs
	// that look for secrets where none should be.
	keyPrefix = "chk_"
	// shownBytes are those of a key: its tenant, its id, and the random ones.
	shownBytes = 16 + 16 + sha256.Size
	// keyEnding is how many characters of a key are shown in lists.
	keyEnding = 4
	// keysSize is how many API keys a server remembers, and as many members behind them.
	keysSize = 20_000
)

// Key is the API key that a machine showed.
type Key struct {
	ID     id.APIKey
	Scopes []Permission
}

// shownKey is an API key as it was presented. The tenant in it opens nothing: it says
// where the key's row is looked for, and the secret decides.
type shownKey struct {
	tenant tenant.ID
	key    id.APIKey
	hash   [sha256.Size]byte // of the secret
}

// goodKey is what the database says of an API key whose secret was right.
type goodKey struct {
	scopes  []Permission
	creator id.User
	expires time.Time
}

// membership is a person in a tenant.
type membership struct {
	user   id.User
	tenant tenant.ID
}

// actingMember is for whom a key acts.
type actingMember struct {
	user *accountsql.User
	role Role
}

// mintKey makes the text of a key, and what is stored of it.
func mintKey(t tenant.ID, key id.APIKey) (text string, hash []byte) {
	secret := make([]byte, sha256.Size)
	_, _ = rand.Read(secret)
	ofTenant, ofKey := t.UUID(), key.UUID()
	return keyPrefix + base64.RawURLEncoding.EncodeToString(slices.Concat(ofTenant[:], ofKey[:], secret)), digest(secret)
}

// parseKey reads the one spelling that mintKey gives a key.
func parseKey(text string) (k shownKey, ok bool) {
	encoded, ok := strings.CutPrefix(text, keyPrefix)
	if !ok || len(encoded) != base64.RawURLEncoding.EncodedLen(shownBytes) {
		return k, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	// The decoder skips line breaks and ignores bits left over at the end; encoding again
	// shows either.
	if err != nil || len(raw) != shownBytes || base64.RawURLEncoding.EncodeToString(raw) != encoded {
		return k, false
	}
	return shownKey{
		tenant: tenant.IDFrom(uuid.UUID(raw[:16])), key: id.APIKeyFrom(uuid.UUID(raw[16:32])), hash: sha256.Sum256(raw[32:]),
	}, true
}

// newKeys remembers which keys are good. What was refused is asked again each time, so
// that every refusal costs the same.
func (s *Service) newKeys() *memory.Memory[shownKey, *goodKey] {
	return memory.New(s.db.Changes(), memory.Options[shownKey, *goodKey]{
		Size: keysSize, Age: memory.MaxAge, Load: s.lookUpKey, Strict: true, Now: s.time,
		About: func(k shownKey) []uuid.UUID { return []uuid.UUID{k.key.UUID(), k.tenant.UUID()} },
	})
}

// newActing remembers for whom keys act. Apart from the keys, whose text does not say
// which member's change concerns them.
func (s *Service) newActing() *memory.Memory[membership, *actingMember] {
	return memory.New(s.db.Changes(), memory.Options[membership, *actingMember]{
		Size: keysSize, Age: memory.MaxAge, Load: s.lookUpMember, Strict: true, Now: s.time,
		About: func(m membership) []uuid.UUID { return []uuid.UUID{m.user.UUID(), m.tenant.UUID()} },
	})
}

// authenticateKey tells who shows this API key: the member who made it, with no more than
// the key's scopes. Mostly it knows without asking the database.
//
// Errors: fault.Unauthenticated, the same after one statement for a key that never was,
// that is another's, has the wrong secret, has expired or was revoked, and for one whose
// member was removed or is suspended; fault.TenantSuspended.
func (s *Service) authenticateKey(ctx context.Context, text string) (*Principal, error) {
	shown, ok := parseKey(text)
	if !ok {
		return nil, noKey("not the spelling of a key")
	}
	held, err := s.keys.Get(ctx, shown)
	if err == nil && !held.expires.After(s.now()) {
		held, err = s.keys.Fresh(ctx, shown) // to be refused as any other
	}
	if err != nil {
		return nil, err
	}
	member, err := s.acting.Get(ctx, membership{held.creator, shown.tenant})
	if err != nil {
		return nil, err
	}
	open, err := s.registry.Open(ctx, shown.tenant)
	if err != nil {
		return nil, err
	}
	return &Principal{User: member.user, Tenant: open, Role: member.role, Key: &Key{ID: shown.key, Scopes: held.scopes}}, nil
}

// lookUpKey asks the database whether a key is good, and notes there that it is used, as
// identify does of a session.
func (s *Service) lookUpKey(ctx context.Context, shown shownKey) (*goodKey, error) {
	row, err := s.db.Control().GetAPIKey(ctx, controlsql.GetAPIKeyParams{TenantID: shown.tenant, ID: shown.key})
	if postgres.IsNoRows(err) {
		return nil, noKey("no such key in the tenant that it names")
	}
	if err != nil {
		return nil, err
	}
	key := row.ApiKey
	switch {
	case subtle.ConstantTimeCompare(row.SecretHash, shown.hash[:]) != 1:
		return nil, noKey("wrong secret")
	case key.RevokedAt != nil:
		return nil, noKey("revoked")
	case !key.ExpiresAt.After(row.ReadAt):
		return nil, noKey("expired")
	case row.MemberStatus != string(MemberActive):
		return nil, noKey("its member may not come in")
	}
	if row.Unnoted {
		_ = s.db.Control().TouchAPIKey(ctx, controlsql.TouchAPIKeyParams{TenantID: shown.tenant, ID: shown.key}) // next time, then
	}
	return &goodKey{scopes: permissions(key.Scopes), creator: key.CreatedBy, expires: key.ExpiresAt}, nil
}

// lookUpMember asks the database for whom keys act, and in which role.
func (s *Service) lookUpMember(ctx context.Context, m membership) (*actingMember, error) {
	row, err := s.db.Control().GetActingMember(ctx, controlsql.GetActingMemberParams{TenantID: m.tenant, UserID: m.user})
	if postgres.IsNoRows(err) {
		return nil, noKey("its member may not come in")
	}
	if err != nil {
		return nil, err
	}
	role, err := ParseRole(row.Role)
	if err != nil {
		return nil, fmt.Errorf("role of member %s: %w", row.MembershipID, err)
	}
	if known, err := s.registry.Tenant(ctx, m.tenant); err == nil && known.Status != row.TenantStatus {
		s.registry.Forget(m.tenant) // it changed since the registry looked
	}
	return &actingMember{&accountsql.User{ID: row.UserID, Email: row.Email, DisplayName: row.DisplayName, CreatedAt: row.CreatedAt}, role}, nil
}

// noKey refuses a key; why is for the log alone.
func noKey(why string) *fault.Error {
	return fault.New(fault.Unauthenticated, "This API key is not valid, or not any more. The tenant's list of keys says which are; make a new one if this is not among them.").Because(errors.New(why))
}

func permissions(stored []string) []Permission {
	scopes := make([]Permission, len(stored))
	for i, scope := range stored {
		scopes[i] = Permission(scope)
	}
	return scopes
}
