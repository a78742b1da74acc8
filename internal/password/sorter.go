package password

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// sorter sorts any number of keys in bounded memory: it fills a piece of
// memory, sorts it, writes it to a temporary file as a run, and merges the
// runs. A file that is sorted already becomes a single run.
type sorter struct {
	file  *os.File
	w     *bufio.Writer
	chunk []uint64
	runs  []run
	last  uint64 // written
}

type run struct{ start, keys int64 }

func newSorter(dir string, memory int) (*sorter, error) {
	file, err := os.CreateTemp(dir, ".portico-blocklist-*.tmp")
	if err != nil {
		return nil, fmt.Errorf("sort: %w", err)
	}
	// Where an open file can be removed, nothing is left even after a kill.
	_ = os.Remove(file.Name())
	return &sorter{file: file, w: bufio.NewWriterSize(file, 1<<20), chunk: make([]uint64, 0, max(memory/8, 1024))}, nil
}

func (s *sorter) close() {
	_ = s.file.Close()
	_ = os.Remove(s.file.Name())
}

func (s *sorter) add(key uint64) error {
	s.chunk = append(s.chunk, key)
	if len(s.chunk) == cap(s.chunk) {
		return s.flush()
	}
	return nil
}

func (s *sorter) flush() error {
	if len(s.chunk) == 0 {
		return nil
	}
	slices.Sort(s.chunk)
	if n := len(s.runs); n == 0 || s.chunk[0] < s.last {
		var start int64
		if n > 0 {
			start = s.runs[n-1].start + s.runs[n-1].keys
		}
		s.runs = append(s.runs, run{start: start})
	}
	var b [8]byte
	for _, key := range s.chunk {
		binary.LittleEndian.PutUint64(b[:], key)
		_, _ = s.w.Write(b[:]) // Flush repeats the error
	}
	s.runs[len(s.runs)-1].keys += int64(len(s.chunk))
	s.last = s.chunk[len(s.chunk)-1]
	s.chunk = s.chunk[:0]
	if err := s.w.Flush(); err != nil {
		return fmt.Errorf("sort: %w", err)
	}
	return nil
}

// merge calls fn for every different key, in order. It may be called again.
func (s *sorter) merge(ctx context.Context, fn func(key uint64) error) error {
	if err := s.flush(); err != nil {
		return err
	}
	var h mergeHeap
	for _, r := range s.runs {
		c := &cursor{r: bufio.NewReaderSize(io.NewSectionReader(s.file, 8*r.start, 8*r.keys), 64<<10)}
		if err := c.next(); err != nil {
			return fmt.Errorf("sort: %w", err)
		}
		h = append(h, c)
	}
	slices.SortFunc(h, func(a, b *cursor) int { // a sorted slice is a heap
		switch {
		case a.key < b.key:
			return -1
		case a.key > b.key:
			return 1
		}
		return 0
	})
	var last uint64
	for n := 0; len(h) > 0; n++ {
		if n&0xfffff == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if key := h[0].key; n == 0 || key != last {
			last = key
			if err := fn(key); err != nil {
				return err
			}
		}
		if err := h.advance(); err != nil {
			return fmt.Errorf("sort: %w", err)
		}
	}
	return nil
}

// cursor reads a run.
type cursor struct {
	r   *bufio.Reader
	key uint64
	buf [8]byte
}

func (c *cursor) next() error {
	if _, err := io.ReadFull(c.r, c.buf[:]); err != nil {
		return err
	}
	c.key = binary.LittleEndian.Uint64(c.buf[:])
	return nil
}

// mergeHeap has the cursor with the least key first.
type mergeHeap []*cursor

// advance moves the first cursor on and the heap into order again.
func (h *mergeHeap) advance() error {
	s := *h
	if err := s[0].next(); errors.Is(err, io.EOF) {
		s[0] = s[len(s)-1]
		s = s[:len(s)-1]
		*h = s
	} else if err != nil {
		return err
	}
	for i := 0; ; {
		least := i
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < len(s) && s[child].key < s[least].key {
				least = child
			}
		}
		if least == i {
			return nil
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
}
