package timeline_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/timeline"
)

const ms = time.Millisecond

func render(t *testing.T, p timeline.Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := timeline.Write(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func onePage(bars ...timeline.Bar) timeline.Page {
	return timeline.Page{Title: "A page", Tasks: []timeline.Task{{Name: "work", Runs: []timeline.Run{{
		Engine: "thread", Wall: 100 * ms, Columns: []timeline.Column{{Head: "time", Cell: "100 ms"}}, Bars: bars,
	}}}}}
}

func pictures(t *testing.T, html string) []string {
	t.Helper()
	svgs := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(html, -1)
	for _, svg := range svgs {
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("the picture is not well formed: %v\n%s", err, svg)
			}
		}
	}
	return svgs
}

func TestABarPerJobOnItsWorkersRow(t *testing.T) {
	html := render(t, onePage(
		timeline.Bar{Worker: "w1", Start: 0, End: 50 * ms, Name: "a", Result: "fine"},
		timeline.Bar{Worker: "w2", Start: 0, End: 100 * ms, Name: "b", Result: "no", Failed: true},
		timeline.Bar{Worker: "w1", Start: 50 * ms, End: 100 * ms, Name: "c"},
	))
	svg := pictures(t, html)[0]
	bars := regexp.MustCompile(`<rect class="(c0|bad)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="[\d.]+"><title>(\w+)`).FindAllStringSubmatch(svg, -1)
	if len(bars) != 3 {
		t.Fatalf("%d bars, want 3:\n%s", len(bars), svg)
	}
	a, c, b := bars[0], bars[1], bars[2]
	if a[5] != "a" || b[5] != "b" || c[5] != "c" {
		t.Fatalf("bars out of order: %q", bars)
	}
	if a[3] != c[3] || a[3] == b[3] {
		t.Errorf("a and c ran on one worker, b on another, but their rows are %s, %s and %s", a[3], c[3], b[3])
	}
	if a[2] != b[2] || a[2] == c[2] {
		t.Errorf("a and b began together, c later, but they stand at %s, %s and %s", a[2], b[2], c[2])
	}
	if b[1] != "bad" || a[1] == "bad" {
		t.Error("the failed job, and only it, should look failed")
	}
	if strings.Count(html, "<tr><td>") != 3 {
		t.Error("the table below the picture should list the three jobs")
	}
}

func TestRowsAreInTheOrderOfTheirNames(t *testing.T) {
	var bars []timeline.Bar
	for _, w := range []string{"pool 10", "pool 9", "main", "pool 2", "pool 02", "pool"} {
		bars = append(bars, timeline.Bar{Worker: w, End: ms, Name: "x"})
	}
	svg := pictures(t, render(t, onePage(bars...)))[0]
	var got []string
	for _, m := range regexp.MustCompile(`class="worker"[^>]*>([^<]*)<`).FindAllStringSubmatch(svg, -1) {
		got = append(got, m[1])
	}
	if want := []string{"main", "pool", "pool 2", "pool 02", "pool 9", "pool 10"}; !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
}

func TestHostileNamesStayText(t *testing.T) {
	html := render(t, onePage(timeline.Bar{
		Worker: `"><script>w()</script>`, End: 10 * ms,
		Name: "<script>alert(1)</script>\x00\xff\n'\"", Result: "</title></svg><img src=x onerror=y>",
	}))
	pictures(t, html)
	for _, bad := range []string{"<script", "<img", "\x00", "\xff"} {
		if strings.Contains(html, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
}

func TestThePageStandsAlone(t *testing.T) {
	html := render(t, onePage(timeline.Bar{Worker: "w", End: ms, Name: "http://example.com/"}))
	for _, bad := range []string{"<script", "<link", "src=", "url(", "@import", "href="} {
		if strings.Contains(html, bad) {
			t.Errorf("the page contains %q, so it may need something from outside", bad)
		}
	}
}

func TestManyJobsMakeASmallPage(t *testing.T) {
	var bars []timeline.Bar
	for i := range 100_000 {
		at := time.Duration(i/4) * 4 * time.Microsecond
		bars = append(bars, timeline.Bar{Worker: fmt.Sprint("w", i%4), Start: at, End: at + 4*time.Microsecond, Name: fmt.Sprint(i)})
	}
	html := render(t, onePage(bars...))
	pictures(t, html)
	if len(html) > 1<<20 {
		t.Errorf("the page has %d bytes, want at most 1 MiB", len(html))
	}
	if !strings.Contains(html, "99500 more") {
		t.Error("the page should say how many jobs the table leaves out")
	}
}

func TestEmptyRunsAreDrawn(t *testing.T) {
	p := onePage()
	p.Tasks[0].Runs[0].Wall = 0
	pictures(t, render(t, p))
	render(t, timeline.Page{Title: "nothing"})
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 1500: "1.5 µs", 20 * ms: "20 ms", 1234 * time.Microsecond: "1.23 ms", 168 * ms: "168 ms",
		2 * time.Second: "2 s", 12345 * ms: "12.3 s", 100 * time.Second: "100 s", 150 * time.Second: "2m30s", 3 * time.Hour: "3h0m0s",
	} {
		if got := timeline.Short(d); got != want {
			t.Errorf("Short(%d) = %q, want %q", int64(d), got, want)
		}
	}
}
