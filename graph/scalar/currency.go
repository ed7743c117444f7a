package scalar

import (
	"io"
	"strconv"
	"strings"

	"github.com/commonhold/commonhold/internal/fault"
)

// Currency is an active code of ISO 4217.
type Currency string

// The active codes of ISO 4217 (list one, 2026) by the number of their decimals.
var decimals = func() map[Currency]int32 {
	all := make(map[Currency]int32)
	for places, codes := range map[int32]string{
		0: `BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF`,
		2: `AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF
	CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD
	HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA
	MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN
	QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SYP SZL THB TJS TMT TOP TRY
	TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW ZWG`,
		3: `BHD IQD JOD KWD LYD OMR TND`,
	} {
		for code := range strings.FieldsSeq(codes) {
			all[Currency(code)] = places
		}
	}
	return all
}()

// Decimals is how many decimals an amount of the currency has: 0 to 3.
func (c Currency) Decimals() int32 { return decimals[c] }

// MarshalGQL writes the code.
func (c Currency) MarshalGQL(w io.Writer) { _, _ = io.WriteString(w, strconv.Quote(string(c))) }

// UnmarshalGQL reads a code.
//
// Errors: fault.BadRequest.
func (c *Currency) UnmarshalGQL(from any) error {
	code, ok := from.(string)
	if _, known := decimals[Currency(code)]; !ok || !known {
		return fault.New(fault.BadRequest, "This is not a currency: use a code of ISO 4217 such as EUR.")
	}
	*c = Currency(code)
	return nil
}
