package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeTrace writes a trace of 4 hours that grows by so many bytes a second.
func writeTrace(t *testing.T, path string, slope float64) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("t_seconds,rss_bytes,anon_bytes,requests_total\n")
	for s := 0; s < 14400; s += 30 {
		m := 50e6 + slope*float64(s)
		fmt.Fprintf(&b, "%d,%.0f,%.0f,%d\n", s, m+10e6, m, s/2)
	}
	out := b.Bytes()
	if strings.HasSuffix(path, ".gz") {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		if _, err := w.Write(out); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		out = z.Bytes()
	}
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLeak(t *testing.T) {
	dir := t.TempDir()
	grows, flat, bad := filepath.Join(dir, "grows.csv.gz"), filepath.Join(dir, "flat.csv"), filepath.Join(dir, "bad.csv")
	writeTrace(t, grows, 1000)
	writeTrace(t, flat, 0)
	if err := os.WriteFile(bad, []byte("t_seconds,rss_bytes,anon_bytes,requests_total\n0,1,2,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run([]string{"leak", "--csv", grows, flat}, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Fatalf("code %d: %s", code, &stderr)
	}
	rows := strings.Split(stdout.String(), "\n")
	if len(rows) != 4 || rows[0] != "trace,verdict,detected_at_s,slope_bytes_per_s" || !strings.HasPrefix(rows[1], "grows,leak,") || rows[2] != "flat,ok,," {
		t.Errorf("%q", rows)
	}
	stdout.Reset()
	if code := run([]string{"leak", bad, flat, filepath.Join(dir, "none")}, &stdout, &stderr); code != 1 {
		t.Errorf("code %d", code)
	}
	if strings.Count(stderr.String(), "\n") != 2 || !strings.Contains(stderr.String(), "bad.csv: line 2: requests_total:") {
		t.Errorf("%s", &stderr)
	}
	if !strings.Contains(stdout.String(), "flat,ok,,") {
		t.Errorf("the good file is not judged: %s", &stdout)
	}
	stdout.Reset()
	if code := run([]string{"leak", "--no-csv", grows}, &stdout, &stderr); code != 0 || !strings.HasPrefix(stdout.String(), "grows: leaks ") || !strings.Contains(stdout.String(), " bytes a request") {
		t.Errorf("code %d: %s", code, &stdout)
	}
}
