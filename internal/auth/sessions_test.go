package auth

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/tenant"
)

// by is a request of a client that calls itself something.
func with(agent string) context.Context {
	return context.WithValue(context.Background(), clientKey{}, &client{userAgent: readUserAgent(agent)})
}

func mustSignIn(t testing.TB, ctx context.Context, s *Service, home *tenant.Tenant, r Registration) *Session {
	t.Helper()
	session, _, err := s.SignIn(ctx, home.Slug, r.Email, r.Password)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func mustKnow(t testing.TB, s *Service, held *Session) *Principal {
	t.Helper()
	who, err := s.Authenticate(context.Background(), held.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	return who
}

// sessionsOf lists what a session sees of its person's, without the times.
func sessionsOf(t testing.TB, s *Service, held *Session) (shown []string) {
	t.Helper()
	rows, err := s.Sessions(context.Background(), mustKnow(t, s, held))
	if err != nil {
		t.Fatal(err)
	}
	text := func(p *string) string {
		if p == nil {
			return "null"
		}
		return *p
	}
	for _, row := range rows {
		line := text(row.UserAgent) + " in " + text(row.TenantName)
		if row.Current {
			line += ", this one"
		}
		shown = append(shown, line)
	}
	return shown
}

// A person sees where they are signed in, wherever it is, and nobody else's sessions.
func TestSessionsAreThePersonsOwn(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	_, _, _ = register(t, s)
	r := newcomer()
	first, phone, err := s.Register(with("A phone"), r)
	if err != nil {
		t.Fatal(err)
	}
	more := newcomer()
	more.Email = r.Email
	second, desk, err := s.Register(with("A desk"), more)
	if err != nil {
		t.Fatal(err)
	}
	mustSignIn(t, context.Background(), s, first, r)
	phoneLine, deskLine, rest := "A phone in "+first.Name, "A desk in "+second.Name, "null in "+first.Name
	if diff := cmp.Diff([]string{phoneLine + ", this one", rest, deskLine}, sessionsOf(t, s, phone)); diff != "" {
		t.Errorf("from the first tenant: %s", diff)
	}
	if diff := cmp.Diff([]string{deskLine + ", this one", rest, phoneLine}, sessionsOf(t, s, desk)); diff != "" {
		t.Errorf("from the second: %s", diff)
	}
	// Of a tenant that the person may not enter now the name is not shown any more.
	give(t, s, first, RoleOwner, MemberSuspended)
	if diff := cmp.Diff([]string{deskLine + ", this one", "null in null", "A phone in null"}, sessionsOf(t, s, desk)); diff != "" {
		t.Errorf("once the membership is suspended: %s", diff)
	}
}

// What a client calls itself is kept within bounds, and as it is.
func TestUserAgents(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ header, want string }{
		"plain":                 {"Mozilla/5.0 (X11)", "Mozilla/5.0 (X11)"},
		"none":                  {"", "null"},
		"of spaces":             {"   ", "null"},
		"of markup":             {"<script>alert(1)</script>", "<script>alert(1)</script>"},
		"too long":              {strings.Repeat("ä", 250), strings.Repeat("ä", 200)},
		"far too long":          {strings.Repeat("a", 30<<10), strings.Repeat("a", 200)},
		"with a line break":     {"a\nb", "null"},
		"with a NUL":            {"a\x00b", "null"},
		"that is no UTF-8":      {"a\xffb", "ab"},
		"of 201 and a space":    {strings.Repeat("a", 199) + " b", strings.Repeat("a", 199)},
		"with an escape of tty": {"\x1b[31mred", "null"},
	} {
		got := "null"
		if agent := readUserAgent(c.header); agent != nil {
			got = *agent
		}
		if got != c.want {
			t.Errorf("%s: %.60q, want %.60q", name, got, c.want)
		}
	}
}

func TestEndSession(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	other, w := second(t, s)
	ctx := context.Background()
	r, home, here := register(t, s)
	_, _, foreign := register(t, s)
	lost, expired := mustSignIn(t, ctx, s, home, r), mustSignIn(t, ctx, s, home, r)
	super := pgtest.Superuser(t)
	alter(t, super, 1, `update control.sessions set expires_at = now() where id = $1`, sessionOf(t, s, expired))
	wantFree(t, other, lost.AccessToken)
	wantFree(t, other, foreign.AccessToken)
	who := mustKnow(t, s, here)
	if err := s.EndSession(ctx, who, sessionOf(t, s, lost)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Authenticate(ctx, lost.AccessToken); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("the session that ended: %v", err)
	}
	_, err := s.Refresh(ctx, lost.RefreshToken)
	wantFault(t, "refreshing what ended", err, fault.BadCredential, "refreshToken")
	w.Settle(t)
	if _, err := other.Authenticate(ctx, lost.AccessToken); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("on another server: %v", err)
	}
	// Foreign, over and unknown are told apart by nothing.
	unknown := s.EndSession(ctx, who, id.NewSession())
	wantFault(t, "no session", unknown, fault.NotFound, "id")
	for name, session := range map[string]id.Session{
		"of somebody else": sessionOf(t, s, foreign), "that has ended": sessionOf(t, s, lost), "that has expired": sessionOf(t, s, expired), "of nobody": {},
	} {
		if diff := cmp.Diff(unknown, s.EndSession(ctx, who, session)); diff != "" {
			t.Errorf("a session %s is told apart: %s", name, diff)
		}
	}
	for name, held := range map[string]*Session{"its own": here, "somebody else's": foreign} {
		if _, err := s.Refresh(ctx, held.RefreshToken); err != nil {
			t.Errorf("it ended %s session: %v", name, err)
		}
	}
	// The session that asks is one of them.
	if err := s.EndSession(ctx, who, who.Session); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Authenticate(ctx, here.AccessToken); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("its own session: %v", err)
	}
}

func TestSignOutEverywhere(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	other, w := second(t, s)
	ctx := context.Background()
	for _, keep := range []bool{true, false} {
		r, home, here := register(t, s)
		_, _, foreign := register(t, s)
		more := newcomer()
		more.Email = r.Email
		there, elsewhere, err := s.Register(ctx, more)
		if err != nil {
			t.Fatal(err)
		}
		all := []*Session{mustSignIn(t, ctx, s, home, r), elsewhere, here}
		for _, held := range all {
			wantFree(t, other, held.AccessToken)
		}
		n, err := s.SignOutEverywhere(ctx, mustKnow(t, s, here), keep)
		want := len(all)
		if keep {
			want--
		}
		if err != nil || n != want {
			t.Errorf("keep %t: %d sessions, %v", keep, n, err)
		}
		w.Settle(t)
		for i, held := range all {
			_, atOnce := s.Authenticate(ctx, held.AccessToken)
			_, heard := other.Authenticate(ctx, held.AccessToken)
			_, refreshed := s.Refresh(ctx, held.RefreshToken)
			if stays := keep && held == here; stays != (atOnce == nil) || stays != (heard == nil) || stays != (refreshed == nil) {
				t.Errorf("keep %t, session %d: here %v, on another server %v, refreshed %v", keep, i, atOnce, heard, refreshed)
			}
		}
		if _, err := s.Refresh(ctx, foreign.RefreshToken); err != nil {
			t.Errorf("keep %t: a session of somebody else: %v", keep, err)
		}
		super := pgtest.Superuser(t)
		for _, of := range []*tenant.Tenant{home, there} { // each tenant reads of its own sessions
			ended := count(t, super, `select count(*) from control.access_events where tenant_id = $1 and action = 'session.ended' and data ->> 'why' = 'signed out everywhere'`, of.ID)
			if ended == 0 || of == there && ended != 1 {
				t.Errorf("keep %t: %d entries", keep, ended)
			}
		}
	}
}

// A session ends when nobody refreshes it for a fortnight, and after thirty days however
// often somebody does.
func TestSessionsRunOut(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	ctx := context.Background()
	lasts := func(held *Session) (idle, all time.Duration) {
		t.Helper()
		err := super.QueryRow(ctx, `select expires_at - now(), ends_at - now() from control.sessions where id = $1`, sessionOf(t, s, held)).Scan(&idle, &all)
		if err != nil {
			t.Fatal(err)
		}
		return idle, all
	}
	near := func(what string, got, want time.Duration) {
		t.Helper()
		if off := got - want; off < -time.Hour || off > time.Hour {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	_, _, held := register(t, s)
	idle, all := lasts(held)
	near("a new session, idle", idle, 14*24*time.Hour)
	near("a new session, at most", all, 30*24*time.Hour)

	// Ten days later.
	alter(t, super, 1, `update control.sessions set expires_at = expires_at - interval '10 days', ends_at = ends_at - interval '10 days' where id = $1`, sessionOf(t, s, held))
	held, err := s.Refresh(ctx, held.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	idle, _ = lasts(held)
	near("refreshed", idle, 14*24*time.Hour)
	alter(t, super, 1, `update control.sessions set ends_at = now() + interval '2 days' where id = $1`, sessionOf(t, s, held))
	if held, err = s.Refresh(ctx, held.RefreshToken); err != nil {
		t.Fatal(err)
	}
	idle, _ = lasts(held)
	near("refreshed near its end", idle, 2*24*time.Hour)

	alter(t, super, 1, `update control.sessions set expires_at = now() where id = $1`, sessionOf(t, s, held))
	_, err = s.Refresh(ctx, held.RefreshToken)
	wantFault(t, "refreshing what ran out", err, fault.BadCredential, "refreshToken")
	another, _ := second(t, s) // which remembers nothing
	if _, err := another.Authenticate(ctx, held.AccessToken); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("the access token of what ran out: %v", err)
	}
}

// What a server remembers of a session, and what the database still says, lasts no longer
// than the session by the server's own clock.
func TestWhatIsRememberedOfASessionRunsOut(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	_, _, held := register(t, s)
	alter(t, pgtest.Superuser(t), 1, `update control.sessions set expires_at = now() + interval '2 minutes' where id = $1`, sessionOf(t, s, held))
	s, _ = second(t, s)
	mustKnow(t, s, held)
	s.now = func() time.Time { return time.Now().Add(3 * time.Minute) } // the token lasts longer
	if _, err := s.Authenticate(context.Background(), held.AccessToken); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a minute after its end: %v", err)
	}
}

// A server that remembers when a session was to end lets it go on once it was refreshed.
func TestARefreshedSessionGoesOn(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	ctx := context.Background()
	_, _, held := register(t, s)
	super := pgtest.Superuser(t)
	alter(t, super, 1, `update control.sessions set expires_at = now() + interval '5 seconds' where id = $1`, sessionOf(t, s, held))
	mustKnow(t, s, held)
	if _, err := s.Refresh(ctx, held.RefreshToken); err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return time.Now().Add(10 * time.Second) } // less than it is remembered
	mustKnow(t, s, held)
}

func TestDangerAsksForThePassword(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	ctx := context.Background()
	r, home, held := register(t, s)
	recent := func(held *Session) error {
		t.Helper()
		_, err := s.RequireRecent(NewContext(ctx, mustKnow(t, s, held)))
		return err
	}
	if err := recent(held); err != nil {
		t.Errorf("after registering: %v", err)
	}
	if err := recent(mustSignIn(t, ctx, s, home, r)); err != nil {
		t.Errorf("after signing in: %v", err)
	}
	if _, err := s.RequireRecent(ctx); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("nobody: %v", err)
	}
	super := pgtest.Superuser(t)
	for name, since := range map[string]*string{"eleven minutes ago": new("11 minutes"), "never": nil} {
		s, _ := second(t, s)
		alter(t, super, 1, `update control.sessions set confirmed_at = now() - $2::text::interval where id = $1`, sessionOf(t, s, held), since)
		ask := func() error {
			who, err := s.Authenticate(ctx, held.AccessToken)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.RequireRecent(NewContext(ctx, who))
			return err
		}
		wantFault(t, name, ask(), fault.Reauthenticate, "")
		who := mustKnow(t, s, held)
		_, err := s.Confirm(ctx, who, wrongPassword)
		wantFault(t, "the wrong password", err, fault.BadCredential, "password")
		wantFault(t, name+", after a wrong password", ask(), fault.Reauthenticate, "")
		// Refreshing is no password.
		next, err := s.Refresh(ctx, held.RefreshToken)
		if err != nil {
			t.Fatal(err)
		}
		held = next
		wantFault(t, name+", refreshed", ask(), fault.Reauthenticate, "")
		until, err := s.Confirm(ctx, who, r.Password)
		if left := time.Until(until); err != nil || left < 9*time.Minute || left > 11*time.Minute {
			t.Errorf("%s: confirmed for %v, %v", name, left, err)
		}
		if err := ask(); err != nil {
			t.Errorf("%s, after the password: %v", name, err)
		}
	}
	gone := mustKnow(t, s, held)
	if err := s.EndSession(ctx, gone, gone.Session); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Confirm(ctx, gone, r.Password); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a session that ended: %v", err)
	}
}

// Who changes a password ends every session that was begun with the one of before, those
// whose password was being checked just then with them.
func TestNoSessionBeginsWithAPasswordOfBefore(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	ctx := context.Background()
	r, home, _ := register(t, s)
	super := pgtest.Superuser(t)
	second := newcomer()
	second.Email, second.Password = r.Email, r.Password
	if _, _, err := s.Register(ctx, second); err != nil {
		t.Fatal(err)
	}
	watch(s.passwords, func(_, hash string) {
		if hash != "" {
			alter(t, super, 1, `update control.user_credentials set version = version + 1 where user_id = (select id from control.users where email = $1)`, r.Email)
		}
	})
	before := count(t, super, `select count(*) from control.sessions where tenant_id = $1`, home.ID)
	session, _, err := s.SignIn(ctx, home.Slug, r.Email, r.Password)
	wantFault(t, "signing in", err, fault.BadCredential, "password")
	entry, err := s.Enter(ctx, "", r.Email, r.Password) // who has yet to choose among two tenants
	wantFault(t, "for a ticket", err, fault.BadCredential, "password")
	if entry.Ticket != "" {
		t.Error("a ticket was given")
	}
	further := newcomer()
	further.Email, further.Password = r.Email, r.Password
	made, _, err := s.Register(ctx, further)
	wantFault(t, "registering", err, fault.BadCredential, "password")
	if session != nil || made != nil || count(t, super, `select count(*) from control.sessions where tenant_id = $1`, home.ID) != before {
		t.Errorf("a session began: %v, %v", session, made)
	}
}
