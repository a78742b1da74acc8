package password

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"os"
	"path/filepath"
)

// FilterOptions tune BuildFilter. The zero value is right.
type FilterOptions struct {
	Format         BreachFormat // empty: BreachAuto
	MinCount       uint64       // leave out what was seen less often; 0 and 1: take all
	FalsePositives uint64       // at most one good password in so many is refused; 0: DefaultFalsePositives
	MemoryMiB      int          // for sorting; 0: 128
	TempDir        string       // for sorting, 8 bytes a password; empty: the folder of the output
	Progress       func(FilterStats)
}

// The bounds of FilterOptions.FalsePositives, and its default.
const (
	MinFalsePositives     = 1 << (minRateBits - 1)
	MaxFalsePositives     = 1 << (maxRateBits - 1)
	DefaultFalsePositives = 100_000
)

// FilterStats says how far a build is, and in the end what it made.
type FilterStats struct {
	Format   BreachFormat
	Lines    uint64 // read
	Rare     uint64 // left out because they were seen too rarely
	Unusable uint64 // left out because nobody can choose them: under 4 or over 1024 bytes, not UTF-8, control characters
	Written  uint64 // passwords written; 0 while still reading
	Keys     uint64 // different passwords
	Bytes    int64  // size of the file
	// OneIn is the false-positive rate: of so many good passwords, one is
	// taken for a breached one. A password is looked up twice at most, as
	// typed and in lower case without accents; both are counted in.
	OneIn uint64
}

// BuildFilter reads a breach file, text or gzip, and writes the filter that
// NewBlocklist reads. The file may be of any length: memory is bounded, and
// what does not fit is sorted on disk. out is replaced in one step when all is
// done, and untouched otherwise. Errors are ErrBreachFile, the context's, and
// those of the file system.
func BuildFilter(ctx context.Context, from io.Reader, out string, o FilterOptions) (FilterStats, error) {
	var stats FilterStats
	if err := o.complete(out); err != nil {
		return stats, err
	}
	// The output comes first: whether it can be written is found out before
	// an hour of reading, not after.
	file, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+".*.tmp")
	if err != nil {
		return stats, fmt.Errorf("write the filter: %w", err)
	}
	defer os.Remove(file.Name()) // fails after the rename, as it should
	defer file.Close()
	keys, err := newSorter(o.TempDir, o.MemoryMiB<<20)
	if err != nil {
		return stats, err
	}
	defer keys.close()

	lines, err := newBreachReader(from, o.Format, o.MinCount, &stats)
	if err != nil {
		return stats, err
	}
	if err := lines.each(ctx, keys.add, func() { o.Progress(stats) }); err != nil {
		return stats, err
	}
	// How many different ones there are is known only after merging once; the
	// second time they are written.
	err = keys.merge(ctx, func(uint64) error {
		if stats.Keys++; stats.Keys&0xfffff == 0 {
			o.Progress(stats)
		}
		return nil
	})
	if err != nil {
		return stats, err
	}
	if stats.Keys == 0 {
		return stats, fmt.Errorf("%w: no passwords in it", ErrBreachFile)
	}
	if stats.Keys > maxFilterLen {
		return stats, fmt.Errorf("%w: more than %d passwords", ErrBreachFile, uint64(maxFilterLen))
	}
	f := uint(bits.Len64(2*o.FalsePositives - 1)) // the power of two that is not less; twice for two look-ups
	stats.OneIn = 1 << (f - 1)
	w := newFilterWriter(file, stats.Keys, f)
	err = keys.merge(ctx, func(key uint64) error {
		if stats.Written++; stats.Written&0xfffff == 0 {
			o.Progress(stats)
		}
		return w.add(key)
	})
	if err != nil {
		return stats, err
	}
	if stats.Bytes, err = w.close(); err != nil {
		return stats, fmt.Errorf("write the filter: %w", err)
	}
	return stats, publish(file, out)
}

// complete fills defaults in and judges the rest.
func (o *FilterOptions) complete(out string) error {
	if o.Format == "" {
		o.Format = BreachAuto
	}
	if o.FalsePositives == 0 {
		o.FalsePositives = DefaultFalsePositives
	}
	if o.FalsePositives < MinFalsePositives || o.FalsePositives > MaxFalsePositives {
		return fmt.Errorf("the false-positive rate has to be one in %d to %d", MinFalsePositives, MaxFalsePositives)
	}
	if o.MemoryMiB <= 0 {
		o.MemoryMiB = 128
	}
	if o.TempDir == "" {
		o.TempDir = filepath.Dir(out)
	}
	if o.Progress == nil {
		o.Progress = func(FilterStats) {}
	}
	if info, err := os.Stat(out); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", out)
	}
	return nil
}

// publish puts a finished file in its place, so that it is there after a power
// cut, too, or the one before is.
func publish(file *os.File, out string) error {
	if err := errors.Join(file.Chmod(0o644), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write the filter: %w", err)
	}
	if err := os.Rename(file.Name(), out); err != nil {
		return fmt.Errorf("write the filter: %w", err)
	}
	if dir, err := os.Open(filepath.Dir(out)); err == nil {
		_ = dir.Sync() // not every file system can
		_ = dir.Close()
	}
	return nil
}

// filterWriter writes a filter from sorted keys: header last, index and data
// side by side.
type filterWriter struct {
	file        *os.File
	head        filterHeader
	index, data *bufio.Writer
	acc         uint64 // bits not yet written
	accBits     uint
	bits        uint64 // all bits
	next        uint64 // the least that may come in the bucket
	opened      uint64 // buckets whose offset is in the index
	last        uint64
	some        bool
}

// checked writes on and keeps the checksum.
type checked struct {
	w   io.Writer
	sum *uint32
}

func (c checked) Write(p []byte) (int, error) {
	*c.sum = crc32.Update(*c.sum, castagnoli, p)
	return c.w.Write(p)
}

func newFilterWriter(file *os.File, keys uint64, f uint) *filterWriter {
	w := &filterWriter{file: file, head: filterHeader{f: f, keys: keys}}
	dataStart := headerBytes + 8*int64(buckets(keys)+1)
	w.index = bufio.NewWriterSize(checked{io.NewOffsetWriter(file, headerBytes), &w.head.indexCheck}, 64<<10)
	w.data = bufio.NewWriterSize(checked{io.NewOffsetWriter(file, dataStart), &w.head.dataCheck}, 1<<20)
	return w
}

func (w *filterWriter) add(key uint64) error {
	v := scale(key, w.head.keys, w.head.f)
	if w.some && v == w.last {
		return nil
	}
	w.some, w.last = true, v
	width := bucketBits + w.head.f
	if err := w.open(v >> width); err != nil {
		return err
	}
	v &= 1<<width - 1
	gap := v - w.next
	w.next = v + 1
	for quotient := gap >> w.head.f; ; quotient -= 32 {
		if quotient < 32 {
			w.write(1<<quotient, uint(quotient)+1)
			break
		}
		w.write(0, 32)
	}
	w.write(gap&(1<<w.head.f-1), w.head.f)
	return nil
}

// open notes where the buckets up to this one begin.
func (w *filterWriter) open(bucket uint64) error {
	for w.opened <= bucket {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], w.bits)
		if _, err := w.index.Write(b[:]); err != nil {
			return fmt.Errorf("write the filter: %w", err)
		}
		w.opened++
		w.next = 0
	}
	return nil
}

// write appends n bits, at most 33. A failed write is reported by close.
func (w *filterWriter) write(v uint64, n uint) {
	w.acc |= v << w.accBits
	w.accBits += n
	w.bits += uint64(n)
	for ; w.accBits >= 8; w.accBits -= 8 {
		_ = w.data.WriteByte(byte(w.acc))
		w.acc >>= 8
	}
}

// close writes what is left and the header, and returns the file's size.
func (w *filterWriter) close() (int64, error) {
	if err := w.open(buckets(w.head.keys)); err != nil {
		return 0, err
	}
	w.head.data = (w.bits+7)/8 + padBytes
	w.write(0, (8-w.accBits)%8)
	_, err := w.data.Write(make([]byte, padBytes))
	if err := errors.Join(err, w.data.Flush(), w.index.Flush()); err != nil {
		return 0, err
	}
	_, err = w.file.WriteAt(w.head.bytes(), 0)
	return headerBytes + 8*int64(buckets(w.head.keys)+1) + int64(w.head.data), err
}
