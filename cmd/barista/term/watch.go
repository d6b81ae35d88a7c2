package term

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"
)

// View takes one look: the value for JSON, and what prints it as text.
type View func(ctx context.Context) (v any, text func(io.Writer), err error)

// Watch prints a view again whenever it has changed, until ctx ends: one JSON
// object a line, or the text under the time.
func Watch(ctx context.Context, w io.Writer, asJSON bool, every time.Duration, look View) error {
	again := time.NewTicker(every)
	defer again.Stop()
	var last []byte
	for {
		v, text, err := look(ctx)
		if err != nil {
			return err
		}
		var now bytes.Buffer
		if err := JSON(&now, v); err != nil {
			return err
		}
		if !bytes.Equal(now.Bytes(), last) {
			last = now.Bytes()
			if !asJSON {
				fmt.Fprintf(w, "-- %s\n", Time(time.Now()))
			}
			if err := Show(w, asJSON, v, text); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}
