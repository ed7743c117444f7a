package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const relayPassword = "hush-hush:@/"

// relay is a mail server that takes mail under TLS and for a password alone.
type relay struct {
	url   string // with the password
	roots string // file with who signed its certificate

	mu    sync.Mutex
	taken []string
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	lender := httptest.NewTLSServer(nil) // of a certificate for 127.0.0.1
	t.Cleanup(lender.Close)
	r := &relay{roots: filepath.Join(t.TempDir(), "roots.pem")}
	if err := os.WriteFile(r.roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: lender.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &handover{relay: r}, nil }))
	server.Domain, server.TLSConfig = "mail.tests.example", lender.TLS.Clone()
	server.TLSConfig.NextProtos = nil // it speaks no HTTP
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(socket) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	r.url = "smtp://relay:hush-hush%3A%40%2F@" + socket.Addr().String()
	return r
}

// all that was taken.
func (r *relay) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.taken...)
}

// handover is a connection to the relay.
type handover struct {
	relay *relay
	known bool // said the password
}

func (*handover) AuthMechanisms() []string { return []string{sasl.Plain} }

func (h *handover) Auth(string) (sasl.Server, error) { // go-smtp offers it under TLS alone
	return sasl.NewPlainServer(func(_, user, password string) error {
		if h.known = user == "relay" && password == relayPassword; !h.known {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (h *handover) Mail(string, *smtp.MailOptions) error {
	if !h.known {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (*handover) Rcpt(string, *smtp.RcptOptions) error { return nil }

func (h *handover) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	h.relay.mu.Lock()
	defer h.relay.mu.Unlock()
	h.relay.taken = append(h.relay.taken, string(text))
	return err
}

func (*handover) Reset()        {}
func (*handover) Logout() error { return nil }

// textOf is a mail's text as its receiver reads it.
func textOf(t *testing.T, raw string) (netmail.Header, string) {
	t.Helper()
	message, err := netmail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	_, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	part, err := multipart.NewReader(message.Body, parameters["boundary"]).NextPart() // which decodes it
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(part)
	if err != nil {
		t.Fatal(err)
	}
	return message.Header, string(text)
}

// misled posts a document, from a client that names another host wherever it can.
func misled(t *testing.T, origin, query string, variables map[string]any) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, origin+"/graphql", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Host = "evil.example"
	for _, name := range []string{"X-Forwarded-Host", "X-Host", "Forwarded"} {
		request.Header.Set(name, "host=evil.example")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// Who registers a tenant is sent a link, and welcomed once they followed it, from a server
// as it is set up in production. Nothing in the mails is of the request's host, and nothing
// that the server says tells the password, the address or the link.
func TestServeRegistersByMail(t *testing.T) {
	t.Parallel()
	dsn, keyFile := migrated(t)
	r := newRelay(t)
	p, origin := serving(t, dsn, keyFile, []string{
		"SSL_CERT_FILE=" + r.roots, "COMMONHOLD_SMTP_URL=" + r.url,
		"COMMONHOLD_PUBLIC_URL=https://api.company.example", "COMMONHOLD_MAIL_FROM=Company <no-reply@company.example>",
	})
	const password = "correct horse battery staple"
	asked := misled(t, origin, `mutation($password: String!) { registerTenant(input: {tenantName: "Größe & Sohn", slug: "sohn", email: "ada@customer.example", password: $password, displayName: "Ada <Lovelace>"}) {
		tenant { slug } session { accessToken } confirmationSent userErrors { message } } }`, map[string]any{"password": password})
	if !strings.Contains(asked, `{"tenant":null,"session":null,"confirmationSent":true,"userErrors":[]}`) {
		t.Fatalf("registering: %s", asked)
	}
	eventually(t, "the link", func() bool { return len(r.all()) > 0 })
	header, text := textOf(t, r.all()[0])
	subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
	link := regexp.MustCompile(`https://api\.company\.example/links/confirm#(cht_[A-Za-z0-9_-]+)`).FindStringSubmatch(text)
	if err != nil || subject != "Confirm your address for Größe & Sohn" || link == nil {
		t.Fatalf("%v, %s: no link in\n%s", err, subject, text)
	}
	signIn := func() string {
		return misled(t, origin, `mutation($password: String!) { signIn(input: {email: "ada@customer.example", password: $password}) { session { accessToken } userErrors { code } } }`, map[string]any{"password": password})
	}
	if in := signIn(); !strings.Contains(in, "BAD_CREDENTIALS") {
		t.Errorf("signing in before the address is confirmed: %s", in)
	}
	const confirm = `mutation($token: String!, $password: String) { confirmRegistration(input: {token: $token, password: $password}) { tenant { slug } session { accessToken } userErrors { code } } }`
	if refused := misled(t, origin, confirm, map[string]any{"token": link[1]}); !strings.Contains(refused, "BAD_CREDENTIALS") {
		t.Errorf("confirming without the password: %s", refused)
	}
	if made := misled(t, origin, confirm, map[string]any{"token": link[1], "password": password}); !strings.Contains(made, `"slug":"sohn"`) || !strings.Contains(made, `"accessToken":"ey`) {
		t.Fatalf("confirming: %s", made)
	}
	if again := misled(t, origin, confirm, map[string]any{"token": link[1]}); !strings.Contains(again, `{"tenant":{"slug":"sohn"},"session":null,"userErrors":[]}`) {
		t.Errorf("confirming again: %s", again)
	}
	if in := signIn(); !strings.Contains(in, `"accessToken":"ey`) {
		t.Errorf("signing in: %s", in)
	}
	eventually(t, "the welcome", func() bool { return len(r.all()) > 1 })
	raw := r.all()[1]
	header, text = textOf(t, raw)
	subject, err = new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
	if subject != "Welcome to Größe & Sohn" || header.Get("From") != `"Company" <no-reply@company.example>` || header.Get("To") != "<ada@customer.example>" || !strings.HasSuffix(header.Get("Message-Id"), "@api.company.example>") {
		t.Errorf("%v, %v", err, header)
	}
	if !strings.Contains(text, "Hello Ada <Lovelace>,") {
		t.Errorf("it does not greet:\n%s", text)
	}
	for _, says := range []string{"<p>Hello Ada &lt;Lovelace&gt;,</p>", "https://api.company.example"} {
		if !strings.Contains(raw, says) {
			t.Errorf("it does not say %q:\n%s", says, raw)
		}
	}
	for _, raw := range r.all() {
		if strings.Contains(raw, "evil") || strings.Contains(raw, origin) {
			t.Errorf("it says where the request came to:\n%s", raw)
		}
	}
	eventually(t, "their end", func() bool { return strings.Count(p.stderr.String(), "mail sent") == 2 })
	p.interrupt()
	for _, secret := range []string{"hush", "ada@", "customer.example", password, link[1][:20]} {
		if strings.Contains(p.stderr.String(), secret) {
			t.Errorf("the log tells %q: %s", secret, p.stderr)
		}
	}
	if n := len(r.all()); n != 2 {
		t.Errorf("%d mails", n)
	}
}
