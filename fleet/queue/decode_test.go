package queue

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"barista/fleet"
)

const someID = "01JD0000000000000000000000"

func someRecords() []fleet.Record {
	o := fleet.Order{ID: someID, Name: "Ada", Size: fleet.Small, Bean: "arabica", Milk: "free"}
	create := fleet.Create(o, fleet.Items{"arabica": 9}, fleet.Success(o.ID), "web")
	brewing, _ := create.Fence(fleet.Owner{Machine: "zoe", Journal: "j", Boot: "b"})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	refused := fleet.Refusals{}.With(fleet.Refusal{Order: o.ID, Answer: fleet.Sorry(o.ID, fleet.CodeQueueFull, "full"), At: at}, nil)
	return []fleet.Record{
		{Entry: fleet.Entry{Claim: create}, IsClaim: true, Act: true},
		{Entry: fleet.Entry{Claim: brewing}, IsClaim: true},
		{Act: true, Stock: &fleet.StockAct{Act: fleet.Count, Items: fleet.Items{"arabica": 0}, Key: "k", At: at}},
		{Act: true, Refusals: &refused},
		{Act: true, Balance: &fleet.Balance{Upto: 7, Acts: 6, Levels: map[string]fleet.Level{"arabica": {OnHand: 1}}}},
	}
}

// FuzzRecord: whatever stands in the book, a record is one thing or none, and what
// was read means the same when it is written again.
func FuzzRecord(f *testing.F) {
	for _, r := range someRecords() {
		subject, rec, body, err := encode(r, 7)
		if err != nil {
			f.Fatal(err)
		}
		got, err := decode(subject, 1<<40, body)
		if r.Rec = rec; err != nil || !reflect.DeepEqual(got, r) {
			f.Fatalf("wrote %+v, read %+v, %v", r, got, err)
		}
		f.Add(subject, body)
	}
	f.Add("coffee.book.now."+someID, []byte(`{"phase":"served","order":{"id":"`+someID+`"},"epoch":-1,"rec":"x"}`))
	f.Add("coffee.book.new-0.stock", []byte(`null`))
	f.Add("coffee.book.new-01.", []byte(`{}`))
	f.Add("coffee.book.now.stock", []byte(`{"act":"count","rec":"x"}`))
	f.Fuzz(func(t *testing.T, subject string, body []byte) {
		r, err := decode(subject, 1<<40, body)
		n := 0
		for _, is := range []bool{r.IsClaim, r.Stock != nil, r.Refusals != nil, r.Balance != nil} {
			if is {
				n++
			}
		}
		if err != nil {
			if n != 0 || r.Rec != "" {
				t.Fatalf("unreadable (%v), and yet %+v", err, r)
			}
			return
		}
		if n != 1 || r.Rec == "" {
			t.Fatalf("%+v", r)
		}
		leaf := uint64(0)
		if r.Act {
			leaf, _ = leafOf(strings.Split(subject, ".")[2])
		}
		again, rec, body, err := encode(r, leaf)
		if err != nil || again != subject {
			t.Fatalf("read under %s, written under %s, %v", subject, again, err)
		}
		same, err := decode(again, 1<<40, body)
		if err != nil || same.Rec != rec {
			t.Fatal(err)
		}
		same.Rec = r.Rec
		a, _ := json.Marshal(r)
		b, _ := json.Marshal(same)
		if string(a) != string(b) {
			t.Fatalf("read\n%s, then\n%s", a, b)
		}
	})
}

// FuzzHeaders: what a message says of its create in the book is read or left out.
func FuzzHeaders(f *testing.F) {
	f.Add("12", "ABC", `{"arabica":9}`)
	f.Add("0", "ABC", `{"arabica":-9}`)
	f.Add("", "", ``)
	f.Add("18446744073709551616", "x", `{"a b":1}`)
	f.Add("1", "", `[`)
	f.Add("1", "", `{"arabica":9}x`)
	f.Fuzz(func(t *testing.T, seq, rec, portion string) {
		h := nats.Header{}
		h.Set(headerSeq, seq)
		h.Set(headerRec, rec)
		h.Set(headerPortion, portion)
		items, created := ofBook(h)
		if (created.Seq == 0) != (created.Rec == "") {
			t.Errorf("half a revision: %+v", created)
		}
		for item, n := range items {
			if !fleet.IsToken(item) || n < 0 || n > fleet.MaxAmount {
				t.Errorf("portion %v", items)
			}
		}
	})
}

func TestNoHeaders(t *testing.T) {
	if items, created := ofBook(nil); items != nil || created != (fleet.Revision{}) {
		t.Errorf("%v %v", items, created)
	}
}
