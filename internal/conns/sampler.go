package conns

import (
	"context"
	"log/slog"
	"math"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

const (
	// connectionsPause is the shortest time between two samples that were asked for.
	connectionsPause = 5 * time.Second
	// connectionsShare is the part of one core that sampling may use: after a
	// sample that cost t, see [costOf], there is none for 100 t.
	connectionsShare = 100
	// maxConnections bounds what one sample keeps.
	maxConnections = 20_000
	// maxOthersConnections bounds what one sample keeps of the apps of one account
	// other than root's, and maxOthersLinks the descriptors that it looks up for it.
	maxOthersConnections = maxConnections / 4
	maxOthersLinks       = 1 << 17
)

// Connection is one established connection of an app to a store.
type Connection struct {
	App       string
	PID       int    // the process that holds it; of several, such as forks that inherited it, 0
	Component string // "mysql:main" for a configured server, else the kind: "mysql", "postgresql", "redis", "memcached", "amqp", "mongodb"
	Local     netip.AddrPort
	Remote    netip.AddrPort // not valid over a UNIX socket
	Proven    bool           // its ends may be compared with what a server reports, see [HeldBy]
	Vouched   bool           // its network namespace is ours, or one that took rights on this host to make

	inode uint64 // of the socket
}

// Sample is what one sample found. It is never changed once it is given out.
type Sample struct {
	Taken   time.Time        // when the sample was begun; zero: there was none yet
	List    []Connection     // at most 20,000
	Errs    map[string]error // by app: why its connections, or some of them, are not known
	Dropped int              // connections over the bound, since the start

	DroppedFDs uint64 // descriptors over the bound of one process, which were not looked at, since the start

	byInode map[uint64]int // place in List
}

// ProcessKey is one process at one time.
type ProcessKey struct {
	PID   int
	Start uint64
}

// AppProcesses is one app as the sampler has to know it.
type AppProcesses struct {
	Name    string
	Owner   procfs.Account
	NetNS   uint64 // inode of its network namespace
	Members []ProcessKey
	Workers map[int]bool // by pid
}

// share is what is left for one account of one sample.
type share struct{ connections, links int }

func newShare(a procfs.Account) *share {
	if a == 0 {
		return &share{connections: maxConnections, links: math.MaxInt}
	}
	return &share{connections: maxOthersConnections, links: maxOthersLinks}
}

// Sampler looks for connections of the apps' processes to stores, in
// the background: the kernel walks all of its sockets for it (1.6 ms and 1 µs a
// socket), and every descriptor of every process is read.
type Sampler struct {
	r    *procfs.FS
	nets *Namespaces
	log  *slog.Logger
	now  func() time.Time
	bell chan struct{} // something may be due

	mu        sync.Mutex
	interval  time.Duration
	houses    []AppProcesses
	sampledOf map[ProcessKey]bool // of the last sample
	places    *directory
	asked     bool
	next      time.Time  // no sample before
	named     *directory // places, as they were last resolved
	last      *Sample
	sampled   bool
	wanted    bool // somebody has asked for the result

	heldMu     sync.Mutex // guards what follows, of heldNow
	heldOf     *directory // whose services heldPlaces has
	heldPlaces *directory
}

func NewSampler(root string, interval time.Duration, log *slog.Logger) *Sampler {
	r := procfs.New(root)
	return &Sampler{
		r: r, nets: NewNamespaces(r), log: log, now: time.Now, bell: make(chan struct{}, 1), interval: max(interval, time.Second),
		places: newDirectory(nil), named: &directory{kinds: wellKnown}, last: &Sample{},
	}
}

// Latest returns the connections of the apps to stores, as last sampled. Before
// it is first called there are no samples.
func (c *Sampler) Latest() *Sample {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.wanted {
		c.wanted = true
		c.ring()
	}
	return c.last
}

// known returns the servers of the configuration as they were last resolved, and
// the last sample.
func (c *Sampler) known() (*directory, *Sample) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.named, c.last
}

// Request asks for another sample soon, at the earliest 5 s after the last
// one. It does not wait.
func (c *Sampler) Request() {
	c.mu.Lock()
	c.asked = true
	c.mu.Unlock()
	c.ring()
}

// SetServices sets which servers the configuration names.
func (c *Sampler) SetServices(services []Service) {
	c.mu.Lock()
	c.places, c.named, c.asked = newDirectory(services), literal(services), true
	c.mu.Unlock()
	c.ring()
}

func (c *Sampler) SetInterval(d time.Duration) {
	c.mu.Lock()
	c.interval = max(d, time.Second)
	c.mu.Unlock()
	c.ring()
}

func (c *Sampler) ring() {
	select {
	case c.bell <- struct{}{}:
	default:
	}
}

// SetApps tells the sampler which apps there are. A process that it has not seen
// asks for a sample.
func (c *Sampler) SetApps(houses []AppProcesses) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.houses) == 0 && len(houses) > 0 {
		c.ring()
	}
	c.houses = houses
	if c.asked {
		return
	}
	for i := range houses {
		for _, m := range houses[i].Members {
			if !c.sampledOf[m] {
				c.asked = true
				c.ring()
				return
			}
		}
	}
}

// Run samples until ctx ends, then frees what it holds.
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
		case <-c.bell:
		}
	}
}

// due tells in how long the next sample is, 0 for now.
func (c *Sampler) due() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	wait := c.last.Taken.Add(c.interval).Sub(now)
	if c.asked {
		wait = min(wait, c.last.Taken.Add(connectionsPause).Sub(now))
	}
	if !c.wanted || !c.sampled && len(c.houses) == 0 {
		return time.Hour // somebody will ring
	}
	return max(wait, c.next.Sub(now), 0)
}

// sample does one sample.
func (c *Sampler) sample(ctx context.Context) {
	c.mu.Lock()
	houses, places := c.houses, c.places
	c.asked = false
	dropped, fds := c.last.Dropped, c.last.DroppedFDs
	c.mu.Unlock()

	began := c.now()
	out := &Sample{Taken: began, Errs: make(map[string]error), Dropped: dropped, DroppedFDs: fds}
	cost := procfs.CPUCost(func() { c.look(ctx, houses, places, out) })
	ended := c.now()

	known := make(map[ProcessKey]bool)
	for i := range houses {
		for _, m := range houses[i].Members {
			known[m] = true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.sampledOf, c.sampled = out, known, true
	if c.places == places { // the configuration is still the same
		c.named = places.resolvedNow()
	}
	c.next = ended.Add(connectionsShare * cost)
}

// look fills in one sample. A panic costs the sample and nothing else.
func (c *Sampler) look(ctx context.Context, houses []AppProcesses, places *directory, out *Sample) {
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("Looking for connections panicked", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	places.resolve(ctx, c.now())
	defer out.index()
	byNet := make(map[uint64]*foundSockets)
	spent := make(map[procfs.Account]*share)
	for i := range houses {
		h := &houses[i]
		if byNet[h.NetNS] == nil {
			byNet[h.NetNS] = c.socketsOf(ctx, h, places)
		}
		if spent[h.Owner] == nil {
			spent[h.Owner] = newShare(h.Owner)
		}
		c.join(h, byNet[h.NetNS], spent[h.Owner], out)
	}
	c.nets.Sweep()
}

// index makes the connections findable by their sockets.
func (c *Sample) index() {
	c.byInode = make(map[uint64]int, len(c.List))
	for i := range c.List {
		c.byInode[c.List[i].inode] = i
	}
}
