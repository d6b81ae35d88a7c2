package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"barista/driver"
	board "barista/driver/modbus/sim"
	"barista/driver/plant"
)

// boardPort is the far end of a cable from /dev/ttyS1. The board is played in the
// guest, so that its timers and the machine's go by one clock.
const boardPort = "/dev/ttyS2"

// playBoard is a Modbus relay board at the end of the serial port, with metal of
// its own, until ctx ends. Harm to that metal is an error.
func playBoard(ctx context.Context, p *plant.Plant) error {
	if out, err := exec.CommandContext(ctx, "stty", "-F", boardPort, "raw", "-echo", "clocal", "9600").CombinedOutput(); err != nil {
		return fmt.Errorf("stty %s: %w: %s", boardPort, err, out)
	}
	port, err := os.OpenFile(boardPort, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return board.New(board.Config{
		Plant:  p.Handle(),
		Relays: []driver.Part{driver.Grinder, driver.Pump, driver.Milk, driver.Sugar},
		Inputs: []driver.Signal{driver.Cup, driver.Tank, driver.Beans, driver.Tray, driver.Hot},
	}).Run(ctx, port)
}
