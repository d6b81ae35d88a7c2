package web

import (
	"net/http"
	"strings"
	"testing"
)

// The code says where phones find the page: what the owner says, else the name
// under which it was asked for, never this computer's own.
func TestCodeForPhones(t *testing.T) {
	h := open(t)
	h.web.Hosts = append(h.web.Hosts, "shop.local")
	host := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.Host, r.RemoteAddr = name, "192.0.2.7:1" }
	}
	for _, target := range []string{"/board", "/qr"} {
		lacks(t, text(t, h.ask("GET", target, "")), "<path class=\"black\"")
		contains(t, text(t, h.ask("GET", target, "", host("shop.local:8080"))), "<path class=\"black\"", "http://shop.local:8080<", "aria-label=\"QR code: http://shop.local:8080\"")
	}
	contains(t, text(t, h.ask("GET", "/qr", "")), "There is no address for phones")
	h.web.Address = "https://coffee.example"
	contains(t, text(t, h.ask("GET", "/board", "")), "https://coffee.example<")
	contains(t, text(t, h.ask("GET", "/qr", "", header("Accept-Language", "fr"))), "Commandez avec votre téléphone")
}

// What stands for the PIN is in the code that the shop's people print, and nowhere
// else: the board is for everybody.
func TestCodeOfTheTable(t *testing.T) {
	h := open(t)
	h.web.Address, h.web.PIN = "https://coffee.example", "4711"
	plain, table := newCode("https://coffee.example", ""), newCode("https://coffee.example/t/"+h.web.tableToken(), "")
	far := func(r *http.Request) { r.RemoteAddr = "192.0.2.7:1" }
	page := text(t, h.ask("GET", "/qr", ""))
	contains(t, page, table.Path)
	lacks(t, page, h.web.tableToken(), "PIN")
	page = text(t, h.ask("GET", "/qr", "", far))
	contains(t, page, plain.Path, "PIN is asked for")
	contains(t, text(t, h.ask("GET", "/board", "")), plain.Path)
}

func TestCodePath(t *testing.T) {
	if newCode("", "") != nil || newCode(strings.Repeat("x", 5000), "") != nil {
		t.Error("a code of nothing, or of too much")
	}
	c := newCode("http://a", "")
	if c.Side != 21+2*codeQuiet || !strings.HasPrefix(c.Path, "M4 4h7v1h-7z") {
		t.Errorf("%d modules, %.40s", c.Side, c.Path)
	}
}
