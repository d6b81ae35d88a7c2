package web

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

// noon is when the histories of these tests are looked at.
var noon = time.Date(2026, 3, 14, 12, 9, 26, 0, time.UTC)

func nth(i int) string { return fmt.Sprintf("01JD%022d", i) }

// closed is a house whose clock stands at noon, and which has not begun to read.
func closed(t testing.TB) *house {
	h := build(t)
	h.web.Wall = func() time.Time { return noon }
	h.web.book.wall = h.web.Wall
	return h
}

// past writes an order that was accepted so long ago and waited so long for its end.
func (h *house) past(i int, ago, wait time.Duration, bean string, arrows ...arrow) {
	h.t.Helper()
	c := ada(nth(i))
	c.Order.Bean = bean
	h.records.put(c, noon.Add(-ago))
	for _, f := range arrows {
		next, err := f(c)
		if err != nil {
			h.t.Fatal(c.Phase, err)
		}
		c = next
		h.records.put(c, noon.Add(wait-ago))
	}
}

// turn writes the rolling record of one more refused order.
func (r *records) turn(last fleet.Refusals, o fleet.Order, code string, at time.Time) fleet.Refusals {
	next := last.With(fleet.Refusal{Order: o.ID, Answer: fleet.Sorry(o.ID, code, "no"), At: at}, func(old fleet.Refusal) bool { return at.Sub(old.At) > fleet.RefusedFor })
	next.What = &o
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, fleet.Record{Entry: fleet.Entry{Revision: fleet.Revision{Seq: uint64(len(r.list) + 1)}, Written: at}, Act: true, Refusals: &next})
	r.tell()
	return next
}

// withPast is a house with a day behind it: in the last hour two served in time and one
// late, before that one of each other end.
func withPast(t testing.TB) *house {
	h := closed(t)
	h.past(1, 25*time.Hour, time.Minute, "arabica", brewing("zoe"), served("zoe"))                // nobody's any more
	h.past(0, 23*time.Hour+50*time.Minute, time.Minute, "arabica", brewing("zoe"), served("zoe")) // in an hour of which some are forgotten
	h.past(2, 22*time.Hour, 10*time.Second, "arabica", brewing("zoe"), served("zoe"))
	h.past(3, 3*time.Hour, time.Minute, "robusta", brewing("leo"), failed("leo", fleet.Spoiled, fleet.Reason{Code: "no-flow"}))
	h.past(4, 3*time.Hour, time.Minute, "robusta", brewing("leo"), parked)
	h.past(5, 2*time.Hour, time.Minute, "mixed", stopped(fleet.Cancelled))
	h.past(6, 2*time.Hour, time.Minute, "mixed", stopped(fleet.Expired))
	last := h.records.turn(fleet.Refusals{}, fleet.Order{ID: nth(7), Name: "Eve", Bean: "mixed", Size: fleet.Large}, fleet.CodeOutOfStock, noon.Add(-70*time.Minute))
	h.past(8, 8*time.Minute, time.Minute, "arabica", brewing("zoe"), served("zoe"))
	h.past(9, 8*time.Minute, 2*time.Minute, "arabica", brewing("zoe"), served("zoe"))
	h.past(10, 9*time.Minute, 200*time.Second, "arabica", brewing("zoe"), served("zoe"))
	h.past(11, 9*time.Minute, time.Minute, "arabica", brewing("leo"), parked,
		func(c fleet.Claim) (fleet.Claim, error) { return c.Settle(true, "boss", fleet.Reason{}) }) // whenever he said so
	h.past(12, time.Minute, 0, "arabica")
	h.records.turn(last, fleet.Order{ID: nth(12), Bean: "arabica"}, fleet.CodeQueueFull, noon.Add(-2*time.Minute)) // and taken the next time
	return h
}

var rowOf = regexp.MustCompile(`<tr><th scope="row">([^<]*)</th>((?:<td>[^<]*</td>)*)</tr>`)

// figures are the lines of a chart's table that do not say nothing.
func figures(t testing.TB, page, chart string) map[string]string {
	t.Helper()
	_, rest, there := strings.Cut(page, `<section class="card" aria-labelledby="`+chart+`">`)
	if !there {
		t.Fatalf("there is no %s in:\n%s", chart, page)
	}
	rest, _, _ = strings.Cut(rest, "</section>")
	out := map[string]string{}
	for _, m := range rowOf.FindAllStringSubmatch(rest, -1) {
		cells := strings.Fields(strings.NewReplacer("<td>", " ", "</td>", " ", " %", "%").Replace(m[2]))
		if strings.Trim(strings.Join(cells, ""), "0%") != "" {
			out[m[1]] = strings.Join(cells, " ")
		}
	}
	return out
}

// TestHistoryCounts: each order that came to rest within the hours is counted once in each
// table, in both languages.
func TestHistoryCounts(t *testing.T) {
	h := withPast(t).run()
	page := text(t, h.ask("GET", "/history", ""))
	for chart, want := range map[string]map[string]string{
		"hours":    {"14:00–15:00": "1 0 0", "09:00–10:00": "0 2 0", "10:00–11:00": "0 0 3", "12:00–13:00": "4 0 0"},
		"outcomes": {"Served": "5 50%", "Failed": "1 10%", "Nobody knows": "1 10%", "Cancelled": "1 10%", "Waited too long": "1 10%", "Refused": "1 10%"},
		"machines": {"Zoe": "4 0 0", "Leo": "1 2 0", "No machine": "0 0 3"},
		"beans":    {"Arabica": "5 0 0", "Robusta": "0 2 0", "Mixed": "0 0 3"},
		"promise":  {"Earlier than promised": "1 25%", "As promised": "2 50%", "More than a minute late": "1 25%"},
	} {
		if d := cmp.Diff(want, figures(t, page, chart)); d != "" {
			t.Errorf("%s (-want +got):\n%s", chart, d)
		}
	}
	contains(t, page, "from yesterday 13:00 to now (12:09)", "Under way, and not counted yet: 1.", "Within the promised time: 2 of 4 cups, 50 %.", "a person says that it was made: 1.",
		"Orders: 10. Most of them: 12:00–13:00, 4.", `role="img" aria-labelledby="hours-name hours-text"`, `<title id="hours-name">By hour</title>`)
	lacks(t, page, "Ada", "Eve", "missing here", "more than this website keeps", "style=", "<script>", "%!")
	page = text(t, h.ask("GET", "/history?lang=fr", ""))
	contains(t, page, "depuis hier 13:00 (il est 12:09)", "Dans le temps promis : 2 tasses sur 4, 50 %.", "Mélange", "Aucune machine", "Trop attendu")
	lacks(t, page, "%!", ">history.", ">outcome.", "…") // no word of ours is too long for a picture
}

// TestHistoryBars: the bars are as long as their figures say, and stay in the picture.
func TestHistoryBars(t *testing.T) {
	h := withPast(t).run()
	p := h.web.pages["en"]
	for _, c := range p.historyBody(h.web.day()).Charts {
		if len(c.Bars) == 0 || len(c.Rows) == 0 || c.Text == "" {
			t.Errorf("%s shows nothing", c.ID)
		}
		for i, b := range c.Bars {
			if i > 0 && overlap(c.Bars[i-1], b) {
				t.Errorf("%s: %+v lies on %+v", c.ID, b, c.Bars[i-1])
			}
			if b.X < 0 || b.Y < 0 || b.W < 1 || b.H < 1 || b.X+b.W > c.Wide || b.Y+b.H > c.High {
				t.Errorf("%s: a bar at %+v in %d × %d", c.ID, b, c.Wide, c.High)
			}
		}
	}
	hours := p.hoursChart(h.web.day())
	last := hours.Bars[len(hours.Bars)-1]
	if first := hours.Bars[0]; first.H*4 != last.H || first.Look != "served" || last.H != hoursHigh {
		t.Errorf("one is %d high, four are %d", first.H, last.H)
	}
	// Many names are bounded, and none of their orders is lost.
	d := h.web.day()
	for i := range 500 {
		d.Beans[strings.Repeat("w", 40)+fmt.Sprint(i)] = count{1, 1, 1}
	}
	c := p.namesChart("beans", "", d.Beans, "", capital)
	n := 0
	for _, w := range c.Words {
		if len([]rune(w.Text)) > mostName {
			t.Errorf("%q is too long for a picture", w.Text)
		}
		if v := 0; w.Anchor == "end" {
			fmt.Sscan(w.Text, &v)
			n += v
		}
	}
	if len(c.Rows) != mostNames+1 || n != 1510 {
		t.Errorf("%d rows with %d orders", len(c.Rows), n)
	}
	for most, want := range map[int]int{0: 2, 1: 2, 3: 4, 5: 6, 7: 8, 10: 10, 11: 12, 17: 20, 41: 60, 112: 120, 4096: 6000} {
		if got := scale(most); got != want {
			t.Errorf("the scale of %d ends at %d, want %d", most, got, want)
		}
	}
}

func overlap(a, b bar) bool {
	return a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H
}

// TestHistoryFile: the file has a line for each order that the page counts, nobody's name,
// and no formula.
func TestHistoryFile(t *testing.T) {
	h := withPast(t)
	h.past(13, 4*time.Minute, time.Minute, "=HYPERLINK(1)", stopped(fleet.Cancelled))
	res := h.run().ask("GET", "/history.csv", "")
	status(t, res, http.StatusOK)
	if got := res.Header.Get("Content-Type") + res.Header.Get("Content-Disposition"); got != `text/csv; charset=utf-8attachment; filename="history.csv"` {
		t.Errorf("headers: %s", got)
	}
	file := text(t, res)
	lacks(t, file, "Ada", "Eve")
	rows, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"time", "order", "machine", "bean", "size", "outcome", "reason", "wait_seconds", "promised_from", "promised_to", "eta_error"},
		{"2026-03-13T14:09:36Z", nth(2), "zoe", "arabica", "medium", "served", "", "10.0", "60", "120", "-50.0"},
		{"2026-03-14T09:10:26Z", nth(3), "leo", "robusta", "medium", "failed", "no-flow", "60.0", "60", "120", ""},
		{"2026-03-14T09:10:26Z", nth(4), "leo", "robusta", "medium", "unknown", fleet.CodeNotHeard, "60.0", "60", "120", ""},
		{"2026-03-14T10:10:26Z", nth(5), "", "mixed", "medium", "cancelled", "", "60.0", "60", "120", ""},
		{"2026-03-14T10:10:26Z", nth(6), "", "mixed", "medium", "expired", "", "60.0", "60", "120", ""},
		{"2026-03-14T10:59:26Z", nth(7), "", "mixed", "large", "refused", fleet.CodeOutOfStock, "", "", "", ""},
		{"2026-03-14T12:01:26Z", nth(11), "leo", "arabica", "medium", "served", "", "60.0", "60", "120", ""},
		{"2026-03-14T12:02:26Z", nth(8), "zoe", "arabica", "medium", "served", "", "60.0", "60", "120", "0.0"},
		{"2026-03-14T12:03:26Z", nth(9), "zoe", "arabica", "medium", "served", "", "120.0", "60", "120", "0.0"},
		{"2026-03-14T12:03:46Z", nth(10), "zoe", "arabica", "medium", "served", "", "200.0", "60", "120", "80.0"},
		{"2026-03-14T12:06:26Z", nth(13), "", "'=HYPERLINK(1)", "medium", "cancelled", "", "60.0", "60", "120", ""},
	}
	if d := cmp.Diff(want, rows); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for text, want := range map[string]string{"": "", "arabica": "arabica", "a=b": "a=b", "-1": "'-1", "+1": "'+1", "@x": "'@x", "\t=1": "'\t=1", " =1": "' =1", "\r": "'\r", "＝1": "'＝1"} {
		if got := harmless(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// TestHistoryIsForOperators: no customer sees what is sold, by whatever way he comes.
func TestHistoryIsForOperators(t *testing.T) {
	h := withPast(t).run()
	for _, path := range []string{"/history", "/history.csv"} {
		for what, change := range map[string]func(*http.Request){"from afar": far, "handed on": header("X-Forwarded-For", "127.0.0.1")} {
			res := h.ask("GET", path, "", change)
			if res.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s: status %d", path, what, res.StatusCode)
			}
			lacks(t, text(t, res), "zoe", "Zoe", "arabica")
		}
		status(t, h.ask("POST", path, "x=y"), http.StatusMethodNotAllowed)
	}
	contains(t, text(t, h.ask("GET", "/fleet", "")), `href="/history"`)
	lacks(t, text(t, h.ask("GET", "/", "")), "/history")

	staff, _, secret := hired(t) // where keys are in force
	staff.run()
	leadsTo(t, staff.ask("GET", "/history", "", fromAfar, overTLS), "/login?to=%2Fhistory")
	leadsTo(t, staff.ask("GET", "/history.csv", "", fromAfar, overTLS), "/login")
	leadsTo(t, staff.ask("GET", "/history.csv", "", fromAfar, overTLS, session("__Host-operator", secret+"x")), "/login")
	status(t, staff.ask("GET", "/history", "", fromAfar, overTLS, session("__Host-operator", secret)), http.StatusOK)
	status(t, staff.ask("GET", "/history.csv", "", fromAfar, overTLS, session("__Host-operator", secret)), http.StatusOK)
	leadsTo(t, staff.ask("POST", "/login", form("name", bossName, "password", bossPassword, "to", "/history")), "/history")
}

// TestHistorySaysSinceWhen: what the web could not keep, or has not heard, is not passed
// over in silence.
func TestHistorySaysSinceWhen(t *testing.T) {
	h := closed(t)
	contains(t, text(t, h.ask("GET", "/history", "")), "What you see may be old", "No order came to rest")
	const more = 10
	for i := range mostEnded + more {
		h.past(i, 2*time.Hour-time.Duration(i)*time.Second, time.Minute, "arabica", stopped(fleet.Cancelled))
	}
	// Of a thousand before these two nobody here has heard.
	last := fleet.Refusals{Before: 1000, List: []fleet.Refusal{{Order: nth(9000), At: noon.Add(-7 * time.Hour)}}}
	last = h.records.turn(last, fleet.Order{ID: nth(9001), Bean: "arabica"}, fleet.CodeQueueFull, noon.Add(-6*time.Hour))
	h.records.turn(last, fleet.Order{ID: nth(9002), Bean: "arabica"}, fleet.CodeQueueFull, noon.Add(-5*time.Hour))
	h.run()
	h.web.last.at = time.Time{}
	page := text(t, h.ask("GET", "/history", ""))
	contains(t, page, "Counted is what came to rest after 10:10.", "refused since 06:09;")
	lacks(t, page, "What you see may be old")
	if got := figures(t, page, "outcomes"); got["Cancelled"] != fmt.Sprint(mostEnded, " 100%") || got["Refused"] != "2 0%" {
		t.Errorf("counted %v", got)
	}
}

// TestRefusalsAreHeardOnce: however often the rolling record is read, and wherever reading
// begins, each refusal is one; and it is known from when on none is missing.
func TestRefusalsAreHeardOnce(t *testing.T) {
	r := newRecords()
	var all []fleet.Refusals
	last := fleet.Refusals{}
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * 20 * time.Second) }
	for i := range 10 {
		last = r.turn(last, fleet.Order{ID: nth(i), Bean: "mixed"}, fleet.CodeQueueFull, at(i))
		all = append(all, last)
	}
	for _, tt := range []struct {
		name  string
		reads []int
		want  int
		from  time.Time
	}{
		{"as they come", []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 10, time.Time{}},
		{"read anew", []int{0, 1, 2, 3, 4, 0, 1, 4, 5, 3, 6, 7, 8, 9}, 10, time.Time{}},
		{"the last alone", []int{9}, 4, at(6)},
		{"a short break", []int{0, 1, 2, 5, 6, 7, 8, 9}, 10, time.Time{}},
		{"a long break", []int{0, 1, 2, 8, 9}, 5, at(5)},
		{"a long break, and back", []int{0, 1, 2, 8, 9, 0, 1}, 5, at(5)},
	} {
		var f refusals
		f.hear(fleet.Refusals{})
		for _, i := range tt.reads {
			f.hear(all[i])
		}
		if len(f.list) != tt.want || !f.from.Equal(tt.from) {
			t.Errorf("%s: %d since %v, want %d since %v", tt.name, len(f.list), f.from, tt.want, tt.from)
		}
		if got := f.list[nth(9)]; got.Bean != "mixed" || got.End != endRefused || got.Reason != fleet.CodeQueueFull {
			t.Errorf("%s: the last one is %+v", tt.name, got)
		}
	}
	// What is a day old is forgotten, and stays so when the book is read anew.
	var f refusals
	for _, one := range all {
		f.hear(one)
	}
	f.since(at(5))
	for _, one := range all {
		f.hear(one)
	}
	if len(f.list) != 5 || !f.from.Equal(at(5)) {
		t.Errorf("%d since %v, want 5 since %v", len(f.list), f.from, at(5))
	}
	// However many there are, so many are kept.
	f = refusals{}
	for i := range mostRefused + 100 {
		last = r.turn(last, fleet.Order{ID: nth(100 + i)}, fleet.CodeQueueFull, at(100+i))
		if i == 0 {
			f.written = last.Before
		}
		f.hear(last)
	}
	if len(f.list) != mostRefused || f.list[nth(199)].End != "" || f.list[nth(200)].End == "" || !f.from.After(at(199)) || f.from.After(at(200)) {
		t.Errorf("%d are kept, since %v; want %d since %v", len(f.list), f.from, mostRefused, at(200))
	}
}

// TestHistoryIsCountedOnceASecond, however many look.
func TestHistoryIsCountedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		look := func() *day {
			status(t, h.ask("GET", "/history", ""), http.StatusOK)
			return h.web.last.day
		}
		first := look()
		time.Sleep(dayAge - time.Millisecond)
		if look() != first {
			t.Error("it was counted again within a second")
		}
		time.Sleep(time.Millisecond)
		if look() == first {
			t.Error("a second later it is not counted again")
		}
	})
}

// TestBrowserHistory looks at the page on a phone and a screen, light and dark: nothing is
// wider than the phone or too pale, and the security policy stops nothing.
func TestBrowserHistory(t *testing.T) {
	b := startBrowser(t)
	h := withPast(t)
	for i, m := range []string{"mia", "max", strings.Repeat("w", 32)} {
		h.past(20+i, time.Duration(5-i)*time.Hour, time.Minute, "house-blend-of-the-long-name", brewing(m), served(m))
	}
	b.looks(t, h.run().listening()+"/history?", "history", "#hours", nil)
	for _, said := range b.complained() {
		t.Errorf("the pages complained: %s", said)
	}
}

// looks opens a page of pictures on a phone and a screen, light and dark, in both
// languages, and judges it with a table unfolded. visible is there when it is drawn; more
// is what else is asked of each.
func (b *browser) looks(t *testing.T, address, name, visible string, more func(page string)) {
	t.Helper()
	for i, lang := range slices.Repeat(languages, 2) {
		wide, scheme := []int64{375, 375, 1280, 1280}[i], []string{"light", "dark", "dark", "light"}[i]
		sized(t, b, scheme, wide, 812)
		b.do(t, chromedp.Navigate(address+"lang="+lang), chromedp.WaitVisible(visible))
		page := fmt.Sprintf("%s-%d-%s-%s", name, wide, scheme, lang)
		b.shoot(t, page)
		b.do(t, chromedp.Click("details summary"), chromedp.WaitVisible("details table"))
		b.checks(t, page, wide)
		if lost := get(t, b, chromedp.Evaluate[[]string](outside)); len(lost) > 0 {
			t.Errorf("%s: out of its picture: %q", page, lost)
		}
		if more != nil {
			more(page)
		}
		b.shoot(t, page+"-open")
	}
}

// outside lists what of a picture is not in it.
const outside = `[...document.querySelectorAll(".chart text, .chart rect")].filter(e => {
	const r = e.getBoundingClientRect(), p = e.ownerSVGElement.getBoundingClientRect();
	return r.left < p.left - 4 || r.right > p.right + 4 || r.top < p.top - 4 || r.bottom > p.bottom + 4 || r.width < .5;
}).map(e => e.outerHTML)`
