package main

import (
	"fmt"
	"html"
	"regexp"
	"strconv"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/commonhold/commonhold/internal/demo"
	"github.com/commonhold/commonhold/web/graphiql/graphiqltest"
)

// mailed is the link in the mail of that subject that came last.
func mailed(t testing.TB, origin, subject string) string {
	t.Helper()
	listed := regexp.MustCompile(`<a href="(/dev/mail/[^"]+)">` + regexp.QuoteMeta(html.EscapeString(subject)) + `</a>`)
	var found []string
	eventually(t, "the mail "+subject, func() bool {
		found = listed.FindStringSubmatch(read(t, origin+"/dev/mail"))
		return found != nil
	})
	link := regexp.MustCompile(`id="link" href="([^"]+)"`).FindStringSubmatch(read(t, origin+found[1]))
	if link == nil {
		t.Fatalf("the mail %s has no link", subject)
	}
	return html.UnescapeString(link[1])
}

// What somebody does who gets a mail, in a browser: open the link, be told what is
// wrong, put it right, and find it done. A link that was used is told so.
func TestLinksInABrowser(t *testing.T) {
	t.Parallel()
	origin := begin(t, []string{"TMPDIR=" + tempDir(t)}, "dev", "--ephemeral", "--addr", "127.0.0.1:0").ready()
	page := graphiqltest.Open(t, origin)
	open := func(link string) {
		t.Helper()
		page.Do(chromedp.Navigate("about:blank"), chromedp.Navigate(link))
		page.WaitFor("the page", `document.querySelector("form button") && location.hash === "" && performance.getEntriesByType("navigation")[0].loadEventEnd > 0`)
	}
	fill := func(name, value string) {
		t.Helper()
		graphiqltest.Value[string](page, fmt.Sprintf(`document.querySelector("#%s").value = %s`, name, strconv.Quote(value)))
	}
	says := func(where, text string) {
		t.Helper()
		page.WaitFor(where+" to say "+text, fmt.Sprintf(`document.querySelector(%q)?.innerText.includes(%s)`, where, strconv.Quote(text)))
	}
	const fresh = "another password, long enough"
	var nothing any

	ask(t, origin, "", `mutation { requestPasswordReset(input: {email: "member@acme.example"}) { userErrors { message } } }`, &nothing)
	reset := mailed(t, origin, "Choose a new password")
	open(reset)
	page.Click("button")
	says("#newPassword-error", "This is needed.")
	fill("newPassword", "too short")
	page.Click("button")
	says("#newPassword-error", "15")
	fill("newPassword", fresh)
	page.Click("button")
	says("#done", "Sign in with the new one.")
	ask(t, origin, "", `mutation { signIn(input: {tenant: "acme", email: "member@acme.example", password: "`+fresh+`"}) { session { accessToken } userErrors { message } } }`, &nothing)
	open(reset)
	fill("newPassword", fresh)
	page.Click("button")
	says("#problem", "link")

	owner := signIn(t, origin, "acme", "owner@acme.example")
	ask(t, origin, owner, `mutation { inviteMember(input: {email: "new@initech.example", role: VIEWER}) { userErrors { message } } }`, &nothing)
	open(mailed(t, origin, "Invitation to Acme"))
	fill("password", fresh)
	page.Click("button")
	says("#displayName-error", "under which name")
	fill("displayName", "Initech")
	page.Click("button")
	says("#done", "You are a member now.")
	var signed struct {
		SignIn struct {
			Session *struct{ AccessToken string }
		}
	}
	ask(t, origin, "", `mutation { signIn(input: {tenant: "acme", email: "new@initech.example", password: "`+fresh+`"}) { session { accessToken } } }`, &signed)
	var seen struct {
		Viewer struct{ Sessions []struct{ Current bool } }
	}
	ask(t, origin, signed.SignIn.Session.AccessToken, `{ viewer { sessions { current } } }`, &seen)
	if len(seen.Viewer.Sessions) != 1 {
		t.Errorf("the page left a session behind: %+v", seen.Viewer.Sessions)
	}

	ask(t, origin, owner, `mutation { requestEmailChange(input: {newEmail: "chief@acme.example", password: "`+demo.Password+`"}) { userErrors { message } } }`, &nothing)
	open(mailed(t, origin, "Confirm your new address"))
	page.Click("button")
	says("#done", "This is the address of your account now.")
	signIn(t, origin, "acme", "chief@acme.example")

	// Somebody else was quicker with the short name.
	const register = `mutation { registerTenant(input: {tenantName: "Initech", slug: "initech", email: "owner@globex.example", password: "` + fresh + `", displayName: "Initech"}) { confirmationSent userErrors { message } } }`
	ask(t, origin, "", register, &nothing)
	ask(t, origin, signIn(t, origin, "acme", "chief@acme.example"), `mutation { registerTenant(input: {tenantName: "Initech", slug: "initech"}) { tenant { slug } userErrors { message } } }`, &nothing)
	open(mailed(t, origin, "Initech: you have an account already"))
	if hidden := graphiqltest.Value[bool](page, `document.querySelector("#slug").closest(".field").hidden`); !hidden {
		t.Error("another short name is asked for at once")
	}
	page.Click("button")
	says("#slug-error", "in use")
	fill("slug", "initech-two")
	page.Click("button")
	says("#done", "Initech (initech-two)")
	signIn(t, origin, "initech-two", "owner@globex.example")

	var link struct{ CreateInvitationLink struct{ Token string } }
	ask(t, origin, signIn(t, origin, "acme", "chief@acme.example"), `mutation { createInvitationLink(input: {role: VIEWER, allowedDomains: ["vandelay.example"]}) { token userErrors { message } } }`, &link)
	open(origin + "/links/join#" + link.CreateInvitationLink.Token)
	fill("email", "somebody@elsewhere.example")
	page.Click("button")
	says("#email-error", "vandelay.example")
	fill("email", "art@vandelay.example")
	page.Click("button")
	says("#done", "Look into your mailbox")
	mailed(t, origin, "Invitation to Acme")

	open(origin + "/links/reset")
	says("#problem", "something of it is missing")
	page.NoProblems()
}
