package gpio

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"barista/driver"
)

// offWithin is the bound of Off. The call to the kernel takes microseconds; the
// bound is that of a busy computer, and of a relay with a contact to look at.
const offWithin = 250 * time.Millisecond

// Open opens the machine, at rest: every output is there or the error names
// every problem, of the Config and of the computer, and nothing is held. It
// takes up to three seconds where there is a thermometer. nil is no log.
//
// All outputs come first, so that a machine which was left on is at rest before
// anything else can fail.
func Open(cfg Config, log *slog.Logger) (driver.Rig, error) {
	return open(thisHost(), cfg, log)
}

// SafeOff puts every output at rest and lets go of it, for the moment after a
// crash. It goes on after an error; the error names the outputs that may be on.
// It must not be called while another process drives the machine, and could not:
// the lines are that one's.
func SafeOff(cfg Config) error {
	return safeOff(thisHost(), cfg)
}

func open(h host, cfg Config, log *slog.Logger) (driver.Rig, error) {
	if err := driver.Refusal(cfg.Problems()); err != nil {
		return driver.Rig{}, fmt.Errorf("gpio machine: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	m := &metal{outs: map[driver.Part]*Out{}, sensors: map[driver.Signal]driver.Sensor{}}
	desk, err := lookAround(h.door, cfg.Chips)
	if err != nil {
		return driver.Rig{}, fmt.Errorf("gpio machine: %w", err)
	}
	defer desk.close()
	desk.accept = cfg.AcceptLines
	err = m.openOuts(desk, cfg)
	err = errors.Join(err, m.openIns(h, desk, cfg, log))
	if err != nil {
		return driver.Rig{}, fmt.Errorf("gpio machine: %w", errors.Join(err, m.close()))
	}
	if s := findSupply(h.files); s != nil {
		m.sensors[driver.Power] = s
	}
	rig := driver.Rig{
		Identity:  driver.Identity{Kind: "gpio", Model: m.model, Serial: serial(h.files, cfg)},
		Outputs:   map[driver.Part]driver.Wire{},
		Sensors:   m.sensors,
		OffWithin: offWithin,
		Close:     m.close,
	}
	for p, out := range m.outs {
		w := driver.Wire{Output: m.relay(p, out, cfg.Outputs[p]), Port: "gpio/" + out.Name(), Deadman: cfg.Outputs[p].CutOff()}
		if c := m.feedback[p]; c != nil {
			w.Contact = c
		}
		rig.Outputs[p] = w
	}
	return rig, nil
}

// CutOff is what cuts the part off, in the words of package driver. A relay board
// with a timer of its own (board) can't be given a time over one line, so for
// those above it is a cut-off in the wiring like any other.
func (o Output) CutOff() driver.Deadman {
	switch o.Deadman {
	case driver.DeadmanBoard, driver.DeadmanExternal:
		return driver.DeadmanExternal
	}
	return driver.DeadmanNone
}

func safeOff(h host, cfg Config) error {
	if err := driver.Refusal(cfg.Problems()); err != nil { // without the polarity nobody knows what rest is
		return fmt.Errorf("gpio machine: %w", err)
	}
	desk, err := lookAround(h.door, cfg.Chips)
	if err != nil {
		return fmt.Errorf("gpio machine: %w", err)
	}
	defer desk.close()
	desk.accept = cfg.AcceptLines
	m := &metal{outs: map[driver.Part]*Out{}}
	err = m.openOuts(desk, cfg)
	if err = errors.Join(err, m.close()); err != nil {
		return fmt.Errorf("gpio machine: %w", err)
	}
	return nil
}

// metal is everything that is open.
type metal struct {
	model       string // label of the first output's chip
	outs        map[driver.Part]*Out
	ins         []*In
	meter       *meter
	thermometer *thermometer
	sensors     map[driver.Signal]driver.Sensor
	feedback    map[driver.Part]*contact
}

// openOuts opens what it can; the error names the others.
func (m *metal) openOuts(k *desk, cfg Config) error {
	var errs []error
	for _, p := range cfg.parts() {
		o := cfg.Outputs[p]
		s, err := k.take(o.Line, string(p))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out, err := openOut(s, o.Line, string(p), o.Active.level())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		m.outs[p] = out
		if m.model == "" {
			m.model = s.label()
		}
	}
	return errors.Join(errs...)
}

func (m *metal) openIns(h host, k *desk, cfg Config, log *slog.Logger) error {
	var errs []error
	for _, name := range cfg.signals() {
		sw := cfg.Switches[name]
		in, err := m.openSwitch(k, sw, string(name))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		m.sensors[name] = &level{name, in, sw.Active.level()}
	}
	m.feedback = map[driver.Part]*contact{}
	for _, p := range cfg.parts() {
		f := cfg.Outputs[p].Feedback
		if f == nil {
			continue
		}
		in, err := m.openSwitch(k, f.Switch, feedbackOf(p))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c := &contact{in, f.Active.level(), f.Within}
		if c.within == 0 {
			c.within = feedbackWithin
		}
		m.feedback[p] = c
	}
	if cfg.Flow != nil {
		s, err := k.take(cfg.Flow.Line, string(driver.Flow))
		if err == nil {
			m.meter, err = openMeter(s, *cfg.Flow, log)
		}
		if err != nil {
			errs = append(errs, err)
		} else {
			m.sensors[driver.Flow] = m.meter
		}
	}
	if cfg.Temperature != nil && len(errs) == 0 { // it takes seconds: not for a start that fails anyway
		p, err := openProbe(h, *cfg.Temperature)
		if err != nil {
			return fmt.Errorf("%s: %w", driver.Temperature, err)
		}
		m.thermometer = startThermometer(p)
		m.sensors[driver.Temperature] = m.thermometer
	}
	return errors.Join(errs...)
}

func (m *metal) openSwitch(k *desk, sw Switch, who string) (*In, error) {
	s, err := k.take(sw.Line, who)
	if err != nil {
		return nil, err
	}
	in, err := openIn(s, sw.Line, who, inConfig{pull: pullFor(sw.Pull, sw.Active), debounce: sw.Debounce})
	if err != nil {
		return nil, err
	}
	m.ins = append(m.ins, in)
	return in, nil
}

func openProbe(h host, t Temperature) (probe, error) {
	if t.OneWire != "" {
		return openDS18B20(h.files, t.OneWire)
	}
	bus, cs, err := spiPort(t.SPI)
	if err != nil {
		return nil, err
	}
	port, err := h.spi(bus, cs)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w: is it turned on (dtparam=spi=on in config.txt), and is the user in the group spi?", t.SPI, err)
	}
	return openMAX31855(port)
}

func (m *metal) relay(p driver.Part, out *Out, o Output) *relay {
	r := &relay{part: p, out: out, feedback: m.feedback[p]}
	for _, s := range o.Needs {
		r.needs = append(r.needs, need{s, m.sensors[s]})
	}
	return r
}

// close puts the outputs at rest and lets go of everything, the outputs first.
func (m *metal) close() error {
	var errs []error
	for _, p := range driver.InOrder(m.outs, driver.Parts) {
		if err := m.outs[p].Close(); err != nil {
			errs = append(errs, &driver.MayBeOnError{What: string(p), Err: err})
		}
	}
	for _, in := range m.ins {
		errs = append(errs, in.Close())
	}
	if m.meter != nil {
		errs = append(errs, m.meter.close())
	}
	if m.thermometer != nil {
		errs = append(errs, m.thermometer.close())
	}
	return errors.Join(errs...)
}

// serial is the file's word, or what tells this computer from others: a
// Raspberry Pi has a number in its chip, others the one that was made when the
// system was installed.
func serial(files fs.FS, cfg Config) string {
	if cfg.Serial != "" {
		return cfg.Serial
	}
	for _, name := range []string{"sys/firmware/devicetree/base/serial-number", "etc/machine-id"} {
		if b, err := fs.ReadFile(files, name); err == nil {
			if s := strings.Trim(string(b), "\x00 \n"); s != "" {
				return s
			}
		}
	}
	return ""
}
