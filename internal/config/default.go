package config

import "time"

// Default returns the configuration without a file and without variables. It is the only place
// where a default is written; each call returns a value of its own.
func Default() Config {
	return Config{
		MonitoringInterval: 30 * time.Second,
		Thresholds: Thresholds{
			Memory:         Limit{Warning: 0.80, Critical: 0.90},
			CPU:            Limit{Warning: 0.80, Critical: 0.90},
			Disk:           Limit{Warning: 0.85, Critical: 0.95},
			ConnectionPool: Limit{Warning: 0.80, Critical: 0.90},
			RequestQueue:   Limit{Warning: 50, Critical: 100},
			ResponseTime:   Limit{Warning: 5, Critical: 10},
			ErrorRate:      Limit{Warning: 0.05, Critical: 0.10},
			QueryTime:      Limit{Warning: 2, Critical: 5},
			CacheHitRate:   Limit{Warning: 0.80, Critical: 0.50},
			TaskAge:        Limit{Warning: 300, Critical: 900},
		},
		SlowRequest: 5 * time.Second,
		StatsD: StatsD{
			Listen:    []string{"udp://127.0.0.1:9125"},
			MaxRoutes: 200,
		},
		Diagnosis: Diagnosis{SampleRate: 10, Stacks: true, HeapCensus: CensusOnSuspicion, History: History{Minutes: 60, MaxBytes: 16 << 20}},
		Healing:   defaultHealing(),
	}
}
