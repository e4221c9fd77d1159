package appname

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestHostTemplate(t *testing.T) {
	for host, want := range map[string]string{
		"shop-7d9f8b6c5d-x2x9k":    "shop",
		"shop-api-58b9cd7f6-4zqtw": "shop-api",
		"shop-0":                   "shop-0",
		"shop-https":               "shop-https",
		"4f1c2ab09d3e":             "",
		strings.Repeat("0a", 32):   "",
		"web":                      "web",
		"vm-1.example.org":         "vm-1.example.org",
		"shop-abcdefgh-x2x9k":      "shop-abcdefgh-x2x9k", // no hash of a ReplicaSet
		strings.Repeat("s", 48) + "-7d9f8b6c5d-x2": strings.Repeat("s", 48),
		"5f0c8f9e-1234-4abc-8def-0123456789ab":     "",
	} {
		if got := HostTemplate(host, false); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
	for host, want := range map[string]string{"agent-x2x9k": "agent", "report-28112345-q9k2z": "report", "shop-7d9f8b6c5d-x2x9k": "shop", "db-0": "db-0"} {
		if got := HostTemplate(host, true); got != want {
			t.Errorf("pod %s: %q, want %q", host, got, want)
		}
	}
}

func TestLastingUnit(t *testing.T) {
	for unit, want := range map[string]string{
		"shop": "shop", "shop@8001": "shop@8001", "run-u42": "", "run-p123-i456": "", "app-gnome-shop-4711": "app-gnome-shop", "shop-2": "shop-2",
		"tmux-spawn-5f0c8f9e-1234-4abc-8def-0123456789ab": "", "": "",
	} {
		if got := StableUnit(unit); got != want {
			t.Errorf("%s: %q, want %q", unit, got, want)
		}
	}
}

func TestQualifiedNames(t *testing.T) {
	for name, c := range map[string]struct {
		id     ID
		others []ID
		want   string // the first two
	}{
		"another unit":            {ID{Base: "app", Unit: "till", Bind: ":8000"}, []ID{{Base: "app", Unit: "shop", Bind: ":8000"}}, "app@till app@till@:8000"},
		"another pod":             {ID{Base: "app", Host: "api", Bind: ":8000"}, []ID{{Base: "app", Host: "web", Bind: ":8000"}}, "app@api app@api@:8000"},
		"one unit, another port":  {ID{Base: "app", Unit: "supervisor", Bind: ":8001"}, []ID{{Base: "app", Unit: "supervisor", Bind: ":8000"}}, "app@:8001 app@supervisor@:8001"},
		"another socket":          {ID{Base: "app", Bind: "unix:/run/b.sock"}, []ID{{Base: "app", Bind: "unix:/run/a.sock"}}, "app@b.sock"},
		"sockets of one name":     {ID{Base: "app", Bind: "unix:/run/b/g.sock"}, []ID{{Base: "app", Bind: "unix:/run/a/g.sock"}}, "app@b/g.sock"},
		"nothing of its own":      {ID{Base: "app", Unit: "u", Bind: ":1"}, []ID{{Base: "app", Unit: "u", Bind: ":2"}, {Base: "app", Unit: "v", Bind: ":1"}}, "app@u@:1"},
		"nothing at all":          {ID{Base: "app"}, []ID{{Base: "app"}}, ""},
		"a user":                  {ID{Base: "app", Owner: 33}, nil, "app@uid33"},
		"a unit of foreign signs": {ID{Base: "app", Unit: "läden\n"}, nil, "app@l_den_"},
	} {
		got := Qualified(c.id, c.others)
		if s := strings.Join(got[:min(2, len(got))], " "); s != c.want {
			t.Errorf("%s: %s, want %s", name, s, c.want)
		}
	}
}

// Names stay within the limit, and two different names are different after the cut.
func TestNamesWithinTheBound(t *testing.T) {
	seen := make(map[string]string)
	for _, base := range []string{"shop", strings.Repeat("x", 40), strings.Repeat("x", 64)} {
		for i := range 300 {
			for _, suffix := range []string{fmt.Sprintf("~%d", i), fmt.Sprintf("@unit-%d", i), "@" + strings.Repeat("u", 50) + fmt.Sprint(i)} {
				n := withSuffix(base, suffix)
				if len(n) > MaxName || seen[n] != "" {
					t.Fatalf("%s and %s: %q", base+suffix, seen[n], n)
				}
				seen[n] = base + suffix
			}
		}
	}
	if n := WithoutOrdinal("shop@api~12"); n != "shop@api" {
		t.Errorf("%q", n)
	}
	if n := WithoutOrdinal("shop@api"); n != "shop@api" {
		t.Errorf("%q", n)
	}
}

func TestBindEnds(t *testing.T) {
	if !slices.Equal(bindEnds("unix:/a/b"), []string{"b", "a/b", "unix:/a/b"}) || len(bindEnds("")) != 0 {
		t.Errorf("%v", bindEnds("unix:/a/b"))
	}
}
