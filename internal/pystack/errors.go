package pystack

import (
	"errors"
	"fmt"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack/image"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

// errTorn means that what was read does not hold together.
var errTorn = errors.New("the stack does not hold together")

// errBeyond means that a thread is none of those that are read, of more.
var errBeyond = errors.New("the process has more threads than are read")

// asItIs reports whether an error of a read says nothing about the contents of the
// memory: the process ended, may not be read, or is not read while too many reads hang.
func asItIs(err error) bool {
	return procfs.Gone(err) || procfs.Denied(err) || errors.Is(err, memory.ErrHung)
}

// failed returns the error for a read that failed: one that wraps err if [asItIs], else an
// [Unsupported], as the memory is not laid out as expected.
func (p *Process) failed(err error) error {
	if asItIs(err) {
		return fmt.Errorf("memory of process %d: %w", p.pid, err)
	}
	return &Unsupported{Reason: image.Layout}
}

// outcome returns the outcome of a look that ended with an error: Permission, Beyond, or
// else Torn.
func outcome(err error) Outcome {
	switch {
	case procfs.Denied(err):
		return Permission
	case errors.Is(err, errBeyond):
		return Beyond
	default:
		return Torn
	}
}
