package discovery

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// host is a Watcher over no real process, whose table the test fills.
func host(t testing.TB) *Watcher {
	t.Helper()
	w, err := New(Options{ProcRoot: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// server adds a server of that user; pid is also its port, its start and its socket.
func server(w *Watcher, pid int, uid uint32, name string) *table.Process {
	p := rooted(w, pid, uint16(pid))
	p.Program.Name, p.UID = name, uid
	p.Owner = table.Ownership{Known: true, Placed: true, Owner: procfs.Owner{Account: procfs.Account(uid), UID: uid}, Tier: table.TierUser}
	switch {
	case uid == 0:
		p.Owner.Tier = table.TierRoot
	case uid < table.FirstUserID:
		p.Owner.Tier = table.TierSystem
	}
	return p
}

// discoverAt runs one scan at that second.
func discoverAt(w *Watcher, second int) {
	w.scanNumber++
	now := time.Unix(int64(second), 0)
	w.discover(now)
	for _, a := range w.apps {
		if r := a.root(); r != nil {
			a.last, a.downSince = r, time.Time{}
			if a.since.IsZero() {
				a.since = now
			}
			a.established = a.established || now.Sub(a.since) >= establishedAfter
			a.members, r.Member = []*table.Process{r}, a
		} else if a.downSince.IsZero() {
			a.downSince = now
		}
	}
}

func end(w *Watcher, p *table.Process) {
	delete(w.table.Processes, p.PID)
	w.table.Link()
}

// byOwner counts the running apps of each user.
func byOwner(w *Watcher) map[procfs.Account]int {
	out := make(map[procfs.Account]int)
	for _, a := range w.apps {
		if len(a.roots) > 0 {
			out[a.owner]++
		}
	}
	return out
}

// The first app of every user has a place, in any order of starts.
func TestStrangersDoNotTakeAllPlaces(t *testing.T) {
	w := host(t)
	for i := range 3 * MaxApps {
		server(w, 1000+i, 65534, fmt.Sprintf("fake%d", i))
	}
	for _, s := range []int{0, 30, 90, 120} { // the fakes are known by then
		discoverAt(w, s)
	}
	if got := byOwner(w)[65534]; got != accountQuota {
		t.Errorf("%d places for one user, want %d", got, accountQuota)
	}
	for i := range 40 { // other users each start one, long after
		server(w, 10_000+i, uint32(2000+i), fmt.Sprintf("real%d", i))
	}
	for i := range 120 { // and root many
		server(w, 20_000+i, 0, fmt.Sprintf("roots%d", i))
	}
	discoverAt(w, 200)
	got := byOwner(w)
	for i := range 40 {
		if got[procfs.Account(2000+i)] != 1 {
			t.Errorf("user %d has no place", 2000+i)
		}
	}
	if got[0] < 75 || got[65534] > 85 {
		t.Errorf("root has %d places, the stranger %d", got[0], got[65534])
	}
	if len(w.apps) > MaxApps {
		t.Errorf("%d apps", len(w.apps))
	}
	before := fmt.Sprint(got)
	for i := range 50 { // forks that come and go change nothing
		server(w, 30_000+i, 65534, fmt.Sprintf("more%d", i))
		discoverAt(w, 210+i)
	}
	if after := fmt.Sprint(byOwner(w)); after != before {
		t.Errorf("places changed from %s to %s", before, after)
	}
	left := w.rejectedUsers()
	if len(left) != 2 || left[0].UID != 0 || left[1].UID != 65534 || left[1].Apps < 500 {
		t.Errorf("left out: %v", left)
	}
}

// Known apps of root keep their places, up to half of all.
func TestRootsAppsKeepTheirPlaces(t *testing.T) {
	w := host(t)
	for i := range rootQuota {
		server(w, 1000+i, 0, fmt.Sprintf("roots%d", i))
	}
	discoverAt(w, 0)
	discoverAt(w, 90)
	for uid := range uint32(300) {
		server(w, 5000+int(uid), 2000+uid, fmt.Sprintf("one%d", uid))
	}
	discoverAt(w, 100)
	if got := byOwner(w)[0]; got != rootQuota {
		t.Errorf("root has %d places, want %d", got, rootQuota)
	}
}

// An app that is down keeps its place and its name; one that ran only briefly does not.
func TestPlaceOfAnAppThatIsDown(t *testing.T) {
	w := host(t)
	known := server(w, 8000, 12345, "shop")
	discoverAt(w, 0)
	discoverAt(w, 90)
	young := server(w, 8001, 12345, "young")
	discoverAt(w, 100)
	end(w, known)
	end(w, young)
	for i := range 2 * MaxApps {
		server(w, 1000+i, 65534, "shop")
	}
	discoverAt(w, 110)
	discoverAt(w, 500)
	var down []string
	for _, a := range w.apps {
		if len(a.roots) == 0 {
			down = append(down, a.name)
		}
	}
	if len(down) != 1 || down[0] != "shop" {
		t.Errorf("down: %v, want shop", down)
	}
	back := server(w, 8000, 12345, "shop")
	discoverAt(w, 600)
	if back.Member == nil || memberOf(back).name != "shop" || memberOf(back).owner != 12345 {
		t.Errorf("the app is back as %+v", memberOf(back))
	}
}

// An impostor that starts while the real app restarts, or hours later, does not get its
// name, slots and counters; neither does another service of the same user.
func TestNameIsNotInherited(t *testing.T) {
	w := host(t)
	first := server(w, 8000, 33, "shop")
	first.Owner.Unit, first.Unit = "shop", "shop"
	discoverAt(w, 0)
	discoverAt(w, 90)
	real := w.apps[0]
	real.Restarts, real.cpu = 7, table.CPUTime{User: 1000}
	end(w, first)
	fake := server(w, 8080, 65534, "shop")
	other := server(w, 8081, 33, "shop")
	other.Owner.Unit, other.Unit = "blog", "blog"
	discoverAt(w, 91)
	if memberOf(fake).name == "shop" || memberOf(other).name == "shop" || memberOf(fake).Restarts != 0 || !strings.HasPrefix(memberOf(fake).name, "shop@") {
		t.Errorf("the fake is %+v, the other %+v", memberOf(fake), memberOf(other))
	}
	discoverAt(w, 91+3*3600) // the app is no longer reported
	if w.byName("shop") != nil {
		t.Fatalf("still reported: %v", w.byName("shop"))
	}
	late := server(w, 8082, 65534, "shop")
	discoverAt(w, 92+3*3600)
	if memberOf(late).name == "shop" {
		t.Error("a fake has the name after an hour")
	}
	back := server(w, 8000, 33, "shop")
	back.Owner.Unit, back.Unit = "shop", "shop"
	discoverAt(w, 93+3*3600)
	if memberOf(back).name != "shop" {
		t.Errorf("the app is back as %s", memberOf(back).name)
	}
}

// If both run when the exporter starts, the order of their starts does not matter.
func TestPlainNameAtTheStart(t *testing.T) {
	for name, c := range map[string]struct {
		real, fake uint32
		unit       string
	}{
		"root's":      {real: 0, fake: 65534},
		"a system's":  {real: 33, fake: 1001},
		"a service's": {real: 61500, fake: 1001, unit: "shop"},
		"a smaller":   {real: 12345, fake: 65534},
	} {
		t.Run(name, func(t *testing.T) {
			w := host(t)
			server(w, 8000, c.fake, "shop")
			p := server(w, 9000, c.real, "shop")
			if c.unit != "" {
				p.Owner.Unit, p.Owner.Tier = c.unit, table.TierSystem
			}
			discoverAt(w, 0)
			if memberOf(p).name != "shop" {
				t.Errorf("the real one is %s", memberOf(p).name)
			}
		})
	}
}

// The number of names kept for apps that ended is limited, in all and by user.
func TestReservedNamesAreBounded(t *testing.T) {
	w := host(t)
	w.reserve(&app{name: "shop", owner: 12345, established: true}, time.Unix(0, 0))
	for i := range 5000 {
		w.reserve(&app{name: fmt.Sprintf("fake%d", i), owner: 65534, established: true}, time.Unix(int64(i), 0))
		w.reserve(&app{name: fmt.Sprintf("roots%d", i), established: true}, time.Unix(int64(i), 0))
	}
	w.reserve(&app{name: "young"}, time.Unix(0, 0))
	if _, ok := w.reserved["shop"]; !ok || len(w.reserved) > appname.MaxReserved {
		t.Errorf("%d names, the first kept: %v", len(w.reserved), ok)
	}
}

func BenchmarkAdmitStrangers(b *testing.B) {
	w := host(b)
	for i := range 3000 {
		server(w, 1000+i, 65534, fmt.Sprintf("fake%d", i))
	}
	server(w, 9000, 12345, "shop")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		discoverAt(w, i)
	}
}

// A root whose files could not be looked at becomes an app when a later scan has looked at
// them, or has tried often enough.
func TestAdmitsWhatIsNamed(t *testing.T) {
	t.Parallel()
	w := host(t)
	pending, named := server(w, 8001, 1001, "shop"), server(w, 8002, 1002, "blog")
	pending.Names().Tries = 1
	w.table.Budget.Spend(pending.Owner.Account, table.CostLink, 1<<17)
	for second, want := range []int{1, 2} {
		discoverAt(w, second)
		if len(w.apps) != want || named.Member == nil || (pending.Member != nil) != (want == 2) {
			t.Errorf("scan %d: %d apps, %+v", second, len(w.apps), pending.Names())
		}
	}
}
