package sim

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"barista/driver"
	"barista/driver/jura"
	"barista/driver/plant"
	"barista/driver/serial/link"
	"barista/driver/serial/serialtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is a machine and a host that types.
type desk struct {
	t    *testing.T
	m    *Machine
	host *serialtest.End
	harm error

	cancel context.CancelFunc
	all    sync.WaitGroup

	mu    sync.Mutex
	heard []string
	raw   []byte
}

func at(t *testing.T, cfg Config, f func(d *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		m.Plant().PlaceCup()
		d := &desk{t: t, m: m}
		var ctx context.Context
		ctx, d.cancel = context.WithCancel(context.Background())
		d.all.Go(func() { d.harm = m.Run(ctx) })
		cable := serialtest.New(1)
		d.host = cable.Host()
		d.all.Go(func() { _ = m.Serve(ctx, cable.Device()) })
		d.all.Go(d.listen)
		f(d)
		d.end()
	})
}

func (d *desk) end() {
	d.cancel()
	_ = d.host.Close()
	d.all.Wait()
}

func (d *desk) listen() {
	var l jura.Lines
	buf := make([]byte, 256)
	for {
		n, err := d.host.Read(buf)
		if err != nil {
			return
		}
		d.mu.Lock()
		d.raw = append(d.raw, buf[:n]...)
		for _, b := range buf[:n] {
			if line, whole := l.Feed(b); whole {
				d.heard = append(d.heard, line)
			}
		}
		d.mu.Unlock()
	}
}

// say types a line as a host should, and returns what was answered within 2 s.
func (d *desk) say(line string) string { return d.sayWith(line, 12500*time.Microsecond, 4) }

func (d *desk) sayWith(line string, pace time.Duration, piece int) string {
	d.mu.Lock()
	d.heard = nil
	d.mu.Unlock()
	for _, c := range []byte(line + "\r\n") {
		raw := jura.AppendByte(nil, c, jura.HighFiller)
		for i := 0; i < len(raw); i += piece {
			if _, err := d.host.Write(raw[i:min(i+piece, len(raw))]); err != nil && !errors.Is(err, io.ErrClosedPipe) {
				d.t.Fatal(err)
			}
			if piece < 4 {
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(pace)
	}
	time.Sleep(2 * time.Second)
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.heard, "|")
}

func (d *desk) want(line, answer string) {
	d.t.Helper()
	if got := d.say(line); got != answer {
		d.t.Errorf("%s is answered with %q, want %q", line, got, answer)
	}
}

func TestAnswers(t *testing.T) {
	for model, want := range map[string][][2]string{
		"EF532M": {
			{"TY:", "ty:EF532M V02.03"}, {"IC:", "ic:9701"}, {"IC:", "ic:9F01"}, {"RE:0000", "re:0007"}, {"RE:0020", "re:0000"},
			{"RT:0000", "rt:" + strings.Repeat("0007", 16)}, {"RT:000E", "rt:00070007" + strings.Repeat("0000", 14)},
			{"ty:", ""}, {"TY", ""}, {"TY:1", ""}, {"XX:", ""}, {"FA:3F", ""}, {"FA:4", ""}, {"FA:0a", ""}, {"RT:00", ""}, {"FN:99", ""}, {"", ""},
			{"FA:01", "ok:"}, {"AN:02", "ok:"}, {"TY:", ""}, {"AN:01", "ok:"}, {"TY:", "ty:EF532M V02.03"},
		},
		"PIM":    {{"TY:", "ty:PIM V01.01"}, {"IC:", "ic:0480"}, {"FA:01", "ok:"}, {"IC:", ""}, {"AN:01", "ok:"}, {"FN:01", ""}},
		"EF658M": {{"TY:", "ty:EF658M V03.03"}, {"IC:", "ic:0301EE"}, {"RE:0280", "re:0007"}, {"RE:0000", "re:0000"}},
		"EF516M": {{"TY:", "ty:EF516M V01.25"}, {"IC:", "ic:00100E"}, {"IC:", "ic:001406"}},
		"E30":    {{"TY:", "ty:E30   MASK 3"}, {"IC:", "ic:0000"}, {"FA:04", ""}},
	} {
		t.Run(model, func(t *testing.T) {
			at(t, Config{Model: model, Count: 7}, func(d *desk) {
				for _, x := range want {
					d.want(x[0], x[1])
				}
				d.end()
				if d.harm != nil {
					t.Errorf("harm: %v", d.harm)
				}
			})
		})
	}
}

// The same bits mean the opposite on two models.
func TestInputsShow(t *testing.T) {
	at(t, Config{}, func(d *desk) {
		d.m.Fault(NoTray)
		d.want("IC:", "ic:8F01"[:3]+"8701")
		d.m.Mend(NoTray)
		d.m.Fault("tank-empty")
		d.want("IC:", "ic:9F21")
	})
	at(t, Config{Model: "PIM"}, func(d *desk) {
		d.m.Fault(NoTray)
		d.want("IC:", "ic:1480")
		d.m.Mend(NoTray)
		d.m.Fault("tank-empty")
		d.want("IC:", "ic:2480")
	})
	at(t, Config{Model: "EF658M"}, func(d *desk) {
		d.m.Fault(Drawer)
		d.want("IC:", "ic:0303EE")
	})
}

func TestProducts(t *testing.T) {
	at(t, Config{}, func(d *desk) {
		for _, c := range []struct {
			key, product string
			counts       bool
		}{
			{"FA:06", "hot water", false}, {"FA:04", "espresso", true}, {"FA:05", "coffee", true}, {"FA:07", "cappuccino", true},
		} {
			drinks, count := d.m.Plant().Counts().Drinks, d.m.Counter(c.product)
			d.want(c.key, "ok:")
			if d.m.Running() != c.product {
				t.Errorf("%s: %q is made", c.key, d.m.Running())
			}
			time.Sleep(2 * time.Minute)
			drinks = d.m.Plant().Counts().Drinks - drinks
			if d.m.Running() != "" || c.counts && (drinks != 1 || d.m.Counter(c.product) != count+1) || !c.counts && drinks != 0 {
				t.Errorf("%s: %q is still made, %d drinks, counter %d", c.key, d.m.Running(), drinks, d.m.Counter(c.product)-count)
			}
			d.m.Plant().Refill()
			d.m.Plant().TakeCup()
			d.m.Plant().PlaceCup()
		}
		if n := d.m.Counter("hot water"); n != -1 {
			t.Errorf("hot water has a counter: %d", n)
		}
		if got := plant.Lines(d.m.Plant().Poured()); !strings.Contains(got, "45.0 ml through 8.0 g") || !strings.Contains(got, "100.0 ml through 9.0 g") || !strings.Contains(got, "60.0 ml milk") {
			t.Errorf("poured:\n%s", got)
		}
		// The display has a second page.
		d.want("FA:09", "ok:")
		d.want("FA:05", "ok:")
		if d.m.Running() != "lungo barista" {
			t.Errorf("%q is made", d.m.Running())
		}
		d.end()
		if d.harm != nil {
			t.Error(d.harm)
		}
	})
}

// A second press of the running product's key stops it; another key does nothing.
func TestSecondPress(t *testing.T) {
	at(t, Config{}, func(d *desk) {
		d.want("FA:05", "ok:")
		d.want("FA:04", "ok:")
		if d.m.Running() != "coffee" {
			t.Errorf("%q is made", d.m.Running())
		}
		d.want("FA:05", "ok:")
		if c := d.m.Plant().Counts(); d.m.Running() != "" || c.Drinks != 0 || len(c.OnNow()) > 0 || d.m.Counter("coffee") != 0 {
			t.Errorf("after the second press: %q is made, %d drinks, on: %v", d.m.Running(), c.Drinks, c.OnNow())
		}
		// Stopped late, it was a drink already, and counts.
		d.want("FA:05", "ok:")
		time.Sleep(20 * time.Second)
		d.m.Press(0x05)
		if c := d.m.Plant().Counts(); c.Drinks != 1 || d.m.Counter("coffee") != 1 {
			t.Errorf("%d drinks, counter %d", c.Drinks, d.m.Counter("coffee"))
		}
		want := []Press{{5, "coffee", false, "port"}, {4, "", false, "port"}, {5, "", true, "port"}, {5, "coffee", false, "port"}, {5, "", true, "hand"}}
		if got := d.m.Presses(); !slices.Equal(got, want) {
			t.Errorf("%+v", got)
		}
	})
}

// What is refused makes no drink, and no drink is no count.
func TestOnlyDrinksCount(t *testing.T) {
	for _, f := range []Fault{NoTray, Drawer, "tank-empty", "beans-out", "jam", "no-flow", Off, Deaf} {
		at(t, Config{}, func(d *desk) {
			d.m.Fault(f)
			d.say("FA:04")
			time.Sleep(2 * time.Minute)
			if c := d.m.Plant().Counts(); c.Drinks != 0 || d.m.Counter("espresso") != 0 || d.m.Running() != "" || len(c.OnNow()) > 0 {
				t.Errorf("%s: %d drinks, counter %d, on: %v", f, c.Drinks, d.m.Counter("espresso"), c.OnNow())
			}
			d.m.Mend(f)
			d.m.Plant().Refill()
			d.want("FA:04", "ok:")
			time.Sleep(2 * time.Minute)
			if d.m.Counter("espresso") != 1 {
				t.Errorf("%s: mended, and the counter is %d", f, d.m.Counter("espresso"))
			}
			d.end()
			if d.harm != nil {
				t.Errorf("%s: %v", f, d.harm)
			}
		})
	}
}

// Harm ends it with an error.
func TestHarm(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		model string
		lines []string
		wait  time.Duration
		want  string
	}{
		{"EF532M", []string{"AN:0A"}, 0, "erases the memory"},
		{"EF532M", []string{"WE:0001,0000"}, 0, "writes into the memory"},
		{"EF532M", []string{"FN:89"}, 0, "debug stream"},
		{"EF532M", []string{"AN:20"}, 0, "test routine"},
		{"PIM", []string{"FA:0F"}, 0, "hangs a J6"},
		{"EF532M", []string{"FN:07"}, 30 * s, "the grinder turned for 25s"},
		{"EF532M", []string{"FN:03"}, 10 * s, "the heater was on for 5s and no water flowed"},
		{"EF532M", []string{"dry", "FN:0D", "FN:22", "FN:01", "FN:03"}, 10 * s, "the heater was on for 5s and no water flowed"},
		{"EF532M", []string{"FN:0D", "FN:22", "FN:01", "FN:03"}, 10 * s, ""},
		{"EF532M", []string{"FN:0D", "FN:0F", "FN:01"}, 0, "not in the brewing position"},
		{"EF532M", []string{"FN:01"}, 0, "not in the brewing position"},
		{"EF532M", []string{"FN:0B"}, 0, "error 8"},
		{"EF532M", []string{"FN:07", "FN:08", "FN:0D", "FN:22", "FN:0B", "FN:0C", "FN:03", "FN:01", "FN:02", "FN:04", "FN:0D"}, 0, ""},
		{"EF532M", []string{"FA:04", "AN:02"}, 60 * s, ""},
	} {
		t.Run(strings.Join(c.lines, " "), func(t *testing.T) {
			at(t, Config{Model: c.model}, func(d *desk) {
				for _, line := range c.lines {
					if line == "dry" {
						d.m.Fault("no-flow")
						continue
					}
					d.say(line)
				}
				time.Sleep(c.wait)
				d.end()
				if (d.harm == nil) != (c.want == "") || d.harm != nil && !strings.Contains(d.harm.Error(), c.want) {
					t.Errorf("%v, want %q", d.harm, c.want)
				}
			})
		})
	}
}

// Outputs stay on when the host is gone, and a product is finished.
func TestHostVanishes(t *testing.T) {
	at(t, Config{}, func(d *desk) {
		d.want("FN:07", "ok:")
		_ = d.host.Close()
		time.Sleep(10 * time.Second)
		if !d.m.Plant().Counts().On[driver.Grinder] {
			t.Error("the grinder stopped by itself")
		}
	})
	at(t, Config{}, func(d *desk) {
		d.want("FA:04", "ok:")
		_ = d.host.Close()
		time.Sleep(2 * time.Minute)
		if d.m.Counter("espresso") != 1 {
			t.Error("the product was not finished")
		}
	})
}

// It is strict about time and pieces.
func TestStrict(t *testing.T) {
	for _, c := range []struct {
		pace  time.Duration
		piece int
		want  string
	}{
		{11500 * time.Microsecond, 4, "ty:EF532M V02.03"},
		{10 * time.Millisecond, 4, ""},
		{0, 4, ""},
		{12500 * time.Microsecond, 1, ""},
		{12500 * time.Microsecond, 2, ""},
	} {
		at(t, Config{}, func(d *desk) {
			if got := d.sayWith("TY:", c.pace, c.piece); got != c.want {
				t.Errorf("pace %v in pieces of %d: %q, want %q", c.pace, c.piece, got, c.want)
			}
		})
	}
	// On a busy computer a line is read at once. Its five characters may have kept
	// their time if nobody had looked for long enough.
	for unseen, answers := range map[time.Duration]int{0: 0, 44 * time.Millisecond: 0, 45 * time.Millisecond: 1, time.Minute: 1} {
		m, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		p, now := &port{m: m}, time.Now()
		p.took(link.Chunk{Bytes: jura.AppendLine(nil, "TY:", jura.LowFiller), Since: now.Add(-unseen), At: now})
		if p.n != answers {
			t.Errorf("not looked for %v: %d answers, want %d", unseen, p.n, answers)
		}
	}
	// Half a line is kept for ever.
	at(t, Config{}, func(d *desk) {
		for _, c := range []byte("FA:0") {
			_, _ = d.host.Write(jura.AppendByte(nil, c, jura.LowFiller))
			time.Sleep(15 * time.Millisecond)
		}
		time.Sleep(time.Hour)
		d.want("4", "ok:")
	})
}

func TestWireFaults(t *testing.T) {
	at(t, Config{Filler: jura.HighFiller}, func(d *desk) {
		d.want("TY:", "ty:EF532M V02.03")
		if len(d.raw) == 0 || d.raw[0]&0x80 == 0 {
			t.Errorf("not the high filler: % X", d.raw)
		}
		d.m.Fault(Doubled)
		d.want("TY:", "ty:EF532M V02.03|ty:EF532M V02.03")
		d.m.Mend(Doubled)
		d.m.Fault(Mute)
		d.want("FA:04", "")
		d.m.Mend(Mute)
		if d.m.Running() != "espresso" {
			t.Error("a mute machine does not obey")
		}
		d.m.Fault(LostOK)
		d.want("FA:04", "")
		d.want("TY:", "ty:EF532M V02.03")
		d.m.Mend(LostOK)
		d.m.Fault(Late)
		began := time.Now()
		if got := d.say("TY:"); got != "ty:EF532M V02.03" || time.Since(began) < lateBy {
			t.Errorf("late: %q", got)
		}
		d.m.Mend(Late)
		d.m.Fault(Damaged)
		good := 0
		for range 9 {
			if d.say("RT:0000") == "rt:"+strings.Repeat("0000", 16) {
				good++
			}
		}
		if good == 9 || good < 5 {
			t.Errorf("damaged: %d of 9 good", good)
		}
		d.m.Mend(Damaged)
		d.m.Fault(Debug)
		time.Sleep(time.Minute)
		if got := d.say("XX:"); strings.Count(got, "ku:") < 10 {
			t.Errorf("debug: %q", got)
		}
	})
}

func TestFaultsByName(t *testing.T) {
	for _, f := range append(Faults(), "tank-empty", "stuck:pump") {
		if got, err := ParseFault(f); err != nil || string(got) != f {
			t.Errorf("%s: %v", f, err)
		}
	}
	for _, f := range []string{"", "of", "stuck", "stuck:pomp"} {
		if _, err := ParseFault(f); err == nil {
			t.Errorf("%q is a fault", f)
		}
	}
	if _, err := New(Config{Model: "E6"}); err == nil || len(Models()) < 5 {
		t.Error("an unknown model is played")
	}
	bad := Plant()
	bad.FlowMLPS = 0
	if _, err := New(Config{Plant: &bad}); err == nil {
		t.Error("a pump without flow is played")
	}
}
