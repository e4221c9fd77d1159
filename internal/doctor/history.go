package doctor

import (
	"errors"
	"io/fs"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/history/incidents"
)

// maxDamaged is how many damaged files are listed.
const maxDamaged = 5

// history adds what the state directory has of the history and of incidents, and what is
// wrong with it. Without the directory they are kept in memory alone, which is no fault.
func (d *doctor) history() {
	dir := d.Flags.StateDir
	if dir == "" { // its collector says so
		return
	}
	samples, err := history.Inspect(dir)
	var records incidents.Inspection
	if err == nil {
		records, err = incidents.Inspect(dir)
	}
	if err != nil {
		d.add("history", Finding{
			Reason: historyReason(err), Remedy: d.stateRemedies(dir, err),
			Detail: "history and incidents are kept in memory only, and are lost when the exporter stops: " + err.Error(),
		})
		return
	}
	d.fact("history", "%s has %.1f of at most %.0f MiB of samples in %d files, %d incidents and the last words of %d workers",
		dir, mebibytes(samples.Bytes), mebibytes(int(d.Config.Diagnosis.History.MaxBytes)), samples.Files, records.Incidents, records.Words)
	if !samples.From.IsZero() {
		d.fact("history", "the samples are from %s to %s", samples.From.Format(time.RFC3339), samples.To.Format(time.RFC3339))
	}
	d.damaged(append(samples.Damaged, records.Damaged...))
}

// damaged adds a finding for each damaged file, up to a bound, and one for the number of
// the others.
func (d *doctor) damaged(list []error) {
	for _, err := range list[:min(len(list), maxDamaged)] {
		d.add("history", Finding{Reason: collectors.OK, Detail: "a file is damaged and will be renamed at startup: " + err.Error()})
	}
	if more := len(list) - maxDamaged; more > 0 {
		d.add("history", Finding{Reason: collectors.OK, Detail: strconv.Itoa(more) + " more files are damaged"})
	}
}

// historyReason returns the reason code for an error of the state directory: not found,
// or else no permission.
func historyReason(err error) collectors.Reason {
	if errors.Is(err, fs.ErrNotExist) {
		return collectors.NotFound
	}
	return collectors.Permission
}

// mebibytes returns bytes as MiB.
func mebibytes(n int) float64 { return float64(n) / (1 << 20) }
