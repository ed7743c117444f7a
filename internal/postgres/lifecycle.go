package postgres

import (
	"context"

	"github.com/commonhold/commonhold/internal/tenant"
)

// LockKey is the advisory lock that every transaction which writes in a tenant holds
// shared. Who holds it alone has the writers of the tenant behind them.
func LockKey(id tenant.ID) int64 { return lockKey(id) }

// SchemaVersion is the version of the tables of a schema in the control database, 0 where
// there are none.
func (db *DB) SchemaVersion(ctx context.Context, schema string) (int64, error) {
	conn, err := acquire(ctx, db.control)
	if err != nil {
		return 0, classify(ctx, err)
	}
	defer conn.Release()
	version, err := appliedVersion(ctx, conn.Conn(), schema)
	return version, classify(ctx, err)
}
