package table

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

func TestServiceOf(t *testing.T) {
	for path, want := range map[string]string{
		"/system.slice/shop.service":                                        "shop",
		"/system.slice/system-shop.slice/shop@1.service":                    "shop@1",
		"/user.slice/user-1000.slice/user@1000.service/app.slice/a.service": "",
		"/user.slice/x/system.slice/shop.service":                           "",
		"/system.slicer/shop.service":                                       "",
		"/docker/abc":                                                       "",
	} {
		if got := serviceOf([]string{path}); got != want {
			t.Errorf("%s is in service %q, want %q", path, got, want)
		}
	}
}

func TestUnit(t *testing.T) {
	got := procfs.ParseCgroups([]byte("9:name=systemd:/system.slice/shop.service\n4:memory:/system.slice/shop.service\n1:cpu:/\n0::/user.slice/user-1000.slice/user@1000.service/init.scope\n"))
	if len(got) != 2 {
		t.Fatalf("groups %q", got)
	}
	if u := unitOf(got); u != "shop" {
		t.Errorf("unit %q", u)
	}
	if u := unitOf(got[1:]); u != "" {
		t.Errorf("a login's manager taken for a unit: %q", u)
	}
}
