package server

import (
	"mime"
	"strconv"
	"strings"
)

const (
	mediaJSON      = "application/json"
	mediaGraphQL   = "application/graphql-response+json"
	mediaMultipart = "multipart/mixed"
	deferSpec      = "20220824" // of the parts in it
)

// maxRanges is how many media types of a header are read. Browsers send ten; 32 KiB
// have room for thousands.
const maxRanges = 50

// accepting is what a client takes, in its order (RFC 9110, section 12.5.1). What
// cannot be read of the header is left out of it.
type accepting []mediaRange

type mediaRange struct {
	media   string // in lower case; a wildcard stays one
	options map[string]string
	quality float64 // 0: not acceptable
}

func readAccept(header []string) (a accepting) {
	for n, part := range strings.SplitN(strings.Join(header, ","), ",", maxRanges+1) {
		if n == maxRanges { // the rest of it
			break
		}
		media, options, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		if media == "*" { // as Java's HttpURLConnection writes it
			media = "*/*"
		}
		quality := 1.0
		if text, ok := options["q"]; ok {
			if quality, err = strconv.ParseFloat(text, 64); err != nil || !(quality >= 0 && quality <= 1) {
				continue
			}
		}
		a = append(a, mediaRange{media, options, quality})
	}
	return a
}

// match is how much a client wants one media type: by the most specific range that
// covers it, whatever the others say.
type match struct {
	quality  float64
	specific int // 3 by name, 2 by its first half, 1 by */*, 0 not at all
	place    int // in the header
}

func (m match) before(other match) bool {
	switch {
	case m.quality != other.quality:
		return m.quality > other.quality
	case m.specific != other.specific:
		return m.specific > other.specific
	}
	return m.place < other.place
}

func (a accepting) match(media string) (best match) {
	for place, r := range a {
		specific := 0
		switch kind, _, _ := strings.Cut(media, "/"); r.media {
		case media:
			specific = 3
		case kind + "/*":
			specific = 2
		case "*/*":
			specific = 1
		}
		if charset := r.options["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
			continue
		}
		if specific > best.specific {
			best = match{r.quality, specific, place}
		}
	}
	return best
}

// answer is the media type that a client wants most, "" where it takes neither. The
// older one goes to whoever does not care (GraphQL over HTTP, "Legacy watershed").
func (a accepting) answer() string {
	if len(a) == 0 {
		return mediaJSON
	}
	older, newer := a.match(mediaJSON), a.match(mediaGraphQL)
	switch {
	case newer.quality > 0 && newer.before(older):
		return mediaGraphQL
	case older.quality > 0:
		return mediaJSON
	}
	return ""
}

// takesParts tells whether a client named the form in which deferred parts are
// delivered: multipart/mixed, with no other version of it than this one.
func (a accepting) takesParts() bool {
	for _, r := range a {
		_, newer := r.options["incrementalspec"]
		_, subscription := r.options["subscriptionspec"]
		if spec := r.options["deferspec"]; r.media == mediaMultipart && r.quality > 0 && !newer && !subscription && (spec == "" || spec == deferSpec) {
			return true
		}
	}
	return false
}
