package graph_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
)

// changeMember does something to a member, as c.
func changeMember(t testing.TB, c *apitest.Client, what string, member id.Member) *apitest.Answer {
	t.Helper()
	return c.Do(t, `mutation($id: ID!) { `+what+` { member { role status } userErrors { field code } } }`, map[string]any{"id": member})
}

// Nobody gives, or takes away, what they do not hold: every role, before every role,
// with every change.
func TestNobodyChangesWhoHoldsMore(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	roles := []auth.Role{auth.RoleOwner, auth.RoleAdmin, auth.RoleMember, auth.RoleViewer}
	changes := []string{"suspendMember(input: {id: $id})", "reinstateMember(input: {id: $id})"}
	for _, to := range roles {
		changes = append(changes, fmt.Sprintf("changeMemberRole(input: {id: $id, role: %s})", to))
	}
	changes = append(changes, "removeMember(input: {id: $id})")
	for _, asking := range roles {
		t.Run(string(asking), func(t *testing.T) {
			t.Parallel()
			owner := api.NewTenant(t)
			c := owner.Member(t, asking)
			for _, of := range roles {
				other := owner.Member(t, of).Membership(t)
				for _, what := range changes {
					allowed := asking == auth.RoleOwner || asking == auth.RoleAdmin && of != auth.RoleOwner && !strings.Contains(what, "OWNER")
					want := "FORBIDDEN"
					if allowed {
						want = ""
					}
					if a := changeMember(t, c, what, other); a.Code() != want || allowed && !strings.Contains(string(a.Body), `"userErrors":[]`) {
						t.Errorf("%s, who is %s: %s", what, of, a.Body)
					}
				}
			}
		})
	}
}

// However owners go at each other, one is left; and who was taken out by the one
// cannot do anything more to the other.
func TestTheLastOwnerStays(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	super := pgtest.Superuser(t)
	for _, what := range []string{"removeMember(input: {id: $id})", "suspendMember(input: {id: $id})", "changeMemberRole(input: {id: $id, role: ADMIN})"} {
		for range 5 {
			one := api.NewTenant(t)
			other := one.Member(t, auth.RoleOwner)
			first, second := one.Membership(t), other.Membership(t)
			var both sync.WaitGroup
			both.Go(func() { changeMember(t, one, what, second) })
			both.Go(func() { changeMember(t, other, what, first) })
			both.Wait()
			owners := column[id.Member](t, super, `select id from control.memberships where tenant_id = $1 and role = 'OWNER' and status = 'ACTIVE'`, one.Tenant.ID)
			if len(owners) != 1 {
				t.Fatalf("%s: %d owners are left", what, len(owners))
			}
			left := one
			if owners[0] == second {
				left = other
			}
			left.Token = signIn(t, api, left).AccessToken
			if a := changeMember(t, left, what, owners[0]); a.Code() != "" || !strings.Contains(string(a.Body), `"code":"LAST_OWNER"`) {
				t.Errorf("%s: %s", what, a.Body)
			}
		}
	}
}

// What was done to a member holds from the next request on, and stands in the log with
// what was before.
func TestChangesOfMembers(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.Open(t, 8))
	owner := api.NewTenant(t)
	c := owner.Member(t, auth.RoleMember)
	member := c.Membership(t)
	in := func() bool {
		a := c.Do(t, `{ viewer { role } }`, nil)
		if a.Code() != "" && a.Code() != "UNAUTHENTICATED" {
			t.Fatalf("%s", a.Body)
		}
		return a.Code() == ""
	}
	count := func() (n int) {
		var got struct {
			Members struct{ TotalCount int }
		}
		owner.Must(t, `{ members { totalCount } }`, nil, &got)
		return got.Members.TotalCount
	}
	for _, step := range []struct {
		what    string
		answer  string
		signsIn bool
		members int
	}{
		{"suspendMember(input: {id: $id})", `{"role":"MEMBER","status":"SUSPENDED"}`, false, 2},
		{"suspendMember(input: {id: $id})", `{"role":"MEMBER","status":"SUSPENDED"}`, false, 2}, // which is none
		{"changeMemberRole(input: {id: $id, role: VIEWER})", `{"role":"VIEWER","status":"SUSPENDED"}`, false, 2},
		{"reinstateMember(input: {id: $id})", `{"role":"VIEWER","status":"ACTIVE"}`, true, 2},
		{"changeMemberRole(input: {id: $id, role: ADMIN})", `{"role":"ADMIN","status":"ACTIVE"}`, true, 2},
		{"removeMember(input: {id: $id})", `{"role":"ADMIN","status":"REMOVED"}`, false, 1},
		{"reinstateMember(input: {id: $id})", `{"member":null,"userErrors":[{"field":["input","id"],"code":"NOT_FOUND"}]}`, false, 1},
	} {
		before := in()
		if a := changeMember(t, owner, step.what, member); !strings.Contains(string(a.Body), step.answer) {
			t.Fatalf("%s: %s", step.what, a.Body)
		}
		if before && in() {
			t.Errorf("%s: the token from before is good still", step.what)
		}
		session, _, err := api.Auth.SignIn(t.Context(), owner.Tenant.Slug, c.Email, apitest.Password)
		if (err == nil) != step.signsIn {
			t.Errorf("%s: signing in: %v", step.what, err)
		}
		if err == nil {
			c.Token = session.AccessToken
		}
		if n := count(); n != step.members {
			t.Errorf("%s: %d members", step.what, n)
		}
	}
	var log struct {
		AccessLog struct {
			Nodes []struct {
				Actor   struct{ Email string }
				Details struct{ Before, After struct{ Role, Status string } }
			}
		}
	}
	owner.Must(t, `query($id: ID) { accessLog(filter: {action: "member.changed", entityId: $id}) { nodes { actor { email } details } } }`, map[string]any{"id": member}, &log)
	var told []string
	for _, n := range log.AccessLog.Nodes {
		told = append(told, fmt.Sprintf("%s %s to %s %s", n.Details.Before.Role, n.Details.Before.Status, n.Details.After.Role, n.Details.After.Status))
		if n.Actor.Email != owner.Email {
			t.Errorf("done by %q", n.Actor.Email)
		}
	}
	want := []string{"ADMIN ACTIVE to ADMIN REMOVED", "VIEWER ACTIVE to ADMIN ACTIVE", "VIEWER SUSPENDED to VIEWER ACTIVE", "MEMBER SUSPENDED to VIEWER SUSPENDED", "MEMBER ACTIVE to MEMBER SUSPENDED"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
}
