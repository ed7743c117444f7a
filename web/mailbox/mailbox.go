// Package mailbox shows the mails of a development machine in a browser.
package mailbox

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/commonhold/commonhold/internal/job"
)

// Path is where the mailbox is served, with everything below it.
const Path = "/dev/mail"

//go:embed static
var files embed.FS

var pages = template.Must(template.New("").ParseFS(files, "static/*.html"))

// Handler serves the mails of box at Path. It looks at the whole request path. Mails
// carry links that let somebody in: it is for a server that nobody else reaches.
func Handler(box *job.Mailbox) http.Handler {
	m := &mailbox{box: box}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, m.list)
	mux.HandleFunc("GET "+Path+"/{$}", m.list)
	mux.HandleFunc("GET "+Path+"/style.css", style)
	mux.HandleFunc("GET "+Path+"/{name}", m.mail)
	mux.HandleFunc("GET "+Path+"/{name}/html", m.html)
	mux.HandleFunc("GET "+Path+"/{name}/source", m.source)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", pagePolicy)
		mux.ServeHTTP(w, r)
	})
}

const (
	// pagePolicy is that of our own pages: no script at all, and frames of ours.
	pagePolicy = "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// mailPolicy is that of a mail: its own styles, nothing from anywhere, in a sandbox
	// whose links open outside of it.
	mailPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)

type mailbox struct{ box *job.Mailbox }

// page is what the templates see.
type page struct {
	Path  string
	Mails []*job.Kept
	Mail  *job.Kept
	Links []string
}

func (m *mailbox) list(w http.ResponseWriter, r *http.Request) {
	mails, err := m.box.List()
	if err != nil {
		refuse(w, r, err)
		return
	}
	show(w, r, "list.html", page{Path: Path, Mails: mails})
}

// link finds the links in the text of a mail, which holds none but ours.
var link = regexp.MustCompile(`https?://[^\s<>"]+#[^\s<>"]+`)

func (m *mailbox) mail(w http.ResponseWriter, r *http.Request) {
	mail, err := m.box.Read(r.PathValue("name"))
	if err != nil {
		refuse(w, r, err)
		return
	}
	links := link.FindAllString(mail.Text, -1)
	slices.Sort(links)
	show(w, r, "mail.html", page{Path: Path, Mail: mail, Links: slices.Compact(links)})
}

// html is the mail itself, whose links open in a tab of their own.
func (m *mailbox) html(w http.ResponseWriter, r *http.Request) {
	mail, err := m.box.Read(r.PathValue("name"))
	if err != nil {
		refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Security-Policy", mailPolicy)
	write(w, "text/html; charset=utf-8", []byte(strings.ReplaceAll(mail.HTML, "<a href=", `<a target="_blank" rel="noopener" href=`)))
}

func (m *mailbox) source(w http.ResponseWriter, r *http.Request) {
	mail, err := m.box.Read(r.PathValue("name"))
	if err != nil {
		refuse(w, r, err)
		return
	}
	write(w, "text/plain; charset=utf-8", mail.Raw)
}

func style(w http.ResponseWriter, r *http.Request) {
	text, err := files.ReadFile("static/style.css")
	if err != nil {
		refuse(w, r, err)
		return
	}
	write(w, "text/css; charset=utf-8", text)
}

func show(w http.ResponseWriter, r *http.Request, name string, p page) {
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, name, p); err != nil {
		refuse(w, r, err)
		return
	}
	write(w, "text/html; charset=utf-8", body.Bytes())
}

func write(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) //nolint:gosec // a mail's markup is shown as what it is, under a policy and in a sandbox
}

func refuse(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "There is no such mail. It may be one of those that were too many.", http.StatusNotFound)
		return
	}
	slog.ErrorContext(r.Context(), "the mailbox cannot be read", "error", err)
	http.Error(w, "The mailbox cannot be read; the log says why.", http.StatusInternalServerError)
}
