package redis_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/golden"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

var updateGolden = flag.Bool("update", false, "write the golden files instead of comparing with them")

// Each sentence about a server, by what it replies or how the connection fails, with its
// reason and what an administrator does about it; then those that stand elsewhere in the
// source of this package and of those below it.
func TestGoldenSentences(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	write := func(name string, e *redis.Error) {
		fmt.Fprintf(&out, "%s: %s: %s\n", name, e.Reason, e.Detail)
		for line := range strings.Lines(e.Remedy) {
			fmt.Fprintf(&out, "\t> %s\n", strings.TrimSuffix(line, "\n"))
		}
	}
	for _, reply := range []string{
		"NOAUTH Authentication required.", "WRONGPASS invalid username-password pair or user is disabled.", "ERR invalid password", "ERR AUTH <password> called without any password configured",
		"ERR Client sent AUTH, but no password is set", "NOPERM User hunter2 has no permissions to run the 'client|setname' command", "NOPERM this user has no permissions to run the 'memory' command or its subcommand",
		"NOPERM No permissions to access a key", "DENIED Redis is running in protected mode", "LOADING Redis is loading the dataset in memory", "BUSY Redis is busy running a script.",
		"MASTERDOWN Link with MASTER is down", "CLUSTERDOWN The cluster is down", "ERR max number of clients reached", "ERR unknown command 'INFO', with args beginning with: ", "ERR Command is not available: 'hunter2'",
		"ERR DB index is out of range", "MISCONF hunter2", "hunter2 hunter2",
	} {
		write(reply, redis.ReplyFault("-"+reply))
	}
	for _, c := range []struct {
		name string
		err  error
	}{
		{"another connection", redis.ErrStale}, {"no master of the name", redis.ErrNoMaster}, {"no sentinel", errors.Join(redis.ErrSentinel, syscall.ECONNREFUSED)},
		{"password file", &secret.Error{Err: secret.ErrEmpty}}, {"certificate file", redis.ErrCertificate}, {"another protocol", redis.ErrProtocol}, {"many nodes", redis.ErrNodes}, {"too large", redis.ErrTooLarge},
		{"no such host", &net.DNSError{}}, {"deadline", context.DeadlineExceeded}, {"deadline of a handshake", errors.Join(redis.ErrHandshake, context.DeadlineExceeded)}, {"cancelled", context.Canceled},
		{"refused", syscall.ECONNREFUSED}, {"no socket", fs.ErrNotExist}, {"socket closed to us", fs.ErrPermission}, {"no route", syscall.EHOSTUNREACH},
		{"no TLS", tls.RecordHeaderError{}}, {"another name", x509.HostnameError{Certificate: &x509.Certificate{}}}, {"unknown CA", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}},
		{"alert of TLS", &net.OpError{Op: "remote error", Err: errors.New("hunter2")}}, {"closed", io.EOF},
	} {
		write(c.name, redis.Explain(c.err, "", false))
	}
	write("closed with TLS", redis.Explain(io.EOF, "", true))
	write("closed after a reply", redis.Explain(io.EOF, "-NOAUTH Authentication required.", true))
	write("a caller's own", redis.Unusable(errors.New("hunter2")))
	constants := make(golden.Constants)
	golden.Sources(t, ".", true, func(_ string, file *ast.File) { constants.Add(file) })
	golden.Sources(t, ".", true, func(path string, file *ast.File) {
		if path == "errors.go" {
			for _, s := range golden.Sentences(file) {
				if !strings.Contains(out.String(), s) && !strings.HasPrefix(s, "(?i)") {
					t.Errorf("%s: no error of the test has %q", path, s)
				}
			}
			return
		}
		for _, v := range constants.Values(file, "Error", "Reason", "Detail") {
			fmt.Fprintf(&out, "%s: %s: %s\n", path, v[0], v[1])
		}
		for _, v := range constants.Values(file, "Refusal", "Text") {
			fmt.Fprintf(&out, "%s: refusal: %s\n", path, v[0])
		}
	})
	golden.Check(t, "sentences.golden", out.Bytes(), *updateGolden)
}
