// Package scalar holds the scalars of the schema, each as strict as its
// description: what is not written as the schema says is refused, not guessed.
package scalar

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/shopspring/decimal"

	"github.com/commonhold/commonhold/internal/fault"
)

// MarshalInt writes an Int (GraphQL specification, section 3.5.1: 32 bits).
func MarshalInt(i int32) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) { _, _ = io.WriteString(w, strconv.Itoa(int(i))) })
}

// UnmarshalInt reads an Int: a JSON number without a fraction, no string.
//
// Errors: fault.BadRequest.
func UnmarshalInt(from any) (int32, error) {
	var n int64
	var err error
	switch v := from.(type) {
	case int64:
		n = v
	case int:
		n = int64(v)
	case int32:
		n = int64(v)
	case json.Number:
		n, err = strconv.ParseInt(string(v), 10, 64)
	default:
		err = fmt.Errorf("a %T", from)
	}
	if err != nil || n < math.MinInt32 || n > math.MaxInt32 {
		return 0, fault.New(fault.BadRequest, "This is not an Int: a whole number between -2147483648 and 2147483647, without quotes.")
	}
	return int32(n), nil
}

// MarshalDateTime writes RFC 3339 in UTC with microseconds, what PostgreSQL keeps.
func MarshalDateTime(t time.Time) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		_, _ = io.WriteString(w, t.UTC().Format(`"2006-01-02T15:04:05.000000Z07:00"`))
	})
}

// dateTime is the form of RFC 3339. time.Parse takes more: an hour of one digit, a comma
// before the fraction, an offset of 24 hours.
var dateTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// UnmarshalDateTime reads RFC 3339.
//
// Errors: fault.BadRequest.
func UnmarshalDateTime(from any) (time.Time, error) {
	text, _ := from.(string)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || !dateTime.MatchString(text) {
		return t, fault.New(fault.BadRequest, "This is not a DateTime: write it as RFC 3339 does, 2026-01-31T08:15:30Z.")
	}
	return t, nil
}

// MarshalJSON writes a JSON value as it is stored. It is written without a look:
// PostgreSQL stores no jsonb that is not JSON.
func MarshalJSON(v json.RawMessage) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) { _, _ = w.Write(v) })
}

// UnmarshalJSON refuses every value: a JSON is only ever shown.
//
// Errors: fault.BadRequest.
func UnmarshalJSON(any) (json.RawMessage, error) {
	return nil, fault.New(fault.BadRequest, "A JSON cannot be given, it is only shown.")
}

// Decimal is a number with a point, exact.
type Decimal struct{ decimal.Decimal }

// maxDecimal is the longest text read as a Decimal: far beyond every amount, and
// short enough that no exponent can blow it up.
const maxDecimal = 40

// MarshalGQL writes the digits as a string.
func (d Decimal) MarshalGQL(w io.Writer) {
	_, _ = io.WriteString(w, strconv.Quote(d.StringFixed(max(0, -d.Exponent()))))
}

// UnmarshalGQL reads digits with at most one point and a leading minus, as a
// string; no exponent.
//
// Errors: fault.BadRequest.
func (d *Decimal) UnmarshalGQL(from any) error {
	text, ok := from.(string)
	if !ok || !isPlain(text) {
		return fault.New(fault.BadRequest, `This is not a Decimal: write digits with a point and in quotes, such as "12.50", at most %d of them.`, maxDecimal)
	}
	parsed, err := decimal.NewFromString(text)
	if err != nil {
		return fault.New(fault.BadRequest, `This is not a Decimal: write digits with a point and in quotes, such as "12.50".`)
	}
	d.Decimal = parsed
	return nil
}

func isPlain(text string) bool {
	if len(text) == 0 || len(text) > maxDecimal {
		return false
	}
	digits, points := 0, 0
	for i, c := range []byte(text) {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && digits > 0:
			points++
		case c == '-' && i == 0:
		default:
			return false
		}
	}
	return digits > 0 && points <= 1 && text[len(text)-1] != '.'
}

// Money is an amount in a currency.
type Money struct {
	Amount       Decimal
	CurrencyCode Currency
}

// maxMinor bounds an amount: 10¹⁵ minor units, which a 64-bit sum of thousands
// cannot overflow.
const maxMinor = 1_000_000_000_000_000

// FromMinor makes an amount of minor units, with all decimals of the currency.
func FromMinor(minor int64, currency string) *Money {
	c := Currency(currency)
	return &Money{Amount: Decimal{decimal.New(minor, -c.Decimals())}, CurrencyCode: c}
}

// Minor is the amount in minor units of a tenant's currency.
//
// Errors: fault.Invalid for another currency, an amount below zero, one with more
// decimals than the currency has and one above 10¹⁵ minor units.
func (m Money) Minor(currency string) (int64, error) {
	if string(m.CurrencyCode) != currency {
		return 0, fault.New(fault.Invalid, "Amounts of this tenant are in %s: convert it first.", currency).At("currencyCode")
	}
	return Minor(m.Amount, currency)
}

// Minor is a bare decimal in minor units; errors as Money.Minor.
func Minor(amount Decimal, currency string) (int64, error) {
	places := Currency(currency).Decimals()
	minor := amount.Shift(places)
	switch {
	case amount.IsNegative():
		return 0, fault.New(fault.Invalid, "The amount is below zero.").At("amount")
	case !minor.IsInteger():
		return 0, fault.New(fault.Invalid, "The amount has too many decimals: %s has %d.", currency, places).At("amount")
	case minor.GreaterThan(decimal.NewFromInt(maxMinor)):
		return 0, fault.New(fault.Invalid, "The amount is too large: at most %s.", decimal.New(maxMinor, -places)).At("amount")
	}
	return minor.IntPart(), nil
}
