package machine

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
	"barista/driver/guard"
	"barista/machine/journal"
	"barista/machine/recipe"
)

// TestWear: what was done since the last care outlasts a restart, begins anew with it, and
// is due by count or by time in service; what can't be read is counted anew, and said.
func TestWear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "wear.json")
		plan := &Plan{Care: map[Care]Upkeep{Rinse: {Every: 3, Into: IntoTray}, Clean: {After: 2 * time.Hour}}}
		w, err := OpenWear(path)
		if err != nil {
			t.Fatal(err)
		}
		of := func(c Care) Due {
			list := w.due(plan, Cares)
			return list[slices.IndexFunc(list, func(d Due) bool { return d.Care == c })]
		}
		for range 3 {
			if of(Rinse).Due {
				t.Fatal("due too early")
			}
			w.made("")
		}
		if d := of(Rinse); !d.Due || d.Drinks != 3 || !d.Itself || of(Clean).Due || of(Clean).Itself || of(Descale).Due {
			t.Errorf("%+v", w.due(plan, Cares))
		}
		time.Sleep(2*time.Hour - time.Second)
		if of(Clean).Due {
			t.Error("cleaning is due too early")
		}
		w.keep()
		if w, err = OpenWear(path); err != nil {
			t.Fatal(err)
		}
		if d := of(Rinse); d.Drinks != 3 || d.Hours != 1 {
			t.Errorf("after a restart: %+v", d)
		}
		time.Sleep(time.Second) // its service was off in between, which does not count
		if !of(Clean).Due {
			t.Error("cleaning is not due")
		}
		w.made(Rinse)
		if of(Rinse).Drinks != 0 || of(Descale).Drinks != 3 || !of(Clean).Due {
			t.Errorf("after a rinse: %+v", w.due(plan, Cares))
		}
		w.made("")
		w.made(Clean) // and it rinses with that
		if of(Rinse).Drinks != 0 || of(Clean).Due || of(Descale).Drinks != 4 {
			t.Errorf("after a cleaning: %+v", w.due(plan, Cares))
		}
		for _, bad := range []string{"{", `{"rinse":{"drinks":-1}}`, `{"rinse":null}`, `[]`, `null`, `{"rinse":{"drinks":2000000000}}`, `{"clean":{"seconds":1e300}}`} {
			if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			if w, err = OpenWear(path); err == nil || !strings.Contains(err.Error(), path) || of(Rinse).Drinks != 0 {
				t.Errorf("%s: %v, %+v", bad, err, of(Rinse))
			}
		}
	})
}

// TestCareDrinks: what a machine does for its care by itself, by what it has.
func TestCareDrinks(t *testing.T) {
	part := func(list ...driver.Part) map[driver.Part]guard.Limits {
		out := map[driver.Part]guard.Limits{}
		for _, p := range list {
			out[p] = guard.Limits{}
		}
		return out
	}
	for name, tt := range map[string]struct {
		plan Plan
		want map[Care]string // the timeline; "-": it knows no such care
	}{
		"a pump": {Plan{Guard: guard.Config{Parts: part(driver.Pump)}, Signals: map[driver.Signal]bool{driver.Hot: true}}, map[Care]string{
			Rinse: "0s step heat 92 °C\n0s wait until hot, 1m0s at most\n0s step pour 60 ml\n0s pump on, at most 10.7s\n10s pump off\n",
			Clean: "0s step heat 92 °C\n0s wait until hot, 1m0s at most\n0s step pour 60 ml\n0s pump on, at most 10.7s\n10s pump off\n"}},
		"a part for it": {Plan{Guard: guard.Config{Parts: part(driver.Pump, driver.Rinse)}, Care: map[Care]Upkeep{Rinse: {For: 2 * time.Second}}}, map[Care]string{
			Rinse: "0s step rinse 2 s\n0s rinse on, at most 2.3s\n2s rinse off\n", Descale: "0s step rinse 5 s\n0s rinse on, at most 5.5s\n5s rinse off\n"}},
		"neither":      {Plan{Guard: guard.Config{Parts: part(driver.Grinder)}}, map[Care]string{Rinse: "-", Clean: "-"}},
		"an appliance": {Plan{Products: map[string]driver.Product{"small": {Key: "x"}}}, map[Care]string{Rinse: "-", Clean: "0s step clean by hand\n", "polish": "-"}},
	} {
		for c, want := range tt.want {
			d, err := tt.plan.CareDrink(c)
			got := "-"
			if err == nil {
				tl, err := tt.plan.Timeline(d)
				if err != nil {
					t.Errorf("%s, %s: %v", name, c, err)
				}
				got = tl.String()
			}
			if got != want {
				t.Errorf("%s, %s:\n%swanted\n%s", name, c, got, want)
			}
		}
	}
}

// TestApplianceCare: a machine that owns its parts is cleaned by a person and its own
// programme: it waits for his word, nothing is started, and then it counts anew.
func TestApplianceCare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &bar{}
		b := setUpBar(t, t.TempDir(), a)
		after(6 * s)
		if r := b.m.Make(t.Context(), Job{Order: "o1", Epoch: 1, Drink: recipe.Drink{Size: "small"}}); r.Outcome != journal.Made {
			t.Fatalf("%+v", r)
		}
		d, err := b.m.Plan().CareDrink(Clean)
		if err != nil {
			t.Fatal(err)
		}
		after(6 * s)
		clean := Job{Order: "o2", Epoch: 1, Drink: d}
		if r := b.m.Make(t.Context(), clean); r.Outcome != journal.Untouched || r.Reason.Code != string(CareAsked) || b.j.Latest("o2") >= 1 {
			t.Errorf("nobody has said anything: %+v", r)
		}
		soon, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		time.AfterFunc(30*time.Second, func() {
			if err := b.m.CupThere("o2"); err != nil {
				t.Error(err)
			}
		})
		if err := b.m.AwaitCare(soon, "o2", Clean); err != nil {
			t.Fatal(err)
		}
		if r := b.m.Make(t.Context(), clean); r.Outcome != journal.Made || a.starts != 1 {
			t.Errorf("%+v, %d starts", r, a.starts)
		}
		after(6 * s)
		if st := b.m.Status(); len(st.Care) != 2 || st.Care[0] != (Due{Care: Clean}) || st.Care[1].Drinks != 1 {
			t.Errorf("%+v", st.Care)
		}
		if err := b.m.Cared(Rinse); err == nil {
			t.Error("it rinses itself")
		}
		if err := b.m.Cared(Descale); err != nil || b.m.Able(recipe.Drink{Size: "rinse", Care: "rinse"}) == nil {
			t.Error(err)
		}
	})
}
