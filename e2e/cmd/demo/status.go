package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/prom"
)

// The queries that are sent to Prometheus.
const (
	requestRate  = `sum(rate(resp_http_requests_total{app="` + app + `"}[30s]))`
	workersAll   = `sum(resp_app_workers{app="` + app + `"})`
	workersBusy  = `sum(resp_app_workers{app="` + app + `",state="busy"})`
	queueLength  = `sum(resp_listener_queue_length{app="` + app + `"})`
	mysqlUp      = `resp_up{component="mysql:main"}`
	redisUp      = `resp_up{component="redis:cache"}`
	poolUse      = `sum(resp_pool_connections{app="` + app + `",state!="idle"})`
	poolLeaked   = `sum(resp_pool_connections{app="` + app + `",state="leaked"})`
	poolCapacity = `sum(resp_pool_capacity{app="` + app + `"})`
	sessionCount = `sum(resp_sessions{app="` + app + `"})`
	jobsWaiting  = `sum(resp_task_queue_length{app="` + app + `"})`
)

// proveSeen waits until Prometheus has the shop's workers, the rate of its
// requests and both stores, and prints what it answered.
func (s *stack) proveSeen(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := s.seen(wait)
		if err == nil {
			return nil
		}
		select {
		case <-s.died():
			return s.post()
		case <-wait.Done():
			return fmt.Errorf("prometheus did not see the shop within %s: %w\n%s", patience, err, s.tails())
		case <-time.After(time.Second):
		}
	}
}

// seen returns nil once Prometheus has the workers, the requests and both stores, else what
// is missing.
func (s *stack) seen(ctx context.Context) error {
	value := map[string]float64{}
	var errs []error
	for _, want := range [...]struct{ expr, missing string }{
		{workersAll, "its workers are not there"},
		{requestRate, "its requests are not there"},
		{mysqlUp, "MariaDB is not up"},
		{redisUp, "Redis is not up"},
	} {
		v, known, err := prom.One(ctx, s.promURL, want.expr)
		if err != nil || !known || v == 0 {
			errs = append(errs, errors.New(want.missing), err)
		}
		value[want.expr] = v
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Printf("Prometheus sees the app %s: %.0f workers, %.1f requests/s; MariaDB and Redis are up.\n", app, value[workersAll], value[requestRate])
	return nil
}

// invite prints what runs, which pages to open and what to try.
func (s *stack) invite() {
	fmt.Printf(`
Open
  %[1]s/                    the status page, with what healing does
  %[1]s/metrics             what Prometheus scrapes
  %[2]s/graph?g0.expr=%[3]s&g0.tab=0&g0.range_input=5m
                                            the shop's workers by state, in Prometheus
  %[9]s/                    the alerts, in Alertmanager
It runs
  the shop          %[4]s, %[5]d gunicorn workers, each with a pool of 5 + 10 connections
  its RQ workers    %[6]d, for the orders of the queue default
  its stores        MariaDB at %[7]s, sessions and queue in Redis at %[8]s
Try
  curl '%[4]s/fault/lock?s=20' & curl '%[4]s/fault/lock?s=1'
      One worker keeps a row for 20 s and the next waits for it: the page says of MySQL main "1 waits for a lock",
      or more, for orders of that product wait too, and "oldest transaction" with its age.
  for i in {1..12}; do curl %[4]s/fault/leak-connection; done
      12 connections stay in a transaction: "oldest transaction" grows, the pool fills, after 10 s they count as leaked,
      and then healing ends them.
  curl %[4]s/fault/stuck-job
      The RQ worker is held: orders wait in the queue, the oldest grows older, and then healing restarts the worker.
  curl %[4]s/fault/keep-memory
      One worker keeps 400 MiB: after 10 s garbage is collected, then requests are shed, and after three minutes the
      worker is recycled.
  yes '%[4]s/search?s=0.25' | head -2500 | xargs -P 60 -n 1 curl -so /dev/null -w '%%{http_code}\n' | sort | uniq -c
      More requests than the workers can serve: after 10 s some of them get 503, so that the others wait for 1 s at most.
  curl %[4]s/fault/crash-task
      A background task fails, with growing pauses, and a person is called.
  curl %[4]s/fault/clear
      Connections, memory and jobs are given back, and the task succeeds. docs/demo.md has more faults.
Ctrl-C ends it.

`, s.exporterURL, s.promURL, url.QueryEscape(`resp_app_workers{app="`+app+`"}`), s.shopURL, workers, jobs, s.db.address, s.cache.address, s.alertsURL)
}

// tell prints one line from Prometheus; what it does not know is a dash.
func (s *stack) tell(ctx context.Context) {
	value := func(expr, format string) string {
		v, ok, err := prom.One(ctx, s.promURL, expr)
		if err != nil || !ok {
			return "–"
		}
		return fmt.Sprintf(format, v)
	}
	up := func(expr string) string {
		return map[string]string{"1": "up", "0": "down"}[value(expr, "%.0f")]
	}
	count := func(expr string) string { return value(expr, "%.0f") }
	fmt.Printf("%s  %s requests/s, %s of %s workers busy, queue %s; mysql %s, pool %s of %s, %s leaked; redis %s, %s sessions, %s jobs wait\n",
		time.Now().Format("15:04:05"), value(requestRate, "%.1f"), count(workersBusy), count(workersAll), count(queueLength),
		up(mysqlUp), count(poolUse), count(poolCapacity), count(poolLeaked), up(redisUp), count(sessionCount), count(jobsWaiting))
}
