package job_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/job"
)

const (
	smtpUser     = "relay"
	smtpPassword = "hush-hush:@/"
	inURL        = "relay:hush-hush%3A%40%2F"
)

// listener is a mail server that keeps what it was given, and answers as it is told.
type listener struct {
	addr   string
	roots  *x509.CertPool
	server *smtp.Server

	mu     sync.Mutex
	taken  []taken
	answer func(step, argument string) error // "AUTH", "MAIL", "RCPT", "DATA", "DONE"; nil: take all
}

// taken is a message that was accepted.
type taken struct {
	from, to string
	raw      []byte
	secure   bool
	user     string
}

// listen starts a mail server. name is whom its certificate is for, "" for one without
// TLS; implicit has it speak TLS at once.
func listen(t *testing.T, name string, implicit bool) *listener {
	t.Helper()
	l := new(listener)
	server := smtp.NewServer(l)
	l.server = server
	server.Domain, server.ReadTimeout, server.WriteTimeout = "mail.tests.example", 10*time.Second, 10*time.Second
	server.EnableSMTPUTF8 = true
	server.ErrorLog = quiet{}
	if name != "" {
		server.TLSConfig, l.roots = certificate(t, name)
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = socket.Addr().String()
	if implicit {
		socket = tls.NewListener(socket, server.TLSConfig)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(socket) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return l
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// certificate is a fresh one, and who trusts it.
func certificate(t *testing.T, name string) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots
}

func (l *listener) say(step, argument string) error {
	l.mu.Lock()
	answer := l.answer
	l.mu.Unlock()
	if answer == nil {
		return nil
	}
	return answer(step, argument)
}

// answers changes what it says from now on.
func (l *listener) answers(answer func(step, argument string) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = answer
}

// all that it has taken for an address, "" for any.
func (l *listener) all(to string) (all []taken) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.taken {
		if to == "" || m.to == to {
			all = append(all, m)
		}
	}
	return all
}

func (l *listener) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, secure := c.TLSConnectionState()
	return &session{l: l, message: taken{secure: secure}}, nil
}

type session struct {
	l       *listener
	message taken
}

func (s *session) AuthMechanisms() []string {
	if !s.message.secure && !s.l.server.AllowInsecureAuth {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != smtpUser || password != smtpPassword {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "wrong password for " + user + ": " + password}
		}
		s.message.user = user
		return s.l.say("AUTH", user)
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.message.from = from
	return s.l.say("MAIL", from)
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.message.to = to
	return s.l.say("RCPT", to)
}

func (s *session) Data(r io.Reader) error {
	if err := s.l.say("DATA", s.message.to); err != nil {
		return err
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.message.raw = raw
	s.l.mu.Lock()
	s.l.taken = append(s.l.taken, s.message)
	s.l.mu.Unlock()
	return s.l.say("DONE", s.message.to)
}

func (*session) Reset()        {}
func (*session) Logout() error { return nil }

// at refuses one step with an answer.
func at(step string, code int, enhanced smtp.EnhancedCode) func(string, string) error {
	return func(now, argument string) error {
		if now == step {
			return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: "not " + argument}
		}
		return nil
	}
}

func client(t *testing.T, url string, l *listener) *job.SMTP {
	t.Helper()
	c, err := job.ParseSMTP(url)
	if err != nil {
		t.Fatal(err)
	}
	if l != nil {
		c.Trust(l.roots)
	}
	return c
}

// A message arrives as it was written, by each way there is.
func TestDeliver(t *testing.T) {
	t.Parallel()
	implicit, starts, bare := listen(t, "127.0.0.1", true), listen(t, "127.0.0.1", false), listen(t, "", false)
	for name, c := range map[string]struct {
		l            *listener
		url          string
		secure, user bool
	}{
		"TLS":                     {implicit, "smtps://" + implicit.addr, true, false},
		"TLS and a password":      {implicit, "smtps://" + inURL + "@" + implicit.addr, true, true},
		"STARTTLS and a password": {starts, "smtp://" + inURL + "@" + starts.addr, true, true},
		"this machine itself":     {bare, "smtp://" + bare.addr, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, m := range every(t) {
				message := render(t, m)
				if err := client(t, c.url, c.l).Deliver(t.Context(), message); err != nil {
					t.Fatal(err)
				}
				all := c.l.all(m.To)
				if len(all) != i+1 {
					t.Fatalf("%d messages arrived, want %d", len(all), i+1)
				}
				got := all[i]
				p := read(t, got.raw)
				if got.from != "no-reply@commonhold.example" || p.header.Get("From") != `"Commonhold" <no-reply@commonhold.example>` || p.header.Get("To") != "<"+m.To+">" {
					t.Errorf("from %s to %s: %v", got.from, got.to, p.header)
				}
				if id := p.header.Get("Message-Id"); id != "<"+message.ID+">" || !strings.HasSuffix(id, "@api.commonhold.example>") {
					t.Errorf("Message-ID %s, want %s", id, message.ID)
				}
				if p.subject(t) != message.Subject || p.text != message.Text || p.html != message.HTML {
					t.Errorf("arrived otherwise: %s", got.raw)
				}
				if got.secure != c.secure || (got.user == smtpUser) != c.user {
					t.Errorf("secure %v, as %q", got.secure, got.user)
				}
			}
		})
	}
}

// Addresses of the world: a server that knows SMTPUTF8 takes the letters before the
// "@" as they are, and every server the domain in ASCII.
func TestDeliverUnicode(t *testing.T) {
	t.Parallel()
	l := listen(t, "", false)
	for to, want := range map[string]string{"ada@exämple.example": "ada@xn--exmple-cua.example", "jörg@tests.example": "jörg@tests.example", "o'hara+x@tests.example": "o'hara+x@tests.example"} {
		if err := client(t, "smtp://"+l.addr, nil).Deliver(t.Context(), render(t, job.Mail{Template: job.Welcome, To: to, Tenant: "Größe", Name: "Ada"})); err != nil {
			t.Errorf("%s: %v", to, err)
		}
		if n := len(l.all(want)); n != 1 {
			t.Errorf("%s: %d arrived at %s: %v", to, n, want, l.all(""))
		}
	}
}

// Which answers are for ever, which are not, and that neither tells the log who or
// how it was signed in.
func TestDeliverRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step    string
		code    int
		why     smtp.EnhancedCode
		forEver bool
	}{
		"greylisted":           {"RCPT", 450, smtp.EnhancedCode{4, 7, 1}, false},
		"mailbox unknown":      {"RCPT", 550, smtp.EnhancedCode{5, 1, 1}, true},
		"we may not relay":     {"RCPT", 550, smtp.EnhancedCode{5, 7, 1}, false},
		"sender refused":       {"MAIL", 550, smtp.EnhancedCode{5, 1, 8}, false},
		"too many":             {"MAIL", 421, smtp.EnhancedCode{4, 7, 0}, false},
		"disk full":            {"DATA", 452, smtp.EnhancedCode{4, 3, 1}, false},
		"taken for spam":       {"DATA", 550, smtp.EnhancedCode{5, 7, 1}, false},
		"content not accepted": {"DATA", 554, smtp.EnhancedCode{5, 6, 0}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listen(t, "", false)
			l.answers(at(c.step, c.code, c.why))
			m := every(t)[0]
			err := client(t, "smtp://"+l.addr, nil).Deliver(t.Context(), render(t, m))
			refused, forEver := errors.AsType[*job.RefusedError](err)
			if err == nil || forEver != c.forEver {
				t.Fatalf("for ever: %v (%v), want %v: %v", forEver, refused, c.forEver, err)
			}
			if !strings.Contains(err.Error(), fmt.Sprint(c.code)) || strings.Contains(err.Error(), m.To) || strings.Contains(err.Error(), "tests.example") {
				t.Errorf("it says %q", err)
			}
			if len(l.all("")) != 0 {
				t.Error("it was taken all the same")
			}
		})
	}
	t.Run("the password is wrong", func(t *testing.T) {
		t.Parallel()
		l := listen(t, "127.0.0.1", true)
		err := client(t, "smtps://relay:not-this@"+l.addr, l).Deliver(t.Context(), render(t, every(t)[0]))
		if _, forEver := errors.AsType[*job.RefusedError](err); err == nil || forEver || !strings.Contains(err.Error(), "535") || strings.Contains(err.Error(), "not-this") || strings.Contains(err.Error(), "relay") {
			t.Errorf("it says %v", err)
		}
	})
}

// Nothing is handed over, and no password said, where TLS is not what it must be.
func TestDeliverOnlyUnderTLS(t *testing.T) {
	t.Parallel()
	other, stranger, bare := listen(t, "another.example", true), listen(t, "127.0.0.1", true), listen(t, "", false)
	otherStarts, waits := listen(t, "another.example", false), listen(t, "", false)
	waits.server.AllowInsecureAuth = true // as who lies in wait for it does
	_, port, err := net.SplitHostPort(bare.addr)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		l, trusts *listener
		url       string
	}{
		"a certificate of another name":                             {other, other, "smtps://" + inURL + "@" + other.addr},
		"a certificate of another name, by STARTTLS":                {otherStarts, otherStarts, "smtp://" + inURL + "@" + otherStarts.addr},
		"a certificate that nobody trusts":                          {stranger, other, "smtps://" + inURL + "@" + stranger.addr},
		"no STARTTLS, with a password":                              {bare, other, "smtp://" + inURL + "@" + bare.addr},
		"no STARTTLS, where the password is asked for":              {waits, other, "smtp://" + inURL + "@" + waits.addr},
		"no STARTTLS, by an address that is not this machine's own": {bare, other, "smtp://0.0.0.0:" + port}, // where it leads all the same
		"no TLS where it begins with it":                            {bare, other, "smtps://" + bare.addr},
		"TLS from the first byte where it does begin":               {stranger, stranger, "smtp://" + inURL + "@" + stranger.addr},
	} {
		t.Run(name, func(t *testing.T) {
			smtp := client(t, c.url, c.trusts)
			smtp.Hurry(time.Second) // two of them wait for each other to speak
			c.l.answers(func(step, _ string) error { t.Errorf("it came to %s", step); return nil })
			err := smtp.Deliver(t.Context(), render(t, every(t)[0]))
			if _, forEver := errors.AsType[*job.RefusedError](err); err == nil || forEver || strings.Contains(err.Error(), "hush") {
				t.Errorf("it says %v", err)
			}
		})
	}
	if len(other.all("")) != 0 {
		t.Error("something arrived")
	}
}

// speaks is a server that answers each line with the next of its own, hangs up at an
// empty one, and says nothing after the last.
func speaks(t *testing.T, lines ...string) (addr string) {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	go func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buffer := make([]byte, 1<<16)
				for i, line := range lines {
					if i > 0 {
						if _, err := conn.Read(buffer); err != nil {
							return
						}
					}
					if line == "" { // hangs up
						return
					}
					io.WriteString(conn, line+"\r\n")
				}
				io.Copy(io.Discard, conn)
			}()
		}
	}()
	return socket.Addr().String()
}

// What the server has said to have is sent, whatever it does then.
func TestDeliverIsDoneWhenItIsTaken(t *testing.T) {
	t.Parallel()
	for name, then := range map[string][]string{"hangs up": {""}, "says nothing more": nil, "complains": {"500 what"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := client(t, "smtp://"+speaks(t, append([]string{"220 hello", "250 hello", "250 noop", "250 mail", "250 rcpt", "354 go on", "250 taken"}, then...)...), nil)
			c.Hurry(time.Second)
			if err := c.Deliver(t.Context(), short()); err != nil {
				t.Error(err)
			}
		})
	}
}

// short is a message that comes in one piece.
func short() *job.Message {
	return &job.Message{ID: "x@tests.example", Date: created, From: &netmail.Address{Address: "a@tests.example"}, To: "b@tests.example", Subject: "Short", Text: "Short", HTML: "Short"}
}

// A server that takes its time is left, wherever it stops to answer; and one that is
// not there, or hangs up.
func TestDeliverToTheSlow(t *testing.T) {
	t.Parallel()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for name, address := range map[string]string{
		"says nothing":             speaks(t),
		"stops after its greeting": speaks(t, "220 hello"),
		"stops at MAIL":            speaks(t, "220 hello", "250 hello", "250 noop"),
		"stops at RCPT":            speaks(t, "220 hello", "250 hello", "250 noop", "250 mail"),
		"stops at DATA":            speaks(t, "220 hello", "250 hello", "250 noop", "250 mail", "250 rcpt"),
		"stops at the end":         speaks(t, "220 hello", "250 hello", "250 noop", "250 mail", "250 rcpt", "354 go on"),
		"is full":                  speaks(t, "421 too many"),
		"hangs up at once":         speaks(t, ""),
		"hangs up at RCPT":         speaks(t, "220 hello", "250 hello", "250 noop", "250 mail", ""),
		"speaks another language":  speaks(t, "HTTP/1.1 400 Bad Request"),
		"is not there":             gone.Addr().String(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := client(t, "smtp://"+address, nil)
			c.Hurry(200 * time.Millisecond)
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			err := c.Deliver(ctx, render(t, every(t)[0]))
			if _, forEver := errors.AsType[*job.RefusedError](err); err == nil || forEver {
				t.Errorf("it says %v", err)
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("it waited for %s", took)
			}
		})
	}
}

func TestParseSMTP(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"smtps://mail.example":                    "mail.example:465",
		"smtps://" + inURL + "@mail.example:4650": "mail.example:4650",
		"smtp://" + inURL + "@mail.example":       "mail.example:587",
		"smtp://127.0.0.1:25":                     "127.0.0.1:25",
		"smtp://[::1]:25":                         "[::1]:25",
	} {
		c, err := job.ParseSMTP(url)
		if err != nil || c.String() != want {
			t.Errorf("%s: %v, %v", url, c, err)
			continue
		}
		if printed := fmt.Sprintf("%v %+v %#v %s %q %x", c, c, c, c, c, c); strings.Contains(printed, "hush") || strings.Contains(printed, fmt.Sprintf("%x", "hush")) {
			t.Errorf("printed as %s", printed)
		}
	}
	for _, url := range []string{
		"", "mail.example:25", "http://mail.example", "smtp://", "smtps://relay@mail.example", "smtps://:hush-hush@mail.example",
		"smtps://relay:hush-hush@mail.example:99999", "smtps://relay:hush-hush@mail.example/x", "smtps://relay:hush-hush@mail.example?skip-verify=true", "smtps://relay:hush hush@mail.example", "smtps://relay:hush%zz@mail.example",
	} {
		c, err := job.ParseSMTP(url)
		if !fault.Is(err, fault.Config) || strings.Contains(fmt.Sprintf("%v %+v", err, err), "hush") {
			t.Errorf("%q: %v, %v", url, c, err)
		}
	}
}
