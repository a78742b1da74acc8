package admin

import (
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/practice"
)

// The documents of the API. Identifiers are UUIDs, times RFC 3339, dates
// YYYY-MM-DD or empty.

type practiceView struct {
	ID   uuid.UUID `json:"id" format:"uuid"`
	Name string    `json:"name" example:"Oak Street Pediatrics"`
}

type listingView struct {
	ID           uuid.UUID `json:"id" format:"uuid"`
	Relationship string    `json:"relationship" enum:"mother,father,parent,guardian,self,other"`
	GuardianName string    `json:"guardian_name" example:"Rosa Cruz"`
	LoginEmail   string    `json:"login_email" example:"rosa.cruz@example.test"`
	Access       string    `json:"access" enum:"active,invited,frozen,disabled,none" doc:"State of the guardian's way into the portal; none without current portal access"`
}

type patientView struct {
	ID            uuid.UUID     `json:"id" format:"uuid"`
	Practice      practiceView  `json:"practice"`
	AccountNumber string        `json:"account_number" example:"AC-1001" doc:"In the practice's health-record system"`
	GivenName     string        `json:"given_name" example:"Mía"`
	FamilyName    string        `json:"family_name" example:"Cruz"`
	BirthDate     string        `json:"birth_date" example:"2019-05-17"`
	Associations  []listingView `json:"associations" nullable:"false"`
}

type patientPage struct {
	Items      []patientView `json:"items" nullable:"false"`
	NextCursor string        `json:"next_cursor" doc:"Pass it as cursor to get the next page; empty on the last page"`
}

type briefPatientView struct {
	ID            uuid.UUID    `json:"id" format:"uuid"`
	GivenName     string       `json:"given_name" example:"Mía"`
	FamilyName    string       `json:"family_name" example:"Cruz"`
	AccountNumber string       `json:"account_number" example:"AC-1001"`
	Practice      practiceView `json:"practice"`
}

type guardianView struct {
	Name           string     `json:"name" example:"Rosa Cruz"`
	LoginEmail     string     `json:"login_email" example:"rosa.cruz@example.test"`
	EmailVerified  bool       `json:"email_verified" doc:"The guardian has used a link that was sent to the address"`
	State          string     `json:"state" enum:"invited,active,disabled"`
	FrozenAt       *time.Time `json:"frozen_at" nullable:"true" doc:"Since when nobody signs in, because somebody said “this wasn't me”; null when the account is not frozen"`
	InvitedAt      *time.Time `json:"invited_at" nullable:"true" doc:"When the invitation was sent that works now; null when none does"`
	SecondFactors  bool       `json:"second_factors" doc:"Whether the account has any"`
	LastSignedInAt *time.Time `json:"last_signed_in_at" nullable:"true"`
	Locale         string     `json:"locale" example:"es" doc:"Language of pages and letters; empty: the realm's"`
}

type canView struct {
	ChangeLoginEmail       bool `json:"change_login_email"`
	CancelLoginEmailChange bool `json:"cancel_login_email_change"`
	ResetPassword          bool `json:"reset_password"`
	SendInvitation         bool `json:"send_invitation" doc:"Again"`
	CancelInvitation       bool `json:"cancel_invitation"`
	Unfreeze               bool `json:"unfreeze"`
	RemoveSecondFactors    bool `json:"remove_second_factors"`
}

// emailChangeView is a change that this practice has asked for.
type emailChangeView struct {
	State       string    `json:"state" enum:"waiting_for_guardian"`
	LoginEmail  string    `json:"login_email" example:"rosa.new@example.test" doc:"The new one"`
	RequestedAt time.Time `json:"requested_at"`
	ExpiresAt   time.Time `json:"expires_at"`
}

type associationView struct {
	ID           uuid.UUID        `json:"id" format:"uuid"`
	Patient      briefPatientView `json:"patient"`
	Relationship string           `json:"relationship" enum:"mother,father,parent,guardian,self,other"`
	Authority    string           `json:"authority" enum:"full,limited,none"`
	StartsOn     string           `json:"starts_on" example:"2024-01-01"`
	EndsOn       string           `json:"ends_on" example:"" doc:"The last day"`
	Guardian     guardianView     `json:"guardian"`
	PortalAccess bool             `json:"portal_access"`
	Can          canView          `json:"can" doc:"What the asking person may do now"`

	ChangeNeedsGuardian bool       `json:"change_needs_guardian" doc:"A change of the login email only happens once the guardian has allowed it"`
	ChangeBlockedReason string     `json:"change_blocked_reason" doc:"Why the login email cannot be changed, for staff to read; empty when it can"`
	ChangeBlockedCode   string     `json:"change_blocked_code" example:"account_disabled" doc:"Code of the problem a change would be answered with"`
	ResetBlockedReason  string     `json:"reset_blocked_reason" doc:"Why no link can be sent, for staff to read; empty when one can"`
	ResetBlockedCode    string     `json:"reset_blocked_code" example:"account_disabled" doc:"Code of the problem a reset would be answered with"`
	UnfreezeBlocked     string     `json:"unfreeze_blocked_reason" doc:"Why a frozen account cannot be unfrozen by the asking person, for staff to read; else empty"`
	UnfreezingRemoves   []string   `json:"unfreezing_removes" nullable:"false" enum:"password,security_question,second_factors" doc:"What unfreezing the account would take away; empty when it is not frozen"`
	Version             int64      `json:"version" doc:"Of the guardian's account; also the ETag"`
	LatestReset         *resetView `json:"latest_reset" doc:"The latest link this practice sent to the guardian; null when there is none"`

	LoginEmailChange *emailChangeView `json:"login_email_change" doc:"What this practice has asked for and the guardian has not allowed yet; null when there is none"`
}

type resetEventView struct {
	State string    `json:"state" example:"sent"`
	At    time.Time `json:"at"`
}

type resetView struct {
	ID         uuid.UUID        `json:"id" format:"uuid"`
	State      string           `json:"state" enum:"requested,queued,sent,failed,opened,answered_wrong,used,expired,replaced,cancelled"`
	LoginEmail string           `json:"login_email" example:"rosa.cruz@example.test" doc:"Where the link was sent"`
	ExpiresAt  time.Time        `json:"expires_at"`
	Events     []resetEventView `json:"events" nullable:"false" doc:"What happened to the link, oldest first"`

	AnswerWaiver *waiverView `json:"answer_waiver" doc:"Whether the security question behind the link is not asked; null when nobody has asked for that"`
}

func viewPractice(p practice.Practice) practiceView { return practiceView{p.ID, p.Name} }

func viewPatient(r practice.Record, today string) patientView {
	v := patientView{ID: r.ID, Practice: viewPractice(r.Practice), AccountNumber: r.AccountNumber,
		GivenName: r.GivenName, FamilyName: r.FamilyName, BirthDate: r.BirthDate, Associations: []listingView{}}
	for _, t := range r.Ties {
		v.Associations = append(v.Associations, listingView{t.ID, t.Relationship, t.Guardian.Name, t.Guardian.LoginEmail, string(t.Access(today))})
	}
	return v
}

func viewReset(who caller, perms practice.Perms, r Reset) resetView {
	v := resetView{ID: r.ID, State: r.State, LoginEmail: r.LoginEmail, ExpiresAt: r.ExpiresAt, Events: []resetEventView{},
		AnswerWaiver: viewWaiver(who, perms, r.Waiver)}
	for _, e := range r.Events {
		v.Events = append(v.Events, resetEventView(e))
	}
	return v
}
