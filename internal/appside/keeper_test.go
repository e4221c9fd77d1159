package appside_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// python is Debian's.
const python = "/usr/bin/python3"

// worker is a process of Python that uses resp_flask.py.
type worker struct {
	pid   int
	began time.Time
	in    io.WriteCloser
	out   *bufio.Reader
}

// startWorker starts a process that runs some Python after `import resp_flask`, and waits
// until it has printed a line. It ends with the test.
func startWorker(t *testing.T, code string) worker {
	t.Helper()
	dir, err := filepath.Abs("../../integrations/flask")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", "import os, sys, resp_flask\n"+code)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+dir, "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: install python3", err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	w := worker{pid: cmd.Process.Pid, in: in, out: bufio.NewReader(out)}
	w.began = startOf(t, w.pid)
	w.line(t)
	return w
}

// line reads a line that the process prints.
func (w worker) line(t *testing.T) string {
	t.Helper()
	s, err := w.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(s)
}

// startOf returns when a process began.
func startOf(t *testing.T, pid int) time.Time {
	t.Helper()
	b, err := procfs.New("/proc").Read(pid, "stat")
	if err != nil {
		t.Fatal(err)
	}
	st, err := procfs.ParseStat(b)
	if err != nil {
		t.Fatal(err)
	}
	boot, err := procfs.BootTime()
	if err != nil {
		t.Fatal(err)
	}
	return boot.Add(time.Duration(st.Start) * (time.Second / procfs.TicksPerSecond))
}

// memoryFiles returns how many memory files this process has open.
func memoryFiles(t *testing.T) (n int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, "/memfd:resp-flask") {
			n++
		}
	}
	return n
}

// inProgress is an app with two requests in progress and one that is over.
const inProgress = `
r = resp_flask.Resp(statsd="", control_dir="")
m = r.here()
first, over, second = m.begin(b"POST"), m.begin(b"GET"), m.begin(b"GET")
m.route(first, b"/checkout/<int:n>")
m.end(over)
print("ready", flush=True)
sys.stdin.readline()
m.end(first)
print("ended", flush=True)
sys.stdin.read()
`

// The file of resp_flask.py is found and read as it is written.
func TestKeeper(t *testing.T) {
	w := startWorker(t, inProgress)
	k := appside.NewKeeper("/proc")
	defer k.Close()
	k.Look("shop", uint32(os.Getuid()), w.pid, w.began, false)
	if !k.Has("shop") || memoryFiles(t) != 1 {
		t.Fatalf("%d files", memoryFiles(t))
	}
	k.Look("renamed", uint32(os.Getuid()), w.pid, w.began, true)
	if k.Has("shop") || !k.Has("renamed") || memoryFiles(t) != 1 {
		t.Errorf("after another name: %d files", memoryFiles(t))
	}
	if _, err := io.WriteString(w.in, "\n"); err != nil || w.line(t) != "ended" {
		t.Fatal(err)
	}
	if got := k.Ended(w.pid, w.began.Add(time.Nanosecond), time.Now()); got.Requests != nil {
		t.Errorf("of another process: %+v", got)
	}
	got := k.Ended(w.pid, w.began, time.Now()).Requests
	if len(got) != 1 || got[0].Method != "GET" || got[0].Route != "" || got[0].Age <= 0 {
		t.Errorf("in progress: %+v", got)
	}
	if again := k.Ended(w.pid, w.began, time.Now()); again.Requests != nil || again.Unsent != nil || k.Has("renamed") || memoryFiles(t) != 0 || k.Counts() != (appside.Counts{}) {
		t.Errorf("again: %+v, %d files, %+v", again, memoryFiles(t), k.Counts())
	}
}

// A worker without a file is searched ever less often, in an app of which no worker has one
// still less, with requests in hand too.
func TestSearches(t *testing.T) {
	w := startWorker(t, inProgress)
	k := appside.NewKeeper("/proc")
	defer k.Close()
	const hour = 3600
	check := func(name string, busy bool, first []int, least, most int) {
		t.Helper()
		got := k.Searches("shop", os.Getpid(), hour, busy)
		if n := len(got); n < least || n > most || !slices.Equal(got[:len(first)], first) {
			t.Errorf("%s: %d searches, at %v", name, n, got)
		}
	}
	check("nobody has a file", false, []int{0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 1623}, 15, 15)
	check("nobody has a file, busy", true, []int{0, 1, 3, 7, 15}, 12, 20)
	k.Look("shop", uint32(os.Getuid()), w.pid, w.began, false)
	check("another worker has one", false, []int{0, 1, 3, 7, 15, 31, 63, 123}, 65, 66)
	check("another worker has one, busy", true, []int{0, 1, 3, 7, 12, 17}, 721, 722)
}

// Descriptors of the same file count as one: Python's mmap has its own for each file.
func TestSeveralFiles(t *testing.T) {
	w := startWorker(t, `
apps = [resp_flask.Resp(statsd="", control_dir="") for _ in range(4)]
copies = [os.dup(r.here().fd) for r in apps for _ in range(2)]
print("ready", flush=True)
sys.stdin.read()
`)
	k := appside.NewKeeper("/proc")
	defer k.Close()
	k.Look("shop", uint32(os.Getuid()), w.pid, w.began, false)
	if n := memoryFiles(t); n != 4 {
		t.Errorf("%d files, want 4", n)
	}
}

// kill ends the worker with SIGKILL, and waits until it has ended.
func (w *worker) kill(t *testing.T) {
	t.Helper()
	if err := unix.Kill(w.pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := w.out.ReadString('\n'); !errors.Is(err, io.EOF) {
		t.Fatalf("it has not ended: %v", err)
	}
}

// The file outlives its process.
func TestKeeperAfterTheEnd(t *testing.T) {
	w := startWorker(t, inProgress)
	k := appside.NewKeeper("/proc")
	defer k.Close()
	k.Look("shop", uint32(os.Getuid()), w.pid, w.began, false)
	w.kill(t)
	got := k.Ended(w.pid, w.began, time.Now()).Requests
	if len(got) != 2 || got[0].Method != "POST" || got[0].Route != "/checkout/<int:n>" || got[1].Route != "" || got[0].Age < got[1].Age {
		t.Errorf("in progress: %+v", got)
	}
	if memoryFiles(t) != 0 {
		t.Errorf("%d files are left", memoryFiles(t))
	}
}

// The lines that a worker had not sent are read after its end, those of each file, and no more
// than there can be, whatever their length is said to be.
func TestUnsent(t *testing.T) {
	const code = `
apps = [resp_flask.Resp(name, statsd="udp://127.0.0.1:9", control_dir="") for name in ("one", "two", "three")]
now = resp_flask._now()
for r in apps:
    r.here().sent, r.memory.pause = now, 3600
    r.serving = 0  # its thread, which would send them, ends
    r.ended(b"GET", "/items", b"200", now, None)
    r.memory.words[resp_flask.UNSENT_AT >> 2] = r.memory.unsent if r.name != "three" else 0xFFFFFFFF
print("ready", flush=True)
sys.stdin.read()
`
	w := startWorker(t, code)
	k := appside.NewKeeper("/proc")
	defer k.Close()
	k.Look("shop", uint32(os.Getuid()), w.pid, w.began, false)
	w.kill(t)
	last := k.Ended(w.pid, w.began, time.Now())
	text := ""
	for _, u := range last.Unsent {
		if text += string(u.Lines); u.UID != uint32(os.Getuid()) {
			t.Errorf("of user %d", u.UID)
		}
	}
	for _, app := range []string{"one", "two", "three"} {
		if strings.Count(text, "|ms|#code:200,app:"+app+",method:GET,route:/items\n") != 1 {
			t.Errorf("%s: %q", app, text)
		}
	}
	if n := len(text); n < 3000 || n > 4000 || len(last.Unsent) != 3 || len(last.Requests) != 0 {
		t.Errorf("%d bytes, %+v", n, last)
	}
}

// The user of the lines is that of the worker which wrote them, not that of its app's owner:
// here a worker of nobody, whose master is root's. Without root, both are the same user.
func TestUserOfUnsent(t *testing.T) {
	w := startWorker(t, `
if os.getuid() == 0:
    os.setuid(65534)
r = resp_flask.Resp("other", statsd="udp://127.0.0.1:9", control_dir="")
now = resp_flask._now()
r.here().sent, r.memory.pause = now, 3600
r.serving = 0  # its thread, which would send them, ends
r.ended(b"GET", "/", b"500", now, None)
print("ready", flush=True)
sys.stdin.read()
`)
	want := uint32(os.Getuid())
	if want == 0 {
		want = 65534
	}
	k := appside.NewKeeper("/proc")
	defer k.Close()
	k.Look("shop", 0, w.pid, w.began, false)
	last := k.Ended(w.pid, w.began, time.Now())
	if len(last.Unsent) != 1 || last.Unsent[0].UID != want || !strings.Contains(string(last.Unsent[0].Lines), "app:other") {
		t.Errorf("%+v, want user %d", last, want)
	}
}

// Each restart of a task is reported once, also of a worker that has ended; earlier ones
// are not.
func TestTaskRestarts(t *testing.T) {
	const code = `
r = resp_flask.Resp(statsd="", control_dir="")
m = r.here()
write = lambda n: m.task(m.place(m.tasks, "mail", 32), b"mail", 1, (9, n, n, 0, 0), resp_flask._now_ns(), 0, 0, b"")
write(3)
print("ready", flush=True)
for line in sys.stdin:
    write(int(line))
    print("written", flush=True)
`
	old := startWorker(t, code)
	k := appside.NewKeeper("/proc")
	defer k.Close()
	young := startWorker(t, code)
	for _, w := range []worker{old, young} {
		k.Look("shop", uint32(os.Getuid()), w.pid, w.began, false)
	}
	told := func(want uint64) {
		t.Helper()
		got := k.TaskRestarts()
		if len(got) != 1 || got[0] != (appside.Restarts{App: "shop", Task: "mail", N: want}) {
			t.Errorf("restarts %+v, want %d", got, want)
		}
	}
	told(3) // of the young one
	for i, w := range []worker{old, young} {
		if _, err := io.WriteString(w.in, []string{"5\n", "2\n"}[i]); err != nil || w.line(t) != "written" {
			t.Fatal(err)
		}
		k.Ended(w.pid, w.began, time.Now())
	}
	told(2)
	if got := k.TaskRestarts(); len(got) != 0 {
		t.Errorf("restarts of no worker: %+v", got)
	}
}

// Nobody else's file is taken: not one that a parent shares with its child, not that of
// another start time, not one whose name alone is right.
func TestKeeperTakesNoOther(t *testing.T) {
	for name, code := range map[string]string{
		"a child holds its parent's": `
r = resp_flask.Resp(statsd="", control_dir="")
os.set_inheritable(r.here().fd, True)
if len(sys.argv) == 1:
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-c", "import os, sys\npid = os.fork()\nprint(pid or os.getpid(), flush=True) if not pid else 0\nsys.stdin.read()"])
`,
		"a file of another size": `
fd = os.memfd_create("resp-flask")
os.ftruncate(fd, 4096)
print("ready", flush=True)
sys.stdin.read()
`,
		"an empty one": `
fd = os.memfd_create("resp-flask")
os.ftruncate(fd, 45312)
print("ready", flush=True)
sys.stdin.read()
`,
	} {
		t.Run(name, func(t *testing.T) {
			w := startWorker(t, code)
			k := appside.NewKeeper("/proc")
			defer k.Close()
			pid := w.pid
			if strings.HasPrefix(name, "a child") {
				list, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(pid) + "/children")
				if err != nil {
					t.Fatal(err)
				}
				if pid, err = strconv.Atoi(strings.TrimSpace(string(list))); err != nil {
					t.Fatal(err)
				}
			}
			k.Look("shop", uint32(os.Getuid()), pid, startOf(t, pid), true)
			if k.Has("shop") || memoryFiles(t) != 0 {
				t.Errorf("it was taken: %d files", memoryFiles(t))
			}
		})
	}
	t.Run("another start time", func(t *testing.T) {
		w := startWorker(t, inProgress)
		k := appside.NewKeeper("/proc")
		defer k.Close()
		k.Look("shop", uint32(os.Getuid()), w.pid, w.began.Add(-time.Minute), true)
		if k.Has("shop") || memoryFiles(t) != 0 {
			t.Error("it was taken")
		}
	})
}

// A worker whose resp_flask.py is of another version is told, and counted once; one that holds
// such a file of another process, or one that only has its size, is not.
func TestOtherVersion(t *testing.T) {
	t.Parallel()
	const code = `
import struct
fd = os.memfd_create("resp-flask")
os.ftruncate(fd, SIZE)
os.pwrite(fd, struct.pack("<8sIIIIIIQ", b"MAGIC", SAYS, PID, 128, 16, 32, 0, 0), 0)
print("ready", flush=True)
sys.stdin.read()
`
	for name, c := range map[string]struct {
		size, says, magic, pid string
		want                   bool
	}{
		"smaller":           {"41216", "41216", "RESPMEM1", "os.getpid()", true},
		"larger":            {"1 << 20", "1 << 20", "RESPMEM2", "os.getpid()", true},
		"its parent's":      {"41216", "41216", "RESPMEM1", "os.getppid()", false},
		"not of that size":  {"41216", "41217", "RESPMEM1", "os.getpid()", false},
		"of another family": {"41216", "41216", "SOMETHNG", "os.getpid()", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := startWorker(t, strings.NewReplacer("SIZE", c.size, "SAYS", c.says, "MAGIC", c.magic, "PID", c.pid).Replace(code))
			k := appside.NewKeeper("/proc")
			defer k.Close()
			k.Search("shop", w.pid, w.began, 3)
			got := k.Reports("shop")
			if told := len(got) == 1 && got[0].OtherVersion && got[0].PID == w.pid; told != c.want || len(got) > 1 {
				t.Errorf("%+v", got)
			}
			want := uint64(0)
			if c.want {
				want = 1
			}
			if n := k.Counts().Invalid; n != want || k.Has("shop") {
				t.Errorf("%d are counted, want %d", n, want)
			}
		})
	}
}

// A file is proved before it is opened.
func TestProve(t *testing.T) {
	path := func(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }
	own := uint32(os.Getuid())
	memfd, err := unix.MemfdCreate("resp-flask", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(memfd)
	if err := unix.Ftruncate(memfd, appside.Size); err != nil {
		t.Fatal(err)
	}
	f, err := appside.Prove(path(memfd), own)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(); !errors.Is(err, appside.ErrShape) {
		t.Errorf("an empty file: %v", err)
	}
	// Its owner cuts it while it is open.
	if err := unix.Ftruncate(memfd, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(); !errors.Is(err, appside.ErrShape) {
		t.Errorf("a file that was cut: %v", err)
	}
	if _, err := appside.Prove(path(memfd), own); err == nil {
		t.Error("a file that was cut was opened")
	}
	f.Close()
	if err := unix.Ftruncate(memfd, appside.Size); err != nil {
		t.Fatal(err)
	}
	if _, err := appside.Prove(path(memfd), own+1); err == nil {
		t.Error("a file of another user was opened")
	}
	pipe := make([]int, 2)
	if err := unix.Pipe2(pipe, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	plain, err := os.Create(filepath.Join(t.TempDir(), "memfd:resp-flask (deleted)"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Close() }()
	if err := plain.Truncate(appside.Size); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]string{"a pipe": path(pipe[0]), "a file": plain.Name(), "an open file": path(int(plain.Fd())), "a device": "/dev/zero", "none": "/proc/self/fd/99999"} {
		if _, err := appside.Prove(p, own); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
}
