package collectors_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/mysql/locks"
	"github.com/resp-exporter/resp-exporter/internal/mysql/statement"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// stores returns the state of one read.
func (r *poolFixture) stores(t *testing.T) model.State {
	t.Helper()
	s, err := r.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.State
}

// waiting is a thread that waits for a lock.
func waiting(id uint64, kind, text string, seconds int) mysql.Thread {
	t := thread(id, "shop", "10.0.0.1:"+strconv.Itoa(int(id)), "Query", time.Duration(seconds)*time.Second)
	t.State, t.Summary = "Waiting for "+kind+" lock", statement.Of([]byte(text), "shop")
	return t
}

// Connections of apps are joined with the kernel's sockets, those of others are there
// only where they wait or block; and nothing is read for it while nobody waits.
func TestPoolStoreConnections(t *testing.T) {
	f := busyMySQL()
	f.threads = []mysql.Thread{
		thread(7, "root", "10.0.0.9:700", "Sleep", time.Minute), thread(8, "shop", "10.0.0.1:800", "Query", 2*time.Second), thread(9, "shop", "10.0.0.1:900", "Query", time.Second),
		thread(20, "batch", "10.0.0.9:2000", "Sleep", time.Second), thread(21, "shop", "10.0.0.1:2100", "Sleep", time.Second),
	}
	f.threads[1].Summary = statement.Of([]byte("UPDATE orders SET secret='hunter2'"), "shop")
	f.threads[1].State = "Updating\x1b[2J"
	f.statements = map[uint64]string{9: "UPDATE `shop` . `orders` SET `a` = ?"}
	f.waits = []mysql.LockWait{{Waiting: "80", Blocking: "70", Table: "shop.orders"}, {Waiting: "90", Blocking: "80"}, {Waiting: "90", Blocking: "80"}, {Waiting: "1", Blocking: "2"}}
	r := newPoolFixture(map[string]*fakeMySQL{"main": f})
	r.conns.sample.List = []conns.Connection{connect("shop", 101, "mysql:main", 800), connect("shop", 102, "mysql:main", 900), connect("shop", 102, "mysql:main", 2100)}
	for i := range r.conns.sample.List {
		r.conns.sample.List[i].Inode = uint64(5000 + i)
	}
	now := r.stores(t)
	at := func(id uint64, slot string, pid int, user, host string) model.Connection {
		c := model.Connection{ID: id, User: user, Host: host}
		if pid != 0 {
			c.Owner = model.Owner{App: "shop", Slot: slot, PID: pid}
		}
		return c
	}
	want := []model.StoreConnection{
		{Connection: at(7, "", 0, "root", "10.0.0.9"), Server: "mysql:main", Command: "Sleep", Seconds: 60, Transaction: model.Known(60)},
		{Connection: at(8, "0", 101, "shop", "10.0.0.1"), Server: "mysql:main", Socket: 5000, Command: "Query", Digest: "UPDATE shop.orders", Seconds: 2, Transaction: model.Known(5)},
		{Connection: at(9, "1", 102, "shop", "10.0.0.1"), Server: "mysql:main", Socket: 5001, Command: "Query", Digest: "UPDATE `shop` . `orders` SET `a` = ?", Seconds: 1, Transaction: model.Known(1)},
		{Connection: at(21, "1", 102, "shop", "10.0.0.1"), Server: "mysql:main", Socket: 5002, Command: "Sleep", Seconds: 1},
	}
	if len(now.StoreConnections) == 4 && strings.HasPrefix(now.StoreConnections[1].State, "Updating_[2J~") {
		want[1].State = now.StoreConnections[1].State // its end is a hash
	}
	if !reflect.DeepEqual(now.StoreConnections, want) {
		t.Errorf("connections are %+v\nwant %+v", now.StoreConnections, want)
	}
	if got, want := now.StoreWaits, []model.StoreWait{
		{Server: "mysql:main", Waiter: 8, Blocker: 7, Kind: "row", Object: "shop.orders", Seconds: 2}, {Server: "mysql:main", Waiter: 9, Blocker: 8, Kind: "row", Seconds: 1},
	}; !reflect.DeepEqual(got, want) {
		t.Errorf("waits are %+v\nwant %+v", got, want)
	}
	f.transactions, f.waits = nil, nil
	before := [3]int{f.asked["statements"], f.asked["locks"], f.asked["pids"]}
	if now := r.stores(t); len(now.StoreWaits) != 0 || len(now.StoreConnections) != 3 || [3]int{f.asked["statements"], f.asked["locks"], f.asked["pids"]} != before {
		t.Errorf("while nobody waits: %+v, asked %v, before %v", now.StoreConnections, f.asked, before)
	}
}

// Who waits for a table, by the server's list of locks and without one.
func TestPoolStoreWaits(t *testing.T) {
	holds := func(id uint64) []locks.Lock {
		return []locks.Lock{{Connection: id, Space: "TABLE", Object: "shop.orders", Mode: "SHARED_WRITE"}}
	}
	idle, foreign := thread(12, "shop", "10.0.0.1:12", "Sleep", 10*time.Second), thread(13, "root", "localhost", "Sleep", 10*time.Second)
	open := []mysql.Transaction{{ID: "1", Thread: 12, Age: 10 * time.Second}}
	alter, read, write := waiting(14, "table metadata", "ALTER TABLE orders ADD z INT", 3), waiting(15, "table metadata", "SELECT * FROM orders", 2), waiting(16, "backup", "UPDATE orders SET a=1", 3)
	wait := func(waiter, blocker uint64, kind, object string, likely bool, seconds float64) model.StoreWait {
		return model.StoreWait{Server: "mysql:main", Waiter: waiter, Blocker: blocker, Likely: likely, Kind: kind, Object: object, Seconds: seconds}
	}
	denied := &mysql.Error{Reason: reason.Unsupported, Text: "no"}
	for name, c := range map[string]struct {
		threads []mysql.Thread
		open    []mysql.Transaction
		list    []locks.Lock
		err     error
		want    []model.StoreWait
	}{
		"listed":                  {[]mysql.Thread{idle, foreign, alter, read}, open, holds(12), nil, []model.StoreWait{wait(14, 12, "metadata", "shop.orders", false, 3), wait(15, 14, "metadata", "shop.orders", true, 2)}},
		"the holder has gone":     {[]mysql.Thread{foreign, alter}, nil, holds(12), nil, []model.StoreWait{wait(14, 0, "metadata", "shop.orders", false, 3)}},
		"not listed":              {[]mysql.Thread{idle, foreign, alter, read}, open, nil, denied, []model.StoreWait{wait(14, 12, "metadata", "shop.orders", true, 3), wait(15, 14, "metadata", "shop.orders", true, 2)}},
		"a young transaction":     {[]mysql.Thread{idle, alter}, []mysql.Transaction{{ID: "1", Thread: 12, Age: time.Second}}, nil, denied, []model.StoreWait{wait(14, 0, "metadata", "shop.orders", false, 3)}},
		"two transactions":        {[]mysql.Thread{idle, foreign, alter}, append([]mysql.Transaction{{ID: "2", Thread: 13, Age: time.Minute}}, open...), nil, denied, []model.StoreWait{wait(14, 0, "metadata", "shop.orders", false, 3)}},
		"one foreign sleeper":     {[]mysql.Thread{idle, foreign, alter}, nil, nil, denied, []model.StoreWait{wait(14, 13, "metadata", "shop.orders", true, 3)}},
		"read lock, transactions": {[]mysql.Thread{idle, foreign, write}, open, nil, denied, []model.StoreWait{wait(16, 13, "global", "", true, 3)}},
		"read lock, listed":       {[]mysql.Thread{idle, foreign, write}, open, []locks.Lock{{Connection: 13, Space: "BACKUP", Mode: "BACKUP_FTWRL2"}}, nil, []model.StoreWait{wait(16, 13, "global", "", false, 3)}},
		"a running statement": {
			[]mysql.Thread{foreign, thread(17, "batch", "h:1", "Query", time.Minute), waiting(18, "global read", "FLUSH TABLES WITH READ LOCK", 3)}, nil, nil, denied,
			[]model.StoreWait{wait(18, 17, "global", "", true, 3)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeMySQL{threads: c.threads, transactions: c.open, locks: c.list, errs: map[string]error{"locks": c.err}}
			r := newPoolFixture(map[string]*fakeMySQL{"main": f})
			r.conns.sample.List = []conns.Connection{connect("shop", 101, "mysql:main", 12)}
			if got := r.stores(t).StoreWaits; !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// A connection over a UNIX socket is joined by the pid that its client claims, if the
// kernel shows that process as often as it is claimed and nobody hides.
func TestPoolStoreOverUnix(t *testing.T) {
	local := func(pid int, inode uint64) conns.Connection {
		return conns.Connection{App: "shop", PID: pid, Component: "mysql:main", Vouched: true, Inode: inode}
	}
	for name, c := range map[string]struct {
		list  []conns.Connection
		pids  map[uint64]int
		inner map[int]int
		want  string // by connection: slot and socket
	}{
		"one of each":             {[]conns.Connection{local(101, 11), local(102, 12)}, map[uint64]int{7: 101, 8: 102, 9: 4711}, nil, "7:0/11 8:1/12"},
		"two of one":              {[]conns.Connection{local(101, 11), local(101, 12)}, map[uint64]int{7: 101, 8: 101, 9: 4711}, nil, "7:0/0 8:0/0"},
		"one claims too much":     {[]conns.Connection{local(101, 11), local(102, 12)}, map[uint64]int{7: 101, 8: 102, 9: 102}, nil, "7:0/11"},
		"one does not tell":       {[]conns.Connection{local(101, 11), local(102, 12)}, map[uint64]int{7: 101, 8: 102}, nil, ""},
		"no claims":               {[]conns.Connection{local(101, 11)}, nil, nil, ""},
		"not our connection":      {[]conns.Connection{{App: "shop", PID: 101, Component: "mysql:main", Inode: 11}}, map[uint64]int{7: 101, 8: 1, 9: 2}, nil, ""},
		"another server's socket": {[]conns.Connection{{App: "shop", PID: 101, Component: "mysql:other", Vouched: true, Inode: 11}}, map[uint64]int{7: 101, 8: 1, 9: 2}, nil, ""},
		"over TCP":                {[]conns.Connection{{App: "shop", PID: 101, Component: "mysql:main", Vouched: true, Inode: 11, Remote: netip.MustParseAddrPort("10.0.0.2:3306")}}, map[uint64]int{7: 101, 8: 1, 9: 2}, nil, ""},
		"in a container":          {[]conns.Connection{local(101, 11), local(102, 12)}, map[uint64]int{7: 7, 8: 102, 9: 4711}, map[int]int{101: 7}, "7:0/11 8:1/12"},
		"claims another's pid":    {[]conns.Connection{local(101, 11)}, map[uint64]int{7: 7, 8: 101, 9: 4711}, map[int]int{101: 7}, "7:0/11"},
		"the same in two":         {[]conns.Connection{local(101, 11), local(102, 12)}, map[uint64]int{7: 7, 8: 7, 9: 4711}, map[int]int{101: 7, 102: 7}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := busyMySQL()
			f.threads = []mysql.Thread{thread(7, "x", "localhost", "Sleep", time.Minute), thread(8, "x", "localhost", "Query", time.Second), thread(9, "x", "localhost", "Query", time.Second)}
			f.pids = c.pids
			r := newPoolFixture(map[string]*fakeMySQL{"main": f})
			r.conns.sample.List, r.inner = c.list, c.inner
			got := ""
			for _, x := range r.stores(t).StoreConnections {
				if x.App != "" {
					got += fmt.Sprintf(" %d:%s/%d", x.ID, x.Slot, x.Socket)
				}
			}
			if got != "" {
				got = got[1:]
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// What is over the bounds is counted.
func TestPoolStoreBounds(t *testing.T) {
	f := &fakeMySQL{}
	r := newPoolFixture(map[string]*fakeMySQL{"main": f})
	for i := range 5100 {
		id := uint64(i + 1000)
		f.threads = append(f.threads, thread(id, "shop", "10.0.0.1:"+strconv.Itoa(int(id)), "Query", time.Second))
		r.conns.sample.List = append(r.conns.sample.List, connect("shop", 101, "mysql:main", uint16(id)))
		f.transactions = append(f.transactions, mysql.Transaction{ID: strconv.Itoa(i), Thread: id, Age: time.Second, Waits: i > 0})
		if i > 0 && i <= 600 {
			f.waits = append(f.waits, mysql.LockWait{Waiting: strconv.Itoa(i), Blocking: strconv.Itoa(i - 1)})
		}
	}
	s, err := r.Collect(t.Context())
	if err != nil || len(s.State.StoreConnections) != 5000 || len(s.State.StoreWaits) != 500 {
		t.Errorf("%d connections, %d waits, %v", len(s.State.StoreConnections), len(s.State.StoreWaits), err)
	}
	got := facts(s)
	for family, want := range map[string]float64{"mysql_store_connection": 100, "mysql_store_wait": 100} {
		if n, _ := got.Get("resp_series_dropped_total", family); n != want {
			t.Errorf("%s: %v were dropped", family, n)
		}
	}
}

// MariaDB reports the id 0 for each transaction that has changed nothing: who waits for
// one of several with an id waits for none that is known.
func TestTransactionsWithoutAnIDOfTheirOwn(t *testing.T) {
	for name, c := range map[string]struct {
		first, second string // ids of the transactions of connections 7 and 20
		waits         mysql.LockWait
		want          uint64 // for which connection 8 waits; 0: it is not known
	}{
		"two ids":            {"70", "71", mysql.LockWait{Waiting: "80", Blocking: "70"}, 7},
		"one has 0":          {"0", "71", mysql.LockWait{Waiting: "80", Blocking: "0"}, 7},
		"both have 0":        {"0", "0", mysql.LockWait{Waiting: "80", Blocking: "0"}, 0},
		"another one blocks": {"0", "0", mysql.LockWait{Waiting: "80", Blocking: "90"}, 9},
	} {
		t.Run(name, func(t *testing.T) {
			f := busyMySQL()
			f.threads = []mysql.Thread{
				thread(7, "root", "10.0.0.9:700", "Sleep", time.Minute), thread(20, "root", "10.0.0.9:2000", "Sleep", time.Minute),
				thread(8, "shop", "10.0.0.1:800", "Query", 2*time.Second), thread(9, "root", "10.0.0.9:900", "Sleep", time.Second),
			}
			f.transactions = []mysql.Transaction{
				{ID: c.first, Thread: 7, Age: time.Minute}, {ID: c.second, Thread: 20, Age: time.Minute},
				{ID: "80", Thread: 8, Age: time.Minute, Waits: true, Waiting: 2 * time.Second}, {ID: "90", Thread: 9, Age: time.Second},
			}
			f.waits = []mysql.LockWait{c.waits}
			r := newPoolFixture(map[string]*fakeMySQL{"main": f})
			r.conns.sample.List = []conns.Connection{connect("shop", 101, "mysql:main", 800)}
			got := uint64(0)
			for _, w := range r.stores(t).StoreWaits {
				if w.Waiter == 8 && w.Kind == "row" {
					got = w.Blocker
				}
			}
			if got != c.want {
				t.Errorf("it waits for %d, want %d", got, c.want)
			}
		})
	}
}

// Without claims a connection over a UNIX socket is joined by elimination: the kernel shows
// as many as the server lists, and every way in which they belong together says the same.
func TestPoolUnixByElimination(t *testing.T) {
	local := func(pid int, inode uint64) conns.Connection {
		return conns.Connection{App: "shop", PID: pid, Component: "mysql:main", Vouched: true, Inode: inode}
	}
	waits := func(inode uint64, seconds float64) map[int][]model.Thread {
		return map[int][]model.Thread{102: {{On: "mysql", Peer: "mysql:main", Socket: inode, Seconds: seconds}}}
	}
	sleeps, runs := thread(7, "x", "localhost", "Sleep", time.Minute), thread(8, "x", "localhost", "Query", 5*time.Second)
	own := thread(9, "x", "localhost", "Query", 0)
	own.Own = true
	for name, c := range map[string]struct {
		threads []mysql.Thread
		list    []conns.Connection
		kernel  int // connections that the kernel shows; 0: it does not
		waits   map[int][]model.Thread
		young   bool // they are newer than the sample
		want    string
	}{
		"the only one":                  {[]mysql.Thread{sleeps}, []conns.Connection{local(101, 11)}, 1, nil, false, "7:0/11"},
		"and the exporter's":            {[]mysql.Thread{sleeps, own}, []conns.Connection{local(101, 11)}, 2, nil, false, "7:0/11"},
		"all of one process":            {[]mysql.Thread{sleeps, runs}, []conns.Connection{local(101, 11), local(101, 12)}, 2, nil, false, "7:0/0 8:0/0"},
		"one waits, the other is left":  {[]mysql.Thread{sleeps, runs}, []conns.Connection{local(101, 11), local(102, 12)}, 2, waits(12, 5.5), false, "7:0/11 8:1/12"},
		"one of a stranger waits":       {[]mysql.Thread{sleeps, runs}, []conns.Connection{local(102, 12)}, 2, waits(12, 5.5), false, "8:1/12"},
		"two may be it":                 {[]mysql.Thread{sleeps, runs}, []conns.Connection{local(101, 11), local(102, 12)}, 2, nil, false, ""},
		"not for long enough":           {[]mysql.Thread{sleeps, runs}, []conns.Connection{local(101, 11), local(102, 12)}, 2, waits(12, 1), false, ""},
		"for another time":              {[]mysql.Thread{sleeps, runs}, []conns.Connection{local(101, 11), local(102, 12)}, 2, waits(12, 60), false, ""},
		"a stranger":                    {[]mysql.Thread{sleeps}, nil, 1, nil, false, ""},
		"it may be a stranger's":        {[]mysql.Thread{sleeps, runs}, []conns.Connection{local(101, 11)}, 2, nil, false, ""},
		"the kernel shows more":         {[]mysql.Thread{sleeps}, []conns.Connection{local(101, 11)}, 2, nil, false, ""},
		"the kernel shows fewer":        {[]mysql.Thread{sleeps, runs}, []conns.Connection{local(101, 11)}, 1, nil, false, ""},
		"the kernel is not asked":       {[]mysql.Thread{sleeps}, []conns.Connection{local(101, 11)}, 0, nil, false, ""},
		"newer than the sample":         {[]mysql.Thread{sleeps}, []conns.Connection{local(101, 11)}, 1, nil, true, ""},
		"in a network of somebody else": {[]mysql.Thread{sleeps}, []conns.Connection{{App: "shop", PID: 101, Component: "mysql:main", Inode: 11}}, 1, nil, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := busyMySQL()
			f.threads = c.threads
			for i := range f.transactions {
				f.transactions[i].Thread = uint64(7 + i)
			}
			f.transactions = append(f.transactions[:0:0], mysql.Transaction{ID: "70", Thread: 7, Age: time.Minute})
			r := newPoolFixture(map[string]*fakeMySQL{"main": f})
			r.conns.sample.List = c.list
			if r.conns.sample.Taken = time.Now().Add(time.Hour); c.young {
				r.conns.sample.Taken = time.Now().Add(-time.Hour)
			}
			if c.kernel > 0 {
				r.conns.sample.Local = map[string]int{"mysql:main": c.kernel}
			}
			for i := range r.snap.Apps {
				for j := range r.snap.Apps[i].Workers {
					w := &r.snap.Apps[i].Workers[j]
					w.RequestThreads = c.waits[w.PID]
				}
			}
			got := ""
			for _, x := range r.stores(t).StoreConnections {
				if x.App != "" {
					got += fmt.Sprintf(" %d:%s/%d", x.ID, x.Slot, x.Socket)
				}
			}
			if got = strings.TrimSpace(got); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
