package leak

// The limits of the detector. They were chosen on generated traces, with the scores of
// labelled ones beside them; docs/leaks.md says how, and what each is for.
const (
	evaluateEvery = 50   // seconds between two evaluations, of which each looks at one window
	firstAge      = 4500 // seconds of life before the first: what starts up is left to end
	mustStand     = 1000 // seconds that evaluations must have found a leak, less those that did not
	keepSeconds   = 3600 // over which an alarm must go on to grow
	keepShare     = .2   // of its slope

	leastShare  = .45 // of the growth of a window must last, by all plausible models
	erodedShare = .6  // the same where the floor was eroded
	erodedFrom  = 5000
	leastErrors = 6   // standard errors that the lasting growth is from none
	leastGrowth = .03 // of a window, as a share of the memory
	leastBytes  = 1e6
	leastOrder  = .6  // Kendall's tau of the floor
	overFall    = 1.5 // growth must be so many times the largest fall
	leastSpread = .2  // of the rises without the largest; 1: all the same, 1/18: all is in one
	leastRest   = .35 // of the growth must be left without the largest rise
	leastLive   = .45 // of the lasting growth must be seen in the last quarter
	residentToo = .3  // of the growth must be resident: pages copied after a fork are not
	sinceLowest = .4  // of the growth, at least, since resident memory was at its lowest, to judge that alone

	plausible      = 3    // as much above the best AICc is a plausible model
	plausibleShort = 6    // the same of windows whose shape is less sure
	shortWindow    = 5400 // seconds
	exactness      = .01  // of the growth of a window: no model is better than that
	trafficVaries  = .15  // of its mean, at least; else it explains nothing
	trendVaries    = .05  // the same of its trend,
	trendErrors    = 2    // and so many standard errors
	flowLeaves     = .12  // of the growth, root mean square: traffic that leaves less may be all there is

	lifeGrowth = .01 // of a life's second half, as a share of its memory
	lifeBytes  = 3e5
	lifeLate   = .5 // late growth is at least this share of the early one
)

// windows returns the windows that are evaluated: in seconds, or negative as a share of
// the life. The whole life is first.
func windows() [6]float64 { return [6]float64{-1, -.7, 21600, 10800, 5400, 3600} }
