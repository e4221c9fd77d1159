package collectors

import (
	"errors"
	"strings"
	"testing"
)

func TestParseListenCounters(t *testing.T) {
	o, d, err := parseListenCounters([]byte("IpExt: A\nIpExt: 1\nTcpExt: X ListenDrops ListenOverflows\nTcpExt: 1 9 7\n"))
	if o != 7 || d != 9 || err != nil {
		t.Errorf("%v %v %v", o, d, err)
	}
	for _, in := range []string{"", "TcpExt: ListenOverflows ListenDrops\n", "TcpExt: ListenOverflows\nTcpExt: 1\n", "IpExt: A\nIpExt: 1\n"} {
		if _, _, err := parseListenCounters([]byte(in)); !errors.Is(err, errNetstat) {
			t.Errorf("%q: %v", in, err)
		}
	}
	if _, _, err := parseListenCounters([]byte("TcpExt: ListenOverflows ListenDrops\nTcpExt: x 1\n")); err == nil {
		t.Error("a word for a number")
	}
}

func FuzzParseListenCounters(f *testing.F) {
	f.Add("TcpExt: X ListenDrops ListenOverflows\nTcpExt: 1 9 7\n")
	f.Fuzz(func(t *testing.T, in string) {
		o, d, err := parseListenCounters([]byte(in))
		if err == nil && (o < 0 || d < 0 || !strings.Contains(in, "ListenDrops")) {
			t.Errorf("%q gave %v %v", in, o, d)
		}
	})
}
