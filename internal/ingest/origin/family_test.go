package origin

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// A kernel without one family is no error; any other one is, also beside that.
func TestWithoutMissingFamily(t *testing.T) {
	t.Parallel()
	missing := fmt.Errorf("udp6: %w", unix.ENOENT)
	for _, c := range []struct {
		err, want error
	}{
		{nil, nil},
		{missing, nil},
		{errors.Join(missing), nil},
		{errors.Join(missing, missing), nil},
		{errors.Join(missing, unix.EPERM), unix.EPERM},
		{errors.Join(unix.EPERM, missing), unix.EPERM},
		{errors.Join(missing, context.DeadlineExceeded), context.DeadlineExceeded},
		{errors.Join(missing, sockdiag.ErrTooMany), sockdiag.ErrTooMany},
	} {
		if got := withoutMissingFamily(c.err); !errors.Is(got, c.want) || (got == nil) != (c.want == nil) || errors.Is(got, unix.ENOENT) {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
