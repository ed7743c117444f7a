package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"strings"

	"github.com/commonhold/commonhold/internal/auth"
)

// tokens compares the verification of an access token with that of its signature
// alone.
func tokens(ctx context.Context, r *report) error {
	say("access tokens")
	key, err := auth.NewSigningKey()
	if err != nil {
		return err
	}
	issuer, err := auth.NewTokens("https://bench.example", "commonhold", 0, nil, key)
	if err != nil {
		return err
	}
	// Ids as long as ours are.
	token, _, err := issuer.Issue(auth.Claims{Session: "ses_01jaz3v9qkf8t9m5w0x2y4z6a8", User: "user_01jaz3v9qkf8t9m5w0x2y4z6a8", Tenant: "ten_01jaz3v9qkf8t9m5w0x2y4z6a8"})
	if err != nil {
		return err
	}
	dot := strings.LastIndexByte(token, '.')
	signed, public := []byte(token[:dot]), key.Public()
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		return err
	}
	medians, err := compare(ctx, 1,
		func(context.Context, *rand.Rand) error {
			if !ed25519.Verify(public, signed, signature) {
				return errors.New("the signature is not accepted")
			}
			return nil
		},
		func(ctx context.Context, _ *rand.Rand) error {
			_, err := issuer.Verify(ctx, token)
			return err
		})
	if err != nil {
		return err
	}
	r.ratio("an access token verified (time)", "its Ed25519 signature alone", 1/medians[1], "≤ 2")
	return nil
}
