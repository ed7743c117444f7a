package isolation

import (
	"context"
	"os"
	"slices"
	"testing"

	"github.com/commonhold/commonhold/internal/embeddedpg"
	"github.com/commonhold/commonhold/internal/postgres"
)

// A server that was told on its command line to be fast is one of the tests only
// if the tests started it.
func TestServerThatLosesWritesIsFound(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "chpg") // a short path: a socket's may have 104 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	pg, err := embeddedpg.Start(t.Context(), embeddedpg.Options{Dir: dir, BinDir: os.Getenv("COMMONHOLD_POSTGRES_BIN"), Fast: true,
		Settings: map[string]string{"cluster_name": "elsewhere"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Stop(context.Background()) })
	if err := postgres.CreateDatabase(t.Context(), pg.DSN("postgres", "postgres"), "commonhold"); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), pg.DSN("postgres", "commonhold"), nil); err != nil {
		t.Fatal(err)
	}
	r, err := Doctor(t.Context(), pg.DSN("commonhold_app", "commonhold"))
	if err != nil {
		t.Fatal(err)
	}
	if got := named(r); r.Broken() || !slices.Equal(got, []string{"setting.durability server", "setting.durability server", "setting.durability server"}) {
		t.Errorf("broken %t, found %q", r.Broken(), got)
	}
}
