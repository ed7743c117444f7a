package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"

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
	if err := postgres.Migrate(ctx, m.DatabaseURL, con.say); err != nil {
		return err
	}
	if !m.SetPasswords {
		return nil
	}
	for role, address := range map[string]string{"commonhold_app": m.AppURL, "commonhold_control": m.ControlURL} {
		u, err := url.Parse(address)
		password, set := "", false
		if err == nil && u.User != nil {
			password, set = u.User.Password()
		}
		if !set || u.User.Username() != role {
			return fault.New(fault.Config, "--set-passwords takes the password of %s from its URL: postgres://%s:PASSWORD@HOST:5432/DATABASE.", role, role)
		}
		if err := postgres.SetRolePassword(ctx, m.DatabaseURL, role, password); err != nil {
			return err
		}
		con.say("%s: password set", role)
	}
	return nil
}

func (m *migrateCmd) report(ctx context.Context, con console) error {
	sets, err := postgres.Status(ctx, m.DatabaseURL)
	if err != nil {
		return err
	}
	if m.JSON {
		return json.NewEncoder(con.out).Encode(sets)
	}
	w := tabwriter.NewWriter(con.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SET\tSCHEMA\tVERSION\tTARGET\tPENDING")
	for _, s := range sets {
		pending := "-"
		if len(s.Pending) > 0 {
			pending = strings.Join(s.Pending, ", ")
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", s.Set, s.Schema, s.Version, s.Target, pending)
	}
	return w.Flush()
}
