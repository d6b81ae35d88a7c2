// World is the outside world of the test machine's guest: the metal behind the
// relays, and the tester's hand. It never talks to barista.
//
// It makes the simulated GPIO chip as power-up leaves it, with the resistors of
// the wiring, before any service runs. From then on the kernel's own trace says
// what every line did and when, on CLOCK_MONOTONIC; the world moves the plant by
// it, and the plant's sensors move the input lines. So what counts as poured is
// what the metal was made to do, whoever did it and whatever he says about it.
//
// At the far end of a serial cable it plays a relay board with metal of its own.
//
// One HTTP port is the tester's hand: commands in the guest, files, the plant's
// own protocol, the edges so far. Another one leads to the shop's broker, which
// listens on the loopback device only.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"barista/driver/plant"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "world:", err)
		os.Exit(1)
	}
}

// flowMLPS is more than the sample's calibration says: a pour that ended by time
// would be too large.
const flowMLPS = 7

func run(ctx context.Context) error {
	wires, err := readWiring("/etc/vm/wiring.yaml")
	if err != nil {
		return err
	}
	chip, err := powerUp(wires)
	if err != nil {
		return err
	}
	trace, err := openTrace(chip)
	if err != nil {
		return err
	}
	figures := plant.Default()
	figures.Cups = plant.Auto
	behind := plant.New(figures) // the board
	figures.FlowMLPS = flowMLPS
	if wires.pulsesPerML > 0 {
		figures.PulseML = 1 / wires.pulsesPerML
	}
	m := &metal{chip: chip, wires: wires, plant: plant.New(figures)}
	failed := make(chan error, 4)
	go func() { failed <- trace.follow(m.saw) }()
	go func() { failed <- m.run(ctx) }()
	go func() { failed <- serve(ctx, m, behind) }()
	go func() { failed <- playBoard(ctx, behind) }()
	if err := ready(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// ready lets systemd go on with the start.
func ready() error {
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		return fmt.Errorf("this is a service of systemd: %w", err)
	}
	defer c.Close()
	_, err = c.Write([]byte("READY=1"))
	return err
}
