package broker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats-server/v2/server"
)

const (
	consumersFolder = "obs"
	// asideFolder is where damaged files of a store go. Nothing is thrown away.
	asideFolder = "damaged"
	// sessions is how streams begin that the server makes for clients of MQTT. It makes
	// those anew that are not there.
	sessions = "$MQTT_"
)

// mender looks at the descriptions of streams and consumers in a store before the
// server opens it. The server leaves out what it can't read, says so in a warning,
// and is never healthy again; a description that a later version wrote stops its
// stream.
type mender struct {
	store string
	ours  []string
	log   *slog.Logger
	anew  []string // streams of ours whose description must be written anew
}

// mend puts right what can be without losing anything. The messages beside a
// description are not looked at.
func (m *mender) mend() error {
	return eachStream(lives(m.store), func(folder string) error {
		if err := m.stream(folder); err != nil {
			return err
		}
		consumers, err := folders(filepath.Join(folder, consumersFolder))
		for _, name := range consumers {
			if err := m.consumer(folder, name); err != nil {
				return err
			}
		}
		return err
	})
}

// stream mends the description of a stream.
func (m *mender) stream(folder string) error {
	name := filepath.Base(folder)
	b, err := described(folder, name)
	if err == nil || errors.Is(err, fs.ErrPermission) {
		return err
	}
	file := filepath.Join(folder, server.JetStreamMetaFile)
	var info server.FileStreamInfo
	if errors.Is(err, errChecksum) && strictly(b, &info) == nil && info.Name == name {
		// The server writes a description and then its checksum: a power cut comes
		// between. The shop looks at every figure of its streams anyway.
		m.log.Error("the checksum of a stream's description is wrong and is written anew", "file", file)
		if err := m.aside(name, filepath.Join(folder, server.JetStreamMetaFileSum)); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(folder, server.JetStreamMetaFileSum), []byte(checksum(name, b)), 0o600)
	}
	if strings.HasPrefix(name, sessions) {
		m.log.Error("what the broker kept of MQTT's sessions is damaged; it is put aside, and clients subscribe anew", "folder", folder, "err", err)
		return m.aside(name, folder)
	}
	if !slices.Contains(m.ours, name) {
		return fmt.Errorf("stream %s, which is not the shop's, can't be read: %s: %w; nothing was changed: put that file back from a copy, or move %s out of the store", name, file, err, folder)
	}
	m.log.Error("a stream's description is damaged; it is put aside and written anew over its messages", "file", file, "err", err)
	m.anew = append(m.anew, name)
	return errors.Join(m.aside(name, file), m.aside(name, filepath.Join(folder, server.JetStreamMetaFileSum)))
}

// consumer puts a consumer aside that can't be read. The shop makes its own anew,
// and the book says what became of each order; another's loses its place.
func (m *mender) consumer(stream, name string) error {
	folder := filepath.Join(stream, consumersFolder, name)
	b, err := described(folder, filepath.Base(stream)+"/"+name)
	var info server.FileConsumerInfo
	if err == nil {
		err = strictly(b, &info)
	}
	if err == nil || errors.Is(err, fs.ErrPermission) {
		return err
	}
	m.log.Error("a queue's file is damaged; it is put aside, and the queue is made anew", "folder", folder, "err", err)
	return m.aside(filepath.Base(stream), folder)
}

// aside moves a file or folder out of the server's sight.
func (m *mender) aside(stream, path string) error {
	to := filepath.Join(m.store, asideFolder)
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	at := time.Now().UTC().Format("20060102T150405.000000000")
	err := os.Rename(path, filepath.Join(to, at+"-"+stream+"-"+filepath.Base(path)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

var errChecksum = errors.New("its checksum is wrong")

// described reads a description and holds it against its checksum; b is there with
// errChecksum too.
func described(folder, of string) (b []byte, err error) {
	if b, err = os.ReadFile(filepath.Join(folder, server.JetStreamMetaFile)); err != nil {
		return nil, err
	}
	sum, err := os.ReadFile(filepath.Join(folder, server.JetStreamMetaFileSum))
	if errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	if err != nil || string(sum) != checksum(of, b) {
		return b, errChecksum
	}
	return b, nil
}

// checksum is the server's, of a description.
func checksum(of string, b []byte) string {
	key := sha256.Sum256([]byte(of))
	h, err := highwayhash.NewDigest64(key[:])
	if err != nil { // only of a key of another length
		return ""
	}
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

// strictly reads JSON in which nothing is unknown: that is how the server reads it.
func strictly(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
