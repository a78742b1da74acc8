package server

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/locale"
)

// Warnings is what Check lets pass and an operator should know: the sentences
// that a realm's language lacks, which people will read in English.
func Warnings(cfg *config.Config) ([]string, error) {
	_, catalog, err := look(cfg)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, g := range languageGaps(cfg, catalog) {
		all = append(all, fmt.Sprintf("locales/%s.json: %s", g.lang, g.gaps))
	}
	return all, nil
}

type languageGap struct {
	lang string
	gaps locale.Gaps
}

// languageGaps looks at the languages that realms speak, each once. English is
// looked at everywhere: it stands in for what the others lack.
func languageGaps(cfg *config.Config, catalog *locale.Catalog) []languageGap {
	speak := []string{locale.Fallback}
	for _, r := range cfg.Realms() {
		for _, lang := range r.Locales {
			if !slices.Contains(speak, lang) {
				speak = append(speak, lang)
			}
		}
	}
	var found []languageGap
	for _, lang := range speak {
		if g := catalog.Gaps(lang); !g.None() {
			found = append(found, languageGap{lang, g})
		}
	}
	return found
}

func tellGaps(cfg *config.Config, catalog *locale.Catalog, log *slog.Logger) {
	for _, g := range languageGaps(cfg, catalog) {
		log.Warn("a language is incomplete, English is shown instead", "file", "locales/"+g.lang+".json", "gaps", g.gaps.String())
	}
}
