package auth

import (
	"context"
	"net/http"
	"strings"

	"github.com/commonhold/commonhold/internal/fault"
)

type refusalKey struct{}

// refusal is an error that is answered later, by who can tell what is asked for.
type refusal struct {
	err   error
	whole bool // and no new credential would help
}

// Middleware finds out who asks, and which tenant is meant. A request without a
// credential goes on as nobody's; one whose credential is refused goes on too, with
// the Refusal in its context, because signIn and refreshSession must work for who
// holds an old token.
func (s *Service) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		m, err := s.readMeant(r)
		ctx = context.WithValue(context.WithValue(ctx, meantKey{}, m), clientKey{}, s.readClient(w, r))
		if err != nil {
			ctx = context.WithValue(ctx, refusalKey{}, refusal{err, true})
		} else if header := r.Header.Values("Authorization"); len(header) > 0 {
			principal, err := s.fromHeader(ctx, header)
			if err == nil {
				err = agrees(ctx, principal.Tenant.Slug, principal.Tenant.ID.String())
			}
			if err != nil {
				ctx = context.WithValue(ctx, refusalKey{}, refusal{err, false})
			} else {
				ctx = NewContext(ctx, principal)
			}
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// fromHeader reads RFC 6750, section 2.1: an access token, or an API key, which is told
// by what it begins with.
func (s *Service) fromHeader(ctx context.Context, header []string) (*Principal, error) {
	scheme, token, ok := strings.Cut(header[0], " ")
	if len(header) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return nil, fault.New(fault.Unauthenticated, "The Authorization header must be: Bearer ACCESS_TOKEN, or Bearer API_KEY.")
	}
	if strings.HasPrefix(token, keyPrefix) {
		return s.authenticateKey(ctx, token)
	}
	return s.Authenticate(ctx, token)
}

// Refusal is why the credential of this request was refused, nil where it was
// accepted or none was shown.
func Refusal(ctx context.Context) error {
	refused, _ := ctx.Value(refusalKey{}).(refusal)
	return refused.err
}

// Malformed tells that the request itself was refused, whatever it asks for.
func Malformed(ctx context.Context) bool {
	refused, _ := ctx.Value(refusalKey{}).(refusal)
	return refused.whole
}
