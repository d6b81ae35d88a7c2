// Licenses says whose code ships in barista and under which licence, and refuses
// a licence that the program can't ship with. It looks at the packages that the
// program is built of for each computer that there is a package for, tests left
// out, and reads the licence files from each package's folder up to the top of its
// module.
//
//	go run ./.ci/licenses           a line per module; 1 where one can't ship
//	go run ./.ci/licenses -texts    the texts that have to go with the program
//
// A licence is known by sentences that its every copy holds. A text that none of
// them is found in, or that holds a word of a licence that asks for more, is
// refused: whoever adds such a module reads it and decides.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	texts := flag.Bool("texts", false, "print the texts that have to go with the program")
	flag.Parse()
	if err := run(os.Stdout, *texts); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer, texts bool) error {
	all, err := shipped()
	if err != nil {
		return err
	}
	var amiss []error
	for _, m := range all {
		names, err := m.licences()
		amiss = append(amiss, err)
		switch {
		case err != nil:
		case texts:
			amiss = append(amiss, m.print(w))
		default:
			fmt.Fprintf(w, "%-45s %-40s %s\n", m.Path, m.Version, strings.Join(names, " "))
		}
	}
	return errors.Join(amiss...)
}

// module is one whose code is in the program.
type module struct {
	Path, Version, Dir string
	files              []string // of licences and notices, absolute
}

// targets are the computers that there is a package for.
var targets = []string{"amd64", "arm64", "arm"}

// shipped lists the modules whose code is in the program on some computer, Go's own
// library first, ours left out: its licence is beside this.
func shipped() ([]module, error) {
	root, err := exec.Command("go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return nil, err
	}
	own := strings.Fields(string(root))
	all := []module{{Path: "std", Version: own[1], Dir: own[0], files: found(own[0], own[0])}}
	for _, arch := range targets {
		cmd := exec.Command("go", "list", "-deps", "-json=Dir,Module", "barista/cmd/barista")
		cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0", "GOARCH="+arch)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list for %s: %w", arch, err)
		}
		for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
			var p struct {
				Dir    string
				Module *module
			}
			if err := dec.Decode(&p); err != nil {
				return nil, err
			}
			if p.Module == nil || p.Module.Path == "barista" {
				continue
			}
			i := slices.IndexFunc(all, func(m module) bool { return m.Path == p.Module.Path })
			if i < 0 {
				i, all = len(all), append(all, *p.Module)
			}
			all[i].files = append(all[i].files, found(p.Dir, p.Module.Dir)...)
		}
	}
	for i, m := range all {
		slices.Sort(m.files)
		all[i].files = slices.Compact(m.files)
	}
	slices.SortFunc(all[1:], func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

var fileName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)([-.][a-z0-9.]+)?$`)

// found are the files of licences from a package's folder up to its module's.
func found(dir, top string) (files []string) {
	for ; strings.HasPrefix(dir, top); dir = filepath.Dir(dir) {
		list, err := os.ReadDir(dir)
		if err != nil {
			return files
		}
		for _, e := range list {
			if fileName.MatchString(e.Name()) && e.Type().IsRegular() {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
	}
	return files
}

// licences names what a module may be used under, or says why it can't ship.
func (m module) licences() (names []string, err error) {
	for _, f := range m.files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		if isNotice(f) {
			continue
		}
		more, err := known(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s %s: %s: %w", m.Path, m.Version, filepath.Base(f), err)
		}
		names = append(names, more...)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s %s has no licence file: ask its authors, or do without it", m.Path, m.Version)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// isNotice: a text that goes with the program and is no licence of its code. That of a
// project's picture is one, which is not in the program.
func isNotice(file string) bool {
	name := strings.ToLower(filepath.Base(file))
	return strings.HasPrefix(name, "notice") || name == "license-logo"
}

// allowed are the licences that Apache-2.0 programs can ship with, each by the
// sentences that make it; in plain letters, as plain returns them.
var allowed = []struct {
	name string
	has  []string
}{
	{"Apache-2.0", []string{"apache license version 2 0 january 2004", "grant of copyright license", "grant of patent license"}},
	{"MIT", []string{"permission is hereby granted free of charge to any person obtaining a copy of this software", "the software is provided as is"}},
	{"ISC", []string{"permission to use copy modify and or distribute this software for any purpose with or without fee is hereby granted", "the software is provided as is"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms with or without modification are permitted", "endorse or promote products derived from this software without specific prior written permission"}},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms with or without modification are permitted"}},
	{"SQLite's public domain", []string{"dedicated to the public domain by the authors", "anyone is free to copy modify publish use compile sell or distribute the original sqlite code", "for any purpose commercial or non commercial"}},
	{"MPL-2.0", []string{"mozilla public license version 2 0", "covered software"}},
}

// asksMore are words of texts that want something of who ships or uses the program
// which those above do not.
var asksMore = []string{
	"general public license", "all advertising materials mentioning", "commons clause", "server side public license",
	"business source license", "non commercial", "noncommercial", "elastic license", "shall be used for good not evil",
}

// mayName: the Mozilla licence names the licences that it may be combined with, and
// SQLite's authors allow any purpose by naming both kinds.
var mayName = map[string]string{"MPL-2.0": "general public license", "SQLite's public domain": "non commercial"}

// known names the licences in a text; it is an error if there is none, or if the
// text asks for more than they do.
func known(text string) (names []string, err error) {
	flat := plain(text)
	for _, l := range allowed {
		if l.name == "BSD-2-Clause" && slices.Contains(names, "BSD-3-Clause") {
			continue
		}
		if !slices.ContainsFunc(l.has, func(s string) bool { return !strings.Contains(flat, s) }) {
			names = append(names, l.name)
		}
	}
	for _, word := range asksMore {
		if strings.Contains(flat, word) && !slices.ContainsFunc(names, func(n string) bool { return mayName[n] == word }) {
			return nil, fmt.Errorf("it says %q: the program can't ship with that", word)
		}
	}
	if len(names) == 0 {
		return nil, errors.New("a licence that nobody here has read: read it, and add it to the list in .ci/licenses if the program can ship with it")
	}
	return names, nil
}

var notLetters = regexp.MustCompile(`[^a-z0-9]+`)

// plain is a text in small letters and single spaces: no copy breaks its lines as
// another does.
func plain(text string) string { return notLetters.ReplaceAllString(strings.ToLower(text), " ") }

// print writes what has to go with the program.
func (m module) print(w io.Writer) error {
	fmt.Fprintf(w, "==== %s %s\n", m.Path, m.Version)
	for _, f := range m.files {
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "\n%s\n", bytes.TrimSpace(text)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w)
	return err
}
