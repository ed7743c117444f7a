// Package links serves the pages behind the links of mails: where somebody chooses a
// new password, confirms an address or joins a tenant, on a server that has no front
// end of its own yet. A front end that has such pages takes the paths over.
package links

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"

	"github.com/commonhold/commonhold/internal/job"
)

// Prefix is the path below which everything is served.
const Prefix = "/links"

//go:embed static
var files embed.FS

var pages = template.Must(template.New("").ParseFS(files, "static/page.html"))

// page is what somebody is asked at one path, and what is done with the answers.
type page struct {
	Path, Title, Lead, Button string
	// Document is a mutation with the variable $input, an input of the token that stands
	// behind the # of the link and the fields.
	Document string
	Fields   []field
	Done     string // what to say then
}

// field is a field of the input.
type field struct {
	Name, Label, Hint, Type, Complete string
	Required                          bool
	Later                             bool // asked for only where its error came back
}

// Hash names the document (Apollo's automatic persisted queries), for a server that
// answers only those it was started with.
func (p page) Hash() string { return hash(p.Document) }

// SignOut ends a session that came with the answer and that no page would keep.
func (page) SignOut() string { return signOut }

// SignOutHash is to SignOut what Hash is to Document.
func (page) SignOutHash() string { return hash(signOut) }

const signOut = `mutation EndSessionOfLink { signOut { userErrors { code } } }`

var all = []page{
	{
		Path: job.PathReset, Title: "Choose a new password", Button: "Change the password",
		Lead:     "You will be signed out on every device.",
		Document: `mutation ResetPasswordByLink($input: ResetPasswordInput!) { did: resetPassword(input: $input) { userErrors { field message code } } }`,
		Fields:   []field{{Name: "newPassword", Label: "New password", Hint: "15 characters or more.", Type: "password", Complete: "new-password", Required: true}},
		Done:     "The password was changed. Sign in with the new one.",
	},
	{
		Path: job.PathEmail, Title: "Confirm your new address", Button: "Use this address",
		Lead:     "You will be signed out on every device.",
		Document: `mutation ConfirmEmailByLink($input: ConfirmEmailChangeInput!) { did: confirmEmailChange(input: $input) { userErrors { field message code } } }`,
		Done:     "This is the address of your account now. Sign in with it.",
	},
	{
		Path: job.PathConfirm, Title: "Confirm your registration", Button: "Confirm",
		Lead:     "If there is an account of your address already, no password is needed.",
		Document: `mutation ConfirmRegistrationByLink($input: ConfirmRegistrationInput!) { did: confirmRegistration(input: $input) { tenant { name slug } session { accessToken } userErrors { field message code } } }`,
		Fields: []field{
			{Name: "password", Label: "Password", Hint: "The one that you chose when you registered.", Type: "password", Complete: "current-password"},
			{Name: "slug", Label: "Another short name", Hint: "Lower-case letters, digits and hyphens.", Type: "text", Complete: "off", Later: true},
		},
		Done: "It is yours. Sign in.",
	},
	{
		Path: Prefix + "/join", Title: "Join", Button: "Send me an invitation",
		Lead:     "An invitation comes by mail.",
		Document: `mutation RequestToJoinByLink($input: RequestToJoinInput!) { did: requestToJoin(input: $input) { userErrors { field message code } } }`,
		Fields:   []field{{Name: "email", Label: "Your e-mail address", Hint: "At a domain that the link is for.", Type: "email", Complete: "email", Required: true}},
		Done:     "Look into your mailbox: if you can join, an invitation is on its way.",
	},
	{
		Path: job.PathInvite, Title: "Join", Button: "Join",
		Lead:     "If there is an account of your address, its password lets you in. If not, choose one now.",
		Document: `mutation AcceptInvitationByLink($input: AcceptInvitationInput!) { did: acceptInvitation(input: $input) { membership { tenant { name slug } } session { accessToken } userErrors { field message code } } }`,
		Fields: []field{
			{Name: "password", Label: "Password", Hint: "A new one has 15 characters or more.", Type: "password", Complete: "current-password", Required: true},
			{Name: "displayName", Label: "Your name", Hint: "For a new account; one that is there keeps its own.", Type: "text", Complete: "name"},
		},
		Done: "You are a member now. Sign in.",
	},
}

// Documents are what the pages send, by their hashes.
func Documents() map[string]string {
	documents := map[string]string{hash(signOut): signOut}
	for _, p := range all {
		documents[p.Hash()] = p.Document
	}
	return documents
}

func hash(document string) string {
	sum := sha256.Sum256([]byte(document))
	return hex.EncodeToString(sum[:])
}

// policy lets the page use its own script and style, and ask its own server.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the pages and what they need. It looks at the whole request path. The
// token never reaches it: browsers keep what stands behind the #.
func Handler() http.Handler {
	mux := http.NewServeMux()
	for _, p := range all {
		var body bytes.Buffer
		if err := pages.ExecuteTemplate(&body, "page.html", p); err != nil {
			panic(err) // of constants
		}
		mux.HandleFunc("GET "+p.Path, give("text/html; charset=utf-8", body.Bytes()))
	}
	for name, media := range map[string]string{"links.js": "text/javascript; charset=utf-8", "links.css": "text/css; charset=utf-8"} {
		text, err := files.ReadFile("static/" + name)
		if err != nil {
			panic(err) // of what was built in
		}
		mux.HandleFunc("GET "+Prefix+"/"+name, give(media, text))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

func give(media string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		_, _ = w.Write(body) // whoever left needs no answer
	}
}
