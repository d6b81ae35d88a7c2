package web

import (
	"net/http"
	"strings"
	"testing"
)

func TestSecretsCantBeForged(t *testing.T) {
	h := build(t)
	good := h.web.secret(idA)
	if id, ok := h.web.orderOf(good); !ok || id != idA {
		t.Fatalf("our own secret %s is not known", good)
	}
	if len(good) != 53 {
		t.Errorf("a secret of %d characters: %s", len(good), good)
	}
	proof := good[27:]
	last := "A"
	if strings.HasSuffix(good, "A") {
		last = "E"
	}
	for _, bad := range []string{
		"", idA, idA + "-", "-" + proof, idB + "-" + proof, strings.ToLower(good), good + "A", good[:len(good)-1],
		good[:len(good)-1] + last, idA + "-" + strings.Repeat("A", 26), idA + "--" + proof, " " + good, good + "\x00",
		strings.Replace(good, "-", "_", 1), strings.ToLower(idA) + "-" + proof,
	} {
		if _, ok := h.web.orderOf(bad); ok {
			t.Errorf("%q was taken for a secret", bad)
		}
	}
	other := build(t)
	other.web.Key = []byte("another key")
	if _, ok := other.web.orderOf(good); ok {
		t.Error("a secret made with another key was taken")
	}
}

func TestWrongSecretIsNotFound(t *testing.T) {
	h := open(t)
	for _, target := range []string{"", "/events"} {
		status(t, h.ask("GET", "/orders/"+idA+"-AAAAAAAAAAAAAAAAAAAAAAAAAA"+target, ""), http.StatusNotFound)
	}
	for _, target := range []string{"/cup", "/cancel"} {
		status(t, h.ask("POST", "/orders/"+idA+"-AAAAAAAAAAAAAAAAAAAAAAAAAA"+target, ""), http.StatusNotFound)
	}
}

func FuzzOrderOf(f *testing.F) {
	w := New(Parts{Key: []byte("key")})
	f.Add(w.secret(idA))
	f.Add(idA + "-")
	f.Fuzz(func(t *testing.T, s string) {
		if id, ok := w.orderOf(s); ok && w.secret(id) != s {
			t.Errorf("%q was taken for the secret of %s", s, id)
		}
	})
}
