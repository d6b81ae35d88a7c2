package web

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

// poured is a drink with as many points as there may be: ground, heated from 24 °C, and
// poured at a rate. Its flow meter is dumb for a moment.
func poured(n int, mlps float64, out fleet.Outcome) fleet.Curve {
	c := fleet.Curve{Order: nth(n), Epoch: 1, Size: fleet.Medium, Ago: 60 * n, Seconds: 48, Outcome: out, Water: 20 * mlps,
		Parts: []fleet.Stretch{{Part: "grinder", From: 0.02, To: 14.2}, {Part: "heater", From: 14.2, To: 24}, {Part: "pump", From: 24, To: 44}, {Part: "sugar", From: 44, To: 44.5}, {Part: "sugar", From: 45, To: 45.5}}}
	for i := range fleet.MostPoints {
		at := 0.2 * float64(i)
		flow, heat, weight := 0.0, 24+min(math.Max(at-14.2, 0), 9.8)*7, min(at, 14.2)*1.2
		if at > 24 && at <= 44 {
			flow = mlps
		}
		c.At, c.Flow, c.Temperature, c.Weight = append(c.At, at), append(c.Flow, &flow), append(c.Temperature, &heat), append(c.Weight, &weight)
	}
	c.Flow[0], c.Flow[150], c.Flow[151] = nil, nil, nil
	return c
}

// withCurves is a house whose machine zoe tells of three drinks.
func withCurves(t *testing.T) *house {
	h := build(t)
	h.web.Acts = &floor{keys: map[string]bool{}, stock: h.stock}
	h.web.handler = h.web.routes()
	h.crew.present = []fleet.Presence{machineHere("zoe")}
	h.desk.reply = fleet.CommandAnswer{OK: true, Message: "done", Curves: []fleet.Curve{poured(3, 4.8, fleet.Made), poured(2, 5.4, fleet.Spoiled), poured(1, 6, fleet.Made)}}
	return h.run()
}

// TestCurvesPage: the tile leads to the page; it has a line for each of the last drinks,
// and pictures with their figures of the one that is asked for.
func TestCurvesPage(t *testing.T) {
	h := withCurves(t)
	contains(t, text(t, h.ask("GET", "/fleet", "")), `href="/fleet/curves?machine=zoe"`, "Its last drinks")
	res := h.ask("GET", "/fleet/curves?machine=zoe", "")
	status(t, res, http.StatusOK)
	page := text(t, res)
	want := map[string][]fleet.Command{"zoe": {{Verb: "curves", By: "this computer"}}}
	if d := cmp.Diff(want, h.desk.asked); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
	contains(t, page, "<h1>Zoe: its last drinks</h1>", "Medium: made, 3 min ago", `<span class="key">`+nth(3)+"</span>",
		`<td>48.0</td><td>92.6</td><td>4.8</td>`, `<td>48.0</td><td>92.6</td><td>5.4</td>`, "spoiled, 2 min ago",
		`<title id="flow-name">Flow (ml/s)</title><desc id="flow-text">Over 48.0 s, at most 4.8 ml/s. On average 4.8 ml/s while it pumped.</desc>`,
		`<title id="temperature-name">Boiler (°C)</title>`, `<title id="weight-name">Beans ground (g)</title>`,
		`<desc id="parts-text">Grinder: 14.2 s. Heater: 9.8 s. Pump: 20.0 s. Sugar: 1.0 s.</desc>`,
		`href="/fleet/curves?machine=zoe&amp;lang=fr"`, `<a href="/history"`)
	lacks(t, page, "style=", "<script>", "%!", "curves.", "Ada", "/orders/")
	if got := figures(t, page, "flow"); got["0.0"] != "–" || got["24.8"] != "4.8" || got["30.4"] != "4.8" || len(got) < 25 || len(got) > mostRows {
		t.Errorf("flow: %v", got)
	}
	if got := figures(t, page, "parts"); got["Pump"] != "24.0 s 44.0 s" {
		t.Errorf("parts: %v", got)
	}
	page = text(t, h.ask("GET", "/fleet/curves?machine=zoe&order="+nth(1)+"&epoch=1&lang=fr", ""))
	contains(t, page, "Zoe : ses dernières boissons", "Moyen : préparé, il y a 1 min", "En moyenne 6,0 ml/s pendant le pompage.", "Moulin : 14,2 s.",
		"/fleet/curves?machine=zoe&amp;order="+nth(1)+"&amp;epoch=1&amp;lang=en", `aria-current="true">Moyen</a>`)
	lacks(t, page, "%!", "curves.", "part.", "ended.")
	contains(t, text(t, h.ask("GET", "/fleet/curves?machine=zoe&order=%22%3E%3Cscript%3E&epoch=1&lang=en", "")), "Medium: made, 3 min ago") // no such drink: the last
	h.desk.reply.Curves = []fleet.Curve{{Order: nth(4), Epoch: 1, Size: fleet.Small, Outcome: fleet.Made, Seconds: 20, Parts: []fleet.Stretch{{Part: "hot-plate", From: 1, To: 9}}}}
	page = text(t, h.ask("GET", "/fleet/curves?machine=zoe", ""))
	contains(t, page, "no sensor that measures", "Hot plate: 8.0 s.", "<td>20.0</td><td>–</td><td>–</td>")
	lacks(t, page, "polyline", `id="flow"`)
}

// TestCurvesThatAreNot: what there is nothing to see of is said, and nobody is asked for
// what is no machine.
func TestCurvesThatAreNot(t *testing.T) {
	h := withCurves(t)
	for name, x := range map[string]struct {
		reply  fleet.CommandAnswer
		err    error
		status int
		says   string
	}{
		"of an earlier version": {fleet.CommandAnswer{Message: "it does <b>not</b> know this"}, nil, http.StatusOK, "Zoe keeps no curves"},
		"away":                  {fleet.CommandAnswer{}, fleet.ErrNobody, http.StatusServiceUnavailable, "Zoe does not answer"},
		"late":                  {fleet.CommandAnswer{}, context.DeadlineExceeded, http.StatusServiceUnavailable, "Zoe does not answer"},
		"new":                   {fleet.CommandAnswer{OK: true, Message: "done"}, nil, http.StatusOK, "no drink since it started"},
	} {
		h.desk.reply, h.desk.err = x.reply, x.err
		res := h.ask("GET", "/fleet/curves?machine=zoe", "")
		if res.StatusCode != x.status {
			t.Errorf("%s: status %d", name, res.StatusCode)
		}
		page := text(t, res)
		contains(t, page, x.says)
		lacks(t, page, "<table", "<b>not", "internal")
	}
	h.desk.asked = nil
	for _, bad := range []string{"", "?machine=", "?machine=*", "?machine=zoe.cmd", "?machine=%3Cscript%3E"} {
		res := h.ask("GET", "/fleet/curves"+bad, "")
		status(t, res, http.StatusNotFound)
		lacks(t, text(t, res), "<script>")
	}
	status(t, h.ask("GET", "/fleet/curves?machine=zoe", "", far), http.StatusForbidden)
	status(t, h.ask("GET", "/fleet/curves?machine=zoe", "", header("X-Forwarded-For", "127.0.0.1")), http.StatusForbidden)
	status(t, h.ask("POST", "/fleet/curves?machine=zoe", "x=y"), http.StatusMethodNotAllowed)
	status(t, open(t).ask("GET", "/fleet/curves?machine=zoe", ""), http.StatusNotFound) // a website that may not command
	if len(h.desk.asked) > 0 {
		t.Errorf("asked all the same: %v", h.desk.asked)
	}
	staff, _, secret := hired(t) // where keys are in force
	staff.web.Acts = &floor{}
	staff.web.handler = staff.web.routes()
	staff.desk.reply = h.desk.reply
	staff.run()
	leadsTo(t, staff.ask("GET", "/fleet/curves?machine=zoe", "", fromAfar, overTLS), "/login")
	if len(staff.desk.asked) > 0 {
		t.Error("asked for somebody who is not logged in")
	}
	status(t, staff.ask("GET", "/fleet/curves?machine=zoe", "", fromAfar, overTLS, session("__Host-operator", secret)), http.StatusOK)
	if by := staff.desk.asked["zoe"]; len(by) != 1 || by[0].By != bossName {
		t.Errorf("asked %v", by)
	}
}

// TestCurvesStayInTheirPictures: whatever a machine tells that a check lets pass, lines,
// bars and words lie in their pictures, and the page is small.
func TestCurvesStayInTheirPictures(t *testing.T) {
	h := withCurves(t)
	wild := poured(1, 1e6, fleet.Made)
	wild.Water = fleet.MostValue
	cold := -1e6
	wild.Temperature[7], wild.Temperature[8] = &cold, nil
	short := fleet.Curve{Order: nth(2), Epoch: 1, Size: fleet.Small, Seconds: 0, At: []float64{0}, Flow: []*float64{nil}, Parts: []fleet.Stretch{{Part: strings.Repeat("w", 32)}}}
	quick := poured(3, 6000, fleet.Made)
	for i := range quick.At {
		quick.At[i] /= 1000
	}
	for i := range quick.Parts {
		quick.Parts[i].From, quick.Parts[i].To = quick.Parts[i].From/1000, quick.Parts[i].To/1000
	}
	quick.Seconds /= 1000
	long := poured(4, 6, fleet.Made)
	long.Seconds = 24 * 3600
	for _, c := range []fleet.Curve{poured(5, 6, fleet.Made), wild, short, quick, long} {
		if err := c.Check(); err != nil && c.Outcome != "" {
			t.Fatal(err)
		}
		var b curvesBody
		h.web.pages["en"].drawCurves(&b, []fleet.Curve{c}, 0)
		for _, one := range b.Charts {
			inside := func(what string, x, y float64) {
				if x < 0 || y < 0 || x > float64(one.Wide) || y > float64(one.High) {
					t.Errorf("%s of %s: %s at %g, %g in %d × %d", one.ID, c.Order, what, x, y, one.Wide, one.High)
				}
			}
			for _, line := range one.Lines {
				last := -1.0
				for point := range strings.FieldsSeq(line) {
					var x, y float64
					if n, err := fmt.Sscanf(point, "%g,%g", &x, &y); n != 2 || err != nil || x < last {
						t.Fatalf("%s: the point %q after %g: %v", one.ID, point, last, err)
					}
					inside("a point", x, y)
					last = x
				}
			}
			for _, bar := range one.Bars {
				inside("a bar", float64(bar.X), float64(bar.Y))
				inside("a bar's end", float64(bar.X+bar.W), float64(bar.Y+bar.H))
			}
			units := 0
			for _, word := range one.Words {
				inside(word.Text, float64(word.X), float64(word.Y))
				if strings.HasSuffix(word.Text, " s") {
					units++
				}
			}
			if len(one.Words) > 30 || units != 1 || len(one.Rows) > mostRows || one.Text == "" {
				t.Errorf("%s of %s: %d words, %d of them with the unit of time, %d rows, %q", one.ID, c.Order, len(one.Words), units, len(one.Rows), one.Text)
			}
		}
	}
	flow := h.web.pages["en"].lineChart(poured(1, 6, fleet.Made), poured(1, 6, fleet.Made).Quantities()[0])
	if len(flow.Lines) != 2 {
		t.Errorf("a meter that was dumb for a moment has %d lines", len(flow.Lines))
	}
	all := slices.Repeat(h.desk.reply.Curves, 2)[:fleet.MostCurves]
	h.desk.reply.Curves = all
	page := text(t, h.ask("GET", "/fleet/curves?machine=zoe", ""))
	total := len(page)
	for name, a := range assets {
		if strings.Contains(page, "/assets/"+name) {
			total += len(a.body)
		}
	}
	if total > 60_000 {
		t.Errorf("the page has %d bytes, and %d with what it loads", len(page), total)
	}
}

// TestBrowserCurves looks at the page on a phone and a screen, light and dark.
func TestBrowserCurves(t *testing.T) {
	b := startBrowser(t)
	h := withCurves(t)
	b.looks(t, h.listening()+"/fleet/curves?machine=zoe&", "curves", "#flow", func(page string) {
		if n := get(t, b, chromedp.Evaluate[int](`[...document.querySelectorAll(".chart polyline")].filter(e => e.getBoundingClientRect().width > 40 && getComputedStyle(e).fill === "none").length`)); n < 4 {
			t.Errorf("%s: %d lines are drawn", page, n)
		}
	})
	b.do(t, chromedp.Click(`.last tr:last-child a`))
	b.see(t, "main > h2", "il y a 1 min")
	for _, said := range b.complained() {
		t.Errorf("the pages complained: %s", said)
	}
}
