package pystack

import (
	"errors"
	"fmt"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack/image"
)

// errTorn means that what was read does not hold together.
var errTorn = errors.New("the stack does not hold together")

// failed returns the error of a read: of a process that ended or may not be read
// as it is, else that the memory is not as expected.
func (p *Process) failed(err error) error {
	if procfs.Gone(err) || procfs.Denied(err) {
		return fmt.Errorf("memory of process %d: %w", p.pid, err)
	}
	return &Unsupported{Reason: image.Layout}
}

// outcome returns what an error of reading means for a look.
func outcome(err error) Outcome {
	switch {
	case procfs.Denied(err):
		return Permission
	default:
		return Torn
	}
}
