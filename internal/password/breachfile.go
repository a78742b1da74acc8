package password

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// BreachFormat says what the lines of a breach file are.
type BreachFormat string

// The formats. Auto is told by the first line.
const (
	BreachAuto  BreachFormat = "auto"
	BreachSHA1  BreachFormat = "sha1"  // SHA-1 in hexadecimal, then ":count" or nothing: Have I Been Pwned
	BreachPlain BreachFormat = "plain" // passwords
)

// ErrBreachFile says that a breach file cannot be read as what it was said or
// seems to be. It names the line, never what is in it.
var ErrBreachFile = errors.New("breach file")

// breachReader turns the lines of a breach file into filter keys.
type breachReader struct {
	lines    *bufio.Reader
	format   BreachFormat
	minCount uint64
	stats    *FilterStats
}

func newBreachReader(r io.Reader, format BreachFormat, minCount uint64, stats *FilterStats) (*breachReader, error) {
	lines := bufio.NewReaderSize(r, 1<<20)
	if magic, _ := lines.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(lines)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBreachFile, err)
		}
		lines = bufio.NewReaderSize(unpacked, 1<<20)
	}
	head, err := lines.Peek(4 << 10)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %w", ErrBreachFile, err)
	}
	if bytes.IndexByte(head, 0) >= 0 {
		return nil, fmt.Errorf("%w: not text; unpack it first, and write it as UTF-8", ErrBreachFile)
	}
	if bytes.HasPrefix(head, []byte("\ufeff")) {
		_, _ = lines.Discard(3)
		head = head[3:]
	}
	looks := guessFormat(head)
	switch {
	case looks == "ntlm" && format != BreachPlain:
		return nil, fmt.Errorf("%w: NTLM hashes; take the edition with SHA-1 hashes", ErrBreachFile)
	case format == BreachAuto && looks == "sha1":
		format = BreachSHA1
	case format == BreachAuto:
		format = BreachPlain
	case format != BreachSHA1 && format != BreachPlain:
		return nil, fmt.Errorf("%w: unknown format %q", ErrBreachFile, format)
	}
	if format == BreachPlain && minCount > 1 {
		return nil, fmt.Errorf("%w: plain passwords come without a count", ErrBreachFile)
	}
	stats.Format = format
	return &breachReader{lines: lines, format: format, minCount: minCount, stats: stats}, nil
}

// guessFormat looks at the first line for a hash. Without a count it has to be
// a varied one: the password of 32 zeros is common, too.
func guessFormat(head []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimLeft(head, "\r\n"), []byte{'\n'})
	digits, _, counted := bytes.Cut(bytes.TrimSpace(line), []byte{':'})
	if _, err := hex.Decode(make([]byte, len(digits)), digits); err != nil {
		return ""
	}
	different := map[byte]bool{}
	for _, d := range digits {
		different[d] = true
	}
	switch {
	case !counted && len(different) < 8:
		return ""
	case len(digits) == 40:
		return "sha1"
	case len(digits) == 32:
		return "ntlm"
	}
	return ""
}

// each calls add for every key of the file.
func (b *breachReader) each(ctx context.Context, add func(key uint64) error, progress func()) error {
	for {
		if b.stats.Lines&0xffff == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			progress()
		}
		line, err := b.next()
		if errors.Is(err, io.EOF) && line == nil {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: line %d: %w", ErrBreachFile, b.stats.Lines+1, err)
		}
		b.stats.Lines++
		if b.format == BreachSHA1 {
			err = b.hashed(line, add)
		} else {
			err = b.plain(line, add)
		}
		if err != nil {
			return err
		}
	}
}

// next returns a line without its end; a line longer than the buffer comes as
// its first part only, which is too long in every format.
func (b *breachReader) next() ([]byte, error) {
	line, err := b.lines.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		first := bytes.Clone(line[:2*MaxBytes])
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = b.lines.ReadSlice('\n')
		}
		return first, err
	}
	if len(line) == 0 {
		return nil, err
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'}), err
}

func (b *breachReader) hashed(line []byte, add func(uint64) error) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	digits, count, counted := strings.Cut(strings.TrimSpace(string(line)), ":")
	var sum [20]byte
	if n, err := hex.Decode(sum[:], []byte(digits)[:min(len(digits), 40)]); err != nil || n != 20 || len(digits) != 40 {
		return fmt.Errorf("%w: line %d is not a SHA-1 hash", ErrBreachFile, b.stats.Lines)
	}
	if counted {
		n, err := strconv.ParseUint(count, 10, 64)
		if err != nil {
			return fmt.Errorf("%w: line %d has no number after the colon", ErrBreachFile, b.stats.Lines)
		}
		if n < b.minCount {
			b.stats.Rare++
			return nil
		}
	} else if b.minCount > 1 {
		return fmt.Errorf("%w: line %d has no count", ErrBreachFile, b.stats.Lines)
	}
	return add(binary.BigEndian.Uint64(sum[:]))
}

// plain adds a password as it is and folded, so that it is found again
// whatever its case, as in a text list. What nobody can choose here is left
// out.
func (b *breachReader) plain(line []byte, add func(uint64) error) error {
	s := string(line)
	if len(s) > MaxBytes || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		b.stats.Unusable++
		return nil
	}
	if s = norm.NFC.String(s); utf8.RuneCountInString(s) < minEntry {
		b.stats.Unusable++
		return nil
	}
	if folded := foldPlain(s); folded != s {
		if err := add(filterKey(folded)); err != nil {
			return err
		}
	}
	return add(filterKey(s))
}
