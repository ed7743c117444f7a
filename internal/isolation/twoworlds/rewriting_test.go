package twoworlds

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/commonhold/commonhold/internal/pgtest"
)

// rewriting puts something between a server and its database that may change the
// text of a statement: how a fault gets into queries/ without a hook in the server.
func rewriting(t testing.TB, dsn func(role string) string, through func(string) string) func(role string) string {
	t.Helper()
	between := pgtest.Between(t, dsn("postgres"), func(client, database *net.UnixConn) {
		go func() { _, _ = io.Copy(client, database); _ = client.Close() }()
		pass(database, client, through)
	})
	return func(role string) string { return between(dsn(role)) }
}

// pass hands on what a client sends, Parse messages with their text changed
// (PostgreSQL manual, section 55.7), until either side ends.
func pass(database io.Writer, client io.Reader, through func(string) string) {
	for begun := false; ; begun = true {
		header := make([]byte, 5)
		if !begun { // the first message has no type
			header = header[:4]
		}
		if _, err := io.ReadFull(client, header); err != nil {
			return
		}
		size := header[len(header)-4:]
		body := make([]byte, binary.BigEndian.Uint32(size)-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		if begun && header[0] == 'P' {
			parts := bytes.SplitN(body, []byte{0}, 3) // the name, the text, the types
			parts[1] = []byte(through(string(parts[1])))
			body = bytes.Join(parts, []byte{0})
			binary.BigEndian.PutUint32(size, uint32(len(body))+4)
		}
		if _, err := database.Write(append(header, body...)); err != nil {
			return
		}
	}
}
