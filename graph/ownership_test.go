package graph_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
)

const transferDocument = `mutation($id: ID!, $password: String) { transferOwnership(input: {memberId: $id, password: $password}) { member { role status } userErrors { field message code } } }`

func transfer(t testing.TB, c *apitest.Client, to id.Member, password any) *apitest.Answer {
	t.Helper()
	return c.Do(t, transferDocument, map[string]any{"id": to, "password": password})
}

// rolesOf are the roles of a tenant's active members, by address.
func rolesOf(t testing.TB, c *apitest.Client) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, one := range column[string](t, pgtest.Superuser(t), `select u.email || ' ' || m.role from control.memberships as m join control.users as u on u.id = m.user_id where m.tenant_id = $1 and m.status = 'ACTIVE'`, c.Tenant.ID) {
		email, role, _ := strings.Cut(one, " ")
		found[email] = role
	}
	return found
}

func TestOwnershipIsTransferred(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	owner := api.NewTenant(t)
	other := owner.Member(t, auth.RoleViewer)
	to := other.Membership(t)
	if a := transfer(t, owner, to, apitest.Password); !strings.Contains(string(a.Body), `{"member":{"role":"OWNER","status":"ACTIVE"},"userErrors":[]}`) {
		t.Fatalf("%s", a.Body)
	}
	if diff := cmp.Diff(map[string]string{owner.Email: "ADMIN", other.Email: "OWNER"}, rolesOf(t, owner)); diff != "" {
		t.Error(diff)
	}
	// At once: whoever was known by the roles of before is not.
	for _, c := range []*apitest.Client{owner, other} {
		if a := c.Do(t, `{ viewer { role } }`, nil); a.Status != http.StatusUnauthorized {
			t.Errorf("a token of before: %s", a.Body)
		}
		c.Token = signIn(t, api, c).AccessToken
	}
	var log struct {
		AccessLog struct {
			Nodes []struct {
				Action, EntityID string
				Actor            struct{ Email string }
				Details          struct{ Before, After struct{ Role string } }
			}
		}
	}
	other.Must(t, `{ accessLog(first: 5) { nodes { action entityId actor { email } details } } }`, nil, &log)
	var told []string
	for _, n := range log.AccessLog.Nodes {
		if n.Action != "session.started" {
			told = append(told, fmt.Sprintf("%s of %t by %t: %s to %s", n.Action, n.EntityID == to.String(), n.Actor.Email == owner.Email, n.Details.Before.Role, n.Details.After.Role))
		}
	}
	want := []string{"ownership.transferred of true by true:  to ", "member.changed of false by true: OWNER to ADMIN", "member.changed of true by true: VIEWER to OWNER"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	for _, c := range []*apitest.Client{owner, other} {
		if n := columnOne[int](t, super, `select count(*) from control.river_job where args ->> 'to' = $1 and args ->> 'template' = 'ownership_transferred'`, c.Email); n != 1 {
			t.Errorf("%d mails to %s", n, c.Email)
		}
	}
	// To who is an owner already it is stepping down.
	second := other.Member(t, auth.RoleOwner)
	if a := transfer(t, other, second.Membership(t), nil); !strings.Contains(string(a.Body), `"userErrors":[]`) {
		t.Errorf("%s", a.Body)
	}
	if diff := cmp.Diff(map[string]string{owner.Email: "ADMIN", other.Email: "ADMIN", second.Email: "OWNER"}, rolesOf(t, owner)); diff != "" {
		t.Error(diff)
	}
	if a := second.Do(t, `{ viewer { role } }`, nil); a.Status != http.StatusOK {
		t.Errorf("who stays what they are is signed out: %s", a.Body)
	}
}

// Whoever may not, and whatever stands in the way: everybody stays what they are.
func TestOwnershipThatIsNotTransferred(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	super := pgtest.Superuser(t)
	owner, elsewhere := api.NewTenant(t), api.NewTenant(t)
	member := owner.Member(t, auth.RoleMember)
	suspended, removed := owner.Member(t, auth.RoleMember), owner.Member(t, auth.RoleMember)
	foreign := elsewhere.Member(t, auth.RoleMember).Membership(t)
	was := suspended.Membership(t)
	gone := removed.Membership(t)
	changeMember(t, owner, `suspendMember(input: {id: $id})`, was)
	changeMember(t, owner, `removeMember(input: {id: $id})`, gone)
	to := member.Membership(t)
	late := *owner // whose password was given long ago
	late.Token = signIn(t, api, owner).AccessToken
	stale(t, &late)
	demoted := owner.Member(t, auth.RoleOwner) // whom the server knows as an owner still
	demoted.Warm(t)
	exec(t, super, `update control.memberships set role = 'ADMIN' where tenant_id = $1 and user_id = (select id from control.users where email = $2)`, owner.Tenant.ID, demoted.Email)
	before := rolesOf(t, owner)
	const missing = `"field":["input","memberId"],"message":"There is no such member. Who was removed comes back by an invitation.","code":"NOT_FOUND"`
	for name, c := range map[string]struct {
		by       *apitest.Client
		to       id.Member
		password any
		want     string
	}{
		"an admin":                             {owner.Member(t, auth.RoleAdmin), to, apitest.Password, `"code":"FORBIDDEN"`},
		"a member":                             {owner.Member(t, auth.RoleMember), to, apitest.Password, `"code":"FORBIDDEN"`},
		"a viewer":                             {owner.Member(t, auth.RoleViewer), to, apitest.Password, `"code":"FORBIDDEN"`},
		"who was an owner a moment ago":        {demoted, to, apitest.Password, `"code":"FORBIDDEN"`},
		"an owner, to nobody":                  {owner, id.NewMember(), apitest.Password, missing},
		"an owner, to somebody elsewhere":      {owner, foreign, apitest.Password, missing},
		"an owner, to who was removed":         {owner, gone, apitest.Password, missing},
		"an owner, to who is suspended":        {owner, was, apitest.Password, `"code":"WRONG_STATUS"`},
		"an owner, to themselves":              {owner, owner.Membership(t), apitest.Password, `"code":"INVALID"`},
		"an owner with a wrong password":       {owner, to, "a wrong password", `"field":["input","password"],"message":"This is not the password of your account.","code":"BAD_CREDENTIALS"`},
		"an owner whose password was long ago": {&late, to, nil, `"code":"REAUTHENTICATE"`},
		"the same, with a wrong one":           {&late, to, "a wrong password", `"code":"BAD_CREDENTIALS"`},
	} {
		if a := transfer(t, c.by, c.to, c.password); !strings.Contains(string(a.Body), c.want) {
			t.Errorf("%s: %s, want %s", name, a.Body, c.want)
		}
	}
	after := rolesOf(t, owner)
	for email, role := range before {
		if after[email] != role {
			t.Errorf("%s was %s and is %s", email, role, after[email])
		}
	}
	// The right password will do, however long ago it was given last.
	if a := transfer(t, &late, to, apitest.Password); !strings.Contains(string(a.Body), `"userErrors":[]`) {
		t.Errorf("%s", a.Body)
	}
}

// stale lets it be long ago that the person of c gave their password.
func stale(t testing.TB, c *apitest.Client) {
	t.Helper()
	var of id.Session
	if err := of.UnmarshalText([]byte(sessionID(t, session{AccessToken: c.Token}))); err != nil {
		t.Fatal(err)
	}
	exec(t, pgtest.Superuser(t), `update control.sessions set confirmed_at = now() - interval '11 minutes' where id = $1`, of)
	c.Warm(t)
}

// What is dangerous asks for the password again where it was given long ago, does
// nothing until it is, and everything then.
func TestWhatIsDangerousAsksForThePasswordAgain(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	for name, document := range map[string]string{
		"an owner by another role":  `mutation { changeMemberRole(input: {id: "$member", role: OWNER}) { userErrors { code } } }`,
		"an owner by an invitation": `mutation { inviteMember(input: {email: "owner-to-be@tests.example", role: OWNER}) { userErrors { code } } }`,
		"an owner by a transfer":    `mutation { transferOwnership(input: {memberId: "$member"}) { userErrors { code } } }`,
		"an owner no more":          `mutation { changeMemberRole(input: {id: "$owner", role: ADMIN}) { userErrors { code } } }`,
		"an owner to wait":          `mutation { suspendMember(input: {id: "$owner"}) { userErrors { code } } }`,
		"an owner to go":            `mutation { removeMember(input: {id: "$owner"}) { userErrors { code } } }`,
		"a link for admins":         `mutation { createInvitationLink(input: {role: ADMIN, allowedDomains: ["tests.example"]}) { userErrors { code } } }`,
		"a new key":                 `mutation { createApiKey(input: {name: "n", scopes: [ORDERS_READ]}) { userErrors { code } } }`,
		"a key anew":                `mutation { rotateApiKey(input: {id: "$key"}) { userErrors { code } } }`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := api.NewTenant(t)
			key, _ := addAPIKey(t, c, "Key", "ORDERS_READ")
			document := strings.NewReplacer("$key", key, "$member", c.Member(t, auth.RoleMember).Membership(t).String(),
				"$owner", c.Member(t, auth.RoleOwner).Membership(t).String()).Replace(document)
			stale(t, c)
			before := columnsOf(t, c.Tenant.ID)
			if a := c.Do(t, document, nil); a.Code() != "REAUTHENTICATE" {
				t.Errorf("%s", a.Body)
			}
			if after := columnsOf(t, c.Tenant.ID); !maps.Equal(before, after) {
				t.Errorf("something was done: %s", cmp.Diff(before, after))
			}
			c.Must(t, `mutation($p: String!) { reauthenticate(input: {password: $p}) { confirmedUntil } }`, map[string]any{"p": apitest.Password}, nil)
			if a := c.Do(t, document, nil); a.Code() != "" || !strings.Contains(string(a.Body), `"userErrors":[]`) {
				t.Errorf("once the password was given: %s", a.Body)
			}
		})
	}
	// What is not asks for nothing.
	c := api.NewTenant(t)
	member := c.Member(t, auth.RoleMember).Membership(t)
	stale(t, c)
	for _, document := range []string{
		`mutation { changeMemberRole(input: {id: "$member", role: ADMIN}) { userErrors { code } } }`,
		`mutation { inviteMember(input: {email: "admin-to-be@tests.example", role: ADMIN}) { userErrors { code } } }`,
		`mutation { createInvitationLink(input: {role: MEMBER, allowedDomains: ["tests.example"]}) { userErrors { code } } }`,
	} {
		if a := c.Do(t, strings.Replace(document, "$member", member.String(), 1), nil); a.Code() != "" || !strings.Contains(string(a.Body), `"userErrors":[]`) {
			t.Errorf("%s: %s", document, a.Body)
		}
	}
}

// However owners give ownership away and take each other's, one is left at the end, and
// whoever looks meanwhile finds one.
func TestATenantHasAnOwnerWhateverIsTransferred(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	for name, against := range map[string]func(testing.TB, *apitest.Client, id.Member, id.Member) *apitest.Answer{
		"each to the other": func(t testing.TB, c *apitest.Client, first, _ id.Member) *apitest.Answer {
			return transfer(t, c, first, nil)
		},
		"both to a third": func(t testing.TB, c *apitest.Client, _, third id.Member) *apitest.Answer {
			return transfer(t, c, third, nil)
		},
		"and the other removes": func(t testing.TB, c *apitest.Client, first, _ id.Member) *apitest.Answer {
			return changeMember(t, c, "removeMember(input: {id: $id})", first)
		},
		"and the other suspends": func(t testing.TB, c *apitest.Client, first, _ id.Member) *apitest.Answer {
			return changeMember(t, c, "suspendMember(input: {id: $id})", first)
		},
		"and the other steps down": func(t testing.TB, c *apitest.Client, _, _ id.Member) *apitest.Answer {
			return changeMember(t, c, "changeMemberRole(input: {id: $id, role: VIEWER})", c.Membership(t))
		},
		"and the other is reduced": func(t testing.TB, c *apitest.Client, _, third id.Member) *apitest.Answer {
			return changeMember(t, c, "removeMember(input: {id: $id})", third)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 5 {
				one := api.NewTenant(t)
				other, third := one.Member(t, auth.RoleOwner), one.Member(t, auth.RoleMember)
				first, second, last := one.Membership(t), other.Membership(t), third.Membership(t)
				to := second
				if name == "both to a third" || name == "and the other is reduced" {
					to = last
				}
				done, looked, watcher := make(chan struct{}), make(chan error), pgtest.Superuser(t)
				go func() {
					for always := true; ; {
						select {
						case <-done:
							looked <- nil
							return
						default:
						}
						err := watcher.QueryRow(context.Background(), `select exists (select from control.memberships where tenant_id = $1 and role = 'OWNER' and status = 'ACTIVE')`, one.Tenant.ID).Scan(&always)
						if err != nil || !always {
							<-done
							looked <- fmt.Errorf("there was a moment without an owner, or nobody could look: %v", err) //nolint:errorlint // it may be none
							return
						}
					}
				}()
				var both sync.WaitGroup
				answers := make([]*apitest.Answer, 2)
				both.Go(func() { answers[0] = transfer(t, one, to, nil) })
				both.Go(func() { answers[1] = against(t, other, first, last) })
				both.Wait()
				close(done)
				if err := <-looked; err != nil {
					t.Error(err)
				}
				roles := rolesOf(t, one)
				if !slices.Contains(slices.Collect(maps.Values(roles)), "OWNER") {
					t.Errorf("no owner is left: %v\n%s\n%s", roles, answers[0].Body, answers[1].Body)
				}
				for _, a := range answers {
					if a.Status != http.StatusOK && a.Status != http.StatusUnauthorized {
						t.Errorf("%s", a.Body)
					}
				}
			}
		})
	}
}
