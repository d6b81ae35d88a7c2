package service

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// Build is which program this is.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source
	Time     string `json:"time,omitempty"`     // of that revision
	Modified bool   `json:"modified,omitempty"` // the source was changed since
	Go       string `json:"go"`
	System   string `json:"system"`
}

// ThisBuild is this program; packaged is the version of the package that it came in,
// if it came in one.
func ThisBuild(packaged string) Build {
	b := Build{Version: "unknown", Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	if packaged != "" {
		b.Version = packaged
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// Print says it to a person.
func (b Build) Print(w io.Writer) {
	fmt.Fprintf(w, "barista %s (%s, %s)\n", b.Version, b.Go, b.System)
	if b.Revision != "" {
		changed := ""
		if b.Modified {
			changed = ", changed since"
		}
		fmt.Fprintf(w, "source %s of %s%s\n", b.Revision, b.Time, changed)
	}
}
