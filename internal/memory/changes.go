// Package memory keeps what a server read of the control database, and knows when
// that is not to be believed any more: when somebody changed it, when it is old, and
// when nobody would have told us.
package memory

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// MaxAge bounds how long anything may be remembered, whatever is heard or not.
	MaxAge = 15 * time.Second
	// maxChanges bounds the changes that are told apart; more of them in so short a
	// time make everything forgotten.
	maxChanges = 50_000
)

// Changes tells what was read before a change from what was read after it. A reader
// takes a Stamp before it asks the database, and keeps it with the answer; whoever
// changes something, here or elsewhere, calls Changed once it is committed. So an
// answer that was on its way while the change happened is known to be old, however
// late it comes.
//
// The zero value is deaf. It is safe for use by many goroutines.
type Changes struct {
	mu      sync.RWMutex
	hearing bool
	now     uint64 // grows with each change
	floor   uint64 // what was read before is forgotten
	// When each id changed last, of two stretches of MaxAge each: what is older was
	// read too long ago to be believed anyway.
	recent, before map[uuid.UUID]uint64
	turned         time.Time
}

// Stamp is a moment between two changes.
type Stamp uint64

// Stamp is this moment.
func (c *Changes) Stamp() Stamp {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return Stamp(c.now)
}

// Changed says that one of these ids stands for something else now: a tenant, a
// person, a session.
func (c *Changes) Changed(ids ...uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now++
	if time.Since(c.turned) > MaxAge {
		c.before, c.recent, c.turned = c.recent, make(map[uuid.UUID]uint64), time.Now()
	}
	if len(c.recent)+len(ids) > maxChanges {
		c.floor = c.now
		clear(c.recent)
		clear(c.before)
		return
	}
	for _, id := range ids {
		c.recent[id] = c.now
	}
}

// Since tells whether one of the ids changed after that moment, as far as we know.
func (c *Changes) Since(s Stamp, ids ...uuid.UUID) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if uint64(s) < c.floor {
		return true
	}
	for _, id := range ids {
		if c.recent[id] > uint64(s) || c.before[id] > uint64(s) {
			return true
		}
	}
	return false
}

// Hear says that from now on every change is heard of. What was read before is
// forgotten: it may have changed unheard.
func (c *Changes) Hear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now++
	c.floor, c.hearing = c.now, true
}

// Deafen says that changes made elsewhere are not heard of any more.
func (c *Changes) Deafen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hearing = false
}

// Hearing tells whether changes made elsewhere are heard of.
func (c *Changes) Hearing() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.hearing
}
