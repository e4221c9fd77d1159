package holder_test

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/doctor/holder"
)

// Sockets are found by their address, and the holder is never the doctor itself.
func TestHolder(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	path := filepath.Join(t.TempDir(), "s")
	unix, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close() }()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tcp.Close() }()
	for listen, want := range map[string]int{
		"udp://" + udp.LocalAddr().String(): 1, "unixgram://" + path: 1, "tcp://" + tcp.Addr().String(): 1, "udp://127.0.0.1:x": 0, "unixgram:///no/such": 0, "": 0,
	} {
		if got := holder.Inodes("/proc", listen); len(got) != want {
			t.Errorf("%s has sockets %v, want %d", listen, got, want)
		}
		if pid := holder.Of("/proc", listen).PID; pid != 0 {
			t.Errorf("%s is held by %d", listen, pid)
		}
	}
}
