package web

import (
	"net/http"
	"strings"
	"testing"

	"barista/fleet"
)

// What was typed is there again, where the page is asked for anew after a refusal and
// in the other language; a fresh form holds nothing of it.
func TestDraft(t *testing.T) {
	h := open(t)
	h.shop.refuse = &fleet.Answer{Status: "error", Code: fleet.CodeQueueFull}
	f := h.blank()
	f.Set("name", `Zoé "Z"`)
	f.Set("drink", "large-milk")
	f.Set("milk", "soja")
	f.Set("cups", "2")
	res := h.ask("POST", "/order", f.Encode())
	status(t, res, http.StatusServiceUnavailable)
	kept := func(res *http.Response) string {
		for _, c := range res.Cookies() {
			if c.Name == draftCookie {
				if !c.HttpOnly || c.MaxAge > 600 {
					t.Errorf("the draft is kept too long or too openly: %v", c)
				}
				return c.Name + "=" + c.Value
			}
		}
		return ""
	}
	cookie := kept(res)
	held := []string{`value="Zoé &#34;Z&#34;"`, `value="large-milk" required checked`, `value="soja" checked`, `name="cups" value="2" checked`}
	page := text(t, h.ask("GET", "/order", "", header("Cookie", cookie)))
	contains(t, page, append(held, "Too many coffees are waiting")...)
	lacks(t, text(t, h.ask("GET", "/", "", header("Cookie", cookie))), "Zoé", "Too many")

	f.Set("id", hiddenID.FindStringSubmatch(page)[1])
	f.Set("bean_type", "mixed")
	res = h.ask("POST", "/language?lang=fr", f.Encode(), header("Cookie", cookie))
	status(t, res, http.StatusSeeOther)
	page = text(t, h.ask("GET", "/order", "", header("Cookie", kept(res)+"; lang=fr")))
	contains(t, page, append(held, `value="mixed" required checked`, "Trop de cafés", `<html lang="fr">`)...)

	for _, broken := range []string{"draft=", "draft=%%%", "draft=Zm9v", "draft=" + strings.Repeat("A", 3000)} {
		status(t, h.ask("GET", "/order", "", header("Cookie", broken)), http.StatusSeeOther)
	}
	h.shop.refuse = nil
	res = h.ask("POST", "/order", f.Encode(), header("Cookie", cookie))
	status(t, res, http.StatusSeeOther)
	if kept(res) != "draft=" {
		t.Error("the draft outlives its order")
	}
}
