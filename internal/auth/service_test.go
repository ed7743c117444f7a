package auth

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == hashApart {
		if err := ServeHashes(os.Stdin, os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	pgtest.Main(m)
}

// newService is a service on the pools of w that counts its expensive calls.
func newService(t testing.TB, w *pgtest.World) (s *Service, hashed *atomic.Int64) {
	t.Helper()
	key, err := NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := NewTokens("http://tests.example", "commonhold", 0, nil, key)
	if err != nil {
		t.Fatal(err)
	}
	passwords := NewPasswords(TestPasswordParams())
	hashed = new(atomic.Int64)
	watch(passwords, func(string, string) { hashed.Add(1) })
	ring, _, err := keyring.New()
	if err != nil {
		t.Fatal(err)
	}
	return NewService(w.DB, w.Registry, tokens, passwords, ring), hashed
}

// newcomer is a registration that collides with no other.
func newcomer() Registration {
	unique := strings.ReplaceAll(id.New().String(), "-", "")
	return Registration{
		Tenant: control.Registration{Name: "Company " + unique[20:], Slug: "t" + unique[:31], Currency: "EUR"},
		Email:  "owner-" + unique + "@tests.example", Password: goodPassword, DisplayName: "Owner",
	}
}

func register(t testing.TB, s *Service) (Registration, *tenant.Tenant, *Session) {
	t.Helper()
	r := newcomer()
	made, session, err := s.Register(context.Background(), r)
	if err != nil || made == nil || session == nil {
		t.Fatalf("register: %v, %v, %v", made, session, err)
	}
	return r, made, session
}

// give changes the one membership of a tenant, whatever becomes of the tenant.
func give(t testing.TB, s *Service, home *tenant.Tenant, role Role, status MemberStatus) {
	t.Helper()
	var user id.User
	if err := pgtest.Superuser(t).QueryRow(context.Background(), `select user_id from control.memberships where tenant_id = $1`, home.ID).Scan(&user); err != nil {
		t.Fatal(err)
	}
	err := s.db.InControlTx(context.Background(), func(q *controlsql.Queries) error {
		rows, err := q.LockMembers(context.Background(), controlsql.LockMembersParams{TenantID: home.ID, Asking: user})
		if err != nil {
			return err
		}
		_, err = setMember(context.Background(), q, nil, rows[0], controlsql.SetMembershipParams{TenantID: home.ID, UserID: user, Role: string(role), Status: string(status)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for something that another server does.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// alter runs a statement as the superuser and wants it to touch n rows.
func alter(t testing.TB, conn *pgx.Conn, n int64, sql string, args ...any) {
	t.Helper()
	tag, err := conn.Exec(context.Background(), sql, args...)
	if err != nil || tag.RowsAffected() != n {
		t.Fatalf("%s: %v, %d rows, want %d", sql, err, tag.RowsAffected(), n)
	}
}

func count(t testing.TB, conn *pgx.Conn, sql string, args ...any) (n int) {
	t.Helper()
	if err := conn.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// wantFault holds an error against its code and field.
func wantFault(t testing.TB, what string, err error, code fault.Code, field string) {
	t.Helper()
	coded, ok := err.(*fault.Error) //nolint:errorlint // what is shown is the outermost one
	if !ok || coded.Code != code || strings.Join(coded.Field, ".") != field {
		t.Errorf("%s: %v (%s), want %s at %q", what, err, fault.CodeOf(err), code, field)
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	s, hashed := newService(t, pgtest.New(t))
	ctx := context.Background()
	owner, home, _ := register(t, s)
	other, otherHome, _ := register(t, s)

	slugs := func(memberships []Membership) (all []string) {
		for _, m := range memberships {
			all = append(all, m.Tenant.Slug+" "+string(m.Role))
		}
		return all
	}
	own := []string{home.Slug + " OWNER"}
	for name, asked := range map[string]struct {
		slug, email, password string
		code                  fault.Code
		field                 string
		memberships           []string
	}{
		"with the slug":          {home.Slug, owner.Email, goodPassword, "", "", own},
		"without":                {"", owner.Email, goodPassword, "", "", own},
		"in capitals":            {"", "  " + strings.ToUpper(owner.Email) + " ", goodPassword, "", "", own},
		"in a foreign tenant":    {otherHome.Slug, owner.Email, goodPassword, fault.NotFound, "tenant", own},
		"in no tenant":           {"never-was", owner.Email, goodPassword, fault.NotFound, "tenant", own},
		"with a wrong password":  {home.Slug, owner.Email, wrongPassword, fault.BadCredential, "password", nil},
		"as somebody else":       {home.Slug, other.Email, wrongPassword, fault.BadCredential, "password", nil},
		"as nobody":              {home.Slug, "nobody@tests.example", goodPassword, fault.BadCredential, "password", nil},
		"as nobody, with a NUL":  {home.Slug, "nobody\x00@tests.example", goodPassword, fault.BadCredential, "password", nil},
		"as somebody, and a NUL": {home.Slug, owner.Email + "\x00", goodPassword, fault.BadCredential, "password", nil},
		"with an empty address":  {home.Slug, "", "", fault.BadCredential, "password", nil},
	} {
		before := hashed.Load()
		session, memberships, err := s.SignIn(ctx, asked.slug, asked.email, asked.password)
		if got := hashed.Load() - before; got != 1 {
			t.Errorf("%s: %d hashes were computed, want 1 whoever asks", name, got)
		}
		if diff := cmp.Diff(asked.memberships, slugs(memberships)); diff != "" {
			t.Errorf("%s: memberships: %s", name, diff)
		}
		if asked.code != "" {
			wantFault(t, name, err, asked.code, asked.field)
			if session != nil {
				t.Errorf("%s: a session began", name)
			}
			continue
		}
		if err != nil || session == nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		who, err := s.Authenticate(ctx, session.AccessToken)
		if err != nil || who.Tenant.ID != home.ID || who.Role != RoleOwner || who.User.Email != owner.Email {
			t.Errorf("%s: the token is of %+v, %v", name, who, err)
		}
	}
}

// An address without an account and a wrong password are answered alike, by the
// same work.
func TestUnknownAddressAndWrongPasswordAreAlike(t *testing.T) {
	t.Parallel()
	s, hashed := newService(t, pgtest.New(t))
	owner, home, _ := register(t, s)
	w := pgtest.New(t) // whose owner has an account without a password
	var email string
	if err := pgtest.Superuser(t).QueryRow(context.Background(), `select email from control.users where id = $1`, w.Owner).Scan(&email); err != nil {
		t.Fatal(err)
	}
	var first error
	for _, address := range []string{owner.Email, "nobody@tests.example", email, "not an address", strings.Repeat("a", 100_000)} {
		before := hashed.Load()
		session, memberships, err := s.SignIn(context.Background(), home.Slug, address, wrongPassword)
		if session != nil || memberships != nil || err == nil {
			t.Fatalf("%.40s: %v, %v, %v", address, session, memberships, err)
		}
		if first == nil {
			first = err
		}
		if diff := cmp.Diff(first, err); diff != "" {
			t.Errorf("%.40s is told apart: %s", address, diff)
		}
		if got := hashed.Load() - before; got != 1 {
			t.Errorf("%.40s: %d hashes, want 1", address, got)
		}
	}
}

func TestAnOldHashIsReplacedAtSignIn(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	s, _ := newService(t, w)
	r, home, _ := register(t, s)
	newer, _ := newService(t, w)
	newer.passwords.params.Iterations++
	conn := pgtest.Superuser(t)
	stored := func() (hash string) {
		err := conn.QueryRow(context.Background(), `select password_hash from control.user_credentials as c join control.users as u on u.id = c.user_id where u.email = $1`, r.Email).Scan(&hash)
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	before := stored()
	if _, _, err := newer.SignIn(context.Background(), home.Slug, r.Email, wrongPassword); !fault.Is(err, fault.BadCredential) || stored() != before {
		t.Errorf("a wrong password: %v, hash replaced: %v", err, stored() != before)
	}
	for range 2 {
		if _, _, err := newer.SignIn(context.Background(), home.Slug, r.Email, r.Password); err != nil {
			t.Fatal(err)
		}
		if now := stored(); now == before || newer.passwords.NeedsRehash(now) {
			t.Errorf("the hash is still of the old parameters: %s", now)
		}
	}
}

func TestRefreshRotates(t *testing.T) {
	t.Parallel()
	s, hashed := newService(t, pgtest.New(t))
	ctx := context.Background()
	_, home, first := register(t, s)
	before := hashed.Load()
	second, err := s.Refresh(ctx, first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	third, err := s.Refresh(ctx, second.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]bool{first.RefreshToken: true, second.RefreshToken: true, third.RefreshToken: true}
	if len(tokens) != 3 {
		t.Error("a refresh token came twice")
	}
	for _, session := range []*Session{first, second, third} { // one session, so each access token works
		who, err := s.Authenticate(ctx, session.AccessToken)
		if err != nil || who.Tenant.ID != home.ID {
			t.Errorf("%+v, %v", who, err)
		}
	}
	if hashed.Load() != before {
		t.Error("refreshing computed a password hash")
	}
}

func TestARetriedRefreshGetsTheSameSuccessor(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	ctx := context.Background()
	_, _, first := register(t, s)
	second, err := s.Refresh(ctx, first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	conn := pgtest.Superuser(t)
	alter(t, conn, 1, `update control.refresh_tokens set used_at = used_at - interval '5 seconds' where token_hash = $1`, hashOf(t, first.RefreshToken))
	again, err := s.Refresh(ctx, first.RefreshToken)
	if err != nil || again.RefreshToken != second.RefreshToken {
		t.Fatalf("a retry within the grace: %v, another successor: %v", err, again)
	}
	if _, err := s.Refresh(ctx, second.RefreshToken); err != nil {
		t.Errorf("the successor does not work after the retry: %v", err)
	}
}

func hashOf(t testing.TB, refresh string) []byte {
	t.Helper()
	raw, ok := parseRefresh(refresh)
	if !ok {
		t.Fatalf("not a refresh token: %s", refresh)
	}
	return digest(raw)
}

func TestAReusedRefreshTokenEndsItsFamily(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	ctx := context.Background()
	r, home, first := register(t, s)
	elsewhere, _, err := s.SignIn(ctx, home.Slug, r.Email, r.Password)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.Refresh(ctx, first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	alter(t, pgtest.Superuser(t), 1, `update control.refresh_tokens set used_at = used_at - interval '11 seconds' where token_hash = $1`, hashOf(t, first.RefreshToken))
	_, err = s.Refresh(ctx, first.RefreshToken)
	wantFault(t, "reuse", err, fault.BadCredential, "refreshToken")
	_, err = s.Refresh(ctx, second.RefreshToken)
	wantFault(t, "the successor of a reused token", err, fault.BadCredential, "refreshToken")
	for _, session := range []*Session{first, second} {
		if _, err := s.Authenticate(ctx, session.AccessToken); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("an access token of the family still works: %v", err)
		}
	}
	// Another sign-in of the same person is another family.
	if _, err := s.Refresh(ctx, elsewhere.RefreshToken); err != nil {
		t.Errorf("another session ended with it: %v", err)
	}
}

func TestConcurrentRefreshesGetOneSuccessor(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	_, _, first := register(t, s)
	successors := make([]string, 16)
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range successors {
		group.Go(func() {
			<-start
			session, err := s.Refresh(context.Background(), first.RefreshToken)
			if err != nil {
				t.Error(err)
				return
			}
			successors[i] = session.RefreshToken
		})
	}
	close(start)
	group.Wait()
	for _, successor := range successors {
		if successor != successors[0] || successor == first.RefreshToken {
			t.Fatalf("not one successor: %q", successors)
		}
	}
	if n := count(t, pgtest.Superuser(t), `select count(*) from control.refresh_tokens where session_id = (select session_id from control.refresh_tokens where token_hash = $1)`, hashOf(t, first.RefreshToken)); n != 2 {
		t.Errorf("%d tokens are stored, want the first and its successor", n)
	}
}

func TestWhatEndsASession(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	s, _ := newService(t, w)
	ctx := context.Background()
	for name, end := range map[string]struct {
		do             func(t *testing.T, home *tenant.Tenant, session id.Session)
		access         fault.Code
		refresh, again fault.Code // refreshing, signing in again
		field          string     // of again
	}{
		"signing out": {
			func(t *testing.T, _ *tenant.Tenant, session id.Session) {
				if err := s.SignOut(ctx, session); err != nil {
					t.Error(err)
				}
				if err := s.SignOut(ctx, session); err != nil {
					t.Errorf("twice: %v", err)
				}
			}, fault.Unauthenticated, fault.BadCredential, "", "",
		},
		"its time": {
			func(t *testing.T, _ *tenant.Tenant, session id.Session) {
				alter(t, pgtest.Superuser(t), 1, `update control.sessions set expires_at = now() where id = $1`, session)
				w.DB.Changes().Changed(session.UUID())
			}, fault.Unauthenticated, fault.BadCredential, "", "",
		},
		"removing the member": {
			func(t *testing.T, home *tenant.Tenant, _ id.Session) {
				give(t, s, home, RoleOwner, MemberRemoved)
			}, fault.Unauthenticated, fault.BadCredential, fault.NotFound, "tenant",
		},
		"suspending the member": {
			func(t *testing.T, home *tenant.Tenant, _ id.Session) {
				give(t, s, home, RoleOwner, MemberSuspended)
			}, fault.Unauthenticated, fault.BadCredential, fault.NotFound, "tenant",
		},
		"removing the member and taking them back": {
			func(t *testing.T, home *tenant.Tenant, _ id.Session) {
				give(t, s, home, RoleOwner, MemberRemoved)
				give(t, s, home, RoleOwner, MemberActive)
			}, fault.Unauthenticated, fault.BadCredential, "", "",
		},
		"suspending the tenant": {
			func(t *testing.T, home *tenant.Tenant, _ id.Session) {
				pgtest.Change(t, w.Registry, home.Slug, tenant.Suspended)
			}, fault.TenantSuspended, fault.TenantSuspended, fault.TenantSuspended, "tenant",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, home, session := register(t, s)
			who, err := s.Authenticate(ctx, session.AccessToken)
			if err != nil {
				t.Fatal(err)
			}
			end.do(t, home, who.Session)
			if _, err := s.Authenticate(ctx, session.AccessToken); !fault.Is(err, end.access) {
				t.Errorf("the access token: %v, want %s", err, end.access)
			}
			_, err = s.Refresh(ctx, session.RefreshToken)
			wantFault(t, "refreshing", err, end.refresh, "refreshToken")
			if _, _, err := s.SignIn(ctx, home.Slug, r.Email, r.Password); end.again == "" {
				if err != nil {
					t.Errorf("signing in again: %v", err)
				}
			} else {
				wantFault(t, "signing in again", err, end.again, end.field)
			}
		})
	}
}

// A server that remembers the tenant as it was hears of the change.
func TestAnotherServerSeesASuspension(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	s, _ := newService(t, w)
	elsewhere := pgtest.Open(t, 2)
	other := NewService(elsewhere.DB, elsewhere.Registry, s.tokens, s.passwords, s.ring)
	ctx := context.Background()
	_, home, session := register(t, s)
	for _, step := range []struct {
		to   tenant.Status
		want fault.Code
	}{{tenant.Active, ""}, {tenant.Suspended, fault.TenantSuspended}, {tenant.Active, ""}} {
		pgtest.Change(t, w.Registry, home.Slug, step.to)
		until(t, fmt.Sprintf("the other server answers %q", step.want), func() bool {
			_, err := other.Authenticate(ctx, session.AccessToken)
			return fault.CodeOf(err) == step.want
		})
	}
}

// What another hand changes holds at once: the old token is refused like that of a
// session that ended, and refreshing it gives the rights of the moment.
func TestATokenIsOfTheRoleItWasIssuedFor(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	ctx := context.Background()
	_, home, session := register(t, s)
	for _, role := range []Role{RoleViewer, RoleMember, RoleAdmin, RoleOwner} {
		if _, err := s.Authenticate(ctx, session.AccessToken); err != nil { // which is remembered
			t.Fatal(err)
		}
		give(t, s, home, role, MemberActive)
		_, err := s.Authenticate(ctx, session.AccessToken)
		wantFault(t, "the token from before", err, fault.Unauthenticated, "")
		if session, err = s.Refresh(ctx, session.RefreshToken); err != nil {
			t.Fatal(err)
		}
		who, err := s.Authenticate(ctx, session.AccessToken)
		if err != nil || who.Role != role || who.Role.Can(PermissionProductsWrite) != (role != RoleViewer) {
			t.Errorf("want %s: %+v, %v", role, who, err)
		}
	}
}

// A token that our own key signed opens nothing but what its session was begun for.
func TestATokenMustMatchItsSession(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	ctx := context.Background()
	_, home, session := register(t, s)
	_, foreign, foreignSession := register(t, s)
	mine, err := s.Authenticate(ctx, session.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := s.Authenticate(ctx, foreignSession.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	for name, claims := range map[string]Claims{
		"another tenant":   {Session: mine.Session.String(), User: mine.User.ID.String(), Tenant: foreign.ID.String(), Epoch: 1},
		"another person":   {Session: mine.Session.String(), User: theirs.User.ID.String(), Tenant: home.ID.String(), Epoch: 1},
		"another session":  {Session: theirs.Session.String(), User: mine.User.ID.String(), Tenant: home.ID.String(), Epoch: 1},
		"no session":       {Session: id.NewSession().String(), User: mine.User.ID.String(), Tenant: home.ID.String(), Epoch: 1},
		"ids of the wrong": {Session: mine.User.ID.String(), User: mine.Session.String(), Tenant: home.ID.String(), Epoch: 1},
	} {
		token, _, err := s.tokens.Issue(claims)
		if err != nil {
			t.Fatal(err)
		}
		if who, err := s.Authenticate(ctx, token); !fault.Is(err, fault.Unauthenticated) || who != nil {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
}

func TestMalformedRefreshTokensAreRefusedAlike(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	_, _, session := register(t, s)
	var first error
	for _, token := range []string{
		"", "chr_", "chr_" + strings.Repeat("A", 43), strings.TrimPrefix(session.RefreshToken, "chr_"), session.RefreshToken + "=",
		session.RefreshToken[:len(session.RefreshToken)-1], session.AccessToken, "chr_\x00", strings.Repeat("chr_", 100_000),
	} {
		_, err := s.Refresh(context.Background(), token)
		wantFault(t, fmt.Sprintf("%.20q", token), err, fault.BadCredential, "refreshToken")
		if first == nil {
			first = err
		}
		if diff := cmp.Diff(first, err); diff != "" {
			t.Errorf("%.20q is told apart: %s", token, diff)
		}
	}
}

// What opens something is not stored: not a password, not a token, in no encoding.
func TestNoSecretIsStored(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	ctx := context.Background()
	r := newcomer()
	r.Password = "a password of " + r.Tenant.Slug
	home, first, err := s.Register(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.Refresh(ctx, first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	third, _, err := s.SignIn(ctx, home.Slug, r.Email, r.Password)
	if err != nil {
		t.Fatal(err)
	}
	conn := pgtest.Superuser(t)
	rows, _ := conn.Query(ctx, `select c.oid::regclass::text from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
		where n.nspname in ('control', 'gate', 'shared') and c.relkind in ('r', 'p') order by 1`)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 10 {
		t.Fatalf("%d tables: %v", len(tables), err)
	}
	dump := ""
	for _, table := range tables {
		var text *string
		if err := conn.QueryRow(ctx, `select string_agg(r::text, E'\n') from `+table+` as r`).Scan(&text); err != nil {
			t.Fatal(err)
		}
		if text != nil {
			dump += *text
		}
	}
	dump = strings.ToLower(dump)
	stored := func(text string) bool { return strings.Contains(dump, strings.ToLower(text)) }
	encodings := func(name, secret string) {
		for encoding, text := range map[string]string{
			"plain": secret, "hex": hex.EncodeToString([]byte(secret)),
			"base64": base64.RawStdEncoding.EncodeToString([]byte(secret)), "base64url": base64.RawURLEncoding.EncodeToString([]byte(secret)),
		} {
			if stored(text) {
				t.Errorf("%s is stored (%s)", name, encoding)
			}
		}
	}
	encodings("the password", r.Password)
	for i, session := range []*Session{first, second, third} {
		raw, _ := parseRefresh(session.RefreshToken)
		encodings(fmt.Sprintf("refresh token %d", i), string(raw))
		encodings(fmt.Sprintf("refresh token %d as shown", i), session.RefreshToken)
		encodings(fmt.Sprintf("access token %d", i), session.AccessToken)
		if !stored(hex.EncodeToString(digest(raw))) {
			t.Errorf("the hash of refresh token %d is not found: the search sees nothing", i)
		}
	}
	if !stored(r.Email) || !stored("$argon2id$") {
		t.Error("the search sees nothing")
	}
}

func TestRegister(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	s, hashed := newService(t, w)
	ctx := context.Background()
	r, home, session := register(t, s)
	if hashed.Load() != 1 {
		t.Errorf("%d hashes for a new person, want 1", hashed.Load())
	}
	conn := pgtest.Superuser(t)
	wantWhole(t, conn, r.Tenant.Slug, r.Email)
	if who, err := s.Authenticate(ctx, session.AccessToken); err != nil || who.Tenant.ID != home.ID || who.Role != RoleOwner {
		t.Errorf("the owner's session: %+v, %v", who, err)
	}
	if n := count(t, conn, `select count(*) from shared.categories where tenant_id = $1`, home.ID); n != 1 {
		t.Errorf("%d categories to begin with, want 1", n)
	}

	// Every field that is wrong is named at once.
	_, _, err := s.Register(ctx, Registration{Tenant: control.Registration{Name: "", Slug: "A", Currency: "EUR"}, Email: "nobody", Password: "short", DisplayName: ""})
	if err == nil {
		t.Fatal("a registration of nothing was accepted")
	}
	var fields []string
	for _, one := range err.(interface{ Unwrap() []error }).Unwrap() { //nolint:errorlint // joined
		fields = append(fields, one.(*fault.Error).Field...) //nolint:errorlint // each is coded
	}
	if diff := cmp.Diff([]string{"tenantName", "slug", "email", "displayName", "password"}, fields); diff != "" {
		t.Error(diff)
	}

	taken := newcomer()
	taken.Tenant.Slug = r.Tenant.Slug
	_, _, err = s.Register(ctx, taken)
	wantFault(t, "a slug in use", err, fault.Taken, "slug")
	if n := count(t, conn, `select count(*) from control.users where email = $1`, taken.Email); n != 0 {
		t.Error("the account of a refused registration stays")
	}
	// Nor does it tell who has an account.
	taken.Email, taken.Password = r.Email, wrongPassword+" and longer"
	_, _, again := s.Register(ctx, taken)
	if diff := cmp.Diff(err, again); diff != "" {
		t.Errorf("a slug in use tells who has an account: %s", diff)
	}
}

// A person with an account gets a further tenant for the right password alone, and
// the account stays as it was.
func TestAnAccountRegistersAFurtherTenant(t *testing.T) {
	t.Parallel()
	s, hashed := newService(t, pgtest.New(t))
	ctx := context.Background()
	r, home, _ := register(t, s)
	conn := pgtest.Superuser(t)
	further := newcomer()
	further.Email, further.Password, further.DisplayName = strings.ToUpper(r.Email), wrongPassword+" and longer", "Somebody else"
	before := hashed.Load()
	_, _, err := s.Register(ctx, further)
	wantFault(t, "with a wrong password", err, fault.BadCredential, "password")
	if n := count(t, conn, `select count(*) from control.tenants where slug = $1`, further.Tenant.Slug); n != 0 {
		t.Error("somebody else's account was given a tenant")
	}
	further.Password = r.Password
	second, session, err := s.Register(ctx, further)
	if err != nil {
		t.Fatal(err)
	}
	if got := hashed.Load() - before; got != 2 {
		t.Errorf("%d hashes for two attempts, want 2", got)
	}
	wantWhole(t, conn, further.Tenant.Slug, r.Email)
	who, err := s.Authenticate(ctx, session.AccessToken)
	if err != nil || who.Tenant.ID != second.ID || who.User.DisplayName != r.DisplayName {
		t.Errorf("the account in its further tenant: %+v, %v", who, err)
	}
	// From now on the person has to say which.
	_, memberships, err := s.SignIn(ctx, "", r.Email, r.Password)
	wantFault(t, "without a tenant", err, fault.TenantNeeded, "tenant")
	if len(memberships) != 2 {
		t.Errorf("%d memberships, want 2", len(memberships))
	}
	// Leaving one is not leaving the other.
	give(t, s, second, RoleOwner, MemberRemoved)
	if _, err := s.Authenticate(ctx, session.AccessToken); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("in the tenant that was left: %v", err)
	}
	if _, _, err := s.SignIn(ctx, home.Slug, r.Email, r.Password); err != nil {
		t.Errorf("in the other: %v", err)
	}
}

func TestOneOfTwoRegistrationsOfOneSlugWins(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	for _, sameAddress := range []bool{false, true} {
		rs := []Registration{newcomer(), newcomer(), newcomer(), newcomer()}
		errs := make([]error, len(rs))
		var group sync.WaitGroup
		start := make(chan struct{})
		for i := range rs {
			rs[i].Tenant.Slug = rs[0].Tenant.Slug
			if sameAddress {
				rs[i].Email = rs[0].Email
			}
			group.Go(func() {
				<-start
				_, _, errs[i] = s.Register(context.Background(), rs[i])
			})
		}
		close(start)
		group.Wait()
		won := 0
		for i, err := range errs {
			switch {
			case err == nil:
				won++
				wantWhole(t, conn, rs[i].Tenant.Slug, rs[i].Email)
			case sameAddress && fault.Is(err, fault.Conflict): // the account was made a moment ago
			default:
				wantFault(t, "the one that came second", err, fault.Taken, "slug")
			}
			if n := count(t, conn, `select count(*) from control.users where email = $1`, rs[i].Email); !sameAddress && (n == 1) != (err == nil) {
				t.Errorf("%d accounts for a registration that ended with %v", n, err)
			}
		}
		if won != 1 {
			t.Errorf("%d of %d registrations won: %v", won, len(errs), errs)
		}
	}
}

// wantWhole wants all of a tenant: tenant, placement, open door, its owner with a
// password, the record of it, and one mail to welcome the owner.
func wantWhole(t testing.TB, conn *pgx.Conn, slug, email string) {
	t.Helper()
	n := count(t, conn, `select count(*) from control.tenants as t
		join control.placements as p on p.tenant_id = t.id
		join gate.tenant_doors as d on d.tenant_id = t.id and d.epoch = p.epoch and d.status = 'OPEN'
		join control.memberships as m on m.tenant_id = t.id and m.role = 'OWNER' and m.status = 'ACTIVE'
		join control.users as u on u.id = m.user_id
		join control.user_credentials as c on c.user_id = u.id
		join control.access_events as a on a.tenant_id = t.id and a.action = 'tenant.registered' and a.actor_id = u.id
		where t.slug = $1 and t.status = 'ACTIVE' and u.email = $2`, slug, strings.ToLower(email))
	if n != 1 {
		t.Errorf("the tenant %s is there %d times as a whole", slug, n)
	}
	n = count(t, conn, `select count(*) from control.river_job as j
		join control.tenants as t on t.name = j.args ->> 'tenant' join control.users as u on u.email = j.args ->> 'to' and u.display_name = j.args ->> 'name'
		where j.kind = 'mail' and j.args ->> 'template' = 'welcome' and t.slug = $1 and u.email = $2`, slug, strings.ToLower(email))
	if n != 1 {
		t.Errorf("%d mails welcome the owner of %s", n, slug)
	}
}

// wantWholeOrNothing wants all of a tenant or no trace of it, and says which.
func wantWholeOrNothing(t testing.TB, conn *pgx.Conn, slug, email string) bool {
	t.Helper()
	if count(t, conn, `select count(*) from control.tenants where slug = $1`, slug) == 1 {
		wantWhole(t, conn, slug, email)
		return true
	}
	for what, sql := range map[string]string{
		"an account": `select count(*) from control.users where email = $1`,
		"doors":      `select count(*) from gate.tenant_doors as d where $1 <> '' and not exists (select from control.tenants as t where t.id = d.tenant_id)`,
		"placements": `select count(*) from control.placements as p where $1 <> '' and not exists (select from control.tenants as t where t.id = p.tenant_id)`,
		"mails":      `select count(*) from control.river_job where args ->> 'to' = $1`,
		"members":    `select count(*) from control.memberships as m where $1 <> '' and not exists (select from control.tenants as t where t.id = m.tenant_id)`,
	} {
		if n := count(t, conn, sql, strings.ToLower(email)); n != 0 {
			t.Errorf("half a tenant: %s without a tenant", what)
		}
	}
	return false
}

// registerAgain registers once more, on a server that works, and signs in.
func registerAgain(t testing.TB, s *Service, conn *pgx.Conn, r Registration, stands bool) {
	t.Helper()
	ctx := context.Background()
	_, _, err := s.Register(ctx, r)
	if stands {
		wantFault(t, "registering again", err, fault.Taken, "slug")
	} else if err != nil {
		t.Errorf("registering again: %v", err)
	}
	if _, _, err := s.SignIn(ctx, r.Tenant.Slug, r.Email, r.Password); err != nil {
		t.Errorf("signing in after all: %v", err)
	}
	if n := count(t, conn, `select count(*) from shared.categories as c join control.tenants as t on t.id = c.tenant_id and t.defaults_at is not null where t.slug = $1`, r.Tenant.Slug); n != 1 {
		t.Errorf("%d categories once the owner has signed in, want the one to begin with", n)
	}
	wantWhole(t, conn, r.Tenant.Slug, r.Email)
}

// The caller leaves before each statement in turn.
func TestARegistrationIsWholeWhereverItIsCancelled(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	stood, failed := 0, 0
	for step := int64(1); ; step++ {
		ctx, cancel := context.WithCancel(context.Background())
		counted, _ := postgres.WithCounter(ctx)
		at := &cancelAt{Context: counted, cancel: cancel}
		at.left.Store(step)
		r := newcomer()
		_, _, err := s.Register(at, r)
		cancel()
		stands := wantWholeOrNothing(t, conn, r.Tenant.Slug, r.Email)
		if err == nil && !stands {
			t.Errorf("step %d: success was reported for nothing", step)
		}
		registerAgain(t, s, conn, r, stands)
		if stands {
			stood++
		} else {
			failed++
		}
		if at.left.Load() > 0 { // not cancelled any more: every step was
			break
		}
	}
	if stood < 3 || failed < 6 {
		t.Errorf("%d registrations stood and %d failed: the steps were not met", stood, failed)
	}
}

// cancelAt is a context that is cancelled when the database is asked for the nth
// time: the counter of statements is looked up just before each.
type cancelAt struct {
	context.Context
	cancel func()
	left   atomic.Int64
}

func (c *cancelAt) Value(key any) any {
	value := c.Context.Value(key)
	if _, ok := value.(*postgres.Counter); ok && c.left.Add(-1) == 0 {
		c.cancel()
	}
	return value
}

// The connection breaks before and after each message in turn, the commit's too:
// what the server sees of a process that is killed.
func TestARegistrationIsWholeWhereverItIsCut(t *testing.T) {
	t.Parallel()
	healthy, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	stood, failed := 0, 0
	for _, delivered := range []bool{false, true} {
		for step := int64(1); ; step++ {
			wire := &wire{delivered: delivered}
			wire.left.Store(-1)
			through := pgtest.Between(t, pgtest.URL(t, "commonhold_control"), wire.pass)
			db, err := postgres.Open(context.Background(), postgres.Config{AppURL: pgtest.URL(t, "commonhold_app"), ControlURL: through(pgtest.URL(t, "commonhold_control")), MaxConns: 1})
			if err != nil {
				t.Fatal(err)
			}
			s, _ := newService(t, &pgtest.World{DB: db, Registry: control.NewRegistry(db)})
			r := newcomer()
			wire.left.Store(step)
			_, _, err = s.Register(context.Background(), r)
			uncut := wire.left.Load() > 0
			wire.left.Store(-1)
			db.Close()
			stands := wantWholeOrNothing(t, conn, r.Tenant.Slug, r.Email)
			if err == nil && !stands {
				t.Errorf("message %d: success was reported for nothing", step)
			}
			registerAgain(t, healthy, conn, r, stands)
			if stands {
				stood++
			} else {
				failed++
			}
			if uncut {
				break
			}
		}
	}
	if stood < 4 || failed < 12 {
		t.Errorf("%d registrations stood and %d failed: the messages were not met", stood, failed)
	}
}

// wire passes the PostgreSQL protocol on until it is cut.
type wire struct {
	delivered bool         // whether the last message still reaches the server
	left      atomic.Int64 // messages until the cut; it passes everything on below zero
}

func (w *wire) pass(client, server *net.UnixConn) {
	var muted atomic.Bool
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		defer client.Close() // what the server ends, ends
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if n > 0 && !muted.Load() {
				_, _ = client.Write(buffer[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10) // pgx sends one message, or batch, in one write
	for {
		n, err := client.Read(buffer)
		if n > 0 {
			if w.left.Load() > 0 && w.left.Add(-1) == 0 {
				muted.Store(true)
				if w.delivered {
					_, _ = server.Write(buffer[:n])
				}
				_ = server.CloseWrite()
				<-answered // the server has done what it was told, and left
				return
			}
			_, _ = server.Write(buffer[:n])
		}
		if err != nil {
			if err == io.EOF { //nolint:errorlint // as Read gives it
				_ = server.CloseWrite()
			}
			<-answered
			return
		}
	}
}

// A registration that was cut off before its last step is completed by the next
// sign-in, once.
func TestDefaultsAreResumedAtSignIn(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	s, _ := newService(t, w)
	ctx := context.Background()
	r, home, _ := register(t, s)
	conn := pgtest.Superuser(t)
	alter(t, conn, 1, `delete from shared.categories where tenant_id = $1`, home.ID)
	alter(t, conn, 1, `update control.tenants set defaults_at = null where id = $1`, home.ID)
	categories := func() int {
		return count(t, conn, `select count(*) from shared.categories where tenant_id = $1`, home.ID)
	}
	for _, want := range []int{1, 1} {
		if _, _, err := s.SignIn(ctx, home.Slug, r.Email, r.Password); err != nil || categories() != want {
			t.Errorf("%v, %d categories, want %d", err, categories(), want)
		}
	}
	// What somebody removed since does not come back.
	alter(t, conn, 1, `delete from shared.categories where tenant_id = $1`, home.ID)
	if _, _, err := s.SignIn(ctx, home.Slug, r.Email, r.Password); err != nil || categories() != 0 {
		t.Errorf("%v, %d categories, want none", err, categories())
	}
}

func TestAddMember(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	ctx := context.Background()
	_, home, _ := register(t, s)
	email := "member-" + id.New().String() + "@tests.example"
	if _, err := s.AddMember(ctx, home.ID, email, goodPassword, "Member", RoleMember); err != nil {
		t.Fatal(err)
	}
	_, err := s.AddMember(ctx, home.ID, strings.ToUpper(email), goodPassword, "Member", RoleMember)
	wantFault(t, "twice", err, fault.Conflict, "email")
	session, _, err := s.SignIn(ctx, home.Slug, email, goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := s.Authenticate(ctx, session.AccessToken); err != nil || who.Role != RoleMember || who.Session.IsZero() || time.Until(session.ExpiresAt) <= 0 {
		t.Errorf("%+v, %v", who, err)
	}
}
