package actiontest

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// helperEnv makes this program a helper process in place of the tests.
const helperEnv = "TEST_HERD_MEMBER"

// Main runs the tests, or a helper process.
func Main(m *testing.M) {
	if os.Getenv(helperEnv) == "" {
		os.Exit(m.Run())
	}
	args := os.Args[1:]
	if len(args) >= 3 { // sleep, what it does, and a file
		switch args[1] {
		case "signals":
			exitOnSignal(args[2])
		case "deaf":
			deaf(args[2])
		case "exec":
			execOnTerm(args[2])
		case "master":
			master(args[2], args[3])
		}
	}
	time.Sleep(5 * time.Minute)
}

// exitOnSignal exits at the first signal, with a status that stands for it.
func exitOnSignal(ready string) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGINT, syscall.SIGABRT)
	writeReady(ready)
	switch <-c {
	case syscall.SIGTERM:
		os.Exit(7)
	case syscall.SIGHUP:
		os.Exit(8)
	}
	os.Exit(9)
}

// writeReady adds a byte to a file, so that the test knows that this process is ready.
func writeReady(ready string) {
	f, err := os.OpenFile(ready, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f)
	}
	if err != nil {
		os.Exit(1)
	}
}

// masterWorkers is how many workers a helper that is a master starts.
const masterWorkers = 3

// master starts three workers of a role, with the files that it was started with: the listener, and one for each
// worker. They end with it.
func master(ready, role string) {
	record(ready+".signals", syscall.SIGTTIN, syscall.SIGTTOU)
	runtime.LockOSThread() // a child ends with the thread that started it
	for fd := range 4 + masterWorkers {
		syscall.CloseOnExec(fd) // a worker has the file of no other one
	}
	for i := range masterWorkers {
		cmd := exec.Command(os.Args[0], "sleep", role, ready) //nolint:noctx // it ends with this process
		cmd.ExtraFiles = []*os.File{os.NewFile(3, "listener"), os.NewFile(uintptr(4+i), "worker")}
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			os.Exit(1)
		}
		go func() { _ = cmd.Wait() }() // so that it is no zombie
	}
	time.Sleep(5 * time.Minute)
}

// record appends the names of signals to a file as they come.
func record(file string, list ...os.Signal) {
	c := make(chan os.Signal, 10)
	signal.Notify(c, list...)
	go func() {
		for s := range c {
			f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
			if err != nil {
				os.Exit(1)
			}
			_, _ = fmt.Fprintln(f, map[os.Signal]string{syscall.SIGTTIN: "TTIN", syscall.SIGTTOU: "TTOU"}[s])
			_ = f.Close()
		}
	}()
}

// deaf makes this process ignore the signals after which a worker ends by itself.
func deaf(ready string) {
	signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
	writeReady(ready)
}

// execOnTerm executes another program on SIGTERM, with the same pid and open files.
func execOnTerm(ready string) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	writeReady(ready)
	<-c
	_ = syscall.Exec("/bin/sleep", []string{"sleep", "300"}, nil)
	os.Exit(1)
}
