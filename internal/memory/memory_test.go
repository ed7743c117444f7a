package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
)

// row is a database of one row, whose readers can be held up on their way back.
type row struct {
	value atomic.Int64
	asked atomic.Int64
	read  chan struct{} // if set: told when a reader has read
	back  chan struct{} // if set: a reader waits for it
}

func (r *row) load(ctx context.Context, _ string) (int64, error) {
	value, back := r.value.Load(), r.back // the next reader may have another
	r.asked.Add(1)
	if r.read != nil {
		r.read <- struct{}{}
	}
	if back != nil {
		select {
		case <-back:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return value, nil
}

var subject = uuid.New()

type clock struct{ at atomic.Pointer[time.Time] }

func newClock() *clock { c := new(clock); c.set(time.Now()); return c }

func (c *clock) set(t time.Time)       { c.at.Store(&t) }
func (c *clock) now() time.Time        { return *c.at.Load() }
func (c *clock) add(d time.Duration)   { c.set(c.now().Add(d)) }
func about(string) []uuid.UUID         { return []uuid.UUID{uuid.New(), subject} }
func hearing() *Changes                { c := new(Changes); c.Hear(); return c }
func (r *row) strict(c *Changes) *mem  { return r.with(c, nil, true) }
func (r *row) relaxed(c *Changes) *mem { return r.with(c, nil, false) }

type mem = Memory[string, int64]

func (r *row) with(c *Changes, now func() time.Time, strict bool) *mem {
	return New(c, Options[string, int64]{Size: 100, Age: time.Hour, Load: r.load, About: about, Strict: strict, Now: now})
}

func get(t testing.TB, m *mem, want int64) {
	t.Helper()
	if got, err := m.Get(t.Context(), "key"); err != nil || got != want {
		t.Errorf("got %d, %v, want %d", got, err, want)
	}
}

func (r *row) wantAsked(t testing.TB, n int64) {
	t.Helper()
	if got := r.asked.Swap(0); got != n {
		t.Errorf("the database was asked %d times, want %d", got, n)
	}
}

func TestWhatIsRememberedUntil(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{true, false} {
		r, changes, clock := new(row), hearing(), newClock()
		m := r.with(changes, clock.now, strict)
		r.value.Store(1)
		for range 3 {
			get(t, m, 1)
		}
		r.wantAsked(t, 1)
		changes.Changed(uuid.New()) // something else
		get(t, m, 1)
		r.wantAsked(t, 0)
		r.value.Store(2)
		changes.Changed(uuid.New(), subject)
		get(t, m, 2)
		get(t, m, 2)
		r.wantAsked(t, 1)

		// Nobody tells of a change: its age ends it, bounded whatever was asked for.
		r.value.Store(3)
		clock.add(MaxAge - time.Nanosecond)
		get(t, m, 2)
		clock.add(time.Nanosecond)
		get(t, m, 3)
		r.wantAsked(t, 1)
	}
}

// Who cannot hear does not believe what could have been told.
func TestDeafness(t *testing.T) {
	t.Parallel()
	r, changes := new(row), new(Changes)
	strict, relaxed := r.strict(changes), r.relaxed(changes)
	for range 3 {
		get(t, strict, 0)
	}
	r.wantAsked(t, 3)
	for range 3 {
		get(t, relaxed, 0)
	}
	r.wantAsked(t, 1)
	r.value.Store(1) // unheard
	changes.Hear()
	get(t, strict, 1)
	get(t, relaxed, 1)
	r.wantAsked(t, 2)
	get(t, strict, 1)
	get(t, relaxed, 1)
	r.wantAsked(t, 0)
	changes.Deafen()
	r.value.Store(2)
	get(t, strict, 2)
	get(t, relaxed, 1) // as old as it may be
	r.wantAsked(t, 1)
	changes.Hear()
	get(t, strict, 2)
	get(t, relaxed, 2)
	if !changes.Hearing() {
		t.Error("it does not know that it hears")
	}
}

// race lets something change while the answer from before is on its way, and says
// what is answered once all is quiet. told tells whether somebody said so.
func race(t *testing.T, told bool) int64 {
	t.Helper()
	r, changes := &row{read: make(chan struct{}), back: make(chan struct{})}, hearing()
	m := r.strict(changes)
	r.value.Store(1)
	var group sync.WaitGroup
	group.Go(func() { get(t, m, 1) }) // it asked before: either answer is right
	<-r.read
	r.value.Store(2)
	if told {
		changes.Changed(subject)
	}
	close(r.back)
	group.Wait()
	r.read = nil
	got, err := m.Get(t.Context(), "key")
	if err != nil {
		t.Error(err)
	}
	return got
}

// An answer that was on its way while its subject changed is not remembered.
func TestALateAnswerIsNotRemembered(t *testing.T) {
	t.Parallel()
	if got := race(t, true); got != 2 {
		t.Errorf("%d was remembered from before the change", got)
	}
	// What the test is for, planted: nobody says that it changed.
	if race(t, false) != 1 {
		t.Error("the test cannot tell an answer from before")
	}
}

// Who asks after a change does not wait for the answer to who asked before.
func TestAQuestionFromBeforeIsNotJoined(t *testing.T) {
	t.Parallel()
	r, changes := &row{read: make(chan struct{}, 9), back: make(chan struct{})}, hearing()
	m := r.strict(changes)
	r.value.Store(1)
	var group sync.WaitGroup
	group.Go(func() { get(t, m, 1) })
	<-r.read
	r.value.Store(2)
	changes.Changed(subject)
	group.Go(func() { get(t, m, 2) })
	<-r.read
	close(r.back)
	group.Wait()
	get(t, m, 2)
	r.wantAsked(t, 2)

	// Nor by who insists; and the later answer is the one that stays.
	slow := make(chan struct{})
	r.back = slow
	changes.Changed(subject)
	group.Go(func() { get(t, m, 2) })
	<-r.read
	r.value.Store(3)
	fast := make(chan struct{})
	close(fast)
	r.back = fast
	if got, err := m.Fresh(t.Context(), "key"); err != nil || got != 3 {
		t.Errorf("fresh: %d, %v", got, err)
	}
	close(slow)
	group.Wait()
	get(t, m, 3)
	r.wantAsked(t, 2)
}

func TestManyAskOnce(t *testing.T) {
	t.Parallel()
	r, changes := &row{read: make(chan struct{}, 99), back: make(chan struct{})}, hearing()
	m := r.strict(changes)
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() { get(t, m, 0) })
	}
	<-r.read
	close(r.back)
	group.Wait()
	r.wantAsked(t, 1)
}

// Who asked for all may leave, fail or break; the others are answered.
func TestWhoAsksForOthersMayLeave(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(context.Context) error{
		"leaves": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"breaks": func(context.Context) error { panic("broken") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			asked := make(chan struct{})
			waiting := make(chan struct{})
			var asks atomic.Int64
			m := New(hearing(), Options[string, int64]{Size: 1, Age: MaxAge, About: about, Load: func(ctx context.Context, _ string) (int64, error) {
				if asks.Add(1) > 1 {
					return 7, nil
				}
				close(asked)
				<-waiting
				return 0, leave(ctx)
			}})
			var group sync.WaitGroup
			group.Go(func() {
				defer func() { _ = recover() }()
				if _, err := m.Get(ctx, "key"); !errors.Is(err, context.Canceled) {
					t.Errorf("who left: %v", err)
				}
			})
			<-asked
			for range 5 {
				group.Go(func() { get(t, m, 7) })
			}
			gone, leaveToo := context.WithCancel(t.Context())
			leaveToo()
			if _, err := m.Get(gone, "key"); !errors.Is(err, context.Canceled) {
				t.Errorf("who did not wait: %v", err)
			}
			close(waiting)
			cancel()
			group.Wait()
		})
	}
}

func TestErrorsAreNotRemembered(t *testing.T) {
	t.Parallel()
	fails := errors.New("it fails")
	var err error
	m := New(hearing(), Options[string, int64]{Size: 1, Age: MaxAge, About: about, Load: func(context.Context, string) (int64, error) { return 7, err }})
	for range 2 {
		err = fails
		if _, got := m.Fresh(t.Context(), "key"); !errors.Is(got, fails) {
			t.Errorf("got %v", got)
		}
		if _, got := m.Get(t.Context(), "key"); !errors.Is(got, fails) {
			t.Errorf("got %v", got)
		}
		err = nil
		get(t, m, 7)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	m := (&row{}).relaxed(hearing())
	for i := range 10_000 {
		if _, err := m.Get(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	m.kept.CleanUp()
	if n := m.kept.EstimatedSize(); n > 100 {
		t.Errorf("%d are kept, want at most 100", n)
	}
	if len(m.asking) != 0 {
		t.Errorf("%d questions are on their way", len(m.asking))
	}
}

// Too many changes to be told apart make everything forgotten, not one of them
// overlooked.
func TestChangesAreBounded(t *testing.T) {
	t.Parallel()
	c := hearing()
	before := c.Stamp()
	c.Changed(subject)
	for range maxChanges + 10 {
		c.Changed(uuid.New())
		if len(c.recent) > maxChanges {
			t.Fatalf("%d are kept", len(c.recent))
		}
	}
	if !c.Since(before, subject) || !c.Since(before, uuid.New()) {
		t.Error("changes were overlooked")
	}
	now := c.Stamp()
	if c.Since(now, subject) {
		t.Error("what is read now is believed no more")
	}

	// Old ones go, but none before all that was read before it is too old.
	c.Changed(subject)
	for turn, want := range []bool{true, false} {
		c.turned = c.turned.Add(-MaxAge - time.Second)
		c.Changed(uuid.New())
		if c.Since(now, subject) != want {
			t.Errorf("after %d turns: %t, want %t", turn+1, !want, want)
		}
	}
}
