package web

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// chart is a picture of bars or of lines, drawn here so that the page needs no script, and the table
// of what it shows. Its figures are in units of a picture of chartWide, which a small
// phone shows about as they are.
type chart struct {
	ID    string
	Title string
	Text  string // what it shows, in a sentence
	Say   string // below the title, for everybody; may be empty
	Wide  int
	High  int
	Rules []rule
	Bars  []bar
	Lines []string // polylines, each its points
	Words []word
	Keys  []key  // what the bars' looks mean; empty where each has its name
	Fold  string // what the table is called where it is long and folded; empty: it is short
	Heads []string
	Rows  []tableRow
}

type rule struct{ X1, X2, Y int }

type bar struct {
	X, Y, W, H int
	Look       string // class of the style sheet
}

type word struct {
	X, Y   int
	Anchor string // "start", "middle", "end"
	Text   string
}

type key struct{ Look, Text string }

// tableRow is a line of the table: its head and the cells behind it.
type tableRow struct {
	Name  string
	Cells []string
}

const (
	chartWide = 320
	hoursHigh = 120 // of the columns
	hoursLeft = 32  // beside them, for the scale
	hourWide  = 12
	lineHigh  = 38 // of a bar with its name above
	mostNames = 12 // have a bar each; the others have one
	mostName  = 26 // letters of a name in a picture
)

// looks are the classes of the kinds.
var looks = [kinds]string{"served", "lost", "none"}

// kindKeys says what the kinds are.
func (p *pages) kindKeys() []key {
	return []key{{looks[kindServed], p.say("history.served")}, {looks[kindLost], p.say("history.key.trouble")}, {looks[kindNone], p.say("history.key.other")}}
}

func (p *pages) newChart(id, head string) *chart {
	return &chart{ID: id, Title: p.say("history." + id), Wide: chartWide, Keys: p.kindKeys(),
		Heads: []string{head, p.say("history.served"), p.say("history.trouble"), p.say("history.other")}}
}

// scale is the figure at the top of the columns: a round one, of which the half is whole.
func scale(most int) int {
	for ten := 1; ; ten *= 10 {
		for _, n := range []int{2, 4, 6, 8, 10, 12, 16} {
			if n*ten >= most {
				return n * ten
			}
		}
	}
}

// hoursChart has a column for each hour.
func (p *pages) hoursChart(d *day) *chart {
	c := p.newChart("hours", p.say("history.hour"))
	c.High, c.Fold = hoursHigh+30, p.say("history.figures")
	most := slices.MaxFunc(d.Hours[:], func(x, y count) int { return cmp.Compare(x.all(), y.all()) }).all()
	top, ground := scale(most), hoursHigh+8
	for _, n := range []int{0, top / 2, top} {
		y := ground - n*hoursHigh/top
		c.Rules = append(c.Rules, rule{hoursLeft, chartWide, y})
		c.Words = append(c.Words, word{hoursLeft - 5, y + 4, "end", strconv.Itoa(n)})
	}
	peak := ""
	for i, hour := range d.Hours {
		x, from := hoursLeft+i*hourWide, d.From.Add(time.Duration(i)*time.Hour)
		span := from.Format("15:04") + "–" + from.Add(time.Hour).Format("15:04")
		if peak == "" && hour.all() == most {
			peak = span
		}
		c.stack(hour, func(before, n int) bar {
			low, high := ground-before*hoursHigh/top, ground-(before+n)*hoursHigh/top
			return bar{X: x + 1, Y: high, W: hourWide - 2, H: max(low-high, 1)}
		})
		if i%6 == 0 {
			c.Words = append(c.Words, word{x, c.High - 3, "start", from.Format("15:04")})
		}
		c.Rows = append(c.Rows, tableRow{span, hour.cells()})
	}
	c.Text = p.say("history.most", d.All, peak, most)
	return c
}

// stack draws the kinds of a count one behind the other.
func (c *chart) stack(n count, place func(before, n int) bar) {
	before := 0
	for k, one := range n {
		if one > 0 {
			b := place(before, one)
			b.Look = looks[k]
			c.Bars = append(c.Bars, b)
			before += one
		}
	}
}

func (n count) cells() []string {
	out := make([]string, len(n))
	for i, one := range n {
		out[i] = strconv.Itoa(one)
	}
	return out
}

// line adds a bar that lies below its name, and its row; longest is the figure of the
// whole width.
func (c *chart) line(name string, n count, longest int, cells []string) {
	y := c.High
	c.High += lineHigh
	c.Words = append(c.Words, word{0, y + 13, "start", cut(name)}, word{chartWide, y + 13, "end", strconv.Itoa(n.all())})
	c.stack(n, func(before, n int) bar {
		from, to := before*chartWide/longest, (before+n)*chartWide/longest
		return bar{X: from + 1, Y: y + 19, W: max(to-from-2, 1), H: 12}
	})
	c.Rows = append(c.Rows, tableRow{name, cells})
}

// cut is a name as a picture has room for it; the table has all of it.
func cut(name string) string {
	if r := []rune(name); len(r) > mostName {
		return string(r[:mostName-1]) + "…"
	}
	return name
}

// namesChart has a bar for each name, the longest first; that of what has none last.
func (p *pages) namesChart(id, head string, of map[string]count, none string, name func(string) string) *chart {
	c := p.newChart(id, head)
	names := slices.SortedFunc(maps.Keys(of), func(x, y string) int {
		return cmp.Or(cmp.Compare(of[y].all(), of[x].all()), cmp.Compare(x, y))
	})
	if i := slices.Index(names, ""); i >= 0 {
		names = append(slices.Delete(names, i, i+1), "")
	}
	type line struct {
		name string
		n    count
	}
	var lines []line
	for i, one := range names {
		switch {
		case i < mostNames && one == "":
			lines = append(lines, line{none, of[one]})
		case i < mostNames:
			lines = append(lines, line{name(one), of[one]})
		default:
			if i == mostNames {
				lines = append(lines, line{name: p.say("history.others")})
			}
			last := &lines[mostNames]
			for k, n := range of[one] {
				last.n[k] += n
			}
		}
	}
	longest, all := lines[0], 0
	for _, l := range lines {
		all += l.n.all()
		if l.n.all() > longest.n.all() {
			longest = l
		}
	}
	for _, l := range lines {
		c.line(l.name, l.n, longest.n.all(), l.n.cells())
	}
	c.Text = p.say("history.most", all, longest.name, longest.n.all())
	return c
}

// shares draws one bar for each name, with its share of all.
func (p *pages) shares(id, head string, names []string, ks []kind, ns []int) *chart {
	c := p.newChart(id, head)
	c.Keys, c.Heads = nil, []string{head, p.say("history.orders"), p.say("history.share")}
	longest, all := slices.Max(ns), 0
	for _, n := range ns {
		all += n
	}
	for i, n := range ns {
		var one count
		one[ks[i]] = n
		c.line(names[i], one, max(longest, 1), []string{strconv.Itoa(n), p.percent(n, all)})
	}
	c.Text = p.say("history.most", all, names[slices.Index(ns, longest)], longest)
	return c
}

// percent is a share in whole percent.
func (p *pages) percent(n, of int) string { return fmt.Sprintf("%d %%", (100*n+of/2)/max(of, 1)) }

// endsChart is how the orders ended.
func (p *pages) endsChart(d *day) *chart {
	var names []string
	var ks []kind
	var ns []int
	for _, end := range ends {
		names, ks, ns = append(names, p.name("outcome", end)), append(ks, kindOf(end)), append(ns, d.Ends[end])
	}
	return p.shares("outcomes", p.say("history.outcome"), names, ks, ns)
}

// keptChart is how the cups came against what was promised.
func (p *pages) keptChart(d *day) *chart {
	c := p.shares("promise", p.say("history.came"),
		[]string{p.say("history.early"), p.say("history.within"), p.say("history.late"), p.say("history.verylate")},
		[]kind{kindServed, kindServed, kindLost, kindLost}, d.Kept[:keptUntold])
	c.Say = p.say("history.kept", d.Kept[keptWithin], d.promised(), p.percent(d.Kept[keptWithin], d.promised()))
	if n := d.Kept[keptUntold]; n > 0 {
		c.Say += " " + p.say("history.untold", n)
	}
	return c
}
