package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/commonhold/commonhold/internal/auth"
)

const (
	guessers = 32 // who sign in at once, each time from another network to another account
	windows  = 15 // of each kind, in turns
	window   = 400 * time.Millisecond
)

// flood measures what those who are signed in notice of many who guess passwords. Each
// guess is the first of its network and of its account, so that no delay stops it: what
// is left is the bound on how many passwords are hashed at once, and that who hashes them
// stands back.
func (b *bench) flood(ctx context.Context, r *report) error {
	s, err := b.serve(ctx, auth.DefaultPasswordParams())
	if err != nil {
		return err
	}
	defer s.Close()
	body, err := json.Marshal(map[string]string{"query": documented[0].query})
	if err != nil {
		return err
	}
	say("a page during a flood of sign-ins: %d windows of %s", windows, window)
	var took [2][]time.Duration // without and with
	var guesses atomic.Int64
	for n := range 2 * (windows + 1) {
		flooded := n % 2
		floodCtx, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		for range flooded * guessers {
			wg.Go(func() {
				for floodCtx.Err() == nil {
					s.guess(floodCtx, guesses.Add(1))
				}
			})
		}
		var all []time.Duration
		for begin := time.Now(); time.Since(begin) < window; {
			asked := time.Now()
			if err = post(ctx, s.client, s.URL+"/graphql", s.token, body); err != nil {
				break
			}
			all = append(all, time.Since(asked))
		}
		stop()
		wg.Wait()
		if err != nil {
			return err
		}
		if n > 1 { // the first ones warm up
			took[flooded] = append(took[flooded], all...)
		}
	}
	if guesses.Load() < windows*guessers/4 {
		return fmt.Errorf("%d guesses are no flood", guesses.Load())
	}
	r.ratio(fmt.Sprintf("p99 of a page by HTTP while %d sign in at once (time)", guessers), "while nobody does", p99(took[1])/p99(took[0]), "≤ 2")
	return nil
}

func p99(all []time.Duration) float64 {
	slices.Sort(all)
	return float64(all[len(all)*99/100])
}

// guess is the n-th guess. How it is answered does not matter.
func (s *served) guess(ctx context.Context, n int64) {
	body := fmt.Sprintf(`{"query":"mutation { signIn(input: {tenant: \"acme\", email: \"guess-%d@bench.example\", password: \"a guess, and a wrong one\"}) { userErrors { code } } }"}`, n)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/graphql", bytes.NewReader([]byte(body)))
	if err != nil {
		return
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255))
	response, err := s.client.Do(request)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}
