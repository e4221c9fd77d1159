package request_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
	"github.com/resp-exporter/resp-exporter/internal/pystack/request"
)

// cpu returns the processor time of this process, which is more exact than the clock
// on a busy machine.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkRead measures a look at a gunicorn worker that has handled requests
// before: what is remembered of its code is there.
func BenchmarkRead(b *testing.B) {
	for _, python := range pystacktest.Pythons(b) {
		b.Run(python, func(b *testing.B) {
			routes := draw(rand.New(rand.NewPCG(1, 2)), []string{"decorated"})
			s := open(b, python, "sync", routes)
			found, free := s.send(drawAsk(rand.New(rand.NewPCG(3, 4)), routes[0]))
			defer free()
			_, stack := s.look(found.PID, found.TID)
			w := s.worker(found.PID)
			thread := w.threads[found.TID]
			var got request.Request
			now := time.Now()
			stack.Frozen = false // else nothing is read
			w.reader.Read(thread, &stack, now, &got)
			calls, bytes := w.memory.Calls(), w.memory.Bytes()
			start := cpu(b)
			b.ReportAllocs()
			for b.Loop() {
				if w.reader.Read(thread, &stack, now, &got); got.View != routes[0].Endpoint {
					b.Fatal(got)
				}
			}
			b.ReportMetric(float64(cpu(b)-start)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(w.memory.Calls()-calls)/float64(b.N), "calls/op")
			b.ReportMetric(float64(w.memory.Bytes()-bytes)/float64(b.N), "bytes/op")
		})
	}
}

// BenchmarkLook measures the whole look at such a worker, its stack and the proof
// included. It runs for a moment 50 times a second.
func BenchmarkLook(b *testing.B) {
	for _, python := range pystacktest.Pythons(b) {
		b.Run(python, func(b *testing.B) {
			routes := draw(rand.New(rand.NewPCG(1, 2)), []string{"decorated"})
			s := open(b, python, "sync", routes)
			found, free := s.send(drawAsk(rand.New(rand.NewPCG(3, 4)), routes[0]))
			defer free()
			_, stack := s.look(found.PID, found.TID)
			w := s.worker(found.PID)
			thread := w.threads[found.TID]
			var got request.Request
			now := time.Now()
			within := func(stack *pystack.Stack) error {
				w.reader.Read(thread, stack, now, &got)
				return nil
			}
			believed, n := 0, 0
			start := cpu(b)
			b.ReportAllocs()
			for b.Loop() {
				n++
				if w.process.LookThen(found.TID, &stack, within) == pystack.OK {
					believed++
				}
			}
			b.ReportMetric(float64(cpu(b)-start)/float64(n), "cpu-ns/op")
			b.ReportMetric(float64(believed)/float64(n), "believed/op")
		})
	}
}
