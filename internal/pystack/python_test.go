package pystack_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

// patience is how long a test waits for what must come to be.
const patience = time.Minute

const debian = "/usr/bin/python3"

// start runs a program until the test ends.
func start(t testing.TB, python string, args ...string) *pystacktest.Script {
	t.Helper()
	s, err := pystacktest.Start(t.Context(), []string{python}, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// read decodes the next line of a program's output.
func read(t testing.TB, s *pystacktest.Script, into any) {
	t.Helper()
	if err := s.Read(into); err != nil {
		t.Fatal(err)
	}
}

// open opens a process; it waits until the interpreter is ready.
func open(t testing.TB, pid int) *pystack.Process {
	t.Helper()
	var p *pystack.Process
	eventually(t, func() string {
		var err error
		if p, err = pystack.Open(procfs.New("/proc"), pid, pystack.NewCache()); err != nil {
			return err.Error()
		}
		t.Cleanup(p.Close)
		return ""
	})
	return p
}

// eventually calls f until it returns "".
func eventually(t testing.TB, f func() string) {
	t.Helper()
	var fault string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if fault = f(); fault == "" {
			return
		}
	}
	t.Fatal(fault)
}
