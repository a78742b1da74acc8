package demo

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// secrets are made once per folder and never shipped.
type secrets struct {
	KeyEncryptionKey string            `json:"key_encryption_key"`
	Pepper           string            `json:"pepper"`
	Clients          map[string]string `json:"client_secrets"` // by "realm/client"
}

// loadSecrets reads dir/secrets.json and makes what it lacks. The file is
// readable by its owner only.
func loadSecrets(dir string, clients []string) (*secrets, error) {
	name := filepath.Join(dir, "secrets.json")
	s := &secrets{}
	raw, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read the demo's secrets: %w", err)
	default:
		if err := json.Unmarshal(raw, s); err != nil {
			return nil, fmt.Errorf("%s is damaged (%w); without it the data beside it cannot be opened, so start with another -data folder", name, err)
		}
		if err := os.Chmod(name, 0o600); err != nil {
			return nil, fmt.Errorf("protect the demo's secrets: %w", err)
		}
	}
	changed := fill(&s.KeyEncryptionKey, base64.StdEncoding)
	changed = fill(&s.Pepper, base64.StdEncoding) || changed
	if s.Clients == nil {
		s.Clients = map[string]string{}
	}
	for _, client := range clients {
		secret := s.Clients[client]
		if fill(&secret, base64.RawURLEncoding) {
			s.Clients[client], changed = secret, true
		}
	}
	if !changed {
		return s, nil
	}
	return s, s.write(name)
}

// fill makes 256 random bits where there is nothing yet.
func fill(secret *string, encoding *base64.Encoding) bool {
	if *secret != "" {
		return false
	}
	var b [32]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	*secret = encoding.EncodeToString(b[:])
	return true
}

// write puts the file in place only when it is complete and synced: a crash in
// between must not cost the key under which everything else is sealed.
func (s *secrets) write(name string) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write the demo's secrets: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".secrets-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the demo's secrets: %w", err)
	}
	_, err = f.Write(append(raw, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write the demo's secrets: %w", err)
	}
	return nil
}
