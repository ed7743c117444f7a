//go:build linux || darwin

package embeddedpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/commonhold/commonhold/internal/fault"
)

// identity is the user the server runs as. PostgreSQL refuses to run as root
// (manual, section 19.1), so root needs another one; everybody else is himself.
type identity struct {
	uid, gid  int
	change    bool // run as uid and gid, which are not ours
	namespace bool // run in a user namespace in which root has another number
}

func (i identity) String() string {
	switch {
	case i.namespace:
		return "root in a user namespace"
	case i.change:
		return "uid " + strconv.Itoa(i.uid)
	}
	return "the user who started the program"
}

// own gives a file that root made to the server's user.
func (i identity) own(path string) error {
	if !i.change {
		return nil
	}
	return os.Lchown(path, i.uid, i.gid)
}

// probe runs the server's program as this identity in the directory, and so finds
// out whether it may reach both.
func (i identity) probe(ctx context.Context, b Binaries, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(b.Dir, "postgres"), "--version")
	cmd.Dir = dir // entered after the change of user
	cmd.SysProcAttr = i.attributes()
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("as %s: %w: %s", i, err, lastLines(string(out), 3))
	}
	return nil
}

// identify decides whom the server runs as. An ordinary user: himself. Root: the
// owner of the data root where that is not root, so that the choice of the first
// start is kept and a developer's directory works under sudo; a new root is handed
// to postgres or nobody if they can reach it; else a user namespace, in which
// nothing changes hands. Only the owner of owner.lock may call it.
func identify(ctx context.Context, r root, b Binaries) (identity, error) {
	if os.Geteuid() != 0 {
		return identity{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	info, err := os.Stat(r.dir)
	if err != nil {
		return identity{}, dirFault(r.dir, err)
	}
	var failed []error
	if uid, gid := ownerOf(info); uid != 0 {
		who := identity{uid: uid, gid: gid, change: true}
		if err := who.probe(ctx, b, r.dir); err != nil {
			return identity{}, fault.New(fault.DataDirectory, "The data directory %s belongs to uid %d, and that user cannot reach it or the programs in %s. Let others pass the directories above them (chmod o+x), or choose another data directory.", r.dir, uid, b.Dir).Because(err)
		}
		return who, nil
	}
	if started, _ := filepath.Glob(r.path("[0-9]*")); !r.foreign && len(started) == 0 {
		for _, name := range []string{"postgres", "nobody"} {
			who, err := lookup(name)
			if err == nil {
				err = who.take(ctx, b, r.dir)
			}
			if err == nil {
				return who, nil
			}
			failed = append(failed, err)
		}
	}
	if userNamespaces {
		who := identity{namespace: true}
		if err = who.probe(ctx, b, r.dir); err == nil {
			return who, nil
		}
		failed = append(failed, err)
	}
	if ctx.Err() != nil {
		return identity{}, fmt.Errorf("start PostgreSQL: %w", ctx.Err())
	}
	return identity{}, fault.New(fault.DataDirectory, "PostgreSQL does not run as root. No other user can reach %s and %s, and there are no user namespaces here to do without one. Run as an ordinary user, or choose an empty data directory that every user can reach, such as /var/lib/commonhold.", r.dir, b.Dir).Because(errors.Join(failed...))
}

// take hands the directory over, and takes it back where that is of no use.
func (i identity) take(ctx context.Context, b Binaries, dir string) error {
	if err := os.Chown(dir, i.uid, i.gid); err != nil {
		return err
	}
	if err := i.probe(ctx, b, dir); err != nil {
		return errors.Join(err, os.Chown(dir, 0, 0))
	}
	return nil
}

func lookup(name string) (identity, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return identity{}, err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return identity{}, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return identity{}, err
	}
	if uid == 0 {
		return identity{}, fmt.Errorf("user %s is root", name)
	}
	return identity{uid: uid, gid: gid, change: true}, nil
}
