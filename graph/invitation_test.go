package graph_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/job"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/pgtest"
)

const (
	invitationPurpose = "invitation"
	inviteDocument    = `mutation($email: String!, $role: Role!) { inviteMember(input: {email: $email, role: $role}) { invitation { id status role } userErrors { field message code } } }`
	acceptDocument    = `mutation($token: String!, $password: String, $name: String) { acceptInvitation(input: {token: $token, password: $password, displayName: $name}) {
		session { accessToken refreshToken } membership { role tenant { slug } } userErrors { field message code } } }`
)

// invite sends an invitation and gives its id.
func invite(t testing.TB, c *apitest.Client, email, role string) string {
	t.Helper()
	var got struct {
		InviteMember struct {
			Invitation *struct{ ID string }
			UserErrors []userError
		}
	}
	c.Must(t, inviteDocument, map[string]any{"email": email, "role": role}, &got)
	if got.InviteMember.Invitation == nil {
		t.Fatalf("invite %s: %v", email, got.InviteMember.UserErrors)
	}
	return got.InviteMember.Invitation.ID
}

func invitationID(t testing.TB, public string) uuid.UUID {
	t.Helper()
	var of id.Invitation
	if err := of.UnmarshalText([]byte(public)); err != nil {
		t.Fatal(err)
	}
	return of.UUID()
}

// invited is an invitation whose mail has come.
type invited struct {
	email, id, token string
}

func newInvited(t testing.TB, api *apitest.API, c *apitest.Client, email, role string) *invited {
	t.Helper()
	i := &invited{email: email, id: invite(t, c, email, role)}
	i.token = api.Ring.Token(invitationPurpose, invitationID(t, i.id))
	return i
}

func someAddress() string { return "somebody-" + id.New().String() + "@tests.example" }

func accept(t testing.TB, api *apitest.API, bearer, token string, password, name any) reply {
	t.Helper()
	return ask(t, api, bearer, acceptDocument, map[string]any{"token": token, "password": password, "name": name}, nil)
}

// joined is the session of an answer, nil without one.
func joined(t testing.TB, r reply) *session {
	t.Helper()
	var got struct {
		Data struct{ AcceptInvitation struct{ Session *session } }
	}
	if err := json.Unmarshal([]byte(r.body), &got); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	return got.Data.AcceptInvitation.Session
}

const whoami = `{ viewer { role user { email displayName } tenant { slug } } }`

func TestAnInvitationIsAccepted(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner, elsewhere := api.NewTenant(t), api.NewTenant(t)
	super := pgtest.Superuser(t)
	is := func(r reply, email, role string) string {
		t.Helper()
		session := joined(t, r)
		if session == nil {
			t.Fatalf("%s as %s: %s", email, role, r.body)
		}
		if who := ask(t, api, session.AccessToken, whoami, nil, nil); !strings.Contains(who.body, email) || !strings.Contains(who.body, `"role":"`+role+`"`) || !strings.Contains(who.body, owner.Tenant.Slug) {
			t.Errorf("the session is of %s", who.body)
		}
		return session.AccessToken
	}
	// A new account, whose address is confirmed by the token.
	newcomer := newInvited(t, api, owner, someAddress(), "MEMBER")
	token := is(accept(t, api, "", newcomer.token, "a password of my own", "New Member"), newcomer.email, "MEMBER")
	if signed := ask(t, api, "", `mutation($e: String!) { signIn(input: {email: $e, password: "a password of my own"}) { session { accessToken } } }`, map[string]any{"e": newcomer.email}, nil); !strings.Contains(signed.body, "accessToken") {
		t.Errorf("the account does not sign in: %s", signed.body)
	}
	// An account by its password, in capitals, whoever is signed in at that browser.
	byPassword := newInvited(t, api, owner, strings.ToUpper(elsewhere.Email), "VIEWER")
	is(accept(t, api, token, byPassword.token, apitest.Password, nil), elsewhere.Email, "VIEWER")
	// An account by its session.
	third := api.NewTenant(t)
	bySession := newInvited(t, api, owner, third.Email, "ADMIN")
	is(accept(t, api, third.Token, bySession.token, nil, nil), third.Email, "ADMIN")
	if r := ask(t, api, third.Token, whoami, nil, nil); !strings.Contains(r.body, third.Tenant.Slug) {
		t.Errorf("the session that was there is gone: %s", r.body)
	}
	// Who was removed comes back, as what they are invited as now; old tokens stay dead.
	removed := memberOf(t, owner, newcomer.email)
	owner.Must(t, `mutation($id: ID!) { removeMember(input: {id: $id}) { member { status } } }`, map[string]any{"id": removed}, nil)
	back := newInvited(t, api, owner, newcomer.email, "VIEWER")
	is(accept(t, api, "", back.token, "a password of my own", nil), newcomer.email, "VIEWER")
	if r := ask(t, api, token, whoami, nil, nil); r.status != http.StatusUnauthorized {
		t.Errorf("a token of before: %s", r.body)
	}
	if again := memberOf(t, owner, newcomer.email); again != removed {
		t.Errorf("who came back is %s, and was %s", again, removed)
	}
	for action, want := range map[string]int{"invitation.created": 4, "invitation.accepted": 4, "member.added": 4} {
		if n := columnOne[int](t, super, `select count(*) from control.access_events where tenant_id = $1 and action = $2`, owner.Tenant.ID, action); n != want {
			t.Errorf("%s stands %d times in the log, want %d", action, n, want)
		}
	}
}

// memberOf is the public id of the membership of an address.
func memberOf(t testing.TB, c *apitest.Client, email string) string {
	t.Helper()
	other := *c
	other.Email = email
	return other.Membership(t).String()
}

// Whatever is wrong with an invitation, it is refused in the same bytes.
func TestInvitationsThatAreRefused(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	owner, stranger := api.NewTenant(t), api.NewTenant(t)
	other, _, err := keyring.New()
	if err != nil {
		t.Fatal(err)
	}
	set := func(what string) func(*invited) {
		return func(i *invited) {
			exec(t, super, `update control.invitations set `+what+` where id = $1`, invitationID(t, i.id))
		}
	}
	by := func(do string) func(*invited) {
		return func(i *invited) {
			owner.Must(t, `mutation($id: ID!) { `+do+`(input: {id: $id}) { userErrors { code } } }`, map[string]any{"id": i.id}, nil)
		}
	}
	made := func(from func(*invited) string) func(*invited) { return func(i *invited) { i.token = from(i) } }
	inviter := func(change string) func(*invited) {
		return func(i *invited) { // of an admin to whom something happens then
			admin := owner.Member(t, auth.RoleAdmin)
			*i = *newInvited(t, api, admin, someAddress(), "VIEWER")
			member := memberOf(t, owner, admin.Email)
			owner.Must(t, `mutation($id: ID!) { `+change+` { userErrors { code } } }`, map[string]any{"id": member}, nil)
		}
	}
	nothing := func(*invited) {}
	var first reply
	for name, c := range map[string]struct {
		spoil  func(*invited)
		bearer string // "": by a password
	}{
		"an empty token":                      {made(func(*invited) string { return "" }), ""},
		"one that never was":                  {made(func(*invited) string { return api.Ring.Token(invitationPurpose, id.New()) }), ""},
		"one of another key":                  {made(func(i *invited) string { return other.Token(invitationPurpose, invitationID(t, i.id)) }), ""},
		"a ticket":                            {made(func(i *invited) string { return api.Ring.Token("sign-in ticket", invitationID(t, i.id)) }), ""},
		"a token to reset a password":         {made(func(i *invited) string { return api.Ring.Token("password reset", invitationID(t, i.id)) }), ""},
		"its id":                              {made(func(i *invited) string { return i.id }), ""},
		"one cut short":                       {made(func(i *invited) string { return i.token[:len(i.token)-1] }), ""},
		"one with a letter more":              {made(func(i *invited) string { return i.token + "A" }), ""},
		"one with a space":                    {made(func(i *invited) string { return i.token + " " }), ""},
		"one in capitals":                     {made(func(i *invited) string { return strings.ToUpper(i.token) }), ""},
		"the whole link":                      {made(func(i *invited) string { return "https://api.commonhold.example/links/invite#" + i.token }), ""},
		"one with a NUL":                      {made(func(i *invited) string { return i.token + "\x00" }), ""},
		"a statement":                         {made(func(*invited) string { return "' or true --" }), ""},
		"one that has expired":                {set("expires_at = now()"), ""},
		"one that was revoked":                {by("revokeInvitation"), ""},
		"one that was accepted":               {func(i *invited) { _ = joined(t, accept(t, api, "", i.token, "a password of mine", "First")) }, ""},
		"that of somebody who was removed":    {inviter(`removeMember(input: {id: $id})`), ""},
		"that of somebody who is suspended":   {inviter(`suspendMember(input: {id: $id})`), ""},
		"that of somebody who invites no one": {inviter(`changeMemberRole(input: {id: $id, role: MEMBER})`), ""},
		"one that was forwarded":              {nothing, stranger.Token},
		"one's own, of who sent it":           {nothing, owner.Token},
		"none, of who is signed in":           {made(func(*invited) string { return "" }), stranger.Token},
	} {
		i := newInvited(t, api, owner, someAddress(), "VIEWER")
		c.spoil(i)
		var password any = "a password of mine"
		if c.bearer != "" {
			password = nil
		}
		got := accept(t, api, c.bearer, i.token, password, "Somebody")
		if first.body == "" {
			first = got
		}
		if got.status != http.StatusOK || !strings.Contains(got.body, `"code":"BAD_CREDENTIALS"`) || !strings.Contains(got.body, `["input","token"]`) || got.shown() != first.shown() {
			t.Errorf("%s: %s\nand another:\n%s", name, got.shown(), first.shown())
		}
	}
	// Whoever vouches for it is asked what they may give now.
	owner.Member(t, auth.RoleAdmin)
	promoted := newInvited(t, api, owner, someAddress(), "OWNER")
	exec(t, super, `update control.invitations set invited_by = (select user_id from control.memberships where tenant_id = $1 and role = 'ADMIN' and status = 'ACTIVE' limit 1) where id = $2`,
		owner.Tenant.ID, invitationID(t, promoted.id))
	if r := accept(t, api, "", promoted.token, "a password of mine", "Somebody"); joined(t, r) != nil {
		t.Errorf("an admin made an owner: %s", r.body)
	}

	// The other ways to fail. Each leaves the invitation as it was.
	account := newInvited(t, api, owner, stranger.Email, "VIEWER")
	fresh := newInvited(t, api, owner, someAddress(), "VIEWER")
	for name, c := range map[string]struct {
		got  reply
		want string
	}{
		"nobody without a password":   {accept(t, api, "", account.token, nil, nil), "INVALID"},
		"nobody, without anything":    {accept(t, api, "", "", nil, nil), "INVALID"},
		"the password of another":     {accept(t, api, "", account.token, "not the password", nil), "BAD_CREDENTIALS"},
		"a new password that is weak": {accept(t, api, "", fresh.token, "short", "Somebody"), "INVALID"},
		"a new account without name":  {accept(t, api, "", fresh.token, "a password of mine", nil), "INVALID"},
		"one with an empty name":      {accept(t, api, "", fresh.token, "a password of mine", " "), "INVALID"},
	} {
		if joined(t, c.got) != nil || !strings.Contains(c.got.body, `"code":"`+c.want+`"`) {
			t.Errorf("%s: %s, want %s", name, c.got.body, c.want)
		}
	}
	if joined(t, accept(t, api, "", account.token, apitest.Password, nil)) == nil || joined(t, accept(t, api, "", fresh.token, "a password of mine", "Somebody")) == nil {
		t.Error("what failed used the invitation up")
	}
}

// Of those who accept one invitation at the same moment one comes in, once.
func TestAnInvitationIsAcceptedByOneOfMany(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	owner := api.NewTenant(t)
	for range 4 {
		i, came := newInvited(t, api, owner, someAddress(), "VIEWER"), make(chan bool, 6)
		var group sync.WaitGroup
		for range 6 {
			group.Go(func() {
				came <- strings.Contains(accept(t, api, "", i.token, "a password of mine", "Somebody").body, `"userErrors":[]`)
			})
		}
		group.Wait()
		close(came)
		n := 0
		for one := range came {
			if one {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d accepted one invitation", n)
		}
	}
}

// Who invites learns nothing of accounts elsewhere: neither from the answer nor from the
// work. The mail alone knows.
func TestInvitingTellsNothingOfAccounts(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	owner, elsewhere := api.NewTenant(t), api.NewTenant(t)
	removed := elsewhere.Member(t, auth.RoleViewer)
	elsewhere.Must(t, `mutation($id: ID!) { removeMember(input: {id: $id}) { member { id } } }`, map[string]any{"id": removed.Membership(t).String()}, nil)
	const document = `mutation($email: String!) { inviteMember(input: {email: $email, role: VIEWER}) { invitation { role status invitedBy { email } } userErrors { field message code } } }`
	var first reply
	for name, c := range map[string]struct{ email, template string }{
		"no account":             {someAddress(), "invitation"},
		"an account":             {elsewhere.Email, "invitation_to_account"},
		"an account without one": {removed.Email, "invitation_to_account"},
	} {
		owner.Warm(t)
		got := ask(t, api, owner.Token, document, map[string]any{"email": c.email}, nil)
		if first.body == "" {
			first = got
		}
		if !succeeded(got) || got.shown() != first.shown() || statements(t, got.header) != statements(t, first.header) {
			t.Errorf("%s: %d statements, %s\nand another: %d statements, %s", name, statements(t, got.header), got.shown(), statements(t, first.header), first.shown())
		}
		if sent := columnOne[string](t, super, `select args ->> 'template' from control.river_job where args ->> 'to' = $1 and args -> 'link' is not null`, c.email); sent != c.template {
			t.Errorf("%s: the mail is %s", name, sent)
		}
		if kept := columnOne[int](t, super, `select count(*) from control.river_job where args ->> 'to' = $1 and args::text like '%cht\_%'`, c.email); kept != 0 {
			t.Errorf("%s: the token is stored", name)
		}
	}
}

// Nobody gives what they do not hold, whatever they were a moment ago.
func TestWhoMayInviteAsWhat(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	owner := api.NewTenant(t)
	clients := map[string]*apitest.Client{"OWNER": owner, "ADMIN": owner.Member(t, auth.RoleAdmin), "MEMBER": owner.Member(t, auth.RoleMember), "VIEWER": owner.Member(t, auth.RoleViewer)}
	roles := []string{"OWNER", "ADMIN", "MEMBER", "VIEWER"}
	for as, c := range clients {
		for _, role := range roles {
			got := c.Do(t, inviteDocument, map[string]any{"email": someAddress(), "role": role})
			if allowed := as == "OWNER" || as == "ADMIN" && role != "OWNER"; allowed == (got.Code() == "FORBIDDEN") {
				t.Errorf("%s invites as %s: %s", as, role, got.Body)
			}
		}
	}
	// An admin neither sends nor takes back what an owner gave.
	given := newInvited(t, api, owner, someAddress(), "OWNER")
	for _, do := range []string{"resendInvitation", "revokeInvitation"} {
		if got := clients["ADMIN"].Do(t, `mutation($id: ID!) { `+do+`(input: {id: $id}) { userErrors { code } } }`, map[string]any{"id": given.id}); got.Code() != "FORBIDDEN" {
			t.Errorf("%s: %s", do, got.Body)
		}
	}
	// The server has not heard that the admin is one no more; the database knows.
	exec(t, super, `update control.memberships set role = 'VIEWER' where tenant_id = $1 and role = 'ADMIN'`, owner.Tenant.ID)
	if got := clients["ADMIN"].Do(t, inviteDocument, map[string]any{"email": someAddress(), "role": "VIEWER"}); got.Code() != "FORBIDDEN" {
		t.Errorf("who was demoted a moment ago: %s", got.Body)
	}
}

// Sent again, an invitation lasts anew, by the word of who sent it; an address has one.
func TestAnInvitationIsSentAgain(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	owner := api.NewTenant(t)
	admin := owner.Member(t, auth.RoleAdmin)
	i := newInvited(t, api, admin, someAddress(), "VIEWER")
	if got := owner.Do(t, inviteDocument, map[string]any{"email": i.email, "role": "MEMBER"}); !strings.Contains(string(got.Body), `"TAKEN"`) {
		t.Errorf("a second invitation: %s", got.Body)
	}
	exec(t, super, `update control.invitations set sent_at = now() - interval '8 days', expires_at = now() - interval '1 day' where tenant_id = $1`, owner.Tenant.ID)
	owner.Must(t, `mutation($id: ID!) { removeMember(input: {id: $id}) { member { id } } }`, map[string]any{"id": memberOf(t, owner, admin.Email)}, nil)
	if got := owner.Do(t, `mutation($id: ID!) { resendInvitation(input: {id: $id}) { invitation { status invitedBy { email } } userErrors { code } } }`, map[string]any{"id": i.id}); !strings.Contains(string(got.Body), `"status":"OPEN","invitedBy":{"email":"`+owner.Email) {
		t.Errorf("%s", got.Body)
	}
	if joined(t, accept(t, api, "", i.token, "a password of mine", "Somebody")) == nil {
		t.Error("it does not work again")
	}
	// One that has expired gives its place up to a new one, and its token is worth nothing.
	old := newInvited(t, api, owner, someAddress(), "OWNER")
	exec(t, super, `update control.invitations set expires_at = now() where id = $1`, invitationID(t, old.id))
	renewed := newInvited(t, api, owner, old.email, "VIEWER")
	if joined(t, accept(t, api, "", old.token, "a password of mine", "Somebody")) != nil {
		t.Error("an invitation that was replaced works")
	}
	if r := accept(t, api, "", renewed.token, "a password of mine", "Somebody"); joined(t, r) == nil || !strings.Contains(r.body, `"role":"VIEWER"`) {
		t.Error(r.body)
	}
}

// Who invites an address and who takes its invitation back at the same moment wait for each
// other, and do not stand in each other's way: the invitation is locked before the tenant.
func TestInvitingAndTakingBackAtOnce(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	of := newInvited(t, api, owner, someAddress(), "VIEWER")
	holder := pgtest.Superuser(t)
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `select from control.tenants where id = $1 for update`, owner.Tenant.ID); err != nil {
		t.Fatal(err)
	}
	answers := make(chan string, 2)
	for waiting, document := range []string{
		`mutation { inviteMember(input: {email: "` + of.email + `", role: VIEWER}) { userErrors { code } } }`,
		`mutation { revokeInvitation(input: {id: "` + of.id + `"}) { userErrors { code } } }`,
	} {
		go func() { answers <- string(owner.Do(t, document, nil).Body) }()
		waitFor(t, holder, waiting+1)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if answer := <-answers; !strings.Contains(answer, `"userErrors":[]`) && !strings.Contains(answer, `"TAKEN"`) {
			t.Error(answer)
		}
	}
}

// Whom an operator made an owner has an account without a password until they choose one. An
// invitation elsewhere asks for that password, as of everybody who has an account: it can be
// chosen by mail, and the invitation waits.
func TestWhoHasNoPasswordYetIsInvited(t *testing.T) {
	t.Parallel()
	w := pgtest.New(t)
	api := apitest.New(t, w)
	email := someAddress()
	slug := "made-" + strings.ToLower(id.New().String()[24:])
	if _, isNew, err := control.Create(t.Context(), w.DB, control.Registration{Name: "Made", Slug: slug, Currency: "EUR"}, control.Owner{Email: email}); err != nil || !isNew {
		t.Fatal(isNew, err)
	}
	invited := newInvited(t, api, api.NewTenant(t), email, "VIEWER")
	const password = "a password of my own"
	if r := accept(t, api, "", invited.token, password, "Somebody"); joined(t, r) != nil || !strings.Contains(r.body, "BAD_CREDENTIALS") || !strings.Contains(r.body, `"password"`) {
		t.Errorf("before a password was chosen: %s", r.body)
	}
	link := columnOne[uuid.UUID](t, pgtest.Superuser(t), `select (args -> 'link' ->> 'id')::uuid from control.river_job where args ->> 'to' = $1 and args ->> 'template' = 'tenant_created'`, email)
	if r := ask(t, api, "", `mutation($t: String!, $p: String!) { resetPassword(input: {token: $t, newPassword: $p}) { userErrors { code } } }`,
		map[string]any{"t": api.Ring.Token(job.PurposeReset, link), "p": password}, nil); !strings.Contains(r.body, `"userErrors":[]`) {
		t.Fatal(r.body)
	}
	if r := accept(t, api, "", invited.token, password, nil); joined(t, r) == nil {
		t.Errorf("with the password: %s", r.body)
	}
}
