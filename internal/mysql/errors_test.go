package mysql_test

import (
	"context"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"

	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

func TestBackoff(t *testing.T) {
	for n, limit := range []time.Duration{0, 1, 2, 4, 8, 16, 32, 60, 60} {
		for range 100 {
			if d := mysql.Backoff(n, &mysql.Error{Reason: reason.Permission}); d < limit*time.Second/2 || d > limit*time.Second {
				t.Fatalf("after %d failures %s, want up to %d s", n, d, limit)
			}
		}
	}
	for _, n := range []int{10, 100, 1 << 30} {
		if d := mysql.Backoff(n, &mysql.Error{Reason: reason.NotFound}); d > 4*time.Second || d < 2*time.Second {
			t.Errorf("where nobody is: %s", d)
		}
	}
	if d := mysql.Backoff(0, &mysql.Error{Reason: reason.Timeout}); d < time.Second/2 {
		t.Errorf("after a hang: %s", d)
	}
}

// The text of an error is the exporter's own, never the server's.
func TestExplain(t *testing.T) {
	const word = "hunter2"
	answer := func(n uint16) error { return &mysqldriver.MySQLError{Number: n, Message: word} }
	op := func(err error) error { return &net.OpError{Op: "dial", Net: word, Err: err} }
	tests := []struct {
		err  error
		kind reason.Reason
	}{
		{answer(1045), reason.Permission}, {answer(1227), reason.Permission}, {answer(1129), reason.Permission}, {answer(1040), reason.Busy}, {answer(1203), reason.Busy}, {answer(1226), reason.Busy},
		{answer(1969), reason.Timeout}, {answer(3024), reason.Timeout}, {answer(1146), reason.Unsupported}, {answer(1064), reason.Failed}, {answer(1053), reason.NotFound},
		{fmt.Errorf("%s: %w", word, context.DeadlineExceeded), reason.Timeout}, {op(os.ErrDeadlineExceeded), reason.Timeout}, {op(syscall.ETIMEDOUT), reason.Timeout},
		{op(syscall.ECONNREFUSED), reason.NotFound}, {op(syscall.ENOENT), reason.NotFound}, {op(syscall.EHOSTUNREACH), reason.NotFound}, {op(syscall.EACCES), reason.Permission},
		{&net.DNSError{Err: word, Name: word}, reason.NotFound}, {driver.ErrBadConn, reason.NotFound}, {mysqldriver.ErrInvalidConn, reason.NotFound}, {io.ErrUnexpectedEOF, reason.NotFound},
		{mysqldriver.ErrNoTLS, reason.Unsupported}, {x509.UnknownAuthorityError{}, reason.Failed}, {x509.CertificateInvalidError{Detail: word}, reason.Failed},
		{context.Canceled, reason.Failed}, {errors.New(word), reason.Failed}, {mysqldriver.ErrMalformPkt, reason.Failed},
	}
	for _, test := range tests {
		e := mysql.Explain(test.err)
		if e.Reason != test.kind || e.Text == "" || strings.Contains(fmt.Sprintf("%v %+v", e, *e), word) {
			t.Errorf("%T %v gives kind %s, %+v; want kind %s", test.err, test.err, e.Reason, *e, test.kind)
		}
		if (test.kind == reason.Busy || errors.Is(test.err, syscall.ECONNREFUSED)) && e.Remedy == "" {
			t.Errorf("%v has no remedy", test.err)
		}
		if errors.Is(e, context.DeadlineExceeded) != (test.kind == reason.Timeout) {
			t.Errorf("%v is a deadline: %t", e, errors.Is(e, context.DeadlineExceeded))
		}
	}
}
