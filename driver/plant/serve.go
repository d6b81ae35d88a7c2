package plant

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"barista/driver"
)

// Listen opens the socket of a plant process, for the owner of the process only
// (0600). A socket that a dead process left behind is replaced; one that answers
// is not, nor is any other kind of file.
func Listen(path string) (net.Listener, error) {
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := removeStale(path); err != nil {
			return nil, err
		}
		l, err = net.Listen("unix", path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot offer the plant at %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot protect %s: %w", path, err), l.Close())
	}
	return l, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("cannot look at %s: %w", path, err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("cannot offer the plant at %s: a file of another kind is there; remove it or choose another path", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return errors.Join(fmt.Errorf("cannot offer the plant at %s: another process serves there; stop it first", path), c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("cannot offer the plant at %s: nobody knows whether another process serves there: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("cannot remove the old socket %s: %w", path, err)
	}
	return nil
}

// Serve offers the plant to any number of clients, one goroutine each, until ctx
// ends; then it closes the listener and every connection, and returns when their
// goroutines have ended. When a client goes away nothing else happens: outputs
// stay as they are, as on a board that has lost its host.
func Serve(ctx context.Context, l net.Listener, p *Plant) error {
	s := server{p: p, last: make(map[sender]uint64)}
	var clients sync.WaitGroup
	defer clients.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = c.Close()
			}
			return nil
		}
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			select { // no descriptor is free: those who are connected go on
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		if err != nil {
			return errors.Join(fmt.Errorf("the plant cannot take more clients: %w", err), l.Close())
		}
		clients.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = c.Close() })()
			_ = s.converse(c, deadlineWriter{c}) // the client went, or ctx ended
			_ = c.Close()
		})
	}
}

// deadlineWriter gives up on a client that does not read.
type deadlineWriter struct{ net.Conn }

func (w deadlineWriter) Write(b []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return 0, err
	}
	return w.Conn.Write(b)
}

type server struct {
	p    *Plant
	mu   sync.Mutex
	last map[sender]uint64 // the newest command obeyed
}

// sender is a client, for one part.
type sender struct {
	from string
	part driver.Part
}

// converse answers lines until the client ends.
func (s *server) converse(in io.Reader, out io.Writer) error {
	r := bufio.NewReader(in)
	for {
		line, err := readLine(r, maxRequest)
		if err != nil {
			return err
		}
		var a answer
		if req, err := decodeRequest(line); err != nil {
			a.Error = err.Error()
		} else {
			a = s.answer(req)
		}
		b, err := json.Marshal(a)
		if err != nil {
			return err
		}
		if _, err := out.Write(append(b, '\n')); err != nil {
			return err
		}
	}
}

func (s *server) answer(r request) answer {
	var a answer
	var err error
	switch h := s.p.Handle(); r.Do {
	case "config":
		c := s.p.Config()
		a.Config = &c
	case "set", "on-for":
		err = s.switches(r)
	case "read":
		a.Value, err = h.Read(r.Signal)
	case "place":
		err = h.PlaceCup()
	case "take":
		if c, ok := s.p.TakeCup(); ok {
			a.Cup = &c
		}
	case "fault":
		err = h.Fault(r.fault)
	case "mend":
		err = h.Mend(r.fault)
	case "clear":
		err = h.Clear()
	case "refill":
		err = h.Refill()
	case "poured":
		a.Pours = s.p.Poured()
	case "flows":
		a.Pours = s.p.Flows()
	case "counts":
		c := s.p.Counts()
		a.Counts = &c
	case "edges":
		a.Edges = s.p.Edges()
	}
	if err != nil {
		a.Error = err.Error()
		if errors.Is(err, driver.ErrInvalid) {
			a.Code = codeInvalid
		}
	}
	return a
}

// maxSenders bounds the memory of those who ever switched something; nobody has
// so many at a time.
const maxSenders = 4096

// switches obeys, unless a later command of the same sender was obeyed already:
// a client that gave up waiting for "on" sends "off" over a new connection, and
// the "on" may come after it.
func (s *server) switches(r request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := sender{r.From, r.Part}
	if r.Seq < s.last[from] {
		return errors.New("a later command was faster; this one has no effect")
	}
	if len(s.last) >= maxSenders {
		clear(s.last)
	}
	s.last[from] = r.Seq
	if r.Do == "on-for" {
		return s.p.Handle().OnFor(r.Part, r.AtMost)
	}
	return s.p.Handle().Set(r.Part, r.On)
}
