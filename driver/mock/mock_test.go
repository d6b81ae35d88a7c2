package mock

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"barista/driver"
	"barista/driver/drivertest"
	"barista/driver/plant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// process serves a plant on a real socket until stop.
func process(t *testing.T, p *plant.Plant) (path string, stop func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "plant.sock")
	l, err := plant.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- plant.Serve(ctx, l, p) }()
	return path, sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

func open(t *testing.T, cfg Config) (driver.Rig, *Control) {
	t.Helper()
	rig, ctl, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return rig, ctl
}

// everything has every part that a plant can have.
func everything() plant.Config {
	f := plant.Default()
	f.Heater, f.Cups = true, plant.Dispenser
	return f
}

func bench(rig driver.Rig, ctl *Control, p *plant.Plant) drivertest.Bench {
	return drivertest.Bench{
		Rig:    rig,
		Level:  p.On,
		Unplug: ctl.Unplug,
		Rises:  p.Rises,
	}
}

func TestActuatorsInMemory(t *testing.T) {
	drivertest.Actuators(t, func(t *testing.T) drivertest.Bench {
		f := everything()
		rig, ctl := open(t, Config{Figures: &f, Deadman: driver.DeadmanBoard})
		return bench(rig, ctl, ctl.Plant())
	})
}

func TestActuatorsInProcess(t *testing.T) {
	drivertest.Actuators(t, func(t *testing.T) drivertest.Bench {
		p := plant.New(plant.Default())
		path, stop := process(t, p)
		rig, ctl := open(t, Config{Plant: path})
		b := bench(rig, ctl, p)
		b.Stop = stop
		return b
	})
}

// The cable is a whole process here: it is killed, and every command says so.
func TestActuatorsKilledProcess(t *testing.T) {
	drivertest.Actuators(t, func(t *testing.T) drivertest.Bench {
		p := plant.New(plant.Default())
		path, stop := process(t, p)
		rig, ctl := open(t, Config{Plant: path, Deadman: driver.DeadmanBoard})
		b := bench(rig, ctl, p)
		b.Unplug, b.Stop = stop, stop
		return b
	})
}

// A drink through the rig: the sensors tell what the plant does.
func TestDrink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rig, ctl := open(t, Config{Cups: "auto", Serial: "zoe-1"})
		defer rig.Close()
		if d := cmp.Diff(driver.Identity{Kind: "mock", Model: "plant", Serial: "zoe-1"}, rig.Identity); d != "" {
			t.Error(d)
		}
		read := func(s driver.Signal) float64 {
			t.Helper()
			r, err := rig.Sensors[s].Read()
			if err != nil || r.At.IsZero() {
				t.Fatalf("%s: %+v, %v", s, r, err)
			}
			return r.Value
		}
		hold := func(p driver.Part, d time.Duration) {
			t.Helper()
			if err := rig.Outputs[p].On(d); err != nil {
				t.Fatal(err)
			}
			time.Sleep(d)
			if err := rig.Outputs[p].Off(); err != nil {
				t.Fatal(err)
			}
		}
		if read(driver.Cup) != 0 {
			t.Error("a cup at once")
		}
		time.Sleep(500 * time.Millisecond)
		for _, s := range []driver.Signal{driver.Cup, driver.Hot, driver.Tank, driver.Beans, driver.Tray, driver.Door, driver.Stop} {
			if read(s) != 1 {
				t.Errorf("%s is not good", s)
			}
		}
		hold(driver.Grinder, 7500*time.Millisecond)
		hold(driver.Sugar, time.Second)
		hold(driver.Pump, 7*time.Second)
		hold(driver.Milk, 6*time.Second)
		if g, ml := read(driver.Weight), read(driver.Flow); g < 8.99 || g > 9.01 || ml < 41.8 || ml > 42 {
			t.Errorf("%v g, %v ml", g, ml)
		}
		if read(driver.Temperature) != 93 {
			t.Error("not hot")
		}
		want := "9s-16s drink: 42.0 ml through 9.0 g, 30.0 ml milk, 1 sugar, into the cup\n"
		if got := plant.Lines(ctl.Plant().Poured()); got != want {
			t.Errorf("poured %s", got)
		}

		// The board's own timer is not used where the dead man's switch is another.
		if err := rig.Outputs[driver.Pump].On(time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if !ctl.Plant().On(driver.Pump) {
			t.Error("the pump went off by itself")
		}

		ctl.Plant().Fault(plant.Fault{Kind: plant.SensorOpen, Signal: driver.Flow})
		if _, err := rig.Sensors[driver.Flow].Read(); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("open sensor: %v", err)
		}
		if err := rig.Outputs[driver.Milk].On(0); err == nil {
			t.Error("on for no time")
		}
		ctl.Unplug()
		if _, err := rig.Sensors[driver.Cup].Read(); !errors.Is(err, driver.ErrGone) {
			t.Errorf("unplugged: %v", err)
		}
		if err := rig.Outputs[driver.Pump].Off(); !errors.Is(err, driver.ErrGone) {
			t.Errorf("off unplugged: %v", err)
		}
		ctl.Plug()
		if !ctl.Plant().On(driver.Pump) {
			t.Error("plugging in switched the pump off")
		}
		if err := rig.Outputs[driver.Pump].Off(); err != nil || ctl.Plant().On(driver.Pump) {
			t.Error("not off after plugging in")
		}
	})
}

// A machine that was killed in mid-pour comes back: its board went on pouring,
// Open puts it at rest, and its meters begin at nought.
func TestReopen(t *testing.T) {
	f := everything()
	f.Speed = 1000
	p := plant.New(f)
	path, stop := process(t, p)
	defer stop()
	first, _ := open(t, Config{Plant: path})
	for _, part := range []driver.Part{driver.Grinder, driver.Pump} {
		if err := first.Outputs[part].On(time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Close(); err != nil { // as a kill does: it lets go and switches nothing
		t.Fatal(err)
	}
	late, again := time.After(30*time.Second), time.NewTicker(time.Millisecond)
	defer again.Stop()
	for p.Counts().Drinks == 0 {
		select {
		case <-late:
			t.Fatal("nothing is poured")
		case <-again.C:
		}
	}
	second, ctl := open(t, Config{Plant: path})
	defer second.Close()
	if on := p.Counts().OnNow(); len(on) > 0 {
		t.Errorf("on after open: %v", on)
	}
	for _, s := range []driver.Signal{driver.Flow, driver.Weight} {
		if r, err := second.Sensors[s].Read(); err != nil || r.Value != 0 {
			t.Errorf("%s: %+v %v", s, r, err)
		}
	}
	if ctl.Plant() != nil {
		t.Error("a plant in memory beside a process")
	}
	if poured, err := ctl.Handle().Poured(); err != nil || len(poured) != 1 || poured[0].Where != plant.InTray {
		t.Errorf("poured %v %v", poured, err)
	}
}

// A plant process that hangs: Off says within its declared bound that the part
// may be on, over a connection that waited and over a new one.
func TestOffOfAHungPlant(t *testing.T) {
	p := plant.New(plant.Default())
	behind, stop := process(t, p)
	defer stop()
	path := filepath.Join(t.TempDir(), "hangs.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var hung atomic.Bool
	var all sync.WaitGroup
	defer all.Wait()
	defer l.Close()
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				to, err := net.Dial("unix", behind)
				if err != nil {
					return
				}
				defer to.Close()
				buf := make([]byte, 4096)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if hung.Load() {
						continue // taken, never answered
					}
					_, _ = to.Write(buf[:n])
					n, _ = to.Read(buf)
					_, _ = c.Write(buf[:n])
				}
			})
		}
	})
	rig, _ := open(t, Config{Plant: path})
	defer rig.Close()
	hung.Store(true)
	var took []time.Duration
	for range 12 { // more than the connections that wait
		began := time.Now()
		err := rig.Outputs[driver.Pump].Off()
		if took = append(took, time.Since(began)); !errors.Is(err, driver.ErrGone) || !strings.Contains(err.Error(), "may be on") {
			t.Error(err)
		}
	}
	// The quickest: a busy computer may take its time with any of them.
	if slices.Min(took) > rig.OffWithin {
		t.Errorf("%v, not within %v", took, rig.OffWithin)
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		cfg   Config
		words []string
	}{
		{Config{}, nil},
		{Config{Cups: "auto", Speed: 10, FailRate: 0.1, Seed: 3, Heater: true, Without: []driver.Signal{driver.Flow}}, nil},
		{Config{Speed: -1, FailRate: 2, Cups: "never", Deadman: "dog", Without: []driver.Signal{"smell"}}, []string{"speed", "fail_rate", `"never"`, `"dog"`, `"smell"`}},
		{Config{Plant: "x", Speed: 2, FailRate: 0.5, Cups: "auto", Seed: 1, Heater: true}, []string{"speed", "fail_rate", "cups", "seed", "heater", "plant process at x"}},
	} {
		err := c.cfg.Check()
		if (err != nil) != (c.words != nil) {
			t.Errorf("%+v: %v", c.cfg, err)
		}
		for _, w := range c.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s is not named in: %v", w, err)
			}
		}
		if c.words != nil {
			if _, _, err := Open(c.cfg); err == nil {
				t.Errorf("%+v was opened", c.cfg)
			}
		}
	}
	rig, ctl := open(t, Config{Heater: true, Cups: "auto", Without: []driver.Signal{driver.Flow}})
	if _, there := rig.Sensors[driver.Flow]; there || len(rig.Sensors) != len(driver.Signals)-1 {
		t.Error("a sensor that it should not have")
	}
	if _, there := rig.Outputs[driver.Heater]; !there || !ctl.Plant().Config().Refill {
		t.Error("no heater, or nobody fills up")
	}
	if rig, _ := open(t, Config{}); len(rig.Outputs) != 4 {
		t.Errorf("%d outputs", len(rig.Outputs))
	}
	if _, _, err := Open(Config{Plant: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, driver.ErrGone) {
		t.Errorf("no process: %v", err)
	}
}
