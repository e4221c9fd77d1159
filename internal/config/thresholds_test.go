package config_test

import (
	"slices"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

func TestEachIsInOrder(t *testing.T) {
	var names []string
	config.Default().Thresholds.Each(func(resource string, _ config.Limit) { names = append(names, resource) })
	want := []string{"memory", "cpu", "disk", "connection_pool", "request_queue", "response_time", "error_rate", "query_time", "cache_hit_rate", "task_age"}
	if !slices.Equal(names, want) {
		t.Errorf("got %v\nwant %v", names, want)
	}
}

// A caller of Each cannot change the thresholds.
func TestEachGivesTheLimits(t *testing.T) {
	c := full()
	got := map[string]config.Limit{}
	c.Thresholds.Each(func(resource string, l config.Limit) {
		got[resource] = l
		l.Warning = 7
	})
	want := map[string]config.Limit{
		"memory": {Warning: 0.7, Critical: 0.8}, "cpu": {Warning: 0.5, Critical: 0.6}, "disk": {Warning: 0.1, Critical: 0.2},
		"connection_pool": {Warning: 0, Critical: 1}, "request_queue": {Warning: 10, Critical: 1000}, "response_time": {Warning: 0.5, Critical: 1},
		"error_rate": {Warning: 0.01, Critical: 0.01}, "query_time": {Warning: 0.1, Critical: 0.2}, "cache_hit_rate": {Warning: 0.9, Critical: 0.9},
		"task_age": {Warning: 60, Critical: 120},
	}
	for resource, l := range want {
		if got[resource] != l {
			t.Errorf("%s is %+v, want %+v", resource, got[resource], l)
		}
	}
	if c.Thresholds != full().Thresholds {
		t.Errorf("the thresholds became %+v", c.Thresholds)
	}
}
