package controlkey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/retry"
	"github.com/resp-exporter/resp-exporter/internal/secret"
	"github.com/resp-exporter/resp-exporter/internal/ticks"
)

const (
	// every is how often the keys are written again.
	every = time.Second
	// offEvery is how often it is looked whether keys are to be written, while no Redis is
	// configured for them.
	offEvery = 5 * time.Second
	// maxPause is the longest pause while the Redis does not answer.
	maxPause = 10 * time.Second
	// patience is how long the removal of the keys may take at the end, or when another
	// server is configured.
	patience = time.Second
)

// Outcome is what became of one write of the key of an app.
type Outcome string

// The outcomes.
const (
	Written Outcome = "written"
	Held    Outcome = "held"   // another exporter writes the key
	Failed  Outcome = "failed" // no secret, or the Redis did not answer or refused it
)

// Settings are those of the configuration in force.
type Settings struct {
	Redis   string // the name of the server; "": nothing is published
	KeyFile string // of the secret
	By      string // by which the other exporters know this one
}

// Options are those of [New].
type Options struct {
	// Documents returns what is asked of apps, by app, as in a control file.
	Documents func() map[string][]byte
	Redis     func(name string) *redis.Server // nil: it is not configured
	Settings  func() Settings
	Logger    *slog.Logger
}

// Stats is what a [Publisher] has done since its start.
type Stats struct {
	On     bool
	Keys   int // that it has written and that have not expired
	Writes map[Outcome]uint64
}

// Publisher writes the keys of the apps of which anything is asked.
type Publisher struct {
	o   Options
	log *slog.Logger

	mu    sync.Mutex
	stats Stats

	// Of the goroutine of Run:
	at      *place
	holders map[string]string // by app: the exporter that has the key instead
	fault   string            // of the last round; "": it worked
}

// New returns a Publisher that connects to no Redis before anything is asked.
func New(o Options) *Publisher {
	return &Publisher{o: o, log: logs.Or(o.Logger), at: &place{written: make(map[string]writing)}, holders: make(map[string]string),
		stats: Stats{Writes: map[Outcome]uint64{Written: 0, Held: 0, Failed: 0}}}
}

// Stats returns a copy of the counters.
func (p *Publisher) Stats() Stats {
	on := p.o.Settings().Redis != ""
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.On, s.Writes = on, maps.Clone(s.Writes)
	return s
}

// Run writes the keys once a second, less often while it is off or fails, until ctx ends,
// and then removes those that it has written, if the Redis answers. Each round uses the
// settings in force. It returns nil.
func (p *Publisher) Run(ctx context.Context) error {
	failures := 0
	for {
		pause := ticks.Until(every)
		if p.o.Settings().Redis == "" {
			pause = ticks.Until(offEvery)
		}
		if p.round(ctx, p.o.Documents()) {
			failures = 0
		} else {
			failures++
			pause = retry.Backoff{First: every, Max: maxPause}.Jittered(failures)
		}
		if !retry.Sleep(ctx, pause) {
			break
		}
	}
	p.at.leave(ctx)
	return nil
}

// round writes the keys once, and reports whether that worked: also if there is nothing
// to write.
func (p *Publisher) round(ctx context.Context, documents map[string][]byte) bool {
	set := p.o.Settings()
	p.at.expire()
	server := p.o.Redis(set.Redis)
	known := server != nil || set.Redis == ""
	if known {
		// The new keys are written first: both names may be of one Redis, where nothing
		// must be missing in between.
		defer p.move(server).leave(ctx)
	}
	if set.Redis == "" || len(documents)+len(p.at.written) == 0 {
		clear(p.holders)
		p.at.disconnect()
		p.count(nil, "")
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, redis.Patience)
	defer cancel()
	outcomes, err := map[Outcome]int(nil), errNoServer
	if known {
		outcomes, err = p.publish(ctx, set, documents)
	}
	if err != nil {
		if known { // else the keys are removed by this connection once there is another server
			p.at.disconnect()
		}
		p.count(map[Outcome]int{Failed: len(documents)}, err.Error())
		return false
	}
	p.count(outcomes, "")
	return true
}

// move makes a server, nil for none, that of the next writes, and returns the place that is
// left: an empty one if the server is that of the last writes.
func (p *Publisher) move(server *redis.Server) *place {
	if server == p.at.server {
		return &place{}
	}
	left := p.at
	p.at = &place{server: server, written: make(map[string]writing)}
	clear(p.holders)
	p.fault = ""
	return left
}

// count adds to the counters, and logs the beginning and the end of a fault.
func (p *Publisher) count(outcomes map[Outcome]int, fault string) {
	p.mu.Lock()
	for o, n := range outcomes {
		p.stats.Writes[o] += uint64(n) //nolint:gosec // a number of apps
	}
	p.stats.Keys = len(p.at.written)
	p.mu.Unlock()
	switch {
	case fault != "" && p.fault == "":
		p.log.Error("Control keys not written", "redis", p.o.Settings().Redis, "err", fault)
	case fault == "" && p.fault != "" && outcomes != nil:
		p.log.Info("Control keys are written again", "redis", p.o.Settings().Redis)
	}
	if fault != "" || outcomes != nil {
		p.fault = fault
	}
}

// publish writes the documents of apps to their keys, and removes the keys of the others
// that it has written. It returns how many keys were written and how many others hold,
// removed ones not counted. Its error is of the secret, the connection or a refusal.
func (p *Publisher) publish(ctx context.Context, set Settings, documents map[string][]byte) (map[Outcome]int, error) {
	key, err := readKey(set.KeyFile)
	if err != nil {
		return nil, err
	}
	if err := p.at.connect(); err != nil {
		return nil, err
	}
	apps := slices.Collect(maps.Keys(documents))
	for app := range p.at.written {
		if documents[app] == nil {
			apps = append(apps, app)
		}
	}
	have, err := read(ctx, p.at.link, apps)
	if err != nil {
		return nil, p.at.classify(err)
	}
	by := strings.ToValidUTF8(set.By, "\ufffd") // as JSON has it
	outcomes := map[Outcome]int{}
	var list []change
	for i, app := range apps {
		c, holder, err := p.next(key, by, app, have[i], documents[app])
		if err != nil {
			return nil, err
		}
		p.holds(app, holder)
		switch {
		case c != nil:
			list = append(list, *c)
		case documents[app] == nil:
			delete(p.at.written, app)
		default:
			outcomes[Held]++
		}
	}
	made, err := write(ctx, p.at.link, list)
	if err != nil {
		return nil, p.at.classify(err)
	}
	p.settle(list, made, outcomes)
	return outcomes, nil
}

// next returns the change of the key of an app that has a value, to a document or, if that
// is nil, to none; nil if another exporter has signed the value with this secret lately,
// which is named, or if there is nothing of this one to remove. Any other value is
// replaced, also what this one has written with another secret or name.
func (p *Publisher) next(key, by, app, have string, document []byte) (c *change, holder string, err error) {
	v, genuine := opened(key, app, have, time.Now())
	own := genuine && v.By == by || have != "" && have == p.at.written[app].text
	switch {
	case genuine && !own:
		return nil, v.By, nil
	case document == nil && !own:
		return nil, "", nil
	case document == nil:
		return &change{app, have, ""}, "", nil
	}
	text, err := seal(key, app, by, time.Now(), document)
	return &change{app, have, text}, "", err
}

// settle records what became of changes.
func (p *Publisher) settle(list []change, made []bool, outcomes map[Outcome]int) {
	for i, c := range list {
		switch {
		case c.next == "":
			delete(p.at.written, c.app)
		case made[i]:
			p.at.written[c.app] = writing{time.Now(), c.next}
			outcomes[Written]++
		default: // somebody else was quicker
			outcomes[Held]++
		}
	}
}

// holds remembers which exporter writes the key of an app instead of this one, "" for none,
// and logs a new one.
func (p *Publisher) holds(app, holder string) {
	if holder == "" {
		delete(p.holders, app)
		return
	}
	delete(p.at.written, app)
	if p.holders[app] != holder {
		p.holders[app] = holder
		p.log.Info("Another exporter writes the control key", "app", app, "by", holder)
	}
}

var errNoServer = errors.New("the server is not in the configuration")

// readKey returns the secret in a file; one of less than MinKey bytes is an error,
// returned with it.
func readKey(file string) (string, error) {
	key, err := secret.Read(file)
	if err == nil && len(key) < MinKey {
		err = fmt.Errorf("key_file has less than %d bytes", MinKey)
	}
	return key, err
}

// CheckKey returns why a file could not be used as the secret; nil: it could.
func CheckKey(file string) error {
	_, err := readKey(file)
	return err
}
