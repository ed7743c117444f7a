package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/embeddedpg"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/postgres"
)

// local says where the database of a development machine is. Commands that share it
// meet at the same embedded server: the second one attaches to the first one's.
type local struct {
	Data        string `help:"Directory of the embedded PostgreSQL and the keys." default:"${data}" type:"path" placeholder:"DIR" env:"COMMONHOLD_DATA"`
	PostgresBin string `help:"Directory with initdb and postgres. Without it they are searched for." type:"path" placeholder:"DIR" env:"COMMONHOLD_POSTGRES_BIN"`
	DatabaseURL string `help:"Use this PostgreSQL, as a superuser, instead of the embedded one." placeholder:"URL" env:"DATABASE_URL"`
}

// databaseName is the database on the embedded server.
const databaseName = "commonhold"

// urls are the three ways into one database.
type urls struct {
	admin, app, control string
	where               string          // for people
	stop                func()          // ends the embedded server if we started it
	done                <-chan struct{} // closed if it ended by itself; nil otherwise
}

// open starts the embedded server, or prepares the given one, and migrates.
func (l local) open(ctx context.Context, con console) (*urls, error) {
	// Others may pass through, as the server's own user must when we are root; what
	// is inside is closed to them.
	if err := errors.Join(os.MkdirAll(l.Data, 0o711), os.Chmod(l.Data, 0o711)); err != nil { //nolint:gosec // see above
		return nil, fault.New(fault.DataDirectory, "The data directory %s cannot be made. Choose another with --data.", l.Data).Because(err)
	}
	if l.DatabaseURL != "" {
		return l.given(ctx, con)
	}
	pg, err := embeddedpg.Start(ctx, embeddedpg.Options{Dir: filepath.Join(l.Data, "postgres"), BinDir: l.PostgresBin, Logf: con.say})
	if err != nil {
		return nil, err
	}
	u := &urls{
		admin: pg.DSN("postgres", databaseName), app: pg.DSN("commonhold_app", databaseName), control: pg.DSN("commonhold_control", databaseName),
		where: "psql -h " + quoted(pg.SocketDir()) + " -U postgres " + databaseName,
		stop:  func() { _ = pg.Stop(context.WithoutCancel(ctx)) },
	}
	if !pg.Attached() {
		u.done = pg.Done()
	}
	if err := postgres.CreateDatabase(ctx, pg.DSN("postgres", "postgres"), databaseName); err != nil {
		u.stop()
		return nil, err
	}
	if err := postgres.Migrate(ctx, u.admin, nil); err != nil {
		u.stop()
		return nil, err
	}
	return u, nil
}

func quoted(s string) string { return "'" + s + "'" }

// given prepares a server that is not ours. Its roles get passwords that only this
// data directory knows, unless somebody else gave them others.
func (l local) given(ctx context.Context, con console) (*urls, error) {
	base, err := url.Parse(l.DatabaseURL)
	if err != nil || base.Scheme != "postgres" && base.Scheme != "postgresql" {
		return nil, fault.New(fault.Config, "DATABASE_URL should look like postgres://USER:PASSWORD@HOST:5432/DATABASE.")
	}
	con.say("migrating %s", base.Redacted())
	if err := postgres.Migrate(ctx, l.DatabaseURL, nil); err != nil {
		return nil, err
	}
	passwords, fresh, err := l.passwords()
	if err != nil {
		return nil, err
	}
	as := func(role string) string {
		u := *base
		u.User = url.UserPassword(role, passwords[role])
		return u.String()
	}
	u := &urls{admin: l.DatabaseURL, app: as("commonhold_app"), control: as("commonhold_control"), where: base.Redacted(), stop: func() {}}
	for _, role := range []string{"commonhold_app", "commonhold_control"} {
		held, err := postgres.HasPassword(ctx, l.DatabaseURL, role)
		if err != nil {
			return nil, err
		}
		if held && !fresh {
			continue
		}
		if held {
			return nil, fault.New(fault.Config, "The role %s on this server has a password already, made by another installation. Use the data directory it was made with (--data), or `commonhold serve` with --app-url and --control-url.", role)
		}
		if err := postgres.SetRolePassword(ctx, l.DatabaseURL, role, passwords[role]); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// passwords reads or makes the passwords of the login roles.
func (l local) passwords() (passwords map[string]string, fresh bool, err error) {
	file := filepath.Join(l.Data, "roles.json")
	text, err := os.ReadFile(file)
	switch {
	case err == nil:
		if err := json.Unmarshal(text, &passwords); err != nil {
			return nil, false, fault.New(fault.DataDirectory, "%s is damaged. Delete it, and set the roles' passwords anew.", file)
		}
		return passwords, false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, false, fault.New(fault.DataDirectory, "%s cannot be read.", file).Because(err)
	}
	passwords = map[string]string{"commonhold_app": rand.Text(), "commonhold_control": rand.Text()}
	if text, err = json.Marshal(passwords); err != nil {
		return nil, false, err
	}
	return passwords, true, writeSecret(file, text)
}

// writeSecret writes a file that only its owner reads, whole or not at all.
func writeSecret(file string, text []byte) error {
	temporary := file + ".new"
	err := os.WriteFile(temporary, text, 0o600)
	if err == nil {
		err = os.Rename(temporary, file)
	}
	if err != nil {
		return fault.New(fault.DataDirectory, "%s cannot be written.", file).Because(err)
	}
	return nil
}

// connect opens the pools and refuses a database this binary does not serve.
func connect(ctx context.Context, appURL, controlURL string, maxConns int32) (*postgres.DB, *control.Registry, error) {
	db, err := postgres.Open(ctx, postgres.Config{AppURL: appURL, ControlURL: controlURL, MaxConns: maxConns})
	if err != nil {
		return nil, nil, err
	}
	if err := db.CheckVersions(ctx); err != nil {
		db.Close()
		return nil, nil, err
	}
	return db, control.NewRegistry(db), nil
}
