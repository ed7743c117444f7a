package textproof

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commonhold/commonhold/internal/postgres"
)

// set is a package of queries and what they are proven against.
type set struct {
	schema *Schema
	found  []Query
}

// appRole runs the queries of the tenant and the account set.
const appRole = "commonhold_app"

func repository() fs.FS { return os.DirFS("../../..") }

func read(role, generated, queries string, migrations ...string) (*set, error) {
	schema, err := ReadSchema(postgres.Files(), role, migrations...)
	if err != nil {
		return nil, err
	}
	found, err := ReadQueries(repository(), generated, queries)
	if err != nil {
		return nil, fmt.Errorf("generated code cannot be read:\n%w", err)
	}
	return &set{schema, found}, nil
}

// Both sets are read once for all tests.
var readOnce = sync.OnceValues(func() (sets [2]*set, err error) {
	if sets[0], err = read(appRole, "sqlc/tenantsql", "queries/tenant", "tenant"); err != nil {
		return sets, err
	}
	sets[1], err = read(appRole, "sqlc/accountsql", "queries/account", "control")
	return sets, err
})

// proven is what is proven: the tenant set, then the account set.
func proven(t testing.TB) [2]*set {
	t.Helper()
	sets, err := readOnce()
	if err != nil {
		t.Fatal(err)
	}
	return sets
}

// Every statement of queries/tenant and queries/account is tied to the tenant.
func TestEveryStatementIsTiedToTheTenant(t *testing.T) {
	t.Parallel()
	began := time.Now()
	count := 0
	for _, s := range proven(t) {
		for _, q := range s.found {
			count++
			if err := s.schema.Prove(q); err != nil {
				t.Error(err)
			}
		}
	}
	t.Logf("%d statements proven in %v", count, time.Since(began).Round(time.Millisecond))
	if count < 30 {
		t.Errorf("only %d statements were found", count)
	}
}

// platform lists the queries of queries/control that touch a table with a wall, which
// they pass as commonhold_control, each with the reason why it must.
var platform = map[string]string{
	"CreateUser":                   "registration makes a person before any tenant knows them",
	"CreateUserOfEmail":            "as CreateUser",
	"LockUserOfEmail":              "a registration is of an address, and of no tenant yet",
	"CreateRegistration":           "whether an address has an account, which decides what the mail to it says",
	"GetRegistration":              "whether an address has an account, which decides whether who has its mail shows a password",
	"GetUserForSignIn":             "sign-in knows an address, and no tenant yet",
	"CreateMembership":             "a tenant's first member cannot be signed in to it yet",
	"ListMembershipsOfUser":        "sign-in asks where the person may go: the question is across tenants",
	"CreateAccessEvent":            "records what the others of this list do, in their transactions; bound to one tenant",
	"CreateSession":                "sign-in makes the session before the tenant is entered",
	"GetSessionOfToken":            "what lets a caller enter the tenant; bound to the token's own tenant and user",
	"LockSession":                  "a session begins another in a tenant of its person; bound to the session and the person",
	"LockInviter":                  "who invites is a member of the same tenant, to which it is bound",
	"GetInvitee":                   "whether an address has an account, which decides what the mail to it says; the rest is bound to one tenant",
	"CreateInvitation":             "an invitation, its mail and its entry in the log are one transaction; bound to one tenant",
	"LockInvitation":               "as CreateInvitation",
	"LockInvitationOfEmail":        "as CreateInvitation",
	"RenewInvitation":              "as CreateInvitation",
	"RevokeInvitation":             "as CreateInvitation",
	"CreateInvitationLink":         "as CreateInvitation",
	"CountOpenInvitationLinks":     "counts links in the transaction that adds one, bound to one tenant",
	"LockInvitationLink":           "as CreateInvitation",
	"RevokeInvitationLink":         "as CreateInvitation",
	"RevokeInvitationsOfLink":      "what came of a link is taken back with it; bound to one tenant and link",
	"GetOpenInvitationLink":        "who shows a token knows the link before the tenant",
	"HoldInvitationLink":           "who shows a token is nobody's member yet; bound to one tenant",
	"OfferByLink":                  "as HoldInvitationLink",
	"CreateJobOfInvitation":        "leaves the mail of an invitation if there is one, bound to its tenant",
	"UseInvitationLink":            "as AcceptInvitation",
	"GetUser":                      "a mail to a member, whose membership of the tenant was read before; a person is no tenant's",
	"GetOpenInvitation":            "who shows a token knows the invitation before the tenant",
	"AcceptInvitation":             "who accepts is no member yet; bound to one tenant",
	"AdmitMember":                  "who was invited is no member yet; bound to one tenant",
	"LockRefreshToken":             "a refresh knows a token, which names its session and so its tenant",
	"TouchSession":                 "a refresh marks the session that its token named",
	"RevokeSession":                "a sign-out or a stolen token ends the session, whichever tenant it is for",
	"GetActiveMembership":          "a refresh asks the role before the tenant is entered; bound to one tenant and user",
	"LockMembers":                  "who changes a member is a member of the same tenant, to which it is bound",
	"EndSessionsOfMember":          "a removed member's sessions end with the membership, bound to its tenant and user",
	"SetMembership":                "who changes a member is a member of the same tenant, to which it is bound, and to the user",
	"GetIdempotencyKey":            "a key of a control mutation, bound to one tenant and user",
	"ClaimIdempotencyKey":          "a key of a control mutation, bound to one tenant and user",
	"RecordIdempotentResult":       "a key of a control mutation, bound to one tenant",
	"RecordIdempotentAnswer":       "a key of a control mutation, bound to one tenant and user",
	"CountIdempotencyKeys":         "keys of control mutations, bound to one tenant and user",
	"DeleteExpiredIdempotencyKeys": "keys of control mutations, bound to one tenant",
	"ListDemoAccounts":             "a warning about known passwords looks at addresses, whichever tenant they are in",
	"CreateTenant":                 "makes a tenant",
	"CreatePlacement":              "says where a tenant lives",
	"CreateTenantDoor":             "opens a tenant's door for the first time",
	"SetTenantStatus":              "suspends, resumes and ends a tenant from outside",
	"SetTenantDoor":                "opens and closes a tenant's door from outside",
	"SetTenantDefaults":            "notes a step of making a tenant",
	"GetTenant":                    "the registry finds a tenant by its id, before it is entered",
	"GetTenantIDBySlug":            "the registry finds a tenant by its slug, before it is entered",
	"FindTenant":                   "the operator changes a tenant from outside",
	"ListTenants":                  "the operator asks across tenants, and is shown none of their data",
	"GetTenantSummary":             "the operator is shown how many may enter a tenant, and none of its data",
	"GetTenantStatus":              "work that was left for later asks whether its tenant is open",
	"ListTenantEvents":             "the operator reads the log of who may enter; bound to one tenant",
	"ListSessionsOfUser":           "a person's devices are no tenant's; bound to the person",
	"ExtendSession":                "a refresh prolongs the session that its token named",
	"ConfirmSession":               "a password is the person's; bound to the session that asks",
	"RevokeSessionOfUser":          "a person ends a session of their own, in whichever tenant; bound to the person",
	"RevokeSessionsOfUser":         "a person ends all sessions of their own, in all tenants; bound to the person",
	"CreateMailLink":               "a link for whoever has an address: a person is no tenant's",
	"DeleteOldMailLinks":           "forgets links of whoever has an address",
	"LockUser":                     "who changes a password or an address locks the person, whichever tenants they are in",
	"SetUserEmail":                 "a person's address is the same in every tenant; bound to the person",
	"GetAPIKey":                    "what lets a machine enter the tenant; bound to the tenant and the id that the key says",
	"GetActingMember":              "for whom a key acts is asked before the tenant is entered; bound to one tenant and user",
	"TouchAPIKey":                  "notes the use of a key before the tenant is entered; bound to the tenant and the key",
	"LockTenantForAPIKeys":         "keys are added to a tenant one at a time; the row of the tenant stands for it",
	"CountLiveAPIKeys":             "counts keys in the transaction that adds one, bound to one tenant",
	"CreateAPIKey":                 "makes a key in the transaction that records it, bound to one tenant",
	"CreateAPIKeySecret":           "stores what the request role never sees, bound to one tenant",
	"LockAPIKey":                   "a key is rotated or revoked in the transaction that records it; bound to one tenant and key",
	"ReplaceAPIKey":                "as LockAPIKey",
	"RevokeAPIKey":                 "as LockAPIKey",
	"RevokeAPIKeysOfMember":        "a removed member's keys end with the membership, bound to its tenant and user",
}

// unlisted compares the platform's queries with the list.
func unlisted(schema *Schema, found []Query, list map[string]string) (problems []string) {
	stale := maps.Clone(list)
	for _, q := range found {
		touched, err := schema.Touches(q)
		switch {
		case err != nil:
			problems = append(problems, err.Error())
		case len(touched) > 0 && list[q.Name] == "":
			problems = append(problems, q.File+": "+q.Name+": touches "+strings.Join(touched, ", ")+
				", whose rows belong to tenants: move it to queries/tenant or queries/account, or add it to platform in textproof_test.go with the reason")
		}
		if len(touched) > 0 {
			delete(stale, q.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(stale)) {
		problems = append(problems, "platform in textproof_test.go lists "+name+", which touches no such table or is gone: take it off the list")
	}
	return problems
}

func TestPlatformQueriesAreListed(t *testing.T) {
	t.Parallel()
	s, err := read("", "sqlc/controlsql", "queries/control", "control", "gate")
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range unlisted(s.schema, s.found, platform) {
		t.Error(problem)
	}

	// What the list is for, planted.
	shorter := maps.Clone(platform)
	delete(shorter, "CreateMembership")
	if problems := unlisted(s.schema, s.found, shorter); len(problems) != 1 ||
		!strings.Contains(problems[0], "queries/control/accounts.sql: CreateMembership: touches memberships, whose rows belong to tenants") {
		t.Errorf("a query that is not listed: %q", problems)
	}
	longer := maps.Clone(platform)
	longer["SetPasswordHash"], longer["DropEverything"] = "touches no such table", "is gone"
	if problems := unlisted(s.schema, s.found, longer); len(problems) != 2 || !strings.Contains(problems[0], "lists DropEverything") {
		t.Errorf("stale entries: %q", problems)
	}
	for sql, touches := range map[string]string{
		"select count(*) from plans where exists (select from sessions)": "sessions",
		"with m as (delete from memberships returning id) select from m": "memberships",
		"insert into users (id) select id from user_credentials":         "users",
		"select p.code from plans as p for update of p":                  "",
		"lock table tenants, placements":                                 "placements tenants",
	} {
		touched, err := s.schema.Touches(Query{SQL: sql})
		if err != nil || strings.Join(touched, " ") != touches {
			t.Errorf("%s touches %q, %v", sql, touched, err)
		}
	}
	if _, err := s.schema.Touches(Query{SQL: "select from products"}); err == nil || !strings.Contains(err.Error(), "table products is in no migration") {
		t.Errorf("a table of another set: %v", err)
	}
}
