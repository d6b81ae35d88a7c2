package web

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var flood = flag.Duration("flood", 2*time.Second, "how long TestTenTimesTheLoad lasts; 1m by hand")

// customer asks a real server from an address: another one of loopback, or one that
// a proxy tells.
type customer struct {
	t      testing.TB
	at     string
	told   string
	client *http.Client
}

func newCustomer(t testing.TB, at, from, told string) *customer {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	tr := &http.Transport{DialContext: d.DialContext}
	t.Cleanup(tr.CloseIdleConnections)
	return &customer{t, at, told, &http.Client{Transport: tr, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// ask asks for a page and returns it.
func (c *customer) ask(method, path string, form url.Values) (status int, head http.Header, body string) {
	c.t.Helper()
	var send io.Reader
	if form != nil {
		send = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequest(method, c.at+path, send)
	if err != nil {
		c.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", c.at)
	}
	if c.told != "" {
		req.Header.Set("X-Forwarded-For", c.told)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil, err.Error()
	}
	return res.StatusCode, res.Header, string(b)
}

// order opens the form, orders, and looks at the order's page.
func (c *customer) order() error {
	status, _, page := c.ask("GET", "/", nil)
	m := hiddenID.FindStringSubmatch(page)
	if status != 200 || m == nil {
		return fmt.Errorf("the form: %d %.200s", status, page)
	}
	form := url.Values{"id": {m[1]}, "name": {"Ada"}, "size": {"medium"}, "bean_type": {"arabica"}, "milk": {"free"}, "sugar_count": {"1"}}
	status, head, page := c.ask("POST", "/order", form)
	if status != http.StatusSeeOther {
		return fmt.Errorf("the order: %d %.200s", status, page)
	}
	path, _, _ := strings.Cut(head.Get("Location"), "#")
	if status, _, page = c.ask("GET", path, nil); status != 200 {
		return fmt.Errorf("its page: %d %.200s", status, page)
	}
	return nil
}

// besieged wants a polite customer served and health answered, from the address of
// the siege too.
func besieged(t *testing.T, polite, busy *customer) {
	t.Helper()
	if err := polite.order(); err != nil {
		t.Errorf("the polite customer: %v", err)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		for name, c := range map[string]*customer{"another": polite, "the same": busy} {
			if status, _, body := c.ask("GET", path, nil); status != 200 {
				t.Errorf("%s for %s address: %d %s", path, name, status, body)
			}
		}
	}
}

// 600 live pages of one address: he gets his share, others are served, and their
// pages live.
func TestStreamsOfOneAddress(t *testing.T) {
	h := build(t)
	h.web.Proxies = prefixes("127.0.0.1/32")
	at := h.run().listening()
	var open, refused atomic.Int32
	var wg, asking sync.WaitGroup
	stop := make(chan struct{})
	for range 600 {
		asking.Add(1)
		wg.Go(func() {
			answered := sync.OnceFunc(asking.Done)
			defer answered()
			c, err := net.Dial("tcp", strings.TrimPrefix(at, "http://"))
			if err != nil {
				return
			}
			defer c.Close()
			fmt.Fprint(c, "GET /board/events HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.5\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				return
			}
			if res.StatusCode != 200 {
				refused.Add(1)
				return
			}
			open.Add(1)
			answered()
			<-stop
		})
	}
	for end := time.Now().Add(20 * time.Second); open.Load() < streamsEach && time.Now().Before(end); {
		runtime.Gosched()
	}
	polite, busy := newCustomer(t, at, "127.0.0.1", "203.0.113.6"), newCustomer(t, at, "127.0.0.1", "203.0.113.5")
	besieged(t, polite, busy)
	req, _ := http.NewRequest("GET", at+"/board/events", nil)
	req.Header.Set("X-Forwarded-For", "203.0.113.6")
	res, err := polite.client.Do(req)
	if err != nil || res.StatusCode != 200 {
		t.Errorf("the polite one's live page: %v %v", res, err)
	} else {
		res.Body.Close()
	}
	asking.Wait() // who is late would get the place of one that left
	close(stop)
	wg.Wait()
	if n := open.Load(); n > streamsEach {
		t.Errorf("one address had %d live pages, want at most %d", n, streamsEach)
	}
	if refused.Load() == 0 {
		t.Error("nobody was refused: the test is blind")
	}
}

// The four ways in which slow clients hold a server up, 600 connections each.
func TestSlowClients(t *testing.T) {
	for name, tt := range map[string]struct{ once, again string }{
		"headers": {"GET / HTTP/1.1\r\nHost: localhost\r\n", "X-A: b\r\n"},
		"body":    {"POST /order HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 4000\r\n\r\n", "a=b&"},
		"read":    {strings.Repeat("GET "+assetPath("style.css")+" HTTP/1.1\r\nHost: localhost\r\n\r\n", 20), ""},
		"range":   {"GET " + assetPath("live.js") + " HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-" + strings.Repeat(",5-1", 1000) + "\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			at := h.listening()
			stop := make(chan struct{})
			var all, wg sync.WaitGroup
			all.Add(600)
			for range 600 {
				wg.Go(func() {
					c, err := (&net.Dialer{}).Dial("tcp", strings.TrimPrefix(at, "http://"))
					if err == nil {
						defer c.Close()
						c.(*net.TCPConn).SetReadBuffer(1 << 10)
						c.SetWriteDeadline(time.Now().Add(10 * time.Second))
						_, err = io.WriteString(c, tt.once)
					}
					all.Done()
					for err == nil {
						select {
						case <-stop:
							return
						case <-time.After(100 * time.Millisecond):
							_, err = io.WriteString(c, tt.again)
						}
					}
				})
			}
			all.Wait()
			besieged(t, newCustomer(t, at, "127.0.0.2", ""), newCustomer(t, at, "127.0.0.1", ""))
			close(stop)
			wg.Wait()
		})
	}
}

// Ten times what a busy house asks, by ten addresses that load pages, live parts and
// health as fast as they get them, while a polite customer orders.
func TestTenTimesTheLoad(t *testing.T) {
	h := build(t)
	h.web.Proxies = prefixes("127.0.0.1/32")
	h.web.tally.most = 1 << 20
	h.web.orders = newRates(pace{time.Microsecond, 1000}, pace{time.Microsecond, 1000})
	at := h.run().listening()
	ctx, cancel := context.WithTimeout(t.Context(), *flood)
	defer cancel()
	var wg sync.WaitGroup
	var asked, served atomic.Int64
	for i := range 10 {
		for range 8 {
			c := newCustomer(t, at, "127.0.0.1", "203.0.113."+strconv.Itoa(i))
			wg.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					status, _, _ := c.ask("GET", []string{"/", "/board", "/wait?size=small", "/readyz"}[n%4], nil)
					asked.Add(1)
					if status == 200 {
						served.Add(1)
					}
				}
			})
		}
	}
	polite := newCustomer(t, at, "127.0.0.1", "198.51.100.7")
	var took []time.Duration
	var most uint64
	for ctx.Err() == nil {
		start := time.Now()
		if err := polite.order(); err != nil {
			t.Errorf("after %d: %v", len(took), err)
			break
		}
		took = append(took, time.Since(start))
		var m runtime.MemStats
		if runtime.ReadMemStats(&m); m.HeapInuse+m.StackInuse > most {
			most = m.HeapInuse + m.StackInuse
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	wg.Wait()
	if len(took) == 0 {
		t.Fatal("he never ordered")
	}
	slices.Sort(took)
	p99 := took[min(len(took)-1, len(took)*99/100)]
	t.Logf("%d asked, %d served, in %s; the polite one ordered %d times: median %s, p99 %s for form, order and page; at most %d MiB with the clients",
		asked.Load(), served.Load(), *flood, len(took), took[len(took)/2], p99, most>>20)
	if most > 128<<20 {
		t.Errorf("%d MiB", most>>20)
	}
	if *flood >= time.Minute && p99 > time.Second {
		t.Errorf("p99 %s", p99)
	}
}
