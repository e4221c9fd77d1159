package statsd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	upstream "github.com/prometheus/procfs"

	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

// BenchmarkUpstream looks for one socket's drops in a table of 1,000 sockets: here,
// and with github.com/prometheus/procfs. docs/decisions/019-rooms.md has the result.
func BenchmarkUpstream(b *testing.B) {
	root := b.TempDir()
	if err := os.Mkdir(filepath.Join(root, "net"), 0o755); err != nil {
		b.Fatal(err)
	}
	var text strings.Builder
	text.WriteString("   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "%5d: 0100007F:%04X 00000000:0000 07 00000000:00000000 00:00000000 00000000    33        0 %d 2 0000000000000000 %d\n", i, i+1, 40000+i, i)
	}
	name := filepath.Join(root, "net", "udp")
	if err := os.WriteFile(name, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	fs, err := upstream.NewFS(root)
	if err != nil {
		b.Fatal(err)
	}
	for name, read := range map[string]func() uint64{
		"ours": func() uint64 {
			f, err := os.Open(name)
			if err != nil {
				return 0
			}
			defer func() { _ = f.Close() }()
			n, _ := statsd.TableDrops(f, 40999)
			return uint64(n)
		},
		"upstream": func() uint64 {
			list, err := fs.NetUDP()
			if err != nil {
				return 0
			}
			for _, s := range list {
				if s.Inode == 40999 {
					return *s.Drops
				}
			}
			return 0
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if n := read(); n != 999 {
					b.Fatal(n)
				}
			}
		})
	}
}
