package fleet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// every is the interval of scrapes and of the rules without an interval of their own.
const every = 15 * time.Second

// illness is what is wrong with a host: of 30 hosts one is ill.
type illness int

const (
	healthy illness = iota
	errorsReturned
	slowRequests
	appDown
	poolLeak
	diskFull
	exporterDown
	queueFull
	workersKilled
	databaseDown
	tasksOrphaned
	illnesses
)

// illnessOf returns what a host is ill with: each thirtieth has one illness, in turn, the
// others none.
func illnessOf(host int) illness {
	if host%30 != 7 {
		return healthy
	}
	return 1 + illness(host/30)%(illnesses-1)
}

// nameOf returns the instance label of a host.
func nameOf(host int) string { return fmt.Sprintf("web-%05d:9868", host) }

// noise returns a number from 0 to 1 that depends on the seeds only.
func noise(a, b uint64) float64 { return rand.New(rand.NewPCG(a, b)).Float64() }

// loadOf returns how busy a host is compared with the recording: 0.3 to 3.
func loadOf(host int) float64 { return 0.3 * math.Pow(10, noise(uint64(host), 1)) }

// rateOf returns the increase per second of a host's counter.
func (s *series) rateOf(host int) float64 {
	name, ill := s.name(), illnessOf(host)
	failed := name == "resp_http_requests_total" && strings.HasPrefix(s.labels.Get("code"), "5")
	switch {
	case failed && ill == errorsReturned:
		return 3
	case failed:
		return s.rate * loadOf(host) / 20 // the shop has a page that fails
	case name == "resp_http_slow_requests_total" && ill == slowRequests:
		return 5
	case name == "resp_worker_ends_total" && s.labels.Get("reason") == "oom" && ill == workersKilled:
		return 0.02
	}
	return s.rate * loadOf(host)
}

// at returns the value on a host so long after the counters began.
func (s *series) at(host int, since time.Duration) float64 {
	v := s.value
	switch {
	case s.counter:
		v += s.rateOf(host) * since.Seconds()
	case s.ill(host, &v):
		return v
	case s.varies:
		round := uint64(since / every)
		v *= (0.9 + 0.2*noise(s.seed, uint64(host))) * (0.98 + 0.04*noise(s.seed^uint64(host), round))
	}
	if s.whole {
		return math.Round(v)
	}
	return v
}

// ill sets the value of a gauge that does not come from the recording, and reports whether
// it does: an illness decides it, or the load.
func (s *series) ill(host int, v *float64) bool {
	ill := illnessOf(host)
	is := func(i illness, name, label, value string) bool {
		return ill == i && s.name() == name && (label == "" || s.labels.Get(label) == value)
	}
	switch {
	case is(appDown, "resp_up", "component", "app:shop"), is(databaseDown, "resp_up", "component", "mysql:main"):
		*v = 0
	case is(poolLeak, "resp_pool_connections", "state", "leaked"):
		*v = 6
	case is(poolLeak, "resp_pool_utilization_ratio", "", ""):
		*v = 0.95
	case is(diskFull, "resp_disk_usage_ratio", "", ""):
		*v = 0.97
	case is(queueFull, "resp_listener_queue_length", "", ""):
		*v = 2000
	case is(tasksOrphaned, "resp_task_orphaned", "", ""):
		*v = 3
	case s.name() == "resp_redis_ping_seconds": // the recording is of a busy machine
		*v = 0.001 * loadOf(host)
	case s.name() == "resp_host_cpu_usage_ratio":
		*v = 0.25 * loadOf(host)
	case s.name() == "resp_health_status":
		*v = 0
		if ill != healthy && s.labels.Get("component") == "overall" {
			*v = 2
		}
	default:
		return false
	}
	return true
}
