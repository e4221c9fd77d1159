package causes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// sequenceNames returns the names of the cases of a sequence, which need no app of their
// own.
func sequenceNames() []string {
	return []string{
		"rows locked by a shell", "slow statements", "a database that hangs", "a server that never answers", "a Redis that hangs",
		"a slow command in Redis", "slow downloads", "nobody takes the tasks", "a definition behind a transaction", "a server that answers late",
	}
}

// taskAge is how old a task may be until it is harm, as the configuration has it.
const taskAge = 15 * time.Second

// Fault is one fault of a sequence.
type Fault struct {
	Name, Want string
	From, To   time.Time // of its harm
}

// Incident is what the exporter has recorded.
type Incident struct {
	ID          string     `json:"id"`
	Start       time.Time  `json:"start"`
	End         *time.Time `json:"end"`
	Cause       *string    `json:"cause"`
	Interrupted bool       `json:"interrupted"`
}

// Sequence is ten faults of one app, one after another, and what the exporter recorded. It
// is killed by SIGKILL and restarted in one of them.
type Sequence struct {
	Faults  []Fault
	Records []Incident // the oldest first
	Killed  int        // the number of the fault in which it was killed
	// Lost is how long before the SIGKILL the last sample of the history was taken.
	Lost time.Duration
}

// Sequence runs the faults in an order that the seed draws. told is called for each.
func (l *Lab) Sequence(ctx context.Context, seed uint64, times Times, told func(Fault)) (_ Sequence, err error) {
	draws := rand.New(rand.NewPCG(seed, 14))
	var list []Case
	for _, c := range Cases() {
		if slices.Contains(sequenceNames(), c.Name) {
			list = append(list, c)
		}
	}
	draws.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	app := Case{Name: "a sequence", kind: Sync, workers: 4, rate: 8, poolTimeout: 30, base: mode{"up": "UP/?s=0.01"}, remembers: true}
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	r, err := l.newRig(ctx, &app, draws)
	if err != nil {
		return Sequence{}, err
	}
	defer func() { cancel(); r.calls.Wait(); err = errors.Join(err, r.close()) }()
	r.startLoad(ctx, app.rate)
	jitter := func(d time.Duration) time.Duration { return time.Duration(float64(d) * (0.9 + 0.2*draws.Float64())) }
	out := Sequence{Killed: 3 + draws.IntN(5)}
	sleep(ctx, jitter(times.Warm))
	for i, c := range list {
		f, err := r.oneFault(ctx, &c, jitter(times.Fault), func(long time.Duration) error {
			if i != out.Killed {
				return nil
			}
			sleep(ctx, long/2)
			out.Lost, err = r.killExporter(ctx, l.Exporter)
			return err
		})
		if err != nil {
			return out, fmt.Errorf("%s: %w", c.Name, err)
		}
		out.Faults = append(out.Faults, f)
		told(f)
		sleep(ctx, jitter(times.Clear))
	}
	out.Records, err = r.incidents(ctx)
	return out, err
}

// oneFault makes one fault for a time. within is called while it is there.
func (r *rig) oneFault(ctx context.Context, c *Case, long time.Duration, within func(time.Duration) error) (Fault, error) {
	f := Fault{Name: c.Name, Want: c.Want, From: time.Now()}
	undo, err := c.fault(ctx, r)
	if err != nil {
		return f, err
	}
	if err := within(long); err != nil {
		return f, err
	}
	sleep(ctx, time.Until(f.From.Add(long)))
	f.To = time.Now()
	if c.Want == "tasks" {
		f.From = f.From.Add(taskAge)
	}
	if undo != nil {
		err = undo()
	}
	return f, errors.Join(err, ctx.Err())
}

// killExporter kills the exporter, starts it again, and returns how long before that its
// history had the last sample.
func (r *rig) killExporter(ctx context.Context, path string) (time.Duration, error) {
	p, at := r.watcher, time.Now()
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return 0, err
	}
	<-p.Done()
	sleep(ctx, 2*time.Second)
	if err := r.startExporter(ctx, path); err != nil {
		return 0, err
	}
	var m struct {
		At *time.Time `json:"at"` // of the nearest sample
	}
	for from := at; at.Sub(from) < 5*time.Second; from = from.Add(-100 * time.Millisecond) {
		q := "/api/v1/history?app=" + url.QueryEscape(r.name) + "&at=" + strconv.FormatFloat(float64(from.UnixMilli())/1000, 'f', 3, 64)
		if err := r.fetch(ctx, q, &m); err != nil {
			return 0, err
		}
		if t := m.At; t != nil && !t.After(at) {
			return at.Sub(*t), nil
		}
	}
	return 0, errors.New("the history has no sample of before the SIGKILL")
}

// incidents returns the incidents, the oldest first.
func (r *rig) incidents(ctx context.Context) ([]Incident, error) {
	var in struct {
		Incidents []Incident `json:"incidents"`
	}
	err := r.fetch(ctx, "/api/v1/incidents?app="+url.QueryEscape(r.name), &in)
	slices.Reverse(in.Incidents)
	return in.Incidents, err
}

// fetch reads an answer of the exporter.
func (r *rig) fetch(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.exporter+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// stateArgs returns the option for a state directory, where the case has one.
func (r *rig) stateArgs() ([]string, error) {
	if !r.c.remembers {
		return nil, nil
	}
	dir := filepath.Join(r.dir, "state")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return []string{"--state.dir=" + dir}, nil
}
