package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/commonhold/commonhold/internal/demo"
	"github.com/commonhold/commonhold/internal/embeddedpg"
	"github.com/commonhold/commonhold/internal/postgres"
)

// ask posts a document and unmarshals its data; anything else fails the test.
func ask(t testing.TB, origin, token, query string, into any) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, origin+"/graphql", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Data   json.RawMessage
		Errors []any
	}
	if err := json.Unmarshal(text, &answer); err != nil || len(answer.Errors) > 0 {
		t.Fatalf("status %d: %s", response.StatusCode, text)
	}
	if err := json.Unmarshal(answer.Data, into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

// signIn answers an access token.
func signIn(t testing.TB, origin, tenant, email string) string {
	t.Helper()
	var data struct {
		SignIn struct {
			Session    *struct{ AccessToken string }
			UserErrors []struct{ Message string }
		}
	}
	ask(t, origin, "", fmt.Sprintf(`mutation { signIn(input: {tenant: %q, email: %q, password: %q}) { session { accessToken } userErrors { message } } }`, tenant, email, demo.Password), &data)
	if data.SignIn.Session == nil || data.SignIn.Session.AccessToken == "" {
		t.Fatalf("%s cannot sign in to %s: %v", email, tenant, data.SignIn.UserErrors)
	}
	return data.SignIn.Session.AccessToken
}

// create stores a product as the owner of acme.
func create(t testing.TB, origin, sku string) {
	t.Helper()
	var data struct {
		CreateProduct struct {
			Product    *struct{ ID string }
			UserErrors []struct{ Message string }
		}
	}
	ask(t, origin, signIn(t, origin, "acme", "owner@acme.example"),
		fmt.Sprintf(`mutation { createProduct(input: {sku: %q, name: "Kept", price: {amount: "1.50", currencyCode: EUR}, stock: 1}) { product { id } userErrors { message } } }`, sku), &data)
	if data.CreateProduct.Product == nil {
		t.Fatalf("create %s: %v", sku, data.CreateProduct.UserErrors)
	}
}

// count is how many products acme's owner sees under a name.
func count(t testing.TB, origin, name string) int {
	t.Helper()
	var data struct{ Products struct{ TotalCount int } }
	ask(t, origin, signIn(t, origin, "acme", "owner@acme.example"),
		fmt.Sprintf(`{ products(filter: {name: {contains: %q}}) { totalCount } }`, name), &data)
	return data.Products.TotalCount
}

// read is what is at an address.
func read(t testing.TB, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A first start that keeps nothing: what the screen promises holds, and Ctrl-C
// leaves nothing behind.
func TestDevEphemeral(t *testing.T) {
	t.Parallel()
	temporary := tempDir(t)
	p := begin(t, []string{"TMPDIR=" + temporary}, "dev", "--ephemeral", "--addr", "127.0.0.1:0")
	origin := p.ready()
	screen := p.stdout.String()

	t.Run("screen", func(t *testing.T) {
		for _, says := range []string{"GraphiQL", origin + "/graphql", demo.Password, "gone when this ends", "Ctrl-C", "psql -h", origin + "/dev/mail"} {
			if !strings.Contains(screen, says) {
				t.Errorf("the screen does not say %q:\n%s", says, screen)
			}
		}
		if strings.Contains(screen, "rm -rf") {
			t.Errorf("nothing is to be removed of what is gone: %s", screen)
		}
	})
	t.Run("curl line", func(t *testing.T) {
		line := regexp.MustCompile(`(?m)^  (curl .*)$`).FindStringSubmatch(screen)
		if line == nil {
			t.Fatalf("no curl line: %s", screen)
		}
		if _, err := exec.LookPath("curl"); err != nil && os.Getenv("CI") != "true" {
			t.Skip("there is no curl on this machine")
		}
		out, err := exec.Command("sh", "-c", line[1]).Output()
		if err != nil {
			t.Fatalf("%s: %v", line[1], err)
		}
		var answer struct {
			Data struct {
				SignIn struct{ Session struct{ AccessToken string } }
			}
			Errors []any
		}
		if err := json.Unmarshal(out, &answer); err != nil || answer.Data.SignIn.Session.AccessToken == "" {
			t.Fatalf("%s: %s", line[1], out)
		}
	})
	t.Run("accounts", func(t *testing.T) {
		accounts := demo.Accounts()
		if len(accounts) != 8 {
			t.Fatalf("%d accounts", len(accounts))
		}
		for _, a := range accounts {
			if !strings.Contains(screen, a.Email) {
				t.Errorf("the screen does not name %s", a.Email)
			}
			token := signIn(t, origin, a.Tenant, a.Email)
			var data struct {
				Viewer struct {
					User   struct{ Email string }
					Role   string
					Tenant struct{ Slug string }
				}
				Products struct{ TotalCount int }
			}
			ask(t, origin, token, `{ viewer { user { email } role tenant { slug } } products(first: 1) { totalCount } }`, &data)
			if data.Viewer.User.Email != a.Email || data.Viewer.Role != string(a.Role) || data.Viewer.Tenant.Slug != a.Tenant {
				t.Errorf("%s of %s is seen as %+v", a.Email, a.Tenant, data.Viewer)
			}
			if data.Products.TotalCount != 360 {
				t.Errorf("%s sees %d products, not 360", a.Email, data.Products.TotalCount)
			}
		}
	})
	t.Run("GraphiQL", func(t *testing.T) {
		for _, path := range []string{"/", "/playground"} {
			response, err := http.Get(origin + path)
			if err != nil {
				t.Fatal(err)
			}
			page, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil || response.StatusCode != http.StatusOK || !bytes.Contains(page, []byte("owner@globex.example")) {
				t.Errorf("%s: status %d, %v, %d bytes without the accounts", path, response.StatusCode, err, len(page))
			}
			if response.Header.Get("Content-Security-Policy") == "" {
				t.Errorf("%s: no Content-Security-Policy", path)
			}
		}
	})
	t.Run("mail", func(t *testing.T) {
		var data struct {
			RegisterTenant struct {
				Tenant     *struct{ Slug string }
				UserErrors []struct{ Message string }
			}
		}
		ask(t, origin, "", fmt.Sprintf(`mutation { registerTenant(input: {tenantName: "Initech", slug: "initech", email: "ada@initech.example", password: %q, displayName: "Ada"}) { tenant { slug } userErrors { message } } }`, demo.Password), &data)
		if data.RegisterTenant.Tenant == nil {
			t.Fatalf("nothing was registered: %v", data.RegisterTenant.UserErrors)
		}
		// An address that has an account goes by mail here too.
		var more struct {
			RegisterTenant struct{ ConfirmationSent bool }
		}
		ask(t, origin, "", fmt.Sprintf(`mutation { registerTenant(input: {tenantName: "Initrode", slug: "initrode", email: "ada@initech.example", password: %q, displayName: "Ada"}) { confirmationSent userErrors { message } } }`, demo.Password), &more)
		link := regexp.MustCompile(`<a href="(/dev/mail/[^"]+)">Initrode: you have an account already</a>`)
		var letter []string
		eventually(t, "the link", func() bool {
			letter = link.FindStringSubmatch(read(t, origin+"/dev/mail"))
			return letter != nil
		})
		if page := read(t, origin+letter[1]); !more.RegisterTenant.ConfirmationSent || !strings.Contains(page, origin+"/links/confirm#cht_") {
			t.Errorf("%t, the mail is %s", more.RegisterTenant.ConfirmationSent, page)
		}
		for _, tenant := range []string{"Initech", "Acme", "Globex"} { // those of the demo are registered too
			mail := regexp.MustCompile(`<a href="(/dev/mail/[^"]+)">Welcome to ` + tenant + `</a>`)
			var found []string
			eventually(t, "the mail", func() bool {
				found = mail.FindStringSubmatch(read(t, origin+"/dev/mail"))
				return found != nil
			})
			if page := read(t, origin+found[1]); !strings.Contains(page, tenant+" is ready, and you are its owner.") || !strings.Contains(page, "by "+origin) {
				t.Errorf("the mail is %s", page)
			}
		}
		if page := read(t, origin); !strings.Contains(page, `href="/dev/mail"`) {
			t.Error("GraphiQL does not lead to the mails")
		}
	})
	t.Run("end", func(t *testing.T) {
		dirs, err := filepath.Glob(filepath.Join(temporary, "commonhold*"))
		if err != nil || len(dirs) != 1 {
			t.Fatalf("directories: %q, %v", dirs, err)
		}
		pid := postmaster(t, dirs[0])
		p.interrupt()
		gone(t, pid)
		left, err := os.ReadDir(temporary)
		if err != nil || len(left) > 0 {
			t.Fatalf("left behind: %v, %v", left, err)
		}
		if strings.Contains(p.stderr.String(), "code: ") {
			t.Errorf("a clean end complains: %s", p.stderr)
		}
	})
}

// An interrupt while it still starts is the wish of a person, not an internal error.
func TestDevInterruptedAtStart(t *testing.T) {
	t.Parallel()
	temporary := tempDir(t)
	p := begin(t, []string{"TMPDIR=" + temporary}, "dev", "--ephemeral", "--addr", "127.0.0.1:0")
	eventually(t, "the directory of the database", func() bool {
		found, _ := filepath.Glob(filepath.Join(temporary, "commonhold*", "postgres"))
		return len(found) > 0
	})
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(); code != exitFailed || !strings.Contains(p.stderr.String(), "code: CANCELED") {
		t.Errorf("exit status %d: %s", code, p.stderr)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// One data directory through its life: a second process, kill -9, a clean stop.
func TestDevKeepsItsData(t *testing.T) {
	t.Parallel()
	data := filepath.Join(tempDir(t), "it's here") // a name that a shell must quote
	args := []string{"dev", "--data", data, "--addr", "127.0.0.1:0"}
	first := begin(t, nil, args...)
	origin := first.ready()
	if !strings.Contains(first.stdout.String(), `it'\''s here/postgres' '`) {
		t.Errorf("the reset line is not what a shell would read: %s", first.stdout)
	}
	create(t, origin, "KEPT-1")

	// The second attaches to the first one's database, on an address of its own.
	pid := postmaster(t, data)
	second := begin(t, nil, args...)
	other := second.ready()
	if other == origin || postmaster(t, data) != pid {
		t.Fatalf("two addresses %s and %s, server %d then %d", origin, other, pid, postmaster(t, data))
	}
	create(t, other, "KEPT-2")
	if n := count(t, origin, "kept"); n != 2 {
		t.Errorf("the first sees %d products of both", n)
	}
	// A token of one is good at the other: they share the key.
	var data1 struct{ Viewer struct{ Role string } }
	ask(t, other, signIn(t, origin, "globex", "viewer@globex.example"), `{ viewer { role } }`, &data1)

	// demo fills the same database while both run.
	filler := begin(t, nil, "demo", "--tenants", "3", "--products", "50", "--data", data)
	if code := filler.exit(); code != exitOK {
		t.Fatalf("demo: exit status %d: %s", code, filler.stderr)
	}
	if said := filler.stderr.String(); !strings.Contains(said, "3 tenants with 50 products each") {
		t.Errorf("demo said %q", said)
	}
	admin := "host=" + socketOf(t, data) + " user=postgres dbname=commonhold sslmode=disable"
	if err := sql(admin, `do $$ begin assert (select count(*) from shared.products where sku is not null) = 2 * 360 + 2 + 3 * 50; assert (select count(distinct tenant_id) from shared.products) = 5; end $$`); err != nil {
		t.Errorf("what demo made: %v", err)
	}
	second.interrupt()
	if n := count(t, origin, "kept"); n != 2 {
		t.Errorf("after the guest left, the first sees %d", n)
	}

	// kill -9, and again.
	first.kill()
	third := begin(t, nil, args...)
	if n := count(t, third.ready(), "kept"); n != 2 {
		t.Errorf("%d products after kill -9", n)
	}
	create(t, third.ready(), "KEPT-3")
	pid = postmaster(t, data)
	third.interrupt()
	gone(t, pid)

	// A clean stop, and again.
	fourth := begin(t, nil, args...)
	if n := count(t, fourth.ready(), "kept"); n != 3 {
		t.Errorf("%d products after a clean stop", n)
	}
	fourth.interrupt()

	// What is damaged is named, and nothing is overwritten.
	key := filepath.Join(data, "key-encryption-key")
	if err := os.WriteFile(key, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	fifth := begin(t, nil, args...)
	if code := fifth.exit(); code != exitFailed || !strings.Contains(fifth.stderr.String(), "key-encryption-key is damaged. Bring back what it held") || !strings.Contains(fifth.stderr.String(), "code: DATA_DIRECTORY") {
		t.Errorf("a damaged key: exit status %d, %s", code, fifth.stderr)
	}
	if text, err := os.ReadFile(key); err != nil || string(text) != "garbage" {
		t.Errorf("the damaged key became %q, %v", text, err)
	}
}

// socketOf is the socket directory of the embedded server below data.
func socketOf(t testing.TB, data string) string {
	t.Helper()
	pg, err := embeddedpg.Start(context.Background(), embeddedpg.Options{Dir: filepath.Join(data, "postgres")})
	if err != nil {
		t.Fatal(err)
	}
	if !pg.Attached() {
		t.Fatal("nobody runs that server")
	}
	return "'" + strings.ReplaceAll(pg.SocketDir(), "'", `\'`) + "'"
}

// Two first starts at the same moment: one makes the database, both serve it, and
// both sign with the same key.
func TestDevTwiceAtOnce(t *testing.T) {
	t.Parallel()
	data := filepath.Join(tempDir(t), "data")
	args := []string{"dev", "--data", data, "--addr", "127.0.0.1:0"}
	a, b := begin(t, nil, args...), begin(t, nil, args...)
	one, two := a.ready(), b.ready()
	var data1 struct {
		Products struct{ TotalCount int }
	}
	ask(t, two, signIn(t, one, "acme", "admin@acme.example"), `{ products { totalCount } }`, &data1)
	if data1.Products.TotalCount != 360 {
		t.Errorf("%d products", data1.Products.TotalCount)
	}
}

// An existing directory keeps what is in it, and its mode but for the passage of
// the server's user under root. One that others can
// write to is no place for secrets.
func TestDevInAnExistingDirectory(t *testing.T) {
	t.Parallel()
	for mode, want := range map[fs.FileMode]int{0o755: exitOK, 0o750: exitOK, 0o777: exitFailed} {
		data := tempDir(t)
		if err := os.Chmod(data, mode); err != nil {
			t.Fatal(err)
		}
		mine := filepath.Join(data, "mine.txt")
		if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		p := begin(t, nil, "demo", "--tenants", "1", "--products", "0", "--data", data)
		if code := p.exit(); code != want {
			t.Fatalf("mode %v: exit status %d: %s", mode, code, p.stderr)
		}
		if want == exitOK && os.Geteuid() == 0 { // the server's own user must pass, no more
			mode |= 0o011
		}
		if info, err := os.Stat(data); err != nil || info.Mode().Perm() != mode {
			t.Errorf("mode %v became %v, %v", mode, info.Mode(), err)
		}
		if text, err := os.ReadFile(mine); err != nil || string(text) != "mine" {
			t.Errorf("what was there became %q, %v", text, err)
		}
		if want == exitFailed && (!strings.Contains(p.stderr.String(), "code: DATA_DIRECTORY") || !missing(filepath.Join(data, "postgres"))) {
			t.Errorf("mode %v: %s", mode, p.stderr)
		}
	}
}

// passwordServer is a PostgreSQL of somebody else: TCP, with passwords.
func passwordServer(t testing.TB, password string) (base *url.URL) {
	t.Helper()
	ctx := context.Background()
	binaries, err := embeddedpg.Find(ctx, os.Getenv("COMMONHOLD_POSTGRES_BIN"))
	if err != nil {
		t.Fatal(err)
	}
	dir := tempDir(t)
	as := new(syscall.SysProcAttr)
	if os.Geteuid() == 0 { // PostgreSQL refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			u, err = user.Lookup("nobody")
		}
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte(password), 0o644); err != nil {
		t.Fatal(err)
	}
	initdb := exec.Command(filepath.Join(binaries.Dir, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "postgres", "-A", "scram-sha-256", "--pwfile", file, "--no-sync", "-E", "UTF8", "--locale", "C")
	initdb.Dir, initdb.SysProcAttr = dir, as
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	for attempt := 1; ; attempt++ { // somebody may take the free port before the server does
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		listener.Close()
		server := exec.Command(filepath.Join(binaries.Dir, "postgres"), "-D", filepath.Join(dir, "data"), "-p", port,
			"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off")
		server.Dir, server.SysProcAttr = dir, as
		said := new(output)
		server.Stdout, server.Stderr = said, said
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = server.Wait()
			close(ended)
		}()
		base = &url.URL{Scheme: "postgres", User: url.UserPassword("postgres", password), Host: "127.0.0.1:" + port, Path: "/app"}
		up := false
		eventually(t, "the server with passwords", func() bool {
			select {
			case <-ended:
				return true
			default:
			}
			up = postgres.CreateDatabase(ctx, strings.Replace(base.String(), "/app", "/postgres", 1), "app") == nil
			return up
		})
		if up {
			t.Cleanup(func() {
				_ = server.Process.Signal(os.Interrupt) // fast shutdown
				<-ended
			})
			return base
		}
		if attempt == 5 {
			t.Fatalf("it does not start: %s", said)
		}
	}
}

// dev on a server that is not ours, over TCP and with passwords.
func TestDevDatabaseURL(t *testing.T) {
	t.Parallel()
	const secret = "s3cret/and:odd@word"
	base := passwordServer(t, secret)
	data := filepath.Join(tempDir(t), "data")
	var all []*process
	dev := func(dir, address string) *process {
		p := begin(t, []string{"DATABASE_URL=" + address}, "dev", "--data", dir, "--addr", "127.0.0.1:0")
		all = append(all, p)
		return p
	}

	// Twice at once, then once more: it finds its roles as it left them.
	first, second := dev(data, base.String()), dev(data, base.String())
	create(t, first.ready(), "KEPT-1")
	create(t, second.ready(), "KEPT-2")
	first.interrupt()
	second.interrupt()
	if !missing(filepath.Join(data, "postgres")) {
		t.Error("an embedded database was made as well")
	}
	// User and password may stand among the settings of the URL.
	settings := *base
	settings.User, settings.RawQuery = nil, url.Values{"user": {"postgres"}, "password": {secret}}.Encode()
	third := dev(data, settings.String())
	if n := count(t, third.ready(), "kept"); n != 2 {
		t.Errorf("%d products after two starts", n)
	}
	if screen := third.stdout.String(); strings.Contains(screen, "rm -rf") || !strings.Contains(screen, "127.0.0.1:"+base.Port()) {
		t.Errorf("the screen of a given database: %s", screen)
	}
	third.interrupt()

	// Another data directory is another installation. It is told so every time, and
	// the first one's roles still work.
	other := filepath.Join(tempDir(t), "other")
	for range 2 {
		p := dev(other, base.String())
		if code := p.exit(); code != exitFailed || !strings.Contains(p.stderr.String(), "made by another installation") || !strings.Contains(p.stderr.String(), "code: CONFIG") {
			t.Fatalf("exit status %d: %s", code, p.stderr)
		}
	}
	dev(data, base.String()).ready()

	// A start that was cut off: the passwords on disk, and on the server none or one.
	roles, err := os.ReadFile(filepath.Join(data, "roles.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, unset := range [][]string{{"commonhold_app", "commonhold_control"}, {"commonhold_control"}} {
		for _, role := range unset {
			if err := sql(base.String(), "alter role "+role+" password null"); err != nil {
				t.Fatal(err)
			}
		}
		p := dev(data, base.String())
		if n := count(t, p.ready(), "kept"); n != 2 {
			t.Errorf("%d products after a start that was cut off before %v", n, unset)
		}
		p.interrupt()
	}
	if again, err := os.ReadFile(filepath.Join(data, "roles.json")); err != nil || !bytes.Equal(again, roles) {
		t.Errorf("the passwords of this installation changed, %v", err)
	}
	// Somebody changed a password on the server.
	if err := postgres.SetRolePassword(context.Background(), base.String(), "commonhold_app", "another"); err != nil {
		t.Fatal(err)
	}
	p := dev(data, base.String())
	if code := p.exit(); code != exitFailed || !strings.Contains(p.stderr.String(), "is the password right?") {
		t.Errorf("exit status %d: %s", code, p.stderr)
	}
	// What is left of a damaged file is no password.
	if err := os.WriteFile(filepath.Join(data, "roles.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p = dev(data, base.String())
	if code := p.exit(); code != exitFailed || !strings.Contains(p.stderr.String(), "roles.json is damaged") {
		t.Errorf("exit status %d: %s", code, p.stderr)
	}

	var passwords map[string]string
	if err := json.Unmarshal(roles, &passwords); err != nil || len(passwords) != 2 {
		t.Fatalf("%v: %d passwords", err, len(passwords))
	}
	for _, p := range all {
		for _, hush := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), strings.TrimPrefix(url.UserPassword("", secret).String(), ":"), passwords["commonhold_app"], passwords["commonhold_control"]} {
			if strings.Contains(p.stdout.String()+p.stderr.String(), hush) {
				t.Errorf("a password was printed:\n%s\n%s", p.stdout, p.stderr)
			}
		}
	}
}
