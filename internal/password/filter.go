package password

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // the hash that breach corpora are published in; it protects nothing here
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"math/bits"
)

// A filter is a set of breached passwords in little memory: it never misses
// one of them, and takes a few others for one, at a rate chosen when it is
// built. It is a Golomb-coded set: the first 64 bits of each password's SHA-1
// are scaled down to a number below keys·2^f, the numbers are sorted, and the
// gaps between them, which are 2^f on average, are Rice-coded: the part above
// f bits in unary, the rest in f bits. That takes about f+2 bits a password,
// index included, for a false-positive rate of one in 2^f a look-up; unlike
// the filters that are as small (xor, binary fuse), it can be written as a
// stream, so its size is not bounded by memory.
//
// The index holds, for each bucket of 128·2^f numbers, where its bits begin.
// A look-up decodes one bucket: 128 gaps on average, a few microseconds.
//
// The file, all numbers little-endian:
//
//	 0  magic, 8 bytes
//	 8  f, uint32
//	12  zero, 4 bytes
//	16  keys, uint64: how many passwords it was built from
//	24  length of the data in bytes, uint64
//	32  CRC-32C of the index, uint32
//	36  CRC-32C of the data, uint32
//	40  zero, 20 bytes
//	60  CRC-32C of the 60 bytes before, uint32
//	64  index: uint64 bit offsets into the data, one per bucket and one more for the end
//	    data: bits, lowest first, and padBytes zero bytes
type filter struct {
	f     uint
	keys  uint64
	index []byte
	data  []byte
}

// ErrFilter says that a filter file is damaged.
var ErrFilter = errors.New("damaged blocklist filter")

const (
	filterMagic  = "\x89PORTBL1"
	headerBytes  = 64
	bucketBits   = 7 // 2^7 passwords in a bucket, on average
	padBytes     = 16
	minRateBits  = 8
	maxRateBits  = 28
	maxFilterLen = 1 << 33 // passwords; times 2^maxRateBits fits into 64 bits
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// filterKey is what a filter knows of a password.
func filterKey(password string) uint64 {
	sum := sha1.Sum([]byte(password)) //nolint:gosec // see the import
	return binary.BigEndian.Uint64(sum[:])
}

// scale maps 64 bits evenly to a number below keys·2^f, and keeps the order.
func scale(key, keys uint64, f uint) uint64 {
	v, _ := bits.Mul64(key, keys<<f)
	return v
}

func buckets(keys uint64) uint64 { return (keys + 1<<bucketBits - 1) >> bucketBits }

// has reports whether a password is in the set, or one of the few that look as
// if they were.
func (s *filter) has(password string) bool {
	v := scale(filterKey(password), s.keys, s.f)
	width := bucketBits + s.f
	at := v >> width * 8
	v &= 1<<width - 1
	pos, end := binary.LittleEndian.Uint64(s.index[at:]), binary.LittleEndian.Uint64(s.index[at+8:])
	next := uint64(0)
	for pos < end {
		gap, after := s.gap(pos, end)
		if next += gap; next >= v {
			return next == v
		}
		pos, next = after, next+1
	}
	return false
}

// gap decodes the number at a bit offset. Even nonsense ends soon after end,
// where padding still is.
func (s *filter) gap(pos, end uint64) (gap, after uint64) {
	const sure = 57 // bits that eight bytes hold from any bit of the first on
	quotient := uint64(0)
	for pos < end {
		zeros := uint64(bits.TrailingZeros64(s.window(pos)))
		if zeros < sure {
			quotient, pos = quotient+zeros, pos+zeros+1
			break
		}
		quotient, pos = quotient+sure, pos+sure
	}
	rest := s.window(pos) & (1<<s.f - 1)
	return quotient<<s.f | rest, pos + uint64(s.f)
}

func (s *filter) window(pos uint64) uint64 {
	return binary.LittleEndian.Uint64(s.data[pos>>3:]) >> (pos & 7)
}

type filterHeader struct {
	f                     uint
	keys, data            uint64
	indexCheck, dataCheck uint32
}

func (h filterHeader) bytes() []byte {
	b := make([]byte, headerBytes)
	copy(b, filterMagic)
	binary.LittleEndian.PutUint32(b[8:], uint32(h.f))
	binary.LittleEndian.PutUint64(b[16:], h.keys)
	binary.LittleEndian.PutUint64(b[24:], h.data)
	binary.LittleEndian.PutUint32(b[32:], h.indexCheck)
	binary.LittleEndian.PutUint32(b[36:], h.dataCheck)
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

func parseFilterHeader(b []byte) (filterHeader, error) {
	h := filterHeader{
		f:    uint(binary.LittleEndian.Uint32(b[8:])),
		keys: binary.LittleEndian.Uint64(b[16:]), data: binary.LittleEndian.Uint64(b[24:]),
		indexCheck: binary.LittleEndian.Uint32(b[32:]), dataCheck: binary.LittleEndian.Uint32(b[36:]),
	}
	switch {
	case !bytes.Equal(b, h.bytes()):
		return h, fmt.Errorf("%w: the header's checksum", ErrFilter)
	case h.f < minRateBits || h.f > maxRateBits || h.keys == 0 || h.keys > maxFilterLen:
		return h, fmt.Errorf("%w: the header's numbers", ErrFilter)
	case h.data < padBytes || h.data > math.MaxInt64>>3 || h.data > math.MaxInt:
		return h, fmt.Errorf("%w: the length of the data", ErrFilter)
	}
	return h, nil
}

// readFilter reads a filter into memory and checks all of it. size is the
// length of the file, or 0 when it is not known.
func readFilter(r io.Reader, size int64) (*filter, error) {
	head := make([]byte, headerBytes)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFilter, err)
	}
	h, err := parseFilterHeader(head)
	if err != nil {
		return nil, err
	}
	s := &filter{f: h.f, keys: h.keys}
	if s.index, err = readExactly(r, 8*(buckets(h.keys)+1), size, h.indexCheck); err != nil {
		return nil, fmt.Errorf("%w: index: %w", ErrFilter, err)
	}
	if s.data, err = readExactly(r, h.data, size, h.dataCheck); err != nil {
		return nil, fmt.Errorf("%w: data: %w", ErrFilter, err)
	}
	if n, err := io.Copy(io.Discard, io.LimitReader(r, 1)); n != 0 || err != nil {
		return nil, fmt.Errorf("%w: more than the header says", ErrFilter)
	}
	last := uint64(0)
	for at := 0; at < len(s.index); at += 8 {
		offset := binary.LittleEndian.Uint64(s.index[at:])
		if offset < last || offset > 8*(h.data-padBytes) {
			return nil, fmt.Errorf("%w: the index does not fit the data", ErrFilter)
		}
		last = offset
	}
	return s, nil
}

// readExactly reads n bytes and compares their checksum. It believes a length
// that the file is long enough for; otherwise memory grows only with what
// really comes.
func readExactly(r io.Reader, n uint64, size int64, check uint32) ([]byte, error) {
	var b []byte
	if size > 0 && n <= uint64(size) {
		b = make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
	} else {
		var grown bytes.Buffer
		if _, err := io.CopyN(&grown, r, int64(n)); err != nil {
			return nil, err
		}
		b = grown.Bytes()
	}
	if crc32.Checksum(b, castagnoli) != check {
		return nil, errors.New("the checksum does not match")
	}
	return b, nil
}

// isFilter tells a filter from text by its first bytes.
func isFilter(r *bufio.Reader) bool {
	magic, _ := r.Peek(len(filterMagic))
	return string(magic) == filterMagic
}

// sizeOf is the length of what r reads if r is a regular file, else 0.
func sizeOf(r io.Reader) int64 {
	if f, ok := r.(interface{ Stat() (fs.FileInfo, error) }); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return info.Size()
		}
	}
	return 0
}
