package run

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Children returns the pids of the children that a process' main thread has forked, of
// /proc/PID/task/PID/children. gunicorn's master forks its workers there.
func Children(pid int) ([]int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil, err
	}
	var out []int
	for field := range strings.FieldsSeq(string(b)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("a child of process %d: %w", pid, err)
		}
		out = append(out, child)
	}
	return out, nil
}
