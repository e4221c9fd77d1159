package workerends

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// child starts a shell that ends once its input does, and opens a pidfd of it.
func child(t *testing.T, line string) (h *handle, end func(), cmd *exec.Cmd) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), "/bin/sh", "-c", "echo; read x; "+line)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil { // until then it may not run the shell yet
		t.Fatal(err)
	}
	id, err := procid.Identify("/proc", cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	start, err := id.StartTime()
	if err != nil {
		t.Fatal(err)
	}
	if h, err = open("/proc", cmd.Process.Pid, start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	return h, func() { _ = in.Close() }, cmd
}

// The status of a process that its parent has not waited for, which each kernel shows.
func TestStatusOfZombie(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]Status{
		"exit 0": {Known: true}, "exit 3": {Known: true, Code: 3}, "kill -9 $$": {Known: true, Signal: 9}, "kill -15 $$": {Known: true, Signal: 15},
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			h, end, _ := child(t, line)
			if h.zombieStatus().Known {
				t.Error("a process that runs has a status")
			}
			end()
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // so that it does not wait for the parent
			if got, at, ended := h.wait(ctx); !ended || got != want || time.Since(at) < 0 {
				t.Errorf("got %+v, %t", got, ended)
			}
		})
	}
}

// The status of a process that its parent has waited for: the kernel keeps it, or says
// that it does not.
func TestStatusOfReaped(t *testing.T) {
	t.Parallel()
	h, end, cmd := child(t, "exit 5")
	end()
	_ = cmd.Wait() // its error is the status
	raw, err := h.f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	s, reported, err := h.info(raw)
	if want := (Status{Known: true, Code: 5}); reported && s != want || reported == (err != nil) {
		t.Errorf("got %+v, %t, %v", s, reported, err)
	}
	if got, _, ended := h.wait(t.Context()); !ended || got.Known != reported {
		t.Errorf("got %+v, %t", got, ended)
	}
}

// A closed handle ends who waits.
func TestClosedHandle(t *testing.T) {
	t.Parallel()
	h, _, _ := child(t, "exit 0")
	done := make(chan bool)
	go func() {
		_, _, ended := h.wait(t.Context())
		done <- ended
	}()
	h.close()
	select {
	case ended := <-done:
		if ended {
			t.Error("a process that runs has ended")
		}
	case <-time.After(time.Minute):
		t.Fatal("it still waits")
	}
}

// A process with that pid that began at another time is another one.
func TestOpensNoOther(t *testing.T) {
	t.Parallel()
	h, _, cmd := child(t, "exit 0")
	start, err := h.id.StartTime()
	if err != nil {
		t.Fatal(err)
	}
	if other, err := open("/proc", cmd.Process.Pid, start.Add(-time.Minute)); err == nil {
		other.close()
		t.Error("another process was opened")
	}
}

// How often a look comes does not change what was seen a second before the end.
func TestLooksBeforeTheEnd(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{10 * time.Millisecond, 200 * time.Millisecond, 700 * time.Millisecond} {
		x, now := &worker{}, time.Unix(1000, 0)
		for at := time.Duration(0); at < 30*time.Second; at += every {
			x.note(seenBusy{at: now.Add(at), busy: at <= 29*time.Second})
		}
		if got := x.before(now.Add(30 * time.Second)); !got.busy || len(x.looks) > 8 {
			t.Errorf("every %s: %+v of %d looks", every, got, len(x.looks))
		}
	}
	x := &worker{}
	x.note(seenBusy{at: time.Unix(1000, 0), busy: true})
	if got := x.before(time.Unix(1000, 1)); !got.busy {
		t.Error("the only look is left out")
	}
}

// One kill explains one end.
func TestKillsSince(t *testing.T) {
	t.Parallel()
	k := kills{before: map[string]uint64{"a": 3}, last: map[string]uint64{"a": 4, "b": 1}}
	for i, c := range []struct {
		group string
		n     uint64
		more  uint64
		known bool
	}{{"a", 5, 2, true}, {"a", 5, 1, true}, {"a", 5, 0, true}, {"b", 1, 0, true}, {"b", 2, 1, true}, {"b", 2, 0, true}, {"c", 9, 0, false}} {
		if more, known := k.since(c.group, c.n); more != c.more || known != c.known {
			t.Errorf("%d: %d, %t", i, more, known)
		}
	}
}
