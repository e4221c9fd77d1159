package views

import "slices"

const (
	// lumps is how many times what memory grows by at once an observation must grow by, on
	// average, to count as one.
	lumps = 2
	// longest is how many seconds an observation lasts at most, and remembered over how
	// many of them what memory grows by is known.
	longest    = 1800.0
	remembered = 500.0
)

// Worker puts the observations of one process together. An allocator keeps what is freed:
// what a view keeps may first fill that, and the memory grows in a request to another view
// that takes much for a moment. Only observations that are long enough have both.
type Worker struct {
	lasted, grown float64
	seen          Seen
}

// add adds an observation to what the worker has put together.
func (w *Worker) add(o *Observation) {
	w.lasted += o.Lasted
	w.grown += o.Grown
	w.seen.Looks += o.Seen.Looks
	for i := range o.Seen.Views {
		v := &o.Seen.Views[i]
		k := slices.IndexFunc(w.seen.Views, func(x View) bool { return x.Name == v.Name })
		if k < 0 {
			w.seen.Views = append(w.seen.Views, View{Name: v.Name})
			k = len(w.seen.Views) - 1
		}
		w.seen.Views[k].Requests += v.Requests
		w.seen.Views[k].Ages.add(&v.Ages)
	}
}

// reset removes all that was observed of the worker.
func (w *Worker) reset() { *w = Worker{seen: Seen{Views: w.seen.Views[:0]}} }

// growing is what the memory of the workers of an app grows by at once, and how fast:
// means of the last observations.
type growing struct {
	n, rises, squares, grown, lasted float64
}

// add adds by how many bytes memory grew, and in how many seconds.
func (g *growing) add(grown, lasted float64) {
	g.n = min(g.n+1, remembered)
	old := 1 - 1/g.n
	rise := max(0, grown)
	g.rises, g.squares = old*g.rises+rise/g.n, old*g.squares+rise*rise/g.n
	g.grown, g.lasted = old*g.grown+grown/g.n, old*g.lasted+lasted/g.n
}

// enough returns how many seconds the observations of a worker must last together to be
// used: at most 1,800 / scale, which it is while memory has not grown. scale is by how much
// time runs faster.
func (g *growing) enough(scale float64) float64 {
	most := longest / scale
	if g.grown <= 0 || g.rises <= 0 {
		return most
	}
	return min(most, lumps*g.squares/g.rises*g.lasted/g.grown)
}
