package graph_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/pgtest"
)

var operationName = regexp.MustCompile(`^(?:query|mutation) (\w+)`)

// flow runs what a document shows, by name.
type flow struct {
	t      testing.TB
	api    *apitest.API
	file   string
	shown  map[string]string
	header map[string]string // of the requests
	answer reply             // the last one
	ran    map[string]bool
}

func newFlow(t *testing.T, api *apitest.API, file string) *flow {
	t.Helper()
	f := &flow{t: t, api: api, file: file, shown: make(map[string]string), ran: make(map[string]bool)}
	for _, operation := range documented(t)["../docs/"+file] {
		if name := operationName.FindStringSubmatch(operation); name != nil {
			f.shown[name[1]] = operation
		}
	}
	return f
}

// run asks with an access token, "" for none, and reads the answer's only root field.
func (f *flow) run(name, token string, variables map[string]any, into any) {
	f.t.Helper()
	if f.shown[name] == "" {
		f.t.Fatalf("%s does not show %s", f.file, name)
	}
	answer := ask(f.t, f.api, token, f.shown[name], variables, f.header)
	f.answer, f.ran[name] = answer, true
	var got struct {
		Data   map[string]json.RawMessage
		Errors json.RawMessage
	}
	if err := json.Unmarshal([]byte(answer.body), &got); err != nil || got.Errors != nil || len(got.Data) != 1 {
		f.t.Fatalf("%s: %v %s", name, err, answer.body)
	}
	for _, field := range got.Data {
		if err := json.Unmarshal(field, into); err != nil {
			f.t.Fatalf("%s: %v %s", name, err, answer.body)
		}
	}
}

// membership is where a person may go.
type membership struct {
	Role   string
	Tenant struct{ Slug string }
}

func TestOnePersonInSeveralTenantsAsDocumented(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	p, f := newWidelyKnown(t, api), newFlow(t, api, "auth.md")
	var in struct {
		Session     *session
		Memberships []membership
		Ticket      string
		UserErrors  []userError
	}
	f.run("SignInSomewhere", "", map[string]any{"email": p.Email, "password": apitest.Password}, &in)
	if in.Session != nil || len(in.Memberships) != 2 || len(in.UserErrors) != 1 {
		t.Fatalf("%+v", in)
	}
	var chosen struct {
		Session    *session
		Membership *membership
		UserErrors []userError
	}
	f.run("ChooseTenant", "", map[string]any{"tenant": in.Memberships[0].Tenant.Slug, "ticket": in.Ticket}, &chosen)
	if chosen.Session == nil || *chosen.Membership != in.Memberships[0] {
		t.Fatalf("%+v", chosen)
	}
	var viewer struct {
		Tenant      struct{ Slug string }
		Memberships []membership
	}
	f.run("WhereMayIGo", chosen.Session.AccessToken, nil, &viewer)
	if viewer.Tenant.Slug != in.Memberships[0].Tenant.Slug || len(viewer.Memberships) != 2 {
		t.Fatalf("%+v", viewer)
	}
	f.run("SwitchTenant", chosen.Session.AccessToken, map[string]any{"tenant": viewer.Memberships[1].Tenant.Slug}, &chosen)
	if r := ask(t, api, chosen.Session.AccessToken, `{ tenant { slug } }`, nil, nil); !strings.Contains(r.body, viewer.Memberships[1].Tenant.Slug) {
		t.Error(r.body)
	}
}

func TestInvitingAsDocumented(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner, other, f := api.NewTenant(t), api.NewTenant(t), newFlow(t, api, "auth.md")
	type payload struct {
		Invitation *struct{ ID, Status string }
		Session    *session
		Membership membership
		UserErrors []userError
	}
	invited := func(email string) (id, token string) {
		t.Helper()
		var sent payload
		f.run("Invite", owner.Token, map[string]any{"email": email}, &sent)
		if sent.Invitation == nil {
			t.Fatalf("%+v", sent)
		}
		return sent.Invitation.ID, api.Ring.Token(invitationPurpose, invitationID(t, sent.Invitation.ID))
	}
	var anew, again, back payload
	_, token := invited(someAddress())
	f.run("JoinAnew", "", map[string]any{"token": token, "password": "a password of mine", "name": "Somebody"}, &anew)
	_, token = invited(other.Email)
	f.run("Join", other.Token, map[string]any{"token": token}, &again)
	for _, p := range []payload{anew, again} {
		if p.Session == nil || p.Membership.Role != "MEMBER" || p.Membership.Tenant.Slug != owner.Tenant.Slug {
			t.Errorf("%+v", p)
		}
	}
	mistake, _ := invited(someAddress())
	f.run("TakeBack", owner.Token, map[string]any{"id": mistake}, &back)
	var all struct {
		Nodes      []struct{ Status string }
		TotalCount int
	}
	f.run("Invitations", owner.Token, nil, &all)
	if back.Invitation == nil || back.Invitation.Status != "REVOKED" || all.TotalCount != 3 || all.Nodes[0].Status != "REVOKED" || all.Nodes[2].Status != "ACCEPTED" {
		t.Errorf("%+v, %+v", back, all)
	}
}

// What docs/sessions.md shows, in the life of one person: a browser and a phone, two tabs
// at the same moment, a phone that is lost, another password and a forgotten one.
func TestSessionsAsDocumented(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	p := api.NewTenant(t)
	type payload struct {
		Session        *session
		EndedSessions  int
		EndedSessionID *string
		ConfirmedUntil *string
		UserErrors     []userError
		Sessions       []struct{ ID, UserAgent string }
		Role           string
	}
	page, phone := newFlow(t, api, "sessions.md"), newFlow(t, api, "sessions.md")
	page.header, phone.header = map[string]string{"User-Agent": "A page"}, map[string]string{"User-Agent": "A phone"}
	did := func(f *flow, name, token string, variables map[string]any) payload {
		t.Helper()
		var got payload
		if f.run(name, token, variables, &got); len(got.UserErrors) > 0 {
			t.Fatalf("%s: %+v", name, got.UserErrors)
		}
		return got
	}
	works := func(token string, want bool) {
		t.Helper()
		if r := ask(t, api, token, `{ viewer { role } }`, nil, nil); succeeded(r) != want {
			t.Errorf("a token works: %v, %s", !want, r.body)
		}
	}
	// A page leaves the token in its cookie, and says nothing from then on.
	in := did(page, "SignInFromAPage", "", map[string]any{"email": p.Email, "password": apitest.Password}).Session
	cookie, _, _ := strings.Cut(page.answer.header.Get("Set-Cookie"), ";")
	if in.RefreshToken != "" || !strings.HasPrefix(cookie, "__Host-commonhold-refresh=") {
		t.Fatalf("%+v, %v", in, page.answer.header)
	}
	page.header["Cookie"] = cookie
	in = did(page, "RefreshFromTheCookie", "", nil).Session
	works(in.AccessToken, true)

	// A phone keeps it, and two of its tabs refresh at the same moment.
	held := ask(t, api, "", `mutation($e: String!, $p: String!) { signIn(input: {email: $e, password: $p}) { session { refreshToken } } }`, map[string]any{"e": p.Email, "p": apitest.Password}, phone.header)
	token := regexp.MustCompile(`"refreshToken":"([^"]+)"`).FindStringSubmatch(held.body)[1]
	tabs := []*flow{newFlow(t, api, "sessions.md"), newFlow(t, api, "sessions.md")}
	got := make([]payload, len(tabs))
	var both sync.WaitGroup
	for i, tab := range tabs {
		both.Go(func() { tab.run("Refresh", "", map[string]any{"refreshToken": token}, &got[i]) })
	}
	both.Wait()
	if got[0].Session == nil || got[1].Session == nil || got[0].Session.RefreshToken != got[1].Session.RefreshToken {
		t.Fatalf("two tabs: %+v", got)
	}
	lost := did(phone, "Refresh", "", map[string]any{"refreshToken": got[1].Session.RefreshToken}).Session
	works(lost.AccessToken, true)

	// The phone is lost: its session is found by its name, and ended.
	devices := did(page, "Devices", in.AccessToken, nil).Sessions
	i := slices.IndexFunc(devices, func(d struct{ ID, UserAgent string }) bool { return d.UserAgent == "A phone" })
	if len(devices) != 3 || i < 0 { // with the one that the test began
		t.Fatalf("%+v", devices)
	}
	if ended := did(page, "LostPhone", in.AccessToken, map[string]any{"id": devices[i].ID}).EndedSessionID; ended == nil || *ended != devices[i].ID {
		t.Errorf("ended %v", ended)
	}
	works(lost.AccessToken, false)
	works(in.AccessToken, true)
	if ended := did(page, "EverythingElse", in.AccessToken, nil).EndedSessions; ended != 1 {
		t.Errorf("%d sessions ended", ended)
	}
	works(p.Token, false)

	// The password again, another one, and one that was forgotten.
	const next, last = "another password, long enough", "the last password, long enough"
	if until := did(page, "PasswordAgain", in.AccessToken, map[string]any{"password": apitest.Password}).ConfirmedUntil; until == nil {
		t.Error("nothing was confirmed")
	}
	did(page, "AnotherPassword", in.AccessToken, map[string]any{"currentPassword": apitest.Password, "newPassword": next})
	works(in.AccessToken, true)
	did(page, "Forgotten", "", map[string]any{"email": p.Email})
	super := pgtest.Superuser(t)
	link := columnOne[uuid.UUID](t, super, `select l.id from control.mail_links as l join control.users as u on u.id = l.user_id where u.email = $1 and l.used_at is null`, p.Email)
	did(page, "NewPassword", "", map[string]any{"token": api.Ring.Token("password reset", link), "newPassword": last})
	works(in.AccessToken, false)
	in = did(page, "SignInFromAPage", "", map[string]any{"email": p.Email, "password": last}).Session
	works(in.AccessToken, true)

	// Another address: the link is not in the answer.
	address := someAddress()
	did(page, "AnotherAddress", in.AccessToken, map[string]any{"newEmail": address, "password": last})
	if n := columnOne[int64](t, super, `select count(*) from control.mail_links where email = $1`, address); n != 1 {
		t.Errorf("%d links", n)
	}
	for name := range page.shown {
		if !page.ran[name] && !phone.ran[name] && !tabs[0].ran[name] {
			t.Errorf("docs/sessions.md shows %s, which nobody ran", name)
		}
	}
}
