package serial

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/driver"
)

// tree makes a sysfs with one adapter, as the kernel lays it out: the tty's
// device is the port, above it the interface, above that the USB device.
func tree(t *testing.T, a Adapter) (sysfs, device string) {
	t.Helper()
	root := t.TempDir()
	port := filepath.Join(root, "devices/usb1/1-1/1-1:1.0/ttyUSB7")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(port, 0o700))
	must(os.MkdirAll(filepath.Join(root, "class/tty/ttyUSB7"), 0o700))
	must(os.Symlink(port, filepath.Join(root, "class/tty/ttyUSB7/device")))
	must(os.WriteFile(filepath.Join(root, "ttyUSB7"), nil, 0o600))
	must(os.Symlink(filepath.Join(root, "ttyUSB7"), filepath.Join(root, "by-id")))
	plugIn(t, root, a)
	return filepath.Join(root, "class/tty"), filepath.Join(root, "by-id")
}

func plugIn(t *testing.T, root string, a Adapter) {
	t.Helper()
	usb := filepath.Join(root, "devices/usb1/1-1")
	for name, text := range map[string]string{"idVendor": a.Vendor, "idProduct": a.Product, "serial": a.Serial} {
		if err := os.WriteFile(filepath.Join(usb, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAdapterOf(t *testing.T) {
	want := Adapter{"1a86", "7523", "A1"}
	sysfs, device := tree(t, want)
	if got := adapterOf(sysfs, device); got != want {
		t.Errorf("%v", got)
	}
	if got := adapterOf(sysfs, "/dev/null"); got != (Adapter{}) || got.String() != "no usb adapter" {
		t.Errorf("%v", got)
	}
	if got := want.String(); got != "1a86:7523 serial A1" {
		t.Error(got)
	}
}

// pipe is a wire that says nothing.
type pipe struct{ shut chan struct{} }

func (p pipe) Read([]byte) (int, error)         { <-p.shut; return 0, os.ErrClosed }
func (p pipe) Write(b []byte) (int, error)      { return len(b), nil }
func (p pipe) SetWriteDeadline(time.Time) error { return nil }
func (p pipe) Close() error {
	select {
	case <-p.shut:
	default:
		close(p.shut)
	}
	return nil
}

// Two boards swapped: the name is the same, the adapter is not.
func TestAnotherAdapterIsRefused(t *testing.T) {
	sysfs, device := tree(t, Adapter{"0403", "6001", "A1"})
	synctest.Test(t, func(t *testing.T) {
		var now pipe
		p, err := open(Config{Device: device, Dial: func() (Wire, error) { now = pipe{make(chan struct{})}; return now, nil }}, sysfs)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if p.Adapter().Serial != "A1" {
			t.Errorf("%v", p.Adapter())
		}
		root := filepath.Dir(filepath.Dir(sysfs))
		plugIn(t, root, Adapter{"0403", "6001", "B2"})
		now.Close()
		time.Sleep(time.Second)
		_, gone := p.State()
		if !errors.Is(gone, driver.ErrGone) || !strings.Contains(gone.Error(), "another adapter") {
			t.Errorf("swapped: %v", gone)
		}
		plugIn(t, root, Adapter{"0403", "6001", "A1"})
		time.Sleep(time.Second)
		if _, gone := p.State(); gone != nil {
			t.Errorf("the old one again: %v", gone)
		}
	})
}

// TestNumber: an adapter is known by its number, if it has one that no other has.
func TestNumber(t *testing.T) {
	for a, want := range map[Adapter]string{
		{}:                                " false",
		{Vendor: "1a86", Product: "7523"}: "1a86:7523 true",
		{Vendor: "10c4", Product: "ea60", Serial: "0001"}:     "10c4:ea60 true", // as that maker delivers all of them
		{Vendor: "0403", Product: "6001", Serial: "A5069RR4"}: "0403:6001:A5069RR4 false",
	} {
		number, alike := a.Number()
		if got := fmt.Sprint(number, " ", alike); got != want {
			t.Errorf("%v: %s, want %s", a, got, want)
		}
	}
}
