package app

import (
	"context"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling"
)

// Reload applies the configuration file again. If any of it is invalid, nothing
// changes. Counters continue. It logs the error that it returns, so that a
// caller need not.
func (a *App) Reload(ctx context.Context) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	var heal func()
	cfg, err := config.LoadFile(a.o.ConfigFile, a.o.Env)
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

func stuckAfter(cfg config.Config) time.Duration {
	return time.Duration(cfg.Thresholds.ResponseTime.Critical * float64(time.Second))
}

// samplerSettings returns the settings of the sampler of the workers' threads.
func samplerSettings(cfg *config.Config) sampling.Settings {
	return sampling.Settings{Rate: cfg.Diagnosis.SampleRate, Stacks: cfg.Diagnosis.Stacks, Paths: cfg.Diagnosis.ShowPaths}
}
