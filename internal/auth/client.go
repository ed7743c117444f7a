package auth

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/text"
)

const (
	// refreshCookie holds a refresh token where no script reads it. A browser takes a
	// name of this prefix only with Secure, for this very host and all of its paths
	// (RFC 6265bis, section 4.1.3.2): neither a name above nor one beside can set it.
	refreshCookie = "__Host-commonhold-refresh"

	maxUserAgent = 200 // characters that are kept of what a client calls itself
)

type clientKey struct{}

// client is what a request says of who sends it, and where an answer leaves a cookie.
// Nothing of it is believed.
type client struct {
	userAgent *string
	network   string   // where attempts are counted, "" for none
	own       bool     // of a page of this very origin, or of no browser
	tokens    []string // of the cookie, where own
	answer    http.Header
}

// readClient looks at a request once. A cookie counts only in a POST that a page of
// this origin sent: those whom the operator lets call from elsewhere have tokens of
// their own.
func (s *Service) readClient(w http.ResponseWriter, r *http.Request) *client {
	c := &client{userAgent: readUserAgent(r.UserAgent()), network: s.networkOf(r), answer: w.Header()}
	if c.own = ownPage(r); c.own {
		for _, cookie := range r.CookiesNamed(refreshCookie) {
			c.tokens = append(c.tokens, cookie.Value)
		}
	}
	return c
}

// ownPage tells whether a page of this very origin sent a POST, or no browser at all.
func ownPage(r *http.Request) bool {
	if r.Method != http.MethodPost || http.NewCrossOriginProtection().Check(r) != nil {
		return false
	}
	origin := r.Header.Get("Origin") // which the check does not read where it finds Sec-Fetch-Site
	u, err := url.Parse(origin)
	return origin == "" || err == nil && u.Host == r.Host
}

// readUserAgent is what a client calls itself, nil for nothing that can be shown.
func readUserAgent(header string) *string {
	header = strings.ToValidUTF8(header, "")
	if runes := []rune(header); len(runes) > maxUserAgent {
		header = string(runes[:maxUserAgent])
	}
	name, err := text.Line("The user agent", header, 1, maxUserAgent)
	if err != nil {
		return nil
	}
	return &name
}

func clientOf(ctx context.Context) *client {
	if c, ok := ctx.Value(clientKey{}).(*client); ok {
		return c
	}
	return &client{}
}

// MayKeepCookie tells whether an answer to this request can leave a refresh token in a
// cookie.
//
// Errors: fault.BadRequest for a page of another origin, which would never get it back.
func MayKeepCookie(ctx context.Context) error {
	if c := clientOf(ctx); c.own && c.answer != nil {
		return nil
	}
	return fault.New(fault.BadRequest, "Only a page that this server's own host serves can keep its refresh token in a cookie. Leave keepRefreshTokenInCookie out, and keep the token that is in the answer.")
}

// KeepInCookie leaves the refresh token of a session in a cookie, and not in the answer.
func KeepInCookie(ctx context.Context, session *Session) {
	c := clientOf(ctx)
	if session == nil || c.answer == nil {
		return
	}
	c.setCookie(session.RefreshToken, sessionIdle)
	session.RefreshToken = ""
}

// DropCookie takes the cookie from a browser that has one.
func DropCookie(ctx context.Context) {
	if c := clientOf(ctx); len(c.tokens) > 0 {
		c.setCookie("", 0)
	}
}

func (c *client) setCookie(token string, age time.Duration) {
	cookie := &http.Cookie{
		Name: refreshCookie, Value: token, Path: "/", MaxAge: int(age.Seconds()),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	if token == "" {
		cookie.MaxAge = -1 // which is written as Max-Age=0
	}
	c.answer.Add("Set-Cookie", cookie.String())
}

// RefreshFromCookie is Refresh for the token that a browser keeps in its cookie, where
// its successor takes its place.
//
// Errors: as Refresh; without a cookie, or with two, as for a token that is not valid.
func (s *Service) RefreshFromCookie(ctx context.Context) (*Session, error) {
	token := ""
	if c := clientOf(ctx); len(c.tokens) == 1 {
		token = c.tokens[0]
	}
	session, err := s.Refresh(ctx, token)
	KeepInCookie(ctx, session)
	return session, err
}

// InBody is the refresh token that an answer shows, nil for one that is in a cookie.
func (s *Session) InBody() *string {
	if s.RefreshToken == "" {
		return nil
	}
	return &s.RefreshToken
}
