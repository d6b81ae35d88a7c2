// Package vm tests the package on a real kernel under a real systemd, in a
// virtual machine whose GPIO chip is simulated and whose metal is a plant. It
// judges by what the kernel saw on the lines and by what was physically poured,
// never by what the service says of itself, unless that is the question.
//
// It runs by make test-vm only, because it takes minutes and root. Everything is
// one boot after another of one machine, in the order of TestMachine.
package vm

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"barista/fleet"
)

var (
	wanted = flag.Bool("vm", false, "run the tests of the virtual machine")
	cache  = flag.String("cache", "cache", "`FOLDER` of the parts that do not change")
	debs   = flag.String("debs", "../../dist/vm", "`FOLDER` with old.deb, new.deb and the test binary blocked")
	keep   = flag.Bool("keep", false, "leave the machine on at the end, to look at it")
	attach = flag.String("attach", "", "use the machine that runs behind these `PORTS`, hand:broker, as it is")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if !*wanted {
		fmt.Println("the virtual machine's tests were not asked for: make test-vm")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// parts makes what does not change, or finds it in the cache.
func parts(t *testing.T) (kernel, root string) {
	t.Helper()
	var out bytes.Buffer
	build := exec.Command("./build.sh", *cache)
	build.Stdout, build.Stderr = &out, os.Stderr
	err := build.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() == 77 {
		t.Skip("NOT RUN: the virtual machine can't be built here, see above")
	}
	lines := strings.Fields(out.String())
	if err != nil || len(lines) != 2 {
		t.Fatalf("build.sh: %v: %s", err, out.String())
	}
	return lines[0], lines[1]
}

// TestMachine is the whole of it.
func TestMachine(t *testing.T) {
	began := time.Now()
	v := &visit{}
	if *attach != "" {
		var g guest
		if _, err := fmt.Sscanf(*attach, "%d:%d", &g.hand, &g.broker); err != nil {
			t.Fatal(err)
		}
		g.dir = os.Getenv("VM_DIR")
		v.g = &g
		v.connect(t)
	} else {
		kernel, root := parts(t)
		dir, err := os.MkdirTemp("", "barista-vm-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		g, err := newGuest(dir, kernel, root, install)
		if err != nil {
			t.Fatal(err)
		}
		v.g = g
		t.Logf("%.0f s: parts, %v", time.Since(began).Seconds(), g.accel)
		t.Cleanup(v.leave(t))
	}
	for _, step := range []struct {
		name string
		do   func(*visit, *testing.T)
	}{
		{"power-up", (*visit).powerUp},
		{"sandbox", (*visit).sandbox},
		{"drink", (*visit).drink},
		{"second", (*visit).second},
		{"no-flow", (*visit).noFlow},
		{"tank", (*visit).tank},
		{"cup-gone", (*visit).cupGone},
		{"cup-left", (*visit).cupLeft},
		{"jam", (*visit).jam},
		{"kill", func(v *visit, t *testing.T) { v.kill(t, false) }},
		{"kill-held", func(v *visit, t *testing.T) { v.kill(t, true) }},
		{"hang", (*visit).hang},
		{"term", (*visit).term},
		{"upgrade", (*visit).upgrade},
		{"blocked", (*visit).blocked},
		{"reboot", (*visit).reboot},
		{"join", (*visit).join},
		{"remove", (*visit).remove},
	} {
		start := time.Now()
		v.retry, v.strict = false, false
		ok := t.Run(step.name, func(t *testing.T) { step.do(v, t) })
		if v.retry {
			v.strict = true
			ok = t.Run(step.name+"-again", func(t *testing.T) { step.do(v, t) })
		}
		if d := time.Since(start); d > time.Second {
			t.Logf("%s took %.1f s, ok: %v", step.name, d.Seconds(), ok)
		}
		if v.shop == nil {
			t.Fatal("there is no machine: the rest was not run")
		}
	}
	v.report(t)
	t.Logf("all of it: %.0f s", time.Since(began).Seconds())
}

// visit is the tester with the machine.
type visit struct {
	g      *guest
	shop   *shop
	orders int
	late   []time.Duration // of every switching of a drink that went well
	retry  bool            // the step is to be done once more, and then counts
	strict bool            // this is that
}

// leave switches the machine off; the console is shown where something failed.
func (v *visit) leave(t *testing.T) func() {
	return func() {
		if t.Failed() {
			if out, err := v.g.exec(context.Background(), "journalctl -b -u 'barista@*' --no-pager | tail -150"); err == nil {
				t.Log(out)
			}
			if b, err := os.ReadFile(filepath.Join(v.g.dir, "console.log")); err == nil {
				t.Logf("console: %s", b[max(0, len(b)-2000):])
			}
		}
		if *keep {
			fmt.Fprintf(os.Stderr, "the machine stays on: -attach %d:%d, VM_DIR=%s\n", v.g.hand, v.g.broker, v.g.dir)
			<-v.g.gone
		}
		v.g.unplug()
	}
}

// install puts the package into a bare Debian and says that shop and machine are
// two services of every boot. The next thing that happens is that the power comes.
func install(folder string) error {
	deb, err := os.ReadFile(filepath.Join(*debs, "old.deb"))
	if err != nil {
		return fmt.Errorf("the package is made by make test-vm: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "srv/old.deb"), deb, 0o644); err != nil {
		return err
	}
	return run("chroot", folder, "/bin/bash", "-ec", `export PATH=/usr/sbin:/usr/bin:/sbin:/bin
dpkg -i /srv/old.deb
cd /usr/share/doc/barista/examples
cp gpio-relays.yaml /etc/barista/zoe.yaml
grep -v '^state:' shop.yaml >/etc/barista/shop.yaml
for f in zoe shop; do barista check /etc/barista/$f.yaml; done
systemctl enable barista@shop barista@zoe`)
}

// property asks systemd.
func (v *visit) property(t *testing.T, unit, name string) string {
	t.Helper()
	return v.g.must(t, "systemctl show -P "+name+" "+unit)
}

// pid is the process of a service that is up; it waits for it. since is the pid
// that it must not be.
func (v *visit) pid(t *testing.T, unit string, not int) int {
	t.Helper()
	pid := 0
	v.g.eventually(t, 90*time.Second, unit+" to be up", func() bool {
		out, err := v.g.exec(t.Context(), "systemctl show -p ActiveState,MainPID "+unit)
		n, err2 := fmt.Sscanf(out, "MainPID=%d\nActiveState=active", &pid)
		return err == nil && err2 == nil && n == 1 && pid != 0 && pid != not
	})
	return pid
}

// up is when a service became ready, on the guest's clock.
func (v *visit) up(t *testing.T, unit string) time.Duration {
	t.Helper()
	us, err := strconv.Atoi(v.property(t, unit, "ActiveEnterTimestampMonotonic"))
	if err != nil || us == 0 {
		t.Fatalf("%s was never ready", unit)
	}
	return time.Duration(us) * time.Microsecond
}

const (
	zoe  = "barista@zoe"
	open = "barista@shop"
)

// partsOnPins is what the sample has wired.
var partsOnPins = []string{"grinder", "pump", "milk", "sugar"}

// powerUp: from the moment at which the chip has power until the service is
// ready, no output leaves its rest. milk is on at low level, the others at high.
func (v *visit) powerUp(t *testing.T) {
	start := time.Now()
	if *attach == "" {
		if err := v.g.boot(); err != nil {
			t.Fatal(err)
		}
	}
	v.atRest(t)
	t.Logf("ready %.1f s after the power came", time.Since(start).Seconds())
	v.connect(t)
}

// atRest waits for the services of this boot and sees that nothing moved.
func (v *visit) atRest(t *testing.T) {
	t.Helper()
	v.pid(t, open, 0)
	pid := v.pid(t, zoe, 0)
	ready := v.up(t, zoe)
	list := v.g.after(t, 0)
	asked := map[string]int{}
	for _, e := range list {
		if e.Part == "" || e.What == "wire" || e.At > ready {
			continue
		}
		if e.PID == pid || strings.HasPrefix(e.By, "barista") {
			asked[e.Part]++
		}
		if e.On {
			t.Errorf("before it was ready: %v", e)
		}
	}
	for _, p := range partsOnPins {
		if asked[p] == 0 {
			t.Errorf("the kernel saw nobody ask for the line of %s: is the trace right?", p)
		}
	}
	t.Logf("shop ready at %.2f s of the guest's clock, machine at %.2f s; what the kernel saw of outputs before: %v", v.up(t, open).Seconds(), ready.Seconds(), asked)
}

func (v *visit) sandbox(t *testing.T) {
	out := v.g.must(t, "systemd-analyze security --no-pager "+zoe+" | tail -1")
	words := strings.Fields(out[strings.Index(out, ":")+1:])
	if n, err := strconv.ParseFloat(words[0], 64); err != nil || n > 1.5 {
		t.Errorf("%s (%v)", out, err)
	}
	t.Log(out)
}

// drink: an order from another computer, over TCP, switches grinder, pump, milk
// and sugar as the timeline has it; the pour ends by the flow meter.
func (v *visit) drink(t *testing.T) {
	mark, flows := v.g.mark(t), len(v.g.flows(t, gpio))
	id := v.order(t, order{size: "small", milk: "normal", sugar: 1})
	v.phase(t, id, fleet.Served)
	late := v.g.compare(t, v.g.timeline(t, "small --milk normal --sugar 1", 40), v.g.after(t, mark))
	moves := changes(v.g.after(t, mark))
	worst := time.Duration(0)
	for i, d := range late {
		worst = max(worst, d)
		v.limit(t, fmt.Sprintf("switching %d, beside the timeline,", i), d, 250*time.Millisecond, moves[i].At)
	}
	v.late = append(v.late, late...)
	t.Logf("beside the timeline, in order: %v; worst %v", late, worst)

	made := v.g.flows(t, gpio)[flows:]
	if len(made) != 1 || made[0].Kind != "drink" || made[0].Where != "cup" {
		t.Fatalf("poured: %v", made)
	}
	if ml := made[0].CoffeeML; ml < 38 || ml > 42 {
		t.Errorf("poured %.1f ml of 40", ml)
	}
	if g := made[0].GroundG; g < 8.5 || g > 9.5 {
		t.Errorf("ground %.2f g of 9", g)
	}
	if ml := made[0].MilkML; ml < 28 || ml > 32 {
		t.Errorf("%.1f ml milk of 30", ml)
	}
	t.Logf("poured: %v", made[0])
}

// second: whoever starts it again by hand is told so and touches no line.
func (v *visit) second(t *testing.T) {
	pid := v.pid(t, zoe, 0)
	mark := v.g.mark(t)
	out, err := v.g.exec(t.Context(), "runuser -u barista -g barista -G gpio -- timeout 60 barista run --config /etc/barista/zoe.yaml")
	if err == nil || !strings.Contains(err.Error(), "ended with 4") {
		t.Errorf("a second one: %v: %s", err, out)
	}
	t.Logf("a second one says: %s", out)
	for _, e := range v.g.after(t, mark) {
		if e.Line != "" && e.What != "wire" && e.PID != pid {
			t.Errorf("it touched a line: %v", e)
		}
	}
	if now := v.pid(t, zoe, 0); now != pid {
		t.Errorf("the first one was %d and is %d", pid, now)
	}
}

// rests changes how long the grinder rests, so that the tests after it do not
// wait longer than the metal of a real one.
func (v *visit) rests(t *testing.T, long string) {
	t.Helper()
	v.g.must(t, fmt.Sprintf(`sed -i 's/\(grinder: .* rest:\) [0-9]*s/\1 %s/' /etc/barista/zoe.yaml
grep -q 'grinder: .* rest: %s' /etc/barista/zoe.yaml`, long, long))
}

// limit: something took so long, until this moment of the guest's clock, and may
// take that long. Where the emulated computer itself stood still meanwhile, because
// this one was busy, nothing is known: the step is done again, once, and counts.
func (v *visit) limit(t *testing.T, what string, took, most, until time.Duration) {
	t.Helper()
	if took <= most {
		return
	}
	var stood time.Duration
	for _, e := range v.g.after(t, 0) {
		if e.What == "stood" && e.At > until-took && e.At-e.Stood < until {
			stood += e.Stood
		}
	}
	if stood > 0 && !v.strict {
		v.retry = true
		t.Logf("%s took %v, at most %v; but the emulated computer stood still for %v of it: once more", what, took, most, stood)
		return
	}
	t.Errorf("%s took %v, at most %v (the emulated computer stood still for %v of it)", what, took, most, stood)
}
