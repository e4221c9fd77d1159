// Package doctor examines what keeps the exporter from what it is configured to
// do, and names the remedy for this host and this server. It changes nothing.
package doctor

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

const (
	readTimeout = 4 * time.Second // for one read of everything
	// A part that works in the background has not begun at the first look, and
	// a connect may not have ended. Two looks that agree are believed.
	readPause = 1500 * time.Millisecond
	maxReads  = 3
)

// Diagnosis is the result of [Examine].
type Diagnosis struct {
	Status   string    `json:"status"` // "ok", or "fault": something configured cannot work
	Summary  string    `json:"summary"`
	Sections []Section `json:"sections"` // the exporter, then each collector by name
}

// Section is about the exporter itself or one collector.
type Section struct {
	Name     string    `json:"name"`
	Status   string    `json:"status"` // "ok", "note", "fault" or "off"
	Facts    []string  `json:"facts"`
	Findings []Finding `json:"findings"` // faults first
}

// Finding is one thing that is missing, or worth knowing.
type Finding struct {
	Of     string            `json:"of"`     // as in resp_up: "app:shop", "mysql:main"; "" is all of the section
	Reason collectors.Reason `json:"reason"` // "ok" where nothing is missing
	Detail string            `json:"detail"` // a sentence without a full stop
	Remedy []string          `json:"cure"`   // ways to have it, any of them, ready to be pasted
	Fault  bool              `json:"fault"`  // something configured cannot work
}

// Subject is the exporter to examine. The sources of its collectors run
// already.
type Subject struct {
	Config     config.Config
	Flags      Flags
	Collectors *collectors.Set
	Apps       func(context.Context) ([]discovery.App, error) // those that run
	MySQL      func(name string) *mysql.Server                // nil: none of that name
	Redis      func(name string) *redis.Server                // nil: none of that name
	Inside     func(app string) []appside.Report              // what its workers say of themselves; nil: not known
}

// Flags are the command-line settings that an examination depends on.
type Flags struct {
	ConfigFile        string          // "": defaults and environment
	Off               map[string]bool // collectors, by name
	ProcRoot, SysRoot string
	RootFS            string // where the file tree of the host is mounted
	StateDir          string
	ControlDir        string   // of control files; "": none
	Listen            []string // TCP addresses of the page; nil: not known
	SystemdSocket     bool     // systemd passes the socket of the page
	StatusPath        string   // of the page's JSON, with the route prefix
}

// Examine reads everything that the collectors read until two reads agree, at most
// maxReads times, and returns what is missing and its remedies. It serves nothing and logs
// nothing.
func Examine(ctx context.Context, s Subject) *Diagnosis {
	d := &doctor{Subject: s, who: currentUser(), sections: make(map[string]*Section)}
	d.readUntilStable(ctx)
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if apps, err := d.Apps(ctx); err == nil {
		d.apps = apps
	}
	d.examine(ctx)
	return d.diagnosis()
}

// doctor is one examination in progress.
type doctor struct {
	Subject

	who      effectiveUser
	state    *model.State // of the last read
	apps     []discovery.App
	sections map[string]*Section
}

// readUntilStable reads everything until two consecutive reads lack the same.
func (d *doctor) readUntilStable(ctx context.Context) {
	var before []string
	for i := range maxReads {
		read, cancel := context.WithTimeout(ctx, readTimeout)
		seen := d.Collectors.Read(read, nil).State
		d.state = &seen
		cancel()
		now, late := d.missing()
		if i > 0 && !late && reflect.DeepEqual(now, before) {
			break
		}
		if before = now; i == maxReads-1 {
			break
		}
		if !retry.Sleep(ctx, readPause) {
			return
		}
	}
}

// missing returns one text for each thing that the last read lacks, and whether some of
// it timed out.
func (d *doctor) missing() (all []string, late bool) {
	for _, name := range d.Collectors.Names() {
		for _, u := range d.Collectors.Lacks(name) {
			all = append(all, name+" "+u.Error())
			late = late || u.Reason == collectors.Timeout
		}
	}
	return all, late
}

// examine adds the facts and findings of every section.
func (d *doctor) examine(ctx context.Context) {
	d.exporter(ctx)
	for _, e := range collectors.Catalog() {
		s := d.section(e.Name)
		if d.Flags.Off[e.Name] {
			s.Status = "off"
			continue
		}
		if (e.Name == "mysql" || e.Name == "redis") && !d.configured(e.Name) {
			d.fact(e.Name, "no server is configured")
		}
		for _, u := range d.Collectors.Lacks(e.Name) {
			d.lack(ctx, e.Name, u)
		}
		switch e.Name {
		case "heal":
			d.stateDirectory()
			d.relay(ctx)
			d.controlKeys(ctx)
			d.hostRights()
			d.taskRights(ctx)
			d.controlDirectory()
			d.askedApps(ctx)
		case "history":
			d.history()
		case "process":
			d.processes()
		case "requests":
			d.requests(ctx)
			d.otherVersions()
		case "mysql":
			d.mysqlServers(ctx)
		case "redis":
			d.redisServers()
		}
	}
}

// diagnosis returns the sections, the exporter's first, then in the order of the catalogue,
// each with its faults before its notes, and a summary. The status is "fault" if there is
// one, else "ok".
func (d *doctor) diagnosis() *Diagnosis {
	out := &Diagnosis{Status: "ok"}
	faults, notes := 0, 0
	names := []string{"exporter"}
	for _, e := range collectors.Catalog() {
		names = append(names, e.Name)
	}
	for _, name := range names {
		s := d.section(name)
		slices.SortStableFunc(s.Findings, func(a, b Finding) int {
			switch {
			case a.Fault == b.Fault:
				return 0
			case a.Fault:
				return -1
			default:
				return 1
			}
		})
		for _, f := range s.Findings {
			if f.Fault {
				faults++
			} else {
				notes++
			}
		}
		out.Sections = append(out.Sections, *s)
	}
	out.Summary = "everything that is configured works"
	switch {
	case faults == 1:
		out.Status, out.Summary = "fault", "1 configured item cannot work"
	case faults > 1:
		out.Status, out.Summary = "fault", fmt.Sprintf("%d configured items cannot work", faults)
	}
	switch {
	case notes == 1:
		out.Summary += ", 1 note"
	case notes > 1:
		out.Summary += fmt.Sprintf(", %d notes", notes)
	}
	return out
}
