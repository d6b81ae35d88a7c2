// Package health is what a service tells of itself to a Prometheus and to whoever asks
// whether it lives and is ready. It joins the room of the metrics with the machines of
// the process and with what decides on orders in it, and listens where the file says
// so. It keeps nothing, and starts nothing but what its stages run.
package health

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"barista/cmd/barista/service"
	"barista/configs"
	"barista/fleet"
	"barista/fleet/controller"
	"barista/fleet/metrics"
	"barista/machine"
	"barista/machine/station"
)

// Station is what is told of one machine of this process; at is the station that it
// has now. Nothing in it waits for the
// metal: it reads what guard and machine keep under locks of arithmetic.
func Station(name string, at func() *station.Station, linked func() bool) *metrics.Station {
	return metrics.NewStation(metrics.StationParts{
		Machine: name, Linked: linked,
		Beat:  func() uint64 { return at().Machine.Beat() },
		Trips: func() map[string]int { return trips(at().Guard.Trips()) },
		State: func() string { return string(at().Machine.Status().State) },
		Used: func() map[string]metrics.Use {
			out := map[string]metrics.Use{}
			for part, u := range at().Guard.Used() {
				out[string(part)] = metrics.Use(u)
			}
			return out
		},
	})
}

// trips has 0 for what has not locked the machine yet: Prometheus sees a counter rise
// only where it was there before, and the first fault is what somebody is called for.
func trips(been map[string]int) map[string]int {
	out := map[string]int{"": 0} // the guard's own
	for _, f := range machine.Faults {
		if f.Mend == machine.Clear {
			out[string(f.Cause)] = 0
		}
	}
	maps.Copy(out, been)
	return out
}

// Parts is what a service tells of.
type Parts struct {
	Version  string
	Machines []*metrics.Station
	Shop     *metrics.ShopParts // nil where nothing is decided
	Ready    func(context.Context) []string
	Log      *slog.Logger
}

// Open joins the parts, and listens where the file says so. The stages are to be run
// in their order; address is nil where nobody listens.
func Open(f *configs.Metrics, p Parts) (m *metrics.Metrics, address net.Addr, stages []service.Stage, err error) {
	var told []prometheus.Collector
	for _, st := range p.Machines {
		told = append(told, st)
	}
	if p.Shop != nil {
		shop := metrics.NewShop(*p.Shop)
		told = append(told, shop)
		stages = append(stages, service.Stage{Name: "counters", Run: shop.Run})
	}
	lives := func() (why []string) {
		for _, st := range p.Machines {
			why = append(why, st.Lives()...)
		}
		return why
	}
	m = metrics.New(metrics.Config{Version: p.Version, Lives: lives, Ready: p.Ready, Log: p.Log}, told...)
	if f == nil {
		return m, nil, stages, nil
	}
	l, err := net.Listen("tcp", f.Listen)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("metrics: %w", err)
	}
	return m, l.Addr(), append(stages,
		service.Stage{Name: "metrics address", Close: func() error { l.Close(); return nil }},
		service.Stage{Name: "metrics", Run: func(ctx context.Context) error { return m.Serve(ctx, l) }}), nil
}

// Closed is why a controller takes no orders.
func Closed(ctx context.Context, c *controller.Controller) (why []string) {
	all, _ := c.Troubles(ctx) // it is here, and has no error
	for _, t := range all {
		if t.Closed {
			why = append(why, fmt.Sprintf("%s: %s", t.Code, t.Text))
		}
	}
	if at, _ := c.Standing(ctx); at.State == fleet.StandClosed || at.State == fleet.StandLooking {
		why = append(why, at.Why)
	}
	return why
}

// Unable is why a machine can't make an order now; empty if it can.
func Unable(name string, st *station.Station) string {
	now := st.Machine.Status()
	if (fleet.Presence{State: fleet.State(now.State)}).Able() {
		return ""
	}
	return fmt.Sprintf("%s: %s %s", name, now.State, now.Reason.Error())
}
