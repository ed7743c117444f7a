package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
)

// asked is a registration as who is not signed in asks for it.
func asked(r Registration) TenantRequest {
	return TenantRequest{Tenant: r.Tenant, Email: &r.Email, Password: &r.Password, DisplayName: &r.DisplayName}
}

// mustAsk asks for a tenant by mail and returns the token of the link.
func mustAsk(t testing.TB, s *Service, r Registration) (token string) {
	t.Helper()
	if made, err := s.RegisterTenant(context.Background(), asked(r)); err != nil || made.Tenant != nil || made.Session != nil {
		t.Fatalf("register by mail: %+v, %v", made, err)
	}
	return linkTo(t, s, strings.ToLower(r.Email))
}

// registrationOf is the id in the token of a registration.
func registrationOf(t testing.TB, s *Service, token string) uuid.UUID {
	t.Helper()
	of, ok := s.ring.ParseToken(registrationPurpose, token)
	if !ok {
		t.Fatal("the token is not ours")
	}
	return of
}

// wantNoAccount wants nothing of an address to be there but a half-registration.
func wantNoAccount(t testing.TB, s *Service, r Registration) {
	t.Helper()
	conn := pgtest.Superuser(t)
	if n := count(t, conn, `select count(*) from control.users where email = $1`, r.Email); n != 0 {
		t.Errorf("%d accounts of an address that nobody has confirmed", n)
	}
	if n := count(t, conn, `select count(*) from control.tenants where slug = $1`, r.Tenant.Slug); n != 0 {
		t.Errorf("%d tenants of an address that nobody has confirmed", n)
	}
	_, _, err := s.SignIn(context.Background(), "", r.Email, r.Password)
	wantFault(t, "signing in before the address is confirmed", err, fault.BadCredential, "password")
}

func TestRegisterByMail(t *testing.T) {
	t.Parallel()
	s, hashed := newService(t, pgtest.New(t))
	ctx := context.Background()
	r := newcomer()
	r.Email = strings.ToUpper(r.Email)
	token := mustAsk(t, s, r)
	r.Email = strings.ToLower(r.Email)
	if hashed.Load() != 1 {
		t.Errorf("%d hashes, want 1", hashed.Load())
	}
	wantNoAccount(t, s, r)
	conn := pgtest.Superuser(t)
	if diff := cmp.Diff([]string{"confirm_registration"}, mailsTo(t, conn, r.Email)); diff != "" {
		t.Error(diff)
	}
	// Whoever has the mailbox alone makes no account: a stranger may have chosen the password.
	for name, password := range map[string]*string{"none": nil, "another": new("another password, long enough"), "an empty one": new("")} {
		refused, err := s.ConfirmRegistration(ctx, Confirmation{Token: token, Password: password})
		wantFault(t, "with the password "+name, err, fault.BadCredential, "password")
		if refused != (Registered{}) {
			t.Errorf("with the password %s: %+v", name, refused)
		}
	}
	if n := hashed.Load(); n != 4 { // one of which wantNoAccount had
		t.Errorf("%d hashes, want 4", n)
	}
	wantNoAccount(t, s, r)
	made, err := s.ConfirmRegistration(ctx, Confirmation{Token: token, Password: new(goodPassword)})
	if err != nil || made.Tenant.Slug != r.Tenant.Slug || made.Tenant.Name != r.Tenant.Name || made.Tenant.Currency != r.Tenant.Currency {
		t.Fatalf("%+v, %v", made, err)
	}
	wantWhole(t, conn, r.Tenant.Slug, r.Email)
	if diff := cmp.Diff([]string{"confirm_registration", "welcome"}, mailsTo(t, conn, r.Email)); diff != "" {
		t.Error(diff)
	}
	who, err := s.Authenticate(ctx, made.Session.AccessToken)
	if err != nil || who.Tenant.ID != made.Tenant.ID || who.Role != RoleOwner || who.User.Email != r.Email || who.User.DisplayName != r.DisplayName {
		t.Fatalf("%+v, %v", who, err)
	}
	if _, err := s.RequireRecent(NewContext(ctx, who)); err != nil { // the password was just given
		t.Error(err)
	}
	mustSignIn(t, ctx, s, made.Tenant, r)
	if n := count(t, conn, `select count(*) from shared.categories where tenant_id = $1`, made.Tenant.ID); n != 1 {
		t.Errorf("%d categories to begin with, want 1", n)
	}

	// Used again, the link shows what it made, in the words of now, and does nothing.
	alter(t, conn, 1, `update control.tenants set name = 'Renamed' where id = $1`, made.Tenant.ID)
	for _, slug := range []*string{nil, new("another-" + r.Tenant.Slug[:20])} {
		again, err := s.ConfirmRegistration(ctx, Confirmation{Token: token, Password: new(goodPassword), Slug: slug})
		if err != nil || again.Session != nil || again.Tenant.ID != made.Tenant.ID || again.Tenant.Name != "Renamed" || again.Tenant.Slug != r.Tenant.Slug {
			t.Errorf("used again: %+v, %v", again, err)
		}
	}
	alter(t, conn, 1, `update control.tenants set name = $2 where id = $1`, made.Tenant.ID, r.Tenant.Name)
	wantWhole(t, conn, r.Tenant.Slug, r.Email)
	if n := count(t, conn, `select count(*) from control.memberships as m join control.users as u on u.id = m.user_id where u.email = $1`, r.Email); n != 1 {
		t.Errorf("%d memberships", n)
	}
	if n := count(t, conn, `select count(*) from control.registrations where email = $1 and password_hash is null`, r.Email); n != 1 {
		t.Error("the password of a registration that is done is kept")
	}
}

// An address with an account and one without are answered alike, by as many statements and
// hashes. Only the mail tells, and a password that was given is none of the account's.
func TestRegistrationsAreAskedForAlike(t *testing.T) {
	t.Parallel()
	s, hashed := newService(t, pgtest.New(t))
	ctx := context.Background()
	r, home, _ := register(t, s)
	conn := pgtest.Superuser(t)
	known, unknown := newcomer(), newcomer()
	known.Email, known.Password, known.DisplayName = r.Email, wrongPassword+" and longer", "Somebody else"
	type seen struct {
		Registered
		Err        string
		Statements int64
		Hashes     int64
	}
	ask := func(r Registration) seen {
		r.Tenant.Slug = newcomer().Tenant.Slug
		ctx, counter := postgres.WithCounter(from("the network of " + r.Email))
		before := hashed.Load()
		made, err := s.RegisterTenant(ctx, asked(r))
		said := seen{Err: fmt.Sprint(err), Statements: counter.Statements(), Hashes: hashed.Load() - before}
		if err == nil {
			said.Registered = made
		}
		return said
	}
	for i := range 5 { // from the fourth on it has to wait
		one, other := ask(known), ask(unknown)
		if diff := cmp.Diff(one, other); diff != "" || one.Statements == 0 || one.Hashes != 1 {
			t.Errorf("time %d: told apart (-known +unknown): %s", i, diff)
		}
		if limited := one.Err != "<nil>"; limited != (i >= 3) {
			t.Errorf("time %d: %s", i, one.Err)
		}
	}
	if diff := cmp.Diff([]string{"welcome", "already_registered", "already_registered", "already_registered"}, mailsTo(t, conn, r.Email)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"confirm_registration", "confirm_registration", "confirm_registration"}, mailsTo(t, conn, unknown.Email)); diff != "" {
		t.Error(diff)
	}
	signIn := func(when string) {
		t.Helper()
		_, _, err := s.SignIn(ctx, "", r.Email, known.Password)
		wantFault(t, "the password of the registration, "+when, err, fault.BadCredential, "password")
		if _, _, err := s.SignIn(ctx, home.Slug, r.Email, r.Password); err != nil {
			t.Errorf("the account's own, %s: %v", when, err)
		}
	}
	signIn("before")
	made, err := s.ConfirmRegistration(ctx, Confirmation{Token: linkTo(t, s, r.Email), Password: new(goodPassword)})
	if err != nil || made.Session != nil {
		t.Fatalf("%+v, %v", made, err)
	}
	signIn("after")
	in, _, err := s.SignIn(ctx, made.Tenant.Slug, r.Email, r.Password)
	if err != nil {
		t.Fatalf("the account in its further tenant: %v", err)
	}
	if who := mustKnow(t, s, in); who.Role != RoleOwner || who.User.DisplayName != r.DisplayName {
		t.Errorf("%+v", who)
	}
}

// Who got an account between registering and confirming keeps it as it is, also where
// both happen at the same moment.
func TestAnAccountThatIsThereByThenIsKept(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	ctx := context.Background()
	first, later := newcomer(), newcomer()
	later.Email, later.Password = first.Email, "a stranger's password"
	token := mustAsk(t, s, later)
	mine := mustAsk(t, s, first)
	if made, err := s.ConfirmRegistration(ctx, Confirmation{Token: mine, Password: new(goodPassword)}); err != nil || made.Session == nil {
		t.Fatalf("%+v, %v", made, err)
	}
	made, err := s.ConfirmRegistration(ctx, Confirmation{Token: token, Password: new(goodPassword)})
	if err != nil || made.Session != nil {
		t.Fatalf("%+v, %v", made, err)
	}
	_, _, err = s.SignIn(ctx, made.Tenant.Slug, first.Email, later.Password)
	wantFault(t, "the password that came second", err, fault.BadCredential, "password")
	mustSignIn(t, ctx, s, made.Tenant, first)

	one, other := newcomer(), newcomer()
	other.Email, other.Password = one.Email, "another good password"
	tokens := []string{mustAsk(t, s, one), mustAsk(t, s, other)}
	var sessions atomic.Int32
	var group sync.WaitGroup
	start := make(chan struct{})
	for i, token := range tokens {
		group.Go(func() {
			<-start
			made, err := s.ConfirmRegistration(ctx, Confirmation{Token: token, Password: &[]string{one.Password, other.Password}[i]})
			if err != nil {
				t.Errorf("one of two links of an address: %v", err)
			} else if made.Session != nil {
				sessions.Add(1)
			}
		})
	}
	close(start)
	group.Wait()
	if sessions.Load() != 1 {
		t.Errorf("%d sessions of two confirmations, of which one made the account", sessions.Load())
	}
	for _, slug := range []string{one.Tenant.Slug, other.Tenant.Slug} {
		wantWhole(t, pgtest.Superuser(t), slug, one.Email)
	}
}

// Of all who confirm one registration at the same moment one makes it, and the others are
// shown what was made.
func TestARegistrationIsConfirmedOnce(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	other, _ := second(t, s)
	r := newcomer()
	token := mustAsk(t, s, r)
	var sessions atomic.Int32
	var group sync.WaitGroup
	start := make(chan struct{})
	shown := make([]tenant.ID, 6)
	for i := range shown {
		group.Go(func() {
			at := s
			if i%2 == 0 {
				at = other
			}
			<-start
			made, err := at.ConfirmRegistration(context.Background(), Confirmation{Token: token, Password: new(goodPassword)})
			if err != nil {
				t.Error(err)
				return
			}
			shown[i] = made.Tenant.ID
			if made.Session != nil {
				sessions.Add(1)
			}
		})
	}
	close(start)
	group.Wait()
	for _, one := range shown {
		if one != shown[0] {
			t.Errorf("they were shown %v", shown)
			break
		}
	}
	if sessions.Load() != 1 {
		t.Errorf("%d sessions", sessions.Load())
	}
	wantWhole(t, pgtest.Superuser(t), r.Tenant.Slug, r.Email)
}

// A half-registration keeps no slug. Who comes second chooses another, by the same link.
func TestASlugThatWasTakenMeanwhile(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	ctx := context.Background()
	r, quicker := newcomer(), newcomer()
	quicker.Tenant.Slug = r.Tenant.Slug
	token := mustAsk(t, s, r)
	if _, err := s.ConfirmRegistration(ctx, Confirmation{Token: mustAsk(t, s, quicker), Password: new(goodPassword)}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := s.ConfirmRegistration(ctx, Confirmation{Token: token, Password: new(goodPassword)})
		wantFault(t, "a slug that somebody has by now", err, fault.Taken, "slug")
	}
	for slug, code := range map[string]fault.Code{quicker.Tenant.Slug: fault.Taken, "admin": fault.Taken, "No slug": fault.Invalid, "": fault.Invalid} {
		_, err := s.ConfirmRegistration(ctx, Confirmation{Token: token, Password: new(goodPassword), Slug: &slug})
		wantFault(t, "another slug, "+slug, err, code, "slug")
	}
	slug := r.Tenant.Slug
	wantNoAccount(t, s, Registration{Tenant: control.Registration{Slug: "nobody-has-this"}, Email: r.Email, Password: r.Password})
	r.Tenant.Slug = newcomer().Tenant.Slug
	made, err := s.ConfirmRegistration(ctx, Confirmation{Token: token, Password: new(goodPassword), Slug: &r.Tenant.Slug})
	if err != nil || made.Session == nil || made.Tenant.Slug != r.Tenant.Slug {
		t.Fatalf("%+v, %v", made, err)
	}
	wantWhole(t, pgtest.Superuser(t), r.Tenant.Slug, r.Email)
	wantWhole(t, pgtest.Superuser(t), slug, quicker.Email)
}

// Whatever is wrong with a token is answered alike, after as many statements, and does
// nothing.
func TestRefusedRegistrationTokens(t *testing.T) {
	t.Parallel()
	s, hashed := newService(t, pgtest.New(t))
	ctx := context.Background()
	conn := pgtest.Superuser(t)
	member, home, held := register(t, s)
	r, late := newcomer(), newcomer()
	token, expired := mustAsk(t, s, r), mustAsk(t, s, late)
	alter(t, conn, 1, `update control.registrations set expires_at = now() where id = $1`, registrationOf(t, s, expired))
	done := newcomer()
	old := mustAsk(t, s, done)
	if _, err := s.ConfirmRegistration(ctx, Confirmation{Token: old, Password: new(goodPassword)}); err != nil {
		t.Fatal(err)
	}
	alter(t, conn, 1, `update control.registrations set expires_at = now() where id = $1`, registrationOf(t, s, old))
	who := mustKnow(t, s, held)
	reset := mustReset(t, s, member.Email)
	invited := newcomer().Email
	if _, err := s.Invite(NewContext(ctx, who), who, invited, RoleViewer); err != nil {
		t.Fatal(err)
	}
	moved := newcomer().Email
	if err := s.RequestEmailChange(NewContext(ctx, who), who, moved, &member.Password); err != nil {
		t.Fatal(err)
	}
	stranger, _, err := keyring.New()
	if err != nil {
		t.Fatal(err)
	}
	of := registrationOf(t, s, token)
	before := hashed.Load()
	var first *int64
	for name, refused := range map[string]string{
		"expired":                      expired,
		"expired, of what was made":    old,
		"of a registration never made": s.ring.Token(registrationPurpose, id.New()),
		"for a reset":                  reset,
		"for another purpose":          s.ring.Token(resetPurpose, of),
		"of an invitation":             linkTo(t, s, invited),
		"of a new address":             linkTo(t, s, moved),
		"made with another key":        stranger.Token(registrationPurpose, of),
		"that is the id alone":         "cht_" + of.String(),
		"cut short":                    token[:len(token)-1],
		"with a tail":                  token + "A",
		"without its prefix":           strings.TrimPrefix(token, "cht_"),
		"an access token":              held.AccessToken,
		"nothing":                      "",
		"of 100 KB":                    strings.Repeat("a", 100_000),
		"with a NUL":                   token + "\x00",
	} {
		ctx, counter := postgres.WithCounter(ctx)
		made, err := s.ConfirmRegistration(ctx, Confirmation{Token: refused, Password: new(goodPassword)})
		if diff := cmp.Diff(noRegistration(), err); diff != "" || made != (Registered{}) {
			t.Errorf("a token %s is told apart: %s", name, diff)
		}
		if n := counter.Statements(); first == nil {
			first = &n
		} else if n != *first {
			t.Errorf("a token %s took %d statements, others %d", name, n, *first)
		}
	}
	if hashed.Load() != before {
		t.Error("a refused token had a password hashed")
	}
	wantNoAccount(t, s, r)
	for what, err := range map[string]error{
		"a reset": s.ResetPassword(ctx, token, newPassword), "a new address": s.ConfirmEmailChange(ctx, token),
	} {
		if !fault.Is(err, fault.BadCredential) {
			t.Errorf("the token of a registration, shown for %s: %v", what, err)
		}
	}
	if _, _, err := s.AcceptInvitation(ctx, Acceptance{Token: token, Password: new(goodPassword), DisplayName: new("A guest")}); !fault.Is(err, fault.BadCredential) {
		t.Errorf("the token of a registration, shown for an invitation: %v", err)
	}
	if _, err := s.ConfirmRegistration(ctx, Confirmation{Token: token, Password: new(goodPassword)}); err != nil { // nothing of that used it up
		t.Errorf("the right one: %v", err)
	}
	mustSignIn(t, ctx, s, home, member)
}

// Who is signed in has shown who they are: their tenant is made at once, for the account
// as it is.
func TestWhoIsSignedInGetsAFurtherTenant(t *testing.T) {
	t.Parallel()
	s, hashed := newService(t, pgtest.New(t))
	r, home, held := register(t, s)
	conn := pgtest.Superuser(t)
	who := mustKnow(t, s, held)
	ctx := NewContext(context.Background(), who)
	alter(t, conn, 1, `update control.sessions set ends_at = now() + interval '1 hour' where id = $1`, who.Session.UUID())
	before := hashed.Load()
	further := newcomer()
	made, err := s.RegisterTenant(ctx, TenantRequest{Tenant: further.Tenant})
	if err != nil || made.Tenant == nil || made.Session == nil || hashed.Load() != before {
		t.Fatalf("%+v, %v, %d hashes", made, err, hashed.Load()-before)
	}
	wantWhole(t, conn, further.Tenant.Slug, r.Email)
	there := mustKnow(t, s, made.Session)
	if there.Tenant.ID != made.Tenant.ID || there.Role != RoleOwner || there.User.ID != who.User.ID || there.ConfirmedAt != nil {
		t.Errorf("%+v", there)
	}
	if n := count(t, conn, `select count(*) from control.sessions as s join control.sessions as old on old.id = $2 where s.id = $1 and s.ends_at = old.ends_at and s.expires_at <= s.ends_at`, there.Session.UUID(), who.Session.UUID()); n != 1 {
		t.Error("the session outlasts the one that asked")
	}
	if _, err := s.Authenticate(context.Background(), held.AccessToken); err != nil {
		t.Errorf("the session that asked: %v", err)
	}
	if diff := cmp.Diff([]string{"welcome", "welcome"}, mailsTo(t, conn, r.Email)); diff != "" {
		t.Error(diff)
	}
	_, err = s.RegisterTenant(ctx, TenantRequest{Tenant: control.Registration{Name: "More", Slug: home.Slug, Currency: "EUR"}})
	wantFault(t, "a slug in use", err, fault.Taken, "slug")
	all := asked(newcomer())
	_, err = s.RegisterTenant(ctx, all)
	var fields []string
	for _, one := range err.(interface{ Unwrap() []error }).Unwrap() { //nolint:errorlint // joined
		fields = append(fields, one.(*fault.Error).Field...) //nolint:errorlint // each is coded
	}
	if diff := cmp.Diff([]string{"email", "password", "displayName"}, fields); diff != "" {
		t.Error(diff)
	}
	// Not by a session that has ended meanwhile.
	if err := s.SignOut(ctx, who.Session); err != nil {
		t.Fatal(err)
	}
	gone := newcomer()
	_, err = s.RegisterTenant(ctx, TenantRequest{Tenant: gone.Tenant})
	wantFault(t, "by a session that has ended", err, fault.Unauthenticated, "")
	if n := count(t, conn, `select count(*) from control.tenants where slug = $1`, gone.Tenant.Slug); n != 0 {
		t.Error("a tenant was made by a session that has ended")
	}
}

// What has to wait, and for how long: an address, a network, an account, and who asks
// which slugs there are.
func TestRegistrationsWait(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	network := from(freshNetwork())
	again := func(ctx context.Context, r Registration) error {
		r.Tenant.Slug = newcomer().Tenant.Slug
		_, err := s.RegisterTenant(ctx, asked(r))
		return err
	}
	wantWait := func(what string, err error) {
		t.Helper()
		wantFault(t, what, err, fault.RateLimited, "")
		if coded, ok := err.(*fault.Error); ok && coded.RetryAfter <= 0 { //nolint:errorlint // what is shown is the outermost one
			t.Errorf("%s: it does not say how long", what)
		}
	}
	r, stranger := newcomer(), from(freshNetwork())
	for range registrationsOfDevice.free + 1 {
		if err := again(stranger, r); err != nil {
			t.Fatal(err)
		}
	}
	// What a stranger tries from one place counts a few times, however often it is tried.
	for range 20 {
		wantWait("a fourth mail to an address from a network", again(stranger, r))
	}
	for range registrationsOfAddress.free - registrationsOfDevice.free {
		if err := again(from(freshNetwork()), r); err != nil {
			t.Fatalf("from elsewhere: %v", err)
		}
	}
	err := again(from(freshNetwork()), r)
	wantWait("a further mail to an address", err)
	var coded *fault.Error
	if errors.As(err, &coded) && coded.RetryAfter > registrationsOfAddress.longest {
		t.Errorf("whoever has the address has to wait %v", coded.RetryAfter)
	}
	want := int(registrationsOfAddress.free) + 1
	if n := count(t, conn, `select count(*) from control.registrations where email = $1`, r.Email); n != want || len(mailsTo(t, conn, r.Email)) != want {
		t.Errorf("%d registrations, mails %s", n, mailsTo(t, conn, r.Email))
	}
	// Earlier links work, and an hour later it begins anew.
	if _, err := s.ConfirmRegistration(network, Confirmation{Token: linkTo(t, s, r.Email), Password: new(goodPassword)}); err != nil {
		t.Error(err)
	}
	passes(t, s.attemptKey(registrationsOfAddress, r.Email), "61 minutes")
	if err := again(from(freshNetwork()), r); err != nil {
		t.Errorf("an hour later: %v", err)
	}

	full := func(key []byte, l limit) {
		t.Helper()
		alter(t, conn, 1, `update control.attempts set failures = $2 where key = $1`, key, l.free+1)
	}
	if err := again(network, newcomer()); err != nil {
		t.Fatal(err)
	}
	full(s.attemptKey(registrationsOfNetwork, clientOf(network).network), registrationsOfNetwork)
	if err := again(network, newcomer()); err != nil {
		t.Fatal(err)
	}
	wantWait("another address from the network", again(network, newcomer()))
	_, _, held := register(t, s)
	home := mustKnow(t, s, held)
	_, err = s.RegisterTenant(network, asked(Registration{Tenant: control.Registration{Name: "N", Slug: home.Tenant.Slug, Currency: "EUR"}, Email: newcomer().Email, Password: goodPassword, DisplayName: "N"}))
	wantWait("asking there by registering whether a slug is in use", err)
	if err := again(from(freshNetwork()), newcomer()); err != nil {
		t.Errorf("another network: %v", err)
	}

	// Who is signed in.
	ctx := NewContext(context.Background(), home)
	further := func() error { _, err := s.RegisterTenant(ctx, TenantRequest{Tenant: newcomer().Tenant}); return err }
	if err := further(); err != nil {
		t.Fatal(err)
	}
	full(s.attemptKey(tenantsOfAccount, home.User.ID.String()), tenantsOfAccount)
	if err := further(); err != nil {
		t.Fatal(err)
	}
	wantWait("one more tenant of an account", further())
}

func TestSlugAvailable(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	r, home, _ := register(t, s)
	half := newcomer()
	token := mustAsk(t, s, half)
	ctx := from(freshNetwork())
	for slug, want := range map[string]bool{
		home.Slug: false, newcomer().Tenant.Slug: true, half.Tenant.Slug: true, // which it keeps from nobody
		"admin": false, "ab": false, "Acme": false, "a--b": false, "": false, "a\x00b": false, strings.Repeat("a", 41): false, r.Email: false,
	} {
		if got, err := s.SlugAvailable(ctx, slug); err != nil || got != want {
			t.Errorf("%q: %t, %v", slug, got, err)
		}
	}
	key := s.attemptKey(slugsOfNetwork, clientOf(ctx).network)
	alter(t, pgtest.Superuser(t), 1, `update control.attempts set failures = $2 where key = $1`, key, slugsOfNetwork.free+1)
	if _, err := s.SlugAvailable(ctx, home.Slug); err != nil {
		t.Fatal(err)
	}
	_, err := s.SlugAvailable(ctx, home.Slug)
	wantFault(t, "too many", err, fault.RateLimited, "")
	_, err = s.ConfirmRegistration(ctx, Confirmation{Token: token, Password: new(goodPassword), Slug: &home.Slug})
	wantFault(t, "asking by a link", err, fault.RateLimited, "")
	if _, err := s.SlugAvailable(from(freshNetwork()), home.Slug); err != nil {
		t.Errorf("another network: %v", err)
	}
}

// Half-registrations are forgotten when somebody else registers, a few at a time; one that
// is good stays.
func TestHalfRegistrationsAreForgotten(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	old, good := newcomer(), newcomer()
	gone := registrationOf(t, s, mustAsk(t, s, old))
	kept := mustAsk(t, s, good)
	if n := count(t, conn, `select count(*) from control.registrations where id = $1 and expires_at = created_at + interval '24 hours'`, gone); n != 1 {
		t.Error("it does not last a day")
	}
	alter(t, conn, 1, `update control.registrations set expires_at = now() - interval '1000 years' where id = $1`, gone)
	mustAsk(t, s, newcomer())
	if n := count(t, conn, `select count(*) from control.registrations where id = $1`, gone); n != 0 {
		t.Error("what has expired is kept")
	}
	if _, err := s.ConfirmRegistration(context.Background(), Confirmation{Token: kept, Password: new(goodPassword)}); err != nil {
		t.Errorf("one that is good: %v", err)
	}
}

// A server that confirms by itself makes the tenant of a new address at once. An address
// that has an account goes by mail there too.
func TestSelfConfirming(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	s.SelfConfirming()
	ctx := context.Background()
	r := newcomer()
	made, err := s.RegisterTenant(ctx, asked(r))
	if err != nil || made.Tenant == nil || made.Session == nil {
		t.Fatalf("%+v, %v", made, err)
	}
	wantWhole(t, pgtest.Superuser(t), r.Tenant.Slug, r.Email)
	more := newcomer()
	more.Email = r.Email
	token := mustAsk(t, s, more)
	if made, err := s.ConfirmRegistration(ctx, Confirmation{Token: token, Password: new(goodPassword)}); err != nil || made.Session != nil {
		t.Errorf("%+v, %v", made, err)
	}
}

// Who confirms leaves before each statement in turn: all of a tenant is there or nothing,
// and the link works until it is.
func TestAConfirmationIsWholeWhereverItIsCancelled(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, pgtest.New(t))
	conn := pgtest.Superuser(t)
	stood, failed := 0, 0
	for step := int64(1); ; step++ {
		r := newcomer()
		token := mustAsk(t, s, r)
		alter(t, conn, 1, `delete from control.river_job where args ->> 'to' = $1`, r.Email) // the mail that is sent anyway
		ctx, cancel := context.WithCancel(context.Background())
		counted, _ := postgres.WithCounter(ctx)
		at := &cancelAt{Context: counted, cancel: cancel}
		at.left.Store(step)
		_, err := s.ConfirmRegistration(at, Confirmation{Token: token, Password: new(goodPassword)})
		cancel()
		stands := wantWholeOrNothing(t, conn, r.Tenant.Slug, r.Email)
		if err == nil && !stands {
			t.Errorf("step %d: success was reported for nothing", step)
		}
		if used := count(t, conn, `select count(*) from control.registrations where id = $1 and became_id is not null`, registrationOf(t, s, token)) == 1; used != stands {
			t.Errorf("step %d: the link is used: %t, the tenant stands: %t", step, used, stands)
		}
		again, err := s.ConfirmRegistration(context.Background(), Confirmation{Token: token, Password: new(goodPassword)})
		if err != nil || (again.Session == nil) != stands {
			t.Errorf("step %d: confirming again: %+v, %v", step, again, err)
		}
		wantWhole(t, conn, r.Tenant.Slug, r.Email)
		mustSignIn(t, context.Background(), s, again.Tenant, r)
		if stands {
			stood++
		} else {
			failed++
		}
		if at.left.Load() > 0 { // not cancelled any more: every step was
			break
		}
	}
	if stood < 3 || failed < 8 {
		t.Errorf("%d confirmations stood and %d failed: the steps were not met", stood, failed)
	}
}
