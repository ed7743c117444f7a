package main

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/postgres"
)

type migrateCmd struct {
	DatabaseURL  string `help:"Database to migrate: as a superuser the first time, later as commonhold_migrator." required:"" placeholder:"URL" env:"DATABASE_URL"`
	Status       bool   `help:"Only show how far the database is." xor:"mode"`
	DryRun       bool   `help:"Only show what would be applied." xor:"mode"`
	SetPasswords bool   `help:"Give commonhold_app and commonhold_control the passwords that are in --app-url and --control-url."`
	AppURL       string `help:"Database URL that serve will use for commonhold_app." placeholder:"URL" env:"COMMONHOLD_APP_URL"`
	ControlURL   string `help:"Database URL that serve will use for commonhold_control." placeholder:"URL" env:"COMMONHOLD_CONTROL_URL"`
	JSON         bool   `help:"With --status and --dry-run: JSON for scripts."`
}

func (m *migrateCmd) Run(ctx context.Context, con console) error {
	if m.Status || m.DryRun {
		return m.report(ctx, con)
	}
	if m.JSON {
		return fault.New(fault.Usage, "--json goes with --status or --dry-run.")
	}
	var passwords map[string]string
	if m.SetPasswords { // before anything changes
		var err error
		if passwords, err = m.passwords(); err != nil {
			return err
		}
	}
	if err := postgres.Migrate(ctx, m.DatabaseURL, con.say); err != nil {
		return err
	}
	for role, password := range passwords {
		if err := postgres.SetRolePassword(ctx, m.DatabaseURL, role, password); err != nil {
			return err
		}
		con.say("%s: password set", role)
	}
	return nil
}

// passwords takes the passwords of the login roles from their URLs.
func (m *migrateCmd) passwords() (map[string]string, error) {
	passwords := map[string]string{"commonhold_app": m.AppURL, "commonhold_control": m.ControlURL}
	for _, role := range loginRoles {
		u, err := url.Parse(passwords[role])
		if err == nil && u.User != nil && u.User.Username() == role {
			passwords[role], _ = u.User.Password()
		} else {
			passwords[role] = ""
		}
		if passwords[role] == "" {
			return nil, fault.New(fault.Config, "--set-passwords takes the password of %s from its URL: postgres://%s:PASSWORD@HOST:5432/DATABASE.", role, role)
		}
	}
	return passwords, nil
}

func (m *migrateCmd) report(ctx context.Context, con console) error {
	sets, err := postgres.Status(ctx, m.DatabaseURL)
	if err != nil {
		return err
	}
	if m.JSON {
		return json.NewEncoder(con.out).Encode(sets)
	}
	shown := table{con: con, columns: []column{{title: "SET"}, {title: "SCHEMA"}, {title: "VERSION"}, {title: "TARGET"}, {title: "PENDING", least: 12}}}
	rows := make([][]string, len(sets))
	for i, s := range sets {
		pending := "-"
		if len(s.Pending) > 0 {
			pending = strings.Join(s.Pending, ", ")
		}
		rows[i] = []string{s.Set, s.Schema, strconv.FormatInt(s.Version, 10), strconv.FormatInt(s.Target, 10), pending}
	}
	return shown.add(rows)
}
