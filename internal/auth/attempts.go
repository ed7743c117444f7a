package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// limit says how often something may be done in vain before the next time has to wait.
// The wait doubles each time, from first to longest, and is over by itself: nobody is
// locked out by what others do.
type limit struct {
	purpose        string
	free           int32
	first, longest time.Duration
	memory         time.Duration // since the last time; then it begins anew
}

var (
	ofDevice  = limit{"sign-in to an account from a network", 10, time.Second, 30 * time.Second, 15 * time.Minute}
	ofAccount = limit{"sign-in to an account", 10, time.Second, 30 * time.Second, 15 * time.Minute}
	ofNetwork = limit{"sign-in from a network", 100, time.Second, 30 * time.Second, 15 * time.Minute}

	resetsOfAddress = limit{"password reset of an address", 2, time.Minute, 15 * time.Minute, time.Hour}
	resetsOfNetwork = limit{"password reset from a network", 20, time.Second, 30 * time.Second, 15 * time.Minute}
	joinsOfAddress  = limit{"invitation of an address by a link", 2, time.Minute, 15 * time.Minute, time.Hour}
	joinsOfNetwork  = limit{"invitation by a link from a network", 100, time.Second, 30 * time.Second, 15 * time.Minute}
	joinsOfLink     = limit{"invitation by a link", 0, time.Second, 15 * time.Minute, time.Hour} // free is what the link says
	emailChanges    = limit{"e-mail change of an account", 20, time.Minute, 15 * time.Minute, time.Hour}

	// Each is a mail to an address that may not have asked for it. From one network there are
	// few. From many there are more, and the waits are short: who has the address must get a
	// turn between strangers.
	registrationsOfDevice  = limit{"registration of an address from a network", 2, time.Minute, 15 * time.Minute, time.Hour}
	registrationsOfAddress = limit{"registration of an address", 10, 30 * time.Second, 2 * time.Minute, time.Hour}
	registrationsOfNetwork = limit{"registration from a network", 20, time.Second, 30 * time.Second, 15 * time.Minute}
	tenantsOfAccount       = limit{"registration by an account", 20, time.Minute, 15 * time.Minute, time.Hour}
	slugsOfNetwork         = limit{"question for a slug from a network", 100, time.Second, 30 * time.Second, 15 * time.Minute}
)

// attemptKey is what is counted of somebody. It is the same for an address that has an account
// and one that has none.
func (s *Service) attemptKey(l limit, of ...string) []byte {
	parts := make([][]byte, len(of))
	for i, part := range of {
		parts[i] = []byte(part)
	}
	return s.ring.Code("attempts: "+l.purpose, parts...)
}

// countAttempt counts an attempt in the caller's transaction, before it is made: of those who
// try at the same moment no more are let through than one after the other.
//
// Errors: fault.RateLimited where it has to wait. Then nothing is to be stored.
func (s *Service) countAttempt(ctx context.Context, q *controlsql.Queries, l limit, key []byte) (known bool, err error) {
	known, err = q.Attempt(ctx, controlsql.AttemptParams{
		Key: key, Free: l.free, FirstWait: l.first.Seconds(), LongestWait: l.longest.Seconds(), Memory: l.memory.Seconds(),
	})
	if !postgres.IsNoRows(err) {
		return known, err
	}
	wait := l.first
	if held, err := q.GetAttempt(ctx, controlsql.GetAttemptParams{Key: key}); err == nil {
		wait = held.NextAt.Sub(held.ReadAt)
	} else if !postgres.IsNoRows(err) {
		return false, err
	}
	return false, fault.New(fault.RateLimited, "This was tried too often. Wait the seconds that retryAfter says, and try again.").After(wait)
}

// countNetwork counts an attempt for the network that it comes from, where that can be told.
//
// Errors: as countAttempt.
func (s *Service) countNetwork(ctx context.Context, l limit) error {
	network := clientOf(ctx).network
	if network == "" {
		return nil
	}
	return s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		_, err := s.countAttempt(ctx, q, l, s.attemptKey(l, network))
		return err
	})
}

// try is one attempt at a password: what was counted for it.
type try struct {
	device []byte
	others [][]byte
}

// beginTry counts an attempt at the password of an address. Who has signed in to it from
// the same network before is not held up by what others try elsewhere.
//
// Errors: fault.RateLimited, the same for an address with an account and one without.
func (s *Service) beginTry(ctx context.Context, email string) (*try, error) {
	network := clientOf(ctx).network
	t := &try{device: s.attemptKey(ofDevice, email, network)}
	err := s.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		t.others = nil // the transaction may run again
		known, err := s.countAttempt(ctx, q, ofDevice, t.device)
		if err != nil || known {
			return err
		}
		counted := []struct {
			limit limit
			key   []byte
		}{{ofAccount, s.attemptKey(ofAccount, email)}, {ofNetwork, s.attemptKey(ofNetwork, network)}}
		if network == "" {
			counted = counted[:1]
		}
		for _, c := range counted {
			if _, err := s.countAttempt(ctx, q, c.limit, c.key); err != nil {
				return err
			}
			t.others = append(t.others, c.key)
		}
		return q.DeleteOldAttempts(ctx)
	})
	return t, err
}

// endTry notes what became of an attempt: a right password is known by its network from
// then on, and what nobody looked at counts for nothing. A wrong one stays counted.
func (s *Service) endTry(ctx context.Context, t *try, right bool) {
	ctx = context.WithoutCancel(ctx) // whether the caller still waits does not matter
	forgiven := t.others
	var err error
	if right {
		err = s.db.Control().KnowAttempt(ctx, controlsql.KnowAttemptParams{Key: t.device})
	} else {
		forgiven = append(forgiven, t.device)
	}
	for _, key := range forgiven {
		err = errors.Join(err, s.db.Control().ForgiveAttempt(ctx, controlsql.ForgiveAttemptParams{Key: key}))
	}
	if err != nil { // then it is forgotten by itself
		slog.WarnContext(ctx, "an attempt to sign in stays counted", "error", err)
	}
}

// SetTrustedProxies names the networks of the proxies in front, whose X-Forwarded-For is
// believed. It belongs to the start of a server.
//
// Errors: fault.Config for what is no network.
func (s *Service) SetTrustedProxies(networks []string) error {
	for _, one := range networks {
		network, err := netip.ParsePrefix(one)
		if err != nil {
			return fault.New(fault.Config, "--trusted-proxy must be a network such as 10.0.0.0/8 or 2001:db8::/32.")
		}
		s.proxies = append(s.proxies, network)
	}
	return nil
}

// networkOf is the network that a request comes from, "" where that cannot be told: of a
// proxy that the operator has not named, all clients have the address. Addresses that
// somebody may have many of count as one: /24, and /64 in version 6.
func (s *Service) networkOf(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	address := at.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.proxied(address); i-- { // each proxy appends who spoke to it
		before, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return ""
		}
		address = before.Unmap()
	}
	if !address.IsGlobalUnicast() || address.IsPrivate() {
		return ""
	}
	bits := 24
	if address.Is6() {
		bits = 64
	}
	network, err := address.WithZone("").Prefix(bits)
	if err != nil {
		return ""
	}
	return network.String()
}

func (s *Service) proxied(address netip.Addr) bool {
	for _, network := range s.proxies {
		if network.Contains(address) {
			return true
		}
	}
	return false
}
