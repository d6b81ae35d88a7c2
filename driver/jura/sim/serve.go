package sim

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"barista/driver/jura"
	"barista/driver/serial/link"
)

// Times on the wire: a character takes four bytes of 1.04 ms and a pause of 8 ms.
// A host that leaves less than 7 ms is too fast.
const (
	byteTime = 1042 * time.Microsecond
	charTime = 4*byteTime + 8*time.Millisecond
	soonest  = 4*byteTime + 7*time.Millisecond
)

// port is the machine's side of one connection.
type port struct {
	m     *Machine
	lines jura.Lines
	last  time.Time // when the last character came, at the earliest
	out   []packet
	n     int // answers
}

// packet is on its way to the host.
type packet struct {
	bytes []byte
	due   time.Time
}

var errHostGone = errors.New("the other end of the line is gone")

// Serve plays the machine's port on a connection, until ctx ends or the
// connection does; then it is closed. One at a time: there is one plug.
func (m *Machine) Serve(ctx context.Context, conn io.ReadWriteCloser) error {
	p := &port{m: m}
	err := link.Play(conn, func(in <-chan link.Chunk) error { return p.serve(ctx, conn, in) })
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (p *port) serve(ctx context.Context, conn io.Writer, in <-chan link.Chunk) error {
	const look = time.Second // for faults, while nothing is to be sent
	timer := time.NewTimer(look)
	defer timer.Stop()
	for {
		if p.m.has(Debug) && len(p.out) == 0 {
			p.send("ku:", 0)
		}
		timer.Reset(look)
		if len(p.out) > 0 {
			timer.Reset(max(0, time.Until(p.out[0].due)))
		}
		select {
		case <-ctx.Done():
			return nil
		case c, more := <-in:
			if !more {
				return errHostGone
			}
			p.took(c)
		case <-timer.C:
			if len(p.out) == 0 {
				continue
			}
			b := p.out[0].bytes
			p.out = p.out[1:]
			if _, err := conn.Write(b); err != nil && !errors.Is(err, io.ErrShortWrite) {
				continue // nobody reads: a wire does not care
			}
		}
	}
}

// took reads what came: a character is four bytes at once, in their time. Those
// that a busy computer brings together are taken as far as they can have kept
// their distance: see link.Chunk.
func (p *port) took(c link.Chunk) {
	if len(c.Bytes)%4 != 0 {
		p.last = c.At
		return
	}
	for char := range slices.Chunk(c.Bytes, 4) {
		kept := p.last.Add(soonest)
		if p.last = c.Since; kept.After(c.At) {
			p.last = c.At
			continue // too early
		}
		if kept.After(c.Since) {
			p.last = kept
		}
		for _, b := range char {
			if line, whole := p.lines.Feed(b); whole {
				p.heard(line)
			}
		}
	}
}

// heard answers a line.
func (p *port) heard(line string) {
	answer := p.m.obey(line)
	if answer == "" {
		return
	}
	delay := 5 * time.Millisecond
	if p.m.has(Late) {
		delay += lateBy
	}
	p.n++
	p.send(answer, delay)
	if p.m.has(Doubled) {
		p.send(answer, 30*time.Millisecond)
	}
}

// send queues an answer behind what is still going out.
func (p *port) send(answer string, delay time.Duration) {
	at := time.Now()
	if n := len(p.out); n > 0 && p.out[n-1].due.Add(charTime).After(at) {
		at = p.out[n-1].due.Add(charTime)
	}
	at = at.Add(delay)
	raw := jura.AppendLine(nil, answer, p.m.cfg.Filler)
	if p.m.has(Damaged) && p.n%3 == 0 {
		raw[p.n*7%len(raw)] ^= 1 << (2 + 3*(p.n%2)) // where the character is, not its filler
	}
	if p.m.cfg.Burst {
		p.out = append(p.out, packet{raw, at.Add(time.Duration(len(raw)/4) * charTime)})
		return
	}
	for i := 0; i < len(raw); i += 4 {
		p.out = append(p.out, packet{raw[i : i+4], at})
		at = at.Add(charTime)
	}
}

func (m *Machine) has(f Fault) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.faults[f]
}
