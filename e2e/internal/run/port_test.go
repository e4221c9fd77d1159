package run_test

import (
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

func TestFreePort(t *testing.T) {
	t.Parallel()
	low := 32768
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if _, err := fmt.Sscan(string(b), &low); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		for network, free := range map[string]func() (int, error){"tcp": func() (int, error) { return run.FreePort(0) }, "udp": run.FreeUDPPort} {
			port, err := free()
			if err != nil || port < 4096 || low >= 8192 && port >= low {
				t.Fatalf("%s: %d, %v", network, port, err)
			}
		}
	}
}

// TestFreePortWanted checks that the wanted port is used if it is free, and else replaced.
func TestFreePortWanted(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	taken := l.Addr().(*net.TCPAddr).Port
	if port, err := run.FreePort(taken); err != nil || port == taken {
		t.Errorf("%d is taken, and %d was returned: %v", taken, port, err)
	}
	free, err := run.FreePort(0)
	if err != nil {
		t.Fatal(err)
	}
	if port, err := run.FreePort(free); err != nil || port != free {
		t.Errorf("%d is free, and %d was returned: %v", free, port, err)
	}
}
