package relay

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// Usage is what a Redis used.
type Usage struct {
	CPU      float64 // seconds
	Seconds  float64 // that it ran
	Commands float64
	Peak     float64 // bytes of memory
	Received float64 // bytes
	AOF      float64 // bytes of its file
	Clients  float64
}

// store is the Redis.
type store struct {
	dir   string
	noAOF bool
	port  int
	proc  *run.Proc
	admin *redis.Server
	spent Usage // by the process that was killed
}

func (s *store) url() string { return fmt.Sprintf("redis://resp@127.0.0.1:%d/0", s.port) }

// open returns a connection as the user of the relay.
func (s *store) open(user bool) (*redis.Server, error) {
	url, file := fmt.Sprintf("redis://127.0.0.1:%d/0", s.port), ""
	if user {
		url, file = s.url(), filepath.Join(s.dir, "password")
	}
	u, err := config.ParseRedisURL(config.Secret(url))
	if err != nil {
		return nil, err
	}
	return redis.Open(redis.Options{URL: u, PasswordFile: file}), nil
}

// start starts it, again after it was killed, and waits until it has read what it kept.
func (s *store) start(ctx context.Context) (err error) {
	if s.port == 0 {
		if s.port, err = run.FreePort(0); err != nil {
			return err
		}
		if s.admin, err = s.open(false); err != nil {
			return err
		}
	}
	data := filepath.Join(s.dir, "redis")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	aof := "yes"
	if s.noAOF {
		aof = "no"
	}
	args := []string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", data, "--save", "", "--appendonly", aof, "--appendfsync", "everysec",
		"--user", "resp", "on", ">" + password, "+ping", "+info", "+client|setname",
	}
	s.proc, err = run.Start(run.Spec{Name: "redis", Path: "redis-server", Args: append(args, strings.Fields(Rights)...), Logs: s.dir})
	if err != nil {
		return err
	}
	return until(ctx, time.Minute, func(ctx context.Context) error {
		_, err := s.info(ctx)
		return err
	})
}

// kill ends it without a word.
func (s *store) kill(ctx context.Context) (err error) {
	if s.spent, err = s.usage(ctx); err != nil {
		return err
	}
	if err := s.proc.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-s.proc.Done()
	return nil
}

// stop closes the connection and ends the Redis.
func (s *store) stop() {
	if s.admin != nil {
		_ = s.admin.Close()
	}
	if s.proc != nil {
		s.proc.Stop()
	}
}

// info returns the fields of INFO.
func (s *store) info(ctx context.Context) (map[string]string, error) {
	out := make(map[string]string)
	err := s.admin.WithKeys(ctx, func(ctx context.Context, l *redis.Link) error {
		text, err := l.Client().Info(ctx).Result()
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			out[name] = value
		}
		return err
	})
	return out, err
}

// usage returns what it used since its first start.
func (s *store) usage(ctx context.Context) (Usage, error) {
	f, err := s.info(ctx)
	if err != nil {
		return s.spent, err
	}
	number := func(name string) float64 {
		v, _ := strconv.ParseFloat(f[name], 64) // INFO has it, or it is 0
		return v
	}
	u := s.spent
	u.CPU += number("used_cpu_sys") + number("used_cpu_user")
	u.Seconds += number("uptime_in_seconds")
	u.Commands += number("total_commands_processed")
	u.Received += number("total_net_input_bytes")
	u.Peak = max(u.Peak, number("used_memory_peak"))
	u.Clients = max(u.Clients, number("connected_clients"))
	u.AOF = number("aof_current_size")
	return u, nil
}

// members returns how many exporters are registered.
func (s *store) members(ctx context.Context) (n int, err error) {
	err = s.admin.WithKeys(ctx, func(ctx context.Context, l *redis.Link) error {
		n = 0
		for cursor := uint64(0); ; {
			keys, next, err := l.Client().Scan(ctx, cursor, "resp:heal:relay:member:*", 1000).Result()
			if n += len(keys); err != nil || next == 0 {
				return err
			}
			cursor = next
		}
	})
	return n, err
}
