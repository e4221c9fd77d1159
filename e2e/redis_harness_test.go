package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// The user of docs/redis.md, with a name and a password that must not be shown.
const (
	redisUser     = "hunteruser"
	redisPassword = "hunter2hunter2"
	redisRights   = "+ping +info +client|setname"
)

// redisServer is a Redis of the test's own: loopback only, nothing saved.
type redisServer struct {
	t    *testing.T
	port int
	dir  string
	args []string
	wrap []string // a program that runs it, with its arguments
	proc *run.Proc
}

// redisUserArgs makes the user of the documentation outlast a restart.
func redisUserArgs() []string {
	return append([]string{"--user", redisUser, "on", ">" + redisPassword}, strings.Fields(redisRights)...)
}

// startRedis starts one that ends with the test, with the user of the documentation.
func startRedis(t *testing.T, args ...string) *redisServer {
	t.Helper()
	return startRedisIn(t, nil, args...)
}

// maxClusterPort is above the ports of nodes of a cluster: the bus of a node is
// at its port and 10,000, which must be below those that the kernel chooses.
const maxClusterPort = 22_768

// startRedisIn is startRedis with a program that runs the server.
func startRedisIn(t *testing.T, wrap []string, args ...string) *redisServer {
	t.Helper()
	need(t, "redis-server", "redis-cli")
	r := &redisServer{t: t, port: freePort(t), dir: openDir(t), args: args, wrap: wrap}
	for slices.Contains(args, "--cluster-enabled") && r.port >= maxClusterPort {
		r.port = freePort(t)
	}
	r.start()
	r.cli("ACL", append([]string{"SETUSER", redisUser, "reset", "on", ">" + redisPassword}, strings.Fields(redisRights)...)...)
	return r
}

// start starts it, again after an end, and waits until it answers or loads.
func (r *redisServer) start() {
	r.t.Helper()
	argv := append(append([]string{}, r.wrap...), "redis-server", "--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--dir", r.dir, "--save", "", "--appendonly", "no",
		"--unixsocket", r.socket(), "--daemonize", "no", "--aclfile", "")
	argv = append(argv, r.args...)
	r.proc = start(r.t, run.Spec{Name: "redis-server", Path: argv[0], Args: argv[1:], Dir: r.dir})
	eventually(r.t, 20*time.Second, func() error {
		if err := r.proc.Err(); err != nil {
			r.t.Fatalf("%v\n%s", err, r.proc.Output(2000))
		}
		out, err := exec.Command("redis-cli", "-p", strconv.Itoa(r.port), "PING").CombinedOutput() //nolint:gosec // a test's own server
		if s := string(out); strings.HasPrefix(s, "PONG") || strings.HasPrefix(s, "LOADING") {
			return nil
		}
		return fmt.Errorf("PING: %w: %s", err, out)
	})
}

func (r *redisServer) socket() string { return filepath.Join(r.dir, "r.sock") }

// cli runs one command as the administrator, and returns the reply.
func (r *redisServer) cli(command string, args ...string) string {
	r.t.Helper()
	out, err := exec.Command("redis-cli", append([]string{"-p", strconv.Itoa(r.port), command}, args...)...).CombinedOutput() //nolint:gosec // a test's own server
	s := strings.TrimSpace(string(out))
	if err != nil || strings.HasPrefix(s, "ERR") || strings.HasPrefix(s, "NOPERM") {
		r.t.Fatalf("%s: %v: %s", command, err, s)
	}
	return s
}

// info is one value of INFO.
func (r *redisServer) info(key string) float64 {
	r.t.Helper()
	for line := range strings.Lines(r.cli("INFO")) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				r.t.Fatal(err)
			}
			return v
		}
	}
	r.t.Fatalf("no %s", key)
	return 0
}

// ours counts the connections of the exporter.
func (r *redisServer) ours() int {
	r.t.Helper()
	return strings.Count(r.cli("CLIENT", "LIST"), "name=resp-exporter")
}

// url is where it listens, for the user of the documentation.
func (r *redisServer) url() string {
	return fmt.Sprintf("redis://%s@127.0.0.1:%d/0", redisUser, r.port)
}

// redisSection is the configuration of servers by name and URL, with the right password.
func redisSection(t *testing.T, nameAndURL ...string) string {
	t.Helper()
	return redisSectionWith(write(t, filepath.Join(t.TempDir(), "password"), redisPassword+"\n"), nameAndURL...)
}

func redisSectionWith(passwordFile string, nameAndURL ...string) string {
	s := "redis:\n"
	for i := 0; i < len(nameAndURL); i += 2 {
		s += fmt.Sprintf("  - {name: %s, url: %q, password_file: %s}\n", nameAndURL[i], nameAndURL[i+1], passwordFile)
	}
	return s
}

// redisReason returns an error unless the collector has that reason and the server is up
// or not.
func redisReason(m metrics, name, reason string, up float64) error {
	available := 0.0
	if reason == "ok" {
		available = 1
	}
	return all(
		m.want(up, "resp_up", "component=redis:"+name),
		m.want(available, "resp_collector_available", "collector=redis", "reason="+reason),
	)
}

// keepsRedisSecrets fails the test if a secret word is in what the exporter shows or has
// logged.
func keepsRedisSecrets(t *testing.T, x *exporter, more ...string) {
	t.Helper()
	shown := map[string]string{"log": x.Output(1 << 20)}
	for _, path := range []string{"/metrics", "/", "/api/v1/status"} {
		status, body, err := x.get(path)
		if err != nil || status != 200 {
			t.Errorf("%s: %d, %v", path, status, err)
		}
		shown[path] = body
	}
	for where, text := range shown {
		for _, word := range append(more, redisUser, redisPassword, "redis://", "secretkey") {
			if strings.Contains(text, word) {
				t.Errorf("%q is in %s", word, where)
			}
		}
	}
}
