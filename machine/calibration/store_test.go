package calibration

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/driver"
	"barista/machine/recipe"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	x, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	x := open(t, dir)
	if _, there := x.InForce(driver.Pump); there {
		t.Error("something is in force in an empty folder")
	}
	c := recipe.DefaultCalibration()
	if d := cmp.Diff(c, x.Over(c)); d != "" {
		t.Error(d)
	}
	if _, err := x.Rollback(driver.Pump, "zoe", noon); !errors.Is(err, ErrNothing) {
		t.Errorf("back from nothing: %v", err)
	}
	for i, rate := range []float64{5, 6, 7} {
		if _, err := x.Keep(driver.Pump, Rate{PerSecond: rate, Delay: 300 * time.Millisecond}, "zoe", noon.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := x.Keep(driver.Grinder, Rate{PerSecond: 1.5}, "ada", noon); err != nil {
		t.Fatal(err)
	}

	// A restart knows it all.
	x = open(t, dir)
	if v, _ := x.InForce(driver.Pump); v.N != 3 || v.PerSecond != 7 || v.By != "zoe" || !v.At.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("in force: %+v", v)
	}
	got := x.Over(recipe.DefaultCalibration().Scale(10))
	if got.PumpMLPS != 70 || got.GrinderGPS != 15 || got.MilkMLPS != 50 || got.StartDelay[driver.Pump] != 30*time.Millisecond {
		t.Errorf("ten times as fast: %+v", got)
	}

	// Back, measure, back: to what was in force before, not to the number before.
	if v, err := x.Rollback(driver.Pump, "ada", noon); err != nil || v.N != 2 {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := x.Keep(driver.Pump, Rate{PerSecond: 8}, "ada", noon); err != nil || v.N != 4 || v.Before != 2 {
		t.Errorf("%+v, %v", v, err)
	}
	for _, want := range []int{2, 1, 0} {
		if v, err := x.Rollback(driver.Pump, "ada", noon); err != nil || v.N != want {
			t.Errorf("%+v, %v, want %d", v, err, want)
		}
		x = open(t, dir)
	}
	if _, there := x.InForce(driver.Pump); there || len(x.Versions(driver.Pump)) != 4 {
		t.Errorf("the configuration should count, and all versions be kept: %+v", x.Versions(driver.Pump))
	}
	if _, err := x.Rollback(driver.Pump, "ada", noon); !errors.Is(err, ErrNothing) {
		t.Errorf("back from the configuration: %v", err)
	}
}

// A part that was swapped is known as that until something that was measured since is in
// force, and again where that is taken back.
func TestSwap(t *testing.T) {
	dir := t.TempDir()
	x := open(t, dir)
	swapped := func(want bool) {
		t.Helper()
		for _, s := range []*Store{x, open(t, dir)} {
			was, so := s.Swapped(driver.Grinder)
			if so != want || so && (was.By != "ada" || was.Why != "worn burrs" || !was.At.Equal(noon)) {
				t.Errorf("%+v %v", was, so)
			}
		}
	}
	is := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	measure := func(rate float64) error {
		_, err := x.Keep(driver.Grinder, Rate{PerSecond: rate}, "eve", noon.Add(-time.Hour)) // a clock that was set back
		return err
	}
	back := func() error { _, err := x.Rollback(driver.Grinder, "eve", noon); return err }
	swapped(false)
	is(x.Swap(driver.Grinder, "ada", "worn burrs", noon)) // of what nobody had measured
	swapped(true)
	is(measure(1.5))
	swapped(false)
	is(x.Swap(driver.Grinder, "ada", "worn burrs", noon))
	swapped(true)
	if v, _ := x.InForce(driver.Grinder); v.PerSecond != 1.5 {
		t.Errorf("what counts was changed: %+v", v)
	}
	if _, so := x.Swapped(driver.Pump); so {
		t.Error("the pump was not swapped")
	}
	is(measure(1.6))
	is(measure(1.7))
	is(back())
	swapped(false)
	is(back())
	swapped(true)
	if err := x.Swap(driver.Heater, "ada", "x", noon); err == nil {
		t.Error("a heater was swapped")
	}
}

func TestStoreIsBounded(t *testing.T) {
	x := open(t, t.TempDir())
	for range keep + 5 {
		if _, err := x.Keep(driver.Milk, Rate{PerSecond: 5}, "zoe", noon); err != nil {
			t.Fatal(err)
		}
	}
	if v := x.Versions(driver.Milk); len(v) != keep || v[keep-1].N != keep+5 {
		t.Errorf("%d versions, the last is %+v", len(v), v[len(v)-1])
	}
	for range keep - 1 {
		if _, err := x.Rollback(driver.Milk, "zoe", noon); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := x.Rollback(driver.Milk, "zoe", noon); err == nil || !strings.Contains(err.Error(), "version 5, which was in force before version 6, is not kept any more") {
		t.Errorf("to a version that is gone: %v", err)
	}
	if v, there := x.InForce(driver.Milk); !there || v.N != 6 {
		t.Errorf("in force: %+v", v)
	}
}

// What can't be kept changes nothing, on disk and in memory.
func TestKeepFails(t *testing.T) {
	dir := t.TempDir()
	x := open(t, dir)
	if _, err := x.Keep(driver.Pump, Rate{PerSecond: 6}, "zoe", noon); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Keep(driver.Pump, Rate{PerSecond: 600}, "zoe", noon); err == nil {
		t.Error("an impossible rate was kept")
	}
	if _, err := x.Keep(driver.Heater, Rate{PerSecond: 6}, "zoe", noon); err == nil {
		t.Error("a heater was calibrated")
	}
	away := filepath.Join(t.TempDir(), "away")
	if err := os.Rename(dir, away); err != nil { // no file can be made there
		t.Fatal(err)
	}
	if _, err := x.Keep(driver.Pump, Rate{PerSecond: 7}, "zoe", noon); err == nil {
		t.Error("kept without a file")
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*Store{x, open(t, dir)} {
		if v, _ := x.InForce(driver.Pump); v.PerSecond != 6 || v.N != 1 {
			t.Errorf("in force: %+v", v)
		}
	}
}

func TestDamaged(t *testing.T) {
	good := `{"format":1,"parts":{"pump":{"in_force":2,"by":"zoe","at":"2026-05-04T12:00:00Z","versions":[` +
		`{"n":1,"at":"2026-05-04T12:00:00Z","by":"zoe","per_second":6,"delay_ms":0,"worst":0,"before":0},` +
		`{"n":2,"at":"2026-05-04T12:00:00Z","by":"zoe","per_second":7,"delay_ms":0,"worst":0,"before":1}]}}}`
	if _, err := decode([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":            "",
		"cut":              good[:len(good)-9],
		"two":              good + good,
		"another format":   strings.Replace(good, `"format":1`, `"format":2`, 1),
		"unknown key":      strings.Replace(good, `"format":1`, `"format":1,"fromat":1`, 1),
		"no parts":         `{"format":1}`,
		"a null":           `{"format":1,"parts":{"pump":null}}`,
		"no such part":     strings.Replace(good, `"pump"`, `"heater"`, 1),
		"a wild rate":      strings.Replace(good, `"per_second":7`, `"per_second":700`, 1),
		"below nothing":    strings.Replace(good, `"per_second":7`, `"per_second":-7`, 1),
		"a wild delay":     strings.Replace(good, `"delay_ms":0`, `"delay_ms":11000`, 1),
		"before the start": strings.Replace(good, `"delay_ms":0`, `"delay_ms":-1`, 1),
		"out of order":     strings.Replace(good, `"n":2`, `"n":1`, 1),
		"before itself":    strings.Replace(good, `"before":1`, `"before":2`, 1),
		"not there":        strings.Replace(good, `"in_force":2`, `"in_force":3`, 1),
		"swapped after":    strings.Replace(good, `"in_force":2`, `"swapped":{"at":"2026-05-04T12:00:00Z","by":"a","why":"b","after":3},"in_force":2`, 1),
		"too long":         good + strings.Repeat(" ", maxFile),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, Name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir)
			bad, ok := errors.AsType[*DamagedError](err)
			if !ok || bad.Path != path || !strings.Contains(err.Error(), "or remove it") {
				t.Errorf("not refused: %v", err)
			}
			if raw, _ := os.ReadFile(path); string(raw) != text {
				t.Error("the file was changed")
			}
		})
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, Name), 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a folder was read")
	}
}
