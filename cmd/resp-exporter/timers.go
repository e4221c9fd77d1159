package main

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// timerSlack is by how many nanoseconds the kernel may delay a timer, so that it can
	// let several expire at once. The default is 50 µs. The Go runtime has a thread
	// (sysmon) that wakes every 20 µs while a goroutine runs or is in a system call, and
	// slows down to 10 ms only if it finds nothing to do for a while. With the default it
	// takes a quarter of the CPU time between scrapes. With a millisecond it wakes a
	// thousand times a second at most. No timer of the exporter needs to be as exact.
	timerSlack = 1_000_000
	// slackVariable is in the environment from the process's exec of itself until it
	// starts again, with its pid as the value: it never does so twice.
	slackVariable = "RESP_EXPORTER_TIMER_SLACK"
)

// relaxTimers sets the timer slack of all threads to timerSlack (PR_SET_TIMERSLACK). A
// thread has that of the one that created it, and the Go runtime's own threads run before
// main does. So the process executes itself again, with the same pid, arguments,
// environment and open files. It returns without that if the slack is large enough
// already (TimerSlackNSec= of systemd), the command line begins with a command that ends
// soon, or the kernel refuses: then the process takes more CPU time, and works.
func relaxTimers() {
	before := os.Getenv(slackVariable)
	_ = os.Unsetenv(slackVariable) // programs that are started later do not get it
	if before == strconv.Itoa(os.Getpid()) || !servesLong(os.Args[1:]) {
		return
	}
	runtime.LockOSThread() // exec keeps the slack of the calling thread
	defer runtime.UnlockOSThread()
	if n, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); err != nil || n >= timerSlack {
		return
	}
	path, err := startedAs()
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0) != nil {
		return
	}
	_ = unix.Exec(path, os.Args, append(os.Environ(), slackVariable+"="+strconv.Itoa(os.Getpid())))
}

// startedAs returns a path of the running program that has the name by which it was started
// and which the process is named by (comm): that of the command line, searched for in PATH
// if it has no slash, or that of the file if the first leads to another file. An error: the
// file cannot be examined, as after its deletion.
func startedAs() (string, error) {
	file, err := os.Executable()
	if err != nil {
		return "", err
	}
	is, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	names := []string{os.Args[0]}
	if !strings.Contains(os.Args[0], "/") {
		names = nil
		for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
			names = append(names, filepath.Join(dir, os.Args[0]))
		}
	}
	for _, name := range names {
		if at, err := os.Stat(name); err == nil && os.SameFile(at, is) {
			return name, nil
		}
	}
	return file, nil
}

// servesLong reports whether arguments run the command serve. If the first is no flag, it
// has to be "serve", and the others do not count; else none may be another command,
// "help", --help, --version or --config.check, even as the value of a flag. -h is not
// noticed.
func servesLong(args []string) bool {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		return args[0] == "serve"
	}
	return !slices.ContainsFunc(args, func(s string) bool {
		switch s {
		case "check", "doctor", "stack", "history", "leak", "help", "--help", "--version", "--config.check":
			return true
		}
		return false
	})
}
