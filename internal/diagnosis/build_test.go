package diagnosis_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// at is a stack in a view, at a line of the app's own code.
func at(view, file string, line int, age float64) *model.Stack {
	s := &model.Stack{View: view, Own: model.Frame{Function: view, File: "/srv/app/" + file, Line: line}}
	s.Inner = model.Frame{Function: "_recv_into", File: "/usr/lib/python3/dist-packages/pymysql/connections.py", Line: 700}
	if age > 0 {
		s.Started = noon.Add(-time.Duration(age * float64(time.Second)))
	}
	return s
}

// locked is a stack that waits for a lock in the app's own line.
func locked(view, file string, line int) *model.Stack {
	s := at(view, file, line, 0)
	s.Inner = s.Own
	return s
}

// notified is a stack that waits in the standard library's queue or condition.
func notified(view, file string, line int) *model.Stack {
	s := at(view, file, line, 0)
	s.Inner = model.Frame{Function: "Condition.wait", File: "/usr/lib/python3.11/threading.py", Line: 320}
	return s
}

// th is a thread in a wait.
func th(on, peer string, seconds float64, k *model.Stack) model.Thread {
	return model.Thread{TID: 1, On: on, Peer: peer, Seconds: seconds, Stack: k}
}

// on makes the thread wait on a socket.
func on(t model.Thread, socket uint64) model.Thread { t.Socket = socket; return t }

// futex makes the thread wait for a lock at an address.
func futex(t model.Thread, address uint64) model.Thread { t.Futex = address; return t }

func holdsGIL(t model.Thread) model.Thread { t.GIL = true; return t }

func helper(t model.Thread) model.Thread { t.Helper = true; return t }

func idle() model.Thread { return model.Thread{TID: 1, On: "idle", Seconds: 3} }

// app is workers of an app, in the slots 0, 1, …; their pids are base, base+1 and so on.
func app(name string, base int, workers ...[]model.Thread) model.AppWorkers {
	a := model.AppWorkers{App: name}
	for i, threads := range workers {
		w := model.Worker{Slot: fmt.Sprint(i), PID: base + i}
		for j, t := range threads {
			t.TID = base + i + 1000*j
			w.Threads = append(w.Threads, t)
		}
		a.Workers = append(a.Workers, w)
	}
	return a
}

func one(t model.Thread) []model.Thread { return []model.Thread{t} }

// conn is a connection of a process to a server; pid 0: of user ann from 10.0.0.7.
func conn(server string, id uint64, pid int, socket uint64, command string, seconds float64) model.StoreConnection {
	c := model.StoreConnection{Server: server, Socket: socket, Command: command, Seconds: seconds}
	c.ID, c.PID, c.User, c.Host = id, pid, "shop", "127.0.0.1:40000"
	if pid == 0 {
		c.User, c.Host = "ann", "10.0.0.7"
	}
	return c
}

// served has the connection be known by the server's end, and by no id.
func served(c model.StoreConnection, inode uint64) model.StoreConnection {
	c.Served = inode
	return c
}

// trx has the connection be in a transaction.
func trx(c model.StoreConnection, seconds float64) model.StoreConnection {
	c.Transaction = new(seconds)
	return c
}

func wait(server string, waiter, blocker uint64, kind, object string, seconds float64) model.StoreWait {
	return model.StoreWait{Server: server, Waiter: waiter, Blocker: blocker, Kind: kind, Object: object, Seconds: seconds}
}

func row(waiter, blocker uint64, seconds float64) model.StoreWait {
	return wait("mysql:main", waiter, blocker, "row", "shop.orders", seconds)
}

// brief writes chains in one line each: what the victims wait for and for how long;
// the victims; the links, each with its connection, line, wait, and transaction.
func brief(list []model.Chain) string {
	var out []string
	for i := range list {
		c := &list[i]
		line := fmt.Sprintf("%s(%d) %s %s %s %s %g:", c.App, c.Workers, c.On, c.Peer, c.Kind, c.Object, c.Seconds)
		for j := range c.Victims {
			line += " " + party(&c.Victims[j])
		}
		line += " =>"
		for j := range c.Links {
			line += " " + party(&c.Links[j]) + state(&c.Links[j])
		}
		if c.Deadlock {
			line += " deadlock"
		}
		if c.Left > 0 {
			line += fmt.Sprintf(" left=%d", c.Left)
		}
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(out, "\n")
}

func party(l *model.Link) string {
	var s string
	if l.App != "" {
		s = l.App + "/" + l.Slot
	}
	if l.Server != "" {
		s += "@" + l.Server
	}
	if l.Connection != 0 {
		s += fmt.Sprintf("#%d", l.Connection)
	}
	if l.User != "" {
		s += fmt.Sprintf("(%s %s)", l.User, l.Host)
	}
	if l.App+l.Server == "" {
		s = l.Peer
	}
	return s
}

func state(l *model.Link) string {
	var s []string
	if p := diagnosis.Place(l.Stack); p != "" {
		s = append(s, l.Stack.View, p)
	}
	if l.On != "" {
		s = append(s, l.On)
	}
	if l.Peer != "" && l.App+l.Server != "" {
		s = append(s, l.Peer)
	}
	if l.Seconds > 0 {
		s = append(s, fmt.Sprintf("%gs", l.Seconds))
	}
	if l.Transaction != nil {
		s = append(s, fmt.Sprintf("trx=%g", *l.Transaction))
	}
	if l.Candidates > 0 {
		s = append(s, fmt.Sprintf("of=%d", l.Candidates))
	}
	if l.Held > 0 {
		s = append(s, fmt.Sprintf("held=%g", l.Held))
	}
	if l.Probable {
		s = append(s, "probable")
	}
	return "[" + strings.Join(s, " ") + "]"
}
