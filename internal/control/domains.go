package control

import (
	"context"
	"slices"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

// reserved are the slugs that no tenant gets: under the base domain they are names of
// the service itself, or ones that people take for it.
var reserved = []string{
	"about", "abuse", "account", "accounts", "admin", "administrator", "api", "app", "assets", "auth", "autoconfig", "autodiscover", "billing", "blog",
	"cdn", "commonhold", "console", "control", "dashboard", "demo", "dev", "dns", "docs", "email", "example", "files", "ftp", "gate", "graphiql",
	"graphql", "healthz", "help", "host", "hostmaster", "images", "imap", "img", "info", "internal", "livez", "local", "localhost", "login", "logout",
	"mail", "media", "metrics", "monitor", "mta-sts", "news", "noc", "null", "oauth", "operator", "playground", "pop", "pop3", "postmaster", "private",
	"public", "readyz", "register", "root", "security", "server", "sftp", "shared", "signin", "signup", "sip", "smtp", "sso", "staging", "static",
	"status", "store", "support", "system", "tenant", "tenants", "test", "undefined", "webhook", "webhooks", "webmail", "webmaster", "wpad", "www",
}

// Reserved tells whether a slug is kept for the service. Tenants that had it before
// keep it, but no host name under the base domain leads to them.
func Reserved(slug string) bool {
	_, found := slices.BinarySearch(reserved, slug)
	return found
}

// ByHost finds the tenant that a host name of its own leads to. host is in lower
// case, without port and trailing dot.
//
// Errors: fault.NotFound.
func (r *Registry) ByHost(ctx context.Context, host string) (*tenant.Tenant, error) {
	return r.named(ctx, name{host: host})
}

// AddDomain lets a host name lead to a tenant. Whether the name is theirs the caller
// has seen to.
//
// Errors, at host: fault.Invalid for what is no host name in lower case; fault.Taken.
func (r *Registry) AddDomain(ctx context.Context, t tenant.ID, host string) error {
	err := r.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if err := q.CreateTenantDomain(ctx, controlsql.CreateTenantDomainParams{TenantID: t, Host: host}); err != nil {
			return err
		}
		return TellOfTenant(ctx, q, t)
	})
	switch postgres.Constraint(err) {
	case "tenant_domains_host_check":
		return fault.New(fault.Invalid, "This is no host name: letters in lower case, digits, hyphens and at least one dot, such as shop.example.com.").At("host")
	case "tenant_domains_host_key", "tenant_domains_pkey":
		return fault.New(fault.Taken, "This host name leads to a tenant already.").At("host")
	}
	return err
}

// RemoveDomain takes a host name from a tenant. One that it does not have is no error.
func (r *Registry) RemoveDomain(ctx context.Context, t tenant.ID, host string) error {
	return r.db.InControlTx(ctx, func(q *controlsql.Queries) error {
		if _, err := q.DeleteTenantDomain(ctx, controlsql.DeleteTenantDomainParams{TenantID: t, Host: host}); err != nil {
			return err
		}
		return TellOfTenant(ctx, q, t)
	})
}
