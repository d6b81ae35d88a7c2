package desk

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"barista/fleet"
)

const whole = `{"nonce":"n","owner":{"machine":"ann","journal":"j","boot":"b"},"order":"01JD0000000000000000000001","seq":7,"rec":"R","epoch":1}`

// TestDecode: a request is one object of the right form, or none.
func TestDecode(t *testing.T) {
	a, err := decode([]byte(whole))
	if err != nil || a.Owner != (fleet.Owner{Machine: "ann", Journal: "j", Boot: "b"}) || a.Revision != (fleet.Revision{Seq: 7, Rec: "R"}) || a.Order != id || a.Epoch != 1 {
		t.Errorf("%+v %v", a, err)
	}
	if _, err := decode([]byte(strings.Replace(whole, `{`, `{"later":{"a":[1]},`, 1))); err != nil {
		t.Errorf("a field of a later version: %v", err)
	}
	with := func(old, new string) string {
		if !strings.Contains(whole, old) {
			t.Fatalf("%s is not there", old)
		}
		return strings.Replace(whole, old, new, 1)
	}
	for name, body := range map[string]string{
		"nothing":           "",
		"null":              "null",
		"a list":            "[]",
		"something behind":  whole + "{}",
		"a key twice":       with(`"seq":7`, `"seq":7,"seq":8`),
		"a key twice deep":  with(`"boot":"b"`, `"boot":"b","boot":"c"`),
		"no nonce":          with(`"n"`, `""`),
		"a long nonce":      with(`"n"`, `"`+strings.Repeat("n", 65)+`"`),
		"a nonce that acts": with(`"n"`, `"\u001b[2J"`),
		"no machine":        with(`"ann"`, `""`),
		"a wildcard":        with(`"ann"`, `"*"`),
		"two tokens":        with(`"ann"`, `"ann.bob"`),
		"a long journal":    with(`"j"`, `"`+strings.Repeat("j", 65)+`"`),
		"an order":          with("01JD", "01jd"),
		"another order":     with("01JD0000000000000000000001", "*"),
		"a subject":         with("01JD0000000000000000000001", "stock"),
		"an outcome":        with(`"epoch":1`, `"epoch":1,"outcome":"perfect"`),
		"an epoch":          with(`"epoch":1`, `"epoch":-1`),
		"half an epoch":     with(`"epoch":1`, `"epoch":1.5`),
		"text for a number": with(`"epoch":1`, `"epoch":"1"`),
		"a negative time":   with(`"epoch":1`, `"took":-1`),
		"an endless time":   with(`"epoch":1`, `"took":1e300`),
		"a class":           with(`"epoch":1`, `"presence":{"classes":[{"bean":"*","milk":"free"}]}`),
		"a milk":            with(`"epoch":1`, `"presence":{"classes":[{"bean":"a","milk":"a.b"}]}`),
		"a size":            with(`"epoch":1`, `"presence":{"sizes":["huge"]}`),
		"what is in hand":   with(`"epoch":1`, `"presence":{"order":"x"}`),
		"not UTF-8":         with(`"rec":"R"`, "\"rec\":\"\xff\""),
		"too long":          with(`"rec":"R"`, `"rec":"`+strings.Repeat("R", fleet.MaxAsk)+`"`),
	} {
		if a, err := decode([]byte(body)); err == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// Every request that a machine makes fits.
func TestLargestRequest(t *testing.T) {
	b, err := json.Marshal(fleet.Ask{Nonce: strings.Repeat("n", 26), Owner: fleet.Owner{Machine: strings.Repeat("a", 32)}, Poison: &fleet.Poison{
		Seq: 1 << 62, Subject: strings.Repeat("s", 200), Why: strings.Repeat("é", 200), Payload: make([]byte, fleet.MaxOrder)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decode(b); err != nil {
		t.Errorf("%d bytes: %v", len(b), err)
	}
}

// FuzzAnswer throws anything at a desk under any subject that the broker could
// hand over: it answers, it does not panic, and what it writes it may write.
func FuzzAnswer(f *testing.F) {
	for verb := range verbs {
		f.Add("ann", verb, []byte(whole))
		f.Add("ann", verb, []byte(`{"nonce":"n","owner":{"machine":"ann"},"poison":{"seq":99999999999999,"payload":"e30="},"presence":{"machine":"ann","owner":{"machine":"ann"}}}`))
	}
	f.Add("", "", []byte(`{"nonce":"n"`))
	f.Fuzz(func(t *testing.T, machine, verb string, body []byte) {
		s := open(t)
		e := fleet.Entry{Claim: claimAt(fleet.Accepted, me), Revision: fleet.Revision{Seq: 7, Rec: "R"}}
		s.book[id] = e
		var told fleet.Told
		if err := json.Unmarshal(s.desk.answer(context.Background(), "coffee.desk."+machine+"."+verb, body), &told); err != nil {
			t.Fatalf("answered what can't be read: %v", err)
		}
		for _, ev := range s.events {
			fleet.EventSubject(ev.Order, ev.Slot())
		}
		got := s.book[id]
		if got.Revision == e.Revision {
			return
		}
		a, err := decode(body)
		if err != nil || told.Code != "" || a.Owner.Machine != machine || a.Revision != e.Revision || a.Epoch != 1 ||
			got.Phase != fleet.Claimed && got.Phase != fleet.Brewing && got.Phase != fleet.Unknown || got.Machine() != machine {
			t.Errorf("%s %s %q wrote %+v", machine, verb, body, got)
		}
	})
}
