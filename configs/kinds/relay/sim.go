package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/spf13/pflag"

	"barista/configs/kinds"
	"barista/driver"
	"barista/driver/plant"
	"barista/driver/serial/link"
)

// Simulated is what every simulated board has: a plant behind it, in this process
// or in one of its own, and a serial port in front.
type Simulated struct {
	link, socket, offer, cups string
	relays, faults            []string
	plant                     plant.Config
	handle                    plant.Handle                // of the metal
	own                       *plant.Plant                // the same, where it is in this process
	serve                     func(context.Context) error // offers the metal meanwhile
}

// Flags are those of every board.
func (s *Simulated) Flags(f *pflag.FlagSet) {
	s.plant = plant.Default()
	f.StringVar(&s.link, "link", "", "`PATH` of the serial port to make")
	f.StringVar(&s.socket, "plant", "", "use the metal of a barista sim plant at this `SOCKET`")
	f.StringVar(&s.offer, "offer", "", "offer this board's metal at a `SOCKET`, to look at it and to place cups")
	f.StringSliceVar(&s.relays, "relays", []string{"grinder", "pump", "milk", "sugar"}, "what hangs on relay 1, 2, …; - is nothing")
	f.StringSliceVar(&s.faults, "fault", nil, "what is wrong with it")
	f.Float64Var(&s.plant.Speed, "speed", s.plant.Speed, "of the metal; a board knows no speed, so calibrate the machine for it")
	f.Float64Var(&s.plant.FailRate, "fail", s.plant.FailRate, "share of drinks that go wrong, 0 to 1")
	f.StringVar(&s.cups, "cups", string(plant.Auto), "who places cups: auto, hand or dispenser")
	f.Uint64Var(&s.plant.Seed, "seed", s.plant.Seed, "of the accidents")
}

// Parts are the relays' parts.
func (s *Simulated) Parts(c kinds.Console, most int) ([]driver.Part, error) {
	var list []driver.Part
	for _, name := range s.relays {
		p := driver.Part(name)
		switch {
		case name == "-":
			p = ""
		case !slices.Contains(driver.Parts, p):
			return nil, kinds.Usage("there is no part %s; parts are %v", c.Quote(name), driver.Parts)
		case slices.Contains(list, p):
			return nil, kinds.Usage("%s is there twice", name)
		}
		list = append(list, p)
	}
	if len(list) > most {
		return nil, kinds.Usage("the board has %d relays, and %d parts are named", most, len(list))
	}
	return list, nil
}

// Seed is that of the accidents.
func (s *Simulated) Seed() uint64 { return s.plant.Seed }

// Metal is the plant, with what is wrong with it. own takes what is wrong with the
// board.
func (s *Simulated) Metal(parts []driver.Part, own func(text string) error) (plant.Handle, error) {
	var faults []plant.Fault
	for _, text := range s.faults {
		if f, err := plant.ParseFault(text); err == nil {
			faults = append(faults, f)
		} else if err := own(text); err != nil {
			return nil, err
		}
	}
	if err := s.open(parts); err != nil {
		return nil, err
	}
	for _, f := range faults {
		if err := s.handle.Fault(f); err != nil {
			return nil, err
		}
	}
	return s.handle, nil
}

func (s *Simulated) open(parts []driver.Part) error {
	s.serve = func(ctx context.Context) error { <-ctx.Done(); return nil }
	if s.link == "" {
		return kinds.Usage("give --link PATH, the serial port to make")
	}
	if s.socket != "" {
		if s.offer != "" {
			return kinds.Usage("--plant and --offer don't go together: the metal is in the other process")
		}
		r, err := plant.Dial(s.socket)
		if err != nil {
			return err
		}
		s.handle = r
		return nil
	}
	s.plant.Cups = plant.Cups(s.cups)
	s.plant.Refill = s.plant.Cups == plant.Auto
	s.plant.Heater = slices.Contains(parts, driver.Heater)
	if err := s.plant.Check(); err != nil {
		return kinds.Usage("%w", err)
	}
	p := plant.New(s.plant)
	s.handle, s.own = p.Handle(), p
	if s.offer == "" {
		return nil
	}
	l, err := plant.Listen(s.offer)
	if err != nil {
		return err
	}
	s.serve = func(ctx context.Context) error { return plant.Serve(ctx, l, p) }
	return nil
}

// Play plays a board until the process is to end, and says what was poured. Harm
// is a failure.
func (s *Simulated) Play(ctx context.Context, c kinds.Console, what string, run func(context.Context, io.ReadWriteCloser) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx) }()
	end := func(err error) error {
		cancel()
		err = errors.Join(err, <-served)
		if far, ok := s.handle.(*plant.Remote); ok {
			err = errors.Join(err, far.Close())
		}
		return err
	}
	l, err := link.Make(s.link)
	if err != nil {
		return end(err)
	}
	if err := SayPort(c, what, l.Device()); err != nil {
		return end(errors.Join(err, l.Close())) // nobody reads what we say: we were not wanted
	}
	var told sync.WaitGroup
	told.Go(func() { SayEdges(ctx, c, s.own) })
	err = run(ctx, l)
	cancel()
	told.Wait()
	n, lost := s.handle.Counts()
	if lost == nil {
		lost = c.Show(n, func(w io.Writer) { fmt.Fprintln(w, n.Poured()) })
	}
	return end(errors.Join(err, lost))
}

// SayEdges tells of each contact of a simulated machine's metal as it moves, until ctx
// ends or nobody reads any more. Without a plant it does nothing: the process that has
// the metal tells.
func SayEdges(ctx context.Context, c kinds.Console, p *plant.Plant) {
	if p == nil {
		return
	}
	_ = p.Tell(ctx, func(e plant.Edge) error { // that nobody reads is no failure of the board
		var unread error
		err := c.Show(e, func(w io.Writer) { _, unread = fmt.Fprintln(w, e) })
		return errors.Join(err, unread)
	})
}

// SayPort says where a simulator plays. An error: nobody reads that.
func SayPort(c kinds.Console, what, port string) error {
	var unread error
	err := c.Show(map[string]string{"port": port}, func(w io.Writer) {
		_, unread = fmt.Fprintf(w, "%s at %s\n", what, c.Safe(port))
	})
	return errors.Join(err, unread)
}
