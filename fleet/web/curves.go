package web

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"barista/fleet"
)

// curvesPath is the page of a machine's last drinks, ?machine=zoe. It is a website's that
// may act: one with its own key alone asks machines for nothing but cups.
const curvesPath = "/fleet/curves"

// curvesBody is that page.
type curvesBody struct {
	ID, Name string // the machine
	Note     string // why there is nothing to see
	Drinks   []lastDrink
	Head     string // of the one that is drawn
	Order    string // whose it is: an id, and nobody's name
	Blind    bool   // no sensor measured anything
	Charts   []*chart
}

// lastDrink is a line of the page's table.
type lastDrink struct {
	Order                  string
	Epoch                  int
	What, Said             string // which drink; what came of it, and when
	Seconds, Highest, Flow string
	Shown                  bool // it is drawn below
}

// curvesPage asks the machine, and draws the drink that the address names, else the last.
func (w *Web) curvesPage(rw http.ResponseWriter, r *http.Request) {
	p, q := w.pages[lang(r)], r.URL.Query()
	b := curvesBody{ID: q.Get("machine")}
	if !fleet.IsMachine(b.ID) {
		w.sorry(rw, r, http.StatusNotFound, "curves.which", "curves.which.text")
		return
	}
	b.Name = capital(b.ID)
	by, _ := w.operator(r)
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	a, err := w.Command(ctx, b.ID, fleet.Command{Verb: fleet.CommandCurves, By: by})
	status := http.StatusOK
	with := []field{{"machine", b.ID}}
	switch {
	case err != nil:
		if !errors.Is(err, fleet.ErrNobody) {
			w.Log.Warn("web: a machine does not tell of its last drinks", "machine", b.ID, "error", err)
		}
		status, b.Note = http.StatusServiceUnavailable, p.say("curves.away", b.Name)
	case !a.OK:
		b.Note = p.say("curves.old", b.Name)
	case len(a.Curves) == 0:
		b.Note = p.say("curves.none", b.Name)
	default:
		shown := max(0, slices.IndexFunc(a.Curves, func(c fleet.Curve) bool {
			return c.Order == q.Get("order") && strconv.Itoa(c.Epoch) == q.Get("epoch")
		}))
		if one := a.Curves[shown]; q.Has("order") {
			with = append(with, field{"order", one.Order}, field{"epoch", strconv.Itoa(one.Epoch)})
		}
		p.drawCurves(&b, a.Curves, shown)
	}
	w.show(rw, r, status, view{Page: "curves", Self: curvesPath, With: with, Title: p.say("curves.title", b.Name), Body: b})
}

// drawCurves fills the page with the last drinks, and draws one of them.
func (p *pages) drawCurves(b *curvesBody, list []fleet.Curve, shown int) {
	for i, c := range list {
		line := lastDrink{Order: c.Order, Epoch: c.Epoch, What: p.name("size", string(c.Size)), Seconds: p.decimal(c.Seconds), Shown: i == shown,
			Said: p.name("ended", string(c.Outcome)) + ", " + p.ago(time.Duration(c.Ago)*time.Second), Highest: "–", Flow: "–"}
		for _, q := range c.Quantities() {
			if most, ok := q.Highest(); ok && q.Name == "temperature" {
				line.Highest = p.decimal(most)
			}
		}
		if mean, ok := c.MeanFlow(); ok {
			line.Flow = p.decimal(mean)
		}
		b.Drinks = append(b.Drinks, line)
	}
	c, line := list[shown], b.Drinks[shown]
	b.Head, b.Order, b.Blind = p.say("curves.head", line.What, line.Said), c.Order, len(c.Quantities()) == 0
	for _, q := range c.Quantities() {
		b.Charts = append(b.Charts, p.lineChart(c, q))
	}
	b.Charts = append(b.Charts, p.partsChart(c))
}

// decimal is a measured figure, to a tenth.
func (p *pages) decimal(f float64) string {
	text := strconv.FormatFloat(f, 'f', 1, 64)
	if p.Lang == "fr" {
		text = strings.Replace(text, ".", ",", 1)
	}
	return text
}

// The pictures of a drink lie above each other, on one axis of time.
const (
	plotRight = chartWide - 14
	plotTop   = 26 // the unit stands above
	plotHigh  = 110
	partHigh  = 30 // of a part with its name above
	mostRows  = 60 // of a table
)

// plotX is where a time lies, of a drink that took so long.
func plotX(at, took float64) float64 {
	return hoursLeft + min(at/max(took, 0.001), 1)*(plotRight-hoursLeft)
}

// seconds writes the axis of time at the foot of a picture.
func (c *chart) seconds(took float64) {
	took = max(took, 0.001)
	step := 0.0
	for ten := 0.001; step == 0; ten *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if step == 0 && n*ten*6 >= took {
				step = n * ten
			}
		}
	}
	for i := 0; ; i++ {
		at := math.Round(float64(i)*step*1000) / 1000
		x, text, anchor := int(plotX(at, took)), strconv.FormatFloat(at, 'f', -1, 64), "middle"
		last := at+step > took
		if last { // it has the unit
			text += " s"
		}
		if x+18 > chartWide {
			x, anchor = chartWide, "end"
		}
		c.Words = append(c.Words, word{x, c.High - 3, anchor, text})
		if last {
			return
		}
	}
}

// lineChart draws one quantity of a drink. Where a sensor could not say its value the line
// is broken.
func (p *pages) lineChart(d fleet.Curve, q fleet.Quantity) *chart {
	c := &chart{ID: q.Name, Title: p.say("curves."+q.Name, q.Unit), Wide: chartWide, High: plotTop + plotHigh + 22, Fold: p.say("curves.figures"),
		Heads: []string{p.say("curves.at"), q.Unit}}
	most, ok := q.Highest()
	if c.Text = p.say("curves.nothing"); ok {
		c.Text = p.say("curves.text", p.decimal(d.Seconds), p.decimal(most), q.Unit)
	}
	if mean, ok := d.MeanFlow(); ok && q.Name == "flow" {
		c.Say = p.say("curves.mean", p.decimal(mean))
		c.Text += " " + c.Say
	}
	top, ground := scale(int(math.Ceil(max(most, 1)))), plotTop+plotHigh
	c.Words = append(c.Words, word{0, 12, "start", q.Unit})
	for _, n := range []int{0, top / 2, top} {
		y := ground - n*plotHigh/top
		c.Rules = append(c.Rules, rule{hoursLeft, plotRight, y})
		c.Words = append(c.Words, word{hoursLeft - 5, y + 4, "end", strconv.Itoa(n)})
	}
	c.seconds(d.Seconds)
	var line []string
	end := func() {
		if len(line) > 1 {
			c.Lines = append(c.Lines, strings.Join(line, " "))
		}
		line = nil
	}
	each := (len(d.At) + mostRows - 1) / mostRows
	for i, at := range d.At {
		v, cell := q.Values[i], "–"
		if v == nil {
			end()
		} else {
			y := float64(ground) - min(max(*v/float64(top), 0), 1)*plotHigh
			line, cell = append(line, fmt.Sprintf("%.1f,%.1f", plotX(at, d.Seconds), y)), p.decimal(*v)
		}
		if i%each == 0 {
			c.Rows = append(c.Rows, tableRow{p.decimal(at), []string{cell}})
		}
	}
	end()
	return c
}

// partsChart draws what was on when, a bar for each time.
func (p *pages) partsChart(d fleet.Curve) *chart {
	c := &chart{ID: "parts", Title: p.say("curves.parts"), Wide: chartWide, Heads: []string{p.say("curves.part"), p.say("curves.from"), p.say("curves.to")}}
	var names, said []string
	for _, s := range d.Parts {
		if !slices.Contains(names, s.Part) {
			names = append(names, s.Part)
		}
	}
	for _, name := range names {
		title, on := p.name("part", name), 0.0
		c.Words = append(c.Words, word{hoursLeft, c.High + 12, "start", cut(title)})
		for _, s := range d.Parts {
			if s.Part != name {
				continue
			}
			from, to := int(plotX(s.From, d.Seconds)), int(plotX(s.To, d.Seconds))
			c.Bars = append(c.Bars, bar{X: from, Y: c.High + 17, W: max(to-from, 1), H: 9, Look: looks[kindServed]})
			c.Rows = append(c.Rows, tableRow{title, []string{p.decimal(s.From) + " s", p.decimal(s.To) + " s"}})
			on += s.To - s.From
		}
		said = append(said, p.say("curves.on", title, p.decimal(on)))
		c.High += partHigh
	}
	c.High += 22
	c.seconds(d.Seconds)
	c.Text = strings.Join(said, " ")
	return c
}
