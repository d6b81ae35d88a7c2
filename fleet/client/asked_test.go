package client

import (
	"encoding/json"
	"strings"
	"testing"

	"barista/fleet"
)

// TestAsked: an order that is sent can be read by the article's controller, which knows
// texts only, and by ours.
func TestAsked(t *testing.T) {
	want := fleet.Order{ID: "01JD0000000000000000000000", Name: "Ada", Size: fleet.Large, Bean: "arabica", Milk: "free", Sugar: 2}
	var theirs struct {
		Size  string `json:"size"`
		Bean  string `json:"bean_type"`
		Milk  string `json:"milk"`
		Name  string `json:"name"`
		Sugar string `json:"sugar_count"`
	}
	if err := json.Unmarshal(asked(want), &theirs); err != nil || theirs.Sugar != "2" || theirs.Name != "Ada" || theirs.Bean != "arabica" {
		t.Errorf("%+v, %v", theirs, err)
	}
	if got, err := fleet.DecodeOrder(asked(want), strings.TrimSpace); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}
