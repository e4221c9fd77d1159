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
)

func TestBackoff(t *testing.T) {
	for n, limit := range []time.Duration{0, 1, 2, 4, 8, 16, 32, 60, 60} {
		for range 100 {
			if d := mysql.Backoff(n, mysql.Denied); d < limit*time.Second/2 || d > limit*time.Second {
				t.Fatalf("after %d failures %s, want up to %d s", n, d, limit)
			}
		}
	}
	for _, n := range []int{10, 100, 1 << 30} {
		if d := mysql.Backoff(n, mysql.Unreachable); d > 4*time.Second || d < 2*time.Second {
			t.Errorf("where nobody is: %s", d)
		}
	}
	if d := mysql.Backoff(0, mysql.Timeout); d < time.Second/2 {
		t.Errorf("after a hang: %s", d)
	}
}

// Whatever goes wrong, our words for it are ours.
func TestExplain(t *testing.T) {
	const word = "hunter2"
	answer := func(n uint16) error { return &mysqldriver.MySQLError{Number: n, Message: word} }
	op := func(err error) error { return &net.OpError{Op: "dial", Net: word, Err: err} }
	tests := []struct {
		err  error
		kind mysql.Kind
	}{
		{answer(1045), mysql.Denied}, {answer(1227), mysql.Denied}, {answer(1129), mysql.Denied}, {answer(1040), mysql.Busy}, {answer(1203), mysql.Busy}, {answer(1226), mysql.Busy},
		{answer(1969), mysql.Timeout}, {answer(3024), mysql.Timeout}, {answer(1146), mysql.Unsupported}, {answer(1064), mysql.Other}, {answer(1053), mysql.Unreachable},
		{fmt.Errorf("%s: %w", word, context.DeadlineExceeded), mysql.Timeout}, {op(os.ErrDeadlineExceeded), mysql.Timeout}, {op(syscall.ETIMEDOUT), mysql.Timeout},
		{op(syscall.ECONNREFUSED), mysql.Unreachable}, {op(syscall.ENOENT), mysql.Unreachable}, {op(syscall.EHOSTUNREACH), mysql.Unreachable}, {op(syscall.EACCES), mysql.Denied},
		{&net.DNSError{Err: word, Name: word}, mysql.Unreachable}, {driver.ErrBadConn, mysql.Unreachable}, {mysqldriver.ErrInvalidConn, mysql.Unreachable}, {io.ErrUnexpectedEOF, mysql.Unreachable},
		{mysqldriver.ErrNoTLS, mysql.Unsupported}, {x509.UnknownAuthorityError{}, mysql.Other}, {x509.CertificateInvalidError{Detail: word}, mysql.Other},
		{context.Canceled, mysql.Other}, {errors.New(word), mysql.Other}, {mysqldriver.ErrMalformPkt, mysql.Other},
	}
	for _, test := range tests {
		e := mysql.Explain(test.err)
		if e.Kind != test.kind || e.Text == "" || strings.Contains(fmt.Sprintf("%v %+v", e, *e), word) {
			t.Errorf("%T %v gives kind %d, %+v; want kind %d", test.err, test.err, e.Kind, *e, test.kind)
		}
		if (test.kind == mysql.Busy || errors.Is(test.err, syscall.ECONNREFUSED)) && e.Cure == "" {
			t.Errorf("%v has no cure", test.err)
		}
		if errors.Is(e, context.DeadlineExceeded) != (test.kind == mysql.Timeout) {
			t.Errorf("%v is a deadline: %t", e, errors.Is(e, context.DeadlineExceeded))
		}
	}
}
