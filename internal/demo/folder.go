package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// folder is where a demo keeps its things.
type folder struct {
	root    string // database and mails
	secrets string // the folder of secrets.json
	kept    bool   // outlives the demo
}

// openFolder makes the folders a demo needs. A database of its own (-dsn)
// outlives a temporary folder, and so must the secrets that open it: without
// -data they go to the user's configuration folder.
func openFolder(o Options) (folder, error) {
	if o.Data != "" {
		root, err := filepath.Abs(o.Data)
		if err != nil {
			return folder{}, fmt.Errorf("-data: %w", err)
		}
		if err := os.MkdirAll(root, 0o700); err != nil {
			return folder{}, fmt.Errorf("-data: %w", err)
		}
		return folder{root: root, secrets: root, kept: true}, nil
	}
	root, err := os.MkdirTemp("", "portico-demo-")
	if err != nil {
		return folder{}, fmt.Errorf("make a temporary folder: %w", err)
	}
	f := folder{root: root, secrets: root}
	if o.DSN == "" {
		return f, nil
	}
	home, err := os.UserConfigDir()
	if err != nil {
		f.close()
		return folder{}, fmt.Errorf("the secrets for the database have no place: %w; name one with -data FOLDER", err)
	}
	sum := sha256.Sum256([]byte(o.DSN))
	f.secrets = filepath.Join(home, "portico-demo", hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(f.secrets, 0o700); err != nil {
		f.close()
		return folder{}, fmt.Errorf("the secrets for the database have no place: %w; name one with -data FOLDER", err)
	}
	return f, nil
}

func (f folder) mail() string { return filepath.Join(f.root, "mail") }

func (f folder) database(o Options) string {
	if o.DSN != "" {
		return o.DSN
	}
	return "sqlite:" + filepath.Join(f.root, "portico.db")
}

// close removes what is temporary.
func (f folder) close() {
	if !f.kept {
		_ = os.RemoveAll(f.root)
	}
}
