package redis_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
)

const activityLine = "id=3 addr=127.0.0.1:41872 laddr=127.0.0.1:6379 fd=8 name=web age=60 idle=42 flags=bx db=2 sub=0 multi=1 cmd=BLPOP user=shop\n"

// What a list says of each client, and what one refuses.
func TestActivities(t *testing.T) {
	t.Parallel()
	list := activityLine + "id=4 addr=/run/r.sock:0 fd=9 name= age=1 idle=0 flags=U db=0 cmd=client|list\nid=5 addr=127.0.0.1:1 db=0 age=1\nid=0 addr=127.0.0.1:1 db=0 age=1 idle=0\nid=6 addr=127.0.0.1:2 db=0 age=x idle=0\n"
	f := redistest.Serve(t, redistest.Well(map[string]string{"client": redistest.Bulk(list)}))
	got, err := redistest.Open(t, "redis://"+f.Addr, "").Activities(t.Context())
	first := redis.Activity{ID: 3, User: "shop", Command: "blpop", Age: time.Minute, Idle: 42 * time.Second, Blocked: true, Multi: true}
	first.Addr, first.To, first.Name, first.DB = netip.MustParseAddrPort("127.0.0.1:41872"), netip.MustParseAddrPort("127.0.0.1:6379"), "web", 2
	second := redis.Activity{ID: 4, Command: "client|list", Age: time.Second}
	second.Path = "/run/r.sock"
	if want := []redis.Activity{first, second}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	for command, ask := range map[string]func(*redis.Server) error{
		"client|list": func(s *redis.Server) error { _, err := s.Activities(t.Context()); return err },
		"slowlog|get": func(s *redis.Server) error { _, err := s.SlowCommands(t.Context()); return err },
	} {
		word, _, _ := strings.Cut(command, "|")
		f := redistest.Serve(t, redistest.Well(map[string]string{word: "-NOPERM User hunter2 has no permissions to run the '" + command + "' command\r\n"}))
		err := ask(redistest.Open(t, "redis://"+f.Addr, ""))
		if k, detail := redistest.Fault(t, err); k != reason.Permission || !strings.Contains(detail, "+"+command) || strings.Contains(detail, "hunter2") {
			t.Errorf("%s: %s %q", command, k, detail)
		}
	}
}

// Of slow commands the arguments are left out.
func TestSlowCommands(t *testing.T) {
	t.Parallel()
	entry := func(args, client string) string {
		return "*6\r\n:14\r\n:1800000000\r\n:300000\r\n" + args + redistest.Bulk(client) + redistest.Bulk("hunter2")
	}
	reply := redistest.Array(entry(redistest.Strings("KEYS", "hunter2*"), "127.0.0.1:4711"), entry(redistest.Strings("DEBUG", "SLEEP", "1"), ""), entry(redistest.Strings("get hunter2", "x"), strings.Repeat("x", 300)), entry(redistest.Strings("SET", "hunter2"), "1"))
	f := redistest.Serve(t, redistest.Well(map[string]string{"slowlog": reply}))
	got, err := redistest.Open(t, "redis://"+f.Addr, "").SlowCommands(t.Context())
	at := time.Unix(1_800_000_000, 0)
	want := []redis.SlowCommand{{"keys", at, 300 * time.Millisecond, "127.0.0.1:4711"}, {"debug|sleep", at, 300 * time.Millisecond, ""}, {"", at, 300 * time.Millisecond, ""}, {"set", at, 300 * time.Millisecond, "1"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

// A server that runs a script is told from one that loads its data.
func TestScriptIsTold(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]bool{"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n": true, "-LOADING Redis is loading the dataset in memory\r\n": false} {
		if e := redis.ReplyFault(strings.TrimSpace(reply)); e.Script != want || e.Reason != reason.Busy {
			t.Errorf("%q: %+v", reply, e)
		}
	}
}

// Whatever a list holds: each activity has an id, an address and a command of plain
// characters.
func FuzzParseActivities(f *testing.F) {
	f.Add(activityLine)
	f.Add("id=18446744073709551616 addr=1.2.3.4:5 db=0 age=-1 idle=99999999999999 cmd=a|b|c\nid=1 addr=/a:0 db=0 age=1 idle=1 cmd=config|get|x flags=")
	f.Fuzz(func(t *testing.T, list string) {
		got := redis.ParseActivities(list)
		if len(got) > 2000 {
			t.Errorf("%d clients", len(got))
		}
		for _, a := range got {
			if a.ID == 0 || a.Addr.IsValid() == (a.Path != "") || a.Age < 0 || a.Idle < 0 || len(a.Command) > 65 || strings.Trim(a.Command, "abcdefghijklmnopqrstuvwxyz0123456789.-_|") != "" || len(a.User) > 256 {
				t.Errorf("%q gives %+v", list, a)
			}
		}
	})
}
