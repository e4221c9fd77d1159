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

// known reports whether enough looks have been learned to say what is usual.
func (u *usual) known() bool { return u.looks >= ready }

// serves reports whether enough of the learned looks had requests: an idle app does not
// show how long requests take.
func (u *usual) serves() bool { return u.served >= ready }

// observed is the numbers of one look.
type observed struct {
	shares                               map[string]float64
	blocked, queue, oldest, stuck, tasks float64
	rate                                 float64
	latest                               requests
	serves                               bool // it has had a request
}

// observe queues the numbers of a look without harm. They are learned once the next looks
// were without harm too, because harm is often seen later than what does it. A look with
// harm discards the queued ones.
func (u *usual) observe(l *look, harm bool) {
	if harm {
		u.waiting = u.waiting[:0]
		return
	}
	if l.span == 0 || l.all <= 0 || l.fresh {
		return
	}
	o := observed{shares: make(map[string]float64, len(l.spent)), blocked: l.blocked / l.all, rate: l.done / l.all, queue: valueOf(l.queue), oldest: valueOf(l.totals.Oldest), tasks: l.oldestTask(), latest: l.latest, serves: l.recent.total > 0 || l.inHand >= leastInHand*l.all}
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

// learn moves the usual values towards those of a look.
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
	if o.latest.timed > 0 {
		if u.mean == 0 {
			u.mean = o.latest.seconds / o.latest.timed
		}
		u.mean += weight * (o.latest.seconds/o.latest.timed - u.mean)
	}
	if o.latest.total > 0 {
		u.errors += weight * (o.latest.errors/o.latest.total - u.errors)
	}
	u.queue = max(u.queue*fade, o.queue)
	u.oldest = max(u.oldest*fade, o.oldest)
	u.stuck = max(u.stuck*fade, o.stuck)
	u.tasks = max(u.tasks*fade, o.tasks)
}

// expected returns how many seconds of a look the threads would spend on something as
// usual: its usual share for that many ended requests, or for that much CPU time, whichever
// is more; the usual part of their time if the app uses hardly any CPU. At most all of
// their time; 0: what is usual is not known.
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
