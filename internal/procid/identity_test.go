package procid_test

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procid"
)

const procRoot = "/proc"

func TestIdentity(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "/bin/sleep", "60")
	cmd.Dir, cmd.Env = t.TempDir(), []string{"SHOP=1", "PATH=/bin"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	id, err := procid.Identify(procRoot, pid)
	if err != nil || id.PID != pid || id.Parent != os.Getpid() || id.Start == 0 {
		t.Fatalf("%+v, %v", id, err)
	}
	if !id.Alive(procRoot) {
		t.Error("it is not seen to live")
	}
	if _, err := os.Stat(procRoot + "/thread-self/children"); err == nil && !slices.Contains(procid.Children(procRoot, os.Getpid()), pid) {
		t.Errorf("process %d is not among our children %v", pid, procid.Children(procRoot, os.Getpid()))
	}
	// A program is there only once exec is done.
	var l procid.Launch
	for range 1000 {
		if l, err = procid.LaunchOf(procRoot, pid); err == nil && len(l.Argv) == 2 && l.Argv[0] == "/bin/sleep" {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil || !slices.Equal(l.Argv, []string{"/bin/sleep", "60"}) || !slices.Equal(l.Env, cmd.Env) || l.Dir != cmd.Dir || !l.SameFiles {
		t.Errorf("%+v, %v", l, err)
	}
	other := id
	other.Start++
	if other.Alive(procRoot) || other.Same(id) {
		t.Error("a process with another start is taken for it")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its error is that it was killed
	if _, err := procid.Identify(procRoot, pid); !errors.Is(err, os.ErrNotExist) || id.Alive(procRoot) {
		t.Errorf("after its end: %v", err)
	}
	for _, none := range []int{0, -1} {
		if _, err := procid.Identify(procRoot, none); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("process %d: %v", none, err)
		}
	}
}

// The working directory was removed, as an old release after a deployment.
func TestLaunchWithoutItsDirectory(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "/bin/sleep", "60")
	cmd.Dir = t.TempDir() + "/release"
	if err := os.Mkdir(cmd.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(cmd.Dir); err != nil {
		t.Fatal(err)
	}
	l, err := procid.LaunchOf(procRoot, cmd.Process.Pid)
	if err != nil || l.Dir != "" {
		t.Errorf("directory %q, %v", l.Dir, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// The children of a process are those of all its threads.
func TestChildrenOfEveryThread(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(procRoot + "/thread-self/children"); err != nil {
		return // this kernel lists none (CONFIG_PROC_CHILDREN)
	}
	pids := make(chan int)
	for range 4 {
		go func() {
			runtime.LockOSThread() // until its child has ended: a thread of its own
			defer runtime.UnlockOSThread()
			cmd := exec.CommandContext(t.Context(), "/bin/sleep", "60")
			if err := cmd.Start(); err != nil {
				pids <- 0
				return
			}
			pids <- cmd.Process.Pid
			_ = cmd.Wait() // at the end of the test's context
		}()
	}
	started := []int{<-pids, <-pids, <-pids, <-pids}
	children := procid.Children(procRoot, os.Getpid())
	for _, pid := range started {
		if pid == 0 || !slices.Contains(children, pid) {
			t.Errorf("process %d is not among %v", pid, children)
		}
	}
}
