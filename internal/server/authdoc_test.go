package server_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/id"
	"github.com/commonhold/commonhold/internal/pgtest"
)

var (
	fenced    = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")
	operation = regexp.MustCompile(`^(?:query|mutation) (\w+)`)
)

// chapter is a chapter of docs/auth.md.
func chapter(t *testing.T, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/auth.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text2, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("docs/auth.md has no chapter %s", heading)
	}
	text2, _, _ = strings.Cut(text2, "\n## ")
	return text2
}

// like tells whether an answer is what is written down: texts to the letter, up to where
// one says "…".
func like(written, got any) bool {
	switch w := written.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for name := range w {
			if _, there := g[name]; !there || !like(w[name], g[name]) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !like(w[i], g[i]) {
				return false
			}
		}
		return true
	case string:
		g, ok := got.(string)
		begin, open := strings.CutSuffix(w, "…")
		return ok && (g == w || open && strings.HasPrefix(g, begin) && len(g) > len(begin))
	}
	return written == got
}

// What docs/auth.md says of machines, done one after the other.
func TestMachinesAreAsDocumented(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	m := api.Anonymous()
	var key, next, document string
	ran := 0
	for _, block := range fenced.FindAllStringSubmatch(chapter(t, "Machines"), -1) {
		switch kind, text := block[1], block[2]; kind {
		case "graphql":
			document = text
		case "sh":
			checkCurl(t, api, m, text)
		case "json":
			var written, got map[string]any
			if err := json.Unmarshal([]byte(text), &written); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			name := operation.FindStringSubmatch(document)[1]
			who, variables := owner, map[string]any(nil)
			switch name {
			case "WhoAsks", "NotForMachines":
				who = m
			case "Rotate", "Revoke":
				variables = map[string]any{"id": key}
			}
			if written["errors"] != nil && name != "NotForMachines" { // "from then on"
				document, who, variables = `{ viewer { role } }`, m, nil
			}
			a := who.Do(t, document, variables)
			if err := json.Unmarshal(a.Body, &got); err != nil {
				t.Fatal(err)
			}
			if written["errors"] == nil {
				got, _ = got["data"].(map[string]any)
			} else {
				delete(got, "data")
				errs := got["errors"].([]any)[0].(map[string]any)
				delete(errs, "path")
				delete(errs, "locations")
				delete(got, "extensions")
			}
			if !like(written, got) {
				t.Errorf("%s\nis answered %s\nand written down as %s", document, a.Body, text)
			}
			var made struct{ CreateAPIKey, RotateAPIKey madeKey }
			_ = json.Unmarshal(a.Data, &made)
			if made.CreateAPIKey.Secret != "" {
				m.Token, key = made.CreateAPIKey.Secret, made.CreateAPIKey.APIKey.ID
			}
			if next == "" {
				next = made.RotateAPIKey.Secret
			}
			ran++
		default:
			t.Errorf("a block of %s that nobody tries", kind)
		}
	}
	if ran < 6 || next == "" {
		t.Errorf("%d requests of the chapter were tried", ran)
	}
	m.Token = next
	m.Must(t, `{ products { nodes { sku } } }`, nil, nil)
}

// What docs/auth.md says of signing up, done one after the other.
func TestSigningUpIsAsDocumented(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	unique := strings.ReplaceAll(id.New().String(), "-", "")
	email := unique + "@tests.example"
	document, token, ran := "", "", 0
	for _, block := range fenced.FindAllStringSubmatch(chapter(t, "Signing up"), -1) {
		if block[1] == "graphql" {
			document = block[2]
			continue
		}
		who, variables := api.Anonymous(), map[string]any(nil)
		switch name := operation.FindStringSubmatch(document)[1]; name {
		case "MayIHaveIt":
			variables = map[string]any{"slug": "s" + unique[:30]}
		case "SignUp":
			variables = map[string]any{"slug": "s" + unique[:30], "email": email, "password": apitest.Password}
		case "Confirm", "ConfirmAgain":
			variables = map[string]any{"token": link(t, api, email), "password": apitest.Password}
		case "OneMore": // by who has signed up
			who.Token = token
			variables = map[string]any{"slug": "m" + unique[:30]}
		}
		var written, got map[string]any
		if err := json.Unmarshal([]byte(block[2]), &written); err != nil {
			t.Fatalf("%v: %s", err, block[2])
		}
		a := who.Do(t, document, variables)
		if err := json.Unmarshal(a.Data, &got); err != nil || !like(written, got) {
			t.Errorf("%v: %s\nis answered %s\nand written down as %s", err, document, a.Body, block[2])
		}
		var made struct {
			ConfirmRegistration struct{ Session *struct{ AccessToken string } }
		}
		_ = json.Unmarshal(a.Data, &made)
		if in := made.ConfirmRegistration.Session; in != nil {
			token = in.AccessToken
		}
		ran++
	}
	if ran != 6 {
		t.Errorf("%d requests of the chapter were tried", ran)
	}
}

// checkCurl runs the line that a reader would, here.
func checkCurl(t *testing.T, api *apitest.API, m *apitest.Client, line string) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Log("there is no curl here")
		return
	}
	command := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(line, "http://localhost:8080", api.URL, 1))
	command.Env = append(os.Environ(), "COMMONHOLD_API_KEY="+m.Token)
	out, err := command.Output()
	if err != nil || !strings.HasPrefix(string(out), `{"data":{"products":{"nodes":[]}}`) {
		t.Errorf("%v: %s\n%s", err, out, line)
	}
}

// documentedRun asks what a chapter shows, one after the other, and holds each answer to
// what is written beside it. who asks is told by the name of the operation, with which variables
// too; seen is called with each answer. An answer without a request of its own is that of
// again.
func documentedRun(t *testing.T, heading, again string, who func(name string) (*apitest.Client, map[string]any), seen func(name string, data json.RawMessage)) (ran int) {
	t.Helper()
	shown, document, answered := make(map[string]string), "", true
	for _, block := range fenced.FindAllStringSubmatch(chapter(t, heading), -1) {
		switch kind, text := block[1], block[2]; kind {
		case "graphql":
			if !answered {
				t.Errorf("no answer is written down to\n%s", document)
			}
			document, answered = text, false
			shown[operation.FindStringSubmatch(text)[1]] = text
		case "json":
			if answered {
				document = shown[again]
			}
			answered = true
			name := operation.FindStringSubmatch(document)[1]
			var written, got map[string]any
			if err := json.Unmarshal([]byte(text), &written); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			c, variables := who(name)
			a := c.Do(t, document, variables)
			if err := json.Unmarshal(a.Data, &got); err != nil {
				t.Fatalf("%s: %v: %s", name, err, a.Body)
			}
			if !like(written, got) {
				t.Errorf("%s\nis answered %s\nand written down as %s", document, a.Body, text)
			}
			seen(name, a.Data)
			ran++
		default:
			t.Errorf("a block of %s that nobody tries", kind)
		}
	}
	return ran
}

// What docs/auth.md says of links, done one after the other, with a person who joins by one.
func TestLinksAreAsDocumented(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	email := "somebody-" + owner.Tenant.Slug + "@company.example"
	var made struct {
		CreateInvitationLink struct {
			InvitationLink struct{ ID string }
			Token          string
		}
	}
	ran := documentedRun(t, "Inviting by a link", "AskToJoin", func(name string) (*apitest.Client, map[string]any) {
		link := made.CreateInvitationLink
		switch name {
		case "AskToJoin":
			return api.Anonymous(), map[string]any{"token": link.Token, "email": email}
		case "AskFromElsewhere":
			return api.Anonymous(), map[string]any{"token": link.Token}
		case "TakeLinkBack":
			return owner, map[string]any{"id": link.InvitationLink.ID}
		}
		return owner, nil
	}, func(name string, data json.RawMessage) {
		switch name {
		case "MakeLink":
			_ = json.Unmarshal(data, &made)
		case "AskFromElsewhere":
			var of uuid.UUID
			if err := pgtest.Superuser(t).QueryRow(t.Context(), `select (args -> 'link' ->> 'id')::uuid from control.river_job where args ->> 'to' = $1`, email).Scan(&of); err != nil {
				t.Fatal(err)
			}
			api.Anonymous().Must(t, `mutation($token: String!) { acceptInvitation(input: {token: $token, password: "a password of mine", displayName: "Somebody"}) { session { accessToken } } }`,
				map[string]any{"token": api.Ring.Token("invitation", of)}, nil)
		}
	})
	if ran != 6 {
		t.Errorf("%d requests of the chapter were tried", ran)
	}
}

func TestHandingOverIsAsDocumented(t *testing.T) {
	t.Parallel()
	api := apitest.New(t, pgtest.New(t))
	owner := api.NewTenant(t)
	member := owner.Member(t, auth.RoleMember).Membership(t)
	ran := documentedRun(t, "Handing a tenant over", "", func(string) (*apitest.Client, map[string]any) {
		return owner, map[string]any{"member": member, "password": apitest.Password}
	}, func(string, json.RawMessage) {})
	if ran != 1 {
		t.Errorf("%d requests of the chapter were tried", ran)
	}
}
