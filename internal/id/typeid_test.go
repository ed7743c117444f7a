package id

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/fault"
)

// The vectors that are published with the specification, version 0.3.0:
// https://github.com/jetify-com/typeid/tree/main/spec, valid.json and invalid.json.

func TestPublishedVectors(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]struct{ typeid, prefix, uuid string }{
		"nil":               {"00000000000000000000000000", "", "00000000-0000-0000-0000-000000000000"},
		"one":               {"00000000000000000000000001", "", "00000000-0000-0000-0000-000000000001"},
		"ten":               {"0000000000000000000000000a", "", "00000000-0000-0000-0000-00000000000a"},
		"sixteen":           {"0000000000000000000000000g", "", "00000000-0000-0000-0000-000000000010"},
		"thirty-two":        {"00000000000000000000000010", "", "00000000-0000-0000-0000-000000000020"},
		"max-valid":         {"7zzzzzzzzzzzzzzzzzzzzzzzzz", "", "ffffffff-ffff-ffff-ffff-ffffffffffff"},
		"valid-alphabet":    {"prefix_0123456789abcdefghjkmnpqrs", "prefix", "0110c853-1d09-52d8-d73e-1194e95b5f19"},
		"valid-uuidv7":      {"prefix_01h455vb4pex5vsknk084sn02q", "prefix", "01890a5d-ac96-774b-bcce-b302099a8057"},
		"prefix-underscore": {"pre_fix_00000000000000000000000000", "pre_fix", "00000000-0000-0000-0000-000000000000"},
	} {
		prefix, u, err := split(v.typeid)
		if err != nil || prefix != v.prefix || u.String() != v.uuid {
			t.Errorf("%s: %s is read as %q %s, %v", name, v.typeid, prefix, u, err)
		}
		if got := encode(v.prefix, uuid.MustParse(v.uuid)); got != v.typeid {
			t.Errorf("%s: %s is written as %s, want %s", name, v.uuid, got, v.typeid)
		}
	}
}

func TestPublishedInvalidVectors(t *testing.T) {
	t.Parallel()
	for name, typeid := range map[string]string{
		"prefix-uppercase":           "PREFIX_00000000000000000000000000",
		"prefix-numeric":             "12345_00000000000000000000000000",
		"prefix-period":              "pre.fix_00000000000000000000000000",
		"prefix-non-ascii":           "préfix_00000000000000000000000000",
		"prefix-spaces":              "  prefix_00000000000000000000000000",
		"prefix-64-chars":            "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl_00000000000000000000000000",
		"separator-empty-prefix":     "_00000000000000000000000000",
		"separator-empty":            "_",
		"suffix-short":               "prefix_1234567890123456789012345",
		"suffix-long":                "prefix_123456789012345678901234567",
		"suffix-spaces":              "prefix_1234567890123456789012345 ",
		"suffix-uppercase":           "prefix_0123456789ABCDEFGHJKMNPQRS",
		"suffix-hyphens":             "prefix_123456789-123456789-123456",
		"suffix-wrong-alphabet":      "prefix_ooooooiiiiiiuuuuuuulllllll",
		"suffix-ambiguous-crockford": "prefix_i23456789ol23456789oi23456",
		"suffix-hyphens-crockford":   "prefix_123456789-0123456789-0123456",
		"suffix-overflow":            "prefix_8zzzzzzzzzzzzzzzzzzzzzzzzz",
		"prefix-underscore-start":    "_prefix_00000000000000000000000000",
		"prefix-underscore-end":      "prefix__00000000000000000000000000",
		"empty":                      "",
		"prefix-empty":               "prefix_",
	} {
		prefix, u, err := split(typeid)
		if !fault.Is(err, fault.BadRequest) || prefix != "" || u != uuid.Nil {
			t.Errorf("%s: %q is read as %q %s, %v", name, typeid, prefix, u, err)
			continue
		}
		if len(typeid) > 5 && strings.Contains(err.Error(), typeid) {
			t.Errorf("%s: the message repeats the text: %v", name, err)
		}
	}
}

// Every id has one spelling: what is read is written as it was.
func FuzzSplit(f *testing.F) {
	f.Add("prod_01h2xcejqtf2nbrexx3vqjhp41")
	f.Add("7zzzzzzzzzzzzzzzzzzzzzzzzz")
	f.Add("a__b_01h455vb4pex5vsknk084sn02q")
	f.Add("prod_81h2xcejqtf2nbrexx3vqjhp41")
	f.Add("\x00_01h2xcejqtf2nbrexx3vqjhp41")
	f.Fuzz(func(t *testing.T, text string) {
		prefix, u, err := split(text)
		if err != nil {
			return
		}
		if again := encode(prefix, u); again != text {
			t.Errorf("%q is written as %q", text, again)
		}
	})
}
