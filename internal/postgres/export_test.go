package postgres

import (
	"context"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

// Raw is a handle that runs any statement. With it the tests ask what the other
// walls hold where the text of a query says nothing of a tenant.
func Raw[Q any](h *Handle[Q]) *Handle[DBTX] {
	return &Handle[DBTX]{pool: h.pool, id: h.id, door: h.door, queries: func(d DBTX) DBTX { return d }}
}

// AppPool is the pool of commonhold_app.
func (db *DB) AppPool() *pgxpool.Pool { return db.app }

// ListenerPID is the server process that the listener listens on.
func (db *DB) ListenerPID() uint32 { return db.listener.process.Load() }

// CheckVersion is what Open and Migrate ask of server_version_num.
func CheckVersion(number int) error { return checkVersion(number) }

// ApplyFiles applies migrations that are not ours, as Migrate applies ours.
func ApplyFiles(ctx context.Context, adminURL string, dir fs.FS, schema string) error {
	config, conn, err := connectAdmin(ctx, adminURL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return withProvider(config, dir, schema, func(p *goose.Provider) error {
		return applySet(ctx, p, "test", schema, func(string, ...any) {})
	})
}
