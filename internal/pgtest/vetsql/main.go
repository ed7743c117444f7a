// Command vetsql runs `sqlc vet` against a migrated database of its own: every
// query is prepared with the role and the search path it will meet.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/commonhold/commonhold/internal/pgtest"
)

func main() {
	if err := vet(); err != nil {
		fmt.Fprintln(os.Stderr, "vetsql:", err)
		os.Exit(1)
	}
}

func vet() error {
	url, stop, err := pgtest.Launch()
	if err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	defer stop()
	command := exec.CommandContext(context.Background(), "go", "tool", "sqlc", "vet")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.Env = append(os.Environ(),
		"SQLC_TENANT_URL="+url("commonhold_app"),
		"SQLC_ACCOUNT_URL="+url("commonhold_app"),
		"SQLC_CONTROL_URL="+url("commonhold_control"))
	return command.Run()
}
