package gpio

import (
	"errors"
	"fmt"

	"github.com/warthog618/go-gpiocdev"
)

// Chip is one GPIO chip of this computer, as the kernel shows it.
type Chip struct {
	Label  string // what a file calls it by
	Device string // of today: kernels count them anew, so no file may hold it
	Lines  []LineInfo
}

// LineInfo is one line of a chip.
type LineInfo struct {
	Offset int
	Name   string // "" if the kernel has none
	Used   bool   // somebody holds it
	By     string // who; "" if nobody, or somebody who gave no name
	Out    bool   // it drives its wire, held or not
	Low    bool   // its holder counts low as active
}

// List looks at every GPIO chip of this computer. It asks the kernel and requests
// no line: nothing changes, also beside a service that drives a machine. A chip
// that can't be opened is in the error; those that can are returned beside it.
// Without any chip there is neither.
func List() ([]Chip, error) { return listChips(kernel{}) }

func listChips(d door) ([]Chip, error) {
	var chips []Chip
	var errs []error
	for _, device := range d.chips() {
		c, err := d.open(device)
		if errors.Is(err, gpiocdev.ErrNotCharacterDevice) {
			continue // a link to another one, as Raspberry Pi OS has it
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot open /dev/%s: %w", device, explain(err)))
			continue
		}
		chip := Chip{Label: c.label(), Device: device}
		for i := range c.Lines() {
			info, err := c.LineInfo(i)
			if err != nil {
				errs = append(errs, fmt.Errorf("line %d of %s: %w", i, chip.Label, explain(err)))
				continue
			}
			chip.Lines = append(chip.Lines, LineInfo{
				Offset: i, Name: info.Name, Used: info.Used, By: info.Consumer,
				Out: info.Config.Direction == gpiocdev.LineDirectionOutput, Low: info.Config.ActiveLow,
			})
		}
		_ = c.Close() // nothing was written by it
		chips = append(chips, chip)
	}
	return chips, errors.Join(errs...)
}
