package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/redis/controlkey"
	"github.com/resp-exporter/resp-exporter/internal/secret"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling"
)

// Reload applies the configuration file again; counters continue. If any of it is invalid,
// nothing changes. It returns the error and logs it too, so that a caller need not.
func (a *App) Reload(ctx context.Context) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	var heal func()
	cfg, err := config.LoadFile(a.o.ConfigFile, a.o.Env)
	if err == nil {
		err = checkControlKey(&cfg)
	}
	if err == nil {
		heal, err = a.heal.runner.Prepare(cfg.Healing, a.buildAction)
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		err = a.watcher.Apply(ctx, cfg.Apps, stuckAfter(cfg), cfg.MonitoringInterval)
	}
	if err != nil {
		a.thresholds.Fail()
		a.log.Error("Configuration not reloaded, keeping the previous one", "err", err)
		return err
	}
	a.sampler.Apply(samplerSettings(&cfg))
	a.past.samples.Apply(historySettings(&cfg))
	a.senders.apply(cfg.StatsD.Trust)
	a.requests.Apply(cfg.SlowRequest, cfg.StatsD.MaxRoutes)
	a.receivers.apply(cfg.StatsD.Listen)
	a.mysql.apply(cfg.MySQL)
	a.redis.apply(&cfg)
	a.sessionScanners.apply(cfg)
	a.watcher.SetServices(services(&cfg))
	a.thresholds.Apply(&cfg, time.Now())
	a.config.Store(&cfg)
	a.warnOfFiles(&cfg)
	heal()
	a.log.Info("Configuration reloaded")
	return nil
}

// checkControlKey returns why the secret of the control keys could not be used; nil: it
// could, or none is configured. Without it apps on other hosts would be asked for nothing
// from the reload on. An exporter that starts has nothing to keep, so it starts without.
func checkControlKey(cfg *config.Config) error {
	c := cfg.Healing.Control
	if c.Redis == "" {
		return nil
	}
	err := controlkey.CheckKey(c.KeyFile)
	if e, ok := errors.AsType[*secret.Error](err); ok {
		err = errors.New(e.Why()) // the response to a reload does not have the path
	}
	if err != nil {
		err = fmt.Errorf("healing.control.key_file: %w", err)
	}
	return err
}

// stuckAfter returns after how long a request counts as stuck: response_time.critical.
func stuckAfter(cfg config.Config) time.Duration {
	return time.Duration(cfg.Thresholds.ResponseTime.Critical * float64(time.Second))
}

// samplerSettings returns how often the threads of workers are sampled and what of their
// stacks is shown.
func samplerSettings(cfg *config.Config) sampling.Settings {
	return sampling.Settings{Rate: cfg.Diagnosis.SampleRate, Stacks: cfg.Diagnosis.Stacks, Paths: cfg.Diagnosis.ShowPaths}
}
