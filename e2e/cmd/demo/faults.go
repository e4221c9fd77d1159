package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// fault is one injected fault and its expected result: an alert and an action that heals
// it or calls a person, or a chain of waits that names its root.
type fault struct {
	name  string   // in DEMO_FAULTS; also the rule's in the exporter's configuration
	title string   // in the table
	made  string   // what was done, in one line
	pages []string // of the shop that make it, asked for one after the other
	holds bool     // the page answers only when the fault is over
	alert string   // that should fire; "": none, see on
	on    string   // what workers wait for in the chain of waits; nothing heals it
	// ends is the action that ends the fault, after others; "": the first that is verified.
	// With escalate a person is called, and the demo then does what a person would.
	ends   string
	crowd  bool          // a crowd comes, and leaves when that is shown
	within time.Duration // until its end; 0: [longest]
}

// escalate is the action that calls a person.
const escalate = "escalate"

// faults is the story, in its order.
var faults = [...]fault{
	{
		name: "connections", title: "leaked connections", alert: "RespPoolLeak",
		made:  "six requests each took a connection, changed a row and never ended the transaction",
		pages: slices.Repeat([]string{"/fault/leak-connection"}, 6),
	},
	{
		name: "memory", title: "a worker that leaks", alert: "RespWorkerMemoryLeak",
		made:  "one worker keeps 2 MiB more each second",
		pages: []string{"/fault/leak-memory"},
	},
	{
		name: "query", title: "a runaway query", alert: "RespQueryTooLong",
		made:  "a request runs a statement that takes a minute",
		pages: []string{"/fault/slow-query?s=60"}, holds: true,
	},
	{
		name: "sessions", title: "sessions without expiry", alert: "RespSessionsWithoutExpiry",
		made:  "1,000 sessions were made that never expire, beside those of today that will",
		pages: []string{"/fault/sessions?n=1000"},
	},
	{
		name: "worker", title: "a stuck RQ worker", alert: "RespTasksStuck",
		made:  "a job that does nothing for ten minutes keeps the RQ worker, and orders wait",
		pages: []string{"/fault/stuck-job?s=600"},
	},
	{
		name: "overload", title: "overload", alert: "RespQueueTimeHigh",
		made: "a crowd asks for three times what the workers can serve", crowd: true,
	},
	{
		name: "emergency", title: "a memory emergency", alert: "RespAppMemoryHigh",
		made:  "one worker takes 400 MiB within five seconds and keeps them",
		pages: []string{"/fault/keep-memory"}, ends: "recycle_worker", within: 6 * time.Minute,
	},
	{
		name: "task", title: "a crashing task", alert: "RespTaskRestartLoop",
		made:  "each run of a background task of the shop fails from now on",
		pages: []string{"/fault/crash-task"}, ends: escalate,
	},
	{
		name: "lock", title: "a lock chain", on: "mysql",
		made:  "one worker has a row locked and sleeps, and two more wait for the row",
		pages: slices.Repeat([]string{"/fault/lock?product=2&s=9"}, 3), holds: true,
	},
	{
		name: "upstream", title: "a silent upstream", on: "upstream",
		made:  "a request calls a payment service that accepts the connection and never answers",
		pages: []string{"/fault/upstream?s=15"}, holds: true,
	},
	{
		name: "gil", title: "a GIL hog", on: "gil",
		made:  "a thread computes in one long call, and the request of its worker waits for the interpreter's lock",
		pages: []string{"/fault/gil?s=15"}, holds: true,
	},
}

// chosen reads DEMO_FAULTS: names with commas between them, in any order; none,
// or nothing for all.
func chosen(text string) ([]fault, error) {
	switch text {
	case "":
		return faults[:], nil
	case "none":
		return nil, nil
	}
	known := make([]string, len(faults))
	for i, f := range faults {
		known[i] = f.name
	}
	want := strings.Split(text, ",")
	for i, name := range want {
		if want[i] = strings.TrimSpace(name); !slices.Contains(known, want[i]) {
			return nil, fmt.Errorf("DEMO_FAULTS: %q is none of %s, nor none", want[i], strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(faults[:]), func(f fault) bool { return !slices.Contains(want, f.name) }), nil
}
