package history_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// noon is when the samples of the tests begin.
func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// random returns the source of a test's random numbers, whose seed is printed.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any number will do
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // not for secrets
}

// someRequest returns a request with random fields.
func someRequest(r *rand.Rand) history.Request {
	pick := func(prefix string, n int) string {
		if k := r.IntN(n + 1); k > 0 {
			return fmt.Sprint(prefix, k)
		}
		return ""
	}
	x := history.Request{
		App: "app" + fmt.Sprint(r.IntN(3)), Slot: fmt.Sprint(r.IntN(4)), PID: r.IntN(1 << 22), Task: r.IntN(5) == 0, View: pick("view", 5),
		On: pick("on", 4), Peer: pick("mysql:", 2), Kind: pick("kind", 2), Digest: pick("SELECT ", 3), Seconds: float64(r.IntN(1000)) / 10,
		Line: model.Frame{Function: pick("f", 3), File: pick("/srv/", 3), Line: r.IntN(500)},
	}
	if r.IntN(3) == 0 {
		x.Blocker = &history.Blocker{App: "app1", Slot: "2", PID: r.IntN(3), Server: pick("mysql:", 2), Connection: r.Uint64(), Peer: pick("10.0.0.", 2), View: pick("v", 2), Line: x.Line}
	}
	return x
}

// someSamples returns random samples about a second apart.
func someSamples(r *rand.Rand, n, most int) (at []time.Time, samples [][]history.Request) {
	now := noon()
	for range n {
		var list []history.Request
		for range r.IntN(most + 1) {
			list = append(list, someRequest(r))
		}
		at, samples = append(at, now), append(samples, list)
		now = now.Add(time.Duration(900+r.IntN(200)) * time.Millisecond)
	}
	return at, samples
}

// same reports whether two lists have the same requests, in any order.
func same(a, b []history.Request) bool {
	if len(a) != len(b) {
		return false
	}
	left := append([]history.Request(nil), b...)
next:
	for _, x := range a {
		for i, y := range left {
			if reflect.DeepEqual(x, y) {
				left = append(left[:i], left[i+1:]...)
				continue next
			}
		}
		return false
	}
	return true
}

func TestSegment(t *testing.T) {
	r := random(t)
	at, samples := someSamples(r, 200, 20)
	file, ends := history.Encoded(at, samples)
	gotAt, got, sound, damaged := history.Decode(file)
	if damaged || sound != len(file) || len(got) != len(samples) {
		t.Fatalf("%d of %d bytes, %d of %d samples, damaged %v", sound, len(file), len(got), len(samples), damaged)
	}
	for i := range samples {
		if !gotAt[i].Equal(at[i]) || !same(got[i], samples[i]) {
			t.Fatalf("sample %d at %s: %+v\nwant at %s: %+v", i, gotAt[i], got[i], at[i], samples[i])
		}
	}
	half, _ := history.Encoded(at[:100], samples[:100])
	for i := 100; i < 200; i++ {
		half = history.Continued(half, at[i], samples[i])
	}
	if !bytes.Equal(half, file) {
		t.Error("a segment that is continued after a restart is another one")
	}
	for _, cut := range []int{len(file) - 1, ends[150] + 5, ends[150], 12, 8, 3, 0} {
		_, got, _, damaged := history.Decode(file[:cut])
		whole := 0
		for whole < len(ends) && ends[whole] <= cut {
			whole++
		}
		if damaged || len(got) != whole {
			t.Errorf("of %d bytes: %d samples, want %d; damaged %v", cut, len(got), whole, damaged)
		}
	}
}

// What is damaged costs no whole record before it.
func TestSegmentDamaged(t *testing.T) {
	r := random(t)
	at, samples := someSamples(r, 60, 10)
	file, ends := history.Encoded(at, samples)
	for range 300 {
		bad := bytes.Clone(file)
		i := 8 + r.IntN(len(bad)-8)
		bad[i] ^= byte(1 + r.IntN(255))
		whole := 0
		for ends[whole] <= i {
			whole++
		}
		_, got, _, _ := history.Decode(bad)
		if len(got) < whole {
			t.Fatalf("byte %d of record %d: %d samples are left", i, whole, len(got))
		}
		for k := range whole {
			if !same(got[k], samples[k]) {
				t.Fatalf("byte %d: sample %d is another one", i, k)
			}
		}
	}
}

func FuzzSegment(f *testing.F) {
	at, samples := someSamples(rand.New(rand.NewPCG(1, 2)), 20, 5) //nolint:gosec // not for secrets
	good, ends := history.Encoded(at, samples)
	f.Add([]byte{}, 0)
	f.Add([]byte("x"), ends[3])
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, ends[10])
	f.Add(good[ends[4]:ends[5]], ends[4])
	f.Fuzz(func(t *testing.T, tail []byte, cut int) {
		if cut < 0 || cut > len(good) {
			cut = len(good)
		}
		file := append(bytes.Clone(good[:cut]), tail...)
		whole := 0
		for whole < len(ends) && ends[whole] <= cut {
			whole++
		}
		_, got, sound, _ := history.Decode(file)
		if len(got) < whole {
			t.Fatalf("%d of %d whole records are left", len(got), whole)
		}
		for k := range whole {
			if !same(got[k], samples[k]) {
				t.Fatalf("sample %d is another one", k)
			}
		}
		if whole > 0 && (sound < ends[whole-1] || sound > len(file)) {
			t.Fatalf("%d bytes are sound", sound)
		}
		history.Decode(tail)
	})
}

// An app whose lines are different ones in each request loses these, and nothing of
// others.
func TestDetailsOfOneAppAreBounded(t *testing.T) {
	h := history.New(history.Options{Settings: history.Settings{Keep: time.Hour, MaxBytes: 16 << 20}})
	for i := range 600 {
		list := []history.Request{{App: "shop", Slot: "0", View: "pay", On: "mysql", Seconds: 1}}
		for k := range 100 {
			list = append(list, history.Request{App: "hostile", Slot: "0", View: strings.Repeat("x", 200) + fmt.Sprint(i*100+k), On: "cpu"})
		}
		h.Record(noon().Add(time.Duration(i)*time.Second), list)
	}
	k := h.Kept()
	if k.Counts.Details < 50_000 || k.Counts.Evicted != 0 || k.Bytes > 3<<20 {
		t.Errorf("%+v", k)
	}
	top := h.Top("shop", time.Time{}, time.Time{}, 5)
	if len(top.Rows) != 1 || top.Rows[0].View != "pay" || top.Rows[0].Seconds != 600 {
		t.Errorf("%+v", top)
	}
	if top := h.Top("hostile", time.Time{}, time.Time{}, 5); top.Seconds != 60_000 {
		t.Errorf("%v seconds of the hostile app", top.Seconds)
	}
}

// A blocker with a text that the segment does not have yet is another one.
func TestBlockerWithNewText(t *testing.T) {
	t.Parallel()
	h := history.New(history.Options{Settings: history.Settings{Keep: time.Hour, MaxBytes: 1 << 20}})
	for i, view := range []string{"", "/new"} {
		h.Record(noon().Add(time.Duration(i)*time.Second), []history.Request{
			{App: "shop", Slot: "0", View: "/a", On: "mysql", Blocker: &history.Blocker{App: "shop", Slot: "1", Connection: 5, View: view}},
		})
	}
	for i, view := range []string{"", "/new"} {
		m := h.At("shop", noon().Add(time.Duration(i)*time.Second), 10)
		if len(m.Requests) != 1 || m.Requests[0].Blocker == nil || m.Requests[0].Blocker.View != view {
			t.Errorf("sample %d: %+v", i, m.Requests)
		}
	}
}
