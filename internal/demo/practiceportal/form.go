package practiceportal

import (
	"net/http"
	"strings"

	"github.com/portico-id/portico/internal/demo/look"
)

// problems are the sentences about a form that was not accepted, in the order
// of its fields.
type problems []look.Problem

func (p *problems) general(text string)      { *p = append(*p, look.Problem{Text: text}) }
func (p *problems) field(field, text string) { *p = append(*p, look.Problem{Field: field, Text: text}) }

// unless adds the sentence when the field holds nothing.
func (p *problems) unless(ok bool, field, text string) {
	if !ok {
		p.field(field, text)
	}
}

// refused turns the API's refusal of a form into sentences: those of a field
// from the page's own words, others from the API's. ok is false when the
// refusal is not about the form.
func (p *problems) refused(refusal *problem, words map[string]string, order ...string) (status int, ok bool) {
	switch refusal.Status {
	case http.StatusConflict:
		p.general(refusal.words())
		return http.StatusConflict, true
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		for _, field := range order {
			if refusal.about(field) {
				p.field(field, words[field])
			}
		}
		if len(*p) == 0 {
			p.general(refusal.words())
		}
		return http.StatusUnprocessableEntity, true
	}
	return 0, false
}

func (v *visit) sent(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }

// looksLikeEmail keeps a slip of the finger from being sent; the API judges.
func looksLikeEmail(s string) bool {
	at := strings.IndexByte(s, '@')
	return at > 0 && at < len(s)-1 && strings.Count(s, "@") == 1 && !strings.ContainsAny(s, " \t")
}

const (
	checkEmpty = "Enter how you made sure of the person"
	checkLong  = "Enter at most 500 characters"
)
