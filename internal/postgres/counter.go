package postgres

import (
	"context"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// Counter counts what a piece of work asked of its databases: the currency in
// which a resolver's cost is stated. It is safe for use by many goroutines.
type Counter struct {
	roundTrips atomic.Int64
	statements atomic.Int64
}

// RoundTrips is how often the work waited for a database. Two things that belong to
// a connection rather than to the work are left out: preparing a statement, once
// in a connection's life, and the ping of one that was idle for more than a second.
func (c *Counter) RoundTrips() int64 { return c.roundTrips.Load() }

// Statements is how many statements were sent, the door, begin and commit aside.
func (c *Counter) Statements() int64 { return c.statements.Load() }

type counterKey struct{}

// WithCounter returns a context in which all database work is counted.
func WithCounter(ctx context.Context) (context.Context, *Counter) {
	c := new(Counter)
	return context.WithValue(ctx, counterKey{}, c), c
}

// CounterFrom is the counter of ctx, nil where nothing is counted.
func CounterFrom(ctx context.Context) *Counter {
	c, _ := ctx.Value(counterKey{}).(*Counter)
	return c
}

// countTracer counts for every pool alike, so that no path can be forgotten.
type countTracer struct{}

var (
	_ pgx.QueryTracer = countTracer{}
	_ pgx.BatchTracer = countTracer{}
)

// frame holds the statements that the handle adds for itself.
var frame = map[string]bool{enterHome: true, enterAccount: true, lockTenant: true, beginWriting: true, "begin": true, "commit": true, "rollback": true}

func (countTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if c := CounterFrom(ctx); c != nil {
		c.roundTrips.Add(1)
		if !frame[data.SQL] {
			c.statements.Add(1)
		}
	}
	return ctx
}

func (countTracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (countTracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	if c := CounterFrom(ctx); c != nil {
		c.roundTrips.Add(1)
		for _, q := range data.Batch.QueuedQueries {
			if !frame[q.SQL] {
				c.statements.Add(1)
			}
		}
	}
	return ctx
}

func (countTracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (countTracer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}
