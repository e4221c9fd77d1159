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
	"runtime/debug"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/app"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

func main() {
	if servesLong(os.Args[1:]) { // ignored in the execution of itself too, until serve gets it
		signal.Ignore(syscall.SIGHUP)
	}
	if err := keepSecret(); err != nil {
		fmt.Fprintln(os.Stderr, "resp-exporter: memory is readable by processes of the same user:", err)
	}
	relaxTimers() // before descriptors are to be closed in another program
	keepDescriptors()
	beModest()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// keepSecret makes the process not dumpable (PR_SET_DUMPABLE): where the exporter
// has the user id of an app, that app cannot read tokens and passwords from its
// memory, environment or open files in /proc, nor stop it with ptrace. No core
// is dumped either. Programs that the exporter starts are not affected.
func keepSecret() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// keepDescriptors marks the descriptors that were open at the start to be closed in
// programs that the exporter runs (close_range(2)): a descriptor that root left open must
// not reach an app's user. Linux before 5.11 cannot do that, and passes them on.
func keepDescriptors() { _ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) }

// gcPercent is how much garbage there may be, in percent of what is in use, before it is
// collected. With 100, the default, the process takes 2 MB more, and with a history in
// memory at its largest 8 MB more; with 50 it takes 1 MB less, and a tenth more CPU time for seven
// scrapes a second.
const gcPercent = 60

// beModest sets GOMAXPROCS to 1 and GOGC to gcPercent, unless the environment sets them:
// the exporter must never take more than one core from the apps that it watches, and a
// scrape costs an eighth less if no threads on other cores are woken.
func beModest() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// run runs the command line and returns the exit code: 0 for an orderly end, 1 for a
// failure, 2 for a wrong command line, but 3 if the word check is in it. check returns the
// level that the exporter reports, 0 to 2, or 3 if it is unknown. 1 also means for doctor
// that something configured cannot work, for stack, history and leak that what they read
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

// serve runs the exporter until SIGINT or SIGTERM, and reloads its configuration at SIGHUP:
// once after the start if that came while the configuration was read. The error is nil if a
// signal ended it and no part failed.
func serve(f flags) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP) // ends that it is ignored, which programs would inherit
	defer signal.Stop(hup)
	f.app.StatsD = statsd.Inherit()
	a, err := app.New(f.app)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
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
