package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"barista/driver"
)

// Pos is a place in a file, both counted from 1; columns count characters. The
// zero Pos stands for the file as a whole.
type Pos struct {
	Line, Column int
}

func (p Pos) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }

// Problem is one thing that a person has to mend.
type Problem struct {
	Pos    Pos
	Where  string // the key: "machine.serves.beans[0]"; empty for the file as a whole
	Reason string // what is wrong
	Fix    string // what to do
}

// String is the problem in one line, without the name of the file.
func (p Problem) String() string {
	var b strings.Builder
	if p.Pos != (Pos{}) {
		fmt.Fprintf(&b, "%v: ", p.Pos)
	}
	if p.Where != "" {
		b.WriteString(p.Where + ": ")
	}
	b.WriteString(p.Reason)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String()
}

// Problems is the error of Load: everything that is wrong with one file, in
// order of line.
type Problems struct {
	File string
	List []Problem
}

// Error lists the problems, one a line, in the form that editors can jump to:
// file:line:column: key: reason; fix.
func (p *Problems) Error() string {
	lines := make([]string, len(p.List))
	for i, q := range p.List {
		sep := ": "
		if q.Pos != (Pos{}) {
			sep = ":"
		}
		lines[i] = p.File + sep + q.String()
	}
	return strings.Join(lines, "\n")
}

// report gathers the problems of one file.
type report struct {
	list []Problem
	maps []*Map // every map that was opened, for the unknown keys
}

func (r *report) add(at Pos, where, reason, fix string) {
	p := Problem{at, where, reason, fix}
	if !slices.Contains(r.list, p) {
		r.list = append(r.list, p)
	}
}

// sorted is the list in order of line. What has no place comes last: it is
// about what the lines before it add up to.
func (r *report) sorted() []Problem {
	slices.SortStableFunc(r.list, func(a, b Problem) int {
		none := func(p Problem) int {
			if p.Pos == (Pos{}) {
				return 1
			}
			return 0
		}
		return cmp.Or(none(a)-none(b), a.Pos.Line-b.Pos.Line, a.Pos.Column-b.Pos.Column)
	})
	return r.list
}

// Place reports what a kind or a plan says of this map's settings, each at the key
// that it is about, or at what holds that if it is not written.
func (m *Map) Place(list []driver.Problem) {
	for _, p := range list {
		at := m.Node()
		for key := range strings.SplitSeq(p.Section+"."+p.Key, ".") {
			if key == "" {
				continue
			}
			n := at.Map().Get(key)
			if n == nil {
				break
			}
			at = n
		}
		at.KeyProblem(p.Reason, p.Fix)
	}
}
