package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/commonhold/commonhold/graph"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/demo"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/server"
	"github.com/commonhold/commonhold/sqlc/controlsql"
)

type serveCmd struct {
	Addr          string        `help:"Address to listen on." default:"127.0.0.1:8080" placeholder:"HOST:PORT" env:"COMMONHOLD_ADDR"`
	AppURL        string        `help:"Database URL that logs in as commonhold_app." placeholder:"URL" env:"COMMONHOLD_APP_URL"`
	ControlURL    string        `help:"Database URL that logs in as commonhold_control." placeholder:"URL" env:"COMMONHOLD_CONTROL_URL"`
	ListenURL     string        `help:"Database URL of the control database past any pooler, to hear there what other servers change. Without it: --control-url." placeholder:"URL" env:"COMMONHOLD_LISTEN_URL"`
	KeyFile       string        `help:"File with the key that encrypts the secrets in the database, 32 random bytes in base64: openssl rand -base64 32. A further line holds an older key that still opens them." name:"key-encryption-key" type:"path" placeholder:"FILE" env:"COMMONHOLD_KEY_ENCRYPTION_KEY"`
	KeyRotation   time.Duration `help:"How long a key signs access tokens before the next one takes over." default:"720h" placeholder:"DURATION" env:"COMMONHOLD_KEY_ROTATION"`
	PublicURL     string        `help:"Where clients reach this API; the issuer of its tokens." placeholder:"URL" env:"COMMONHOLD_PUBLIC_URL"`
	BaseDomain    string        `help:"Domain below which each tenant has its host name: example.com makes it acme.example.com." placeholder:"DOMAIN" env:"COMMONHOLD_BASE_DOMAIN"`
	Origin        []string      `help:"Origin of a browser application that may call, such as https://app.example.com. Repeatable." placeholder:"ORIGIN" env:"COMMONHOLD_ORIGINS"`
	TrustedProxy  []string      `help:"Network of a proxy in front, such as 10.0.0.0/8, whose X-Forwarded-For is believed: where failed sign-ins come from. Repeatable." placeholder:"NETWORK" env:"COMMONHOLD_TRUSTED_PROXIES"`
	MaxConns      int32         `help:"Connections in each pool; 0: four for every core." default:"0" env:"COMMONHOLD_MAX_CONNS"`
	Introspection bool          `help:"Answer introspection, and suggest names in errors." env:"COMMONHOLD_INTROSPECTION"`
	Trusted       string        `help:"Answer only the documents in this file, as the client preset of graphql-codegen writes it." name:"trusted-documents" type:"path" placeholder:"FILE" env:"COMMONHOLD_TRUSTED_DOCUMENTS"`
	outgoing      `embed:""`
	Playground    bool `help:"Serve GraphiQL at / and /playground; it needs --introspection to complete names." env:"COMMONHOLD_PLAYGROUND"`
}

func (s *serveCmd) Run(ctx context.Context, con console) error {
	if err := s.complete(); err != nil {
		return err
	}
	ring, err := readKeyring(s.KeyFile)
	if err != nil {
		return err
	}
	smtp, err := s.smtp()
	if err != nil {
		return err
	}
	trusted, err := s.trusted()
	if err != nil {
		return err
	}
	listener, err := listen(ctx, s.Addr)
	if err != nil {
		return err
	}
	defer listener.Close() //nolint:errcheck // closed by the server before
	db, registry, err := connect(ctx, postgres.Config{AppURL: s.AppURL, ControlURL: s.ControlURL, ListenURL: s.ListenURL, MaxConns: s.MaxConns})
	if err != nil {
		return err
	}
	defer db.Close()
	passwords := newPasswords()
	if err := s.noDemo(ctx, db, passwords); err != nil {
		return err
	}
	keys, err := auth.OpenKeys(ctx, db, ring, s.KeyRotation)
	if err != nil {
		return err
	}
	tokens, err := keys.Tokens(s.PublicURL, "commonhold")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go keys.Keep(ctx)
	people := auth.NewService(db, registry, tokens, passwords, ring)
	if err := people.SetBaseDomain(s.BaseDomain); err != nil {
		return err
	}
	if err := people.SetTrustedProxies(s.TrustedProxy); err != nil {
		return err
	}
	stop, err := sendMail(ctx, db, ring, s.PublicURL, s.MailFrom, smtp.Deliver)
	if err != nil {
		return err
	}
	defer stop()
	con.say("ready http://%s", listener.Addr())
	return server.Run(ctx, listener, server.New(server.Config{
		DB: db, Resolver: &graph.Resolver{DB: db, Auth: people}, Limits: server.DefaultLimits(), Trusted: trusted,
		Introspection: s.Introspection, Playground: s.Playground, Origins: s.Origin, Version: version(),
	}))
}

// complete names everything that is missing at once.
func (s *serveCmd) complete() error {
	var missing []string
	for _, setting := range []struct{ flag, env, value string }{
		{"--app-url", "COMMONHOLD_APP_URL", s.AppURL},
		{"--control-url", "COMMONHOLD_CONTROL_URL", s.ControlURL},
		{"--key-encryption-key", "COMMONHOLD_KEY_ENCRYPTION_KEY", s.KeyFile},
		{"--public-url", "COMMONHOLD_PUBLIC_URL", s.PublicURL},
		{"--smtp-url", "COMMONHOLD_SMTP_URL", s.SMTPURL},
		{"--mail-from", "COMMONHOLD_MAIL_FROM", s.MailFrom},
	} {
		if setting.value == "" {
			missing = append(missing, fmt.Sprintf("\n  %-20s or %s", setting.flag, setting.env))
		}
	}
	if missing != nil {
		return fault.New(fault.Config, "serve needs a few settings more (`commonhold serve --help` says what they are; `commonhold dev` needs none):%s", strings.Join(missing, ""))
	}
	if u, err := url.Parse(s.PublicURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fault.New(fault.Config, "--public-url must be a URL such as https://api.example.com.")
	}
	return nil
}

// trusted reads the documents that alone are answered, nil for every one.
func (s *serveCmd) trusted() (server.Trusted, error) {
	if s.Trusted == "" {
		return nil, nil //nolint:nilnil // every document
	}
	if s.Playground {
		return nil, fault.New(fault.Config, "--trusted-documents refuses what GraphiQL sends. Take --playground or --trusted-documents away.")
	}
	text, err := os.ReadFile(s.Trusted)
	if err != nil {
		return nil, fault.New(fault.Config, "The trusted documents %s cannot be read.", s.Trusted).Because(err)
	}
	return server.ReadTrusted(text, server.DefaultLimits())
}

// noDemo refuses to show accounts with a known password to a network.
func (s *serveCmd) noDemo(ctx context.Context, db *postgres.DB, passwords *auth.Passwords) error {
	public, _ := url.Parse(s.PublicURL) // complete has read it
	if loopbackOnly(s.Addr) == nil && loopbackOnly(net.JoinHostPort(public.Hostname(), "0")) == nil {
		return nil
	}
	var emails []string
	for _, a := range demo.Accounts() {
		emails = append(emails, a.Email)
	}
	found, err := db.Control().ListDemoAccounts(ctx, controlsql.ListDemoAccountsParams{Emails: emails})
	if err != nil {
		return err
	}
	for _, account := range found {
		// The address alone proves nothing: anybody can register it.
		known, err := passwords.Verify(ctx, demo.Password, account.PasswordHash)
		if err != nil {
			return err
		}
		if known {
			return fault.New(fault.Config, "This database holds demo accounts, whose password everybody knows, and others can reach %s or %s. Use a database of its own, or addresses of this machine alone.", s.Addr, s.PublicURL)
		}
	}
	return nil
}
