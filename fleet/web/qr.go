package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"rsc.io/qr"
)

// code is a QR code as a page shows it: one path of an inline picture, so that the
// page needs no other file and no style of its own.
type code struct {
	Address string // what it says
	Show    string // what is printed below it: the address without what is secret
	Side    int    // of the picture, in modules
	Path    string
}

// codeQuiet is the white around a code, in modules, as its standard wants it.
const codeQuiet = 4

// newCode draws an address; nil for none, and for one that fits no code.
func newCode(address, show string) *code {
	if address == "" {
		return nil
	}
	c, err := qr.Encode(address, qr.M)
	if err != nil {
		return nil
	}
	var path []byte
	for y := range c.Size {
		at := -1 // where the pen stands; -1: on another line
		for x := 0; x < c.Size; x++ {
			from := x
			for x < c.Size && c.Black(x, y) {
				x++
			}
			if x == from {
				continue
			}
			if at < 0 { // the pen is one module wide, so it goes along the middle
				path = fmt.Appendf(path, "M%d %d.5", from+codeQuiet, y+codeQuiet)
			} else {
				path = fmt.Appendf(path, "m%d 0", from-at)
			}
			path = fmt.Appendf(path, "h%d", x-from) // a run of black modules in one stroke
			at = x
		}
	}
	return &code{Address: address, Show: show, Side: c.Size + 2*codeQuiet, Path: string(path)}
}

// customers is the address under which phones reach the page: what the owner says,
// else that under which this page was asked for, if it is not this computer's own.
// It was checked to be one of ours.
func (w *Web) customers(r *http.Request) string {
	if w.Address != "" {
		return w.Address
	}
	name := r.Host
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	if a, err := netip.ParseAddr(name); name == "localhost" || err == nil && a.Unmap().IsLoopback() {
		return ""
	}
	scheme := "http://"
	if w.visitorOf(r).secure {
		scheme = "https://"
	}
	return scheme + r.Host
}

// codeBody is the page to print.
type codeBody struct {
	Code *code
	PIN  bool // the house has one, and this code does not hold it
}

// codePage is a page to print and hang up. For the shop's people it carries what
// stands for the house's PIN: it hangs in the house then, and need not be asked.
func (w *Web) codePage(rw http.ResponseWriter, r *http.Request) {
	p := w.pages[lang(r)]
	address := w.customers(r)
	show, body := address, codeBody{PIN: w.PIN != ""}
	if _, ours := w.operator(r); ours && address != "" && body.PIN {
		address += "/t/" + w.tableToken()
		body.PIN = false
	}
	body.Code = newCode(address, show)
	w.show(rw, r, http.StatusOK, view{Page: "qr", Self: "/qr", Title: p.say("qr.title"), Body: body})
}
