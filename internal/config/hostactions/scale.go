// Package hostactions has the settings of the healing actions scale_workers and
// clean_disk, with the checks of their values.
package hostactions

import "time"

// Need reports a wrong value of a key unless ok; got is the value, want an addition to what
// the tags say is expected. Without got the value is missing.
type Need func(ok bool, key string, got any, want string)

// required calls need with a fault if v is missing, or not from least to most. missing is
// the value that stands for one that was not given.
func required[T int | float64 | time.Duration](need Need, key string, v, missing, least, most T) {
	if v == missing {
		need(false, key, nil, " (required)")
		return
	}
	need(v >= least && v <= most, key, v, "")
}

// Scale are the settings of scale_workers. App may be empty where the alert's label names
// it.
type Scale struct {
	App string `yaml:"app,omitempty" want:"the name of an app"`
	// Beyond which no worker is added; required; 2 to 1000.
	MaxWorkers int `yaml:"max_workers" want:"a whole number from 2 to 1000"`
	// Of the memory of the host, and of the control group, that must stay free.
	MinFree float64 `yaml:"min_free" want:"a number from 0.05 to 0.9"`
	// Argv that imports the app as its master does; none: gunicorn --check-config is run.
	ImportCheck []string `yaml:"import_check,omitempty" want:"a list: the absolute path of a program and its arguments" item:"an argument"`
	// How long a worker stays after the alert has ended.
	Hold time.Duration `yaml:"hold" want:"a duration from 10s to 24h"`
}

// NewScale returns the settings with their defaults; MaxWorkers has none.
func NewScale() *Scale { return &Scale{MinFree: 0.1, Hold: 15 * time.Minute} }

// Check calls need for each setting except the app and the import check.
func (s *Scale) Check(need Need) {
	required(need, "max_workers", s.MaxWorkers, 0, 2, 1000)
	need(s.MinFree >= 0.05 && s.MinFree <= 0.9, "min_free", s.MinFree, "")
	need(s.Hold >= 10*time.Second && s.Hold <= 24*time.Hour, "hold", s.Hold, "")
}
