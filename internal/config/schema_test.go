package config_test

import (
	"reflect"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

// Each key has a text about the values that it expects, for errors.
func TestEachKeySaysWhatIsExpected(t *testing.T) {
	types := []reflect.Type{
		reflect.TypeFor[config.Config](), reflect.TypeFor[config.Healing](), reflect.TypeFor[config.HealingStep](), reflect.TypeFor[config.KillLeaked](),
		reflect.TypeFor[config.KillBlocking](), reflect.TypeFor[config.KillLong](), reflect.TypeFor[config.Recycle](), reflect.TypeFor[config.Purge](), reflect.TypeFor[config.RestartTask](),
		reflect.TypeFor[config.Collect](), reflect.TypeFor[config.Trace](), reflect.TypeFor[config.Throttle](), reflect.TypeFor[config.CallHTTP](), reflect.TypeFor[config.RunCommand](),
	}
	keys := 0
	for len(types) > 0 {
		at := types[0]
		types = types[1:]
		for f := range at.Fields() {
			key, want, item := f.Tag.Get("yaml"), f.Tag.Get("want"), f.Tag.Get("item")
			switch {
			case key == "-":
				continue
			case key == "":
				t.Errorf("%s.%s has no key", at, f.Name)
			case f.Type == reflect.TypeFor[config.Limit](), f.Type.Kind() == reflect.String, f.Type.Kind() == reflect.Int, f.Type.Kind() == reflect.Int64, f.Type.Kind() == reflect.Float64:
				if want == "" && at != reflect.TypeFor[config.Limit]() {
					t.Errorf("%s.%s does not say what is expected", at, f.Name)
				}
			case f.Type.Kind() == reflect.Struct:
				types = append(types, f.Type)
			case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
				types = append(types, f.Type.Elem())
				if want == "" {
					t.Errorf("%s.%s does not say what is expected", at, f.Name)
				}
			case f.Type.Kind() == reflect.Slice, f.Type.Kind() == reflect.Map:
				if want == "" || item == "" {
					t.Errorf("%s.%s does not say what is expected of it and its items", at, f.Name)
				}
			}
			keys++
		}
	}
	if keys < 80 {
		t.Errorf("only %d keys were looked at", keys)
	}
}
