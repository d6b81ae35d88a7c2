package web

import (
	"net/http"
	"strings"
)

// inOurForm answers in the house's form where there is no such page, or none that can be
// asked for: the mux alone would say so in a white page from which no way leads back.
// Programs hear it as they did.
func (w *Web) inOurForm(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" || !strings.Contains(r.Header.Get("Accept"), "text/html") {
			mux.ServeHTTP(rw, r)
			return
		}
		out := &statusOnly{header: http.Header{}, status: http.StatusOK}
		mux.ServeHTTP(out, r)
		switch out.status {
		case http.StatusMethodNotAllowed:
			rw.Header().Set("Allow", out.header.Get("Allow"))
			w.sorry(rw, r, out.status, "method.title", "method.text")
		case http.StatusNotFound:
			w.sorry(rw, r, out.status, "lost.title", "lost.text")
		default:
			mux.ServeHTTP(rw, r)
		}
	})
}

// statusOnly keeps what an answer would be, and drops its text.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
