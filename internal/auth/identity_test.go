package auth

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/controlsql"
	"github.com/commonhold/commonhold/sqlc/tenantsql"
)

// second is another server of the same deployment, on the same database.
func second(t testing.TB, first *Service) (*Service, *pgtest.World) {
	t.Helper()
	w := pgtest.Open(t, 4)
	if !w.DB.Changes().Hearing() {
		t.Fatal("the second server hears nothing")
	}
	return NewService(w.DB, w.Registry, first.tokens, first.passwords, first.ring), w
}

// cost is how often the database was asked while a token was looked at.
func cost(t testing.TB, s *Service, token string) (roundTrips int64, err error) {
	t.Helper()
	ctx, counter := postgres.WithCounter(context.Background())
	_, err = s.Authenticate(ctx, token)
	return counter.RoundTrips(), err
}

// wantFree sees that a token that is known costs nothing.
func wantFree(t testing.TB, s *Service, token string) {
	t.Helper()
	(&pgtest.World{DB: s.db}).Settle(t)
	if _, err := cost(t, s, token); err != nil {
		t.Fatal(err)
	}
	if n, err := cost(t, s, token); n != 0 || err != nil {
		t.Errorf("who is known costs %d round trips, %v", n, err)
	}
}

func TestWhoIsKnownCostsNothing(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	_, _, session := register(t, s)
	if n, err := cost(t, s, session.AccessToken); n == 0 || err != nil {
		t.Errorf("who is not known yet costs %d round trips, %v", n, err)
	}
	wantFree(t, s, session.AccessToken)
	// Refreshing changes nothing of who it is.
	next, err := s.Refresh(context.Background(), session.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := cost(t, s, next.AccessToken); n != 0 || err != nil {
		t.Errorf("the refreshed token costs %d round trips, %v", n, err)
	}
	// All who come at once with it ask once.
	s.db.Changes().Changed(sessionOf(t, s, session).UUID())
	ctx, counter := postgres.WithCounter(context.Background())
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if _, err := s.Authenticate(ctx, session.AccessToken); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := counter.RoundTrips(); n < 1 || n > 2 { // the registry may look again meanwhile
		t.Errorf("50 at once cost %d round trips", n)
	}
}

func sessionOf(t testing.TB, s *Service, held *Session) (session id.Session) {
	t.Helper()
	claims, err := s.tokens.Verify(t.Context(), held.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	if err := session.UnmarshalText([]byte(claims.Session)); err != nil {
		t.Fatal(err)
	}
	return session
}

// revocations are the ways to take a right away: what is done, and what a token from
// before is answered.
func revocations(s *Service, w *pgtest.World) map[string]struct {
	do   func(t testing.TB, home *tenant.Tenant, held *Session)
	want fault.Code
} {
	ctx := context.Background()
	return map[string]struct {
		do   func(t testing.TB, home *tenant.Tenant, held *Session)
		want fault.Code
	}{
		"signing out": {func(t testing.TB, _ *tenant.Tenant, held *Session) {
			t.Helper()
			if err := s.SignOut(ctx, sessionOf(t, s, held)); err != nil {
				t.Error(err)
			}
		}, fault.Unauthenticated},
		"demoting": {func(t testing.TB, home *tenant.Tenant, _ *Session) {
			t.Helper()
			give(t, s, home, RoleViewer, MemberActive)
		}, fault.Unauthenticated},
		"removing": {func(t testing.TB, home *tenant.Tenant, _ *Session) {
			t.Helper()
			give(t, s, home, RoleOwner, MemberRemoved)
		}, fault.Unauthenticated},
		"benching": {func(t testing.TB, home *tenant.Tenant, _ *Session) {
			t.Helper()
			give(t, s, home, RoleOwner, MemberSuspended)
		}, fault.Unauthenticated},
		"suspending": {func(t testing.TB, home *tenant.Tenant, _ *Session) { t.Helper(); suspend(t, w, home) }, fault.TenantSuspended},
		"a theft":    {func(t testing.TB, _ *tenant.Tenant, held *Session) { t.Helper(); steal(t, s, held) }, fault.Unauthenticated},
	}
}

func suspend(t testing.TB, w *pgtest.World, home *tenant.Tenant) {
	t.Helper()
	pgtest.Change(t, w.Registry, home.Slug, tenant.Suspended)
}

// steal uses a refresh token twice, the second time too late.
func steal(t testing.TB, s *Service, held *Session) {
	t.Helper()
	if _, err := s.Refresh(context.Background(), held.RefreshToken); err != nil {
		t.Error(err)
	}
	alter(t, pgtest.Superuser(t), 1, `update control.refresh_tokens set used_at = used_at - interval '11 seconds' where token_hash = $1`, hashOf(t, held.RefreshToken))
	_, err := s.Refresh(context.Background(), held.RefreshToken)
	wantFault(t, "reuse", err, fault.BadCredential, "refreshToken")
}

// A right that is taken away is gone at once on the server that took it, and on another,
// which remembered it, as soon as that has heard: no other time passes here that could
// end it. BENCH.md says how long it takes.
func TestRevocationIsHeard(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	s, _ := newService(t, w)
	other, elsewhere := second(t, s)
	for name, revoke := range revocations(s, w) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, home, held := register(t, s)
			wantFree(t, s, held.AccessToken)
			wantFree(t, other, held.AccessToken)
			revoke.do(t, home, held)
			committed := time.Now()
			if _, err := s.Authenticate(context.Background(), held.AccessToken); !fault.Is(err, revoke.want) {
				t.Errorf("on the server itself: %v, want %s at once", err, revoke.want)
			}
			elsewhere.Settle(t)
			if _, err := other.Authenticate(context.Background(), held.AccessToken); !fault.Is(err, revoke.want) {
				t.Errorf("on the other server: %v, want %s as soon as it has heard", err, revoke.want)
			}
			t.Logf("refused by the other server after %s", time.Since(committed).Round(10*time.Microsecond))
		})
	}
}

// tellNobody is what happens on a server whose notification is lost: the row changes,
// and nobody says so.
var tellNobody = map[string]struct {
	sql  string
	want fault.Code
}{
	"signing out": {`update control.sessions set revoked_at = now(), revoked_why = 'lost' where tenant_id = $1`, fault.Unauthenticated},
	"its time":    {`update control.sessions set expires_at = now() where tenant_id = $1`, fault.Unauthenticated},
	"demoting":    {`update control.memberships set role = 'VIEWER', epoch = epoch + 1 where tenant_id = $1`, fault.Unauthenticated},
	"removing":    {`update control.memberships set status = 'REMOVED', epoch = epoch + 1 where tenant_id = $1`, fault.Unauthenticated},
}

// Where a notification is lost, what is remembered ends by its age.
func TestALostNotificationIsMadeUpFor(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	for name, lost := range tellNobody {
		_, home, held := register(t, s)
		var ahead atomic.Int64
		s.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		wantFree(t, s, held.AccessToken)
		known := time.Now()
		alter(t, conn, 1, lost.sql, home.ID)
		// What the test is for: that it is remembered is why it has to end.
		if _, err := s.Authenticate(context.Background(), held.AccessToken); err != nil && time.Since(known) < 10*time.Second {
			t.Errorf("%s: nobody said so, and it was known: %v", name, err)
		}
		ahead.Store(int64(15 * time.Second))
		if _, err := s.Authenticate(context.Background(), held.AccessToken); !fault.Is(err, lost.want) {
			t.Errorf("%s: after 15 seconds: %v, want %s", name, err, lost.want)
		}
		s.now = time.Now
	}
}

// A server that cannot hear asks at each request; once it hears again it has forgotten
// what it missed.
func TestADeafServerAsks(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	other, w := second(t, s)
	conn := pgtest.Superuser(t)
	for name, lost := range tellNobody {
		_, home, held := register(t, s)
		wantFree(t, other, held.AccessToken)
		w.DB.Changes().Deafen()
		for range 3 {
			if n, err := cost(t, other, held.AccessToken); n != 1 || err != nil {
				t.Errorf("%s: deaf, it cost %d round trips, %v", name, n, err)
			}
		}
		alter(t, conn, 1, lost.sql, home.ID)
		if _, err := other.Authenticate(context.Background(), held.AccessToken); !fault.Is(err, lost.want) {
			t.Errorf("%s: deaf: %v, want %s", name, err, lost.want)
		}
		w.DB.Changes().Hear()
	}
	_, home, held := register(t, s)
	wantFree(t, other, held.AccessToken)
	w.DB.Changes().Deafen()
	alter(t, conn, 1, tellNobody["removing"].sql, home.ID)
	w.DB.Changes().Hear()
	if _, err := other.Authenticate(context.Background(), held.AccessToken); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("it hears again, and believes what it missed: %v", err)
	}
}

// line is a way to the database that can be cut.
type line struct {
	mu     sync.Mutex
	broken bool
	ends   []net.Conn
}

func (l *line) pass(client, server *net.UnixConn) {
	l.mu.Lock()
	broken := l.broken
	if !broken {
		l.ends = append(l.ends, client, server)
	}
	l.mu.Unlock()
	if broken {
		return
	}
	go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
	_, _ = io.Copy(client, server)
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	for _, end := range l.ends {
		_ = end.Close()
	}
	l.ends = nil
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = false
}

// The connection that hears is cut, and what happens meanwhile is known all the same.
func TestRevocationWhileTheListenerIsCut(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	s, _ := newService(t, w)
	line, direct := new(line), pgtest.URL(t, "commonhold_control")
	through := pgtest.Between(t, direct, line.pass)
	db, err := postgres.Open(context.Background(), postgres.Config{
		AppURL: pgtest.URL(t, "commonhold_app"), ControlURL: direct, ListenURL: through(direct), MaxConns: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	other := NewService(db, control.NewRegistry(db), s.tokens, s.passwords, s.ring)
	for name, revoke := range revocations(s, w) {
		_, home, held := register(t, s)
		until(t, "it hears", db.Changes().Hearing)
		wantFree(t, other, held.AccessToken)
		line.cut()
		until(t, "it has noticed", func() bool { return !db.Changes().Hearing() })
		revoke.do(t, home, held)
		if _, err := other.Authenticate(context.Background(), held.AccessToken); revoke.want == fault.Unauthenticated && !fault.Is(err, revoke.want) {
			t.Errorf("%s: deaf: %v, want %s at once", name, err, revoke.want)
		}
		line.mend()
		until(t, "it hears again", db.Changes().Hearing)
		if _, err := other.Authenticate(context.Background(), held.AccessToken); !fault.Is(err, revoke.want) {
			t.Errorf("%s: it hears again: %v, want %s", name, err, revoke.want)
		}
	}
}

// A token that another server issued for a role of this moment is good here, where the
// role of before is remembered.
func TestAYoungerTokenIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	_, home, held := register(t, s)
	wantFree(t, s, held.AccessToken)
	alter(t, pgtest.Superuser(t), 1, `update control.memberships set role = 'VIEWER', epoch = epoch + 1 where tenant_id = $1`, home.ID) // and nobody tells
	younger, err := s.Refresh(context.Background(), held.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	who, err := s.Authenticate(context.Background(), younger.AccessToken)
	if err != nil || who.Role != RoleViewer {
		t.Errorf("the younger token: %+v, %v", who, err)
	}
	_, err = s.Authenticate(context.Background(), held.AccessToken)
	wantFault(t, "the older token", err, fault.Unauthenticated, "")
	// Nobody has a token of an epoch that has not come.
	claims, err := s.tokens.Verify(t.Context(), younger.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	claims.Epoch++
	forged, _, err := s.tokens.Issue(claims)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Authenticate(context.Background(), forged)
	wantFault(t, "a token of an epoch to come", err, fault.Unauthenticated, "")
}

// When a session was used last is noted, once a minute and without a write for every
// request.
func TestLastUseIsNoted(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	_, home, held := register(t, s)
	conn := pgtest.Superuser(t)
	used := func() (at time.Time) {
		if err := conn.QueryRow(context.Background(), `select last_used_at from control.sessions where tenant_id = $1`, home.ID).Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	begun := used()
	if n, err := cost(t, s, held.AccessToken); n > 2 || err != nil || !used().Equal(begun) {
		t.Errorf("a young session: %d round trips, %v, used %s", n, err, used())
	}
	session := sessionOf(t, s, held).UUID()
	alter(t, conn, 1, `update control.sessions set last_used_at = now() - interval '61 seconds' where id = $1`, session)
	wantFree(t, s, held.AccessToken)
	s.db.Changes().Changed(session)
	if _, err := s.Authenticate(context.Background(), held.AccessToken); err != nil || time.Since(used()) > 30*time.Second {
		t.Errorf("after a minute: %v, used %s", err, used())
	}
	// Who holds the row is not waited for.
	alter(t, conn, 1, `update control.sessions set last_used_at = now() - interval '61 seconds' where id = $1`, session)
	tx, err := conn.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	alter(t, conn, 1, `update control.sessions set revoked_why = revoked_why where id = $1`, session)
	s.db.Changes().Changed(session)
	if err := s.db.Control().TouchSession(context.Background(), controlsql.TouchSessionParams{ID: sessionOf(t, s, held)}); err != nil {
		t.Errorf("noting waits for who holds the session: %v", err) // until a lock is given up, after three seconds
	}
	if _, err := s.Authenticate(context.Background(), held.AccessToken); err != nil {
		t.Errorf("while somebody holds the session: %v", err)
	}
	if err := tx.Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// Every credential in every status of a tenant, here and on a server that remembers
// the tenant as it was.
func TestEveryCredentialInEveryStatus(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	s, _ := newService(t, w)
	other, elsewhere := second(t, s)
	conn := pgtest.Superuser(t)
	ctx := context.Background()
	for _, status := range []tenant.Status{"PROVISIONING", "ACTIVE", "READ_ONLY", "SUSPENDED", "OFFBOARDING", "ERASED"} {
		for _, told := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, told: %t", status, told), func(t *testing.T) {
				r, home, held := register(t, s)
				for _, server := range []*Service{s, other} {
					wantFree(t, server, held.AccessToken)
				}
				var code fault.Code
				var written fault.Code // what a write of the tenant's data is answered
				door := "OPEN"
				switch status {
				case tenant.Active:
				case tenant.ReadOnly:
					written, door = fault.TenantReadOnly, "READ_ONLY"
				default:
					code, written, door = fault.TenantSuspended, fault.TenantSuspended, "CLOSED"
				}
				alter(t, conn, 1, `update control.tenants set status = $2 where id = $1`, home.ID, string(status))
				alter(t, conn, 1, `update gate.tenant_doors set status = $2 where tenant_id = $1`, home.ID, door)
				if told {
					err := w.DB.InControlTx(ctx, func(q *controlsql.Queries) error {
						return q.NotifyChanged(ctx, controlsql.NotifyChangedParams{Kind: "tenant", ID: home.ID.UUID().String()})
					})
					if err != nil {
						t.Fatal(err)
					}
					until(t, "the other server has heard", func() bool {
						_, err := other.Authenticate(ctx, held.AccessToken)
						return fault.CodeOf(err) == code
					})
				}
				for name, server := range map[string]struct {
					*Service
					*pgtest.World
				}{"here": {s, w}, "elsewhere": {other, elsewhere}} {
					// The token: where nobody told it may still name who asks, but opens no door.
					_, err := server.Authenticate(ctx, held.AccessToken)
					if told && fault.CodeOf(err) != code || !told && err != nil && fault.CodeOf(err) != code {
						t.Errorf("%s, the access token: %v, want %q", name, err, code)
					}
					_, err = server.DB.Home(home.ID).Read().CountProducts(ctx, tenantsql.CountProductsParams{TenantID: home.ID})
					if fault.CodeOf(err) != code {
						t.Errorf("%s, the tenant's data: %v, want %q", name, err, code)
					}
					err = server.DB.Home(home.ID).InTx(ctx, func(q *tenantsql.Queries) error {
						_, err := q.CreateCategory(ctx, tenantsql.CreateCategoryParams{TenantID: home.ID, ID: id.NewCategory(), Name: id.New().String(), CreatedBy: id.NewUser()})
						return err
					})
					if fault.CodeOf(err) != written {
						t.Errorf("%s, writing: %v, want %q", name, err, written)
					}
					_, err = server.DB.Account(home.ID).Read().CountMembers(ctx, accountsql.CountMembersParams{TenantID: home.ID})
					if fault.CodeOf(err) != code {
						t.Errorf("%s, the tenant's people: %v, want %q", name, err, code)
					}
					// The door was refused, and the server looked again.
					if _, err := server.Authenticate(ctx, held.AccessToken); fault.CodeOf(err) != code {
						t.Errorf("%s, the access token after a refused door: %v, want %q", name, err, code)
					}
					next, err := server.Refresh(ctx, held.RefreshToken)
					if code == "" && (err != nil || next == nil) {
						t.Errorf("%s, the refresh token: %v", name, err)
					} else if code != "" {
						wantFault(t, name+", the refresh token", err, code, "refreshToken")
					}
					_, _, err = server.SignIn(ctx, home.Slug, r.Email, r.Password)
					if code == "" && err != nil {
						t.Errorf("%s, the password: %v", name, err)
					} else if code != "" {
						wantFault(t, name+", the password", err, code, "tenant")
					}
					if _, err := server.Authenticate(ctx, ""); !fault.Is(err, fault.Unauthenticated) {
						t.Errorf("%s, no credential: %v", name, err)
					}
				}
			})
		}
	}
}

// How a server reads the host of a request.
func TestReadHost(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]string{
		"": "", "acme.example.com": "acme.example.com", "ACME.Example.COM": "acme.example.com", "acme.example.com.": "acme.example.com",
		"acme.example.com:8080": "acme.example.com", "acme.example.com.:80": "acme.example.com", "acme.example.com:": "acme.example.com",
		"localhost:1": "localhost", "127.0.0.1:80": "127.0.0.1", "[::1]": "::1", "[::1]:8080": "::1", "[2001:DB8::1]:1": "2001:db8::1",
		"xn--mnchen-3ya.example.com": "xn--mnchen-3ya.example.com", "a_b.example.com": "a_b.example.com",
		"acme..example.com": "!", ".example.com": "!", "acme.example.com..": "!", "user@acme.example.com": "!", "acme.example.com:80:80": "!", "acme.example.com:x": "!",
		"acme.example.com:-1": "!", "acme.example.com:65536": "!", ":80": "!", "::1": "!", "[::1": "!", "::1]": "!", "[::1]x": "!", "x[::1]": "!", "[127.0.0.1]": "!", "[]": "!", "[acme]": "!",
		"acme.example.com/": "!", "acme.example.com evil": "!", "acme\x00.example.com": "!", "%61cme.example.com": "!", "münchen.example.com": "!", "acme\u3002example.com": "!",
		"-acme.example.com": "!", "acme-.example.com": "!", ".": "!", "..": "!", strings.Repeat("a.", 130) + "com": "!", "acme,evil.example.com": "!", "\u212a.example.com": "!", // the kelvin sign
	} {
		host, ok := readHost(field)
		if got := host; !ok && want != "!" || ok && (want == "!" || got != want) {
			t.Errorf("%q is read as %q, %t, want %q", field, host, ok, want)
		}
	}
}

func TestBaseDomains(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	for _, good := range []string{"", "example.com", "localhost", "apps.example.co.uk"} {
		if err := s.SetBaseDomain(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{".example.com", "example.com.", "Example.com", "*.example.com", "https://example.com", "example.com:443", "127.0.0.1", "[::1]", "münchen.example"} {
		if err := s.SetBaseDomain(bad); !fault.Is(err, fault.Config) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
