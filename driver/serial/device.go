package serial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	bugst "go.bug.st/serial"
	"golang.org/x/sys/unix"

	"barista/driver"
)

// Wire is an open way to a device. Read blocks until there is at least one byte
// or the wire is dead; it never returns nothing without an error. Write keeps
// the deadline that was set. Close ends a Read that waits. One goroutine reads,
// another one writes.
type Wire interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	SetWriteDeadline(t time.Time) error
	Close() error
}

// device is a tty. The library's port holds the settings, the modem lines and
// the kernel's exclusive mode (which binds everybody but root); the file does
// the reading and writing, in the runtime's poller, where a deadline is a
// deadline and a descriptor is never closed under a call.
type device struct {
	*os.File
	port bugst.Port
}

func (c Config) dial() (Wire, error) {
	// O_NONBLOCK also keeps the open from waiting for a carrier.
	f, err := os.OpenFile(c.Device, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, c.cannotOpen(err)
	}
	d := &device{File: f}
	if err := c.setUp(d); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (c Config) setUp(d *device) error {
	fd := -1
	raw, err := d.SyscallConn()
	if err != nil {
		return err
	}
	var lock error
	if err := raw.Control(func(n uintptr) { fd = int(n); lock = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		return err
	}
	if lock != nil {
		return c.cannotOpen(lock)
	}
	// By the descriptor that is locked: under its name there could already be
	// another device.
	d.port, err = bugst.Open(fmt.Sprintf("/proc/self/fd/%d", fd), &bugst.Mode{
		BaudRate: c.Baud, DataBits: 8,
		Parity:   map[Parity]bugst.Parity{None: bugst.NoParity, Even: bugst.EvenParity, Odd: bugst.OddParity}[c.Parity],
		StopBits: map[int]bugst.StopBits{1: bugst.OneStopBit, 2: bugst.TwoStopBits}[c.StopBits],
	})
	if err != nil {
		return c.cannotOpen(err)
	}
	for _, line := range []struct {
		name string
		want Level
		set  func(bool) error
	}{{"DTR", c.DTR, d.port.SetDTR}, {"RTS", c.RTS, d.port.SetRTS}} {
		if line.want == Leave {
			continue
		}
		// A pseudo-terminal and some adapters have no modem lines.
		err := line.set(line.want == High)
		if err != nil && !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.EINVAL) {
			return onPort(c.Device, "can't set %s %s: %w", line.name, line.want, err)
		}
	}
	// What came before we were here answers somebody else's question.
	if err := errors.Join(d.port.ResetInputBuffer(), d.port.ResetOutputBuffer()); err != nil {
		return onPort(c.Device, "can't empty its buffers: %w", err)
	}
	return nil
}

// cannotOpen says what a person can do about it.
func (c Config) cannotOpen(err error) error {
	var lib *bugst.PortError
	busy := errors.As(err, &lib) && lib.Code() == bugst.PortBusy
	denied := errors.As(err, &lib) && lib.Code() == bugst.PermissionDenied
	notTTY := errors.As(err, &lib) && lib.Code() == bugst.InvalidSerialPort
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EIO):
		return onPort(c.Device, "%w: nothing answers under this name: is it plugged in?", driver.ErrGone)
	case busy, errors.Is(err, unix.EBUSY), errors.Is(err, unix.EWOULDBLOCK):
		return onPort(c.Device, "%w: stop the other program (fuser -v shows it)", driver.ErrBusyLine)
	case denied, errors.Is(err, fs.ErrPermission):
		return onPort(c.Device, "this user may not open it: add it to the group of the device, which is dialout on most systems")
	case notTTY, errors.Is(err, unix.ENOTTY):
		return onPort(c.Device, "can't be set up, is it a serial port at all? %w", err)
	}
	return onPort(c.Device, "can't open it: %w", err)
}

// Close first throws away what was not sent yet: the kernel would otherwise wait
// for it, up to half a minute, and send it late.
func (d *device) Close() error {
	var errs []error
	if d.port != nil {
		_ = d.port.ResetOutputBuffer() // fails where the cable is out
		errs = append(errs, d.port.Close())
	}
	return errors.Join(append(errs, d.File.Close())...)
}
