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

// What a list reports of each client, and what a server that refuses it returns.
func TestActivities(t *testing.T) {
	t.Parallel()
	list := activityLine + "id=4 addr=/run/r.sock:0 fd=9 name= age=1 idle=0 flags=U db=0 cmd=client|list\nid=5 addr=127.0.0.1:1 db=0 age=1\nid=0 addr=127.0.0.1:1 db=0 age=1 idle=0\nid=6 addr=127.0.0.1:2 db=0 age=x idle=0\n"
	f := redistest.Serve(t, redistest.Well(map[string]string{"client": redistest.Bulk(list)}))
	in, err := redistest.Open(t, "redis://"+f.Addr, "").Inspect(t.Context(), true, false)
	got := in.Clients
	first := redis.Activity{ID: 3, User: "shop", Command: "blpop", Age: time.Minute, Idle: 42 * time.Second, Blocked: true, Multi: true}
	first.Addr, first.To, first.Name, first.DB = netip.MustParseAddrPort("127.0.0.1:41872"), netip.MustParseAddrPort("127.0.0.1:6379"), "web", 2
	second := redis.Activity{ID: 4, Command: "client|list", Age: time.Second}
	second.Path = "/run/r.sock"
	if want := []redis.Activity{first, second}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

// One refusal does not hide the answer to the other question.
func TestInspectRefused(t *testing.T) {
	t.Parallel()
	noperm := func(command string) string {
		return "-NOPERM User hunter2 has no permissions to run the '" + command + "' command\r\n"
	}
	f := redistest.Serve(t, redistest.Well(map[string]string{"client": redistest.Bulk(activityLine), "slowlog": noperm("slowlog|get")}))
	in, err := redistest.Open(t, "redis://"+f.Addr, "").Inspect(t.Context(), true, true)
	if k, detail := redistest.Fault(t, in.SlowErr); err != nil || len(in.Clients) != 1 || in.ClientsErr != nil || k != reason.Permission || !strings.Contains(detail, "+slowlog|get") || strings.Contains(detail, "hunter2") {
		t.Errorf("no slow commands: %+v, %v", in, err)
	}
	f = redistest.Serve(t, redistest.Well(map[string]string{"client": noperm("client|list"), "slowlog": "*0\r\n"}))
	in, err = redistest.Open(t, "redis://"+f.Addr, "").Inspect(t.Context(), true, true)
	if k, detail := redistest.Fault(t, in.ClientsErr); err != nil || in.SlowErr != nil || k != reason.Permission || !strings.Contains(detail, "+client|list") {
		t.Errorf("no list: %+v, %v", in, err)
	}
	f = redistest.Serve(t, redistest.Well(map[string]string{"slowlog": "-BUSY Redis is busy running a script.\r\n"}))
	if _, err = redistest.Open(t, "redis://"+f.Addr, "").Inspect(t.Context(), false, true); err == nil {
		t.Error("a server that is busy answers")
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
	in, err := redistest.Open(t, "redis://"+f.Addr, "").Inspect(t.Context(), false, true)
	got := in.Slow
	at := time.Unix(1_800_000_000, 0)
	want := []redis.SlowCommand{{"keys", at, 300 * time.Millisecond, "127.0.0.1:4711"}, {"debug|sleep", at, 300 * time.Millisecond, ""}, {"", at, 300 * time.Millisecond, ""}, {"set", at, 300 * time.Millisecond, "1"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

// A server that runs a script is distinguished from one that loads its data.
func TestScriptIsTold(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]bool{"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n": true, "-LOADING Redis is loading the dataset in memory\r\n": false} {
		if e := redis.ReplyFault(strings.TrimSpace(reply)); e.Script != want || e.Reason != reason.Busy {
			t.Errorf("%q: %+v", reply, e)
		}
	}
}

// For any list, each activity has an id, an address and a command of plain characters.
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
