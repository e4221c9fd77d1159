package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestPlain checks that what a page says becomes one line.
func TestPlain(t *testing.T) {
	t.Parallel()
	for page, want := range map[string]string{
		"": "",
		"<!doctype html>\n<html lang=en>\n<title>409 Conflict</title>\n<h1>Conflict</h1>\n<p>it isn&#39;t\n free</p>\n<p>more": "it isn't free",
		"<p>cut off after 500":        "cut off after 500",
		"overloaded\n try again\r\n ": "overloaded try again",
	} {
		if got := plain(page); got != want {
			t.Errorf("%q: got %q, want %q", page, got, want)
		}
	}
}

// TestCrowdLeaves checks that the crowd says what it counted, each outcome by itself.
func TestCrowdLeaves(t *testing.T) {
	t.Parallel()
	gone := &crowd{stop: func() {}, sent: map[string]int{}, served: map[string]int{}}
	for range 3 {
		gone.note("high", http.StatusOK, time.Second, false)
	}
	gone.note("high", 0, 30*time.Second, false)
	gone.note("low", http.StatusOK, 2*time.Second, false)
	gone.note("low", http.StatusServiceUnavailable, 400*time.Millisecond, false)
	gone.note("low", http.StatusServiceUnavailable, 4*time.Second, false)
	gone.note("low", http.StatusInternalServerError, 0, false)
	gone.note("normal", 0, time.Minute, true)
	for _, want := range []string{`\b75 % of high\b`, `\b0 % of normal\b`, `\b25 % of low\b`, `2\.0 s; .*\b4 served\b`, `\b2 got 503\b.* 4\.0 s`, `\b2 failed`, `\b1 still waited`} {
		if got := gone.leave(); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	none := (&crowd{stop: func() {}}).leave()
	if strings.Contains(none, "%") || !strings.Contains(none, "0 got 503") {
		t.Errorf("without a request: %q", none)
	}
}
