// Package graphiqltest drives the playground in a real browser. Its flows take
// the address of a running server, so that the same flow runs against whatever
// serves the playground. Tests only.
package graphiqltest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/commonhold/commonhold/web/graphiql"
)

// patience bounds one flow: a browser on a busy machine of two cores, not an
// expectation of speed.
const patience = 90 * time.Second

// Page is the playground in a tab of a headless Chromium with an empty profile.
type Page struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // what the browser complained about, in order
}

// Open starts a browser, opens baseURL + "/playground" in it and waits for the
// editor. Everything the page does wrong from then on (an error on the console, a
// violated policy, a request to another origin) is kept for Problems. The browser
// ends with the test. Where there is no Chromium the test is skipped, or fails
// where CI is "true".
func Open(t *testing.T, baseURL string) *Page {
	t.Helper()
	origin, err := url.Parse(baseURL)
	if err != nil || origin.Host == "" {
		t.Fatalf("%q is no address of a server", baseURL)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, // Chromium refuses its sandbox to root
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.WindowSize(1280, 800),
	)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	p := &Page{t: t}
	p.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(func(event any) { p.watch(origin, event) }))
	t.Cleanup(func() {
		// Cancel waits for the browser's end; its profile is removed after that.
		if err := chromedp.Cancel(p.ctx); err != nil && t.Context().Err() == nil {
			t.Logf("end the browser: %v", err)
		}
		cancel()
	})
	p.Do(
		chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
			return err
		}),
		chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
				Source: `document.addEventListener("securitypolicyviolation", (e) =>
					console.error("policy violated:", e.violatedDirective, e.blockedURI, e.sourceFile));`,
			})
			return err
		}),
		chromedp.Navigate(origin.JoinPath(graphiql.Prefix).String()),
		chromedp.WaitVisible(chromedp.CSS(".graphiql-execute-button")),
	)
	return p
}

// chromium is the path of the browser.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const reason = "no Chromium on PATH: install it (Debian: apt-get install chromium) to run the browser tests"
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
	return ""
}

func (p *Page) watch(origin *url.URL, event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			var words []string
			for _, arg := range e.Args {
				words = append(words, string(arg.Value)+arg.Description)
			}
			p.note("console: " + strings.Join(words, " "))
		}
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		p.note("exception: " + text)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			p.note("log: " + e.Entry.Text + " " + e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		to, err := url.Parse(e.Request.URL)
		if err != nil || to.Scheme != "data" && to.Scheme != "blob" && to.Scheme != "about" &&
			(to.Scheme != origin.Scheme || to.Host != origin.Host) {
			p.note("request to another origin: " + e.Request.URL)
		}
	}
}

func (p *Page) note(problem string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, problem)
}

// Problems is what the browser complained about so far.
func (p *Page) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.problems...)
}

// NoProblems fails the test for each complaint of the browser.
func (p *Page) NoProblems() {
	p.t.Helper()
	for _, problem := range p.Problems() {
		p.t.Errorf("the browser complained: %s", problem)
	}
}

// Context is the browser's, for actions of chromedp that have a result.
func (p *Page) Context() context.Context { return p.ctx }

// Do runs browser actions and fails the test where one fails or the flow's time is
// over.
func (p *Page) Do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatalf("drive the playground: %v\nthe browser complained: %q", err, p.Problems())
	}
}

// Click clicks the element that the CSS selector finds.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.Do(chromedp.Click(chromedp.CSS(selector)))
}

// Value is the value of a JavaScript expression in the page. (The developer tools
// evaluate it, so the page's policy does not apply.)
func Value[T any](p *Page, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("evaluate %s: %v\nthe browser complained: %q", expression, err, p.Problems())
	}
	return value
}

// WaitFor waits until the JavaScript expression is true. It asks from outside:
// chromedp's own Poll compiles its condition in the page, which the page's policy
// forbids.
func (p *Page) WaitFor(what, expression string) {
	p.t.Helper()
	deadline := time.After(patience / 3)
	for !Value[bool](p, "Boolean("+expression+")") {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			p.t.Fatalf("waited for %s; the page shows:\n%s\nthe browser complained: %q",
				what, Value[string](p, "document.body.innerText"), p.Problems())
		}
	}
}

// SignIn presses the account's button and waits until the bar names its role and
// tenant.
func (p *Page) SignIn(account graphiql.Account) {
	p.t.Helper()
	button := fmt.Sprintf(`button.account[data-tenant=%q][data-email=%q]`, account.Tenant, account.Email)
	p.Click(button)
	role := account.Role[:1] + strings.ToLower(account.Role[1:])
	p.WaitFor("the bar to show who is signed in", fmt.Sprintf(
		`document.querySelector("#who.signed-in")?.textContent.endsWith(%s) &&
		 document.querySelector(%s).getAttribute("aria-pressed") === "true"`,
		strconv.Quote(role+" at "+account.TenantName), strconv.Quote(button)))
}

// RunQuery presses the run button and returns the result as the result pane holds
// it.
func (p *Page) RunQuery() string {
	p.t.Helper()
	p.pressRun()
	return p.result()
}

// resultPane is the editor that shows the result.
const resultPane = `document.querySelector(".result-window .CodeMirror").CodeMirror`

func (p *Page) pressRun() {
	p.t.Helper()
	Value[chromedp.Void](p, resultPane+`.setValue("")`)
	p.Click(".graphiql-execute-button")
}

func (p *Page) result() string {
	p.t.Helper()
	p.WaitFor("a result", resultPane+`.getValue().trim().endsWith("}") && !document.querySelector(".graphiql-spinner")`)
	return Value[string](p, resultPane+".getValue()")
}

// productNames are the names in a result of the first example query.
func (p *Page) productNames(result string) []string {
	p.t.Helper()
	var answer struct {
		Data struct {
			Products struct {
				Edges []struct{ Node struct{ Name string } }
			}
		}
		Errors []any
	}
	if err := json.Unmarshal([]byte(result), &answer); err != nil {
		p.t.Fatalf("the result pane holds no JSON: %v\n%s", err, result)
	}
	var names []string
	for _, edge := range answer.Data.Products.Edges {
		names = append(names, edge.Node.Name)
	}
	if len(answer.Errors) > 0 || len(names) == 0 || names[0] == "" {
		p.t.Fatalf("the first example query lists no products:\n%s", result)
	}
	return names
}

// SignInAndList opens the playground of the server at baseURL, which must offer
// the account as a demo account, signs in with one click, runs the first example
// query, sees product names in the result pane, and signs out. The browser must
// have nothing to complain about. Takes seconds.
func SignInAndList(t *testing.T, baseURL string, account graphiql.Account) {
	t.Helper()
	p := Open(t, baseURL)
	p.WaitFor("the bar of a signed-out visitor", `document.querySelector("#who").textContent === "Not signed in"`)
	p.SignIn(account)

	names := p.productNames(p.RunQuery())
	p.WaitFor("the name of the first product in the result pane", fmt.Sprintf(
		`document.querySelector(".result-window").textContent.includes(%s)`, strconv.Quote(names[0])))

	// Nothing but this tab's session storage holds a token.
	leaked := Value[[]string](p, `(() => {
		const session = JSON.parse(sessionStorage.getItem("commonhold.session"));
		return Object.keys(localStorage).filter((key) => [session.accessToken, session.refreshToken]
			.some((token) => localStorage.getItem(key).includes(token)))
			.concat(document.cookie ? ["cookie " + document.cookie] : []);
	})()`)
	if len(leaked) > 0 {
		t.Errorf("tokens or cookies outside the session storage: %q", leaked)
	}

	p.Click("#sign-out")
	p.WaitFor("the bar after signing out", `document.querySelector("#who").textContent === "Not signed in" &&
		document.querySelector("#message").hidden && sessionStorage.length === 0`)
	p.NoProblems()
}

// RefusesWrongPassword signs in through the form with a wrong password and sees
// the server's advice in the form, and no session.
func RefusesWrongPassword(t *testing.T, baseURL string, account graphiql.Account) {
	t.Helper()
	p := Open(t, baseURL)
	p.Do(
		chromedp.Click(chromedp.CSS("#open-sign-in")),
		chromedp.WaitVisible(chromedp.CSS("#sign-in")),
		chromedp.SendKeys(chromedp.CSS("#tenant"), account.Tenant),
		chromedp.SendKeys(chromedp.CSS("#email"), account.Email),
		chromedp.SendKeys(chromedp.CSS("#password"), account.Password+"-wrong"),
		chromedp.Click(chromedp.CSS("#sign-in-submit")),
	)
	p.WaitFor("the reason in the form", `document.querySelector("#sign-in").open &&
		document.querySelector("#sign-in-problem").textContent.length > 10 && sessionStorage.length === 0`)
	p.NoProblems()
}

// RefreshesSession signs in and then runs the first example query with an access
// token that is about to end, and with one that the server refuses: each time the
// session is renewed once and the products are listed. Several queries that find
// the session stale together share one renewal.
func RefreshesSession(t *testing.T, baseURL string, account graphiql.Account) {
	t.Helper()
	p := Open(t, baseURL)
	p.SignIn(account)
	// Count the renewals, and hold them back while told to.
	Value[chromedp.Void](p, `(() => {
		const send = window.fetch;
		window.renewals = 0;
		window.gate = Promise.resolve();
		window.fetch = async (url, init) => {
			if (init?.body?.includes("refreshSession(")) {
				window.renewals += 1;
				await window.gate;
			}
			return send(url, init);
		};
	})()`)
	change := func(assignment string) {
		Value[chromedp.Void](p, `(() => {
			const session = JSON.parse(sessionStorage.getItem("commonhold.session"));
			`+assignment+`;
			sessionStorage.setItem("commonhold.session", JSON.stringify(session));
		})()`)
	}
	renewals := func(want int) {
		if got := Value[int](p, "window.renewals"); got != want {
			t.Errorf("the session was renewed %d times, want %d", got, want)
		}
	}

	change("session.endsAt = Date.now() + 30_000")
	// The query starts while the renewal for a request for the schema is on its way.
	Value[chromedp.Void](p, `(() => { window.gate = new Promise((open) => { window.openGate = open; }); })()`)
	p.Click(`button[aria-label="Re-fetch GraphQL schema"]`)
	p.WaitFor("the first renewal", `window.renewals === 1`)
	p.pressRun()
	p.WaitFor("the query to be on its way", `document.querySelector(".graphiql-spinner")`)
	Value[chromedp.Void](p, `window.openGate()`)
	p.productNames(p.result())
	renewals(1)
	p.NoProblems() // before the 401 that follows, which a browser logs

	change(`session.accessToken = "not-a-token"`)
	p.productNames(p.RunQuery())
	renewals(2)
	p.WaitFor("no message after a successful renewal", `document.querySelector("#message").hidden`)

	// A session that cannot be renewed ends, and the page says so.
	change(`session.accessToken = "not-a-token"; session.refreshToken = "not-a-token"`)
	p.RunQuery()
	p.WaitFor("the end of the session", `document.querySelector("#who").textContent === "Not signed in" &&
		!document.querySelector("#message").hidden && sessionStorage.length === 0`)
}
