// Package chains makes chains of waits on real servers and apps, and compares what
// the exporter reports of each with what the apps have written down: the root,
// the lines, the views and the ages. It uses documented interfaces only.
package chains

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	settle   = 25 * time.Second // until a chain must be reported
	between  = 700 * time.Millisecond
	looks    = 3                // that must agree once it is reported
	ageError = 2.5              // seconds
	wholeRun = 90 * time.Second // of a case
)

// Result is what came of one case.
type Result struct {
	Name     string
	Seconds  float64 // until the right chain was reported; 0: it was not
	Faults   []string
	Sentence string
}

// Run makes one case and compares. An error means that it could not be made.
func Run(ctx context.Context, c Case, exporter string, seed uint64) (_ Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, wholeRun)
	defer cancel()
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.Name))
	r, err := newRig(ctx, exporter, rand.New(rand.NewPCG(seed, h.Sum64())), c.local, c.mute)
	if err != nil {
		return Result{}, err
	}
	defer func() { cancel(); err = errors.Join(err, r.close()); r.calls.Wait() }()
	wants, err := c.make(ctx, r)
	if err != nil {
		return Result{}, err
	}
	began := time.Now()
	out := Result{Name: c.Name}
	for agreed := 0; agreed < looks; {
		s, err := r.status(ctx)
		if err != nil {
			return out, err
		}
		var faults []string
		for i := range wants {
			sentence, wrong := r.compare(&wants[i], s.Chains)
			faults = append(faults, wrong...)
			out.Sentence = sentence
		}
		late := time.Since(began) > settle
		switch {
		case len(faults) == 0:
			if agreed++; agreed == 1 {
				out.Seconds = time.Since(began).Seconds()
			}
		case agreed > 0 || late:
			out.Faults, out.Seconds = append(faults, fmt.Sprintf("chains: %+v", s.Chains)), 0
			return out, nil
		}
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-time.After(between):
		}
	}
	return out, nil
}

// compare returns the faults of the chain that has the victims of w.
func (r *rig) compare(w *want, list []Chain) (sentence string, faults []string) {
	c := r.find(w, list)
	if c == nil {
		return "", []string{"no chain has the victims " + fmt.Sprint(w.victims)}
	}
	for _, v := range w.victims {
		n, _ := r.truth(v.app, v.tag, v.step)
		l := r.victim(c, n)
		if l == nil {
			faults = append(faults, fmt.Sprintf("%v is no victim", v))
			continue
		}
		faults = append(faults, place("victim", l, n, w.plusLine)...)
		if age := now() - n.At; math.Abs(l.Seconds-age) > ageError {
			faults = append(faults, fmt.Sprintf("the victim waits for %.1f s, said is %.1f s", age, l.Seconds))
		}
	}
	if c.Deadlock != w.deadlock {
		faults = append(faults, fmt.Sprintf("deadlock is %t", c.Deadlock))
	}
	if w.kind != "" && c.Kind != w.kind {
		faults = append(faults, fmt.Sprintf("the kind is %q, not %q", c.Kind, w.kind))
	}
	if len(c.Links) == 0 {
		return c.Sentence, append(faults, "there is no link")
	}
	if !w.deadlock {
		faults = append(faults, r.compareRoot(w, &c.Links[len(c.Links)-1])...)
	}
	return c.Sentence, faults
}

// compareRoot returns the faults of a root.
func (r *rig) compareRoot(w *want, root *Link) (faults []string) {
	switch {
	case w.root.step == "hold": // a thread that takes no request
		n, _ := r.truth(w.root.app, w.root.tag, w.victims[0].step)
		if line := r.lineOf(w.root.app, "sum(range("); root.PID != n.PID || root.Line != line {
			faults = append(faults, fmt.Sprintf("the root is %+v, not the thread of %d in line %d", *root, n.PID, line))
		}
	case w.root.tag != "":
		return r.compareWorker(w, root)
	case w.client != "":
		if !strings.HasPrefix(root.Host, w.client) || root.App != "" {
			faults = append(faults, fmt.Sprintf("the root is %+v, not a client of %s", *root, w.client))
		}
	case w.user != "":
		if root.User != w.user || root.App != "" {
			faults = append(faults, fmt.Sprintf("the root is %+v, not a connection of %s", *root, w.user))
		}
	default:
		peer := r.fill(w.peer)
		if !strings.HasSuffix(root.Peer+root.Server, peer) || root.App != "" && root.On != "upstream" {
			faults = append(faults, fmt.Sprintf("the root is %+v, not %s", *root, peer))
		}
	}
	return faults
}

// compareWorker returns the faults of a root that is a request of a worker.
func (r *rig) compareWorker(w *want, root *Link) (faults []string) {
	n, ok := r.truth(w.root.app, w.root.tag, w.root.step)
	if !ok || root.App != w.root.app || root.PID != n.PID {
		return []string{fmt.Sprintf("the root is %+v, not %+v", *root, n)}
	}
	if w.root.step != "keep" {
		faults = append(faults, place("root", root, n, 0)...)
	}
	if n.Connection != 0 && root.Connection != n.Connection {
		faults = append(faults, fmt.Sprintf("the root's connection is %d, not %d", root.Connection, n.Connection))
	}
	if first, ok := r.truth(w.root.app, w.root.tag, "row"); ok && first.Connection != 0 {
		if root.Transaction == nil || math.Abs(*root.Transaction-(now()-first.At)) > ageError {
			faults = append(faults, fmt.Sprintf("the root's transaction is %.1f s old, said is %v", now()-first.At, root.Transaction))
		}
	}
	return faults
}

// place returns the faults of the view and the line of a link.
func place(what string, l *Link, n note, plus int) (faults []string) {
	if l.View != n.View || l.File != n.File || l.Line != n.Line+plus || !strings.HasSuffix(n.Function, l.Function) {
		faults = append(faults, fmt.Sprintf("the %s is in %s at %s (%s:%d), not in %s at %s (%s:%d)", what, l.View, l.Function, l.File, l.Line, n.View, n.Function, n.File, n.Line+plus))
	}
	return faults
}

// lineOf returns the number of the line of an app that contains text.
func (r *rig) lineOf(app, text string) int {
	b, err := os.ReadFile(filepath.Join(r.dir, app+"_app.py"))
	if err != nil {
		return 0
	}
	before, _, _ := strings.Cut(string(b), text)
	return strings.Count(before, "\n") + 1
}

// find returns the chain that has the first victim.
func (r *rig) find(w *want, list []Chain) *Chain {
	n, _ := r.truth(w.victims[0].app, w.victims[0].tag, w.victims[0].step)
	for i := range list {
		if r.victim(&list[i], n) != nil {
			return &list[i]
		}
	}
	return nil
}

// victim returns the victim of a chain that is the thread of a note.
func (r *rig) victim(c *Chain, n note) *Link {
	for i := range c.Victims {
		if v := &c.Victims[i]; v.PID == n.PID && v.View == n.View {
			return v
		}
	}
	return nil
}

// now returns the seconds since 1970.
func now() float64 { return float64(time.Now().UnixMilli()) / 1000 }

// visit sends short requests to an app until ctx ends.
func (r *rig) visit(ctx context.Context, app string) {
	for ctx.Err() == nil {
		if err := r.get(ctx, app, "/short"); err != nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// Healthy reads the chains of two busy apps with short requests, and returns those that
// the exporter reports; there should be none.
func Healthy(ctx context.Context, exporter string, seed uint64, looks int) (invented []string, err error) {
	r, err := newRig(ctx, exporter, rand.New(rand.NewPCG(seed, 7)), false, false)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() { cancel(); r.calls.Wait(); err = errors.Join(err, r.close()) }()
	for _, app := range []string{"shop", "shop", "shop", "blog", "blog", "blog"} {
		r.calls.Go(func() { r.visit(ctx, app) })
	}
	for range looks {
		s, err := r.status(ctx)
		if err != nil {
			return invented, err
		}
		for _, c := range s.Chains {
			invented = append(invented, fmt.Sprintf("%+v", c))
		}
		select {
		case <-ctx.Done():
			return invented, ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
	return invented, nil
}
