package procfs

import (
	"time"

	"golang.org/x/sys/unix"
)

// TicksPerSecond is USER_HZ, fixed in the kernel's interface to user space.
const TicksPerSecond = 100

// BootTime is the time of the host's boot, to which the start times in
// /proc/PID/stat are relative.
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
