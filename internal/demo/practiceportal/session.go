package practiceportal

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/portico-id/portico/internal/demo/look"
	"github.com/portico-id/portico/internal/demo/relyingparty"
)

func (p *Portal) home(v *visit) error {
	if v.user == nil {
		return v.render(http.StatusOK, "landing.html", &look.Page{Title: "Practice Portal"})
	}
	name := v.user.GivenName
	if name == "" {
		name = v.user.Name
	}
	view := struct {
		Email  string
		Staffs bool
	}{v.user.Email, v.anywhere(func(p perms) bool { return p.ManageStaff }, true)}
	return v.render(http.StatusOK, "home.html", &look.Page{Title: "Hello, " + name, Wide: true, View: view})
}

// account asks the provider who the person is now: a grant that has ended
// shows here too.
func (p *Portal) account(v *visit) error {
	user, err := p.party.UserInfo(v.r.Context(), v.session)
	if errors.Is(err, relyingparty.ErrSignInAgain) {
		return err
	}
	if err != nil {
		p.log.Warn("practice portal could not ask who the person is", "error", err)
		user = v.user
	}
	view := struct {
		Name, Email, SignedIn, AccountURL, PasswordURL string
		Practices                                      []membership
	}{
		Name: user.Name, Email: user.Email,
		AccountURL: p.party.Issuer() + "/account", PasswordURL: p.party.Issuer() + "/account/password",
	}
	if !user.AuthTime.IsZero() {
		view.SignedIn = look.Moment("en", user.AuthTime, p.zone)
	}
	// Practices and roles are a comfort: without an answer the page does without.
	if who, err := v.me(); errors.Is(err, relyingparty.ErrSignInAgain) {
		return err
	} else if err == nil {
		view.Practices = who.Practices
	}
	return v.render(http.StatusOK, "account.html", &look.Page{Title: "My Account", Wide: true, View: view})
}

func (p *Portal) signIn(v *visit) error {
	i, ok := p.party.Initiated(v.r.URL.Query())
	if !ok {
		return v.failure(http.StatusBadRequest, "We do not know that sign-in service", "Sign in from here instead.")
	}
	return p.party.Begin(v.w, v.r, relyingparty.Begin{ReturnTo: i.ReturnTo, LoginHint: i.LoginHint, Locales: "en"})
}

// signInPosted is a sign-in that another site's form starts.
func (p *Portal) signInPosted(v *visit) error {
	target := p.party.PostedInitiation(v.w, v.r)
	if target == "" {
		return v.failure(http.StatusBadRequest, "We do not know that sign-in service", "Sign in from here instead.")
	}
	http.Redirect(v.w, v.r, target, http.StatusSeeOther)
	return nil
}

func (p *Portal) callback(v *visit) error {
	returnTo, err := p.party.Finish(v.w, v.r)
	switch {
	case errors.Is(err, relyingparty.ErrState):
		if v.user != nil { // the answer arrived twice: Back, or a reload
			http.Redirect(v.w, v.r, "/", http.StatusSeeOther)
			return nil
		}
		return v.failure(http.StatusBadRequest, "This sign-in timed out", "It took too long, or it was started in another browser. Sign in again.")
	case errors.Is(err, relyingparty.ErrDenied):
		p.log.Info("sign-in was not allowed", "error", err)
		if v.user != nil {
			return v.failure(http.StatusForbidden, "That needed a fresh sign-in", "The sign-in was not finished, so nothing was changed.")
		}
		return v.failure(http.StatusForbidden, "You are not signed in", "The sign-in was not finished. You can try again.")
	case errors.Is(err, relyingparty.ErrProvider):
		p.log.Error("practice portal could not sign somebody in", "error", err)
		return v.failure(http.StatusBadGateway, "Signing in does not work right now", "The sign-in service does not answer as it should. Try again in a few minutes.")
	case err != nil:
		return err
	}
	http.Redirect(v.w, v.r, returnTo, http.StatusSeeOther)
	return nil
}

func (p *Portal) signOut(v *visit) error {
	if v.user != nil && !v.session.CheckCSRF(v.r) {
		return v.failure(http.StatusForbidden, "This page timed out", "You are still signed in. Go back to the start and sign out there.")
	}
	http.Redirect(v.w, v.r, p.party.SignOut(v.w, v.r, "en"), http.StatusSeeOther)
	return nil
}

func (p *Portal) signedOut(v *visit) error {
	return v.render(http.StatusOK, "signedout.html", &look.Page{Title: "You are signed out"})
}

// associationURL is the page of an association, or one below it.
func associationURL(id string, below ...string) string {
	target := "/associations/" + url.PathEscape(id)
	for _, part := range below {
		target += "/" + url.PathEscape(part)
	}
	return target
}
