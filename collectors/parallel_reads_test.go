package collectors_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
)

// panickingMySQL panics at each query.
type panickingMySQL struct{ *fakeMySQL }

func (panickingMySQL) Ping(context.Context) (time.Duration, error) { panic("on purpose") }

// A panic in the read of one MySQL server affects neither the other nor the exporter.
func TestMySQLPanicIsOneServersOwn(t *testing.T) {
	c := collectors.NewMySQL(collectors.NewActivity(func() []collectors.MySQLTarget {
		return []collectors.MySQLTarget{{Name: "mad", Server: panickingMySQL{busyMySQL()}}, {Name: "well", Server: busyMySQL()}}
	}))
	s, err := c.Collect(t.Context())
	if reason, _ := collectors.ReasonOf(err); reason != collectors.Failed {
		t.Errorf("reason %q of %v, want failed", reason, err)
	}
	rs := facts(s)
	for name, want := range map[string]float64{"mysql:mad": 0, "mysql:well": 1} {
		if v, ok := rs.Get("resp_up", name); !ok || v != want {
			t.Errorf("resp_up of %s is %v (%v), want %v", name, v, ok, want)
		}
	}
	if _, ok := rs.Get("resp_mysql_connections", "well"); !ok {
		t.Error("the other server's numbers are lost")
	}
}

// deep calls itself so often, as a read of a source does.
func deep(n int) int {
	var frame [512]byte
	if n == 0 {
		return int(frame[0])
	}
	return deep(n-1) + int(frame[n%len(frame)])
}

// BenchmarkNewGoroutine has the cost of a goroutine that uses 12 KiB of its stack.
func BenchmarkNewGoroutine(b *testing.B) {
	for name, f := range map[string]func(){"grown at once": func() { collectors.GrowStack(); deep(18) }, "step by step": func() { deep(18) }} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var wg sync.WaitGroup
				wg.Go(f)
				wg.Wait()
			}
		})
	}
}
