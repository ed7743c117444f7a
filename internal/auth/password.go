package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"unicode"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/commonhold/commonhold/internal/fault"
)

const (
	// MinPasswordLength is in Unicode code points. A password is the only factor
	// here, and for that NIST SP 800-63B-4 section 3.1.1.2 asks for 15.
	MinPasswordLength = 15

	// MaxPasswordBytes is the longest new password in bytes of UTF-8. It leaves room
	// for 64 code points of any script, which is what the same section asks for at
	// the least.
	MaxPasswordBytes = 256

	// maxPasswordInput, in bytes, is what Hash and Verify read at all. It is wider
	// than MaxPasswordBytes because one password takes more bytes in another
	// normalisation form (up to three times as many in NFD).
	maxPasswordInput = 4 * MaxPasswordBytes

	saltBytes = 16 // RFC 9106 section 3.1
	keyBytes  = 32 // RFC 9106 section 4

	// Stored hashes carry their own cost. What lies beyond these was not made by
	// this program, and paying for it would take the server down.
	maxMemoryKiB  = 1 << 20 // 1 GiB
	maxIterations = 64
)

// PasswordParams is the cost of one Argon2id hash and the bound on how many are
// paid for at the same time.
type PasswordParams struct {
	MemoryKiB   uint32 // memory of one hash in KiB, 8 × Parallelism … 1,048,576
	Iterations  uint32 // passes over the memory, 1 … 64
	Parallelism uint8  // threads of one hash, at least 1
	Concurrent  int    // hashes that run at once, at least 1: MemoryKiB × Concurrent is the memory at the peak
	MaxWaiting  int    // callers that may wait for their turn; the next one is turned away at once
}

// DefaultPasswordParams are the least that the OWASP Password Storage Cheat Sheet
// asks of Argon2id: 19 MiB, 2 passes, 1 thread. The second choice of RFC 9106
// section 4 (64 MiB, 3 passes, 4 threads) is stronger; it takes 64 MiB for each
// hash that runs, which whoever has the memory may set.
//
// Half of the processors hash at most, so that a storm of sign-ins leaves the
// other half to everyone who is signed in already. At some 20 ms a hash, the last
// of a full queue of 64 waits a second or two.
func DefaultPasswordParams() PasswordParams {
	return PasswordParams{
		MemoryKiB:   19 * 1024,
		Iterations:  2,
		Parallelism: 1,
		Concurrent:  max(1, runtime.GOMAXPROCS(0)/2),
		MaxWaiting:  64,
	}
}

// TestPasswordParams cost next to nothing and protect nothing: for tests alone.
func TestPasswordParams() PasswordParams {
	return PasswordParams{MemoryKiB: 64, Iterations: 1, Parallelism: 1, Concurrent: 4, MaxWaiting: 1024}
}

// Passwords hashes and verifies passwords with Argon2id, a bounded number at a
// time. It is safe for concurrent use.
type Passwords struct {
	params argon2id.Params
	dummy  string        // what the password of an unknown account is compared with
	places chan struct{} // everyone inside, running or waiting
	slots  chan struct{} // those that run

	// The two calls that cost something. Tests wrap them to count.
	create  func(password string, params *argon2id.Params) (string, error)
	compare func(password, hash string) (bool, error)
}

// NewPasswords panics if p is out of the bounds that PasswordParams states.
func NewPasswords(p PasswordParams) *Passwords {
	params := argon2id.Params{
		Memory:      p.MemoryKiB,
		Iterations:  p.Iterations,
		Parallelism: p.Parallelism,
		SaltLength:  saltBytes,
		KeyLength:   keyBytes,
	}
	if err := checkCost(&params); err != nil {
		panic(fmt.Sprintf("auth: password parameters: %v", err))
	}
	if p.Concurrent < 1 || p.MaxWaiting < 0 {
		panic("auth: password parameters: Concurrent must be at least 1 and MaxWaiting at least 0")
	}

	// Verifying reads the parameters and the salt of a hash and compares the key
	// last, so a random key costs exactly what a real one does, needs no 19 MiB at
	// start, and is the hash of no password that anyone knows.
	random := make([]byte, saltBytes+keyBytes)
	_, _ = rand.Read(random) // never fails: crypto/rand.Read

	return &Passwords{
		params:  params,
		dummy:   encodeHash(&params, random[:saltBytes], random[saltBytes:]),
		places:  make(chan struct{}, p.Concurrent+p.MaxWaiting),
		slots:   make(chan struct{}, p.Concurrent),
		create:  argon2id.CreateHash,
		compare: argon2id.ComparePasswordAndHash,
	}
}

// Hash gives the text to store for a password, in the PHC string format. It
// hashes short passwords too, since one that was set under older rules must
// survive a rehash: a new password goes through CheckNewPassword first.
//
// Errors: fault.Invalid at field "password" for more than 1 KiB, fault.Canceled
// or fault.Timeout when ctx ended before its turn came, fault.Unavailable when the
// queue is full.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	if len(password) > maxPasswordInput {
		return "", tooLong()
	}
	leave, err := p.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	hash, err := p.create(norm.NFKC.String(password), &p.params)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return hash, nil
}

// Verify tells whether hash was made from password. An empty hash stands for an
// unknown account: the same work is done and the answer is false. Accounts whose
// hash NeedsRehash cost what their own parameters cost, and so can be told from
// unknown ones until they have signed in once.
//
// Errors: those of Hash except fault.Invalid (a password of more than 1 KiB is
// false, whoever's it is), and an error without a code for a stored hash that this
// program did not write.
func (p *Passwords) Verify(ctx context.Context, password, hash string) (bool, error) {
	if len(password) > maxPasswordInput {
		return false, nil
	}
	known := hash != ""
	if !known {
		hash = p.dummy
	}
	if _, err := decodeHash(hash); err != nil {
		return false, fmt.Errorf("verify password: %w", err)
	}
	leave, err := p.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	match, err := p.compare(norm.NFKC.String(password), hash)
	if err != nil {
		return false, fmt.Errorf("verify password: %w", err)
	}
	return match && known, nil
}

// NeedsRehash tells whether hash was made with other parameters than the present
// ones, or is no hash at all. After a successful Verify the caller then stores a
// new Hash of the same password.
func (p *Passwords) NeedsRehash(hash string) bool {
	params, err := decodeHash(hash)
	return err != nil || *params != p.params
}

// enter waits for a slot and answers with the way out. Waiters come in the order
// in which they arrived.
func (p *Passwords) enter(ctx context.Context) (leave func(), err error) {
	// A select between a free slot and an ended context picks either.
	if err := ctx.Err(); err != nil {
		return nil, gaveUp(err)
	}
	select {
	case p.places <- struct{}{}:
	default:
		return nil, fault.New(fault.Unavailable, "The server is busy with other sign-ins. Try again in a few seconds.")
	}
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots; <-p.places }, nil
	case <-ctx.Done():
		<-p.places
		return nil, gaveUp(ctx.Err())
	}
}

func gaveUp(cause error) error {
	if errors.Is(cause, context.DeadlineExceeded) {
		return fault.New(fault.Timeout, "The server was too busy to check the password in time. Try again in a few seconds.").Because(cause)
	}
	return fault.New(fault.Canceled, "The request was cancelled before the password was checked.").Because(cause)
}

// CheckNewPassword applies the rules for a password that someone chooses: at
// least 15 code points, at most 256 bytes, no control characters, valid UTF-8.
// There are no rules of composition and none about age (NIST SP 800-63B-4 section
// 3.1.1.2). The shorter of the counts before and after normalisation must reach
// the 15, so that neither one ligature that unfolds into many letters nor
// letters written apart from their accents make a short password long.
//
// Errors: fault.Invalid at field "password".
func CheckNewPassword(password string) error {
	if len(password) > MaxPasswordBytes {
		return tooLong()
	}
	if !utf8.ValidString(password) {
		return fault.New(fault.Invalid, "The password is not valid Unicode text. Type it again.").At("password")
	}
	normal := norm.NFKC.String(password)
	if min(utf8.RuneCountInString(password), utf8.RuneCountInString(normal)) < MinPasswordLength {
		return fault.New(fault.Invalid, "The password is too short. Use at least %d characters; several words in a row are easy to remember.", MinPasswordLength).At("password")
	}
	for _, r := range password {
		if unicode.IsControl(r) {
			return fault.New(fault.Invalid, "The password contains a control character such as a tab or a line break. Leave it out.").At("password")
		}
	}
	return nil
}

func tooLong() error {
	return fault.New(fault.Invalid, "The password is too long. Use at most %d bytes, which is %d characters of any script and more of most.",
		MaxPasswordBytes, MaxPasswordBytes/utf8.UTFMax).At("password")
}

var errForeignHash = errors.New("the stored hash is not one that this program writes")

// decodeHash reads the parameters of a stored hash and refuses what the library
// would accept or panic on: other spellings of the same hash, a cost of zero or
// beyond reason, and an empty key, which any password matches. The error never
// holds the hash.
func decodeHash(hash string) (*argon2id.Params, error) {
	params, salt, key, err := argon2id.DecodeHash(hash)
	if err != nil || encodeHash(params, salt, key) != hash {
		return nil, errForeignHash
	}
	if err := checkCost(params); err != nil {
		return nil, errors.Join(errForeignHash, err)
	}
	return params, nil
}

func checkCost(p *argon2id.Params) error {
	switch {
	case p.Parallelism < 1:
		return errors.New("parallelism must be at least 1")
	case p.Iterations < 1 || p.Iterations > maxIterations:
		return fmt.Errorf("iterations must be 1 to %d", maxIterations)
	case p.Memory < 8*uint32(p.Parallelism) || p.Memory > maxMemoryKiB: // RFC 9106 section 3.1
		return fmt.Errorf("memory must be 8 × parallelism to %d KiB", maxMemoryKiB)
	case p.SaltLength < 8 || p.SaltLength > 64: // RFC 9106 section 3.1: 8 at the least
		return errors.New("the salt must have 8 to 64 bytes")
	case p.KeyLength < 16 || p.KeyLength > 64:
		return errors.New("the key must have 16 to 64 bytes")
	}
	return nil
}

// encodeHash writes the PHC string format as the library does.
func encodeHash(p *argon2id.Params, salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.Memory, p.Iterations, p.Parallelism,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}
