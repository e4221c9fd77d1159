package conns

import (
	"context"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

const (
	// connectionsPause is the shortest time between two requested samples.
	connectionsPause = 5 * time.Second
	// connectionsShare is the divisor of the part of one core that sampling may
	// use: a sample of cost t, see [procfs.CPUCost], is followed by a pause of
	// 100 t.
	connectionsShare = 100
	// maxConnections is how many connections one sample keeps.
	maxConnections = 20_000
	// maxOthersConnections is how many connections one sample keeps of the apps
	// of one account other than root's, and maxOthersLinks how many descriptors
	// it reads for it.
	maxOthersConnections = maxConnections / 4
	maxOthersLinks       = 1 << 17
)

// Connection is one established connection of an app to a server.
type Connection struct {
	App       string
	PID       int    // the process that holds it; of several, such as forks that inherited it, 0
	Component string // "mysql:main" for a configured server, else the kind: "mysql", "postgresql", "redis", "memcached", "amqp", "mongodb"
	Local     netip.AddrPort
	Remote    netip.AddrPort // not valid over a UNIX socket
	Proven    bool           // its ends may be compared with what a server reports, see [HeldBy]
	Vouched   bool           // its network namespace is ours, or one that took rights on this host to make
	Inode     uint64         // of its socket
}

// Sample is the connections at one time. It is never changed once it is returned.
type Sample struct {
	Taken   time.Time        // when the sample was begun; zero: there was none yet
	List    []Connection     // at most 20,000
	Errs    map[string]error // by app: why its connections, or some of them, are not known
	Dropped int              // connections over the bound, since the start

	// Local is how many connections over UNIX sockets lead to each configured server,
	// whoever holds them, in the exporter's own network namespace; nil: not known.
	Local map[string]int

	DroppedFDs uint64 // descriptors beyond the bound of one process, which were not read, since the start

	byInode map[uint64]int // place in List
}

// ProcessKey identifies a process: pids are reused, a pid with a start time is
// not.
type ProcessKey struct {
	PID   int
	Start uint64
}

// AppProcesses is the processes of one app, whose connections are sampled.
type AppProcesses struct {
	Name    string
	Owner   procfs.Account
	NetNS   uint64 // inode of its network namespace
	Members []ProcessKey
	Workers map[int]bool // by pid
}

// quota is what one sample may still spend on the apps of one account.
type quota struct{ connections, fds int }

// newQuota returns what one sample may spend on the apps of an account; root's is
// larger.
func newQuota(a procfs.Account) *quota {
	if a == 0 {
		return &quota{connections: maxConnections, fds: math.MaxInt}
	}
	return &quota{connections: maxOthersConnections, fds: maxOthersLinks}
}

// Sampler reads the connections of the apps' processes to servers, in the
// background: the kernel walks all of its sockets for it (1.6 ms and 1 µs a
// socket), and every descriptor of every process is read.
type Sampler struct {
	r    *procfs.FS
	nets *Namespaces
	log  *slog.Logger
	now  func() time.Time
	wake chan struct{} // a sample may be due

	mu               sync.Mutex
	interval         time.Duration
	apps             []AppProcesses
	sampledOf        map[ProcessKey]bool // of the last sample
	services         *serviceIndex
	requested        bool
	next             time.Time     // no sample before this time
	resolvedServices *serviceIndex // services, as they were last resolved
	last             *Sample
	sampled          bool
	inUse            bool // Latest was called

	directMu       sync.Mutex    // guards what follows, of ConnectionsNow
	directOf       *serviceIndex // whose services directServices has
	directServices *serviceIndex
}

// NewSampler returns a Sampler over the directory where /proc is mounted. It
// samples each interval, at least a second, while [Sampler.Run] runs.
func NewSampler(root string, interval time.Duration, log *slog.Logger) *Sampler {
	r := procfs.New(root)
	return &Sampler{
		r: r, nets: NewNamespaces(r), log: logs.Or(log), now: time.Now, wake: make(chan struct{}, 1), interval: max(interval, time.Second),
		services: newServiceIndex(nil), resolvedServices: &serviceIndex{kinds: wellKnown}, last: &Sample{},
	}
}

// Latest returns the last sample; an empty one with a zero time if there was none yet.
// The first call starts the sampling.
func (c *Sampler) Latest() *Sample {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.inUse {
		c.inUse = true
		c.wakeUp()
	}
	return c.last
}

// namingData returns the configured servers as they were last resolved, and the
// last sample.
func (c *Sampler) namingData() (*serviceIndex, *Sample) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resolvedServices, c.last
}

// Request schedules a sample, at the earliest 5 s after the last one, and returns at
// once.
func (c *Sampler) Request() {
	c.mu.Lock()
	c.requested = true
	c.mu.Unlock()
	c.wakeUp()
}

// SetServices sets the configured servers and requests a sample.
func (c *Sampler) SetServices(services []Service) {
	c.mu.Lock()
	c.services, c.resolvedServices, c.requested = newServiceIndex(services), unresolvedIndex(services), true
	c.mu.Unlock()
	c.wakeUp()
}

// SetInterval sets the time between samples, at least a second.
func (c *Sampler) SetInterval(d time.Duration) {
	c.mu.Lock()
	c.interval = max(d, time.Second)
	c.mu.Unlock()
	c.wakeUp()
}

// wakeUp makes Run compute anew when the next sample is due.
func (c *Sampler) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// SetApps sets the apps whose connections are sampled. If one has a process that the last
// sample does not have, a sample is requested.
func (c *Sampler) SetApps(apps []AppProcesses) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.apps) == 0 && len(apps) > 0 {
		c.wakeUp()
	}
	c.apps = apps
	if c.requested {
		return
	}
	for i := range apps {
		for _, m := range apps[i].Members {
			if !c.sampledOf[m] {
				c.requested = true
				c.wakeUp()
				return
			}
		}
	}
}

// Run samples until ctx ends, then closes the namespaces.
func (c *Sampler) Run(ctx context.Context) {
	defer c.nets.Close()
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		due := c.due()
		if due <= 0 {
			c.sample(ctx)
			continue
		}
		t.Reset(due)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-c.wake:
		}
	}
}

// due returns the time until the next sample, 0 for now. It is an hour while nobody has
// called Latest, and while there was no sample and there are no apps.
func (c *Sampler) due() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	wait := c.last.Taken.Add(c.interval).Sub(now)
	if c.requested {
		wait = min(wait, c.last.Taken.Add(connectionsPause).Sub(now))
	}
	if !c.inUse || !c.sampled && len(c.apps) == 0 {
		return time.Hour // wakeUp is called when that changes
	}
	return max(wait, c.next.Sub(now), 0)
}

// sample reads the connections once and stores them as the last sample.
func (c *Sampler) sample(ctx context.Context) {
	c.mu.Lock()
	apps, services := c.apps, c.services
	c.requested = false
	dropped, fds := c.last.Dropped, c.last.DroppedFDs
	c.mu.Unlock()

	began := c.now()
	out := &Sample{Taken: began, Errs: make(map[string]error), Dropped: dropped, DroppedFDs: fds}
	cost := procfs.CPUCost(func() { c.collect(ctx, apps, services, out) })
	ended := c.now()

	known := make(map[ProcessKey]bool)
	for i := range apps {
		for _, m := range apps[i].Members {
			known[m] = true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.sampledOf, c.sampled = out, known, true
	if c.services == services { // the configuration is still the same
		c.resolvedServices = services.snapshot()
	}
	c.next = ended.Add(connectionsShare * cost)
}

// collect adds the connections of the apps to out. A panic is logged and costs this
// sample only.
func (c *Sampler) collect(ctx context.Context, apps []AppProcesses, services *serviceIndex, out *Sample) {
	defer func() {
		if r := recover(); r != nil {
			p := logs.Recovered(r)
			c.log.Error("Sampling connections panicked", "err", p, "stack", p.Stack)
		}
	}()
	services.resolve(ctx, c.now())
	defer out.index()
	byNet := make(map[uint64]*netnsSockets)
	spent := make(map[procfs.Account]*quota)
	for i := range apps {
		h := &apps[i]
		if byNet[h.NetNS] == nil {
			byNet[h.NetNS] = c.socketsOf(ctx, h, services)
		}
		if spent[h.Owner] == nil {
			spent[h.Owner] = newQuota(h.Owner)
		}
		c.join(h, byNet[h.NetNS], spent[h.Owner], out)
	}
	out.Local = byNet[c.nets.own].local()
	c.nets.Sweep()
}

// index records where each connection is in the list, by the inode of its socket.
func (c *Sample) index() {
	c.byInode = make(map[uint64]int, len(c.List))
	for i := range c.List {
		c.byInode[c.List[i].Inode] = i
	}
}
