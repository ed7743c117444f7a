package mailbox_test

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	netmail "net/mail"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/job"
	"github.com/commonhold/commonhold/web/graphiql"
	"github.com/commonhold/commonhold/web/graphiql/graphiqltest"
	"github.com/commonhold/commonhold/web/mailbox"
)

const link = "http://127.0.0.1:1/links/reset#cht_secret"

// office is a server with GraphiQL and a mailbox of some mails, which try to reach out.
type office struct {
	*httptest.Server
	reached atomic.Int64
}

func filled(t *testing.T, subjects ...string) *office {
	t.Helper()
	box, err := job.OpenMailbox(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i, subject := range subjects {
		err := box.Deliver(t.Context(), &job.Message{
			ID: uuid.NewString() + "@tests.example", Date: time.Date(2026, 3, 1, 12, i, 0, 0, time.UTC),
			From: &netmail.Address{Name: "Commonhold", Address: "commonhold@localhost.example"}, To: "ada@customer.example", Subject: subject,
			Text: "Go on:\n\n" + link + "\n\n<script>alert(1)</script>\n",
			HTML: `<!doctype html><html><body style="font:16px sans-serif"><script>new Image().src = "/reached/by-script"</script><img src="/reached/by-picture" alt=""><p>Go on: <a href="` + link + `">here</a></p></body></html>`,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/", graphiql.Handler(graphiql.Options{Mail: mailbox.Path}))
	mux.Handle(mailbox.Path, mailbox.Handler(box))
	mux.Handle(mailbox.Path+"/", mailbox.Handler(box))
	s := new(office)
	mux.HandleFunc("/reached/", func(http.ResponseWriter, *http.Request) { s.reached.Add(1) })
	mux.HandleFunc("/graphql", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"errors":[{"message":"There is no schema in this test."}]}`)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, url string) (status int, header http.Header, body string) {
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
	return response.StatusCode, response.Header, string(text)
}

func TestMailbox(t *testing.T) {
	t.Parallel()
	s := filled(t, "The first", `<b>"bold"</b> & Größe`)
	for _, path := range []string{mailbox.Path, mailbox.Path + "/"} {
		status, header, list := get(t, s.URL+path)
		first, second := strings.Index(list, "The first"), strings.Index(list, html.EscapeString(`<b>"bold"</b> & Größe`))
		if status != http.StatusOK || first < 0 || second < 0 || second > first {
			t.Fatalf("%d, the newest is not the first: %s", status, list)
		}
		if policy := header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "script-src") || strings.Contains(policy, "unsafe") || header.Get("Cache-Control") != "no-store" {
			t.Errorf("headers: %v", header)
		}
	}
	_, _, list := get(t, s.URL+mailbox.Path)
	_, name, _ := strings.Cut(list, `href="`+mailbox.Path+`/2`)
	name, _, _ = strings.Cut(name, `"`)
	mail := s.URL + mailbox.Path + "/2" + name
	status, _, page := get(t, mail)
	if status != http.StatusOK || strings.Contains(page, "<script") || strings.Contains(page, "<b>") || !strings.Contains(page, `<a id="link" href="`+link+`">`) || !strings.Contains(page, `sandbox="allow-popups allow-popups-to-escape-sandbox"`) {
		t.Errorf("%d: %s", status, page)
	}
	_, header, body := get(t, mail+"/html")
	if policy := header.Get("Content-Security-Policy"); !strings.Contains(policy, "sandbox allow-popups") || strings.Contains(policy, "allow-scripts") || strings.Contains(policy, "allow-same-origin") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("the mail itself is under %s", policy)
	}
	if !strings.Contains(body, `<a target="_blank" rel="noopener" href="`+link+`">`) {
		t.Errorf("the link stays in its frame: %s", body)
	}
	if _, header, source := get(t, mail+"/source"); !strings.HasPrefix(header.Get("Content-Type"), "text/plain") || !strings.Contains(source, "Message-ID:") {
		t.Errorf("source: %v %s", header, source)
	}
	for _, path := range []string{"/nowhere", "/..%2f..%2fetc%2fpasswd", "/20260301-120000.000000-00000000-0000-0000-0000-000000000000", "/20260301-120000.000000-00000000-0000-0000-0000-000000000000/html"} {
		if status, _, body := get(t, s.URL+mailbox.Path+path); status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	response, err := http.Post(s.URL+mailbox.Path, "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", response.StatusCode)
	}
	if _, _, empty := get(t, filled(t).URL+mailbox.Path); !strings.Contains(empty, "Nothing was sent yet") {
		t.Errorf("an empty one: %s", empty)
	}
}

// The way of a person in a real browser: from GraphiQL to the list, the mail, and the
// link, while the mail's own script and picture come to nothing.
func TestMailboxInABrowser(t *testing.T) {
	t.Parallel()
	s := filled(t, "Welcome to Acme", "Acme: choose a new password")
	p := graphiqltest.Open(t, s.URL)
	if href := graphiqltest.Value[string](p, `document.querySelector('a[href="/dev/mail"]').innerText`); href != "Mail" {
		t.Fatalf("the link in GraphiQL says %q", href)
	}
	p.NoProblems()
	p.Do(chromedp.Navigate(s.URL + mailbox.Path))
	p.WaitFor("two mails", `document.querySelectorAll("tbody tr").length === 2`)
	p.NoProblems()
	p.Click("tbody tr:first-child a")
	p.WaitFor("the mail", `document.querySelector("iframe") && document.title === "Acme: choose a new password"`)
	if href := graphiqltest.Value[string](p, `document.querySelector("#link").href`); href != link {
		t.Errorf("the link is %q", href)
	}
	p.NoProblems()
	// The same mail alone, which is there wholly when the browser says so.
	p.Do(chromedp.Navigate(graphiqltest.Value[string](p, `document.querySelector("iframe").src`)), chromedp.WaitVisible(chromedp.CSS("a")))
	if n := s.reached.Load(); n != 0 {
		t.Errorf("a mail reached out %d times", n)
	}
}
