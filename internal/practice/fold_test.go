package practice

import (
	"slices"
	"testing"
)

func TestNamesAreFoldedToWhatPeopleType(t *testing.T) {
	for in, want := range map[string]string{
		"  María-José ":      "maria jose",
		"O’Brien":            "obrien",
		"D'Angelo":           "dangelo",
		"Müller":             "muller",
		"Weiß":               "weiss",
		"Łukasz Żółć":        "lukasz zolc",
		"Søren Ærø":          "soren aero",
		"ＦＵＬＬ":               "full",
		"İpek":               "ipek",
		"Nguyễn Thị":         "nguyen thi",
		"李 小龙":               "李 小龙",
		"a\u0000b\U0010FFFF": "ab",
		"...":                "",
	} {
		if got := Fold(in); got != want {
			t.Errorf("Fold(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestEveryWordOfANameStartsAKey(t *testing.T) {
	got := distinct(nameKeys("María", "de la Cruz"))
	want := []string{"cruz", "cruz maria", "de la cruz", "de la cruz maria", "la cruz", "la cruz maria", "maria", "maria de la cruz"}
	if !slices.Equal(got, want) {
		t.Errorf("keys\n got %q\nwant %q", got, want)
	}
	got = distinct(numberKeys("AC-1001"))
	want = []string{"1001", "ac 1001", "ac-1001", "ac1001"}
	if !slices.Equal(got, want) {
		t.Errorf("keys\n got %q\nwant %q", got, want)
	}
}

func TestLongNamesMakeBoundedKeys(t *testing.T) {
	long := ""
	for range 500 {
		long += "ab "
	}
	keys := distinct(nameKeys(long, long))
	if len(keys) > 2*maxWords {
		t.Errorf("%d keys of one name", len(keys))
	}
	for _, k := range append(keys, foldExact(long)) {
		if len([]rune(k)) > maxKey {
			t.Errorf("key of %d code points", len([]rune(k)))
		}
	}
}

func TestWhatCannotBeSearchedForMatchesNothing(t *testing.T) {
	if got := ranges("’"); len(got) != 1 || got[0].from != "’" {
		// As a name it is nothing; as an exact key it is itself.
		t.Errorf("ranges(’) = %q", got)
	}
	if got := ranges("\u0301"); len(got) != 0 {
		t.Errorf("ranges of an accent alone = %q", got)
	}
	if got := ranges("Ana.Ruiz@Example.test"); len(got) != 1 || got[0].from != "ana.ruiz@example.test" {
		t.Errorf("ranges of an email = %q", got)
	}
}
