package app

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	doctorRead = 4 * time.Second // for one read of everything
	// A part that works in the background has not begun at the first look, and
	// a connect may not have ended. Two looks that agree are believed.
	doctorPause = 1500 * time.Millisecond
	doctorLooks = 3
)

// Diagnosis is what the doctor found.
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

// Finding is one thing that is missing, or worth to know.
type Finding struct {
	Of     string            `json:"of"`     // as in resp_up: "app:shop", "mysql:main"; "" is all of the section
	Reason collectors.Reason `json:"reason"` // "ok" where nothing is missing
	Detail string            `json:"detail"` // a sentence without a full stop
	Cure   []string          `json:"cure"`   // ways to have it, any of them, ready to be pasted
	Fault  bool              `json:"fault"`  // something configured cannot work
}

// Diagnose builds what the exporter runs with the same options, reads all of
// it until two looks agree, and tells what is missing and how it is cured. It
// serves nothing and logs nothing. Its error is that of a configuration that
// cannot be loaded.
func Diagnose(ctx context.Context, o Options) (*Diagnosis, error) {
	o.Logger = slog.New(slog.DiscardHandler) // what is wrong is in the result
	a, err := New(o)                         //nolint:contextcheck // a reload over HTTP has no context of its own
	if err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = together(run, a.sources()...) // what fails is seen in what its collector says
	}()
	defer func() { stop(); <-done }()
	d := &doctor{App: a, cfg: *a.config.Load(), who: whoAmI(), sections: make(map[string]*Section)}
	d.look(ctx)
	ctx, cancel := context.WithTimeout(ctx, doctorRead)
	defer cancel()
	if snap, err := d.watcher.Snapshot(ctx); err == nil {
		d.apps = snap.Apps
	}
	d.examine(ctx)
	return d.diagnosis(), nil
}

// doctor is one examination.
type doctor struct {
	*App
	cfg      config.Config
	who      viewer
	state    *model.State // of the last look
	apps     []discovery.App
	sections map[string]*Section
}

// look reads everything until two looks in a row miss the same.
func (d *doctor) look(ctx context.Context) {
	var before []string
	for i := range doctorLooks {
		read, cancel := context.WithTimeout(ctx, doctorRead)
		seen := d.set.Read(read, nil).State
		d.state = &seen
		cancel()
		now, late := d.missing()
		if i > 0 && !late && reflect.DeepEqual(now, before) {
			break
		}
		if before = now; i == doctorLooks-1 {
			break
		}
		pause := time.NewTimer(doctorPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// missing is what the last look missed, and whether some of it may only be late.
func (d *doctor) missing() (all []string, late bool) {
	for _, name := range d.set.Names() {
		for _, u := range d.set.Lacks(name) {
			all = append(all, name+" "+u.Error())
			late = late || u.Reason == collectors.Timeout
		}
	}
	return all, late
}

// examine fills the sections.
func (d *doctor) examine(ctx context.Context) {
	d.exporter(ctx)
	for _, e := range collectors.Catalog() {
		s := d.section(e.Name)
		if d.o.Off[e.Name] {
			s.Status = "off"
			continue
		}
		if (e.Name == "mysql" || e.Name == "redis") && !d.configured(e.Name) {
			d.fact(e.Name, "no server is in the configuration")
		}
		for _, u := range d.set.Lacks(e.Name) {
			d.lack(ctx, e.Name, u)
		}
		switch e.Name {
		case "heal":
			d.stateDirectory()
		case "process":
			d.processes()
		case "requests":
			d.reports(ctx)
		case "mysql":
			d.mysqlServers(ctx)
		case "redis":
			d.redisServers()
		}
	}
}

// lack takes what a collector says is missing, and makes its cure one for this
// host and this server.
func (d *doctor) lack(ctx context.Context, collector string, u *collectors.Unavailable) {
	f := Finding{Of: u.Of, Reason: u.Reason, Detail: u.Detail, Fault: d.fault(collector, u)}
	if u.Remedy != "" {
		f.Cure = strings.Split(u.Remedy, "\n")
	}
	kind, name, _ := strings.Cut(u.Of, ":")
	switch {
	case collector == "statsd" && u.Reason == collectors.Disabled:
		d.section(collector).Status = "off"
		return
	case kind == "statsd" && u.Reason == collectors.InUse:
		if d.oursAlready(collector, name, &f) {
			return
		}
	case kind == "app" && u.Reason == collectors.Permission:
		d.cureApp(collector, name, &f)
	case kind == "mysql":
		d.cureMySQL(ctx, name, &f)
	case kind == "redis":
		d.cureRedis(ctx, name, &f)
	}
	for i := range f.Cure {
		f.Cure[i] = strings.ReplaceAll(f.Cure[i], "-o USER", "-o "+d.who.name)
	}
	d.add(collector, f)
}

// fault reports whether what is missing keeps something configured from working.
// What only this kernel, or an app as large as it is, does not have is no
// fault; nor is it what an app lacks that nobody named.
func (d *doctor) fault(collector string, u *collectors.Unavailable) bool {
	kind, name, _ := strings.Cut(u.Of, ":")
	switch {
	case u.Optional, u.Reason == collectors.Disabled:
		return false
	case kind == "mysql", kind == "redis":
		return true
	case u.Reason == collectors.Unsupported:
		return false
	case kind == "app":
		return d.named(name)
	case kind == "statsd":
		return !slices.Equal(d.cfg.StatsD.Listen, config.Default().StatsD.Listen)
	default:
		return d.configured(collector)
	}
}

// named reports whether the configuration has an app of that name.
func (d *doctor) named(app string) bool {
	return slices.ContainsFunc(d.cfg.Apps, func(a config.App) bool { return a.Name == app })
}

// configured reports whether the configuration asks for what a collector gives.
func (d *doctor) configured(collector string) bool {
	has := func(part func(config.App) int) bool {
		return slices.ContainsFunc(d.cfg.Apps, func(a config.App) bool { return part(a) > 0 })
	}
	switch collector {
	case "mysql":
		return len(d.cfg.MySQL) > 0
	case "redis":
		return len(d.cfg.Redis) > 0
	case "pool":
		return has(func(a config.App) int { return len(a.Pools) })
	case "sessions":
		return has(func(a config.App) int { return len(a.Sessions) })
	case "tasks":
		return has(func(a config.App) int { return len(a.Tasks) })
	default:
		return false
	}
}

func (d *doctor) section(name string) *Section {
	s := d.sections[name]
	if s == nil {
		s = &Section{Name: name, Status: "ok", Facts: []string{}, Findings: []Finding{}}
		d.sections[name] = s
	}
	return s
}

func (d *doctor) add(section string, f Finding) {
	s := d.section(section)
	if f.Cure == nil {
		f.Cure = []string{}
	}
	if slices.ContainsFunc(s.Findings, func(have Finding) bool { return reflect.DeepEqual(have, f) }) {
		return
	}
	s.Findings = append(s.Findings, f)
	switch {
	case f.Fault:
		s.Status = "fault"
	case s.Status == "ok":
		s.Status = "note"
	}
}

func (d *doctor) fact(section, format string, args ...any) {
	s := d.section(section)
	s.Facts = append(s.Facts, fmt.Sprintf(format, args...))
}

// diagnosis puts the sections in their order and sums them up.
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
	out.Summary = "all that is configured works"
	switch {
	case faults == 1:
		out.Status, out.Summary = "fault", "1 thing that is configured cannot work"
	case faults > 1:
		out.Status, out.Summary = "fault", fmt.Sprintf("%d things that are configured cannot work", faults)
	}
	switch {
	case notes == 1:
		out.Summary += ", 1 note"
	case notes > 1:
		out.Summary += fmt.Sprintf(", %d notes", notes)
	}
	return out
}
