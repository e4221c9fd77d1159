package census_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/pystack/census"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

// counted is memory that counts how often it is read.
type counted struct {
	memory.Memory
	reads int
}

func (m *counted) Read(parts ...memory.Part) error {
	m.reads++
	return m.Memory.Read(parts...)
}

// BenchmarkWalk counts the objects of a live process, 250,000 or as many as CENSUS_OBJECTS
// says.
func BenchmarkWalk(b *testing.B) {
	n := "250000"
	if v := os.Getenv("CENSUS_OBJECTS"); v != "" {
		n = v
	}
	for _, python := range pystacktest.Pythons(b) {
		b.Run(python, func(b *testing.B) {
			p, _ := run(b, python, n)
			var h *census.Heap
			target := p.target()
			m := &counted{Memory: target.Memory}
			target.Memory = m
			p.census = census.New(target)
			p.walk()
			before := m.reads
			cpu := spent(b)
			b.ReportAllocs()
			for b.Loop() {
				h = p.walk()
			}
			cpu = spent(b) - cpu
			objects, err := strconv.Atoi(n)
			if err != nil || h.Objects < uint64(objects) {
				b.Fatalf("%d objects, %v", h.Objects, err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(h.Objects), "ns/object")
			b.ReportMetric(cpu.Seconds()*1e3/float64(b.N), "cpu-ms/op")
			b.ReportMetric(resident(b), "MB-resident")
			b.ReportMetric(float64(m.reads-before)/float64(b.N), "reads/op")
		})
	}
}

// spent returns the CPU time of this process.
func spent(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident returns the most memory that this process has had, in MB.
func resident(b *testing.B) float64 {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Maxrss) * 1024 / 1e6
}

// BenchmarkFind finds the largest containers of a live process.
func BenchmarkFind(b *testing.B) {
	p, _ := run(b, pystacktest.Pythons(b)[0], "250000")
	all := addrs(p.walk())
	b.ReportAllocs()
	for b.Loop() {
		p.find(all, nil)
	}
}
