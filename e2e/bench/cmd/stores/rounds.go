package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
)

// cost is what one round cost a scrape, in milliseconds of CPU time, and how
// long the median answer took.
type cost struct{ mysql, redis, own, took float64 }

// settle is the pause between two scrapes: no read of /proc is shared by two.
const settle = 60 * time.Millisecond

// rounds measures the targets in turn, round by round, and prints the medians of the CPU
// time of a scrape.
func (s *servers) rounds(ctx context.Context, o options, targets []rig.Target) error {
	all := make([][]cost, len(targets))
	for range o.rounds {
		for i, t := range targets {
			c, err := s.round(ctx, o, t)
			if err != nil {
				return fmt.Errorf("%s: %w", t.Name, err)
			}
			all[i] = append(all[i], c)
		}
	}
	fmt.Printf("%-30s %22s %22s %22s %22s\n", "ms a scrape, median [min–max]", "mariadbd CPU", "redis-server CPU", "exporter CPU", "answer")
	for i, t := range targets {
		fmt.Printf("%-30s", t.Name)
		for _, of := range []func(cost) float64{
			func(c cost) float64 { return c.mysql }, func(c cost) float64 { return c.redis },
			func(c cost) float64 { return c.own }, func(c cost) float64 { return c.took },
		} {
			fmt.Printf(" %22s", spread(all[i], of))
		}
		fmt.Println()
	}
	return nil
}

// spread returns the median, the least and the greatest of one value of the costs, as text.
func spread(costs []cost, of func(cost) float64) string {
	values := make([]float64, len(costs))
	for i, c := range costs {
		values[i] = of(c)
	}
	slices.Sort(values)
	return fmt.Sprintf("%.2f [%.2f–%.2f]", values[len(values)/2], values[0], values[len(values)-1])
}

// round scrapes, then does nothing for as long, and compares.
func (s *servers) round(ctx context.Context, o options, t rig.Target) (cost, error) {
	client := rig.NewClient()
	defer client.Close()
	if _, err := client.Scrape(ctx, t.URL); err != nil { // connects
		return cost{}, err
	}
	took := make([]time.Duration, o.scrapes)
	pids := []int{s.MySQL.PID(), s.Redis.PID(), t.PID}
	began := time.Now()
	busy, err := spent(func() error {
		for i := range took {
			a, err := client.Scrape(ctx, t.URL)
			if err != nil {
				return err
			}
			took[i] = a.Took
			time.Sleep(o.settle)
		}
		return nil
	}, pids)
	if err != nil {
		return cost{}, err
	}
	whole := time.Since(began)
	idle, err := spent(func() error { time.Sleep(whole); return nil }, pids) // as long, without scrapes
	if err != nil {
		return cost{}, err
	}
	slices.Sort(took)
	per := func(i int) float64 { return (busy[i] - idle[i]).Seconds() * 1000 / float64(o.scrapes) }
	return cost{per(0), per(1), per(2), took[len(took)/2].Seconds() * 1000}, nil
}

// spent returns the CPU time that each process used while f ran.
func spent(f func() error, pids []int) ([]time.Duration, error) {
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		var err error
		if before[i], err = rig.CPU(pid); err != nil {
			return nil, err
		}
	}
	if err := f(); err != nil {
		return nil, err
	}
	out := make([]time.Duration, len(pids))
	for i, pid := range pids {
		after, err := rig.CPU(pid)
		if err != nil {
			return nil, err
		}
		out[i] = after - before[i]
	}
	return out, nil
}

// memory scrapes each exporter, and prints the memory that it then uses.
func memory(ctx context.Context, o options, targets []rig.Target) error {
	client := rig.NewClient()
	defer client.Close()
	for _, t := range targets {
		if o.memory == 0 {
			break
		}
		for range o.memory {
			if _, err := client.Scrape(ctx, t.URL); err != nil {
				return fmt.Errorf("%s: %w", t.Name, err)
			}
			time.Sleep(o.settle)
		}
		rss, highest, err := rig.Memory(t.PID)
		if err != nil {
			return err
		}
		fmt.Printf("%-30s RSS %.1f MB after %d scrapes, at most %.1f MB\n", t.Name, float64(rss)/1e6, o.memory, float64(highest)/1e6)
	}
	return nil
}

// patience is how long a stopped server's exporter is waited for.
const patience = 80 * time.Second

// stopped stops both servers and scrapes each exporter once with Prometheus's header of 10
// s, and once without.
func (s *servers) stopped(ctx context.Context, targets []rig.Target) error {
	pids := []int{s.MySQL.PID(), s.Redis.PID()}
	signal := func(sig syscall.Signal) error {
		var errs []error
		for _, pid := range pids {
			errs = append(errs, syscall.Kill(pid, sig))
		}
		return errors.Join(errs...)
	}
	if err := signal(syscall.SIGSTOP); err != nil {
		return err
	}
	defer func() { _ = signal(syscall.SIGCONT) }()
	fmt.Printf("\n%-30s %22s %22s\n", "both servers stopped: answer", "with a 10 s header", "without")
	for _, t := range targets {
		fmt.Printf("%-30s %22s %22s\n", t.Name, once(ctx, t.URL, "10"), once(ctx, t.URL, ""))
	}
	return nil
}

// once scrapes once and returns the result as text.
func once(ctx context.Context, url, header string) string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	if header != "" {
		req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", header)
	}
	began := time.Now()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Sprintf("none after %.0f s", time.Since(began).Seconds())
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil {
		return fmt.Sprintf("cut off after %.1f s", time.Since(began).Seconds())
	}
	return fmt.Sprintf("%d, %.2f s, %d kB", resp.StatusCode, time.Since(began).Seconds(), n/1000)
}
