package pystack

// Moved makes the next look at a thread read its stack, as if it had run.
func Moved(p *Process, tid int) {
	if t := p.threads[tid]; t != nil {
		t.last.proof = proof{}
	}
}

// KeepAtMost sets how many descriptors are kept open.
func KeepAtMost(c *Cache, n int64) { c.limit = n }

// Kept returns how many descriptors are kept open.
func Kept(c *Cache) int64 { return c.kept.Load() }

// Failed returns the error of a read that failed.
func Failed(err error) error { return new(Process).failed(err) }
