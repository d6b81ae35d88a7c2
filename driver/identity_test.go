package driver

import "testing"

// TestIdentityOfAPort: a board is known by its adapter's number, whatever its port is
// called; where adapters have none, or all the same, another port is a question.
func TestIdentityOfAPort(t *testing.T) {
	const path = "platform-fd500000.pcie-pci-0000:01:00.0-usb-0:1.3:1.0-port0"
	id := func(serial, place string, alike bool) Identity {
		return Identity{Kind: "lcus", Model: "lcus-4", Serial: serial, Place: place, Alike: alike}
	}
	own, cheap, fixed := id("0403:6001:A5069RR4", "usb-FTDI", false), id("1a86:7523", path, true), id("", "ttyAMA0", false)
	bus := Identity{Kind: "modbus", Model: "rtu-8", Serial: "1a86:7523", Unit: "3", Place: "ttyUSB0", Alike: true}
	jura := Identity{Kind: "jura", Model: "EF532M", Serial: "15326-1"}
	for want, i := range map[string]Identity{"0403:6001:A5069RR4": own, "1a86:7523@" + path: cheap, "ttyAMA0": fixed, "1a86:7523@ttyUSB0/3": bus, "15326-1": jura, "": {Kind: "gpio"}} {
		if got := i.Number(); got != want {
			t.Errorf("the number of %s is %q", i, got)
		}
	}
	for _, c := range []struct {
		now         Identity
		was         string
		same, maybe bool
	}{
		{own, "lcus/lcus-4/0403:6001:A5069RR4", true, false},
		{id("0403:6001:A5069RR4", path, false), "lcus/lcus-4/0403:6001:A5069RR4", true, false},
		{own, "lcus/lcus-4/0403:6001:A5069RR5", false, false},  // swapped behind the port
		{own, "lcus/lcus-4/1a86:7523@usb-FTDI", false, false},  // another adapter, at the same port
		{own, "lcus/lcus-4/usb-FTDI", true, false},             // an earlier version
		{own, "lcus/lcus-4/ttyUSB0", false, true},              // an earlier version, and renamed since
		{cheap, "lcus/lcus-4/1a86:7523@" + path, true, false},  //
		{cheap, "lcus/lcus-4/1a86:7523@usb-1a86", false, true}, // renamed, or another one
		{cheap, "lcus/lcus-4/1a86:5523@" + path, false, false},
		{cheap, "lcus/lcus-4/" + path, true, false},
		{cheap, "lcus/lcus-4/ttyUSB0", false, true},
		{fixed, "lcus/lcus-4/ttyAMA0", true, false},
		{fixed, "lcus/lcus-4/ttyS0", false, true},
		{fixed, "lcus/lcus-4/1a86:7523@ttyUSB0", false, true}, // the kernel does not show its adapter now
		{cheap, "lcus/lcus-8/1a86:7523@" + path, false, false},
		{cheap, "modbus/lcus-4/1a86:7523@" + path, false, false},
		{bus, "modbus/rtu-8/1a86:7523@ttyUSB0/3", true, false},
		{bus, "modbus/rtu-8/1a86:7523@ttyUSB0/4", false, false},
		{bus, "modbus/rtu-8/1a86:7523@ttyUSB1/3", false, true},
		{bus, "modbus/rtu-8/ttyUSB0/3", true, false},
		{bus, "modbus/rtu-8/ttyUSB0/13", false, false},
		{jura, "jura/EF532M/15326-1", true, false},
		{jura, "jura/EF532M/15326-2", false, false},
		{jura, "jura/EF532M/ttyUSB0", false, false},
	} {
		if same, maybe := c.now.Was(c.was); same != c.same || maybe != c.maybe {
			t.Errorf("%s was %s: %v, %v, want %v, %v", c.now, c.was, same, maybe, c.same, c.maybe)
		}
		if same, _ := c.now.Was(c.now.String()); !same {
			t.Errorf("%s is not itself", c.now)
		}
	}
}
