// Package former reads what the layout before the book wrote: its claims, and its
// ledger of the stock. It is pure, asks no broker, and goes when no shop is left
// that would come from there; package queue knows where the records stand, and
// carries over what they say.
package former

import (
	"encoding/json"

	"barista/fleet"
)

// Refused is a phase that is no more: never accepted, so whoever asks again gets a
// new decision.
const Refused fleet.Phase = "refused"

// Claim reads a claim into what the book keeps of it: enough to answer the same id
// as before. Its portion stays behind, because the stock that is carried over is
// what is left after it.
func Claim(b []byte) (fleet.Claim, error) {
	var was struct {
		Phase   fleet.Phase   `json:"phase"`
		Order   fleet.Order   `json:"order"`
		Hash    string        `json:"hash"`
		Answer  fleet.Answer  `json:"answer"`
		Epoch   int           `json:"epoch"`
		Outcome fleet.Outcome `json:"outcome"`
		fleet.Reason
		By string `json:"by"`
	}
	if err := json.Unmarshal(b, &was); err != nil {
		return fleet.Claim{}, err
	}
	return fleet.Claim{
		Phase: was.Phase, Order: was.Order, Hash: was.Hash, Answer: was.Answer, Epoch: was.Epoch,
		Outcome: was.Outcome, Reason: was.Reason, By: was.By, Via: fleet.ViaOld,
	}, nil
}

// Ledger folds its records to what is on hand.
type Ledger struct {
	on      fleet.Items
	counted map[string]uint64 // sequence of the last count
	keys    map[string]bool
	ends    map[use]end
}

// NewLedger folds into on.
func NewLedger(on fleet.Items) *Ledger {
	return &Ledger{on, map[string]uint64{}, map[string]bool{}, map[use]end{}}
}

// use is one reservation of an order, end how it ended; a later end of the same use
// corrects the one before.
type use struct {
	order string
	n     int
}

type end struct {
	act   fleet.Act
	seq   uint64 // of the first end
	taken fleet.Items
}

// Take folds the next record, which stands at seq.
func (l *Ledger) Take(seq uint64, b []byte) {
	var e struct {
		Act   fleet.Act   `json:"act"`
		Order string      `json:"order"`
		Use   int         `json:"use"`
		Items fleet.Items `json:"items"`
		Key   string      `json:"key"`
	}
	if json.Unmarshal(b, &e) != nil || e.Items.Check() != nil {
		return // it counted for nothing there, too
	}
	if e.Order != "" {
		l.end(seq, use{e.Order, e.Use}, e.Act, e.Items)
		return
	}
	if e.Key != "" && l.keys[e.Key] {
		return
	}
	l.keys[e.Key] = true
	for item, n := range e.Items {
		had, known := l.on[item]
		switch {
		case e.Act == fleet.Refill:
			l.on[item] = had + n
		case e.Act == fleet.Count:
			l.on[item], l.counted[item] = n, seq
		case known && (e.Act == fleet.Consume || e.Act == fleet.Waste):
			l.on[item] = had - min(n, had)
		}
	}
}

func (l *Ledger) end(seq uint64, u use, act fleet.Act, items fleet.Items) {
	was, again := l.ends[u]
	now := end{act: act, seq: seq, taken: fleet.Items{}}
	switch {
	case again && was.act == act:
		return
	case again:
		now.seq = was.seq
	}
	switch act {
	case "release": // takes nothing
	case fleet.Consume, fleet.Waste:
		for item, n := range items {
			had, known := l.on[item]
			if again && l.counted[item] > was.seq { // on hand stays as it was counted
				now.taken[item] = n
			} else if known {
				now.taken[item] = min(n, had+was.taken[item])
			}
		}
	default: // a reservation moves nothing
		return
	}
	for item := range l.on {
		if back := was.taken[item] - now.taken[item]; l.counted[item] <= now.seq {
			l.on[item] += back
		}
	}
	l.ends[u] = now
}
