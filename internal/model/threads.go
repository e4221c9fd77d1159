package model

import "time"

// Thread is one request thread of a worker, a helper of it, or one request that waits in
// its event loop, as the sampler last saw it.
type Thread struct {
	TID     int
	Task    bool    // it is a request that waits in the event loop of the thread TID
	Main    bool    // its id is the process's
	On      string  // the values of Wait.On, and "idle", "loop", "gil", "gc", "cpu_queue", "throttled", "unknown"
	Peer    string  // as Wait.Peer
	Kind    string  // of an upstream by its port, such as "postgresql" or "dns"; "": not known
	Seconds float64 // for how long it has waited for that, at least
	Socket  uint64  // inode of the connection that it waits on; 0: none, or more than one
	Futex   uint64  // address of the lock that it waits for; 0: none
	GIL     bool    // it holds the interpreter's lock, for most of the time while others wait for it
	Helper  bool    // it takes no requests; it is here because it holds the interpreter's lock

	Seen time.Time // when the request of a task was first seen; zero: it is no task

	Stack *Stack // nil: none was believed
}

// WorkerThreads is what the request threads of one worker do.
type WorkerThreads struct {
	App, Slot string
	PID       int
	Threads   []Thread
}

// Stack is where a Python thread is. Files are paths as the interpreter has them.
type Stack struct {
	View  string // of the request; "": not known
	Own   Frame  // the innermost frame of the app's own code; File is "" without one
	Inner Frame  // the innermost frame

	Method, Route string    // of the request; "": not known
	Path          string    // of the request, published only with diagnosis.show_paths
	Started       time.Time // of the request; zero: not known
	Pool          bool      // it is in a pool of connections, to get one
}

// Frame is one line of Python.
type Frame struct {
	Function string // qualified name where the interpreter has it
	File     string
	Line     int // from 1
}

// StoreConnection is one connection of a client to a store, as the store and the
// kernel together show it.
type StoreConnection struct {
	Connection

	Server  string // "mysql:main", "redis:cache"
	Socket  uint64 // inode of the client's end; 0: not known, or not on this host
	Served  uint64 // inode of the server's end, where ID is 0; 0: not known
	Command string // "Query", "Sleep"; of Redis the command, such as "blpop"
	State   string // as the store has it, cleaned and bounded
	Digest  string // the statement without its values, cleaned and bounded; "": none, or not known
	Seconds float64
	// Transaction is how long its transaction has been open; nil: it has none, or
	// that is not known.
	Transaction *float64
}

// StoreWait is one connection that waits for another one inside a store.
type StoreWait struct {
	Server  string // "mysql:main", "redis:cache"
	Waiter  uint64 // id of a connection; 0: all that wait for the server, of the kinds "script", "slow_command" and "full"
	Blocker uint64 // id of a connection; 0: the store does not report it, or there is none
	// Served is the inode of the server's end of the connection that blocks, where its id
	// is not known; 0: Blocker has it.
	Served uint64
	// Likely is whether the store does not say that the blocker blocks, but it is
	// the only connection that can.
	Likely  bool
	Over    bool   // it had ended when it was found, as of a slow command of Redis
	Kind    string // "row", "metadata", "table", "global", "script", "slow_command", "full", "blocked" (in a command such as BLPOP)
	Object  string // "shop.orders"; "": not known
	Seconds float64
}

// Chain is who waits for whom, from the workers that wait to what they wait for
// in the end.
type Chain struct {
	App      string // of the victims; of several the one with most of them
	On       string // what the victims wait for: Thread.On
	Peer     string
	Kind     string // as StoreWait.Kind, "down", "gil", "lock", "upstream"; "": not known
	Object   string
	Workers  int     // how many workers App has; 0: not known
	Victims  []Link  // the longest wait first
	Seconds  float64 // the longest wait of them
	Links    []Link  // from what the victims wait for to the root, which is the last; at most 16
	Left     int     // links before the root that are left out
	Deadlock bool    // the links form a circle; none of them is the root
}

// Link is one party of a chain: a thread of a worker, a connection, or both
// where they are joined; or a server or address.
type Link struct {
	App, Slot string // "": no worker of a watched app
	PID, TID  int

	Server     string // "mysql:main"; "" without a connection
	Connection uint64
	User, Host string // of a connection that is no worker's
	Command    string // "Query", "Sleep"
	Digest     string

	On, Peer    string   // what it waits for itself; "": nothing that is known. Of a link that is an address, Peer is it
	Object      string   // of that wait inside a store, such as "shop.orders"
	Seconds     float64  // in that wait
	Transaction *float64 // how long its transaction has been open
	Stack       *Stack

	Probable bool // it is likely to be the one, and not proven
	// Candidates is how many threads of the process, or workers of the app, it may
	// be; 0: it is this one.
	Candidates int
	// Held is how many connections of a full server it has.
	Held float64
}
