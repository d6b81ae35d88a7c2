package web

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Places for connections.
const (
	maxConns = 512
	// maxSpare more are a reserve that answers health checks and nothing else, so
	// that a shop which is besieged is not taken for a dead one and restarted.
	maxSpare  = 16
	spareTime = 3 * time.Second // and each of them ends by itself
	// quietTime is how long a connection without a request keeps its place for
	// certain.
	quietTime = 2 * time.Second
)

// door gives connections their places. When all are taken, a newcomer gets one
// of the address that has most, or that of a connection on which nothing is
// asked. Letting newcomers wait would be worse: those inside may be there to
// keep them out.
type door struct {
	net.Listener

	mu     sync.Mutex
	places map[*place]bool
	by     map[netip.Prefix]int
	spare  []*place // the reserve, the longest there first
}

// place is a connection that holds one.
type place struct {
	net.Conn
	door  *door
	who   netip.Prefix
	spare bool
	timer *time.Timer // of the reserve
	leave func()

	// Guarded by the door.
	working int       // requests under way
	since   time.Time // of its last change between work and quiet
}

func newDoor(l net.Listener) *door {
	return &door{Listener: l, places: map[*place]bool{}, by: map[netip.Prefix]int{}}
}

func (d *door) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	p := &place{Conn: c, door: d, who: householdOf(c.RemoteAddr()), since: time.Now()}
	p.leave = sync.OnceFunc(func() { d.out(p) })
	for _, gone := range d.in(p) {
		gone.Close()
	}
	return p, nil
}

// in gives a newcomer a place and returns who has to go for it.
func (d *door) in(p *place) (gone []*place) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.places) >= maxConns {
		out := d.whoGoes(p.who)
		if out == nil {
			p.spare = true
			p.timer = time.AfterFunc(spareTime, func() { p.Close() })
			if len(d.spare) >= maxSpare {
				gone = append(gone, d.spare[0])
				d.spare = d.spare[1:]
			}
			d.spare = append(d.spare, p)
			return gone
		}
		d.remove(out)
		gone = append(gone, out)
	}
	d.places[p] = true
	d.by[p.who]++
	return gone
}

// whoGoes is whose place a newcomer gets, or nobody's.
func (d *door) whoGoes(who netip.Prefix) *place {
	busiest := who
	for other, n := range d.by {
		if n > d.by[busiest] {
			busiest = other
		}
	}
	if d.by[busiest] > d.by[who]+1 {
		return d.longest(func(p *place) bool { return p.who == busiest })
	}
	now := time.Now()
	return d.longest(func(p *place) bool { return p.working == 0 && now.Sub(p.since) >= quietTime })
}

// longest is the place on which nothing has been asked for longest, or if
// something is asked on all of them the one that is at work longest.
func (d *door) longest(fits func(*place) bool) (out *place) {
	for p := range d.places {
		if !fits(p) {
			continue
		}
		if out == nil || p.working == 0 && out.working > 0 || (p.working == 0) == (out.working == 0) && p.since.Before(out.since) {
			out = p
		}
	}
	return out
}

// out is called once, when a connection is closed.
func (d *door) out(p *place) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !p.spare {
		d.remove(p)
		return
	}
	p.timer.Stop()
	for i, one := range d.spare {
		if one == p {
			d.spare = append(d.spare[:i:i], d.spare[i+1:]...)
			return
		}
	}
}

// remove takes a place's count back, once. The caller holds mu.
func (d *door) remove(p *place) {
	if !d.places[p] {
		return
	}
	delete(d.places, p)
	if d.by[p.who]--; d.by[p.who] == 0 {
		delete(d.by, p.who)
	}
}

func (p *place) Close() error {
	defer p.leave()
	return p.Conn.Close()
}

// begin says that a request is under way on the connection, until end is called.
func (p *place) begin() (end func()) {
	p.change(1)
	return func() { p.change(-1) }
}

func (p *place) change(by int) {
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	if p.working += by; by < 0 && p.working == 0 || by > 0 && p.working == 1 {
		p.since = time.Now()
	}
}

type placeKey struct{}

// withPlace keeps the place of a connection for its requests.
func withPlace(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if p, ok := c.(*place); ok {
		return context.WithValue(ctx, placeKey{}, p)
	}
	return ctx
}

// placeOf is the place that a request came in by; nil where there is no door.
func placeOf(r *http.Request) *place {
	p, _ := r.Context().Value(placeKey{}).(*place)
	return p
}
