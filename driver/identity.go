package driver

import "strings"

// Identity is which piece of hardware this is. Under another one, a counter
// proves nothing and the journal is another machine's.
type Identity struct {
	Kind   string // "mock", "gpio", "jura", …
	Model  string
	Serial string // appliance or board serial number; that of its adapter; the computer's, if there is none
	Unit   string // its address, of one that shares its port

	// Place is the port that it hangs on. A port's name is no identity: it tells
	// boards apart only where they are Alike, or where there is no Serial at all.
	Place string
	Alike bool // others have the same Serial
}

// String is the hardware's name, as it is written down.
func (i Identity) String() string { return i.Kind + "/" + i.Model + "/" + i.Number() }

// Number tells the hardware from others of its kind and model; "" where nothing does.
func (i Identity) Number() string {
	number := i.Serial
	switch {
	case number == "":
		number = i.Place
	case i.Alike:
		number += "@" + i.Place
	}
	if i.Unit != "" {
		number += "/" + i.Unit
	}
	return number
}

// Was reports whether a name that was written down earlier is that of this hardware;
// or that it may be: nothing tells but the name of its port, which is another one. Of
// boards on a port, earlier versions wrote down that name alone.
func (i Identity) Was(name string) (same, maybe bool) {
	if name == i.String() {
		return true, false
	}
	number, is := strings.CutPrefix(name, i.Kind+"/"+i.Model+"/")
	if is && i.Unit != "" {
		number, is = strings.CutSuffix(number, "/"+i.Unit)
	}
	if !is || i.Place == "" {
		return false, false
	}
	serial, place := "", number
	if isAdapter(number) {
		serial, place, _ = strings.Cut(number, "@")
	}
	switch {
	case serial == "" && place == i.Place:
		return true, false
	case serial == "" || i.Serial == "":
		return false, true
	}
	return false, serial == i.Serial
}

// isAdapter reports whether a number begins as that of a USB adapter does: vendor and
// product, four hex digits each. No name of a port does.
func isAdapter(number string) bool {
	if len(number) < 9 || number[4] != ':' {
		return false
	}
	return strings.Trim(number[:4]+number[5:9], "0123456789abcdef") == ""
}
