package diagnosis_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// parties lists the victims and the roots of a state: workers by their slots,
// connections by their ids.
func parties(s *model.State) string {
	s.Chains = diagnosis.Chains(s, noon)
	p := diagnosis.Victims(s)
	var victims, roots []string
	for i := range s.Workers {
		for _, w := range s.Workers[i].Workers {
			name := s.Workers[i].App + "/" + w.Slot
			if p.Worker(s.Workers[i].App, w.Slot, w.PID) != nil {
				victims = append(victims, name)
			}
			if p.RootWorker(s.Workers[i].App, w.Slot, w.PID) != nil {
				roots = append(roots, name)
			}
		}
	}
	for _, server := range []string{"mysql:main", "redis:cache"} {
		for id := range uint64(1000) {
			if p.Connection(server, id) != nil {
				victims = append(victims, fmt.Sprint("#", id))
			}
			if p.RootConnection(server, id) != nil {
				roots = append(roots, fmt.Sprint("#", id))
			}
		}
	}
	return strings.Join(victims, " ") + " | " + strings.Join(roots, " ")
}

func TestVictims(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"row lock, depth 1":                       "shop/0 shop/1 shop/3 #801 #802 #803 | shop/2 #812",
		"depth 2":                                 "shop/0 shop/1 #801 #802 | shop/2 #803",
		"metadata lock":                           "shop/0 #91 #801 | shop/1 #812",
		"and one is likely":                       "shop/0 #801 | ",
		"a circle of rows":                        "shop/2 #803 | shop/0 shop/1 #801 #802",
		"a lock of the process":                   " | shop/0",
		"one of several":                          " | shop/0",
		"over two apps to a lock":                 "shop/0 shop/1 shop/3 front/0 front/1 #801 #802 #803 | shop/2 #812",
		"over two apps to an address":             "front/0 | ",
		"an address":                              " | ",
		"a store that is not configured":          " | ",
		"a full server":                           "shop/0 shop/1 | ",
		"a slow command of a worker holds up all": "shop/0 shop/1 | blog/0 #9",
		"nothing":                                 " | ",
	}
	for _, scenes := range []map[string]scene{mysqlScenes(), redisScenes(), processScenes(), appScenes(), doubtfulScenes()} {
		for name, c := range scenes {
			if w, ok := want[name]; ok {
				if got := parties(&c.state); got != w {
					t.Errorf("%s: %s, want %s", name, got, w)
				}
				delete(want, name)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("no scene has %v", want)
	}
}

// All chains and advice about one root have one cause.
func TestCause(t *testing.T) {
	t.Parallel()
	var all []string
	for _, scenes := range []map[string]scene{mysqlScenes(), redisScenes(), processScenes(), appScenes(), doubtfulScenes()} {
		for name, c := range scenes {
			for _, x := range diagnosis.Chains(&c.state, noon) {
				if cause := diagnosis.Cause(&x); cause == "" {
					t.Errorf("%s has none", name)
				} else {
					all = append(all, cause)
				}
			}
		}
	}
	for _, want := range []string{"mysql:main/connection:812", "redis:cache/connection:9", "app:gone", "10.0.0.9:443/upstream", "mysql:main/metadata", "shop/worker:0/lock"} {
		if !slices.Contains(all, want) {
			t.Errorf("no %s in %q", want, all)
		}
	}
	if diagnosis.Cause(&model.Chain{}) != "" || diagnosis.Advice(&model.Chain{}) != "" {
		t.Error("a chain without links has a cause")
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/srv/shop/billing.py": "billing.py", "/srv/shop/orders/views.py": "orders/views.py", "/srv/shop/__init__.py": "shop/__init__.py",
		"views.py": "views.py", "": "", "/": "", "<string>": "<string>", "/views.py": "views.py",
	} {
		if got := diagnosis.File(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// A chain that names its root is found by its workers and servers; another one is not.
func TestFind(t *testing.T) {
	t.Parallel()
	s := lockScene()
	list := diagnosis.Chains(&s, noon)
	for slot, want := range map[string]bool{"0": true, "2": true, "9": false, "": false} {
		if got := diagnosis.OfWorker(list, "shop", slot) != nil; got != want {
			t.Errorf("worker %q: %t", slot, got)
		}
	}
	if diagnosis.OfServer(list, "mysql:main") == nil || diagnosis.OfServer(list, "mysql:other") != nil || diagnosis.OfWorker(list, "blog", "0") != nil {
		t.Error("by server or app")
	}
	address := appScenes()["an address"].state
	list = append(diagnosis.Chains(&address, noon), model.Chain{})
	if len(list) != 2 || diagnosis.OfWorker(list, "front", "0") != nil || diagnosis.OfServer(list, "10.0.0.9:443") != nil {
		t.Errorf("%s", brief(list))
	}
	circle := doubtfulScenes()["a circle of rows"].state
	if list = diagnosis.Chains(&circle, noon); diagnosis.OfWorker(list, "shop", "1") == nil {
		t.Error("a party of a circle")
	}
}
