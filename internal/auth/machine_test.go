package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/accountsql"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// by is a context in which the person of a session asks.
func by(t testing.TB, s *Service, held *Session) context.Context {
	t.Helper()
	p, err := s.Authenticate(context.Background(), held.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	return NewContext(context.Background(), p)
}

var reading = []Permission{PermissionProductsRead}

// newKey makes a key of a tenant's owner.
func newKey(t testing.TB, s *Service, held *Session, scopes ...Permission) (*accountsql.ApiKey, string) {
	t.Helper()
	if scopes == nil {
		scopes = reading
	}
	made, shown, err := s.CreateAPIKey(by(t, s, held), NewKey{Name: "Import", Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	return made, shown
}

// show presents a key, as the middleware does, and counts.
func show(s *Service, shown string) (p *Principal, statements int64, err error) {
	ctx, counter := postgres.WithCounter(context.Background())
	p, err = s.fromHeader(ctx, []string{"Bearer " + shown})
	return p, counter.Statements(), err
}

// wantKnown sees that a key is good and costs nothing from here on.
func wantKnown(t testing.TB, s *Service, shown string) {
	t.Helper()
	(&pgtest.World{DB: s.db}).Settle(t)
	if _, _, err := show(s, shown); err != nil {
		t.Fatal(err)
	}
	if _, n, err := show(s, shown); n != 0 || err != nil {
		t.Errorf("a key that is known costs %d statements, %v", n, err)
	}
}

// parts are what a key is made of.
func parts(t testing.TB, shown string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(shown, keyPrefix))
	if err != nil || len(raw) != shownBytes {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	return raw
}

func spell(raw []byte) string { return keyPrefix + base64.RawURLEncoding.EncodeToString(raw) }

// swapped is a key with n of its bytes from another one.
func swapped(t testing.TB, shown, other string, from, to int) string {
	t.Helper()
	raw := parts(t, shown)
	copy(raw[from:to], parts(t, other)[from:to])
	return spell(raw)
}

// misspellings are other texts for what a key says, none of which may be read.
func misspellings(shown string) map[string]string {
	encoded := strings.TrimPrefix(shown, keyPrefix)
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", shown[len(shown)-1])
	return map[string]string{
		"another prefix":                "chr_" + encoded,
		"a prefix in capitals":          "CHK_" + encoded,
		"no prefix":                     encoded,
		"the prefix twice":              keyPrefix + shown,
		"the prefix alone":              keyPrefix,
		"cut short":                     shown[:len(shown)-1],
		"cut short by a byte":           shown[:len(shown)-4],
		"one character more":            shown + "A",
		"a byte more":                   shown + "AA",
		"in capitals":                   keyPrefix + strings.ToUpper(encoded),
		"in small letters":              keyPrefix + strings.ToLower(encoded),
		"padded":                        shown + "==",
		"a line break behind it":        shown + "\n",
		"a line break within":           shown[:40] + "\r\n" + shown[40:],
		"a line break for a character":  shown[:len(shown)-1] + "\n",
		"a space before it":             " " + shown,
		"a space behind it":             shown + " ",
		"a tab within":                  shown[:40] + "\t" + shown[40:],
		"percent-encoded":               "chk%5F" + encoded,
		"a percent-encoded character":   shown[:len(shown)-1] + fmt.Sprintf("%%%02X", shown[len(shown)-1]),
		"quoted":                        `"` + shown + `"`,
		"NUL behind it":                 shown + "\x00",
		"bits left over at the end":     shown[:len(shown)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last|1]),
		"the other alphabet's plus":     strings.Replace(shown, "A", "+", 1) + "",
		"a letter that looks the same":  shown[:20] + "а" + shown[22:],
		"two of them":                   shown + "," + shown,
		"ten thousand characters":       keyPrefix + strings.Repeat("A", 10_000),
		"hexadecimal":                   keyPrefix + strings.Repeat("0", 128),
		"an access token's three parts": keyPrefix + "a.b.c",
	}
}

// A key has one spelling, and every bit of it counts.
func TestSpellingOfKeys(t *testing.T) {
	t.Parallel()
	for range 200 {
		home, key := tenant.NewID(), id.NewAPIKey()
		shown, hash := mintKey(home, key)
		read, ok := parseKey(shown)
		if !ok || read.tenant != home || read.key != key || !slices.Equal(read.hash[:], hash) {
			t.Fatalf("%s is read as %+v, %t", shown, read, ok)
		}
		for what, text := range misspellings(shown) {
			if other, ok := parseKey(text); ok && other == read {
				t.Errorf("%s: %q is read as %s", what, text, shown)
			} else if ok && !strings.Contains(what, "capitals") && !strings.Contains(what, "small letters") { // another key, then
				t.Errorf("%s: %q is read at all", what, text)
			}
		}
		raw := parts(t, shown)
		for bit := range 8 * len(raw) {
			raw[bit/8] ^= 1 << (bit % 8)
			if other, ok := parseKey(spell(raw)); !ok || other == read {
				t.Fatalf("bit %d does not count", bit)
			}
			raw[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// badKeys are keys that were good or could be, and are refused: how each comes to be of a
// key that is shown, of the tenant that is home.
var badKeys = map[string]func(t testing.TB, s *Service, conn *pgx.Conn, home *tenant.Tenant, held *Session, made *accountsql.ApiKey, shown, other string) string{
	"of nobody": func(_ testing.TB, _ *Service, _ *pgx.Conn, home *tenant.Tenant, _ *Session, _ *accountsql.ApiKey, _, _ string) string {
		never, _ := mintKey(home.ID, id.NewAPIKey())
		return never
	},
	"of no tenant": func(testing.TB, *Service, *pgx.Conn, *tenant.Tenant, *Session, *accountsql.ApiKey, string, string) string {
		never, _ := mintKey(tenant.NewID(), id.NewAPIKey())
		return never
	},
	"with another tenant's id": func(t testing.TB, _ *Service, _ *pgx.Conn, _ *tenant.Tenant, _ *Session, _ *accountsql.ApiKey, shown, other string) string {
		return swapped(t, shown, other, 0, 16)
	},
	"with another key's id": func(t testing.TB, _ *Service, _ *pgx.Conn, _ *tenant.Tenant, _ *Session, _ *accountsql.ApiKey, shown, other string) string {
		return swapped(t, shown, other, 16, 32)
	},
	"of another tenant, with this one's id": func(t testing.TB, _ *Service, _ *pgx.Conn, _ *tenant.Tenant, _ *Session, _ *accountsql.ApiKey, shown, other string) string {
		return swapped(t, other, shown, 0, 16)
	},
	"with another key's secret": func(t testing.TB, _ *Service, _ *pgx.Conn, _ *tenant.Tenant, _ *Session, _ *accountsql.ApiKey, shown, other string) string {
		return swapped(t, shown, other, 32, shownBytes)
	},
	"of zeros": func(testing.TB, *Service, *pgx.Conn, *tenant.Tenant, *Session, *accountsql.ApiKey, string, string) string {
		return spell(make([]byte, shownBytes))
	},
	"revoked": func(t testing.TB, s *Service, _ *pgx.Conn, _ *tenant.Tenant, held *Session, made *accountsql.ApiKey, shown, _ string) string {
		if _, err := s.RevokeAPIKey(by(t, s, held), made.ID); err != nil {
			t.Fatal(err)
		}
		return shown
	},
	"expired": func(t testing.TB, s *Service, conn *pgx.Conn, _ *tenant.Tenant, _ *Session, made *accountsql.ApiKey, shown, _ string) string {
		alter(t, conn, 1, `update control.api_keys set expires_at = now() where id = $1`, made.ID)
		forget(t, s, made)
		return shown
	},
	"rotated, without an overlap": func(t testing.TB, s *Service, _ *pgx.Conn, _ *tenant.Tenant, held *Session, made *accountsql.ApiKey, shown, _ string) string {
		if _, _, err := s.RotateAPIKey(by(t, s, held), made.ID, 0); err != nil {
			t.Fatal(err)
		}
		return shown
	},
	"rotated, past the overlap": func(t testing.TB, s *Service, conn *pgx.Conn, _ *tenant.Tenant, held *Session, made *accountsql.ApiKey, shown, _ string) string {
		if _, _, err := s.RotateAPIKey(by(t, s, held), made.ID, time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, _, err := show(s, shown); err != nil {
			t.Errorf("within the overlap: %v", err)
		}
		alter(t, conn, 1, `update control.api_keys set expires_at = expires_at - interval '1 hour' where id = $1`, made.ID)
		forget(t, s, made)
		return shown
	},
	"of who was removed": func(t testing.TB, s *Service, _ *pgx.Conn, home *tenant.Tenant, _ *Session, _ *accountsql.ApiKey, shown, _ string) string {
		give(t, s, home, RoleOwner, MemberRemoved)
		return shown
	},
	"of who is kept out": func(t testing.TB, s *Service, _ *pgx.Conn, home *tenant.Tenant, _ *Session, _ *accountsql.ApiKey, shown, _ string) string {
		give(t, s, home, RoleOwner, MemberSuspended)
		return shown
	},
}

// forget is what a change by hand leaves out.
func forget(t testing.TB, s *Service, made *accountsql.ApiKey) {
	t.Helper()
	err := s.db.InControlTx(context.Background(), func(q *controlsql.Queries) error {
		return q.NotifyChanged(context.Background(), controlsql.NotifyChangedParams{Kind: "api_key", ID: made.ID.UUID().String()})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What is refused is refused in the same words after the same work, whether there is such
// a key or not, and whether the server remembered it or not.
func TestRefusedKeysAreAlike(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	_, _, theirs := register(t, s)
	_, other := newKey(t, s, theirs)
	for what, spoil := range badKeys {
		for _, known := range []bool{true, false} {
			_, home, held := register(t, s)
			made, shown := newKey(t, s, held)
			if known {
				wantKnown(t, s, shown)
			}
			bad := spoil(t, s, conn, home, held, made, shown, other)
			(&pgtest.World{DB: s.db}).Settle(t)
			for range 3 {
				p, n, err := show(s, bad)
				coded, _ := err.(*fault.Error) //nolint:errorlint // what is shown is the outermost one
				if p != nil || coded == nil || coded.Code != fault.Unauthenticated || coded.Message != noKey("").Message || coded.Field != nil {
					t.Errorf("%s, known: %t: %v, %v", what, known, p, err)
				}
				if n != 1 {
					t.Errorf("%s, known: %t: refused after %d statements, want 1 whatever is wrong", what, known, n)
				}
			}
		}
	}
}

func TestAKnownKeyCostsNothing(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	_, _, held := register(t, s)
	made, shown := newKey(t, s, held)
	if _, n, err := show(s, shown); n == 0 || err != nil {
		t.Errorf("a key that is not known yet costs %d statements, %v", n, err)
	}
	wantKnown(t, s, shown)
	// All who come at once with it ask once.
	s.db.Changes().Changed(made.ID.UUID())
	ctx, counter := postgres.WithCounter(context.Background())
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if _, err := s.fromHeader(ctx, []string{"Bearer " + shown}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := counter.Statements(); n < 1 || n > 2 { // the registry may look again meanwhile
		t.Errorf("50 at once cost %d statements", n)
	}
}

// keyLosses are the ways in which a key loses what it could: what is done, and how the key
// is answered then; "" where it is good and may less.
func keyLosses(s *Service, w *pgtest.World) map[string]struct {
	do   func(t testing.TB, home *tenant.Tenant, held *Session, made *accountsql.ApiKey)
	want fault.Code
} {
	type loss = struct {
		do   func(t testing.TB, home *tenant.Tenant, held *Session, made *accountsql.ApiKey)
		want fault.Code
	}
	return map[string]loss{
		"revoking": {func(t testing.TB, _ *tenant.Tenant, held *Session, made *accountsql.ApiKey) {
			t.Helper()
			if _, err := s.RevokeAPIKey(by(t, s, held), made.ID); err != nil {
				t.Error(err)
			}
		}, fault.Unauthenticated},
		"rotating": {func(t testing.TB, _ *tenant.Tenant, held *Session, made *accountsql.ApiKey) {
			t.Helper()
			if _, _, err := s.RotateAPIKey(by(t, s, held), made.ID, 0); err != nil {
				t.Error(err)
			}
		}, fault.Unauthenticated},
		"removing": {func(t testing.TB, home *tenant.Tenant, _ *Session, _ *accountsql.ApiKey) {
			t.Helper()
			give(t, s, home, RoleOwner, MemberRemoved)
		}, fault.Unauthenticated},
		"keeping out": {func(t testing.TB, home *tenant.Tenant, _ *Session, _ *accountsql.ApiKey) {
			t.Helper()
			give(t, s, home, RoleOwner, MemberSuspended)
		}, fault.Unauthenticated},
		"demoting": {func(t testing.TB, home *tenant.Tenant, _ *Session, _ *accountsql.ApiKey) {
			t.Helper()
			give(t, s, home, RoleViewer, MemberActive)
		}, ""},
		"suspending": {func(t testing.TB, home *tenant.Tenant, _ *Session, _ *accountsql.ApiKey) {
			t.Helper()
			suspend(t, w, home)
		}, fault.TenantSuspended},
	}
}

// What is taken from a key is gone at once on the server that took it, and on another as
// soon as that has heard.
func TestRevocationOfKeysIsHeard(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	s, _ := newService(t, w)
	other, elsewhere := second(t, s)
	for name, loss := range keyLosses(s, w) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, home, held := register(t, s)
			made, shown := newKey(t, s, held, PermissionProductsRead, PermissionProductsWrite)
			wantKnown(t, s, shown)
			wantKnown(t, other, shown)
			loss.do(t, home, held, made)
			see := func(where string, server *Service) {
				p, _, err := show(server, shown)
				if loss.want != "" && !fault.Is(err, loss.want) {
					t.Errorf("%s: %v, want %s", where, err, loss.want)
				}
				if loss.want == "" && (err != nil || p.Can(PermissionProductsWrite) || !p.Can(PermissionProductsRead)) {
					t.Errorf("%s: %v, %v", where, p, err)
				}
			}
			see("on the server itself", s)
			elsewhere.Settle(t)
			see("on the other server", other)
		})
	}
}

// Where a notification is lost, what is remembered of a key ends by its age; and a key
// that expires is refused at its time, remembered or not.
func TestKeysAreNotRememberedForLong(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	for name, sql := range map[string]string{
		"revoked": `update control.api_keys set revoked_at = now() where tenant_id = $1`,
		"removed": `update control.memberships set status = 'REMOVED', epoch = epoch + 1 where tenant_id = $1`,
	} {
		_, home, held := register(t, s)
		_, shown := newKey(t, s, held)
		var ahead atomic.Int64
		s.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		wantKnown(t, s, shown)
		alter(t, conn, 1, sql, home.ID)
		ahead.Store(int64(15 * time.Second))
		if _, _, err := show(s, shown); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: after 15 seconds: %v", name, err)
		}
		s.now = time.Now
	}
	_, home, held := register(t, s)
	soon, shown, err := s.CreateAPIKey(by(t, s, held), NewKey{Name: "Soon", Scopes: reading, ExpiresAt: new(time.Now().Add(time.Hour))})
	if err != nil {
		t.Fatal(err)
	}
	wantKnown(t, s, shown)
	alter(t, conn, 1, `update control.api_keys set expires_at = now() where tenant_id = $1`, home.ID) // the hour is over, and nobody tells
	over := soon.ExpiresAt
	s.now = func() time.Time { return over }
	if _, n, err := show(s, shown); !fault.Is(err, fault.Unauthenticated) || n != 1 {
		t.Errorf("at its end: %v after %d statements", err, n)
	}
	s.now = time.Now
}

// A server that cannot hear asks of each key and of its member.
func TestADeafServerAsksOfKeys(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	other, w := second(t, s)
	_, home, held := register(t, s)
	_, shown := newKey(t, s, held, PermissionProductsRead, PermissionProductsWrite)
	wantKnown(t, other, shown)
	w.DB.Changes().Deafen()
	for range 3 {
		if _, n, err := show(other, shown); n != 2 || err != nil {
			t.Errorf("deaf, it cost %d statements, %v", n, err)
		}
	}
	alter(t, pgtest.Superuser(t), 1, `update control.memberships set role = 'VIEWER', epoch = epoch + 1 where tenant_id = $1`, home.ID)
	if p, _, err := show(other, shown); err != nil || p.Can(PermissionProductsWrite) {
		t.Errorf("deaf, the role of before: %v, %v", p, err)
	}
}

// Every state of a key in every status of its tenant.
func TestEveryKeyInEveryStatus(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	_, _, theirs := register(t, s)
	_, other := newKey(t, s, theirs)
	for _, status := range []tenant.Status{"PROVISIONING", "ACTIVE", "SUSPENDED", "OFFBOARDING", "ERASED"} {
		for state := range badKeys {
			_, home, held := register(t, s)
			made, good := newKey(t, s, held)
			wantKnown(t, s, good)
			bad := badKeys[state](t, s, conn, home, held, made, good, other)
			left, shown := (*accountsql.ApiKey)(nil), good
			if !strings.HasPrefix(state, "of who ") { // else there is nobody to make another
				left, shown = newKey(t, s, held)
				wantKnown(t, s, shown)
			}
			alter(t, conn, 1, `update control.tenants set status = $2 where id = $1`, home.ID, string(status))
			err := s.db.InControlTx(context.Background(), func(q *controlsql.Queries) error {
				return q.NotifyChanged(context.Background(), controlsql.NotifyChangedParams{Kind: "tenant", ID: home.ID.UUID().String()})
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := show(s, bad); !fault.Is(err, fault.Unauthenticated) {
				t.Errorf("%s, in a tenant that is %s: %v", state, status, err)
			}
			if left == nil {
				continue
			}
			want := fault.TenantSuspended
			if status == tenant.Active {
				want = ""
			}
			if _, _, err := show(s, shown); fault.CodeOf(err) != want {
				t.Errorf("a good key in a tenant that is %s: %v, want %q", status, err, want)
			}
		}
	}
}

// What a key may is what its scopes say, and no more than its member may at the time.
func TestScopesOfKeys(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	_, home, held := register(t, s)
	var all []Permission
	for _, p := range RoleOwner.Permissions() {
		if forKeys(p) {
			all = append(all, p)
		}
	}
	// Every scope there is is stored, each once and in the usual order.
	made, whole := newKey(t, s, held, slices.Concat(all, all)...)
	if diff := cmp.Diff(all, permissions(made.Scopes)); diff != "" {
		t.Error(diff)
	}
	_, narrow := newKey(t, s, held, PermissionOrdersWrite, PermissionProductsRead)
	for _, role := range rolesWeakestFirst {
		give(t, s, home, role, MemberActive)
		for shown, scopes := range map[string][]Permission{whole: all, narrow: {PermissionProductsRead, PermissionOrdersWrite}} {
			p, _, err := show(s, shown)
			if err != nil {
				t.Fatal(err)
			}
			var want []Permission
			for _, scope := range scopes {
				if role.Can(scope) {
					want = append(want, scope)
				}
			}
			if diff := cmp.Diff(want, p.Permissions()); diff != "" {
				t.Errorf("of a member who is %s: %s", role, diff)
			}
			for permission := range allowed {
				_, err := Require(NewContext(context.Background(), p), permission)
				if may := slices.Contains(want, permission); may != (err == nil) || !may && !fault.Is(err, fault.Forbidden) {
					t.Errorf("%s, for a key of a member who is %s: %v", permission, role, err)
				}
			}
		}
	}
	// Nor does the table take what no key may have.
	for permission := range allowed {
		_, err := pgtest.Superuser(t).Exec(context.Background(), `insert into control.api_keys (tenant_id, id, name, ending, scopes, created_by, expires_at)
			select tenant_id, gen_random_uuid(), 'By hand', 'hand', array[$2], created_by, now() from control.api_keys where tenant_id = $1 limit 1`, home.ID, string(permission))
		if ok := err == nil; ok != forKeys(permission) {
			t.Errorf("a key with the scope %s: %v", permission, err)
		}
	}
}

func TestWhatAKeyIsMadeOf(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	r, home, held := register(t, s)
	owner := by(t, s, held)
	email := "admin-" + r.Email
	if _, err := s.AddMember(context.Background(), home.ID, email, goodPassword, "Admin", RoleAdmin); err != nil {
		t.Fatal(err)
	}
	session, _, err := s.SignIn(context.Background(), home.Slug, email, goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	admin := by(t, s, session)
	in := func(d time.Duration) *time.Time { return new(time.Now().Add(d)) }
	const day = 24 * time.Hour
	for what, c := range map[string]struct {
		ctx   context.Context
		key   NewKey
		code  fault.Code
		field string
	}{
		"no name":                        {owner, NewKey{Scopes: reading}, fault.Invalid, "name"},
		"a name of 101 characters":       {owner, NewKey{Name: strings.Repeat("n", 101), Scopes: reading}, fault.Invalid, "name"},
		"a name of two lines":            {owner, NewKey{Name: "a\nb", Scopes: reading}, fault.Invalid, "name"},
		"no scope":                       {owner, NewKey{Name: "n"}, fault.Invalid, "scopes"},
		"members":                        {owner, NewKey{Name: "n", Scopes: []Permission{PermissionProductsRead, PermissionMembersWrite}}, fault.ScopeNotAllowed, "scopes"},
		"keys":                           {owner, NewKey{Name: "n", Scopes: []Permission{PermissionAPIKeysWrite}}, fault.ScopeNotAllowed, "scopes"},
		"the list of keys":               {owner, NewKey{Name: "n", Scopes: []Permission{PermissionAPIKeysRead}}, fault.ScopeNotAllowed, "scopes"},
		"what is no permission":          {owner, NewKey{Name: "n", Scopes: []Permission{"ROOT"}}, fault.ScopeNotAllowed, "scopes"},
		"more than its maker may":        {admin, NewKey{Name: "n", Scopes: []Permission{PermissionTenantWrite}}, fault.ScopeNotAllowed, "scopes"},
		"as much as its maker may":       {owner, NewKey{Name: "n", Scopes: []Permission{PermissionTenantWrite}}, "", ""},
		"an end in the past":             {owner, NewKey{Name: "n", Scopes: reading, ExpiresAt: in(-time.Second)}, fault.Invalid, "expiresAt"},
		"an end after more than a year":  {owner, NewKey{Name: "n", Scopes: reading, ExpiresAt: in(366*day + time.Minute)}, fault.Invalid, "expiresAt"},
		"an end after a year":            {owner, NewKey{Name: "n", Scopes: reading, ExpiresAt: in(366*day - time.Minute)}, "", ""},
		"an end in a minute":             {owner, NewKey{Name: "n", Scopes: reading, ExpiresAt: in(time.Minute)}, "", ""},
		"an end that no calendar has":    {owner, NewKey{Name: "n", Scopes: reading, ExpiresAt: new(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))}, fault.Invalid, "expiresAt"},
		"nobody":                         {context.Background(), NewKey{Name: "n", Scopes: reading}, fault.Unauthenticated, ""},
		"a name of 100 characters, wide": {owner, NewKey{Name: strings.Repeat("ü", 100), Scopes: reading}, "", ""},
	} {
		made, shown, err := s.CreateAPIKey(c.ctx, c.key)
		if c.code == "" {
			if err != nil || made == nil || made.Ending != shown[len(shown)-4:] {
				t.Errorf("%s: %+v, %v", what, made, err)
			}
			continue
		}
		one, _ := errors.AsType[*fault.Error](err) // among all that is wrong
		if one == nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		wantFault(t, what, one, c.code, c.field)
		if made != nil || shown != "" {
			t.Errorf("%s: refused, and a key came back", what)
		}
	}
	made, _ := newKey(t, s, held)
	if life := made.ExpiresAt.Sub(made.CreatedAt).Round(time.Hour); life != 90*day {
		t.Errorf("a key of which nobody said how long it lives lives %v", life)
	}
	// What is wrong is said all at once.
	_, _, err = s.CreateAPIKey(owner, NewKey{ExpiresAt: in(-time.Hour)})
	if all, ok := err.(interface{ Unwrap() []error }); !ok || len(all.Unwrap()) != 3 { //nolint:errorlint // what it is
		t.Errorf("three mistakes at once: %v", err)
	}
}

func TestRotationOfAPIKeys(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	r, home, held := register(t, s)
	owner := by(t, s, held)
	first, shown, err := s.CreateAPIKey(owner, NewKey{Name: "Till", Scopes: []Permission{PermissionTenantWrite, PermissionOrdersRead}, ExpiresAt: new(time.Now().Add(30 * 24 * time.Hour))})
	if err != nil {
		t.Fatal(err)
	}
	wantKnown(t, s, shown)
	next, after, err := s.RotateAPIKey(owner, first.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if after == shown || next.ID == first.ID || next.Name != first.Name || !slices.Equal(next.Scopes, first.Scopes) || next.CreatedBy != first.CreatedBy ||
		next.ExpiresAt.Sub(next.CreatedAt).Round(time.Minute) != 30*24*time.Hour {
		t.Errorf("rotated: %+v", next)
	}
	for what, one := range map[string]string{"the old key within the overlap": shown, "the new key": after} {
		if _, _, err := show(s, one); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	var left time.Duration
	var replaced id.APIKey
	if err := conn.QueryRow(t.Context(), `select expires_at - now(), replaced_by from control.api_keys where id = $1`, first.ID).Scan(&left, &replaced); err != nil || left > time.Hour || left < 55*time.Minute || replaced != next.ID {
		t.Errorf("of the old key %v is left, replaced by %s: %v", left, replaced, err)
	}
	// Nobody's, another tenant's and what is over are not rotated.
	_, _, theirs := register(t, s)
	foreign, _ := newKey(t, s, theirs)
	revoked, _ := newKey(t, s, held)
	if _, err := s.RevokeAPIKey(owner, revoked.ID); err != nil {
		t.Fatal(err)
	}
	expired, _ := newKey(t, s, held)
	alter(t, conn, 1, `update control.api_keys set expires_at = now() where id = $1`, expired.ID)
	for what, c := range map[string]struct {
		key     id.APIKey
		overlap time.Duration
		code    fault.Code
		field   string
	}{
		"nobody's":               {id.NewAPIKey(), 0, fault.NotFound, "id"},
		"another tenant's":       {foreign.ID, 0, fault.NotFound, "id"},
		"rotated before":         {first.ID, 0, fault.WrongStatus, "id"},
		"revoked":                {revoked.ID, 0, fault.WrongStatus, "id"},
		"expired":                {expired.ID, 0, fault.WrongStatus, "id"},
		"more than seven days":   {next.ID, 7*24*time.Hour + time.Second, fault.Invalid, "overlapSeconds"},
		"an overlap of the past": {next.ID, -time.Second, fault.Invalid, "overlapSeconds"},
	} {
		_, _, err := s.RotateAPIKey(owner, c.key, c.overlap)
		wantFault(t, what, err, c.code, c.field)
	}
	// An admin takes over what an admin may: the new key acts for who rotated.
	email := "admin-" + r.Email
	admin, err := s.AddMember(context.Background(), home.ID, email, goodPassword, "Admin", RoleAdmin)
	if err != nil {
		t.Fatal(err)
	}
	session, _, err := s.SignIn(context.Background(), home.Slug, email, goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = s.RotateAPIKey(by(t, s, session), next.ID, 0)
	wantFault(t, "by somebody who may less than the key", err, fault.ScopeNotAllowed, "id")
	plain, _ := newKey(t, s, held)
	if taken, _, err := s.RotateAPIKey(by(t, s, session), plain.ID, 0); err != nil || taken.CreatedBy != admin {
		t.Errorf("taken over by an admin: %+v, %v", taken, err)
	}
	// The overlap does not make a key live longer than it would.
	if _, _, err := s.RotateAPIKey(owner, next.ID, 7*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	short, _, err := s.CreateAPIKey(owner, NewKey{Name: "Short", Scopes: reading, ExpiresAt: new(time.Now().Add(time.Minute))})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.RotateAPIKey(owner, short.ID, 7*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := count(t, conn, `select count(*) from control.api_keys where id = $1 and expires_at = $2`, short.ID, short.ExpiresAt); n != 1 {
		t.Error("a key that had a minute lives longer because it was rotated")
	}
}

// Of two who rotate one key, one does.
func TestAKeyIsRotatedOnce(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	_, home, held := register(t, s)
	made, _ := newKey(t, s, held)
	var group sync.WaitGroup
	var rotated atomic.Int64
	ctx := by(t, s, held)
	for range 6 {
		group.Go(func() {
			_, _, err := s.RotateAPIKey(ctx, made.ID, time.Hour)
			switch {
			case err == nil:
				rotated.Add(1)
			case !fault.Is(err, fault.WrongStatus):
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := count(t, pgtest.Superuser(t), `select count(*) from control.api_keys where tenant_id = $1`, home.ID); rotated.Load() != 1 || n != 2 {
		t.Errorf("rotated %d times, %d keys", rotated.Load(), n)
	}
}

// However many make keys at once, a tenant has no more than it may.
func TestTheNumberOfKeysIsBounded(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	_, home, held := register(t, s)
	made, _ := newKey(t, s, held)
	alter(t, conn, 97, `insert into control.api_keys (tenant_id, id, name, ending, scopes, created_by, expires_at)
		select tenant_id, gen_random_uuid(), 'Many', 'many', scopes, created_by, expires_at from control.api_keys, generate_series(1, 97) where tenant_id = $1`, home.ID)
	// What opens nothing any more does not count.
	alter(t, conn, 2, `insert into control.api_keys (tenant_id, id, name, ending, scopes, created_by, expires_at, revoked_at)
		select tenant_id, gen_random_uuid(), 'Gone', 'gone', scopes, created_by, case n when 1 then now() else expires_at end, case n when 2 then now() end
		from control.api_keys, generate_series(1, 2) as n where tenant_id = $1 and id = $2`, home.ID, made.ID)
	ctx := by(t, s, held)
	var group sync.WaitGroup
	var added atomic.Int64
	for range 8 {
		group.Go(func() {
			_, _, err := s.CreateAPIKey(ctx, NewKey{Name: "One more", Scopes: reading})
			switch {
			case err == nil:
				added.Add(1)
			case !fault.Is(err, fault.LimitReached):
				t.Error(err)
			}
		})
	}
	group.Wait()
	if added.Load() != 2 {
		t.Errorf("98 keys were there and %d were added, want 2", added.Load())
	}
	_, _, err := s.RotateAPIKey(ctx, made.ID, time.Hour)
	wantFault(t, "one more for a while", err, fault.LimitReached, "")
	if _, _, err := s.RotateAPIKey(ctx, made.ID, 0); err != nil {
		t.Errorf("one for one: %v", err)
	}
}

// The use of a key is noted, at most once a minute.
func TestUseOfKeysIsNoted(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	_, _, held := register(t, s)
	made, shown := newKey(t, s, held)
	used := func() (at *time.Time) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), `select last_used_at from control.api_keys where id = $1`, made.ID).Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	again := func() {
		t.Helper()
		forget(t, s, made)
		if _, _, err := show(s, shown); err != nil {
			t.Fatal(err)
		}
	}
	if used() != nil {
		t.Error("a key was used before anybody showed it")
	}
	if _, _, err := show(s, swapped(t, shown, spell(make([]byte, shownBytes)), 32, shownBytes)); err == nil || used() != nil {
		t.Errorf("a wrong secret: %v, noted at %v", err, used())
	}
	again()
	first := used()
	if first == nil {
		t.Fatal("the use was not noted")
	}
	again()
	if now := used(); !now.Equal(*first) {
		t.Error("noted again within the minute")
	}
	alter(t, conn, 1, `update control.api_keys set last_used_at = last_used_at - interval '61 seconds' where id = $1`, made.ID)
	again()
	if now := used(); now.Before(*first) {
		t.Error("not noted after a minute")
	}
	// Nobody waits for who holds the row.
	alter(t, conn, 1, `update control.api_keys set last_used_at = null where id = $1`, made.ID)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) //nolint:errcheck // nothing was done
	alter(t, conn, 1, `update control.api_keys set name = name where id = $1`, made.ID)
	again()
}

// What happens to keys is recorded, in the transaction that did it, and nowhere is
// anything of a secret.
func TestAccessOfKeysIsRecorded(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	_, home, held := register(t, s)
	who := by(t, s, held)
	p, err := FromContext(who)
	if err != nil {
		t.Fatal(err)
	}
	begun := len(accessEvents(t, conn, home.ID))
	first, shown := newKey(t, s, held)
	next, after, err := s.RotateAPIKey(who, first.ID, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time nothing happens
		if gone, err := s.RevokeAPIKey(who, next.ID); err != nil || gone.RevokedAt == nil {
			t.Fatal(gone, err)
		}
	}
	owner := p.User.ID.UUID().String()
	var got []accessed
	for _, event := range accessEvents(t, conn, home.ID)[begun:] {
		if event.Data["expiresAt"] != nil {
			event.Data["expiresAt"] = "then"
		}
		event.Together = false // of api_keys, see below
		got = append(got, event)
	}
	want := []accessed{
		{Actor: owner, Action: "api_key.created", Entity: first.ID.UUID().String(), Data: map[string]any{"name": "Import", "scopes": []any{"PRODUCTS_READ"}, "expiresAt": "then"}},
		{Actor: owner, Action: "api_key.created", Entity: next.ID.UUID().String(), Data: map[string]any{"name": "Import", "scopes": []any{"PRODUCTS_READ"}, "expiresAt": "then", "replaces": first.ID.String()}},
		{Actor: owner, Action: "api_key.rotated", Entity: first.ID.UUID().String(), Data: map[string]any{"replacedBy": next.ID.String(), "overlapSeconds": 60.0}},
		{Actor: owner, Action: "api_key.revoked", Entity: next.ID.UUID().String(), Data: map[string]any{"name": "Import"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := count(t, conn, `select count(*) from control.access_events as e join control.api_keys as k on k.tenant_id = e.tenant_id and k.id = e.entity_id and k.xmin = e.xid::xid where e.tenant_id = $1`, home.ID); n != 2 {
		t.Errorf("%d of the records are of the transaction that did it", n)
	}
	var stored string
	err = conn.QueryRow(t.Context(), `select concat((select string_agg(e::text, ' ') from control.access_events as e where tenant_id = $1), (select string_agg(k::text, ' ') from control.api_keys as k where tenant_id = $1),
		(select string_agg(encode(secret_hash, 'hex'), ' ') from control.api_key_secrets where tenant_id = $1), (select string_agg(j.args::text, ' ') from control.river_job as j))`, home.ID).Scan(&stored)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{shown, after} {
		secret := parts(t, key)[32:]
		for _, form := range []string{key, key[len(key)-43 : len(key)-6], fmt.Sprintf("%x", secret), base64.StdEncoding.EncodeToString(secret)[:40]} {
			if strings.Contains(stored, form) {
				t.Errorf("the secret is stored: %s", stored)
			}
		}
	}
}

// What let a removed member in ends for good: a key does not come back with its maker,
// and what was revoked stands in the log.
func TestKeysOfARemovedMemberStayRevoked(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	_, home, held := register(t, s)
	made, key := newKey(t, s, held)
	wantKnown(t, s, key)
	give(t, s, home, RoleOwner, MemberSuspended)
	give(t, s, home, RoleOwner, MemberActive)
	wantKnown(t, s, key) // a suspended one waits
	give(t, s, home, RoleOwner, MemberRemoved)
	give(t, s, home, RoleOwner, MemberActive)
	if _, _, err := show(s, key); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("the key of who was removed and is back: %v", err)
	}
	if n := count(t, pgtest.Superuser(t), `select count(*) from control.access_events where tenant_id = $1 and action = 'api_key.revoked' and entity_id = $2`, home.ID, made.ID); n != 1 {
		t.Errorf("%d entries", n)
	}
}
