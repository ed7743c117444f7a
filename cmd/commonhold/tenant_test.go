package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/fault"
)

// post asks a server with an access token. code is that of the first error, "" for none.
func post(t testing.TB, origin, token, document string) (code string, data json.RawMessage) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": document})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, origin+"/graphql", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return "NO_ANSWER", nil
	}
	defer response.Body.Close()
	var got struct {
		Data   json.RawMessage
		Errors []struct{ Extensions struct{ Code string } }
	}
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		t.Error(err)
		return "NO_ANSWER", nil
	}
	if len(got.Errors) > 0 {
		code = got.Errors[0].Extensions.Code
	}
	return code, got.Data
}

// Two servers serve a tenant while a command closes it. When the command has returned no
// write is acknowledged any more, by whichever server, and none that was is lost.
func TestClosingWhileServersServe(t *testing.T) {
	t.Parallel()
	dsn, keyFile := migrated(t)
	if err := seedDemo(dsn("commonhold_app"), dsn("commonhold_control")); err != nil {
		t.Fatal(err)
	}
	_, first := serving(t, dsn, keyFile, nil)
	_, second := serving(t, dsn, keyFile, nil)
	origins := []string{first, second}
	token := signIn(t, first, "acme", "owner@acme.example")
	super, err := pgx.Connect(t.Context(), dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(context.Background())
	tenants := func(args ...string) {
		t.Helper()
		p := begin(t, nil, append([]string{"tenant"}, append(args, "--yes", "--control-url", dsn("commonhold_control"))...)...)
		if code := p.exit(); code != exitOK {
			t.Fatalf("tenant %s: exit status %d: %s", args, code, p.stderr)
		}
	}
	const writers, after = 3, 5 // on each server, and how often each is refused in the end
	for _, c := range []struct{ command, write, read string }{
		{"suspend", "TENANT_SUSPENDED", "TENANT_SUSPENDED"},
		{"read-only", "TENANT_READ_ONLY", ""},
	} {
		stored := func() (n int64) {
			if err := super.QueryRow(t.Context(), `select count(*) from shared.products where sku like $1`, c.command+"-%").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		var acknowledged, begun, read atomic.Int64
		var returned atomic.Bool
		var group sync.WaitGroup
		for _, origin := range origins {
			for range writers {
				group.Go(func() {
					for refused := 0; refused < after && !t.Failed(); {
						late := returned.Load()
						sku := fmt.Sprintf("%s-%d", c.command, begun.Add(1))
						code, data := post(t, origin, token, `mutation { createProduct(input: {sku: "`+sku+`", name: "n", price: {amount: "1", currencyCode: EUR}}) { product { sku } userErrors { code } } }`)
						switch made := strings.Contains(string(data), sku); {
						case made && late:
							t.Errorf("%s: %s was acknowledged after the command had returned", c.command, sku)
						case made:
							acknowledged.Add(1)
						case code != c.write:
							t.Errorf("%s: %s is answered %q: %s", c.command, sku, code, data)
						case late:
							refused++
						}
					}
				})
			}
			group.Go(func() {
				for late := 0; late < after && !t.Failed(); {
					over := returned.Load()
					code, data := post(t, origin, token, `{ products(first: 3) { nodes { id } } }`)
					switch {
					case code == "" && strings.Contains(string(data), "prod_") && (!over || c.read == ""):
						read.Add(1)
					case code != c.read:
						t.Errorf("%s: reading is answered %q: %s", c.command, code, data)
					}
					if over {
						late++
					}
				}
			})
		}
		eventually(t, "every server to write and read", func() bool { return acknowledged.Load() > 20 && read.Load() > 20 || t.Failed() })
		tenants(c.command, "acme")
		atReturn := stored()
		returned.Store(true)
		group.Wait()
		if now := stored(); now != atReturn || now != acknowledged.Load() {
			t.Errorf("%s: %d were stored when the command returned and %d are now, %d were acknowledged", c.command, atReturn, now, acknowledged.Load())
		}
		t.Logf("%s: %d begun, %d acknowledged, %d reads", c.command, begun.Load(), acknowledged.Load(), read.Load())
		tenants("resume", "acme")
		for _, origin := range origins {
			eventually(t, "a write after it was resumed", func() bool {
				_, data := post(t, origin, token, fmt.Sprintf(`mutation { createProduct(input: {sku: "again-%d", name: "n", price: {amount: "1", currencyCode: EUR}}) { product { sku } } }`, begun.Add(1)))
				return strings.Contains(string(data), "again-")
			})
		}
	}
}

// The whole way of an owner whom an operator named: the mail, the password, the tenant.
func TestOwnerOfACreatedTenantComesIn(t *testing.T) {
	t.Parallel()
	dsn, keyFile := migrated(t)
	relay := newRelay(t)
	_, origin := serving(t, dsn, keyFile, []string{"COMMONHOLD_SMTP_URL=" + relay.url, "SSL_CERT_FILE=" + relay.roots, "COMMONHOLD_PUBLIC_URL=https://api.tests.example"})
	p := begin(t, nil, "tenant", "create", "--slug", "made", "--name", "Made for Ada", "--currency", "EUR", "--owner", "Ada@tests.example", "--control-url", dsn("commonhold_control"))
	if code := p.exit(); code != exitOK {
		t.Fatalf("exit status %d: %s", code, p.stderr)
	}
	eventually(t, "the mail", func() bool { return len(relay.all()) > 0 })
	mail := relay.all()[0]
	_, text := textOf(t, mail)
	link := regexp.MustCompile(`https://api\.tests\.example/links/reset#(\S+)`).FindStringSubmatch(text)
	if link == nil || strings.Contains(p.stdout.String()+p.stderr.String(), link[1]) {
		t.Fatalf("the link of the mail: %q, in\n%s\nthe operator saw: %s", link, mail, p.stdout)
	}
	const password = "the password of Ada Lovelace"
	if code, data := post(t, origin, "", `mutation { resetPassword(input: {token: "`+link[1]+`", newPassword: "`+password+`"}) { userErrors { code } } }`); code != "" || !strings.Contains(string(data), `"userErrors":[]`) {
		t.Fatalf("choosing a password: %q, %s", code, data)
	}
	_, data := post(t, origin, "", `mutation { signIn(input: {email: "ada@tests.example", password: "`+password+`"}) { session { accessToken } } }`)
	var got struct {
		SignIn struct{ Session *struct{ AccessToken string } }
	}
	if err := json.Unmarshal(data, &got); err != nil || got.SignIn.Session == nil {
		t.Fatalf("%v: %s", err, data)
	}
	code, data := post(t, origin, got.SignIn.Session.AccessToken, `{ viewer { role tenant { slug } } categories { nodes { name } } }`)
	if code != "" || !strings.Contains(string(data), `"OWNER"`) || !strings.Contains(string(data), `"made"`) || !strings.Contains(string(data), "General") {
		t.Errorf("%q: %s", code, data)
	}
}

// What docs/operating.md shows of tenants is run, one command after the other: each says
// what is written below it, up to "…".
func TestTenantsAreOperatedAsDocumented(t *testing.T) {
	t.Parallel()
	dsn, _ := migrated(t)
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, ok := strings.Cut(string(page), "\n## Tenants\n")
	if !ok {
		t.Fatal("there is no chapter Tenants")
	}
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	said, ran := "", make(map[string]bool)
	for _, block := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(chapter, -1) {
		switch kind, body := block[1], block[2]; kind {
		case "sh":
			cmd := exec.Command("sh", "-e", "-c", body)
			cmd.Env = append(os.Environ(), "COMMONHOLD_CONTROL_URL="+dsn("commonhold_control"), "SHELL=/bin/bash")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s\n%v: %s", body, err, out)
			}
			said = string(out)
			for _, m := range regexp.MustCompile(`commonhold (tenant [a-z-]+|completion)`).FindAllStringSubmatch(body, -1) {
				ran[m[1]] = true
			}
		case "text", "json":
			var pattern []string
			for _, part := range strings.Split(strings.TrimSpace(body), "…") {
				pattern = append(pattern, regexp.MustCompile(`[ ]+`).ReplaceAllString(regexp.QuoteMeta(part), " +"))
			}
			if !regexp.MustCompile(`^\s*` + strings.Join(pattern, `\S+`) + `\s*$`).MatchString(said) {
				t.Errorf("it is written down that this is said:\n%s\nand it is:\n%s", body, said)
			}
		default:
			t.Errorf("a block of %s that nobody tries", kind)
		}
	}
	for path := range commands(t) {
		if (strings.HasPrefix(path, "tenant ") || path == "completion") && !ran[path] {
			t.Errorf("docs/operating.md does not show %s", path)
		}
	}
}

// A table is as wide as its rows where nobody looks, and fits a terminal where somebody does.
func TestTablesFitTheTerminal(t *testing.T) {
	t.Parallel()
	columns := []column{{title: "SLUG", least: 6}, {title: "NAME", least: 5}, {title: "STATUS"}, {title: "MEMBERS", spare: 2, right: true}, {title: "CREATED", spare: 1}}
	rows := [][]string{{"acme", "Ärzte am Rathausplatz", "ACTIVE", "7", "2026-01-01"}, {"a-very-long-slug", "B", "SUSPENDED", "12", "2026-01-02"}}
	for width, want := range map[int]string{
		0: "SLUG              NAME                   STATUS     MEMBERS  CREATED\n" +
			"acme              Ärzte am Rathausplatz  ACTIVE           7  2026-01-01\n" +
			"a-very-long-slug  B                      SUSPENDED       12  2026-01-02\n",
		61: "SLUG    NAME                   STATUS     MEMBERS  CREATED\n" +
			"acme    Ärzte am Rathausplatz  ACTIVE           7  2026-01-01\n" +
			"a-ver…  B                      SUSPENDED       12  2026-01-02\n",
		50: "SLUG    NAME        STATUS     MEMBERS  CREATED\n" +
			"acme    Ärzte am …  ACTIVE           7  2026-01-01\n" +
			"a-ver…  B           SUSPENDED       12  2026-01-02\n",
		36: "SLUG    NAME   STATUS     MEMBERS\n" +
			"acme    Ärzt…  ACTIVE           7\n" +
			"a-ver…  B      SUSPENDED       12\n",
		25: "SLUG    NAME   STATUS\n" +
			"acme    Ärzt…  ACTIVE\n" +
			"a-ver…  B      SUSPENDED\n",
	} {
		var out bytes.Buffer
		shown := table{con: console{out: &out, width: width}, columns: columns}
		if err := shown.add(rows); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("%d wide:\n%s\nwant\n%s", width, &out, want)
		}
	}
	// A second page has the widths of the first, and no titles.
	var out bytes.Buffer
	shown := table{con: console{out: &out}, columns: columns[:2]}
	for _, row := range rows {
		if err := shown.add([][]string{row[:2]}); err != nil {
			t.Fatal(err)
		}
	}
	if want := "SLUG  NAME\nacme  Ärzte am Rathausplatz\na-very-long-slug  B\n"; out.String() != want {
		t.Errorf("%s\nwant\n%s", &out, want)
	}
}

// Who is asked answers yes, or nothing is changed; where nobody can answer --yes must be said.
func TestSure(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{"y\n": "", "YES\n": "", "\n": "CANCELED", "n\n": "CANCELED", "yeah\n": "CANCELED", "": "CANCELED"} {
		var asked bytes.Buffer
		err := console{in: strings.NewReader(answer), err: &asked, answers: true}.sure(t.Context(), false, "Suspend %s?", "acme")
		if got := string(fault.CodeOf(err)); got != want || asked.String() != "Suspend acme? [y/N] " {
			t.Errorf("%q: %v, asked %q", answer, err, &asked)
		}
	}
	if err := (console{}).sure(t.Context(), false, "?"); string(fault.CodeOf(err)) != "USAGE" {
		t.Errorf("nobody there: %v", err)
	}
	if err := (console{}).sure(t.Context(), true, "?"); err != nil {
		t.Errorf("--yes: %v", err)
	}
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	if err := (console{in: blocked{t.Context()}, err: new(bytes.Buffer), answers: true}).sure(interrupted, false, "?"); string(fault.CodeOf(err)) != "CANCELED" {
		t.Errorf("interrupted: %v", err)
	}
}

// blocked is a terminal where nobody types.
type blocked struct{ ctx context.Context }

func (b blocked) Read([]byte) (int, error) {
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}
