package graph_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/pgtest"
)

const (
	linkPurpose  = "invitation link"
	linkDocument = `mutation($role: Role!, $domains: [String!]!, $uses: Int! = 50) { createInvitationLink(input: {role: $role, allowedDomains: $domains, maxUses: $uses}) {
		invitationLink { id role allowedDomains maxUses uses status } token userErrors { field message code } } }`
	joinDocument = `mutation($token: String!, $email: String!) { requestToJoin(input: {token: $token, email: $email}) { userErrors { field message code } } }`
)

type madeLink struct {
	InvitationLink *struct {
		ID, Role, Status string
		AllowedDomains   []string
		MaxUses, Uses    int
	}
	Token      string
	UserErrors []userError
}

func makeLink(t testing.TB, c *apitest.Client, variables map[string]any) madeLink {
	t.Helper()
	var got struct{ CreateInvitationLink madeLink }
	c.Must(t, linkDocument, variables, &got)
	return got.CreateInvitationLink
}

// newLink makes a link for fifty people, and gives its id and its token.
func newLink(t testing.TB, c *apitest.Client, role string, domains ...string) (public, token string) {
	t.Helper()
	made := makeLink(t, c, map[string]any{"role": role, "domains": domains})
	if made.InvitationLink == nil || made.Token == "" {
		t.Fatalf("make a link: %v", made.UserErrors)
	}
	return made.InvitationLink.ID, made.Token
}

// newSmallLink is a link for so many.
func newSmallLink(t testing.TB, c *apitest.Client, uses int) (public, token string) {
	t.Helper()
	made := makeLink(t, c, map[string]any{"role": "VIEWER", "domains": []string{"tests.example"}, "uses": uses})
	return made.InvitationLink.ID, made.Token
}

func linkID(t testing.TB, public string) uuid.UUID {
	t.Helper()
	var of id.InvitationLink
	if err := of.UnmarshalText([]byte(public)); err != nil {
		t.Fatal(err)
	}
	return of.UUID()
}

func requestToJoin(t testing.TB, api *apitest.API, token, email string) reply {
	t.Helper()
	return ask(t, api, "", joinDocument, map[string]any{"token": token, "email": email}, nil)
}

// tokensTo are those of the invitations that were mailed to an address, as it got them.
func tokensTo(t testing.TB, api *apitest.API, email string) (tokens []string) {
	t.Helper()
	for _, of := range column[uuid.UUID](t, pgtest.Superuser(t), `select (args -> 'link' ->> 'id')::uuid from control.river_job
		where args ->> 'to' = lower($1) and args ->> 'template' like 'invitation%' order by id`, email) {
		tokens = append(tokens, api.Ring.Token(invitationPurpose, of))
	}
	return tokens
}

// requested asks by a link, and gives the token of the mail.
func requested(t testing.TB, api *apitest.API, token, email string) string {
	t.Helper()
	if r := requestToJoin(t, api, token, email); !strings.Contains(r.body, `"userErrors":[]`) {
		t.Fatalf("%s: %s", email, r.body)
	}
	tokens := tokensTo(t, api, email)
	if len(tokens) == 0 {
		t.Fatalf("%s was sent nothing", email)
	}
	return tokens[len(tokens)-1]
}

func TestPeopleJoinByALink(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	owner, elsewhere := api.NewTenant(t), api.NewTenant(t)
	admin := owner.Member(t, auth.RoleAdmin)
	public, token := newLink(t, admin, "MEMBER", "Tests.Example", "tests.example", "bücher.example")

	newcomer := someAddress()
	first := joined(t, accept(t, api, "", requested(t, api, token, strings.ToUpper(newcomer)), "a password of my own", "New Member"))
	if first == nil {
		t.Fatal("a newcomer does not come in")
	}
	if who := ask(t, api, first.AccessToken, whoami, nil, nil); !strings.Contains(who.body, newcomer) || !strings.Contains(who.body, `"role":"MEMBER"`) || !strings.Contains(who.body, owner.Tenant.Slug) {
		t.Error(who.body)
	}
	// Asked twice, it is the same invitation, and both mails are good until one is used.
	mailed := requested(t, api, token, elsewhere.Email)
	if again := requested(t, api, token, elsewhere.Email); again != mailed || len(tokensTo(t, api, elsewhere.Email)) != 2 {
		t.Error("asking again makes another invitation, or sends no mail")
	}
	if joined(t, accept(t, api, elsewhere.Token, mailed, nil, nil)) == nil {
		t.Error("who has an account does not come in")
	}
	if r := accept(t, api, elsewhere.Token, mailed, nil, nil); joined(t, r) != nil || !strings.Contains(r.body, "BAD_CREDENTIALS") {
		t.Errorf("twice: %s", r.body)
	}
	var list struct {
		InvitationLinks struct {
			Nodes []struct {
				ID, Role, Status string
				AllowedDomains   []string
				Uses             int
				CreatedBy        struct{ Email string }
			}
		}
	}
	owner.Must(t, `{ invitationLinks { nodes { id role status allowedDomains uses createdBy { email } } } }`, nil, &list)
	if l := list.InvitationLinks.Nodes; len(l) != 1 || l[0].ID != public || l[0].Role != "MEMBER" || l[0].Status != "OPEN" || l[0].Uses != 2 || l[0].CreatedBy.Email != admin.Email ||
		!slices.Equal(l[0].AllowedDomains, []string{"tests.example", "xn--bcher-kva.example"}) {
		t.Errorf("%+v", l)
	}
	var came struct {
		Invitations struct {
			Nodes []struct {
				InvitedBy struct{ Email string }
				Link      *struct{ ID string }
			}
		}
	}
	owner.Must(t, `{ invitations { nodes { invitedBy { email } link { id } } } }`, nil, &came)
	for _, i := range came.Invitations.Nodes {
		if i.InvitedBy.Email != admin.Email || i.Link == nil || i.Link.ID != public {
			t.Errorf("%+v", i)
		}
	}
	for action, want := range map[string]int{"invitation_link.created": 1, "invitation_link.requested": 3, "invitation_link.used": 2, "invitation.accepted": 2, "member.added": 3} {
		if n := columnOne[int](t, super, `select count(*) from control.access_events where tenant_id = $1 and action = $2`, owner.Tenant.ID, action); n != want {
			t.Errorf("%s stands %d times in the log, want %d", action, n, want)
		}
	}
	if kept := columnOne[int](t, super, `select (select count(*) from control.invitation_links as l where to_jsonb(l)::text like '%cht\_%') + (select count(*) from control.access_events as e where to_jsonb(e)::text like '%cht\_%')`); kept != 0 {
		t.Error("a token is stored")
	}
	// Sent again by a person, an invitation is the person's: the link has no part in it.
	stray := someAddress()
	mailed = requested(t, api, token, stray)
	exec(t, super, `update control.invitations set sent_at = now() - interval '1 hour' where tenant_id = $1`, owner.Tenant.ID)
	of := columnOne[id.Invitation](t, super, `select id from control.invitations where tenant_id = $1 and email = $2`, owner.Tenant.ID, stray)
	owner.Must(t, `mutation($id: ID!) { resendInvitation(input: {id: $id}) { invitation { id } userErrors { code } } }`, map[string]any{"id": of}, nil)
	owner.Must(t, `mutation($id: ID!) { revokeInvitationLink(input: {id: $id}) { invitationLink { id } userErrors { code } } }`, map[string]any{"id": public}, nil)
	if joined(t, accept(t, api, "", mailed, "a password of my own", "Stray")) == nil {
		t.Error("what a person sent again went with the link")
	}
}

// Whatever is wrong with a link, it is refused in the same bytes after the same work.
func TestLinksThatAreRefused(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	owner := api.NewTenant(t)
	other, _, err := keyring.New()
	if err != nil {
		t.Fatal(err)
	}
	type link struct{ id, token string }
	set := func(what string) func(*link) {
		return func(l *link) {
			exec(t, super, `update control.invitation_links set `+what+` where id = $1`, linkID(t, l.id))
		}
	}
	made := func(from func(*link) string) func(*link) { return func(l *link) { l.token = from(l) } }
	maker := func(change string) func(*link) {
		return func(l *link) { // of an admin to whom something happens then
			admin := owner.Member(t, auth.RoleAdmin)
			l.id, l.token = newLink(t, admin, "VIEWER", "tests.example")
			owner.Must(t, `mutation($id: ID!) { `+change+` { userErrors { code } } }`, map[string]any{"id": memberOf(t, owner, admin.Email)}, nil)
		}
	}
	var first reply
	for name, spoil := range map[string]func(*link){
		"an empty token":       made(func(*link) string { return "" }),
		"one that never was":   made(func(*link) string { return api.Ring.Token(linkPurpose, id.New()) }),
		"one of another key":   made(func(l *link) string { return other.Token(linkPurpose, linkID(t, l.id)) }),
		"one of a mail":        made(func(l *link) string { return api.Ring.Token(invitationPurpose, linkID(t, l.id)) }),
		"its id":               made(func(l *link) string { return l.id }),
		"one cut short":        made(func(l *link) string { return l.token[:len(l.token)-1] }),
		"one with a NUL":       made(func(l *link) string { return l.token + "\x00" }),
		"one with a line end":  made(func(l *link) string { return l.token + "\n" }),
		"the whole link":       made(func(l *link) string { return "https://api.commonhold.example/links/join#" + l.token }),
		"one that has expired": set("created_at = now() - interval '1 day', expires_at = now()"),
		"one that was used up": set("uses = max_uses"),
		"one that was revoked": func(l *link) {
			owner.Must(t, `mutation($id: ID!) { revokeInvitationLink(input: {id: $id}) { userErrors { code } } }`, map[string]any{"id": l.id}, nil)
		},
		"that of somebody who was removed":    maker(`removeMember(input: {id: $id})`),
		"that of somebody who is suspended":   maker(`suspendMember(input: {id: $id})`),
		"that of somebody who invites no one": maker(`changeMemberRole(input: {id: $id, role: MEMBER})`),
	} {
		var l link
		l.id, l.token = newLink(t, owner, "VIEWER", "tests.example")
		spoil(&l)
		api.Settle(t)
		email := someAddress()
		got := requestToJoin(t, api, l.token, email)
		if first.body == "" {
			first = got
		}
		if got.status != http.StatusOK || !strings.Contains(got.body, `"code":"BAD_CREDENTIALS"`) || !strings.Contains(got.body, `["input","token"]`) || got.shown() != first.shown() || statements(t, got.header) != statements(t, first.header) {
			t.Errorf("%s: %d statements, %s\nand another: %d statements, %s", name, statements(t, got.header), got.shown(), statements(t, first.header), first.shown())
		}
		if len(tokensTo(t, api, email)) != 0 {
			t.Errorf("%s: a mail was sent", name)
		}
		exec(t, super, `update control.invitation_links set revoked_at = now() where tenant_id = $1`, owner.Tenant.ID) // twenty are the most
	}
}

// Who asks by a link learns nothing of accounts and members: neither from the answer nor
// from the work. The mail alone knows.
func TestAskingByALinkTellsNothing(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	owner, elsewhere := api.NewTenant(t), api.NewTenant(t)
	_, token := newLink(t, owner, "VIEWER", "tests.example")
	member, suspended, removed := owner.Member(t, auth.RoleViewer), owner.Member(t, auth.RoleViewer), owner.Member(t, auth.RoleViewer)
	changeMember(t, owner, `suspendMember(input: {id: $id})`, suspended.Membership(t))
	changeMember(t, owner, `removeMember(input: {id: $id})`, removed.Membership(t))
	invited, waiting := newInvited(t, api, owner, someAddress(), "ADMIN"), someAddress()
	requested(t, api, token, waiting)
	var first reply
	for name, c := range map[string]struct {
		email string
		sent  []string // of all that it was sent
	}{
		"no account":                   {someAddress(), []string{"invitation"}},
		"an account":                   {elsewhere.Email, []string{"invitation_to_account"}},
		"a member":                     {member.Email, nil},
		"a member who is suspended":    {suspended.Email, nil},
		"one who was removed":          {removed.Email, nil},
		"one who is invited":           {invited.email, []string{"invitation"}},
		"one who has asked before":     {waiting, []string{"invitation", "invitation"}},
		"the owner, who made it":       {owner.Email, nil},
		"an account, in other letters": {strings.ToUpper(elsewhere.Email), []string{"invitation_to_account"}},
	} {
		if name == "an account, in other letters" { // the same address
			elsewhere = api.NewTenant(t)
			c.email = strings.ToUpper(elsewhere.Email)
		}
		api.Settle(t)
		got := requestToJoin(t, api, token, c.email)
		if first.body == "" {
			first = got
		}
		if !strings.Contains(got.body, `"userErrors":[]`) || got.shown() != first.shown() || statements(t, got.header) != statements(t, first.header) {
			t.Errorf("%s: %d statements, %s\nand another: %d statements, %s", name, statements(t, got.header), got.shown(), statements(t, first.header), first.shown())
		}
		sent := column[string](t, super, `select args ->> 'template' from control.river_job where args ->> 'to' = $1 and args ->> 'template' like 'invitation%' order by id`, strings.ToLower(c.email))
		if !slices.Equal(sent, c.sent) {
			t.Errorf("%s: the mails are %v, want %v", name, sent, c.sent)
		}
	}
	// What somebody sent stays what it is.
	if r := accept(t, api, "", invited.token, "a password of mine", "Somebody"); !strings.Contains(r.body, `"role":"ADMIN"`) {
		t.Error(r.body)
	}
}

// Of one address no more than some mails are sent, and the answer is the same.
func TestMailsByALinkAreBounded(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	_, token := newSmallLink(t, owner, 4)
	email := someAddress()
	for range 6 {
		if r := requestToJoin(t, api, token, email); !strings.Contains(r.body, `"userErrors":[]`) {
			t.Error(r.body)
		}
	}
	if n := len(tokensTo(t, api, email)); n != 3 {
		t.Errorf("%d mails to one address", n)
	}
	// And by one link no more than twice as many as may join, whomever they are for.
	for range 3 {
		requested(t, api, token, someAddress())
	}
	for n := 0; ; n++ { // each next one waits twice as long
		if r := requestToJoin(t, api, token, someAddress()); strings.Contains(r.body, "RATE_LIMITED") && strings.Contains(r.body, "retryAfter") {
			break
		}
		if n == 12 {
			t.Fatal("nobody has to wait")
		}
	}
}

// What a member sends goes before what somebody asked for by a link, whose token is good
// for nothing then.
func TestAMembersInvitationGoesBeforeALinks(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	_, token := newLink(t, owner, "VIEWER", "tests.example")
	email := someAddress()
	byLink := requested(t, api, token, email)
	byMember := newInvited(t, api, owner, email, "ADMIN")
	if r := accept(t, api, "", byLink, "a password of mine", "Somebody"); !strings.Contains(r.body, "BAD_CREDENTIALS") {
		t.Errorf("by the link: %s", r.body)
	}
	// Asked again, the link leaves what the member sent alone.
	if again := requested(t, api, token, email); again != byMember.token {
		t.Error("another invitation was sent")
	}
	if r := accept(t, api, "", byMember.token, "a password of mine", "Somebody"); !strings.Contains(r.body, `"role":"ADMIN"`) {
		t.Errorf("by the member: %s", r.body)
	}
	if uses := columnOne[int](t, pgtest.Superuser(t), `select uses from control.invitation_links where tenant_id = $1`, owner.Tenant.ID); uses != 0 {
		t.Errorf("the link was used %d times", uses)
	}
}

// An invitation that nobody can accept any more does not stand in the way of a link that
// is open.
func TestADeadInvitationGivesWayToALink(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	for name, die := range map[string]func(owner, admin *apitest.Client, email string){
		"its link was used up": func(owner, _ *apitest.Client, email string) {
			public, token := newSmallLink(t, owner, 1)
			requested(t, api, token, email)
			exec(t, super, `update control.invitation_links set uses = max_uses where id = $1`, linkID(t, public))
		},
		"its link has expired": func(owner, _ *apitest.Client, email string) {
			public, token := newSmallLink(t, owner, 1)
			requested(t, api, token, email)
			exec(t, super, `update control.invitation_links set expires_at = now() where id = $1`, linkID(t, public))
		},
		"who sent it was removed": func(owner, admin *apitest.Client, email string) {
			newInvited(t, api, admin, email, "MEMBER")
			owner.Must(t, `mutation($id: ID!) { removeMember(input: {id: $id}) { userErrors { code } } }`, map[string]any{"id": admin.Membership(t).String()}, nil)
		},
	} {
		owner := api.NewTenant(t)
		email := someAddress()
		die(owner, owner.Member(t, auth.RoleAdmin), email)
		dead := tokensTo(t, api, email)[0]
		_, token := newLink(t, owner, "VIEWER", "tests.example")
		alive := requested(t, api, token, email)
		if alive == dead {
			t.Errorf("%s: no other invitation was sent", name)
			continue
		}
		if r := accept(t, api, "", dead, "a password of mine", "Somebody"); !strings.Contains(r.body, "BAD_CREDENTIALS") {
			t.Errorf("%s: the dead one: %s", name, r.body)
		}
		if r := accept(t, api, "", alive, "a password of mine", "Somebody"); !strings.Contains(r.body, `"role":"VIEWER"`) {
			t.Errorf("%s: %s", name, r.body)
		}
	}
	// One that is alive stays, of another link too.
	owner := api.NewTenant(t)
	email := someAddress()
	_, first := newLink(t, owner, "MEMBER", "tests.example")
	_, second := newLink(t, owner, "VIEWER", "tests.example")
	if mailed := requested(t, api, first, email); mailed != requested(t, api, second, email) {
		t.Error("another link took the place of one that is open")
	}
}

// Nobody gives by a link what they do not hold, whatever they were a moment ago, and
// nobody makes an owner by one.
func TestWhoMayMakeALinkForWhat(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	owner := api.NewTenant(t)
	admin := owner.Member(t, auth.RoleAdmin)
	clients := map[string]*apitest.Client{"OWNER": owner, "ADMIN": admin, "MEMBER": owner.Member(t, auth.RoleMember), "VIEWER": owner.Member(t, auth.RoleViewer)}
	for as, c := range clients {
		for _, role := range []string{"OWNER", "ADMIN", "MEMBER", "VIEWER"} {
			want := `"userErrors":[]`
			if as != "OWNER" && as != "ADMIN" {
				want = `"FORBIDDEN"`
			} else if role == "OWNER" {
				want = `{"field":["input","role"],`
			}
			if got := c.Do(t, linkDocument, map[string]any{"role": role, "domains": []string{"tests.example"}}); !strings.Contains(string(got.Body), want) {
				t.Errorf("%s makes a link for %s: %s", as, role, got.Body)
			}
		}
	}
	// The server has not heard that the admin is one no more; the database knows.
	public, _ := newLink(t, admin, "VIEWER", "tests.example")
	exec(t, super, `update control.memberships set role = 'MEMBER' where tenant_id = $1 and role = 'ADMIN'`, owner.Tenant.ID)
	if got := admin.Do(t, linkDocument, map[string]any{"role": "VIEWER", "domains": []string{"tests.example"}}); got.Code() != "FORBIDDEN" {
		t.Errorf("who was demoted a moment ago: %s", got.Body)
	}
	if got := admin.Do(t, `mutation($id: ID!) { revokeInvitationLink(input: {id: $id}) { userErrors { code } } }`, map[string]any{"id": public}); got.Code() != "FORBIDDEN" {
		t.Errorf("who was demoted a moment ago revokes: %s", got.Body)
	}
	if n := columnOne[int](t, super, `select count(*) from control.invitation_links where tenant_id = $1 and revoked_at is not null`, owner.Tenant.ID); n != 0 {
		t.Error("what was refused was done")
	}
}

func TestTheBoundsOfALink(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	many := func(n int) (domains []string) {
		for i := range n {
			domains = append(domains, fmt.Sprintf("company-%d.example", i))
		}
		return domains
	}
	refused := func(name, field string, input map[string]any) {
		t.Helper()
		in := map[string]any{"role": "VIEWER", "allowedDomains": many(1)}
		for k, v := range input {
			in[k] = v
		}
		got := owner.Do(t, `mutation($i: CreateInvitationLinkInput!) { createInvitationLink(input: $i) { invitationLink { id } token userErrors { field code } } }`, map[string]any{"i": in})
		if want := `{"createInvitationLink":{"invitationLink":null,"token":null,"userErrors":[{"field":["input","` + field + `"],"code":"INVALID"}]}}`; string(got.Data) != want {
			t.Errorf("%s: %s", name, got.Body)
		}
	}
	for _, n := range []int{0, -1, 31, 1 << 30} {
		refused(fmt.Sprint(n, " days"), "expiresInDays", map[string]any{"expiresInDays": n})
	}
	for _, n := range []int{0, -1, 1001, 1 << 30} {
		refused(fmt.Sprint(n, " uses"), "maxUses", map[string]any{"maxUses": n})
	}
	refused("no domain", "allowedDomains", map[string]any{"allowedDomains": []string{}})
	refused("21 domains", "allowedDomains", map[string]any{"allowedDomains": many(21)})
	for _, domain := range []string{
		"", " ", ".", "example", "com", "co.uk", "github.io", "*", "*.acme.example", "acme.*", "@acme.example", "a@acme.example", "acme.example.", ".acme.example", "acme..example",
		"acme example", "acme.example/", "http://acme.example", "acme.example:25", "acme_.example", "-acme.example", "127.0.0.1", "[127.0.0.1]", "::1", "acme.example\x00", "acme.example\n.evil.example",
		"xn--a.example", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 200) + "example", "acme%.example", "acme.example,evil.example",
	} {
		refused(fmt.Sprintf("%q", domain), "allowedDomains", map[string]any{"allowedDomains": []string{"fine.example", domain}})
	}
	made := makeLink(t, owner, map[string]any{"role": "ADMIN", "domains": append(many(19), " ACME.Example "), "uses": 1000})
	if l := made.InvitationLink; l == nil || l.MaxUses != 1000 || l.Uses != 0 || len(l.AllowedDomains) != 20 || l.AllowedDomains[19] != "acme.example" || !strings.HasPrefix(made.Token, "cht_") {
		t.Errorf("%+v", made)
	}
	var days struct {
		CreateInvitationLink struct {
			InvitationLink struct{ ID string }
		}
	}
	owner.Must(t, `mutation { createInvitationLink(input: {role: VIEWER, allowedDomains: ["acme.example"], expiresInDays: 30}) { invitationLink { id } } }`, nil, &days)
	if got := column[int](t, pgtest.Superuser(t), `select extract(epoch from expires_at - created_at)::int / 86400 from control.invitation_links where tenant_id = $1 order by created_at, id`, owner.Tenant.ID); cmp.Diff(got, []int{7, 30}) != "" {
		t.Errorf("links last %v days", got)
	}
}

// An address is at a domain of the link or is refused, whatever it looks like.
func TestTheDomainsOfALink(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	mark := strings.ToLower(id.New().String())
	acme := mark + ".example"
	_, token := newLink(t, owner, "VIEWER", acme, "b\u00fccher-"+acme)
	for email, want := range map[string]string{ // what a mail is sent to, or nothing
		"a@" + acme:                        "a@" + acme,
		"b@" + strings.ToUpper(acme):       "b@" + acme,
		"c+tag@" + acme:                    "c+tag@" + acme,
		"d@b\u00fccher-" + acme:            "d@b\u00fccher-" + acme,
		"e@B\u00dcCHER-" + acme:            "e@b\u00fccher-" + acme,
		"f@bu\u0308cher-" + acme:           "f@b\u00fccher-" + acme, // decomposed
		"g@xn--bcher--0za" + acme:          "",
		"h@sub." + acme:                    "",
		"i@evil-" + acme:                   "",
		"j@evil" + acme:                    "",
		"k@" + acme + ".evil.example":      "",
		"l@" + acme + ".":                  "",
		"m@b@" + acme:                      "",
		"\"m@b\"@" + acme:                  "",
		"n@evil.example,o@" + acme:         "",
		"o@evil.example (@" + acme + ")":   "",
		"<p@evil.example>@" + acme:         "",
		"q@evil.example\x00@" + acme:       "",
		"r@evil.example\n@" + acme:         "",
		"s@evil.example @" + acme:          "",
		acme:                               "",
		"@" + acme:                         "",
		"t@":                               "",
		"u@[127.0.0.1]":                    "",
		"v@evil.example#@" + acme:          "",
		"w@\u0430" + acme[1:]:              "", // a Cyrillic letter
		"x@" + acme + "\u3002evil.example": "",
	} {
		r := requestToJoin(t, api, token, email)
		sent := column[string](t, pgtest.Superuser(t), `select args ->> 'to' from control.river_job where args ->> 'to' like '%' || $1 || '%' and args ->> 'to' like $2 || '%'`, mark, email[:2])
		if want == "" {
			if !strings.Contains(r.body, `{"field":["input","email"],`) || !strings.Contains(r.body, `"INVALID"`) || len(sent) != 0 {
				t.Errorf("%q: %s, mails to %q", email, r.body, sent)
			}
			continue
		}
		if !strings.Contains(r.body, `"userErrors":[]`) || !slices.Equal(sent, []string{want}) {
			t.Errorf("%q: %s, mails to %q", email, r.body, sent)
		}
	}
}

// However many hold an invitation of a link, no more come in than may, and each once.
func TestALinkIsUsedNoMoreThanItMay(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	super := pgtest.Superuser(t)
	owner := api.NewTenant(t)
	for range 3 {
		public, token := newSmallLink(t, owner, 3)
		mailed := make([]string, 6)
		for i := range mailed {
			mailed[i] = requested(t, api, token, someAddress())
		}
		came := make([]bool, 2*len(mailed))
		var group sync.WaitGroup
		for i := range came {
			group.Go(func() {
				body := accept(t, api, "", mailed[i/2], "a password of mine", "Somebody").body
				if came[i] = strings.Contains(body, `"userErrors":[]`); !came[i] && !strings.Contains(body, `"BAD_CREDENTIALS"`) && !strings.Contains(body, `"CONFLICT"`) {
					t.Error(body)
				}
			})
		}
		group.Wait()
		n := 0
		for _, one := range came {
			if one {
				n++
			}
		}
		uses := columnOne[int](t, super, `select uses from control.invitation_links where id = $1`, linkID(t, public))
		members := columnOne[int](t, super, `select count(*) from control.invitations where link_id = $1 and accepted_at is not null`, linkID(t, public))
		if n > 3 || uses != n || members != n {
			t.Errorf("%d came in, %d are counted, %d joined by a link for three", n, uses, members)
		}
		for _, token := range mailed { // whoever met a conflict comes in now, if there is room
			if joined(t, accept(t, api, "", token, "a password of mine", "Somebody")) != nil {
				n++
			}
		}
		if n != 3 {
			t.Errorf("%d came in by a link for three", n)
		}
	}
}

// A link that is taken back takes with it what came of it, also what comes at that moment.
func TestALinkIsTakenBack(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	super := pgtest.Superuser(t)
	owner := api.NewTenant(t)
	for range 4 {
		public, token := newLink(t, owner, "VIEWER", "tests.example")
		waiting := []string{requested(t, api, token, someAddress()), requested(t, api, token, someAddress())}
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() { requestToJoin(t, api, token, someAddress()) })
		}
		group.Go(func() { accept(t, api, "", waiting[0], "a password of mine", "Somebody") })
		var got *apitest.Answer
		group.Go(func() {
			got = owner.Do(t, `mutation($id: ID!) { revokeInvitationLink(input: {id: $id}) { invitationLink { status } userErrors { code } } }`, map[string]any{"id": public})
		})
		group.Wait()
		if !strings.Contains(string(got.Body), `"REVOKED"`) {
			t.Errorf("%s", got.Body)
		}
		if n := columnOne[int](t, super, `select count(*) from control.invitations where link_id = $1 and accepted_at is null and revoked_at is null`, linkID(t, public)); n != 0 {
			t.Errorf("%d invitations of a link that was taken back are open", n)
		}
		if r := accept(t, api, "", waiting[1], "a password of mine", "Somebody"); joined(t, r) != nil {
			t.Errorf("an invitation of it works: %s", r.body)
		}
		logged := columnOne[int](t, super, `select count(*) from control.access_events where tenant_id = $1 and action = 'invitation.revoked' and data ->> 'link' = $2`, owner.Tenant.ID, public)
		if revoked := columnOne[int](t, super, `select count(*) from control.invitations where link_id = $1 and revoked_at is not null`, linkID(t, public)); logged != revoked {
			t.Errorf("%d are revoked, %d of them in the log", revoked, logged)
		}
	}
}

// Who was removed comes back when somebody asks for them, and not by a link, whichever
// way they hold it.
func TestWhoWasRemovedDoesNotComeBackByALink(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	_, token := newLink(t, owner, "VIEWER", "tests.example")
	email := someAddress()
	session := joined(t, accept(t, api, "", requested(t, api, token, email), "a password of my own", "Somebody"))
	// An invitation that was asked for under another address, which then becomes theirs.
	next := someAddress()
	mailed := requested(t, api, token, next)
	owner.Must(t, `mutation($id: ID!) { removeMember(input: {id: $id}) { userErrors { code } } }`, map[string]any{"id": memberOf(t, owner, email)}, nil)
	exec(t, pgtest.Superuser(t), `update control.users set email = $2 where email = $1`, email, next)
	if r := accept(t, api, "", mailed, "a password of my own", nil); joined(t, r) != nil || !strings.Contains(r.body, "BAD_CREDENTIALS") {
		t.Error(r.body)
	}
	if r := ask(t, api, session.AccessToken, whoami, nil, nil); r.status != http.StatusUnauthorized {
		t.Error(r.body)
	}
	if n := columnOne[int](t, pgtest.Superuser(t), `select uses from control.invitation_links where tenant_id = $1`, owner.Tenant.ID); n != 1 {
		t.Errorf("%d uses are counted", n)
	}
	back := newInvited(t, api, owner, someAddress(), "VIEWER")
	exec(t, pgtest.Superuser(t), `update control.invitations set email = $2 where id = $1`, invitationID(t, back.id), next+".org")
	exec(t, pgtest.Superuser(t), `update control.users set email = $2 where email = $1`, next, next+".org")
	if joined(t, accept(t, api, "", back.token, "a password of my own", nil)) == nil {
		t.Error("an invitation of their own does not let them in")
	}
}
