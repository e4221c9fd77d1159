package web_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
	"github.com/resp-exporter/resp-exporter/internal/web"
	"github.com/resp-exporter/resp-exporter/internal/web/webtest"
)

var updateGolden = flag.Bool("update", false, "write the goldens anew")

func serve(o web.Options) http.Handler {
	mux := http.NewServeMux()
	web.New(o).Register(mux)
	return mux
}

func get(t testing.TB, h http.Handler, target string) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, target, nil))
	return rec
}

func TestPageGolden(t *testing.T) {
	full := options(fullSample())
	full.History = recorded(t, 60)
	empty := options(modeltest.State(nil))
	trouble := options(troubleSample())
	healing := options(troubleSample())
	healing.Healing = healingSample
	line := options(lineSample())
	past := remembers(webtest.Workers(4, moment))
	many := options(webtest.Many(5, 1, moment))
	for name, o := range map[string]web.Options{"full": full, "empty": empty, "trouble": trouble, "healing": healing, "line": line, "past": past, "many": many} {
		t.Run(name, func(t *testing.T) {
			query := ""
			if name == "past" {
				query = "?app=shop&at=2026-01-02T09:15:30Z"
			}
			rec := get(t, serve(o), "/"+query)
			if rec.Code != http.StatusOK {
				t.Fatalf("status %d: %s", rec.Code, rec.Body)
			}
			file := filepath.Join("testdata", name+".html")
			if *updateGolden {
				if err := os.WriteFile(file, rec.Body.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(rec.Body.Bytes(), want) {
				t.Errorf("the page is not %s; run the test with -update and look at the difference. Got:\n%s", file, rec.Body)
			}
		})
	}
}

// The page has no inline script and style, which its security policy forbids.
func TestPageHoldsNothingInline(t *testing.T) {
	inline := regexp.MustCompile(`(?i)\sstyle=|<style|\son[a-z]+=|<script(?:[^>]*)>[^<]|javascript:|href="https?://[^"]*\.(?:css|js)|src="(?:https?:)?//`)
	for name, r := range map[string]*model.State{"full": fullSample(), "many": manySample(200), "empty": modeltest.State(nil)} {
		for _, path := range []string{"/", "/?app=shop&at=09:15", "/runbooks"} {
			if hit := inline.FindString(get(t, serve(remembers(r)), path).Body.String()); hit != "" {
				t.Errorf("%s: the page %s holds %q", name, path, hit)
			}
		}
	}
}

func TestHostileNamesAreEscaped(t *testing.T) {
	const evil = `<script>alert("1")</script>'"&`
	var s sample
	s.app(evil)
	s.worker(evil, 0, "stuck", 3, evil)
	s.add("resp_app_info", 1, evil, evil, evil)
	s.add("resp_listener_queue_length", 1, evil, evil)
	s.add("resp_disk_usage_ratio", 0.5, evil)
	s.add("page.unavailable", 0, evil, evil, evil)
	o := options(modeltest.State(s))
	o.Host, o.Version = evil, evil
	page := get(t, serve(o), "/").Body.String()
	if strings.Contains(page, "<script>") || strings.Contains(page, `alert("`) {
		t.Errorf("a name reached the page unescaped:\n%s", page)
	}
	if !strings.Contains(page, "&lt;script&gt;") {
		t.Error("the name is not on the page")
	}
	update := get(t, serve(o), "/api/v1/page").Body.String()
	if strings.ContainsAny(update, "<>") {
		t.Error("the update holds a raw angle bracket")
	}
}

func TestManyWorkersBecomeSquaresWorstFirst(t *testing.T) {
	page := get(t, serve(options(manySample(200))), "/").Body.String()
	if !strings.Contains(page, `<ol class="squares"`) || strings.Contains(page, `<ol class="cells"`) {
		t.Fatal("200 workers are not squares")
	}
	first := regexp.MustCompile(`data-key="shop/(\d+)"`).FindStringSubmatch(page)
	if first == nil || first[1] != "77" {
		t.Errorf("first square is %v, want the stuck worker 77", first)
	}
	if n := strings.Count(page, "data-key=\"shop/"); n != 200 {
		t.Errorf("%d squares, want 200", n)
	}
	if page := get(t, serve(options(manySample(600))), "/").Body.String(); !strings.Contains(page, "and 88 more workers") {
		t.Error("600 workers: the page does not say that 88 are left out")
	}
}

func TestLinksAreRelative(t *testing.T) {
	o := options(fullSample())
	o.RoutePrefix, o.MetricsPath = "/admin/responsiveness/", "/scrape"
	page := get(t, serve(o), "/admin/responsiveness/").Body.String()
	for _, m := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if strings.HasPrefix(m[1], "/") {
			t.Errorf("link %q leaves the prefix", m[1])
		}
	}
	for _, want := range []string{`href="scrape"`, `href="api/v1/status"`, `href="static/app.css"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
}

func BenchmarkPage(b *testing.B) {
	for _, workers := range []int{4, 200} {
		b.Run(fmt.Sprintf("%d workers", workers), func(b *testing.B) {
			o := options(manySample(workers))
			o.History = recorded(b, 360)
			h := serve(o)
			b.ReportAllocs()
			for b.Loop() {
				if rec := get(b, h, "/"); rec.Code != http.StatusOK {
					b.Fatal(rec.Code)
				}
			}
		})
	}
}
