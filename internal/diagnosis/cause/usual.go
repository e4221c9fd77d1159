package cause

const (
	// ready is in how many looks without harm an app must have been seen until what is
	// usual for it counts.
	ready = 4
	// memory is the weight of one look in what is usual, once it is ready.
	memory = 0.02
	// fade is by how much the largest number of the past falls from look to look: to half
	// in six minutes.
	fade = 0.99
	// lag is how many looks without harm must follow one until it counts.
	lag = 2
	// leastInHand is the part of the thread time with a request from which an app is not idle.
	leastInHand = 0.01
	// idleWork is the part of the thread time that is computed, below which nothing is
	// scaled by it.
	idleWork = 0.002
)

// usual is what an app does when nothing is wrong.
type usual struct {
	waiting []observed // looks that do not count yet
	looks   int
	served  int                // looks with requests
	shares  map[string]float64 // of the thread time, by Thread.On

	queue, oldest, stuck, tasks float64 // the largest that was seen lately without harm
	mean, errors                float64 // of requests: seconds, ratio
	rate                        float64 // requests that end in a second of thread time
	blocked                     float64 // part of the time that event loops are blocked
}

// known reports whether enough has been seen.
func (u *usual) known() bool { return u.looks >= ready }

// serves reports whether enough has been seen while there were requests: an idle app says
// nothing of how long they take.
func (u *usual) serves() bool { return u.served >= ready }

// observed is the numbers of one look.
type observed struct {
	shares                               map[string]float64
	blocked, queue, oldest, stuck, tasks float64
	rate                                 float64
	recent                               requests
	serves                               bool // it has had a request
}

// observe adds the numbers of a look, unless there is harm. They count once the looks
// after it are without harm, too: harm is often seen later than what does it.
func (u *usual) observe(l *look, harm bool) {
	if harm {
		u.waiting = u.waiting[:0]
		return
	}
	if l.span == 0 || l.all <= 0 || l.fresh {
		return
	}
	o := observed{shares: make(map[string]float64, len(l.spent)), blocked: l.blocked / l.all, rate: l.done / l.all, queue: valueOf(l.queue), oldest: valueOf(l.totals.Oldest), tasks: l.oldestTask(), recent: l.recent, serves: l.recent.total > 0 || l.inHand >= leastInHand*l.all}
	for on, v := range l.spent {
		o.shares[on] = v / l.all
	}
	if c := l.workers.Counts; c != nil {
		o.stuck = c.Stuck
	}
	if u.waiting = append(u.waiting, o); len(u.waiting) > lag {
		first := u.waiting[0]
		copy(u.waiting, u.waiting[1:])
		u.waiting = u.waiting[:lag]
		u.learn(&first)
	}
}

// learn adds the numbers of a look to what is usual.
func (u *usual) learn(o *observed) {
	u.looks++
	if o.serves {
		u.served++
	}
	weight := max(memory, 1/float64(u.looks))
	if u.shares == nil {
		u.shares = make(map[string]float64, len(o.shares))
	}
	for on := range o.shares {
		if _, seen := u.shares[on]; !seen {
			u.shares[on] = 0
		}
	}
	for on, was := range u.shares {
		u.shares[on] = was + weight*(o.shares[on]-was)
	}
	u.blocked += weight * (o.blocked - u.blocked)
	u.rate += weight * (o.rate - u.rate)
	if o.recent.timed > 0 {
		if u.mean == 0 {
			u.mean = o.recent.seconds / o.recent.timed
		}
		u.mean += weight * (o.recent.seconds/o.recent.timed - u.mean)
	}
	if o.recent.total > 0 {
		u.errors += weight * (o.recent.errors/o.recent.total - u.errors)
	}
	u.queue = max(u.queue*fade, o.queue)
	u.oldest = max(u.oldest*fade, o.oldest)
	u.stuck = max(u.stuck*fade, o.stuck)
	u.tasks = max(u.tasks*fade, o.tasks)
}

// expected returns how many seconds of a look the threads of a healthy app would spend
// on something: its usual share, in proportion to the requests that ended, or to what they
// compute, which stands for the requests where these are not reported; the larger of the
// two, because a busy app computes less for each request than one that has just started.
func (u *usual) expected(l *look, on string) float64 {
	if !u.known() {
		return 0
	}
	share := u.shares[on]
	work := u.shares["cpu"] + u.shares["gc"]
	if work < idleWork || l.all <= 0 {
		return share * l.all
	}
	out := share / work * (l.spent["cpu"] + l.spent["gc"])
	if u.rate > 0 {
		out = max(out, share/u.rate*l.done)
	}
	return min(out, l.all)
}
