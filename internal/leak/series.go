package leak

import "math"

const (
	bucketSeconds = 60
	fineBuckets   = 360
	fineSeconds   = fineBuckets * bucketSeconds
	lifeBuckets   = 256
	noBucket      = -1
)

// bucket is one stretch of a process's life. Floats of 32 bits are exact to 64 bytes at
// one gigabyte.
type bucket struct {
	at       int32   // its number, counted from the start of the process; noBucket: no sample
	anon     float32 // the least anonymous memory, swap included, bytes
	resident float32 // the least resident memory, swap included, bytes
	requests float32 // that were answered in it
}

// lower lowers the bucket's memory to these values, in bytes.
func (b *bucket) lower(anon, resident float64) {
	b.anon = min(b.anon, float32(anon))
	b.resident = min(b.resident, float32(resident))
}

// recent holds the buckets of the last hours, one a minute.
type recent struct {
	ring [fineBuckets]bucket
	last int32 // noBucket: empty
}

// reset removes all buckets.
func (r *recent) reset() {
	r.last = noBucket
	for i := range r.ring {
		r.ring[i].at = noBucket
	}
}

// add adds a sample to the bucket at, in place of an old one.
func (r *recent) add(at int32, anon, resident, requests float64) {
	b := &r.ring[at%fineBuckets]
	if b.at == at {
		b.lower(anon, resident)
		b.requests += float32(requests)
		return
	}
	*b = bucket{at, float32(anon), float32(resident), float32(requests)}
	r.last = at
}

// whole holds the buckets of the whole life of a process. When it is full, two become
// one.
type whole struct {
	buckets [lifeBuckets]bucket
	n       int
	wide    int32 // minutes a bucket
}

// reset removes all buckets.
func (w *whole) reset() { w.n, w.wide = 0, 1 }

// add adds a sample to the bucket of its time. When all buckets are used, each two become
// one.
func (w *whole) add(at int32, anon, resident, requests float64) {
	if w.n > 0 && w.buckets[w.n-1].at == at/w.wide {
		b := &w.buckets[w.n-1]
		b.lower(anon, resident)
		b.requests += float32(requests)
		return
	}
	if w.n == lifeBuckets {
		w.halve()
		w.add(at, anon, resident, requests)
		return
	}
	w.buckets[w.n] = bucket{at / w.wide, float32(anon), float32(resident), float32(requests)}
	w.n++
}

// halve joins each two buckets.
func (w *whole) halve() {
	n := 0
	for _, b := range w.buckets[:w.n] {
		b.at /= 2
		if n > 0 && w.buckets[n-1].at == b.at {
			last := &w.buckets[n-1]
			last.lower(float64(b.anon), float64(b.resident))
			last.requests += b.requests
			continue
		}
		w.buckets[n] = b
		n++
	}
	w.n, w.wide = n, w.wide*2
}

const maxBlocks = 24

// blocks are equal parts of a window.
type blocks struct {
	n        int
	anon     [maxBlocks]float64 // the least of each, bytes
	resident [maxBlocks]float64
	served   [maxBlocks]float64 // requests
	minutes  [maxBlocks]float64 // whose buckets are in it
	wide     float64            // seconds a block
}

// begin removes all and sets n blocks of the same width, together of so many seconds.
func (b *blocks) begin(n int, seconds float64) {
	b.n, b.wide = n, seconds/float64(n)
	for i := range n {
		b.anon[i], b.resident[i], b.served[i], b.minutes[i] = math.Inf(1), math.Inf(1), 0, 0
	}
}

// put adds a bucket to block i: the least memory and the sum of the requests.
func (b *blocks) put(i int, x *bucket) {
	b.anon[i] = min(b.anon[i], float64(x.anon))
	b.resident[i] = min(b.resident[i], float64(x.resident))
	b.served[i] += float64(x.requests)
}

// end fills blocks without a sample with what was before them, the first ones with what
// comes after. It returns false if there was no sample at all.
func (b *blocks) end() bool {
	first := 0
	for first < b.n && math.IsInf(b.anon[first], 1) {
		first++
	}
	if first == b.n {
		return false
	}
	for i := range first {
		b.anon[i], b.resident[i] = b.anon[first], b.resident[first]
	}
	for i := first + 1; i < b.n; i++ {
		if math.IsInf(b.anon[i], 1) {
			b.anon[i], b.resident[i] = b.anon[i-1], b.resident[i-1]
		}
	}
	return true
}

// window divides the last seconds into n blocks; false if there is no sample in them.
func (r *recent) window(b *blocks, n int, seconds float64) bool {
	b.begin(n, seconds)
	minutes := seconds / bucketSeconds
	end := float64(r.last + 1)
	from := end - minutes
	for at := max(0, int32(math.Ceil(from-1e-9))); at <= r.last; at++ {
		i := max(0, min(int((float64(at)-from)*float64(n)/minutes), n-1))
		b.minutes[i]++
		if x := &r.ring[at%fineBuckets]; x.at == at {
			b.put(i, x)
		}
	}
	return b.end()
}

// window divides the whole life, up to the minute last, into n blocks; false if there is
// no sample.
func (w *whole) window(b *blocks, n int, last int32) bool {
	minutes := float64(last + 1)
	b.begin(n, minutes*bucketSeconds)
	of := func(at int32) int { return min(int(float64(at)*float64(w.wide)*float64(n)/minutes), n-1) }
	for at := range last/w.wide + 1 {
		b.minutes[of(at)] += float64(w.wide)
	}
	for i := range w.n {
		x := &w.buckets[i]
		b.put(of(x.at), x)
	}
	return b.end()
}

// erode replaces each block by the lowest of it and its neighbours, so that memory that
// comes and goes over a few blocks is seen at its lowest.
func (b *blocks) erode() {
	for _, x := range []*[maxBlocks]float64{&b.anon, &b.resident} {
		before := x[0]
		for i := range b.n {
			now := x[i]
			x[i] = min(before, now, x[min(i+1, b.n-1)])
			before = now
		}
	}
}

// cut divides the last seconds, or if life is set the whole life, into n blocks. It
// returns false if that time is not stored, or has no sample.
func (d *Detector) cut(b *blocks, n int, seconds float64, life bool) bool {
	switch {
	case seconds <= fineSeconds:
		return d.recent.window(b, n, seconds)
	case life:
		return d.whole.window(b, n, d.recent.last)
	}
	return false
}

// sum returns the sum.
func sum(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}

// age returns for how many seconds the process has been watched, in whole minutes,
// rounded up; 0 without a sample.
func (d *Detector) age() float64 { return float64(d.recent.last+1) * bucketSeconds }
