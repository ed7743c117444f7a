package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/telemetry"
	"github.com/commonhold/commonhold/internal/tenant"
)

// The server logs through the default logger. Here it is the real one, in the form
// for machines, and its lines are kept.
func TestMain(m *testing.M) {
	slog.SetDefault(telemetry.NewLogger(&logged, false, slog.LevelDebug))
	pgtest.Main(m)
}

var logged logLines

type logLines struct {
	mu    sync.Mutex
	lines [][]byte
}

func (l *logLines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, bytes.Clone(line))
	return len(line), nil
}

// of is what was logged of a request, as it stands in the log.
func (l *logLines) of(request string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if request != "" && bytes.Contains(line, []byte(request)) {
			found = append(found, string(line))
		}
	}
	return found
}

// all is everything that was logged.
func (l *logLines) all() (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		found = append(found, string(line))
	}
	return found
}

// line is the one line of a request with this message, as its members.
func (l *logLines) line(t testing.TB, request, message string) map[string]any {
	t.Helper()
	for _, line := range l.of(request) {
		var members map[string]any
		if err := json.Unmarshal([]byte(line), &members); err != nil {
			t.Fatalf("a log line is not JSON: %s", line)
		}
		if members["msg"] == message {
			return members
		}
	}
	t.Fatalf("no line %q of request %s in %s", message, request, strings.Join(l.of(request), ""))
	return nil
}

// fingerprint is a hash of every row of a tenant, in whatever table has a tenant_id
// but its door, which no request can change.
func fingerprint(t testing.TB, conn *pgx.Conn, id tenant.ID) string {
	t.Helper()
	rows, err := conn.Query(context.Background(), `select a.attrelid::regclass::text from pg_attribute as a
		join pg_class as c on c.oid = a.attrelid
		where a.attname = 'tenant_id' and c.relkind in ('r', 'p') and not a.attisdropped
		and c.relnamespace <> 'gate'::regnamespace order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 6 {
		t.Fatalf("tables with a tenant_id: %v, %v", tables, err)
	}
	var all strings.Builder
	for _, table := range tables {
		var hash string
		err := conn.QueryRow(context.Background(), `select count(*) || ' ' || md5(coalesce(string_agg(r::text, E'\n' order by r::text), ''))
			from `+table+` as r where r.tenant_id = $1`, id).Scan(&hash)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(table + " " + hash + "\n")
	}
	return all.String()
}
