package job

import (
	"bytes"
	"embed"
	"fmt"
	htmltemplate "html/template"
	netmail "net/mail"
	"net/url"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"

	"golang.org/x/net/idna"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/text"
)

//go:embed templates
var templates embed.FS

// Message is a mail as it leaves.
type Message struct {
	ID   string // Message-ID without its brackets: the same in every attempt
	Date time.Time
	From *netmail.Address
	To   string

	Subject, Text, HTML string
}

// renderer makes messages of mails.
type renderer struct {
	keys   *keyring.Keyring
	public *url.URL
	from   *netmail.Address
	text   map[Template]*texttemplate.Template // subject, an empty line, the text
	html   map[Template]*htmltemplate.Template
}

func newRenderer(c Config) (*renderer, error) {
	public, err := publicURL(c.PublicURL)
	if err != nil {
		return nil, err
	}
	from, err := ParseFrom(c.From)
	if err != nil {
		return nil, err
	}
	r := &renderer{keys: c.Keys, public: public, from: from, text: make(map[Template]*texttemplate.Template), html: make(map[Template]*htmltemplate.Template)}
	for name := range needs {
		if r.text[name], err = texttemplate.New(string(name)+".txt").Option("missingkey=error").ParseFS(templates, "templates/"+string(name)+".txt", "templates/foot.txt"); err != nil {
			return nil, fmt.Errorf("read the text of %s: %w", name, err)
		}
		if r.html[name], err = htmltemplate.New("page.html").Option("missingkey=error").ParseFS(templates, "templates/page.html", "templates/"+string(name)+".html"); err != nil {
			return nil, fmt.Errorf("read the HTML of %s: %w", name, err)
		}
	}
	return r, nil
}

// ParseFrom reads whom mail is from: "Commonhold <no-reply@example.com>", or the
// address alone.
//
// Errors: fault.Config.
func ParseFrom(s string) (*netmail.Address, error) {
	refused := fault.New(fault.Config, "The sender of mails must look like Commonhold <no-reply@example.com>.")
	from, err := netmail.ParseAddress(s)
	if err != nil {
		return nil, refused
	}
	if from.Name, err = text.Line("The name", from.Name, 0, maxName); err != nil {
		return nil, refused
	}
	if from.Address, err = text.Email(from.Address); err != nil {
		return nil, refused
	}
	return from, nil
}

// shown is what the templates see. Its names are plain: see plain.
type shown struct {
	Subject                    string // of the HTML, whose text it heads
	Tenant, Name, By, Role     string
	NewEmail, To, Link, Server string
	Until                      string
}

// render makes the message. The token of its link exists from here on, in the message
// alone.
func (r *renderer) render(m mail, created time.Time) (*Message, error) {
	textOf, ok := r.text[m.Template]
	if !ok { // left by a newer server
		return nil, fmt.Errorf("there is no mail %q here", m.Template)
	}
	data := shown{
		Tenant: plain(m.Tenant), Name: plain(m.Name), By: plain(m.By), Role: plain(m.Role),
		NewEmail: plain(m.NewEmail), To: plain(m.To), Server: r.public.String(),
	}
	if m.Link != nil {
		data.Link = r.public.String() + m.Link.Path + "#" + r.keys.Token(m.Link.Purpose, m.Link.ID)
	}
	if !m.Until.IsZero() {
		data.Until = m.Until.UTC().Format("2 January 2006, 15:04 UTC")
	}
	var body bytes.Buffer
	if err := textOf.Execute(&body, data); err != nil {
		return nil, fmt.Errorf("write the text of %s: %w", m.Template, err)
	}
	subject, words, ok := strings.Cut(body.String(), "\n\n")
	if !ok || strings.Contains(subject, "\n") {
		return nil, fmt.Errorf("the text of %s does not begin with a subject", m.Template)
	}
	data.Subject = subject
	body.Reset()
	if err := r.html[m.Template].Execute(&body, data); err != nil {
		return nil, fmt.Errorf("write the HTML of %s: %w", m.Template, err)
	}
	to, err := deliverable(m.To)
	if err != nil {
		return nil, &RefusedError{"its address has a domain that cannot be"}
	}
	return &Message{
		ID: m.ID.String() + "@" + r.public.Hostname(), Date: created, From: r.from, To: to,
		Subject: strings.ReplaceAll(subject, zeroWidth, ""), Text: words, HTML: body.String(),
	}, nil
}

// zeroWidth breaks what a mail program would make a link of, and nothing that is seen.
const zeroWidth = "\u200b"

// plain is a name or address that a mail program makes no link of: somebody may have
// called a tenant "Win at evil.example". It turns no text around either.
func plain(s string) string {
	var out strings.Builder
	for _, r := range s {
		if unicode.Is(unicode.Bidi_Control, r) {
			continue
		}
		out.WriteRune(r)
		if r == '.' || r == ':' || r == '@' || r == '/' {
			out.WriteString(zeroWidth)
		}
	}
	return out.String()
}

// deliverable is an address whose domain every server understands (RFC 5891).
func deliverable(address string) (string, error) {
	at := strings.LastIndexByte(address, '@') + 1
	if strings.IndexFunc(address[at:], func(r rune) bool { return r > unicode.MaxASCII }) < 0 {
		return address, nil
	}
	domain, err := idna.Lookup.ToASCII(address[at:])
	return address[:at] + domain, err
}
