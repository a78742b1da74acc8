package practiceportal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// practice, patient, association and reset are the admin API's documents, as
// far as the portal shows them.
type practice struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type patient struct {
	ID            string    `json:"id"`
	Practice      practice  `json:"practice"`
	AccountNumber string    `json:"account_number"`
	GivenName     string    `json:"given_name"`
	FamilyName    string    `json:"family_name"`
	BirthDate     string    `json:"birth_date"`
	Associations  []listing `json:"associations"`
}

func (p patient) Name() string { return strings.TrimSpace(p.GivenName + " " + p.FamilyName) }

// listing is an association as it stands in a list.
type listing struct {
	ID           string `json:"id"`
	Relationship string `json:"relationship"`
	GuardianName string `json:"guardian_name"`
	LoginEmail   string `json:"login_email"`
	Access       string `json:"access"` // active, invited, frozen, disabled, none
}

type patientList struct {
	Items      []patient `json:"items"`
	NextCursor string    `json:"next_cursor"`
}

type association struct {
	ID           string  `json:"id"`
	Patient      patient `json:"patient"`
	Relationship string  `json:"relationship"`
	Authority    string  `json:"authority"`
	StartsOn     string  `json:"starts_on"`
	EndsOn       string  `json:"ends_on"`
	PortalAccess bool    `json:"portal_access"`
	Guardian     struct {
		Name           string     `json:"name"`
		LoginEmail     string     `json:"login_email"`
		EmailVerified  bool       `json:"email_verified"`
		State          string     `json:"state"`
		FrozenAt       *time.Time `json:"frozen_at"`
		InvitedAt      *time.Time `json:"invited_at"`
		SecondFactors  bool       `json:"second_factors"`
		LastSignedInAt *time.Time `json:"last_signed_in_at"`
		Locale         string     `json:"locale"`
	} `json:"guardian"`
	Can struct {
		ChangeLoginEmail bool `json:"change_login_email"`
		ResetPassword    bool `json:"reset_password"`

		SendInvitation      bool `json:"send_invitation"`
		CancelInvitation    bool `json:"cancel_invitation"`
		CancelEmailChange   bool `json:"cancel_login_email_change"`
		Unfreeze            bool `json:"unfreeze"`
		RemoveSecondFactors bool `json:"remove_second_factors"`
	} `json:"can"`
	LoginEmailChange *struct {
		LoginEmail string    `json:"login_email"`
		ExpiresAt  time.Time `json:"expires_at"`
	} `json:"login_email_change"`
	ChangeBlockedReason string          `json:"change_blocked_reason"`
	ResetBlockedReason  string          `json:"reset_blocked_reason"`
	UnfreezeBlocked     string          `json:"unfreeze_blocked_reason"`
	Version             json.RawMessage `json:"version"`
	LatestReset         *reset          `json:"latest_reset"`

	etag string
}

type reset struct {
	ID         string    `json:"id"`
	State      string    `json:"state"`
	LoginEmail string    `json:"login_email"`
	ExpiresAt  time.Time `json:"expires_at"`
	Events     []struct {
		State string    `json:"state"`
		At    time.Time `json:"at"`
	} `json:"events"`
	Waiver *struct {
		State          string     `json:"state"` // requested, approved
		RequestedAt    time.Time  `json:"requested_at"`
		RequestedByYou bool       `json:"requested_by_you"`
		IdentityCheck  string     `json:"identity_check"` // empty for who may not approve
		ApprovedAt     *time.Time `json:"approved_at"`
	} `json:"answer_waiver"`
}

// membership is a practice in which the signed-in person has a role.
type membership struct {
	practice
	Roles       []string `json:"roles"`
	Permissions perms    `json:"permissions"`
}

// perms is what somebody may do in one practice, as far as pages ask.
type perms struct {
	Invite      bool `json:"invite"`
	Waive       bool `json:"waive"`
	ManageStaff bool `json:"manage_staff"`
}

// colleague is a member of a practice's staff.
type colleague struct {
	ID             string          `json:"id"`
	Practice       practice        `json:"practice"`
	Name           string          `json:"name"`
	LoginEmail     string          `json:"login_email"`
	State          string          `json:"state"` // invited, active, disabled
	Frozen         bool            `json:"frozen"`
	LastSignedInAt *time.Time      `json:"last_signed_in_at"`
	Roles          []string        `json:"roles"`
	You            bool            `json:"you"`
	Version        json.RawMessage `json:"version"`

	etag string
}

type staffList struct {
	Items []colleague `json:"items"`
}

type rolesChange struct {
	Roles []string `json:"roles"`
}

// invitation is whom staff invite; the fields of one kind are empty for the
// other.
type invitation struct {
	PracticeID   string   `json:"practice_id,omitempty"`
	LoginEmail   string   `json:"login_email"`
	GivenName    string   `json:"given_name"`
	FamilyName   string   `json:"family_name"`
	Roles        []string `json:"roles,omitempty"`
	Relationship string   `json:"relationship,omitempty"`
	Authority    string   `json:"authority,omitempty"`
	StartsOn     string   `json:"starts_on,omitempty"`
	EndsOn       string   `json:"ends_on,omitempty"`
	Locale       string   `json:"locale,omitempty"`
}

type invited struct {
	ID         string `json:"id"`
	LoginEmail string `json:"login_email"`
}

type me struct {
	Practices []membership `json:"practices"`
}

type emailChange struct {
	LoginEmail string `json:"login_email"`
	Reason     string `json:"reason"`
}

type emailChanged struct {
	Association association `json:"association"`
	Reminder    string      `json:"reminder"`
}

type resetRequest struct {
	ConfirmLoginEmail string `json:"confirm_login_email"`
	Reason            string `json:"reason"`
}

// problem is an RFC 9457 document, the API's only kind of refusal.
type problem struct {
	Status int    `json:"status"`
	Type   string `json:"type"`
	Title  string `json:"title"`
	Code   string `json:"code"` // stable name of the problem
	Detail string `json:"detail"`
	Errors []struct {
		Message  string `json:"message"`
		Location string `json:"location"` // "body.login_email"
	} `json:"errors"`

	challenge  string // WWW-Authenticate
	retryAfter time.Duration
}

func (p *problem) Error() string {
	return fmt.Sprintf("admin API: %d %s: %s", p.Status, p.Title, p.Detail)
}

var (
	maxAgeParam = regexp.MustCompile(`\bmax_age="?(\d{1,9})"?`)
	acrParam    = regexp.MustCompile(`\bacr_values="([^"]{1,200})"`)
)

// stepUp is what the API wants of a sign-in (RFC 9470 §3): a recent one, one of
// a level, or both.
type stepUp struct {
	maxAge    *time.Duration
	acrValues string
}

func (p *problem) stepUp() (wanted stepUp, ok bool) {
	if p.Status != http.StatusUnauthorized || !strings.Contains(p.challenge, "insufficient_user_authentication") {
		return stepUp{}, false
	}
	if found := acrParam.FindStringSubmatch(p.challenge); found != nil {
		wanted.acrValues = found[1]
	}
	if found := maxAgeParam.FindStringSubmatch(p.challenge); found != nil {
		if seconds, err := strconv.Atoi(found[1]); err == nil {
			age := time.Duration(seconds) * time.Second
			wanted.maxAge = &age
		}
	}
	if wanted == (stepUp{}) { // it does not say: one that is fresh will do
		age := 10 * time.Minute
		wanted.maxAge = &age
	}
	return wanted, true
}

// about says whether the API found something wrong with a field of the body.
// Its words for that are for programmers, so the pages use their own.
func (p *problem) about(field string) bool {
	for _, e := range p.Errors {
		if strings.HasSuffix(e.Location, "."+field) {
			return true
		}
	}
	return false
}

// words is what the API says to people: what happened, and what to do.
func (p *problem) words() string {
	switch {
	case p.Title == "" && p.Detail == "":
		return "The service did not say why."
	case p.Title == "":
		return p.Detail
	case p.Detail == "":
		return p.Title + "."
	}
	return p.Title + ". " + p.Detail
}

// adminAPI speaks to the provider's admin API.
type adminAPI struct {
	base string
	http *http.Client
}

// call is one request to it.
type call struct {
	method, path   string
	query          url.Values
	body           any
	ifMatch        string
	idempotencyKey string
}

// do makes a call with an access token (RFC 6750 §2.1) and reads the answer
// into out. A refusal is a *problem.
func (a *adminAPI) do(ctx context.Context, token string, c call, out any) (http.Header, error) {
	var body io.Reader
	if c.body != nil {
		raw, err := json.Marshal(c.body)
		if err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	target := a.base + c.path
	if len(c.query) > 0 {
		target += "?" + c.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, c.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json, application/problem+json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.ifMatch != "" {
		req.Header.Set("If-Match", c.ifMatch)
	}
	if c.idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", c.idempotencyKey)
	}
	res, err := a.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the admin API: %w", err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return nil, fmt.Errorf("read the admin API's answer: %w", err)
	}
	if res.StatusCode >= 300 {
		refusal := &problem{}
		_ = json.Unmarshal(raw, refusal) // a refusal without a document is still a refusal
		refusal.Status = res.StatusCode
		if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 && seconds < 1e6 {
			refusal.retryAfter = time.Duration(seconds) * time.Second
		}
		refusal.challenge = strings.Join(res.Header.Values("WWW-Authenticate"), ", ")
		return res.Header, refusal
	}
	if out == nil || res.StatusCode == http.StatusNoContent {
		return res.Header, nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return nil, fmt.Errorf("understand the admin API's answer: %w", err)
	}
	return res.Header, nil
}
