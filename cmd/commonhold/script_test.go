package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/demo"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/postgres"
)

// What every command answers to what it cannot do, and what migrate does. The
// scripts have these commands more:
//
//	exits N COMMAND…   run a command and expect its exit status
//	database [migrated] a database of its own: $ADMIN, $APP and $CONTROL reach it
//	sql DSN STATEMENT  run a statement
//	demo               seed the demo tenants into $APP and $CONTROL
//	busy NAME          listen on a port and put its address in $NAME
//	key FILE           write a key-encryption key
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Deadline:            time.Now().Add(patience), // for a server that should have refused to start
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			if dir := os.Getenv("COMMONHOLD_POSTGRES_BIN"); dir != "" {
				env.Setenv("COMMONHOLD_POSTGRES_BIN", dir)
			}
			env.Setenv("XDG_DATA_HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    scriptExits,
			"database": scriptDatabase,
			"sql": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(sql(args[0], args[1]))
			},
			"demo": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Check(seedDemo(ts.Getenv("APP"), ts.Getenv("CONTROL")))
			},
			"busy": func(ts *testscript.TestScript, _ bool, args []string) {
				listener, err := net.Listen("tcp", "127.0.0.1:0")
				ts.Check(err)
				ts.Defer(func() { listener.Close() })
				ts.Setenv(args[0], listener.Addr().String())
			},
			"key": func(ts *testscript.TestScript, _ bool, args []string) {
				_, text, err := keyring.New()
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
			},
		},
	})
}

// seedDemo makes the demo accounts, with hashes that are quick to make.
func seedDemo(app, control string) error {
	ctx := context.Background()
	db, registry, err := connect(ctx, postgres.Config{AppURL: app, ControlURL: control, MaxConns: 2})
	if err != nil {
		return err
	}
	defer db.Close()
	key, err := auth.NewSigningKey()
	if err != nil {
		return err
	}
	tokens, err := auth.NewTokens("http://tests.example", "commonhold", 0, nil, key)
	if err != nil {
		return err
	}
	ring, _, err := keyring.New()
	if err != nil {
		return err
	}
	return demo.Seed(ctx, db, registry, auth.NewService(db, registry, tokens, auth.NewPasswords(auth.TestPasswordParams()), ring))
}

func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if said := ts.ReadFile("stderr"); strings.Contains(said, "goroutine ") {
		ts.Fatalf("it panicked: %s", said)
	}
	if code != want {
		ts.Fatalf("exit status %d, expected %d: %s", code, want, ts.ReadFile("stderr"))
	}
}

func scriptDatabase(ts *testscript.TestScript, _ bool, args []string) {
	dsn, err := newDatabase()
	ts.Check(err)
	ts.Setenv("ADMIN", dsn("postgres"))
	ts.Setenv("APP", dsn("commonhold_app"))
	ts.Setenv("CONTROL", dsn("commonhold_control"))
	if len(args) > 0 {
		ts.Check(postgres.Migrate(context.Background(), dsn("postgres"), nil))
	}
}
