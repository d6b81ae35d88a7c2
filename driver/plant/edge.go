package plant

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"barista/driver"
)

// Edge is a change of a part's contact.
type Edge struct {
	At   time.Duration `json:"at"` // since the plant began
	Part driver.Part   `json:"part"`
	On   bool          `json:"on"`
	By   string        `json:"by"` // "told", "timer" (of the board), "fault", "mended"
}

// String reads like a line of a recipe's timeline: "8s grinder off".
func (e Edge) String() string {
	level := "off"
	if e.On {
		level = "on"
	}
	s := fmt.Sprintf("%s %s %s", seconds(e.At), e.Part, level)
	if e.By != "told" {
		s += " by " + e.By
	}
	return s
}

// Lines is a list of edges, flows or the like as text, one per line.
func Lines[T fmt.Stringer](list []T) string {
	var b strings.Builder
	for _, x := range list {
		b.WriteString(x.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// seconds rounds to a millisecond and drops needless noughts.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Round(time.Millisecond).Seconds(), 'f', -1, 64) + "s"
}

// keepEdges and keepFlows bound the memory of a plant that runs for weeks: the
// newest are kept, the counts are of all.
const (
	keepEdges = 4096
	keepFlows = 2048
)

func (p *Plant) edge(e Edge) {
	p.edgesAll++
	p.edges = keep(append(p.edges, e), keepEdges)
}

// keep drops the oldest half when there are twice as many as allowed.
func keep[T any](list []T, n int) []T {
	if len(list) < 2*n {
		return list
	}
	return slices.Clone(list[len(list)-n:])
}

// newest is the last n of a list.
func newest[T any](list []T, n int) []T { return list[max(0, len(list)-n):] }

// Edges lists the newest changes of all contacts, at most 4096, oldest first.
func (p *Plant) Edges() []Edge {
	p.enter()
	defer p.leave()
	return slices.Clone(newest(p.edges, keepEdges))
}

// tellEvery is how late a change is told: a person looks on.
const tellEvery = 100 * time.Millisecond

// Tell calls each for every change of a contact from now on, soon after it, until ctx
// ends or each fails.
func (p *Plant) Tell(ctx context.Context, each func(Edge) error) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	_, told := p.after(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var list []Edge
		for list, told = p.after(told); len(list) > 0; list = list[1:] {
			if err := each(list[0]); err != nil {
				return err
			}
		}
	}
}

// after lists what is kept of the changes after the first n, and how many there were.
func (p *Plant) after(n int) (list []Edge, all int) {
	p.enter()
	defer p.leave()
	return slices.Clone(newest(p.edges, min(p.edgesAll-n, keepEdges))), p.edgesAll
}

// Rises is how often a part went on, among the newest edges that are kept.
func (p *Plant) Rises(part driver.Part) int {
	n := 0
	for _, e := range p.Edges() {
		if e.Part == part && e.On {
			n++
		}
	}
	return n
}
