// Package homeassistant shows a shop to Home Assistant: a device for each machine, with
// what it does, what it lacks and what is wrong with it, and one for the shop, with what
// is on the shelf and, where the shop's file wants that, a button for each drink. It
// needs no library of MQTT and no broker beside the shop's: the NATS server speaks MQTT
// by itself, and this room says and hears plain messages.
//
// # What is said, and when
//
// Home Assistant is told of the devices when it says that it has started, at this room's
// own start, and when something about them has changed. Nothing is retained: a broker that
// keeps what a machine was yesterday would show it tomorrow. It subscribes to the states
// only once it knows the devices, so these are said again a few times then, and every
// Refresh in any case; what has not been heard for Expires it shows as unknown.
//
// # One press, one cup
//
// A press comes at least once: over MQTT it may be sent again by whoever did not hear
// that it came, after a restart of either side, too. So a press carries the moment at
// which it was made, which Home Assistant writes into it, and the order's id is made of
// that moment and the drink alone. The shop's book knows an id for as long as it is kept:
// the same press again is the same order, whoever hears it, and has the same answer. A
// press without its moment can't be told from its own repetition, and one older than
// Fresh may have lain somewhere until nobody stands at a machine any more: neither is an
// order.
//
// Whoever presses may be an automation, with nobody there. The cup is the gate, as with
// every order: a machine that sees none does not begin. Where it is said on the order's
// page that it stands there, no button can say it, so a drink that only such machines make
// is not ordered; and what a machine could make that looks for no cup at all is not
// ordered unless the shop's file says that somebody stands by.
//
// # Who starts and stops it
//
// New joins it, Run works until its context ends and says then that nothing is here.
package homeassistant

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"barista/fleet"
	"barista/fleet/words"
)

// The times of what is said and heard.
const (
	Refresh = 20 * time.Second // all states are said again
	Expires = 70 * time.Second // a state counts no longer in Home Assistant
	Fresh   = time.Minute      // a press is as young as this, by the two clocks
)

// afterBirth is when all states are said again, after the devices were: Home Assistant
// subscribes to them within some seconds.
var afterBirth = []time.Duration{time.Second, 3 * time.Second, 6 * time.Second, 12 * time.Second}

// atMost is how often states are said that change: a drink's percents change faster than
// anybody looks.
const atMost = time.Second

// The pace of orders: as an address of the website has it.
const (
	orderEvery = 12 * time.Second
	orderBurst = 10
)

// Parts is what it is joined to.
type Parts struct {
	// Place is the controller's, which answers within 2 s.
	Place    func(ctx context.Context, body []byte, via string) fleet.Answer
	Machines func() []*fleet.Machine // by name; nobody changes them
	Changed  func() <-chan struct{}  // closed when Machines may answer something else
	Levels   func(context.Context) (map[string]fleet.Level, error)
	Menu     func() fleet.Menu
	Bus      Bus
	Wall     func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: none
}

// Bus is how messages pass. What is told may get lost.
type Bus interface {
	Hear(ctx context.Context, subjects []string, each func(subject string, body []byte), ready func()) error
	Tell(subject string, body []byte) error
}

// Config is what the shop's file says.
type Config struct {
	Orders   bool // there are buttons
	Attended bool // somebody stands by whenever one is pressed
	Name     string
	Drinks   []fleet.Order // none: one of each class on the menu
	Version  string        // of the program
}

// Bridge is one at work.
type Bridge struct {
	p   Parts
	cfg Config

	born    chan struct{}
	pressed chan press
	pace    *rate.Limiter
	taken   string // the last id that was accepted; runOrders' own

	// Run's own.
	said  map[string][]byte // by subject
	stock map[string]int    // as it was read last
	over  bool              // nothing is here any more

	mu    sync.Mutex // guards what follows
	last  result
	known map[string]*fleet.Machine // as each was when it was here last
	news  chan struct{}             // last has changed
}

// New makes one. It does nothing before Run.
func New(p Parts, cfg Config) *Bridge {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if p.Wall == nil {
		p.Wall = time.Now
	}
	return &Bridge{
		p: p, cfg: cfg, born: make(chan struct{}, 1), pressed: make(chan press, 32), news: make(chan struct{}, 1),
		pace: rate.NewLimiter(rate.Every(orderEvery), orderBurst), said: map[string][]byte{}, known: map[string]*fleet.Machine{},
	}
}

// Run works until ctx ends.
func (b *Bridge) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	subjects := []string{fleet.HomeBirth}
	if b.cfg.Orders {
		subjects = append(subjects, fleet.HomeOrders)
	}
	wg.Go(func() {
		fleet.Keep(ctx, b.p.Log, "what Home Assistant says", func() error { return b.p.Bus.Hear(ctx, subjects, b.heard, b.birth) })
	})
	wg.Go(func() { b.runOrders(ctx) })
	b.speak(ctx)
	b.over = true
	b.states(ctx, true) // nobody may hear it any more
	wg.Wait()
	return nil
}

// birth has the devices said anew.
func (b *Bridge) birth() { poke(b.born) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// heard sorts what comes. It waits for nobody.
func (b *Bridge) heard(subject string, body []byte) {
	if subject == fleet.HomeBirth {
		if string(body) == "online" {
			b.birth()
		}
		return
	}
	select {
	case b.pressed <- press{subject, body}:
	default:
		b.p.Log.Warn("a press was not taken: too many at once", "subject", subject)
	}
}

// speak says what there is, until ctx ends.
func (b *Bridge) speak(ctx context.Context) {
	again := time.NewTimer(Refresh)
	defer again.Stop()
	early := len(afterBirth) // the next of afterBirth
	changed := b.p.Changed()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.born:
			b.devices(true)
			b.states(ctx, true)
			early = 0
			again.Reset(afterBirth[0])
		case <-again.C:
			b.devices(false)
			b.states(ctx, true)
			next := Refresh
			if early++; early < len(afterBirth) {
				next = afterBirth[early] - afterBirth[early-1]
			}
			again.Reset(next)
		case <-changed:
			changed = b.p.Changed() // before it is looked at: what changes from here on counts
			b.devices(false)
			b.states(ctx, false)
			// Not more often: what changes meanwhile is said with the next one.
			fleet.Pause(ctx, atMost)
		case <-b.news:
			b.states(ctx, false)
		}
	}
}

// tell says something to a subject, if it is new there or all is said again.
func (b *Bridge) tell(subject string, v any, all bool) {
	body, err := json.Marshal(v)
	if err != nil || !all && bytes.Equal(b.said[subject], body) {
		return
	}
	if err := b.p.Bus.Tell(subject, body); err != nil {
		b.p.Log.Debug("Home Assistant was not told", "subject", subject, "err", err)
		return
	}
	b.said[subject] = body
}

// theShop is the shop's own device: no machine may be called so.
const theShop = "shop"

// machineState is what is said of a machine. No order and nobody's name is in it.
type machineState struct {
	Here    string      `json:"here"` // "online", "offline"
	State   fleet.State `json:"state"`
	Problem string      `json:"problem"` // "ON", "OFF"
	Beans   string      `json:"beans"`   // "ON": there are none; unknown: no sensor tells
	Water   string      `json:"water"`
	Tray    string      `json:"tray"`
	Percent int         `json:"percent"` // of the drink in hand
	Drinks  int         `json:"drinks"`  // since its service was started
	Code    string      `json:"code,omitempty"`
	Reason  string      `json:"reason,omitempty"`
	Lacks   []string    `json:"lacks,omitempty"`
}

// unknown is Home Assistant's word for a binary sensor that has nothing to say.
const unknown = "None"

// The states that a machine has only for who looks at it.
const away fleet.State = "away"

// knownStates are those of the enumeration; Home Assistant refuses any other.
var knownStates = []fleet.State{
	fleet.StateStarting, fleet.StateReady, fleet.StateBusy, fleet.StateWaiting, fleet.StateBlocked, fleet.StateFault,
	fleet.StateCordoned, fleet.StateDraining, fleet.StateUnsynced, away,
}

// stateOf is how a machine is, for Home Assistant.
func stateOf(m *fleet.Machine) machineState {
	on := func(is bool) string {
		if is {
			return "ON"
		}
		return "OFF"
	}
	s := machineState{Here: "offline", State: away, Problem: "OFF", Beans: "OFF", Water: "OFF", Tray: "OFF"}
	if m.Here {
		lacks := func(what string, g fleet.Gauge) string {
			switch {
			case slices.Contains(m.Lacks, what) || g == fleet.GaugeOut:
				return "ON"
			case g == fleet.GaugeThere:
				return "OFF"
			}
			return unknown // no sensor says it, or an earlier version does not tell
		}
		s = machineState{
			Here: "online", State: m.State, Problem: on(m.State == fleet.StateFault || m.State == fleet.StateBlocked), Beans: lacks("beans", m.Gauges.Beans), Water: lacks("water", m.Gauges.Water), Tray: lacks("tray", m.Gauges.Tray),
			Percent: min(max(m.Percent, 0), 100), Drinks: max(m.Drinks, 0), Code: short(m.Code), Reason: fleet.Plain(words.Operator("en", m.Code)),
		}
		for _, l := range m.Lacks[:min(len(m.Lacks), 8)] {
			s.Lacks = append(s.Lacks, short(l))
		}
	}
	if m.Cordon != nil {
		if s.Code, s.Reason = fleet.CodeCordoned, fleet.Plain(m.Cordon.Reason); m.Here && m.Order == "" {
			s.State = fleet.StateCordoned
		} else if m.Here {
			s.State = fleet.StateDraining
		}
	}
	if !slices.Contains(knownStates, s.State) {
		s.State = fleet.StateStarting // a later version's, which can do more than this one knows
	}
	return s
}

// short is a word that a machine says of itself, as it may be shown.
func short(s string) string {
	r := []rune(fleet.Plain(s))
	return string(r[:min(len(r), 40)])
}

// shopState is what is said of the shop.
type shopState struct {
	Here  string         `json:"here"`
	Stock map[string]int `json:"stock,omitempty"` // available, by item
	Last  string         `json:"last"`            // what became of the last press
	Why   string         `json:"why,omitempty"`
	Order string         `json:"order,omitempty"` // the id
}

// was is a machine with what it can do, also when it is away and nobody can ask it.
func (b *Bridge) was(m *fleet.Machine) *fleet.Machine {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.Here {
		b.known[m.Machine] = m
	}
	return cmp.Or(b.known[m.Machine], m)
}

// states says how everything is: what is new, or all.
func (b *Bridge) states(ctx context.Context, all bool) {
	for _, m := range b.p.Machines() {
		if fleet.IsMachine(m.Machine) {
			b.was(m)
			one := *m
			one.Here = m.Here && !b.over
			b.tell(fleet.HomeStateSubject(m.Machine), stateOf(&one), all)
		}
	}
	here := "online"
	if b.over {
		here = "offline"
	}
	b.mu.Lock()
	s := shopState{Here: here, Last: cmp.Or(b.last.code, codeNone), Why: b.last.why, Order: b.last.order}
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	levels, err := b.p.Levels(ctx)
	if err == nil {
		b.stock = map[string]int{}
		for _, item := range b.p.Menu().Items() {
			b.stock[item] = max(levels[item].Available(), 0)
		}
	} else if !b.over {
		b.p.Log.Debug("Home Assistant is told of the shelf as it was", "err", err)
	}
	s.Stock = b.stock
	b.tell(fleet.HomeStateSubject(theShop), s, all)
}
