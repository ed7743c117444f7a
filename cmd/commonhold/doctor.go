package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/commonhold/commonhold/internal/embeddedpg"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/isolation"
)

type doctorCmd struct {
	JSON  bool `help:"JSON for scripts."`
	local `embed:""`
}

func (d *doctorCmd) Run(ctx context.Context, con console) error {
	address := d.DatabaseURL
	if address == "" {
		pg, err := embeddedpg.Start(ctx, embeddedpg.Options{Dir: filepath.Join(d.Data, "postgres"), BinDir: d.PostgresBin, Logf: con.say})
		if err != nil {
			return err
		}
		defer pg.Stop(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
		address = pg.DSN("postgres", databaseName)
	}
	report, err := isolation.Doctor(ctx, address)
	if err != nil {
		return err
	}
	if d.JSON {
		if err := json.NewEncoder(con.out).Encode(report); err != nil {
			return err
		}
	} else {
		d.print(con, report)
	}
	if report.Broken() {
		return fault.New(fault.WallBroken, "A wall between tenants is broken. Mend it before this database serves anybody.")
	}
	return nil
}

func (d *doctorCmd) print(con console, r *isolation.Report) {
	fmt.Fprintf(con.out, "database   %s on PostgreSQL %s\nhardening  %s\n", r.Database, r.Server, r.Hardening)
	for _, missing := range r.Missing {
		fmt.Fprintf(con.out, "           missing: %s\n", missing)
	}
	if len(r.Findings) == 0 {
		fmt.Fprintln(con.out, "walls      every check passed")
	}
	for _, f := range r.Findings {
		fmt.Fprintf(con.out, "\n%-7s  %s: %s\n         %s\n         do: %s\n", f.Severity, f.Check, f.Object, f.Message, f.Advice)
	}
}
