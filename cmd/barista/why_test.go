package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/client"
)

// pasted is what a person at a terminal hears of one command line, which a shell has
// taken apart as it does what is pasted into it.
func pasted(t *testing.T, ctx context.Context, url, in, line string) (code int, text string) {
	t.Helper()
	words, err := exec.Command("sh", "-c", "printf '%s\\n' "+line).Output()
	args := strings.Split(strings.TrimSuffix(string(words), "\n"), "\n")
	if err != nil || args[0] != "barista" {
		t.Fatalf("%s: %v", line, err)
	}
	var out lines
	code = execute(ctx, append(args[1:], "--nats", url), strings.NewReader(in), &out, &out)
	return code, out.String()
}

// account is what barista why says, for a script; and as a person reads it, in the log.
func account(t *testing.T, url, words string) (a client.Account) {
	t.Helper()
	code, text := pasted(t, t.Context(), url, "", "barista why "+words)
	if code != term.ExitOK {
		t.Fatalf("why %s: exit %d\n%s", words, code, text)
	}
	t.Logf("barista why %s\n%s", words, text)
	_, out := pasted(t, t.Context(), url, "", "barista why --json "+words)
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return a
}

// says checks a story, and that a command stands under it.
func says(t *testing.T, a client.Account, next string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(a.Story, want) {
			t.Errorf("no %q in: %s", want, a.Story)
		}
	}
	for _, n := range a.Next {
		if strings.HasPrefix(n.Command, next) {
			return
		}
	}
	t.Errorf("no command %s: %+v", next, a.Next)
}

// TestWhyAtNight: a redelivered, an unknown and a remade order, from real processes that
// were killed; each is explained, and what stands under the explanation is typed and does
// it.
func TestWhyAtNight(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes, and real 15 s until a machine is given up: not with -short")
	}
	t.Parallel()
	s := newSite(t)
	s.shop("", []string{"arabica", "mixed"})
	say := func(want int, in, line string) string {
		t.Helper()
		code, text := pasted(t, t.Context(), s.url(), in, line)
		if code != want {
			t.Fatalf("%s: exit %d, want %d\n%s", line, code, want, text)
		}
		return text
	}
	order := func(name, bean string) (id string) {
		t.Helper()
		var a fleet.Answer
		text := say(term.ExitOK, "", "barista order --size small --bean "+bean+" --name "+name+" --json")
		if err := json.Unmarshal([]byte(text), &a); err != nil || a.OrderID == "" {
			t.Fatalf("%v: %s", err, text)
		}
		return a.OrderID
	}
	ends := func(id string, phase fleet.Phase) {
		t.Helper()
		s.eventually(id+" to be "+string(phase), func() bool { return s.phase(id) == phase })
	}
	procs := map[string]*running{}
	machine := func(name, point string, beans ...string) {
		t.Helper()
		_, sock := s.plant(name, killSpeed)
		procs[name] = s.machine(name, sock, point, beans)
		s.eventually(name, func() bool { return strings.Contains(say(term.ExitOK, "", "barista machine ls"), name+" ") })
	}
	dies := func(name string) {
		t.Helper()
		s.eventually("the death of "+name, procs[name].ended)
	}

	// Killed before its start, and killed in mid-pour.
	machine("zoe", "claim", "arabica")
	machine("kim", "brew", "mixed")
	ada, max := order("Ada", "arabica"), order("Max", "mixed")
	dies("zoe")
	dies("kim")
	procs["kim"].again()
	ends(max, fleet.Unknown)
	machine("moka", "", "arabica", "mixed")

	// Unknown: the command under it makes another one.
	a := account(t, s.url(), "last unknown")
	says(t, a, "barista settle "+max[len(max)-4:]+" made", "Nobody can say whether Max's order (small mixed) was made. kim began it at ",
		"Most likely kim's service was killed or its computer lost power in the middle of it", `Max was told "`+fleet.Scheduled+`" at `,
		"Counted as used while nobody knows: mixed 9 g", "Look under kim: is there a full cup")
	if text := say(term.ExitOK, "y\n", a.Next[0].Command); !strings.Contains(text, max+" will be made again") {
		t.Error(text)
	}
	ends(max, fleet.Served)
	says(t, account(t, s.url(), "Max"), "barista status", "Max's order (small mixed) was made by ", "on try 2. Try 1: kim began it at ", "nobody could say what came of it; ",
		" had it made again at ", "counting the try of which nobody knows: mixed 18 g", "Nothing is left to do")

	// Redelivered: what is left is the machine, and its command shows when it is back.
	ends(ada, fleet.Served)
	a = account(t, s.url(), "Ada")
	says(t, a, "barista status --watch", "Ada's order (small arabica) was made by moka at ", "on try 2. Try 1: zoe took it at ", "lost it before anything moved",
		"Most likely zoe's service was killed, or its computer lost power or its network, before it began", "Used from the stock: arabica 9 g", "zoe is away")
	s.watchesBack(procs["zoe"], a.Next[0].Command)
}

// TestWhyExpired: an order that its only machine was kept from; the two commands under
// its story, one after the other, bring the coffee.
func TestWhyExpired(t *testing.T) {
	h := openHouse(t, demo{http: "none", nats: "127.0.0.1:0", machines: 1, speed: 100, cups: "auto"}, func(f *configs.File, _ []*configs.Machine) {
		f.Controller.ExpireAfter = 3 * time.Second
	})
	h.ready()
	name := h.machines[0].file.Name
	say := func(want int, line string) string {
		t.Helper()
		code, text := pasted(t, t.Context(), h.broker.URL(), "", line)
		if code != want {
			t.Fatalf("%s: exit %d, want %d\n%s", line, code, want, text)
		}
		return text
	}
	say(term.ExitOK, "barista machine cordon "+name+` --reason "new grinder" --by ann`)
	h.eventually("the machine to obey", func() bool {
		here, err := h.conn.Fleet().Present(t.Context())
		return err == nil && len(here) == 1 && here[0].State == fleet.StateCordoned
	})
	placed := func(line string) (ended func() bool) {
		t.Helper()
		id, _, _ := strings.Cut(say(term.ExitOK, line), ":")
		return func() bool {
			e, err := h.conn.Book().Read(t.Context(), id)
			return err == nil && e.Phase.Ended()
		}
	}
	ended := placed("barista order --size small --bean arabica --sugar 1 --name 'Pia Roe'")
	because := name + ` was taken out of service by ann ("new grinder")`
	if a := account(t, h.broker.URL(), "pia"); a.Phase == fleet.Accepted { // it may be over on a busy computer
		says(t, a, "barista machine uncordon "+name, "Pia Roe's order (small arabica, 1 sugar) waits for a machine", because)
	}
	h.eventually("its end", ended)
	a := account(t, h.broker.URL(), "last expired")
	says(t, a, "barista machine uncordon "+name, "Pia Roe's order (small arabica, 1 sugar) waited from ", "no machine made it within 3s", "No machine has tried it",
		"Nothing was used from the stock", "Now the only machine that makes it takes no orders, and most likely it was so then", because)
	if len(a.Next) != 2 {
		t.Fatalf("%+v", a.Next)
	}
	say(term.ExitOK, a.Next[0].Command)
	poured := h.poured()
	h.eventually("the coffee", func() bool { // on a busy computer it may expire once more
		h.eventually("its end", placed(a.Next[1].Command))
		return h.poured() > poured
	})
}

// watchesBack types a command that goes on, starts the machine anew, and reads until it
// is shown as ready; then it presses Ctrl-C.
func (s *site) watchesBack(zoe *running, line string) {
	s.t.Helper()
	ctx, interrupt := context.WithCancel(s.t.Context())
	defer interrupt()
	var out lines
	ended := make(chan int, 1)
	go func() {
		ended <- execute(ctx, append(strings.Fields(line)[1:], "--nats", s.url()), nil, &out, &out)
	}()
	s.eventually("the look at zoe's absence", func() bool { return strings.Contains(out.String(), "look: zoe is away") })
	zoe.again()
	s.eventually("zoe to be back", func() bool {
		blocks := strings.Split(out.String(), "-- ")
		last := blocks[len(blocks)-1]
		return strings.Contains(last, "no order waits") && !strings.Contains(last, "look: zoe")
	})
	interrupt()
	if code := <-ended; code != term.ExitOK {
		s.t.Errorf("a watch that was interrupted: exit code %d", code)
	}
}

// TestNextOfADoubt: each command under an order in doubt, typed as it stands there.
func TestNextOfADoubt(t *testing.T) {
	o := openOffice(t)
	for i, want := range []fleet.Phase{"", fleet.Served, fleet.Failed} {
		id := "01JD0000000000000000000DD" + string("ABC"[i])
		o.barista(term.ExitOK, "order", "--size", "small", "--bean", "arabica", "--name", "Max", "--id", id)
		o.doubt(id)
		var a client.Account
		o.decode(o.barista(term.ExitOK, "why", "last", "unknown", "--json"), &a)
		if len(a.Next) != 3 || a.Order.ID != id {
			t.Fatalf("%+v", a)
		}
		o.announce()
		if code, text := pasted(t, t.Context(), o.url, "y\n", a.Next[i].Command); code != term.ExitOK {
			t.Errorf("%s: exit %d\n%s", a.Next[i].Command, code, text)
		}
		brokertest.Eventually(t, "the order as that command has it", func() bool {
			e, err := o.conn.Book().Read(t.Context(), id)
			return err == nil && (e.Phase == want || want == "" && e.Phase != fleet.Unknown)
		})
	}
	o.has(o.barista(term.ExitNotFound, "why", "last", "expired"), "no order of the last day is expired")
	text := o.barista(term.ExitUsage, "why", "max")
	o.has(text, "3 orders are for max", "barista why 0DDA", "barista why 0DDB", "barista why 0DDC", "Max, small arabica")
	o.has(o.barista(term.ExitUsage, "why", "max", "--json"), `"code":"usage"`, `"hint":"barista why 0DDC`)
	o.has(o.barista(term.ExitNotFound, "why", "Ada King"), "no order of the last day ends with Ada King or is for that name")
}
