// Command scalerules writes the shipped alert rules with every time in them
// divided, for a demo or a test that cannot wait for them:
//
//	go run ./cmd/scalerules -by 30 -least 5s -from ../rules -to /tmp/rules
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
)

func main() {
	by := flag.Float64("by", 30, "what every for, keep_firing_for, range and offset is divided by")
	least := flag.Duration("least", 5*time.Second, "the shortest range; at least twice the scrape interval")
	from := flag.String("from", "../rules", "directory with *.rules.yml")
	to := flag.String("to", "", "directory to write to")
	flag.Parse()
	if *to == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := (rules.Scaling{By: *by, Least: *least}).ScaleDir(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
