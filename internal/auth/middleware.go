package auth

import (
	"context"
	"net/http"
	"strings"

	"github.com/commonhold/commonhold/internal/fault"
)

type refusalKey struct{}

// Middleware finds out who asks. A request without a credential goes on as
// nobody's; one whose credential is refused goes on too, with the Refusal in its
// context, because signIn and refreshSession must work for who holds an old token.
func (s *Service) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Values("Authorization")
		if len(header) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		ctx := r.Context()
		if principal, err := s.fromHeader(ctx, header); err != nil {
			ctx = context.WithValue(ctx, refusalKey{}, err)
		} else {
			ctx = NewContext(ctx, principal)
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// fromHeader reads RFC 6750, section 2.1.
func (s *Service) fromHeader(ctx context.Context, header []string) (*Principal, error) {
	scheme, token, ok := strings.Cut(header[0], " ")
	if len(header) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return nil, fault.New(fault.Unauthenticated, "The Authorization header must be: Bearer ACCESS_TOKEN.")
	}
	return s.Authenticate(ctx, token)
}

// Refusal is why the credential of this request was refused, nil where it was
// accepted or none was shown.
func Refusal(ctx context.Context) error {
	err, _ := ctx.Value(refusalKey{}).(error)
	return err
}
