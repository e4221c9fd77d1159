package procfs

import (
	"time"

	"golang.org/x/sys/unix"
)

// TicksPerSecond is the unit of times in /proc/PID/stat: USER_HZ, which the
// kernel fixes for user space.
const TicksPerSecond = 100

// BootTime returns the time of the host's boot (CLOCK_REALTIME minus
// CLOCK_BOOTTIME), from which /proc/PID/stat counts start times.
func BootTime() (time.Time, error) {
	var now, up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return time.Time{}, err
	}
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Time{}, err
	}
	return time.Unix(0, now.Nano()-up.Nano()), nil
}
