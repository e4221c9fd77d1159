package views

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

// at returns the place of the product of two columns.
func at(i, j int) int {
	if i < j {
		i, j = j, i
	}
	return i*(i+1)/2 + j
}

// observe adds one observation of a worker: its columns, the growth of its memory and
// what the models before did not explain of it, in bytes.
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
			b.gram[at(i, j)] += p
			b.meat[at(i, j)] += float32(p * rest * rest)
		}
	}
}

// add adds what another block has.
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

// addCentered adds another block's sums as they are about the means over its time, so
// that traffic and growth which both change from block to block explain nothing.
func (b *block) addCentered(o *block) {
	b.n += o.n
	b.grown += o.grown
	b.spent += o.spent
	b.looks += o.looks
	if o.gram[0] > 0 {
		b.yy += o.yy - o.xy[0]*o.xy[0]/o.gram[0]
	}
	var mean [columns]float64 // of the column, each second
	for i := 1; i < columns && o.gram[0] > 0; i++ {
		mean[i] = o.gram[at(i, 0)] / o.gram[0]
	}
	for i := 1; i < columns; i++ {
		b.xy[i] += o.xy[i] - mean[i]*o.xy[0]
		b.seen[i-1] += o.seen[i-1]
		b.ages[i-1].add(&o.ages[i-1])
		for j := 1; j <= i; j++ {
			k := at(i, j)
			b.gram[k] += o.gram[k] - mean[i]*o.gram[at(j, 0)]
			b.meat[k] += o.meat[k] - float32(mean[i]*float64(o.meat[at(j, 0)])+mean[j]*float64(o.meat[at(i, 0)])-mean[i]*mean[j]*float64(o.meat[0]))
		}
	}
}
