package serve

import (
	"context"
	"net"
)

type connKey struct{}

// connOf returns the connection of a request; nil: it is not known.
func connOf(ctx context.Context) net.Conn {
	conn, _ := ctx.Value(connKey{}).(net.Conn)
	return conn
}

// unwrap returns the connection below TLS (closing TLS would wait for the client); conn
// itself if it has no TLS.
func unwrap(conn net.Conn) net.Conn {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return conn
}
