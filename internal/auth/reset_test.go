package auth

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
)

const newPassword = "another good one"

// mailsTo lists the mails that wait for an address, by template.
func mailsTo(t testing.TB, conn *pgx.Conn, address string) (found []string) {
	t.Helper()
	rows, err := conn.Query(context.Background(), `select args ->> 'template' from control.river_job where args ->> 'to' = $1 order by id`, address)
	if err != nil {
		t.Fatal(err)
	}
	if found, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		t.Fatal(err)
	}
	return found
}

// linkTo is the token of the last link that was mailed to an address, made as the mail's is.
func linkTo(t testing.TB, s *Service, address string) string {
	t.Helper()
	var link uuid.UUID
	var purpose string
	err := pgtest.Superuser(t).QueryRow(context.Background(), `select (args -> 'link' ->> 'id')::uuid, args -> 'link' ->> 'purpose' from control.river_job
		where args ->> 'to' = $1 and args -> 'link' is not null order by id desc limit 1`, address).Scan(&link, &purpose)
	if err != nil {
		t.Fatalf("no link to %s: %v", address, err)
	}
	return s.ring.Token(purpose, link)
}

// mustReset asks for a link and returns its token.
func mustReset(t testing.TB, s *Service, address string) string {
	t.Helper()
	if err := s.RequestPasswordReset(context.Background(), address); err != nil {
		t.Fatal(err)
	}
	return linkTo(t, s, address)
}

// An address with an account and one without are answered alike, by as many statements;
// a mail goes to the one that has.
func TestResetsAreAskedForAlike(t *testing.T) {
	t.Parallel()
	s, hashed := newService(t, pgtest.New(t))
	r, _, _ := register(t, s)
	super := pgtest.Superuser(t)
	unknown := newcomer().Email
	asked := func(address string) (statements int64) {
		t.Helper()
		ctx, counter := postgres.WithCounter(context.Background())
		before := hashed.Load()
		if err := s.RequestPasswordReset(ctx, address); err != nil || hashed.Load() != before {
			t.Errorf("%s: %v, %d hashes", address, err, hashed.Load()-before)
		}
		return counter.Statements()
	}
	for i := range 5 { // after three of them nothing is sent, and nothing said of it
		known, none := asked(strings.ToUpper(r.Email)), asked(unknown)
		if known != none || known == 0 {
			t.Errorf("time %d: %d statements for who has an account, %d for who has none", i, known, none)
		}
	}
	if diff := cmp.Diff([]string{"welcome", "password_reset", "password_reset", "password_reset"}, mailsTo(t, super, r.Email)); diff != "" {
		t.Errorf("mails: %s", diff)
	}
	if mails := mailsTo(t, super, unknown); len(mails) > 0 {
		t.Errorf("a mail to nobody: %s", mails)
	}
	for _, bad := range []string{"", "none", "a\x00@tests.example", strings.Repeat("a", 300) + "@tests.example"} {
		wantFault(t, "an address that is none", s.RequestPasswordReset(context.Background(), bad), fault.Invalid, "email")
	}
}

func TestResetPassword(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	other, w := second(t, s)
	ctx := context.Background()
	r, home, held := register(t, s)
	more := newcomer()
	more.Email = r.Email
	there, elsewhere, err := s.Register(ctx, more)
	if err != nil {
		t.Fatal(err)
	}
	_, _, foreign := register(t, s)
	wantFree(t, other, held.AccessToken)
	before, token := mustReset(t, s, r.Email), mustReset(t, s, r.Email)
	wantFault(t, "a password that is short", s.ResetPassword(ctx, token, "short"), fault.Invalid, "newPassword")
	if err := s.ResetPassword(ctx, token, newPassword); err != nil {
		t.Fatal(err) // the short one has not used it up
	}
	_, _, err = s.SignIn(ctx, home.Slug, r.Email, r.Password)
	wantFault(t, "the password of before", err, fault.BadCredential, "password")
	if _, _, err := s.SignIn(ctx, home.Slug, r.Email, newPassword); err != nil {
		t.Errorf("the new password: %v", err)
	}
	w.Settle(t)
	for name, held := range map[string]*Session{"here": held, "in another tenant": elsewhere} {
		if _, err := s.Refresh(ctx, held.RefreshToken); !fault.Is(err, fault.BadCredential) {
			t.Errorf("the session %s goes on: %v", name, err)
		}
		if _, err := other.Authenticate(ctx, held.AccessToken); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("the session %s, on another server: %v", name, err)
		}
	}
	if _, err := s.Refresh(ctx, foreign.RefreshToken); err != nil {
		t.Errorf("a session of somebody else: %v", err)
	}
	wantFault(t, "a link from before the change", s.ResetPassword(ctx, before, newPassword), fault.BadCredential, "token")
	super := pgtest.Superuser(t)
	if mails := mailsTo(t, super, r.Email); mails[len(mails)-1] != "password_changed" {
		t.Errorf("no notice: %s", mails)
	}
	for _, of := range []string{home.ID.UUID().String(), there.ID.UUID().String()} {
		if n := count(t, super, `select count(*) from control.access_events where tenant_id = $1 and action = 'user.password_reset'`, of); n != 1 {
			t.Errorf("%d entries", n)
		}
	}
}

// Whatever is wrong with a token of a link is answered alike, and does nothing.
func TestRefusedLinks(t *testing.T) {
	t.Parallel()
	s, hashed := newService(t, pgtest.New(t))
	ctx := context.Background()
	super := pgtest.Superuser(t)
	r, home, _ := register(t, s)
	foreign, _, _ := register(t, s)
	used := mustReset(t, s, r.Email)
	if err := s.ResetPassword(ctx, used, newPassword); err != nil {
		t.Fatal(err)
	}
	held := mustSignIn(t, ctx, s, home, Registration{Email: r.Email, Password: newPassword})
	expired := mustReset(t, s, r.Email)
	link, ok := s.ring.ParseToken(resetPurpose, expired)
	if !ok {
		t.Fatal("the token is not ours")
	}
	alter(t, super, 1, `update control.mail_links set expires_at = now() where id = $1`, link)
	if err := s.RequestEmailChange(NewContext(ctx, mustKnow(t, s, held)), mustKnow(t, s, held), newcomer().Email, nil); err != nil {
		t.Fatal(err)
	}
	var change uuid.UUID
	if err := super.QueryRow(ctx, `select l.id from control.mail_links as l join control.users as u on u.id = l.user_id where u.email = $1 and l.purpose = $2`, r.Email, emailPurpose).Scan(&change); err != nil {
		t.Fatal(err)
	}
	theirs := mustReset(t, s, foreign.Email)
	theirID, _ := s.ring.ParseToken(resetPurpose, theirs)
	stranger, _, err := keyring.New()
	if err != nil {
		t.Fatal(err)
	}
	before := hashed.Load()
	for name, token := range map[string]string{
		"used":                              used,
		"expired":                           expired,
		"for another purpose":               s.ring.Token(emailPurpose, change),
		"of another purpose's link":         s.ring.Token(resetPurpose, change),
		"of a link that never was":          s.ring.Token(resetPurpose, id.New()),
		"made with another key":             stranger.Token(resetPurpose, theirID),
		"that is the id alone":              "cht_" + theirID.String(),
		"another person's, cut short":       theirs[:len(theirs)-1],
		"another person's, with a tail":     theirs + "A",
		"another person's, in capitals":     strings.ToUpper(theirs),
		"another person's, without prefix":  strings.TrimPrefix(theirs, "cht_"),
		"another person's, changed":         theirs[:10] + strings.Map(func(c rune) rune { return c ^ 1 }, theirs[10:11]) + theirs[11:],
		"a refresh token":                   held.RefreshToken,
		"an access token":                   held.AccessToken,
		"nothing":                           "",
		"of 100 KB":                         strings.Repeat("a", 100_000),
		"with a NUL":                        theirs + "\x00",
		"of signs that are no UTF-8 at all": "\xff\xfe",
	} {
		if diff := cmp.Diff(error(badLink()), s.ResetPassword(ctx, token, "a third good password")); diff != "" {
			t.Errorf("a token %s is told apart: %s", name, diff)
		}
		if token == s.ring.Token(emailPurpose, change) {
			continue // which is right there
		}
		if diff := cmp.Diff(error(badLink()), s.ConfirmEmailChange(ctx, token)); diff != "" {
			t.Errorf("a token %s is told apart where an address is confirmed: %s", name, diff)
		}
	}
	if hashed.Load() != before {
		t.Error("a refused token had a password hashed")
	}
	for who, password := range map[string]string{r.Email: newPassword, foreign.Email: foreign.Password} {
		if _, _, err := s.SignIn(ctx, "", who, password); err != nil {
			t.Errorf("the password has changed: %v", err)
		}
	}
	mustKnow(t, s, held)
	if err := s.ResetPassword(ctx, theirs, newPassword); err != nil { // nothing of that used it up
		t.Errorf("the right one: %v", err)
	}
}

// Of all who use one link at the same moment one does.
func TestALinkWorksOnce(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	ctx := context.Background()
	r, home, _ := register(t, s)
	token, further := mustReset(t, s, r.Email), mustReset(t, s, r.Email)
	var done atomic.Int32
	var group sync.WaitGroup
	start := make(chan struct{})
	passwords := []string{"the first of the passwords", "the second of the passwords", "the third of the passwords", "the last of the passwords"}
	for i, password := range passwords {
		group.Go(func() {
			<-start
			mine := token
			if i == 3 {
				mine = further
			}
			if err := s.ResetPassword(ctx, mine, password); err == nil {
				done.Add(1)
			} else if !fault.Is(err, fault.BadCredential) {
				t.Error(err)
			}
		})
	}
	close(start)
	group.Wait()
	opens := 0
	for _, password := range passwords {
		if _, _, err := s.SignIn(ctx, home.Slug, r.Email, password); err == nil {
			opens++
		}
	}
	if done.Load() != 1 || opens != 1 {
		t.Errorf("%d resets were done, %d passwords open", done.Load(), opens)
	}
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	ctx := context.Background()
	r, home, held := register(t, s)
	elsewhere := mustSignIn(t, ctx, s, home, r)
	who := mustKnow(t, s, held)
	wantFault(t, "a short one", s.ChangePassword(ctx, who, r.Password, "short"), fault.Invalid, "newPassword")
	wantFault(t, "the wrong one", s.ChangePassword(ctx, who, wrongPassword, newPassword), fault.BadCredential, "currentPassword")
	if _, err := s.Authenticate(ctx, elsewhere.AccessToken); err != nil {
		t.Errorf("a change that was refused ended a session: %v", err)
	}
	if err := s.ChangePassword(ctx, who, r.Password, newPassword); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Authenticate(ctx, held.AccessToken); err != nil {
		t.Errorf("the session that changed it: %v", err)
	}
	if _, err := s.Authenticate(ctx, elsewhere.AccessToken); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("another session: %v", err)
	}
	_, _, err := s.SignIn(ctx, home.Slug, r.Email, r.Password)
	wantFault(t, "the password of before", err, fault.BadCredential, "password")
	if mails := mailsTo(t, pgtest.Superuser(t), r.Email); mails[len(mails)-1] != "password_changed" {
		t.Errorf("no notice: %s", mails)
	}
}

func TestChangeEmail(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	ctx := context.Background()
	super := pgtest.Superuser(t)
	r, home, held := register(t, s)
	taken, _, _ := register(t, s)
	who := mustKnow(t, s, held)
	recent := NewContext(ctx, who)
	fresh := newcomer().Email
	wantFault(t, "no address", s.RequestEmailChange(recent, who, "none", nil), fault.Invalid, "newEmail")
	wantFault(t, "the same address", s.RequestEmailChange(recent, who, strings.ToUpper(r.Email), nil), fault.Invalid, "newEmail")
	wantFault(t, "a wrong password", s.RequestEmailChange(recent, who, fresh, new(wrongPassword)), fault.BadCredential, "password")
	old := *who
	old.ConfirmedAt = new(time.Now().Add(-time.Hour))
	wantFault(t, "none, long after the last", s.RequestEmailChange(NewContext(ctx, &old), &old, fresh, nil), fault.Reauthenticate, "")

	// Whether somebody has the address is told neither at once nor by the link.
	if _, err := s.Confirm(ctx, who, r.Password); err != nil { // from here on it is known
		t.Fatal(err)
	}
	var statements []int64
	for _, address := range []string{taken.Email, fresh} {
		ctx, counter := postgres.WithCounter(NewContext(ctx, &old))
		if err := s.RequestEmailChange(ctx, &old, address, &r.Password); err != nil {
			t.Fatal(err)
		}
		statements = append(statements, counter.Statements())
	}
	if statements[0] != statements[1] {
		t.Errorf("an address that is taken took %d statements, another %d", statements[0], statements[1])
	}
	wantFault(t, "an address that is taken", s.ConfirmEmailChange(ctx, linkTo(t, s, taken.Email)), fault.BadCredential, "token")
	mustKnow(t, s, held)
	if mails := mailsTo(t, super, r.Email); len(mails) != 3 || mails[2] != "email_change" {
		t.Errorf("the present address was sent %s", mails)
	}
	reset := mustReset(t, s, r.Email)
	link := linkTo(t, s, fresh)
	if err := s.ConfirmEmailChange(ctx, link); err != nil {
		t.Fatal(err)
	}
	wantFault(t, "the link once more", s.ConfirmEmailChange(ctx, link), fault.BadCredential, "token")
	wantFault(t, "a link to the address of before", s.ResetPassword(ctx, reset, newPassword), fault.BadCredential, "token")
	if _, err := s.Authenticate(ctx, held.AccessToken); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a session goes on: %v", err)
	}
	_, _, err := s.SignIn(ctx, home.Slug, r.Email, r.Password)
	wantFault(t, "the address of before", err, fault.BadCredential, "password")
	if now := mustKnow(t, s, mustSignIn(t, ctx, s, home, Registration{Email: fresh, Password: r.Password})); now.User.Email != fresh {
		t.Errorf("the address is %s", now.User.Email)
	}
	if n := count(t, super, `select count(*) from control.access_events where tenant_id = $1 and action in ('user.email_change_requested', 'user.email_changed') and data = '{}'`, home.ID); n != 3 {
		t.Errorf("%d entries", n)
	}
}
