package main

import (
	"context"

	"barista/cmd/barista/health"
	"barista/fleet/metrics"
)

// openMetrics makes what tells a Prometheus, and listens where the file says so. The
// pages, if there are some, answer with the same.
func (s *shop) openMetrics() (err error) {
	p := health.Parts{Version: thisBuild().Version, Ready: s.unready, Log: s.log.With("room", "metrics")}
	for _, st := range s.machines {
		p.Machines = append(p.Machines, st.told)
	}
	if s.ledger != nil {
		p.Shop = &metrics.ShopParts{Ledger: s.ledger, Upto: s.ledger.Upto, Now: s.brokerNow, Log: p.Log}
		if s.ctl != nil {
			p.Shop.Machines, p.Shop.Troubles, p.Shop.Standing = s.roll.Machines, s.ctl.Troubles, s.ctl.Standing
		}
	}
	m, at, stages, err := health.Open(s.file.Metrics, p)
	s.metrics, s.told, s.stages = m, at, append(s.stages, stages...)
	return err
}

// unready is why the service can't do its work: a shop's, to take an order; that of
// machines alone, to make one.
func (s *shop) unready(ctx context.Context) (why []string) {
	say := func(one string) {
		if one != "" {
			why = append(why, one)
		}
	}
	switch {
	case s.page != nil:
		say(s.page.Unready(ctx))
	case s.ctl != nil:
		why = health.Closed(ctx, s.ctl)
	case s.broker != nil:
		if err := s.broker.Healthy(); err != nil {
			say(err.Error())
		}
	}
	if s.alone() {
		for _, st := range s.machines {
			say(health.Unable(st.file.Name, st.Station))
		}
		say(s.away())
	}
	return why
}
