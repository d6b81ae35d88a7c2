package queue

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"barista/fleet"
)

// FuzzStoredEvent: whatever stands in the stream of events, it is an event of the order
// and of the kind that its subject says, or none at all; and what was read means the same
// when it is written again.
func FuzzStoredEvent(f *testing.F) {
	at := time.Date(2026, 11, 30, 9, 0, 0, 123456789, time.UTC)
	missed := -3.5
	o := &fleet.Order{ID: someID, Name: "Ada", Size: fleet.Medium, Bean: "arabica", Milk: "soja", Sugar: 2}
	poison := fleet.PoisonID(fleet.StreamIntake, 3)
	for _, e := range []fleet.Event{
		{Order: someID, Kind: fleet.EvAccepted, Epoch: 1, At: at, Name: o.Name, What: o, ETA: []int{20, 40}, Portion: fleet.Items{"arabica": 9}},
		{Order: someID, Kind: fleet.EvStep, Epoch: 2, N: 1, Of: 3, Step: "grind", Stages: []fleet.Stage{{Step: "grind"}, {Step: "pour", From: 40}}, At: at},
		{Order: someID, Kind: fleet.EvEnd, Epoch: 1, At: at, Machine: "zoe", Outcome: fleet.Spoiled, Seconds: 12.5, Reason: fleet.Reason{Code: "no-flow", Quote: "no \"water\"\n"}},
		{Order: someID, Kind: fleet.EvServed, Epoch: 2, At: at, Machine: "leo", Outcome: fleet.Made, By: "Ada", ETAError: &missed},
		{Order: poison, Kind: fleet.EvRefused, Epoch: 1, At: at, Payload: []byte("\xff\x00{"), Subject: "coffee.orders.x"},
	} {
		body, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		subject := fleet.EventSubject(e.Order, e.Slot())
		got, err := decodeEvent(subject, body)
		if err != nil || !reflect.DeepEqual(got.Event, e) || got.ID != e.Order+"."+e.Slot() {
			f.Fatalf("wrote %+v, read %+v, %v", e, got, err)
		}
		f.Add(subject, body)
	}
	own := "coffee.events." + someID
	f.Add(own+".served", []byte(`null`))
	f.Add(own+".served", []byte(`{"order":"`+someID+`","kind":"failed"}`))
	f.Add(own+".served", []byte(`{"order":"x","kind":"served"}`))
	f.Add(own+".end-1", []byte(`{"order":"`+someID+`","kind":"end","epoch":-1,"at":"9999-12-31T23:59:60Z"}`))
	f.Add(own+".end-1", []byte(`{"order":"`+someID+`","kind":"end","seconds":1e308,"eta_error":-1e308,"machine":"zoe\u0000"}`))
	f.Add("coffee.events..served", []byte(`{"order":"","kind":"served"}`))
	f.Add("coffee.events.x.", []byte(`{"order":"x"}`))
	f.Fuzz(func(t *testing.T, subject string, body []byte) {
		e, err := decodeEvent(subject, body)
		if err != nil {
			if !reflect.DeepEqual(e, fleet.StoredEvent{}) {
				t.Fatalf("unreadable (%v), and yet %+v", err, e)
			}
			return
		}
		at := strings.Split(subject, ".")
		kind, _, _ := strings.Cut(at[3], "-")
		if e.ID != at[2]+"."+at[3] || e.ID == "." || e.Order != at[2] || string(e.Kind) != kind || kind == "" || e.Event.Check() != nil {
			t.Fatalf("%s: %+v, %v", subject, e, e.Event.Check())
		}
		again, err := json.Marshal(e.Event)
		if err != nil {
			t.Fatal(err)
		}
		same, err := decodeEvent(subject, again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		third, _ := json.Marshal(same.Event)
		if same.ID != e.ID || string(third) != string(again) {
			t.Fatalf("read %s, again %s", again, third)
		}
	})
}
