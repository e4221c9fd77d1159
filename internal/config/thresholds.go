package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

// Each calls f for every threshold, always in the order of the type's fields.
// resource is the key in the file and the label value of resp_threshold.
func (t Thresholds) Each(f func(resource string, l Limit)) {
	for _, b := range t.bounds() {
		f(b.resource, *b.limit)
	}
}

// bound is a threshold with what its numbers may be.
type bound struct {
	resource string
	limit    *Limit
	want     string  // what is expected of either number
	most     float64 // the largest number allowed
	falls    bool    // it warns when the value falls below, so warning is the larger number

	component string // of an app; "": it is a threshold of servers only
}

// bounds returns the thresholds, as the tags of their fields describe them; the
// limits point into t.
func (t *Thresholds) bounds() []bound {
	v := reflect.ValueOf(t).Elem()
	fields := schema.FieldsOf(v.Type())
	out := make([]bound, len(fields))
	for i, f := range fields {
		tag := v.Type().Field(f.Index).Tag
		most, err := strconv.ParseFloat(tag.Get("max"), 64)
		if err != nil {
			most = math.MaxFloat64
		}
		limit, _ := reflect.TypeAssert[*Limit](v.Field(f.Index).Addr())
		out[i] = bound{resource: f.Key, limit: limit, want: f.Want, most: most, falls: tag.Get("falls") == "true", component: tag.Get("component")}
	}
	return out
}

// allows reports whether v may be one of the two numbers: from 0 to b.most. NaN and the
// infinities may not: no value is ever above or below them.
func (b bound) allows(v float64) bool { return v >= 0 && v <= b.most }

// disorder returns how the warning and the critical limit contradict each other; got is
// empty if they do not.
func (b bound) disorder() (got, want string) {
	w, c := b.limit.Warning, b.limit.Critical
	switch {
	case b.falls && w < c:
		return fmt.Sprintf("warning %v is below critical %v", w, c), "warning at or above critical, because this threshold warns about low values"
	case !b.falls && w > c:
		return fmt.Sprintf("warning %v is above critical %v", w, c), "warning at or below critical"
	default:
		return "", ""
	}
}

// path returns the threshold's key in the file: "thresholds.memory".
func (b bound) path() string { return "thresholds." + b.resource }

// half is one of the two numbers of a threshold.
type half struct {
	path  string // "thresholds.cpu.warning"
	key   string // "warning"
	value *float64
}

// halves returns both numbers of the threshold with their paths.
func (b bound) halves() []half {
	return []half{
		{b.path() + ".warning", "warning", &b.limit.Warning},
		{b.path() + ".critical", "critical", &b.limit.Critical},
	}
}
