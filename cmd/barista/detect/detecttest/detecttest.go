// Package detecttest is a computer made of files, with simulators plugged in, for
// tests of what looks for them. It must not be linked into the program.
package detecttest

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"barista/driver/plant"
	"barista/driver/serial/link"
)

// Computer is a tree of files that stands for a computer, with ports that
// programs play.
type Computer struct {
	t    *testing.T
	Root string
}

// New is a computer without anything plugged in.
func New(t *testing.T) Computer {
	t.Helper()
	c := Computer{t, t.TempDir()}
	for _, dir := range []string{"dev", "sys/class/tty", "proc"} {
		c.Must(os.MkdirAll(filepath.Join(c.Root, dir), 0o700))
	}
	return c
}

// Must ends the test at an error.
func (c Computer) Must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// Put writes a file of one line.
func (c Computer) Put(path, text string) {
	c.t.Helper()
	path = filepath.Join(c.Root, path)
	c.Must(os.MkdirAll(filepath.Dir(path), 0o700))
	c.Must(os.WriteFile(path, []byte(text+"\n"), 0o600))
}

// Link makes a link to another path.
func (c Computer) Link(to, path string) {
	c.t.Helper()
	path = filepath.Join(c.Root, path)
	c.Must(os.MkdirAll(filepath.Dir(path), 0o700))
	c.Must(os.Symlink(to, path))
}

// Plug plugs an adapter with a device behind it in, and returns the name that
// detect should give it.
func (c Computer) Plug(tty, vendor, product, number, text, device string) string {
	c.t.Helper()
	usb := "sys/devices/usb1/" + tty
	c.Put(usb+"/idVendor", vendor)
	c.Put(usb+"/idProduct", product)
	c.Put(usb+"/product", text)
	if number != "" {
		c.Put(usb+"/serial", number)
	}
	c.Put(usb+"/1:1.0/"+tty+"/port_number", "0")
	c.Link(filepath.Join(c.Root, usb+"/1:1.0/"+tty), "sys/class/tty/"+tty+"/device")
	c.Link(device, "dev/"+tty)
	c.Link("../../"+tty, "dev/serial/by-path/platform-usb-0:"+tty+"-port0")
	if number != "" {
		c.Link("../../"+tty, "dev/serial/by-id/usb-"+number+"-port0")
		return filepath.Join(c.Root, "dev/serial/by-id/usb-"+number+"-port0")
	}
	return filepath.Join(c.Root, "dev/serial/by-path/platform-usb-0:"+tty+"-port0")
}

// Play runs a simulator on a port of its own.
func Play(t *testing.T, run func(context.Context, io.ReadWriteCloser) error) (device string) {
	t.Helper()
	l, err := link.Make("")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("harm: %v", err)
		}
	})
	return l.Device()
}

// Untouched wants a plant in which no contact ever moved.
func Untouched(t *testing.T, p *plant.Plant, what string) {
	t.Helper()
	if n := p.Counts(); n.Edges > 0 || n.Drinks > 0 || len(n.Harm) > 0 || len(n.OnNow()) > 0 {
		t.Errorf("%s: %+v", what, n)
	}
}
