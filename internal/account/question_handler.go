package account

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/web"
)

const questionPath = "/account/question"

// questionPage never shows which question is asked now: it stands behind a
// live reset link and nowhere else, so nothing is chosen in the list either.
func (h *Handler) questionPage(c *gin.Context) error {
	_, ok, err := h.Confirmed(c, questionPath)
	if !ok {
		return err
	}
	return h.showQuestion(c, http.StatusOK, web.Form{})
}

// showQuestion is templates/pages/account/question.html.
func (h *Handler) showQuestion(c *gin.Context, status int, f web.Form) error {
	return h.pages.Render(c, status, "account/question.html", questionView{Form: f, Questions: h.questionOptions(c)})
}

func (h *Handler) changeQuestion(c *gin.Context) error {
	v, ok, err := h.Confirmed(c, questionPath)
	if !ok {
		return err
	}
	f := web.NewForm(c, "question")
	err = h.service.SetQuestion(c.Request.Context(), v.Realm, v.Account, f.Value("question"), c.PostForm("answer"), byPerson(c, v.Account))
	var slow *Throttled
	switch {
	case err == nil:
		c.Redirect(http.StatusSeeOther, v.Realm.Path+"/account?done=question")
		return nil
	case errors.As(err, &slow):
		return web.Busy(slow.Wait, err)
	case errors.Is(err, ErrVersion):
		return h.sessionOver(c, v.Realm, questionPath)
	case !addAnswerProblem(&f, err):
		return err
	}
	return h.showQuestion(c, http.StatusUnprocessableEntity, f)
}

// questionOptions is the list to choose from, in the language of the page.
func (h *Handler) questionOptions(c *gin.Context) []web.Option {
	lang := web.Lang(c)
	options := []web.Option{{Text: h.service.catalog.T(lang, "activation.question.choose")}}
	for _, key := range Questions() {
		options = append(options, web.Option{Value: key, Text: h.service.catalog.T(lang, QuestionSentence(key))})
	}
	return options
}

// addAnswerProblem says in a form why a question or an answer was not accepted,
// and reports whether err was about that.
func addAnswerProblem(f *web.Form, err error) bool {
	switch {
	case errors.Is(err, ErrQuestion):
		f.Add("question", "question.error.choose")
	case errors.Is(err, ErrAnswerEmpty):
		f.Add("answer", "question.error.empty")
	case errors.Is(err, ErrAnswerLong):
		f.Add("answer", "question.error.long")
	case errors.Is(err, ErrAnswerObvious):
		f.Add("answer", "question.error.obvious")
	default:
		return false
	}
	return true
}
