package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// One stream tells of several pages, each by its place in the address, until all
// have ended; of what is not there, or not for this reader, only the end.
func TestEventsOfSeveralPages(t *testing.T) {
	withServer(t, func(h *house, l *pipes) {
		ada, adasPage := h.order("Ada")
		_, bobsPage := h.order("Bob")
		q := url.Values{"of": {adasPage, "/board", "/orders/x", "/fleet", bobsPage, "/../livez"}}
		c := l.dialFrom("192.0.2.1:1")
		defer c.Close()
		in := newReader(t, listen(t, c, "/events?"+q.Encode()))
		contains(t, in.until("0\n").data, "Thank you, Ada!")
		contains(t, in.until("1\n").data, "Nobody is called")
		for _, want := range []string{"2", "3"} {
			if e, ok := in.next(); !ok || e.kind != "end" || e.data != want {
				t.Errorf("%+v, want the end of %s", e, want)
			}
		}
		contains(t, in.until("4\n").data, "Thank you, Bob!")
		if e, _ := in.next(); e.kind != "end" || e.data != "5" {
			t.Errorf("%+v, want the end of 5", e)
		}
		h.write(ada, brewing("zoe"))
		seen := map[string]string{}
		for len(seen) < 3 { // Ada's page, the board, and Bob's, who moved up
			e, ok := in.next()
			if !ok {
				t.Fatal("the events ended")
			}
			i, rest, _ := strings.Cut(e.data, "\n")
			seen[i] = rest
		}
		contains(t, seen["0"], "Zoe makes your coffee")
		contains(t, seen["1"], "Ada")
		lacks(t, seen["4"], "Zoe")
		h.write(ada, served("zoe"))
		contains(t, in.until("0\n").data, "Your coffee is ready, Ada!")
		for e, ok := in.next(); ok; e, ok = in.next() {
			if e.kind == "end" {
				if e.data != "0" {
					t.Errorf("the end of %s", e.data)
				}
				break
			}
		}
		if n := h.web.streams.taken; n != 1 {
			t.Errorf("%d streams", n)
		}
		beats := 0
		for start := time.Now(); time.Since(start) < time.Minute; {
			line, err := in.line()
			if err != nil {
				t.Fatalf("after %s: %v", time.Since(start), err)
			}
			if line == ":" {
				beats++
			}
		}
		if beats < 5 {
			t.Errorf("%d heartbeats in a minute", beats)
		}
	})
}

func TestEventsOfTooMany(t *testing.T) {
	h := open(t)
	status(t, h.ask("GET", "/events", ""), http.StatusBadRequest)
	status(t, h.ask("GET", "/events?"+strings.Repeat("of=/board&", mostTold+1), ""), http.StatusBadRequest)
	status(t, h.askInto(&deadlines{}, "GET", "/events?of=/nothing"), http.StatusOK) // and ends
}
