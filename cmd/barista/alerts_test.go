package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"barista/cmd/barista/reach"
	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver"
	"barista/driver/plant"
	"barista/fleet/client"
)

// TestAlerts: a shop that runs out of beans calls a person; what the message says to
// type is typed, and the next message says that all is well.
func TestAlerts(t *testing.T) {
	t.Parallel() // it looks every 20 s
	var mu sync.Mutex
	type message struct {
		OK   bool
		Text string
		Next []string
	}
	var came []message
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		var m message
		if json.Unmarshal(b, &m) == nil {
			came = append(came, m)
		}
	}))
	defer server.Close()
	password := filepath.Join(t.TempDir(), "mail.password")
	if err := os.WriteFile(password, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port, letters := postOffice(t)
	h := openHouse(t, demo{http: "none", nats: "127.0.0.1:0", machines: 1, speed: 100, cups: "auto"}, func(f *configs.File, _ []*configs.Machine) {
		f.Stock.Initial["arabica"] = 20
		f.Alerts = &configs.Alerts{Webhook: server.URL, Mail: &configs.Mail{Host: "127.0.0.1", Port: port, From: "barista@example.org", To: []string{"lea@example.org"}, User: "barista", Password: password}}
	})
	next := ""
	h.eventually("the alert", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range came {
			for _, n := range m.Next {
				if strings.Contains(m.Text, "arabica runs out: 20 g left") && strings.Contains(n, "stock add") && !m.OK {
					next = n
				}
			}
		}
		return next != ""
	})
	h.eventually("the mail", func() bool {
		l := letters()
		return strings.Contains(l, "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00barista\x00hunter2"))) && strings.Contains(l, "RCPT TO:<lea@example.org>") && strings.Contains(l, "\n- arabica runs out: 20 g left")
	})
	if code, text := pasted(t, t.Context(), h.broker.URL(), "", strings.Replace(next, "AMOUNT", "500", 1)); code != term.ExitOK || !strings.Contains(text, "added 500 g of arabica") {
		t.Fatalf("%s: exit %d: %s", next, code, text)
	}
	h.eventually("all to be well", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return came[len(came)-1].OK
	})
}

// TestAlertsAtNight: in the quiet hours nobody is called for beans, and somebody for a pump
// that goes on whatever it is told.
func TestAlertsAtNight(t *testing.T) {
	t.Parallel() // it looks every 20 s
	type message struct {
		Danger bool
		Title  string
		Wrong  []string
	}
	came := make(chan message, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		came <- m
	}))
	defer server.Close()
	h := openHouse(t, demo{http: "none", nats: "127.0.0.1:0", machines: 1, speed: 100, cups: "auto"}, func(f *configs.File, _ []*configs.Machine) {
		f.Stock.Initial["robusta"] = 0
		f.Alerts = &configs.Alerts{Webhook: server.URL, Quiet: configs.Quiet{To: 24 * time.Hour}}
	})
	h.ready()
	h.plants()[0].Fault(plant.Fault{Kind: plant.Stuck, Part: driver.Pump})
	if a, err := h.request(`{"size":"small","bean_type":"arabica","milk":"free","name":"Ada","sugar_count":"0"}`); err != nil || a.Status != "success" {
		t.Fatalf("%+v %v", a, err)
	}
	var m message // the first of all
	select {
	case m = <-came:
	case <-time.After(2 * time.Minute):
		t.Fatal("nobody is called")
	}
	if !m.Danger || !strings.HasSuffix(m.Title, "need a hand, at once") || len(m.Wrong) < 2 || !strings.Contains(m.Wrong[0], " has a fault: ") {
		t.Errorf("%+v", m)
	}
	shop, name := reach.Shop(h.conn, false), h.machines[0].file.Name
	if err := shop.Cordon(t.Context(), name, "ada", "it floods"); err != nil {
		t.Fatal(err)
	}
	h.eventually("it to be out of service, and a danger", func() bool {
		st, err := shop.Status(t.Context())
		return err == nil && slices.ContainsFunc(st.Wrong, func(w client.Wrong) bool { return w.Danger && strings.HasPrefix(w.Text, name+" is out of service") })
	})
}

// postOffice takes letters on this computer, and tells all that it has heard.
func postOffice(t *testing.T) (port int, heard func() string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	var mu sync.Mutex
	var all strings.Builder
	take := func(conn net.Conn) {
		defer conn.Close()
		c := textproto.NewConn(conn)
		for answer := "220 a test"; c.PrintfLine("%s", answer) == nil; {
			line, err := c.ReadLine()
			if err != nil {
				return
			}
			text := ""
			switch verb, _, _ := strings.Cut(line, " "); verb {
			case "EHLO":
				answer = "250-a test\r\n250 AUTH PLAIN"
			case "AUTH":
				answer = "235 come in"
			case "DATA":
				if c.PrintfLine("354 write") != nil {
					return
				}
				b, _ := c.ReadDotBytes()
				text, answer = string(b), "250 taken"
			default:
				answer = "250 fine"
			}
			mu.Lock()
			fmt.Fprintf(&all, "%s\n%s\n", line, text)
			mu.Unlock()
		}
	}
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			take(conn)
		}
	})
	return ln.Addr().(*net.TCPAddr).Port, func() string { mu.Lock(); defer mu.Unlock(); return all.String() }
}
