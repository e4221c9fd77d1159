package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// inside is the environment variable of the process that foreground starts.
const inside = "RESP_DEMO_INSIDE"

// foreground runs this program again in a process group that owns the terminal, and
// returns its exit code. A Ctrl-C then reaches only the demo: a make that started it would
// otherwise end too, and report a failure. ok is false without such a terminal.
func foreground() (code int, ok bool) {
	tty := int(os.Stdin.Fd())
	owner, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP)
	if err != nil || owner != unix.Getpgrp() || os.Getenv(inside) != "" {
		return 0, false
	}
	self, err := os.Executable()
	if err != nil {
		return 0, false
	}
	runtime.LockOSThread() // the death signal is the thread's
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Foreground: true, Ctty: tty, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return 0, false
	}
	relay := make(chan os.Signal, 4)
	signal.Notify(relay, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for s := range relay {
			_ = cmd.Process.Signal(s)
		}
	}()
	err = cmd.Wait()
	signal.Stop(relay)
	close(relay)
	// Take the terminal back for the parent process; asking from the
	// background would stop us.
	signal.Ignore(syscall.SIGTTOU)
	_ = unix.IoctlSetPointerInt(tty, unix.TIOCSPGRP, owner)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), true
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1, true
	}
	return 0, true
}
