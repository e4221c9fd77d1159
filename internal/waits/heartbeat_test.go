package waits

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestBeat(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	ts := func(d time.Duration) unix.Timespec { return unix.NsecToTimespec(int64(d)) }
	wall := func(ago time.Duration) unix.Timespec { return unix.NsecToTimespec(now.Add(-ago).UnixNano()) }
	up := 1000 * time.Second
	for name, c := range map[string]struct {
		mode         uint32
		mtime, ctime unix.Timespec
		want         heartbeat
	}{
		"20.1 touched, mode 1":  {0o100001, wall(time.Hour), wall(3 * time.Second), heartbeat{age: 3 * time.Second, ok: true}},
		"20.1 touched, mode 0":  {0o100000, wall(time.Hour), wall(0), heartbeat{ok: true}},
		"new one, monotonic":    {0o100600, ts(up - 7*time.Second), wall(0), heartbeat{age: 7 * time.Second, ok: true}},
		"never touched":         {0o100600, wall(time.Second), wall(time.Second), heartbeat{never: true}},
		"clock was set back":    {0o100001, wall(0), wall(-time.Minute), heartbeat{}},
		"another time's origin": {0o100600, ts(up + time.Minute), wall(0), heartbeat{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := heartbeatFrom(c.mode, c.mtime, c.ctime, now, up); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
