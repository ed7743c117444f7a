package memory

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"
)

// Options say what is remembered, and how.
type Options[K comparable, V any] struct {
	Size int           // at most so many
	Age  time.Duration // each for so long, counted from before it was asked for; at most MaxAge
	// Load asks the database.
	Load func(context.Context, K) (V, error)
	// About lists what the answer to a key depends on.
	About func(K) []uuid.UUID
	// Strict: while nobody would tell us of changes, every question is asked anew.
	// Otherwise the age alone has to do then.
	Strict bool
	Now    func() time.Time // time.Now if nil
}

// Memory answers questions from memory where that is right, and else asks, once for
// all who ask at the same moment. Errors are not remembered.
type Memory[K comparable, V any] struct {
	Options[K, V]
	changes *Changes
	kept    *otter.Cache[K, answer[V]]

	mu     sync.Mutex
	asking map[K]*question[V]
}

type answer[V any] struct {
	value V
	stamp Stamp
	at    time.Time
}

// question is on its way to the database.
type question[V any] struct {
	answer[V]
	ctx  context.Context //nolint:containedctx // of who asks, to tell whether the end was theirs alone
	done chan struct{}
	err  error
}

// errUnanswered is the outcome of a question whose asker panicked.
var errUnanswered = errors.New("who asked did not stay for the answer")

// New makes a memory that is empty.
func New[K comparable, V any](changes *Changes, o Options[K, V]) *Memory[K, V] {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Age = min(o.Age, MaxAge)
	return &Memory[K, V]{
		Options: o, changes: changes, asking: make(map[K]*question[V]),
		kept: otter.Must(&otter.Options[K, answer[V]]{MaximumSize: o.Size}),
	}
}

// Get answers from memory, or asks.
//
// Errors: those of Load.
func (m *Memory[K, V]) Get(ctx context.Context, key K) (V, error) {
	about := m.About(key)
	for {
		if kept, ok := m.kept.GetIfPresent(key); ok && m.believes(kept, about) {
			return kept.value, nil
		}
		q, mine := m.join(ctx, key, about)
		if mine {
			return m.ask(ctx, key, q)
		}
		select {
		case <-q.done:
		case <-ctx.Done():
			var none V
			return none, ctx.Err()
		}
		if q.err == nil || q.ctx.Err() == nil && !errors.Is(q.err, errUnanswered) {
			return q.value, q.err
		}
		// Who asked left before the answer, which says nothing about it.
	}
}

// Last is the last answer, however old it is and whatever changed since, for those who
// find out by themselves when it is not true any more.
func (m *Memory[K, V]) Last(key K) (V, bool) {
	kept, ok := m.kept.GetIfPresent(key)
	return kept.value, ok
}

// Fresh asks, whatever is remembered, and remembers the answer.
//
// Errors: those of Load.
func (m *Memory[K, V]) Fresh(ctx context.Context, key K) (V, error) {
	m.mu.Lock()
	q := m.begin(ctx, key)
	m.mu.Unlock()
	return m.ask(ctx, key, q)
}

func (m *Memory[K, V]) believes(kept answer[V], about []uuid.UUID) bool {
	return m.Now().Sub(kept.at) < m.Age && (!m.Strict || m.changes.Hearing()) && !m.changes.Since(kept.stamp, about...)
}

// join finds the question of this key that is on its way, or begins it. One that was
// asked before a change is not joined: its answer may be from before.
func (m *Memory[K, V]) join(ctx context.Context, key K, about []uuid.UUID) (q *question[V], mine bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if q, ok := m.asking[key]; ok && m.believes(q.answer, about) {
		return q, false
	}
	if kept, ok := m.kept.GetIfPresent(key); ok && m.believes(kept, about) { // it came in this moment
		q := &question[V]{answer: kept, ctx: ctx, done: make(chan struct{})}
		close(q.done)
		return q, false
	}
	return m.begin(ctx, key), true
}

func (m *Memory[K, V]) begin(ctx context.Context, key K) *question[V] {
	q := &question[V]{ctx: ctx, done: make(chan struct{})}
	q.at = m.Now() // before the stamp: a change after it is remembered for as long as the answer
	q.stamp = m.changes.Stamp()
	m.asking[key] = q
	return q
}

func (m *Memory[K, V]) ask(ctx context.Context, key K, q *question[V]) (value V, err error) {
	err = errUnanswered
	defer func() { // also of a panic
		m.mu.Lock()
		defer m.mu.Unlock()
		q.value, q.err = value, err
		// A later question may have taken the place; its answer is the newer one.
		if m.asking[key] == q {
			delete(m.asking, key)
			if err == nil {
				m.kept.Set(key, q.answer)
			} else {
				m.kept.Invalidate(key)
			}
		}
		close(q.done)
	}()
	return m.Load(ctx, key)
}
