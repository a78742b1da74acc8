package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/web"
)

// Problem is a problem document (RFC 9457). Code is the stable name of the
// problem; the last segment of Type says the same.
type Problem struct {
	Type      string    `json:"type" format:"uri" example:"https://id.example.test/admin/v1/problems/confirmation_mismatch" doc:"Where the problem is described"`
	Title     string    `json:"title" example:"The address is not the one on file"`
	Status    int       `json:"status" example:"409"`
	Code      string    `json:"code" example:"confirmation_mismatch" doc:"Stable name of the problem, for programs"`
	Detail    string    `json:"detail,omitempty" doc:"What to do, in words for staff"`
	Errors    []Invalid `json:"errors,omitempty" doc:"What is wrong with which part of the request"`
	RequestID string    `json:"request_id,omitempty" doc:"Names the request in the server's log"`

	header http.Header
	target string // whom the refused action was about, for the audit trail
	site   string // practice, for the audit trail
	asked  string // what was asked for, for the audit trail
}

// Invalid is one thing that is wrong with a request. It never repeats the
// value.
type Invalid struct {
	Location string `json:"location" example:"body.reason"`
	Message  string `json:"message" example:"expected length >= 1"`
}

// Error is the code and what happened.
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus makes a Problem an error that huma answers with.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders are the response headers that belong to the problem.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType is RFC 9457's.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func (p *Problem) with(name, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

func (p *Problem) about(c practice.Case) *Problem {
	return p.at("account:"+c.Tie.AccountID.String(), c.Practice.ID)
}

func (p *Problem) on(m practice.Member) *Problem {
	return p.at("account:"+m.AccountID.String(), m.Practice.ID)
}

func (p *Problem) at(target string, site uuid.UUID) *Problem {
	p.target, p.site = target, site.String()
	return p
}

// kind is what all problems of one code have in common.
type kind struct {
	status int
	title  string
	help   string
}

// kinds is every problem this API answers with.
var kinds = map[string]kind{
	"bad_request":            {400, "The request cannot be read", "The body is one JSON object with the documented keys, each once and of the documented type; each query parameter is given once."},
	"invalid_cursor":         {400, "The cursor does not belong to this search", "Use next_cursor as it came, with the same person, by, q and access. To start again leave it out."},
	"idempotency_key":        {400, "An Idempotency-Key is needed", "Send a header Idempotency-Key of 1 to 255 visible ASCII characters, made anew for each intended act, the same for each repetition of it."},
	"if_match":               {400, "If-Match cannot be read", "Send the ETag as it came, in its double quotes."},
	"token_missing":          {401, "An access token is needed", "Send the signed-in person's access token as Authorization: Bearer."},
	"token_invalid":          {401, "The access token is not accepted", "It has expired, was revoked, is not for this API, or stands for no person. Get a new one by signing in; tokens of client_credentials are never accepted."},
	"sign_in_again":          {401, "A more recent sign-in is needed", "Send the person through the authorization endpoint with the max_age of WWW-Authenticate (RFC 9470) and repeat the request."},
	"scope":                  {403, "The access token lacks a scope", "Ask for the scope that WWW-Authenticate names when signing in."},
	"no_role":                {403, "You have no role in any practice", "An administrator of the practice gives roles."},
	"permission":             {403, "Your role does not allow this", "Somebody with another role in the practice can do it: an administrator always, the front desk most of the time."},
	"own_account":            {403, "Nobody helps themselves", "The account is the asking person's own. A colleague can help; the sign-in page's “Forgot your password?” always works."},
	"own_roles":              {403, "Nobody changes their own roles", "Another administrator of the practice can."},
	"second_person":          {403, "A second person is needed", "Who asked for a waiver does not approve it, and who changed a login email does not unfreeze its account soon after. Ask a colleague who may."},
	"recent_role":            {403, "Your role does not count for this yet", "A colleague gave it a short while ago. Somebody who has had it for longer can help."},
	"not_found":              {404, "There is no such thing here", "It does not exist, or belongs to a practice in which the person has no role."},
	"method":                 {405, "The method does not exist here", "The header Allow lists those that do."},
	"email_taken":            {409, "The address cannot be used", "Another account of this realm signs in with it. Check the spelling; if the person has two accounts, use the other one."},
	"shared_guardian":        {409, "The guardian also belongs to another practice", "One practice alone does not end what another one has given."},
	"mismatch":               {409, "The address is not the one on file", "Read the address to the guardian again. Nothing was sent. If the one on file is wrong, change it first."},
	"account_invited":        {409, "The account has not been activated yet", "There is no password to reset. The guardian uses the invitation that was sent; who has used the portal before signs in as ever, or with “Forgot your password?”."},
	"account_frozen":         {409, "The account is frozen", "Somebody said “this wasn't me” with a link out of a notice. Make sure who you are talking to and that the login email is theirs, then unfreeze the account. Staff's accounts are unfrozen by another administrator, or the operator."},
	"not_frozen":             {409, "The account is not frozen", "There is nothing to unfreeze."},
	"not_invited":            {409, "There is no invitation here", "The account is active or disabled, and the association was not made by an invitation. A guardian who cannot sign in is helped by a reset link."},
	"invited_just_now":       {409, "An invitation was sent a moment ago", "Ask the person to look for it, also in the spam folder. Another one can be sent in a few minutes."},
	"enough_invitations":     {409, "Enough invitations for today", "This account was sent many invitations in the last 24 hours. The last one still works: ask the person to look for it, also in the spam folder."},
	"association_exists":     {409, "The guardian is tied to this patient already", "Look at the patient's associations. What an import has made is changed in the health-record system."},
	"recently_attached":      {409, "The account was added a short while ago", "It was there before your practice added it. Only once the guardian has signed in since, and had a week to object, may staff go past what the guardian alone can prove. A reset link always goes to the address on file."},
	"email_changed_recently": {409, "The login email was changed a short while ago", "For a week after a change of the login email nobody is let past the security question or the second factor."},
	"too_many_changes":       {409, "Enough changes for today", "The guardian was asked several times in the last 24 hours. Talk to the guardian about the letter that was sent."},
	"no_email_change":        {409, "No change is waiting", "It was confirmed, cancelled or has expired, or your practice did not ask for it."},
	"no_second_factor":       {409, "The account has no second factor", "There is nothing to remove."},
	"waiver_state":           {409, "The waiver is not in the right state", "Somebody has asked for it already, nobody has asked for it yet, or it is approved. Look at the link again."},
	"already_staff":          {409, "The person has roles in this practice already", "Change the roles instead."},
	"last_administrator":     {409, "The practice would have no administrator", "Make somebody else one first."},
	"account_disabled":       {409, "The account is disabled", "It has to be enabled before its owner can be helped back in."},
	"no_login_email":         {409, "There is no address to send to", "Add the guardian's login email first."},
	"association_ended":      {409, "The association is not current", "It has ended or not begun, so it gives no reason to act on the guardian's account."},
	"no_portal_access":       {409, "The association gives no portal access", "Give portal access first."},
	"enough_links":           {409, "Enough links for today", "This account was sent many links in the last 24 hours. The last one still works: ask the guardian to look for it, also in the spam folder."},
	"recovery_locked":        {409, "Recovery is locked for now", "The security question was answered wrong too often. A new link can be sent 24 hours after the last wrong answer; the current password works meanwhile."},
	"reset_finished":         {409, "The link is over already", "It was used, replaced or has expired, so there is nothing to cancel."},
	"changed_meanwhile":      {409, "The account has changed this moment", "Look at the account again and repeat the request."},
	"version":                {412, "It has changed since it was read", "Get it again and decide on what it says now."},
	"too_large":              {413, "The request is too large", "A body of this API has a few hundred bytes."},
	"media_type":             {415, "The body is not JSON", "Send Content-Type: application/json."},
	"invalid":                {422, "The request does not make sense", "errors says which part and why."},
	"key_reused":             {422, "The Idempotency-Key was used for another request", "Make a new key for a new request."},
	"if_match_missing":       {428, "If-Match is needed", "Send the ETag of what was read, so that nobody's change is overwritten unseen."},
	"too_many":               {429, "Too many requests", "Wait for the seconds that Retry-After says."},
	"internal":               {500, "Something went wrong here", "Try again; if it goes on, tell the operator the request_id."},
	"unavailable":            {503, "The service cannot answer now", "Try again after the seconds that Retry-After says. Nothing was changed."},
}

// newProblem makes a problem of a kind. Without a detail it says what the kind
// says.
func newProblem(code, detail string) *Problem {
	k, ok := kinds[code]
	if !ok {
		panic("admin: no such problem: " + code)
	}
	if detail == "" {
		detail = k.help
	}
	return &Problem{Code: code, Title: k.title, Status: k.status, Detail: detail}
}

func invalid(location, message string) *Problem {
	p := newProblem("invalid", "")
	p.Errors = []Invalid{{location, message}}
	return p
}

// finish completes a problem for the answer to one request.
func (a *API) finish(ctx context.Context, p *Problem) *Problem {
	p.Type = a.base + "/problems/" + p.Code
	p.RequestID = web.RequestIDFrom(ctx)
	return p
}

// problemOf finds the problem of an error. What nothing recognises is logged
// once and not shown.
func (a *API) problemOf(ctx context.Context, err error) *Problem {
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, practice.ErrNotFound):
		return newProblem("not_found", "")
	case errors.Is(err, account.ErrName), errors.Is(err, account.ErrNameEmpty), errors.Is(err, account.ErrEmail), errors.Is(err, practice.ErrValue):
		return newProblem("invalid", "")
	case errors.Is(err, account.ErrEmailTaken):
		return newProblem("email_taken", "")
	case errors.Is(err, account.ErrFrozen):
		return newProblem("account_frozen", "")
	case movedOn(err):
		return newProblem("changed_meanwhile", "")
	case errors.Is(err, database.ErrUnavailable), errors.Is(err, database.ErrRetry), errors.Is(err, database.ErrReadOnly),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		a.log.WarnContext(ctx, "admin request could not be answered", "request_id", web.RequestIDFrom(ctx), "error", err)
		return newProblem("unavailable", "").with("Retry-After", "2")
	}
	a.log.ErrorContext(ctx, "admin request failed", "request_id", web.RequestIDFrom(ctx), "error", err)
	return newProblem("internal", "")
}

// movedOn tells whether an error says that something became different between
// two looks: nothing was done, and another try decides on what is there now.
func movedOn(err error) bool {
	for _, each := range []error{account.ErrNotFound, account.ErrVersion, account.ErrState, account.ErrSameEmail, account.ErrEmailChange, account.ErrInvitation,
		practice.ErrVersion, practice.ErrAccount, practice.ErrExists, ErrNoReset, ErrFinished} {
		if errors.Is(err, each) {
			return true
		}
	}
	return false
}

// write answers with a problem outside of huma: unknown routes, and what the
// middleware refuses.
func (a *API) write(c *gin.Context, p *Problem) {
	a.finish(c.Request.Context(), p)
	for name, values := range p.header {
		c.Writer.Header()[name] = values
	}
	body, err := json.Marshal(p)
	if err != nil {
		c.AbortWithStatus(http.StatusInternalServerError)
		return
	}
	c.Data(p.Status, "application/problem+json", append(body, '\n'))
	c.Abort()
}

// transform turns huma's own errors (validation, body reading) into problems.
func (a *API) transform(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	code := "bad_request"
	switch {
	case m.Status == http.StatusUnprocessableEntity:
		code = "invalid"
	case m.Status == http.StatusRequestEntityTooLarge:
		code = "too_large"
	case m.Status >= 500:
		a.log.ErrorContext(ctx.Context(), "admin request failed", "request_id", web.RequestIDFrom(ctx.Context()), "error", m.Detail)
		code = "internal"
	}
	p := newProblem(code, "")
	p.Status = m.Status // what is on the wire already
	for _, e := range m.Errors {
		if e != nil && m.Status < 500 {
			p.Errors = append(p.Errors, Invalid{e.Location, e.Message})
		}
	}
	return a.finish(ctx.Context(), p), nil
}

// problemPage is GET /problems/{code}: the address that Type names.
func (a *API) problemPage(c *gin.Context) {
	k, ok := kinds[c.Param("code")]
	if !ok {
		a.write(c, newProblem("not_found", ""))
		return
	}
	c.JSON(http.StatusOK, gin.H{"code": c.Param("code"), "status": k.status, "title": k.title, "help": k.help})
}

// codesOf lists the codes with a status, sorted.
func codesOf(status int) []string {
	var codes []string
	for code, k := range kinds {
		if k.status == status {
			codes = append(codes, code)
		}
	}
	slices.Sort(codes)
	return codes
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(max(1, int64((d+time.Second-1)/time.Second)), 10)
}

// quote makes a quoted-string of a challenge (RFC 9110 §5.6.4). What is passed
// is ours; the replacement is for the case that it is not.
func quote(s string) string {
	return `"` + strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || r < ' ' || r > '~' {
			return '_'
		}
		return r
	}, s) + `"`
}

// challenge is a WWW-Authenticate header (RFC 6750 §3, RFC 9470 §3).
func challenge(params ...string) string {
	var b strings.Builder
	b.WriteString("Bearer realm=" + quote("admin"))
	for i := 0; i+1 < len(params); i += 2 {
		fmt.Fprintf(&b, ", %s=%s", params[i], quote(params[i+1]))
	}
	return b.String()
}
