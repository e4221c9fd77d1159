package logs_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/logs"
)

func TestOr(t *testing.T) {
	logs.Or(nil).Error("nothing") // does not panic
	var b bytes.Buffer
	logs.Or(slog.New(slog.NewTextHandler(&b, nil))).Error("something")
	if !strings.Contains(b.String(), "something") {
		t.Error(b.String())
	}
}

func TestRecovered(t *testing.T) {
	fail := func() (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = logs.Recovered(r)
			}
		}()
		panic("on purpose")
	}
	p, ok := errors.AsType[*logs.Panic](fmt.Errorf("read: %w", fail()))
	if !ok || p.Error() != "panic: on purpose" || !strings.Contains(p.Stack, "TestRecovered") {
		t.Errorf("%+v", p)
	}
}
