package main

import (
	"path/filepath"
	"testing"

	"barista/configs"
)

// TestEverySampleLoads keeps the documentation from rotting: each file in
// configs loads with the real table of kinds.
func TestEverySampleLoads(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("samples: %v %v", files, err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			if _, err := configs.Load(f, loader()); err != nil {
				t.Error(err)
			}
		})
	}
}
