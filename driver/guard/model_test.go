package guard_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"barista/driver"
	"barista/driver/drivertest"
	"barista/driver/guard"
)

// The rules of the random tests: short times, so that they are met often, one
// port shared by two parts, every kind of rule.
var (
	modelParts  = []driver.Part{grinder, pump, heater, milk}
	modelLimits = map[driver.Part]guard.Limits{
		grinder: {MaxOn: 2 * time.Second, Rest: 3 * time.Second, Inrush: "a"},
		pump:    {MaxOn: 4 * time.Second, DutyOn: 5 * time.Second, DutyWindow: 20 * time.Second, Inrush: "a"},
		heater:  {MaxOn: 6 * time.Second, DutyOn: 8 * time.Second, DutyWindow: 12 * time.Second, Rest: 500 * time.Millisecond},
		milk:    {MaxOn: 3 * time.Second},
	}
	modelForbidden = [][2]driver.Part{{heater, milk}}
)

func modelFake() *drivertest.Fake {
	f := drivertest.NewFake(modelParts...)
	f.SetPort("board", grinder, pump)
	return f
}

// modelPart is one part in the plain model of the rules.
type modelPart struct {
	on              bool
	begun           time.Time // this time on
	until           time.Time
	count           time.Duration // on since the last real pause, without this time on
	last            time.Time     // went off; zero = never
	runs            [][2]time.Time
	failOn, failOff bool // a fault is planted for the next such call
	limits          guard.Limits
	group           string
	other           *modelPart // its forbidden partner
}

// model is the rules again, written as plainly as possible: no goroutine, no
// queue, one step after the other.
type model struct {
	parts   map[driver.Part]*modelPart
	lease   time.Time
	latched bool
}

func newModel() *model {
	m := &model{parts: map[driver.Part]*modelPart{}}
	for _, p := range modelParts {
		m.parts[p] = &modelPart{limits: modelLimits[p], group: modelLimits[p].Inrush}
	}
	m.parts[heater].other, m.parts[milk].other = m.parts[milk], m.parts[heater]
	return m
}

func (m *model) anyOn() bool {
	for _, p := range m.parts {
		if p.on {
			return true
		}
	}
	return false
}

// off is one part going off; a planted fault trips, and the second try works.
func (m *model) off(p *modelPart, now time.Time) {
	failed := p.failOff
	p.failOff = false
	if p.on {
		p.on, p.last = false, now
		p.count += now.Sub(p.begun)
		p.runs = append(p.runs, [2]time.Time{p.begun, now})
	}
	if failed {
		m.trip(now)
	}
}

func (m *model) trip(now time.Time) {
	if !m.latched {
		m.latched = true
		m.allOff(now)
	}
}

func (m *model) allOff(now time.Time) {
	for _, p := range modelParts {
		m.off(m.parts[p], now)
	}
}

// advance lets the guard's own clock act, in the order in which things fall due.
func (m *model) advance(now time.Time) {
	for {
		var due time.Time
		soon := func(t time.Time) {
			if !t.After(now) && (due.IsZero() || t.Before(due)) {
				due = t
			}
		}
		if m.anyOn() {
			soon(m.lease.Add(500 * time.Millisecond))
		}
		for _, p := range m.parts {
			if p.on {
				soon(p.until)
			}
		}
		if due.IsZero() {
			return
		}
		if !due.Before(m.lease.Add(500 * time.Millisecond)) {
			m.trip(due)
		}
		for _, p := range modelParts {
			if p := m.parts[p]; p.on && !p.until.After(due) {
				m.off(p, due)
			}
		}
	}
}

// onTime is how long the part was on since a moment.
func (p *modelPart) onTime(since, now time.Time) (sum time.Duration) {
	runs := p.runs
	if p.on {
		runs = append(slices.Clip(runs), [2]time.Time{p.begun, now})
	}
	for _, r := range runs {
		from := r[0]
		if from.Before(since) {
			from = since
		}
		if r[1].After(from) {
			sum += r[1].Sub(from)
		}
	}
	return sum
}

// rests reports whether rest or duty forbid an On.
func (p *modelPart) rests(now time.Time, d time.Duration) bool {
	if !p.on && !p.last.IsZero() && now.Sub(p.last) < p.limits.Rest {
		return true
	}
	return p.limits.DutyOn > 0 && p.onTime(now.Add(-p.limits.DutyWindow), now)+d > p.limits.DutyOn
}

// on says how an On ends: "" = it is on.
func (m *model) on(name driver.Part, d time.Duration, now time.Time) string {
	p := m.parts[name]
	if m.latched {
		return "latched"
	}
	for other, q := range m.parts {
		if other != name && q.on && p.group != "" && q.group == p.group {
			return "conflict"
		}
	}
	if q := p.other; q != nil && (q.on || !q.last.IsZero() && now.Sub(q.last) < 100*time.Millisecond) {
		return "conflict"
	}
	used := time.Duration(0)
	if p.on {
		used = p.count + now.Sub(p.begun)
	} else if !p.last.IsZero() && now.Sub(p.last) < 100*time.Millisecond {
		used = p.count
	}
	if used+d > min(p.limits.MaxOn, cmp.Or(p.limits.DutyOn, p.limits.MaxOn)) {
		return "ceiling"
	}
	if p.rests(now, d) {
		return "rest"
	}
	if !m.anyOn() {
		m.lease = now
	}
	if !p.on {
		p.on, p.begun, p.count = true, now, used
	}
	p.until = now.Add(d)
	if p.failOn {
		p.failOn = false
		m.trip(now)
		return "driver"
	}
	return ""
}

// restart is a new process: what has no rest and no duty is forgotten.
func (m *model) restart(now time.Time, reboot bool) {
	for _, p := range m.parts {
		remembers := p.limits.Rest > 0 || p.limits.DutyOn > 0
		switch {
		case !remembers:
			p.last, p.runs = time.Time{}, nil
		case reboot:
			p.last = now
			p.runs = [][2]time.Time{{now.Add(-p.limits.DutyOn), now}}
		}
		p.count = 0
	}
}

// kind names the refusal as the model does.
func kind(t *rapid.T, err error) string {
	var latched *guard.LatchedError
	var conflict *guard.ConflictError
	var ceiling *guard.CeilingError
	var rest *guard.RestError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &latched):
		return "latched"
	case errors.As(err, &conflict):
		return "conflict"
	case errors.As(err, &ceiling):
		return "ceiling"
	case errors.As(err, &rest):
		return "rest"
	case errors.Is(err, errRelay):
		return "driver"
	}
	t.Fatalf("an error of no kind: %v", err)
	return ""
}

// TestRandomCommands throws commands, silence, faults, restarts and reboots at
// a guard. After each step it must agree with the model; in the end the edges
// of the metal alone must keep every rule, whatever the model thought.
func TestRandomCommands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "guard")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		rapid.SyncTest(t, func(t *rapid.T) { randomCommands(t, dir) })
	})
}

func randomCommands(t *rapid.T, dir string) {
	fake, m, c := modelFake(), newModel(), newComputer()
	start := time.Now()
	var latches [][2]time.Duration // when nothing may go on, by what the guard says
	var restarts []time.Duration
	var h *house
	open := func() {
		g, err := guard.Open(fake.Rig(), guard.Config{Parts: modelLimits, Forbidden: modelForbidden, State: dir}, c.clock)
		if err != nil {
			t.Fatal(err)
		}
		h = &house{Rig: g, stop: begin(t.Context(), g)}
	}
	open()
	part := rapid.SampledFrom(modelParts)
	some := rapid.OneOf(
		rapid.Map(rapid.IntRange(1, 40), func(n int) time.Duration { return time.Duration(n) * 10 * time.Millisecond }),
		rapid.Map(rapid.IntRange(1, 70), func(n int) time.Duration { return time.Duration(n) * 100 * time.Millisecond }),
	)
	pass := func(d time.Duration) {
		time.Sleep(d)
		synctest.Wait()
		m.advance(time.Now())
	}
	wasLatched := false
	agree := func(t *rapid.T) {
		synctest.Wait()
		_, latched := h.Latched()
		if latched != m.latched {
			t.Fatalf("latched %v, the model says %v", latched, m.latched)
		}
		at := time.Since(start)
		switch {
		case latched && !wasLatched:
			latches = append(latches, [2]time.Duration{at, 1 << 62})
		case !latched && wasLatched:
			latches[len(latches)-1][1] = at
		}
		wasLatched = latched
		on := h.OnNow()
		for _, p := range modelParts {
			if want := m.parts[p].on; fake.Level(p) != want || slices.Contains(on, p) != want {
				t.Fatalf("%s is on: %v, the guard says %v, the model %v", p, fake.Level(p), on, want)
			}
		}
	}
	planted := func() bool {
		for _, p := range m.parts {
			if p.failOn || p.failOff {
				return true
			}
		}
		return false
	}
	command := func(t *rapid.T, p driver.Part) {
		d, now := some.Draw(t, "for"), time.Now()
		err := h.On(p, d)
		if got, want := kind(t, err), m.on(p, d, now); got != want {
			t.Fatalf("%s on for %v: %v, the model says %q", p, d, err, want)
		}
		var rest *guard.RestError
		if errors.As(err, &rest) && !m.parts[p].on {
			mp := m.parts[p]
			if mp.rests(now.Add(rest.Left), d) || !mp.rests(now.Add(rest.Left-1), d) {
				t.Fatalf("%s on for %v: %v is not the time that the model says", p, d, rest)
			}
		}
	}
	pour := func(left time.Duration) {
		for ; left > 0; left -= 200 * time.Millisecond {
			h.Renew()
			m.lease = time.Now()
			pass(min(left, 200*time.Millisecond))
		}
		h.Renew()
		m.lease = time.Now()
	}
	// lit draws a part that is on. Most of what happens by chance ends in a latch,
	// and the rules about a part that goes on and on would hardly be met.
	lit := func(t *rapid.T) driver.Part {
		var on []driver.Part
		for _, p := range modelParts {
			if m.parts[p].on {
				on = append(on, p)
			}
		}
		if len(on) == 0 {
			t.Skip("nothing is on")
		}
		return rapid.SampledFrom(on).Draw(t, "part")
	}
	seldom := func(t *rapid.T) {
		if rapid.IntRange(0, 3).Draw(t, "luck") != 0 {
			t.Skip("not now")
		}
	}
	actions := map[string]func(*rapid.T){
		"":   agree,
		"on": func(t *rapid.T) { command(t, part.Draw(t, "part")) },
		"again": func(t *rapid.T) {
			p := lit(t)
			pour(some.Draw(t, "meanwhile"))
			command(t, p)
		},
		"blink": func(t *rapid.T) { // a pause near the one that counts
			p := lit(t)
			_ = h.Off(p)
			m.off(m.parts[p], time.Now())
			pass(time.Duration(rapid.IntRange(0, 15).Draw(t, "pause")) * 10 * time.Millisecond)
			command(t, p)
		},
		"off": func(t *rapid.T) {
			p := part.Draw(t, "part")
			_ = h.Off(p) // an error if one is planted
			m.off(m.parts[p], time.Now())
		},
		"all off": func(t *rapid.T) {
			seldom(t)
			_ = h.AllOff()
			m.allOff(time.Now())
		},
		"pour on":      func(t *rapid.T) { pour(some.Draw(t, "for")) },
		"silence":      func(t *rapid.T) { seldom(t); pass(some.Draw(t, "for")) },
		"a long pause": func(t *rapid.T) { seldom(t); pass(15 * time.Second) },
		"trip": func(t *rapid.T) {
			seldom(t)
			h.Trip(guard.Latch{Cause: "the test says so"})
			m.latched = true
			m.allOff(time.Now())
		},
		"clear": func(t *rapid.T) {
			bad := false
			for _, p := range m.parts {
				bad = bad || p.failOff
			}
			was := m.latched
			m.allOff(time.Now())
			err := h.Clear("ann", "looked at it")
			if want := was && !bad; want != (err == nil) {
				t.Fatalf("clear: %v; latched %v, a failing relay %v", err, was, bad)
			}
			if err == nil {
				m.latched = false
			}
		},
		"plant": func(t *rapid.T) {
			if planted() {
				t.Skip("one at a time")
			}
			p, op := part.Draw(t, "part"), rapid.SampledFrom([]drivertest.Op{drivertest.On, drivertest.Off}).Draw(t, "op")
			fake.Fault(p, op, drivertest.Fault{Err: errRelay, Moved: rapid.Bool().Draw(t, "moved"), Times: 1})
			if op == drivertest.On {
				m.parts[p].failOn = true
			} else {
				m.parts[p].failOff = true
			}
		},
		"restart": func(t *rapid.T) {
			seldom(t)
			reboot := rapid.Bool().Draw(t, "reboot")
			if err := errors.Join(h.stop(), h.Close()); err != nil {
				t.Fatal(err)
			}
			m.allOff(time.Now())
			if reboot {
				c.reboot()
			}
			open()
			restarts = append(restarts, time.Since(start))
			m.restart(time.Now(), reboot)
		},
	}
	// Every action has the same chance, so what a machine does most is there
	// several times.
	for name, times := range map[string]int{"on": 5, "again": 5, "blink": 3, "pour on": 2} {
		for i := range times {
			actions[fmt.Sprintf("%s, %d", name, i+2)] = actions[name]
		}
	}
	t.Repeat(actions)
	if err := errors.Join(h.stop(), h.Close()); err != nil {
		t.Fatal(err)
	}
	if fake.AnyOn() {
		t.Fatalf("in the end %v", fake.Levels())
	}
	if harm := fake.Harm(); len(harm) > 0 {
		t.Fatal(harm)
	}
	judge(t, fake.Edges(), latches, restarts)
}

// judge looks at the metal alone.
func judge(t interface{ Fatalf(string, ...any) }, edges []drivertest.Edge, latches [][2]time.Duration, restarts []time.Duration) {
	type on struct{ from, to time.Duration }
	runs := map[driver.Part][]on{}
	for _, e := range edges {
		r := runs[e.Part]
		if e.On {
			runs[e.Part] = append(r, on{e.At, 1 << 62})
			for _, l := range latches {
				if e.At > l[0] && e.At < l[1] {
					t.Fatalf("%v while latched", e)
				}
			}
		} else {
			r[len(r)-1].to = e.At
		}
	}
	for p, rs := range runs {
		lim := modelLimits[p]
		var whole time.Duration // on since the last real pause
		for i, r := range rs {
			if i > 0 {
				pause := r.from - rs[i-1].to
				if pause < lim.Rest {
					t.Fatalf("%s rested %v of %v before %v", p, pause, lim.Rest, r.from)
				}
				// A new process counts anew; it takes longer to start than a pause.
				restarted := slices.ContainsFunc(restarts, func(at time.Duration) bool {
					return rs[i-1].to <= at && at <= r.from
				})
				if pause >= 100*time.Millisecond || restarted {
					whole = 0
				}
			}
			whole += r.to - r.from
			if whole > lim.MaxOn {
				t.Fatalf("%s was on for %v, without a real pause, until %v", p, whole, r.to)
			}
			var sum time.Duration
			for _, q := range rs[:i+1] {
				sum += max(q.to-max(q.from, r.to-lim.DutyWindow), 0)
			}
			if lim.DutyOn > 0 && sum > lim.DutyOn {
				t.Fatalf("%s was on for %v of the %v before %v", p, sum, lim.DutyWindow, r.to)
			}
		}
	}
	apart := func(a, b driver.Part, by time.Duration) {
		for _, x := range runs[a] {
			for _, y := range runs[b] {
				if x.from < y.to+by && y.from < x.to+by {
					t.Fatalf("%s from %v to %v beside %s from %v to %v", a, x.from, x.to, b, y.from, y.to)
				}
			}
		}
	}
	apart(grinder, pump, 0)
	apart(heater, milk, 0)
}

// The judge itself can be failed.
func TestJudge(t *testing.T) {
	s := time.Second
	for name, edges := range map[string][]drivertest.Edge{
		"ceiling":  {{Part: milk, On: true}, {Part: milk, At: 3*s + 1}},
		"gap":      {{Part: milk, On: true}, {Part: milk, At: 2 * s}, {Part: milk, On: true, At: 2*s + 1}, {Part: milk, At: 4 * s}},
		"for ever": {{Part: milk, On: true}},
		"rest":     {{Part: grinder, On: true}, {Part: grinder, At: s}, {Part: grinder, On: true, At: 4*s - 1}, {Part: grinder, At: 4 * s}},
		"duty":     {{Part: pump, On: true}, {Part: pump, At: 3 * s}, {Part: pump, On: true, At: 4 * s}, {Part: pump, At: 7 * s}},
		"group":    {{Part: grinder, On: true}, {Part: pump, On: true, At: s - 1}, {Part: grinder, At: s}, {Part: pump, At: 2 * s}},
		"pair":     {{Part: heater, On: true}, {Part: milk, On: true, At: s - 1}, {Part: heater, At: s}, {Part: milk, At: 2 * s}},
		"latch":    {{Part: milk, On: true, At: 9 * s}, {Part: milk, At: 10 * s}},
	} {
		var v verdict
		func() {
			defer func() { recover() }()
			judge(&v, edges, [][2]time.Duration{{8 * s, 11 * s}}, nil)
		}()
		if v == "" {
			t.Errorf("%s: not found", name)
		}
	}
}

type verdict string

func (v *verdict) Fatalf(format string, a ...any) {
	*v = verdict(fmt.Sprintf(format, a...))
	panic("found")
}

// Everybody at once, on real threads: whoever wins, the metal keeps the rules.
func TestEverybodyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := modelFake()
		g, err := newRig(fake.Rig(), guard.Config{Parts: modelLimits, Forbidden: modelForbidden})
		if err != nil {
			t.Fatal(err)
		}
		h := house{g, t, fake, start(t, g)}
		done := make(chan struct{})
		for i := range 8 {
			go func() {
				defer func() { done <- struct{}{} }()
				for n := range 400 {
					p := modelParts[(i+n)%len(modelParts)]
					switch (i*7 + n*3) % 11 {
					case 0, 1, 2, 3, 4:
						_ = h.On(p, time.Duration(n%50+1)*20*time.Millisecond)
					case 5, 6:
						_ = h.Off(p)
					case 7:
						_ = h.AllOff()
					case 8:
						if n%20 == 0 {
							h.Trip(guard.Latch{Cause: "somebody"})
						}
					case 9:
						_ = h.Clear("somebody", "because")
					case 10:
						h.OnNow()
						h.RestLeft(p)
					}
					h.Renew()
					time.Sleep(time.Duration(n%7) * 10 * time.Millisecond)
				}
			}()
		}
		for range 8 {
			<-done
		}
		if err := h.stop(); err != nil {
			t.Error(err)
		}
		if fake.AnyOn() || len(fake.Harm()) > 0 || len(fake.Edges()) < 100 {
			t.Errorf("%v, %v, %d edges", fake.Levels(), fake.Harm(), len(fake.Edges()))
		}
		judge(t, fake.Edges(), nil, nil)
	})
}
