package model_test

import (
	"math"
	"reflect"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Append adds every field, also one that is new.
func TestAppendAddsEveryField(t *testing.T) {
	var one, sum model.State
	for _, f := range reflect.ValueOf(&one).Elem().Fields() {
		if f.Kind() == reflect.Slice {
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		}
	}
	one.Host = model.Host{Memory: model.Known(0.5), CPU: model.Known(0.25), Total: model.Known(8e9)}
	sum.Append(&one)
	sum.Append(&one)
	sum.Append(&model.State{})
	for field, f := range reflect.ValueOf(sum).Fields() {
		if f.Kind() == reflect.Slice && f.Len() != 2 || f.IsZero() {
			t.Errorf("%s is %v", field.Name, f)
		}
	}
	if *sum.Host.Memory != 0.5 || *sum.Host.CPU != 0.25 || *sum.Host.Total != 8e9 {
		t.Errorf("the host is %+v", sum.Host)
	}
}

func TestKnown(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got := model.Known(v); got != nil {
			t.Errorf("%v is known as %v", v, *got)
		}
	}
	if got := model.Known(0); got == nil || *got != 0 {
		t.Errorf("0 is %v", got)
	}
}
