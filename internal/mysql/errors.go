package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"

	mysqldriver "github.com/go-sql-driver/mysql"

	"github.com/resp-exporter/resp-exporter/internal/mysql/guard"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// textBroken is the text of an error of a server that violates the protocol.
const textBroken = "it does not follow the MySQL protocol"

// Error is a failure in the exporter's own words. It repeats nothing that the
// server or the DSN say, because both name users, hosts and passwords.
type Error struct {
	Reason reason.Reason
	Broken bool   // it does not keep to the protocol, or sends too much
	Text   string // a sentence without a full stop
	Need   string // the right that is missing, such as "PROCESS"; "" for none
	Full   bool   // the server has no connection left for anybody
	// Remedy is what an administrator does about it, one way a line, with
	// [Placeholder] for the account; "" where there is nothing to paste.
	Remedy string

	lost bool // the connection cannot be used any more
	cut  bool // the other side ended it
}

// Placeholder stands for the exporter's account in a remedy.
const Placeholder = "'USER'@'HOST'"

// The remedies of what a server answers.
const (
	remedyLogin = "ALTER USER " + Placeholder + " IDENTIFIED BY 'PASSWORD'; and PASSWORD into password_file\n" +
		"CREATE USER " + Placeholder + " IDENTIFIED BY 'PASSWORD' WITH MAX_USER_CONNECTIONS 3; GRANT PROCESS ON *.* TO " + Placeholder + ";"
	remedyPassword = "ALTER USER " + Placeholder + " IDENTIFIED BY 'PASSWORD'; and PASSWORD into password_file"
	remedyHost     = "CREATE USER " + Placeholder + " IDENTIFIED BY 'PASSWORD' WITH MAX_USER_CONNECTIONS 3; GRANT PROCESS ON *.* TO " + Placeholder + "; with the address of this host for HOST"
	remedyLimit    = "ALTER USER " + Placeholder + " WITH MAX_USER_CONNECTIONS 3;"
	remedyFull     = "SHOW PROCESSLIST as an administrator (one connection is reserved) shows who holds the connections\nmax_connections higher, below [mysqld] in its my.cnf"
	remedyBlocked  = "FLUSH HOSTS;\nTRUNCATE TABLE performance_schema.host_cache; (MySQL 8.0.23 and later)"
	remedyUnlock   = "ALTER USER " + Placeholder + " ACCOUNT UNLOCK;"
	remedyProcess  = "GRANT PROCESS ON *.* TO " + Placeholder + ";"
	remedyNoTLS    = "ssl_cert and ssl_key below [mysqld] in its my.cnf\nno tls= in the dsn, if the network between them is trusted"
	remedyNobody   = "systemctl status mariadb (or mysql): check that it runs, and its port and bind-address"
	remedyStranger = "copy the certificate of its CA to /usr/local/share/ca-certificates, then update-ca-certificates"
)

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Is reports that an error whose reason is a timeout is a [context.DeadlineExceeded].
func (e *Error) Is(target error) bool {
	return e.Reason == reason.Timeout && target == context.DeadlineExceeded
}

// classify returns the [Error] for any error that is not nil, without texts of the
// server.
func classify(err error) *Error {
	var ours *Error
	var answer *mysqldriver.MySQLError
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.Is(err, guard.ErrProtocol):
		return &Error{Reason: reason.Failed, Broken: true, Text: textBroken, lost: true}
	case errors.Is(err, guard.ErrTooLarge):
		return &Error{Reason: reason.Failed, Broken: true, Text: "it sent more data than a MySQL server would", lost: true}
	case errors.As(err, &answer):
		return explainAnswer(answer.Number)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return &Error{Reason: reason.Timeout, Text: "it does not answer in time", lost: true}
	}
	if e := explainTLS(err); e != nil {
		return e
	}
	return explainNet(err)
}

// answers are the server's error numbers that mean something to us.
var answers = map[uint16]Error{ //nolint:gochecknoglobals // a table that nothing changes
	1040: {Reason: reason.Busy, Full: true, Text: "it has no connection left (max_connections)", Remedy: remedyFull, lost: true},
	1203: {Reason: reason.Busy, Text: "the user has no connection left (max_user_connections)", Remedy: remedyLimit, lost: true},
	1226: {Reason: reason.Busy, Text: "the user has reached a limit of its account, such as max_user_connections", Remedy: remedyLimit, lost: true},
	1044: {Reason: reason.Permission, Text: "the user has no access to this database", lost: true},
	1045: {Reason: reason.Permission, Text: "it refuses the user or the password", Remedy: remedyLogin, lost: true},
	1698: {Reason: reason.Permission, Text: "it refuses the user or the password", Remedy: remedyLogin, lost: true},
	1130: {Reason: reason.Permission, Text: "it accepts no connections from this host", Remedy: remedyHost, lost: true},
	1129: {Reason: reason.Permission, Text: "it has blocked this host after too many failed connections (FLUSH HOSTS)", Remedy: remedyBlocked, lost: true},
	1820: {Reason: reason.Permission, Text: "the user's password has expired", Remedy: remedyPassword},
	1862: {Reason: reason.Permission, Text: "the user's password has expired", Remedy: remedyPassword, lost: true},
	3118: {Reason: reason.Permission, Text: "the user's account is locked", Remedy: remedyUnlock, lost: true},
	4151: {Reason: reason.Permission, Text: "the user's account is locked", Remedy: remedyUnlock, lost: true},
	1142: {Reason: reason.Permission, Text: "the user lacks a right", Need: "SELECT"},
	1143: {Reason: reason.Permission, Text: "the user lacks a right", Need: "SELECT"},
	1227: {Reason: reason.Permission, Text: "the user lacks a right", Need: "PROCESS", Remedy: remedyProcess},
	1095: {Reason: reason.Permission, Text: "the user may not end connections of other users", Need: "CONNECTION ADMIN"},
	1370: {Reason: reason.Permission, Text: "the user may not call the procedure", Need: "EXECUTE"},
	1305: {Reason: reason.Unsupported, Text: "it has no such procedure"},
	1318: {Reason: reason.Unsupported, Text: "its procedure has other parameters, see deploy/sql"},
	1449: {Reason: reason.Unsupported, Text: "the account that the procedure runs as does not exist"},
	1969: {Reason: reason.Timeout, Text: "the server aborted the statement because it reached its time limit"},
	3024: {Reason: reason.Timeout, Text: "the server aborted the statement because it reached its time limit"},
	1205: {Reason: reason.Timeout, Text: "the statement waited too long for a lock"},
	1053: {Reason: reason.NotFound, Text: "it is shutting down", lost: true},
	1927: {Reason: reason.NotFound, Text: "the connection was closed", lost: true, cut: true}, // MariaDB: killed
	4031: {Reason: reason.NotFound, Text: "the connection was closed", lost: true, cut: true}, // MySQL 8: wait_timeout
	1049: {Reason: reason.Unsupported, Text: "it has no such database", lost: true},
	1109: {Reason: reason.Unsupported, Text: "it has no such table"},
	1146: {Reason: reason.Unsupported, Text: "it has no such table"},
	1193: {Reason: reason.Unsupported, Text: "it has no such variable"},
}

// explainAnswer returns the error for an error number of the server; reason failed if the
// number is not known.
func explainAnswer(number uint16) *Error {
	if e, ok := answers[number]; ok {
		return &e
	}
	return &Error{Reason: reason.Failed, Text: fmt.Sprintf("it returned error %d", number)}
}

// explainTLS returns the error for a server without the TLS that the DSN requires, or whose
// certificate or first TLS record is refused; nil if err is of another kind.
func explainTLS(err error) *Error {
	var record tls.RecordHeaderError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	text, remedy := "", ""
	switch {
	case errors.Is(err, mysqldriver.ErrNoTLS):
		return &Error{Reason: reason.Unsupported, Text: "the DSN requires TLS, which the server does not offer", Remedy: remedyNoTLS, lost: true}
	case errors.As(err, &host):
		text = "its certificate is for another name"
	case errors.As(err, &authority):
		remedy = remedyStranger
		text = "its certificate is signed by a CA that this host does not trust"
	case errors.As(err, &invalid):
		text = "its certificate is not valid"
	case errors.As(err, &verify), errors.As(err, &record):
		text = "the TLS handshake failed"
	default:
		return nil
	}
	return &Error{Reason: reason.Failed, Text: text, Remedy: remedy, lost: true}
}

// explainNet returns the error for a failed connection, never nil: for an error of
// another kind, reason failed with its type alone, and the connection counts as lost.
func explainNet(err error) *Error {
	var dns *net.DNSError
	var wire net.Error
	lost := &Error{Reason: reason.NotFound, lost: true}
	switch {
	case errors.As(err, &dns):
		lost.Text = "its host name cannot be resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		lost.Text, lost.Remedy = "connection refused at its address", remedyNobody
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		lost.Text = "there is no route to its host"
	case errors.Is(err, fs.ErrNotExist):
		lost.Text = "its socket does not exist"
	case errors.Is(err, fs.ErrPermission):
		return &Error{Reason: reason.Permission, Text: "its socket may not be opened by the exporter's user", lost: true}
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, mysqldriver.ErrInvalidConn), errors.Is(err, sql.ErrConnDone),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		lost.Text, lost.cut = "the connection was closed", true
	case errors.As(err, &wire) && wire.Timeout():
		return &Error{Reason: reason.Timeout, Text: "it does not answer in time", lost: true}
	case errors.Is(err, context.Canceled):
		return &Error{Reason: reason.Failed, Text: "the query was cancelled", lost: true}
	default:
		// Its words are not ours to repeat, and after an error that nobody
		// foresaw a fresh connection is the safe choice.
		return &Error{Reason: reason.Failed, Text: fmt.Sprintf("it failed with an unexpected error (%T)", err), lost: true}
	}
	return lost
}
