package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"barista/cmd/barista/chaos"
	"barista/cmd/barista/curtain"
	"barista/cmd/barista/reach"
	"barista/cmd/barista/service"
	"barista/cmd/barista/term"
	"barista/cmd/barista/told"
	"barista/configs"
	"barista/fleet"
	"barista/machine"
)

// demo is the flags of the command.
type demo struct {
	http, nats, cups, keep string
	machines               int
	speed, fail            float64
}

func newDemo(c *cli) *cobra.Command {
	d := demo{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "a whole shop with simulated machines, in this terminal",
		Long: `demo runs a whole shop in one process: broker, controller, stock, website and
simulated machines, of which the last is a spare that helps when orders pile up.
Nothing is kept when it ends, unless --keep names a folder. Only this computer
can reach it.`,
		Example: `  barista demo
  barista demo --machines 2 --speed 10 --fail 0.1
  nats req coffee.web.requests '{"size":"big","bean_type":"mixed","milk":"free","name":"Quentin","sugar_count":"1"}'`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.http, "http", configs.DefaultWeb, "`ADDR` of the website; none: no website")
	f.StringVar(&d.nats, "nats", configs.DefaultBroker, "`ADDR` of the broker; none: no socket")
	f.IntVar(&d.machines, "machines", 5, "`N` machines, 1 to 20; with more than one the last is a spare")
	f.Float64Var(&d.speed, "speed", 1, "`X` times as fast as real machines, 0.1 to 1000")
	f.Float64Var(&d.fail, "fail", 0, "`P` of 1: the share of drinks that go wrong on a machine")
	f.StringVar(&d.cups, "cups", "auto", "auto: a simulated customer handles the cups; hand: press the button on the order's page")
	f.StringVar(&d.keep, "keep", "", "`DIR` in which the shop lives on (default: a temporary one)")
	return cmd
}

// names of the demo's machines.
var names = []string{"zoe", "leo", "ada", "max", "ivy", "ben", "eva", "tom", "mia", "sam", "amy", "jan", "lou", "kim", "pia", "raf", "sol", "uma", "vic", "wim"}

func (d demo) file(state string) (*configs.File, []*configs.Machine, error) {
	switch {
	case d.machines < 1 || d.machines > len(names):
		return nil, nil, term.Usage("--machines must be 1 to %d", len(names))
	case !(d.speed >= 0.1 && d.speed <= 1000):
		return nil, nil, term.Usage("--speed must be 0.1 to 1000")
	case !(d.fail >= 0 && d.fail <= 1):
		return nil, nil, term.Usage("--fail must be 0 to 1")
	case d.cups != "auto" && d.cups != "hand":
		return nil, nil, term.Usage("--cups must be auto or hand")
	}
	f := &configs.File{
		State:      state,
		Broker:     &configs.Broker{Listen: d.nats, Store: filepath.Join(state, "broker"), OrdersPerDay: configs.DefaultOrdersPerDay, NoKeys: true},
		Controller: &configs.Controller{Requests: true, Intake: true, ExpireAfter: configs.DefaultExpireAfter},
		Stock: &configs.Stock{Initial: fleet.Items{
			"arabica": 2000, "robusta": 2000, "mixed": 2000,
			fleet.MilkItem("normal"): 5000, fleet.MilkItem("soja"): 3000, fleet.ItemSugar: 500,
		}},
		Web: &configs.Web{Listen: d.http, CustomersSettle: true},
	}
	if d.http == configs.ListenNone {
		f.Web = nil
	}
	menu := fleet.DefaultMenu()
	var machines []*configs.Machine
	for i := range d.machines {
		cup := machine.CupSensor
		if d.cups == "hand" {
			cup = machine.CupPage
		}
		serves := configs.Serves{Beans: menu.Beans, Milks: menu.Milks, Sizes: fleet.Sizes}
		m := demoMachine(names[i], cup, serves, d.speed, d.fail, d.cups, rand.Uint64())
		if d.machines > 1 && i == d.machines-1 {
			m.MinWaiting = 4
		}
		machines = append(machines, m)
	}
	return f, machines, nil
}

func (d demo) run(ctx context.Context, out, errOut io.Writer) error {
	state := d.keep
	if state == "" {
		dir, err := os.MkdirTemp("", "barista-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		state = dir
	}
	f, machines, err := d.file(state)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s := newShop(log, f)
	s.chaos = chaos.New(log, names[:d.machines]...)
	if err := s.open(ctx, machines); err != nil {
		return d.taken(err)
	}
	fmt.Fprintf(out, "barista demo: %d simulated machines in this process; nothing real moves\n", len(machines))
	if d.keep == "" {
		fmt.Fprintln(out, "  nothing is kept (add --keep DIR to keep it)")
	}
	s.greet(out)
	if s.page != nil {
		fmt.Fprintf(out, "  break   %s/chaos\n", s.page.URL())
	}
	fmt.Fprintln(out, "  try     barista order --size large --bean mixed --milk free --name Ada --watch\n  stop    Ctrl-C")

	c, err := s.connect(ctx, "demo")
	if err != nil {
		service.CloseAll(s.stages)
		return err
	}
	s.add("terminal", told.News(out, reach.Shop(c, false).News), nil)
	err = s.runToTheCurtain(ctx, out)
	fmt.Fprintln(out, "stopped, every output is off")
	return err
}

// runToTheCurtain runs the shop, and tells how it ends.
func (s *shop) runToTheCurtain(ctx context.Context, out io.Writer) error {
	var all []curtain.Machine
	for _, m := range s.machines {
		all = append(all, curtain.Machine{Name: m.file.Name, Stop: func(why string) { m.at().Machine.Stop(why) }, Doing: func() (string, int) {
			now := m.at().Machine.Status()
			return now.Order, now.Percent
		}})
	}
	return curtain.Run(ctx, out, all, s.run)
}

// taken says which flag chooses another address than one in use.
func (d demo) taken(err error) error {
	if at, is := errors.AsType[*net.OpError](err); is && errors.Is(err, syscall.EADDRINUSE) && at.Addr != nil {
		flag, other := "--nats", "127.0.0.1:4223"
		if web, err := net.ResolveTCPAddr("tcp", d.http); err == nil && at.Addr.String() == web.String() {
			flag, other = "--http", "127.0.0.1:8081"
		}
		return term.Fail(term.ExitRefused, "is another demo or shop running? stop it, or choose another address: "+flag+" "+other, "%s is in use by another program", at.Addr)
	}
	return err
}
