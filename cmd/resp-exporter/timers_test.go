package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// relaxedVariable makes a run of this test the process whose timers are relaxed.
const relaxedVariable = "TEST_OF_TIMERS"

// TestRelaxTimers runs itself as a process that relaxes its timers, and compares what that
// says of itself: the slack of several threads, its pid, and a descriptor that it got.
func TestRelaxTimers(t *testing.T) {
	if os.Getenv(relaxedVariable) != "" {
		relaxTimers()
		sayTimers()
		return
	}
	for name, c := range map[string]struct {
		arg  string
		want int // nanoseconds
	}{
		"a server":               {"-test.run=^TestRelaxTimers$", timerSlack},
		"as if it had done that": {"-test.run=^TestRelaxTimers$", 0},
	} {
		t.Run(name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Close() }()
			cmd := exec.CommandContext(t.Context(), os.Args[0], c.arg)
			cmd.Env, cmd.ExtraFiles = append(os.Environ(), relaxedVariable+"=1"), []*os.File{w}
			if c.want == 0 { // exec keeps the pid of the shell
				cmd = exec.CommandContext(t.Context(), "sh", "-c", slackVariable+`=$$ exec "$0" "$@"`, os.Args[0], c.arg)
				cmd.Env, cmd.ExtraFiles = append(os.Environ(), relaxedVariable+"=1"), []*os.File{w}
				if c.want, err = unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); err != nil {
					t.Fatal("no timer slack:", err)
				}
			}
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_ = w.Close()
			var pid, least, most int
			var marked bool
			if _, err := fmt.Fscanln(r, &pid, &least, &most, &marked); err != nil {
				t.Error("nothing came through the descriptor:", err)
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			if pid != cmd.Process.Pid || least != c.want || most != c.want || marked {
				t.Errorf("pid %d, want %d; slack %d to %d ns, want %d; still marked: %t", pid, cmd.Process.Pid, least, most, c.want, marked)
			}
		})
	}
}

// sayTimers writes to descriptor 3 the pid, the least and the most slack of several
// threads in nanoseconds, and whether slackVariable is in the environment.
func sayTimers() {
	var mu sync.Mutex
	var wg sync.WaitGroup
	least, most := 1<<62, 0
	together := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			runtime.LockOSThread() // one thread each
			<-together
			n, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				least, most = min(least, n), max(most, n)
			}
		})
	}
	close(together)
	wg.Wait()
	_, marked := os.LookupEnv(slackVariable)
	_, _ = fmt.Fprintln(os.NewFile(3, "result"), os.Getpid(), least, most, marked)
}

func TestServesLong(t *testing.T) {
	for args, want := range map[string]bool{"": true, "serve": true, "serve --log.level=debug": true, "--log.level=debug": true, "check": false, "stack --app=shop": false, "doctor": false, "--log.level=debug check": false, "--config.file=a.yml --config.check": false, "--version": false} {
		if got := servesLong(strings.Fields(args)); got != want {
			t.Errorf("%q: %t", args, got)
		}
	}
}
