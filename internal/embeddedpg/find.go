//go:build linux || darwin

package embeddedpg

import (
	"context"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commonhold/commonhold/internal/fault"
)

// Find finds the binaries of a PostgreSQL server, in this order: the setting (a
// directory; nothing else is tried where it is given), PATH with symbolic links
// resolved, what pg_config says, the usual directories of packages with the
// newest major version first, the npm package in ./node_modules, the npm package
// in the user's cache. Versions older than [OldestMajor] are passed over.
//
// Errors: fault.PostgresNotFound, fault.PostgresTooOld where only older ones are
// here; both say what to do.
func Find(ctx context.Context, setting string) (Binaries, error) {
	return choose(ctx, setting, nil)
}

// choose is Find with a wish: the first binaries of the major version that
// stands first in wanted, then of the second, and only then any. That is how a
// cluster keeps its version when the machine gets a newer one.
func choose(ctx context.Context, setting string, wanted []int) (Binaries, error) {
	if setting != "" {
		return fromSetting(ctx, setting)
	}
	var found []Binaries
	tooOld := 0
	for b := range installed(ctx) {
		if b.Major < OldestMajor {
			tooOld = max(tooOld, b.Major)
			continue
		}
		found = append(found, b)
		if len(wanted) == 0 || b.Major == wanted[0] {
			return b, nil
		}
	}
	for _, major := range wanted {
		if i := slices.IndexFunc(found, func(b Binaries) bool { return b.Major == major }); i >= 0 {
			return found[i], nil
		}
	}
	switch {
	case len(found) > 0:
		return found[0], nil
	case ctx.Err() != nil:
		return Binaries{}, fmt.Errorf("look for PostgreSQL: %w", ctx.Err())
	case tooOld > 0:
		return Binaries{}, fault.New(fault.PostgresTooOld,
			"The PostgreSQL on this machine is version %d, and version %d or newer is needed. %s", tooOld, OldestMajor, howToGet())
	}
	return Binaries{}, fault.New(fault.PostgresNotFound, "No PostgreSQL was found on this machine. %s", howToGet())
}

func fromSetting(ctx context.Context, setting string) (Binaries, error) {
	dir, err := filepath.Abs(setting)
	if err != nil {
		return Binaries{}, fmt.Errorf("directory of PostgreSQL's programs: %w", err)
	}
	b, err := inspect(ctx, dir, "the setting")
	if err != nil {
		return Binaries{}, fault.New(fault.PostgresNotFound,
			"%s was set as the directory of PostgreSQL's programs, but they cannot be run from there. Name the directory that holds initdb and postgres (often …/bin), or leave the setting empty to search.", dir).Because(err)
	}
	if b.Major < OldestMajor {
		return Binaries{}, fault.New(fault.PostgresTooOld,
			"%s holds PostgreSQL %d, and version %d or newer is needed. Name the directory of a newer one, or leave the setting empty to search.", dir, b.Major, OldestMajor)
	}
	return b, nil
}

// installed walks the places of the search order that are not the setting.
func installed(ctx context.Context) iter.Seq[Binaries] {
	return func(yield func(Binaries) bool) {
		seen := map[string]bool{}
		try := func(dir, from string) bool {
			// The link is resolved on the program, not on the directory: in PATH it
			// is the programs that are links, and initdb needs its neighbours.
			if resolved, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres")); err == nil {
				dir = filepath.Dir(resolved)
			}
			if seen[dir] {
				return true
			}
			seen[dir] = true
			b, err := inspect(ctx, dir, from)
			return err != nil || yield(b)
		}
		for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
			if filepath.IsAbs(dir) && !try(dir, "PATH") { // never from the working directory
				return
			}
		}
		if dir, err := output(ctx, "pg_config", "--bindir"); err == nil && filepath.IsAbs(dir) {
			if !try(dir, "pg_config") {
				return
			}
		}
		for _, dir := range usualDirectories() {
			if !try(dir, "the usual directories") {
				return
			}
		}
		platform, ok := npmPlatform()
		if !ok {
			return
		}
		if here, err := os.Getwd(); err == nil {
			if b, err := inspectPackage(ctx, here, platform, "./node_modules"); err == nil && !yield(b) {
				return
			}
		}
		if cache, err := cacheDir(platform); err == nil {
			if b, err := inspectPackage(ctx, cache, platform, "the cache"); err == nil {
				yield(b)
			}
		}
	}
}

// usualDirectories are the places where packages put a server's programs, those
// that exist here, the newest major version first.
func usualDirectories() []string {
	patterns := []string{
		"/usr/lib/postgresql/*/bin",   // Debian, Ubuntu
		"/usr/pgsql-*/bin",            // the PostgreSQL project's packages for Red Hat's family
		"/usr/libexec/postgresql*",    // Alpine
		"/usr/lib/postgresql*/bin",    // SUSE
		"/usr/lib64/postgresql-*/bin", // Gentoo
		"/opt/postgresql*/bin",        //
		"/usr/local/pgsql/bin",        // built from source
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
	}
	if runtime.GOOS == "darwin" {
		patterns = []string{
			"/opt/homebrew/opt/postgresql@*/bin", // Homebrew on Apple silicon
			"/usr/local/opt/postgresql@*/bin",    // Homebrew on Intel
			"/Applications/Postgres.app/Contents/Versions/*/bin",
			"/Library/PostgreSQL/*/bin",      // EDB's installer
			"/opt/local/lib/postgresql*/bin", // MacPorts
			"/usr/local/pgsql/bin",
		}
	}
	var dirs []string
	for _, pattern := range patterns {
		matches, _ := filepath.Glob(pattern) // the only error is a malformed pattern
		dirs = append(dirs, matches...)
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return majorInPath(b) - majorInPath(a) })
	return dirs
}

var numberInPath = regexp.MustCompile(`[0-9]+`)

// majorInPath is the first number in the path: all the usual places carry the
// major version there. It only orders; inspect asks the program itself.
func majorInPath(dir string) int {
	n, _ := strconv.Atoi(numberInPath.FindString(strings.TrimPrefix(dir, "/usr/lib64")))
	return n
}

// inspect checks that the directory holds a server's programs and asks for their
// version. A client-only installation has no initdb.
func inspect(ctx context.Context, dir, from string) (Binaries, error) {
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return Binaries{}, err
	}
	for _, program := range []string{"initdb", "postgres"} {
		info, err := os.Stat(filepath.Join(resolved, program))
		if err != nil {
			return Binaries{}, err
		}
		if info.IsDir() || info.Mode()&0o111 == 0 {
			return Binaries{}, fmt.Errorf("%s is not a program", filepath.Join(resolved, program))
		}
	}
	line, err := output(ctx, filepath.Join(resolved, "postgres"), "--version")
	if err != nil {
		return Binaries{}, err
	}
	major, err := parseMajor(line)
	if err != nil {
		return Binaries{}, err
	}
	return Binaries{Dir: resolved, Major: major, From: from}, nil
}

var versionLine = regexp.MustCompile(`^postgres \(PostgreSQL\) ([0-9]+)`)

// parseMajor reads "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
// "… 18beta1" and the like.
func parseMajor(line string) (int, error) {
	match := versionLine.FindStringSubmatch(line)
	if match == nil {
		return 0, fmt.Errorf("not the version of a PostgreSQL server: %q", line)
	}
	return strconv.Atoi(match[1])
}

// output runs a program that answers at once and gives its trimmed output.
func output(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

func howToGet() string {
	release, _ := os.ReadFile("/etc/os-release") // absent on macOS
	how := "Install one (https://www.postgresql.org/download/)"
	if command := installCommand(runtime.GOOS, string(release)); command != "" {
		how = "Install one with `" + command + "`"
	}
	if _, err := exec.LookPath("npm"); err != nil {
		how += ", or install Node.js, whose npm can fetch one"
	}
	return how + ", or set DATABASE_URL to a server of your own."
}

// installCommand is the command that installs a PostgreSQL server, "" where it is
// not known. Of /etc/os-release (os-release(5)) it reads ID, then ID_LIKE from the
// closest relative on.
func installCommand(goos, osRelease string) string {
	if goos == "darwin" {
		return "brew install postgresql@18"
	}
	var ids []string
	fields := map[string]string{}
	for line := range strings.Lines(osRelease) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			fields[name] = strings.Trim(value, `"'`)
		}
	}
	ids = append(ids, fields["ID"])
	ids = append(ids, strings.Fields(fields["ID_LIKE"])...)
	sudo := "sudo "
	if os.Geteuid() == 0 {
		sudo = ""
	}
	for _, id := range ids {
		switch id {
		case "debian", "ubuntu":
			return sudo + "apt-get install postgresql"
		case "fedora", "rhel", "centos":
			return sudo + "dnf install postgresql-server postgresql-contrib"
		case "alpine":
			return sudo + "apk add postgresql postgresql-contrib"
		case "arch":
			return sudo + "pacman -S postgresql"
		case "suse", "opensuse", "sles":
			return sudo + "zypper install postgresql-server postgresql-contrib"
		}
	}
	return ""
}
