package sockdiag_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// Any user can bind a socket to a path of any bytes.
func TestLabelOfAnyPath(t *testing.T) {
	seen := map[string]string{}
	for _, path := range []string{"@\xff", "@\xfe", "/run/a\nb", "/run/\u202ebkcos.nur", "@" + strings.Repeat("a", 107), strings.Repeat("\xff", 108), "@a\"b\\c", "@\x1b[2J", "@@@"} {
		l := sockdiag.Label(sockdiag.Listener{Network: sockdiag.Unix, Path: path})
		if !utf8.ValidString(l) || len(l) > 128 || strings.ContainsAny(l, "\n\x1b\u202e\x00") || !strings.HasPrefix(l, "unix:") {
			t.Errorf("%q is labelled %q", path, l)
		}
		if other, ok := seen[l]; ok {
			t.Errorf("%q and %q are both labelled %q", path, other, l)
		}
		seen[l] = path
	}
	if l := sockdiag.Label(sockdiag.Listener{Network: sockdiag.Unix, Path: "/run/shop/läden.sock"}); l != "unix:/run/shop/läden.sock" {
		t.Errorf("a sound path is labelled %q", l)
	}
}

// The listening sockets of one user do not displace those of another.
func TestListenersOfOneUserAreBounded(t *testing.T) {
	c, err := sockdiag.Dial(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if os.Getuid() != 0 {
		t.Fatal("this test changes the owner of a socket: run it as root")
	}
	const bound, mine = 1024, 1100
	for i := range mine {
		l, err := net.Listen("unix", fmt.Sprintf("@bound-%d-%d", os.Getpid(), i))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		f, err := l.(*net.UnixListener).File()
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Chown(64123, 64123); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	list, err := c.Listeners(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, l := range list {
		if l.UID == 64123 {
			n++
		}
	}
	if n != bound {
		t.Errorf("%d of %d sockets of one user are listed, want %d", n, mine, bound)
	}
}
