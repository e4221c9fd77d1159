package procid

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestBeat(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	ts := func(d time.Duration) time.Time { return time.Unix(0, int64(d)) }
	wall := func(ago time.Duration) time.Time { return now.Add(-ago) }
	up := 1000 * time.Second
	for name, c := range map[string]struct {
		mode         uint32
		mtime, ctime time.Time
		want         Heartbeat
	}{
		"20.1 touched, mode 1":  {0o100001, wall(time.Hour), wall(3 * time.Second), Heartbeat{Age: 3 * time.Second, Known: true}},
		"20.1 touched, mode 0":  {0o100000, wall(time.Hour), wall(0), Heartbeat{Known: true}},
		"new one, monotonic":    {0o100600, ts(up - 7*time.Second), wall(0), Heartbeat{Age: 7 * time.Second, Known: true}},
		"never touched":         {0o100600, wall(time.Second), wall(time.Second), Heartbeat{Never: true}},
		"clock was set back":    {0o100001, wall(0), wall(-time.Minute), Heartbeat{}},
		"another time's origin": {0o100600, ts(up + time.Minute), wall(0), Heartbeat{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := heartbeatFrom(c.mode, c.mtime, c.ctime, now, up); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// The heartbeat of a worker is read after its end from its file, which was opened before; no
// other file is opened.
func TestHeartbeatFile(t *testing.T) {
	dir := t.TempDir()
	open := func(name string, unlink bool) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		if err == nil && unlink {
			err = os.Remove(f.Name())
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	fdOf := func(f *os.File) int { return int(f.Fd()) }
	f := open("wgunicorn-abc", true)
	var mono unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		t.Fatal(err)
	}
	last := unix.NsecToTimespec(mono.Nano() - int64(time.Hour))
	if mono.Nano() < int64(time.Hour) {
		last = unix.Timespec{}
	}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fdOf(f)), []unix.Timespec{last, last}, 0); err != nil {
		t.Fatal(err)
	}
	h, err := OpenHeartbeat("/proc", os.Getpid(), fdOf(f))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	before := ReadHeartbeat("/proc", os.Getpid(), fdOf(f), time.Now())
	_ = f.Close()
	after := h.Read(time.Now())
	if want := time.Duration(mono.Nano() - last.Nano()); !before.Known || !after.Known || before.Age < want || after.Age < before.Age {
		t.Errorf("%+v, then %+v, want at least %s", before, after, want)
	}
	for name, f := range map[string]*os.File{"another name": open("other", true), "it is still linked": open("wgunicorn-linked", false)} {
		if _, err := OpenHeartbeat("/proc", os.Getpid(), fdOf(f)); !errors.Is(err, errNoHeartbeat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenHeartbeat("/proc", os.Getpid(), 1<<20); err == nil {
		t.Error("a descriptor that is not open")
	}
	if got := ReadHeartbeat("/proc", os.Getpid(), 1<<20, time.Now()); got != (Heartbeat{}) {
		t.Errorf("without a file: %+v", got)
	}
}
