package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"barista/fleet"
)

// paced is a machine that takes 14, 30 and 85 s for a small, a medium and a large cup,
// one more for each sugar and six for milk, and rests 3, 10 and 20 s after them.
func paced(name string, change ...func(*fleet.Machine)) *fleet.Machine {
	p := &fleet.Pace{}
	for i, size := range fleet.Sizes {
		for _, milk := range []bool{false, true} {
			c := fleet.CupTime{Size: size, Milk: milk, Rest: []float64{3, 10, 20}[i]}
			for n := range fleet.MaxSugar + 1 {
				s := []float64{14, 30, 85}[i] + float64(n)
				if milk {
					s += 6
				}
				c.Seconds = append(c.Seconds, s)
			}
			p.Cups = append(p.Cups, c)
		}
	}
	m := &fleet.Machine{Here: true, Presence: fleet.Presence{Machine: name, Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes, State: fleet.StateReady, Pace: p}}
	for _, f := range change {
		f(m)
	}
	return m
}

// wanted is an order by a line such as "large mixed normal 2".
func wanted(line string) fleet.Order {
	var o fleet.Order
	if _, err := fmt.Sscan(line, &o.Size, &o.Bean, &o.Milk, &o.Sugar); err != nil {
		panic(err)
	}
	return o
}

// TestDispatch: where orders go, and when they begin and are ready.
func TestDispatch(t *testing.T) {
	free := func(s float64) func(*fleet.Machine) { return func(m *fleet.Machine) { m.Pace.Free = s } }
	state := func(s fleet.State) func(*fleet.Machine) { return func(m *fleet.Machine) { m.State = s } }
	spare := func(n int) func(*fleet.Machine) { return func(m *fleet.Machine) { m.MinWaiting = n } }
	const small, medium, large = "small arabica free 0", "medium arabica free 0", "large arabica free 0"
	for _, tc := range []struct {
		name     string
		machines []*fleet.Machine
		orders   []string
		want     string
	}{
		{"idle", []*fleet.Machine{paced("zoe")}, []string{small}, `
1. zoe at 0, ready at 14: 11–18`},
		{"sugar and milk", []*fleet.Machine{paced("zoe")}, []string{"small arabica soja 3"}, `
1. zoe at 0, ready at 23: 19–28`},
		{"one after the other, with a rest", []*fleet.Machine{paced("zoe")}, []string{small, medium, small}, `
1. zoe at 0, ready at 14: 11–18
2. zoe at 17, ready at 47: 40–56
3. zoe at 57, ready at 71: 60–87`},
		{"whoever is free takes the oldest", []*fleet.Machine{paced("zoe"), paced("leo")}, []string{large, small, small, small}, `
1. one of them at 0, ready at 85: 75–96
2. leo at 0, ready at 14: 11–18
3. leo at 17, ready at 31: 26–39
4. leo at 34, ready at 48: 40–59`},
		{"busy", []*fleet.Machine{paced("zoe", free(20)), paced("leo", free(40))}, []string{small, small}, `
1. zoe at 20, ready at 34: 28–42
2. zoe at 37, ready at 51: 43–63`},
		{"warming, with a time", []*fleet.Machine{paced("zoe", free(50), state(fleet.StateStarting))}, []string{small}, `
1. zoe at 50, ready at 64: 54–79`},
		{"warming, nobody knows how long", []*fleet.Machine{paced("zoe", state(fleet.StateStarting))}, []string{small}, `
1. nobody`},
		{"locked, away, out of service", []*fleet.Machine{
			paced("zoe", state(fleet.StateFault)), paced("leo", func(m *fleet.Machine) { m.Here = false }),
			paced("max", func(m *fleet.Machine) { m.Cordon = &fleet.Cordon{} }),
		}, []string{small}, `
1. nobody`},
		{"steps back after a fault", []*fleet.Machine{paced("zoe", free(30), state(fleet.StateBlocked))}, []string{small}, `
1. zoe at 30, ready at 44: 37–54`},
		{"its tank is empty", []*fleet.Machine{paced("zoe", free(30), state(fleet.StateBlocked), func(m *fleet.Machine) { m.Lacks = []string{"water"} })}, []string{small}, `
1. nobody`},
		{"a spare does not help", []*fleet.Machine{paced("zoe"), paced("sam", spare(4))}, []string{small, small}, `
1. zoe at 0, ready at 14: 11–18
2. zoe at 17, ready at 31: 26–39`},
		{"a spare helps while four wait", []*fleet.Machine{paced("zoe", free(5)), paced("sam", spare(4))}, []string{small, small, small, small}, `
1. sam at 2, ready at 16: 13–20
2. zoe at 5, ready at 19: 15–24
3. zoe at 22, ready at 36: 30–45
4. zoe at 39, ready at 53: 44–65`},
		{"a spare alone", []*fleet.Machine{paced("zoe", state(fleet.StateFault)), paced("sam", spare(4))}, []string{small}, `
1. sam at 2, ready at 16: 13–20`},
		{"two that differ", []*fleet.Machine{paced("zoe"), paced("ivy", func(m *fleet.Machine) { m.Pace.Heat = 9 })}, []string{small}, `
1. one of them at 0, ready at 14: 11–22`},
		{"the customer's cup", []*fleet.Machine{paced("zoe", func(m *fleet.Machine) { m.Pace.Cup, m.Pace.Fetch = 5, 12 })}, []string{small, small}, `
1. zoe at 5, ready at 19: 15–24
2. zoe at 36, ready at 50: 42–62`},
		{"only one makes it", []*fleet.Machine{
			paced("zoe", func(m *fleet.Machine) { m.Sizes = []fleet.Size{fleet.Small} }), paced("leo", free(30)),
		}, []string{medium, small}, `
2. leo at 30, ready at 60: 51–72
1. zoe at 0, ready at 14: 11–18`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var queue []fleet.Order
			for _, line := range tc.orders {
				queue = append(queue, wanted(line))
			}
			slots := dispatch(handsOf(tc.machines, nil, nil, nil), queue, nil)
			var b strings.Builder
			for i, s := range slots {
				if !s.known {
					fmt.Fprintf(&b, "\n%d. nobody", i+1)
					continue
				}
				who := s.machine
				if who == "" {
					who = "one of them"
				}
				eta := fleet.Promise(s.low, s.likely, s.high)
				fmt.Fprintf(&b, "\n%d. %s at %.0f, ready at %.0f: %d–%d", places(slots)[i], who, s.begin, s.likely, eta[0], eta[1])
			}
			if b.String() != tc.want {
				t.Errorf("%s\nwant%s", b.String(), tc.want)
			}
		})
	}
}

// TestAvoid: a machine leaves an order to others for as long as it was asked to, and not
// longer; also where there is no other.
func TestAvoid(t *testing.T) {
	busy := func(s float64) func(*fleet.Machine) { return func(m *fleet.Machine) { m.Pace.Free = s } }
	one, two := wanted("small arabica free 0"), wanted("small arabica free 0")
	one.ID, two.ID = id1, id2
	for _, tc := range []struct {
		name     string
		machines []*fleet.Machine
		queue    []fleet.Order
		want     string
	}{
		{"others are busy for longer", []*fleet.Machine{paced("zoe"), paced("leo", busy(60))}, []fleet.Order{one}, "zoe at 10"},
		{"another one is free before", []*fleet.Machine{paced("zoe"), paced("leo", busy(4))}, []fleet.Order{one}, "leo at 4"},
		{"it is free later than that", []*fleet.Machine{paced("zoe", busy(20)), paced("leo", busy(60))}, []fleet.Order{one}, "zoe at 20"},
		{"there is no other", []*fleet.Machine{paced("zoe")}, []fleet.Order{one}, "zoe at 10"},
		{"it takes another one meanwhile", []*fleet.Machine{paced("zoe"), paced("leo", busy(60))}, []fleet.Order{one, two}, "zoe at 17, zoe at 0"},
	} {
		var said []string
		for _, s := range dispatch(handsOf(tc.machines, nil, nil, nil), tc.queue, map[string]avoid{id1: {"zoe", 10}}) {
			said = append(said, fmt.Sprintf("%s at %.0f", s.machine, s.begin))
		}
		if got := strings.Join(said, ", "); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

// TestInHand: what a machine has in hand is counted by its word as long as that is of
// this order, else by the age of the record.
func TestInHand(t *testing.T) {
	o := wanted("medium arabica free 0")
	o.ID = id1
	brewing := fleet.Entry{Claim: fleet.Claim{Phase: fleet.Brewing, Order: o, Owner: &fleet.Owner{Machine: "zoe"}}}
	claimed := brewing
	claimed.Phase = fleet.Claimed
	for _, tc := range []struct {
		name   string
		m      *fleet.Machine
		e      fleet.Entry
		age    time.Duration
		likely float64
		free   float64
	}{
		{"by the record", paced("zoe"), brewing, 12 * time.Second, 18, 28},
		{"by its word", paced("zoe", func(m *fleet.Machine) { m.Order, m.Pace.Left, m.Pace.Free = id1, 25, 35 }), brewing, 12 * time.Second, 25, 35},
		{"its word is of another", paced("zoe", func(m *fleet.Machine) { m.Order, m.Pace.Left, m.Pace.Free = id2, 3, 6 }), brewing, time.Second, 29, 39},
		{"it waits for a cup", paced("zoe", func(m *fleet.Machine) { m.Pace.Cup = 8 }), claimed, 3 * time.Second, 35, 45},
		{"it takes longer than it should", paced("zoe"), brewing, 40 * time.Second, 1, 11},
	} {
		h := handsOf([]*fleet.Machine{tc.m}, map[string]fleet.Entry{"zoe": tc.e}, func(fleet.Entry) time.Duration { return tc.age }, nil)[0]
		_, low, likely, high := handOf(tc.m, nil).left(tc.e, tc.age)
		if likely != tc.likely || h.free != tc.free || low > likely || high < likely {
			t.Errorf("%s: ready in %v (%v to %v), free in %v; want %v, %v", tc.name, likely, low, high, h.free, tc.likely, tc.free)
		}
	}
}

// TestDispatchHolds: whatever the shop, no machine makes two drinks at once or one that
// it can't make, none of one cup overtakes an older one, an order that somebody could
// make is given to somebody, and one more order changes nothing for those before it.
func TestDispatchHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var machines []*fleet.Machine
		for i := range rapid.IntRange(1, 6).Draw(t, "machines") {
			machines = append(machines, paced(fmt.Sprint("m", i), func(m *fleet.Machine) {
				m.Pace.Free = rapid.Float64Range(0, 90).Draw(t, "free")
				m.Sizes = fleet.Sizes[:rapid.IntRange(1, 3).Draw(t, "sizes")]
				m.State = rapid.SampledFrom([]fleet.State{fleet.StateReady, fleet.StateReady, fleet.StateBusy, fleet.StateFault, fleet.StateStarting}).Draw(t, "state")
				m.MinWaiting = rapid.SampledFrom([]int{0, 0, 0, 3}).Draw(t, "spare")
				m.Pace.Fetch = rapid.Float64Range(0, 20).Draw(t, "fetch")
			}))
		}
		var queue []fleet.Order
		for i := range rapid.IntRange(1, 30).Draw(t, "orders") {
			o := fleet.Order{ID: fmt.Sprintf("01JD%022d", i), Bean: "arabica", Milk: rapid.SampledFrom([]string{"free", "soja"}).Draw(t, "milk"), Size: rapid.SampledFrom(fleet.Sizes).Draw(t, "size")}
			queue = append(queue, o)
		}
		hands := func() []*hand { return handsOf(machines, nil, nil, nil) }
		slots := dispatch(hands(), queue, nil)
		type span struct{ from, to float64 }
		busy := map[string][]span{}
		last := map[cup]float64{}
		place := places(slots)
		for i, s := range slots {
			o := queue[i]
			can := slices.ContainsFunc(hands(), func(h *hand) bool { return h.Makes(o) })
			if can != s.known {
				t.Fatalf("%d %+v: somebody makes it: %v, known: %v", i, o, can, s.known)
			}
			if !s.known {
				continue
			}
			if s.low > s.likely || s.likely > s.high || s.begin < 0 || s.likely <= s.begin {
				t.Fatalf("%+v", s)
			}
			if s.begin < last[cupOf(o)]-spareLook-level { // a spare has to see that it is needed
				t.Fatalf("%d overtakes one of the same cup", i)
			}
			last[cupOf(o)] = s.begin
			if s.machine != "" {
				busy[s.machine] = append(busy[s.machine], span{s.begin, s.likely})
			}
			for j := range i {
				if slots[j].known && slots[j].turn <= s.turn != (place[j] < place[i]) {
					t.Fatalf("%d has place %d and begins at %v, %d has %d and begins at %v", i, place[i], s.begin, j, place[j], slots[j].begin)
				}
			}
		}
		for name, spans := range busy {
			slices.SortFunc(spans, func(a, b span) int { return int(1000 * (a.from - b.from)) })
			for i := range spans[1:] {
				if spans[i+1].from < spans[i].to {
					t.Fatalf("%s makes two at once: %v", name, spans)
				}
			}
		}
		spares := slices.ContainsFunc(machines, func(m *fleet.Machine) bool { return m.MinWaiting > 0 }) // one more may call them
		if fewer := dispatch(hands(), queue[:len(queue)-1], nil); !spares && !slices.Equal(fewer, slots[:len(fewer)]) {
			t.Fatalf("one more order at the end changes what is before it: %v, %v", slots, fewer)
		}
	})
}
