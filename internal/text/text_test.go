package text_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/text"
)

func TestLine(t *testing.T) {
	t.Parallel()
	const refused = "\x00refused"
	for _, c := range []struct{ name, given, want, advice string }{
		{"plain", "Lamp", "Lamp", ""},
		{"one character", "é", "é", ""},
		{"ten characters", "0123456789", "0123456789", ""},
		{"ten emoji", strings.Repeat("💡", 10), strings.Repeat("💡", 10), ""},
		{"white space around", " \t\u00a0 Lamp \u3000\n", "Lamp", ""},
		{"white space inside", "a  b", "a  b", ""},
		{"decomposed", "e\u0301", "é", ""},
		{"ten letters of two code points", strings.Repeat("e\u0301", 10), strings.Repeat("é", 10), ""},
		{"a family", "👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧", ""},
		{"right to left", "שלום", "שלום", ""},
		{"U+FFFD", "a\ufffdb", "a\ufffdb", ""},
		{"the last before a noncharacter", "\ufdcf\ufdf0", "\ufdcf\ufdf0", ""},

		{"empty", "", refused, "The name is empty. Give it at least 2 characters."},
		{"spaces", "   ", refused, "The name is empty. Give it at least 2 characters."},
		{"too short", "a", refused, "The name is too short. Give it at least 2 characters."},
		{"eleven characters", "0123456789a", refused, "The name is too long. It may have at most 10 characters."},
		{"ten thousand", strings.Repeat("a", 10_000), refused, "It may have at most 10 characters."},
		{"a megabyte of marks", "a" + strings.Repeat("\u0301", 1<<19), refused, "It may have at most 10 characters."},
		{"one that grows in NFC", strings.Repeat("\U0001d160", 4), refused, "It may have at most 10 characters."},
		{"no UTF-8", "a\xff", refused, "The name is not valid UTF-8."},
		{"half of a surrogate pair", "a\xed\xa0\x80", refused, "The name is not valid UTF-8."},
		{"an overlong NUL", "a\xc0\x80", refused, "The name is not valid UTF-8."},
		{"NUL", "a\x00b", refused, "(U+0000). Remove it."},
		{"escape", "a\x1bb", refused, "(U+001B). Remove it."},
		{"a line break", "a\nb", refused, "(U+000A). Remove it."},
		{"a tab", "a\tb", refused, "(U+0009). Remove it."},
		{"DEL", "a\x7fb", refused, "(U+007F). Remove it."},
		{"next line", "a\u0085b", refused, "(U+0085). Remove it."},
		{"a line separator", "a\u2028b", refused, "(U+2028). Remove it."},
		{"a paragraph separator", "a\u2029b", refused, "(U+2029). Remove it."},
	} {
		minimum := 1
		if c.want == refused {
			minimum = 2
		}
		got, err := text.Line("The name", c.given, minimum, 10)
		if c.want == refused {
			if !fault.Is(err, fault.Invalid) || got != "" || !strings.Contains(err.Error(), c.advice) {
				t.Errorf("%s: %q, %v", c.name, got, err)
			}
		} else if err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestBlock(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"a\nb":          "a\nb",
		"a\r\nb\r\n":    "a\nb",
		"a\tb":          "a\tb",
		"\n\n":          "",
		"":              "",
		"a\u2028b":      "a\u2028b",
		"e\u0301\r\n\n": "é",
	} {
		if got, err := text.Block("The description", given, 0, 10); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", given, got, err, want)
		}
	}
	for _, given := range []string{"a\rb", "a\x00b", "a\x0bb", "a\x0cb", "a\u0085b", "a\ufffeb", strings.Repeat("a", 11), "\xff"} {
		if got, err := text.Block("The description", given, 0, 10); !fault.Is(err, fault.Invalid) || got != "" {
			t.Errorf("%q: %q, %v", given, got, err)
		}
	}
	// Line breaks count as they are stored.
	if _, err := text.Block("The description", strings.Repeat("a\r\n", 4)+"aa", 0, 10); err != nil {
		t.Errorf("ten characters with line breaks of two: %v", err)
	}
}

// The 66 noncharacters of Unicode, all of them, and nothing beside them.
func TestNoncharacters(t *testing.T) {
	t.Parallel()
	refused := 0
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) || unicode.IsControl(r) || unicode.IsSpace(r) {
			continue
		}
		got, err := text.Line("The name", "a"+string(r)+"b", 1, 10)
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), fmt.Sprintf("U+%04X", r)) || !unicode.Is(unicode.Noncharacter_Code_Point, r) {
				t.Errorf("U+%04X: %v", r, err)
			}
		} else if unicode.Is(unicode.Noncharacter_Code_Point, r) {
			t.Errorf("U+%04X is let through as %q", r, got)
		}
	}
	if refused != 66 {
		t.Errorf("%d are refused, want 66", refused)
	}
}

// What is let through keeps every promise of the package, and goes through again
// as it is.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{"Lamp", " e\u0301 ", "a\x00", "\xff", "\U0010ffff", strings.Repeat("\U0001d160", 10), "\u1100\u1161\u11a8", "\u0344", " \u0344\u3000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		got, err := text.Line("The name", given, 1, 20)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%q: %v", given, err)
			}
			return
		}
		if n := utf8.RuneCountInString(got); n < 1 || n > 20 || !utf8.ValidString(got) || !norm.NFC.IsNormalString(got) || strings.TrimSpace(got) != got || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("%q is let through as %q", given, got)
		}
		if again, err := text.Line("The name", got, 1, 20); err != nil || again != got {
			t.Errorf("%q is %q and then %q, %v", given, got, again, err)
		}
	})
}

func TestEmail(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"name@company.example": "name@company.example", "  Name@Company.Example\n": "Name@Company.Example",
		"first.last+tag@sub.company.example": "first.last+tag@sub.company.example", "jörg@köln.example": "jörg@köln.example",
		strings.Repeat("x", 242) + "@company.org": strings.Repeat("x", 242) + "@company.org",
	} {
		if got, err := text.Email(given); err != nil || got != want {
			t.Errorf("%q: %q, %v", given, got, err)
		}
	}
	for _, given := range []string{
		"", "@", "a@", "@b", "name", "name@", "a b@c.example", "a@b@c.example", `"a b"@c.example`, "Name <name@company.example>", "<name@company.example>",
		"a@b.example, c@d.example", "a@b.example;c@d.example", "a\x00@b.example", "a\n@b.example", "a@b\u2028.example", "\xff@b.example", strings.Repeat("x", 243) + "@company.org",
	} {
		if got, err := text.Email(given); !fault.Is(err, fault.Invalid) || got != "" {
			t.Errorf("%q passed as %q: %v", given, got, err)
		}
	}
}
