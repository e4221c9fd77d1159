package mysql_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	mysqldriver "github.com/go-sql-driver/mysql"

	"github.com/resp-exporter/resp-exporter/internal/golden"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/mysql/guard"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

var updateGolden = flag.Bool("update", false, "write the golden files instead of comparing with them")

// Each sentence about a server, with its reason, the right that is missing and what an
// administrator does about it; then those that stand elsewhere in the source.
func TestGoldenSentences(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	write := func(name string, err error) {
		e := mysql.Explain(err)
		fmt.Fprintf(&out, "%s: %s: %s\n", name, e.Reason, e.Text)
		if e.Need != "" {
			fmt.Fprintf(&out, "\tneeds %s\n", e.Need)
		}
		for line := range strings.Lines(e.Remedy) {
			fmt.Fprintf(&out, "\t> %s\n", strings.TrimSuffix(line, "\n"))
		}
	}
	numbers := mysql.Answers()
	slices.Sort(numbers)
	for _, n := range append(numbers, 9999) {
		write(fmt.Sprint("error ", n), &mysqldriver.MySQLError{Number: n, Message: "hunter2"})
	}
	for _, c := range []struct {
		name string
		err  error
	}{
		{"deadline", context.DeadlineExceeded}, {"cancelled", context.Canceled}, {"another protocol", guard.ErrProtocol}, {"too large", guard.ErrTooLarge},
		{"no TLS", mysqldriver.ErrNoTLS}, {"another name", x509.HostnameError{Certificate: &x509.Certificate{}}}, {"unknown CA", x509.UnknownAuthorityError{}},
		{"invalid certificate", x509.CertificateInvalidError{}}, {"handshake", tls.RecordHeaderError{}},
		{"no such host", &net.DNSError{}}, {"refused", syscall.ECONNREFUSED}, {"no route", syscall.EHOSTUNREACH}, {"no socket", fs.ErrNotExist},
		{"socket closed to us", fs.ErrPermission}, {"closed", driver.ErrBadConn}, {"unexpected", errors.New("hunter2")},
		{"password file", mysql.PasswordError(&secret.Error{Err: secret.ErrEmpty})}, {"password file of others", mysql.PasswordError(errors.New("hunter2"))},
	} {
		write(c.name, c.err)
	}
	constants := make(golden.Constants)
	golden.Sources(t, ".", false, func(_ string, file *ast.File) { constants.Add(file) })
	golden.Sources(t, ".", false, func(path string, file *ast.File) {
		if path == "errors.go" {
			for _, s := range golden.Sentences(file) {
				if !strings.Contains(out.String(), s) {
					t.Errorf("%s: no error of the test has %q", path, s)
				}
			}
			return
		}
		for _, v := range constants.Values(file, "Error", "Reason", "Text") {
			fmt.Fprintf(&out, "%s: %s: %s\n", filepath.Base(path), v[0], v[1])
		}
	})
	golden.Check(t, "sentences.golden", out.Bytes(), *updateGolden)
}
