//go:build !linux && !darwin

package embeddedpg

import (
	"context"
	"runtime"

	"github.com/commonhold/commonhold/internal/fault"
)

type identity struct{}

func unsupported() error {
	return fault.New(fault.PostgresNotFound,
		"The program can start a PostgreSQL of its own on Linux and macOS only, and this is %s. Start one yourself and set DATABASE_URL.", runtime.GOOS)
}

// Start is not supported on this system: it answers fault.PostgresNotFound.
func Start(context.Context, Options) (*Server, error) { return nil, unsupported() }

// Find is not supported on this system.
func Find(context.Context, string) (Binaries, error) { return Binaries{}, unsupported() }

// Install is not supported on this system.
func Install(context.Context, func(string, ...any)) (Binaries, error) {
	return Binaries{}, unsupported()
}

// Stop does nothing: there is no server on this system.
func (s *Server) Stop(context.Context) error { return nil }

func tail(string, int64, int) string { return "" }
