package graph_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/pgtest"
)

var operationName = regexp.MustCompile(`^(?:query|mutation) (\w+)`)

// flow runs what docs/auth.md shows, by name.
type flow struct {
	t     testing.TB
	api   *apitest.API
	shown map[string]string
}

func newFlow(t *testing.T, api *apitest.API) *flow {
	t.Helper()
	f := &flow{t: t, api: api, shown: make(map[string]string)}
	for _, operation := range documented(t)["../docs/auth.md"] {
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
		f.t.Fatalf("docs/auth.md does not show %s", name)
	}
	answer := ask(f.t, f.api, token, f.shown[name], variables, nil)
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
	p, f := newWidelyKnown(t, api), newFlow(t, api)
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
	owner, other, f := api.NewTenant(t), api.NewTenant(t), newFlow(t, api)
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
