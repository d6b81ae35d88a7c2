package metrics

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

// shelfed is a ledger of a few words; it answers what metrics ask.
type shelfed struct {
	fleet.Ledger
	open  []fleet.Entry
	each  func(fleet.Record)
	given chan struct{}
}

func (l *shelfed) Ready() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
func (l *shelfed) Open() []fleet.Entry           { return l.open }
func (l *shelfed) Age(fleet.Entry) time.Duration { return 3 * time.Second }
func (l *shelfed) Levels() map[string]fleet.Level {
	return map[string]fleet.Level{
		"arabica": {OnHand: 2000, Reserved: 17}, "milk-soja": {OnHand: 1500, Reserved: 60}, fleet.ItemSugar: {OnHand: 500, Reserved: 2},
	}
}

func (l *shelfed) Follow(ctx context.Context, _ uint64, each func(fleet.Record), _ func()) error {
	l.each = each
	close(l.given)
	<-ctx.Done()
	return ctx.Err()
}

const epoch = 1_800_000_000 // of the broker's clock

func at(s int) time.Time { return time.Unix(epoch+int64(s), 0) }

var soy = fleet.Order{ID: "01JD0000000000000000000001", Name: "Ada Lovelace", Size: fleet.Medium, Bean: "arabica", Milk: "soja", Sugar: 2}

func created(id string) fleet.Claim {
	o := soy
	o.ID = id
	a := fleet.Success(id)
	a.ETA = []int{20, 40}
	return fleet.Create(o, fleet.Items{"arabica": 17, "milk-soja": 60, fleet.ItemSugar: 2}, a, "web")
}

type must struct{ t *testing.T }

func (m must) be(c fleet.Claim, err error) fleet.Claim {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// told is a shop that was told these records, each a second after the last.
func told(t *testing.T, s *Shop, records ...fleet.Record) {
	t.Helper()
	for i, r := range records {
		r.Seq = uint64(i + 1)
		s.take(r)
	}
}

func claim(c fleet.Claim, sec int) fleet.Record {
	return fleet.Record{IsClaim: true, Entry: fleet.Entry{Claim: c, Written: at(sec)}}
}

// series is every line of the exposition that has a prefix.
func series(t *testing.T, h http.Handler, prefixes ...string) (out []string) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	for line := range strings.Lines(rec.Body.String()) {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(line, p) }) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// TestWhatTheBookTells plays the lives of four orders.
func TestWhatTheBookTells(t *testing.T) {
	m := must{t}
	zoe, leo := fleet.Owner{Machine: "zoe", Journal: "j", Boot: "b"}, fleet.Owner{Machine: "leo", Journal: "j", Boot: "b"}
	s := NewShop(ShopParts{Ledger: &shelfed{}})

	a := created("01JD0000000000000000000001")
	aBrew := m.be(a.Fence(zoe))
	aEnd := m.be(aBrew.End(zoe, fleet.Made, fleet.Reason{}, 31, nil))

	b := created("01JD0000000000000000000002")
	bBrew := m.be(b.Fence(leo))
	bSpoiled := m.be(bBrew.End(leo, fleet.Spoiled, fleet.Reason{Code: "no-flow", Quote: "Ada Lovelace kicked it"}, 12, nil))
	bAgain := m.be(bSpoiled.Remake())
	bBrew2 := m.be(bAgain.Fence(zoe))
	bEnd := m.be(bBrew2.End(zoe, fleet.Made, fleet.Reason{}, 30, nil))

	c := created("01JD0000000000000000000003")
	cBrew := m.be(c.Fence(leo))
	cDoubt := m.be(cBrew.Park("sweep", fleet.Reason{Code: fleet.CodeNotHeard}))
	cSettled := m.be(cDoubt.Settle(true, "ann", fleet.Reason{}))

	d := m.be(created("01JD0000000000000000000004").Stop(fleet.Expired, "sweep", fleet.Reason{Code: fleet.CodeExpired}))
	no := fleet.Refusals{List: []fleet.Refusal{{Order: "01JD0000000000000000000005", Answer: fleet.Answer{Code: fleet.CodeOutOfStock}}}}
	told(t, s,
		claim(a, 0), claim(aBrew, 5), claim(aEnd, 45), // 5 s later than told
		claim(b, 10), claim(bBrew, 11), claim(bSpoiled, 23), claim(bAgain, 24), claim(bBrew2, 25), claim(bEnd, 55),
		claim(c, 60), claim(cBrew, 61), claim(cDoubt, 200), claim(cSettled, 4000),
		claim(created("01JD0000000000000000000004"), 70), claim(d, 1000),
		fleet.Record{Refusals: &no},
	)
	got := series(t, New(Config{}, s), "barista_orders", "barista_redeliveries", "barista_drinks", "barista_faults", "barista_beans", "barista_milk", "barista_sugar",
		"barista_order_wait_seconds_sum", "barista_order_wait_seconds_count", `barista_eta_error_seconds_bucket{le="0"}`, `barista_eta_error_seconds_bucket{le="10"}`, "barista_eta_error_seconds_sum", "barista_brew_seconds_sum")
	want := strings.Fields(strings.ReplaceAll(`
barista_beans_grams_total{bean="arabica",use="cup"}·51
barista_beans_grams_total{bean="arabica",use="wasted"}·17
barista_brew_seconds_sum{size="medium"}·61
barista_drinks_total{machine="leo",outcome="spoiled"}·1
barista_drinks_total{machine="leo",outcome="unknown"}·1
barista_drinks_total{machine="zoe",outcome="made"}·2
barista_eta_error_seconds_bucket{le="0"}·0
barista_eta_error_seconds_bucket{le="10"}·2
barista_eta_error_seconds_sum·10
barista_faults_total{code="no-flow",machine="leo"}·1
barista_faults_total{code="not_heard",machine="leo"}·1
barista_milk_liters_total{milk="soja",use="cup"}·0.18
barista_milk_liters_total{milk="soja",use="wasted"}·0.06
barista_order_wait_seconds_sum·90
barista_order_wait_seconds_count·2
barista_orders_accepted_total{bean="arabica",milk="soja"}·4
barista_orders_refused_total{code="not_on_menu"}·0
barista_orders_refused_total{code="out_of_stock"}·1
barista_orders_refused_total{code="queue_full"}·0
barista_orders_total{bean="arabica",milk="soja",outcome="expired"}·1
barista_orders_total{bean="arabica",milk="soja",outcome="served"}·3
barista_orders_unknown_total{bean="arabica",milk="soja"}·1
barista_redeliveries_total{outcome="spoiled"}·1
barista_redeliveries_total{outcome="unknown"}·0
barista_redeliveries_total{outcome="untouched"}·0
barista_sugar_doses_total{use="cup"}·6
barista_sugar_doses_total{use="wasted"}·2
`, "·", "="))
	for i := range got {
		got[i] = strings.Replace(got[i], " ", "=", 1)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := len(s.open) + len(s.doubt); n != 0 {
		t.Errorf("%d orders are remembered after their ends", n)
	}
}

// full is a process that has everything, and a stranger in each place that takes text.
func full(t *testing.T) *Metrics {
	t.Helper()
	evil := "Ada Lovelace\"\n} 1"
	m := must{t}
	now := fleet.Entry{Claim: created("01JD0000000000000000000009"), Written: at(0)}
	var machines []*fleet.Machine
	for i := range 3 {
		machines = append(machines, &fleet.Machine{Presence: fleet.Presence{Machine: fmt.Sprintf("zoe-%d", i), State: fleet.State(evil)}, Here: i > 0})
	}
	machines[2].Cordon = &fleet.Cordon{By: evil, Reason: evil}
	machines = append(machines, &fleet.Machine{Presence: fleet.Presence{Machine: evil, State: fleet.StateReady}, Here: true})
	shop := NewShop(ShopParts{
		Ledger: &shelfed{open: []fleet.Entry{now}}, Machines: func() []*fleet.Machine { return machines },
		Troubles: func(context.Context) ([]fleet.Trouble, error) {
			return []fleet.Trouble{{Reason: fleet.Reason{Code: fleet.CodeStreams, Text: evil}, About: evil}, {Reason: fleet.Reason{Code: evil}, Closed: true}}, nil
		},
		Standing: func(context.Context) (fleet.Standing, error) { return fleet.Standing{State: fleet.StandOpen}, nil },
	})
	owner := fleet.Owner{Machine: evil, Journal: evil, Boot: evil}
	first := created("01JD0000000000000000000008")
	brew := m.be(first.Fence(owner))
	told(t, shop, claim(first, 0), claim(brew, 1), claim(m.be(brew.End(owner, fleet.Spoiled, fleet.Reason{Code: evil, Quote: evil}, 3, nil)), 2),
		claim(m.be(m.be(brew.End(owner, fleet.Spoiled, fleet.Reason{Code: evil}, 3, nil)).Remake()), 3), claim(m.be(brew.Park("x", fleet.Reason{})), 4),
		claim(m.be(brew.End(owner, fleet.Made, fleet.Reason{}, 3, nil)), 5),
		fleet.Record{Refusals: &fleet.Refusals{List: []fleet.Refusal{{Answer: fleet.Answer{Code: evil}}}}})
	station := NewStation(StationParts{
		Machine: "zoe", State: func() string { return "ready" }, Linked: func() bool { return true }, Beat: func() uint64 { return 7 },
		Used: func() map[string]Use { return map[string]Use{"pump": {For: 1500 * time.Millisecond, Runs: 2}} }, Trips: func() map[string]int { return map[string]int{"": 1, evil: 2, "no-flow": 3} },
	})
	live := station.Live(nobody{})
	for n, s := range []string{evil, "pour", "rest"} {
		live.Live(fleet.Event{Order: "x", Kind: fleet.EvStep, N: n + 1, Step: s, At: at(n * 10)})
	}
	desk := station.Desk(yes{})
	desk.Ask(t.Context(), fleet.DeskEnd, fleet.Entry{}, fleet.Ask{Outcome: fleet.Spoiled, Reason: fleet.Reason{Code: evil}})
	desk.Ask(t.Context(), fleet.DeskFence, fleet.Entry{}, fleet.Ask{})
	return New(Config{Version: "1.0"}, shop, station)
}

type nobody struct{}

func (nobody) Live(fleet.Event) {}

type yes struct{ fleet.Desk }

func (yes) Ask(context.Context, string, fleet.Entry, fleet.Ask) (fleet.Entry, error) {
	return fleet.Entry{}, nil
}

// TestNothingOfAPerson: whatever comes from outside, labels are the house's own words.
func TestNothingOfAPerson(t *testing.T) {
	lines := series(t, full(t), "barista_")
	if len(lines) < 80 {
		t.Fatalf("%d series: the test is blind", len(lines))
	}
	label := regexp.MustCompile(`([a-z_]+)="([^"]*)"`)
	plain := regexp.MustCompile(`^[a-z0-9_.+-]{1,32}$|^\+Inf$`)
	for _, line := range lines {
		if strings.Contains(line, "Ada") || strings.Contains(line, "01JD") {
			t.Errorf("of a person: %s", line)
		}
		for _, l := range label.FindAllStringSubmatch(line, -1) {
			if !plain.MatchString(l[2]) {
				t.Errorf("%s=%q", l[1], l[2])
			}
		}
	}
	for _, want := range []string{
		`barista_machine_state{machine="zoe-0",state="away"} 1`, `barista_machine_state{machine="zoe-2",state="cordoned"} 1`, `barista_machine_state{machine="other",state="ready"} 1`,
		`barista_troubles{code="other"} 1`, `barista_closed 1`, `barista_guard_trips_total{code="none",machine="zoe"} 1`, `barista_actuator_on_seconds_total{machine="zoe",part="pump"} 1.5`,
		`barista_brew_step_seconds_sum{machine="zoe",step="pour"} 10`, `barista_station_drinks_total{machine="zoe",outcome="spoiled"} 1`, `barista_station_drinks_total{machine="zoe",outcome="made"} 0`, `barista_stock_liters{item="milk-soja",kind="free"} 1.44`,
		`barista_orders_open{bean="arabica",milk="soja",phase="accepted"} 1`, `barista_queue_oldest_seconds 3`,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %s", want)
		}
	}
}

// TestClosed: a shop that lost records is closed without any trouble.
func TestClosed(t *testing.T) {
	for state, want := range map[string]string{fleet.StandOpen: "0", fleet.StandRollCall: "0", fleet.StandLooking: "0", fleet.StandClosed: "1"} {
		s := NewShop(ShopParts{
			Ledger: &shelfed{}, Troubles: func(context.Context) ([]fleet.Trouble, error) { return nil, nil },
			Standing: func(context.Context) (fleet.Standing, error) { return fleet.Standing{State: state}, nil },
		})
		if got := series(t, New(Config{}, s), "barista_closed"); !slices.Equal(got, []string{"barista_closed " + want}) {
			t.Errorf("%s: %q, want %s", state, got, want)
		}
	}
}

// TestManyMachines: names that come and go do not make series without end.
func TestManyMachines(t *testing.T) {
	var n names
	last := ""
	for i := range 3 * mostMachines {
		last = n.of(fmt.Sprintf("m-%d", i))
	}
	if last != other || len(n.seen) != mostMachines || n.of("m-0") != "m-0" {
		t.Errorf("%q, %d names", last, len(n.seen))
	}
}

// TestRunCountsFromNowOn: what stood in the book before is not counted, and an order
// that was found waiting has its whole wait.
func TestRunCountsFromNowOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := created("01JD0000000000000000000001")
		l := &shelfed{open: []fleet.Entry{{Claim: waits, Written: at(0)}}, given: make(chan struct{})}
		s := NewShop(ShopParts{Ledger: l, Upto: func() uint64 { return 12 }, Now: func(context.Context) (time.Time, error) { return at(90), nil }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		<-l.given
		time.Sleep(10 * time.Second)
		if got := series(t, New(Config{}, s), "barista_queue_oldest"); got[0] != "barista_queue_oldest_seconds 100" {
			t.Error(got)
		}
		zoe := fleet.Owner{Machine: "zoe"}
		served := must{t}.be(must{t}.be(waits.Fence(zoe)).End(zoe, fleet.Made, fleet.Reason{}, 30, nil))
		l.each(claim(served, 120))
		if got := series(t, New(Config{}, s), "barista_order_wait_seconds_sum"); got[0] != "barista_order_wait_seconds_sum 120" {
			t.Error(got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestAskedAllTheTime: whoever asks without end costs one look a second.
func TestAskedAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		m := New(Config{Ready: func(context.Context) []string {
			looks++
			return []string{"zoe: fault\nno-flow", "the shop can't be reached"}
		}})
		for range 1000 {
			series(t, m, "barista_ready")
		}
		if looks != 1 {
			t.Errorf("%d looks at once", looks)
		}
		rec := httptest.NewRecorder()
		m.ServeHTTP(rec, httptest.NewRequest("GET", "/readyz", nil))
		if rec.Code != http.StatusServiceUnavailable || rec.Body.String() != "zoe: fault no-flow\nthe shop can't be reached\n" {
			t.Errorf("%d %q", rec.Code, rec.Body)
		}
		time.Sleep(lookEvery)
		if got := series(t, m, "barista_ready"); looks != 2 || got[0] != "barista_ready 0" {
			t.Errorf("%d looks, %v", looks, got)
		}
	})
}

// TestLoopThatStands: /livez is the loop's own word.
func TestLoopThatStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		beat := uint64(1)
		s := NewStation(StationParts{Machine: "zoe", Beat: func() uint64 { return beat }})
		ask := func() (int, string) {
			rec := httptest.NewRecorder()
			New(Config{Lives: s.Lives}).ServeHTTP(rec, httptest.NewRequest("GET", "/livez", nil))
			return rec.Code, rec.Body.String()
		}
		ask()
		time.Sleep(time.Hour) // nobody asked
		beat++
		if code, text := ask(); code != http.StatusOK || text != "ok\n" {
			t.Errorf("%d %q", code, text)
		}
		time.Sleep(10 * time.Second)
		if code, text := ask(); code != http.StatusServiceUnavailable || text != "zoe: its loop has stood still for 10s\n" {
			t.Errorf("%d %q", code, text)
		}
	})
}

// TestServe answers over a socket, turns away who is too many, and ends clean.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- full(t).Serve(ctx, l) }()
	var held []net.Conn
	for range mostAtOnce {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		fmt.Fprint(c, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
		if b := make([]byte, 12); !full16(c, b) || string(b) != "HTTP/1.1 200" {
			t.Fatalf("%q", b)
		}
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); len(b) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("one too many got %q, %v", b, err)
	}
	for _, c := range append(held, c) {
		c.Close()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func full16(c net.Conn, b []byte) bool {
	_, err := io.ReadFull(c, b)
	return err == nil
}

// promtool is Prometheus's own checker, where it is there: make promtool.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		if tool, err = filepath.Abs("../../dist/promtool"); err == nil {
			_, err = exec.LookPath(tool)
		}
	}
	if err != nil {
		t.Skip("no promtool: make promtool brings it, where it may be had")
	}
	cmd := exec.Command(tool, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestLint: names, units and help are as Prometheus wants them.
func TestLint(t *testing.T) {
	rec := httptest.NewRecorder()
	full(t).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	promtool(t, rec.Body.String(), "check", "metrics")
}
