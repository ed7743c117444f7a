package isolation

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// What extensions ordinarily leave open to everybody breaks no wall, wherever they
// are put, for a server refuses to serve behind a finding.
func TestOrdinaryExtensionsAreNoFault(t *testing.T) {
	planted(t, connect(t, "postgres"), func(tx pgx.Tx) {
		execute(t, tx, "create extension pg_stat_statements schema public; create extension pg_buffercache schema public; create extension citext schema shared; create extension hstore schema shared")
		if got := named(report(t, tx)); len(got) != 0 {
			t.Errorf("found %q", got)
		}
	})
}
