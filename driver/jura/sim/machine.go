package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"barista/driver"
	"barista/driver/jura"
	"barista/driver/plant"
)

// Config is a machine to play.
type Config struct {
	Model  string        // "" is EF532M
	Answer string        // to TY:; "" is the model's
	Plant  *plant.Config // nil is Plant()
	Filler jura.Filler   // of the answers; 0 is the low one
	Burst  bool          // an answer goes out at once, in its right time: one frame on a wire with noise
	Count  uint16        // what every counter begins with
}

// Plant is the metal of a household machine: it grinds a portion in 3 to 3.6 s
// and pumps 5 ml/s. The heater is a part of its own.
func Plant() plant.Config {
	c := plant.Default()
	c.Serial = "jura"
	c.GrinderGPS, c.FlowMLPS = 2.7, 5
	c.HopperG, c.TankML = 280, 1900
	c.Heater = true
	return c
}

// Machine is a simulated Jura. New makes one.
type Machine struct {
	cfg   Config
	model *model
	plant *plant.Plant
	kick  chan struct{}

	mu      sync.Mutex
	faults  map[Fault]bool
	standby bool
	page    int
	count   [16]uint16
	run     *run
	group   string    // where the brew group stands: "", "home", "brewing", "elsewhere"
	hot     time.Time // since when the heater is on and no water has moved
	wet     float64   // ml that were pumped, at the last look
	tick    int
	taken   []string // commands that were obeyed
	presses []Press
	harm    error
}

// Press is a product key that reached the machine.
type Press struct {
	Code    byte
	Product string // what began; "" if nothing did
	Stopped bool   // it stopped what was running
	By      string // "port" or "hand"
}

// run is a product under way.
type run struct {
	drink
	code   byte
	steps  []step
	next   time.Time // of the first step
	before int       // drinks that the plant had poured
	pumped float64   // ml at the last look, while the pump is on
	milky  bool
}

// step is what happens after a time.
type step struct {
	after time.Duration
	do    func(m *Machine, r *run)
}

// New makes a machine, switched on and at rest.
func New(cfg Config) (*Machine, error) {
	if cfg.Model == "" {
		cfg.Model = "EF532M"
	}
	if cfg.Filler == 0 {
		cfg.Filler = jura.LowFiller
	}
	mod := models[cfg.Model]
	if mod == nil {
		return nil, fmt.Errorf("there is no simulated model %q: there are %v", cfg.Model, Models())
	}
	p := Plant()
	if cfg.Plant != nil {
		p = *cfg.Plant
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	m := &Machine{cfg: cfg, model: mod, plant: plant.New(p), kick: make(chan struct{}, 1), faults: map[Fault]bool{}}
	for i := range m.count {
		m.count[i] = cfg.Count
	}
	return m, nil
}

// Plant is the machine's metal.
func (m *Machine) Plant() *plant.Plant { return m.plant }

// Counter is the counter of a product, by its name.
func (m *Machine) Counter(product string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, page := range m.model.pages {
		for _, d := range page {
			if d.name == product && d.word >= 0 {
				return int(m.count[d.word])
			}
		}
	}
	return -1
}

// Running is the product that is being made; "" is none.
func (m *Machine) Running() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.run == nil {
		return ""
	}
	return m.run.name
}

// Presses lists the product keys that reached the machine.
func (m *Machine) Presses() []Press {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.presses)
}

// Taken lists the commands that were obeyed.
func (m *Machine) Taken() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.taken)
}

// Press is somebody at the machine who presses a key.
func (m *Machine) Press(code byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.key(code, "hand")
}

// Harm is what a real machine would not have survived.
func (m *Machine) Harm() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.examine()
	return m.harm
}

// Times of a product, in the machine's time.
const (
	toBrewing = 1500 * time.Millisecond
	pressing  = 500 * time.Millisecond
	soak      = 2 * time.Second // wet, and then rest
	ejecting  = 2 * time.Second
	dryAfter  = time.Second // it sees its own flow, and stops a pump that draws air
)

// watch is how often the machine is looked at while anything is on.
const watch = 250 * time.Millisecond

// Run is the machine's life: it ends with ctx, or with an error when something
// was done to it that a real machine would not have survived. Once.
func (m *Machine) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return m.Harm()
		case <-timer.C:
		case <-m.kick:
		}
		m.mu.Lock()
		next := m.turn()
		harm := m.harm
		m.mu.Unlock()
		if harm != nil {
			return harm
		}
		if next >= 0 {
			timer.Reset(next)
		}
	}
}

// turn does what is due and says when the next is; below 0 is never.
func (m *Machine) turn() time.Duration {
	m.examine()
	for m.run != nil && !time.Now().Before(m.run.next) {
		r := m.run
		do := r.steps[0].do
		r.steps = r.steps[1:]
		if do(m, r); m.run == r {
			m.plan(r)
		}
	}
	next := time.Duration(-1)
	if m.run != nil {
		next = time.Until(m.run.next)
	}
	if len(m.plant.Counts().OnNow()) > 0 && (next < 0 || next > watch) {
		next = watch
	}
	return next
}

// plan sets when the next step is due; after the last one the product is over.
func (m *Machine) plan(r *run) {
	if len(r.steps) == 0 {
		m.finish()
		return
	}
	r.next = r.next.Add(m.scaled(r.steps[0].after))
}

func (m *Machine) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) / m.plant.Config().Speed)
}

func (m *Machine) wake() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// key presses a button.
func (m *Machine) key(code byte, by string) (known bool) {
	if why, deadly := m.model.deadly[code]; deadly {
		m.hurt(errors.New(why))
		return false
	}
	d, product := m.model.pages[m.page][code]
	switch {
	case product:
		p := Press{Code: code, By: by}
		switch r := m.run; {
		case r != nil && r.code == code:
			p.Stopped = true
			m.finish()
		case r == nil && m.fit(d):
			p.Product = d.name
			m.begin(code, d)
		}
		m.presses = append(m.presses, p)
		return true
	case code != 0 && code == m.model.turn:
		m.page = (m.page + 1) % len(m.model.pages)
		return true
	case code != 0 && code == m.model.off:
		m.standby = true
		m.stopAll()
		return true
	}
	return slices.Contains(m.model.dumb, code)
}

// fit: the machine shows what it wants and does nothing.
func (m *Machine) fit(d drink) bool {
	s := m.state()
	return s.tray && s.drawer && (s.water || d.water == 0)
}

func (m *Machine) state() state {
	water, err := m.plant.Read(driver.Tank)
	s := state{tray: !m.faults[NoTray], drawer: !m.faults[Drawer], water: err == nil && water == 1, tick: m.tick}
	if m.run != nil {
		s.milk = m.run.milky
		s.coffee = !s.milk
	}
	return s
}

// begin starts a product: grind, to the brewing position, press, wet the coffee,
// pour, milk, throw the grounds out. (The plant keeps the old grounds until its
// grinder turns again: hot water after a coffee is thin coffee there.)
func (m *Machine) begin(code byte, d drink) {
	c := m.plant.Config()
	seconds := func(amount, rate float64) time.Duration { return time.Duration(amount / rate * float64(time.Second)) }
	r := &run{drink: d, code: code, before: m.plant.Counts().Drinks, next: time.Now()}
	then := func(after time.Duration, do func(m *Machine, r *run)) { r.steps = append(r.steps, step{after, do}) }
	set := func(p driver.Part, on bool) func(*Machine, *run) {
		return func(m *Machine, _ *run) { m.plant.Set(p, on) }
	}
	pump := func(on bool) func(*Machine, *run) {
		return func(m *Machine, r *run) {
			r.pumped = m.plant.Counts().Mass.PumpedML
			m.plant.Set(driver.Pump, on)
			m.plant.Set(driver.Heater, on)
		}
	}
	pour := func(ml float64) {
		then(0, pump(true))
		// It looks at its flow meter while it pours.
		for left := seconds(ml, c.FlowMLPS); ; {
			if left <= dryAfter {
				then(left, pump(false))
				return
			}
			then(dryAfter, (*Machine).flows)
			left -= dryAfter
		}
	}
	then(0, func(*Machine, *run) {})
	if d.grams > 0 {
		then(0, set(driver.Grinder, true))
		then(seconds(d.grams, c.GrinderGPS), set(driver.Grinder, false))
		then(toBrewing+pressing, func(*Machine, *run) {})
		pour(soak.Seconds() * c.FlowMLPS)
		then(soak, func(*Machine, *run) {})
		pour(d.water - soak.Seconds()*c.FlowMLPS)
	} else if d.water > 0 {
		pour(d.water)
	}
	if d.milk > 0 {
		then(0, func(m *Machine, r *run) { r.milky = true; m.plant.Set(driver.Milk, true) })
		then(seconds(d.milk, c.MilkMLPS), set(driver.Milk, false))
	}
	then(ejecting, func(*Machine, *run) {})
	m.run = r
	m.wake()
}

// flows: a pump that moves no water is stopped by the machine itself.
func (m *Machine) flows(r *run) {
	ml := m.plant.Counts().Mass.PumpedML
	if ml <= r.pumped {
		m.finish()
		return
	}
	r.pumped = ml
}

// finish ends a product, in whatever state. A drink that was poured counts.
func (m *Machine) finish() {
	r := m.run
	m.run = nil
	m.allOff()
	poured := m.plant.Counts().Drinks - r.before
	if poured > 0 && r.word >= 0 && !m.faults[NoCount] {
		m.count[r.word] += uint16(poured)
	}
}

func (m *Machine) stopAll() {
	if m.run != nil {
		m.finish()
	}
	m.allOff()
}

func (m *Machine) allOff() {
	for _, p := range m.plant.Counts().OnNow() {
		m.plant.Set(p, false)
	}
}

func (m *Machine) hurt(why error) {
	if m.harm == nil {
		m.harm = fmt.Errorf("harm: %w", why)
	}
	m.wake()
}

// heatAlone is how long a heater may be on without water that flows.
const heatAlone = 5 * time.Second

// examine looks for harm.
func (m *Machine) examine() {
	c := m.plant.Counts()
	if len(c.Harm) > 0 {
		m.hurt(errors.New(c.Harm[0]))
	}
	moved := c.Mass.PumpedML > m.wet
	m.wet = c.Mass.PumpedML
	switch {
	case !c.On[driver.Heater] || moved:
		m.hot = time.Time{}
	case m.hot.IsZero():
		m.hot = time.Now()
	case time.Since(m.hot) >= heatAlone:
		m.hurt(fmt.Errorf("the heater was on for %v and no water flowed", heatAlone))
	}
}
