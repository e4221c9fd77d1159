package redis_test

import (
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
)

// A server that does not report its run id has no identity.
func TestServerID(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]redis.ServerID{"run_id:c0ffee\r\n": "c0ffee", "role:master\r\n": "", "run_id:a+b\r\n": "", "run_id:" + strings.Repeat("a", 65) + "\r\n": ""} {
		got, err := redistest.OpenAt(t, redistest.Serve(t, redistest.Well(map[string]string{"info": redistest.Bulk(reply)})), time.Now).ServerID(t.Context())
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", reply, got, err)
		}
	}
}

// FuzzParseClients: each client has an address and a short name, and their number is
// within the limit.
func FuzzParseClients(f *testing.F) {
	f.Add("id=3 addr=127.0.0.1:41872 laddr=127.0.0.1:6379 fd=8 name=a db=0 cmd=brpop\n")
	f.Add("id=3 addr=/run/redis.sock:0 name= db=15\nid=4 addr=[::1]:7 name=x db=-1\naddr=? db=1")
	f.Add(strings.Repeat("addr=1.2.3.4:5 db=0\n", 3000))
	f.Fuzz(func(t *testing.T, list string) {
		got := redis.ParseClients(list)
		if len(got) > 2000 {
			t.Errorf("%d clients", len(got))
		}
		for _, c := range got {
			if c.Addr.IsValid() == (c.Path != "") || len(c.Name) > 256 || len(c.Path) > 256 || strings.ContainsAny(c.Name, " \n") || c.DB < 0 {
				t.Errorf("%q gives %+v", list, c)
			}
		}
	})
}

func BenchmarkParseClients(b *testing.B) {
	b.ReportAllocs()
	list := strings.Repeat("id=3 addr=127.0.0.1:41872 laddr=127.0.0.1:6379 fd=8 name=worker age=1 idle=0 flags=b db=0 sub=0 psub=0 multi=-1 qbuf=0 cmd=brpop user=shop\n", 1000)
	for b.Loop() {
		if len(redis.ParseClients(list)) != 1000 {
			b.Fatal("not all are read")
		}
	}
}
