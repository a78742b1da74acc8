package oauth

import (
	"slices"
	"time"

	"github.com/portico-id/portico/internal/session"
)

// step is what has to be asked of the person next.
type step int

const (
	stepNone step = iota
	stepSignIn
	stepConsent
)

// situation is what the checks look at: stored state, never the path a browser
// took to get here.
type situation struct {
	now     time.Time
	request *authorization
	session *session.Session // nil: nobody is signed in
	subject string           // how the client knows who is signed in
}

// checks decide, in this order, what comes next. Pages never call each other:
// each leads back here, and a check that is satisfied stays silent.
var checks = []struct {
	name string
	asks func(situation) step
}{
	{"somebody is signed in", signedIn},
	{"signed in again, if the client wants that", signedInAgain},
	{"signed in recently enough", recentlyEnough},
	{"signed in as strongly as the client insists", strongly},
	{"it is the person the client means", rightPerson},
	{"consent was given, if it is asked for each time", consentAgain},
}

func next(s situation) step {
	for _, check := range checks {
		if step := check.asks(s); step != stepNone {
			return step
		}
	}
	return stepNone
}

func signedIn(s situation) step {
	if s.session == nil {
		return stepSignIn
	}
	return stepNone
}

// signedInAgain is prompt=login and select_account: the sign-in has to be
// younger than the request that asked for it (OpenID Connect Core §3.1.2.1).
func signedInAgain(s situation) step {
	if (s.request.asks("login") || s.request.asks("select_account")) && !s.freshForThis() {
		return stepSignIn
	}
	return stepNone
}

// recentlyEnough is max_age. Zero asks like prompt=login; a sign-in made for
// this very request satisfies any value.
func recentlyEnough(s situation) step {
	age := s.request.maxAge
	if age == noMaxAge || s.freshForThis() {
		return stepNone
	}
	if age == 0 || s.now.Sub(s.session.AuthTime) > age {
		return stepSignIn
	}
	return stepNone
}

// strongly is an essential acr of the claims parameter (OpenID Connect Core
// §5.5.1.1). acr_values is only a wish: the ID token tells what it came to.
func strongly(s situation) step {
	if !s.strongEnough() {
		return stepSignIn
	}
	return stepNone
}

func (s situation) strongEnough() bool {
	return len(s.request.essentialACR) == 0 || slices.Contains(s.request.essentialACR, s.session.ACR)
}

// rightPerson is id_token_hint: somebody else in front of the browser has to
// sign in as the person that the client knows.
func rightPerson(s situation) step {
	if s.request.hintSubject != "" && s.request.hintSubject != s.subject {
		return stepSignIn
	}
	return stepNone
}

// consentAgain is prompt=consent. Consent that is remembered is looked up
// where the grant is stored.
func consentAgain(s situation) step {
	if s.request.asks("consent") && !s.agreedHere() {
		return stepConsent
	}
	return stepNone
}

// freshForThis reports whether the person signed in because of this request.
func (s situation) freshForThis() bool {
	return s.request.flow != nil && !s.session.AuthTime.Before(s.request.flow.createdAt)
}

// agreedHere reports whether this person has agreed to this very request.
func (s situation) agreedHere() bool {
	flow := s.request.flow
	return flow != nil && flow.consentedBy != nil && *flow.consentedBy == s.session.AccountID
}
