package web

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"rsc.io/qr"
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
	if c.Side != 21+2*codeQuiet || !strings.HasPrefix(c.Path, "M4 4.5h7m") {
		t.Errorf("%d modules, %.40s", c.Side, c.Path)
	}
	// Drawn with a pen of one module, it is the code, module by module.
	want, err := qr.Encode("https://coffee.example/stock?item=milk-soja", qr.M)
	if err != nil {
		t.Fatal(err)
	}
	c = newCode("https://coffee.example/stock?item=milk-soja", "")
	black := make(map[[2]int]bool)
	x, y, drawn := 0, 0, 0
	for _, step := range regexp.MustCompile(`M(\d+) (\d+)\.5|m(\d+) 0|h(\d+)`).FindAllStringSubmatch(c.Path, -1) {
		drawn += len(step[0])
		n := func(i int) int { n, _ := strconv.Atoi(step[i]); return n }
		if step[1] != "" {
			x, y = n(1), n(2)
		}
		x += n(3)
		for range n(4) {
			black[[2]int{x - codeQuiet, y - codeQuiet}] = true
			x++
		}
	}
	if drawn != len(c.Path) {
		t.Errorf("%d of %d bytes of the path are understood", drawn, len(c.Path))
	}
	for y := -codeQuiet; y < want.Size+codeQuiet; y++ {
		for x := -codeQuiet; x < want.Size+codeQuiet; x++ {
			if black[[2]int{x, y}] != want.Black(x, y) {
				t.Fatalf("module %d, %d is %v", x, y, black[[2]int{x, y}])
			}
		}
	}
}
