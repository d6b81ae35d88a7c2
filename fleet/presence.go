package fleet

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// State is what a machine is doing.
type State string

// The states of a machine.
const (
	StateStarting State = "starting" // not yet able: journal, warm-up
	StateReady    State = "ready"
	StateBusy     State = "busy"
	StateWaiting  State = "waiting"  // for a cup to be placed or taken
	StateBlocked  State = "blocked"  // a person can mend it: tank, beans, tray
	StateFault    State = "fault"    // latched until a person clears it
	StateCordoned State = "cordoned" // a person took it out of service
	StateDraining State = "draining" // stops after the drink in hand
	StateUnsynced State = "unsynced" // an outcome of its journal is not confirmed yet
)

// PresenceEvery is how often a machine says that it is there; PresenceTTL is how
// long the last word lasts. Where more than aFew machines are here, those with nothing
// in hand say it less often, down to every slowest, and their words last longer, up to
// PresenceMost: see PresencePace.
const (
	PresenceEvery = 5 * time.Second
	PresenceTTL   = 15 * time.Second
	PresenceMost  = 35 * time.Second

	aFew    = 330
	slowest = 15 * time.Second
)

// PresencePace is how often a machine says that it is here where so many are, and how long its
// word lasts then: as ever for two words and PresenceEvery, so that one may be lost.
func PresencePace(machines int) (every, lasts time.Duration) {
	every = min(PresenceEvery*time.Duration(1+max(machines-1, 0)/aFew), slowest)
	return every, 2*every + PresenceEvery
}

// Presence is what a machine says of itself, every PresenceEvery or as the desk asks
// it to. It is advice: the fence decides.
type Presence struct {
	Machine    string   `json:"machine"`
	Owner      Owner    `json:"owner"`
	Classes    []Class  `json:"classes"`
	Sizes      []Size   `json:"sizes"`
	Never      []Never  `json:"never,omitempty"` // what of classes and sizes it can't make
	State      State    `json:"state"`
	Code       string   `json:"code,omitempty"` // why it is not ready: see Reason
	Detail     string   `json:"detail,omitempty"`
	Quote      string   `json:"quote,omitempty"`
	Note       string   `json:"note,omitempty"`  // the whole in English
	Order      string   `json:"order,omitempty"` // in hand
	Cup        string   `json:"cup"`             // sensor, dispenser, page, attended
	Driver     string   `json:"driver"`
	MinWaiting int      `json:"min_waiting,omitempty"` // a spare
	Drinks     int      `json:"drinks"`                // made since the daemon started
	Seconds    float64  `json:"seconds,omitempty"`     // a drink's mean; 0 until measured
	Percent    int      `json:"percent,omitempty"`     // of the drink in hand
	Version    string   `json:"version"`
	Drained    string   `json:"drained,omitempty"` // Cordon.At of the drain that it has come to the end of, see Machine.Parked
	Lacks      []string `json:"lacks,omitempty"`   // what it has run out of: "beans", "water"
	Gauges     Gauges   `json:"gauges,omitzero"`   // what its sensors tell, whatever it is at
	Swapped    []string `json:"swapped,omitempty"` // parts that were swapped and not measured since: "grinder"
	Care       []Care   `json:"care,omitempty"`    // how it stands with its upkeep, each kind that it knows
	Parts      []string `json:"parts,omitempty"`   // that can be tried one by one: "pump"
	// The last fault, and what a person did last at the machine itself, since its service
	// started; nil: nothing.
	LastFault *Happened `json:"last_fault,omitempty"`
	LastAct   *Happened `json:"last_act,omitempty"`
	Pace      *Pace     `json:"pace,omitempty"`  // its own times; nil: of a version that says none
	Lasts     int       `json:"lasts,omitempty"` // seconds that this word counts, by the desk; 0: PresenceTTL
	Said      uint64    `json:"-"`               // the word's place among all words, by the broker; 0: not from there
}

// Happened is something that came about at a machine.
type Happened struct {
	What   string `json:"what"`             // a fault's code, or a command's verb
	Detail string `json:"detail,omitempty"` // the fault's figures, or what was asked for
	By     string `json:"by,omitempty"`
	Why    string `json:"why,omitempty"`
	At     string `json:"at"` // RFC 3339, by the machine's clock, for display
}

// Gauge is what a machine sees of something that a person fills or empties. Its zero
// value is nothing: no sensor tells, or the machine's program is older than that.
type Gauge string

// The gauges that a sensor tells.
const (
	GaugeThere  Gauge = "there"  // beans, water, room in the tray
	GaugeOut    Gauge = "out"    // none, or the tray is full or missing
	GaugeSilent Gauge = "silent" // its sensor does not say now
)

// Gauges are those of one machine. Nothing sees milk.
type Gauges struct {
	Beans Gauge `json:"beans,omitempty"`
	Water Gauge `json:"water,omitempty"`
	Tray  Gauge `json:"tray,omitempty"`
}

// Never is what a machine can't make of what its classes and sizes list, now and
// whatever is refilled: this size, with this milk, from so many doses of sugar on. A
// word that is empty stands for any.
type Never struct {
	Size  Size   `json:"size,omitempty"`
	Milk  string `json:"milk,omitempty"`
	Sugar int    `json:"sugar,omitempty"`
}

// Covers reports whether the order is one of these.
func (n Never) Covers(o Order) bool {
	return (n.Size == "" || n.Size == o.Size) && (n.Milk == "" || n.Milk == o.Milk) && o.Sugar >= n.Sugar
}

// Makes reports whether the machine lists the order's class and size, and can make
// it; of a care, whether it is its own.
func (p Presence) Makes(o Order) bool {
	if o.IsCare() {
		return o.CareOf() == p.Machine && p.Cares(o.Size)
	}
	return slices.Contains(p.Classes, o.Class()) && slices.Contains(p.Sizes, o.Size) &&
		!slices.ContainsFunc(p.Never, func(n Never) bool { return n.Covers(o) })
}

// Counts is how long the word counts from when it was said.
func (p Presence) Counts() time.Duration {
	if p.Lasts == 0 {
		return PresenceTTL
	}
	return time.Duration(p.Lasts) * time.Second
}

// Able reports whether it can be expected to take orders without a person.
func (p Presence) Able() bool {
	switch p.State {
	case StateReady, StateBusy, StateWaiting:
		return true
	}
	return false
}

// Machine is one machine as the shop knows it: from what it says of itself and
// from what is written down of it. Package presence folds that, once, for all.
type Machine struct {
	Presence           // its last word; of one that is away name, classes and sizes
	Here     bool      // its last word still counts
	Heard    time.Time // when that came, by the monotonic clock of the process that heard it; zero: elsewhere
	Seen     time.Time // when it was written down last, by the broker's clock; zero: never
	Cordon   *Cordon   // nil: in service
}

// Able reports whether it can be expected to take orders without a person.
func (m Machine) Able() bool { return m.Here && m.Cordon == nil && m.Presence.Able() }

// Parked reports whether the machine may be opened: it was drained, and has said since
// then that it has nothing in hand, that every output is off and that nothing starts.
func (m Machine) Parked() bool {
	return m.Here && m.Cordon != nil && m.Cordon.Drain && m.Cordon.At != "" && m.Drained == m.Cordon.At
}

// Serves reports whether the order can be left to this machine: it is no spare, it makes
// it, and nothing but its own last outcome holds it back. Where none does, a spare takes
// it, however few wait: forecast, menu and the spares themselves go by this.
func (m Machine) Serves(o Order) bool {
	return m.Here && m.Cordon == nil && m.MinWaiting == 0 && (m.Presence.Able() || m.State == StateUnsynced) && m.Makes(o)
}

// Cordon takes a machine out of service, by a person and for a reason.
type Cordon struct {
	By     string `json:"by"`
	Reason string `json:"reason"`
	Drain  bool   `json:"drain,omitempty"` // it shall be opened: its machine says when it may be
	At     string `json:"at"`              // RFC 3339, for display; tells one drain from another
	// Retired: it has left for good, and is known no more while it is away. Replaced: other
	// hardware comes under its name, of which nobody has seen a cup yet.
	Retired  bool `json:"retired,omitempty"`
	Replaced bool `json:"replaced,omitempty"`
}

const cordonKey = "cordon"

// CordonKey is where a machine's cordon stands in coffee-settings.
func CordonKey(machine string) string { return Subject(cordonKey, machine) }

// CordonedBy is the machine that a key of coffee-settings takes out of service.
func CordonedBy(key string) (machine string, is bool) {
	machine, is = strings.CutPrefix(key, cordonKey+".")
	return machine, is && IsToken(machine)
}

const seenKey = "seen"

// SeenKey is where coffee-settings keep what a machine makes that was here.
func SeenKey(machine string) string { return Subject(seenKey, machine) }

// SeenBy is the machine that a key of coffee-settings remembers.
func SeenBy(key string) (machine string, is bool) {
	machine, is = strings.CutPrefix(key, seenKey+".")
	return machine, is && IsToken(machine)
}

// ParseCordon reads a cordon. One that can't be read still is one: better a
// machine too few.
func ParseCordon(b []byte) Cordon {
	var c Cordon
	if json.Unmarshal(b, &c) != nil {
		return Cordon{Reason: "a cordon that can't be read"}
	}
	return c
}

// Fleet is who is here.
type Fleet interface {
	// Announce says that a machine is here, for as long as the word counts.
	Announce(ctx context.Context, p Presence) error
	// Again says words again that lie there as Said names them, each only if that one
	// is still the machine's last. Whether they are taken nobody hears.
	Again(ctx context.Context, words []Presence) error
	// Leave takes a machine's word back at once.
	Leave(ctx context.Context, machine string) error
	// Present lists who is here now.
	Present(ctx context.Context) ([]Presence, error)
	// Watch hands over every word that lies there and then each new one until ctx
	// ends; machines that left come with here=false and only their name. That a word
	// no longer counts it does not say: the broker goes by its wall clock.
	// ready is called once.
	Watch(ctx context.Context, each func(p Presence, here bool), ready func()) error
}

// CupWait is how long a machine waits for a cup, then the order goes back and another
// customer is served first.
const CupWait = 2 * time.Minute

// The verbs that pages may send, too: each for the order of who presses.
const (
	CommandCup    = "cup"    // it stands there
	CommandEnough = "enough" // stop this drink, and don't make it again
)

// The verbs about a machine that nobody needs to write down.
const (
	CommandTry   = "try"   // switch one part on for a moment, alone
	CommandCared = "cared" // it was cared for by hand: count anew
	CommandBack  = "back"  // somebody has put it back into service: for its log and its tile
)

// Command is what a person or a page asks of one machine.
type Command struct {
	Verb  string `json:"verb"`            // CommandCup, CommandEnough, CommandCurves, CommandTry, CommandCared, "stop", "clear-fault"
	Order string `json:"order,omitempty"` // with cup, enough and stop
	What  string `json:"what,omitempty"`  // with try the part, with cared the kind
	// Vessel, with try: whoever asks says that a vessel stands under the spout and that
	// nobody has his hands in the machine.
	Vessel bool   `json:"vessel,omitempty"`
	By     string `json:"by,omitempty"`
	Why    string `json:"why,omitempty"`
}

// Subject is where a machine hears this command.
func (c Command) Subject(machine string) string {
	switch c.Verb {
	case CommandCup:
		return CupSubject(machine)
	case CommandEnough:
		return EnoughSubject(machine)
	}
	return CommandSubject(machine)
}

// CommandAnswer is a machine's answer.
type CommandAnswer struct {
	OK      bool    `json:"ok"`
	Message string  `json:"message"`
	Curves  []Curve `json:"curves,omitempty"` // to CommandCurves, the last drink's first
	Tried   *Tried  `json:"tried,omitempty"`  // to CommandTry
}

// Tried is what the trial of a part showed.
type Tried struct {
	Part    string  `json:"part"`
	Seconds float64 `json:"seconds"`         // that it was on
	Proof   string  `json:"proof,omitempty"` // the sensor that shows its work; "": this machine has none
	Unit    string  `json:"unit,omitempty"`  // of Gain; "": the sensor says yes or no
	Gain    float64 `json:"gain,omitempty"`  // what it rose by
	Shown   bool    `json:"shown,omitempty"` // it did show it
}
