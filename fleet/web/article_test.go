package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"barista/fleet"
)

// post sends JSON as the article's page does.
func (h *house) post(body string, change ...func(*http.Request)) (int, articleAnswer) {
	h.t.Helper()
	res := h.ask("POST", "/order-coffee", body, append([]func(*http.Request){header("Content-Type", "application/json")}, change...)...)
	if c := res.Header.Get("Content-Type"); c != "application/json" {
		h.t.Fatalf("answered as %q: %s", c, text(h.t, res))
	}
	var a articleAnswer
	if err := json.Unmarshal([]byte(text(h.t, res)), &a); err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, a
}

func TestTheArticlesOrder(t *testing.T) {
	h := open(t)
	code, a := h.post(`{"size":"big","bean_type":"mixed","name":"Quentin","milk":"free","sugar_count":"1"}`)
	if code != 200 || a.Title != "Thank you!" || a.Status != "success" || a.Message != fleet.Scheduled {
		t.Fatalf("%d %+v", code, a)
	}
	if a.OrderID == "" || a.Position != 1 || len(a.ETA) != 2 || a.Page != h.web.pathOf(a.OrderID) {
		t.Errorf("ours are missing: %+v", a)
	}
	status(t, h.ask("GET", a.Page, ""), http.StatusOK)
	_, a = h.post(`{"size":"big","bean_type":"mixed","name":"Q","milk":"free","sugar_count":"1"}`, header("Accept-Language", "fr"))
	if a.Title != "Merci\u00a0!" || a.Message != fleet.Scheduled {
		t.Errorf("in French: %+v", a)
	}
}

func TestTheArticlesAnswerHasItsFields(t *testing.T) {
	h := open(t)
	res := h.ask("POST", "/order-coffee", `{"size":"small","bean_type":"arabica","name":"A","milk":"free","sugar_count":0}`,
		header("Content-Type", "application/json; charset=utf-8"))
	var fields map[string]any
	if err := json.Unmarshal([]byte(text(t, res)), &fields); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"title", "message", "status", "order_id", "position", "eta_seconds", "page"} {
		if _, there := fields[f]; !there {
			t.Errorf("%s is missing in %v", f, fields)
		}
	}
}

// Who may not order now is told why, in his words: nobody waits for an answer that was given.
func TestTheArticleIsRefused(t *testing.T) {
	h := build(t)
	h.web.PIN = "4711"
	h.web.OpenOrders = 1
	h.web.tally.most = 1
	h.run()
	const order = `{"size":"big","bean_type":"mixed","name":"Q","milk":"free"}`
	one := h.screen("192.0.2.7:1")
	refused := func(key string, args ...any) {
		t.Helper()
		for _, lang := range languages {
			var a articleAnswer
			res := one.ask("POST", "/order-coffee", order, header("Content-Type", "application/json"), header("Accept-Language", lang))
			if err := json.Unmarshal([]byte(text(t, res)), &a); err != nil {
				t.Fatal(err)
			}
			if want := readWords(lang).say(key, args...); res.StatusCode < 400 || a.Text != want {
				t.Errorf("%d %q, want %q", res.StatusCode, a.Text, want)
			}
		}
	}
	refused("error.pin")
	leadsTo(t, one.ask("GET", "/t/"+h.web.tableToken(), ""), "/")
	status(t, one.ask("POST", "/order", h.blank().Encode()), http.StatusSeeOther)
	refused("error.open", 1)
	for range ordering.burst {
		one.ask("POST", "/order-coffee", order, header("Content-Type", "application/json"))
	}
	refused("error.rate")
}

func TestTheArticlesErrors(t *testing.T) {
	h := open(t)
	for _, tt := range []struct {
		name, body  string
		status      int
		code, field string
	}{
		{"not JSON", `size=big`, 400, fleet.CodeInvalid, ""},
		{"null", `null`, 400, fleet.CodeInvalid, ""},
		{"5 KiB", `{"name":"` + strings.Repeat("x", 5<<10) + `"}`, 413, fleet.CodeInvalid, ""},
		{"nested", strings.Repeat("[", 1500) + strings.Repeat("]", 1500), 400, fleet.CodeInvalid, ""},
		{"twice", `{"name":"a","name":"b"}`, 400, fleet.CodeInvalid, ""},
		{"trailing", `{"size":"big","bean_type":"mixed","name":"Q","milk":"free"} x`, 400, fleet.CodeInvalid, ""},
		{"sugar", `{"size":"big","bean_type":"mixed","name":"Q","milk":"free","sugar_count":4}`, 400, fleet.CodeInvalid, "sugar_count"},
		{"name", `{"size":"big","bean_type":"mixed","name":"<b>","milk":"free"}`, 400, fleet.CodeInvalid, "name"},
		{"bean", `{"size":"big","bean_type":"arabica.get","name":"Q","milk":"free"}`, 400, fleet.CodeInvalid, "bean_type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, a := h.post(tt.body)
			if code != tt.status || a.Status != "error" || a.Code != tt.code || a.Field != tt.field || a.Title != "Sorry" || a.Message == "" || a.Page != "" {
				t.Errorf("%d %+v", code, a)
			}
		})
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"} {
		if code, a := h.post(`{}`, header("Content-Type", kind)); code != http.StatusUnsupportedMediaType || a.Status != "error" {
			t.Errorf("content type %q: %d %+v", kind, code, a)
		}
	}
	if n := len(h.shop.orders()); n != 0 {
		t.Errorf("%d orders were taken", n)
	}
	h.shop.refuse = &fleet.Answer{Status: "error", Code: fleet.CodeOutOfStock, Message: fleet.InsufficientBeans("mixed")}
	code, a := h.post(`{"size":"big","bean_type":"mixed","name":"Q","milk":"free"}`)
	if code != http.StatusConflict || a.Message != "Insufficient coffee for type mixed" || a.Code != fleet.CodeOutOfStock || a.Page != "" {
		t.Errorf("%d %+v", code, a)
	}
}
