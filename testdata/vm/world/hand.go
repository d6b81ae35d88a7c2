package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"barista/driver/plant"
)

// Where the plants are, for whoever is in the guest, and the two ports.
const (
	plantSocket = "/run/vm-plant.sock" // behind the GPIO lines
	boardSocket = "/run/vm-board.sock" // behind the relay board
	handPort    = ":7000"
	tunnelPort  = ":7222"
	brokerAt    = "127.0.0.1:4222"
)

// serve is the tester's hand, until ctx ends.
func serve(ctx context.Context, m *metal, behind *plant.Plant) error {
	l, err := plant.Listen(plantSocket)
	if err != nil {
		return err
	}
	l2, err := plant.Listen(boardSocket)
	if err != nil {
		return err
	}
	hand, err := net.Listen("tcp4", handPort)
	if err != nil {
		return err
	}
	door, err := net.Listen("tcp4", tunnelPort)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /exec", execute)
	mux.HandleFunc("PUT /file", store)
	mux.HandleFunc("POST /plant", askPlant(plantSocket))
	mux.HandleFunc("POST /board", askPlant(boardSocket))
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("from"))
		w.Header().Set("Now", strconv.FormatInt(int64(monotonic()), 10))
		_ = json.NewEncoder(w).Encode(m.since(n))
	})
	server := &http.Server{Handler: mux}
	var all sync.WaitGroup
	errs := make([]error, 4)
	all.Go(func() { errs[0] = plant.Serve(ctx, l, m.plant) })
	all.Go(func() { errs[1] = server.Serve(hand) })
	all.Go(func() { errs[2] = tunnel(door) })
	all.Go(func() { errs[3] = plant.Serve(ctx, l2, behind) })
	<-ctx.Done()
	errs = append(errs, server.Close(), door.Close())
	all.Wait()
	return errors.Join(errs...)
}

// execute runs a line of shell as root and answers with what it printed; its
// status is in the header Status.
func execute(w http.ResponseWriter, r *http.Request) {
	line, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c := exec.CommandContext(r.Context(), "/bin/bash", "-ec", string(line))
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0", "DEBIAN_FRONTEND=noninteractive"}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Status", strconv.Itoa(c.ProcessState.ExitCode()))
	_, _ = w.Write(out)
}

// store writes a file that anyone may read and run.
func store(w http.ResponseWriter, r *http.Request) {
	path := r.FormValue("path")
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	}
	if err == nil {
		_, err = io.Copy(f, r.Body)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// askPlant passes one line of a plant's protocol on.
func askPlant(socket string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a, err := askLine(socket, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(a)
	}
}

func askLine(socket string, body io.Reader) (a json.RawMessage, err error) {
	line, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	c, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "%s\n", line); err != nil {
		return nil, err
	}
	return a, json.NewDecoder(c).Decode(&a)
}

// tunnel leads from the network to the broker.
func tunnel(door net.Listener) error {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		far, err := door.Accept()
		if err != nil {
			return nil
		}
		all.Go(func() {
			defer far.Close()
			near, err := net.Dial("tcp", brokerAt)
			if err != nil {
				return
			}
			defer near.Close()
			all.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })
			_, _ = io.Copy(far, near)
		})
	}
}
