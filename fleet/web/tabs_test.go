package web

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"barista/fleet"
)

// tab opens another tab of the browser.
func (b *browser) tab(t *testing.T) *browser {
	t.Helper()
	ctx, _ := chromedp.NewContext(b.ctx)
	return &browser{ctx: ctx}
}

// All tabs of a browser live by one stream: eight of them leave room for a ninth
// page, over HTTP/1.1 too, and each hears its own news.
func TestBrowserTabsShareAStream(t *testing.T) {
	b := startBrowser(t)
	h := open(t)
	at := h.listening()
	ada, adasPage := h.order("Ada")
	bob, bobsPage := h.order("Bob")
	b.do(t, chromedp.Navigate(at+adasPage), chromedp.WaitVisible("#taken"))
	tabs := []*browser{b}
	for i := range 7 {
		page := []string{bobsPage, adasPage, "/board"}[i%3]
		tab := b.tab(t)
		tab.do(t, chromedp.Navigate(at+page), chromedp.WaitVisible("#content"))
		tabs = append(tabs, tab)
	}
	h.write(ada, brewing("zoe"))
	h.write(bob, brewing("leo"))
	for i, tab := range tabs {
		tab.see(t, "#live", []string{"Leo", "Zoe", "Zoe"}[(i+2)%3])
	}
	if n := h.web.streams.taken; n != 1 {
		t.Errorf("eight tabs of one browser hold %d streams", n)
	}
	form := b.tab(t)
	form.do(t, chromedp.Navigate(at+"/"), chromedp.WaitVisible("#order"))
	h.write(ada, served("zoe"))
	b.see(t, "h1", "Your coffee is ready, Ada!")
	tabs[2].see(t, "h1", "Your coffee is ready, Ada!")
	h.live(fleet.Event{Order: bob, Kind: fleet.EvStep, N: 1, Of: 2, Step: "pour", Machine: "leo"})
	tabs[1].see(t, "#step", "Step 1 of 2: Pouring")
	if c := b.complained(); len(c) > 0 {
		t.Errorf("the pages complained: %q", c)
	}
}

// A page's live part is in the page's language, also where another tab shows the same in
// another one.
func TestBrowserTabsInTwoLanguages(t *testing.T) {
	b := startBrowser(t)
	h := open(t)
	at := h.listening()
	b.do(t, chromedp.Navigate(at+"/board?lang=en"), chromedp.WaitVisible("#content"))
	tab := b.tab(t)
	tab.do(t, chromedp.Navigate(at+"/board?lang=fr"), chromedp.WaitVisible("#content"))
	id, _ := h.order("Bob")
	h.write(id, brewing("zoe"))
	for range 2 {
		b.see(t, "#live .making", "Being made")
		b.see(t, "#live .making", "Bob")
		tab.see(t, "#live .making", "En préparation")
		tab.see(t, "#live .making", "Bob")
		h.write(id, served("zoe"))
		b.see(t, "#live .called", "Bob")
		tab.see(t, "#live .called", "Bob")
		id, _ = h.order("Bob")
		h.write(id, brewing("zoe"))
	}
}

// Where there is no room for streams, a page asks for itself now and then.
func TestBrowserWithoutStreams(t *testing.T) {
	b := startBrowser(t)
	h := open(t)
	h.web.streams.all = 0
	at := h.listening()
	id, page := h.order("Ada")
	b.do(t, chromedp.Navigate(at+page), chromedp.WaitVisible("#taken"))
	b.do(t, chromedp.Evaluate[chromedp.Void](`void (window.stayed = true)`))
	h.write(id, brewing("zoe"))
	b.see(t, "h1", "Zoe makes your coffee")
	if !get(t, b, chromedp.Evaluate[bool](`window.stayed === true && document.getElementById("lost").hidden`)) {
		t.Error("the page was loaded anew, or says that it is lost")
	}
	h.write(id, served("zoe"))
	b.see(t, "h1", "Your coffee is ready, Ada!")
}

// hostile are names that try to be more than text.
func hostile() []string {
	list := []string{
		`<script>document.title="owned"</script>`, `<img src=x onerror=document.title="owned">`, `"><svg onload=document.title="owned">`,
		`'><body onload=owned()>`, `</title><script>owned()</script>`, `</li></ul><script>owned()</script>`, `javascript:owned()`,
		`<a href="javascript:owned()">x</a>`, `<iframe src="javascript:owned()">`, `<style>*{display:none}</style>`, `<base href="//evil.example/">`,
		`<meta http-equiv="refresh" content="0;url=//evil.example">`, `<form action="//evil.example"><input name=a>`, `<link rel=stylesheet href=//evil.example/x.css>`,
		`{{.Key}}`, `{{template "frame"}}`, `${owned()}`, `%[1]s%n%d`, `&lt;script&gt;`, `&#x3c;script&#x3e;owned()&#x3c;/script&#x3e;`, `<!--`, `-->`, `<![CDATA[<script>owned()</script>]]>`,
		"data: owned", "\u2028owned", "\u202eowned", "<\u0000script>owned()</script>", "a\nevent: end\ndata: x", "a\r\n\r\n<script>owned()</script>",
		`<template><script>owned()</script></template>`, `<math><mtext><script>owned()</script>`, `<svg><animate onbegin=owned() attributeName=x>`, `<details open ontoggle=owned()>`,
		`<video><source onerror=owned()></video>`, `<object data="javascript:owned()">`, `<embed src="javascript:owned()">`, `<input autofocus onfocus=owned()>`,
		`" autofocus onfocus="owned()`, `' onmouseover='owned()`, "`onload=owned()`", `\"><script>owned()</script>`, `<noscript><p title="</noscript><script>owned()</script>">`,
		`<textarea><script>owned()</script>`, `<select><option><script>owned()</script>`, `<plaintext>`, `<xmp><script>owned()</script>`, `<bdo dir=rtl>owned</bdo>`,
		`<p id=live>`, `<p id=said>`, `<main>`,
	}
	return list
}

// Fifty hostile names are text on the form that comes back, on the orders' pages, on
// the board and on the machines' list, as they come and as they are told; and the
// policy has nothing to stop.
func TestBrowserHostileNames(t *testing.T) {
	b := startBrowser(t)
	h := open(t)
	at := h.listening()
	names := hostile()
	if len(names) != 50 {
		t.Fatalf("%d names", len(names))
	}
	// clean reports what became of a page's texts.
	clean := func(where string, wants ...string) {
		t.Helper()
		odd := get(t, b, chromedp.Evaluate[string](`(() => {
			const bad = [...document.querySelectorAll("script:not([src]), iframe, object, embed, style, base, math, video, template, textarea, plaintext, xmp, select, main main, meta[http-equiv]:not(noscript *)")];
			for (const e of document.querySelectorAll("*")) for (const a of e.attributes) if (/^on/.test(a.name) || /^(href|src|action|formaction|data|xlink:href)$/.test(a.name) && /^javascript:/.test(a.value)) bad.push(e);
			return (document.title === "owned" ? "title " : "") + bad.map(e => e.outerHTML.slice(0, 100)).join(" | ");
		})()`))
		if odd != "" {
			t.Errorf("%s: a name became %s", where, odd)
		}
		shown := get(t, b, chromedp.Evaluate[string](`document.querySelector("main").textContent + [...document.querySelectorAll("input")].map(i => i.value).join(" ")`))
		for _, want := range wants {
			if !strings.Contains(shown, want) {
				t.Errorf("%s does not show %q", where, want)
			}
		}
	}
	// No shop takes such names; a rogue record might hold them, a machine be called
	// so, and the form shows what it refuses.
	b.do(t, chromedp.Navigate(at+"/board"), chromedp.WaitVisible("#content"))
	const stays = 24 // of them are being made when the others are ready
	for i, name := range names {
		c := ada(fmt.Sprintf("01HZZZZZZZZZZZZZZZZZZZZZ%02d", i))
		c.Order.Name, c.Order.Bean, c.Order.Milk = strings.ReplaceAll(name, " ", "/"), name, name // the board shows what stands before a space
		h.records.put(c, time.Now())
		h.step(c.Order.ID, brewing(name))
		for e := range 2 {
			h.records.live(fleet.Event{Order: c.Order.ID, Kind: fleet.EvStep, Epoch: 1, Machine: name, N: e + 1, Of: 9, Step: name})
		}
		if i >= len(names)-stays {
			continue
		}
		h.write(c.Order.ID, served(name))
	}
	b.see(t, ".making", "<p/id=said>")
	clean("the board", "<p/id=said>", "<svg><animate/onbegin=owned()/attributeName=x>")
	h.crew.mu.Lock()
	for _, name := range names {
		h.crew.present = append(h.crew.present, fleet.Presence{Machine: name, State: fleet.State(name), Note: name, Driver: name, Version: name, Cup: name,
			Lacks: []string{name}, Sizes: []fleet.Size{fleet.Size(name)}, Classes: []fleet.Class{{Bean: name, Milk: name}}})
	}
	h.crew.mu.Unlock()
	b.do(t, chromedp.Navigate(at+"/fleet"), chromedp.WaitVisible("#content"))
	clean("the machines", names[0], names[1], names[40])
	for i := 0; i < len(names); i += 16 {
		b.do(t, chromedp.Navigate(at+h.web.pathOf(fmt.Sprintf("01HZZZZZZZZZZZZZZZZZZZZZ%02d", i))), chromedp.WaitVisible("#content"))
		clean("an order's page")
	}
	h.shop.set(func(s *shop) {
		a := fleet.Sorry("", fleet.CodeInvalid, "")
		a.Field = "name"
		s.refuse = &a
	})
	for i := 0; i < len(names); i += 16 {
		name := strings.NewReplacer("\n", "", "\r", "", "\x00", "").Replace(names[i])
		b.do(t, chromedp.Navigate(at+"/"), chromedp.WaitVisible("#order"), chromedp.SetValue("#name", name), chromedp.Click("#send"), chromedp.WaitVisible("#problem"))
		clean("the form", name)
	}
	var stopped []string
	for _, c := range b.complained() {
		if !strings.Contains(c, "status of 400") { // that is the form's refusal
			stopped = append(stopped, c)
		}
	}
	if len(stopped) > 0 {
		t.Errorf("the pages complained: %q", stopped)
	}
}

// A page of another origin can neither order, cancel nor operate, by form or script,
// and reads nothing, also under a name that was made to point here.
func TestBrowserOtherOrigin(t *testing.T) {
	b := startBrowser(t)
	h := open(t)
	at := h.listening()
	_, page := h.order("Ada")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	evil := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(rw, `<!doctype html><title>evil</title><iframe name=sink></iframe>
<form id=f target=sink method=post action="%s/order"><input name=id value=01HZZZZZZZZZZZZZZZZZZZZZZZ><input name=name value=Eve><input name=size value=small><input name=bean_type value=arabica><input name=milk value=free><input name=sugar_count value=0></form>
<form id=c target=sink method=post action="%s%s/cancel"></form>`, at, at, page)
	})}
	served := make(chan error, 1)
	go func() { served <- evil.Serve(l) }()
	defer func() {
		evil.Shutdown(context.Background())
		<-served
	}()
	port := l.Addr().(*net.TCPAddr).Port
	for _, origin := range []string{fmt.Sprintf("http://127.0.0.1:%d", port), fmt.Sprintf("http://localhost:%d", port)} {
		b.do(t, chromedp.Navigate(origin+"/"), chromedp.WaitReady("#f"))
		got := get(t, b, chromedp.Evaluate[string](fmt.Sprintf(`(async () => {
			const at = %q, page = %q, out = [];
			const json = '{"name":"Eve","size":"small","bean_type":"arabica","milk":"free","sugar_count":"1"}';
			const form = new URLSearchParams({id: "01HZZZZZZZZZZZZZZZZZZZZZZY", name: "Eve", size: "small", bean_type: "arabica", milk: "free", sugar_count: "0"});
			for (const [path, init] of [
				["/order-coffee", {method: "POST", body: json, mode: "no-cors", credentials: "include"}],
				["/order-coffee", {method: "POST", body: json, headers: {"Content-Type": "application/json"}, credentials: "include"}],
				["/order", {method: "POST", body: form, mode: "no-cors", credentials: "include"}],
				[page + "/cancel", {method: "POST", mode: "no-cors", credentials: "include"}],
				["/fleet", {credentials: "include"}], ["/board", {}], [page, {}],
			]) {
				try { const a = await fetch(at + path, init); if (a.type !== "opaque") out.push(path + " was read: " + a.status) } catch (e) {}
			}
			await new Promise((done) => { const s = new EventSource(at + "/board/events"); s.onmessage = () => { out.push("events were read"); done() }; s.onerror = () => { s.close(); done() } });
			for (const id of ["f", "c"]) {
				await new Promise((done) => { document.querySelector("iframe").onload = done; document.getElementById(id).submit(); setTimeout(done, 3000) });
			}
			return out.join("; ");
		})()`, at, page), chromedp.EvalAwaitPromise))
		if got != "" {
			t.Errorf("%s: %s", origin, got)
		}
	}
	if n := len(h.shop.orders()); n != 1 {
		t.Errorf("another origin ordered: %v", h.shop.orders())
	}
	if s, _ := h.web.book.look(h.shop.orders()[0].ID); s.Phase.Ended() {
		t.Error("another origin cancelled")
	}
	// DNS rebinding: the name resolves to us, and is none of ours.
	_, shopsPort, _ := net.SplitHostPort(strings.TrimPrefix(at, "http://"))
	b.do(t, chromedp.Navigate("http://evil.localhost:"+shopsPort+"/"), chromedp.WaitReady("body"))
	if body := get(t, b, chromedp.Text("body")); !strings.Contains(body, "does not answer to that name") {
		t.Errorf("under another name it says %q", body)
	}
}
