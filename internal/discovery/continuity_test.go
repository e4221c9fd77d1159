package discovery

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

func at(second int64) time.Time { return time.Unix(second, 0) }

func listener(ino uint64, port uint16) sockdiag.Listener {
	return sockdiag.Listener{Network: sockdiag.TCP, Addr: netipPort(port), Inode: ino}
}

func netipPort(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.IPv4Unspecified(), port) }

// replica adds a server of user 33 in a container: with a host name's template,
// a unit, and port 8000 in a network namespace of its own.
func replica(w *Watcher, pid int, host, unit string, port uint16) *table.Process {
	p := server(w, pid, 33, "app")
	p.NetNS = uint64(1000 + pid)
	p.Unit = unit
	*p.Names() = appname.Found{Known: true, HostKnown: true, Base: "app", Host: host}
	n := w.netOf(p)
	n.Listeners = map[uint64]sockdiag.Listener{uint64(pid): w.namespaces.GetOwn(1).Listeners[uint64(pid)]}
	l := n.Listeners[uint64(pid)]
	delete(w.namespaces.GetOwn(1).Listeners, uint64(pid))
	l.Addr = netipPort(port)
	n.Listeners[uint64(pid)] = l
	return p
}

// named lists the apps that run and those that are down, by name.
func listed(w *Watcher) string {
	var out []string
	for _, a := range w.apps {
		if r := a.root(); r != nil {
			out = append(out, fmt.Sprintf("%s=%d", a.name, r.PID))
		} else {
			out = append(out, a.name+"=down")
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func wantListed(t *testing.T, w *Watcher, second int, want string) {
	t.Helper()
	discoverAt(w, second)
	if got := listed(w); got != want {
		t.Errorf("at %d s: %s, want %s", second, got, want)
	}
}

// In a rolling update the new replica gets the name of the old one.
func TestRollingUpdateKeepsTheName(t *testing.T) {
	w := host(t)
	old := replica(w, 10, "app", "", 8000)
	wantListed(t, w, 0, "app=10")
	w.apps[0].Restarts = 7
	discoverAt(w, 3600)
	replica(w, 20, "app", "", 8000)
	wantListed(t, w, 3610, "app=10 app~2=20")
	end(w, old)
	wantListed(t, w, 3640, "app=20")
	if w.apps[0].Restarts != 7 {
		t.Error("the counters begin anew")
	}
	wantListed(t, w, 9000, "app=20")
}

// The same on a busy host, where one scan sees neither.
func TestRollingUpdateOutOfSight(t *testing.T) {
	for _, missing := range []int{1, 2, 5} {
		w := host(t)
		old := replica(w, 10, "app", "", 8000)
		wantListed(t, w, 0, "app=10")
		successor := replica(w, 20, "app", "", 8000)
		wantListed(t, w, 1, "app=10 app~2=20")
		end(w, old)
		end(w, successor)
		for i := range missing {
			wantListed(t, w, 2+i, "app=down app~2=down")
			for _, a := range w.apps {
				a.since = time.Time{} // as update does for a young one
			}
		}
		w.table.Processes[20] = successor
		w.table.Link()
		discoverAt(w, 10) // since when it runs is known at the next look
		for second := range 5 {
			wantListed(t, w, 11+second, "app=20")
		}
	}
}

// The same if a scan has seen the worker of the new replica, and not yet its master.
func TestRollingUpdateWorkerSeenFirst(t *testing.T) {
	w := host(t)
	old := replica(w, 10, "app", "", 8000)
	wantListed(t, w, 0, "app=10")
	worker := replica(w, 25, "app", "", 8000)
	wantListed(t, w, 1, "app=10 app~2=25")
	end(w, old)
	replica(w, 20, "app", "", 8000)
	worker.Stat.PPID = 20
	w.table.Link()
	for second := range 5 {
		wantListed(t, w, 2+second, "app=20")
	}
}

// The same if all places are in use: the place of the old replica goes to its successor,
// not to a new app of the same scan.
func TestRollingUpdateOnAFullHost(t *testing.T) {
	w := host(t)
	for i := range MaxApps - 2 {
		server(w, 1000+i, uint32(1000+i%2), fmt.Sprint("other", i))
	}
	old := replica(w, 10, "app", "", 8000)
	discoverAt(w, 0)
	replica(w, 20, "app", "", 8000)
	discoverAt(w, 1)
	if len(w.apps) != MaxApps || !strings.Contains(listed(w), "app~2=20") {
		t.Fatalf("%d apps, %.100s", len(w.apps), listed(w))
	}
	end(w, old)
	server(w, 30, 33, "new")
	discoverAt(w, 2)
	if got := listed(w); !strings.Contains(got, "app=20") || strings.Contains(got, "app~2") {
		t.Errorf("%.200s", got)
	}
}

// Of two replicas, one that ends is down, and the next one that starts gets its name.
func TestReplicaSucceedsItsLike(t *testing.T) {
	w := host(t)
	first, second := replica(w, 10, "app", "", 8000), replica(w, 20, "app", "", 8000)
	wantListed(t, w, 0, "app=10 app~2=20")
	discoverAt(w, 3600)
	end(w, second)
	wantListed(t, w, 3700, "app=10 app~2=down")
	replica(w, 30, "app", "", 8000)
	wantListed(t, w, 3710, "app=10 app~2=30")
	discoverAt(w, 7300)
	end(w, first)
	wantListed(t, w, 7400, "app=down app~2=30")
	replica(w, 40, "app", "", 8000)
	wantListed(t, w, 7500, "app=40 app~2=30")
	// Both are rolled, one after the other, with one more for a moment.
	discoverAt(w, 11_000)
	third := replica(w, 50, "app", "", 8000)
	wantListed(t, w, 11_010, "app=40 app~2=30 app~3=50")
	end(w, w.table.Processes[40])
	wantListed(t, w, 11_020, "app=50 app~2=30")
	replica(w, 60, "app", "", 8000)
	discoverAt(w, 11_030)
	end(w, w.table.Processes[30])
	wantListed(t, w, 11_040, "app=50 app~2=60")
	end(w, third)
	wantListed(t, w, 15_000, "app=down app~2=60")
}

// Containers of one image are distinguished by what does not change, in any order of
// starts.
func TestContainersOfOneImage(t *testing.T) {
	w := host(t)
	replica(w, 10, "web", "", 8000)
	wantListed(t, w, 0, "app=10")
	discoverAt(w, 100)
	api := replica(w, 20, "api", "", 8000)
	replica(w, 30, "", "till", 8000)
	wantListed(t, w, 200, "app=10 app@api=20 app@till=30")
	end(w, w.table.Processes[10])
	end(w, api)
	wantListed(t, w, 300, "app=down app@api=down app@till=30")
	replica(w, 40, "api", "", 8000) // it is back first
	wantListed(t, w, 310, "app=down app@api=40 app@till=30")
	replica(w, 50, "web", "", 8000)
	wantListed(t, w, 320, "app=50 app@api=40 app@till=30")
}

// At the exporter's start the smallest identity gets the plain name, in any order of
// starts.
func TestSmallestIdentityIsPlain(t *testing.T) {
	for _, order := range [][2]int{{10, 20}, {20, 10}} {
		w := host(t)
		web, api := replica(w, order[0], "web", "", 8000), replica(w, order[1], "api", "", 8000)
		discoverAt(w, 0)
		if memberOf(api).name != "app" || memberOf(web).name != "app@web" {
			t.Errorf("started as %v: %s", order, listed(w))
		}
	}
}

// Two apps of one module keep their names after a restart of both, in any order, and
// after a restart of the exporter with its saved names.
func TestNamesDoNotSwap(t *testing.T) {
	w := host(t)
	second := server(w, 8001, 33, "shop")
	discoverAt(w, 0)
	first := server(w, 8000, 33, "shop")
	wantListed(t, w, 100, "shop=8001 shop@:8000=8000")
	discoverAt(w, 200)
	for _, p := range []*table.Process{first, second} {
		end(w, p)
	}
	discoverAt(w, 210)
	again := rooted(w, 4000, 8000)
	again.Owner, again.UID = first.Owner, 33
	wantListed(t, w, 220, "shop=down shop@:8000=4000")

	next := host(t) // another exporter
	next.restoreNames(w.nameRecords(at(300)), at(300))
	server(next, 8000, 33, "shop")
	wantListed(t, next, 310, "shop@:8000=8000")
	server(next, 8002, 33, "shop")
	wantListed(t, next, 320, "shop@:8000=8000 shop@:8002=8002")
	server(next, 8001, 33, "shop")
	wantListed(t, next, 330, "shop=8001 shop@:8000=8000 shop@:8002=8002")
}

// An app is not down if another one with its name has replaced it at its address.
func TestReplacedAtItsAddress(t *testing.T) {
	w := host(t)
	blue := server(w, 8000, 33, "shop")
	blue.Unit = "blue"
	discoverAt(w, 0)
	discoverAt(w, 100)
	end(w, blue)
	wantListed(t, w, 110, "shop=down")
	green := rooted(w, 9000, 8000)
	green.Owner, green.UID, green.Unit = blue.Owner, 33, "green"
	wantListed(t, w, 120, "shop@green=9000")
	wantListed(t, w, 130, "shop@green=9000")
}

// An app of another user at that address does not replace it.
func TestStrangerReplacesNobody(t *testing.T) {
	w := host(t)
	real := server(w, 8000, 33, "shop")
	discoverAt(w, 0)
	discoverAt(w, 100)
	end(w, real)
	discoverAt(w, 110)
	fake := rooted(w, 9000, 8000)
	fake.UID, fake.Owner = 65534, table.Ownership{Known: true, Placed: true, Owner: procfs.Owner{Account: 65534, UID: 65534}, Tier: table.TierUser}
	discoverAt(w, 120)
	if memberOf(fake).name == "shop" || w.byName("shop") == nil || w.byName("shop").root() != nil {
		t.Errorf("%s", listed(w))
	}
}

// Names contain no number that changes with each start.
func TestNamesHoldNoPID(t *testing.T) {
	w := host(t)
	for i := range 5 {
		p := server(w, 70_001+i, 33, "app")
		p.FDs().Sockets = nil
		p.FDs().Err, p.Program.Server = errAccess, cmdline.Gunicorn // nothing may be seen of it
		w.scanTime = at(1 << 40)
	}
	discoverAt(w, 1<<30)
	for _, a := range w.apps {
		if strings.Contains(a.name, "7000") {
			t.Errorf("%s", a.name)
		}
	}
	if len(w.apps) != 5 {
		t.Errorf("%s", listed(w))
	}
}

// Saved names are checked like names that were discovered.
func TestRecallChecksWhatItReads(t *testing.T) {
	w := host(t)
	long := strings.Repeat("x", 300)
	bad := []appname.Record{
		{}, {Name: "a"}, {Base: "a"}, {Name: "a b", Base: "a"}, {Name: "a", Base: "a\n"}, {Name: long, Base: "a"}, {Name: "a~x", Base: "a"},
		{Name: "a", Base: "a", Host: long}, {Name: "a", Base: "a", Unit: "\xff"}, {Name: "a", Base: "a", Bind: "\u202e"},
	}
	w.restoreNames(bad, at(100))
	if len(w.reserved) != 0 {
		t.Errorf("%v", w.reserved)
	}
	w.restoreNames([]appname.Record{{Name: "shop@api~2", Base: "shop", Host: "api", Since: at(1 << 40)}}, at(100))
	if r, ok := w.reserved["shop@api~2"]; !ok || !r.Since.Equal(at(100)) {
		t.Errorf("%v", w.reserved)
	}
	many := make([]appname.Record, 5000)
	for i := range many {
		many[i] = appname.Record{Name: fmt.Sprintf("a%d", i), Base: "a"}
	}
	w.restoreNames(many, at(100))
	if len(w.reserved) > appname.MaxReserved {
		t.Errorf("%d names", len(w.reserved))
	}
}

// A title without a name, or with a colon in it, does not replace the name of the
// command line.
func TestTitleKeepsTheName(t *testing.T) {
	for name, c := range map[string]struct{ before, title, want string }{
		"a name with a colon":       {"gunicorn|-n|shop:app|store:app", "gunicorn: master [shop:app]", "shop:app"},
		"the application":           {"gunicorn|shop:app", "gunicorn: master [shop:app]", "shop"},
		"a name that is elsewhere":  {"gunicorn|shop:app", "gunicorn: master [front]", "front"},
		"no name":                   {"gunicorn|shop:app", "gunicorn: master [gunicorn]", "shop"},
		"uWSGI's title":             {"uwsgi|--module|shop:app", "uWSGI master", "shop"},
		"uWSGI's title with a name": {"uwsgi|--module|shop:app", "front uWSGI master", "front"},
		"another server before":     {"uwsgi|--module|shop:app", "gunicorn: master [gunicorn]", ""},
	} {
		argv := []string{c.title}
		if got := cmdline.KeepClass(cmdline.Classify(argv), cmdline.Classify(strings.Split(c.before, "|")), argv).Name; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
