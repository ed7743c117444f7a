package embeddedpg

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const userNamespaces = false

// attributes starts a process of this identity in a process group of its own, so
// that the terminal's Ctrl-C reaches this program first. macOS has no
// parent-death signal: after a kill -9 of this program the next Start ends the
// server.
func (i identity) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if i.change {
		attr.Credential = &syscall.Credential{Uid: uint32(i.uid), Gid: uint32(i.gid)} //nolint:gosec // ids from the system
	}
	return attr
}

// servesHere tells whether the pid is a postgres of this data directory, by its
// name and, from lsof(8), its working directory; where that cannot be read, it is
// taken for one.
func servesHere(pid int, data string) bool {
	ctx := context.Background()
	id := strconv.Itoa(pid)
	if state, err := output(ctx, "ps", "-p", id, "-o", "stat="); err != nil || strings.HasPrefix(state, "Z") {
		return false // gone, or ended and never waited for
	}
	comm, err := output(ctx, "ps", "-p", id, "-o", "comm=")
	if err != nil || filepath.Base(comm) != "postgres" {
		return false
	}
	out, err := output(ctx, "lsof", "-a", "-p", id, "-d", "cwd", "-Fn")
	if err != nil {
		return true
	}
	for line := range strings.Lines(out) {
		if cwd, ok := strings.CutPrefix(strings.TrimSpace(line), "n"); ok {
			return cwd == data
		}
	}
	return true
}
