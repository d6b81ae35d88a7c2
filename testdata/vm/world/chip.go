package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// wiring is what hangs on the header, read from the machine's own file: the test
// is not about two people who wire the same machine differently.
type wiring struct {
	label       string
	outputs     map[string]wire // by line
	inputs      map[string]wire
	flow        string // line of the meter; "" if there is none
	pulsesPerML float64
}

// wire is one line: who is at its end, and the level at which it is on or says
// yes.
type wire struct {
	name   string
	active bool // high
}

func readWiring(path string) (wiring, error) {
	w := wiring{label: "pinctrl-bcm2711", outputs: map[string]wire{}, inputs: map[string]wire{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return w, nil // a bare chip
	}
	if err != nil {
		return w, err
	}
	type line struct {
		Line        string
		Active      string
		PulsesPerML float64 `yaml:"pulses_per_ml"`
	}
	var file struct {
		Machine struct{ Outputs, Inputs map[string]line }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return w, fmt.Errorf("%s: %w", path, err)
	}
	for name, l := range file.Machine.Outputs {
		w.outputs[l.Line] = wire{name, l.Active == "high"}
	}
	for name, l := range file.Machine.Inputs {
		if name == "flow" {
			w.flow, w.pulsesPerML = l.Line, l.PulsesPerML
			continue
		}
		w.inputs[l.Line] = wire{name, l.Active == "high"}
	}
	return w, nil
}

// lines is how many the chip has, called GPIO0 to GPIO27 as on the header.
const lines = 28

// chip is the simulated one.
type chip struct {
	base int    // the kernel's number of its line 0
	dir  string // of its lines
}

// powerUp makes the chip. Its lines are inputs; where a relay is on at low level,
// a resistor pulls up, as the sample asks for, else down. That happens before
// anything of Debian's services runs.
func powerUp(w wiring) (*chip, error) {
	const config = "/sys/kernel/config/gpio-sim/vm"
	if err := mount("configfs", "/sys/kernel/config"); err != nil {
		return nil, err
	}
	bank := config + "/bank"
	if err := os.MkdirAll(bank, 0o755); err != nil {
		return nil, err
	}
	put := func(path, text string) error { return os.WriteFile(path, []byte(text), 0) }
	errs := []error{put(bank+"/num_lines", strconv.Itoa(lines)), put(bank+"/label", w.label)}
	for i := range lines {
		dir := fmt.Sprintf("%s/line%d", bank, i)
		errs = append(errs, os.Mkdir(dir, 0o755), put(dir+"/name", fmt.Sprintf("GPIO%d", i)))
	}
	errs = append(errs, put(config+"/live", "1"))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c := &chip{}
	c.dir = fmt.Sprintf("/sys/devices/platform/%s/%s", text(config+"/dev_name"), text(bank+"/chip_name"))
	bases, _ := filepath.Glob("/sys/class/gpio/gpiochip*")
	for _, b := range bases {
		if text(b+"/label") == w.label {
			c.base, _ = strconv.Atoi(text(b + "/base"))
		}
	}
	if c.base == 0 {
		return nil, errors.New("the chip's base is not known")
	}
	for line, o := range w.outputs {
		if err := c.pull(line, !o.active); err != nil {
			return nil, err
		}
	}
	if w.flow != "" {
		return c, c.pull(w.flow, true) // open collector
	}
	return c, nil
}

func text(path string) string {
	b, _ := os.ReadFile(path)
	return strings.TrimSpace(string(b))
}

// attr is a file of a line.
func (c *chip) attr(line, name string) string {
	return filepath.Join(c.dir, "sim_gpio"+strings.TrimPrefix(line, "GPIO"), name)
}

// pull is what the world does to a line: an input has this level, and an output
// that nobody drives.
func (c *chip) pull(line string, high bool) error {
	how := "pull-down"
	if high {
		how = "pull-up"
	}
	return os.WriteFile(c.attr(line, "pull"), []byte(how), 0)
}

// level is what is on the wire.
func (c *chip) level(line string) bool { return text(c.attr(line, "value")) == "1" }

// line is the name of a line by the kernel's number.
func (c *chip) line(number int) string { return fmt.Sprintf("GPIO%d", number-c.base) }
