package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"barista/driver"
	"barista/driver/plant"
	"barista/fleet"
)

var (
	chaosKills = flag.Int("chaos", 50, "how many random kill -9 TestChaos makes; make chaos takes 300")
	chaosOrder = flag.Int("chaos-orders", 0, "how many orders TestChaos has; 0 are one and a half per kill")
	chaosSeed  = flag.Uint64("chaos-seed", 1, "the day that TestChaos plays; make chaos takes a new one each time, which it tells")
	chaosKeep  = flag.String("chaos-keep", "", "`folder` in which TestChaos leaves the logs and stores of its services")
)

// The day is compressed: the plants are chaosSpeed times as fast as metal, so one
// kill in killEvery is one in half a minute or so.
const (
	chaosSpeed = 20
	killEvery  = 1400 * time.Millisecond
	wishEvery  = 700 * time.Millisecond
	// atRest is the promise for a killed process.
	atRest = time.Second
	// restartAfter is what systemd waits at most before it starts a service again
	// (RestartSec), when the stop hook has ended.
	restartAfter = time.Second
	// comesOut bounds how long after the last kill an order may still be open:
	// what is promised for one that nobody has begun, and the drinks and cups
	// before it on a computer that is slow.
	comesOut = fleet.AckWait + fleet.Lease + 2*time.Second + 30*time.Second
)

// blow is one way in which a service is killed.
type blow string

const (
	blowMachine  blow = "machine"          // kill -9 at any moment
	blowShop     blow = "shop"             // the same for broker, controller and stock
	blowFrozen   blow = "frozen"           // SIGSTOP, and some time later kill -9
	blowTwice    blow = "twice"            // again while it starts
	blowTogether blow = "two at once"      // two machines
	blowBoth     blow = "machine and shop" // at once
	blowStopPost blow = "and its safe-off" // the stop hook is killed too
	blowPaused   blow = "paused"           // SIGSTOP beyond AckWait, and it goes on
)

// strike is one entry of the plan.
type strike struct {
	at     time.Duration
	how    blow
	victim int           // a machine
	other  int           // another one
	pause  time.Duration // of frozen, twice, stop-post and paused
	again  time.Duration // from the stop hook's end to the restart
}

type wish struct {
	at    time.Duration
	bean  string
	size  fleet.Size
	twice bool // a double click
}

// chaosPlan is a day: it depends on the seed and on nothing else.
func chaosPlan(seed uint64, kills, orders int, beans []string, machines int) ([]wish, []strike) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	if orders == 0 {
		orders = kills + kills/2
	}
	day := max(time.Duration(kills)*killEvery, time.Duration(orders)*wishEvery)
	// Orders per hour of a café that opens at seven: breakfast, noon, afternoon.
	hours := []int{4, 9, 12, 8, 6, 11, 10, 6, 7, 9, 6, 3}
	sum := 0
	for _, h := range hours {
		sum += h
	}
	var wishes []wish
	for range orders {
		n, h := rnd.IntN(sum), 0
		for n >= hours[h] {
			n, h = n-hours[h], h+1
		}
		hour := day / time.Duration(len(hours))
		w := wish{at: hour*time.Duration(h) + rand64(rnd, hour), bean: beans[rnd.IntN(len(beans))], size: fleet.Small}
		if rnd.IntN(4) == 0 {
			w.size = fleet.Medium
		}
		w.twice = rnd.IntN(3) == 0
		wishes = append(wishes, w)
	}
	slices.SortFunc(wishes, func(a, b wish) int { return cmp.Compare(a.at, b.at) })
	var strikes []strike
	for range kills {
		k := strike{at: rand64(rnd, day), victim: rnd.IntN(machines)}
		k.again = 50*time.Millisecond + rand64(rnd, restartAfter-50*time.Millisecond)
		k.other = (k.victim + 1 + rnd.IntN(machines-1)) % machines
		switch n := rnd.IntN(100); {
		case n < 52:
			k.how = blowMachine
		case n < 62:
			k.how = blowShop
		case n < 72:
			k.how, k.pause = blowFrozen, rand64(rnd, 1500*time.Millisecond)
		case n < 80:
			k.how, k.pause = blowTwice, rand64(rnd, 300*time.Millisecond)
		case n < 86:
			k.how = blowTogether
		case n < 92:
			k.how = blowBoth
		default:
			k.how, k.pause = blowStopPost, rand64(rnd, 40*time.Millisecond)
		}
		strikes = append(strikes, k)
	}
	for range max(1, kills/25) {
		strikes = append(strikes, strike{at: rand64(rnd, day), how: blowPaused, victim: rnd.IntN(machines), pause: fleet.AckWait + rand64(rnd, 5*time.Second)})
	}
	slices.SortFunc(strikes, func(a, b strike) int { return cmp.Compare(a.at, b.at) })
	return wishes, strikes
}

func rand64(rnd *rand.Rand, below time.Duration) time.Duration {
	return time.Duration(rnd.Int64N(int64(below)))
}

// chaosMachine is one machine of the day, with its metal in a process of its own.
type chaosMachine struct {
	name  string
	plant *plant.Remote
	zero  time.Duration // of the plant's clock, on the kernel's
	*running
	kills []death9
	stops []time.Duration // SIGSTOP beyond AckWait, in the plant's time
}

// diedOver reports whether the machine was killed or stopped while it had this attempt
// in hand: after its first line and before the next one's, or, where it has none, just
// after its fence.
func (m *chaosMachine) diedOver(a attempt, lines []pourLine, fenced time.Time) bool {
	var from, to time.Duration
	if first := slices.IndexFunc(lines, func(l pourLine) bool { return l.order == a.order && l.epoch == a.epoch }); first < 0 {
		from = m.now() - time.Since(fenced) - 100*time.Millisecond // two clocks
		to = from + 3*time.Second                                  // within 2 s of the fence's request it begins, or never
	} else {
		from, to = lines[first].at, time.Duration(math.MaxInt64)
		if next := slices.IndexFunc(lines[first:], func(l pourLine) bool { return l.order != a.order || l.epoch != a.epoch }); next > 0 {
			to = lines[first+next].at
		}
	}
	in := func(at time.Duration) bool { return from <= at && at < to }
	return slices.ContainsFunc(m.stops, in) || slices.ContainsFunc(m.kills, func(k death9) bool { return in(k.killed) })
}

// now is the plant's clock.
func (m *chaosMachine) now() time.Duration { return monotonic() - m.zero }

// death9 is one kill -9, in the plant's time.
type death9 struct {
	how    blow
	killed time.Duration // just before the signal
	back   time.Duration // just before its successor was started
	bare   bool          // its stop hook was killed too: what is on is left to the successor
}

// chaosPlant starts a plant's process.
func (d *chaosDay) chaosPlant(name string) (*plant.Remote, string) {
	path := filepath.Join(d.dir, name+".sock")
	cmd := asMain("sim", "plant", "--link", path, "--speed", fmt.Sprint(chaosSpeed), "--cups", string(plant.Auto), "--serial", "plant-"+name)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	var p *plant.Remote
	d.within(20*time.Second, "the plant of "+name, func() (ok bool) {
		var err error
		p, err = plant.Dial(path)
		return err == nil
	})
	d.t.Cleanup(func() { _ = p.Close() })
	return p, path
}

// counts insists: on a busy computer an answer may come too late.
func (d *chaosDay) counts(m *chaosMachine) plant.Counts {
	return insist(d, m, (*plant.Remote).Counts)
}

func insist[T any](d *chaosDay, m *chaosMachine, ask func(*plant.Remote) (T, error)) (out T) {
	d.t.Helper()
	d.within(30*time.Second, "an answer of the plant of "+m.name, func() bool {
		var err error
		out, err = ask(m.plant)
		return err == nil
	})
	return out
}

// chaosDay is the test as it goes.
type chaosDay struct {
	*site
	t        *testing.T
	shop     *running
	machines []*chaosMachine
	began    time.Time
	shops    int            // how often the shop was killed
	paused   sync.WaitGroup // machines that are to go on

	mu     sync.Mutex
	asked  map[string]time.Time // orders that were accepted, and when
	faults []string             // latched, and cleared by a person
}

func (d *chaosDay) note(format string, args ...any) {
	if testing.Verbose() {
		d.t.Logf("%8s "+format, append([]any{time.Since(d.began).Round(time.Millisecond)}, args...)...)
	}
}

// TestChaos is a day of drinks beside plants that go on when a machine's process
// dies, in which processes are killed at random moments and started again as a
// service manager does. Nothing is poured twice, nothing is lost, and each time
// every output is at rest within a second.
//
// What it is judged by: a line that each process writes before it tells its
// metal to go on, with the order that it was fenced for, and the plants' own
// record of edges and flows, on the same clock.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes and real 15 s of AckWait: not with -short")
	}
	t.Parallel()
	seed := *chaosSeed
	beans := []string{"arabica", "robusta"}
	wishes, strikes := chaosPlan(seed, *chaosKills, *chaosOrder, beans, 3)
	t.Logf("seed %d: %d orders, %d kills; again with -chaos %d -chaos-orders %d -chaos-seed %d", seed, len(wishes), *chaosKills, *chaosKills, *chaosOrder, seed)
	s := newSite(t)
	if *chaosKeep != "" {
		s.dir = *chaosKeep
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.brew = 20 * time.Second
	d := &chaosDay{site: s, t: t, asked: map[string]time.Time{}, shop: s.shop("", beans)}
	for _, name := range []string{"zoe", "leo", "ada"} {
		p, sock := d.chaosPlant(name)
		m := &chaosMachine{name: name, plant: p}
		for range 20 { // the quickest answer is the best clock
			before := monotonic()
			c, err := p.Counts()
			if zero := monotonic() - c.At; err == nil && (m.zero == 0 || zero < m.zero) {
				m.zero = max(zero, before-c.At)
			}
		}
		m.running = s.machine(name, sock, "", beans)
		m.kill()
		m.spec.Trace = filepath.Join(s.dir, name+".trace")
		m.again()
		d.machines = append(d.machines, m)
	}
	s.order(testID(9999), "arabica") // the machines are known
	d.asked[testID(9999)] = time.Now()
	d.began = time.Now()

	day, close := context.WithCancel(t.Context())
	var aside, customers sync.WaitGroup
	aside.Go(func() { d.person(day) })
	customers.Go(func() {
		for i, w := range wishes {
			if !until(day, d.began.Add(w.at)) {
				return
			}
			customers.Go(func() { d.customer(day, testID(i), w) })
			if w.twice {
				customers.Go(func() { d.customer(day, testID(i), w) })
			}
		}
	})
	for _, k := range strikes {
		until(day, d.began.Add(k.at))
		d.strike(k)
	}
	last := time.Now()
	customers.Wait()
	d.paused.Wait()
	d.drain(last)
	took := time.Since(d.began)
	close()
	aside.Wait()
	d.judge(seed, took, time.Since(last))
}

// until waits for a moment; false when ctx ends.
func until(ctx context.Context, at time.Time) bool {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// customer asks with the same id until somebody knows.
func (d *chaosDay) customer(ctx context.Context, id string, w wish) {
	body := fmt.Sprintf(`{"id":%q,"name":"Ada","size":%q,"bean_type":%q,"milk":"free"}`, id, w.size, w.bean)
	for began := time.Now(); time.Since(began) < time.Minute; {
		var a fleet.Answer
		b, err := d.conn.Requester().Request(ctx, fleet.SubjectRequests, []byte(body))
		if err == nil && json.Unmarshal(b, &a) == nil && a.Code != fleet.CodeUnavailable {
			if !a.OK() {
				d.t.Errorf("%s: %+v", id, a)
				return
			}
			d.mu.Lock()
			d.asked[id] = time.Now()
			d.mu.Unlock()
			return
		}
		if !until(ctx, time.Now().Add(100*time.Millisecond)) {
			return
		}
	}
	d.t.Errorf("nobody knew for a minute what became of the order %s", id)
}

// person looks at machines that are latched, as somebody of the shop does, and
// clears them. What a starved computer may latch is noted, it is no mistake.
func (d *chaosDay) person(ctx context.Context) {
	for until(ctx, time.Now().Add(300*time.Millisecond)) {
		here, err := d.conn.Fleet().Present(ctx)
		if err != nil {
			continue
		}
		for _, p := range here {
			if p.State != fleet.StateFault {
				continue
			}
			b, _ := json.Marshal(fleet.Command{Verb: "clear-fault", By: "ada", Why: "looked at it"})
			a, err := d.conn.Requester().Request(ctx, fleet.CommandSubject(p.Machine), b)
			if err == nil && bytes.Contains(a, []byte(`"ok":true`)) {
				d.mu.Lock()
				d.faults = append(d.faults, p.Machine+": "+p.Note)
				d.mu.Unlock()
				d.note("%s was latched: %s", p.Machine, p.Note)
			}
		}
	}
}

// strike kills and starts again.
func (d *chaosDay) strike(k strike) {
	d.note("%s: %s", k.how, d.machines[k.victim].name)
	var both sync.WaitGroup
	switch k.how {
	case blowShop:
		d.killShop(k)
	case blowBoth:
		both.Go(func() { d.killShop(k) })
		both.Go(func() { d.killMachine(d.machines[k.victim], k) })
	case blowTogether:
		both.Go(func() { d.killMachine(d.machines[k.victim], k) })
		both.Go(func() { d.killMachine(d.machines[k.other], k) })
	case blowTwice:
		d.killMachine(d.machines[k.victim], k)
		until(d.t.Context(), time.Now().Add(k.pause))
		d.killMachine(d.machines[k.victim], k)
	case blowPaused:
		d.pause(d.machines[k.victim], k.pause)
	default:
		d.killMachine(d.machines[k.victim], k)
	}
	both.Wait()
}

// pause stops a machine's process beside what else happens, and lets it go on.
func (d *chaosDay) pause(m *chaosMachine, length time.Duration) {
	process, at := m.cmd.Process, m.now()
	if process.Signal(syscall.SIGSTOP) != nil {
		return
	}
	m.stops = append(m.stops, at)
	d.paused.Go(func() {
		until(d.t.Context(), time.Now().Add(length))
		_ = process.Signal(syscall.SIGCONT) // or it was killed meanwhile
	})
}

func (d *chaosDay) killShop(k strike) {
	d.shops++
	d.shop.kill()
	until(d.t.Context(), time.Now().Add(k.again))
	d.shop.again()
}

// killMachine is kill -9, then what systemd does: the stop hook, the pause, and
// the service again.
func (d *chaosDay) killMachine(m *chaosMachine, k strike) {
	if k.how == blowFrozen {
		_ = m.cmd.Process.Signal(syscall.SIGSTOP)
		until(d.t.Context(), time.Now().Add(k.pause))
	}
	dead := death9{how: k.how, killed: m.now(), bare: k.how == blowStopPost}
	m.kill()
	d.stopPost(m, k)
	until(d.t.Context(), time.Now().Add(k.again))
	dead.back = m.now()
	m.kills = append(m.kills, dead)
	m.again()
}

func (d *chaosDay) stopPost(m *chaosMachine, k strike) {
	cmd := asMain("safe-off", "--config", m.spec.Config)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		d.t.Error(err)
		return
	}
	if k.how == blowStopPost {
		until(d.t.Context(), time.Now().Add(k.pause))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return
	}
	if err := cmd.Wait(); err != nil { // the edges show whether that did harm
		d.note("safe-off of %s: %v: %s", m.name, err, said.String())
	}
}

// open are the accepted orders that have neither ended nor are parked.
func (d *chaosDay) open() (open []fleet.Entry) {
	d.mu.Lock()
	ids := slices.Sorted(maps.Keys(d.asked))
	d.mu.Unlock()
	for _, id := range ids {
		e, err := d.conn.Book().Read(d.t.Context(), id)
		if err != nil {
			e.Order.ID = id
		}
		if !e.Phase.Ended() && e.Phase != fleet.Unknown {
			open = append(open, e)
		}
	}
	return open
}

// drain waits until every order has come out.
func (d *chaosDay) drain(last time.Time) {
	said := time.Now()
	for {
		open := d.open()
		if len(open) == 0 {
			return
		}
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			d.note("%v after the last kill %d orders are open:\n%s", time.Since(last).Round(time.Second), len(open), d.state(open))
		}
		if time.Since(last) > comesOut {
			d.t.Fatalf("%v after the last kill %d orders have not come out:\n%s", comesOut, len(open), d.state(open))
		}
		until(d.t.Context(), time.Now().Add(50*time.Millisecond))
	}
}

// state is what there is to see of orders that do not come out.
func (d *chaosDay) state(open []fleet.Entry) string {
	var b strings.Builder
	ctx := d.t.Context()
	now, _ := d.conn.Book().Now(ctx)
	for _, e := range open {
		fmt.Fprintf(&b, "  %s %s e%d attempts %d %s for %v, avoid %+v, past", e.Order.ID[20:], e.Phase, e.Epoch, e.Attempts, e.Machine(), now.Sub(e.Written).Round(time.Millisecond), e.Avoid)
		for _, p := range e.Past {
			fmt.Fprintf(&b, " [%s %s %s]", p.Machine, p.Outcome, p.Reason.Text)
		}
		b.WriteByte('\n')
	}
	here, _ := d.conn.Fleet().Present(ctx)
	for _, p := range here {
		fmt.Fprintf(&b, "  %s %s %q in hand %q\n", p.Machine, p.State, p.Note, p.Order)
	}
	for _, m := range d.machines {
		c := d.counts(m)
		fmt.Fprintf(&b, "  plant %s: cup %v, placed %d, on %v\n", m.name, c.CupThere, c.CupsPlaced, c.OnNow())
	}
	for _, bean := range []string{"arabica", "robusta"} {
		a, err := d.conn.Requester().Request(ctx, "$JS.API.CONSUMER.INFO."+fleet.StreamOrders+"."+fleet.MakerDurable(fleet.Class{Bean: bean, Milk: fleet.NoMilk}), nil)
		fmt.Fprintf(&b, "  %s %v\n", a, err)
	}
	return b.String()
}

// pourLine is a line that a process wrote before it told a part to go on.
type pourLine struct {
	at    time.Duration // the plant's time
	part  driver.Part
	order string
	epoch int
}

// monotonic is the clock that plants and processes share.
func monotonic() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

func (d *chaosDay) lines(m *chaosMachine) []pourLine {
	out := pourLines(d.t, m.spec.Trace)
	for i := range out {
		out[i].at -= m.zero
	}
	return out
}

// pourLines reads what processes wrote, by the clock that they share.
func pourLines(t *testing.T, trace string) (out []pourLine) {
	t.Helper()
	raw, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(raw)) {
		var p pourLine
		var at int64
		if _, err := fmt.Sscanf(l, "%d %s %s %d\n", &at, &p.part, &p.order, &p.epoch); err != nil {
			t.Fatalf("%s: %q: %v", trace, l, err)
		}
		p.at = time.Duration(at)
		out = append(out, p)
	}
	return out
}

// attempt is one start of one order.
type attempt struct {
	order string
	epoch int
}

func (d *chaosDay) judge(seed uint64, took, drained time.Duration) {
	t := d.t
	count := map[fleet.Phase]int{}
	type made struct {
		machine string
		lines   int
		drinks  int
		flows   int
	}
	did := map[attempt]*made{}
	told := map[*chaosMachine][]pourLine{}
	var worst death9
	var worstRest, worstBare time.Duration
	poured, partial, nkills, bykind := 0, 0, 0, map[blow]int{}
	for _, m := range d.machines {
		c := d.counts(m)
		poured, partial = poured+c.Drinks, partial+c.Partial
		if on := c.OnNow(); len(on) > 0 {
			t.Errorf("%s: at the end %v is on", m.name, on)
		}
		if c.InFullCup > 0 {
			t.Errorf("%s: %d poured into a used cup", m.name, c.InFullCup)
		}
		lines := d.lines(m)
		told[m] = lines
		var pumps []pourLine
		for _, l := range lines {
			a := attempt{l.order, l.epoch}
			if did[a] == nil {
				did[a] = &made{machine: m.name}
			}
			if did[a].machine != m.name {
				t.Errorf("%v was begun by %s and by %s", a, did[a].machine, m.name)
			}
			if l.part == driver.Pump {
				did[a].lines++
				pumps = append(pumps, l)
			}
		}
		for _, f := range insist(d, m, (*plant.Remote).Flows) {
			// The last line before it, on the same clock; that of the plant is known
			// to a millisecond or so, and no drink takes as little as 100.
			i := -1
			for n, l := range pumps {
				if l.at <= f.Start+20*time.Millisecond {
					i = n
				}
			}
			if i < 0 {
				t.Errorf("%s poured and no order was told to: %v", m.name, f)
				continue
			}
			a := did[attempt{pumps[i].order, pumps[i].epoch}]
			a.flows++
			if f.Kind == plant.Drink {
				a.drinks++
			}
		}
		edges := insist(d, m, (*plant.Remote).Edges)
		if len(edges) != c.Edges {
			t.Errorf("%s: only %d of %d edges are known", m.name, len(edges), c.Edges)
		}
		for i, k := range m.kills {
			nkills++
			bykind[k.how]++
			if i+1 < len(m.kills) && m.kills[i+1].killed-k.killed < atRest {
				continue // killed again before it could be at rest: the next one counts
			}
			rest, ok := restAfter(edges, k.killed, k.back)
			most := atRest
			if k.bare {
				most += k.back - k.killed
			}
			if !ok || rest > most {
				t.Errorf("%s (%s): killed at %v, at rest after %v, at most %v is right (all off at any time: %v)", m.name, k.how, k.killed, rest, most, ok)
			}
			if k.bare {
				worstBare = max(worstBare, rest)
				continue
			}
			if rest > worstRest {
				worst, worstRest = k, rest
			}
		}
		if len(c.Harm) > 0 {
			t.Logf("%s: harm: %q", m.name, c.Harm)
		}
	}
	for id := range d.asked {
		e, err := d.conn.Book().Read(t.Context(), id)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		count[e.Phase]++
		if e.Phase == fleet.Failed {
			t.Logf("%s failed: %s; %+v", id, e.Reason.Text, e.Past)
		}
		if e.Phase == fleet.Unknown && !d.diedOver(e, told) {
			t.Errorf("%s is unknown, and no machine died over it: %s", id, e.Reason.Text)
		}
		outs := map[int]fleet.Outcome{e.Epoch: e.Outcome}
		for _, p := range e.Past {
			outs[p.Epoch] = p.Outcome
		}
		moved := 0
		for epoch, out := range outs {
			a := did[attempt{id, epoch}]
			delete(did, attempt{id, epoch})
			if a == nil {
				a = &made{}
			}
			switch {
			case a.lines > 1 || a.drinks > 1:
				t.Errorf("%s epoch %d (%s): the pump was told %d times, %d drinks", id, epoch, out, a.lines, a.drinks)
			case out == fleet.Made && a.drinks != 1:
				t.Errorf("%s epoch %d was made, says the claim; the plant poured %d", id, epoch, a.drinks)
			case out == fleet.Untouched && a.lines > 0:
				t.Errorf("%s epoch %d was untouched, says the claim; the pump was told %d times", id, epoch, a.lines)
			}
			if out != fleet.Spoiled { // that one is made again, once
				moved += a.drinks
			}
		}
		if moved > 1 {
			t.Errorf("%s was poured %d times", id, moved)
		}
	}
	d.books()
	for a, x := range did {
		t.Errorf("%s poured for %v, which no claim knows: %+v", x.machine, a, *x)
	}
	t.Logf("seed %d: %d orders %v; %d poured, %d broken off; %d kills of machines %v, %d of the shop; at rest after at most %v (%s), without the stop hook %v; waited for a machine: %s; %d faults cleared %q; %v in all, %v after the last kill",
		seed, len(d.asked), count, poured, partial, nkills, bykind, d.shops, worstRest.Round(time.Millisecond), worst.how, worstBare.Round(time.Millisecond), d.waits(), len(d.faults), d.faults, took.Round(time.Second), drained.Round(time.Second))
	if *chaosKeep == "" && t.Failed() {
		for _, p := range d.all {
			t.Logf("--- %s:\n%s", p.name, p.log())
		}
	}
}

// diedOver reports whether the machine of an order died while it had it in hand.
func (d *chaosDay) diedOver(e fleet.Entry, told map[*chaosMachine][]pourLine) bool {
	records, err := d.conn.Book().History(d.t.Context(), e.Order.ID)
	if err != nil {
		d.t.Error(err)
	}
	for _, r := range records {
		for _, m := range d.machines {
			if r.Phase == fleet.Brewing && r.Epoch == e.Epoch && r.Machine() == m.name && m.diedOver(attempt{e.Order.ID, e.Epoch}, told[m], r.Written) {
				return true
			}
		}
	}
	return false
}

// books checks that the stock agrees with what became of the orders, and that no
// bean is promised to anybody.
func (d *chaosDay) books() {
	want := map[string]fleet.Level{}
	for _, bean := range []string{"arabica", "robusta"} {
		want[bean] = fleet.Level{OnHand: 10_000, Refilled: 10_000}
	}
	for id := range d.asked {
		e, err := d.conn.Book().Read(d.t.Context(), id)
		if err != nil {
			d.t.Fatal(err)
		}
		_, used, wasted := e.Portions()
		for item, n := range e.Portion {
			l := want[item]
			l.OnHand, l.Consumed, l.Wasted = l.OnHand-n*(used+wasted), l.Consumed+n*used, l.Wasted+n*wasted
			want[item] = l
		}
	}
	var have map[string]fleet.Level
	for late := time.Now().Add(30 * time.Second); ; {
		have, _ = d.levels()
		if maps.Equal(have, want) {
			return
		}
		if time.Now().After(late) {
			d.t.Errorf("the stock is %+v, by the orders it is %+v", have, want)
			return
		}
		until(d.t.Context(), time.Now().Add(100*time.Millisecond))
	}
}

// waits tells how long orders waited for the fence of a machine: from accepted
// to the first brewing, by the broker's clock.
func (d *chaosDay) waits() string {
	var all []time.Duration
	for id := range d.asked {
		records, err := d.conn.Book().History(d.t.Context(), id)
		if err != nil {
			d.t.Error(err)
			continue
		}
		if i := slices.IndexFunc(records, func(e fleet.Entry) bool { return e.Phase == fleet.Brewing }); i > 0 {
			all = append(all, records[i].Written.Sub(records[0].Written))
		}
	}
	if len(all) == 0 {
		return "nobody was served"
	}
	slices.Sort(all)
	at := func(share float64) time.Duration {
		return all[int(share*float64(len(all)-1))].Round(10 * time.Millisecond)
	}
	return fmt.Sprintf("%v half, %v nine of ten, %v at most", at(0.5), at(0.9), at(1))
}

// restAfter is how long after a kill everything was at rest, by the plant's own
// edges: what was on at the kill, and what a command on its way switched on
// before the next process came. ok is false if a part never went off.
func restAfter(edges []plant.Edge, killed, back time.Duration) (rest time.Duration, ok bool) {
	on := map[driver.Part]bool{}
	for _, e := range edges {
		switch {
		case e.At <= killed:
			on[e.Part] = e.On
		case e.On && e.At <= back:
			on[e.Part] = true
		case !e.On && on[e.Part]:
			on[e.Part] = false
			rest = max(rest, e.At-killed)
		}
	}
	for _, still := range on {
		if still {
			return rest, false
		}
	}
	return rest, true
}
