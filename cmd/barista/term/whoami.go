package term

import (
	"os"
	"os/user"
)

// Whoami names the person, for the record.
func Whoami() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if name == "" {
		name = "somebody"
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	if r := []rune(name); len(r) > maxBy {
		name = string(r[:maxBy])
	}
	return name
}

// maxBy is the longest name that every room takes.
const maxBy = 64
