package locale

import (
	"fmt"
	"strconv"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// pluralForms are the categories of CLDR, as they stand at the end of a key.
// Which of them a language has, and for which numbers, golang.org/x/text knows.
var pluralForms = map[plural.Form]string{
	plural.Zero: ".zero", plural.One: ".one", plural.Two: ".two", plural.Few: ".few", plural.Many: ".many", plural.Other: ".other",
}

// form is the end of the key for a number in a language. What is no whole
// number counts as many.
func form(lang string, n any) string {
	number, err := strconv.Atoi(fmt.Sprint(n))
	if err != nil {
		return ".other"
	}
	return pluralForms[plural.Cardinal.MatchPlural(language.Make(lang), max(number, -number)%10_000_000, 0, 0, 0, 0)]
}

// formsOf lists the forms that a language needs for whole numbers. Every rule
// of CLDR shows itself within the first 200 numbers, but for those about
// millions, where .other reads as well.
func formsOf(lang string) []string {
	needs := map[string]bool{}
	for n := range 200 {
		needs[form(lang, n)] = true
	}
	var forms []string
	for _, f := range []plural.Form{plural.Zero, plural.One, plural.Two, plural.Few, plural.Many, plural.Other} {
		if needs[pluralForms[f]] {
			forms = append(forms, pluralForms[f])
		}
	}
	return forms
}
