package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// serving starts a server and returns where it is. What env and flags do not say is as
// a test needs it.
func serving(t testing.TB, dsn func(string) string, keyFile string, env []string, flags ...string) (*process, string) {
	t.Helper()
	env = append([]string{"COMMONHOLD_PUBLIC_URL=http://127.0.0.1", "COMMONHOLD_SMTP_URL=smtp://127.0.0.1:1", "COMMONHOLD_MAIL_FROM=no-reply@tests.example"}, env...)
	p := begin(t, env, append([]string{"serve", "--addr", "127.0.0.1:0", "--app-url", dsn("commonhold_app"), "--control-url", dsn("commonhold_control"),
		"--key-encryption-key", keyFile}, flags...)...)
	var origin string
	eventually(t, "the line ready …", func() bool {
		if line := regexp.MustCompile(`(?m)^ready (http://\S+)$`).FindStringSubmatch(p.stderr.String()); line != nil {
			origin = line[1]
		}
		return origin != "" || p.hasEnded()
	})
	if origin == "" {
		t.Fatalf("it ended before it was ready: %s", p.stderr)
	}
	return p, origin
}

// lets tells whether a server accepts a token.
func lets(t testing.TB, origin, token string) bool {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, origin+"/graphql", strings.NewReader(`{"query":"{ viewer { role } }"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d", response.StatusCode)
	}
	return response.StatusCode == http.StatusOK
}

func kid(t testing.TB, token string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	var header struct{ Kid string }
	if err == nil {
		err = json.Unmarshal(raw, &header)
	}
	if err != nil {
		t.Fatal(err)
	}
	return header.Kid
}

// Two servers while keys are rotated beside them, by commands that are killed before
// they may write and between their two writes, and by one that is not; and the servers
// killed after it.
func TestKeysOfTwoServers(t *testing.T) {
	t.Parallel()
	dsn, keyFile := migrated(t)
	if err := seedDemo(dsn("commonhold_app"), dsn("commonhold_control")); err != nil {
		t.Fatal(err)
	}
	keys := func(args ...string) *process {
		t.Helper()
		args = append([]string{"keys"}, append(args, "--control-url", dsn("commonhold_control"))...)
		if args[1] != "list" {
			args = append(args, "--key-encryption-key", keyFile)
		}
		return begin(t, nil, args...)
	}
	type stored struct {
		ID, State string
		RetiresAt *string
	}
	list := func() (all []stored) {
		t.Helper()
		p := keys("list", "--json")
		if code := p.exit(); code != exitOK {
			t.Fatalf("keys list: exit status %d: %s", code, p.stderr)
		}
		if err := json.Unmarshal([]byte(p.stdout.String()), &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	one, first := serving(t, dsn, keyFile, nil)
	two, second := serving(t, dsn, keyFile, nil)
	origins := []string{first, second}
	token := func(origin string) string { return signIn(t, origin, "acme", "owner@acme.example") }
	both := func(what, token string) {
		t.Helper()
		for _, origin := range origins {
			if !lets(t, origin, token) {
				t.Errorf("%s: a server refuses a token of another", what)
			}
		}
	}
	held := token(first)
	both("before", held)
	both("before", token(second))

	// Killed while it waits for us: nothing is left of what it had done.
	super, err := pgx.Connect(t.Context(), dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(context.Background())
	for when, hold := range map[string]string{
		"before it may write":    "lock table control.signing_keys in share row exclusive mode",
		"between its two writes": "select from control.signing_keys for update",
	} {
		tx, err := super.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), hold); err != nil {
			t.Fatal(err)
		}
		p := keys("rotate")
		waits := func() (n int) {
			if err := tx.QueryRow(t.Context(), "select count(*) from pg_locks where not granted").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		eventually(t, when+": it waits", func() bool { return waits() > 0 || p.hasEnded() })
		_ = p.cmd.Process.Kill()
		if code := p.exit(); code != -1 {
			t.Errorf("%s: it had ended with status %d: %s", when, code, p.stderr)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if all := list(); len(all) != 1 || all[0].RetiresAt != nil {
			t.Fatalf("%s: %+v", when, all)
		}
		both(when, token(first))
		both(when, token(second))
	}
	if p := keys("rotate"); p.exit() != exitOK {
		t.Fatalf("keys rotate: %s", p.stderr)
	}
	if all := list(); len(all) != 2 || all[0].State != "published" || all[1].State != "signs" || all[1].ID != kid(t, held) {
		t.Errorf("%+v", all)
	}
	both("published", held)
	both("published", token(first))

	// At once: the servers follow by themselves.
	p := keys("rotate", "--now")
	if p.exit() != exitOK {
		t.Fatalf("keys rotate --now: %s", p.stderr)
	}
	replaced := list()
	if len(replaced) != 1 {
		t.Fatalf("%+v", replaced)
	}
	for _, origin := range origins {
		eventually(t, "a token of the new key", func() bool { return kid(t, token(origin)) == replaced[0].ID })
		if lets(t, origin, held) {
			t.Error("a token of a deleted key is accepted")
		}
	}
	held = token(first)
	both("replaced", held)
	response, err := http.Get(second + "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(body), replaced[0].ID) || strings.Count(string(body), `"kid"`) != 1 {
		t.Errorf("%v: %s", err, body)
	}

	// kill -9 of both, and a new one goes on.
	one.kill()
	two.kill()
	_, third := serving(t, dsn, keyFile, nil)
	origins = []string{third}
	both("after kill -9", held)
	both("after kill -9", token(third))
}
