package serial

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"barista/driver/serial/link"
)

// computer is a tree of files that stands for a computer.
type computer struct {
	t    *testing.T
	root string
}

func newComputer(t *testing.T) computer {
	c := computer{t, t.TempDir()}
	for _, dir := range []string{"dev", "sys/class/tty", "proc"} {
		c.must(os.MkdirAll(filepath.Join(c.root, dir), 0o700))
	}
	return c
}

func (c computer) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c computer) file(path, text string) {
	c.t.Helper()
	path = filepath.Join(c.root, path)
	c.must(os.MkdirAll(filepath.Dir(path), 0o700))
	c.must(os.WriteFile(path, []byte(text+"\n"), 0o600))
}

func (c computer) link(to, path string) {
	c.t.Helper()
	path = filepath.Join(c.root, path)
	c.must(os.MkdirAll(filepath.Dir(path), 0o700))
	c.must(os.Symlink(to, path))
}

// usb plugs an adapter in, as the kernel and udev lay it out.
func (c computer) usb(name string, a Adapter, maker, product, node string) {
	c.t.Helper()
	usb := "sys/devices/usb1/" + name
	for file, text := range map[string]string{"idVendor": a.Vendor, "idProduct": a.Product, "serial": a.Serial, "manufacturer": maker, "product": product} {
		if text != "" {
			c.file(usb+"/"+file, text)
		}
	}
	port := usb + "/1:1.0/" + name
	c.file(port+"/port_number", "0")
	c.link(filepath.Join(c.root, port), "sys/class/tty/"+name+"/device")
	if node == "" {
		c.file("dev/"+name, "")
	} else {
		c.link(node, "dev/"+name)
	}
}

func TestPorts(t *testing.T) {
	c := newComputer(t)
	ftdi := Adapter{"0403", "6001", "A10KZP4X"}
	c.usb("ttyUSB0", ftdi, "FTDI", "FT232R USB UART", "")
	c.link("../../ttyUSB0", "dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10KZP4X-if00-port0")
	c.link("../../ttyUSB0", "dev/serial/by-path/platform-usbv2-0:1.2:1.0-port0")
	c.link("../../ttyUSB0", "dev/serial/by-path/platform-usb-0:1.2:1.0-port0")
	// A CH340 has no serial number: its name by-id is that of any of its kind.
	c.usb("ttyUSB1", Adapter{"1a86", "7523", ""}, "", "USB Serial", "")
	c.link("../../ttyUSB1", "dev/serial/by-id/usb-1a86_USB_Serial-if00-port0")
	c.link("../../ttyUSB1", "dev/serial/by-path/platform-usb-0:1.3:1.0-port0")
	c.usb("ttyUSB2", Adapter{"1a86", "7523", ""}, "", "USB Serial", "")
	c.file("sys/devices/platform/uart/uevent", "")
	c.link(filepath.Join(c.root, "sys/devices/platform/uart"), "sys/class/tty/ttyAMA0/device")
	c.file("dev/ttyAMA0", "")
	c.file("sys/devices/platform/serial8250/uevent", "")
	c.link(filepath.Join(c.root, "sys/devices/platform/serial8250"), "sys/class/tty/ttyS1/device")
	c.file("sys/class/tty/ttyS1/type", "0")
	c.file("sys/class/tty/tty1/dev", "4:1")

	ports, err := Below(c.root).Ports()
	if err != nil {
		t.Fatal(err)
	}
	for i := range ports {
		for _, s := range []*string{&ports[i].Name, &ports[i].ByID, &ports[i].ByPath, &ports[i].Device} {
			*s = strings.TrimPrefix(*s, c.root)
		}
	}
	const ids, paths = "/dev/serial/by-id/", "/dev/serial/by-path/"
	want := []Seen{
		{Device: "/dev/ttyUSB2", Adapter: Adapter{"1a86", "7523", ""}, Text: "USB Serial"},
		{
			Name: ids + "usb-FTDI_FT232R_USB_UART_A10KZP4X-if00-port0", Device: "/dev/ttyUSB0", Adapter: ftdi, Text: "FTDI FT232R USB UART",
			ByID: ids + "usb-FTDI_FT232R_USB_UART_A10KZP4X-if00-port0", ByPath: paths + "platform-usb-0:1.2:1.0-port0",
		},
		{
			Name: paths + "platform-usb-0:1.3:1.0-port0", Device: "/dev/ttyUSB1", Adapter: Adapter{"1a86", "7523", ""}, Text: "USB Serial",
			ByID: ids + "usb-1a86_USB_Serial-if00-port0", ByPath: paths + "platform-usb-0:1.3:1.0-port0",
		},
		{Name: "/dev/ttyAMA0", Device: "/dev/ttyAMA0", OnBoard: true},
	}
	if diff := cmp.Diff(want, ports); diff != "" {
		t.Error(diff)
	}
	for i, s := range want {
		if got, err := Below(c.root).Port(filepath.Join(c.root, s.Device)); err != nil || got.Adapter != s.Adapter || s.Name != "" && !strings.HasSuffix(got.Name, s.Name) {
			t.Errorf("%d: %+v, %v", i, got, err)
		}
	}
	if _, err := Below(c.root).Port("/dev/none"); err == nil || !strings.Contains(err.Error(), "is it plugged in?") {
		t.Errorf("a port that is not there: %v", err)
	}
	if _, err := Below(filepath.Join(c.root, "none")).Ports(); err == nil {
		t.Error("nothing could be seen, and that is no error")
	}
}

func TestStranger(t *testing.T) {
	for want, s := range map[string]Seen{
		"":                                     {Adapter: Adapter{"1a86", "7523", ""}, Text: "USB Serial"},
		"on the board itself":                  {OnBoard: true},
		"no coffee machine":                    {Adapter: Adapter{"2341", "0043", "1"}},
		`"zigbee" in it`:                       {Adapter: Adapter{"10C4", "EA60", "1"}, Text: "Silicon Labs Sonoff Zigbee 3.0 USB Dongle Plus"},
		`"gps" in it: it looks like something`: {Adapter: Adapter{"067b", "2303", ""}, Text: "Prolific", ByID: "/dev/serial/by-id/usb-My_GPS-port0"},
	} {
		got := s.Stranger()
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
	if !(Adapter{"1a86", "7523", ""}).Mute() || (Adapter{"1a86", "7523", "1"}).Mute() || (Adapter{"0403", "6001", ""}).Mute() {
		t.Error("what LCUS boards are made with")
	}
}

// hold opens a device in another process, which is ended with the test.
func hold(t *testing.T, device string, lock bool) int {
	t.Helper()
	f, err := os.OpenFile(device, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if lock { // the child has the same open file, and so the lock
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sleep", "60")
	cmd.Stdin = f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// TestHolders looks at real processes of this computer.
func TestHolders(t *testing.T) {
	l, err := link.Make(filepath.Join(t.TempDir(), "port"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, err := ThisComputer.Port(l.Device())
	if err != nil || len(s.Holders) > 0 {
		t.Fatalf("nobody has it but we who play it: %+v, %v", s, err)
	}
	pid := hold(t, l.Device(), false)
	s, err = ThisComputer.Port(l.Device())
	if err != nil || !slices.ContainsFunc(s.Holders, func(h Holder) bool { return h.PID == pid && h.String() == fmt.Sprintf(`"sleep" (%d)`, pid) }) {
		t.Errorf("%d has it: %+v, %v", pid, s, err)
	}
}

// TestHoldersInFiles: a process that may not be looked into, a lock that
// everybody may see, and the program that plays the port, which is no holder.
func TestHoldersInFiles(t *testing.T) {
	c := newComputer(t)
	l, err := link.Make("")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	pts := l.Device()
	n := strings.TrimPrefix(pts, "/dev/pts/")
	c.usb("ttyUSB0", Adapter{"0403", "6001", "A1"}, "", "", pts)
	look := func() Seen {
		t.Helper()
		ports, err := Below(c.root).Ports()
		if err != nil || len(ports) != 1 {
			t.Fatalf("%+v, %v", ports, err)
		}
		return ports[0]
	}
	c.link(pts, "proc/711/fd/3")
	c.file("proc/711/comm", "screen")
	c.link("/dev/pts/999", "proc/712/fd/3")
	if s := look(); len(s.Holders) != 1 || s.Holders[0] != (Holder{711, "screen"}) || s.Unsure {
		t.Errorf("%+v", s)
	}
	c.link("/dev/ptmx", "proc/711/fd/4")
	c.file("proc/711/fdinfo/4", "pos:\t0\nflags:\t02\ntty-index:\t"+n)
	if s := look(); len(s.Holders) != 0 {
		t.Errorf("it plays the port: %+v", s)
	}
	var st unix.Stat_t
	if err := unix.Stat(pts, &st); err != nil {
		t.Fatal(err)
	}
	c.file("proc/locks", fmt.Sprintf("1: POSIX  ADVISORY  READ 5 08:01:33 128 128\n2: FLOCK  ADVISORY  WRITE 713 %[1]s 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 714 %[1]s 0 EOF",
		fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)))
	if s := look(); len(s.Holders) != 1 || s.Holders[0].PID != 713 || s.Holders[0].String() != "process 713" {
		t.Errorf("locked: %+v", s)
	}
	// fd is no folder that can be read.
	c.file("proc/715/fd", "")
	if s := look(); !s.Unsure {
		t.Error("a process could not be looked into, and that is not said")
	}
}
