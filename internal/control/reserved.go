package control

import "slices"

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
