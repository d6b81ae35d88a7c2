package vm

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"barista/fleet"
	"barista/machine"
)

// signal sends one to the machine's process and tells when the kernel saw it.
func (v *visit) signal(t *testing.T, name string, number int) (at time.Duration, pid int) {
	t.Helper()
	pid = v.pid(t, zoe, 0)
	mark := v.g.mark(t)
	v.g.must(t, fmt.Sprintf("kill -%s %d", name, pid))
	e := v.g.until(t, mark, 20*time.Second, "the signal", func(e event) bool { return e.What == "signal" && e.Sig == number && e.To == pid })
	return e.At, pid
}

// kill: kill -9 in mid-pour. released: the kernel lets go of the lines with the
// process. held: lines keep their level, as on Raspberry Pi's own kernel, and
// safe-off has to do it.
func (v *visit) kill(t *testing.T, held bool) {
	flag := "N"
	if held {
		flag = "Y"
	}
	v.g.must(t, "echo "+flag+" >/sys/module/gpio_sim/parameters/persist")
	id, mark, _ := v.pouring(t, order{size: "small"})
	<-time.After(1500 * time.Millisecond)
	at, pid := v.signal(t, "KILL", 9)
	v.stopped(t, id, mark, at, pid, time.Second)
	v.g.must(t, "echo N >/sys/module/gpio_sim/parameters/persist")
}

// stopped: a process that ended in mid-pour. Everything is at rest in time; the
// service is back and says what it was doing; the order is unknown and not poured
// again by itself, until a person settles it.
func (v *visit) stopped(t *testing.T, id string, mark int, at time.Duration, pid int, limit time.Duration) {
	t.Helper()
	off := v.off(t, mark, time.Minute)
	took := off - at
	v.limit(t, "coming to rest", took, limit, off)
	after := v.g.mark(t)
	now := v.pid(t, zoe, pid)
	t.Logf("at rest %v after it, ready again %v after it (process %d, then %d)", took, v.up(t, zoe)-at, pid, now)
	c := v.phase(t, id, fleet.Unknown)
	if c.Outcome != fleet.OutcomeUnknown {
		t.Errorf("the outcome is %s", c.Outcome)
	}
	if out := v.g.must(t, fmt.Sprintf("journalctl -b _PID=%d --no-pager", now)); !strings.Contains(out, id) {
		t.Errorf("the new process does not say what the old one was doing:\n%s", out)
	}
	v.quiet(t, after, "the order is unknown", 4*time.Second)
	t.Logf("the shop says: %s", c.Reason.Text)
	v.g.must(t, "barista settle "+id+` not-made --yes --by tester --reason "the cup is half full"`)
	v.phase(t, id, fleet.Failed)
}

// hang: the process is stopped, not dead. The watchdog ends it.
func (v *visit) hang(t *testing.T) {
	id, mark, _ := v.pouring(t, order{size: "small"})
	<-time.After(time.Second)
	at, pid := v.signal(t, "STOP", 19)
	v.stopped(t, id, mark, at, pid, 6*time.Second)
}

// term: systemctl stop in mid-pour. The drink is finished, then the service stops.
func (v *visit) term(t *testing.T) {
	flows := len(v.g.flows(t, gpio))
	id, mark, pump := v.pouring(t, order{size: "small"})
	v.g.must(t, "systemctl stop "+zoe)
	end := v.off(t, mark, time.Minute)
	if ran := end - pump.At; ran < 5500*time.Millisecond {
		t.Errorf("the pump ran %v only", ran)
	}
	if s := v.property(t, zoe, "Result"); s != "success" {
		t.Errorf("the service ended with %s", s)
	}
	v.phase(t, id, fleet.Served)
	if made := v.g.flows(t, gpio)[flows:]; len(made) != 1 || made[0].Kind != "drink" || made[0].CoffeeML < 38 {
		t.Errorf("poured: %v", made)
	} else {
		t.Logf("finished: %v", made[0])
	}
	v.g.must(t, "systemctl start "+zoe)
}

// upgrade: a newer package comes while three orders wait and the first is poured.
// Each is served and was poured once.
func (v *visit) upgrade(t *testing.T) {
	if err := v.g.put(filepath.Join(*debs, "new.deb"), "/srv/new.deb"); err != nil {
		t.Fatal(err)
	}
	flows := len(v.g.flows(t, gpio))
	first, mark, _ := v.pouring(t, order{size: "small"})
	ids := []string{first, v.order(t, order{size: "small"}), v.order(t, order{size: "small"})}
	pid := v.pid(t, zoe, 0)
	t.Log(v.g.must(t, "dpkg -i /srv/new.deb; dpkg-query -W barista"))
	if now := v.pid(t, zoe, 0); now == pid {
		t.Error("the machine still runs the old program")
	}
	// While it started, nobody may have seen the first cup go: then it waits until
	// somebody takes what stands there. Else it is at the second order already, and
	// nobody takes a cup from under it.
	v.g.eventually(t, time.Minute, "the second order to begin, or a cup to be in its way", func() bool {
		ground := 0
		for _, e := range v.g.after(t, mark) {
			if e.Part == "grinder" && e.On {
				ground++
			}
		}
		if ground > 1 {
			return true
		}
		here, err := v.shop.conn.Fleet().Present(t.Context())
		stands := err == nil && slices.ContainsFunc(here, func(p fleet.Presence) bool {
			return p.Machine == "zoe" && p.State == fleet.StateWaiting && p.Code == string(machine.CupStands)
		})
		if stands {
			v.g.do(t, "take", "")
		}
		return stands
	})
	for _, id := range ids {
		c := v.phase(t, id, fleet.Served)
		if c.Epoch != 1 {
			t.Errorf("%s needed %d tries: %+v", id, c.Epoch, c.Past)
		}
	}
	made := v.g.flows(t, gpio)[flows:]
	for _, f := range made {
		if f.Kind != "drink" || f.Where != "cup" {
			t.Errorf("poured: %v", f)
		}
	}
	if len(made) != len(ids) {
		t.Errorf("%d orders, poured %d: %v", len(ids), len(made), made)
	}
}

// blocked: the process lives and its control loop does not. The guard's lease
// ends first, then the watchdog; the fault is latched. The binary is one with a
// way to block it; the package has none.
func (v *visit) blocked(t *testing.T) {
	if err := v.g.put(filepath.Join(*debs, "blocked"), "/srv/blocked"); err != nil {
		t.Fatal(err)
	}
	_, _ = v.g.exec(t.Context(), `barista machine clear-fault zoe --by tester --reason "where it is done again"`)
	v.g.must(t, "cp /usr/bin/barista /srv/packaged; cp /srv/blocked /usr/bin/barista.new; mv /usr/bin/barista.new /usr/bin/barista; systemctl restart "+zoe)
	id, mark, _ := v.pouring(t, order{size: "small"})
	<-time.After(time.Second)
	at, pid := v.signal(t, "USR1", 10)
	v.stopped(t, id, mark, at, pid, time.Second)
	p := v.state(t, fleet.StateFault)
	v.g.must(t, "mv /srv/packaged /usr/bin/barista; systemctl restart "+zoe)
	v.pid(t, zoe, 0)
	if again := v.state(t, fleet.StateFault); again.Note != p.Note {
		t.Errorf("the fault was %q and is %q", p.Note, again.Note)
	}
}

// reboot: the fault is still latched after it, and the grinder rests in full: the
// clock that knew since when is gone. Meanwhile another machine makes a drink
// over the serial port.
func (v *visit) reboot(t *testing.T) {
	v.rests(t, "30s")
	v.g.off()
	if err := v.g.boot(); err != nil {
		t.Fatal(err)
	}
	v.atRest(t)
	v.connect(t)
	v.state(t, fleet.StateFault)
	v.freshCup(t) // it remembers the cup of before, too
	mark, flows := v.g.mark(t), len(v.g.flows(t, gpio))
	id := v.order(t, order{size: "small"})
	v.quiet(t, mark, "the fault is latched", 2*time.Second)
	v.g.must(t, `barista machine clear-fault zoe --by tester --reason "looked at it"`)
	up := v.up(t, zoe)
	t.Run("serial", v.serial)
	on := v.g.until(t, mark, 2*time.Minute, "the grinder to go on", func(e event) bool { return e.Part == "grinder" && e.On })
	if rested := on.At - up; rested < 29900*time.Millisecond {
		t.Errorf("the grinder went on %v after the start: it rests 30 s", rested)
	} else {
		t.Logf("the grinder went on %v after the start", rested)
	}
	v.phase(t, id, fleet.Served)
	if made := v.g.flows(t, gpio)[flows:]; len(made) != 1 || made[0].Kind != "drink" {
		t.Errorf("poured: %v", made)
	}
}

// remove: the package goes, and what is a person's or the machine's memory stays.
func (v *visit) remove(t *testing.T) {
	mark := v.g.mark(t)
	t.Log(v.g.must(t, "dpkg -r barista"))
	out := v.g.must(t, "ls /etc/barista/zoe.yaml /etc/barista/shop.yaml /var/lib/barista/zoe /var/lib/barista/shop; ls /usr/bin/barista /usr/lib/systemd/system/barista@.service 2>/dev/null || echo gone")
	if !strings.HasSuffix(out, "gone") {
		t.Errorf("left: %s", out)
	}
	if p, err := v.g.exec(t.Context(), "pgrep -x barista"); err == nil {
		t.Errorf("still running: %s", p)
	}
	for _, e := range v.g.after(t, mark) {
		if e.On && e.What != "wire" {
			t.Errorf("at the removal: %v", e)
		}
	}
}
