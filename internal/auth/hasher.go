package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/rpc"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/alexedwards/argon2id"
)

// behind is by how much who hashes for others is nicer than they are: with both busy, the
// others get some nine tenths of a processor (sched(7)).
const behind = 10

// hashTime bounds the wait for one hash, which takes some 20 ms of a processor.
const hashTime = 10 * time.Second

// HashApart lets the passwords be hashed by a process of its own: path with args, which
// calls ServeHashes. The system gives the processors to this process first, and what a
// hash takes and leaves of memory, 19 MiB each, is not this one's to collect. So a flood
// of sign-ins is not felt by those who are signed in.
//
// It is started by the first hash, and again where it has died. Where it cannot be
// started passwords are hashed here, as without HashApart, and the log says so.
func (p *Passwords) HashApart(path string, args ...string) { p.apart(path, args...) }

func (p *Passwords) apart(path string, args ...string) *hasher {
	h := &hasher{path: path, args: args}
	create, compare := p.create, p.compare
	p.create = func(password string, params *argon2id.Params) (string, error) {
		hash, answered, err := ask[string](h, "Hasher.Create", Creation{password, *params})
		if !answered {
			return create(password, params)
		}
		return hash, err
	}
	p.compare = func(password, hash string) (bool, error) {
		match, answered, err := ask[bool](h, "Hasher.Compare", Comparison{password, hash})
		if !answered {
			return compare(password, hash)
		}
		return match, err
	}
	return h
}

// ServeHashes hashes for the process at the other end of two pipes, until that closes them
// or is gone. It lets this whole process stand back behind others.
func ServeHashes(in io.ReadCloser, out io.WriteCloser) error {
	nice, err := niceness()
	if err != nil {
		return fmt.Errorf("stand back: %w", err)
	}
	// The group and not the process: on Linux that would be this thread alone.
	if err := syscall.Setpriority(syscall.PRIO_PGRP, 0, min(nice+behind, 19)); err != nil {
		return fmt.Errorf("stand back: %w", err)
	}
	debug.SetGCPercent(20) // what is over of a hash makes room for the next one
	server := rpc.NewServer()
	if err := server.RegisterName("Hasher", Hasher{}); err != nil {
		return err
	}
	server.ServeConn(pipes{in, out})
	return nil
}

// niceness is the nice value of this process. Linux answers with 20 less it, since a
// system call that answers with less than nothing has failed (getpriority(2)).
func niceness() (int, error) {
	nice, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if runtime.GOOS == "linux" {
		nice = 20 - nice
	}
	return nice, err
}

// Creation asks for the hash of a password.
type Creation struct {
	Password string
	Params   argon2id.Params
}

// Comparison asks whether a hash was made from a password.
type Comparison struct{ Password, Hash string }

// Hasher is what ServeHashes answers to.
type Hasher struct{}

// Create makes a hash in the PHC string format.
func (Hasher) Create(c Creation, hash *string) (err error) {
	*hash, err = argon2id.CreateHash(c.Password, &c.Params)
	return err
}

// Compare tells whether a hash was made from a password.
func (Hasher) Compare(c Comparison, match *bool) (err error) {
	*match, err = argon2id.ComparePasswordAndHash(c.Password, c.Hash)
	return err
}

// hasher is a process that calls ServeHashes, as it is seen from the one that starts it.
type hasher struct {
	path string
	args []string

	mu      sync.Mutex
	process *exec.Cmd // nil: none is running
	client  *rpc.Client
}

// ask asks the process. Of one that has died, or says nothing, it asks the next one, once.
// answered is false where no process answers, and err says why; else err is that of the hash.
func ask[T any](h *hasher, method string, question any) (answer T, answered bool, err error) {
	var why error
	for range 2 {
		var client *rpc.Client
		if client, why = h.running(); why != nil {
			break
		}
		said := new(T) // of this attempt alone: a late answer has nowhere to go
		call := client.Go(method, question, said, make(chan *rpc.Call, 1))
		select {
		case <-call.Done:
			var refused rpc.ServerError
			if call.Error == nil || errors.As(call.Error, &refused) {
				return *said, true, call.Error
			}
			why = call.Error
		case <-time.After(hashTime):
			why = context.DeadlineExceeded
		}
		h.end(client)
	}
	slog.Warn("passwords are hashed in the server itself, where a flood of sign-ins is felt by everybody", "error", why)
	return answer, false, why
}

// running is the connection to the process, which is started where there is none.
func (h *hasher) running() (*rpc.Client, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.process != nil {
		return h.client, nil
	}
	process := exec.Command(h.path, h.args...) //nolint:noctx // it outlives who asks first
	process.Args[0] = os.Args[0]               // what people see of it
	process.Env = []string{}                   // none of the secrets there are for it
	process.Stderr = os.Stderr
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it ends with the pipes, not by what stops the server
	in, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	h.process, h.client = process, rpc.NewClient(pipes{out, in})
	return h.client, nil
}

// end ends the process behind a connection, if nobody has done so.
func (h *hasher) end(client *rpc.Client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.client != client || h.process == nil {
		return
	}
	_ = h.process.Process.Kill() // else it is dead already
	_ = client.Close()
	_ = h.process.Wait()
	h.process, h.client = nil, nil
}

// pipes are a connection of two one-way streams.
type pipes struct {
	io.ReadCloser
	in io.WriteCloser
}

func (p pipes) Write(b []byte) (int, error) { return p.in.Write(b) }

func (p pipes) Close() error { return errors.Join(p.in.Close(), p.ReadCloser.Close()) }
