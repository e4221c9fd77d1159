package procfs_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	upstream "github.com/prometheus/procfs"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// BenchmarkUpstream compares what is read here with github.com/prometheus/procfs,
// each of one process: docs/decisions/019-rooms.md has the result.
func BenchmarkUpstream(b *testing.B) {
	root := b.TempDir()
	dir := filepath.Join(root, "7")
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	var env strings.Builder
	for i := range 40 {
		env.WriteString("VARIABLE_" + strconv.Itoa(i) + "=a value of a usual length\x00")
	}
	env.WriteString("GUNICORN_PID=7\x00")
	smaps, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		b.Fatal(err)
	}
	for name, text := range map[string]string{
		"environ": env.String(), "smaps_rollup": string(smaps), "cgroup": "0::/system.slice/system-gunicorn.slice/gunicorn@shop.service\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	fs, err := upstream.NewFS(root)
	if err != nil {
		b.Fatal(err)
	}
	p, err := fs.Proc(7)
	if err != nil {
		b.Fatal(err)
	}
	ours := procfs.New(root)
	for name, read := range map[string]func() bool{
		"environ/ours":          func() bool { return ours.Getenv(7, "GUNICORN_PID") == "7" },
		"environ/upstream":      func() bool { list, err := p.Environ(); return err == nil && len(list) == 41 },
		"cgroup/ours":           func() bool { return len(ours.Cgroups(7)) == 1 },
		"cgroup/upstream":       func() bool { list, err := p.Cgroups(); return err == nil && len(list) == 1 },
		"smaps_rollup/upstream": func() bool { m, err := p.ProcSMapsRollup(); return err == nil && m.Pss > 0 },
		"smaps_rollup/ours": func() bool {
			text, err := ours.Read(7, "smaps_rollup")
			if err != nil {
				return false
			}
			m, err := procfs.ParseSmaps(text)
			return err == nil && m.PSS > 0
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !read() {
					b.Fatal("it was not read")
				}
			}
		})
	}
}
