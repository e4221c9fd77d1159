package appside_test

import (
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// Where the parts of a memory file begin, as resp_flask.py has them.
const (
	requestsAt = 512
	poolsAt    = requestsAt + 128*256
	tasksAt    = poolsAt + 16*256
	growthsAt  = tasksAt + 32*256
)

// seconds returns a time of the tests' clock.
func seconds(n uint64) uint64 { return n * 1e9 }

// testClock is a clock at which a process has run for 900 s.
func testClock() appside.Clock {
	return appside.Clock{Now: seconds(1000), Oldest: seconds(100)}
}

// memory is a memory file that a test writes.
type memory []byte

func newMemory(pid uint32) memory {
	m := make(memory, appside.Size)
	copy(m, "RESPMEM1")
	for at, n := range map[int]uint32{8: appside.Size, 12: pid, 16: 128, 20: 16, 24: 32} {
		m.u32(at, n)
	}
	return m
}

func (m memory) u32(at int, n uint32) { binary.LittleEndian.PutUint32(m[at:], n) }
func (m memory) u64(at int, n uint64) { binary.LittleEndian.PutUint64(m[at:], n) }

// request writes a request that began at a time into a slot.
func (m memory) request(slot int, sequence uint32, began uint64, method, route string) {
	at := requestsAt + slot*256
	m.u32(at, sequence)
	m.u32(at+4, 1)
	m.u64(at+8, began)
	copy(m[at+16:at+32], method)
	m.counted(at+32, route)
}

func (m memory) counted(at int, s string) {
	binary.LittleEndian.PutUint16(m[at:], uint16(len(s)))
	copy(m[at+2:], s)
}

func (m memory) pool(slot int, name string, numbers [5]uint32, oldest uint64, line uint32, site string) {
	at := poolsAt + slot*256
	m.u32(at, 2)
	m.u32(at+4, 1)
	copy(m[at+8:at+40], name)
	for i, n := range numbers {
		m.u32(at+40+4*i, n)
	}
	m.u64(at+64, 7)
	m.u64(at+72, seconds(3))
	m.u64(at+80, oldest)
	m.u32(at+60, 2)
	m.u32(at+88, 1)
	m.u32(at+92, line)
	m.counted(at+96, site)
}

func (m memory) growth(slot int, run, file string, line uint32) {
	at := growthsAt + slot*256
	m.u32(at, 2)
	m.u32(at+4, 1)
	m.u32(at+8, line)
	m.u32(at+12, 7)
	m.u64(at+16, 1<<20)
	copy(m[at+24:at+56], run)
	m.counted(at+56, file)
}

func (m memory) task(slot int, name string, state uint32, beat uint64) {
	at := tasksAt + slot*256
	m.u32(at, 2)
	m.u32(at+4, state)
	copy(m[at+8:at+56], name)
	for i := range 5 {
		m.u64(at+56+8*i, uint64(i+1))
	}
	for i := range 3 {
		m.u64(at+96+8*i, beat)
	}
	copy(m[at+120:], "r-18")
}

func TestParse(t *testing.T) {
	t.Parallel()
	m := newMemory(4711)
	m.request(0, 2, seconds(990), "GET", "/items/<int:n>")
	m.request(3, 8, seconds(970), "POST", "")
	m.request(4, 3, seconds(970), "GET", "/being/written")
	m.request(5, 2, seconds(1001), "GET", "/in/the/future")
	m.request(6, 2, seconds(99), "GET", "/before/the/process")
	m.request(7, 2, seconds(500), "GET", "/odd\x1b[31m\xff")
	m.u32(requestsAt+8*256+4, 0)
	m.request(9, 2, seconds(500), "GET", "")
	m.u32(requestsAt+9*256+4, 3) // neither free, nor in progress, nor cut off
	m.request(10, 2, seconds(995), "GET", "/cut/off")
	m.u32(requestsAt+10*256+4, 2)
	m.u64(requestsAt+10*256+240, seconds(998))
	m.request(11, 2, seconds(995), "GET", "/cut/off/in/the/future")
	m.u32(requestsAt+11*256+4, 2)
	m.u64(requestsAt+11*256+240, seconds(1002))
	for i := range 6 {
		m.u64(64+8*i, uint64(i+10))
	}
	for at, n := range map[int]uint32{112: 1 | 2 | 8, 116: 1250, 120: 1 << 31} {
		m.u32(at, n)
	}
	m.u32(352, 1<<31)
	m.u32(356, 1_250_000)
	copy(m[200:], "shop")
	m.u32(128, 2)
	copy(m[136:], "r-17")
	for i := range 4 {
		m.u64(168+8*i, uint64(i+1))
	}
	m.pool(0, "main", [5]uint32{5, 3, 10, 1, 2}, seconds(910), 88, "orders.py\x00checkout\x00/checkout")
	m.pool(1, "read", [5]uint32{5, 1, ^uint32(0), 9, 1 << 31}, seconds(1), 7, "never")
	m.pool(2, "", [5]uint32{}, 0, 0, "")
	m.task(0, "cleanup", 2, seconds(995))
	m.task(1, "mail", 6, seconds(995))
	m.task(2, "late", 1, seconds(2000))
	for i := range 3 {
		m.u64(256+8*i, uint64(i+20))
		m.u64(328+8*i, uint64(i+30))
	}
	m.u32(280, 7200)
	m.counted(284, "shop:\x00")
	m.growth(0, "t-1", "cart.py", 42)
	m.growth(1, "", "cart.py", 43)
	s, err := appside.Parse(m, testClock())
	if err != nil {
		t.Fatal(err)
	}
	want := appside.State{
		PID: 4711, Counters: appside.Counters{Requests: 10, Unslotted: 11, Shed: 12, Lost: 13, Errors: 14, Offered: 15, Collections: [3]uint64{20, 21, 22}, ShedBy: [3]uint64{30, 31, 32}},
		Sessions: appside.Sessions{Prefix: text.Label("shop:\x00", 42), Lifetime: 2 * time.Hour},
		Growth:   []appside.Growth{{Run: "t-1", File: "cart.py", Line: 42, Blocks: 7, Bytes: 1 << 20}},
		Garbage:  appside.Garbage{Run: "r-17", Objects: 1, Took: 2, Before: 3, After: 4},
		Control:  appside.Control{Follows: true, Name: "shop", Throttled: true, Percent: 12.5, Share: 1, QueueTime: true, Queued: 1 << 24, Waited: 1250 * time.Millisecond},
		Requests: []appside.Request{
			{Method: "GET", Route: "/items/<int:n>", Age: 10 * time.Second}, {Method: "POST", Age: 30 * time.Second},
			{Method: "GET", Route: text.Label("/odd\x1b[31m\xff", 200), Age: 500 * time.Second},
			{Method: "GET", Route: "/cut/off", Age: 5 * time.Second, Cut: true, SinceCut: 2 * time.Second},
		},
		Pools: []appside.Pool{
			{Name: "main", Size: 5, InUse: 3, Overflow: 10, Leaked: 1, Waiting: 2, Waits: 7, Waited: 3 * time.Second, Idle: 2, Oldest: 90 * time.Second, LeakedThere: 1, Site: appside.Site{File: "orders.py", Function: "checkout", Line: 88, Route: "/checkout"}},
			{Name: "read", Size: 5, InUse: 1, Unlimited: true, Leaked: 1, Waiting: 1 << 20, Idle: 2, Waits: 7, Waited: 3 * time.Second},
		},
		Tasks:   []appside.Task{{Name: "cleanup", State: appside.TaskRunning, Runs: 1, Failures: 2, Restarts: 3, Skipped: 4, Progress: 5, Beat: 5 * time.Second, Overdue: 5 * time.Second, Began: 5 * time.Second, Restarted: "r-18"}},
		Written: 1, Invalid: 8,
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(memory) memory{
		"empty":          func(memory) memory { return nil },
		"short":          func(m memory) memory { return m[:len(m)-1] },
		"long":           func(m memory) memory { return append(m, 0) },
		"another magic":  func(m memory) memory { m[7] = '2'; return m },
		"another size":   func(m memory) memory { m.u32(8, 1<<31); return m },
		"more requests":  func(m memory) memory { m.u32(16, 129); return m },
		"more pools":     func(m memory) memory { m.u32(20, 17); return m },
		"no tasks":       func(m memory) memory { m.u32(24, 0); return m },
		"not written to": func(m memory) memory { clear(m); return m },
	} {
		if s, err := appside.Parse(change(newMemory(1)), testClock()); !errors.Is(err, appside.ErrShape) || !reflect.DeepEqual(s, appside.State{}) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

// A slot that changes between two reads counts as one that is being written, and is taken
// from the later read if that was confirmed.
func TestConfirm(t *testing.T) {
	t.Parallel()
	first := newMemory(1)
	first.request(0, 2, seconds(500), "GET", "/stays")
	first.request(1, 2, seconds(500), "GET", "/changes")
	first.request(2, 3, seconds(500), "GET", "/written")
	first.request(3, 2, seconds(500), "GET", "/changes/again")
	second := slices.Clone(first)
	second.request(1, 4, seconds(600), "POST", "/changed")
	second.request(2, 4, seconds(600), "POST", "/done")
	second.request(3, 4, seconds(600), "POST", "/torn")
	third := slices.Clone(second)
	third.request(3, 6, seconds(700), "GET", "/last")
	if !appside.Confirm(first, second) || !appside.Confirm(second, third) || appside.Confirm(third, slices.Clone(third)) {
		t.Error("what was written is not noticed, or what was not is")
	}
	appside.Replace(first, second)
	s, err := appside.Parse(first, testClock())
	if err != nil {
		t.Fatal(err)
	}
	var routes []string
	for _, r := range s.Requests {
		routes = append(routes, r.Route)
	}
	if got := strings.Join(routes, " "); got != "/stays /changed /done" || s.Written != 1 {
		t.Errorf("routes %s, %d being written", got, s.Written)
	}
}

// FuzzParse checks that parsing any file does not change it and yields the same twice;
// that there are no more items than slots; that every text is a valid label within its
// bound, every number and every time within its own.
func FuzzParse(f *testing.F) {
	m := newMemory(1)
	m.request(0, 2, seconds(990), "GET", "/a\xff")
	m.pool(0, "main", [5]uint32{5, 3, 10, 1, 2}, seconds(910), 88, "orders.py\x00checkout\x00/checkout")
	m.task(0, "cleanup", 2, seconds(995))
	f.Add([]byte(m[256:512]), []byte(m[poolsAt:][:256]), []byte(m[tasksAt:][:256]), []byte(m[64:256]), uint64(1e12), uint64(1e11))
	f.Add([]byte("\x02\x00\x00\x00\x01"), []byte("\x01"), []byte{}, []byte{}, uint64(0), ^uint64(0))
	f.Fuzz(func(t *testing.T, request, pool, task, head []byte, now, oldest uint64) {
		m := newMemory(1)
		copy(m[64:256], head)
		for at := requestsAt; at < len(m); at += 256 {
			from := request
			if at >= tasksAt {
				from = task
			} else if at >= poolsAt {
				from = pool
			}
			copy(m[at:at+256], from)
		}
		before, c := slices.Clone(m), appside.Clock{Now: now, Oldest: oldest}
		s, err := appside.Parse(m, c)
		again, _ := appside.Parse(m, c)
		if err != nil || !slices.Equal(before, m) || !reflect.DeepEqual(s, again) {
			t.Fatalf("%v, or the input was changed", err)
		}
		if n := len(s.Requests) + len(s.Pools) + len(s.Tasks) + len(s.Growth) + s.Written + s.Invalid; n > 128+16+32+16+1 {
			t.Errorf("%d items", n)
		}
		sound := func(s string, most int) {
			if len(s) > most || text.Label(s, most) != s {
				t.Errorf("%q is no sound text of %d bytes", s, most)
			}
		}
		aged := func(d time.Duration) {
			if d < 0 || d > 0 && (now < oldest || uint64(d) > now-oldest) {
				t.Errorf("age %s", d)
			}
		}
		for _, r := range s.Requests {
			sound(r.Method, 16)
			sound(r.Route, 200)
			aged(r.Age)
		}
		for _, p := range s.Pools {
			sound(p.Name, 32)
			for _, s := range []string{p.Site.File, p.Site.Function, p.Site.Route} {
				sound(s, 158)
			}
			if p.Site.Line < 0 || p.Site.Line > 1<<24 || p.LeakedThere < 0 || p.LeakedThere > p.Leaked {
				t.Errorf("pool %+v", p)
			}
			aged(p.Oldest)
			for _, n := range []int{p.Size, p.InUse, p.Overflow, p.Leaked, p.Waiting, p.Idle} {
				if n < 0 || n > 1<<20 {
					t.Errorf("pool %+v", p)
				}
			}
			if p.Name == "" || p.Leaked > p.InUse || p.Waits > 1<<53 || p.Waited < 0 {
				t.Errorf("pool %+v", p)
			}
		}
		for _, x := range s.Tasks {
			sound(x.Name, 48)
			for _, d := range []time.Duration{x.Beat, x.Overdue, x.Began, x.Stalled()} {
				aged(d)
			}
			sound(x.Restarted, 32)
			if x.Name == "" || x.State < appside.TaskWaiting || x.State > appside.TaskStopped || max(x.Runs, x.Failures, x.Restarts, x.Skipped, x.Progress) > 1<<53 {
				t.Errorf("task %+v", x)
			}
		}
		for _, x := range s.Growth {
			sound(x.Run, 32)
			sound(x.File, 150)
			if x.Line < 0 || x.Bytes > 1<<53 {
				t.Errorf("growth %+v", x)
			}
		}
		sound(s.Sessions.Prefix, 42)
		sound(s.Control.Name, 56)
		if c := s.Control; c.Percent < 0 || c.Percent > 100 || c.Share < 0 || c.Share > 1 {
			t.Errorf("control %+v", c)
		}
		sound(s.Garbage.Run, 32)
		if s.Garbage.Took < 0 || max(s.Garbage.Objects, s.Garbage.Before, s.Garbage.After, s.Counters.Requests, s.Counters.Lost) > 1<<53 {
			t.Errorf("garbage %+v, counters %+v", s.Garbage, s.Counters)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	m := newMemory(1)
	for i := range 128 {
		m.request(i, 2, seconds(990), "GET", "/items/<int:n>")
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := appside.Parse(m, testClock()); err != nil {
			b.Fatal(err)
		}
	}
}
