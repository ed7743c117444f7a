package id

import (
	"strings"

	"github.com/google/uuid"

	"github.com/commonhold/commonhold/internal/fault"
)

// The TypeID encoding, https://github.com/jetify-com/typeid/tree/main/spec
// (version 0.3.0): prefix, "_", and the UUID's 128 bits as 26 characters of
// Crockford's base32 in lower case, two zero bits in front.
const (
	alphabet  = "0123456789abcdefghjkmnpqrstvwxyz"
	suffixLen = 26
)

var digit = func() (values [256]byte) {
	for i := range values {
		values[i] = 0xff
	}
	for i := range len(alphabet) {
		values[alphabet[i]] = byte(i)
	}
	return values
}()

// encode writes prefix_suffix; an empty prefix has no underscore.
func encode(prefix string, u uuid.UUID) string {
	buf := make([]byte, 0, len(prefix)+1+suffixLen)
	if prefix != "" {
		buf = append(append(buf, prefix...), '_')
	}
	// 26 groups of five bits, the first of which holds only three.
	for i := range suffixLen {
		var group byte
		for bit := range 5 {
			n := i*5 + bit - 2 // index of the bit in the UUID, most significant first
			group <<= 1
			if n >= 0 {
				group |= u[n/8] >> (7 - n%8) & 1
			}
		}
		buf = append(buf, alphabet[group])
	}
	return string(buf)
}

// split cuts a TypeID into prefix and UUID. It refuses everything that encode
// would not have written, so that an id has exactly one spelling.
func split(text string) (prefix string, u uuid.UUID, err error) {
	if cut := strings.LastIndexByte(text, '_'); cut >= 0 {
		prefix, text = text[:cut], text[cut+1:]
		if !validPrefix(prefix) {
			return "", uuid.Nil, malformed()
		}
	}
	if len(text) != suffixLen || text[0] > '7' {
		return "", uuid.Nil, malformed()
	}
	for i := range suffixLen {
		group := digit[text[i]]
		if group == 0xff {
			return "", uuid.Nil, malformed()
		}
		for bit := range 5 {
			if n := i*5 + bit - 2; n >= 0 {
				u[n/8] |= group >> (4 - bit) & 1 << (7 - n%8)
			}
		}
	}
	return prefix, u, nil
}

// validPrefix: 1 to 63 of a–z and inner underscores.
func validPrefix(prefix string) bool {
	if prefix == "" || len(prefix) > 63 || prefix[0] == '_' || prefix[len(prefix)-1] == '_' {
		return false
	}
	for _, c := range []byte(prefix) {
		if c != '_' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

func malformed() error {
	return fault.New(fault.BadRequest,
		"This is not an id. Ids look like prod_01h2xcejqtf2nbrexx3vqjhp41: copy them from an answer of this API.")
}
