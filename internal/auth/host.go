package auth

import (
	"context"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/fault"
)

// tenantHeader names the tenant that a client means, by slug or id.
const tenantHeader = "X-Tenant-ID"

// meant is what a request says of its tenant beside its credential. It opens nothing:
// a credential may agree with it, or is refused.
type meant struct {
	slug   string // by the host name under the base domain
	header string // by X-Tenant-ID
}

type meantKey struct{}

// SetBaseDomain makes slug.domain the host name of each tenant; "": they have none. It
// belongs to the start of a server.
//
// Errors: fault.Config for what is no domain.
func (s *Service) SetBaseDomain(domain string) error {
	if host, ok := readHost(domain); !ok || host != domain || net.ParseIP(domain) != nil {
		return fault.New(fault.Config, "--base-domain must be a domain in lower case, such as example.com: tenants are reached below it, as acme.example.com.")
	}
	s.baseDomain = domain
	return nil
}

// readMeant reads which tenant a request means. Only its target and the two headers
// count: X-Forwarded-Host and Forwarded are written by anybody.
//
// Errors: fault.BadRequest for a host that is none and for two values of a header.
func (s *Service) readMeant(r *http.Request) (meant, error) {
	var m meant
	named := r.Header.Values(tenantHeader)
	if len(named) > 1 {
		return m, fault.New(fault.BadRequest, "The header X-Tenant-ID stands there more than once. Send it once, or leave it out: the access token says the tenant.")
	}
	if len(named) == 1 {
		m.header = named[0]
	}
	host, ok := readHost(r.Host) // of the target where that is a whole URL: RFC 9112, section 3.2.2
	if !ok || r.URL.User != nil {
		return m, fault.New(fault.BadRequest, "The Host of this request is not a host name.")
	}
	if slug, below := strings.CutSuffix(host, "."+s.baseDomain); below && s.baseDomain != "" && !control.Reserved(slug) {
		m.slug = slug // of no tenant, if it is no slug at all
	}
	return m, nil
}

// hostPattern holds what can stand in a name of the DNS, and nothing beyond ASCII:
// other letters come as xn--, which no slug has.
var hostPattern = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?$`)

// readHost gives the host of a Host field (RFC 9110, section 7.2) in lower case,
// without its port and the dot of the root: "" for an empty one, and the address
// alone for one in brackets.
func readHost(field string) (host string, ok bool) {
	host = field
	bracket := strings.LastIndexByte(field, ']')
	if colon := strings.LastIndexByte(field, ':'); colon > bracket {
		host = field[:colon]
		port := field[colon+1:]
		if _, err := strconv.ParseUint(port, 10, 16); port != "" && err != nil || host == "" {
			return "", false
		}
	}
	if bracket >= 0 {
		address := net.ParseIP(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
		return address.String(), host[0] == '[' && host[len(host)-1] == ']' && strings.Count(host, "]") == 1 && address != nil && address.To4() == nil
	}
	host = strings.TrimSuffix(host, ".")
	// Before it is lowered, which makes a k of the kelvin sign.
	return strings.ToLower(host), field == "" || len(host) <= 253 && hostPattern.MatchString(host)
}

// agrees holds what the request means against the tenant of a credential: its slug and
// its id, "" for one that is to come.
//
// Errors: fault.TenantMismatch, the same for a tenant of others and for none.
func agrees(ctx context.Context, slug, id string) error {
	m, _ := ctx.Value(meantKey{}).(meant)
	if m.slug != "" && m.slug != slug || m.header != "" && m.header != slug && m.header != id {
		return mismatch()
	}
	return nil
}

// chosen is the slug of the tenant to sign in to: that of the host name, or else what
// the client gave.
//
// Errors: fault.TenantMismatch where the two are not the same.
func chosen(ctx context.Context, given string) (string, error) {
	m, _ := ctx.Value(meantKey{}).(meant)
	switch {
	case m.slug == "":
		return given, nil
	case given != "" && given != m.slug:
		return "", mismatch()
	}
	return m.slug, nil
}

func mismatch() error {
	return fault.New(fault.TenantMismatch, "The host name or the X-Tenant-ID header means another tenant than the credential does. Sign in there, or ask at the address of the credential's tenant.")
}
