package reach

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
)

// natsContext is a context of the nats command line, by its names.
type natsContext struct {
	Description string `json:"description"`
	URL         string `json:"url"`
	NKey        string `json:"nkey,omitempty"`
	Creds       string `json:"creds,omitempty"`
	CA          string `json:"ca,omitempty"`
	Cert        string `json:"cert,omitempty"`
	Key         string `json:"key,omitempty"`
	Inbox       string `json:"inbox_prefix,omitempty"`
	Domain      string `json:"jetstream_domain,omitempty"`
}

// Context writes what the nats command line needs to go the way of these flags, under
// a name, and says where. A context that is there is written over only with force:
// else the error is fs.ErrExist.
func (f *Flags) Context(name string, force bool) (path string, err error) {
	w, _, err := f.way()
	if err != nil {
		return "", err
	}
	c := natsContext{Description: "a coffee shop, by barista key context", URL: strings.Join(w.Servers, ","), Domain: w.Domain, Inbox: f.Inbox}
	if c.Inbox == "" {
		c.Inbox = inbox(w.Key)
	}
	c.Cert, c.Key, _ = strings.Cut(f.Cert, ",")
	who, ca, _ := f.files(w)
	if w.Key != nil && w.Key.JWT() != "" {
		c.Creds = who
	} else {
		c.NKey = who
	}
	c.CA = ca
	for _, p := range []*string{&c.NKey, &c.Creds, &c.CA, &c.Cert, &c.Key} {
		if *p != "" {
			if *p, err = filepath.Abs(*p); err != nil {
				return "", err
			}
		}
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "nats", "context", name+".json")
	if there(path) && !force {
		return "", fmt.Errorf("%s is there already (%w): --force writes over it", path, fs.ErrExist)
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), renameio.WriteFile(path, append(text, '\n'), 0o600)); err != nil {
		return "", fmt.Errorf("write the context: %w", err)
	}
	return path, nil
}
