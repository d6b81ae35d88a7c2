package sim

import (
	"fmt"
	"slices"
	"strings"

	"barista/driver/plant"
)

// Fault is something that is wrong with the machine or its wire, as a person
// writes it. Besides those here, every fault of the plant is one: "tank-empty",
// "no-flow", "jam".
type Fault string

// The faults. Each lasts until Mend.
const (
	Off     Fault = "off"          // switched off at its mains switch: the port is dead
	Mute    Fault = "mute"         // it obeys and answers nothing
	Deaf    Fault = "deaf"         // nothing reaches it
	LostOK  Fault = "lost-ok"      // the answer to a key gets lost
	LostKey Fault = "lost-key"     // keys get lost, questions do not
	Late    Fault = "late"         // answers come 1.3 s late
	Damaged Fault = "damaged"      // of every third answer a byte is wrong
	Doubled Fault = "doubled"      // every answer comes twice
	NoCount Fault = "no-count"     // drinks are poured and not counted
	NoTray  Fault = "tray-missing" // of the drip tray
	Drawer  Fault = "drawer-out"   // of the grounds
	Page2   Fault = "page-2"       // somebody left the display on its second page
	Debug   Fault = "debug"        // it talks without end, as after FN:89
)

var faults = []Fault{Off, Mute, Deaf, LostOK, LostKey, Late, Damaged, Doubled, NoCount, NoTray, Drawer, Page2, Debug}

// Faults lists the machine's own faults.
func Faults() []string {
	var out []string
	for _, f := range faults {
		out = append(out, string(f))
	}
	return out
}

// ParseFault reads a fault, of the machine or of its plant.
func ParseFault(s string) (Fault, error) {
	if slices.Contains(faults, Fault(s)) {
		return Fault(s), nil
	}
	if _, err := plant.ParseFault(s); err != nil {
		return "", fmt.Errorf("there is no fault %q: there are %s, and those of the plant: tank-empty, beans-out, no-flow, jam, stuck:pump …", s, strings.Join(Faults(), ", "))
	}
	return Fault(s), nil
}

// Fault puts a fault in. It panics on one that ParseFault refuses.
func (m *Machine) Fault(f Fault) {
	if _, err := ParseFault(string(f)); err != nil {
		panic("jura/sim: " + err.Error())
	}
	if !slices.Contains(faults, f) {
		p, _ := plant.ParseFault(string(f))
		m.plant.Fault(p)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults[f] = true
	switch f {
	case Off:
		m.stopAll()
	case Page2:
		m.page = len(m.model.pages) - 1
	}
}

// Mend takes a fault away.
func (m *Machine) Mend(f Fault) {
	if p, err := plant.ParseFault(string(f)); err == nil {
		m.plant.Mend(p)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.faults, f)
	if f == Page2 {
		m.page = 0
	}
}
