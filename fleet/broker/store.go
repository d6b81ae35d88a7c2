package broker

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"

	"barista/fleet"
)

// The folders of a store, below jetstream/<account>.
const (
	streamsFolder  = "streams"
	messagesFolder = "msgs"
)

// Streams lists the streams that lie in a store's folder, whether or not a broker
// has it open. It changes nothing. One whose description can't be read is left
// out; a folder that is not there has none.
func Streams(store string) ([]fleet.StreamFile, error) {
	var out []fleet.StreamFile
	err := eachStream(lives(store), func(folder string) error {
		b, err := os.ReadFile(filepath.Join(folder, server.JetStreamMetaFile))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		var info server.FileStreamInfo
		if json.Unmarshal(b, &info) != nil || info.Name == "" {
			return nil
		}
		out = append(out, fleet.StreamFile{Name: info.Name, Config: b, Held: held(folder)})
		return nil
	})
	return out, err
}

// lives is where a server keeps its accounts in a store.
func lives(store string) string { return filepath.Join(store, server.JetStreamStoreDir) }

// eachStream goes through the folders of streams of all accounts.
func eachStream(top string, do func(folder string) error) error {
	accounts, err := folders(top)
	for _, account := range accounts {
		streams, err := folders(filepath.Join(top, account, streamsFolder))
		if err != nil {
			return err
		}
		for _, name := range streams {
			if err := do(filepath.Join(top, account, streamsFolder, name)); err != nil {
				return err
			}
		}
	}
	return err
}

// folders are those in a folder. One that begins with a dot is what the server left
// half removed.
func folders(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range list {
		if e.IsDir() && e.Name()[0] != '.' {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// held is about how many bytes a stream's messages take.
func held(folder string) (sum int64) {
	blocks, _ := filepath.Glob(filepath.Join(folder, messagesFolder, "*.blk"))
	for _, b := range blocks {
		if info, err := os.Stat(b); err == nil {
			sum += info.Size()
		}
	}
	return sum
}
