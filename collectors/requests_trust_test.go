package collectors_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

// fakeKernel reports UDP senders and the users of apps in these tests.
type fakeKernel struct {
	fakeClock

	lock  sync.Mutex
	users map[string][]uint32
	ports map[netip.AddrPort]ingest.Source
	lines uint64
	asked int

	attributes int // calls of Attribute
}

func newFakeKernel(users map[string][]uint32) *fakeKernel {
	return &fakeKernel{fakeClock: fakeClock{now: time.Unix(1_800_000_000, 0)}, users: users, ports: make(map[netip.AddrPort]ingest.Source)}
}

func (w *fakeKernel) requests(maxApps int) *collectors.Requests {
	return collectors.NewRequests(w.options(maxApps))
}

func (w *fakeKernel) options(maxApps int) collectors.RequestsOptions {
	return collectors.RequestsOptions{
		Now: w.Now, MaxApps: maxApps, MaxRoutes: 20,
		Trusts: func(s ingest.Source) bool { return s.Proven && s.UID == 0 },
		Users: func(context.Context) map[string][]uint32 {
			w.lock.Lock()
			defer w.lock.Unlock()
			return maps.Clone(w.users)
		},
		Prove: func(_ context.Context, asked []ingest.Source) map[ingest.Source]ingest.Source {
			w.lock.Lock()
			defer w.lock.Unlock()
			w.asked++
			out := map[ingest.Source]ingest.Source{}
			for _, s := range asked {
				p, ok := w.ports[s.Addr]
				if !ok {
					p = s
					p.Foreign = !s.Addr.Addr().IsLoopback()
				}
				out[s] = p
			}
			return out
		},
		Stats: func() statsd.Stats { return statsd.Stats{Parsed: w.lines} },
	}
}

// bind adds a UDP socket of a user, and returns its source as the listener reports it.
func (w *fakeKernel) bind(port uint16, uid uint32, inode uint64) ingest.Source {
	w.lock.Lock()
	defer w.lock.Unlock()
	from := ingest.Source{Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)}
	p := from
	p.UID, p.Inode, p.Proven = uid, inode, true
	w.ports[from.Addr] = p
	return from
}

func (w *fakeKernel) close(from ingest.Source) {
	w.lock.Lock()
	defer w.lock.Unlock()
	delete(w.ports, from.Addr)
}

// send passes lines to the collector and counts them, as a listener does.
func (w *fakeKernel) send(r *collectors.Requests, from ingest.Source, lines ...string) {
	for _, l := range lines {
		feed(r, l, from)
		w.lines++
	}
}

func local(pid int32, uid uint32) ingest.Source {
	return ingest.Source{PID: pid, UID: uid, Proven: true}
}

// collectWithLacks returns one scrape of the collector; lacks do not fail the test.
func collectWithLacks(t testing.TB, r *collectors.Requests) factList {
	t.Helper()
	s, err := r.Collect(context.Background())
	if reason, detail := collectors.ReasonOf(err); reason != collectors.OK && reason != collectors.Untrusted {
		t.Fatalf("%s: %s", reason, detail)
	}
	return facts(s)
}

// names returns the apps that have requests, in their order.
func names(got factList) []string {
	var out []string
	for _, x := range got.All("resp_http_requests_total") {
		if !slices.Contains(out, x.Labels[0]) {
			out = append(out, x.Labels[0])
		}
	}
	return out
}

const (
	good = "shop.gunicorn.request.status.200:1|c"
	bad  = "shop.gunicorn.request.status.500:1|c"
)

// Only the users of an app's processes and root can report requests of the app.
func TestWhoReportsForAnApp(t *testing.T) {
	w := newFakeKernel(map[string][]uint32{"shop": {33}, "cart": {44}})
	r := w.requests(50)
	for round := range 3 { // before the first look, and after it
		w.send(r, local(1, 33), good)
		w.send(r, local(2, 0), good)
		w.send(r, local(3, 65534), bad, bad)
		w.send(r, local(4, 44), bad)
		w.send(r, ingest.Source{}, bad)
		w.send(r, w.bind(4000, 33, 1), good)
		w.send(r, w.bind(5000, 65534, 2), bad)
		w.send(r, ingest.Source{Addr: netip.MustParseAddrPort("192.0.2.1:4000")}, bad)
		n := round + 1
		got := collectWithLacks(t, r)
		expect(t, got, fmt.Sprintf("resp_http_requests_total shop 200   %d", 3*n), "resp_http_requests_total shop 500   absent",
			fmt.Sprintf("resp_statsd_lines_total untrusted %d", 6*n), fmt.Sprintf("resp_statsd_lines_total parsed %d", 3*n))
	}
	_, err := r.Collect(t.Context())
	if reason, detail := collectors.ReasonOf(err); reason != collectors.Untrusted || !strings.Contains(detail, "65534") {
		t.Errorf("%s: %s", reason, detail)
	}
	w.advance(11 * time.Minute)
	if _, err = r.Collect(t.Context()); err != nil {
		t.Errorf("a refusal of long ago is still reported: %v", err)
	}
}

// Requests that another user reported before the app was discovered do not count for it.
func TestClaimBeforeTheAppStarts(t *testing.T) {
	for name, users := range map[string][]uint32{"not there": nil, "down": {}} {
		t.Run(name, func(t *testing.T) {
			w := newFakeKernel(map[string][]uint32{})
			if users != nil {
				w.users["shop"] = users
			}
			r := w.requests(50)
			w.send(r, local(1, 65534), bad, bad)
			expect(t, collectWithLacks(t, r), "resp_http_requests_total shop 500   2")
			w.send(r, local(2, 33), good) // another user's app has the name
			expect(t, collectWithLacks(t, r), "resp_http_requests_total shop 200   absent")
			w.users["shop"] = []uint32{33}
			w.send(r, local(2, 33), good)
			expect(t, collectWithLacks(t, r), "resp_http_requests_total shop 500   absent")
			w.send(r, local(2, 33), good)
			w.send(r, local(1, 65534), bad)
			got := collectWithLacks(t, r)
			expect(t, got, "resp_http_requests_total shop 500   absent", "page.http_error_ratio shop 0")
			// It stays so while the app is down, and after it was forgotten.
			w.users["shop"] = nil
			w.send(r, local(1, 65534), bad)
			collectWithLacks(t, r)
			delete(w.users, "shop")
			w.send(r, local(1, 65534), bad)
			expect(t, collectWithLacks(t, r), "resp_http_requests_total shop 500   absent")
		})
	}
}

// Other users do not use up the places of apps.
func TestPlacesOfApps(t *testing.T) {
	w := newFakeKernel(map[string][]uint32{})
	r := w.requests(10)
	for i := range 100 {
		w.send(r, local(int32(i%20), uint32(1000+i%20)), fmt.Sprintf("claim%d.gunicorn.request.status.200:1|c", i))
		if i%5 == 0 {
			collectWithLacks(t, r)
		}
	}
	claims := names(collectWithLacks(t, r))
	if len(claims) > 6 || !slices.Contains(claims, "other") { // a half, and other
		t.Errorf("%q", claims)
	}
	for i := range 12 {
		w.users[fmt.Sprintf("app%d", i)] = []uint32{33}
		w.send(r, local(500, 33), fmt.Sprintf("app%d.gunicorn.request.status.200:1|c", i))
	}
	got := collectWithLacks(t, r)
	for i := range 8 {
		expect(t, got, fmt.Sprintf("resp_http_requests_total app%d 200   1", i))
	}
	for i := range 12 {
		w.send(r, local(500, 33), fmt.Sprintf("app%d.gunicorn.request.status.200:1|c", i))
	}
	if n := names(collectWithLacks(t, r)); len(n) > 13 {
		t.Errorf("strangers still have places: %q", n)
	}
	// Root's names come before those of strangers too.
	w2 := newFakeKernel(nil)
	w2.users = map[string][]uint32{}
	r = w2.requests(4)
	for i := range 4 {
		w2.send(r, local(1, uint32(1000+i)), fmt.Sprintf("claim%d.gunicorn.request.status.200:1|c", i))
	}
	collectWithLacks(t, r)
	for i := range 5 {
		w2.send(r, local(2, 0), fmt.Sprintf("root%d.gunicorn.request.status.200:1|c", i))
	}
	if n := names(collectWithLacks(t, r)); len(n) != 5 { // four, and other
		t.Errorf("%q", n)
	}
	// A place that got nothing for long is given up.
	w2.advance(61 * time.Minute)
	collectWithLacks(t, r)
	if n := names(collectWithLacks(t, r)); len(n) != 1 {
		t.Errorf("%q", n)
	}
}

// Apps that start and end on a busy host do not use up the places of names from trusted
// senders, and their number is limited.
func TestPlacesOfTrustedNamesBesideApps(t *testing.T) {
	w := newFakeKernel(map[string][]uint32{})
	r := w.requests(10)
	for i := range 40 {
		clear(w.users)
		for j := range 10 {
			w.users[fmt.Sprintf("app%d", i*10+j)] = []uint32{33}
		}
		w.send(r, local(500, 33), fmt.Sprintf("app%d.gunicorn.request.status.200:1|c", i*10))
		collectWithLacks(t, r)
		w.advance(10 * time.Second)
	}
	for i := range 8 {
		w.send(r, local(2, 0), fmt.Sprintf("root%d.gunicorn.request.status.200:1|c", i))
	}
	collectWithLacks(t, r)
	got := collectWithLacks(t, r)
	for i := range 8 {
		expect(t, got, fmt.Sprintf("resp_http_requests_total root%d 200   1", i))
	}
	if n := names(got); len(n) > 10+10+10 { // watched, gone, and named
		t.Errorf("%d names: %q", len(n), n)
	}
}

// Many routes of one app do not use up those of other apps.
func TestRoutesOfOthers(t *testing.T) {
	w := newFakeKernel(map[string][]uint32{"shop": {33}, "evil0": {66}, "evil1": {66}, "evil2": {66}})
	r := w.requests(50)
	collectWithLacks(t, r)
	for i := range 4000 {
		w.send(r, local(6, 66), fmt.Sprintf("resp.request:1|ms|#app:evil%d,method:%s,route:/%d,code:200", i%3, []string{"GET", "PUT", "POST", "HEAD"}[i%4], i/12))
		w.send(r, local(7, 65534), fmt.Sprintf("resp.request:1|ms|#app:shop,method:GET,route:/%d,code:200", i))
		w.send(r, local(8, 65534), fmt.Sprintf("resp.request:1|ms|#app:ghost%d,method:GET,route:/%d,code:200", i%40, i))
		if i%500 == 0 {
			collectWithLacks(t, r)
		}
	}
	for i := range 20 {
		w.send(r, local(2, 33), fmt.Sprintf("resp.request:1|ms|#app:shop,method:GET,route:/real/%d,code:200", i))
	}
	got := collectWithLacks(t, r)
	for i := range 20 {
		expect(t, got, fmt.Sprintf("resp_http_requests_total shop 200 GET /real/%d 1", i))
	}
	expect(t, got, "resp_http_requests_total shop 200 GET other absent")
}

// A port that another user has bound again is not trusted, nor one that is shared or closed.
func TestPortIsTakenOver(t *testing.T) {
	w := newFakeKernel(map[string][]uint32{"shop": {33}})
	r := w.requests(50)
	from := w.bind(4000, 33, 1)
	w.send(r, from, good, good)
	expect(t, collectWithLacks(t, r), "resp_http_requests_total shop 200   2")
	w.bind(4000, 65534, 2)
	w.advance(time.Second / 2)
	collectWithLacks(t, r) // as Run does, every half second
	w.send(r, from, bad, bad, bad)
	expect(t, collectWithLacks(t, r), "resp_http_requests_total shop 500   absent", "resp_statsd_lines_total untrusted 3")
	w.close(from)
	w.send(r, from, bad)
	w.advance(time.Second / 2)
	expect(t, collectWithLacks(t, r), "resp_http_requests_total shop 500   absent", "resp_statsd_lines_total untrusted 4")
	w.bind(4000, 33, 3) // and back
	w.send(r, from, good)
	collectWithLacks(t, r)
	w.send(r, from, good)
	expect(t, collectWithLacks(t, r), "resp_http_requests_total shop 200   4")
}

// A scrape queries the kernel about senders without proof, and about all senders whose
// proofs are half a second old.
func TestScrapeRenewsOldProofs(t *testing.T) {
	w := newFakeKernel(map[string][]uint32{"shop": {33}})
	r := w.requests(50)
	asked := func(want int, when string) {
		t.Helper()
		if collectWithLacks(t, r); w.proofs() != want {
			t.Errorf("%s: the kernel was asked %d times, want %d", when, w.proofs(), want)
		}
	}
	from := w.bind(4000, 33, 1)
	w.send(r, from, good)
	asked(1, "a new sender")
	w.send(r, from, good)
	asked(1, "at once")
	w.send(r, w.bind(4001, 65534, 2), bad)
	asked(2, "another new sender")
	w.advance(400 * time.Millisecond)
	w.send(r, from, good)
	asked(2, "a young proof")
	w.advance(100 * time.Millisecond)
	asked(3, "an old proof")
	w.bind(4000, 65534, 3)
	w.advance(time.Second / 2)
	asked(4, "a socket of another user")
	w.send(r, from, bad)
	asked(5, "what it sent")
	expect(t, collectWithLacks(t, r), "resp_http_requests_total shop 200   3", "resp_http_requests_total shop 500   absent", "resp_statsd_lines_total untrusted 2")
}

// Run proves a sender that closes its socket soon after.
func TestRunProvesAtOnce(t *testing.T) {
	w := newFakeKernel(map[string][]uint32{"shop": {33}})
	r := w.requests(50)
	collectWithLacks(t, r)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	from := w.bind(4000, 33, 1)
	before := w.proofs()
	w.send(r, from, good)
	for w.proofs() == before {
		time.Sleep(time.Millisecond)
	}
	for { // the look that began may still be under way
		if n := w.proofs(); n > before+1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	w.close(from)
	expect(t, collectWithLacks(t, r), "resp_http_requests_total shop 200   1")
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// With many hostile senders memory is limited, and a new app is still counted.
func TestCrowdOfSenders(t *testing.T) {
	w := newFakeKernel(map[string][]uint32{"shop": {33}})
	r := w.requests(50)
	before := heap()
	for i := range 200_000 {
		from := ingest.Source{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(i >> 16), byte(i >> 8), byte(i)}), uint16(i))}
		w.send(r, from, fmt.Sprintf("resp.request:1|ms|#app:%d,method:GET,route:/%d,code:500", i, i), bad, "gunicorn.request.status.500:1|c")
		if i%1000 == 0 {
			collectWithLacks(t, r)
		}
	}
	collectWithLacks(t, r)
	if grown := heap() - before; grown > 8e6 {
		t.Errorf("heap grew by %d bytes", grown)
	}
	app := w.bind(4000, 33, 1)
	w.send(r, app, good)
	collectWithLacks(t, r)
	w.send(r, app, good)
	got := collectWithLacks(t, r)
	if n, _ := got.Get("resp_http_requests_total", "shop", "200", "", ""); n < 1 {
		t.Errorf("the app is not heard: %v", got.All("resp_http_requests_total"))
	}
	expect(t, got, "resp_http_requests_total shop 500   absent")
	untrusted, _ := got.Get("resp_statsd_lines_total", "untrusted")
	over, _ := got.Get("resp_statsd_lines_total", "over_limit")
	parsed, _ := got.Get("resp_statsd_lines_total", "parsed")
	if untrusted < 200_000 || untrusted+over+parsed != float64(w.lines) {
		t.Errorf("untrusted %v, over_limit %v, parsed %v of %d", untrusted, over, parsed, w.lines)
	}
}
