package scalar_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/shopspring/decimal"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/commonhold/commonhold"
	"github.com/commonhold/commonhold/graph/scalar"
	"github.com/commonhold/commonhold/internal/fault"
)

func written(m graphql.Marshaler) string {
	var b bytes.Buffer
	m.MarshalGQL(&b)
	return b.String()
}

func TestInt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		given any
		want  int32
	}{
		{int64(0), 0}, {int(7), 7}, {int32(-7), -7}, {json.Number("42"), 42}, {json.Number("-0"), 0},
		{int64(math.MaxInt32), math.MaxInt32}, {int64(math.MinInt32), math.MinInt32}, {json.Number("-2147483648"), math.MinInt32},
	} {
		if got, err := scalar.UnmarshalInt(c.given); err != nil || got != c.want {
			t.Errorf("%T %v: %d, %v", c.given, c.given, got, err)
		}
	}
	for _, given := range []any{
		nil, "5", "", true, 5.0, 5.5, []any{1}, map[string]any{}, int64(math.MaxInt32 + 1), int64(math.MinInt32 - 1), math.MaxInt64,
		json.Number("2147483648"), json.Number("-2147483649"), json.Number("9223372036854775808"), json.Number("1.0"), json.Number("1e3"), json.Number(""), json.Number("0x10"),
	} {
		if got, err := scalar.UnmarshalInt(given); !fault.Is(err, fault.BadRequest) || got != 0 {
			t.Errorf("%T %v: %d, %v", given, given, got, err)
		}
	}
	for n, want := range map[int32]string{0: "0", math.MaxInt32: "2147483647", math.MinInt32: "-2147483648"} {
		if got := written(scalar.MarshalInt(n)); got != want {
			t.Errorf("%d is written as %s", n, got)
		}
	}
}

func TestDateTime(t *testing.T) {
	t.Parallel()
	moment := time.Date(2026, 1, 31, 9, 15, 30, 123456789, time.FixedZone("", 3600))
	if got := written(scalar.MarshalDateTime(moment)); got != `"2026-01-31T08:15:30.123456Z"` {
		t.Errorf("written as %s", got)
	}
	if got := written(scalar.MarshalDateTime(moment.Truncate(time.Second))); got != `"2026-01-31T08:15:30.000000Z"` {
		t.Errorf("a whole second is written as %s", got)
	}
	for _, given := range []string{"2026-01-31T08:15:30Z", "2026-01-31T09:15:30+01:00", "2026-01-31T08:15:30.000Z"} {
		if got, err := scalar.UnmarshalDateTime(given); err != nil || !got.Equal(time.Date(2026, 1, 31, 8, 15, 30, 0, time.UTC)) {
			t.Errorf("%s: %v, %v", given, got, err)
		}
	}
	for _, given := range []any{nil, 0, json.Number("0"), "", "now", "2026-01-31", "2026-01-31 08:15:30Z", "2026-01-31T08:15:30", "2026-02-30T00:00:00Z", "2026-01-31T25:00:00Z", "20000-01-01T00:00:00Z",
		"2026-01-31T8:15:30Z", "2026-01-31T08:15:30,5Z", "2026-01-31T08:15:30+24:00", "2026-01-31T08:15:30+01:60", "2026-01-31t08:15:30z"} {
		if got, err := scalar.UnmarshalDateTime(given); !fault.Is(err, fault.BadRequest) {
			t.Errorf("%v: %v, %v", given, got, err)
		}
	}
}

func TestDecimal(t *testing.T) {
	t.Parallel()
	for _, given := range []string{"0", "12.50", "-3", "-0.01", "007", "0.000", "1.10", strings.Repeat("9", 40), "0." + strings.Repeat("0", 37) + "1"} {
		var d scalar.Decimal
		if err := d.UnmarshalGQL(given); err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		// Written with the decimals it was given.
		want := given
		if given == "007" {
			want = "7"
		}
		if got := written(d); got != `"`+want+`"` {
			t.Errorf("%s is written as %s", given, got)
		}
	}
	for _, given := range []any{
		nil, 12, 12.5, int64(3), json.Number("12.5"), true, []any{"1"},
		"", "-", ".", ".5", "5.", "-.5", "+1", "--1", "1-", "1.2.3", "1,5", "1 000", " 1", "1 ", "1\n", "1e3", "1E3", "1e-3", "0x10", "1_000", "NaN", "Infinity", "-Inf", "١", "１",
		strings.Repeat("9", 41), "1\x00",
	} {
		var d scalar.Decimal
		if err := d.UnmarshalGQL(given); !fault.Is(err, fault.BadRequest) {
			t.Errorf("%T %v: %s, %v", given, given, d, err)
		}
	}
}

// No text that is read is costly, and what is read is what was written.
func FuzzDecimal(f *testing.F) {
	for _, seed := range []string{"12.50", "-0", "1e999999999", "9999999999999999999999999999999999999999", "."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		var d, again scalar.Decimal
		if d.UnmarshalGQL(given) != nil {
			return
		}
		text := strings.Trim(written(d), `"`)
		if len(given) > 40 || strings.ContainsAny(given, "eE+") {
			t.Errorf("%q is read", given)
		}
		if err := again.UnmarshalGQL(text); err != nil || !again.Equal(d.Decimal) {
			t.Errorf("%q is written as %q and read as %v, %v", given, text, again, err)
		}
	})
}

func amount(t testing.TB, text string) scalar.Decimal {
	t.Helper()
	var d scalar.Decimal
	if err := d.UnmarshalGQL(text); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestMinor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		amount, currency string
		want             int64
	}{
		{"0", "EUR", 0}, {"-0", "EUR", 0}, {"12.5", "EUR", 1250}, {"12.50", "EUR", 1250}, {"12.500", "EUR", 1250}, {"0.01", "EUR", 1},
		{"1250", "JPY", 1250}, {"1250.00", "JPY", 1250}, {"1.234", "KWD", 1234},
		{"10000000000000.00", "EUR", 1_000_000_000_000_000}, {"1000000000000000", "JPY", 1_000_000_000_000_000},
	} {
		got, err := scalar.Minor(amount(t, c.amount), c.currency)
		if err != nil || got != c.want {
			t.Errorf("%s %s: %d, %v", c.amount, c.currency, got, err)
		}
		shown := scalar.FromMinor(c.want, c.currency)
		if !shown.Amount.Equal(amount(t, c.amount).Decimal) || shown.CurrencyCode != scalar.Currency(c.currency) || -shown.Amount.Exponent() != shown.CurrencyCode.Decimals() {
			t.Errorf("%d %s is shown as %v", c.want, c.currency, shown)
		}
	}
	for _, c := range []struct{ amount, currency, advice string }{
		{"-0.01", "EUR", "below zero"}, {"-1", "EUR", "below zero"},
		{"0.001", "EUR", "EUR has 2"}, {"0.1", "JPY", "JPY has 0"}, {"1.2345", "KWD", "KWD has 3"},
		{"10000000000000.01", "EUR", "at most 10000000000000"}, {"92233720368547758.08", "EUR", "at most"}, {"9223372036854775808", "JPY", "at most"},
		{"184467440737095516.16", "EUR", "at most"}, {strings.Repeat("9", 40), "EUR", "at most"},
	} {
		got, err := scalar.Money{Amount: amount(t, c.amount), CurrencyCode: scalar.Currency(c.currency)}.Minor(c.currency)
		if !fault.Is(err, fault.Invalid) || got != 0 || !strings.Contains(err.Error(), c.advice) {
			t.Errorf("%s %s: %d, %v", c.amount, c.currency, got, err)
		}
	}
	if _, err := (scalar.Money{Amount: amount(t, "1"), CurrencyCode: "USD"}).Minor("EUR"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "are in EUR") {
		t.Errorf("another currency: %v", err)
	}
	if got := written(scalar.FromMinor(5, "EUR").Amount); got != `"0.05"` {
		t.Errorf("five cents are written as %s", got)
	}
	if got := written(scalar.Decimal{Decimal: decimal.New(5, 3)}); got != `"5000"` {
		t.Errorf("5·10³ is written as %s", got)
	}
}

// The currencies are those that the schema names, each with its decimals.
func TestCurrencies(t *testing.T) {
	t.Parallel()
	named := gqlparser.MustLoadSchema(&ast.Source{Input: commonhold.Schema}).Types["CurrencyCode"].EnumValues
	places := make(map[int32]int)
	for _, value := range named {
		var c scalar.Currency
		if err := c.UnmarshalGQL(value.Name); err != nil || string(c) != value.Name {
			t.Errorf("%s: %s, %v", value.Name, c, err)
		}
		if got := written(c); got != `"`+value.Name+`"` {
			t.Errorf("%s is written as %s", value.Name, got)
		}
		places[c.Decimals()]++
	}
	for code, want := range map[scalar.Currency]int32{"EUR": 2, "USD": 2, "JPY": 0, "CLP": 0, "KWD": 3, "TND": 3} {
		if got := code.Decimals(); got != want {
			t.Errorf("%s has %d decimals", code, got)
		}
	}
	// Codes that the schema lacks are unknown here: three letters at a time.
	known := 0
	for a := byte('A'); a <= 'Z'; a++ {
		for b := byte('A'); b <= 'Z'; b++ {
			for c := byte('A'); c <= 'Z'; c++ {
				var currency scalar.Currency
				if currency.UnmarshalGQL(string([]byte{a, b, c})) == nil {
					known++
				}
			}
		}
	}
	if known != len(named) {
		t.Errorf("%d currencies are known, the schema names %d", known, len(named))
	}
	for _, given := range []any{nil, 1, json.Number("978"), "", "eur", "Eur", "EURO", " EUR", "XXX", "XTS", "DEM", []any{"EUR"}} {
		var c scalar.Currency
		if err := c.UnmarshalGQL(given); !fault.Is(err, fault.BadRequest) || c != "" {
			t.Errorf("%v: %s, %v", given, c, err)
		}
	}
}

func TestJSONIsOnlyShown(t *testing.T) {
	t.Parallel()
	for _, given := range []any{nil, "{}", int64(1), map[string]any{}, []any{}} {
		if _, err := scalar.UnmarshalJSON(given); !fault.Is(err, fault.BadRequest) {
			t.Errorf("%v: %v", given, err)
		}
	}
	var out strings.Builder
	scalar.MarshalJSON([]byte(`{"a": [1, null]}`)).MarshalGQL(&out)
	if out.String() != `{"a": [1, null]}` {
		t.Error(out.String())
	}
}
