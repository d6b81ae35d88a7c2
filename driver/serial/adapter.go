package serial

import (
	"os"
	"path/filepath"
	"strings"
)

// Adapter is what the kernel knows of a USB serial adapter. It is empty for
// other ports.
type Adapter struct {
	Vendor, Product string // four hex digits each
	Serial          string // many cheap ones have none
}

func (a Adapter) String() string {
	if a == (Adapter{}) {
		return "no usb adapter"
	}
	s := a.Vendor + ":" + a.Product
	if a.Serial != "" {
		s += " serial " + a.Serial
	}
	return s
}

// Number is the adapter's number as part of an identity; alike: others have the same.
// Some makers leave a number out, or give all of their adapters one of a few digits.
func (a Adapter) Number() (number string, alike bool) {
	if a == (Adapter{}) {
		return "", false
	}
	const fewDigits = 4
	if number = a.Vendor + ":" + a.Product; len(a.Serial) <= fewDigits {
		return number, true
	}
	return number + ":" + a.Serial, false
}

// sysfs is where the kernel shows its ttys.
const sysfs = "/sys/class/tty"

// adapterOf reads the adapter of a device from sysfs: the first folder above the
// tty that has a vendor is the USB device.
func adapterOf(sysfs, device string) Adapter {
	real, err := filepath.EvalSymlinks(device)
	if err != nil {
		return Adapter{}
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(sysfs, filepath.Base(real), "device"))
	if err != nil {
		return Adapter{}
	}
	for range 6 { // tty, port, interface, device
		if v := word(dir, "idVendor"); v != "" {
			return Adapter{v, word(dir, "idProduct"), word(dir, "serial")}
		}
		dir = filepath.Dir(dir)
	}
	return Adapter{}
}

func word(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
