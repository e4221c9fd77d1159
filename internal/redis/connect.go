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
)

const (
	// dialTimeout bounds a connect that its reader no longer waits for.
	dialTimeout = time.Second
	// maxPEM bounds a certificate file, in bytes.
	maxPEM = 1 << 20
)

// clientOptions sets the limits of a client of go-redis in o, and returns it.
func clientOptions(o *redis.UniversalOptions) *redis.UniversalOptions {
	o.DisableIdentity = true
	o.Protocol = 2 // the least that the guard has to know
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.DialerRetries, o.MaxRedirects = -1, 1, -1
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = dialTimeout, Patience, Patience, Patience
	o.PoolSize, o.PipelinePoolSize = 2, -1
	o.ReadBufferSize, o.WriteBufferSize = 16<<10, 4<<10
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o
}

// connect opens a connection by TCP, a UNIX socket or TLS, which the caller closes. Its
// guard checks what the server sends, and stores error replies in reply.
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

// startTLS returns a connection with TLS on conn, which it closes on an error. The error
// is errCertificate, or wraps errHandshake. It reads the certificates each time, because
// they may have been renewed.
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

// tlsConfig returns the TLS configuration of a URL. errCertificate: a file of it cannot be
// read, or is no certificate or key.
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
