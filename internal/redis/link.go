package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

const (
	// clientName is how CLIENT LIST shows our connection.
	clientName = "resp-exporter"
	// dialTimeout bounds a connect that its reader no longer waits for.
	dialTimeout = time.Second
	// maxPEM bounds a certificate file, in bytes.
	maxPEM = 1 << 20
)

// link is one client of go-redis. It is discarded at its first error, with all
// that the client may have running, and never reconnects by itself: [Server]
// decides when to try again.
type link struct {
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

// newLink returns a client that has not connected yet.
func newLink(u config.RedisURL, passwordFile string) *link {
	l := &link{db: u.DB, nodes: newNodes()}
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

// greet names a new connection and selects the database. A server may have
// neither command, as many managed ones do: without a name the connection
// serves all the same, and without the database all that is about no key does.
func (l *link) greet(ctx context.Context, c *redis.Conn) error {
	pipe := c.Pipeline()
	name := pipe.ClientSetName(ctx, clientName)
	var database *redis.StatusCmd
	if l.db > 0 {
		database = pipe.Select(ctx, l.db)
	}
	if _, err := pipe.Exec(ctx); !isReply(err) {
		return err
	}
	if err := name.Err(); err != nil && ofAll(err) {
		return err
	}
	l.noKeys.Store(nil)
	if database != nil && database.Err() != nil {
		if !refusesCommand(database.Err()) {
			return database.Err()
		}
		l.noKeys.Store(replyFault(database.Err().Error()))
	}
	l.greets.Store(true)
	l.reply.Store(nil) // it explains a hang-up later on, of which these were not the reason
	return nil
}

// pinged returns the error of a PING; nil if it was refused, because a refusal
// is an answer, too.
func (l *link) pinged(err error) error {
	if l.greets.Load() && refusesCommand(err) {
		l.noPing.Store(replyFault(err.Error()))
		return nil
	}
	return err
}

// keys returns why keys cannot be read; nil if they can.
func (l *link) keys() error {
	if e := l.noKeys.Load(); e != nil {
		return e
	}
	return nil
}

// clientOptions sets the limits of a client of go-redis.
func clientOptions(o *redis.UniversalOptions) *redis.UniversalOptions {
	o.DisableIdentity = true
	o.Protocol = 2 // the least that the guard has to know
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.DialerRetries, o.MaxRedirects = -1, 1, -1
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = dialTimeout, patience, patience, patience
	o.PoolSize, o.PipelinePoolSize = 2, -1
	o.ReadBufferSize, o.WriteBufferSize = 16<<10, 4<<10
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o
}

// each calls f for the server, or concurrently for each master of a cluster.
func (l *link) each(ctx context.Context, f func(context.Context, *redis.Client) error) error {
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

// lastReply returns the last error reply read; "" if there was none.
func (l *link) lastReply() string {
	if s := l.reply.Load(); s != nil {
		return *s
	}
	return ""
}

// dialer returns the dial function of a client; it counts the connections.
func (l *link) dialer(u config.RedisURL) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if l.single.Load() {
			return nil, errStale
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

// connect opens a connection by TCP, a UNIX socket or TLS, with a guard that
// stores error replies in reply.
func connect(ctx context.Context, network, addr string, u config.RedisURL, reply *atomic.Pointer[string]) (net.Conn, error) {
	conn, err := (&net.Dialer{KeepAlive: time.Minute}).DialContext(ctx, network, addr)
	if err == nil && u.TLS {
		conn, err = startTLS(ctx, conn, addr, u)
	}
	if err != nil {
		return nil, err
	}
	return &guard{Conn: conn, reply: reply}, nil
}

// startTLS starts TLS on a connection. It reads the certificates each time,
// because they may have been renewed.
func startTLS(ctx context.Context, conn net.Conn, addr string, u config.RedisURL) (net.Conn, error) {
	conf, err := tlsConfig(u)
	if err == nil {
		if conf.ServerName == "" {
			conf.ServerName, _, err = net.SplitHostPort(addr)
		}
		secure := tls.Client(conn, conf)
		if err == nil {
			err = secure.HandshakeContext(ctx)
		}
		if err == nil {
			return secure, nil
		}
		err = fmt.Errorf("%w: %w", errHandshake, err)
	}
	_ = conn.Close()
	return nil, err
}

func tlsConfig(u config.RedisURL) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.ServerName}
	if u.CAFile != "" {
		pem, err := safefile.Read(u.CAFile, safefile.Policy{MaxBytes: maxPEM, AnyOwner: true})
		conf.RootCAs = x509.NewCertPool()
		if err != nil || !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errCertificate
		}
	}
	if u.CertFile != "" {
		cert, err1 := safefile.Read(u.CertFile, safefile.Policy{MaxBytes: maxPEM, AnyOwner: true})
		key, err2 := safefile.Read(u.KeyFile, safefile.Policy{MaxBytes: maxPEM, AnyOwner: true})
		pair, err3 := tls.X509KeyPair(cert, key)
		if err1 != nil || err2 != nil || err3 != nil {
			return nil, errCertificate
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// silence discards what go-redis would print to standard error.
type silence struct{}

// Printf implements the logger of go-redis.
func (silence) Printf(context.Context, string, ...any) {}
