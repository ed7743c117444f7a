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
	"strings"
	"syscall"

	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/embeddedpg"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/isolation"
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

// prepare makes the data directory, or sees that the one there can hold secrets.
func (l local) prepare() error {
	// Others may pass through, as the server's own user must when we are root; what
	// is inside is closed to them.
	if err := os.MkdirAll(l.Data, 0o711); err != nil { //nolint:gosec // see above
		return fault.New(fault.DataDirectory, "The data directory %s cannot be made. Choose another with --data.", l.Data).Because(err)
	}
	info, err := os.Stat(l.Data)
	if err != nil {
		return fault.New(fault.DataDirectory, "The data directory %s cannot be used. Choose another with --data.", l.Data).Because(err)
	}
	// Who else can write here could put a link where a secret is to be written.
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fault.New(fault.DataDirectory, "The data directory %s belongs to somebody else, or others can write to it. Choose another with --data; it is made if it is not there.", l.Data)
	}
	if os.Geteuid() != 0 || info.Mode().Perm()&0o011 == 0o011 {
		return nil
	}
	if err := os.Chmod(l.Data, info.Mode()|0o011); err != nil {
		return fault.New(fault.DataDirectory, "The data directory %s cannot be opened to the server's user. Choose another with --data.", l.Data).Because(err)
	}
	return nil
}

// open starts the embedded server, or prepares the given one, and migrates.
func (l local) open(ctx context.Context, con console) (*urls, error) {
	if err := l.prepare(); err != nil {
		return nil, err
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

// quoted is s as one word of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// loginRoles are the roles a server logs in as.
var loginRoles = []string{"commonhold_app", "commonhold_control"}

// given prepares a server that is not ours. Its roles get passwords that only this
// data directory knows, unless somebody else gave them others.
//
// The passwords are on disk before the server hears of them, so a start that was
// cut off in between is finished by the next one; and they are not put on disk
// for roles that have others, or the next start would take them for its own.
func (l local) given(ctx context.Context, con console) (*urls, error) {
	base, err := url.Parse(l.DatabaseURL)
	if err != nil || base.Scheme != "postgres" && base.Scheme != "postgresql" || strings.Contains(base.Path, "@") {
		return nil, fault.New(fault.Config, "DATABASE_URL should look like postgres://USER:PASSWORD@HOST:5432/DATABASE.")
	}
	where := shown(base)
	con.say("migrating %s", where)
	if err := postgres.Migrate(ctx, l.DatabaseURL, nil); err != nil {
		return nil, err
	}
	without := make(map[string]bool) // a password
	for _, role := range loginRoles {
		held, err := postgres.HasPassword(ctx, l.DatabaseURL, role)
		if err != nil {
			return nil, err
		}
		without[role] = !held
	}
	passwords, err := l.passwords(without)
	if err != nil {
		return nil, err
	}
	for _, role := range loginRoles {
		if !without[role] {
			continue
		}
		if err := postgres.SetRolePassword(ctx, l.DatabaseURL, role, passwords[role]); err != nil {
			// Another process of this directory may be setting the same one.
			if held, _ := postgres.HasPassword(ctx, l.DatabaseURL, role); !held {
				return nil, err
			}
		}
	}
	as := func(role string) string {
		u := *base
		u.User = url.UserPassword(role, passwords[role])
		query := u.Query() // its settings stand above what the URL says before
		for _, setting := range []string{"user", "password", "passfile"} {
			query.Del(setting)
		}
		u.RawQuery = query.Encode()
		return u.String()
	}
	return &urls{admin: l.DatabaseURL, app: as("commonhold_app"), control: as("commonhold_control"), where: where, stop: func() {}}, nil
}

// shown is a database URL for people: no password, wherever it stands.
func shown(u *url.URL) string {
	s := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if u.User != nil {
		s.User = url.User(u.User.Username())
	}
	return s.String()
}

// passwords reads the passwords of the login roles, or makes them where every role
// is still without one.
func (l local) passwords(without map[string]bool) (map[string]string, error) {
	file := filepath.Join(l.Data, "roles.json")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		fresh := make(map[string]string)
		for _, role := range loginRoles {
			if !without[role] {
				return nil, fault.New(fault.Config, "The role %s on this server has a password already, made by another installation. Use the data directory it was made with (--data), or `commonhold serve` with --app-url and --control-url. If nothing else uses the role, `alter role %s password null` lets this one make a new password.", role, role)
			}
			fresh[role] = rand.Text()
		}
		if text, err = json.Marshal(fresh); err != nil {
			return nil, err
		}
		text, err = keepSecret(file, text)
	}
	if err != nil {
		return nil, fault.New(fault.DataDirectory, "%s cannot be read or written.", file).Because(err)
	}
	var passwords map[string]string
	err = json.Unmarshal(text, &passwords)
	for _, role := range loginRoles {
		if err != nil || passwords[role] == "" {
			return nil, fault.New(fault.DataDirectory, "%s is damaged. Delete it, take the passwords away on the server (`alter role commonhold_app password null`, the same for commonhold_control), and start again.", file)
		}
	}
	return passwords, nil
}

// keepSecret writes a file that only its owner reads, whole or not at all. Where
// another process was first, that one's file stays; the answer is what the file
// holds now.
func keepSecret(file string, text []byte) ([]byte, error) {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".new") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // best effort
	_, err = f.Write(text)
	// On the disk before it has its name, or a power cut leaves an empty file there.
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(file)
}

// connect opens the pools and refuses a database that this binary does not serve, or
// whose walls are broken.
func connect(ctx context.Context, c postgres.Config) (*postgres.DB, *control.Registry, error) {
	db, err := postgres.Open(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	err = db.CheckVersions(ctx)
	if err == nil {
		err = isolation.Guard(ctx, c.AppURL)
	}
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return db, control.NewRegistry(db), nil
}
