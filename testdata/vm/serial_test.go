package vm

import (
	"testing"
	"time"

	"barista/driver/plant"
	"barista/fleet"
)

// serial: one drink over the guest's serial port, by another machine's service. A
// Modbus relay board is played at the far end of the cable; this machine alone
// takes robusta, so that the order finds it.
func (v *visit) serial(t *testing.T) {
	v.g.must(t, `sed -e '/^state:/d' -e 's|^  port: .*|  port: /dev/ttyS1|' -e 's/beans: \[arabica, mixed\]/beans: [robusta]/' \
	/usr/share/doc/barista/examples/modbus-relays.yaml >/etc/barista/ada.yaml
barista check /etc/barista/ada.yaml
systemctl start barista@ada`)
	start := time.Now()
	id := v.order(t, order{size: "small", beans: "robusta", milk: "normal"})
	v.phase(t, id, fleet.Served)
	made := v.g.flows(t, board)
	if len(made) != 1 || made[0].Kind != plant.Drink || made[0].Where != plant.InCup || made[0].CoffeeML < 38 || made[0].CoffeeML > 42 {
		t.Errorf("poured: %v", made)
	}
	t.Logf("over the serial port in %.1f s: %v", time.Since(start).Seconds(), made)
	var a struct {
		Counts plant.Counts
		Edges  []plant.Edge
	}
	for _, ask := range []string{`{"do":"counts"}`, `{"do":"edges"}`} {
		if err := v.g.plant(board, ask, &a); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.Counts.Harm) > 0 {
		t.Errorf("harm: %v", a.Counts.Harm)
	}
	t.Logf("its relays:\n%s", plant.Lines(a.Edges))
	v.g.must(t, "systemctl stop barista@ada")
}
