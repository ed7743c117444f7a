package job_test

import (
	"bytes"
	"encoding/base64"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/job"
	"github.com/commonhold/commonhold/internal/keyring"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	public = "https://api.commonhold.example"
	sender = "Commonhold <no-reply@commonhold.example>"
)

// keys are always the same, so that links are.
func keys(t *testing.T) *keyring.Keyring {
	t.Helper()
	k, err := keyring.Parse([]byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// config delivers nowhere.
func config(t *testing.T) job.Config {
	t.Helper()
	return job.Config{Keys: keys(t), PublicURL: public, From: sender}
}

var created = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func render(t *testing.T, m job.Mail) *job.Message {
	t.Helper()
	message, err := job.Render(config(t), uuid.MustParse("0195f2a0-0000-4000-8000-000000000001"), m, created)
	if err != nil {
		t.Fatalf("%s: %v", m.Template, err)
	}
	return message
}

// parsed is a message as another program reads it.
type parsed struct {
	header     netmail.Header
	text, html string
}

func read(t *testing.T, raw []byte) parsed {
	t.Helper()
	message, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v:\n%s", err, raw)
	}
	p := parsed{header: message.Header}
	kind, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("Content-Type %q: %v", kind, err)
	}
	for parts := multipart.NewReader(message.Body, parameters["boundary"]); ; {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return p
		}
		if err != nil {
			t.Fatal(err)
		}
		if encoding := part.Header.Get("Content-Transfer-Encoding"); encoding != "quoted-printable" {
			t.Fatalf("encoding %q", encoding)
		}
		content, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(content), "\r\n", "\n")
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			p.html = text
		} else {
			p.text = text
		}
	}
}

// subject is the decoded one.
func (p parsed) subject(t *testing.T) string {
	t.Helper()
	s, err := new(mime.WordDecoder).DecodeHeader(p.header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What each mail says, to the letter: a review reads it in testdata.
func TestMailsSay(t *testing.T) {
	t.Parallel()
	var seen []job.Template
	for _, m := range every(t) {
		seen = append(seen, m.Template)
		m.To = "ada@customer.example"
		if m.Link != nil {
			m.Link.ID = uuid.MustParse("0195f2a0-0000-7000-8000-000000000002")
			m.Until = created.Add(48 * time.Hour)
		}
		message := render(t, m)
		got := "Subject: " + message.Subject + "\n\n" + message.Text + "\n" + strings.Repeat("=", 72) + "\n" + message.HTML
		file := filepath.Join("testdata", "mails", string(m.Template)+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (go test ./internal/job -update writes it anew):\n%s", m.Template, diff)
		}
		raw, err := message.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		p := read(t, raw)
		if p.subject(t) != message.Subject || p.text != message.Text || p.html != message.HTML {
			t.Errorf("%s: another program reads something else:\n%s", m.Template, raw)
		}
	}
	all := job.Templates()
	slices.Sort(all)
	slices.Sort(seen)
	if diff := cmp.Diff(all, seen); diff != "" {
		t.Errorf("mails that no test reads: %s", diff)
	}
}

// The names in a mail were chosen by anybody. They are words there: no markup, no
// header, no link, no text turned around.
func TestNamesAreWords(t *testing.T) {
	t.Parallel()
	hostile := []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</title><h1>`, `{{.Link}}`, `%0d%0aBcc: b@evil.example`, `=?utf-8?q?=0d=0aBcc:_b@evil.example?=`,
		"Win at https://evil.example/x", "javascript:alert(1)", "www.evil.example", "pay@evil.example", "\u202egnp.exe", "Größe 株式会社 🏠", strings.Repeat("株", 200), strings.Repeat("w ", 99) + "ww",
	}
	// A link of a mail program, and what could be one.
	linked := regexp.MustCompile(`(?i)https?://[^\s"<>]+|[\w-]\.example\b|@\w`)
	for _, name := range hostile {
		for _, m := range every(t) {
			for _, field := range []*string{&m.Tenant, &m.Name, &m.By, &m.Role} {
				if *field != "" {
					*field = name
				}
			}
			m.To = "ada@customer.example"
			message := render(t, m)
			raw, err := message.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.SplitSeq(string(raw), "\r\n") {
				if len(line) > 998 { // RFC 5322, section 2.1.1
					t.Errorf("%s, %.30q: a line of %d bytes", m.Template, name, len(line))
				}
				if strings.ContainsAny(line, "\r\n") {
					t.Errorf("%s, %.30q: a line ends in one of CR and LF alone: %q", m.Template, name, line)
				}
			}
			p := read(t, raw)
			var headers []string
			for header := range p.header {
				headers = append(headers, header)
			}
			slices.Sort(headers)
			if diff := cmp.Diff([]string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}, headers); diff != "" {
				t.Errorf("%s, %.30q: headers: %s", m.Template, name, diff)
			}
			if to := p.header.Get("To"); to != "<ada@customer.example>" {
				t.Errorf("%s, %.30q: it goes to %q", m.Template, name, to)
			}
			if strings.Contains(p.html, "<script") || strings.Contains(p.html, "<img") || strings.Count(p.html, "<h1") != 1 {
				t.Errorf("%s, %.30q: markup in %s", m.Template, name, p.html)
			}
			for _, link := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(p.html, -1) {
				if !strings.HasPrefix(link[1], public+"/links/") {
					t.Errorf("%s, %.30q: a link to %q", m.Template, name, link[1])
				}
			}
			for _, body := range []string{p.text, p.html} {
				for _, found := range linked.FindAllString(body, -1) {
					if !strings.HasPrefix(found, public) && found != "d.example" {
						t.Errorf("%s, %.30q: %q would become a link", m.Template, name, found)
					}
				}
				if strings.ContainsRune(body, '\u202e') {
					t.Errorf("%s: text is turned around", m.Template)
				}
			}
			if m.Tenant != "" && name == hostile[11] && !strings.Contains(p.subject(t), name) {
				t.Errorf("%s: the subject %q is without %q", m.Template, p.subject(t), name)
			}
		}
	}
}

// Links begin with the configured URL, and carry behind "#" what only the keyring
// makes. It lies in no database, since it is made here.
func TestLinks(t *testing.T) {
	t.Parallel()
	c := config(t)
	for public, begins := range map[string]string{
		"https://api.commonhold.example":       "https://api.commonhold.example/links/reset#",
		"https://api.commonhold.example/":      "https://api.commonhold.example/links/reset#",
		"https://commonhold.example:8443/api/": "https://commonhold.example:8443/api/links/reset#",
		"http://127.0.0.1:8080":                "http://127.0.0.1:8080/links/reset#",
	} {
		c.PublicURL = public
		id := uuid.New()
		message, err := job.Render(c, uuid.New(), job.Mail{Template: job.PasswordReset, To: "a@tests.example", Name: "Ada", Link: &job.Link{Path: job.PathReset, Purpose: "reset", ID: id}}, created)
		if err != nil {
			t.Fatal(err)
		}
		_, token, ok := strings.Cut(message.Text, begins)
		token, _, _ = strings.Cut(token, "\n")
		if !ok || !strings.Contains(message.HTML, `href="`+begins+token+`"`) {
			t.Fatalf("no link that begins with %s: %s", begins, message.Text)
		}
		if of, ok := c.Keys.ParseToken("reset", token); !ok || of != id {
			t.Errorf("the token %q is not of %s", token, id)
		}
		if _, ok := c.Keys.ParseToken("another", token); ok {
			t.Error("the token serves another purpose")
		}
	}
	for _, public := range []string{"", "api.commonhold.example", "ftp://x.example", "https://", "https://user@x.example", "https://x.example?a=b", "https://x.example#a"} {
		c.PublicURL = public
		if _, err := job.Render(c, uuid.New(), every(t)[0], created); !fault.Is(err, fault.Config) {
			t.Errorf("%q: %v", public, err)
		}
	}
}

func TestParseFrom(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]string{
		"no-reply@commonhold.example": "<no-reply@commonhold.example>",
		sender:                        `"Commonhold" <no-reply@commonhold.example>`,
		`"Größe, GmbH" <a@b.example>`: "=?utf-8?b?R3LDtsOfZSwgR21iSA==?= <a@b.example>",
		"":                            "", "Commonhold": "", "a@b.example, c@d.example": "", "A\r\nBcc: x@y.example <a@b.example>": "", "<a@b.example>\r\nBcc: x@y.example": "",
		"=?utf-8?q?A=0D=0ABcc=3A_x?= <a@b.example>": "",
	} {
		got, err := job.ParseFrom(from)
		if want == "" {
			if !fault.Is(err, fault.Config) || strings.Contains(err.Error(), "b.example") {
				t.Errorf("%q: %v, %v", from, got, err)
			}
		} else if err != nil || got.String() != want {
			t.Errorf("%q: %v, %v", from, got, err)
		}
	}
}
