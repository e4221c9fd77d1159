package throttle

import (
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

// ramp returns the percentages through which a throttle rises and falls, in order.
func ramp() []int { return []int{10, 30, 60} }

// shares are percentages that are asked one after the other, at least one.
type shares []int

// sharesOf returns the percentages that a step goes through: with a ramp, those of [ramp]
// that are below its own, which is the last one. With a target there is one, which is 0.
func (r *Action) sharesOf() shares { return sharesOf(r.c) }

// sharesOf returns the percentages of the settings of a step, rising: with a ramp those of
// ramp that are below percent, and percent; without one only percent.
func sharesOf(c config.Throttle) (out shares) {
	for _, p := range ramp() {
		if c.Ramp > 0 && p < c.Percent {
			out = append(out, p)
		}
	}
	return append(out, c.Percent)
}

// first returns the first percentage as a ratio from 0 to 1.
func (s shares) first() float64 { return float64(s[0]) / 100 }

// String returns the percentages as text: "10 %, then 30 %".
func (s shares) String() string {
	words := make([]string, len(s))
	for i, p := range s {
		words[i] = strconv.Itoa(p) + " %"
	}
	return strings.Join(words, ", then ")
}
