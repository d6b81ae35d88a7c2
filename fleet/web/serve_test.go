package web

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet/keys"
)

// withServer runs a house behind Serve on pipes, under fake time.
func withServer(t *testing.T, f func(h *house, l *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		l := newPipes()
		done := make(chan error, 1)
		go func() { done <- h.web.Serve(ctx, l) }()
		f(h, l)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// listen asks for events and reads the head of the answer.
func listen(t *testing.T, c net.Conn, target string, headers ...string) *bufio.Reader {
	t.Helper()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", target, strings.Join(append(headers, ""), "\r\n"))
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("status %d", res.StatusCode)
	}
	return bufio.NewReader(res.Body)
}

// Live pages outlast the server's deadlines, and hear a heartbeat.
func TestEventsOutlastTheServersDeadlines(t *testing.T) {
	withServer(t, func(h *house, l *pipes) {
		_, path := h.order("Ada")
		c := l.dial()
		defer c.Close()
		in := listen(t, c, path+"/events")
		beats := 0
		start := time.Now()
		for time.Since(start) < 10*time.Minute {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatalf("the events ended after %s: %v", time.Since(start), err)
			}
			if line == ":\n" {
				beats++
			}
		}
		if beats < 55 {
			t.Errorf("%d heartbeats in ten minutes", beats)
		}
	})
}

// A reader that takes nothing is dropped and does not hold up anything.
func TestSlowReaderIsDropped(t *testing.T) {
	withServer(t, func(h *house, l *pipes) {
		id, path := h.order("Ada")
		slow, quick := l.dial(), l.dial()
		defer quick.Close()
		listen(t, slow, path+"/events") // and never reads again
		in := newReader(t, listen(t, quick, path+"/events"))
		start := time.Now()
		h.write(id, brewing("zoe"))
		in.until("Zoe makes your coffee")
		if took := time.Since(start); took > time.Second {
			t.Errorf("the quick reader heard it after %s", took)
		}
		time.Sleep(2 * patience)
		slow.SetReadDeadline(time.Now().Add(3 * heartbeat))
		if _, err := io.Copy(io.Discard, slow); err != nil {
			t.Errorf("the server did not hang up: %v", err)
		}
		slow.Close()
	})
}

func TestSlowSendersAreDropped(t *testing.T) {
	withServer(t, func(h *house, l *pipes) {
		for name, tt := range map[string]struct {
			send string
			by   time.Duration
		}{
			"no word":        {"", headerTime},
			"half a header":  {"GET / HTTP/1.1\r\nHost: loc", headerTime},
			"half a body":    {"POST /order-coffee HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", readTime},
			"idle afterward": {"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", idleTime},
		} {
			c := l.dial()
			start := time.Now()
			go io.WriteString(c, tt.send)
			io.Copy(io.Discard, c)
			if took := time.Since(start); took > tt.by+time.Second {
				t.Errorf("%s: hung up after %s, want %s", name, took, tt.by)
			}
			c.Close()
		}
	})
}

func TestHeaderSize(t *testing.T) {
	withServer(t, func(h *house, l *pipes) {
		c := l.dial()
		defer c.Close()
		go io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Bomb: "+strings.Repeat("x", 64<<10)+"\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status %d", res.StatusCode)
		}
	})
}

// When the shop closes, live pages end and Serve returns soon.
func TestServeEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		l := newPipes()
		done := make(chan error, 1)
		go func() { done <- h.web.Serve(ctx, l) }()
		c := l.dial()
		defer c.Close()
		in := listen(t, c, "/board/events")
		go io.Copy(io.Discard, in)
		synctest.Wait()
		start := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// Over HTTP/2 a deadline ends a stream whether something is written or not.
func TestEventsOutlastTheServersDeadlinesOverTLS(t *testing.T) {
	ca, err := keys.NewCA("a test's shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		_, path := h.order("Ada")
		pair, err := ca.Server([]string{"localhost"}, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		h.web.TLS = &tls.Config{Certificates: []tls.Certificate{pair.TLS()}, Time: time.Now}
		ctx, cancel := context.WithCancel(t.Context())
		l := newPipes()
		done := make(chan error, 1)
		go func() { done <- h.web.Serve(ctx, l) }()
		client := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			DialContext: func(context.Context, string, string) (net.Conn, error) { return l.dial(), nil }}
		req, err := http.NewRequestWithContext(ctx, "GET", "https://localhost"+path+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.RoundTrip(req)
		if err != nil || res.ProtoMajor != 2 || res.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", res, err)
		}
		in := bufio.NewReader(res.Body)
		for start := time.Now(); time.Since(start) < 10*time.Minute; {
			if _, err := in.ReadString('\n'); err != nil {
				t.Fatalf("the events ended after %s: %v", time.Since(start), err)
			}
		}
		res.Body.Close()
		client.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
