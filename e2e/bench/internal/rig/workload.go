package rig

import (
	"flag"
	"time"
)

// Workload is what the benchmarks of a loaded app have in common.
type Workload struct {
	Exporter, Class, Page string
	Seed                  uint64
}

// Flags adds the flags, which are set when the command line is parsed. page is the default,
// pages describes which there are, and draws says what the seed is for; the default seed is
// a random one.
func (w *Workload) Flags(page, pages, draws string) {
	flag.StringVar(&w.Exporter, "exporter", "build/resp-exporter", "resp-exporter")
	flag.StringVar(&w.Class, "class", "sync", "worker class of gunicorn: sync, gthread")
	flag.StringVar(&w.Page, "page", page, pages)
	flag.Uint64Var(&w.Seed, "seed", uint64(time.Now().UnixNano()%1e6), draws)
}
