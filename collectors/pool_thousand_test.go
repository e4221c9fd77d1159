package collectors_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// thousandConnections is a server with 1,000 connections of 4 workers, 300 of them asleep
// in a transaction.
func thousandConnections() *poolFixture {
	f := busyMySQL()
	f.threads, f.transactions, f.waits = nil, nil, nil
	r := newPoolFixture(map[string]*fakeMySQL{"main": f}, mainPool())
	r.snap.Apps[1].Workers = nil
	for i := range 4 {
		r.snap.Apps[1].Workers = append(r.snap.Apps[1].Workers, discovery.Worker{Process: discovery.Process{PID: 101 + i}, Slot: i})
	}
	for i := range 1000 {
		id, port := uint64(1000+i), uint16(20000+i)
		f.threads = append(f.threads, thread(id, "shop", "10.0.0.1:"+strconv.Itoa(int(port)), "Sleep", time.Duration(i)*time.Second))
		if i < 300 {
			f.transactions = append(f.transactions, mysql.Transaction{ID: strconv.Itoa(i), Thread: id, Age: time.Duration(i) * time.Second})
		}
		r.conns.sample.List = append(r.conns.sample.List, connect("shop", 101+i%4, "mysql:main", port))
	}
	return r
}

func TestPoolThousand(t *testing.T) {
	r := thousandConnections()
	compareReadings(t, "states", r.readings(t, "resp_pool_connections"), map[string]float64{
		"shop main in_use": 0, "shop main idle": 700, "shop main in_transaction": 61, "shop main leaked": 239,
	})
	if got := r.readings(t, "page.pool_leak"); len(got) != 20 || got["shop main main 3 104 1299"] != 299 {
		t.Errorf("%d leaks are named, %v", len(got), got)
	}
	compareReadings(t, "utilization", r.readings(t, "resp_pool_utilization_ratio"), map[string]float64{"shop main": 5})
	compareReadings(t, "workers", r.readings(t, "resp_worker_connections"), map[string]float64{
		"shop 0 mysql:main": 250, "shop 1 mysql:main": 250, "shop 2 mysql:main": 250, "shop 3 mysql:main": 250,
	})
}

func BenchmarkPoolCollect(b *testing.B) {
	r := thousandConnections()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Collect(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
