package statsd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// socketMode allows every local user to send, because gunicorn runs as the app's user.
// The kernel attaches the sender's user id to each datagram, and by that the collector
// decides for which apps it counts.
const socketMode = 0o666

// maxPath is the maximum length of the path of a UNIX socket in bytes: sun_path of
// sockaddr_un has 108 with the final zero.
const maxPath = 107

// Errors of paths at which no socket can be bound.
var (
	ErrPath = errors.New("the path of a UNIX socket must begin with / and have at most 107 bytes, none of them zero")
	// ErrOwner is the error if the socket at the path belongs to another user.
	ErrOwner = errors.New("the path is the socket of another user")
)

// socketPath is the path of a bound UNIX socket. Only the inode that was bound is
// changed and removed, through the descriptor of a directory in which no other user can
// replace it.
type socketPath struct {
	file     *safefile.Place
	full     string
	dev, ino uint64 // of the bound socket; 0: none yet
}

// prepareSocketPath returns the path of a socket with its directory open. It removes a
// socket there of root or the exporter's user that no process reads any more, as after a
// crash. Anything else there is an error: a socket that is read, a file or a link. ErrPath:
// the path is not absolute, is too short or too long, or has a zero byte.
func prepareSocketPath(ctx context.Context, full string) (*socketPath, error) {
	if len(full) < 2 || len(full) > maxPath || full[0] != '/' || strings.ContainsRune(full, 0) {
		return nil, ErrPath
	}
	file, err := safefile.Locate(full)
	if err != nil {
		return nil, err
	}
	p := &socketPath{file: file, full: full}
	if err := p.removeStale(ctx); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return p, nil
}

// removeStale removes a socket at the path that no process reads any more. nil: the path is
// free. Anything else there is an error that wraps syscall.EADDRINUSE; if the path cannot
// be looked at or removed, it is that error.
func (p *socketPath) removeStale(ctx context.Context) error {
	st, err := p.file.Stat()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return fmt.Errorf("%s is not a socket: %w", p.full, syscall.EADDRINUSE)
	case !isOwn(st.Uid):
		return fmt.Errorf("%s: %w (user id %d): %w", p.full, ErrOwner, st.Uid, syscall.EADDRINUSE)
	}
	// A connect to a socket that no process reads returns ECONNREFUSED. Only root and the
	// exporter's user can have replaced the socket since Stat.
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "unixgram", p.full)
	switch {
	case err == nil:
		_ = c.Close()
		return fmt.Errorf("a process already listens on %s: %w", p.full, syscall.EADDRINUSE)
	case errors.Is(err, syscall.ECONNREFUSED):
		return p.file.Remove(st.Dev, st.Ino)
	default:
		return fmt.Errorf("a process may already listen on %s (%w): %w", p.full, err, syscall.EADDRINUSE)
	}
}

// setBound records the inode that bind(2) has just created at the path, and sets its
// mode to socketMode. bind follows no link there and replaces nothing.
func (p *socketPath) setBound() error {
	st, err := p.file.Stat()
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK || int64(st.Uid) != int64(os.Geteuid()) {
		return fmt.Errorf("%s was replaced while it was bound", p.full)
	}
	p.dev, p.ino = st.Dev, st.Ino
	return p.file.Chmod(p.dev, p.ino, socketMode)
}

// close removes the socket if it is still the one that was bound.
func (p *socketPath) close() error {
	var err error
	if p.ino != 0 {
		err = p.file.Remove(p.dev, p.ino)
	}
	return errors.Join(err, p.file.Close())
}

// isOwn reports whether a user id is that of root or of the exporter's user.
func isOwn(uid uint32) bool { return uid == 0 || int64(uid) == int64(os.Geteuid()) }
