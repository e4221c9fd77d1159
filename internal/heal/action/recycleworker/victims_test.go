package recycleworker_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/recycleworker"
)

// blame has the slots of shop that only wait, and the one for which they do.
type blame struct {
	victims []string
	root    string
}

const reasonOfChain = "2 of 3 workers of shop wait for MySQL main. Connection 812 of worker 2 holds it."

func (b *blame) WhyWorker(app, slot string, pid int) string {
	if app == "shop" && pid > 1 && slices.Contains(b.victims, slot) {
		return reasonOfChain
	}
	return ""
}

func (b *blame) HoldsUp(app, slot string, pid int) bool {
	return app == "shop" && pid > 1 && slot == b.root
}

func blaming(f *actiontest.Processes, c config.Recycle, b *blame, leaks map[int]int) *recycleworker.Action {
	c.App, c.ImportCheck = "shop", []string{"/bin/true"}
	return recycleworker.New(recycleworker.Deps{
		Processes: f, ProcRoot: "/proc", Victims: func(context.Context) recycleworker.Victims { return b },
		Leaks: func(context.Context, string) (map[int]int, error) { return leaks, nil },
	}, c)
}

// A worker that waits for another component is never picked; the one for which the others
// wait may be, even if no other worker can serve.
func TestRecycleNoVictim(t *testing.T) {
	t.Parallel()
	largest, leaked, stuck := config.Recycle{Pick: config.PickLargest}, config.Recycle{Pick: config.PickLeaked}, config.Recycle{Pick: config.PickStuck}
	for name, c := range map[string]struct {
		c       config.Recycle
		hang    []int
		blame   blame
		slot    string // of the victim of the plan
		refused action.Code
	}{
		"stuck: the root, though all are":        {stuck, []int{0, 1, 2}, blame{[]string{"0", "1"}, "2"}, "2", ""},
		"stuck: a victim beside an idle one":     {stuck, []int{1}, blame{[]string{"1"}, "9"}, "", action.CodeVictim},
		"stuck: one victim of two":               {stuck, []int{0, 1}, blame{[]string{"1"}, "9"}, "0", ""},
		"stuck: not the root, and nobody serves": {stuck, []int{0, 1, 2}, blame{[]string{"0", "1"}, "9"}, "", action.CodeNoneServes},
		"stuck: nobody waits":                    {stuck, []int{1}, blame{}, "1", ""},
		"largest: the largest waits":             {largest, nil, blame{[]string{"2"}, "0"}, "", action.CodeVictim},
		"largest: another one waits":             {largest, nil, blame{[]string{"0"}, "2"}, "2", ""},
		"leaked: who leaks most waits":           {leaked, nil, blame{[]string{"1"}, "0"}, "", action.CodeVictim},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, _ := actiontest.StartWorkers(t, cmdline.Gunicorn)
			hang(&f.Snap.Apps[0], c.hang...)
			p, err := blaming(f, c.c, &c.blame, map[int]int{0: 1, 1: 3}).Plan(t.Context(), action.PlanRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if c.slot == "" {
				if p.Refused.Code != c.refused || len(p.Victims) > 0 {
					t.Errorf("%+v", p)
				}
			} else if !p.Refused.IsZero() || len(p.Victims) != 1 || p.Victims[0].ID != c.slot {
				t.Errorf("%+v", p)
			}
		})
	}
}

// Who becomes a victim between plan and act lives.
func TestRecycleNoVictimByNow(t *testing.T) {
	t.Parallel()
	for _, pick := range []string{config.PickLargest, config.PickStuck} {
		t.Run(pick, func(t *testing.T) {
			t.Parallel()
			f, _ := actiontest.StartWorkers(t, cmdline.Gunicorn)
			a := &f.Snap.Apps[0]
			hang(a, 2)
			for i := range a.Workers[:2] {
				a.Workers[i].State = discovery.Idle
			}
			b := &blame{}
			act := blaming(f, config.Recycle{Pick: pick}, b, nil)
			p, err := act.Plan(t.Context(), action.PlanRequest{})
			if err != nil || !p.Refused.IsZero() || len(p.Victims) != 1 || p.Victims[0].ID != "2" {
				t.Fatalf("%+v, %v", p, err)
			}
			b.victims = []string{"2"}
			n, err := act.Apply(t.Context(), p)
			if why, ok := errors.AsType[action.Refusal](err); n != 0 || !ok || why.Code != action.CodeVictim {
				t.Errorf("%d, %v", n, err)
			}
			if !actiontest.Alive(strconv.Itoa(a.Workers[2].PID)) {
				t.Error("the worker is gone")
			}
		})
	}
}
