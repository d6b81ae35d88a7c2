package fleet_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"barista/fleet"
)

// TestGaps: what is missing is lost, unless it was a refusal that a later one rolled
// away.
func TestGaps(t *testing.T) {
	act := func(seq, refusals uint64) fleet.Record {
		return fleet.Record{Act: true, Rolled: refusals + 1, Stock: &fleet.StockAct{}, Entry: fleet.Entry{Revision: fleet.Revision{Seq: seq}}}
	}
	refusal := func(seq, before uint64) fleet.Record {
		r := act(seq, before)
		r.Stock, r.Refusals = nil, &fleet.Refusals{Before: before, List: []fleet.Refusal{{}}}
		return r
	}
	state := func(seq uint64) fleet.Record {
		return fleet.Record{IsClaim: true, Entry: fleet.Entry{Revision: fleet.Revision{Seq: seq}}}
	}
	silent := func(r fleet.Record) fleet.Record { r.Rolled = 0; return r }
	for name, c := range map[string]struct {
		from uint64
		of   uint64 // refusals up to there
		end  uint64
		book []fleet.Record
		want string
	}{
		"whole":                                  {0, 0, 4, []fleet.Record{act(1, 0), state(2), act(3, 0), state(4)}, ""},
		"empty":                                  {0, 0, 0, nil, ""},
		"a refusal":                              {0, 0, 2, []fleet.Record{act(1, 0), refusal(2, 0)}, ""},
		"two refusals, one is rolled away":       {0, 0, 4, []fleet.Record{act(1, 0), state(2), refusal(4, 1)}, ""},
		"rolled away before an act":              {0, 0, 5, []fleet.Record{act(1, 0), refusal(4, 2), act(5, 3)}, ""},
		"rolled away over an act":                {0, 0, 5, []fleet.Record{act(1, 0), act(3, 1), refusal(4, 1), act(5, 2)}, ""},
		"a state is missing":                     {0, 0, 4, []fleet.Record{act(1, 0), act(3, 0), state(4)}, "record 2"},
		"an act is missing":                      {0, 0, 4, []fleet.Record{act(1, 0), state(3), act(4, 0)}, "record 2"},
		"a state beside a refusal":               {0, 0, 5, []fleet.Record{act(1, 0), refusal(4, 1), act(5, 2)}, "records 2 to 3"},
		"the first":                              {0, 0, 3, []fleet.Record{state(2), act(3, 0)}, "record 1"},
		"behind the last act":                    {0, 0, 4, []fleet.Record{act(1, 0), state(2), state(4)}, "record 3"},
		"behind a refusal":                       {0, 0, 5, []fleet.Record{act(1, 0), refusal(3, 1), state(5)}, "record 4"},
		"the broker knows of more":               {0, 0, 9, []fleet.Record{act(1, 0), state(2)}, "records 3 to 9"},
		"behind a balance":                       {7, 3, 9, []fleet.Record{state(8), act(9, 3)}, ""},
		"behind a balance, a refusal over":       {7, 3, 10, []fleet.Record{refusal(9, 4), act(10, 5)}, ""},
		"behind a balance, missing":              {7, 3, 9, []fleet.Record{act(9, 3)}, "record 8"},
		"a version that did not count":           {0, 0, 4, []fleet.Record{silent(act(1, 0)), silent(refusal(3, 1)), silent(act(4, 2))}, ""},
		"a version that did not count, and then": {0, 0, 6, []fleet.Record{silent(refusal(2, 1)), act(3, 2), act(6, 2)}, "records 4 to 5"},
	} {
		g := fleet.GapsAfter(c.from, c.of)
		for _, r := range c.book {
			g.Take(r)
		}
		if got := strings.Trim(fmt.Sprint(g.Lost(c.end)), "[]"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestIDTime: an id says when it was made.
func TestIDTime(t *testing.T) {
	for id, want := range map[string]int64{
		"00000000000000000000000000": 0,
		"01ARZ3NDEKTSV4RRFFQ69G5FAV": 1469922850259, // the specification's example
		"7ZZZZZZZZZZZZZZZZZZZZZZZZZ": 1<<48 - 1,
	} {
		if got, ok := fleet.IDTime(id); !ok || got.UnixMilli() != want {
			t.Errorf("%s: %d %v, want %d", id, got.UnixMilli(), ok, want)
		}
	}
	if _, ok := fleet.IDTime("never"); ok {
		t.Error("what is no id has a time")
	}
}

// TestLossEntry: which orders and ids an accepted loss concerns.
func TestLossEntry(t *testing.T) {
	when := time.UnixMilli(1469922850259)
	entry := func(p fleet.Phase, seq uint64) fleet.Entry {
		return fleet.Entry{Claim: fleet.Claim{Phase: p}, Revision: fleet.Revision{Seq: seq}}
	}
	all := &fleet.LossEntry{Loss: fleet.Loss{All: true, Barred: when, Eras: []string{"", "x"}}, Revision: fleet.Revision{Seq: 10, Rec: "y"}}
	some := &fleet.LossEntry{Loss: fleet.Loss{Boundary: 5, Barred: when}, Revision: fleet.Revision{Seq: 10, Rec: "y"}}
	var none *fleet.LossEntry
	for _, c := range []struct {
		l       *fleet.LossEntry
		e       fleet.Entry
		created uint64
		want    bool
	}{
		{all, entry(fleet.Accepted, 9), 9, true},
		{all, entry(fleet.Brewing, 9), 1, true},
		{all, entry(fleet.Again, 9), 1, true},
		{all, entry(fleet.Accepted, 11), 11, false},
		{all, entry(fleet.Served, 9), 1, false},
		{all, entry(fleet.Unknown, 9), 1, false},
		{some, entry(fleet.Accepted, 9), 5, true},
		{some, entry(fleet.Accepted, 9), 6, false},
		{some, entry(fleet.Accepted, 11), 5, false}, // written again by a person since
		{none, entry(fleet.Accepted, 1), 1, false},
	} {
		if got := c.l.Covers(c.e, c.created); got != c.want {
			t.Errorf("%s at %d, created at %d: %v", c.e.Phase, c.e.Seq, c.created, got)
		}
	}
	if !all.Bars("01ARZ3NDEJZZZZZZZZZZZZZZZZ") || all.Bars("01ARZ3NDEKTSV4RRFFQ69G5FAV") || none.Bars("00000000000000000000000000") {
		t.Error("ids from before are barred, and no others")
	}
	for era, over := range map[string]bool{"": true, "x": true, "y": false, "z": false} {
		if all.Over(fleet.Mark{Era: era}) != over || none.Over(fleet.Mark{Era: era}) {
			t.Errorf("era %q", era)
		}
	}
}
