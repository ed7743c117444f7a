package twoworlds

import (
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/id"
)

// chance is all that the process takes from outside: the time, ids and randomness.
// It is set anew before each request, so that both worlds draw the same. Hence one
// request at a time; within one, only what runs one after the other draws.
var chance source

type source struct {
	mu    sync.Mutex
	now   time.Time
	bytes *mathrand.ChaCha8
	drawn uint16 // ids of this moment
}

func takeChance() {
	chance.set(0, 0, epoch)
	id.SetSource(chance.id)
	rand.Reader = &chance //nolint:reassign // tokens, salts: everything that crypto/rand gives
	uuid.SetRand(&chance) // which took the reader before
}

// epoch is when both worlds begin.
var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func (s *source) set(seed, n uint64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.drawn = now, 0
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	binary.BigEndian.PutUint64(key[8:], n)
	s.bytes = mathrand.NewChaCha8(key)
}

func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes.Read(p)
}

func (s *source) time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// id makes a UUIDv7 (RFC 9562, section 5.7) of the moment.
func (s *source) id() (u uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.bytes.Read(u[:])
	binary.BigEndian.PutUint64(u[:8], uint64(s.now.UnixMilli())<<16|0x7000|uint64(s.drawn))
	s.drawn++
	u[8] = u[8]&0x3f | 0x80
	return u
}
