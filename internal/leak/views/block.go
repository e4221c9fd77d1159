package views

import "github.com/resp-exporter/resp-exporter/internal/leak/linear"

const (
	// maxViews is how many views of an app are told apart; the last one is what is left.
	maxViews = 28
	columns  = 1 + maxViews // the time, and the requests of each view
	packed   = columns * (columns + 1) / 2
	// maxBlocks is how many stretches of time are told apart. When there are so many,
	// two become one, up to longestBlock; then the first is forgotten.
	maxBlocks    = 6
	firstBlock   = 900.0 // seconds
	longestBlock = 3600.0
)

// block is what was observed in one stretch of time: the sums of a regression of growth
// on time and on the requests of the views.
type block struct {
	from  float64 // seconds
	n     float64 // observations
	gram  [packed]float64
	xy    [columns]float64
	meat  [packed]float32 // of the products, times the squares of what was left over; MB²
	yy    float64         // of the squares of growth
	grown float64         // bytes
	spent float64         // seconds of workers
	looks float64         // of workers
	seen  [maxViews]float64
	ages  [maxViews]Ages
}

// observe adds one observation of a worker: its columns, by how many bytes its memory
// grew, and how many of these the last coefficients did not explain (rest).
func (b *block) observe(x *[columns]float64, used int, grown, rest float64) {
	b.n++
	rest /= 1e6
	b.yy += grown * grown
	for i := range used {
		if x[i] == 0 {
			continue
		}
		b.xy[i] += x[i] * grown
		for j := range i + 1 {
			p := x[i] * x[j]
			b.gram[linear.At(i, j)] += p
			b.meat[linear.At(i, j)] += float32(p * rest * rest)
		}
	}
}

// add adds the sums of another block.
func (b *block) add(o *block) {
	b.n += o.n
	b.yy += o.yy
	b.grown += o.grown
	b.spent += o.spent
	b.looks += o.looks
	for i := range b.gram {
		b.gram[i] += o.gram[i]
		b.meat[i] += o.meat[i]
	}
	for i := range b.xy {
		b.xy[i] += o.xy[i]
	}
	for i := range b.seen {
		b.seen[i] += o.seen[i]
		b.ages[i].add(&o.ages[i])
	}
}

// addCentered adds another block's sums times times, as they are about the means over its
// time, so that traffic and growth that both change from block to block explain nothing.
// Its time, requests and ages are added only if times is positive.
func (b *block) addCentered(o *block, times float64) {
	b.n += times * o.n
	if times > 0 {
		b.grown += o.grown
		b.spent += o.spent
		b.looks += o.looks
		for i := range b.seen {
			b.seen[i] += o.seen[i]
			b.ages[i].add(&o.ages[i])
		}
	}
	if o.gram[0] <= 0 {
		return
	}
	b.yy += times * (o.yy - o.xy[0]*o.xy[0]/o.gram[0])
	var mean [columns]float64 // of the column, each second
	var rest [columns]float32 // of the meat with time
	for i := range mean {
		mean[i], rest[i] = o.gram[linear.At(i, 0)]/o.gram[0], o.meat[linear.At(i, 0)]
	}
	once := float32(times)
	for i := 1; i < columns; i++ {
		if o.gram[linear.At(i, i)] == 0 {
			continue // the view was not seen
		}
		b.xy[i] += times * (o.xy[i] - mean[i]*o.xy[0])
		m, r, row := mean[i], float32(mean[i]), linear.At(i, 0)
		for j := 1; j <= i; j++ {
			k := row + j
			b.gram[k] += times * (o.gram[k] - m*mean[j]*o.gram[0])
			b.meat[k] += once * (o.meat[k] - r*rest[j] - float32(mean[j])*(rest[i]-r*rest[0]))
		}
	}
}
