// Command resp-exporter watches the Flask and other WSGI apps of a host from
// outside: it serves metrics for Prometheus and a status page for people.
package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/app"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

func main() {
	if err := keepSecret(); err != nil {
		fmt.Fprintln(os.Stderr, "resp-exporter: memory is readable by processes of the same user:", err)
	}
	keepDescriptors()
	beModest()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// keepSecret makes the process not dumpable (PR_SET_DUMPABLE): where the exporter
// has the user id of an app, that app cannot read tokens and passwords from its
// memory, environment or open files in /proc, nor stop it with ptrace. No core
// is dumped either. Programs that the exporter starts are not affected.
func keepSecret() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// keepDescriptors marks what was open at the start to be closed in programs that
// the exporter runs (close_range(2)): a descriptor of root's that was left open
// by whoever started it is not for an app's user. Linux before 5.11 cannot; then
// they are passed on.
func keepDescriptors() { _ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) }

// beModest keeps the exporter on one CPU at a time, unless GOMAXPROCS says
// otherwise: it must never take more than one core from the apps it watches,
// and a scrape costs an eighth less without waking threads on the others.
func beModest() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}

// run is the program: arguments in, exit code out. 0 means that it ended as
// asked, 1 that it could not go on, 2 that the command line is wrong. Of check
// it is the state that was found, 3 where that is unknown for whatever reason.
// Of doctor, 1 also is that something configured cannot work, of stack that the process
// cannot be looked at, of history that nothing can be read, and of leak that a trace
// cannot be read.
func run(args []string, stdout, stderr io.Writer) int {
	f, err := parseFlags(args, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "resp-exporter:", err)
		if slices.Contains(args, "check") {
			return exitUnknown // 2 would say that the app is in a critical state
		}
		return 2
	}
	if f.done {
		return 0
	}
	if f.ask != nil {
		return check(*f.ask, stdout, stderr)
	}
	if f.past != nil {
		return printHistory(*f.past, stdout, stderr)
	}
	if f.stack != nil {
		return printStacks(f.app.ProcRoot, *f.stack, stdout, stderr)
	}
	if f.leak != nil {
		return judgeTraces(*f.leak, stdout, stderr)
	}
	if f.seek != nil && !f.check {
		return examine(f.app, *f.seek, stdout, stderr)
	}
	if f.check {
		if _, err := config.LoadFile(f.app.ConfigFile, f.app.Env); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		fmt.Fprintln(stdout, "configuration is valid")
		return 0
	}
	if err := serve(f); err != nil {
		fmt.Fprintln(stderr, "resp-exporter:", err)
		return 1
	}
	return 0
}

func serve(f flags) error {
	f.app.StatsD = statsd.Inherit()
	a, err := app.New(f.app)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				_ = a.Reload(ctx) // which logs why it fails
			}
		}
	}()
	f.app.Logger.Info("Starting resp-exporter", "version", f.app.Version, "file", f.app.ConfigFile)
	return a.Run(ctx)
}
