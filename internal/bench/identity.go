package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/postgres"
)

// identity measures what it costs to know who asks, and how soon a second server
// knows that somebody may ask no more.
func (b *bench) identity(ctx context.Context, r *report, url func(string) string) error {
	key, err := auth.NewSigningKey()
	if err != nil {
		return err
	}
	tokens, err := auth.NewTokens("http://bench.example", "commonhold", 0, nil, key)
	if err != nil {
		return err
	}
	ring, _, err := keyring.New()
	if err != nil {
		return err
	}
	passwords := auth.NewPasswords(auth.TestPasswordParams())
	here := auth.NewService(b.db, control.NewRegistry(b.db), tokens, passwords, ring)
	second, err := postgres.Open(ctx, postgres.Config{AppURL: url("commonhold_app"), ControlURL: url("commonhold_control"), MaxConns: 2})
	if err != nil {
		return err
	}
	defer second.Close()
	there := auth.NewService(second, control.NewRegistry(second), tokens, passwords, ring)

	_, session, err := here.Register(ctx, auth.Registration{
		Tenant: control.Registration{Name: "Bench", Slug: "bench-identity", Currency: "EUR"},
		Email:  "owner@bench-identity.example", Password: "a password for benchmarks", DisplayName: "Owner",
	})
	if err != nil {
		return err
	}
	signed := session.AccessToken[:strings.LastIndexByte(session.AccessToken, '.')]
	message, signature := []byte(signed), ed25519.Sign(key.Private, []byte(signed))
	medians, err := compare(ctx, 1,
		func(context.Context, *rand.Rand) error {
			if !ed25519.Verify(key.Public(), message, signature) {
				return errors.New("the signature is wrong")
			}
			return nil
		},
		func(ctx context.Context, _ *rand.Rand) error {
			_, err := tokens.Verify(ctx, session.AccessToken)
			return err
		},
		func(ctx context.Context, _ *rand.Rand) error {
			_, err := here.Authenticate(ctx, session.AccessToken)
			return err
		})
	if err != nil {
		return err
	}
	r.ratio("verifying an access token (time)", "its Ed25519 signature alone", 1/medians[1], "≤ 2")
	r.ratio("knowing who holds it, from memory (time)", "the same", 1/medians[2], "")

	var took []float64
	for range 101 {
		session, _, err := here.SignIn(ctx, "bench-identity", "owner@bench-identity.example", "a password for benchmarks")
		if err != nil {
			return err
		}
		who, err := there.Authenticate(ctx, session.AccessToken)
		if err != nil {
			return err
		}
		one, err := revoked(ctx, here, there, who.Session, session.AccessToken)
		if err != nil {
			return err
		}
		took = append(took, one.Seconds()*1000)
	}
	r.figure("from signing out, until another server refuses the token", fmt.Sprintf("%.1f ms", median(took)), "≤ 1 s")
	return nil
}

// revoked ends a session here and waits until it is known there.
func revoked(ctx context.Context, here, there *auth.Service, session id.Session, token string) (time.Duration, error) {
	if err := here.SignOut(ctx, session); err != nil {
		return 0, err
	}
	begin := time.Now()
	for {
		_, err := there.Authenticate(ctx, token)
		if fault.Is(err, fault.Unauthenticated) {
			return time.Since(begin), nil
		}
		if err != nil {
			return 0, err
		}
		time.Sleep(50 * time.Microsecond)
	}
}
