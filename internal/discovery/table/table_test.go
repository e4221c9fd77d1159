package table_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// host is a directory like /proc.
type host struct {
	t    *testing.T
	root string
	*table.Table
}

func newHost(t *testing.T) *host {
	t.Helper()
	root := t.TempDir()
	return &host{t, root, table.New(procfs.New(root))}
}

func (h *host) write(pid int, name, text string) {
	h.t.Helper()
	path := filepath.Join(h.root, strconv.Itoa(pid), name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		h.t.Fatal(err)
	}
}

// process writes a process that began at a tick.
func (h *host) process(pid, parent, start int, argv ...string) {
	h.t.Helper()
	h.write(pid, "stat", fmt.Sprintf("%d (x) S %d 2 2 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 7 0", pid, parent, start))
	h.write(pid, "cmdline", strings.Join(argv, "\x00")+"\x00")
}

func (h *host) remove(pid int) {
	h.t.Helper()
	if err := os.RemoveAll(filepath.Join(h.root, strconv.Itoa(pid))); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) refresh(second float64) {
	h.t.Helper()
	if err := h.Refresh(time.Unix(1000, 0).Add(time.Duration(second*float64(time.Second))), matchOf); err != nil {
		h.t.Fatal(err)
	}
}

// matchOf returns a bit for a command line of more than one word.
func matchOf(p *table.Process) uint64 {
	if len(p.Argv) > 1 {
		return 2
	}
	return 0
}

// link adds a descriptor to a process.
func (h *host) link(pid, fd int, to string) {
	h.t.Helper()
	dir := filepath.Join(h.root, strconv.Itoa(pid), "fd")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Symlink(to, filepath.Join(dir, strconv.Itoa(fd)))); err != nil {
		h.t.Fatal(err)
	}
}

// The table follows processes that begin, fork, end and are replaced.
func TestRefresh(t *testing.T) {
	h := newHost(t)
	h.process(10, 1, 100, "gunicorn", "shop:app")
	h.process(11, 10, 200, "sleep")
	h.refresh(0)
	p := h.Processes[10]
	if p == nil || p.Program.Server != "gunicorn" || p.Match != 2 || !p.IsPython() || h.Processes[11].IsPython() || p.UID != uint32(os.Geteuid()) {
		t.Fatalf("%+v", p)
	}
	if kids := h.Children[10]; len(kids) != 1 || kids[0].PID != 11 {
		t.Errorf("children %v", kids)
	}
	generation := h.Generation
	h.refresh(0.5)
	if h.Generation != generation || h.Processes[10] != p {
		t.Error("a scan in which nothing changed made another table")
	}
	h.remove(11)
	h.process(12, 10, 300, "sleep")
	h.refresh(0.6)
	if h.Generation == generation || h.Processes[11] != nil || h.Processes[12] == nil || len(h.Children[10]) != 1 {
		t.Errorf("one ended, another began: %v", h.Children[10])
	}
	if err := os.Rename(filepath.Join(h.root, "10"), filepath.Join(h.root, "old")); err != nil { // its inode is not used again
		t.Fatal(err)
	}
	h.process(10, 1, 900, "sleep")
	h.refresh(0.7)
	if q := h.Processes[10]; q == nil || q == p || q.Start != 900 || q.IsPython() {
		t.Errorf("a pid was reused: %+v", q)
	}
	if err := os.RemoveAll(h.root); err != nil {
		t.Fatal(err)
	}
	if err := h.Refresh(time.Unix(1001, 0), matchOf); err == nil || len(h.Processes) != 2 {
		t.Errorf("/proc cannot be listed: %v, %d processes", err, len(h.Processes))
	}
}

// A young process is read again at 1, 4, 15 and 60 seconds: it may become a server.
func TestReread(t *testing.T) {
	h := newHost(t)
	h.Boot = time.Unix(1000, 0)
	h.process(10, 1, 0, "sh", "-c", "gunicorn shop:app")
	h.refresh(0)
	h.process(10, 1, 0, "gunicorn", "shop:app")
	for _, c := range []struct {
		second float64
		server string
	}{{0.9, ""}, {1, "gunicorn"}} {
		h.refresh(c.second)
		if got := string(h.Processes[10].Program.Server); got != c.server {
			t.Errorf("after %v s: server %q", c.second, got)
		}
	}
	title := func(second float64, title string) string {
		h.process(10, 1, 0, title)
		h.refresh(second)
		return h.Processes[10].Argv[0]
	}
	for _, c := range []struct {
		second float64
		read   bool
	}{{3.9, false}, {4, true}, {14.9, false}, {15, true}, {59.9, false}, {60, true}, {600, false}} {
		want := fmt.Sprint("gunicorn: master [at", c.second, "]")
		if got := title(c.second, want); (got == want) != c.read {
			t.Errorf("after %v s: title %q", c.second, got)
		}
	}
}

// A process that was old when it was first seen is not read again.
func TestOldProcess(t *testing.T) {
	for _, c := range []struct {
		age  time.Duration // seconds
		read bool
	}{{60 * time.Second, true}, {61 * time.Second, false}} {
		h := newHost(t)
		h.Boot = time.Unix(1000, 0).Add(-c.age)
		h.process(10, 1, 0, "one")
		h.refresh(0)
		h.process(10, 1, 0, "two")
		h.refresh(5)
		if got := h.Processes[10].Argv[0]; (got == "two") != c.read {
			t.Errorf("a process that was %s old: %s", c.age, got)
		}
	}
}

func TestRereadAll(t *testing.T) {
	h := newHost(t)
	uid := uint32(os.Geteuid())
	for pid := 10; pid < 14; pid++ {
		h.process(pid, 1, 5, "sh")
	}
	h.refresh(0)
	h.Processes[11].Member = h
	h.remove(12)
	h.process(13, 1, 6, "gunicorn", "other:app") // the pid of another
	for pid := 10; pid < 12; pid++ {
		h.process(pid, 1, 5, "gunicorn", "shop:app")
	}
	if uid != 0 { // root's sockets may be anybody's
		h.RereadAll(table.Users{uid + 1: true}, matchOf)
		if h.Processes[10].IsPython() {
			t.Error("another user's socket made a process be read")
		}
	}
	h.RereadAll(table.Users{uid: true}, matchOf)
	if p := h.Processes[10]; !p.IsPython() || p.Match != 2 {
		t.Errorf("not read again: %+v", p)
	}
	if h.Processes[11].IsPython() || h.Processes[12] != nil || h.Processes[13] != nil || len(h.Children[1]) != 2 {
		t.Errorf("%d children of 1; a member of an app was read: %v", len(h.Children[1]), h.Processes[11].IsPython())
	}
}

func TestStatAndCPU(t *testing.T) {
	h := newHost(t)
	stat := func(state string, start, user, system int) {
		h.write(10, "stat", fmt.Sprintf("10 (x) %s 1 2 2 0 -1 4194560 0 0 0 0 %d %d 0 0 20 0 1 0 %d 0 7 0", state, user, system, start))
	}
	h.process(10, 1, 5, "sh")
	h.refresh(0)
	p := h.Processes[10]
	if p.Ended() {
		t.Error("it has ended")
	}
	for i, c := range []struct{ user, system int }{{7, 3}, {9, 3}, {9, 3}, {4, 8}} {
		stat("S", 5, c.user, c.system)
		if !h.RereadStat(p) {
			t.Fatal("not that process any more")
		}
		want := []table.CPUTime{{User: 7, System: 3}, {User: 2}, {}, {System: 5}}[i]
		if got := p.NewCPU(); got != want {
			t.Errorf("reading %d: %+v, want %+v", i, got, want)
		}
	}
	for _, state := range []string{"Z", "X"} {
		stat(state, 5, 0, 0)
		if !h.RereadStat(p) || !p.Ended() {
			t.Errorf("state %s has not ended", state)
		}
	}
	stat("S", 6, 0, 0)
	if h.RereadStat(p) || p.Stat.State != 'X' {
		t.Error("another process of the pid was taken for it")
	}
	h.remove(10)
	if h.RereadStat(p) {
		t.Error("it has ended, and was read")
	}
	h.Boot = time.Unix(50, 0)
	if got := h.StartTime(&table.Process{Start: 250}); !got.Equal(time.Unix(52, 5e8)) {
		t.Errorf("it began at %v", got)
	}
}

// The limit of open files is read once a minute.
func TestMaxFiles(t *testing.T) {
	h := newHost(t)
	p, now := &table.Process{PID: 10}, time.Unix(1000, 0)
	limit := func(n int) {
		h.write(10, "limits", fmt.Sprintf("Limit                     Soft Limit           Hard Limit           Units\nMax open files            %d                 4096                 files\n", n))
	}
	limit(1024)
	for _, c := range []struct {
		after time.Duration
		limit int
		want  uint64
	}{{0, 1024, 1024}, {time.Minute, 2048, 1024}, {time.Minute + 1, 2048, 2048}} {
		limit(c.limit)
		if got := h.MaxFiles(p, now.Add(c.after)); got != c.want {
			t.Errorf("after %s: %d, want %d", c.after, got, c.want)
		}
	}
	h.remove(10)
	if got := h.MaxFiles(p, now.Add(time.Hour)); got != 0 {
		t.Errorf("%d of a process that has ended", got)
	}
}

// Only the sockets, epoll sets and the heartbeat file of the descriptors are kept.
func TestDescriptors(t *testing.T) {
	h := newHost(t)
	h.process(10, 1, 5, "gunicorn", "shop:app")
	h.refresh(0)
	p := h.Processes[10]
	h.link(10, 0, "/dev/null")
	h.link(10, 3, "socket:[77]")
	h.link(10, 4, "socket:[77]")
	h.link(10, 5, "anon_inode:[eventpoll]")
	h.link(10, 6, "/tmp/wgunicorn-abc (deleted)")
	h.link(10, 7, "/tmp/wgunicorn-def")
	if p.FDs().Known {
		t.Error("known before they were read")
	}
	h.ReadOnce(p)
	d := p.FDs()
	if !d.Known || d.Err != nil || len(d.Sockets) != 1 || len(d.Sockets[77]) != 2 || len(d.Polls) != 1 || d.Polls[0] != 5 || d.Heartbeat != 6 || d.HeartbeatName != "/tmp/wgunicorn-abc (deleted)" {
		t.Errorf("%+v", d)
	}
	if !p.Holds(sockdiag.Listener{Inode: 77}) || p.Holds(sockdiag.Listener{Inode: 78}) {
		t.Error("holds another socket than it has")
	}
	h.link(10, 8, "/tmp/wgunicorn-ghi (deleted)")
	h.ReadOnce(p)
	if p.FDs() != d {
		t.Error("read once more")
	}
	h.ReadDescriptors(p)
	if d := p.FDs(); d.Heartbeat != -1 || d.Heartbeats != 2 {
		t.Errorf("of two heartbeat files: %+v", d)
	}
	for fd := 20; fd < 90; fd++ {
		h.link(10, fd, "anon_inode:[eventpoll]")
	}
	h.ReadDescriptors(p)
	if got := len(p.FDs().Polls); got != 64 {
		t.Errorf("%d epoll sets", got)
	}
	h.DropDescriptors(p)
	if p.FDs().Known {
		t.Error("known after they were dropped")
	}
	h.remove(10)
	h.ReadDescriptors(p)
	if d := p.FDs(); !d.Known || !errors.Is(d.Err, os.ErrNotExist) {
		t.Errorf("of a process that has ended: %+v", d)
	}
}

// Above the limit of an account only listening sockets are kept; a process that is
// removed frees its share.
func TestKeptSockets(t *testing.T) {
	h := newHost(t)
	h.Listens = func(_ *table.Process, ino uint64) bool { return ino == 1 }
	owner := table.Ownership{Known: true, Owner: procfs.Owner{Account: 33}}
	read := func(p *table.Process) *table.Descriptors {
		t.Helper()
		h.Budget.Begin(true)
		if !h.ReadDescriptors(p) {
			t.Fatal("no allowance is left")
		}
		return p.FDs()
	}
	const each = 1 << 12
	for fd := range each {
		h.link(10, fd, fmt.Sprintf("socket:[%d]", 100+fd))
	}
	var full []*table.Process
	for i := range (1 << 16) / each {
		p := &table.Process{PID: 10 + i, Owner: owner}
		if i > 0 { // the same links serve for all of them
			if err := errors.Join(os.MkdirAll(h.FS.Path(p.PID, "."), 0o755), os.Symlink(h.FS.Path(10, "fd"), h.FS.Path(p.PID, "fd"))); err != nil {
				t.Fatal(err)
			}
		}
		if d := read(p); len(d.Sockets) != each || d.Full {
			t.Fatalf("process %d: %d sockets, full %v", i, len(d.Sockets), d.Full)
		}
		full = append(full, p)
	}
	other := &table.Process{PID: 90, Owner: owner}
	h.link(90, 3, "socket:[1]")
	h.link(90, 4, "socket:[2]")
	if d := read(other); len(d.Sockets) != 1 || !d.Full || !other.Holds(sockdiag.Listener{Inode: 1}) {
		t.Errorf("beyond the bound: %d sockets, full %v", len(d.Sockets), d.Full)
	}
	if d := read(&table.Process{PID: 90, Owner: table.Ownership{Known: true, Owner: procfs.Owner{Account: 34}}}); len(d.Sockets) != 2 || d.Full {
		t.Errorf("of another account: %d sockets, full %v", len(d.Sockets), d.Full)
	}
	h.DropDescriptors(full[0])
	if d := read(other); len(d.Sockets) != 2 || d.Full {
		t.Errorf("after others were dropped: %d sockets, full %v", len(d.Sockets), d.Full)
	}
}

func TestMayHold(t *testing.T) {
	p := &table.Process{UID: 33, Owner: table.Ownership{Known: true, Owner: procfs.Owner{Account: 1000}}}
	for name, c := range map[string]struct {
		users table.Users
		want  bool
	}{
		"root's":        {table.Users{0: true}, true},
		"its user's":    {table.Users{33: true}, true},
		"its account's": {table.Users{1000: true}, true},
		"another's":     {table.Users{34: true}, false},
		"nobody's":      {nil, false},
	} {
		if got := c.users.MayHold(p); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	p.Owner.Known = false
	if (table.Users{1000: true}).MayHold(p) {
		t.Error("by an account that is not known")
	}
}
