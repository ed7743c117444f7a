package coderules

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Servers remember tenants, people and sessions, and forget what they are told of.
// Whoever changes one in the control database says so in the same transaction, in the
// same function.
var toldRule = rule{name: "told", check: untold, excepted: map[string]exception{}}

// telling says which function tells of what a statement of queries/control changes;
// or, beginning with a space, why nobody need be told.
var telling = map[string]string{
	"RevokeSession":         "TellOfSession",
	"SetMembership":         "TellOfUser",
	"EndSessionsOfMember":   "TellOfUser",
	"AdmitMember":           "TellOfUser",
	"CreateTenant":          "TellOfTenant",
	"SetTenantStatus":       "TellOfTenant",
	"RevokeSessionOfUser":   "TellOfSession",
	"RevokeSessionsOfUser":  "TellOfUser",
	"ConfirmSession":        "TellOfSession",
	"SetUserEmail":          "TellOfUser",
	"ReplaceAPIKey":         "TellOfAPIKey",
	"RevokeAPIKeysOfMember": "TellOfAPIKey",
	"RevokeAPIKey":          "TellOfAPIKey",

	"CreateUserOfEmail": " nobody remembers who was not there",
	"CreateUser":        " nobody remembers who was not there",
	"CreateMembership":  " nobody remembers who was no member",
	"CreateSession":     " nobody remembers a session that was not there",
	"ExtendSession":     " who meets a session past the end that is remembered looks again",
	"TouchSession":      " when a session was used last is remembered nowhere",
	"CreateAPIKey":      " nobody remembers a key that was not there",
	"TouchAPIKey":       " when a key was used last is remembered nowhere",
	"CreatePlacement":   " part of making a tenant, of which CreateTenant tells",
	"SetTenantDefaults": " that a home has its defaults is remembered nowhere",
}

// remembered are the tables of which servers remember rows.
var remembered = []string{"tenants", "placements", "users", "memberships", "sessions", "api_keys"}

func untold(p *pack) (found []violation) {
	type change struct {
		at   ast.Node
		name string
	}
	changes, told := make(map[string][]change), make(map[string]map[string]bool)
	p.each(func(site string, n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return
		}
		fn := p.called(call)
		if fn == nil || fn.Pkg() == nil {
			return
		}
		switch fn.Pkg().Path() {
		case controlPath:
			if told[site] == nil {
				told[site] = make(map[string]bool)
			}
			told[site][fn.Name()] = true
		case module + "sqlc/controlsql":
			if teller := telling[fn.Name()]; teller != "" && teller[0] != ' ' {
				changes[site] = append(changes[site], change{call, fn.Name()})
			}
		}
	})
	for site, made := range changes {
		for _, c := range made {
			if teller := telling[c.name]; !told[site][teller] {
				found = append(found, p.at(site, c.at, "%s changes what other servers remember; call control.%s in the same transaction", c.name, teller))
			}
		}
	}
	return found
}

var (
	statement = regexp.MustCompile(`(?m)^-- name: (\w+) :`)
	changing  = regexp.MustCompile(`(?i)\b(?:insert\s+into|update|delete\s+from|merge\s+into)\s+(?:only\s+)?(?:control\.)?"?(\w+)"?`)
	comment   = regexp.MustCompile(`(?m)^--.*$`)
)

// undeclared lists the statements that change what is remembered and are not in
// telling, and those that are and change nothing.
func undeclared(declared map[string]string, files map[string]string) (wrong []string) {
	left := make(map[string]bool)
	for name := range declared {
		left[name] = true
	}
	for file, text := range files {
		names := statement.FindAllStringSubmatchIndex(text, -1)
		for i, at := range names {
			end := len(text)
			if i+1 < len(names) {
				end = names[i+1][0]
			}
			name, body := text[at[2]:at[3]], comment.ReplaceAllString(text[at[0]:end], "")
			for _, change := range changing.FindAllStringSubmatch(body, -1) {
				for _, table := range remembered {
					if change[1] != table {
						continue
					}
					if delete(left, name); declared[name] == "" {
						wrong = append(wrong, file+": "+name+" changes "+table+", which servers remember: say in telling who tells them, or why nobody need be told")
					}
				}
			}
		}
	}
	for name := range left {
		wrong = append(wrong, name+" changes nothing that is remembered: take it out of telling")
	}
	return wrong
}

func TestEveryChangeOfWhatIsRememberedIsDeclared(t *testing.T) {
	t.Parallel()
	files := make(map[string]string)
	for _, dir := range []string{"control", "account", "tenant"} {
		found, err := filepath.Glob(filepath.Join("..", "..", "queries", dir, "*.sql"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no queries of %s: %v", dir, err)
		}
		for _, file := range found {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			files[file] = string(text)
		}
	}
	for _, wrong := range undeclared(telling, files) {
		t.Error(wrong)
	}

	// What the test is for, planted.
	for sql, complaints := range map[string]int{
		"-- name: Plant :exec\nupdate sessions set user_id = @user_id;":                                              1,
		"-- name: Plant :exec\n-- update nothing\nselect 1;":                                                         0,
		"-- name: Plant :one\nwith gone as (delete from memberships where id = @id returning *) select * from gone;": 1,
		"-- name: Plant :exec\nINSERT INTO control.tenants (id) values (@id);":                                       1,
		"-- name: Plant :exec\nupdate refresh_tokens set used_at = now();":                                           0,
	} {
		with := map[string]string{"plant.sql": sql}
		for file, text := range files {
			with[file] = text
		}
		if wrong := undeclared(telling, with); len(wrong) != complaints {
			t.Errorf("%s: %q", sql, wrong)
		}
	}
	without := map[string]string{"Gone": " it was there once, and is no more"}
	for name, teller := range telling {
		without[name] = teller
	}
	if wrong := undeclared(without, files); len(wrong) != 1 || !strings.Contains(wrong[0], "Gone") {
		t.Errorf("a stale declaration: %q", wrong)
	}
}
