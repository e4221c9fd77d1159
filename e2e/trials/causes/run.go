package causes

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"
)

// Times are the lengths of the parts of a run.
type Times struct {
	Warm, Fault, Clear time.Duration
	Judged             time.Duration // from the onset on, looks are judged
}

// Usual returns the times of the trial.
func Usual() Times {
	return Times{Warm: 42 * time.Second, Fault: 50 * time.Second, Clear: 60 * time.Second, Judged: 30 * time.Second}
}

// Look is one judgement of the exporter.
type Look struct {
	At        float64 // seconds after the onset
	Cause     string
	Threshold string // what the thresholds alone say
	Sentence  string
	Detail    string
	Starved   bool // the host has no processor left
}

// Result is what came of one run.
type Result struct {
	Case  string
	Want  string
	Looks []Look
	End   float64 // of the fault, seconds after the onset
	Over  float64 // when it was undone
	Told  float64 // when the right cause was first told; <0: never
	Clear float64 // after the end, when none was told any more; <0: never
	// Right and Judged are looks from 30 seconds after the onset to the end; of a healthy
	// case all looks.
	Right, Judged, RightByThreshold int
	Wrong                           map[string]int // causes that were told then
	// Starved is looks that are not judged: cpu was told, and others on the host left no
	// processor for the app.
	Starved int
}

// Run runs one case.
func (l *Lab) Run(ctx context.Context, c Case, seed uint64, times Times) (_ Result, err error) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.Name))
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	r, err := l.newRig(ctx, &c, rand.New(rand.NewPCG(seed, h.Sum64())))
	if err != nil {
		return Result{}, err
	}
	defer func() { cancel(); r.calls.Wait(); err = errors.Join(err, r.close()) }()
	r.startLoad(ctx, c.rate)
	if c.before != nil {
		if err := c.before(ctx, r); err != nil {
			return Result{}, err
		}
	}
	out := Result{Case: c.Name, Want: c.Want, Told: -1, Clear: -1, Wrong: map[string]int{}}
	jitter := func(d time.Duration) time.Duration { return time.Duration(float64(d) * (0.9 + 0.2*r.draws.Float64())) }
	w := watcher{rig: r, onset: time.Now().Add(jitter(times.Warm))}
	if err := w.until(ctx, w.onset, nil); err != nil {
		return out, err
	}
	w.onset = time.Now()
	undo, err := c.fault(ctx, r)
	if err != nil {
		return out, fmt.Errorf("make the fault: %w", err)
	}
	end := w.onset.Add(jitter(times.Fault))
	if err := w.until(ctx, end, nil); err != nil {
		return out, err
	}
	out.End = time.Since(w.onset).Seconds()
	if undo != nil {
		if err := undo(); err != nil {
			return out, fmt.Errorf("end the fault: %w", err)
		}
	}
	out.Over = time.Since(w.onset).Seconds()
	calm := 0
	if err := w.until(ctx, time.Now().Add(times.Clear), func(l Look) bool {
		if calm++; l.Cause != "" {
			calm = 0
		}
		return calm >= 2
	}); err != nil {
		return out, err
	}
	out.judge(w.looks, times)
	return out, nil
}

// watcher notes each judgement once.
type watcher struct {
	*rig

	onset time.Time
	last  time.Time
	looks []Look
}

func (w *watcher) until(ctx context.Context, end time.Time, enough func(Look) bool) error {
	for time.Now().Before(end) {
		sleep(ctx, 500*time.Millisecond)
		s, err := w.status(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || s.LastCheck == nil || s.LastCheck.Equal(w.last) {
			continue
		}
		w.last = *s.LastCheck
		l := Look{At: w.last.Sub(w.onset).Seconds(), Threshold: s.byThresholds(), Starved: s.starved()}
		var b *Bottleneck
		if l.Cause, b = s.cause(); b != nil {
			l.Detail = s.detail()
			if b.Sentence != nil {
				l.Sentence = *b.Sentence
			}
		}
		w.looks = append(w.looks, l)
		if enough != nil && enough(l) {
			return nil
		}
	}
	return nil
}

// judge compares the looks with the truth. At the times before the onset is known, looks
// are relative to when it was planned, which is close.
func (x *Result) judge(looks []Look, times Times) {
	x.Looks = looks
	for i := range looks {
		l := &looks[i]
		if l.Cause == x.Want && x.Told < 0 && l.At > 0 && l.At <= x.End+5 {
			x.Told = l.At
		}
		if x.Clear < 0 && l.At > x.Over && l.Cause == "" {
			x.Clear = l.At - x.Over
		}
		switch {
		case x.Want == "" || l.At >= times.Judged.Seconds() && l.At <= x.End:
			x.count(l)
		case l.At < 0 && l.Cause != "" && (l.Cause != "cpu" || !l.Starved): // before the onset
			x.Wrong["early "+l.Cause]++
		}
	}
}

// count counts a look that is judged.
func (x *Result) count(l *Look) {
	if l.Cause == "cpu" && x.Want != "cpu" && l.Starved {
		x.Starved++
		return
	}
	x.Judged++
	if l.Cause == x.Want {
		x.Right++
	} else {
		x.Wrong[l.Cause]++
	}
	if l.Threshold == x.Want {
		x.RightByThreshold++
	}
}

// Fault returns what is wrong with a result; "" for nothing.
func (x *Result) Fault() string {
	var out []string
	if x.Right < x.Judged || len(x.Wrong) > 0 {
		out = append(out, fmt.Sprintf("wrong: %v", x.Wrong))
	}
	if x.Clear < 0 && x.Want != "" {
		out = append(out, "not cleared")
	}
	return strings.Join(out, "; ")
}
