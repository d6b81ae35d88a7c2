package gpio

import (
	"errors"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"barista/driver"
)

func text(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

func TestSupply(t *testing.T) {
	const (
		name  = hwmon + "/hwmon1/name"
		alarm = hwmon + "/hwmon1/in0_lcrit_alarm"
	)
	other := text("cpu_thermal\n")
	for what, c := range map[string]struct {
		files fstest.MapFS
		want  string
	}{
		"a laptop":            {fstest.MapFS{hwmon + "/hwmon0/name": other}, "none"},
		"nothing at all":      {fstest.MapFS{}, "none"},
		"well":                {fstest.MapFS{hwmon + "/hwmon0/name": other, name: text("rpi_volt\n"), alarm: text("0\n")}, "good"},
		"weak":                {fstest.MapFS{name: text("rpi_volt\n"), alarm: text("1\n")}, "weak"},
		"no alarm":            {fstest.MapFS{name: text("rpi_volt\n")}, "invalid"},
		"empty":               {fstest.MapFS{name: text("rpi_volt\n"), alarm: text("")}, "invalid"},
		"words":               {fstest.MapFS{name: text("rpi_volt\n"), alarm: text("2")}, "invalid"},
		"flags, well":         {fstest.MapFS{throttled: text("0\n")}, "good"},
		"flags, was weak":     {fstest.MapFS{throttled: text("50000\n")}, "good"},
		"flags, weak":         {fstest.MapFS{throttled: text("50005\n")}, "weak"},
		"flags, 0x":           {fstest.MapFS{throttled: text("0x1\n")}, "weak"},
		"flags, hot but well": {fstest.MapFS{throttled: text("8\n")}, "good"},
		"flags, words":        {fstest.MapFS{throttled: text("no\n")}, "invalid"},
		"both: the sensor":    {fstest.MapFS{throttled: text("1\n"), name: text("rpi_volt\n"), alarm: text("0\n")}, "good"},
	} {
		got := "none"
		if s := findSupply(c.files); s != nil {
			switch r, err := s.Read(); {
			case errors.Is(err, driver.ErrInvalid):
				got = "invalid"
			case err != nil:
				got = err.Error()
			case r.Yes():
				got = "good"
			default:
				got = "weak"
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
}

// It is looked at four times a second at most, and a change is seen.
func TestSupplyChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.files[hwmon+"/hwmon0/name"] = text("rpi_volt\n")
		f.files[hwmon+"/hwmon0/in0_lcrit_alarm"] = text("0\n")
		rig := mustOpen(t, f, wiring())
		power := rig.Sensors[driver.Power]
		if r, err := power.Read(); err != nil || !r.Yes() {
			t.Fatalf("%v %v", r, err)
		}
		f.files[hwmon+"/hwmon0/in0_lcrit_alarm"] = text("1\n")
		if r, _ := power.Read(); !r.Yes() {
			t.Error("read again at once")
		}
		time.Sleep(supplyEvery)
		if r, err := power.Read(); err != nil || r.Yes() {
			t.Errorf("%v %v", r, err)
		}
		delete(f.files, hwmon+"/hwmon0/in0_lcrit_alarm")
		time.Sleep(supplyEvery)
		if _, err := power.Read(); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("gone: %v", err)
		}
		// A computer that can't say has no such sensor, and that is no fault.
		if _, there := mustOpen(t, newFake(t), wiring()).Sensors[driver.Power]; there {
			t.Error("a sensor that nothing stands behind")
		}
	})
}
