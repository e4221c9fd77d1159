package request_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack/request"
)

// BenchmarkRead measures a look at a gunicorn worker that has handled requests
// before: what is remembered of its code is there.
func BenchmarkRead(b *testing.B) {
	for _, python := range pythons(b) {
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
			w.reader.Read(thread, &stack, now, &got)
			calls, bytes := w.memory.Calls(), w.memory.Bytes()
			b.ReportAllocs()
			for b.Loop() {
				if w.reader.Read(thread, &stack, now, &got); got.View != routes[0].Endpoint {
					b.Fatal(got)
				}
			}
			b.ReportMetric(float64(w.memory.Calls()-calls)/float64(b.N), "calls/op")
			b.ReportMetric(float64(w.memory.Bytes()-bytes)/float64(b.N), "bytes/op")
		})
	}
}
