package diagnosis

import "slices"

// next returns what a node waits for; nil if for nothing, it is not known, or the node is an
// app for which that is being found out.
func (g *graph) next(n node) *step {
	if s, known := g.steps[n]; known {
		return s
	}
	var s *step
	switch n.sort {
	case ofThread:
		s = g.afterThread(n.index)
	case ofConnection:
		if w := g.waits[n.key()]; w != nil && n.kind == "" {
			s = g.afterWait(w)
		}
	case ofApp:
		if g.apps[n.name] {
			return nil // under way in afterApp: not the answer yet
		}
		g.apps[n.name] = true
		s = g.afterApp(n)
		delete(g.apps, n.name)
	default: // nothing is known of what the others wait for
	}
	g.steps[n] = s
	return s
}

// afterApp returns what a wait for an app goes on to, one of its threads in [graph.inHandOf]: of
// those that do not wait for this app again the one that is farthest from the root, or nil if
// their roots differ; if all wait for this app again, the first that closes a circle, else nil.
func (g *graph) afterApp(n node) *step {
	list := g.inHandOf(n.name)
	chosen, back, farthest, root := -1, -1, 0, node{}
	for _, i := range list {
		p := g.walk(i, nil)
		switch {
		case p.end == n: // it waits for this app again
			if back < 0 && g.closes(&p) {
				back = i
			}
		case chosen >= 0 && p.end != root:
			return nil
		case chosen < 0 || len(p.steps) > farthest:
			chosen, farthest, root = i, len(p.steps), p.end
		}
	}
	if chosen < 0 {
		chosen = back
	}
	if chosen < 0 {
		return nil
	}
	s := &step{to: node{sort: ofThread, index: chosen}}
	if len(list) > 1 {
		s.candidates = len(list)
	}
	return s
}

// inHandOf returns the indexes of the threads of an app that have been in one state with
// a request for long enough, the longest first.
func (g *graph) inHandOf(app string) []int {
	var list []int
	for _, w := range g.byApp[app] {
		for _, i := range g.workers[w].threads {
			if t := &g.threads[i]; t.inHand() && t.Seconds >= minWait {
				list = append(list, i)
			}
		}
	}
	slices.SortStableFunc(list, g.byWait)
	return list
}

// byWait compares two threads for a sort: the one that has waited longer is first.
func (g *graph) byWait(i, j int) int {
	switch a, b := g.threads[i].Seconds, g.threads[j].Seconds; {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return i - j
}

// closes reports whether a path that leads back to an app is a real circle: an app on it
// has no free thread. A free one would answer.
func (g *graph) closes(p *path) bool {
	return slices.ContainsFunc(p.steps, func(s *step) bool { return s.to.sort == ofApp && !g.free(s.to.name) })
}

// free reports whether an app has a thread without a request; false also if none is known.
func (g *graph) free(app string) bool {
	return slices.ContainsFunc(g.byApp[app], func(w int) bool {
		return slices.ContainsFunc(g.workers[w].threads, func(i int) bool { return !g.threads[i].inHand() })
	})
}

// path is the waits from one thread to the end.
type path struct {
	thread  int
	seconds float64 // that it has waited
	steps   []*step
	end     node // of a circle its first node, in the order of nodes
	circle  int  // index of the first step of the circle; -1: there is none
	held    bool // one step has a known holder
}

// walk returns the path of waits that begins with thread i. It ends at the first node
// that waits for nothing known, that is in stop, or that closes a circle.
func (g *graph) walk(i int, stop map[node]bool) path {
	p := path{thread: i, seconds: g.threads[i].Seconds, circle: -1}
	n := node{sort: ofThread, index: i}
	at := map[node]int{n: 0}
	for {
		s := g.next(n)
		if s == nil {
			p.end = n
			return p
		}
		p.steps, p.held = append(p.steps, s), p.held || s.held
		n = s.to
		if first, met := at[n]; met {
			p.close(first)
			return p
		}
		if at[n] = len(p.steps); stop[n] {
			p.end = n
			return p
		}
	}
}

// close ends a path that has come back to itself: the circle begins with the first-th
// step. If a step of the circle is only likely, it is no circle, and the path ends before
// that step.
func (p *path) close(first int) {
	circle := p.steps[first:]
	if i := slices.IndexFunc(circle, func(s *step) bool { return s.probable }); i >= 0 {
		p.steps = p.steps[:first+i]
		p.end = node{sort: ofThread, index: p.thread}
		if n := len(p.steps); n > 0 {
			p.end = p.steps[n-1].to
		}
		p.held = slices.ContainsFunc(p.steps, func(s *step) bool { return s.held })
		return
	}
	p.circle, p.end = first, circle[0].to
	for _, s := range circle {
		if s.to.compare(p.end) < 0 {
			p.end = s.to
		}
	}
}

// paths returns the path of each thread that is a victim. A thread that holds something
// others wait for is a root and no victim, if it waits itself only for a server or an
// address that no known holder delays.
func (g *graph) paths() []path {
	roots := make(map[node]bool)
	for i := range g.threads {
		for _, s := range g.walk(i, nil).steps {
			if s.held && g.endsAt(s.to) {
				roots[s.to] = true
			}
		}
	}
	var out []path
	for i := range g.threads {
		if roots[node{sort: ofThread, index: i}] {
			continue
		}
		if p := g.walk(i, roots); len(p.steps) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// endsAt reports whether a node waits for a server or an address, and neither a known
// holder nor an outage of the server delays it.
func (g *graph) endsAt(n node) bool {
	s := g.next(n)
	return s != nil && !s.held && s.to.sort == ofPlace && s.kind != kindDown && s.kind != kindFull
}
