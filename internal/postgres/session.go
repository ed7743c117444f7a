package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A session is what one connection keeps for reads: the statements it has prepared.
// A read goes the short way, past pgx.Batch, which builds for every round trip what
// is the same each time. Connections that may not prepare have none, see checkMode.
type session struct {
	prepared        map[string]*pgconn.StatementDescription
	named           int // statements prepared so far, for their names
	door, statement pgx.ExtendedQueryBuilder
}

// sessionRoom bounds the statements of one connection, each of which costs the server
// memory. The generated ones are far fewer; what comes after goes through pgx and its
// cache, which forgets.
const sessionRoom = 512

// sessionKey is where a connection keeps its session.
const sessionKey = "commonhold"

func newSession(conn *pgx.Conn) {
	conn.PgConn().CustomData()[sessionKey] = &session{prepared: map[string]*pgconn.StatementDescription{}}
}

// sessionOf is the session of a connection, nil where it has none.
func sessionOf(conn *pgx.Conn) *session {
	s, _ := conn.PgConn().CustomData()[sessionKey].(*session)
	return s
}

// hasRoom tells whether a statement can go this way.
func (s *session) hasRoom(sql string) bool {
	return s != nil && (len(s.prepared) < sessionRoom || s.prepared[sql] != nil)
}

// call is a statement with its arguments.
type call struct {
	sql  string
	args []any
}

// read sends the door and the statement in one round trip, and gives the rows once
// the door has opened. Their end is the end of the connection's use.
func (s *session) read(ctx context.Context, conn *pgxpool.Conn, door, statement call) (pgx.Rows, error) {
	rows, err := s.send(ctx, conn, door, statement)
	if err != nil {
		// What was prepared gives other columns now, or is gone: prepare again.
		if state := sqlState(err); state == "0A000" || state == "26000" {
			clear(s.prepared)
		}
		conn.Release()
		return nil, err
	}
	return rows, nil
}

func (s *session) send(ctx context.Context, conn *pgxpool.Conn, door, statement call) (pgx.Rows, error) {
	enter, err := s.build(ctx, conn.Conn(), &s.door, door)
	if err != nil {
		return nil, err
	}
	ask, err := s.build(ctx, conn.Conn(), &s.statement, statement)
	if err != nil {
		return nil, err
	}
	// The tracer hears of pgx's batches only.
	if c := CounterFrom(ctx); c != nil {
		c.roundTrips.Add(1)
		c.statements.Add(1)
	}
	pipeline := conn.Conn().PgConn().StartPipeline(ctx)
	pipeline.SendQueryStatement(enter, s.door.ParamValues, s.door.ParamFormats, s.door.ResultFormats)
	pipeline.SendQueryStatement(ask, s.statement.ParamValues, s.statement.ParamFormats, s.statement.ResultFormats)
	rows, err := entered(conn.Conn(), pipeline)
	if err != nil {
		_ = pipeline.Close()
		return nil, err
	}
	return &heldRows{Rows: rows, ctx: ctx, results: pipeline, conn: conn}, nil
}

// entered waits for both answers of a pipeline: the door's, and the first of the rows.
func entered(conn *pgx.Conn, pipeline *pgconn.Pipeline) (pgx.Rows, error) {
	if err := pipeline.Sync(); err != nil {
		return nil, err
	}
	door, err := result(pipeline)
	if err != nil {
		return nil, err
	}
	if _, err := door.Close(); err != nil {
		return nil, err
	}
	rows, err := result(pipeline)
	if err != nil {
		return nil, err
	}
	return pgx.RowsFromResultReader(conn.TypeMap(), rows), nil
}

func result(pipeline *pgconn.Pipeline) (*pgconn.ResultReader, error) {
	results, err := pipeline.GetResults()
	if err != nil {
		return nil, err
	}
	reader, ok := results.(*pgconn.ResultReader)
	if !ok {
		return nil, fmt.Errorf("the answer to a statement is a %T", results)
	}
	return reader, nil
}

// build prepares a statement, once in the connection's life, and encodes its arguments.
func (s *session) build(ctx context.Context, conn *pgx.Conn, b *pgx.ExtendedQueryBuilder, c call) (*pgconn.StatementDescription, error) {
	described := s.prepared[c.sql]
	if described == nil {
		var err error
		s.named++
		if described, err = conn.PgConn().Prepare(ctx, fmt.Sprintf("read_%d", s.named), c.sql, nil); err != nil {
			return nil, err
		}
		s.prepared[c.sql] = described
	}
	if err := b.Build(conn.TypeMap(), described, c.args); err != nil {
		return nil, fmt.Errorf("encode the arguments: %w", err)
	}
	return described, nil
}
