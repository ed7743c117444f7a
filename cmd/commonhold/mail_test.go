package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	netmail "net/mail"
	"os"
	"path/filepath"
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

// Who registers a tenant is welcomed by mail, from a server as it is set up in
// production. Nothing in the mail is of the request's host, and nothing that the server
// says tells the password or the address.
func TestServeWelcomes(t *testing.T) {
	t.Parallel()
	dsn, keyFile := migrated(t)
	r := newRelay(t)
	p, origin := serving(t, dsn, keyFile, []string{
		"SSL_CERT_FILE=" + r.roots, "COMMONHOLD_SMTP_URL=" + r.url,
		"COMMONHOLD_PUBLIC_URL=https://api.company.example", "COMMONHOLD_MAIL_FROM=Company <no-reply@company.example>",
	})
	body := fmt.Sprintf(`{"query":"mutation { registerTenant(input: {tenantName: \"Größe & Sohn\", slug: \"sohn\", email: \"ada@customer.example\", password: \"%s\", displayName: \"Ada <Lovelace>\"}) { tenant { slug } userErrors { message } } }"}`, "correct horse battery staple")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, origin+"/graphql", strings.NewReader(body))
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
	if answer, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(answer), `"slug":"sohn"`) {
		t.Fatalf("registering: %v, %s", err, answer)
	}
	eventually(t, "the mail", func() bool { return len(r.all()) > 0 })
	raw := r.all()[0]
	message, err := netmail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	header := message.Header
	subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
	if subject != "Welcome to Größe & Sohn" || header.Get("From") != `"Company" <no-reply@company.example>` || header.Get("To") != "<ada@customer.example>" || !strings.HasSuffix(header.Get("Message-Id"), "@api.company.example>") {
		t.Errorf("%v, %v", err, header)
	}
	for _, says := range []string{"Hello Ada <Lovelace>,", "<p>Hello Ada &lt;Lovelace&gt;,</p>", "https://api.company.example"} {
		if !strings.Contains(raw, says) {
			t.Errorf("it does not say %q:\n%s", says, raw)
		}
	}
	if strings.Contains(raw, "evil") || strings.Contains(raw, origin) {
		t.Errorf("it says where the request came to:\n%s", raw)
	}
	eventually(t, "its end", func() bool { return strings.Contains(p.stderr.String(), "mail sent") })
	p.interrupt()
	for _, secret := range []string{"hush", "ada@", "customer.example"} {
		if strings.Contains(p.stderr.String(), secret) {
			t.Errorf("the log tells %q: %s", secret, p.stderr)
		}
	}
	if n := len(r.all()); n != 1 {
		t.Errorf("it came %d times", n)
	}
}
