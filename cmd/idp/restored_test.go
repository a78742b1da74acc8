package main

import (
	"strings"
	"testing"
)

func TestRestoredSaysWhatItEnded(t *testing.T) {
	path := installed(t)
	out, err := idp(t, "restored", "--config", path)
	if err != nil {
		t.Fatal(out, err)
	}
	words := strings.Fields(out)
	if !strings.HasSuffix(strings.Join(words, " "), "patient 0 0 0 practice 0 0 0") {
		t.Errorf("an empty database: %q", out)
	}
}
