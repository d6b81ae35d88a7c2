package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"barista/fleet"
)

// copied is the copy of the settings that is kept beside the store.
type copied struct {
	Store string                   `json:"store"` // which one it is of
	Keys  map[string]fleet.Setting `json:"keys"`
}

func readCopy(path string) (c copied, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return copied{}, fmt.Errorf("the copy of the settings %s can't be read: %w; it is written anew", path, err)
	}
	return c, nil
}

func (c copied) write(path string) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, b, 0o600)
}

// lost lists the keys of which the store has something older than the copy, or
// nothing: every change of a key leaves a message there, a deletion too, so what is
// not there was not removed by anybody who asked for it. Another store numbers its
// messages anew; there only what a shop would miss counts, and is not set yet: menu,
// cordons, and what a machine makes that is away, whose orders are else refused.
func (c copied) lost(all map[string]fleet.Setting, store string) (keys []string) {
	for _, key := range slices.Sorted(maps.Keys(c.Keys)) {
		was, now := c.Keys[key], all[key]
		if c.Store != store {
			_, seen := fleet.SeenBy(key)
			if now.Rev == 0 && was.Value != nil && (seen || persons(key)) {
				keys = append(keys, key)
			}
		} else if now.Rev < was.Rev && !bytes.Equal(now.Value, was.Value) {
			keys = append(keys, key)
		}
	}
	return keys
}

// persons reports whether a person set a key.
func persons(key string) bool {
	_, cordon := fleet.CordonedBy(key)
	return cordon || key == fleet.KeyMenu
}

// stands is what is amiss with the settings and stays so.
func (d *Doctor) stands(all map[string]fleet.Setting, found ...fleet.Finding) {
	l := look{list: found}
	l.settings(all)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settings = l.list
}

// Mend puts back what the store has lost of the settings, before anybody acts on
// what is left.
func (d *Doctor) Mend(ctx context.Context) error {
	found, err := d.mend(ctx, false)
	d.name(found)
	return err
}

// mend puts back and takes the copy anew. Settings of another store are put back only
// when a person says so, or if that store went while this service used it.
func (d *Doctor) mend(ctx context.Context, told bool) ([]fleet.Finding, error) {
	d.copying.Lock()
	defer d.copying.Unlock()
	kept, err := readCopy(d.cfg.Copy)
	if err != nil {
		d.log.Error(err.Error())
	}
	all, store, err := d.p.Settings(ctx)
	if err != nil {
		return nil, err
	}
	lost := kept.lost(all, store)
	if kept.Store != store && kept.Store != d.store && !told {
		if slices.ContainsFunc(lost, persons) {
			d.stands(all, fleet.Finding{Code: fleet.FoundOtherStore, Detail: strings.Join(lost, ", "), Next: "barista doctor --repair, or set them anew"})
			return nil, nil
		}
		lost = nil // a new shop in which nobody had set anything
	}
	var found []fleet.Finding
	for _, key := range lost {
		v := kept.Keys[key].Value
		if v == nil {
			err = d.cfg.Keys.Delete(ctx, key)
		} else {
			err = d.cfg.Keys.Put(ctx, key, v)
		}
		if err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return found, fmt.Errorf("setting %s could not be put back: %w", key, err)
		}
		found = append(found, fleet.Finding{Code: fleet.FoundSettingLost, Key: key, Mended: true})
	}
	if len(lost) > 0 {
		if all, store, err = d.p.Settings(ctx); err != nil {
			return found, err
		}
	}
	d.store = store
	d.stands(all)
	same := func(a, b fleet.Setting) bool { return a.Rev == b.Rev && bytes.Equal(a.Value, b.Value) }
	if kept.Store == store && maps.EqualFunc(kept.Keys, all, same) {
		return found, nil
	}
	return found, copied{store, all}.write(d.cfg.Copy)
}
