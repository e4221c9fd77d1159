package run

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
)

// tries is how many ports are tried until one is free.
const tries = 200

// chosen counts the ports that this process has tried. They come one after the
// other from a random one, so that none is returned twice.
var chosen atomic.Uint32

// start is the first port that is tried, as an offset.
var start = rand.Uint32N(1 << 20) //nolint:gosec // no secret

// FreePort returns a free TCP port of the loopback: want if it is free, else any. The port
// is below those that the kernel chooses for connections and for sockets without a port
// (ip_local_port_range), so that no such socket takes it before it is used.
func FreePort(want int) (int, error) {
	return freePort(want, func(address string) error {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
		if err != nil {
			return err
		}
		return l.Close()
	})
}

// FreeUDPPort returns a UDP port of the loopback that no socket is bound to,
// chosen as by [FreePort].
func FreeUDPPort() (int, error) {
	return freePort(0, func(address string) error {
		c, err := (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", address)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// freePort returns a port that bind can bind: want if it can and is not 0, else one of
// those chosen in turn.
func freePort(want int, bind func(address string) error) (int, error) {
	first, ports := chosenPorts()
	for range tries {
		port := want
		if want = 0; port == 0 {
			port = first + int(start+chosen.Add(1))%ports
		}
		if bind(fmt.Sprintf("127.0.0.1:%d", port)) == nil {
			return port, nil
		}
	}
	return 0, errors.New("no free port on the loopback")
}

// chosenPorts returns the first of the ports to choose from, and how many they
// are: half of those below the kernel's own, and not the well-known ones.
func chosenPorts() (first, ports int) {
	low := 32768
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		_, _ = fmt.Sscan(string(b), &low)
	}
	if low < 8192 { // hardly any below it: those above 8192 are as good as all others
		low = 32768
	}
	return low / 2, low / 2
}
