package gpio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/warthog618/go-gpiocdev"
	periph "periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/spi"
	"periph.io/x/host/v3/sysfs"

	"barista/driver"
)

// host is what this package touches of the computer. Tests stand in for it.
type host struct {
	door  door
	spi   func(bus, cs int) (spi.PortCloser, error)
	files fs.FS // from the root
}

func thisHost() host {
	return host{
		door:  kernel{},
		spi:   func(bus, cs int) (spi.PortCloser, error) { return sysfs.NewSPI(bus, cs) },
		files: os.DirFS("/"),
	}
}

// door leads to the kernel's GPIO chips.
type door interface {
	chips() []string // names of their devices
	open(device string) (chip, error)
}

// chip is an open chip. Closing it does not release lines.
type chip interface {
	label() string
	abi() int // of the kernel's interface
	Lines() int
	LineInfo(offset int) (gpiocdev.LineInfo, error)
	request(offset int, options ...gpiocdev.LineReqOption) (line, error)
	Close() error
}

// line is a requested line. There is no way to configure it anew, and an output
// goes on as a setter, which can't be read.
type line interface {
	setter
	Value() (int, error)
}

// setter is all that is left of an output's line.
type setter interface {
	SetValue(int) error
	Close() error
}

// kernel is the door of this computer.
type kernel struct{}

func (kernel) chips() []string { return gpiocdev.Chips() }

func (kernel) open(device string) (chip, error) {
	c, err := gpiocdev.NewChip(device)
	if err != nil {
		return nil, err
	}
	return kernelChip{c}, nil
}

type kernelChip struct{ *gpiocdev.Chip }

func (c kernelChip) label() string { return c.Label }
func (c kernelChip) abi() int      { return c.UapiAbiVersion() }

func (c kernelChip) request(offset int, options ...gpiocdev.LineReqOption) (line, error) {
	l, err := c.RequestLine(offset, options...)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// requestOut makes a line an output at rest. Level and direction go to the
// kernel in one call; "inactive" is the resting level, whichever that is.
func requestOut(c chip, offset int, who string, active periph.Level) (setter, error) {
	polarity := gpiocdev.AsActiveHigh
	if active == periph.Low {
		polarity = gpiocdev.AsActiveLow
	}
	return c.request(offset, consumer(who), polarity, gpiocdev.AsOutput(0))
}

// requestIn makes a line an input. Its values and edges are those of the wire.
func requestIn(c chip, offset int, who string, want inConfig) (line, error) {
	options := []gpiocdev.LineReqOption{consumer(who), gpiocdev.AsActiveHigh, gpiocdev.AsInput}
	switch want.pull {
	case periph.PullUp:
		options = append(options, gpiocdev.WithPullUp)
	case periph.PullDown:
		options = append(options, gpiocdev.WithPullDown)
	case periph.Float:
		options = append(options, gpiocdev.WithBiasDisabled)
	}
	if want.debounce > 0 {
		options = append(options, gpiocdev.WithDebounce(want.debounce))
	}
	if want.onEdge != nil {
		switch want.edges {
		case periph.RisingEdge:
			options = append(options, gpiocdev.WithRisingEdge)
		case periph.FallingEdge:
			options = append(options, gpiocdev.WithFallingEdge)
		case periph.BothEdges:
			options = append(options, gpiocdev.WithBothEdges)
		}
		options = append(options, gpiocdev.WithEventHandler(func(e gpiocdev.LineEvent) {
			want.onEdge(Edge{
				Level: e.Type == gpiocdev.LineEventRisingEdge,
				At:    e.Timestamp,
				seq:   e.LineSeqno,
			})
		}))
	}
	return c.request(offset, options...)
}

// consumer is how the line's user is called in gpioinfo: at most 31 bytes.
func consumer(who string) gpiocdev.ConsumerOption {
	return gpiocdev.WithConsumer("barista " + who)
}

// explain says in words what an error of the kernel means, and gives it the
// word of package driver, if there is one.
func explain(err error) error {
	var errno syscall.Errno
	switch {
	case err == nil:
		return nil
	case errors.Is(err, gpiocdev.ErrClosed):
		return fmt.Errorf("%w: it was closed", driver.ErrGone)
	case !errors.As(err, &errno):
		return err
	case slices.Contains([]syscall.Errno{syscall.ENODEV, syscall.ENXIO, syscall.EBADF}, errno):
		return fmt.Errorf("%w: %w", driver.ErrGone, err)
	case errno == syscall.EBUSY:
		return fmt.Errorf("%w: %w", driver.ErrBusyLine, err)
	case errno == syscall.EACCES || errno == syscall.EPERM:
		return fmt.Errorf("%w: put the user into the group gpio", err)
	}
	return err
}
