package vm

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// join: the shop gets keys, and the packaged machine joins it by a code, as a person
// types it: invited, enrolled, let in. It serves over TLS with its key as a credential;
// revoked while it pours it is cut off within 5 s, finishes the drink, and its service
// says so and stays; let in again under the same name it tells what it made, and pours nothing twice.
func (v *visit) join(t *testing.T) {
	v.rests(t, "3s")
	v.g.must(t, "sed -i '/keys: none/d' /etc/barista/shop.yaml; barista check /etc/barista/shop.yaml; systemctl restart "+open)
	v.pid(t, open, 0)
	v.enroll(t)
	if out := v.g.must(t, "stat -c '%n %U %a' /etc/barista /etc/barista/credentials /etc/barista/credentials/zoe.key /etc/barista/shop-ca.pem /var/lib/barista/shop/keys/ca.key"); out !=
		"/etc/barista root 755\n/etc/barista/credentials root 700\n/etc/barista/credentials/zoe.key root 600\n/etc/barista/shop-ca.pem root 644\n/var/lib/barista/shop/keys/ca.key barista 600" {
		t.Errorf("owners and modes:\n%s", out)
	}
	if out, err := v.g.exec(t.Context(), "runuser -u barista -- cat /etc/barista/credentials/zoe.key"); err == nil {
		t.Errorf("the service's user reads the key where it lies: %s", out[:10])
	}
	v.ready(t, 0)

	flows := len(v.g.flows(t, gpio))
	v.freshCup(t)
	mark := v.g.mark(t)
	id := v.asks(t)
	v.g.until(t, mark, 2*time.Minute, "the pump to go on", func(e event) bool { return e.Part == "pump" && e.On })
	pid := v.pid(t, zoe, 0)
	began, err := v.g.now()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(v.g.must(t, "barista machine revoke zoe --by tester"))
	v.says(t, "refuses this key", "barista enroll")
	cut := v.logged(t, pid, "refuses this key") - began
	v.limit(t, "the cut", cut, 5*time.Second, began+cut)
	v.off(t, mark, time.Minute)
	made := v.g.flows(t, gpio)[flows:]
	if len(made) != 1 || made[0].Kind != "drink" || made[0].CoffeeML < 38 {
		t.Errorf("poured: %v", made)
	}
	why := v.g.must(t, "barista why "+id)
	if !strings.Contains(why, "unknown") || !strings.Contains(why, "key was taken away") {
		t.Errorf("why:\n%s", why)
	}
	if now := v.pid(t, zoe, 0); now != pid {
		t.Errorf("the service was process %d and is %d", pid, now)
	}
	t.Logf("cut off %v after the verb began, and finished: %v; the service says: %s", cut, made[0], v.property(t, zoe, "StatusText"))

	v.g.must(t, "mv /etc/barista/credentials/zoe.key /srv/former.key")
	v.enroll(t)
	v.ready(t, pid)
	v.why(t, id, "zoe made it")
	if made := v.g.flows(t, gpio)[flows:]; len(made) != 1 {
		t.Errorf("poured: %v", made)
	}
}

// enroll has zoe invited, let in, and started with the key and the lines that it got.
func (v *visit) enroll(t *testing.T) {
	t.Helper()
	code := regexp.MustCompile(`enroll (\S+)`).FindStringSubmatch(v.g.must(t, "barista machine invite zoe --by tester"))
	if code == nil {
		t.Fatal("no code")
	}
	v.g.must(t, "cd /srv; barista enroll "+code[1]+" --shop localhost:4222 >enrolled 2>&1 </dev/null & true")
	v.g.eventually(t, time.Minute, "zoe to knock", func() bool {
		out, err := v.g.exec(t.Context(), "barista key list")
		return err == nil && strings.Contains(out, "zoe waits at the door")
	})
	v.g.must(t, "barista machine accept zoe --by tester")
	v.g.eventually(t, time.Minute, "the files", func() bool {
		_, err := v.g.exec(t.Context(), "grep -q '^ *nats: {' /srv/enrolled")
		return err == nil
	})
	v.g.must(t, `cd /etc/barista; sed -i '/^nats:/d; /^  servers:/d' zoe.yaml; sed -n 's/^ *\(nats: {.*\)/\1/p' /srv/enrolled >>zoe.yaml; grep '^nats' zoe.yaml; barista check zoe.yaml; systemctl restart `+zoe)
}

// ready waits until the shop sees the machine, as another process than that.
func (v *visit) ready(t *testing.T, not int) {
	t.Helper()
	v.pid(t, zoe, not)
	v.g.eventually(t, time.Minute, "the shop to see it", func() bool {
		out, err := v.g.exec(t.Context(), "barista machine ls")
		return err == nil && (strings.Contains(out, "ready") || strings.Contains(out, "waiting"))
	})
}

// asks orders a small black coffee at this computer, and gives the order's id.
func (v *visit) asks(t *testing.T) string {
	t.Helper()
	id, _, is := strings.Cut(v.g.must(t, "barista order --size small --bean arabica --milk free --name Ada"), ":")
	if !is {
		t.Fatal("no id")
	}
	return id
}

// why waits until the shop says that of an order.
func (v *visit) why(t *testing.T, id, want string) {
	t.Helper()
	out := ""
	deadline := time.Now().Add(2 * time.Minute)
	for !strings.Contains(out, want) {
		if time.Now().After(deadline) {
			t.Fatalf("not %q:\n%s", want, out)
		}
		out = v.g.must(t, "barista why "+id)
	}
}

// says waits until systemctl status shows all of it.
func (v *visit) says(t *testing.T, what ...string) {
	t.Helper()
	v.g.eventually(t, time.Minute, fmt.Sprint("the status to say ", what), func() bool {
		now := v.property(t, zoe, "StatusText")
		for _, w := range what {
			if !strings.Contains(now, w) {
				return false
			}
		}
		return true
	})
}

// logged is when a process said that first, on the guest's clock; it says it once.
func (v *visit) logged(t *testing.T, pid int, what string) time.Duration {
	t.Helper()
	out := v.g.must(t, fmt.Sprintf("journalctl -b _PID=%d -o short-monotonic --no-pager | grep '%s'", pid, what))
	if n := strings.Count(out, "\n") + 1; n != 1 {
		t.Errorf("said %d times:\n%s", n, out)
	}
	at := regexp.MustCompile(`^\[ *([0-9.]+)\]`).FindStringSubmatch(out)
	if at == nil {
		t.Fatal(out)
	}
	s, err := strconv.ParseFloat(at[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(s * float64(time.Second))
}
