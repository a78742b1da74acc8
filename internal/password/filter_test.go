package password

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1" //nolint:gosec // what breach corpora are published in
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func build(t testing.TB, from string, o FilterOptions) (string, FilterStats) {
	t.Helper()
	if o.MemoryMiB == 0 {
		o.MemoryMiB = 1 // several runs, and quick
	}
	out := filepath.Join(t.TempDir(), "breached.filter")
	stats, err := BuildFilter(t.Context(), strings.NewReader(from), out, o)
	if err != nil {
		t.Fatal(err)
	}
	return out, stats
}

func open(t testing.TB, name string) *filter {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := readFilter(f, sizeOf(f))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sha1Line(plain string, count int) string {
	return fmt.Sprintf("%X:%d\r\n", sha1.Sum([]byte(plain)), count) //nolint:gosec // see above
}

func TestAFilterMissesNothingAndErrsAsRarelyAsPromised(t *testing.T) {
	for _, keys := range []int{1, 2, 127, 128, 129, 100_000} {
		for _, oneIn := range []uint64{MinFalsePositives, 1000, 100_000, MaxFalsePositives} {
			var lines strings.Builder
			for i := range keys {
				lines.WriteString(sha1Line(fmt.Sprint("breached ", i), 1+i))
			}
			name, stats := build(t, lines.String(), FilterOptions{FalsePositives: oneIn})
			s := open(t, name)
			if stats.Keys != uint64(keys) || stats.Lines != uint64(keys) || stats.Format != BreachSHA1 || stats.OneIn < oneIn || stats.OneIn > 2*oneIn {
				t.Fatalf("%d keys: %+v", keys, stats)
			}
			for i := range keys {
				if !s.has(fmt.Sprint("breached ", i)) {
					t.Fatalf("%d keys, 1 in %d: password %d is missed", keys, oneIn, i)
				}
			}
			if info, _ := os.Stat(name); info.Size() != stats.Bytes || keys == 100_000 && float64(8*info.Size())/float64(keys) > float64(s.f)+2.3 {
				t.Errorf("%d keys, 1 in %d: %d bytes, said %d", keys, oneIn, info.Size(), stats.Bytes)
			}
			if keys != 100_000 || oneIn > 1000 {
				continue
			}
			const tries = 400_000
			wrong := 0
			for i := range tries {
				if s.has(fmt.Sprint("good ", i)) {
					wrong++
				}
			}
			expected := float64(tries) / float64(2*stats.OneIn) // one look-up each
			if float64(wrong) < 0.7*expected || float64(wrong) > 1.3*expected {
				t.Errorf("1 in %d: %d of %d good passwords refused, expected %.0f", oneIn, wrong, tries, expected)
			}
		}
	}
}

// Sorted, shuffled, repeated, in one run or in many: the file is the same.
func TestTheOrderOfABreachFileMakesNoDifference(t *testing.T) {
	var lines []string
	for i := range 5000 {
		lines = append(lines, sha1Line(fmt.Sprint("breached ", i), 1))
	}
	slices.Sort(lines)
	sorted, _ := build(t, strings.Join(lines, ""), FilterOptions{})
	want, _ := os.ReadFile(sorted)
	random := rand.New(rand.NewPCG(1, 2))
	lines = append(lines, lines[:2000]...)
	random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	shuffled, stats := build(t, strings.Join(lines, ""), FilterOptions{})
	if got, _ := os.ReadFile(shuffled); !bytes.Equal(got, want) || stats.Keys != 5000 {
		t.Errorf("shuffled: %+v", stats)
	}
	for _, order := range []string{"shuffled", "sorted"} {
		s, err := newSorter(t.TempDir(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if order == "sorted" {
			slices.Sort(lines)
		}
		var all []uint64
		for _, line := range lines {
			raw, err := hex.DecodeString(line[:16])
			if err != nil {
				t.Fatal(err)
			}
			if err := s.add(binary.BigEndian.Uint64(raw)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			all = all[:0]
			if err := s.merge(t.Context(), func(key uint64) error { all = append(all, key); return nil }); err != nil {
				t.Fatal(err)
			}
			if len(all) != 5000 || !slices.IsSorted(all) {
				t.Errorf("%s: %d keys in %d runs", order, len(all), len(s.runs))
			}
		}
		if runs := len(s.runs); order == "sorted" && runs != 1 || order == "shuffled" && runs != 7 {
			t.Errorf("%s: %d runs", order, runs)
		}
		s.close()
	}
}

func TestABreachFileIsReadInEveryFormItComesIn(t *testing.T) {
	gz := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, s)
		_ = z.Close()
		return b.String()
	}
	hashed := sha1Line("Zebra Lamp Violin Teapot", 3) + strings.ToLower(sha1Line("harbour fog", 40)) + "\n" + strings.TrimSpace(sha1Line("last line", 5))
	plain := "Zebra Lamp Violin Teapot\r\n\nGru\u0308n wie die Hoffnung\nabc\n\xff\xfe\xfd\xfc\n" + strings.Repeat("x", 3<<20) + "\nlast line"
	for _, c := range []struct {
		name, from   string
		o            FilterOptions
		in, out      []string
		rare, unused uint64
	}{
		{"hashes", hashed, FilterOptions{}, []string{"Zebra Lamp Violin Teapot", "harbour fog", "last line"}, []string{"zebra lamp violin teapot", "other"}, 0, 0},
		{"gzipped hashes", gz(hashed), FilterOptions{Format: BreachSHA1}, []string{"harbour fog"}, []string{"other"}, 0, 0},
		{"hashes without a count", strings.ReplaceAll(strings.ReplaceAll(hashed, ":3\r", ""), ":40\r", "  "), FilterOptions{}, []string{"Zebra Lamp Violin Teapot", "harbour fog"}, nil, 0, 0},
		{"frequent hashes", hashed, FilterOptions{MinCount: 5}, []string{"harbour fog", "last line"}, []string{"Zebra Lamp Violin Teapot"}, 1, 0},
		{"passwords", plain, FilterOptions{}, []string{"Zebra Lamp Violin Teapot", "zebra lamp violin teapot", "Grün wie die Hoffnung", "grun wie die hoffnung", "last line"}, []string{"ZEBRA", "abc", ""}, 0, 4},
		{"passwords with a byte order mark", "\ufeffharbour fog\n", FilterOptions{}, []string{"harbour fog"}, []string{"\ufeffharbour fog"}, 0, 0},
		{"passwords that look like hashes", sha1Line("x", 1), FilterOptions{Format: BreachPlain}, []string{strings.TrimSpace(sha1Line("x", 1))}, []string{"x"}, 0, 0},
		{"32 zeros first", strings.Repeat("0", 32) + "\nharbour fog\n", FilterOptions{}, []string{"harbour fog", strings.Repeat("0", 32)}, nil, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			name, stats := build(t, c.from, c.o)
			s := open(t, name)
			for _, p := range c.in {
				if !s.has(p) {
					t.Errorf("%q is missed: %+v", p, stats)
				}
			}
			for _, p := range c.out {
				if s.has(p) {
					t.Errorf("%q is in it", p)
				}
			}
			if stats.Rare != c.rare || stats.Unusable != c.unused {
				t.Errorf("%+v", stats)
			}
		})
	}
}

func TestABreachFileThatIsSomethingElseIsRefused(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "filter")
	if err := os.WriteFile(out, []byte("the one before"), 0o600); err != nil {
		t.Fatal(err)
	}
	const secret = "hunter2 the canary"
	for name, c := range map[string]struct {
		from string
		o    FilterOptions
	}{
		"nothing":                  {"", FilterOptions{}},
		"nothing usable":           {"abc\n\n", FilterOptions{}},
		"NTLM":                     {"8846F7EAEE8FB117AD06BDD830B7586C:5\n", FilterOptions{}},
		"a password among hashes":  {sha1Line("x", 1) + secret + "\n", FilterOptions{}},
		"a hash that is cut off":   {sha1Line("x", 1) + sha1Line("y", 1)[:38], FilterOptions{}},
		"a hash that is too long":  {sha1Line("x", 1) + "0" + sha1Line("y", 1), FilterOptions{}},
		"no number":                {sha1Line("x", 1) + sha1Line("y", 1)[:41] + secret, FilterOptions{}},
		"no count to choose by":    {sha1Line("x", 1)[:40] + "\n", FilterOptions{MinCount: 2}},
		"passwords without counts": {"harbour fog\n", FilterOptions{MinCount: 2}},
		"said to be hashes":        {"harbour fog\n", FilterOptions{Format: BreachSHA1}},
		"an endless line":          {sha1Line("x", 1) + strings.Repeat("0", 3<<20), FilterOptions{}},
		"a 7z archive":             {"7z\xbc\xaf\x27\x1c\x00\x04", FilterOptions{}},
		"broken gzip":              {"\x1f\x8b\x08\x00", FilterOptions{}},
		"an unknown format":        {"harbour fog\n", FilterOptions{Format: "md5"}},
		"only rare ones":           {sha1Line("x", 1), FilterOptions{MinCount: 2}},
	} {
		_, err := BuildFilter(t.Context(), strings.NewReader(c.from), out, c.o)
		if !errors.Is(err, ErrBreachFile) {
			t.Errorf("%s: %v, want ErrBreachFile", name, err)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error quotes the line: %v", name, err)
		}
	}
	for _, rate := range []uint64{1, MinFalsePositives - 1, MaxFalsePositives + 1} {
		if _, err := BuildFilter(t.Context(), strings.NewReader("harbour fog\n"), out, FilterOptions{FalsePositives: rate}); err == nil {
			t.Errorf("one in %d is accepted", rate)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := BuildFilter(gone, strings.NewReader("harbour fog\n"), out, FilterOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := BuildFilter(t.Context(), strings.NewReader("harbour fog\n"), dir, FilterOptions{}); err == nil {
		t.Error("a folder is written over")
	}
	if _, err := BuildFilter(t.Context(), strings.NewReader("harbour fog\n"), filepath.Join(dir, "none", "filter"), FilterOptions{}); err == nil {
		t.Error("a folder that is not there is written to")
	}
	// Nothing was replaced and nothing is left lying about.
	if content, _ := os.ReadFile(out); string(content) != "the one before" {
		t.Errorf("%q", content)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%v", entries)
	}
	if _, err := BuildFilter(t.Context(), strings.NewReader("harbour fog\n"), out, FilterOptions{}); err != nil {
		t.Fatal(err)
	}
	if s := open(t, out); !s.has("harbour fog") {
		t.Error("the file was not replaced")
	}
	if info, _ := os.Stat(out); info.Mode().Perm() != 0o644 {
		t.Error(info.Mode())
	}
}

func TestADamagedFilterIsRefused(t *testing.T) {
	var lines strings.Builder
	for i := range 1000 {
		lines.WriteString(sha1Line(fmt.Sprint("breached ", i), 1))
	}
	name, _ := build(t, lines.String(), FilterOptions{})
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	read := func(b []byte) error {
		_, err := readFilter(bytes.NewReader(b), 0)
		return err
	}
	if err := read(good); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(good); at += 1 + at/20 { // each byte of the header, some of the rest
		bad := bytes.Clone(good)
		bad[at] ^= 0x10
		if err := read(bad); !errors.Is(err, ErrFilter) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	for _, n := range []int{8, 63, 64, 80, len(good) - 1} {
		if err := read(good[:n]); !errors.Is(err, ErrFilter) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if err := read(append(bytes.Clone(good), 0)); !errors.Is(err, ErrFilter) {
		t.Errorf("a byte more: %v", err)
	}
	// Checksums that are right make nonsense no safer: it is refused, or
	// answered, but it neither panics nor takes the memory.
	h, _ := parseFilterHeader(good[:headerBytes])
	for _, change := range []func(*filterHeader){
		func(h *filterHeader) { h.f = 0 }, func(h *filterHeader) { h.f = 64 }, func(h *filterHeader) { h.keys = 0 }, func(h *filterHeader) { h.keys = 1 << 40 },
		func(h *filterHeader) { h.keys = maxFilterLen }, func(h *filterHeader) { h.data = 0 }, func(h *filterHeader) { h.data = 1 << 63 }, func(h *filterHeader) { h.data = 1 << 40 },
	} {
		bad := h
		change(&bad)
		if err := read(append(bad.bytes(), good[headerBytes:]...)); !errors.Is(err, ErrFilter) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	index := 8 * int(buckets(h.keys)+1)
	answered := 0
	for range 300 {
		bad := bytes.Clone(good)
		for range 1 + random.IntN(40) {
			bad[headerBytes+random.IntN(len(bad)-headerBytes)] = byte(random.IntN(256))
		}
		if random.IntN(2) == 0 {
			clear(bad[headerBytes+index:]) // unary without an end
		}
		h := h
		h.indexCheck = crc32.Checksum(bad[headerBytes:headerBytes+index], castagnoli)
		h.dataCheck = crc32.Checksum(bad[headerBytes+index:], castagnoli)
		copy(bad, h.bytes())
		s, err := readFilter(bytes.NewReader(bad), 0)
		if err != nil {
			continue
		}
		answered++
		for i := range 100 {
			s.has(fmt.Sprint(i))
		}
	}
	if answered == 0 {
		t.Error("no nonsense got past the checks: the test tests nothing")
	}
	// Somewhere among the lists of the configuration.
	if _, err := NewBlocklist(strings.NewReader("a text list\n"), bytes.NewReader(good[:len(good)-1])); !errors.Is(err, ErrFilter) {
		t.Errorf("NewBlocklist: %v", err)
	}
}

func TestAFilterIsABlocklist(t *testing.T) {
	name, stats := build(t, sha1Line("Zebra Lamp Violin Teapot", 3)+sha1Line("harbour fog and thirteen gulls", 4), FilterOptions{})
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := blocklist(t, strings.NewReader("blue heron under the bridge\n"), file)
	for typed, want := range map[string]error{
		"Zebra Lamp Violin Teapot":       ErrCommon,
		"zebra lamp violin teapot":       nil, // the corpus knows only the exact spelling
		"harbour fog and thirteen gulls": ErrCommon,
		"Harbour Fog and Thirteen Gulls": ErrCommon, // folds to what was breached
		"Blue Heron under the bridge":    ErrCommon,
		"harbour fog and fourteen gulls": nil,
		"fog and thirteen gulls harbour": nil,
	} {
		if err := b.Check(Policy{MinLength: 15}, typed, nil); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", typed, err, want)
		}
	}
	if got := b.Len() - blocklist(t).Len(); got != 1+int(stats.Keys) {
		t.Errorf("Len grew by %d", got)
	}
	for _, hashes := range []string{sha1Line("x", 1), sha1Line("x", 1)[:40], "8846F7EAEE8FB117AD06BDD830B7586C:5\n"} {
		if _, err := NewBlocklist(strings.NewReader(hashes)); err == nil || !strings.Contains(err.Error(), "idp blocklist build") {
			t.Errorf("a list of hashes: %v", err)
		}
	}
}

func BenchmarkFilter(b *testing.B) {
	var lines strings.Builder
	for i := range 200_000 {
		lines.WriteString(sha1Line(fmt.Sprint("breached ", i), 1))
	}
	name, _ := build(b, lines.String(), FilterOptions{})
	s := open(b, name)
	b.Run("look-up", func(b *testing.B) {
		for b.Loop() {
			s.has("purple monkey dishwasher")
		}
	})
	b.Run("build", func(b *testing.B) {
		b.SetBytes(int64(lines.Len()))
		for b.Loop() {
			if _, err := BuildFilter(b.Context(), strings.NewReader(lines.String()), name, FilterOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
