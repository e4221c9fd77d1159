package doctor

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// stateDirectory adds what is wrong with the state directory of healing, if healing is
// configured.
func (d *doctor) stateDirectory() {
	if len(d.Config.Healing.Rules) == 0 && d.Config.Healing.TokenFile == "" {
		return
	}
	d.mode()
	dir := d.Flags.StateDir
	bad, err := journal.Inspect(dir, time.Now())
	switch {
	case err != nil:
		d.add("heal", Finding{
			Of: "heal", Reason: collectors.Permission, Fault: true, Remedy: d.stateRemedies(dir, err),
			Detail: "healing is off: the state directory cannot be used: " + err.Error(),
		})
	case bad > 0:
		d.add("heal", Finding{
			Of: "heal", Reason: collectors.OK,
			Detail: strconv.Itoa(bad) + " lines of the journal in " + dir + " are corrupt and are skipped at startup",
		})
	default:
		d.fact("heal", "the state directory is %s", dir)
	}
}

// mode adds which mode of healing is set, and what that mode does.
func (d *doctor) mode() {
	switch d.Config.Healing.Mode {
	case config.HealEnforce:
		d.fact("heal", "mode enforce: actions are executed")
	case config.HealDryRun:
		d.fact("heal", "mode dry_run: plans are made and shown, but not executed")
	default:
		d.add("heal", Finding{
			Of: "heal", Reason: collectors.Disabled, Remedy: []string{"healing: {mode: dry_run} in the configuration, to see plans that are not executed"},
			Detail: "healing is off in the configuration: alerts are accepted, but no plans are made",
		})
	}
}

// stateRemedies returns commands that make the state directory usable, by the error that it
// has; for an error it does not know, to use another directory.
func (d *doctor) stateRemedies(dir string, err error) []string {
	whole := strings.TrimSuffix(dir, "/") + "/" // also where it is a link that root made
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []string{"install -d -m 0700 -o " + d.who.name + " " + dir}
	case errors.Is(err, safefile.ErrOwner), errors.Is(err, safefile.ErrMode), errors.Is(err, fs.ErrPermission):
		return []string{"while the exporter is stopped: chown -R " + d.who.name + ": " + whole + " && chmod -R go-rwx " + whole}
	case errors.Is(err, safefile.ErrNotRegular), errors.Is(err, safefile.ErrTooLarge):
		return []string{"while the exporter is stopped: move that file away"}
	}
	return []string{"set --state.dir to a directory whose parents only root can write to, such as /var/lib/resp-exporter"}
}
