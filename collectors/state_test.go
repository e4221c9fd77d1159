package collectors_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

// fact is one number of a sample: a series, or, with a name that begins with
// "page.", one that only the state has.
type fact struct {
	Name   string
	Labels []string // values, in the order in which the metric names its labels
	Value  float64
}

// factList is the numbers of one sample.
type factList []fact

// All returns every fact of that name.
func (l factList) All(name string) (out []fact) {
	for _, f := range l {
		if f.Name == name {
			out = append(out, f)
		}
	}
	return out
}

// Get returns the value of that name with exactly these labels.
func (l factList) Get(name string, labels ...string) (float64, bool) {
	i := slices.IndexFunc(l, func(f fact) bool { return f.Name == name && slices.Equal(f.Labels, labels) })
	if i < 0 {
		return 0, false
	}
	return l[i].Value, true
}

var descForm = regexp.MustCompile(`fqName: "([^"]+)".* variableLabels: \{(.*)\}\}$`)

// facts returns the series of a sample, except histograms, and its state.
func facts(s collectors.Sample) factList {
	var out factList
	for _, m := range s.Metrics {
		var d dto.Metric
		if err := m.Write(&d); err != nil {
			panic(err)
		}
		form := descForm.FindStringSubmatch(m.Desc().String())
		if form == nil {
			panic(m.Desc().String())
		}
		if d.GetHistogram() != nil {
			continue
		}
		f := fact{Name: form[1], Value: d.GetGauge().GetValue() + d.GetCounter().GetValue()}
		if form[2] != "" {
			for name := range strings.SplitSeq(form[2], ",") {
				i := slices.IndexFunc(d.GetLabel(), func(p *dto.LabelPair) bool { return p.GetName() == name })
				f.Labels = append(f.Labels, d.GetLabel()[i].GetValue())
			}
		}
		out = append(out, f)
	}
	out.pools(&s.State)
	out.apps(&s.State)
	out.servers(&s.State)
	return out
}

func (l *factList) add(name string, v float64, labels ...string) {
	*l = append(*l, fact{"page." + name, labels, v})
}

func (l *factList) known(name string, v *float64, labels ...string) {
	if v != nil {
		l.add(name, *v, labels...)
	}
}

// numberOf returns an id as text; "" for 0.
func numberOf[T int | uint64](n T) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(n), 10)
}

func (l *factList) pools(s *model.State) {
	for i := range s.Pools {
		p := &s.Pools[i]
		for _, w := range p.Workers {
			for state, n := range map[string]float64{"in_use": w.InUse, "idle": w.Idle, "in_transaction": w.InTransaction, "leaked": w.Leaked} {
				if n > 0 {
					l.add("pool_worker", n, p.App, p.Name, w.Slot, state)
				}
			}
		}
		for _, x := range p.Sites {
			l.add("pool_site", x.Seconds, p.App, p.Name, x.Route, x.File, x.Function, strconv.Itoa(x.Line), strconv.FormatFloat(x.Connections, 'f', -1, 64))
		}
		for _, x := range p.Leaks {
			l.add("pool_leak", x.Seconds, p.App, p.Name, x.Server, x.Slot, numberOf(x.PID), numberOf(x.Connection))
		}
	}
	for i := range s.LockWaits {
		w, b := &s.LockWaits[i].Waiter, &s.LockWaits[i].Blocker
		l.add("lock_wait", s.LockWaits[i].Seconds, s.LockWaits[i].Server, numberOf(w.ID), w.App, w.Slot,
			numberOf(b.ID), b.App, b.Slot, numberOf(b.PID), s.LockWaits[i].State, b.User, b.Host)
	}
	for i := range s.LockSuspects {
		x := &s.LockSuspects[i]
		l.add("lock_suspect", x.Seconds, x.Server, numberOf(x.ID), x.User, x.Host, x.App, x.Slot, numberOf(x.PID), x.Did)
	}
	for i := range s.Queries {
		q := &s.Queries[i]
		l.add("mysql_query", q.Seconds, q.Server, numberOf(q.ID), q.User, q.Host, q.App, q.Slot, numberOf(q.PID), q.Statement)
	}
}

func (l *factList) apps(s *model.State) {
	for i := range s.Apps {
		for _, w := range s.Apps[i].Workers {
			l.known("worker_cpu_ratio", w.CPU, s.Apps[i].Name, w.Slot)
		}
	}
	for i := range s.Workers {
		l.add("workers_spare", s.Workers[i].Spare, s.Workers[i].App)
		l.add("workers_unready", s.Workers[i].Unready, s.Workers[i].App)
		for _, w := range s.Workers[i].Workers {
			l.add("worker", w.Seconds, s.Workers[i].App, w.Slot, numberOf(w.PID), w.State, w.Detail)
			if w.Wait != nil {
				l.add("worker_wait", w.Seconds, s.Workers[i].App, w.Slot, w.Wait.On, w.Wait.Peer)
			}
		}
	}
	for _, v := range s.LeakViews {
		l.add("leak_view_error", v.Error, v.App, v.View)
		l.add("leak_view_request", v.PerRequest, v.App, v.View)
	}
	for i := range s.Heaps {
		for _, c := range s.Heaps[i].Containers {
			l.add("leak_heap", c.Count, s.Heaps[i].App, s.Heaps[i].Slot, string(s.Heaps[i].Outcome), c.Name, c.Kind, c.Of)
		}
	}
	for i := range s.Requests {
		r := &s.Requests[i]
		l.known("http_rate", r.Rate, r.App)
		l.known("http_error_ratio", r.ErrorRatio, r.App)
		l.known("http_mean_seconds", r.Mean, r.App)
		l.known("http_slow_5m", r.Slow5m, r.App)
		l.known("http_requests_5m", r.Requests5m, r.App)
		l.known("http_errors_5m", r.Errors5m, r.App)
		l.known("http_timed_5m", r.Timed5m, r.App)
		l.known("http_shed_5m", r.Shed5m, r.App)
		l.known("http_last_requests", r.LastRequests, r.App)
		l.known("http_last_error_ratio", r.LastErrorRatio, r.App)
		l.known("http_last_timed", r.LastTimed, r.App)
		l.known("http_last_mean_seconds", r.LastMean, r.App)
		l.known("http_timed", r.Timed, r.App)
		l.known("http_timed_seconds", r.Seconds, r.App)
		l.known("http_latency_seconds", r.P50, r.App, "0.5")
		l.known("http_latency_seconds", r.P95, r.App, "0.95")
		l.known("http_latency_seconds", r.P99, r.App, "0.99")
	}
	for i := range s.Listeners {
		l.known("listen_overflows_5m", s.Listeners[i].Overflows5m, s.Listeners[i].App)
		for _, x := range s.Listeners[i].Listeners {
			l.known("listener_fullness", x.Fullness, s.Listeners[i].App, x.Name)
		}
	}
}

func (l *factList) servers(s *model.State) {
	for i := range s.MySQL {
		m := &s.MySQL[i]
		l.known("mysql_shared_query_seconds", m.SharedQuery, m.Name)
		for _, h := range m.Holders {
			l.add("mysql_holder", h.Connections, m.Name, h.User, h.Host, h.App)
			l.add("mysql_holder_asleep", h.Asleep, m.Name, h.User, h.Host, h.App)
		}
	}
	for i := range s.Redis {
		l.known("redis_hit_ratio", s.Redis[i].HitRatio, s.Redis[i].Name)
		l.known("redis_lookups", s.Redis[i].Lookups, s.Redis[i].Name)
	}
	l.known("host_memory_bytes", s.Host.Total)
	for _, d := range s.Disks {
		l.add("disk", d.Usage, d.Mountpoint)
	}
	for _, p := range s.Pressures {
		l.add("pressure_ratio", p.Ratio, p.Resource, p.Kind)
		l.add("pressure_latest", p.Latest, p.Resource, p.Kind)
	}
	for _, x := range s.Lacks {
		if x.Optional {
			l.add("note", 0, x.Collector, x.Of, string(x.Reason), x.Detail)
		} else {
			l.add("unavailable", 0, x.Collector, string(x.Reason), x.Detail)
		}
	}
}

// checkStateMatchesSeries fails the test if the numbers of a sample's state differ from
// those of its series.
func checkStateMatchesSeries(t *testing.T, s collectors.Sample) {
	t.Helper()
	var in []modeltest.Fact
	for _, f := range facts(s) {
		in = append(in, modeltest.Fact(f))
	}
	want, _ := modeltest.From(in)
	got := s.State
	got.StoreConnections, got.StoreWaits = nil, nil // no series has them; they have tests of their own
	text := func(s *model.State) string {
		s.Listeners = slices.DeleteFunc(slices.Clone(s.Listeners), func(l model.AppListeners) bool { return len(l.Listeners) == 0 && l.Overflows5m == nil })
		b, err := json.MarshalIndent(s, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(b), "[]", "null")
	}
	if g, w := text(&got), text(want); g != w {
		t.Errorf("the state is\n%s\nthe series say\n%s\n%s", g, w, "a new metric must be added to internal/model/modeltest: "+
			"to groups() and to the function of its group; a number without a metric also to facts() of this file")
	}
}
