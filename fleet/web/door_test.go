package web

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// get asks for a page over a connection and returns the status, 0 where it was
// hung up.
func (h *house) get(c net.Conn, target string) int {
	go fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", target)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// Whoever takes all places gives some up: others are served, and health is
// answered to everybody, him too.
func TestDoorIsNeverShut(t *testing.T) {
	withServer(t, func(h *house, l *pipes) {
		var in []net.Conn
		defer func() {
			for _, c := range in {
				c.Close()
			}
		}()
		siege := func(address string) {
			for range maxConns + 50 {
				in = append(in, l.dialFrom(address))
			}
		}
		siege("192.0.2.1:1")
		polite := l.dialFrom("192.0.2.2:1")
		defer polite.Close()
		if code := h.get(polite, "/board"); code != 200 {
			t.Errorf("another address got %d", code)
		}
		own := l.dialFrom("192.0.2.1:2")
		if code := h.get(own, "/livez"); code != 200 {
			t.Errorf("health of the busy address is %d", code)
		}
		if code := h.get(own, "/board"); code != 503 {
			t.Errorf("the reserve served a page: %d", code)
		}
		own = l.dialFrom("192.0.2.1:3")
		start := time.Now()
		if _, err := io.Copy(io.Discard, own); err != nil || time.Since(start) > spareTime+time.Second {
			t.Errorf("a place of the reserve was kept %s: %v", time.Since(start), err)
		}
		if code := h.get(polite, "/board"); code != 200 {
			t.Errorf("the polite one lost his place: %d", code)
		}
		siege("192.0.2.3:1") // two of them share, and nobody else suffers
		siege("192.0.2.1:4")
		if code := h.get(polite, "/board"); code != 200 {
			t.Errorf("the polite one lost his place to two: %d", code)
		}
		late := l.dialFrom("192.0.2.4:1")
		defer late.Close()
		if code := h.get(late, "/board"); code != 200 {
			t.Errorf("who came late got %d", code)
		}
	})
}

// Where everybody has one place and asks nothing on it, newcomers get those of
// who has been quiet longest.
func TestQuietPlacesAreGivenOn(t *testing.T) {
	withServer(t, func(h *house, l *pipes) {
		var in []net.Conn
		for i := range maxConns {
			c := l.dialFrom(fmt.Sprintf("10.0.%d.%d:1", i/200, i%200))
			defer c.Close()
			in = append(in, c)
		}
		if code := h.get(in[0], "/livez"); code != 200 {
			t.Fatal(code)
		}
		events := l.dialFrom("10.1.0.1:1") // comes while nobody has been quiet for long
		if code := h.get(events, "/board"); code != 503 {
			t.Errorf("one too many got %d", code)
		}
		events.Close()
		time.Sleep(quietTime)
		one := l.dialFrom("10.1.0.2:1")
		defer one.Close()
		if code := h.get(one, "/board"); code != 200 {
			t.Errorf("a newcomer got %d", code)
		}
		if code := h.get(in[0], "/livez"); code != 200 {
			t.Errorf("who asked last had to go: %d", code)
		}
		synctest.Wait()
	})
}

// Places come back, whoever closed the connection and however.
func TestPlacesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		d := newDoor(l)
		for range 3 {
			var ours, theirs []net.Conn
			for i := range maxConns + 3*maxSpare {
				go func() { ours = append(ours, l.dialFrom(fmt.Sprintf("192.0.2.%d:1", i%3))) }()
				c, err := d.Accept()
				if err != nil {
					t.Fatal(err)
				}
				theirs = append(theirs, c)
				synctest.Wait()
			}
			if len(d.places) != maxConns || len(d.spare) > maxSpare {
				t.Errorf("%d places and %d spare ones", len(d.places), len(d.spare))
			}
			for i := range ours {
				ours[i].Close()
				theirs[i].Close()
				theirs[i].Close()
			}
			if len(d.places)+len(d.spare)+len(d.by) != 0 {
				t.Errorf("left behind: %d places, %d spare, %v", len(d.places), len(d.spare), d.by)
			}
		}
	})
}
