package auth

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/alexedwards/argon2id"
)

// hashApart is what this test binary is started with to hash for a test.
const hashApart = "hash"

// apart are passwords that are hashed by a process of their own. Those that were hashed
// here after all are counted.
func apart(t *testing.T, path string) (p *Passwords, h *hasher, here *atomic.Int64) {
	t.Helper()
	p, here = NewPasswords(TestPasswordParams()), new(atomic.Int64)
	create, compare := p.create, p.compare
	p.create = func(password string, params *argon2id.Params) (string, error) {
		here.Add(1)
		return create(password, params)
	}
	p.compare = func(password, hash string) (bool, error) { here.Add(1); return compare(password, hash) }
	h = p.apart(path, hashApart)
	t.Cleanup(func() {
		if client, err := h.running(); err == nil {
			h.end(client)
		}
	})
	return p, h, here
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func hashes(t *testing.T, p *Passwords) string {
	t.Helper()
	hash, err := p.Hash(context.Background(), goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{goodPassword: true, wrongPassword: false} {
		if match, err := p.Verify(context.Background(), password, hash); err != nil || match != want {
			t.Fatalf("%q: %t, %v", password, match, err)
		}
	}
	return hash
}

func TestPasswordsAreHashedApart(t *testing.T) {
	t.Parallel()
	p, h, here := apart(t, self(t))
	hash := hashes(t, p)
	if here.Load() != 0 {
		t.Errorf("%d hashes were made here", here.Load())
	}
	// The same as here, also for a hash that is none.
	if match, err := NewPasswords(TestPasswordParams()).Verify(context.Background(), goodPassword, hash); err != nil || !match {
		t.Errorf("verified here: %t, %v", match, err)
	}
	if match, err := p.compare(goodPassword, "$argon2id$broken"); err == nil || match {
		t.Errorf("a broken hash: %t, %v", match, err)
	}
	own, err := niceness()
	if err != nil {
		t.Fatal(err)
	}
	nice, err := syscall.Getpriority(syscall.PRIO_PGRP, h.process.Process.Pid)
	if runtime.GOOS == "linux" {
		nice = 20 - nice
	}
	if err != nil || nice != min(own+behind, 19) {
		t.Errorf("it is nice by %d, and the server by %d: %v", nice, own, err)
	}
}

// Whatever becomes of the process, passwords are hashed.
func TestAHasherThatDies(t *testing.T) {
	t.Parallel()
	p, h, here := apart(t, self(t))
	hashes(t, p)
	for range 3 {
		first := h.process.Process.Pid
		if err := h.process.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for range 8 { // who come at once share the next one
			group.Go(func() { hashes(t, p) })
		}
		group.Wait()
		if next := h.process.Process.Pid; next == first || here.Load() != 0 {
			t.Errorf("process %d after %d, %d hashed here", next, first, here.Load())
		}
	}
}

func TestAHasherThatCannotBeStarted(t *testing.T) {
	var log bytes.Buffer
	logger := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(logger) })
	for _, path := range []string{t.TempDir() + "/nothing", "/bin/true"} { // no process, and one that hangs up
		p, _, here := apart(t, path)
		hashes(t, p)
		if here.Load() != 3 {
			t.Errorf("%s: %d hashed here", path, here.Load())
		}
	}
	if !strings.Contains(log.String(), "flood") || strings.Contains(log.String(), goodPassword) {
		t.Errorf("the log says %q", &log)
	}
}
