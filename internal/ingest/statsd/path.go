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

// socketMode lets every local user send, because gunicorn runs as the app's
// user and not as ours. The kernel attaches the sender's user id to each
// datagram, and that decides for which apps it counts.
const socketMode = 0o666

// maxPath is the longest path of a UNIX socket in bytes: sun_path of
// sockaddr_un holds 108 with the closing zero.
const maxPath = 107

// Errors of paths that no socket is bound at.
var (
	ErrPath = errors.New("the path of a UNIX socket must begin with / and have at most 107 bytes, none of them zero")
	// ErrOwner means that the socket at the path is a stranger's.
	ErrOwner = errors.New("the path is the socket of another user")
)

// path is where a UNIX socket of ours is bound. Only its own inode is changed
// and removed, by the descriptor of a directory in which no stranger can
// replace it.
type path struct {
	place    *safefile.Place
	full     string
	dev, ino uint64 // of what we bound; 0: nothing yet
}

// clearPath opens the directory of a path for a socket, and removes a socket of
// ours that nobody reads any more, as a crash leaves it. Anything else at the
// path is somebody's: a live socket, a file or a link.
func clearPath(ctx context.Context, full string) (*path, error) {
	if len(full) < 2 || len(full) > maxPath || full[0] != '/' || strings.ContainsRune(full, 0) {
		return nil, ErrPath
	}
	place, err := safefile.Locate(full)
	if err != nil {
		return nil, err
	}
	p := &path{place: place, full: full}
	if err := p.clear(ctx); err != nil {
		return nil, errors.Join(err, place.Close())
	}
	return p, nil
}

func (p *path) clear(ctx context.Context) error {
	st, err := p.place.Stat()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return fmt.Errorf("%s is not a socket: %w", p.full, syscall.EADDRINUSE)
	case !ours(st.Uid):
		return fmt.Errorf("%s: %w (user id %d): %w", p.full, ErrOwner, st.Uid, syscall.EADDRINUSE)
	}
	// The kernel answers a connect to a socket that nobody reads with "connection
	// refused". Nobody but root and we can have replaced it since it was looked at.
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "unixgram", p.full)
	switch {
	case err == nil:
		_ = c.Close()
		return fmt.Errorf("a process already listens on %s: %w", p.full, syscall.EADDRINUSE)
	case errors.Is(err, syscall.ECONNREFUSED):
		return p.place.Remove(st.Dev, st.Ino)
	default:
		return fmt.Errorf("a process may already listen on %s (%w): %w", p.full, err, syscall.EADDRINUSE)
	}
}

// bound notes what bind(2) has just made at the path, which follows no link
// there and replaces nothing, and opens it for all to send.
func (p *path) bound() error {
	st, err := p.place.Stat()
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK || int64(st.Uid) != int64(os.Geteuid()) {
		return fmt.Errorf("%s was replaced while it was bound", p.full)
	}
	p.dev, p.ino = st.Dev, st.Ino
	return p.place.Chmod(p.dev, p.ino, socketMode)
}

// close removes the socket if it is still the one that was bound.
func (p *path) close() error {
	var err error
	if p.ino != 0 {
		err = p.place.Remove(p.dev, p.ino)
	}
	return errors.Join(err, p.place.Close())
}

// ours reports whether a user id is root's or the exporter's own.
func ours(uid uint32) bool { return uid == 0 || int64(uid) == int64(os.Geteuid()) }
