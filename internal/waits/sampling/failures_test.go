package sampling

import "testing"

// A look that fails is repeated although the thread has not been put on a CPU since: it
// may have run at that look, and sleep by now.
func TestFailedLooks(t *testing.T) {
	t.Parallel()
	s := stackInfo{known: true, slices: 7, looked: true}
	for n := range maxFailures - 1 {
		if s.failed(7); s.looked {
			t.Fatalf("given up after %d failures", n+1)
		}
	}
	if s.failed(7); !s.looked || !s.known {
		t.Errorf("after %d failures: %+v", maxFailures, s)
	}
	if s.failed(8); s.looked || s.failures != 1 {
		t.Errorf("it has run since: %+v", s)
	}
}
