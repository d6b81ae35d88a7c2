package web

import "context"

// shortOf is under how many of the largest drink an item is shown as running short: it
// is also the gauge's whole scale, because nobody knows how much a hopper holds.
const shortOf = 10

// scarce is an item of the shop's stock that runs short.
type scarce struct {
	ID    string // as the book has it
	Name  string
	Large int // for so many of the largest drink it is enough, below Of
	Of    int
	High  int // up to here the gauge is in the colour of what is not enough
}

// short lists what runs short of what the shop has and sells. An item that the stock
// never had is none of it, and where the stock does not answer nothing is said.
func (w *Web) short(ctx context.Context, p *pages) (out []scarce) {
	o := w.counter.offer(ctx)
	most := largest(o.menu)
	for _, id := range o.menu.Items() {
		l, known := o.levels[id]
		if !known || most[id] == 0 {
			continue
		}
		if n := max(l.Available(), 0) / most[id]; n < shortOf {
			out = append(out, scarce{id, p.item(o.menu, id), n, shortOf, shortOf - 1})
		}
	}
	return out
}
