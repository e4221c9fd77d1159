package main

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/app"
)

// flags is the command line, read.
type flags struct {
	app   app.Options
	check bool
	done  bool            // --help or --version was asked for and answered
	ask   *checkOptions   // the command is check
	seek  *doctorOptions  // the command is doctor
	stack *stackOptions   // the command is stack
	past  *historyOptions // the command is history
	leak  *leakOptions    // the command is leak
}

// parseFlags returns the flags of the command line, or an error if that is wrong. done:
// help or the version was printed, and there is nothing else to do; the error is nil then.
func parseFlags(args []string, stdout, stderr io.Writer) (flags, error) {
	f := flags{app: app.Options{Env: os.Environ(), Version: version.Version}}
	k, finish := commandLine(&f, stdout, stderr)
	command, err := k.Parse(args)
	if err != nil || f.done {
		if f.done {
			err = nil
		}
		return f, err
	}
	return f, finish(command)
}

// commandLine returns the commands and flags, which set f when they are parsed, and
// what to call then with the name of the command: it checks the flags together.
func commandLine(f *flags, stdout, stderr io.Writer) (k *kingpin.Application, finish func(command string) error) {
	k = kingpin.New("resp-exporter", "Monitors Flask and other Python web apps on this host from outside and exports Prometheus metrics.")
	k.UsageWriter(stdout).ErrorWriter(stderr)
	k.Terminate(func(int) { f.done = true })
	k.Version(version.Print("resp_exporter"))
	k.HelpFlag.Short('h')
	k.Command("serve", "Serve metrics and the status page.").Default()
	ask, seek, stack, past, leaks := checkFlags(k), doctorFlags(k), stackFlags(k), historyFlags(k), leakFlags(k)

	f.app.Web = kingpinflag.AddFlags(k, ":9868")
	k.Flag("config.file", "Configuration file (optional).").StringVar(&f.app.ConfigFile)
	k.Flag("config.check", "Check the configuration and exit.").BoolVar(&f.check)
	k.Flag("web.external-url", "URL under which clients reach the exporter, for example through a proxy; its path is the default of --web.route-prefix.").StringVar(&f.app.ExternalURL)
	k.Flag("web.allowed-host", "Additional host name that is accepted in requests. IP addresses, localhost, the names of this host and that of --web.external-url are always accepted. Can be repeated.").StringsVar(&f.app.AllowedHosts)
	prefix := k.Flag("web.route-prefix", "Path prefix of all pages and endpoints.").String()
	k.Flag("web.telemetry-path", "Path of the metrics endpoint.").Default("/metrics").StringVar(&f.app.MetricsPath)
	k.Flag("web.enable-lifecycle", "Enable POST /-/reload, which reloads the configuration.").BoolVar(&f.app.Lifecycle)
	k.Flag("web.enable-pprof", "Enable profiles under /debug/pprof/.").BoolVar(&f.app.Pprof)
	k.Flag("web.max-requests", "Maximum number of concurrent scrapes; 0 means no limit.").Default("40").IntVar(&f.app.MaxRequests)
	k.Flag("web.disable-exporter-metrics", "Do not export go_*, process_* and promhttp_*.").BoolVar(&f.app.DisableExporterMetrics)
	k.Flag("timeout-offset", "Time to subtract from the scrape timeout that Prometheus sends, to leave time for the response.").Default("0.25s").DurationVar(&f.app.TimeoutOffset)
	pathFlags(k, &f.app)
	disable := k.Flag("collector.disable-defaults", "Disable all collectors that are not enabled by their own flag.").Bool()
	wanted := collectorFlags(k)
	log := &promslog.Config{Writer: stderr}
	promslogflag.AddFlags(k, log)

	return k, func(command string) (err error) {
		f.ask, f.seek, f.stack, f.past, f.leak = ask[command], seek[command], stack[command], past[command], leaks[command]
		if f.past != nil {
			f.past.stateDir = f.app.StateDir
		}
		f.app.Logger = promslog.New(log)
		f.app.Off = collectorsOff(wanted, *disable)
		f.app.RoutePrefix, err = routePrefix(*prefix, f.app.ExternalURL)
		if f.app.TimeoutOffset < 0 || f.app.TimeoutOffset > time.Minute {
			return fmt.Errorf("--timeout-offset: expected 0s to 1m, got %s", f.app.TimeoutOffset)
		}
		return err
	}
}

// collectorsOff returns for each collector whether it is disabled; disable is
// --collector.disable-defaults, after which only those that the user switched on are
// enabled.
func collectorsOff(wanted map[string]*choice, disable bool) map[string]bool {
	off := make(map[string]bool, len(wanted))
	for name, w := range wanted {
		off[name] = !w.on || disable && !w.byUser
	}
	return off
}

// pathFlags adds the flags of the directories, and one of the time scale that is for
// demonstrations only.
func pathFlags(k *kingpin.Application, o *app.Options) {
	k.Flag("path.procfs", "Mount point of procfs.").Default("/proc").StringVar(&o.ProcRoot)
	k.Flag("path.sysfs", "Mount point of sysfs.").Default("/sys").StringVar(&o.SysRoot)
	k.Flag("path.rootfs", "Mount point of the host's root file system.").Default("/").StringVar(&o.RootFS)
	k.Flag("state.dir", "Directory of the healing journal, the history and incidents; created only with rules or a token in the section healing.").Default("/var/lib/resp-exporter").StringVar(&o.StateDir)
	k.Flag("control.dir", "Directory of the control files, which tell apps that use resp_flask.py to shed requests or to collect garbage; created only when an action needs it, empty for none.").Default("/run/resp-exporter/control").StringVar(&o.ControlDir)
	k.Flag("leak.time-scale", "How many times faster time passes for the detector of memory leaks.").Hidden().Default("1").Float64Var(&o.LeakTimeScale)
}

// checkFlags adds the command check. It returns a map with one entry: the full name of
// the command, and its options, which are set when the command line is parsed.
func checkFlags(k *kingpin.Application) map[string]*checkOptions {
	o := &checkOptions{}
	c := k.Command("check", "Print the status that a running exporter reports; exit code 0 healthy, 1 warning, 2 critical, 3 unknown.")
	c.Flag("url", "URL of the exporter, with its path if it has one; without a scheme an address such as web-1:9868.").Envar("RESP_EXPORTER_URL").Default("http://localhost:9868").StringVar(&o.url)
	c.Flag("output", "Output format: text or json.").Default("text").EnumVar(&o.output, "text", "json")
	c.Flag("http.config.file", "File with the settings of the HTTP client: TLS, basic authentication and so on, in the format of Prometheus and promtool.").StringVar(&o.http)
	c.Flag("self", "Check only whether the exporter itself is ready; exit code 0 or 3.").BoolVar(&o.self)
	return map[string]*checkOptions{c.FullCommand(): o}
}

// doctorFlags adds the command doctor. It returns a map of the command's full name to its
// options, as checkFlags does.
func doctorFlags(k *kingpin.Application) map[string]*doctorOptions {
	o := &doctorOptions{}
	c := k.Command("doctor", "Check the whole setup once, with the flags of serve, and print what is missing and how to fix it; exit code 1 if something that is configured cannot work.")
	c.Flag("output", "Output format: text or json.").Default("text").EnumVar(&o.output, "text", "json")
	return map[string]*doctorOptions{c.FullCommand(): o}
}

// stackFlags adds the command stack. It returns a map of the command's full name to its
// options, as checkFlags does.
func stackFlags(k *kingpin.Application) map[string]*stackOptions {
	o := &stackOptions{}
	c := k.Command("stack", "Print the Python stacks of a process and what its threads wait in, without pausing it; exit code 1 if they cannot be read.")
	c.Arg("pid", "Process id.").Required().SetValue((*pidValue)(&o.pid))
	c.Flag("output", "Output format: text or json.").Default("text").EnumVar(&o.output, "text", "json")
	return map[string]*stackOptions{c.FullCommand(): o}
}

// pidValue is a process id on the command line.
type pidValue int

// Set sets v to the process id in s. A text that is no number from 1 to 2^31-1 is an
// error.
func (v *pidValue) Set(s string) error {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 1 {
		return fmt.Errorf("the process id must be a number above 0, not %q", s)
	}
	*v = pidValue(n)
	return nil
}

// String returns the process id.
func (v *pidValue) String() string { return strconv.Itoa(int(*v)) }

// historyFlags adds the command history. It returns a map of the command's full name to
// its options, as checkFlags does.
func historyFlags(k *kingpin.Application) map[string]*historyOptions {
	o := &historyOptions{}
	c := k.Command("history", "Print what the requests of the apps did at one time or in a range, as the running exporter reports it, or from the state directory if none runs; exit code 1 if neither can be read.")
	c.Flag("at", "Time, such as 03:12, \"2026-03-01 03:12\", 2026-03-01T03:12:00Z or -10m.").StringVar(&o.at)
	c.Flag("from", "Start of a range; default: 15 minutes before its end.").StringVar(&o.from)
	c.Flag("to", "End of a range; default: now.").StringVar(&o.to)
	c.Flag("app", "Name of an app; default: all.").StringVar(&o.app)
	c.Flag("json", "Print JSON.").BoolVar(&o.json)
	c.Flag("url", "URL of the exporter, with its path if it has one; without a scheme an address such as web-1:9868.").Envar("RESP_EXPORTER_URL").Default("http://localhost:9868").StringVar(&o.url)
	c.Flag("http.config.file", "File with the settings of the HTTP client: TLS, basic authentication and so on, in the format of Prometheus and promtool.").StringVar(&o.http)
	return map[string]*historyOptions{c.FullCommand(): o}
}

// choice is one --[no-]collector.<name> flag.
type choice struct {
	on, byUser bool
}

// collectorFlags adds a flag for each collector, on by default, and returns the choices by
// the name of the collector. They are set when the command line is parsed.
func collectorFlags(k *kingpin.Application) map[string]*choice {
	wanted := make(map[string]*choice)
	for _, e := range collectors.Catalog() {
		c := &choice{}
		wanted[e.Name] = c
		k.Flag("collector."+e.Name, "Collector: "+e.Help+".").Default("true").IsSetByUser(&c.byUser).BoolVar(&c.on)
	}
	return wanted
}

// routePrefix returns the flag's value, or if it is empty the path of the external URL; ""
// if both are. An error: the external URL, read only without a flag, cannot be parsed.
func routePrefix(prefix, external string) (string, error) {
	if external == "" || prefix != "" {
		return prefix, nil
	}
	u, err := url.Parse(external)
	if err != nil {
		return "", fmt.Errorf("--web.external-url: %w", err)
	}
	return u.Path, nil
}
