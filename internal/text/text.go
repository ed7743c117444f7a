// Package text takes in what people write: names, descriptions, addresses. What
// it lets through is valid UTF-8 in NFC, holds nothing a database or a terminal
// would choke on, and has the length it says it has.
package text

import (
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/commonhold/commonhold/internal/fault"
)

// Line takes in a single line of minimum to maximum characters (code points),
// without white space around it.
//
// Errors: fault.Invalid, worded with label, which names the value to its writer.
func Line(label, s string, minimum, maximum int) (string, error) {
	return take(label, s, minimum, maximum, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' })
}

// Block takes in text that may have line breaks and tabs. Line ends become "\n".
//
// Errors: as Line.
func Block(label, s string, minimum, maximum int) (string, error) {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return take(label, s, minimum, maximum, func(r rune) bool { return r != '\n' && r != '\t' && unicode.IsControl(r) })
}

// Email takes in an address as it is written: the 254 characters of RFC 5321 at
// most, with a domain.
//
// Errors: fault.Invalid.
func Email(s string) (string, error) {
	s, err := Line("The e-mail address", s, 3, 254)
	if err != nil {
		return "", err
	}
	parsed, err := mail.ParseAddress(s)
	if err != nil || parsed.Address != s || parsed.Name != "" || strings.ContainsAny(s, " \"<>") {
		return "", fault.New(fault.Invalid, "This is not an e-mail address. It looks like name@company.example.")
	}
	return s, nil
}

func take(label, s string, minimum, maximum int, refused func(rune) bool) (string, error) {
	// Long input is refused before it is normalised: NFC can triple it.
	if len(s) > 16*(maximum+16) {
		return "", tooLong(label, maximum)
	}
	if !utf8.ValidString(s) {
		return "", fault.New(fault.Invalid, "%s is not valid UTF-8.", label)
	}
	s = strings.TrimSpace(norm.NFC.String(s))
	for _, r := range s {
		if refused(r) || noncharacter(r) {
			return "", fault.New(fault.Invalid, "%s has a control character in it (U+%04X). Remove it.", label, r)
		}
	}
	switch n := utf8.RuneCountInString(s); {
	case n > maximum:
		return "", tooLong(label, maximum)
	case n < minimum && n == 0:
		return "", fault.New(fault.Invalid, "%s is empty. Give it at least %d %s.", label, minimum, plural(minimum, "character"))
	case n < minimum:
		return "", fault.New(fault.Invalid, "%s is too short. Give it at least %d %s.", label, minimum, plural(minimum, "character"))
	}
	return s, nil
}

func tooLong(label string, maximum int) error {
	return fault.New(fault.Invalid, "%s is too long. It may have at most %d characters.", label, maximum)
}

// noncharacter tells the 66 code points that Unicode keeps for internal use
// (The Unicode Standard, section 23.7). One of them bounds lists by name.
func noncharacter(r rune) bool { return r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef }

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
