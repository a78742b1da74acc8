package server_test

import (
	"math"
	"slices"
	"testing"
)

// quantile is the value that a share q of them does not exceed.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[min(len(sorted)-1, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// median is the value in the middle, or between the two there.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// mannWhitney is the probability, of two samples that come from one
// distribution, to differ at least as much as these: the two-sided
// Mann-Whitney U test by its normal approximation, with the corrections for
// ties and for continuity.
func mannWhitney(a, b []float64) float64 {
	type value struct {
		v     float64
		first bool
	}
	var all []value
	for _, v := range a {
		all = append(all, value{v, true})
	}
	for _, v := range b {
		all = append(all, value{v, false})
	}
	slices.SortFunc(all, func(x, y value) int {
		switch {
		case x.v < y.v:
			return -1
		case x.v > y.v:
			return 1
		}
		return 0
	})
	var ranks, ties float64 // ranks of a; sum of t³-t
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].v == all[i].v {
			j++
		}
		t := float64(j - i)
		ties += t*t*t - t
		for _, v := range all[i:j] {
			if v.first {
				ranks += float64(i+1+j) / 2
			}
		}
		i = j
	}
	na, nb := float64(len(a)), float64(len(b))
	n := na + nb
	u := ranks - na*(na+1)/2
	sigma := math.Sqrt(na * nb / 12 * (n + 1 - ties/(n*(n-1))))
	if sigma == 0 {
		return 1
	}
	z := max(0, math.Abs(u-na*nb/2)-0.5) / sigma
	return math.Erfc(z / math.Sqrt2)
}

func TestTheRankTestGivesTheValuesOfTextbooks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		a, b []float64
		want float64
	}{
		// The example of SciPy's documentation.
		{"without ties", []float64{19, 22, 16, 29, 24}, []float64{20, 11, 17, 12}, 0.11134688653314041},
		// The example of R's wilcox.test: ozone in May and in August, with ties.
		{"with ties", []float64{41, 36, 12, 18, 28, 23, 19, 8, 7, 16, 11, 14, 18, 14, 34, 6, 30, 11, 1, 11, 4, 32, 23, 45, 115, 37},
			[]float64{39, 9, 16, 78, 35, 66, 122, 89, 110, 44, 28, 65, 22, 59, 23, 31, 44, 21, 9, 45, 168, 73, 76, 118, 84, 85}, 0.0001208},
		{"the same", []float64{1, 2, 3}, []float64{1, 2, 3}, 1},
		{"all equal", []float64{2, 2}, []float64{2, 2, 2}, 1},
	} {
		if got := mannWhitney(c.a, c.b); math.Abs(got-c.want) > 0.0005*c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if there, back := mannWhitney(c.a, c.b), mannWhitney(c.b, c.a); math.Abs(there-back) > 1e-12 {
			t.Errorf("%s: %v is not %v the other way round", c.name, there, back)
		}
	}
	if m := median([]float64{3, 1, 2, 10}); m != 2.5 {
		t.Errorf("median %v", m)
	}
	if q := quantile([]float64{5, 1, 2, 3, 4}, 0.99); q != 5 {
		t.Errorf("quantile %v", q)
	}
}
