package presence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"barista/fleet"
)

// maxText bounds a name or a reason that people read, in characters.
const maxText = 200

// Cordon takes a machine out of service at once: it starts no further order. It
// writes the fleet's settings and may be called by any operator's tool; both
// who and why are needed.
func Cordon(ctx context.Context, s fleet.Settings, machine, by, reason string) error {
	return cordon(ctx, s, machine, by, reason, false)
}

// Drain lets a machine finish the drink in hand and takes it out of service
// then.
func Drain(ctx context.Context, s fleet.Settings, machine, by, reason string) error {
	return cordon(ctx, s, machine, by, reason, true)
}

// Uncordon puts a machine back into service; nothing happens if it is there.
func Uncordon(ctx context.Context, s fleet.Settings, machine string) error {
	if err := named(machine); err != nil {
		return err
	}
	if err := s.Delete(ctx, fleet.CordonKey(machine)); err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return fmt.Errorf("uncordon %s: %w", machine, err)
	}
	return nil
}

func cordon(ctx context.Context, s fleet.Settings, machine, by, reason string, drain bool) error {
	by, reason = plain(by), plain(reason)
	errs := []error{named(machine)}
	if by == "" {
		errs = append(errs, errors.New("who does it must be said"))
	}
	if reason == "" {
		errs = append(errs, errors.New("a reason must be given, for those who find the machine so"))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	v, err := json.Marshal(fleet.Cordon{By: by, Reason: reason, Drain: drain, At: time.Now().UTC().Format(time.RFC3339)})
	if err != nil {
		return err
	}
	if err := s.Put(ctx, fleet.CordonKey(machine), v); err != nil {
		return fmt.Errorf("cordon %s: %w", machine, err)
	}
	return nil
}

func named(machine string) error {
	if fleet.IsToken(machine) {
		return nil
	}
	return fmt.Errorf("%q is no name of a machine: 1 to 32 of a-z, 0-9 and -", machine)
}

// plain makes one short line of a text that people typed.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	r := []rune(strings.Join(strings.Fields(s), " "))
	return string(r[:min(len(r), maxText)])
}
