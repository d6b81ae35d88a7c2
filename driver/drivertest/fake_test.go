package drivertest

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/driver"
)

func texts(edges []Edge) []string {
	var out []string
	for _, e := range edges {
		out = append(out, e.String())
	}
	return out
}

func TestFakeRecordsEdges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFake(driver.Pump, driver.Grinder)
		pump := f.Rig().Outputs[driver.Pump]
		for _, step := range []func() error{
			func() error { return pump.On(3 * time.Second) },
			func() error { return pump.On(2 * time.Second) },
			pump.Off,
			pump.Off,
			func() error { return pump.On(time.Second) },
		} {
			time.Sleep(time.Second)
			if err := step(); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Second / 2)
		want := []string{"1s pump on", "3s pump off", "5s pump on"}
		if diff := cmp.Diff(want, texts(f.Edges())); diff != "" {
			t.Error(diff)
		}
		if f.Rises(driver.Pump) != 2 || f.Calls() != 5 || f.Asked(driver.Pump) != time.Second {
			t.Errorf("rises %d, calls %d, asked %v", f.Rises(driver.Pump), f.Calls(), f.Asked(driver.Pump))
		}
		if got, want := f.OnFor(driver.Pump), 2500*time.Millisecond; got != want {
			t.Errorf("on for %v, want %v", got, want)
		}
		if !f.AnyOn() || !f.Levels()[driver.Pump] || f.Level(driver.Grinder) || f.OnFor(driver.Grinder) != 0 {
			t.Error("levels")
		}
		f.Force(driver.Pump, false)
		if f.AnyOn() {
			t.Error("still on")
		}
	})
}

func TestFakeFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFake()
		pump := f.Rig().Outputs[driver.Pump]
		burnt := errors.New("burnt")

		f.Fault(driver.Pump, On, Fault{Err: burnt, Times: 2})
		for range 2 {
			if err := pump.On(1); !errors.Is(err, burnt) || f.Level(driver.Pump) {
				t.Errorf("err %v, level %v", err, f.Level(driver.Pump))
			}
		}
		if err := pump.On(1); err != nil {
			t.Error("the third call was struck too")
		}
		f.Fault(driver.Pump, Off, Fault{Err: burnt, Moved: true})
		if err := pump.Off(); !errors.Is(err, burnt) || f.Level(driver.Pump) {
			t.Errorf("err %v, level %v", err, f.Level(driver.Pump))
		}
		f.Fault(driver.Pump, Off, Fault{})
		if err := pump.Off(); err != nil {
			t.Error(err)
		}

		release := make(chan struct{})
		f.Fault(driver.Pump, On, Fault{Delay: time.Second, Block: release, Times: 1})
		done := make(chan error)
		go func() { done <- pump.On(1) }()
		time.Sleep(time.Minute)
		close(release)
		synctest.Wait()
		if f.Level(driver.Pump) {
			t.Error("on before its delay")
		}
		if err := <-done; err != nil || !f.Level(driver.Pump) {
			t.Errorf("err %v, level %v", err, f.Level(driver.Pump))
		}

		f.Unplug()
		if err := pump.Off(); !errors.Is(err, driver.ErrGone) || !f.Level(driver.Pump) {
			t.Errorf("unplugged: err %v, level %v", err, f.Level(driver.Pump))
		}
		f.Plug()
		if err := pump.Off(); err != nil || f.Level(driver.Pump) {
			t.Errorf("plugged in again: err %v, level %v", err, f.Level(driver.Pump))
		}
	})
}

func TestFakeSensors(t *testing.T) {
	f := NewFake()
	f.Remove(driver.Door)
	f.Set(driver.Temperature, 91.5)
	f.Break(driver.Cup)
	f.SetFunc(driver.Flow, func() (float64, error) { return float64(f.Rises(driver.Pump)), nil })
	sensors := f.Rig().Sensors
	if _, there := sensors[driver.Door]; there {
		t.Error("a door")
	}
	for s, want := range map[driver.Signal]float64{driver.Temperature: 91.5, driver.Flow: 0, driver.Tank: 1} {
		r, err := sensors[s].Read()
		if err != nil || r.Value != want || r.At.IsZero() {
			t.Errorf("%s reads %v (%v), want %v", s, r, err, want)
		}
	}
	if _, err := sensors[driver.Cup].Read(); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("a broken sensor: %v", err)
	}
	f.Unplug()
	if _, err := sensors[driver.Tank].Read(); !errors.Is(err, driver.ErrGone) {
		t.Errorf("unplugged: %v", err)
	}
}

// What a caller may not do is noted.
func TestFakeHarm(t *testing.T) { synctest.Test(t, fakeHarm) }

func fakeHarm(t *testing.T) {
	f := NewFake(driver.Pump, driver.Milk)
	f.SetPort("board", driver.Pump, driver.Milk)
	rig := f.Rig()
	release, busy := make(chan struct{}), make(chan error)
	f.Fault(driver.Pump, On, Fault{Block: release})
	go func() { busy <- rig.Outputs[driver.Pump].On(1) }()
	synctest.Wait()
	_ = rig.Outputs[driver.Milk].On(0)
	close(release)
	<-busy
	if err := rig.Close(); err != nil {
		t.Error(err)
	}
	_ = rig.Outputs[driver.Milk].Off()
	want := []string{
		"on of milk while port board was busy with pump",
		"on of milk without a bound",
		"off of milk after close",
	}
	if diff := cmp.Diff(want, f.Harm()); diff != "" {
		t.Error(diff)
	}
	f.Rig()
	if err := rig.Outputs[driver.Milk].Off(); err != nil {
		t.Errorf("opened anew: %v", err)
	}
}
