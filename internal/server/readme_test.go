package server_test

import (
	"os"
	"strings"
	"testing"
)

// TestReadmeShowsTheExamplesThatAreRun keeps the README's code the same as the
// files, which are compiled and tried.
func TestReadmeShowsTheExamplesThatAreRun(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{
		"../../docs/examples/go/main.go":            "func main",
		"../../docs/examples/javascript/client.mjs": "import",
	} {
		code, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, shown, _ := strings.Cut(string(code), from)
		if shown == "" || !strings.Contains(string(readme), from+shown) {
			t.Errorf("README.md does not show %s as it is", name)
		}
	}
}
