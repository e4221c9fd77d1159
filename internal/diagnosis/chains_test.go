package diagnosis_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

type scene struct {
	state model.State
	want  string // as brief; "": no chain
}

const main = "mysql:main"

func shopWaits(k *model.Stack) model.Thread { return on(th("mysql", main, 42, k), 11) }

// lockScene is the one of the specification: workers 0, 1 and 3 of shop wait for a row
// that worker 2 holds while it waits for an address.
func lockScene() model.State {
	return model.State{
		Workers: []model.AppWorkers{app("shop", 4710,
			one(on(th("mysql", main, 42, at("pay", "pay.py", 12, 43)), 11)), one(on(th("mysql", main, 40, at("pay", "pay.py", 12, 41)), 12)),
			one(on(th("upstream", "10.0.0.9:443", 57, at("refund", "billing.py", 131, 59)), 77)), one(on(th("mysql", main, 38, at("pay", "pay.py", 12, 39)), 13)))},
		StoreConnections: []model.StoreConnection{
			conn(main, 801, 4710, 11, "Query", 42), conn(main, 802, 4711, 12, "Query", 40), trx(conn(main, 812, 4712, 14, "Sleep", 57), 58), conn(main, 803, 4713, 13, "Query", 38),
		},
		StoreWaits: []model.StoreWait{row(801, 812, 42), row(802, 812, 40), row(803, 812, 38)},
	}
}

func mysqlScenes() map[string]scene {
	w := func(s float64) []model.Thread { return one(on(th("mysql", main, s, at("pay", "pay.py", 12, s+1)), 11)) }
	holder := trx(conn(main, 812, 4711, 14, "Sleep", 30), 31)
	return map[string]scene{
		"row lock, depth 1": {lockScene(), "shop(4) mysql mysql:main row shop.orders 42: shop/0@mysql:main#801 shop/1@mysql:main#802 shop/3@mysql:main#803" +
			" => shop/2@mysql:main#812[refund billing.py:131 upstream 10.0.0.9:443 57s trx=58]"},
		"depth 2": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, w(42), one(on(th("mysql", main, 50, at("stock", "stock.py", 7, 51)), 12)), one(th("sleep", "", 55, at("batch", "batch.py", 3, 56))))},
			StoreConnections: []model.StoreConnection{
				conn(main, 801, 4710, 11, "Query", 42), trx(conn(main, 802, 4711, 12, "Query", 50), 51), trx(conn(main, 803, 4712, 13, "Sleep", 55), 56),
			},
			StoreWaits: []model.StoreWait{row(801, 802, 42), wait(main, 802, 803, "row", "shop.stock", 50)},
		}, "shop(3) mysql mysql:main row shop.orders 50: shop/1@mysql:main#802 shop/0@mysql:main#801" +
			" => shop/1@mysql:main#802[stock stock.py:7 mysql mysql:main 50s trx=51] shop/2@mysql:main#803[batch batch.py:3 sleep 55s trx=56]"},
		"depth 3, the last one is a foreign client": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, w(42), one(on(th("mysql", main, 50, at("stock", "stock.py", 7, 51)), 12)), one(on(th("mysql", main, 60, at("batch", "batch.py", 3, 61)), 13)))},
			StoreConnections: []model.StoreConnection{
				conn(main, 801, 4710, 11, "Query", 42), conn(main, 802, 4711, 12, "Query", 50), conn(main, 803, 4712, 13, "Query", 60), trx(conn(main, 90, 0, 0, "Sleep", 70), 71),
			},
			StoreWaits: []model.StoreWait{row(801, 802, 42), row(802, 803, 50), row(803, 90, 60)},
		}, "shop(3) mysql mysql:main row shop.orders 60: shop/2@mysql:main#803 shop/1@mysql:main#802 shop/0@mysql:main#801" +
			" => shop/1@mysql:main#802[stock stock.py:7 mysql mysql:main 50s] shop/2@mysql:main#803[batch batch.py:3 mysql mysql:main 60s] @mysql:main#90(ann 10.0.0.7)[70s trx=71]"},
		"a queue: the one that is not in it itself is named": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, w(42), one(on(th("mysql", main, 50, nil), 12)))},
			StoreConnections: []model.StoreConnection{conn(main, 801, 4710, 11, "Query", 42), conn(main, 802, 4711, 12, "Query", 50), conn(main, 90, 0, 0, "Sleep", 70)},
			StoreWaits:       []model.StoreWait{row(801, 802, 42), row(801, 90, 42), row(802, 90, 50)},
		}, "shop(2) mysql mysql:main row shop.orders 50: shop/1@mysql:main#802 shop/0@mysql:main#801 => @mysql:main#90(ann 10.0.0.7)[70s]"},
		"metadata lock": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, w(42), one(th("cpu", "", 30, at("report", "report.py", 9, 32))))},
			StoreConnections: []model.StoreConnection{
				conn(main, 801, 4710, 11, "Query", 42), holder, conn(main, 91, 0, 0, "Query", 41),
			},
			StoreWaits: []model.StoreWait{wait(main, 801, 91, "metadata", "shop.orders", 41), wait(main, 91, 812, "metadata", "shop.orders", 42)},
		}, "shop(2) mysql mysql:main metadata shop.orders 42: shop/0@mysql:main#801" +
			" => @mysql:main#91(ann 10.0.0.7)[mysql mysql:main 42s] shop/1@mysql:main#812[report report.py:9 cpu 30s trx=31]"},
		"the server does not say who holds it": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, w(4), w(3))},
			StoreConnections: []model.StoreConnection{conn(main, 801, 4710, 11, "Query", 4)},
			StoreWaits:       []model.StoreWait{wait(main, 801, 0, "metadata", "shop.orders", 4)},
		}, "shop(2) mysql mysql:main metadata shop.orders 4: shop/0@mysql:main#801 => @mysql:main[]"},
		"and one is likely": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, w(4))},
			StoreConnections: []model.StoreConnection{conn(main, 801, 4710, 11, "Query", 4)},
			StoreWaits:       []model.StoreWait{wait(main, 801, 0, "table", "", 4)},
			LockSuspects:     []model.LockSuspect{{Server: "main", Connection: model.Connection{ID: 95, User: "bob", Host: "10.0.0.8"}, Did: "slept", Seconds: 20}},
		}, "shop(1) mysql mysql:main table 4: shop/0@mysql:main#801 => @mysql:main#95(bob 10.0.0.8)[20s probable]"},
		"only the list of lock waits": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, one(th("mysql", main, 42, nil)), one(th("upstream", "10.0.0.9:443", 57, at("refund", "billing.py", 131, 59))))},
			LockWaits: []model.LockWait{{Server: "main", Seconds: 42, State: "sleeping",
				Waiter: model.Connection{ID: 801, Owner: model.Owner{App: "shop", Slot: "0", PID: 4710}}, Blocker: model.Connection{ID: 812, Owner: model.Owner{App: "shop", Slot: "1", PID: 4711}}}},
		}, "shop(2) mysql mysql:main 42: shop/0@mysql:main#801 => shop/1@mysql:main#812[refund billing.py:131 upstream 10.0.0.9:443 57s]"},
		"no socket, one connection of the worker waits": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, one(th("mysql", main, 42, nil)))},
			StoreConnections: []model.StoreConnection{conn(main, 801, 4710, 0, "Query", 42), conn(main, 802, 4710, 0, "Query", 2), conn(main, 90, 0, 0, "Query", 70)},
			StoreWaits:       []model.StoreWait{row(801, 90, 41)},
		}, "shop(1) mysql mysql:main row shop.orders 42: shop/0@mysql:main#801 => @mysql:main#90(ann 10.0.0.7)[70s]"},
		"no socket, two of them wait": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, one(th("mysql", main, 42, nil)))},
			StoreConnections: []model.StoreConnection{conn(main, 801, 4710, 0, "Query", 42), conn(main, 802, 4710, 0, "Query", 2), conn(main, 90, 0, 0, "Query", 70)},
			StoreWaits:       []model.StoreWait{row(801, 90, 41), row(802, 90, 41)},
		}, "shop(1) mysql mysql:main 42: shop/0 => @mysql:main[]"},
		"no socket, two threads wait": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, []model.Thread{th("mysql", main, 42, nil), th("mysql", main, 7, nil)})},
			StoreConnections: []model.StoreConnection{conn(main, 801, 4710, 0, "Query", 42), conn(main, 90, 0, 0, "Query", 70)},
			StoreWaits:       []model.StoreWait{row(801, 90, 41)},
		}, "shop(1) mysql mysql:main 42: shop/0 shop/0 => @mysql:main[]"},
		"a full server": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, one(th("mysql", main, 12, nil)), one(th("mysql", main, 11, nil)))},
			MySQL:   []model.MySQLServer{{Name: "main", Full: true, Holders: []model.Holder{{User: "report", Host: "10.0.0.5", App: "blog", Connections: 120, Asleep: 118}}}},
		}, "shop(2) mysql mysql:main full 12: shop/0 shop/1 => blog/@mysql:main(report 10.0.0.5)[held=120]"},
		"a full server that answers: who runs a statement does not wait for a connection": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, one(th("mysql", main, 12, nil)), one(on(th("mysql", main, 11, nil), 12)), one(th("mysql", main, 10, nil)))},
			StoreConnections: []model.StoreConnection{conn(main, 801, 4710, 0, "Query", 12), conn(main, 802, 4711, 12, "Query", 11)},
			StoreWaits:       []model.StoreWait{wait(main, 0, 0, "full", "", 12)},
			MySQL:            []model.MySQLServer{{Name: "main", Up: true, Holders: []model.Holder{{User: "report", Host: "10.0.0.5", Connections: 120}}}},
		}, "shop(3) mysql mysql:main 12: shop/0@mysql:main#801 shop/1@mysql:main#802 => @mysql:main[]\n" +
			"shop(3) mysql mysql:main full 10: shop/2 => @mysql:main(report 10.0.0.5)[held=120]"},
		"the only one that can hold it": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, w(4), one(th("cpu", "", 30, at("c", "c.py", 3, 31))))},
			StoreConnections: []model.StoreConnection{conn(main, 801, 4710, 11, "Query", 4), trx(conn(main, 812, 4711, 14, "Sleep", 29), 30)},
			StoreWaits:       []model.StoreWait{{Server: main, Waiter: 801, Blocker: 812, Likely: true, Kind: "metadata", Object: "shop.orders", Seconds: 4}},
		}, "shop(2) mysql mysql:main metadata shop.orders 4: shop/0@mysql:main#801 => shop/1@mysql:main#812[c c.py:3 cpu 30s trx=30 probable]"},
		"a queue for a definition, whose first one is likely": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, w(4), one(th("sleep", "", 30, at("c", "c.py", 3, 31))))},
			StoreConnections: []model.StoreConnection{conn(main, 801, 4710, 11, "Query", 4), conn(main, 91, 0, 0, "Query", 5), trx(conn(main, 812, 4711, 14, "Sleep", 29), 30)},
			StoreWaits: []model.StoreWait{{Server: main, Waiter: 801, Blocker: 91, Likely: true, Kind: "metadata", Object: "shop.orders", Seconds: 4},
				wait(main, 91, 812, "metadata", "shop.orders", 5)},
		}, "shop(2) mysql mysql:main metadata shop.orders 4: shop/0@mysql:main#801" +
			" => @mysql:main#91(ann 10.0.0.7)[mysql mysql:main 5s probable] shop/1@mysql:main#812[c c.py:3 sleep 30s trx=30]"},
		"a full server, by its own row": {model.State{
			Workers:    []model.AppWorkers{app("shop", 4710, one(th("mysql", main, 12, nil)))},
			StoreWaits: []model.StoreWait{wait(main, 0, 0, "full", "", 12)},
		}, "shop(1) mysql mysql:main full 12: shop/0 => @mysql:main[]"},
		"a server that is down": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, one(th("mysql", main, 12, nil)))}, MySQL: []model.MySQLServer{{Name: "main"}},
		}, "shop(1) mysql mysql:main down 12: shop/0 => @mysql:main[]"},
	}
}

func redisScenes() map[string]scene {
	const cache = "redis:cache"
	r := func(s float64, socket uint64) []model.Thread {
		return one(on(th("redis", cache, s, at("home", "home.py", 5, s)), socket))
	}
	return map[string]scene{
		"a script of another client": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, r(3, 11), r(2, 12))},
			StoreConnections: []model.StoreConnection{conn(cache, 5, 4710, 11, "get", 3), conn(cache, 6, 4711, 12, "get", 2), conn(cache, 9, 0, 0, "eval", 4)},
			StoreWaits:       []model.StoreWait{wait(cache, 5, 9, "script", "", 3), wait(cache, 6, 9, "script", "", 2)},
		}, "shop(2) redis redis:cache script 3: shop/0@redis:cache#5 shop/1@redis:cache#6 => @redis:cache#9(ann 10.0.0.7)[4s]"},
		"a slow command of a worker holds up all": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, r(3, 11), r(2, 12)), app("blog", 4800, one(on(th("redis", cache, 4, at("scan", "admin.py", 44, 4)), 19)))},
			StoreConnections: []model.StoreConnection{conn(cache, 9, 4800, 19, "keys", 4)},
			StoreWaits:       []model.StoreWait{wait(cache, 0, 9, "slow_command", "", 4)},
		}, "shop(2) redis redis:cache slow_command 3: shop/0 shop/1 => blog/0@redis:cache#9[scan admin.py:44 redis redis:cache 4s]"},
		"a slow command by the socket of a worker, of a server that answers nobody": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, r(3, 11), r(2, 12)), app("blog", 4800, one(on(th("redis", cache, 4, at("scan", "admin.py", 44, 4)), 19)))},
			StoreConnections: []model.StoreConnection{served(conn(cache, 0, 4800, 19, "", 4), 77)},
			StoreWaits:       []model.StoreWait{{Server: cache, Served: 77, Likely: true, Kind: "slow_command", Seconds: 4}},
			Redis:            []model.RedisServer{{Name: "cache"}},
		}, "shop(2) redis redis:cache slow_command 3: shop/0 shop/1 => blog/0@redis:cache[scan admin.py:44 redis redis:cache 4s probable]"},
		"the same, of a worker whose thread is not known": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, r(3, 11), r(2, 12)), app("blog", 4800, one(idle()))},
			StoreConnections: []model.StoreConnection{served(conn(cache, 0, 4800, 19, "", 4), 77)},
			StoreWaits:       []model.StoreWait{{Server: cache, Served: 77, Likely: true, Kind: "slow_command", Seconds: 4}},
			Redis:            []model.RedisServer{{Name: "cache"}},
		}, "shop(2) redis redis:cache slow_command 3: shop/0 shop/1 => blog/0@redis:cache[4s probable]"},
		"the same, of a client that is no worker": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, r(3, 11), r(2, 12))},
			StoreConnections: []model.StoreConnection{{Connection: model.Connection{Host: "10.0.0.9:40112"}, Server: cache, Served: 77, Seconds: 4}},
			StoreWaits:       []model.StoreWait{{Server: cache, Served: 77, Likely: true, Kind: "slow_command", Seconds: 4}},
			Redis:            []model.RedisServer{{Name: "cache"}},
		}, "shop(2) redis redis:cache slow_command 3: shop/0 shop/1 => @redis:cache[4s probable]"},
		"a worker waits for its own script alone": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, r(7, 11), one(idle()))},
			StoreConnections: []model.StoreConnection{served(conn(cache, 0, 4710, 11, "", 7), 77)},
			StoreWaits:       []model.StoreWait{{Server: cache, Served: 77, Likely: true, Kind: "script", Seconds: 7}},
			Redis:            []model.RedisServer{{Name: "cache", Up: true}},
		}, "shop(2) redis redis:cache script 7: shop/0@redis:cache => @redis:cache[]"},
		"a script of which nobody says whose it is": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, r(7, 11), r(3, 12))}, StoreWaits: []model.StoreWait{wait(cache, 0, 0, "script", "", 6)},
			Redis: []model.RedisServer{{Name: "cache"}},
		}, "shop(2) redis redis:cache script 7: shop/0 shop/1 => @redis:cache[]"},
		"a slow command that has just ended explains no longer wait": {model.State{
			Workers:    []model.AppWorkers{app("shop", 4710, r(4, 11), r(60, 12))},
			StoreWaits: []model.StoreWait{{Server: cache, Blocker: 9, Kind: "slow_command", Over: true, Object: "keys", Seconds: 3}},
		}, "shop(2) redis redis:cache 60: shop/1 => @redis:cache[]\nshop(2) redis redis:cache slow_command keys 4: shop/0 => @redis:cache#9[]"},
		"a command that waits for data is by design": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, r(20, 11))},
			StoreConnections: []model.StoreConnection{conn(cache, 5, 4710, 11, "blpop", 20)},
		}, ""},
		"as the store says": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, r(20, 11))},
			StoreConnections: []model.StoreConnection{conn(cache, 5, 4710, 11, "", 20)}, StoreWaits: []model.StoreWait{wait(cache, 5, 0, "blocked", "", 20)},
		}, ""},
		"until it takes very long": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, r(70, 11))},
			StoreConnections: []model.StoreConnection{conn(cache, 5, 4710, 11, "BLPOP", 70)},
		}, "shop(1) redis redis:cache blocked 70: shop/0@redis:cache#5 => @redis:cache[]"},
	}
}

func processScenes() map[string]scene {
	l := func(s float64, address uint64, k *model.Stack) model.Thread {
		return futex(th("lock", "", s, k), address)
	}
	return map[string]scene{
		"the interpreter's lock": {model.State{Workers: []model.AppWorkers{app("shop", 4710, []model.Thread{
			th("gil", "", 3, at("home", "home.py", 5, 4)), th("gil", "", 2, nil), holdsGIL(th("cpu", "", 3, at("hash", "hash.py", 8, 4))),
		})}}, "shop(1) gil gil 3: shop/0 shop/0 => shop/0[hash hash.py:8 cpu 3s]"},
		"whose holder takes no requests": {model.State{Workers: []model.AppWorkers{app("shop", 4710, []model.Thread{
			th("gil", "", 3, at("home", "home.py", 5, 4)), helper(holdsGIL(th("cpu", "", 3, at("", "hash.py", 8, 0)))),
		})}}, "shop(1) gil gil 3: shop/0 => shop/0[ hash.py:8 cpu 3s]"},
		"which the holder has waited for too": {model.State{Workers: []model.AppWorkers{app("shop", 4710, []model.Thread{
			th("gil", "", 3, at("home", "home.py", 5, 4)), holdsGIL(th("gil", "", 3, at("hash", "hash.py", 8, 4))),
		})}}, "shop(1) gil gil 3: shop/0 => shop/0[hash hash.py:8 gil 3s]"},
		"a helper holds no lock of the app": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, []model.Thread{l(30, 7, locked("a", "a.py", 1)), helper(holdsGIL(th("cpu", "", 3, nil))), th("sleep", "", 31, at("c", "c.py", 3, 32))})},
		}, "shop(1) lock lock 30: shop/0 => shop/0[c c.py:3 sleep 31s]"},
		"whose holder is not seen": {model.State{Workers: []model.AppWorkers{app("shop", 4710, []model.Thread{th("gil", "", 3, nil), idle()})}},
			"shop(1) gil gil 3: shop/0 => shop/0[]"},
		"a lock of the process": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, []model.Thread{
				l(30, 7, locked("a", "a.py", 1)), l(29, 7, locked("b", "b.py", 2)), th("upstream", "10.0.0.9:443", 31, at("c", "c.py", 3, 32)), idle(),
			})},
		}, "shop(1) lock lock 30: shop/0 shop/0 => shop/0[c c.py:3 upstream 10.0.0.9:443 31s]"},
		"one of several": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, []model.Thread{l(30, 7, locked("a", "a.py", 1)), th("cpu", "", 31, nil), th("sleep", "", 31, nil)})},
		}, "shop(1) lock lock 30: shop/0 => shop/0[of=2]"},
		"without a stack it is likely only": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, []model.Thread{l(30, 7, nil), th("sleep", "", 31, at("c", "c.py", 3, 32))})},
		}, "shop(1) lock lock 30: shop/0 => shop/0[c c.py:3 sleep 31s probable]"},
		"notice is given by anybody": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, []model.Thread{l(30, 7, notified("a", "a.py", 1)), th("cpu", "", 31, nil)})},
		}, "shop(1) lock lock 30: shop/0 => shop/0[of=1]"},
		"two locks in two orders": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, []model.Thread{l(30, 7, locked("a", "a.py", 1)), l(29, 8, locked("b", "b.py", 2))})},
		}, "shop(1) lock lock 30: shop/0 shop/0 => shop/0[a a.py:1 lock 30s] shop/0[b b.py:2 lock 29s] deadlock"},
		"two queues are no deadlock": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, []model.Thread{l(30, 7, notified("a", "a.py", 1)), l(29, 8, notified("b", "b.py", 2))})},
		}, "shop(1) lock lock 30: shop/0 shop/0 => shop/0[of=1]"},
		"a lock whose holder waits for a row": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, []model.Thread{l(30, 7, locked("a", "a.py", 1)), on(th("mysql", main, 31, at("c", "c.py", 3, 32)), 11)})},
			StoreConnections: []model.StoreConnection{conn(main, 801, 4710, 11, "Query", 31), conn(main, 90, 0, 0, "Sleep", 70)},
			StoreWaits:       []model.StoreWait{row(801, 90, 31)},
		}, "shop(1) lock lock 31: shop/0@mysql:main#801 shop/0 => shop/0@mysql:main#801[c c.py:3 mysql mysql:main 31s] @mysql:main#90(ann 10.0.0.7)[70s]"},
	}
}

func appScenes() map[string]scene {
	call := func(name string, s float64) []model.Thread {
		return one(th("upstream", "app:"+name, s, at("page", "page.py", 20, s)))
	}
	two := lockScene()
	two.Workers = append(two.Workers, app("front", 4800, call("shop", 44), call("shop", 41)))
	return map[string]scene{
		"over two apps to an address": {model.State{Workers: []model.AppWorkers{app("front", 4800, call("blog", 20)), app("blog", 4900, one(th("upstream", "10.0.0.9:443", 20, at("post", "post.py", 6, 21))))}},
			"front(1) upstream app:blog upstream 20: front/0 blog/0 => blog/0[post post.py:6 upstream 10.0.0.9:443 20s] 10.0.0.9:443[]"},
		"over two apps, one computes": {model.State{Workers: []model.AppWorkers{app("front", 4800, call("blog", 20)), app("blog", 4900, one(th("cpu", "", 19, at("post", "post.py", 6, 21))), one(idle()))}},
			"front(1) upstream app:blog upstream 20: front/0 => blog/0[post post.py:6 cpu 19s]"},
		"one of two, which is not known": {model.State{Workers: []model.AppWorkers{app("front", 4800, call("blog", 20)), app("blog", 4900, one(th("cpu", "", 19, nil)), one(th("sleep", "", 19, nil)))}},
			"front(1) upstream app:blog upstream 20: front/0 => blog/[of=2]"},
		"over two apps to a lock": {two, "shop(4) mysql mysql:main row shop.orders 44: front/0 shop/0@mysql:main#801 front/1 shop/1@mysql:main#802 shop/3@mysql:main#803" +
			" => shop/2@mysql:main#812[refund billing.py:131 upstream 10.0.0.9:443 57s trx=58]"},
		"an app that nobody knows": {model.State{Workers: []model.AppWorkers{app("front", 4800, call("gone", 20))}}, "front(1) upstream app:gone upstream 20: front/0 => gone/[]"},
		"an app that calls itself": {model.State{Workers: []model.AppWorkers{app("front", 4800, call("front", 20), call("front", 19))}},
			"front(2) upstream app:front upstream 20: front/0 front/1 => front/0[page page.py:20 upstream app:front 20s of=2] deadlock"},
		"an app that calls itself and has a free worker": {model.State{Workers: []model.AppWorkers{app("front", 4800, call("front", 20), one(idle()))}},
			"front(2) upstream app:front upstream 20: front/0 => front/[of=1]"},
		"two apps that call each other": {model.State{Workers: []model.AppWorkers{app("front", 4800, call("blog", 20), one(idle())), app("blog", 4900, call("front", 19))}},
			"blog(1) upstream app:front upstream 20: front/0 blog/0 => front/0[page page.py:20 upstream app:blog 20s] blog/0[page page.py:20 upstream app:front 19s] deadlock"},
		"a store that is not configured": {model.State{Workers: []model.AppWorkers{app("front", 4800, one(th("mysql", "10.0.0.1:3306 (mysql)", 20, nil)))}},
			"front(1) mysql 10.0.0.1:3306 (mysql) 20: front/0 => 10.0.0.1:3306 (mysql)[]"},
		"an address": {model.State{Workers: []model.AppWorkers{app("front", 4800, one(th("upstream", "10.0.0.9:443", 20, nil)), one(th("upstream", "10.0.0.9:443", 3, nil)))}},
			"front(2) upstream 10.0.0.9:443 upstream 20: front/0 front/1 => 10.0.0.9:443[]"},
	}
}

func doubtfulScenes() map[string]scene {
	w := func(s float64) []model.Thread { return one(shopWaits(at("pay", "pay.py", 12, s))) }
	waiting := conn(main, 801, 4710, 11, "Query", 42)
	return map[string]scene{
		"nothing": {},
		"busy and healthy": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, one(on(th("mysql", main, 0.9, nil), 11)), one(th("upstream", "10.0.0.9:443", 2, nil)), one(th("cpu", "", 30, nil)), one(th("redis", "redis:cache", 0.1, nil)))},
			StoreConnections: []model.StoreConnection{conn(main, 801, 4710, 11, "Query", 1), conn(main, 90, 0, 0, "Sleep", 7)},
			StoreWaits:       []model.StoreWait{row(801, 90, 1)},
		}, ""},
		"a wait inside the store that has just begun": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, w(42))}, StoreConnections: []model.StoreConnection{waiting, conn(main, 90, 0, 0, "Sleep", 7)}, StoreWaits: []model.StoreWait{row(801, 90, 0.2)},
		}, "shop(1) mysql mysql:main 42: shop/0@mysql:main#801 => @mysql:main[]"},
		"a row that is stale: the waiter sleeps": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, w(42))}, StoreConnections: []model.StoreConnection{conn(main, 801, 4710, 11, "Sleep", 2)}, StoreWaits: []model.StoreWait{row(801, 90, 42)},
		}, "shop(1) mysql mysql:main 42: shop/0 => @mysql:main[]"},
		"a row of a connection that waits for itself": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, w(42))}, StoreConnections: []model.StoreConnection{waiting}, StoreWaits: []model.StoreWait{row(801, 801, 42)},
		}, "shop(1) mysql mysql:main 42: shop/0@mysql:main#801 => @mysql:main[]"},
		"the holder has left the list": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, w(42))}, StoreConnections: []model.StoreConnection{waiting}, StoreWaits: []model.StoreWait{row(801, 99, 42)},
		}, "shop(1) mysql mysql:main row shop.orders 42: shop/0@mysql:main#801 => @mysql:main#99[]"},
		"the socket of another process": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, w(42))}, StoreConnections: []model.StoreConnection{conn(main, 801, 9999, 11, "Query", 42)}, StoreWaits: []model.StoreWait{row(801, 99, 42)},
		}, "shop(1) mysql mysql:main 42: shop/0 => @mysql:main[]"},
		"two connections with one socket": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, w(42))}, StoreConnections: []model.StoreConnection{waiting, conn(main, 802, 4710, 11, "Query", 42)}, StoreWaits: []model.StoreWait{row(801, 99, 42)},
		}, "shop(1) mysql mysql:main 42: shop/0 => @mysql:main[]"},
		"one connection with two owners": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, w(42), one(th("cpu", "", 50, at("c", "c.py", 3, 60))))}, StoreWaits: []model.StoreWait{row(801, 812, 42)},
			StoreConnections: []model.StoreConnection{waiting, trx(conn(main, 812, 4711, 14, "Sleep", 50), 51), trx(conn(main, 812, 4710, 15, "Sleep", 50), 51)},
		}, "shop(2) mysql mysql:main row shop.orders 42: shop/0@mysql:main#801 => @mysql:main#812(shop 127.0.0.1:40000)[50s trx=51]"},
		"a pid of two workers": {model.State{
			Workers:    []model.AppWorkers{app("shop", 4710, w(42), one(th("cpu", "", 50, nil))), app("blog", 4711, one(th("cpu", "", 50, nil)))},
			StoreWaits: []model.StoreWait{row(801, 812, 42)}, StoreConnections: []model.StoreConnection{waiting, conn(main, 812, 4711, 14, "Sleep", 50)},
		}, "shop(2) mysql mysql:main row shop.orders 42: shop/0@mysql:main#801 => @mysql:main#812(shop 127.0.0.1:40000)[50s]"},
		"the transaction is older than the request": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, w(42), one(th("cpu", "", 3, at("c", "c.py", 3, 4))))},
			StoreConnections: []model.StoreConnection{waiting, trx(conn(main, 812, 4711, 14, "Sleep", 50), 51)}, StoreWaits: []model.StoreWait{row(801, 812, 42)},
		}, "shop(2) mysql mysql:main row shop.orders 42: shop/0@mysql:main#801 => shop/1@mysql:main#812[50s trx=51]"},
		"the thread has waited for longer than the connection sleeps": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, w(42), one(th("upstream", "10.0.0.9:443", 60, nil)))},
			StoreConnections: []model.StoreConnection{waiting, trx(conn(main, 812, 4711, 14, "Sleep", 50), 51)}, StoreWaits: []model.StoreWait{row(801, 812, 42)},
		}, "shop(2) upstream 10.0.0.9:443 upstream 60: shop/1 => 10.0.0.9:443[]\nshop(2) mysql mysql:main row shop.orders 42: shop/0@mysql:main#801 => shop/1@mysql:main#812[50s trx=51]"},
		"the holder is between two requests": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, w(42), one(idle()))},
			StoreConnections: []model.StoreConnection{waiting, trx(conn(main, 812, 4711, 14, "Sleep", 50), 51)}, StoreWaits: []model.StoreWait{row(801, 812, 42)},
		}, "shop(2) mysql mysql:main row shop.orders 42: shop/0@mysql:main#801 => shop/1@mysql:main#812[idle 3s trx=51]"},
		"two of its threads have a request": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, w(42), []model.Thread{th("cpu", "", 50, nil), th("sleep", "", 50, nil)})},
			StoreConnections: []model.StoreConnection{waiting, trx(conn(main, 812, 4711, 14, "Sleep", 50), 51)}, StoreWaits: []model.StoreWait{row(801, 812, 42)},
		}, "shop(2) mysql mysql:main row shop.orders 42: shop/0@mysql:main#801 => shop/1@mysql:main#812[50s trx=51]"},
		"one of two has another connection": {model.State{
			Workers: []model.AppWorkers{app("shop", 4710, w(42), []model.Thread{on(th("mysql", main, 49, nil), 13), th("sleep", "", 50, at("c", "c.py", 3, 60))})},
			StoreConnections: []model.StoreConnection{
				waiting, trx(conn(main, 812, 4711, 14, "Sleep", 50), 51), conn(main, 813, 4711, 13, "Query", 49),
			},
			StoreWaits: []model.StoreWait{row(801, 812, 42)},
		}, "shop(2) mysql mysql:main 49: shop/1@mysql:main#813 => @mysql:main[]\n" +
			"shop(2) mysql mysql:main row shop.orders 42: shop/0@mysql:main#801 => shop/1@mysql:main#812[c c.py:3 sleep 50s trx=51]"},
		"a request with two connections waits for itself": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, w(42))},
			StoreConnections: []model.StoreConnection{waiting, trx(conn(main, 812, 4710, 14, "Sleep", 42), 43)}, StoreWaits: []model.StoreWait{row(801, 812, 42)},
		}, "shop(1) mysql mysql:main row shop.orders 42: shop/0@mysql:main#801 => shop/0@mysql:main#812[pay pay.py:12 mysql mysql:main 42s trx=43] deadlock"},
		"a row and a lock of the process": {model.State{
			Workers:          []model.AppWorkers{app("blog", 4710, []model.Thread{on(th("mysql", main, 20, at("a", "a.py", 1, 24)), 13), futex(th("lock", "", 23, locked("b", "b.py", 2)), 7)})},
			StoreConnections: []model.StoreConnection{trx(conn(main, 812, 4710, 14, "Sleep", 23), 23), conn(main, 813, 4710, 13, "Query", 20)},
			StoreWaits:       []model.StoreWait{row(813, 812, 20)},
		}, "blog(1) lock lock 23: blog/0 blog/0@mysql:main#813 => blog/0@mysql:main#813[a a.py:1 mysql mysql:main 20s] blog/0@mysql:main#812[b b.py:2 lock 23s trx=23] deadlock"},
		"a circle of rows": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, w(42), one(on(th("mysql", main, 41, at("b", "b.py", 2, 42)), 12)), one(on(th("mysql", main, 5, nil), 13)))},
			StoreConnections: []model.StoreConnection{waiting, conn(main, 802, 4711, 12, "Query", 41), conn(main, 803, 4712, 13, "Query", 5)},
			StoreWaits:       []model.StoreWait{row(801, 802, 42), row(802, 801, 41), row(803, 801, 5)},
		}, "shop(3) mysql mysql:main row shop.orders 42: shop/0@mysql:main#801 shop/1@mysql:main#802 shop/2@mysql:main#803" +
			" => shop/0@mysql:main#801[pay pay.py:12 mysql mysql:main 42s] shop/1@mysql:main#802[b b.py:2 mysql mysql:main 41s] deadlock"},
		"a circle that is not proved": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, w(42), one(on(th("mysql", main, 41, at("b", "b.py", 2, 42)), 12)))},
			StoreConnections: []model.StoreConnection{waiting, conn(main, 802, 4711, 12, "Query", 41)},
			StoreWaits:       []model.StoreWait{row(801, 802, 42), {Server: main, Waiter: 802, Blocker: 801, Likely: true, Kind: "metadata", Seconds: 41}},
		}, "shop(2) mysql mysql:main row shop.orders 42: shop/0@mysql:main#801 => shop/1@mysql:main#802[b b.py:2 mysql mysql:main 41s]"},
		"two roots": {model.State{
			Workers:          []model.AppWorkers{app("shop", 4710, w(42), one(on(th("mysql", main, 41, nil), 12)), one(on(th("mysql", main, 5, nil), 13)))},
			StoreConnections: []model.StoreConnection{waiting, conn(main, 802, 4711, 12, "Query", 41), conn(main, 803, 4712, 13, "Query", 5)},
			StoreWaits:       []model.StoreWait{row(801, 90, 42), row(802, 91, 41), row(803, 91, 5)},
		}, "shop(3) mysql mysql:main row shop.orders 41: shop/1@mysql:main#802 shop/2@mysql:main#803 => @mysql:main#91[]\n" +
			"shop(3) mysql mysql:main row shop.orders 42: shop/0@mysql:main#801 => @mysql:main#90[]"},
	}
}

func TestChains(t *testing.T) {
	t.Parallel()
	n := 0
	for _, scenes := range []map[string]scene{mysqlScenes(), redisScenes(), processScenes(), appScenes(), doubtfulScenes()} {
		for name, c := range scenes {
			n++
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if got := brief(diagnosis.Chains(&c.state, noon)); got != c.want {
					t.Errorf("\n got %s\nwant %s", got, c.want)
				}
			})
		}
	}
	if n < 24 {
		t.Errorf("%d scenes", n)
	}
}
