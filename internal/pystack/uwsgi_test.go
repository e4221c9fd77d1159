package pystack_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
)

// app is a WSGI app whose requests wait; each writes the thread that serves it to a file.
const app = `
import gc, threading, time
def handle_NAME(path):
    with open("DIR/" + path, "w") as f:
        f.write(str(threading.get_native_id()))
    time.sleep(1000)
def collect(path):
    with open("DIR/" + path, "w") as f:
        f.write(str(threading.get_native_id()))
    kept = [[] for _ in range(300000)]
    end = time.monotonic() + 120
    while time.monotonic() < end:
        gc.collect()
def application(environ, start_response):
    path = environ["PATH_INFO"].strip("/").replace("/", "_")
    collect(path) if path.endswith("gc") else handle_NAME(path)
`

// uWSGI makes all thread states in its main thread, and an app in a second
// interpreter has its own: each thread's stack is found nevertheless.
func TestUWSGI(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("uwsgi"); err != nil {
		t.Fatal("uwsgi is not there: apt-get install uwsgi-core uwsgi-plugin-python3")
	}
	dir := t.TempDir()
	for _, name := range []string{"one", "two"} {
		text := strings.NewReplacer("NAME", name, "DIR", dir).Replace(app)
		if err := os.WriteFile(filepath.Join(dir, name+".py"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(dir, "socket")
	log := filepath.Join(dir, "log")
	py := start(t, "uwsgi", "--plugin", "python3", "--http-socket", socket, "--threads", "4", "--master", "--processes", "1", "--chdir", dir,
		"--manage-script-name", "--mount", "/one=one.py", "--mount", "/two=two.py", "--logto", log, "--die-on-term", "--no-orphans")
	worker := uwsgiWorker(t, py.PID())
	p := open(t, worker)
	eventually(t, func() string { return idle(p, worker) })

	for _, path := range []string{"one/a", "one/b", "two/c"} {
		request(t, socket, path)
	}
	var s pystack.Stack
	states := make(map[uint64]bool)
	for path, want := range map[string]string{"one_a": "handle_one", "one_b": "handle_one", "two_c": "handle_two"} {
		file := filepath.Join(dir, path)
		eventually(t, func() string {
			tid := tidIn(file, filepath.Join(dir, path[len(path)-1:]))
			if tid == 0 {
				b, _ := os.ReadFile(log)
				return "no request has come to " + path + ":\n" + string(b)
			}
			out := p.Look(tid, &s)
			if out != pystack.OK || !s.Frozen || len(s.Frames) != 2 {
				return fmt.Sprintf("%s, thread %d: %s, %d frames", path, tid, out, len(s.Frames))
			}
			inner, outer := s.Frames[0], s.Frames[1]
			if inner.Code.Name != want || inner.Line != 6 || outer.Code.Name != "application" || outer.Line != 16 {
				// The file is written before the request sleeps: it may not have left the with statement yet.
				return fmt.Sprintf("%s, thread %d: %s:%d in %s:%d", path, tid, inner.Code.Name, inner.Line, outer.Code.Name, outer.Line)
			}
			return ""
		})
		states[s.State] = true
	}
	if len(states) != 3 {
		t.Errorf("the three requests have %d thread states", len(states))
	}

	// The collector of the second interpreter, which is not the main one.
	request(t, socket, "two/gc")
	eventually(t, func() string {
		tid := tidIn(filepath.Join(dir, "two_gc"), filepath.Join(dir, "gc"))
		if got, err := p.Collector(); err != nil || tid == 0 || got != tid {
			return fmt.Sprintf("thread %d collects, not %d: %v", got, tid, err)
		}
		return ""
	})
}

// uwsgiWorker returns the process id of the worker, which waits for requests.
func uwsgiWorker(t *testing.T, master int) (pid int) {
	t.Helper()
	eventually(t, func() string {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", master, master))
		if err != nil {
			t.Fatal(err)
		}
		if pid, err = strconv.Atoi(strings.TrimSpace(string(b))); err != nil {
			return "no worker"
		}
		return ""
	})
	t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGKILL) })
	return pid
}

// idle returns "" if no thread of a process runs Python code, and all four are
// there.
func idle(p *pystack.Process, pid int) string {
	r := procfs.New("/proc")
	tasks, err := r.Entries(r.Path(pid, "task"), nil)
	if err != nil || len(tasks) < 4 {
		return fmt.Sprintf("%d threads, %v", len(tasks), err)
	}
	var s pystack.Stack
	for _, task := range tasks {
		if out := p.Look(task.N, &s); out != pystack.OK || len(s.Frames) != 0 {
			return fmt.Sprintf("thread %d: %s, %d frames", task.N, out, len(s.Frames))
		}
	}
	return ""
}

// request sends a request, whose response is not waited for.
func request(t *testing.T, socket, path string) {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	w := bufio.NewWriter(c)
	_, _ = fmt.Fprintf(w, "GET /%s HTTP/1.1\r\nHost: a\r\n\r\n", path)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}

// tidIn returns the number in the first of the files that has one; 0 without.
func tidIn(files ...string) int {
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if tid, err := strconv.Atoi(string(b)); err == nil {
			return tid
		}
	}
	return 0
}
