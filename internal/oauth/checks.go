package oauth

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/session"
)

// step is what has to be asked of the person next.
type step int

const (
	stepNone step = iota
	stepSignIn
	stepSecond // a second proof, in the session there is
	stepEnrol  // the person has none: set one up
	stepConsent
)

// Pages that a second proof is asked on.
const (
	pathSecond = "/signin/second"
	pathEnrol  = "/signin/enrol"
)

// Factors tells who could prove more than a password. factor has it.
type Factors interface {
	HasSecond(ctx context.Context, accountID uuid.UUID) (bool, error)
}

// situation is what the checks look at: stored state, never the path a browser
// took to get here.
type situation struct {
	now     time.Time
	request *authorization
	session *session.Session // nil: nobody is signed in
	subject string           // how the client knows who is signed in

	offered   []string // the levels of sign-in there are here
	hasSecond bool     // the person could prove more; looked up only where it matters
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
	{"it is the person the client means", rightPerson},
	{"signed in as strongly as the realm demands and the client asks", strongly},
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
	if age == 0 || s.now.Sub(s.provedAt()) > age {
		return stepSignIn
	}
	return stepNone
}

// strongly is what the realm demands of everybody's sign-in by now, an essential
// acr of the claims parameter (OpenID Connect Core §5.5.1.1), and acr_values.
// The latter is a wish (RFC 9470 §4): a person who
// has a second factor is asked for it, of others the token tells what it came
// to, and so of a request that may show nothing.
func strongly(s situation) step {
	switch {
	case !s.strongEnough() && !slices.ContainsFunc(s.request.essentialACR, s.canGain):
		return stepSignIn
	case (s.session.Overdue || !s.strongEnough()) && !s.hasSecond:
		return stepEnrol
	case s.session.Overdue || !s.strongEnough():
		return stepSecond
	case !s.asWished() && !s.request.silent() && s.hasSecond:
		return stepSecond
	}
	return stepNone
}

func (s situation) strongEnough() bool {
	return len(s.request.essentialACR) == 0 || slices.ContainsFunc(s.request.essentialACR, s.reaches)
}

// asWished looks at the most preferred of the values that exist here.
func (s situation) asWished() bool {
	wishes := s.request.wishedACRs()
	first := slices.IndexFunc(wishes, func(acr string) bool { return slices.Contains(s.offered, acr) })
	return first < 0 || s.reaches(wishes[first]) || !s.canGain(wishes[first])
}

func (s situation) reaches(acr string) bool { return session.Reaches(s.session.ACR, acr) }

// canGain reports whether a second proof would lift this session to a level.
func (s situation) canGain(acr string) bool {
	return slices.Contains(s.offered, session.TwoFactors) && !s.reaches(session.TwoFactors) &&
		session.Reaches(session.TwoFactors, acr)
}

// acr is what the client is told of the sign-in. A client that insists on one
// of some values gets one of these: the strongest that was reached.
func (s situation) acr() string {
	told := s.session.ACR
	if essential := s.request.essentialACR; len(essential) > 0 && !slices.Contains(essential, told) {
		for _, acr := range essential {
			if s.reaches(acr) && (told == s.session.ACR || session.Reaches(acr, told)) {
				told = acr
			}
		}
	}
	return told
}

// wishedACRs is acr_values, or the acr of the claims parameter that is not
// essential, or what the client registered, the most preferred first (OpenID
// Connect Registration §2: default_acr_values).
func (a *authorization) wishedACRs() []string {
	switch {
	case a.form.Get("acr_values") != "":
		return a.acrs
	case len(a.essentialACR) > 0:
		return nil
	case a.claims != nil:
		acr := a.claims.IDToken["acr"]
		if wishes := acr.texts(); len(wishes) > 0 {
			return wishes
		}
	}
	return a.acrs
}

// look finds out what the checks need beyond the session. Only a request that
// asks for more than the session has costs a query.
func (p *Provider) look(ctx context.Context, s *situation) error {
	s.offered = p.acrs
	if s.session == nil || p.factors == nil || s.strongEnough() && s.asWished() && !s.session.Overdue {
		return nil
	}
	var err error
	if s.hasSecond, err = p.factors.HasSecond(ctx, s.session.AccountID); err != nil {
		return fmt.Errorf("find second factors: %w", err)
	}
	return nil
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

// provedAt is when the person proved the password or a passkey, and something
// that clients are told as auth_time. A code that was asked for on top moves
// the second alone, a password typed in My Account the first: neither stands
// for a sign-in.
func (s situation) provedAt() time.Time { return earlier(s.session.AuthTime, s.session.ConfirmedAt) }

// freshForThis reports whether the person signed in because of this request.
func (s situation) freshForThis() bool {
	return s.request.flow != nil && !s.provedAt().Before(s.request.flow.createdAt)
}

// agreedHere reports whether this person has agreed to this very request.
func (s situation) agreedHere() bool {
	flow := s.request.flow
	return flow != nil && flow.consentedBy != nil && *flow.consentedBy == s.session.AccountID
}
