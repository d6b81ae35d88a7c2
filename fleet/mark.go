package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Mark is how far somebody has seen the book, kept outside of its store. A book
// that has no such record is an older copy, or another one.
type Mark struct {
	Made time.Time `json:"made"`          // when the book's stream was made, by the broker's clock
	Era  string    `json:"era,omitempty"` // the word of the last loss that a person accepted; empty: none yet
	Revision
	// At is the record's time, by the broker's clock. It proves nothing; people read it,
	// and a loss bars ids that were made before it.
	At time.Time `json:"at"`
}

// Behind reports whether n is of the same book and has seen more of it.
func (m Mark) Behind(n Mark) bool {
	return !m.Made.Equal(n.Made) || m.Era != n.Era || m.Seq < n.Seq
}

func (m Mark) String() string {
	s := fmt.Sprintf("record %d", m.Seq)
	if !m.At.IsZero() {
		s += " of " + m.At.UTC().Format("2006-01-02 15:04:05Z")
	}
	return s
}

// ErrClosed: the shop is closed, for all or for what is older than its start, until
// it is known that its book is whole or a person has accepted the loss. Certain,
// nothing was done; the text says why.
var ErrClosed = errors.New("the shop is closed")

// Span is a run of records that were lost.
type Span struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

func (s Span) String() string {
	if s.From == s.To {
		return fmt.Sprintf("record %d", s.From)
	}
	return fmt.Sprintf("records %d to %d", s.From, s.To)
}

// Gone is what shows that the book has lost something.
type Gone struct {
	By    string    `json:"by"`              // whose mark: a machine's name, or Shop; or Gaps
	Known *Mark     `json:"known,omitempty"` // the mark that the book does not keep
	Ends  *Mark     `json:"ends,omitempty"`  // the book's last record, when that was found
	Lost  []Span    `json:"lost,omitempty"`  // with Gaps
	At    time.Time `json:"at"`              // by the shop's clock, for people only
}

// Who shows a loss, beside the machines.
const (
	ByShop = "shop" // the shop's own mark, or another controller's
	ByGaps = "gaps" // records are missing within the book
)

// String says from where to where.
func (g Gone) String() string {
	switch {
	case g.By == ByGaps:
		var list []string
		for _, s := range g.Lost {
			list = append(list, s.String())
		}
		if len(list) > 5 {
			list = append(list[:5], "and more")
		}
		return "the book has lost " + strings.Join(list, ", ")
	case g.Known == nil:
		return "the book went back"
	case g.Ends == nil || g.Ends.Seq == 0:
		return fmt.Sprintf("the book went back: %s knows of %s, and the book is empty", whose(g.By), g.Known)
	case g.Ends.Seq >= g.Known.Seq:
		return fmt.Sprintf("the book went back: %s knows of %s, and the book has another one in its place (it ends with %s)", whose(g.By), g.Known, g.Ends)
	}
	return fmt.Sprintf("the book went back: %s knows of %s, and the book ends with %s", whose(g.By), g.Known, g.Ends)
}

func whose(by string) string {
	if by == ByShop {
		return "the shop"
	}
	return by
}

// Loss is the act by which a person accepts that the book has lost something.
type Loss struct {
	Gone Gone      `json:"gone"`
	By   string    `json:"by"`
	Why  string    `json:"why"`
	At   time.Time `json:"at"` // by the shop's clock
	// All: every order that is open here becomes unknown. Else only those whose create
	// is at the boundary or before it: the shop's own mark shows that what came after
	// is whole.
	All      bool   `json:"all,omitempty"`
	Boundary uint64 `json:"boundary,omitempty"`
	// Barred is the moment before which an id was made that may have been lost: the
	// book knows it, or it is refused.
	Barred time.Time `json:"barred"`
	// Eras are those that are over: a mark of one of them proves nothing more. The one
	// before all losses is the empty word.
	Eras []string `json:"eras,omitempty"`
}

// LossEntry is the last accepted loss as it stands in the book.
type LossEntry struct {
	Loss
	Revision
}

// Covers reports whether the loss makes an order unknown, whose last record was read
// and whose create stands at created.
func (a *LossEntry) Covers(e Entry, created uint64) bool {
	return a != nil && e.Seq < a.Seq && !e.Phase.Ended() && e.Phase != Unknown && (a.All || created <= a.Boundary)
}

// Bars reports whether an id that the book does not know was made before the loss.
func (a *LossEntry) Bars(order string) bool {
	made, ok := IDTime(order)
	return a != nil && (!ok || made.Before(a.Barred))
}

// Era is the present one.
func (a *LossEntry) Era() string {
	if a == nil {
		return ""
	}
	return a.Rec
}

// Over reports whether a mark is of an era that is over.
func (a *LossEntry) Over(m Mark) bool {
	return a != nil && m.Era != a.Rec && slices.Contains(a.Eras, m.Era)
}

// Gaps looks for records that are missing. Acts say how many refusals came before
// them, and of those each leaf keeps only its last: more than that are missing only
// where something was lost. The broker's own count does not tell (seen: a damaged
// block is skipped without a word).
type Gaps struct {
	at      uint64 // the last record seen
	known   bool   // base is
	base    uint64 // refusals up to the last act that said
	present uint64 // refusals seen since
	missing []Span // since
	lost    []Span
}

// GapsAfter begins behind a record, up to which so many refusals were written.
func GapsAfter(seq, refusals uint64) *Gaps { return &Gaps{at: seq, known: true, base: refusals} }

// Take looks at the next record.
func (g *Gaps) Take(r Record) {
	if r.Seq > g.at+1 {
		g.missing = append(g.missing, Span{g.at + 1, r.Seq - 1})
	}
	g.at = max(g.at, r.Seq)
	if r.Rolled == 0 { // no act, or one of a version that did not say
		if r.Refusals != nil {
			g.known = false
		}
		return
	}
	before := r.Rolled - 1
	if g.known {
		g.judge(before)
	}
	g.known, g.base, g.present, g.missing = true, before, 0, nil
	if r.Refusals != nil {
		g.present = 1
	}
}

// judge compares what is missing with the refusals that were rolled away.
func (g *Gaps) judge(before uint64) {
	n := uint64(0)
	for _, s := range g.missing {
		n += s.To - s.From + 1
	}
	if rolled := before - min(before, g.base+g.present); n > rolled {
		g.lost = append(g.lost, g.missing...)
	}
}

// Lost are the runs of records in which something was lost, when end is the last
// record that the book should have; 0: nobody knows.
func (g *Gaps) Lost(end uint64) []Span {
	if end > g.at {
		return append(slices.Clone(g.lost), append(slices.Clone(g.missing), Span{g.at + 1, end})...)
	}
	if g.known { // behind the last act no refusal was rolled away
		return append(slices.Clone(g.lost), g.missing...)
	}
	return slices.Clone(g.lost)
}

// At is the last record that was seen.
func (g *Gaps) At() uint64 { return g.at }

// IDTime is when an order's id was made, by its maker's clock.
func IDTime(order string) (time.Time, bool) {
	if !isID(order) {
		return time.Time{}, false
	}
	ms := int64(0)
	for _, c := range []byte(order[:10]) {
		ms = ms<<5 | int64(strings.IndexByte(crockford, c))
	}
	return time.UnixMilli(ms), true
}

// Standing is how the shop stands to its book.
type Standing struct {
	State   string   `json:"state"`
	Why     string   `json:"why,omitempty"`     // in English, for a person of the shop
	Gone    *Gone    `json:"gone,omitempty"`    // with StandClosed
	Missing []string `json:"missing,omitempty"` // with StandRollCall: machines that are still awaited
}

// The states of a Standing.
const (
	StandOpen     = "open"
	StandLooking  = "looking"   // the book is being looked at; a moment
	StandRollCall = "roll_call" // new orders flow, older ones wait for what the machines know
	StandClosed   = "closed"    // the book has lost something; a person must accept that
)
