package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

// Error is why a read failed, in the exporter's own words: messages of servers and of the
// network may contain users' names, addresses and keys.
type Error struct {
	Reason reason.Reason
	Detail string // completes "redis cache …", e.g. "refuses the user or the password"
	// Remedy is what an administrator can do about it, one command per line, with
	// [Placeholder] for the user; "" if there is none.
	Remedy string
	// Answered is that the server answers, and refused no more than a command.
	Answered bool
	// Script is that the server runs a script or a function, and nothing else.
	Script bool

	cause error // of the caller's function; nil: the detail says all
}

// Placeholder stands for the exporter's user in a remedy.
const Placeholder = "<user>"

// The remedies of what a server answers. Before version 6 it has no users.
const (
	remedyNoLogin = "ACL SETUSER " + Placeholder + " on >PASSWORD +ping +info +client|setname; and that user into the url, PASSWORD into password_file\n" +
		"before Redis 6: no user in the url, and the password of requirepass into password_file"
	remedyLogin = "ACL SETUSER " + Placeholder + " on >PASSWORD; and PASSWORD into password_file\n" +
		"before Redis 6: no user in the url, and the password of requirepass into password_file"
	remedyProtected = "requirepass PASSWORD in its redis.conf, and PASSWORD into password_file"
	remedyLoading   = "INFO persistence: loading_eta_seconds is the remaining time"
	remedyScript    = "SCRIPT KILL"
	remedyNobody    = "systemctl status redis-server: check that it runs, and its port and bind"
	remedyFull      = "CLIENT LIST shows who holds the connections\nCONFIG SET maxclients with a larger number"
)

// Error implements error.
func (e *Error) Error() string { return e.Detail }

// Unwrap returns the error of a function that [Server.Do] called, if the connection was
// well and the server did not refuse; nil for any other.
func (e *Error) Unwrap() error { return e.cause }

// Errors of this package, inside of those that go-redis returns.
var (
	errCertificate = errors.New("certificate files")
	errHandshake   = errors.New("TLS handshake")
	errProtocol    = errors.New("not the Redis protocol")
	errNodes       = errors.New("too many nodes")
)

// ErrTooLarge is the error of a reply that is larger than the guard lets through;
// it ends the connection.
var ErrTooLarge = errors.New("a reply that is too large")

// ErrStale is the error of a read on another connection than the one on which
// the nodes were listed.
var ErrStale = errors.New("the connection was replaced")

// used are the commands that the exporter sends, as an ACL rule writes them. Of a server's
// message only a command of this list is repeated.
const used = `ping|info|select|cluster\|slots|cluster|client\|setname|client\|list|client|auth|hello|llen|lrange|zcard|zcount|zrangebyscore|scard|srandmember|` +
	`hmget|hlen|hget|hset|hdel|exists|xadd|xlen|xdel|xack|xreadgroup|xgroup\|create|xgroup|scan|ttl|memory\|usage|memory|time|set|get|del|expire|zadd|zremrangebyscore|zrem|watch|unwatch|multi|exec|` +
	`object\|idletime|object|unlink|sentinel\|get-master-addr-by-name|sentinel|slowlog\|get|slowlog`

var (
	// command is what a user may not run: "… no permissions to run the 'client|setname' command".
	command = regexp.MustCompile(`'(` + used + `)'`)
	// unknown is what a server does not have: "ERR unknown command 'INFO', with args beginning with: …".
	unknown = regexp.MustCompile("(?i)['`\"](" + used + ")['`\"]")
	// missing matches the messages that a server does not have a command or allows it
	// to no user: those of Redis, compatible servers and managed services.
	missing = regexp.MustCompile(`(?i)^ERR .*(unknown (sub)?command|unsupported command|not (be )?(supported?|available|allowed|enabled|permitted)|is disabled|no such command)`)
)

// RefusesCommand reports whether a server refused one command only: it does not know or
// allow it, or the user may not use it (NOPERM with the name of a command that the exporter
// sends). False for nil, and where the user lacks a right to a key. After a failed connect,
// the command is one of those that log in.
func RefusesCommand(err error) bool {
	var answered redis.Error
	if !errors.As(err, &answered) {
		return false
	}
	text := answered.Error()
	return missing.MatchString(text) || strings.HasPrefix(text, "NOPERM ") && command.MatchString(text)
}

// IsReply reports whether err is nil or an error reply of the server.
func IsReply(err error) bool {
	var answered redis.Error
	return err == nil || errors.As(err, &answered)
}

// ofConnection reports whether err says that a connection broke, could not be made or was
// not used in time, or is known to [localFault], as a reply that is too large. An [Error]
// counts as one, because its reason is known.
func ofConnection(err error) bool {
	for _, e := range []error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, context.Canceled,
		redis.ErrClosed, redis.ErrPoolTimeout, redis.ErrPoolExhausted,
		errHandshake, errSentinel, errNoMaster, ErrStale,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	_, ours := errors.AsType[*Error](err)
	_, network := errors.AsType[net.Error](err)
	return ours || network || localFault(err) != nil || networkFault(err) != nil
}

// unusable returns the [Error] for an error of a caller's function, or of go-redis about a
// reply of another type.
func unusable(err error) *Error {
	return &Error{Reason: reason.Failed, Detail: "sent a reply that the exporter cannot use", cause: err}
}

// ofAll reports whether an error reply is about the connection or the server as a whole,
// not only about the command that it replies to.
func ofAll(err error) bool {
	code, rest, _ := strings.Cut(err.Error(), " ")
	switch code {
	case "NOAUTH", "WRONGPASS", "DENIED", "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN":
		return true
	}
	return strings.HasPrefix(rest, "max number of clients")
}

// NamesCommand reports whether an error reply has, in single quotes, the name of a
// command that the exporter sends.
func NamesCommand(text string) bool { return command.MatchString(text) }

// FaultOf returns the [Error] for err, which is err itself if it is one; for an unknown
// error, that the connection was closed (reason failed). It is for errors where there is
// neither a last error reply nor TLS to consider.
func FaultOf(err error) *Error { return classify(err, "", false) }

// classify returns the [Error] for err, never nil: err itself if it is one. reply is the
// last error reply that the connection read, "" for none, because go-redis forgets it
// when the server closes the connection. encrypted is whether TLS is used.
func classify(err error, reply string, encrypted bool) *Error {
	if f, ok := errors.AsType[*Error](err); ok {
		return f
	}
	if errors.Is(err, ErrStale) {
		return &Error{Reason: reason.Failed, Detail: "closed the connection during the request"}
	}
	if errors.Is(err, errNoMaster) {
		return &Error{Reason: reason.NotFound, Detail: "has sentinels that do not know a master of that name"}
	}
	if errors.Is(err, errSentinel) {
		return &Error{Reason: faultOf(err, "", encrypted).Reason, Detail: "cannot be located: no sentinel returned its address"}
	}
	return faultOf(err, reply, encrypted)
}

// faultOf returns the [Error] for err, never nil. An error of an unknown kind becomes
// that of reply, the last error reply of the server, or if that is "" that the connection
// was closed. encrypted: the connection uses TLS.
func faultOf(err error, reply string, encrypted bool) *Error {
	if ours, ok := errors.AsType[*Error](err); ok {
		return ours
	}
	if f := localFault(err); f != nil {
		return f
	}
	if answered, ok := errors.AsType[redis.Error](err); ok {
		return ReplyFault(answered.Error())
	}
	if f := networkFault(err); f != nil {
		return f
	}
	if reply != "" {
		return ReplyFault(reply)
	}
	if encrypted { // in TLS 1.3 the client thinks that all is well before it is refused
		return &Error{Reason: reason.Failed, Detail: "closed the connection without a reply: it may require a client certificate, set cert_file and key_file in its url"}
	}
	return &Error{Reason: reason.Failed, Detail: "closed the connection without a reply: if it uses TLS, its url must begin with rediss"}
}

// localFault returns the [Error] for what the exporter itself found wrong; nil for any
// other error.
func localFault(err error) *Error {
	if e, ok := errors.AsType[*secret.Error](err); ok {
		return &Error{Reason: e.Reason(), Detail: "cannot be queried: its password_file cannot be read: " + e.Why(), Remedy: e.Remedy()}
	}
	switch {
	case errors.Is(err, errCertificate):
		return &Error{Reason: reason.Permission, Detail: "cannot be queried: a certificate file of its url cannot be read or contains no certificate"}
	case errors.Is(err, errProtocol):
		return &Error{Reason: reason.Failed, Detail: "does not speak the Redis protocol; if it uses TLS, its url must begin with rediss"}
	case errors.Is(err, errNodes):
		return &Error{Reason: reason.Failed, Detail: "has too many nodes: the limit is 500, and about a sixteenth of the limit of open files (ulimit -n)"}
	case errors.Is(err, ErrTooLarge):
		return &Error{Reason: reason.Failed, Detail: "sent a reply that is too large for Redis"}
	}
	return nil
}

// ReplyFault returns the [Error] for an error reply, such as "-NOAUTH Authentication
// required.", with a remedy if there is one. An unknown reply has the reason failed, and
// of its text only the code is kept.
func ReplyFault(text string) *Error {
	code, rest, _ := strings.Cut(strings.TrimPrefix(text, "-"), " ")
	switch {
	case code == "NOAUTH":
		return &Error{Reason: reason.Permission, Detail: "requires authentication: set a user in its url, and a password_file", Remedy: remedyNoLogin}
	case code == "WRONGPASS", strings.HasPrefix(rest, "invalid password"), strings.HasPrefix(rest, "AUTH "), strings.HasPrefix(rest, "Client sent AUTH"):
		return &Error{Reason: reason.Permission, Detail: "refuses the user or the password", Remedy: remedyLogin}
	case code == "NOPERM":
		if m := command.FindStringSubmatch(text); m != nil {
			if m[1] == "memory" { // before Redis 7 the command is named without the rest
				m[1] = "memory|usage"
			}
			remedy := "ACL SETUSER " + Placeholder + " +" + m[1]
			return &Error{Reason: reason.Permission, Detail: "needs a right for its user: " + remedy, Remedy: remedy, Answered: true}
		}
		return &Error{Reason: reason.Permission, Detail: "needs more rights for its user: see docs/redis.md", Remedy: "ACL SETUSER " + Placeholder + " " + baseRights, Answered: true}
	case code == "DENIED":
		return &Error{Reason: reason.Permission, Detail: "is in protected mode: it accepts only connections from the loopback", Remedy: remedyProtected}
	case code == "LOADING":
		return &Error{Reason: reason.Busy, Detail: "is loading its data from disk", Remedy: remedyLoading}
	case code == "BUSY":
		return &Error{Reason: reason.Busy, Detail: "is busy with a script and answers no other commands", Remedy: remedyScript, Script: true}
	case code == "MASTERDOWN", code == "CLUSTERDOWN":
		return &Error{Reason: reason.Failed, Detail: "says " + code}
	case strings.HasPrefix(rest, "max number of clients"):
		return &Error{Reason: reason.Busy, Detail: "has reached maxclients and accepts no more connections", Remedy: remedyFull}
	case missing.MatchString(strings.TrimPrefix(text, "-")):
		return missingFault(text)
	case strings.HasPrefix(rest, "DB index"):
		return &Error{Reason: reason.NotFound, Detail: "has no database with that number"}
	}
	return &Error{Reason: reason.Failed, Detail: "returned an error" + codeOf(code), Answered: true}
}

// missingFault returns the [Error], reason unsupported, for the reply that a command is
// not known; with the command's name if the reply has one that the exporter sends.
func missingFault(text string) *Error {
	what := "a command that the exporter needs"
	if m := unknown.FindStringSubmatch(text); m != nil {
		what = "the command " + strings.ToUpper(strings.ReplaceAll(m[1], "|", " "))
	}
	return &Error{Reason: reason.Unsupported, Detail: "does not have " + what + ": it is renamed or disabled", Answered: true}
}

var plainCode = regexp.MustCompile(`^[A-Z]{3,16}$`)

// codeOf returns ", " and the code of an error reply; "" for ERR and for anything but 3
// to 16 capital letters. The rest of a reply may hold anything.
func codeOf(code string) string {
	if code == "ERR" || !plainCode.MatchString(code) {
		return ""
	}
	return ", " + code
}

// networkFault returns the [Error] for an error of the network or of TLS; nil for any
// other error.
func networkFault(err error) *Error {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && !dns.IsTimeout:
		return &Error{Reason: reason.NotFound, Detail: "has a host name that cannot be resolved"}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		if errors.Is(err, errHandshake) { // Redis itself waits for the end of a line
			return &Error{Reason: reason.Timeout, Detail: "did not answer the TLS handshake in time: if it does not use TLS, its url must begin with redis, not rediss"}
		}
		return &Error{Reason: reason.Timeout, Detail: "did not answer in time"}
	case errors.Is(err, context.Canceled):
		return &Error{Reason: reason.Timeout, Detail: "was not queried in time: the scrape was cancelled"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &Error{Reason: reason.NotFound, Detail: "does not listen at its address", Remedy: remedyNobody}
	case errors.Is(err, fs.ErrNotExist):
		return &Error{Reason: reason.NotFound, Detail: "has no socket at its path"}
	case errors.Is(err, fs.ErrPermission):
		return &Error{Reason: reason.Permission, Detail: "has a socket that the exporter's user may not open"}
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return &Error{Reason: reason.NotFound, Detail: "cannot be reached: no route to its address"}
	}
	return tlsFault(err)
}

// tlsFault returns the error for a TLS handshake that failed, nil if err is of another
// kind.
func tlsFault(err error) *Error {
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	var alert *net.OpError
	var host x509.HostnameError
	switch {
	case errors.As(err, &record):
		return &Error{Reason: reason.Failed, Detail: "does not use TLS; its url must begin with redis, not rediss"}
	case errors.As(err, &host):
		return &Error{Reason: reason.Failed, Detail: "has a certificate for another name; set server_name in its url"}
	case errors.As(err, &verify):
		return &Error{Reason: reason.Failed, Detail: "has a certificate that is not trusted; set ca_file in its url"}
	case errors.As(err, &alert) && alert.Op == "remote error":
		return &Error{Reason: reason.Failed, Detail: "aborted the TLS handshake: it may require a client certificate, set cert_file and key_file in its url"}
	}
	return nil
}
