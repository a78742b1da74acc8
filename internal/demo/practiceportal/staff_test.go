package practiceportal

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAGuardianIsInvitedFromThePatientsPage(t *testing.T) {
	api, b, base := newWorld(t)
	api.staffed()
	b.Get(base + "/patients/" + patientID)
	if p := b.Click("Invite a parent or guardian"); p.Title() != "Invite a parent or guardian" || !p.Says("Mateo Rivera") || !p.Says("whoever reads its mail gets access") {
		t.Fatalf("form: %s", p.Body)
	}
	p := b.Send("Send invitation", map[string]string{"login_email": "nonsense", "ends_on": "tomorrow"})
	if p.Status != 422 || !p.Says(emailFormat) || !p.Says("Enter the given name") || !p.Says("Enter the family name") || !p.Says(inviteWords["relationship"]) ||
		!p.Says(inviteWords["authority"]) || !p.Says(inviteWords["starts_on"]) || p.Value("login_email") != "nonsense" || len(api.made) != 0 {
		t.Fatalf("mistakes: %d %s", p.Status, p.Body)
	}
	good := map[string]string{"given_name": "Inés", "family_name": "Rivera", "login_email": "tied@example.test", "relationship": "guardian", "authority": "limited", "ends_on": "2035-01-31", "locale": "es"}
	if p = b.Send("Send invitation", good); p.Status != 409 || !p.Says("tied to this patient already") || p.Value("relationship") != "guardian" || p.Value("locale") != "es" {
		t.Fatalf("tied: %d %s", p.Status, p.Body)
	}
	if p = b.Send("Send invitation", map[string]string{"login_email": "strange@example.test"}); p.Status != 422 || !p.Says(inviteWords["given_name"]) || p.Says("not a name") {
		t.Fatalf("name: %d %s", p.Status, p.Body)
	}
	if p = b.Send("Send invitation", map[string]string{"login_email": "rosa@maple.example.test"}); p.Status != 403 || p.Title() != "Invite a parent or guardian" || !strings.Contains(p.Body, `id="login_email-err"`) {
		t.Fatalf("own: %d %s", p.Status, p.Body)
	}
	if p = b.Send("Send invitation", map[string]string{"login_email": "ines@example.test"}); p.Title() != "Ana Rivera" || !p.Says("We have written to ines@example.test.") || !p.Says("family contact list") {
		t.Fatalf("done: %s", p.Body)
	}
	if fmt.Sprint(api.made) != "[map[authority:limited ends_on:2035-01-31 family_name:Rivera given_name:Inés locale:es login_email:ines@example.test relationship:guardian]]" {
		t.Errorf("asked for %v", api.made)
	}
	// Who may not is not offered it, and is told when they come all the same.
	api, b, base = newWorld(t)
	if p := b.Get(base + "/patients/" + patientID); p.Link("Invite a parent or guardian") != "" {
		t.Error("offered to somebody who may not")
	}
	if p := b.Get("/patients/" + patientID + "/invite"); p.Status != 403 || !p.Says("front desk or an administrator") {
		t.Errorf("%d %s", p.Status, p.Body)
	}
	if p := b.Get("/patients/0195713e-7d52-7c3f-9d0c-000000000000/invite"); p.Status != 404 {
		t.Errorf("another practice's patient: %d", p.Status)
	}
	_ = api
}

func TestAnInvitationAndAChangeAreTakenBack(t *testing.T) {
	api, b, base := newWorld(t)
	api.invited = true
	b.Get(base + "/associations/" + associationID)
	if p := b.Click("Take invitation back"); p.Title() != "Take the invitation back?" {
		t.Fatalf("form: %s", p.Body)
	}
	if p := b.Send("Take invitation back", nil); !p.Says("The invitation is taken back.") || api.invited {
		t.Errorf("done: %s", p.Body)
	}
	api.Lock()
	api.waiting = true
	api.Unlock()
	b.Get("/associations/" + associationID)
	b.Click("Cancel this change")
	if p := b.Send("Cancel the change", nil); !p.Says("The change is cancelled.") || api.waiting {
		t.Errorf("done: %s", p.Body)
	}
}

func TestTwoAdministratorsDoWithoutTheQuestion(t *testing.T) {
	api, b, base := newWorld(t)
	api.staffed()
	api.state = "sent"
	at := "/associations/" + associationID + "/password-resets/" + resetID
	b.Get(base + at)
	if p := b.Click("Do without the security question"); p.Title() != "Do without the security question?" || !p.Says("second administrator") || !p.Says("ana.rivera@example.test") {
		t.Fatalf("form: %s", p.Body)
	}
	if p := b.Send("Ask a colleague to agree", nil); p.Status != 422 || !p.Says(checkEmpty) || api.waiver != nil {
		t.Fatalf("empty: %d %s", p.Status, p.Body)
	}
	if p := b.Send("Ask a colleague to agree", map[string]string{"identity_check": "photo ID seen"}); p.URL.Path != at || !p.Says("A second administrator has to agree") || p.Link("Look at it and agree") != "" {
		t.Fatalf("asked: %s", p.Body)
	}
	if p := b.Get(at + "/waiver/approval"); p.Status != 403 || !p.Says("a colleague has to agree") {
		t.Errorf("oneself: %d %s", p.Status, p.Body)
	}
	// The colleague.
	api.Lock()
	api.waiver["requested_by_you"] = false
	api.Unlock()
	if p := b.Get("/associations/" + associationID); !p.Says("A colleague asks you to agree") {
		t.Errorf("association: %s", p.Body)
	}
	if p := b.Get(at); !p.Says("photo ID seen") {
		t.Errorf("link: %s", p.Body)
	}
	if p := b.Click("Look at it and agree"); p.Title() != "Agree to do without the security question?" || !p.Says("photo ID seen") || !p.Says("March 7, 2025") {
		t.Fatalf("form: %s", p.Body)
	}
	api.Lock()
	api.refuse = &problem{Status: 403, Code: "recent_role", Title: "Your role does not count for this yet", Detail: "It counts from Monday on."}
	api.Unlock()
	if p := b.Send("Agree", nil); p.Status != 403 || !p.Says("It counts from Monday on.") {
		t.Fatalf("refused: %d %s", p.Status, p.Body)
	}
	b.Get(at + "/waiver/approval")
	if p := b.Send("Agree", nil); p.URL.Path != at || !p.Says("The security question behind this link is not asked.") || !p.Says("Two administrators have agreed") {
		t.Fatalf("agreed: %s", p.Body)
	}
	if p := b.Get(at + "/waiver/approval"); p.URL.Path != at {
		t.Errorf("again: %s", p.URL)
	}
	// Who could not agree does not read how the colleague made sure.
	api, b, base = newWorld(t)
	api.state, api.waiver = "sent", map[string]any{"state": "requested", "requested_at": "2025-03-07T14:12:00Z", "identity_check": ""}
	if p := b.Get(base + at); !p.Says("Waiting for an administrator") || p.Link("Look at it and agree") != "" {
		t.Errorf("front desk: %s", p.Body)
	}
	if p := b.Get(at + "/waiver/approval"); p.Status != 403 {
		t.Errorf("front desk: %d", p.Status)
	}
}

func TestAnAdministratorLooksAfterTheStaff(t *testing.T) {
	api, b, base := newWorld(t)
	api.staffed()
	b.Get(base + "/signin")
	if p := b.Click("Staff"); p.Title() != "Staff" || !p.Says("Tom Becker") || !p.Says("Administrator (you)") {
		t.Fatalf("list: %s", p.Body)
	}
	if p := b.Click("Rosa Jimenez"); p.Link("Change roles") != "" || p.Link("Remove from the staff") != "" || !p.Says("another administrator can") {
		t.Fatalf("oneself: %s", p.Body)
	}
	for _, act := range []string{"roles", "remove", "unfreeze", "invitation"} {
		if p := b.Get("/staff/" + youID + "/" + act); p.Status != 403 {
			t.Errorf("%s of oneself: %d", act, p.Status)
		}
	}
	b.Get("/staff/" + memberID)
	if p := b.Click("Change roles"); p.Title() != "Change roles" || !p.Says("Tom Becker") {
		t.Fatalf("roles: %s", p.Body)
	}
	if p := b.Send("Save roles", map[string]string{"roles": ""}); p.Status != 422 || !p.Says(noRole) {
		t.Fatalf("none: %d %s", p.Status, p.Body)
	}
	api.Lock()
	api.members[0].version = 4
	api.Unlock()
	b.Get("/staff/" + memberID + "/roles")
	api.Lock()
	api.members[0].version = 5
	api.Unlock()
	if p := b.Send("Save roles", map[string]string{"roles": "front_desk provider"}); p.Status != 409 || !p.Says("Somebody else changed these roles") {
		t.Fatalf("changed meanwhile: %d %s", p.Status, p.Body)
	}
	if p := b.Send("Save roles", nil); p.Title() != "Tom Becker" || !p.Says("The roles are saved.") || !p.Says("Front desk, Provider") {
		t.Fatalf("saved: %s", p.Body)
	}
	api.Lock()
	api.members[0].frozen = true
	api.Unlock()
	b.Get("/staff/" + memberID)
	b.Click("Unfreeze")
	if p := b.Send("Unfreeze", nil); p.Status != 422 || !p.Says(checkEmpty) {
		t.Fatalf("no check: %d %s", p.Status, p.Body)
	}
	if p := b.Send("Unfreeze", map[string]string{"identity_check": "called back"}); !p.Says("The old password does not work any more") || fmt.Sprint(api.identity) != "[called back]" {
		t.Fatalf("unfrozen: %s", p.Body)
	}
	b.Click("Remove from the staff")
	api.Lock()
	api.refuse = &problem{Status: 409, Code: "last_administrator", Title: "The practice would have no administrator", Detail: "Make somebody else one first."}
	api.Unlock()
	if p := b.Send("Remove", nil); p.Status != 409 || !p.Says("Make somebody else one first.") {
		t.Fatalf("last: %d %s", p.Status, p.Body)
	}
	if p := b.Send("Remove", nil); p.Title() != "Staff" || !p.Says("Removed from the staff.") || p.Says("Tom Becker") {
		t.Errorf("removed: %s", p.Body)
	}
	if p := b.Get("/staff/" + memberID); p.Status != 404 {
		t.Errorf("afterwards: %d", p.Status)
	}
}

func TestStaffAreInvited(t *testing.T) {
	api, b, base := newWorld(t)
	api.staffed()
	api.members[0].state = "invited"
	api.elsewhere = true
	b.Get(base + "/staff")
	b.Click("Invite a member of staff")
	p := b.Send("Send invitation", nil)
	if p.Status != 422 || !p.Says("Choose the practice") || !p.Says(noRole) || !p.Says(emailFormat) {
		t.Fatalf("empty: %d %s", p.Status, p.Body)
	}
	fill := map[string]string{"practice_id": "p2", "given_name": "Stan", "family_name": "Neu", "login_email": "rosa@maple.example.test", "roles": "viewer provider"}
	if p = b.Send("Send invitation", fill); p.Status != 403 || !p.Says("This is your own address.") || p.Value("practice_id") != "p2" {
		t.Fatalf("oneself: %d %s", p.Status, p.Body)
	}
	p = b.Send("Send invitation", map[string]string{"login_email": "stan@maple.example.test"})
	if p.Title() != "Tom Becker" || !p.Says("We have written to stan@maple.example.test.") ||
		fmt.Sprint(api.made) != "[map[family_name:Neu given_name:Stan login_email:stan@maple.example.test practice_id:p2 roles:[provider viewer]]]" {
		t.Fatalf("%v: %s", api.made, p.Body)
	}
	b.Click("Send invitation again")
	if p = b.Send("Send invitation again", nil); !p.Says("The invitation was sent again.") || api.mails != 2 {
		t.Errorf("again: %s", p.Body)
	}
}

func TestWhoManagesNobodyIsTold(t *testing.T) {
	_, b, base := newWorld(t)
	b.Get(base + "/signin")
	if b.Page.Link("Staff") != "" {
		t.Error("the staff are offered to the front desk")
	}
	for _, at := range []string{"/staff", "/staff/invite"} {
		if p := b.Get(at); p.Status != 403 {
			t.Errorf("%s: %d", at, p.Status)
		}
	}
	if p := b.Get("/staff/" + memberID); p.Status != 404 {
		t.Errorf("a member: %d", p.Status)
	}
}

func TestWhatWasChosenSurvivesTheSignInThatStaffPagesAskFor(t *testing.T) {
	api, b, base := newWorld(t)
	api.staffed()
	api.op.AuthAge = time.Hour
	b.Get(base + "/staff/" + memberID + "/roles")
	api.Lock()
	api.needsFresh = true
	api.Unlock()
	p := b.Send("Save roles", map[string]string{"roles": "front_desk provider"})
	if p.Title() != "Change roles" || !p.Says("You have signed in again.") || strings.Count(p.Body, " checked>") != 2 || api.members[0].roles[0] != "viewer" {
		t.Fatalf("after the step-up: %s", p.Body)
	}
	if p = b.Send("Save roles", nil); !p.Says("Front desk, Provider") {
		t.Errorf("saved: %s", p.Body)
	}
}

func TestTooOftenSaysWhenToComeBack(t *testing.T) {
	for _, c := range []struct {
		after  time.Duration
		detail string
		says   string
	}{
		{0, "Wait for the seconds that Retry-After says.", "You have done this often in a short time. Wait a few minutes and try again."},
		{50 * time.Second, "", "Try again in a minute."},
		{20 * time.Minute, "", "Try again in 20 minutes."},
		{23 * time.Hour, "The practice has sent enough invitations for today.", "The practice has sent enough invitations for today. Try again in 23 hours."},
	} {
		p := &problem{Status: http.StatusTooManyRequests, Detail: c.detail, retryAfter: c.after}
		if got := p.later(); !strings.Contains(got, c.says) || strings.Contains(got, "Retry-After") {
			t.Errorf("%s: %q", c.after, got)
		}
	}
}
