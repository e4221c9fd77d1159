package collectors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

var silent = slog.New(slog.DiscardHandler)

// stub is a collector that calls a function of the test.
type stub struct {
	name   string
	calls  atomic.Int64
	healed atomic.Bool // it succeeds, whatever do returns
	do     func(context.Context) (collectors.Sample, error)
}

func (s *stub) Name() string            { return s.name }
func (*stub) Descs() []*prometheus.Desc { return nil }
func (s *stub) Collect(ctx context.Context) (collectors.Sample, error) {
	s.calls.Add(1)
	if s.healed.Load() {
		return quickCollect(ctx)
	}
	return s.do(ctx)
}

func hangingCollect(d time.Duration) func(context.Context) (collectors.Sample, error) {
	return func(context.Context) (collectors.Sample, error) {
		time.Sleep(d) // ignores its context, as a system call does
		return collectors.Sample{}, nil
	}
}

// slowCollect returns a sample after a second, or when its context ends.
func slowCollect(ctx context.Context) (collectors.Sample, error) {
	select {
	case <-time.After(time.Second):
		return quickCollect(ctx)
	case <-ctx.Done():
		return collectors.Sample{}, ctx.Err()
	}
}

func quickCollect(context.Context) (collectors.Sample, error) {
	return collectors.Sample{State: model.State{Disks: []model.Disk{{Mountpoint: "fine", Usage: 1}}}}, nil
}

// read returns the series of one scrape with a budget, as text.
func read(t *testing.T, s *collectors.Set, budget time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), budget)
	defer cancel()
	var b strings.Builder
	for _, r := range facts(s.Read(ctx, nil)) {
		fmt.Fprintf(&b, "%s %s %g\n", r.Name, strings.Join(r.Labels, " "), r.Value)
	}
	return b.String()
}

func wantLines(t *testing.T, got string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains(got, l+"\n") {
			t.Errorf("no %q in\n%s", l, got)
		}
	}
}

func TestLateSourceIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := &stub{name: "hung", do: hangingCollect(time.Hour)}
		s := collectors.NewSet([]collectors.Collector{hung, &stub{name: "good", do: quickCollect}}, []string{"off"}, silent)
		start := time.Now()
		got := read(t, s, 2*time.Second)
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("took %s", d)
		}
		wantLines(t, got, "page.disk fine 1", "resp_scrape_collector_success good 1", "resp_scrape_collector_success hung 0",
			"resp_collector_available hung timeout 0", "resp_collector_available off disabled 0", "resp_collector_available good ok 1")

		for range 50 { // its place is free by deadline, and yet only two may hang
			got = read(t, s, 2*time.Second)
		}
		if n := hung.calls.Load(); n != 2 {
			t.Errorf("%d reads of a hung source, want 2", n)
		}
		wantLines(t, got, "resp_scrape_collector_left_behind hung 2", "resp_scrape_collector_success hung 0")

		time.Sleep(2 * time.Hour) // both return, and the next read succeeds
		hung.healed.Store(true)
		got = read(t, s, 2*time.Second)
		wantLines(t, got, "resp_scrape_collector_left_behind hung 0", "resp_scrape_collector_success hung 1")
	})
}

func TestScrapesShareOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &stub{name: "slow", do: hangingCollect(time.Second)}
		s := collectors.NewSet([]collectors.Collector{slow}, nil, silent)
		done := make(chan string)
		for range 5 {
			go func() { done <- read(t, s, 5*time.Second) }()
		}
		for range 5 {
			wantLines(t, <-done, "resp_scrape_collector_success slow 1")
		}
		if n := slow.calls.Load(); n != 1 {
			t.Errorf("%d reads, want 1", n)
		}
	})
}

// A scrape with little time does not fail the others that share its read, and does not make
// the source unavailable.
func TestShortScrapeHurtsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &stub{name: "slow", do: slowCollect}
		var log strings.Builder
		s := collectors.NewSet([]collectors.Collector{slow}, nil, slog.New(slog.NewTextHandler(&log, nil)))
		short := make(chan string)
		go func() { short <- read(t, s, 250*time.Millisecond) }()
		synctest.Wait()
		wantLines(t, read(t, s, 5*time.Second), "page.disk fine 1", "resp_collector_available slow ok 1")
		wantLines(t, <-short, "resp_scrape_collector_success slow 0", "resp_collector_available slow timeout 0")
		if n := slow.calls.Load(); n != 1 || log.Len() > 0 {
			t.Errorf("%d reads, log %s", n, log.String())
		}
	})
}

// A scrape that is cancelled does not fail the others that share its read.
func TestHungUpScrapeHurtsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &stub{name: "slow", do: slowCollect}
		s := collectors.NewSet([]collectors.Collector{slow}, nil, silent)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		go s.Read(ctx, nil)
		synctest.Wait()
		cancel()
		wantLines(t, read(t, s, 5*time.Second), "page.disk fine 1")
	})
}

func TestPanicAndErrorAreOneSourcesOwn(t *testing.T) {
	s := collectors.NewSet([]collectors.Collector{
		&stub{name: "panics", do: func(context.Context) (collectors.Sample, error) { panic("oh") }},
		&stub{name: "fails", do: func(context.Context) (collectors.Sample, error) {
			return collectors.Sample{State: model.State{Disks: []model.Disk{{Mountpoint: "part"}}}}, errors.New("half of it")
		}},
		&stub{name: "refused", do: func(context.Context) (collectors.Sample, error) {
			return collectors.Sample{}, fmt.Errorf("look: %w", &collectors.Unavailable{Reason: collectors.Permission, Detail: "needs a key"})
		}},
		&stub{name: "notes", do: func(context.Context) (collectors.Sample, error) {
			return collectors.Sample{}, &collectors.Unavailable{Of: "app:shop", Reason: collectors.Malformed, Optional: true, Detail: "lines"}
		}},
		&stub{name: "good", do: quickCollect},
	}, nil, silent)
	wantLines(t, read(t, s, 5*time.Second),
		"resp_collector_available panics failed 0", "resp_scrape_collector_success panics 0",
		"page.disk part 0", "resp_collector_available fails failed 0",
		"resp_collector_available refused permission 0", "resp_scrape_collector_success refused 1", "page.unavailable refused permission needs a key 0",
		"resp_collector_available notes ok 1", "page.note notes app:shop malformed lines 0",
		"page.disk fine 1")
}

// Each lack is logged when it begins, also beside another of the same reason and when it
// occurs again, and not again while it lasts, even if its text changes.
func TestEachOutageIsLoggedOnce(t *testing.T) {
	down := func(server, detail string) error {
		return &collectors.Unavailable{Of: "mysql:" + server, Reason: collectors.NotFound, Detail: "mysql " + server + ": " + detail}
	}
	stuck := func(disk string) error { return &collectors.Unavailable{Reason: collectors.Timeout, Detail: disk} }
	var b strings.Builder
	var err error
	c := &stub{name: "c", do: func(context.Context) (collectors.Sample, error) { return collectors.Sample{}, err }}
	s := collectors.NewSet([]collectors.Collector{c}, nil, slog.New(slog.NewTextHandler(&b, nil)))
	for i, step := range []struct {
		err  error
		logs []string // of the one line; none: nothing is logged
	}{
		{nil, nil},
		{down("main", "no connection"), []string{"level=WARN", "reason=not_found", "mysql main: no connection"}},
		{down("main", "no connection for 5 s"), nil},
		{errors.Join(down("main", "no connection"), down("other", "no route")), []string{"level=WARN", "reason=not_found", "mysql other: no route"}},
		{down("other", "no route"), nil},
		{errors.Join(down("main", "again"), down("other", "no route")), []string{"level=WARN", "mysql main: again"}},
		{nil, []string{"level=INFO", "complete again", "was=not_found"}},
		{nil, nil},
		{stuck("/a"), []string{"level=ERROR", "reason=timeout", "/a"}},
		{errors.Join(stuck("/a"), stuck("/b")), []string{"level=ERROR", "err=/b"}},
		{errors.New("port 1"), []string{"level=ERROR", "reason=failed", "port 1"}},
		{errors.New("port 2"), nil},
	} {
		b.Reset()
		err = step.err
		read(t, s, time.Second)
		got := b.String()
		if strings.Count(got, "\n") != min(1, len(step.logs)) {
			t.Errorf("step %d: logged %q", i, got)
		}
		for _, want := range step.logs {
			if !strings.Contains(got, want) {
				t.Errorf("step %d: no %q in %q", i, want, got)
			}
		}
	}
}

func TestPick(t *testing.T) {
	a, b := &stub{name: "a", do: quickCollect}, &stub{name: "b", do: quickCollect}
	s := collectors.NewSet([]collectors.Collector{a, b}, nil, silent)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	s.Read(ctx, func(n string) bool { return n == "b" })
	if a.calls.Load() != 0 || b.calls.Load() != 1 {
		t.Errorf("read a %d times, b %d times", a.calls.Load(), b.calls.Load())
	}
}

// The metrics of all collectors follow the naming rules.
func TestSetLints(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	set := collectors.NewSet([]collectors.Collector{&stub{name: "good", do: quickCollect}}, []string{"off"}, silent)
	if ps, err := testutil.GatherAndLint(set.Gatherer(ctx, nil)); err != nil || len(ps) > 0 {
		t.Errorf("%v %v", ps, err)
	}
}

func BenchmarkSet(b *testing.B) {
	apps := fakeApps{snap: shop()}
	s := collectors.NewSet([]collectors.Collector{collectors.NewWorkers(apps, fakeEnds{}), collectors.NewListener(apps, b.TempDir())}, nil, silent)
	b.ReportAllocs()
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		s.Read(ctx, nil)
		cancel()
	}
}
