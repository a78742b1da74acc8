package practiceportal

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAFrozenAccountIsOpenedAfterACheck(t *testing.T) {
	api, b, base := newWorld(t)
	api.frozen, api.factors = true, true
	p := b.Get(base + "/associations/" + associationID)
	if !p.Says("Frozen") || !p.Says("since Friday, March 7, 2025, 9:12 AM EST (UTC−5)") || p.Link("Send invitation again") != "" {
		t.Fatalf("association: %s", p.Body)
	}
	if p = b.Click("Unfreeze"); p.Title() != "Unfreeze the account?" || !p.Says("ana.rivera@example.test") {
		t.Fatalf("form: %s", p.Body)
	}
	if p = b.Send("Unfreeze", nil); p.Status != 422 || !p.Says("Enter how you made sure of the person") || !api.frozen {
		t.Fatalf("empty: %d %s", p.Status, p.Body)
	}
	p = b.Send("Unfreeze", map[string]string{"identity_check": "photo ID seen"})
	if p.Title() != "Ana Rivera" || !p.Says("The account is open again.") || p.Link("Unfreeze") != "" {
		t.Fatalf("done: %s", p.Body)
	}
	if p = b.Click("Remove second step"); p.Title() != "Remove the second step?" {
		t.Fatalf("second step: %s", p.Body)
	}
	if p = b.Send("Remove second step", map[string]string{"identity_check": "called back"}); !p.Says("The second step is removed.") || p.Says("Set up") {
		t.Errorf("removed: %s", p.Body)
	}
	if fmt.Sprint(api.identity) != "[photo ID seen called back]" {
		t.Errorf("checks %q", api.identity)
	}
	if p = b.Get("/associations/" + associationID + "/unfreeze"); p.Status != 403 {
		t.Errorf("once more: %d", p.Status)
	}
}

func TestItIsSaidWhoElseCanUnfreeze(t *testing.T) {
	api, b, base := newWorld(t)
	api.frozen, api.stuck = true, "You have changed the login email a short while ago."
	p := b.Get(base + "/associations/" + associationID)
	if !p.Says(api.stuck) || p.Link("Unfreeze") != "" {
		t.Errorf("association: %s", p.Body)
	}
}

func TestAnInvitationIsSentAgain(t *testing.T) {
	api, b, base := newWorld(t)
	api.invited = true
	p := b.Get(base + "/associations/" + associationID)
	if !p.Says("Invited, not set up yet") || !p.Says("Sent Friday, March 7, 2025, 9:12 AM EST (UTC−5)") {
		t.Fatalf("association: %s", p.Body)
	}
	b.Click("Send invitation again")
	api.Lock()
	api.refuse = &problem{Status: 409, Code: "invited_just_now", Title: "An invitation was sent a moment ago"}
	api.Unlock()
	if p = b.Send("Send invitation again", nil); p.Status != 409 || !p.Says("An invitation was sent a moment ago") {
		t.Fatalf("refused: %d %s", p.Status, p.Body)
	}
	if p = b.Send("Send invitation again", nil); !p.Says("The invitation was sent again.") || api.mails != 1 {
		t.Errorf("%d mails: %s", api.mails, p.Body)
	}
}

func TestWhatWasTypedSurvivesTheSignInThatHelpAsksFor(t *testing.T) {
	api, b, base := newWorld(t)
	api.frozen, api.op.AuthAge = true, time.Hour
	b.Get(base + "/associations/" + associationID + "/unfreeze")
	api.Lock()
	api.needsFresh = true
	api.Unlock()
	p := b.Send("Unfreeze", map[string]string{"identity_check": "photo ID seen"})
	if p.Title() != "Unfreeze the account?" || !p.Says("You have signed in again.") || !strings.Contains(p.Body, "photo ID seen") || !api.frozen {
		t.Fatalf("after the step-up: %d %s", p.Status, p.Body)
	}
	if p = b.Send("Unfreeze", nil); !p.Says("The account is open again.") {
		t.Errorf("%s", p.Body)
	}
}

func TestAChangeThatWaitsForTheGuardianIsSaid(t *testing.T) {
	_, b, base := newWorld(t)
	b.Get(base + "/associations/" + associationID + "/login-email")
	p := b.Send("Save login email", map[string]string{"login_email": "shared@example.test", "reason": "asked in person"})
	if !p.Says("The login email has not changed yet.") || !p.Says("The guardian was asked for permission by mail.") ||
		!p.Says("Waiting for the guardian until") || p.Says("The login email is now") {
		t.Errorf("%s", p.Body)
	}
}
