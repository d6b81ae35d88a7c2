package configs

import (
	"errors"
	"io/fs"
)

// LoadMap reads a file that is no service's, such as answers to questions, and
// as strictly as one: read asks the map at its root for its keys, and a key that
// nobody asked for is unknown. The error is always a *Problems with everything
// that is wrong.
func LoadMap(path string, readKeys func(m *Map)) error {
	text, err := read(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return &Problems{path, []Problem{{Reason: "the file can't be read: " + err.Error(), Fix: "check the name"}}}
	}
	return ParseMap(path, text, readKeys)
}

// ParseMap is LoadMap for a text that is in hand. An empty text is an empty map.
func ParseMap(path string, text []byte, readKeys func(m *Map)) error {
	r := &report{}
	body := parse(r, text)
	if body != nil || len(r.list) == 0 {
		root := &Node{r: r, keyAt: Pos{1, 1}}
		if body != nil {
			root.n = unwrap(body)
		}
		readKeys(root.Map())
		for _, m := range r.maps {
			m.unknown()
		}
	}
	if len(r.list) > 0 {
		return &Problems{path, r.sorted()}
	}
	return nil
}
