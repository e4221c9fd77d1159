package redis

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

// clientName is how CLIENT LIST shows our connection.
const clientName = "resp-exporter"

// Link is one client of go-redis. It is discarded at its first error, with all
// that the client may have running, and never reconnects by itself: [Server]
// decides when to try again.
type Link struct {
	client redis.UniversalClient
	nodes  *nodes                 // addresses connected to
	dials  atomic.Int64           // connects begun
	reply  atomic.Pointer[string] // the last error reply read
	worked atomic.Bool            // a command was answered
	plain  atomic.Bool            // the server takes INFO without sections only
	noPing atomic.Pointer[Error]  // why PING is refused; nil: it is not
	noKeys atomic.Pointer[Error]  // why the database of the URL cannot be selected; nil: it was
	greets atomic.Bool            // a connect was finished, so that a refusal is of the command that was sent
	db     int                    // the database of the URL
	peer   atomic.Pointer[string] // "host:port" or path at the other end of the last connect
	single atomic.Bool            // connects no more: what is done must be done on the connections that stand
}

// newLink returns a link that has not connected yet.
func newLink(u config.RedisURL, passwordFile string) *Link {
	l := &Link{db: u.DB, nodes: newNodes()}
	login := func(context.Context) (string, string, error) {
		if passwordFile == "" {
			return u.User, string(u.Password), nil
		}
		password, err := secret.Read(passwordFile)
		return u.User, password, err
	}
	// It would write a line for each connect that fails. What went wrong is in
	// the errors.
	redis.SetLogger(silence{})
	o := clientOptions(&redis.UniversalOptions{
		Addrs: u.Addrs, Dialer: l.dialer(u), CredentialsProviderContext: login, OnConnect: l.greet,
	})
	if u.Kind == config.RedisSentinel {
		o.Addrs = u.Addrs[:1] // the dialer knows better
	}
	if u.Kind == config.RedisCluster {
		cluster := o.Cluster()
		cluster.NewClient = l.nodes.client
		l.client = redis.NewClusterClient(cluster)
		return l
	}
	l.client = redis.NewUniversalClient(o)
	return l
}

// Client returns the client of go-redis.
func (l *Link) Client() redis.UniversalClient { return l.client }

// Close ends the connections of the link.
func (l *Link) Close() error { return l.client.Close() }

// DB returns the number of the database that the URL selects.
func (l *Link) DB() int { return l.db }

// Dials returns how many connects the link has begun.
func (l *Link) Dials() int64 { return l.dials.Load() }

// Pin makes every further connect fail with [ErrStale]: what follows is done on
// the connections that stand, or not at all.
func (l *Link) Pin() { l.single.Store(true) }

// greet sets the name of a new connection and selects the database. No error: the server
// refuses the name, or does not have or allow SELECT, as many managed ones; without SELECT
// [Link.KeysError] says why keys cannot be read. The error is of the connection, or why the
// server refuses it or the database otherwise.
func (l *Link) greet(ctx context.Context, c *redis.Conn) error {
	pipe := c.Pipeline()
	name := pipe.ClientSetName(ctx, clientName)
	var database *redis.StatusCmd
	if l.db > 0 {
		database = pipe.Select(ctx, l.db)
	}
	if _, err := pipe.Exec(ctx); !IsReply(err) {
		return err
	}
	if err := name.Err(); err != nil && ofAll(err) {
		return err
	}
	l.noKeys.Store(nil)
	if database != nil && database.Err() != nil {
		if !RefusesCommand(database.Err()) {
			return database.Err()
		}
		l.noKeys.Store(ReplyFault(database.Err().Error()))
	}
	l.greets.Store(true)
	l.reply.Store(nil) // it explains a hang-up later on, of which these were not the reason
	return nil
}

// PingError returns the error of a PING; nil if the server refused only that command on a
// link that has been connected completely once, because a refusal is an answer, too. The
// refusal is kept for the life of the link.
func (l *Link) PingError(err error) error {
	if l.greets.Load() && RefusesCommand(err) {
		l.noPing.Store(ReplyFault(err.Error()))
		return nil
	}
	return err
}

// KeysError returns why keys cannot be read: the last connect could not select the
// database. nil if it could, and as long as nothing has connected.
func (l *Link) KeysError() error {
	if e := l.noKeys.Load(); e != nil {
		return e
	}
	return nil
}

// Each calls f for the server, or concurrently for each master of a cluster, and returns
// one of the errors of f. errNodes: there are too many nodes.
func (l *Link) Each(ctx context.Context, f func(context.Context, *redis.Client) error) error {
	switch c := l.client.(type) {
	case *redis.Client:
		return f(ctx, c)
	case *redis.ClusterClient:
		return c.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
			if l.nodes.over.Load() { // the nodes are named by now
				return errNodes
			}
			return f(ctx, c)
		})
	default:
		return fmt.Errorf("a client of type %T", c)
	}
}

// lastReply returns the last error reply read since the last connect, without its "-", at
// most 127 bytes; "" if there was none.
func (l *Link) lastReply() string {
	if s := l.reply.Load(); s != nil {
		return *s
	}
	return ""
}

// dialer returns the dial function of a client, which counts the connects. ErrStale: the
// link is pinned. errNodes: the address is that of one node too many.
func (l *Link) dialer(u config.RedisURL) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if l.single.Load() {
			return nil, ErrStale
		}
		if !l.nodes.admits(addr) {
			return nil, errNodes
		}
		l.dials.Add(1)
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		if u.Kind == config.RedisSentinel {
			var err error
			if addr, err = findMaster(ctx, u); err != nil {
				return nil, err
			}
		}
		conn, err := connect(ctx, network, addr, u, &l.reply)
		if err == nil {
			peer := conn.RemoteAddr().String()
			l.peer.Store(&peer)
		}
		return conn, err
	}
}

// silence discards what go-redis would print to standard error.
type silence struct{}

// Printf implements the logger of go-redis.
func (silence) Printf(context.Context, string, ...any) {}
