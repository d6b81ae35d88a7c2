package main

import (
	"context"
	"strings"
	"time"

	"barista/cmd/barista/hands"
	"barista/configs"
	"barista/fleet/queue"
	"barista/fleet/worker"
)

// alone: the service is machines and nothing else. Such a one starts without its
// shop, because its metal must be at rest and looked after whoever is away. A
// shop's role without its broker is nothing, and fails.
func (s *shop) alone() bool {
	f := s.file
	return f.Broker == nil && f.Controller == nil && f.Stock == nil && f.Web == nil && f.Archive == nil && f.Alerts == nil
}

// firstTry is how long a shop that is there takes to answer.
const firstTry = 2 * time.Second

// openLater makes the worker when the shop can be reached, and tries for as long
// as the service runs. What would be wrong with any shop is said at once.
func (s *shop) openLater(_ context.Context, st *member, m *configs.Machine) error {
	if _, err := worker.New(worker.Parts{Machine: st.Machine}, workerConfig(m)); err != nil {
		return err
	}
	s.add("worker "+m.Name, func(ctx context.Context) error {
		c := s.find(ctx, st, m.Name)
		if c == nil {
			return nil
		}
		defer c.Close()
		w, err := s.worker(c, st, m)
		if err != nil {
			return err
		}
		return w.Run(ctx)
	}, nil)
	return nil
}

// find connects, however long that takes; nil when ctx ends first.
func (s *shop) find(ctx context.Context, st *member, name string) *queue.Conn {
	cfg := s.queueConfig(name)
	refused := cfg.Refused
	cfg.Refused = func(u *queue.Unusable) {
		st.missing.Store(true)
		st.refused.Store(u)
		refused(u)
	}
	for cfg.Within = firstTry; ctx.Err() == nil; cfg.Within = brokerWait {
		c, err := queue.Connect(ctx, cfg)
		if err == nil {
			return c
		}
		st.refused.Store(nil)
		if ctx.Err() == nil && !st.missing.Swap(true) {
			s.log.Warn("the machine is ready and its shop is not there; it goes on trying", "machine", name, "err", err)
		}
		pause := time.NewTimer(time.Second) // where the error came at once
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
	}
	return nil
}

// follow gives a loop of the shop to the service manager's watchdog. With a
// machine in the process the machine's loop alone is what must turn.
func (s *shop) follow(alive *func()) (wrap func(func(context.Context) error) func(context.Context) error) {
	if len(s.machines) > 0 {
		return func(run func(context.Context) error) func(context.Context) error { return run }
	}
	l := s.notify.Loop()
	*alive = l.Alive
	return l.Until
}

// openPulse is for a service that has neither a machine nor the loop that
// answers orders: its broker or its website must answer.
func (s *shop) openPulse() {
	if len(s.machines) > 0 || s.ctl != nil {
		return
	}
	var alive func()
	wrap := s.follow(&alive)
	s.add("pulse", wrap(func(ctx context.Context) error {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			if err := s.answers(ctx); err == nil {
				alive()
			} else if ctx.Err() == nil {
				s.log.Error("the service does not answer itself", "err", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}), nil)
}

// answers asks the website as anybody would, and looks into the broker.
func (s *shop) answers(ctx context.Context) error {
	if s.broker != nil {
		_ = s.broker.Healthy() // it must come back; what it says is service.Watch's
	}
	if s.page == nil {
		return nil
	}
	return s.page.Answers(ctx)
}

// words is what the service does, for whoever asks systemctl status. It names no
// customer.
func (s *shop) words() string {
	var out []string
	for _, st := range s.machines {
		w := hands.Doing(st.Machine.Status())
		if len(s.machines) > 1 {
			w = st.file.Name + ": " + w
		}
		out = append(out, w)
	}
	if s.ctl != nil || len(s.machines) == 0 {
		open := "open"
		if s.page != nil {
			open += ", " + s.page.URL()
		}
		out = append(out, open)
	}
	if away := s.away(); away != "" {
		out = append(out, away)
	}
	return strings.Join(out, "; ")
}

// away says that the shop, or the broker, can't be reached.
func (s *shop) away() string {
	if s.broker != nil {
		return ""
	}
	at := queue.Shown(s.file.NATS.Servers)
	for _, c := range s.conns {
		if u := c.Amiss(); u != nil {
			return u.Error() + "; trying again"
		}
	}
	if s.alone() {
		for _, st := range s.machines {
			switch c := st.conn.Load(); {
			case c != nil && c.Up():
			case c != nil && c.Amiss() != nil:
				return c.Amiss().Error() + "; trying again"
			case c == nil && st.refused.Load() != nil:
				return st.refused.Load().Error() + "; trying again"
			case c == nil && !st.missing.Load():
				return "looking for the shop at " + at
			default:
				return "the shop at " + at + " can't be reached: trying again"
			}
		}
		return ""
	}
	for _, c := range s.conns {
		if !c.Up() {
			return "the broker at " + at + " can't be reached: trying again"
		}
	}
	return ""
}
