package sessions_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/redis/sessions"
)

func TestPace(t *testing.T) {
	p := sessions.NewThrottle()
	for range 5 {
		if p.Ping(100 * time.Microsecond) {
			t.Error("quiet, and slow")
		}
	}
	if p.Ping(time.Millisecond) || !p.Ping(2*time.Millisecond) {
		t.Error("slow is from 1.3 ms on")
	}
	const way = 100 * time.Microsecond
	for i, c := range []struct{ took, want time.Duration }{
		{500 * time.Microsecond, 420 * time.Microsecond}, // 500 less two ways, and three trips
		{250 * time.Microsecond, 320 * time.Microsecond}, // no less than a µs a key
	} {
		if got := p.Charge(c.took, 2, 200); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
	}
	for range 20 {
		p.Charge(500*time.Microsecond, 2, 200)
	}
	if got := p.Charge(time.Second, 2, 200); got != 420*time.Microsecond || sessions.Rest(got) != 99*got {
		t.Errorf("what waited for something else: %s", got)
	}
	for range 100 {
		p.Charge(10*time.Millisecond+2*way, 2, 20)
	}
	if p.Page() != 10 {
		t.Errorf("pages of %d where they take 10 ms", p.Page())
	}
	for range 100 {
		p.Charge(100*time.Microsecond, 1, 10)
	}
	if p.Page() != 100 {
		t.Errorf("pages of %d where they take little", p.Page())
	}
	for range 1100 { // slow for so long that it is how it is
		p.Ping(5 * time.Millisecond)
	}
	if p.Ping(5 * time.Millisecond) {
		t.Error("a longer way is slow for ever")
	}
}

func TestGroup(t *testing.T) {
	set := func(p string) sessions.KeySet { return sessions.KeySet{Prefix: p} }
	got := sessions.GroupByFirstByte([]sessions.KeySet{set("session:b"), set("x"), {}, set("session:a"), set("x"), set("sess")})
	want := [][]sessions.KeySet{{set("sess"), set("session:a"), set("session:b")}, {set("x")}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%v", got)
	}
	if c := sessions.Common(got[0]); c != "sess" {
		t.Errorf("common %q", c)
	}
}

func TestParseKeyspace(t *testing.T) {
	reply := "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\n\n# Keyspace\r\ndb0:keys=7,expires=1,avg_ttl=3\r\ndb10:keys=9,expires=0\r\ndb1:keys=x\r\n"
	for db, want := range map[int]float64{0: 7, 10: 9, 1: 0, 2: 0} {
		if id, keys := sessions.ParseKeyspace(reply, db); id != "abc" || keys != want {
			t.Errorf("db %d: %q, %v", db, id, keys)
		}
	}
}

// FuzzParseKeyspace: the number of keys is not negative, and the id is short.
func FuzzParseKeyspace(f *testing.F) {
	f.Add("run_id:abc\r\ndb0:keys=7,expires=1\r\n", 0)
	f.Add("db0:keys=-7\nrun_id:"+strings.Repeat("x", 1000), 0)
	f.Fuzz(func(t *testing.T, reply string, db int) {
		if id, keys := sessions.ParseKeyspace(reply, db); len(id) > 64 || !(keys >= 0) {
			t.Errorf("%q %v", id, keys)
		}
	})
}

// BenchmarkCountPage measures the cost of a page without the driver.
func BenchmarkCountPage(b *testing.B) {
	keys := make([]string, 100)
	for i := range keys {
		keys[i] = fmt.Sprintf("session:%032x", i)
	}
	page := sessions.CountPage(keys, shop)
	b.ReportAllocs()
	for b.Loop() {
		if err := page(); err != nil {
			b.Fatal(err)
		}
	}
}
