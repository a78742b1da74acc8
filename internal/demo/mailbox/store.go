package mailbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// envelopeHeader is the first line of every stored mail. It makes the file a
// complete mail that any mail program opens.
const envelopeHeader = "X-Mailbox-Envelope: "

// store keeps mails in memory and, with a folder, on disk: one file each,
// named by a UUIDv7, so names sort by arrival.
type store struct {
	dir string // "" keeps nothing

	mu   sync.RWMutex
	mail []Message // oldest first
}

func openStore(dir string) (*store, error) {
	s := &store{dir: dir}
	if dir == "" {
		return s, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the mail folder: %w", err)
	}
	// Never acknowledged: the process ended in the middle of writing them.
	parts, _ := filepath.Glob(filepath.Join(dir, "*.part"))
	for _, name := range parts {
		_ = os.Remove(name)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.eml"))
	if err != nil {
		return nil, fmt.Errorf("list the mail folder: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read a kept mail: %w", err)
		}
		var e envelope
		first, rest, ok := bytes.Cut(raw, []byte("\r\n"))
		if !ok || json.Unmarshal(bytes.TrimPrefix(first, []byte(envelopeHeader)), &e) != nil {
			return nil, fmt.Errorf("%s is not a mail of this mailbox; move it elsewhere", name)
		}
		s.mail = append(s.mail, parse(strings.TrimSuffix(filepath.Base(name), ".eml"), e, rest))
	}
	return s, nil
}

// add keeps a mail. When it returns nil the mail survives a crash.
func (s *store) add(e envelope, raw []byte) error {
	s.mu.Lock() // one at a time, so the order on disk is the order shown
	defer s.mu.Unlock()
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("name the mail: %w", err)
	}
	if s.dir != "" {
		if err := s.write(id.String(), e, raw); err != nil {
			return err
		}
	}
	s.mail = append(s.mail, parse(id.String(), e, raw))
	return nil
}

// write puts the file in place only when it is complete and synced.
func (s *store) write(id string, e envelope, raw []byte) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write the envelope: %w", err)
	}
	name := filepath.Join(s.dir, id)
	f, err := os.OpenFile(name+".part", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep the mail: %w", err)
	}
	_, err = f.Write(append([]byte(envelopeHeader+string(line)+"\r\n"), raw...))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(name+".part", name+".eml")
	}
	if err == nil {
		err = syncDir(s.dir)
	}
	if err != nil {
		_ = os.Remove(name + ".part")
		return fmt.Errorf("keep the mail: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// all returns the mails, newest first.
func (s *store) all() []Message {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := slices.Clone(s.mail)
	slices.Reverse(out)
	return out
}

func (s *store) find(id string) (Message, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, m := range s.mail {
		if m.ID == id {
			return m, true
		}
	}
	return Message{}, false
}

// empty removes every mail.
func (s *store) empty() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir != "" {
		for _, m := range s.mail {
			if err := os.Remove(filepath.Join(s.dir, m.ID+".eml")); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("empty the mailbox: %w", err)
			}
		}
		if err := syncDir(s.dir); err != nil {
			return fmt.Errorf("empty the mailbox: %w", err)
		}
	}
	s.mail = nil
	return nil
}
