package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"barista/cmd/barista/term"
	"barista/configs"
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
	h := openHouse(t, demo{http: "none", nats: "127.0.0.1:0", machines: 1, speed: 100, cups: "auto"}, func(f *configs.File, _ []*configs.Machine) {
		f.Stock.Initial["arabica"] = 20
		f.Alerts = &configs.Alerts{Webhook: server.URL}
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
	if code, text := pasted(t, t.Context(), h.broker.URL(), "", strings.Replace(next, "AMOUNT", "500", 1)); code != term.ExitOK || !strings.Contains(text, "added 500 g of arabica") {
		t.Fatalf("%s: exit %d: %s", next, code, text)
	}
	h.eventually("all to be well", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return came[len(came)-1].OK
	})
}
