package guard_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/mysql/guard"
)

const (
	goodGreeting = "\x0a5.5.5-fake\x00\x07\x00\x00\x0012345678\x00\x01\xa2\x21\x02\x00\x08\x00\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00123456789012\x00mysql_native_password\x00"
	goodOK       = "\x00\x00\x00\x02\x00\x00\x00"
	goodColumn   = "\x03def\x00\x00\x00\x01c\x00\x0c\x21\x00\x00\x01\x00\x00\xfd\x00\x00\x00\x00\x00"
	goodEOF      = "\xfe\x00\x00\x02\x00"
)

// FuzzGuard: no packet makes a check panic, and accepted strings are within the packet.
func FuzzGuard(f *testing.F) {
	for _, p := range []string{goodGreeting, goodOK, goodColumn, goodEOF, "\xff\x15\x04#28000no", "\xfemysql_native_password\x0012345678901234567890\x00", "\x01\x04", "\x08"} {
		f.Add([]byte(p), byte(3))
	}
	f.Fuzz(func(t *testing.T, p []byte, columns byte) {
		if len(p) == 0 || len(p) > 1<<16 {
			return
		}
		if consumed := guard.CheckPackets(p, int(columns)); consumed > len(p) {
			t.Errorf("%d bytes of %d", consumed, len(p))
		}
	})
}
