package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/willabides/kongplete"
	"golang.org/x/term"

	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/telemetry"
)

// cli is all configuration there is: every flag with its environment variable.
type cli struct {
	Dev     devCmd     `cmd:"" help:"Run everything on this machine: an embedded PostgreSQL, two demo tenants, the API and GraphiQL."`
	Serve   serveCmd   `cmd:"" help:"Run the API in production, on a migrated PostgreSQL."`
	Migrate migrateCmd `cmd:"" help:"Bring a database to the version of this binary."`
	Tenant  tenantCmd  `cmd:"" help:"Make, show, suspend and resume tenants."`
	Keys    keysCmd    `cmd:"" help:"Look after the keys that sign access tokens."`
	Demo    demoCmd    `cmd:"" help:"Fill a database with demo tenants of any number and size."`
	Doctor  doctorCmd  `cmd:"" help:"Check every wall between the tenants of a live database."`
	Version versionCmd `cmd:"" help:"Print the version."`
	Hash    hashCmd    `cmd:"" hidden:""`

	Completion completionCmd `cmd:"" help:"Print what makes a shell complete these commands and their flags."`
}

const description = `A GraphQL API over PostgreSQL in which every tenant has its own home behind shared walls.

Exit status: 0 done, or so already; 1 it failed, or was not confirmed; 2 the command line is wrong; 3 doctor found a broken wall.`

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitBroken = 3
)

// console is where a command talks to a person.
type console struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // whether err is one
	answers  bool // whether somebody is there who reads err and answers in in
	width    int  // of the terminal that out is, 0 where it is none
}

func (c console) say(format string, args ...any) { fmt.Fprintf(c.err, format+"\n", args...) }

// hushed is the text of an error that is not ours, which may quote what somebody
// typed, without the passwords in it.
func hushed(err error) string { return password.ReplaceAllString(err.Error(), "${1}${2}xxxxx") }

// password finds what stands between user and host of a URL, or is set by name.
var password = regexp.MustCompile(`(://[^\s:/@]*:)[^\s@]+|(password=)[^\s&"]+`)

// run executes a command line and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	con := console{in: os.Stdin, out: stdout, err: stderr, terminal: isTerminal(stderr), width: widthOf(stdout)}
	con.answers = con.terminal && isTerminal(os.Stdin)
	slog.SetDefault(telemetry.NewLogger(stderr, con.terminal, slog.LevelInfo))
	var c cli
	exited := -1
	parser, err := newParser(&c, kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }))
	if err != nil {
		con.say("commonhold: %v", err)
		return exitFailed
	}
	if os.Getenv("COMP_LINE") != "" { // a shell asks what could come next
		kongplete.Complete(parser)
		return max(exited, exitOK)
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		con.say("commonhold: %s\n  code: %s\n  Run `commonhold --help` for the commands and `commonhold COMMAND --help` for its flags.", hushed(err), fault.Usage)
		return exitUsage
	}
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(con); err != nil {
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			err = fault.New(fault.Canceled, "Interrupted before it was done. Running it again goes on from there.")
		}
		return con.fail(err)
	}
	return exitOK
}

func newParser(c *cli, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(c, append(options, kong.Name("commonhold"), kong.Description(description),
		kong.Vars{"data": dataDir()}, kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.ValueFormatter(explain))...)
}

// explain is the help of a flag with its default and its environment variable.
func explain(value *kong.Value) string {
	var notes []string
	if value.Default != "" {
		notes = append(notes, "default "+value.Default)
	}
	for _, env := range value.Tag.Envs {
		notes = append(notes, "$"+env)
	}
	if notes == nil {
		return value.Help
	}
	return value.Help + " (" + strings.Join(notes, "; ") + ")"
}

// fail shows an error once: what is wrong and what to do, its code, its cause.
func (c console) fail(err error) int {
	coded, ok := errors.AsType[*fault.Error](err)
	switch {
	case !ok:
		c.say("commonhold: %s\n  code: %s", hushed(err), fault.Internal)
		return exitFailed
	case coded.Cause != nil:
		c.say("commonhold: %s\n  code: %s\n  because: %s", coded.Message, coded.Code, hushed(coded.Cause))
	default:
		c.say("commonhold: %s\n  code: %s", coded.Message, coded.Code)
	}
	switch coded.Code {
	case fault.Usage:
		return exitUsage
	case fault.WallBroken:
		return exitBroken
	}
	return exitFailed
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// widthOf is how many characters a line of a terminal holds, 0 for what is none.
func widthOf(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return width
		}
	}
	return 0
}

// sure asks a person whether to go on. Where nobody is there to answer, --yes has said so.
//
// Errors: fault.Usage where it has not; fault.Canceled for any other answer than yes.
func (c console) sure(ctx context.Context, yes bool, question string, args ...any) error {
	if yes {
		return nil
	}
	if !c.answers {
		return fault.New(fault.Usage, "This asks first, and nobody is at a terminal to answer: give --yes.")
	}
	fmt.Fprintf(c.err, question+" [y/N] ", args...)
	answer := make(chan string, 1)
	go func() { // an interrupt ends the wait, and the process takes this along
		line, _ := bufio.NewReader(c.in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		c.say("")
	case said := <-answer:
		if said == "y" || said == "yes" {
			return nil
		}
	}
	return fault.New(fault.Canceled, "Nothing was changed.")
}

// dataDir is where a user's data belongs on this platform.
func dataDir() string {
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "commonhold")
	}
	if runtime.GOOS == "linux" && os.Geteuid() == 0 {
		return "/var/lib/commonhold" // the server runs as another user, who cannot enter /root
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ".commonhold"
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "commonhold")
	}
	return filepath.Join(home, ".local", "share", "commonhold")
}

// version is what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "development"
	}
	return strings.TrimPrefix(info.Main.Version, "v")
}

type versionCmd struct{}

func (versionCmd) Run(con console) error {
	_, err := fmt.Fprintf(con.out, "commonhold %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
