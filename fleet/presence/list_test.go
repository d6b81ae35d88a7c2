package presence

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"barista/fleet"
)

// TestTheList: whatever is said, set and forgotten, in whatever order, the list is
// what a fold from the beginning comes to, and one that was given out stays as it
// was.
func TestTheList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			b := New(Parts{})
			names := []string{"ann", "bob", "carl", "zoe"}
			type given struct {
				list []*fleet.Machine
				copy []fleet.Machine
			}
			values := func(list []*fleet.Machine) (out []fleet.Machine) {
				for _, m := range list {
					out = append(out, *m)
				}
				return out
			}
			var all []given
			for range rapid.IntRange(1, 60).Draw(t, "steps") {
				name := rapid.SampledFrom(names).Draw(t, "name")
				switch rapid.IntRange(0, 6).Draw(t, "what") {
				case 0, 1:
					p := zoe
					p.Machine, p.Drinks = name, rapid.IntRange(0, 9).Draw(t, "drinks")
					b.word(p, true)
				case 2:
					b.word(fleet.Presence{Machine: name}, false)
				case 3:
					v := []byte(`{"by":"Ada"}`)
					if rapid.Bool().Draw(t, "deleted") {
						v = nil
					}
					b.setting(fleet.CordonKey(name), v)
				case 4:
					v, err := json.Marshal(seen{zoe.Classes, zoe.Sizes, nil, time.Now().Add(-time.Duration(rapid.IntRange(0, 170).Draw(t, "hours")) * time.Hour)})
					if err != nil {
						t.Fatal(err)
					}
					b.setting(fleet.SeenKey(name), v)
				case 5:
					time.Sleep(time.Duration(rapid.IntRange(1, 40).Draw(t, "hours")) * time.Hour)
				case 6:
					b.mu.Lock()
					b.clock, b.asked, b.list = time.Now(), time.Now(), nil // as ask does
					b.mu.Unlock()
				}
				list := b.Machines()
				all = append(all, given{list, values(list)})
				anew := b.roll.machines(b.now())
				for _, m := range anew {
					m.Heard = b.heard[m.Machine]
				}
				if d := cmp.Diff(values(anew), values(list)); d != "" {
					t.Fatal("-anew +list: ", d)
				}
				if !slices.IsSortedFunc(list, func(x, y *fleet.Machine) int { return strings.Compare(x.Machine, y.Machine) }) {
					t.Fatal("not by name")
				}
			}
			for i, one := range all {
				if d := cmp.Diff(one.copy, values(one.list)); d != "" {
					t.Fatalf("list %d was changed after it was given out: %s", i, d)
				}
			}
		})
	})
}

// BenchmarkThousand is a word of one of a thousand machines, and the question who is
// here that a desk asks with each.
func BenchmarkThousand(b *testing.B) {
	r := New(Parts{})
	r.clock, r.asked = time.Now(), time.Now()
	word := func(i int) fleet.Presence {
		p := zoe
		p.Machine = fmt.Sprint("m", i%1000)
		return p
	}
	for i := range 1000 {
		r.roll.seen[word(i).Machine] = seen{zoe.Classes, zoe.Sizes, nil, time.Now()}
		r.word(word(i), true)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.word(word(i), true)
		if len(r.Machines()) != 1000 {
			b.Fatal("some are missing")
		}
	}
}
