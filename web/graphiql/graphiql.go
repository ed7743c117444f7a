// Package graphiql serves GraphiQL, the in-browser GraphQL editor, from the
// binary: no request leaves the server's own origin, and the page works under a
// Content-Security-Policy without any unsafe-* source.
//
// vendored/ holds the published builds, written by update.sh; static/ holds the
// page and the bar above the editor (sign-in, sign-out, who is signed in).
package graphiql

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// Account is one demo account that the page offers as a button. Its password is
// part of the page, so accounts are given in development only.
type Account struct {
	Tenant     string `json:"tenant"`     // slug, what signIn takes
	TenantName string `json:"tenantName"` // what the page shows
	Email      string `json:"email"`
	Role       string `json:"role"` // OWNER, ADMIN, MEMBER or VIEWER
	Password   string `json:"password"`
}

// Options configures the page.
type Options struct {
	Endpoint string    // path of the GraphQL endpoint on the same origin; "/graphql" where empty
	Accounts []Account // demo accounts; empty outside development, where the sign-in form remains
	Version  string    // shown beside the name; may be empty
	Mail     string    // path of the page with the mails; no link where empty
	Schema   string    // the schema as SDL, served at SchemaPath and linked; no link where empty
}

// Prefix is the path under which everything but "/" is served, SchemaPath where
// the schema is read.
const (
	Prefix     = "/playground"
	SchemaPath = Prefix + "/schema.graphql"
	assetsPath = Prefix + "/assets/"
)

//go:embed vendored/*.gz static
var files embed.FS

// asset is a file under a name that changes with its content.
type asset struct {
	url     string
	hash    string
	mime    string
	size    int    // bytes before compression
	gzipped []byte // RFC 1952
}

// Handler serves the page at "/", "/playground" and "/playground/", and what it
// needs below /playground/. It looks at the whole request path, so it is mounted
// without stripping a prefix. Other paths are answered with 404, other methods
// than GET and HEAD on its own paths with 405. It panics where an embedded file is
// damaged, which is a mistake of the build.
func Handler(o Options) http.Handler {
	if o.Endpoint == "" {
		o.Endpoint = "/graphql"
	}
	byURL := map[string]asset{}
	named := func(name string) string {
		a := load(name)
		byURL[a.url] = a
		return a.url
	}
	accounts := o.Accounts
	if accounts == nil {
		accounts = []Account{}
	}
	config, err := json.Marshal(map[string]any{"endpoint": o.Endpoint, "accounts": accounts})
	if err != nil {
		panic(fmt.Errorf("encode the playground's configuration: %w", err))
	}
	page := page{
		Version: o.Version,
		Mail:    o.Mail,
		Config:  string(config),
		Icon:    named("static/icon.svg"),
		Styles:  []string{named("vendored/graphiql.min.css.gz"), named("static/app.css")},
		Scripts: []string{
			named("vendored/react.production.min.js.gz"),
			named("vendored/react-dom.production.min.js.gz"),
			named("vendored/graphiql.min.js.gz"),
			named("static/app.js"),
		},
	}
	if o.Schema != "" {
		a := compress(SchemaPath, "text/plain; charset=utf-8", []byte(o.Schema))
		page.Schema = a.url
		byURL[a.url] = a
	}

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", policy(""))
		serve := page.serve
		switch r.URL.Path {
		case "/", Prefix, Prefix + "/":
		default:
			a, ok := byURL[r.URL.Path]
			if !ok {
				http.NotFound(w, r)
				return
			}
			serve = a.serve
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "the playground is read with GET; queries go to "+o.Endpoint, http.StatusMethodNotAllowed)
			return
		}
		serve(w, r)
	})
}

// policy is the Content-Security-Policy: everything from this origin, nothing
// else, and nothing inline.
//
// The nonce is there for one element. GraphiQL's dialogs and menus stop the page
// behind them from scrolling by way of a <style> element whose text depends on
// the width of the scroll bar, so no hash can name it; the library that makes it
// takes a nonce instead (app.js hands it over). Inline style attributes stay
// forbidden: the editor sets its styles through the object model, which a policy
// does not restrict (CSP Level 3, section 8.4).
func policy(nonce string) string {
	styles := "'self'"
	if nonce != "" {
		styles += " 'nonce-" + nonce + "'"
	}
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src " + styles,
		"connect-src 'self'",
		"img-src 'self' data:",
		"font-src 'self' data:",
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
	}, "; ")
}

var pageTemplate = template.Must(template.ParseFS(files, "static/page.html"))

type page struct {
	Version, Config, Mail, Schema, Icon string
	Styles, Scripts                     []string
	Nonce                               string
}

// serve writes the page with a nonce of its own. It is never stored: a nonce that
// is used twice is none, and in development the page holds the demo passwords.
func (p page) serve(w http.ResponseWriter, r *http.Request) {
	var random [16]byte
	_, _ = rand.Read(random[:]) // documented never to fail
	p.Nonce = base64.RawURLEncoding.EncodeToString(random[:])
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, p); err != nil {
		http.Error(w, "the playground's page could not be written", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policy(p.Nonce))
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body.Bytes()) // the reader left: nobody to tell
}

// serve writes the asset, gzip as it is stored or inflated for a client that does
// not take gzip. The two are different representations with different ETags (RFC
// 9110, section 8.8.3).
func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.mime)
	h.Add("Vary", "Accept-Encoding")
	if strings.HasPrefix(a.url, assetsPath) {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache") // a name without a hash: ask again each time
	}
	gzipped := acceptsGzip(r.Header.Values("Accept-Encoding"))
	etag := `"` + a.hash + `"`
	if gzipped {
		etag = `"` + a.hash + `-gzip"`
	}
	h.Set("ETag", etag)
	if matches(r.Header.Values("If-None-Match"), etag) {
		h.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	length := a.size
	if gzipped {
		length = len(a.gzipped)
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(length))
	if r.Method == http.MethodHead {
		return
	}
	// Errors below are the reader's leaving: the content was checked at start.
	if gzipped {
		_, _ = w.Write(a.gzipped)
		return
	}
	inflated, err := gzip.NewReader(bytes.NewReader(a.gzipped))
	if err != nil {
		panic(http.ErrAbortHandler) // the header has been read once already, in load
	}
	_, _ = io.Copy(w, inflated) //nolint:gosec // our own file of a known size
}

// load reads an embedded file. Vendored files are gzip as they are committed and
// are not inflated here, so that they cost the start of the server a hash only.
func load(name string) asset {
	content, err := files.ReadFile(name)
	if err != nil {
		panic(fmt.Errorf("read an embedded asset: %w", err))
	}
	base, compressed := strings.CutSuffix(path.Base(name), ".gz")
	ext := path.Ext(base)
	mime := map[string]string{
		".js":  "text/javascript; charset=utf-8",
		".css": "text/css; charset=utf-8",
		".svg": "image/svg+xml",
	}[ext]
	if !compressed {
		a := compress("", mime, content)
		a.url = assetsPath + strings.TrimSuffix(base, ext) + "-" + a.hash + ext
		return a
	}
	if _, err := gzip.NewReader(bytes.NewReader(content)); err != nil {
		panic(fmt.Errorf("read the embedded asset %s: %w", name, err))
	}
	hash := digest(content)
	return asset{
		url:     assetsPath + strings.TrimSuffix(base, ext) + "-" + hash + ext,
		hash:    hash,
		mime:    mime,
		size:    int(binary.LittleEndian.Uint32(content[len(content)-4:])), // ISIZE, RFC 1952 section 2.3.1
		gzipped: content,
	}
}

func compress(url, mime string, content []byte) asset {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(content) // a buffer takes everything
	_ = z.Close()
	return asset{url: url, hash: digest(content), mime: mime, size: len(content), gzipped: b.Bytes()}
}

// digest is 80 bits of SHA-256: names must differ, nobody gains by making two alike.
func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:10])
}

// acceptsGzip reads Accept-Encoding (RFC 9110, section 12.5.3): gzip decides where
// it is named, "*" otherwise, and a weight of zero is a refusal.
func acceptsGzip(header []string) bool {
	wildcard := false
	for coding := range strings.SplitSeq(strings.Join(header, ","), ",") {
		name, parameters, _ := strings.Cut(coding, ";")
		wanted := true
		if q, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(parameters)), "q="); ok {
			weight, err := strconv.ParseFloat(q, 64)
			wanted = err == nil && weight > 0
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip", "x-gzip":
			return wanted
		case "*":
			wildcard = wanted
		}
	}
	return wildcard
}

// matches compares If-None-Match weakly (RFC 9110, section 13.1.2).
func matches(header []string, etag string) bool {
	for candidate := range strings.SplitSeq(strings.Join(header, ","), ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == etag || candidate == "*" {
			return true
		}
	}
	return false
}
