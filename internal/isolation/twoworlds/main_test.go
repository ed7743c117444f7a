package twoworlds

import (
	"io"
	"log/slog"
	"runtime/debug"
	"testing"

	"github.com/commonhold/commonhold/internal/pgtest"
)

// One process draws from one source, so no test here is parallel.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	takeChance()
	debug.SetGCPercent(400) // documents and answers, gone at once
	pgtest.Main(m)
}
