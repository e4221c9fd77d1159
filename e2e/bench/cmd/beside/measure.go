package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
)

// burst is the pause between two bursts of StatsD lines, and settle how long the last of
// them may be on its way.
const (
	burst  = 5 * time.Millisecond
	settle = 200 * time.Millisecond
)

// turn is what one exporter's scrapes in one round cost.
type turn struct {
	exporter     string
	scrapes      int
	cpu, gross   float64 // milliseconds a scrape, without and with what it uses between scrapes
	p50          float64 // milliseconds
	rss          float64 // MB, at the end
	series       int
	bytes, wired int     // of the last body, as text and as it came
	mysql, redis float64 // milliseconds a scrape of the servers
	resting      float64 // milliseconds a second without scrapes
	paced        float64 // milliseconds a second with a scrape now and then
	store        float64 // the same of MariaDB
	line         float64 // microseconds a StatsD line; zero: it takes none
}

// measured are the rounds of one load, each with one turn an exporter.
type measured struct {
	load   string
	rounds [][]turn
}

// measure measures the load's rounds. With an error m has the rounds before it.
func (b *bench) measure(ctx context.Context, m *measured) error {
	for range b.rounds {
		turns, err := b.once(ctx)
		if err != nil {
			return err
		}
		m.rounds = append(m.rounds, turns)
	}
	return nil
}

// once measures one round and returns what each exporter used: without scrapes, in turn,
// now and then, and StatsD lines.
func (b *bench) once(ctx context.Context) ([]turn, error) {
	var err error
	if b.rest, err = rig.Use(b.targets, func() error { return rig.Wait(ctx, b.settings.rest) }); err != nil {
		return nil, err
	}
	turns, err := b.scraped(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.pace(ctx, turns); err != nil {
		return nil, err
	}
	for k, address := range b.statsd {
		i := 0
		for k == 1 && b.targets[i].Name != "statsd_exporter" {
			i++
		}
		if turns[i].line, err = b.perLine(ctx, i, address); err != nil {
			return nil, err
		}
	}
	return turns, nil
}

// pace scrapes now and then, as Prometheus does. A scrape after a pause finds more to read
// anew than one of many in a row. What the servers use while a peer is scraped is that
// peer's; the rest, less what they use by themselves, is resp-exporter's, which reads
// between scrapes too.
func (b *bench) pace(ctx context.Context, turns []turn) error {
	spent := make([][]float64, len(b.targets))
	var stores []float64
	start := time.Now()
	paced, err := rig.Use(b.targets, func() (err error) {
		stores, err = rig.Use(b.stores, func() error {
			for range b.paced {
				err := b.cycle(ctx, b.every, func(i int, a rig.Answer, used []time.Duration) {
					spent[i] = append(spent[i], rig.Milliseconds(used[0])-b.own[0]*a.Took.Seconds())
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	seconds := time.Since(start).Seconds()
	turns[0].store = stores[0] - b.own[0]
	for i := range turns {
		turns[i].resting, turns[i].paced = b.rest[i], paced[i]
		if i > 0 {
			for _, ms := range spent[i] {
				turns[i].store += ms / seconds
				turns[0].store -= ms / seconds
			}
		}
	}
	return nil
}

// scraped scrapes the exporters in turn, each n times or until the time is up.
func (b *bench) scraped(ctx context.Context) ([]turn, error) {
	turns, took := make([]turn, len(b.targets)), make([][]float64, len(b.targets))
	before, err := rig.Clocks(b.targets)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	for n := 0; n < b.n && (n == 0 || time.Since(start) < b.round); n++ {
		err := b.cycle(ctx, b.gap, func(i int, a rig.Answer, used []time.Duration) {
			t := &turns[i]
			took[i] = append(took[i], rig.Milliseconds(a.Took))
			t.series, t.bytes, t.wired = rig.Series(a.Body), len(a.Body), a.Wire
			t.mysql += rig.Milliseconds(used[0]) - b.own[0]*a.Took.Seconds()
			t.redis += rig.Milliseconds(used[1]) - b.own[1]*a.Took.Seconds()
		})
		if err != nil {
			return nil, err
		}
	}
	after, err := rig.Clocks(b.targets)
	if err != nil {
		return nil, err
	}
	seconds := time.Since(start).Seconds()
	for i := range turns {
		t, n := &turns[i], float64(len(took[i]))
		rss, _, err := rig.Memory(b.targets[i].PID)
		if err != nil {
			return nil, err
		}
		gross := rig.Milliseconds(after[i] - before[i])
		t.exporter, t.scrapes, t.rss = b.targets[i].Name, len(took[i]), float64(rss)/1e6
		t.gross, t.cpu, t.p50 = gross/n, (gross-b.rest[i]*seconds)/n, stat.Of(took[i]).Median
		t.mysql, t.redis = t.mysql/n, t.redis/n
	}
	return turns, nil
}

// cycle scrapes each exporter once, in an order that is drawn, and waits until the gap
// since its start is over. seen gets what each server used meanwhile.
func (b *bench) cycle(ctx context.Context, gap time.Duration, seen func(int, rig.Answer, []time.Duration)) error {
	start := time.Now()
	for _, i := range b.order.Perm(len(b.targets)) {
		before, err := rig.Clocks(b.stores)
		if err != nil {
			return err
		}
		a, err := b.client.Scrape(ctx, b.targets[i].URL)
		if err != nil {
			return err
		}
		used, err := rig.Clocks(b.stores)
		if err != nil {
			return err
		}
		for k := range used {
			used[k] -= before[k]
		}
		seen(i, a, used)
	}
	return rig.Wait(ctx, gap-time.Since(start))
}

// perLine sends StatsD lines for a fifth of the time of rest, at least a second, and
// returns the CPU microseconds a line.
func (b *bench) perLine(ctx context.Context, i int, address string) (float64, error) {
	length := max(time.Second, b.settings.rest/5)
	sent := 0
	use, err := rig.Use(b.targets[i:i+1], func() (err error) {
		sent, err = send(ctx, address, int(float64(b.lines)*length.Seconds()), b.lines)
		return err
	})
	if err != nil {
		return 0, err
	}
	seconds := float64(sent)/float64(b.lines) + settle.Seconds()
	return (use[0] - b.rest[i]) * seconds * 1000 / float64(sent), nil
}

// send sends gunicorn's lines, one a packet, at so many a second in small bursts, as
// requests of several workers come.
func send(ctx context.Context, address string, lines, rate int) (int, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", address)
	if err != nil {
		return 0, fmt.Errorf("StatsD: %w", err)
	}
	defer func() { _ = conn.Close() }()
	texts := rig.GunicornLines()
	sent := 0
	for start := time.Now(); sent < lines; {
		for due := min(lines, int(time.Since(start).Seconds()*float64(rate))); sent < due; sent++ {
			if _, err := conn.Write([]byte(texts[sent%len(texts)])); err != nil {
				return sent, fmt.Errorf("StatsD line %d: %w", sent, err)
			}
		}
		if err := rig.Wait(ctx, burst); err != nil {
			return sent, err
		}
	}
	return sent, rig.Wait(ctx, settle)
}
