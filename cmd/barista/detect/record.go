package detect

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"barista/cmd/barista/term"
	"barista/configs/kinds"
	"barista/driver"
	"barista/driver/serial"
)

// Record opens the port, asks, and closes everything again. The file stays
// whatever comes of it, but for a port that could not be opened.
func Record(ctx context.Context, cfg serial.Config, look kinds.Look, out string) (answer string, err error) {
	file, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return "", term.Fail(term.ExitRefused, "name another one, or remove it", "%s is there already", term.Safe(out))
	}
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	tape := serial.NewRecorder(file)
	cfg.Record = tape
	port, err := serial.Open(cfg)
	if err != nil {
		_ = os.Remove(out)
		switch {
		case errors.Is(err, driver.ErrGone):
			return "", term.Fail(term.ExitNotFound, "", "%s", err)
		case errors.Is(err, driver.ErrBusyLine):
			return "", term.Fail(term.ExitRefused, "a machine's service holds it: systemctl stop barista@NAME", "%s", err)
		}
		return "", err
	}
	said, asked := look(ctx, port)
	if err := errors.Join(port.Close(), tape.Err()); err != nil {
		return "", err
	}
	if asked != nil {
		return "", term.Fail(term.ExitFailed, "what was sent, and the silence, is in "+term.Safe(out), "%s", asked)
	}
	return said, nil
}
