package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/commonhold/commonhold/graph"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/demo"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/job"
	"github.com/commonhold/commonhold/internal/postgres"
	"github.com/commonhold/commonhold/internal/server"
	"github.com/commonhold/commonhold/web/graphiql"
	"github.com/commonhold/commonhold/web/mailbox"
)

type devCmd struct {
	Addr      string `help:"Address to listen on; port 0 takes a free one." default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	Ephemeral bool   `help:"Keep nothing: a new database in a temporary directory, gone at the end."`
	local     `embed:""`
}

func (d *devCmd) Run(ctx context.Context, con console) error {
	if err := loopbackOnly(d.Addr); err != nil {
		return err
	}
	if d.Ephemeral && d.DatabaseURL != "" {
		return fault.New(fault.Usage, "--ephemeral makes a database of its own, and --database-url or DATABASE_URL names another. Take one of the two away.")
	}
	if d.Ephemeral {
		dir, err := os.MkdirTemp("", "commonhold")
		if err != nil {
			return fault.New(fault.DataDirectory, "There is no room for a temporary directory.").Because(err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // best effort at the end
		d.Data = dir
	}
	listener, err := listen(ctx, d.Addr)
	if err != nil {
		return err
	}
	defer listener.Close() //nolint:errcheck // closed by the server before
	u, err := d.open(ctx, con)
	if err != nil {
		return err
	}
	defer u.stop()
	db, registry, err := connect(ctx, postgres.Config{AppURL: u.app, ControlURL: u.control})
	if fault.Is(err, fault.WallBroken) && d.DatabaseURL == "" && !d.Ephemeral {
		con.say("A migration that ran once is not run again. If you are still writing it: %s, and start again.", d.reset())
	}
	if err != nil {
		return err
	}
	defer db.Close()
	ring, err := d.keyring()
	if err != nil {
		return err
	}
	keys, err := auth.OpenKeys(ctx, db, ring, 0)
	if err != nil {
		return err
	}
	tokens, err := keys.Tokens("http://commonhold.localhost", "commonhold")
	if err != nil {
		return err
	}
	people := auth.NewService(db, registry, tokens, newPasswords(), ring)
	if err := people.SetBaseDomain("localhost"); err != nil {
		return err
	}
	people.SelfConfirming()
	if err := seed(ctx, db, registry, people); err != nil {
		return err
	}
	box, err := job.OpenMailbox(filepath.Join(d.Data, "mail"))
	if err != nil {
		return fault.New(fault.DataDirectory, "%s cannot be used for mails.", filepath.Join(d.Data, "mail")).Because(err)
	}
	stop, err := sendMail(ctx, db, ring, "http://"+listener.Addr().String(), "Commonhold <commonhold@localhost>", box.Deliver)
	if err != nil {
		return err
	}
	defer stop()
	debug.FreeOSMemory() // hashing the demo passwords took 19 MiB each
	handler := server.New(server.Config{
		DB: db, Resolver: &graph.Resolver{DB: db, Auth: people}, Limits: server.DefaultLimits(),
		Introspection: true, Playground: true, Localhost: true, Accounts: accounts(), Mailbox: box, Version: version(),
	})
	served := make(chan error, 1)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go keys.Keep(ctx)
	go func() { served <- server.Run(ctx, listener, handler) }()
	if u.done != nil {
		go func() {
			select {
			case <-u.done:
				cancel(fault.New(fault.DatabaseDown, "The embedded PostgreSQL ended. Its log is in %s.", filepath.Join(d.Data, "postgres")))
			case <-ctx.Done():
			}
		}()
	}
	d.screen(con, listener.Addr().String(), u)
	err = <-served
	if cause, ok := errors.AsType[*fault.Error](context.Cause(ctx)); ok {
		return cause
	}
	return err
}

// seed makes what the demo tenants lack. A second process on the same database may
// be making it too: whoever comes second looks again.
func seed(ctx context.Context, db *postgres.DB, registry *control.Registry, people *auth.Service) (err error) {
	for range 2 * len(demo.Accounts()) {
		if err = demo.Seed(ctx, db, registry, people); !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.Taken) {
			break
		}
	}
	return err
}

// screen tells all that somebody needs who starts for the first time.
func (d *devCmd) screen(con console, addr string, u *urls) {
	origin := "http://" + addr
	var s strings.Builder
	fmt.Fprintf(&s, "\nCommonhold %s\n\n", version())
	fmt.Fprintf(&s, "  GraphiQL   %s\n  GraphQL    %s/graphql\n  Mail       %s%s\n\n", origin, origin, origin, mailbox.Path)
	fmt.Fprintf(&s, "  %-8s %s\n", "Tenant", "Accounts, all with the password "+demo.Password)
	for _, a := range demo.Accounts() {
		name := ""
		if a.Role == auth.RoleOwner {
			name = a.Tenant
		}
		fmt.Fprintf(&s, "  %-8s %s\n", name, a.Email)
	}
	fmt.Fprintf(&s, "\nTry it:\n  %s\n\n", curl(origin))
	fmt.Fprintf(&s, "  Database   %s\n", u.where)
	switch {
	case d.Ephemeral:
		fmt.Fprintf(&s, "  Data       %s, gone when this ends\n", d.Data)
	case d.DatabaseURL != "":
		fmt.Fprintf(&s, "  Keys       %s\n  Reset      stop this, drop the database and create it again; keep the keys\n", d.Data)
	default: // by name: the directory may hold what is not ours
		fmt.Fprintf(&s, "  Data       %s\n  Reset      stop this, then: %s\n", d.Data, d.reset())
	}
	fmt.Fprintf(&s, "  Stop       Ctrl-C\n\nready %s\n", origin)
	_, _ = fmt.Fprint(con.out, s.String())
}

// reset is what a shell makes a fresh data directory with.
func (d *devCmd) reset() string {
	return fmt.Sprintf("rm -rf %s %s %s", quoted(filepath.Join(d.Data, "postgres")), quoted(d.keyFile()), quoted(filepath.Join(d.Data, "mail")))
}

// curl is a line that signs in when it is pasted.
func curl(origin string) string {
	owner := demo.Accounts()[0]
	query := fmt.Sprintf(`mutation { signIn(input: {tenant: %q, email: %q, password: %q}) { session { accessToken expiresAt } userErrors { message code } } }`, owner.Tenant, owner.Email, demo.Password)
	body, _ := json.Marshal(map[string]string{"query": query})
	return fmt.Sprintf("curl -s %s/graphql -H 'Content-Type: application/json' -d %s", origin, quoted(string(body)))
}

func accounts() []graphiql.Account {
	var all []graphiql.Account
	for _, a := range demo.Accounts() {
		role := string(a.Role)
		all = append(all, graphiql.Account{Tenant: a.Tenant, TenantName: a.TenantName, Email: a.Email, Role: role[:1] + strings.ToLower(role[1:]), Password: demo.Password})
	}
	return all
}

// loopbackOnly refuses an address that others can reach: the demo passwords are
// known to everybody.
func loopbackOnly(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fault.New(fault.Usage, "--addr must be HOST:PORT, such as 127.0.0.1:8080.")
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fault.New(fault.Usage, "This address can be reached by others, and the demo accounts have a password that everybody knows. Use 127.0.0.1, or `commonhold serve` on a database without demo accounts.")
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fault.New(fault.AddressInUse, "Something else listens on %s. Stop it, or choose another address: --addr 127.0.0.1:0 takes a free port.", addr)
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "Cannot listen on %s. Choose another address with --addr.", addr).Because(err)
	}
	return listener, nil
}
