package e2e_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/dashboards"
)

// drawnFault is a fault of a drawn dashboard that stays, and why.
type drawnFault struct {
	dashboard, panel, kind string // panel: how its title begins
	why                    string
}

// drawnFaults lists them.
var drawnFaults = []drawnFault{
	{"resp-workers", "Event loop blocked", "empty", "the shop has no event loop"},
	{"resp-app", "Lost reports", "empty", noMemoryFile}, {"resp-app", "Collections of cyclic garbage", "empty", noMemoryFile},
	{"resp-database", "Oldest checkout", "empty", noMemoryFile}, {"resp-database", "Threads that wait for a connection", "empty", noMemoryFile},
	{"resp-tasks", "Tasks that run now", "empty", noMemoryFile}, {"resp-tasks", "Last sign of life", "empty", noMemoryFile},
	{"resp-exporter", "Share of requests to shed", "empty", "no app sheds requests"},
	{"resp-exporter", "Requests that were shed", "empty", noMemoryFile}, {"resp-exporter", "Temporary settings", "empty", "no action sets one"},
	{"resp-exporter", "Relay reaches its Redis", "empty", noRelay}, {"resp-exporter", "Alerts about other hosts", "empty", noRelay},
	{"resp-exporter", "Relayed alerts that wait", "empty", noRelay}, {"resp-exporter", "Entries from other exporters", "empty", noRelay},
	{"resp-exporter", "Storm of the fleet", "empty", "one host needs no coordination"},
}

// What the shop and its exporter do not have.
const (
	noMemoryFile = "the shop keeps no memory file"
	noRelay      = "one host needs no relay"
)

// wideScreen and narrowScreen are the screens on which the overview must answer.
var (
	wideScreen   = picture{Width: 1920, Height: 1080}
	narrowScreen = picture{Width: 1280, Height: 1024}
)

// drawn draws each dashboard from the samples of the first server, all rows open: on the
// narrow screen in the dark theme, on the wide one in the light theme. It draws the overview
// as it is opened, on both screens and in both themes. Nothing may be wrong with what is seen.
func (o *observed) drawn(t *testing.T, boards []dashboards.Dashboard) {
	t.Helper()
	var pictures []picture
	add := func(screen picture, theme, uid string, open bool) {
		screen.Theme = theme
		screen.Dashboard, screen.Open = filepath.Join(dashboardsDir, uid+".json"), open
		screen.Prometheus, screen.Scrape, screen.Until, screen.Range = o.servers[0].base, o.servers[0].interval.Seconds(), time.Now().UnixMilli(), 900
		if uid != "resp-overview" && uid != "resp-fleet" { // they show all of them; the others are for one
			screen.Variables = map[string][]string{"instance": {o.instance()}, "app": {"shop"}}
		}
		pictures = append(pictures, screen)
	}
	for _, d := range boards {
		add(narrowScreen, "dark", d.UID, true)
	}
	add(narrowScreen, "dark", "resp-overview", false)
	add(narrowScreen, "light", "resp-overview", false)
	for _, d := range boards {
		add(wideScreen, "light", d.UID, true)
	}
	add(wideScreen, "light", "resp-overview", false)
	add(wideScreen, "dark", "resp-overview", false)
	began, all := time.Now(), len(pictures)
	defer func() { t.Logf("%d dashboards were drawn within %s", all, time.Since(began).Round(time.Second)) }()
	// A value may be missing for a moment: a worker was just killed, no request has ended.
	for left := 3; len(pictures) > 0; left-- {
		var again []picture
		for i, d := range draw(t, pictures...) {
			if pictures[i].Open {
				d.Screen.Below = nil // no screen has room for all of it
			}
			found := slices.DeleteFunc(d.said(), func(line string) bool { return expected(d.Dashboard, line) })
			switch {
			case len(found) == 0:
			case left > 1:
				pictures[i].Until = time.Now().UnixMilli()
				again = append(again, pictures[i])
			default:
				t.Errorf("%s at %d, %s:\n%s", d.Dashboard, d.Width, pictures[i].Theme, strings.Join(found, "\n"))
			}
		}
		pictures = again
	}
}

// expected reports whether a line of said is in one of the lists of what has a reason.
func expected(uid, line string) bool {
	panel, rest, _ := strings.Cut(line, ": ")
	kind, _, _ := strings.Cut(rest, ": ")
	_, title, _ := strings.Cut(panel, " ")
	if (kind == "empty" || kind == "limits") && slices.ContainsFunc(emptyPanels, func(p emptyPanel) bool { return p.dashboard == uid && strings.HasPrefix("panel "+panel, p.where) }) {
		return true
	}
	return slices.ContainsFunc(drawnFaults, func(f drawnFault) bool {
		return f.dashboard == uid && f.kind == kind && strings.HasPrefix(title, f.panel)
	})
}
