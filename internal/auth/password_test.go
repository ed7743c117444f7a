package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/argon2id"

	"github.com/commonhold/commonhold/internal/fault"
)

const (
	goodPassword  = "commonhold-demo"
	wrongPassword = "commonhold-dema"
)

// watch lets a test see the expensive calls from inside, around the real ones.
// before runs once the call holds its slot.
func watch(p *Passwords, before func(password, hash string)) {
	create, compare := p.create, p.compare
	p.create = func(password string, params *argon2id.Params) (string, error) {
		before(password, "")
		return create(password, params)
	}
	p.compare = func(password, hash string) (bool, error) {
		before(password, hash)
		return compare(password, hash)
	}
}

func mustHash(t *testing.T, p *Passwords, password string) string {
	t.Helper()
	hash, err := p.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func TestAPasswordMatchesItsOwnHashAlone(t *testing.T) {
	t.Parallel()
	p := NewPasswords(TestPasswordParams())
	hash, again := mustHash(t, p, goodPassword), mustHash(t, p, goodPassword)
	if hash == again {
		t.Error("two hashes of one password are equal: the salt is not random")
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Errorf("hash %s does not carry the parameters", hash)
	}
	for password, want := range map[string]bool{
		goodPassword: true, wrongPassword: false, goodPassword + " ": false, "Commonhold-demo": false, "": false,
	} {
		if got, err := p.Verify(t.Context(), password, hash); err != nil || got != want {
			t.Errorf("Verify(%q) = %v, %v; want %v", password, got, err, want)
		}
	}
}

func TestDefaultCost(t *testing.T) {
	t.Parallel()
	p := NewPasswords(DefaultPasswordParams())
	hash := mustHash(t, p, goodPassword)
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %s does not have the documented cost", hash)
	}
	if ok, err := p.Verify(t.Context(), goodPassword, hash); err != nil || !ok {
		t.Errorf("Verify = %v, %v", ok, err)
	}
}

// The unknown account is no cheaper: the same number of the same calls, at the
// same cost, counted and not timed.
func TestAnUnknownAccountCostsTheSame(t *testing.T) {
	t.Parallel()
	params := PasswordParams{MemoryKiB: 128, Iterations: 3, Parallelism: 2, Concurrent: 1}
	p := NewPasswords(params)
	hash := mustHash(t, p, goodPassword)

	var calls []argon2id.Params
	var passwords []string
	watch(p, func(password, hash string) {
		cost, _, _, err := argon2id.DecodeHash(hash)
		if err != nil {
			t.Errorf("compared with something that is no hash: %v", err)
			return
		}
		calls, passwords = append(calls, *cost), append(passwords, password)
	})
	for _, test := range []struct {
		name, password, hash string
		want                 bool
	}{
		{"right", goodPassword, hash, true},
		{"wrong", wrongPassword, hash, false},
		{"unknown", goodPassword, "", false},
	} {
		calls, passwords = nil, nil
		if got, err := p.Verify(t.Context(), test.password, test.hash); err != nil || got != test.want {
			t.Errorf("%s: %v, %v; want %v", test.name, got, err, test.want)
		}
		want := argon2id.Params{Memory: 128, Iterations: 3, Parallelism: 2, SaltLength: saltBytes, KeyLength: keyBytes}
		if len(calls) != 1 || calls[0] != want || passwords[0] != test.password {
			t.Errorf("%s: hashed %v at %+v, want once at %+v", test.name, passwords, calls, want)
		}
	}
}

// Were the dummy ever the hash of something, it still opens no account.
func TestAnUnknownAccountIsNeverOpened(t *testing.T) {
	t.Parallel()
	p := NewPasswords(TestPasswordParams())
	p.dummy = mustHash(t, p, goodPassword)
	if ok, err := p.Verify(t.Context(), goodPassword, ""); err != nil || ok {
		t.Errorf("Verify = %v, %v; want false", ok, err)
	}
	if a, b := NewPasswords(TestPasswordParams()).dummy, NewPasswords(TestPasswordParams()).dummy; a == b {
		t.Error("two dummies are equal: the key is not random")
	}
}

func TestNoMoreThanTheBoundHashAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const bound, callers = 3, 10
		params := TestPasswordParams()
		params.Concurrent, params.MaxWaiting = bound, callers-bound
		p := NewPasswords(params)
		hash := mustHash(t, p, goodPassword)

		var running atomic.Int32
		gate := make(chan struct{})
		watch(p, func(string, string) {
			running.Add(1)
			<-gate
			running.Add(-1)
		})
		for i := range callers {
			go func() {
				var err error
				switch i % 3 { // every way in shares the bound
				case 0:
					_, err = p.Hash(t.Context(), goodPassword)
				case 1:
					_, err = p.Verify(t.Context(), goodPassword, hash)
				default:
					_, err = p.Verify(t.Context(), goodPassword, "")
				}
				if err != nil {
					t.Errorf("caller %d: %v", i, err)
				}
			}()
		}
		for left := callers; left > 0; left-- {
			synctest.Wait() // everyone runs up to the gate or waits for a slot
			if got, want := int(running.Load()), min(bound, left); got != want {
				t.Errorf("with %d callers left %d hash at once, want %d", left, got, want)
			}
			gate <- struct{}{}
		}
		synctest.Wait()
		if got := running.Load(); got != 0 {
			t.Errorf("%d still run", got)
		}
	})
}

func TestWaitersComeInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		params := TestPasswordParams()
		params.Concurrent = 1
		p := NewPasswords(params)
		var mu sync.Mutex
		var order, want []string
		gate := make(chan struct{})
		watch(p, func(password, _ string) {
			<-gate
			mu.Lock()
			defer mu.Unlock()
			order = append(order, password)
		})
		for i := range 8 {
			name := fmt.Sprintf("caller %d", i)
			want = append(want, name)
			go func() { _, _ = p.Verify(t.Context(), name, "") }()
			synctest.Wait()
		}
		close(gate)
		synctest.Wait()
		if !slices.Equal(order, want) {
			t.Errorf("served %q, want %q", order, want)
		}
	})
}

func TestAFullQueueTurnsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		params := TestPasswordParams()
		params.Concurrent, params.MaxWaiting = 2, 3
		p := NewPasswords(params)
		gate := make(chan struct{})
		watch(p, func(string, string) { <-gate })
		for range params.Concurrent + params.MaxWaiting {
			go func() {
				if _, err := p.Verify(t.Context(), goodPassword, ""); err != nil {
					t.Errorf("within the bounds: %v", err)
				}
			}()
		}
		synctest.Wait()
		// Nobody would ever let these in: they must not wait.
		if _, err := p.Verify(t.Context(), goodPassword, ""); !fault.Is(err, fault.Unavailable) {
			t.Errorf("Verify with a full queue: %v, want UNAVAILABLE", err)
		}
		if _, err := p.Hash(t.Context(), goodPassword); !fault.Is(err, fault.Unavailable) {
			t.Errorf("Hash with a full queue: %v, want UNAVAILABLE", err)
		}
		close(gate)
		synctest.Wait()
		if _, err := p.Verify(t.Context(), goodPassword, ""); err != nil {
			t.Errorf("after the queue has emptied: %v", err)
		}
	})
}

func TestGivingUpWhileWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		params := TestPasswordParams()
		params.Concurrent, params.MaxWaiting = 1, 2
		p := NewPasswords(params)
		gate := make(chan struct{})
		var hashed atomic.Int32
		watch(p, func(string, string) { hashed.Add(1); <-gate })
		go func() { _, _ = p.Verify(t.Context(), goodPassword, "") }()
		synctest.Wait()

		canceled, cancel := context.WithCancel(t.Context())
		overdue, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		errs := make(chan error, 2)
		go func() { _, err := p.Verify(canceled, goodPassword, ""); errs <- err }()
		synctest.Wait()
		cancel()
		if err := <-errs; !fault.Is(err, fault.Canceled) || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled while waiting: %v, want CANCELED", err)
		}
		go func() { _, err := p.Hash(overdue, goodPassword); errs <- err }()
		if err := <-errs; !fault.Is(err, fault.Timeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("out of time while waiting: %v, want TIMEOUT", err)
		}
		if got := hashed.Load(); got != 1 {
			t.Errorf("%d hashes were begun, want only that of the first caller", got)
		}

		// Those that gave up gave back their places: two fit again.
		for range params.MaxWaiting {
			go func() {
				if _, err := p.Verify(t.Context(), goodPassword, ""); err != nil {
					t.Errorf("after others gave up: %v", err)
				}
			}()
		}
		synctest.Wait()
		close(gate)
		synctest.Wait()
	})
}

func TestAnEndedContextNeverHashes(t *testing.T) {
	t.Parallel()
	p := NewPasswords(TestPasswordParams())
	watch(p, func(string, string) { t.Error("hashed for a caller that is gone") })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 64 { // a free slot and an ended context are both ready: either could be picked
		if _, err := p.Verify(ctx, goodPassword, ""); !fault.Is(err, fault.Canceled) {
			t.Fatalf("%v, want CANCELED", err)
		}
	}
}

func TestASlotSurvivesAPanic(t *testing.T) {
	t.Parallel()
	params := TestPasswordParams()
	params.Concurrent, params.MaxWaiting = 1, 0
	p := NewPasswords(params)
	compare := p.compare
	p.compare = func(string, string) (bool, error) { panic("broken") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = p.Verify(t.Context(), goodPassword, "")
	}()
	p.compare = compare
	if _, err := p.Verify(t.Context(), goodPassword, ""); err != nil {
		t.Errorf("the only slot is gone: %v", err)
	}
}

func TestTheSamePasswordTypedOnAnotherDevice(t *testing.T) {
	t.Parallel()
	p := NewPasswords(TestPasswordParams())
	for name, pair := range map[string][2]string{
		"composed and decomposed": {"caf\u00e9 au lait, s'il vous pla\u00eet", "cafe\u0301 au lait, s'il vous plai\u0302t"},
		"full width":              {"commonhold-demo", "\uff43\uff4f\uff4d\uff4d\uff4f\uff4e\uff48\uff4f\uff4c\uff44\uff0d\uff44\uff45\uff4d\uff4f"},
		"ligature":                {"first floor, office", "\ufb01rst \ufb02oor, o\ufb03ce"},
		"hangul":                  {"\ud55c\uae00\ud55c\uae00", "\u1112\u1161\u11ab\u1100\u1173\u11af\u1112\u1161\u11ab\u1100\u1173\u11af"},
		"order of accents":        {"q\u0323\u0307", "q\u0307\u0323"},
	} {
		for i := range 2 {
			hash := mustHash(t, p, pair[i])
			if ok, err := p.Verify(t.Context(), pair[1-i], hash); err != nil || !ok {
				t.Errorf("%s: %+q does not open what %+q set (%v)", name, pair[1-i], pair[i], err)
			}
		}
	}
	if ok, _ := p.Verify(t.Context(), "STRASSE", mustHash(t, p, "stra\u00dfe")); ok {
		t.Error("normalisation folds case")
	}
}

func TestNewPasswords(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		password string
		ok       bool
	}{
		"the demo password":               {"commonhold-demo", true},
		"14 characters":                   {"commonhold-dem", false},
		"empty":                           {"", false},
		"15 spaces":                       {strings.Repeat(" ", 15), true},
		"15 digits":                       {"000000000000000", true},
		"14 letters in 42 bytes":          {strings.Repeat("\u0e01", 14), false},
		"15 letters in 45 bytes":          {strings.Repeat("\u0e01", 15), true},
		"64 of the widest":                {strings.Repeat("\U0001f511", 64), true},
		"65 of the widest":                {strings.Repeat("\U0001f511", 65), false},
		"256 bytes":                       {strings.Repeat("a", 256), true},
		"257 bytes":                       {strings.Repeat("a", 257), false},
		"a ligature of 18 letters":        {"\ufdfa", false},
		"8 letters with 7 accents":        {strings.Repeat("e\u0301", 7) + "e", false},
		"15 letters with accents":         {strings.Repeat("e\u0301", 15), true},
		"NUL":                             {"commonhold\x00demo demo", false},
		"tab":                             {"commonhold\tdemo demo", false},
		"line break at the end":           {"commonhold-demo demo\n", false},
		"delete":                          {"commonhold-demo demo\x7f", false},
		"a control of the second set":     {"commonhold-demo demo\u0085", false},
		"invalid UTF-8":                   {"commonhold-demo demo\xff", false},
		"a surrogate half":                {"commonhold-demo demo\xed\xa0\x80", false},
		"joiners, as in a family of four": {"commonhold \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", true},
	} {
		err := CheckNewPassword(test.password)
		if test.ok {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		coded, _ := errors.AsType[*fault.Error](err)
		if coded == nil || coded.Code != fault.Invalid || !slices.Equal(coded.Field, []string{"password"}) {
			t.Errorf("%s: %v, want INVALID at password", name, err)
			continue
		}
		if test.password != "" && strings.Contains(coded.Error(), test.password) {
			t.Errorf("%s: the message repeats the password", name)
		}
	}
}

// Under older rules shorter passwords may have been set: they still hash, so that
// a sign-in can rehash them. What is beyond reading is refused before any work.
func TestHowMuchIsRead(t *testing.T) {
	t.Parallel()
	p := NewPasswords(TestPasswordParams())
	short := mustHash(t, p, "short")
	if ok, err := p.Verify(t.Context(), "short", short); err != nil || !ok {
		t.Errorf("a short password: %v, %v", ok, err)
	}
	longest := strings.Repeat("e\u0301", 256/2) // 384 bytes here, 256 composed
	if ok, err := p.Verify(t.Context(), longest, mustHash(t, p, strings.Repeat("\u00e9", 256/2))); err != nil || !ok {
		t.Errorf("the longest password, decomposed: %v, %v", ok, err)
	}

	watch(p, func(string, string) { t.Error("hashed a megabyte") })
	huge := strings.Repeat("a", 1<<20)
	if _, err := p.Hash(t.Context(), huge); !fault.Is(err, fault.Invalid) {
		t.Errorf("Hash of a megabyte: %v, want INVALID", err)
	}
	for _, hash := range []string{short, ""} {
		if ok, err := p.Verify(t.Context(), huge, hash); ok || err != nil {
			t.Errorf("Verify of a megabyte: %v, %v; want false", ok, err)
		}
	}
}

func TestStoredHashesThatAreNotOurs(t *testing.T) {
	t.Parallel()
	p := NewPasswords(TestPasswordParams())
	watch(p, func(string, string) { t.Error("paid for a hash that is not ours") })
	const salt, key = "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for name, hash := range map[string]string{
		"no hash":             "hunter2",
		"bcrypt":              "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"another variant":     "$argon2i$v=19$m=64,t=1,p=1$" + salt + "$" + key,
		"another version":     "$argon2id$v=16$m=64,t=1,p=1$" + salt + "$" + key,
		"an empty key":        "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$",
		"a key of one byte":   "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$AA",
		"a key beyond reason": "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + strings.Repeat("AAAA", 1000),
		"no salt":             "$argon2id$v=19$m=64,t=1,p=1$$" + key,
		"a salt of a page":    "$argon2id$v=19$m=64,t=1,p=1$" + strings.Repeat("AAAA", 1000) + "$" + key,
		"no passes":           "$argon2id$v=19$m=64,t=0,p=1$" + salt + "$" + key,
		"no threads":          "$argon2id$v=19$m=64,t=1,p=0$" + salt + "$" + key,
		"too little memory":   "$argon2id$v=19$m=7,t=1,p=1$" + salt + "$" + key,
		"4 TiB":               "$argon2id$v=19$m=4294967295,t=1,p=1$" + salt + "$" + key,
		"an hour":             "$argon2id$v=19$m=64,t=4294967295,p=1$" + salt + "$" + key,
		"something after p":   "$argon2id$v=19$m=64,t=1,p=1,x=1$" + salt + "$" + key,
		"a leading zero":      "$argon2id$v=19$m=064,t=1,p=1$" + salt + "$" + key,
		"a line break":        "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + key + "\n",
		"another part":        "$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + key + "$",
	} {
		ok, err := p.Verify(t.Context(), "", hash)
		if ok || err == nil {
			t.Errorf("%s: %v, %v; want an error", name, ok, err)
			continue
		}
		if strings.Contains(err.Error(), hash) || fault.CodeOf(err) != fault.Internal {
			t.Errorf("%s: %v is shown to people or repeats the hash", name, err)
		}
		if !p.NeedsRehash(hash) {
			t.Errorf("%s: needs no rehash", name)
		}
	}
}

func TestNeedsRehash(t *testing.T) {
	t.Parallel()
	base := PasswordParams{MemoryKiB: 64, Iterations: 1, Parallelism: 1, Concurrent: 1}
	p := NewPasswords(base)
	if p.NeedsRehash(mustHash(t, p, goodPassword)) {
		t.Error("a fresh hash needs a rehash")
	}
	for name, change := range map[string]func(*PasswordParams){
		"memory":      func(o *PasswordParams) { o.MemoryKiB++ },
		"iterations":  func(o *PasswordParams) { o.Iterations++ },
		"parallelism": func(o *PasswordParams) { o.Parallelism++ },
	} {
		params := base
		change(&params)
		old := NewPasswords(params)
		hash := mustHash(t, old, goodPassword)
		if !p.NeedsRehash(hash) {
			t.Errorf("a hash with another %s needs no rehash", name)
		}
		if ok, err := p.Verify(t.Context(), goodPassword, hash); err != nil || !ok {
			t.Errorf("a hash with another %s no longer verifies: %v, %v", name, ok, err)
		}
	}
	if hash := encodeHash(&p.params, make([]byte, saltBytes/2), make([]byte, keyBytes)); !p.NeedsRehash(hash) {
		t.Error("a hash with a shorter salt needs no rehash")
	}
	if hash := encodeHash(&p.params, make([]byte, saltBytes), make([]byte, keyBytes/2)); !p.NeedsRehash(hash) {
		t.Error("a hash with a shorter key needs no rehash")
	}
}

func TestPasswordParametersOutOfBounds(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*PasswordParams){
		"no passes":            func(p *PasswordParams) { p.Iterations = 0 },
		"no threads":           func(p *PasswordParams) { p.Parallelism = 0 },
		"no memory":            func(p *PasswordParams) { p.MemoryKiB = 0 },
		"too much memory":      func(p *PasswordParams) { p.MemoryKiB = 1<<20 + 1 },
		"nobody may hash":      func(p *PasswordParams) { p.Concurrent = 0 },
		"fewer than none wait": func(p *PasswordParams) { p.MaxWaiting = -1 },
	} {
		params := TestPasswordParams()
		change(&params)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			NewPasswords(params)
		}()
	}
}

func BenchmarkHash(b *testing.B) {
	p := NewPasswords(DefaultPasswordParams())
	for b.Loop() {
		if _, err := p.Hash(b.Context(), goodPassword); err != nil {
			b.Fatal(err)
		}
	}
}
