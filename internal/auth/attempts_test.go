package auth

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// from is a request that comes from a network.
func from(network string) context.Context {
	return context.WithValue(context.Background(), clientKey{}, &client{network: network})
}

// freshNetwork is one that no other test uses.
func freshNetwork() string { return newcomer().Email }

// passes lets the wait of a key be over.
func passes(t testing.TB, key []byte, wait string) {
	t.Helper()
	alter(t, pgtest.Superuser(t), 1, `update control.attempts set next_at = next_at - $2::text::interval, last_at = last_at - $2::text::interval where key = $1`, key, wait)
}

// guess tries a wrong password and tells how long the next one has to wait, 0 for not at all.
func guess(t testing.TB, ctx context.Context, s *Service, address string) time.Duration {
	t.Helper()
	_, _, err := s.SignIn(ctx, "", address, wrongPassword)
	coded, ok := err.(*fault.Error) //nolint:errorlint // what is shown is the outermost one
	if !ok || coded.Code != fault.BadCredential && coded.Code != fault.RateLimited {
		t.Fatalf("a wrong password: %v", err)
	}
	return coded.RetryAfter
}

// After ten guesses each waits twice as long as the one before, up to half a minute, for
// an address with an account and one without alike; nothing is hashed meanwhile.
func TestGuessesWait(t *testing.T) {
	t.Parallel()
	s, hashed := newService(t, pgtest.New(t))
	r, _, _ := register(t, s)
	var first []time.Duration
	for _, address := range []string{r.Email, newcomer().Email} {
		ctx := from(freshNetwork())
		device, account := s.attemptKey(ofDevice, address, clientOf(ctx).network), s.attemptKey(ofAccount, address)
		var waits []time.Duration
		before := hashed.Load()
		for range 10 {
			if wait := guess(t, ctx, s, address); wait != 0 {
				t.Fatalf("a guess that is free waits %v", wait)
			}
		}
		for range 7 {
			guess(t, ctx, s, address) // the last one that is let through
			wait := guess(t, ctx, s, address)
			waits = append(waits, wait)
			for _, key := range [][]byte{device, account} {
				passes(t, key, fmt.Sprintf("%f seconds", wait.Seconds()))
			}
		}
		if got := hashed.Load() - before; got != 17 {
			t.Errorf("%s: %d hashes, want 17", address, got)
		}
		if want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second}; first == nil {
			if diff := cmp.Diff(want, waits); diff != "" {
				t.Error(diff)
			}
			first = waits
		} else if diff := cmp.Diff(first, waits); diff != "" {
			t.Errorf("who has no account waits otherwise: %s", diff)
		}
		// After a quarter of an hour it begins anew.
		for _, key := range [][]byte{device, account} {
			passes(t, key, "16 minutes")
		}
		for range 10 {
			if wait := guess(t, ctx, s, address); wait != 0 {
				t.Fatalf("a quarter of an hour later it waits %v", wait)
			}
		}
	}
}

// Strangers who guess keep nobody out: not where the person has signed in from before,
// and elsewhere for half a minute.
func TestNobodyIsLockedOut(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	r, home, _ := register(t, s)
	office, train := from(freshNetwork()), from(freshNetwork())
	mustSignIn(t, office, s, home, r)
	for range 13 { // each stranger from a network of their own
		guess(t, from(freshNetwork()), s, r.Email)
	}
	if wait := guess(t, from(freshNetwork()), s, r.Email); wait == 0 {
		t.Error("a stranger guesses on")
	}
	mustSignIn(t, office, s, home, r)
	_, _, err := s.SignIn(train, home.Slug, r.Email, r.Password)
	wantFault(t, "the right password from elsewhere", err, fault.RateLimited, "")
	passes(t, s.attemptKey(ofAccount, r.Email), "31 seconds")
	mustSignIn(t, train, s, home, r)
	for range 9 { // who mistypes and then does not is not held up later
		guess(t, train, s, r.Email)
	}
	mustSignIn(t, train, s, home, r)
	for range 9 {
		guess(t, train, s, r.Email)
	}
	mustSignIn(t, train, s, home, r)
	// Another account is nobody's concern.
	other, there, _ := register(t, s)
	mustSignIn(t, from(freshNetwork()), s, there, other)
}

// Who tries many addresses from one network waits there, and nowhere else.
func TestNetworksWait(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	ctx := from(freshNetwork())
	r, home, _ := register(t, s)
	mustSignIn(t, ctx, s, home, r)
	key := s.attemptKey(ofNetwork, clientOf(ctx).network)
	guess(t, ctx, s, newcomer().Email)
	alter(t, pgtest.Superuser(t), 1, `update control.attempts set failures = 101 where key = $1`, key)
	guess(t, ctx, s, newcomer().Email)
	if wait := guess(t, ctx, s, newcomer().Email); wait != 2*time.Second {
		t.Errorf("it waits %v", wait)
	}
	mustSignIn(t, ctx, s, home, r) // who is known there goes on
	if wait := guess(t, from(freshNetwork()), s, newcomer().Email); wait != 0 {
		t.Errorf("another network waits %v", wait)
	}
}

// Whoever guesses many at the same moment, on two servers, has no more tries than one
// after the other.
func TestGuessesAtOnce(t *testing.T) {
	t.Parallel()
	s, hashed := newService(t, pgtest.New(t))
	other, _ := second(t, s)
	address, ctx := newcomer().Email, from(freshNetwork())
	before := hashed.Load()
	var group sync.WaitGroup
	var refused atomic.Int32
	for i := range 40 {
		group.Go(func() {
			at := s
			if i%2 == 0 {
				at = other
			}
			if _, _, err := at.SignIn(ctx, "", address, wrongPassword); fault.Is(err, fault.RateLimited) {
				refused.Add(1)
			}
		})
	}
	group.Wait()
	if tried := hashed.Load() - before; tried > 13 || refused.Load() < 27 {
		t.Errorf("%d guesses were looked at, %d refused", tried, refused.Load())
	}
}

// However many tries are free, somebody has to wait after them.
func TestManyFreeTriesEnd(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	for _, free := range []int32{1, 499, 500, 501, 2000} {
		l := limit{"a test", free, time.Minute, time.Hour, 24 * time.Hour}
		key := s.attemptKey(l, id.New().String())
		count := func() error {
			return s.db.InControlTx(context.Background(), func(q *controlsql.Queries) error {
				_, err := s.countAttempt(context.Background(), q, l, key)
				return err
			})
		}
		if err := count(); err != nil {
			t.Fatal(err)
		}
		alter(t, super, 1, `update control.attempts set failures = $2 where key = $1`, key, free)
		if err := count(); err != nil { // who has used them up is let through once
			t.Errorf("after %d: %v", free, err)
		}
		for n := range 3 {
			if n > 0 { // and after each wait once more, for which the next one is longer
				passes(t, key, "1 hour")
				if err := count(); err != nil {
					t.Errorf("after %d, and a wait: %v", free, err)
				}
			}
			wantFault(t, fmt.Sprintf("the next after %d", free), count(), fault.RateLimited, "")
		}
	}
}

// The table holds no address and no network, and forgets.
func TestAttemptsAreForgotten(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	address := newcomer().Email
	guess(t, from(freshNetwork()), s, address)
	key := s.attemptKey(ofAccount, address)
	alter(t, super, 1, `update control.attempts set expires_at = now() - interval '1000 years' where key = $1`, key)
	guess(t, from(freshNetwork()), s, newcomer().Email)
	if n := count(t, super, `select count(*) from control.attempts where key = $1`, key); n != 0 {
		t.Error("what has expired is kept")
	}
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	if err := s.SetTrustedProxies([]string{"10.0.0.0/8", "2001:db8:1::/48"}); err != nil {
		t.Fatal(err)
	}
	wantFault(t, "no network", s.SetTrustedProxies([]string{"10.0.0.1"}), fault.Config, "")
	for name, c := range map[string]struct {
		peer    string
		through []string
		want    string
	}{
		"a client":                            {"203.0.113.7:1", nil, "203.0.113.0/24"},
		"of version 6":                        {"[2001:db8:2:3:4::5]:1", nil, "2001:db8:2:3::/64"},
		"of version 4 in 6":                   {"[::ffff:203.0.113.7]:1", nil, "203.0.113.0/24"},
		"with a zone":                         {"[2001:db8:2:3:4::5%eth0]:1", nil, "2001:db8:2:3::/64"},
		"that says it is another":             {"203.0.113.7:1", []string{"198.51.100.1"}, "203.0.113.0/24"},
		"of this machine":                     {"127.0.0.1:1", nil, ""},
		"of a private network":                {"192.168.1.1:1", nil, ""},
		"of a socket":                         {"@", nil, ""},
		"behind a proxy":                      {"10.0.0.1:1", []string{"203.0.113.7"}, "203.0.113.0/24"},
		"behind a proxy that says nothing":    {"10.0.0.1:1", nil, ""},
		"behind two":                          {"10.0.0.1:1", []string{"203.0.113.7, 2001:db8:1::1"}, "203.0.113.0/24"},
		"behind two, in two headers":          {"10.0.0.1:1", []string{"203.0.113.7", "10.0.0.2"}, "203.0.113.0/24"},
		"behind a proxy, and lying":           {"10.0.0.1:1", []string{"198.51.100.1, 203.0.113.7"}, "203.0.113.0/24"},
		"behind a proxy, with a proxy's name": {"10.0.0.1:1", []string{"198.51.100.1, 10.9.9.9, 203.0.113.7"}, "203.0.113.0/24"},
		"behind a proxy that says nonsense":   {"10.0.0.1:1", []string{"unknown"}, ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/graphql", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.through
		if got := s.networkOf(r); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
