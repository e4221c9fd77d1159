package reason_test

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/reason"
)

func TestOfFile(t *testing.T) {
	_, none := os.ReadFile("/no/such/file")
	for _, c := range []struct {
		err  error
		want reason.Reason
	}{
		{none, reason.NotFound}, {fmt.Errorf("read: %w", none), reason.NotFound}, {&os.PathError{Op: "open", Err: syscall.EACCES}, reason.Permission},
		{syscall.EPERM, reason.Permission}, {errors.New("other"), reason.Failed},
	} {
		if got := reason.OfFile(c.err); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
	}
}
