package account

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/web"
)

const (
	emailPath = "/account/email"
	// emailCookie and freezeCookie are the kinds of the cookies that lead from
	// the POST of a link to the page that decides, and to its last one. They are
	// good for nothing else.
	emailCookie  = "email"
	freezeCookie = "freeze"
)

// emailView is templates/pages/account/email.html.
type emailView struct {
	Form         web.Form
	Now, Waiting string // the login email of today, and one that waits for its link
}

func (h *Handler) emailPage(c *gin.Context) error {
	v, ok, err := h.Confirmed(c, emailPath)
	if !ok {
		return err
	}
	return h.showEmail(c, http.StatusOK, v, web.Form{})
}

func (h *Handler) showEmail(c *gin.Context, status int, v Visit, f web.Form) error {
	waiting, err := h.waitingEmail(c, v)
	if err != nil {
		return err
	}
	return h.pages.Render(c, status, "account/email.html", emailView{Form: f, Now: v.Account.LoginEmail, Waiting: waiting})
}

// waitingEmail is the address that the person has asked for, or "".
func (h *Handler) waitingEmail(c *gin.Context, v Visit) (string, error) {
	e, err := h.service.emailChangeOf(c.Request.Context(), v.Realm, v.Account.ID, OwnWish)
	if errors.Is(err, ErrEmailChange) {
		return "", nil
	}
	return e.NewEmail, err
}

func (h *Handler) changeEmail(c *gin.Context) error {
	v, ok, err := h.Confirmed(c, emailPath)
	if !ok {
		return err
	}
	f := web.NewForm(c, "new-email")
	err = h.service.RequestEmailChange(c.Request.Context(), v.Realm, v.Account, f.Value("new-email"), byPerson(c, v.Account))
	var slow *Throttled
	switch {
	case err == nil:
		c.Redirect(http.StatusSeeOther, v.Realm.Path+"/account/email/sent")
		return nil
	case errors.Is(err, ErrEmail):
		f.Add("new-email", "email.error.format")
	case errors.Is(err, ErrSameEmail):
		f.Add("new-email", "account.email.error.same")
	case errors.Is(err, ErrTooMany), errors.As(err, &slow):
		f.Add("", "account.email.error.too_many")
	case errors.Is(err, ErrVersion):
		return h.sessionOver(c, v.Realm, emailPath)
	default:
		return err
	}
	return h.showEmail(c, http.StatusUnprocessableEntity, v, f)
}

// emailSentView is templates/pages/account/email_sent.html.
type emailSentView struct {
	New, Now string
	Hours    int
}

func (h *Handler) emailSentPage(c *gin.Context) error {
	v, ok, err := h.SignedIn(c, "/account/email/sent")
	if !ok {
		return err
	}
	waiting, err := h.waitingEmail(c, v)
	if err != nil {
		return err
	}
	if waiting == "" {
		c.Redirect(http.StatusSeeOther, v.Realm.Path+"/account")
		return nil
	}
	return h.pages.Render(c, http.StatusOK, "account/email_sent.html", emailSentView{New: waiting, Now: v.Account.LoginEmail,
		Hours: int(v.Realm.Lifetimes.EmailLink.Hours())})
}

// cancelEmail gives up a change. It takes nothing away, so an open session is
// enough.
func (h *Handler) cancelEmail(c *gin.Context) error {
	v, ok, err := h.SignedIn(c, "/account")
	if !ok {
		return err
	}
	err = h.service.CancelEmailChange(c.Request.Context(), v.Realm, v.Account.ID, OwnWish, byPerson(c, v.Account))
	if err != nil && !errors.Is(err, ErrEmailChange) { // over already is as good
		return err
	}
	c.Redirect(http.StatusSeeOther, v.Realm.Path+"/account?done=email_cancelled")
	return nil
}

// emailLinkView is templates/pages/account/email_link.html.
type emailLinkView struct{ ByStaff bool }

// emailLinkPage looks and changes nothing: mail scanners open every link.
func (h *Handler) emailLinkPage(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	token, err := secret.ParseToken(c.Param("token"))
	if err != nil {
		return h.linkGone(c)
	}
	e, err := h.service.emailChangeByToken(c.Request.Context(), r, token)
	if errors.Is(err, ErrEmailChange) {
		return h.linkGone(c)
	}
	if err != nil {
		return err
	}
	if err := h.speakTo(c, r, e); err != nil {
		return err
	}
	return h.pages.Render(c, http.StatusOK, "account/email_link.html", emailLinkView{ByStaff: e.Origin == StaffsWish})
}

func (h *Handler) openEmailLink(c *gin.Context) error {
	return link{h.service.openEmailLink, ErrEmailChange, emailCookie, "/email/confirm", h.linkGone}.swap(c)
}

// emailConfirmView is templates/pages/account/email_confirm.html: at the new
// address, and, for what staff asked for, at the present one.
type emailConfirmView struct {
	Form     web.Form
	New      string
	Practice string
	ByStaff  bool
}

// deciding finds the change that this browser has come to from its link, or
// answers that it is over.
func (h *Handler) deciding(c *gin.Context) (r *realm.Realm, flow secret.Token, e EmailChange, ok bool, err error) {
	r = realm.From(c.Request.Context())
	flow, found := flowOf(c, r, emailCookie)
	if !found {
		return r, flow, e, false, h.linkGone(c)
	}
	e, err = h.service.emailChangeByFlow(c.Request.Context(), r, flow)
	if errors.Is(err, ErrEmailChange) {
		return r, flow, e, false, h.linkGone(c)
	}
	if err == nil {
		err = h.speakTo(c, r, e)
	}
	return r, flow, e, err == nil, err
}

func (h *Handler) emailConfirmPage(c *gin.Context) error {
	r, _, e, ok, err := h.deciding(c)
	if !ok {
		return err
	}
	return h.showEmailConfirm(c, http.StatusOK, r, e, web.Form{})
}

func (h *Handler) showEmailConfirm(c *gin.Context, status int, r *realm.Realm, e EmailChange, f web.Form) error {
	return h.pages.Render(c, status, "account/email_confirm.html", emailConfirmView{Form: f, New: e.shown(),
		Practice: practiceName(c, r, e), ByStaff: e.Origin == StaffsWish})
}

// shown is the new address as its pages show it. Whoever decides about what
// staff want has to tell a strange address from the own one, and reads the
// present mailbox. The other link may have gone to a stranger by a typing
// mistake.
func (e EmailChange) shown() string {
	if e.Origin == StaffsWish {
		return e.NewEmail
	}
	return MaskEmail(e.NewEmail)
}

// practiceName is who wants the change, for the letter's reader.
func practiceName(c *gin.Context, r *realm.Realm, e EmailChange) string {
	if e.Practice != "" {
		return e.Practice
	}
	return r.Brand.In(web.Lang(c)).Name
}

// speakTo turns to the language of the account that a link is about.
func (h *Handler) speakTo(c *gin.Context, r *realm.Realm, e EmailChange) error {
	a, err := h.service.Find(c.Request.Context(), r.Name, e.AccountID)
	if err != nil {
		return err
	}
	web.PreferLang(c, a.Locale)
	return nil
}

// linkGone is the one page for a link of a notice or of a new address that does
// not work, whatever the reason.
func (h *Handler) linkGone(c *gin.Context) error {
	return h.pages.Render(c, http.StatusGone, "account/link_gone.html", nil)
}

// confirmEmail is the answer: yes or no, and neither is chosen beforehand. There
// are mail scanners that follow the way from a link and send what they find.
func (h *Handler) confirmEmail(c *gin.Context) error {
	r, flow, e, ok, err := h.deciding(c)
	if !ok {
		return err
	}
	switch c.PostForm("decision") {
	case "yes":
	case "no":
		if e.Origin == StaffsWish {
			return h.refuseEmail(c, r, flow)
		}
		return h.unchanged(c)
	default:
		return h.showEmailConfirm(c, http.StatusUnprocessableEntity, r, e, undecided())
	}
	_, err = h.service.useEmailChange(c.Request.Context(), r, flow, byStranger(c))
	switch {
	case errors.Is(err, ErrEmailChange), errors.Is(err, ErrNotFound):
		return h.linkGone(c)
	case errors.Is(err, ErrEmailTaken):
		return h.pages.Render(c, http.StatusConflict, "account/email_taken.html", nil)
	case err != nil:
		return err
	}
	c.Redirect(http.StatusSeeOther, r.Path+"/email/done")
	return nil
}

// undecided is the form of a page that asks, sent without an answer.
func undecided() web.Form {
	var f web.Form
	f.Add("decision", "email_confirm.error.choose")
	return f
}

// unchanged is the page after a no that needs nothing to be done.
func (h *Handler) unchanged(c *gin.Context) error {
	return h.pages.Render(c, http.StatusOK, "account/unchanged.html", nil)
}

// refuseEmail is "that was not me" to what staff asked for. It leads to the page
// that freezes the account.
func (h *Handler) refuseEmail(c *gin.Context, r *realm.Realm, flow secret.Token) error {
	freeze, err := h.service.refuseEmailChange(c.Request.Context(), r, flow, byStranger(c))
	if errors.Is(err, ErrEmailChange) || errors.Is(err, ErrNotFound) {
		return h.linkGone(c)
	}
	if err != nil {
		return err
	}
	setFlow(c, r, freezeCookie, freeze)
	c.Redirect(http.StatusSeeOther, r.Path+"/freeze/confirm")
	return nil
}

// emailDoneView is templates/pages/account/email_done.html.
type emailDoneView struct {
	New  string // as the page before showed it
	Next string
}

func (h *Handler) emailDonePage(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	flow, found := flowOf(c, r, emailCookie)
	if !found {
		return h.linkGone(c)
	}
	e, lang, err := h.service.confirmedEmailChange(c.Request.Context(), r, flow)
	if errors.Is(err, ErrEmailChange) {
		return h.linkGone(c)
	}
	if err != nil {
		return err
	}
	web.PreferLang(c, lang)
	return h.pages.Render(c, http.StatusOK, "account/email_done.html",
		emailDoneView{New: e.shown(), Next: SignInLink(r, "")})
}

// byStranger is whoever holds a link, in any browser.
func byStranger(c *gin.Context) By {
	return By{Actor: "anonymous", IP: ip(c), Device: DeviceName(web.UserAgent(c))}
}
