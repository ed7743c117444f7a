package embeddedpg

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const userNamespaces = true

// attributes starts a process of this identity in a process group of its own, so
// that the terminal's Ctrl-C reaches this program first, and has the kernel send
// it SIGINT, PostgreSQL's fast shutdown (manual, section 19.5), when the thread
// that started it ends (PR_SET_PDEATHSIG): the caller keeps that thread locked.
func (i identity) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	if i.change {
		attr.Credential = &syscall.Credential{Uid: uint32(i.uid), Gid: uint32(i.gid)} //nolint:gosec // ids from the system
	}
	if i.namespace {
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

// servesHere tells whether the pid is a postgres of this data directory: it is
// named so, belongs to the owner of the directory and works in it (postgres
// changes into its data directory). Where its working directory cannot be read,
// it is taken for one.
func servesHere(pid int, data string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	comm, err := os.ReadFile(filepath.Join(proc, "comm"))
	if err != nil || string(bytes.TrimSpace(comm)) != "postgres" {
		return false
	}
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return false
	}
	directory, err := os.Stat(data)
	if err != nil {
		return false
	}
	// One that has ended but was never waited for, as in a container without an
	// init, still has its name and its pid.
	if strings.Contains(string(status), "\nState:\tZ") {
		return false
	}
	// The line is "Uid:" with the real, effective, saved and file system ids (proc(5)).
	_, line, _ := strings.Cut(string(status), "\nUid:")
	uid, _ := ownerOf(directory)
	if ids := strings.Fields(line); len(ids) < 2 || ids[1] != strconv.Itoa(uid) {
		return false
	}
	cwd, err := os.Readlink(filepath.Join(proc, "cwd"))
	return err != nil || cwd == data
}
