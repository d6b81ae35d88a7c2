package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestShips: everything in the program may be shipped with it, and its texts are
// all there to go with it.
func TestShips(t *testing.T) {
	all, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 || !slices.ContainsFunc(all, func(m module) bool { return m.Path == "github.com/nats-io/nats-server/v2" }) {
		t.Fatalf("%d modules found: the test is blind", len(all))
	}
	var texts bytes.Buffer
	if err := run(&texts, true); err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if !strings.Contains(texts.String(), "==== "+m.Path+" "+m.Version+"\n") {
			t.Errorf("%s is not among the texts", m.Path)
		}
	}
}

func TestKnown(t *testing.T) {
	const mit = "Permission is hereby granted, free of charge, to any person\nobtaining a copy of this software […] THE SOFTWARE IS PROVIDED \"AS IS\""
	const bsd = "Redistribution and use in source and binary forms, with or without\nmodification, are permitted provided that […]"
	for text, want := range map[string]string{
		mit: "MIT",
		bsd: "BSD-2-Clause",
		bsd + " may be used to endorse or promote products derived from\nthis software without specific prior written permission": "BSD-3-Clause",
		bsd + " All advertising materials mentioning features":                                                                    "",
		mit + " GNU Affero General Public License":                                                                                "",
		mit + " The Software shall be used for Good, not Evil.":                                                                   "",
		"GNU GENERAL PUBLIC LICENSE Version 3":                                                                                    "",
		"All rights reserved.":                                                                                                    "",
		"":                                                                                                                        "",
	} {
		names, err := known(text)
		if got := strings.Join(names, " "); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; wanted %q", text, got, err, want)
		}
	}
}

// TestNone: a module without a licence, and one with a package that has a stricter
// one of its own, can't ship.
func TestNone(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	m := module{Path: "example.org/x", Version: "v1.0.0", files: found(sub, dir)}
	if _, err := m.licences(); err == nil {
		t.Error("a module without a licence may ship")
	}
	for name, text := range map[string]string{filepath.Join(dir, "LICENSE"): "redistribution and use in source and binary forms with or without modification are permitted", filepath.Join(dir, "a", "COPYING"): "GNU GENERAL PUBLIC LICENSE"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.files = found(dir, dir)
	if names, err := m.licences(); err != nil || !slices.Equal(names, []string{"BSD-2-Clause"}) {
		t.Errorf("of the top: %v, %v", names, err)
	}
	m.files = found(sub, dir)
	if _, err := m.licences(); err == nil || !strings.Contains(err.Error(), "COPYING") {
		t.Errorf("a package in it under another licence: %v", err)
	}
}
