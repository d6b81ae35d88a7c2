package presence

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"barista/fleet"
)

// TestRoll: what is made of words and settings, one row a machine's fate.
func TestRoll(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const record = `{"classes":[{"bean":"arabica","milk":"normal"}],"sizes":["medium"],"at":"2026-02-28T12:00:00Z"}`
	ill := zoe
	ill.State = fleet.StateFault
	for _, tc := range []struct {
		name     string
		words    []fleet.Presence // a word without a state: it says no more
		settings []string         // KEY=VALUE; no value: deleted
		now      time.Time
		want     string // machine, here, able, makes black, makes white, seen, cordoned by: why
	}{
		{"nobody", nil, nil, now, ""},
		{"here", []fleet.Presence{zoe}, nil, now, "zoe here able black"},
		{"here and ill", []fleet.Presence{ill}, nil, now, "zoe here black"},
		{"gone", []fleet.Presence{zoe, {Machine: "zoe"}}, nil, now, ""},
		{"gone, but written down", []fleet.Presence{zoe, {Machine: "zoe"}}, []string{"seen.zoe=" + record}, now, "zoe white seen"},
		{"here, and written down with another list", []fleet.Presence{zoe}, []string{"seen.zoe=" + record}, now, "zoe here able black seen"},
		{"seven days ago", nil, []string{"seen.zoe=" + record}, now.Add(6 * 24 * time.Hour), ""},
		{"written down as never made", nil, []string{"seen.zoe=" + strings.Replace(record, "}],", `}],"never":[{"milk":"normal"}],`, 1)}, now, "zoe seen"},
		{"just less", nil, []string{"seen.zoe=" + record}, now.Add(6*24*time.Hour - time.Second), "zoe white seen"},
		{"no clock yet", nil, []string{"seen.zoe=" + record}, time.Time{}, "zoe white seen"},
		{"a record that can't be read", nil, []string{"seen.zoe={"}, now, ""},
		{"forgotten", nil, []string{"seen.zoe=" + record, "seen.zoe"}, now, ""},
		{"cordoned", []fleet.Presence{zoe}, []string{`cordon.zoe={"by":"Ada","reason":"swap"}`}, now, "zoe here black, Ada: swap"},
		{"cordoned and away", nil, []string{"seen.zoe=" + record, `cordon.zoe={"by":"Ada","reason":"swap"}`}, now, "zoe white seen, Ada: swap"},
		{"cordoned and unknown", nil, []string{`cordon.zoe={"by":"Ada","reason":"swap"}`}, now, "zoe, Ada: swap"},
		{"retired and away", nil, []string{"seen.zoe=" + record, `cordon.zoe={"by":"Ada","reason":"sold","retired":true}`}, now, ""},
		{"retired, and here", []fleet.Presence{zoe}, []string{`cordon.zoe={"by":"Ada","reason":"sold","retired":true}`}, now, "zoe here black, Ada: sold"},
		{"replaced, and not come yet", nil, []string{"seen.zoe=" + record, `cordon.zoe={"by":"Ada","reason":"broken","replaced":true}`}, now, "zoe white seen, Ada: broken"},
		{"back in service", []fleet.Presence{zoe}, []string{`cordon.zoe={"by":"Ada","reason":"swap"}`, "cordon.zoe"}, now, "zoe here able black"},
		{"a cordon that can't be read", []fleet.Presence{zoe}, []string{"cordon.zoe={"}, now, "zoe here black, : a cordon that can't be read"},
		{"no name", []fleet.Presence{{Machine: "a.b", State: fleet.StateReady}}, []string{"seen.a.b=" + record, "cordon.Zoe!={}"}, now, ""},
		{"two, by name", []fleet.Presence{zoe, {Machine: "eve", State: fleet.StateReady}}, []string{"menu={}"}, now, "eve here able; zoe here able black"},
	} {
		r := newRoll()
		for _, w := range tc.words {
			r.word(w, w.State != "")
		}
		for _, s := range tc.settings {
			key, text, put := strings.Cut(s, "=")
			var value []byte
			if put {
				value = []byte(text)
			}
			_ = r.setting(key, value)
		}
		var got []string
		for _, m := range r.machines(tc.now) {
			s := m.Machine
			for _, is := range []struct {
				word string
				so   bool
			}{
				{"here", m.Here}, {"able", m.Able()}, {"black", m.Makes(of(black, fleet.Small))}, {"white", m.Makes(of(white, fleet.Medium))},
				{"seen", !m.Seen.IsZero()},
			} {
				if is.so {
					s += " " + is.word
				}
			}
			if m.Cordon != nil {
				s += fmt.Sprintf(", %s: %s", m.Cordon.By, m.Cordon.Reason)
			}
			got = append(got, s)
		}
		if got := strings.Join(got, "; "); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
