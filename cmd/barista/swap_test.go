package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"barista/cmd/barista/reach"
	"barista/configs"
	"barista/driver"
	"barista/machine/calibration"
	"barista/machine/station"
)

// TestSwappedPart: a machine whose grinder was swapped serves as before, and its shop
// advises that it be calibrated.
func TestSwappedPart(t *testing.T) {
	h := openHouse(t, demo{http: "none", nats: "none", machines: 2, speed: 100, cups: "auto"}, func(f *configs.File, all []*configs.Machine) {
		dir := station.Folder(f.State, all[0].Name)
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		here, err := calibration.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := here.Swap(driver.Grinder, "ada", "worn burrs", time.Now()); err != nil {
			t.Fatal(err)
		}
	})
	h.ready()
	list, err := reach.Shop(h.conn, false).Fleet(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	for _, m := range list {
		if want := m.Machine == h.machines[0].file.Name; slices.Equal(m.Swapped, []string{"grinder"}) != want || !m.Able {
			t.Errorf("%s: swapped %q, able %v", m.Machine, m.Swapped, m.Able)
		}
	}
	st, err := reach.Shop(h.conn, false).Status(t.Context())
	if text := strings.Join(st.Advice, "\n"); err != nil || strings.Count(text, "was swapped") != 1 || strings.Contains(strings.Join(st.Degraded, "\n"), "swapped") {
		t.Errorf("%v: %s, %q", err, text, st.Degraded)
	}
}
